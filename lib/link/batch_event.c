/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch_event.c: what happened to a batch's sockets.
 *
 * UTCP tells edges; a turn reads to the end of what a socket has, so that edges
 * are enough. A socket whose end was not reached (the arena was full, or it had
 * its share) stands in a queue for the next turn.
 */
#include <errno.h>
#include <string.h>

#include "batch_internal.h"

#define READ_BYTES (256u << 10) /* of one socket in a turn */
#define READ_BYTES_MIN 4096u	/* less room than this waits for the next */
#define ACCEPTS 256u		/* of one listener in a turn */
#define DGRAMS 64u		/* at a time */
#define PULL 64u		/* of the stack's events at a time */

static bool
has_room(const msbatch_t *b)
{
	return b->view.num_events < b->limit &&
	       b->view.arena_bytes - b->used >= READ_BYTES_MIN;
}

msbatch_event_t *
msbatch__tell(msbatch_t *b, uint32_t id, uint32_t what, int error)
{
	msbatch_event_t *ev = &b->events[b->view.num_events++];

	memset(ev, 0, sizeof *ev);
	ev->id = id;
	ev->what = (uint16_t)what;
	ev->error = (uint16_t)-error;
	ev->offset = b->used;
	return ev;
}

static void
read_tcp(msbatch_t *b, uint32_t id, uint32_t ready)
{
	struct msbatch__entry *e = &b->e[id];
	uint32_t room = b->view.arena_bytes - b->used, got = 0, what = 0;
	ssize_t n = 0;
	int64_t error = 0;

	if (room > READ_BYTES)
		room = READ_BYTES;
	while (got < room) {
		n = utcp_read(e->s, b->arena + b->used + got, room - got, 0);
		if (n <= 0)
			break;
		got += (uint32_t)n;
		/* A further call would only say so. */
		if (!(ready & (UTCP_RDHUP | UTCP_ERR | UTCP_HUP)))
			break;
	}
	if (got == room || n == -ENOMEM)
		msbatch__queue_put(b, id);
	else if (n == 0 && ready & (UTCP_IN | UTCP_RDHUP) && !e->ended)
		what |= MSBATCH_EOF;
	else if (n < 0 && n != -EAGAIN)
		error = n;
	if (ready & UTCP_ERR && got < room && error == 0) {
		(void)utcp_get(e->s, UTCP_OPT_ERROR, &error);
		error = -error;
	}
	if (got)
		what |= MSBATCH_DATA;
	if (error)
		what |= MSBATCH_ERROR;
	if (what == 0)
		return;
	e->ended = (what & (MSBATCH_EOF | MSBATCH_ERROR)) != 0;
	msbatch__tell(b, id, what, (int)error)->len = got;
	b->used += got;
}

static void serve(msbatch_t *b, uint32_t id, uint32_t ready);

/* One connection; false: there is none. */
static bool
accept_one(msbatch_t *b, uint32_t id)
{
	utcp_addr_t name[2] = { { .family = 0 } };
	msbatch_event_t *ev;
	utcp_sock_t *s;
	int new_id;

	if (utcp_accept(b->e[id].s, &s) < 0)
		return false;
	new_id = msbatch__entry_new(b, s, TCP, MSBATCH_READ);
	if (new_id < 0) {
		utcp_abort(s);
		return true;
	}
	utcp_set_user(s, (void *)((uintptr_t)new_id + 1));
	(void)utcp_getpeername(s, &name[0]);
	(void)utcp_getsockname(s, &name[1]);
	memcpy(b->arena + b->used, name, sizeof name);
	ev = msbatch__tell(b, id, MSBATCH_ACCEPTED, 0);
	ev->len = sizeof name;
	ev->arg = (uint32_t)new_id;
	b->used += sizeof name;
	serve(b, (uint32_t)new_id, utcp_poll(s));
	return true;
}

static void
accept_all(msbatch_t *b, uint32_t id)
{
	for (unsigned int i = 0; i < ACCEPTS && has_room(b); i++)
		if (!accept_one(b, id))
			return;
	msbatch__queue_put(b, id);
}

/* For any that the stack may have. */
static bool
dgram_room(const msbatch_t *b)
{
	return b->limit - b->view.num_events >= UTCP_DGRAMS_MAX &&
	       b->view.arena_bytes - b->used >= MSBATCH__DGRAM_BYTES;
}

