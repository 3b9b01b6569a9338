/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sock_busy.c: what a connection has only while something is under way: a block
 * from a pool, which goes back when the connection rests. So a million idle ones
 * cost less than a kilobyte each.
 */
#include "ext.h"
#include "tcp_loss.h"

/* ---- at rest and roused ------------------------------------------------ */

/* So many may keep their block though they rest: for connections in use the
   memory is not worth the work. */
#if defined(UTCP_DEBUG)
#define BUSY_KEPT 0
#else
#define BUSY_KEPT 512
#endif

/* Received much, and nothing for so long: at rest. So many of those are looked
   at each time. */
#define LINGER_NS (10 * SEC)
#define LINGERERS 8

/* Where a new stretch of time begins, of LINGER_NS or more. */
static void
mark(utcp_sock_t *s)
{
	uint32_t now_ms = (uint32_t)(s->u->now_ns / MSEC);

	if (now_ms - s->rcv_mark_ms > LINGER_NS / MSEC) {
		s->rcv_mark_ms = now_ms;
		s->rcv_mark = (uint32_t)s->bytes_received;
	}
}

bool
utcp__rouse(utcp_sock_t *s)
{
	utcp_t *u = s->u;
	struct utcp__busy *b = s->busy;

	if (b == &u->rest) {
		b = utcp__pool_get(u, UTCP__POOL_BUSY);
		if (!b)
			return false;
		b->s = s;
		link_init(&b->roused);
		link_init(&b->held);
		link_init(&b->segs);
		link_init(&b->sent);
		link_init(&b->lost);
		link_init(&b->rcvq);
		link_init(&b->reass);
		s->busy = b;
		mark(s);
	}
	if (link_empty(&b->roused))
		link_append(&u->roused, &b->roused);
	return true;
}

static bool
rests(const utcp_sock_t *s)
{
	const struct utcp__busy *b = s->busy;

	return link_empty(&b->segs) && !b->sndq && link_empty(&b->rcvq) &&
	       !utcp__ext_raw(s) && link_empty(&b->reass) &&
	       s->recovery == REC_OPEN && !s->undo_armed && !s->frto &&
	       !s->fin_ofo && !s->num_sacks && b->dsack.start == b->dsack.end &&
	       s->state != UTCP_SYN_SENT && s->state != UTCP_SYN_RECEIVED &&
	       !s->persist && b->pace_next_ns <= s->u->now_ns;
}

void
utcp__rest(utcp_sock_t *s)
{
	struct utcp__busy *b = s->busy;
	utcp_t *u = s->u;

	if (b == &u->rest)
		return;
	UTCP_ASSERT(link_empty(&b->segs) && !b->sndq && link_empty(&b->rcvq) &&
		    link_empty(&b->reass));
	link_remove(&b->held);
	link_remove(&b->roused);
	if (b->sacks)
		utcp__free(u, b->sacks, 4 * sizeof(*b->sacks));
	utcp__segs_drop(s);
	s->num_sacks = 0;
	s->busy = &u->rest;
	utcp__pool_put(u, UTCP__POOL_BUSY, b);
}

#if defined(UTCP_DEBUG)
/* Nobody wrote to what all idle ones share. */
static void
check_rest(const utcp_t *u)
{
	const struct utcp__busy *b = &u->rest;
	struct utcp__busy is = *b;

	assert(link_empty(&b->roused) && link_empty(&b->held) &&
	       link_empty(&b->segs) && link_empty(&b->sent) &&
	       link_empty(&b->rcvq) && link_empty(&b->reass));
	memset(&is.roused, 0, sizeof(is.roused));
	memset(&is.held, 0, sizeof(is.held));
	memset(&is.segs, 0, sizeof(is.segs));
	memset(&is.sent, 0, sizeof(is.sent));
	memset(&is.lost, 0, sizeof(is.lost));
	memset(&is.rcvq, 0, sizeof(is.rcvq));
	memset(&is.reass, 0, sizeof(is.reass));
	for (size_t i = 0; i < sizeof(is); i++)
		assert(((const uint8_t *)&is)[i] == 0);
}
#endif

/* It rests, but has received much lately: what was learnt of its rate would be
   lost. It stays in the list, and is looked at again. */
static bool
lingers(const utcp_sock_t *s)
{
	return (uint32_t)s->bytes_received - s->rcv_mark > s->rcvbuf / 4 &&
	       s->u->now_ns - s->last_rcv_ns < LINGER_NS;
}

void
utcp__settle(utcp_t *u)
{
	bool many = u->pools[UTCP__POOL_BUSY].used > BUSY_KEPT;
	unsigned int again = 0;

#if defined(UTCP_DEBUG)
	check_rest(u);
#endif
	while (!link_empty(&u->roused) && again < LINGERERS) {
		struct utcp__busy *b = CONTAINER(u->roused.next,
						 struct utcp__busy, roused);

		link_remove(&b->roused);
		if (!many || !rests(b->s))
			continue;
		if (lingers(b->s)) {
			link_append(&u->roused, &b->roused);
			again++;
		} else {
			utcp__rest(b->s);
		}
	}
}
