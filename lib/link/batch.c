/* SPDX-License-Identifier: BSD-2-Clause */
/* batch.c: many sockets by one call: their numbers, the turn. */
#include <errno.h>
#include <stdlib.h>

#include "batch_internal.h"

#define ARENA_BYTES (1u << 20)
#define ARENA_BYTES_MIN (128u << 10)
_Static_assert(MSBATCH__DGRAM_BYTES <= ARENA_BYTES_MIN, "");
#define EVENTS 1024u
#define EVENTS_MIN (2 * UTCP_DGRAMS_MAX)
#define COMMANDS_MAX (1u << 24) /* and events */

/* ---- numbers ------------------------------------------------------------- */

int
msbatch__entry_new(msbatch_t *b, void *s, enum msbatch__kind kind,
		   uint32_t mode)
{
	uint32_t id = b->free, cap;
	struct msbatch__entry *e;

	if (id == MSBATCH__NONE && b->num == b->cap) {
		cap = b->cap ? 2 * b->cap : 64;
		e = cap <= INT32_MAX ? realloc(b->e, cap * sizeof *e) : NULL;
		if (!e)
			return -ENOMEM;
		b->e = e;
		b->cap = cap;
	}
	if (id == MSBATCH__NONE) {
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
	e->next = MSBATCH__NONE;
	return (int)id;
}

/* One that is queued is free when the queue comes to it. */
static void
entry_free(msbatch_t *b, uint32_t id)
{
	struct msbatch__entry *e = &b->e[id];

	e->kind = FREE;
	e->s = NULL;
	if (!e->queued) {
		e->next = b->free;
		b->free = id;
	}
}

void
msbatch__queue_put(msbatch_t *b, uint32_t id)
{
	struct msbatch__entry *e = &b->e[id];

	if (e->queued)
		return;
	e->queued = true;
	e->next = MSBATCH__NONE;
	if (b->first == MSBATCH__NONE)
		b->first = id;
	else
		b->e[b->last].next = id;
	b->last = id;
}

uint32_t
msbatch__queue_get(msbatch_t *b)
{
	uint32_t id = b->first;
	struct msbatch__entry *e = &b->e[id];

	b->first = e->next;
	e->queued = false;
	if (e->kind == FREE)
		entry_free(b, id);
	return id;
}

void
msbatch__end_socket(msbatch_t *b, uint32_t id, bool abort)
{
	struct msbatch__entry *e = &b->e[id];

	if (e->kind == UDP)
		utcp_udp_close(e->s);
	else if (abort)
		utcp_abort(e->s);
	else
		utcp_close(e->s);
	entry_free(b, id);
}

/* ---- the turn ------------------------------------------------------------ */

/* Room for what a turn with n commands may tell. */
static int
room_for(msbatch_t *b, unsigned int n)
{
	uint32_t cap = b->view.max_events + n;
	msbatch_event_t *ev;

	if (cap <= b->events_cap)
		return 0;
	ev = realloc(b->events, cap * sizeof *ev);
	if (!ev)
		return -ENOMEM;
	b->view.events = b->events = ev;
	b->events_cap = cap;
	return 0;
}

static bool
has_nothing(const msbatch_t *b)
{
	return b->view.num_events == 0 && b->first == MSBATCH__NONE &&
	       b->view.error == 0;
}

/* For frames that are near, instead of sleeping. */
static void
look_on(msbatch_t *b)
{
	int r;

	while (has_nothing(b) && mslink_near(b->l)) {
		r = mslink_flush(b->l);
		if (r >= 0)
			r = mslink_poll(b->l);
		b->view.error = b->lost = r < 0 ? r : 0;
		msbatch__serve_new(b);
	}
}

static void
may_sleep(msbatch_t *b, uint32_t flags)
{
	int r;

	b->view.timeout_ns = 0;
	if (!(flags & MSBATCH_SLEEP))
		return;
	look_on(b);
	if (!has_nothing(b))
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
	msbatch__commands(b, cmds, n, data, len);
	b->view.num_answers = b->view.num_events;
	b->limit = b->view.num_answers + b->view.max_events;
	r = b->lost ? b->lost : mslink_flush(b->l);
	if (r >= 0)
		r = mslink_poll(b->l);
	b->view.error = b->lost = r < 0 ? r : 0;
	msbatch__serve_queued(b);
	msbatch__serve_new(b);
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
	const struct msbatch__entry *e = msbatch__get(
	    b, (uint32_t)((uintptr_t)user - 1));

	return e && e->s == s;
}

int
msbatch_add(msbatch_t *b, utcp_sock_t *s, uint32_t mode)
{
	int id;

	if (!b || !s || mode > MSBATCH_ACCEPT || utcp_stack(s) != b->u ||
	    has(b, utcp_user(s), s))
		return -EINVAL;
	id = msbatch__entry_new(b, s, TCP, mode);
	if (id < 0)
		return id;
	utcp_set_user(s, (void *)((uintptr_t)id + 1));
	msbatch__queue_put(b, (uint32_t)id);
	return id;
}

int
msbatch_add_udp(msbatch_t *b, utcp_udp_t *s, uint32_t mode)
{
	int id;

	if (!b || !s || mode > MSBATCH_HOLD || utcp_udp_stack(s) != b->u ||
	    has(b, utcp_udp_user(s), s))
		return -EINVAL;
	id = msbatch__entry_new(b, s, UDP, mode);
	if (id < 0)
		return id;
	utcp_udp_set_user(s, (void *)((uintptr_t)id + 1));
	msbatch__queue_put(b, (uint32_t)id);
	return id;
}

int
msbatch_close(msbatch_t *b, uint32_t id)
{
	if (!b || !msbatch__get(b, id))
		return -EINVAL;
	msbatch__end_socket(b, id, false);
	return 0;
}

utcp_sock_t *
msbatch_sock(const msbatch_t *b, uint32_t id)
{
	const struct msbatch__entry *e = b ? msbatch__get(b, id) : NULL;

	return e && e->kind == TCP ? e->s : NULL;
}

utcp_udp_t *
msbatch_udp(const msbatch_t *b, uint32_t id)
{
	const struct msbatch__entry *e = b ? msbatch__get(b, id) : NULL;

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
	b->free = b->first = b->last = MSBATCH__NONE;
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
			msbatch__end_socket(b, id, false);
	free(b->e);
	free(b->arena);
	free(b->events);
	free(b);
}