/* One datagram, or those of a GSO packet. */
static void
dgram_tell(msbatch_t *b, uint32_t id, const utcp_dgram_t *d)
{
	const uint8_t *at = d->data;
	size_t left = d->len, part;

	do {
		part = d->gso_size && d->gso_size < left ? d->gso_size : left;
		memcpy(b->arena + b->used, &d->peer, sizeof d->peer);
		if (part)
			memcpy(b->arena + b->used + sizeof d->peer, at, part);
		part += sizeof d->peer;
		msbatch__tell(b, id, MSBATCH_DGRAM, 0)->len = (uint32_t)part;
		b->used += (uint32_t)part;
		at += part - sizeof d->peer;
		left -= part - sizeof d->peer;
	} while (left);
}

static void
read_udp(msbatch_t *b, uint32_t id, uint32_t ready)
{
	struct msbatch__entry *e = &b->e[id];
	utcp_dgram_t d;
	int64_t error = 0;

	if (ready & UTCP_ERR) {
		(void)utcp_udp_get(e->s, UTCP_OPT_ERROR, &error);
		if (error)
			msbatch__tell(b, id, MSBATCH_ERROR, -(int)error);
	}
	for (unsigned int i = 0; i < DGRAMS && dgram_room(b); i++) {
		if (utcp_udp_recv(e->s, &d, 1) <= 0)
			return;
		dgram_tell(b, id, &d);
	}
	msbatch__queue_put(b, id);
}

/* Tells what a socket has; the level is `ready`. */
static void
serve(msbatch_t *b, uint32_t id, uint32_t ready)
{
	struct msbatch__entry *e = &b->e[id];

	if (!has_room(b)) {
		msbatch__queue_put(b, id);
		return;
	}
	if (e->mode == MSBATCH_TELL) {
		msbatch__tell(b, id, MSBATCH_READY, 0)->arg = ready;
		return;
	}
	if (e->mode == MSBATCH_ACCEPT) {
		accept_all(b, id);
		return;
	}
	/* Of one that has ended the next write says it. */
	if (e->want_room && ready & (UTCP_OUT | UTCP_ERR | UTCP_HUP)) {
		e->want_room = false;
		msbatch__tell(b, id, MSBATCH_ROOM, 0);
	}
	if (e->mode != MSBATCH_READ)
		return;
	if (!has_room(b))
		msbatch__queue_put(b, id);
	else if (e->kind == UDP)
		read_udp(b, id, ready);
	else if (ready & (UTCP_IN | UTCP_RDHUP | UTCP_ERR) &&
		 (!e->ended || ready & UTCP_ERR))
		read_tcp(b, id, ready);
}

static uint32_t
level(const struct msbatch__entry *e)
{
	return e->kind == UDP ? utcp_udp_poll(e->s) : utcp_poll(e->s);
}

void
msbatch__serve_queued(msbatch_t *b)
{
	uint32_t last = b->last, id;

	if (b->first == MSBATCH__NONE)
		return;
	do {
		id = msbatch__queue_get(b);
		if (b->e[id].kind != FREE)
			serve(b, id, level(&b->e[id]));
	} while (id != last && has_room(b) && b->first != MSBATCH__NONE);
}

/* How many of the stack's events there is room for, whatever they are. */
static unsigned int
pull_max(const msbatch_t *b)
{
	unsigned int left = (b->limit - b->view.num_events) /
			    2; /* ROOM and DATA */

	return left < PULL ? left : PULL;
}

void
msbatch__serve_new(msbatch_t *b)
{
	utcp_event_t ev[PULL];
	int n, want;

	do {
		want = (int)pull_max(b);
		n = want ? utcp_events(b->u, ev, (unsigned int)want) : 0;
		for (int i = 0; i < n; i++) {
			uint32_t id = (uint32_t)((uintptr_t)ev[i].user - 1);
			struct msbatch__entry *e = msbatch__get(b, id);

			/* A connection not yet accepted has no number. */
			if (e && e->s == (ev[i].sock ? (void *)ev[i].sock
						     : (void *)ev[i].udp))
				serve(b, id, ev[i].ready);
		}
	} while (n > 0 && n == want && has_room(b));
}
