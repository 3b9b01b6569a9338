/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch.c: many sockets by one call.
 *
 * UTCP tells edges; a turn reads to the end of what a socket has, so that edges
 * are enough. A socket whose end was not reached (the arena was full, or it had
 * its share) stands in a queue for the next turn.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <multistack/batch.h>

#define ARENA_BYTES (1u << 20)
#define ARENA_BYTES_MIN (128u << 10)
/* Datagrams that came as one, each with its address. */
#define DGRAM_BYTES (UINT16_MAX + UTCP_DGRAMS_MAX * sizeof(utcp_addr_t))
_Static_assert(DGRAM_BYTES <= ARENA_BYTES_MIN, "");
#define EVENTS 1024u
#define EVENTS_MIN (2 * UTCP_DGRAMS_MAX)
#define READ_BYTES (256u << 10) /* of one socket in a turn */
#define READ_BYTES_MIN 4096u	/* less room than this waits for the next */
#define ACCEPTS 256u		/* of one listener in a turn */
#define DGRAMS 64u		/* at a time */
#define PULL 64u		/* of the stack's events at a time */
#define COMMANDS_MAX (1u << 24) /* and events */
#define NONE UINT32_MAX

enum kind { FREE, TCP, UDP };

struct entry {
	void *s; /* by kind */
	uint8_t kind;
	uint8_t mode;
	bool want_room; /* SHORT was told */
	bool ended;	/* EOF or ERROR was told */
	bool queued;
	uint32_t next;	     /* queued, or free */
	uint64_t short_turn; /* in which it was SHORT */
};

struct msbatch_s {
	mslink_t *l;
	utcp_t *u;
	struct entry *e;
	uint32_t num, cap;
	uint32_t free;
	uint32_t first, last; /* of the queue */
	uint64_t turn;	      /* never comes again */
	int lost;	      /* what the link said when its port went; 0 */
	uint8_t *arena;
	uint32_t used;
	msbatch_event_t *events;
	uint32_t events_cap, limit; /* all; and how many there may be now */
	msbatch_view_t view;
};

/* ---- numbers ------------------------------------------------------------- */

static struct entry *
get(const msbatch_t *b, uint32_t id)
{
	return id < b->num && b->e[id].kind != FREE ? &b->e[id] : NULL;
}

static int
entry_new(msbatch_t *b, void *s, enum kind kind, uint32_t mode)
{
	uint32_t id = b->free, cap;
	struct entry *e;

	if (id == NONE && b->num == b->cap) {
		cap = b->cap ? 2 * b->cap : 64;
		e = cap <= INT32_MAX ? realloc(b->e, cap * sizeof *e) : NULL;
		if (!e)
			return -ENOMEM;
		b->e = e;
		b->cap = cap;
	}
	if (id == NONE) {
		id = b->num++;
		b->e[id].queued = false;
	} else {
		b->free = b->e[id].next;
	}
	e = &b->e[id];
	e->s = s;
	e->kind = (uint8_t)kind;
	e->mode = (uint8_t)mode;
	e->want_room = e->ended = false;
	e->short_turn = 0;
	e->next = NONE;
	return (int)id;
}

/* One that is queued is free when the queue comes to it. */
static void
entry_free(msbatch_t *b, uint32_t id)
{
	struct entry *e = &b->e[id];

	e->kind = FREE;
	e->s = NULL;
	if (!e->queued) {
		e->next = b->free;
		b->free = id;
	}
}

static void
queue_put(msbatch_t *b, uint32_t id)
{
	struct entry *e = &b->e[id];

	if (e->queued)
		return;
	e->queued = true;
	e->next = NONE;
	if (b->first == NONE)
		b->first = id;
	else
		b->e[b->last].next = id;
	b->last = id;
}

static uint32_t
queue_get(msbatch_t *b)
{
	uint32_t id = b->first;
	struct entry *e = &b->e[id];

	b->first = e->next;
	e->queued = false;
	if (e->kind == FREE)
		entry_free(b, id);
	return id;
}

/* ---- what happened ------------------------------------------------------- */

static bool
has_room(const msbatch_t *b)
{
	return b->view.num_events < b->limit &&
	       b->view.arena_bytes - b->used >= READ_BYTES_MIN;
}

