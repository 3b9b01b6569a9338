/* SPDX-License-Identifier: BSD-2-Clause */
/* batch_cmd.c: what the program wants of a batch's sockets. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "batch_internal.h"

/* Of a command, each of which makes one event at most: room_for() sees to it
   that there is room. */
static void
answer(msbatch_t *b, uint32_t id, uint32_t at, uint32_t what, int error,
       size_t taken)
{
	msbatch_event_t *ev = msbatch__tell(b, id, what, error);

	ev->arg = at;
	ev->len = (uint32_t)taken;
}

/* What is sent from a copy of its own. */
struct copy {
	utcp_buf_t buf;
	uint8_t data[];
};

static void
copy_done(utcp_buf_t *buf, int status)
{
	(void)status;
	free(buf->user);
}

static int
send_copy(utcp_sock_t *s, const uint8_t *data, size_t len)
{
	struct copy *c = malloc(sizeof *c + len);
	int r;

	if (!c)
		return -ENOMEM;
	memcpy(c->data, data, len);
	c->buf = (utcp_buf_t){
		.data = c->data, .len = len, .done = copy_done, .user = c
	};
	r = utcp_send(s, &c->buf, 0);
	if (r < 0)
		free(c);
	return r;
}

static void
do_write(msbatch_t *b, const msbatch_cmd_t *c, uint32_t at, const uint8_t *data)
{
	struct msbatch__entry *e = &b->e[c->id];
	size_t taken = 0;
	ssize_t n = 0;

	while (taken < c->len) {
		n = utcp_write(e->s, data + taken, c->len - taken, 0);
		if (n <= 0)
			break;
		taken += (size_t)n;
	}
	if (taken < c->len && n == -EAGAIN && c->arg & MSBATCH_ALL) {
		n = send_copy(e->s, data + taken, c->len - taken);
		if (n >= 0)
			taken = c->len;
	}
	if (taken == c->len)
		return;
	e->short_turn = b->turn;
	if (n == 0 || n == -EAGAIN || n == -ENOMEM) {
		e->want_room = true;
		/* No edge tells that there is memory again. */
		if (n == -ENOMEM)
			msbatch__queue_put(b, c->id);
		answer(b, c->id, at, MSBATCH_SHORT, 0, taken);
	} else {
		answer(b, c->id, at, MSBATCH_SHORT | MSBATCH_ERROR, (int)n,
		       taken);
	}
}

static int
do_sendto(msbatch_t *b, const msbatch_cmd_t *c, uint32_t at,
	  const uint8_t *data)
{
	struct msbatch__entry *e = &b->e[c->id];
	utcp_dgram_t d = { 0 };
	int n;

	if (e->kind != UDP || c->len < sizeof d.peer)
		return -EINVAL;
	memcpy(&d.peer, data, sizeof d.peer);
	d.data = data + sizeof d.peer;
	d.len = c->len - sizeof d.peer;
	n = utcp_udp_send(e->s, &d, 1);
	if (n != -EAGAIN)
		return n < 0 ? n : 0;
	e->want_room = true;
	e->short_turn = b->turn;
	answer(b, c->id, at, MSBATCH_SHORT, 0, 0);
	return 0;
}

static int
do_mode(msbatch_t *b, uint32_t id, uint32_t mode)
{
	struct msbatch__entry *e = &b->e[id];

	if (mode > (e->kind == UDP ? MSBATCH_HOLD : MSBATCH_ACCEPT))
		return -EINVAL;
	e->mode = (uint8_t)mode;
	/* What came meanwhile is found by a look. */
	msbatch__queue_put(b, id);
	return 0;
}

static int
do_other(msbatch_t *b, const msbatch_cmd_t *c, uint32_t at, const uint8_t *data)
{
	struct msbatch__entry *e = &b->e[c->id];

	switch (c->op) {
	case MSBATCH_SENDTO:
		return do_sendto(b, c, at, data);
	case MSBATCH_SHUTDOWN:
		return e->kind == TCP ? utcp_shutdown(e->s, UTCP_SHUT_WR)
				      : -EINVAL;
	case MSBATCH_CLOSE:
	case MSBATCH_ABORT:
		msbatch__end_socket(b, c->id, c->op == MSBATCH_ABORT);
		return 0;
	case MSBATCH_MODE:
		return do_mode(b, c->id, c->arg);
	default:
		return -EINVAL;
	}
}

/* A datagram after one that had no room. */
static void
left_out(msbatch_t *b, const msbatch_cmd_t *c, uint32_t at)
{
	if (c->op == MSBATCH_SENDTO)
		answer(b, c->id, at, MSBATCH_SHORT, 0, 0);
}

static bool
is_left_out(const msbatch_t *b, const struct msbatch__entry *e, uint32_t op)
{
	return e->short_turn == b->turn && op != MSBATCH_MODE &&
	       op != MSBATCH_ABORT;
}

void
msbatch__commands(msbatch_t *b, const msbatch_cmd_t *cmds, unsigned int n,
		  const uint8_t *data, size_t len)
{
	size_t at = 0;

	for (unsigned int i = 0; i < n; i++) {
		const msbatch_cmd_t *c = &cmds[i];
		const struct msbatch__entry *e = msbatch__get(b, c->id);
		bool writes = c->op <= MSBATCH_SENDTO;
		const uint8_t *mine = data ? data + at : NULL;
		int r = 0;

		if (writes && (c->len > len - at)) {
			answer(b, c->id, i, MSBATCH_ERROR, -EINVAL, 0);
			return;
		}
		at += writes ? c->len : 0;
		if (!e)
			r = -EBADF;
		else if (is_left_out(b, e, c->op))
			left_out(b, c, i);
		else if (c->op != MSBATCH_WRITE)
			r = do_other(b, c, i, mine);
		else if (e->kind == TCP)
			do_write(b, c, i, mine);
		else
			r = -EINVAL;
		if (r < 0)
			answer(b, c->id, i, MSBATCH_ERROR, r, 0);
	}
}