/* The caller has seen to it that there is room, or see answer(). */
static msbatch_event_t *
tell(msbatch_t *b, uint32_t id, uint32_t what, int error)
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
	struct entry *e = &b->e[id];
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
		queue_put(b, id);
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
	tell(b, id, what, (int)error)->len = got;
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
	new_id = entry_new(b, s, TCP, MSBATCH_READ);
	if (new_id < 0) {
		utcp_abort(s);
		return true;
	}
	utcp_set_user(s, (void *)((uintptr_t)new_id + 1));
	(void)utcp_getpeername(s, &name[0]);
	(void)utcp_getsockname(s, &name[1]);
	memcpy(b->arena + b->used, name, sizeof name);
	ev = tell(b, id, MSBATCH_ACCEPTED, 0);
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
	queue_put(b, id);
}

/* For any that the stack may have. */
static bool
dgram_room(const msbatch_t *b)
{
	return b->limit - b->view.num_events >= UTCP_DGRAMS_MAX &&
	       b->view.arena_bytes - b->used >= DGRAM_BYTES;
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
		tell(b, id, MSBATCH_DGRAM, 0)->len = (uint32_t)part;
		b->used += (uint32_t)part;
		at += part - sizeof d->peer;
		left -= part - sizeof d->peer;
	} while (left);
}

static void
read_udp(msbatch_t *b, uint32_t id, uint32_t ready)
{
	struct entry *e = &b->e[id];
	utcp_dgram_t d;
	int64_t error = 0;

	if (ready & UTCP_ERR) {
		(void)utcp_udp_get(e->s, UTCP_OPT_ERROR, &error);
		if (error)
			tell(b, id, MSBATCH_ERROR, -(int)error);
	}
	for (unsigned int i = 0; i < DGRAMS && dgram_room(b); i++) {
		if (utcp_udp_recv(e->s, &d, 1) <= 0)
			return;
		dgram_tell(b, id, &d);
	}
	queue_put(b, id);
}

/* Tells what a socket has; the level is `ready`. */
static void
serve(msbatch_t *b, uint32_t id, uint32_t ready)
{
	struct entry *e = &b->e[id];

	if (!has_room(b)) {
		queue_put(b, id);
		return;
	}
	if (e->mode == MSBATCH_TELL) {
		tell(b, id, MSBATCH_READY, 0)->arg = ready;
		return;
	}
	if (e->mode == MSBATCH_ACCEPT) {
		accept_all(b, id);
		return;
	}
	/* Of one that has ended the next write says it. */
	if (e->want_room && ready & (UTCP_OUT | UTCP_ERR | UTCP_HUP)) {
		e->want_room = false;
		tell(b, id, MSBATCH_ROOM, 0);
	}
	if (e->mode != MSBATCH_READ)
		return;
	if (!has_room(b))
		queue_put(b, id);
	else if (e->kind == UDP)
		read_udp(b, id, ready);
	else if (ready & (UTCP_IN | UTCP_RDHUP | UTCP_ERR) &&
		 (!e->ended || ready & UTCP_ERR))
		read_tcp(b, id, ready);
}

static uint32_t
level(const struct entry *e)
{
	return e->kind == UDP ? utcp_udp_poll(e->s) : utcp_poll(e->s);
}

static void
serve_queued(msbatch_t *b)
{
	uint32_t last = b->last, id;

	if (b->first == NONE)
		return;
	do {
		id = queue_get(b);
		if (b->e[id].kind != FREE)
			serve(b, id, level(&b->e[id]));
	} while (id != last && has_room(b) && b->first != NONE);
}

/* How many of the stack's events there is room for, whatever they are. */
static unsigned int
pull_max(const msbatch_t *b)
{
	unsigned int left = (b->limit - b->view.num_events) /
			    2; /* ROOM and DATA */

	return left < PULL ? left : PULL;
}

static void
serve_new(msbatch_t *b)
{
	utcp_event_t ev[PULL];
	int n, want;

	do {
		want = (int)pull_max(b);
		n = want ? utcp_events(b->u, ev, (unsigned int)want) : 0;
		for (int i = 0; i < n; i++) {
			uint32_t id = (uint32_t)((uintptr_t)ev[i].user - 1);
			struct entry *e = get(b, id);

			/* A connection not yet accepted has no number. */
			if (e && e->s == (ev[i].sock ? (void *)ev[i].sock
						     : (void *)ev[i].udp))
				serve(b, id, ev[i].ready);
		}
	} while (n > 0 && n == want && has_room(b));
}

/* ---- commands ------------------------------------------------------------ */

/* Of a command, each of which makes one event at most: room_for() sees to it
   that there is room. */
static void
answer(msbatch_t *b, uint32_t id, uint32_t at, uint32_t what, int error,
       size_t taken)
{
	msbatch_event_t *ev = tell(b, id, what, error);

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
	struct entry *e = &b->e[c->id];
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
			queue_put(b, c->id);
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
	struct entry *e = &b->e[c->id];
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

static void
end_socket(msbatch_t *b, uint32_t id, bool abort)
{
	struct entry *e = &b->e[id];

	if (e->kind == UDP)
		utcp_udp_close(e->s);
	else if (abort)
		utcp_abort(e->s);
	else
		utcp_close(e->s);
	entry_free(b, id);
}

static int
do_mode(msbatch_t *b, uint32_t id, uint32_t mode)
{
	struct entry *e = &b->e[id];

	if (mode > (e->kind == UDP ? MSBATCH_HOLD : MSBATCH_ACCEPT))
		return -EINVAL;
	e->mode = (uint8_t)mode;
	/* What came meanwhile is found by a look. */
	queue_put(b, id);
	return 0;
}

static int
do_other(msbatch_t *b, const msbatch_cmd_t *c, uint32_t at, const uint8_t *data)
{
	struct entry *e = &b->e[c->id];

	switch (c->op) {
	case MSBATCH_SENDTO:
		return do_sendto(b, c, at, data);
	case MSBATCH_SHUTDOWN:
		return e->kind == TCP ? utcp_shutdown(e->s, UTCP_SHUT_WR)
				      : -EINVAL;
	case MSBATCH_CLOSE:
	case MSBATCH_ABORT:
		end_socket(b, c->id, c->op == MSBATCH_ABORT);
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
is_left_out(const msbatch_t *b, const struct entry *e, uint32_t op)
{
	return e->short_turn == b->turn && op != MSBATCH_MODE &&
	       op != MSBATCH_ABORT;
}

static void
commands(msbatch_t *b, const msbatch_cmd_t *cmds, unsigned int n,
	 const uint8_t *data, size_t len)
{
	size_t at = 0;

	for (unsigned int i = 0; i < n; i++) {
		const msbatch_cmd_t *c = &cmds[i];
		const struct entry *e = get(b, c->id);
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

static int
room_for(msbatch_t *b, unsigned int n)
{
	uint32_t cap = b->view.max_events + n;
	msbatch_event_t *ev;

	b->limit = cap;
	if (cap <= b->events_cap)
		return 0;
	ev = realloc(b->events, cap * sizeof *ev);
	if (!ev)
		return -ENOMEM;
	b->view.events = b->events = ev;
	b->events_cap = cap;
	return 0;
}

/* ---- the turn ------------------------------------------------------------ */

static void
may_sleep(msbatch_t *b, uint32_t flags)
{
	int r;

	b->view.timeout_ns = 0;
	if (!(flags & MSBATCH_SLEEP) || b->view.num_events ||
	    b->first != NONE || b->view.error)
		return;
	r = mslink_arm(b->l);
	if (r < 0)
		b->view.error = b->lost = r;
	if (r == 0)
		b->view.timeout_ns = mslink_timeout_ns(b->l);
}

int
msbatch_turn(msbatch_t *b, const msbatch_cmd_t *cmds, unsigned int n,
	     const void *data, size_t len, uint32_t flags)
{
	int r;

	if (!b || (n && !cmds) || (len && !data) || n > COMMANDS_MAX)
		return -EINVAL;
	r = room_for(b, n);
	if (r)
		return r;
	b->turn++;
	b->used = 0;
	b->view.num_events = 0;
	utcp_advance(b->u, mslink_now_ns());
	commands(b, cmds, n, data, len);
	b->view.num_answers = b->view.num_events;
	b->limit = b->view.num_answers + b->view.max_events;
	r = b->lost ? b->lost : mslink_flush(b->l);
	if (r >= 0)
		r = mslink_poll(b->l);
	b->view.error = b->lost = r < 0 ? r : 0;
	serve_queued(b);
	serve_new(b);
	may_sleep(b, flags);
	return b->view.error ? b->view.error : (int)b->view.num_events;
}

int
msbatch_keep(msbatch_t *b)
{
	int r;

	if (!b)
		return -EINVAL;
	r = b->lost ? b->lost : mslink_poll(b->l);
	if (r >= 0)
		r = mslink_flush(b->l);
	if (r >= 0)
		r = mslink_arm(b->l);
	if (r < 0)
		b->lost = r;
	b->view.timeout_ns = r == 0 ? mslink_timeout_ns(b->l) : 0;
	return r < 0 ? r : 0;
}

int
msbatch_reopen(msbatch_t *b)
{
	int r;

	if (!b)
		return -EINVAL;
	r = mslink_reopen(b->l);
	if (r == 0)
		b->lost = 0;
	else if (b->lost == 0)
		b->lost = -ENETDOWN;
	return r;
}

/* ---- beginning and end --------------------------------------------------- */

const msbatch_view_t *
msbatch_view(const msbatch_t *b)
{
	return b ? &b->view : NULL;
}

/* Whether the batch has that socket already. */
static bool
has(const msbatch_t *b, const void *user, const void *s)
{
	const struct entry *e = get(b, (uint32_t)((uintptr_t)user - 1));

	return e && e->s == s;
}

int
msbatch_add(msbatch_t *b, utcp_sock_t *s, uint32_t mode)
{
	int id;

	if (!b || !s || mode > MSBATCH_ACCEPT || utcp_stack(s) != b->u ||
	    has(b, utcp_user(s), s))
		return -EINVAL;
	id = entry_new(b, s, TCP, mode);
	if (id < 0)
		return id;
	utcp_set_user(s, (void *)((uintptr_t)id + 1));
	queue_put(b, (uint32_t)id);
	return id;
}

int
msbatch_add_udp(msbatch_t *b, utcp_udp_t *s, uint32_t mode)
{
	int id;

	if (!b || !s || mode > MSBATCH_HOLD || utcp_udp_stack(s) != b->u ||
	    has(b, utcp_udp_user(s), s))
		return -EINVAL;
	id = entry_new(b, s, UDP, mode);
	if (id < 0)
		return id;
	utcp_udp_set_user(s, (void *)((uintptr_t)id + 1));
	queue_put(b, (uint32_t)id);
	return id;
}

int
msbatch_close(msbatch_t *b, uint32_t id)
{
	if (!b || !get(b, id))
		return -EINVAL;
	end_socket(b, id, false);
	return 0;
}

utcp_sock_t *
msbatch_sock(const msbatch_t *b, uint32_t id)
{
	const struct entry *e = b ? get(b, id) : NULL;

	return e && e->kind == TCP ? e->s : NULL;
}

utcp_udp_t *
msbatch_udp(const msbatch_t *b, uint32_t id)
{
	const struct entry *e = b ? get(b, id) : NULL;

	return e && e->kind == UDP ? e->s : NULL;
}

int
msbatch_create(msbatch_t **out, mslink_t *l, uint32_t arena_bytes,
	       uint32_t max_events)
{
	msbatch_t *b;

	if (out)
		*out = NULL;
	if (!out || !l || max_events > COMMANDS_MAX)
		return -EINVAL;
	b = calloc(1, sizeof *b);
	if (!b)
		return -ENOMEM;
	arena_bytes = arena_bytes ? arena_bytes : ARENA_BYTES;
	if (arena_bytes < ARENA_BYTES_MIN)
		arena_bytes = ARENA_BYTES_MIN;
	b->view.max_events = max_events ? max_events : EVENTS;
	if (b->view.max_events < EVENTS_MIN)
		b->view.max_events = EVENTS_MIN;
	b->l = l;
	b->u = mslink_stack(l);
	b->free = b->first = b->last = NONE;
	b->view.arena_bytes = arena_bytes;
	b->view.arena = b->arena = malloc(arena_bytes);
	if (!b->arena || room_for(b, MSBATCH_COMMANDS)) {
		msbatch_destroy(b);
		return -ENOMEM;
	}
	*out = b;
	return 0;
}

void
msbatch_destroy(msbatch_t *b)
{
	if (!b)
		return;
	for (uint32_t id = 0; id < b->num; id++)
		if (b->e[id].kind != FREE)
			end_socket(b, id, false);
	free(b->e);
	free(b->arena);
	free(b->events);
	free(b);
}
