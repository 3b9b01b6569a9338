/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_timewait.c: TIME-WAIT, in a small struct instead of a socket, so many and
 * no more.
 */
#include "sock.h"
#include "tcp_output.h"
#include "tcp_syn.h"

#define STEPS_MAX 64	     /* searched, if timeouts differ */
#define REUSE_NS (1 * SEC)   /* the peer's timestamp clock has moved by then */
#define ISS_STEP (65535 + 2) /* beyond any window without scaling */

static struct utcp__tw *
tw_of(struct utcp__link *l)
{
	return CONTAINER(l, struct utcp__tw, link);
}

/* Into the list by time; all mostly wait equally long. */
static void
enqueue(utcp_t *u, struct utcp__tw *tw)
{
	struct utcp__link *at = u->timewaits.prev;
	unsigned int steps = 0;

	while (at != &u->timewaits && tw_of(at)->expires_ns > tw->expires_ns &&
	       steps++ < STEPS_MAX)
		at = at->prev;
	link_append(at->next, &tw->link);
	utcp__timer_at(u, &u->tw_timer, tw->expires_ns);
}

static uint64_t
wait_ns(const struct utcp__tw *tw)
{
	return 2 * tw->msl_ns;
}

void
utcp__timewait_drop(utcp_t *u, struct utcp__tw *tw)
{
	link_remove(&tw->link);
	if (tw->ent.linked)
		utcp__unlink_ent(u, &tw->ent);
	utcp__port_put(tw->port);
	utcp__pool_put(u, UTCP__POOL_TW, tw);
	u->num_timewaits--;
}

void
utcp__timewait_timer(utcp_t *u)
{
	while (!link_empty(&u->timewaits)) {
		struct utcp__tw *tw = tw_of(u->timewaits.next);

		if (tw->expires_ns > u->now_ns) {
			utcp__timer_at(u, &u->tw_timer, tw->expires_ns);
			return;
		}
		utcp__timewait_drop(u, tw);
	}
}

static void
send_ack(utcp_t *u, const struct utcp__tw *tw)
{
	const struct utcp__bare ack = {
		.seq = tw->snd_nxt,
		.ack = tw->rcv_nxt,
		.wnd = (uint16_t)tw->rcv_wnd,
		.flags = TH_ACK,
		.tos = tw->tos,
		.ttl = tw->ttl,
		.opts.opts = tw->ts ? TO_TS : 0,
		.opts.ts_val = utcp__ts_now(u, tw->ts_ofs),
		.opts.ts_ecr = tw->ts_recent,
	};

	utcp__ctl_tcp(u, &tw->ent.key, &ack);
}

/* What of s stays. */
static void
fill(struct utcp__tw *tw, utcp_sock_t *s)
{
	uint32_t wnd = utcp__rcv_window(s) >> s->rcv_wscale;

	tw->ent.key = s->ent.key;
	tw->ent.hash = s->ent.hash;
	tw->ent.kind = UTCP__TIMEWAIT;
	tw->snd_nxt = s->snd_nxt;
	tw->rcv_nxt = s->rcv_nxt;
	tw->rcv_wnd = wnd > 65535 ? 65535 : wnd;
	tw->ts = (s->negotiated & UTCP_GOT_TIMESTAMPS) != 0;
	tw->ts_recent = s->ts_recent;
	tw->ts_seen_ns = s->ts_recent_ns;
	tw->ts_ofs = s->ts_ofs;
	tw->tos = (uint8_t)(OPT(s, DSCP) << 2);
	tw->ttl = (uint8_t)OPT(s, TTL);
	tw->msl_ns = (uint64_t)OPT(s, MSL_NS);
	link_init(&tw->link);
}

void
utcp__timewait_enter(utcp_sock_t *s)
{
	utcp_t *u = s->u;
	bool ack = s->ack_now || s->rcv_acked != s->rcv_nxt;
	struct utcp__tw *tw, brief = { 0 };

	COUNT(u, TIMEWAITS);
	tw = NULL;
	if (OPT(s, MSL_NS) != 0 && s->ent.linked && s->port != NULL) {
		if (u->num_timewaits >= u->cfg.max_timewait &&
		    !link_empty(&u->timewaits)) {
			COUNT(u, DROP_TIMEWAIT);
			utcp__timewait_drop(u, tw_of(u->timewaits.next));
		}
		tw = utcp__pool_get(u, UTCP__POOL_TW);
		if (tw == NULL)
			COUNT(u, DROP_TIMEWAIT);
	}
	if (tw == NULL) {
		fill(&brief, s);
		if (ack)
			send_ack(u, &brief);
		utcp__sock_dead(s, 0);
		return;
	}
	fill(tw, s);
	tw->port = utcp__port_get(s->port);
	utcp__replace_ent(u, &s->ent, &tw->ent);
	u->num_timewaits++;
	tw->expires_ns = u->now_ns + wait_ns(tw);
	enqueue(u, tw);
	if (ack)
		send_ack(u, tw);
	utcp__sock_dead(s, 0);
}

static void
restart(utcp_t *u, struct utcp__tw *tw)
{
	link_remove(&tw->link);
	tw->expires_ns = u->now_ns + wait_ns(tw);
	enqueue(u, tw);
}

/*
 * A SYN: a new connection, if it is surely none of the old one's segments: by
 * its sequence number (RFC 1122 section 4.2.2.13) or timestamp (RFC 6191
 * section 2). True: the TIME-WAIT is gone.
 */
static bool
reopen(utcp_t *u, struct utcp__tw *tw, struct utcp__seg_in *seg)
{
	bool ts = tw->ts && (seg->opts & TO_TS) != 0;
	utcp_sock_t *listener;
	uint32_t iss;

	if (ts && seq_lt(seg->ts_val, tw->ts_recent))
		return false;
	if (!seq_lt(tw->rcv_nxt, seg->seq) &&
	    !(ts && seq_lt(tw->ts_recent, seg->ts_val)))
		return false;
	listener = utcp__find_listener(u, &seg->in->key);
	if (listener == NULL)
		return false;
	iss = tw->snd_nxt + ISS_STEP;
	COUNT(u, TIMEWAIT_REUSED);
	utcp__timewait_drop(u, tw);
	utcp__listen_syn(listener, seg, iss);
	return true;
}

void
utcp__timewait_input(struct utcp__tw *tw, struct utcp__seg_in *seg)
{
	utcp_t *u = tw->port->u;
	bool old = tw->ts && (seg->opts & TO_TS) != 0 &&
		   seq_lt(seg->ts_val, tw->ts_recent);

	/* RFC 1337 section 3, F1: no reset ends it early. */
	if ((seg->flags & TH_RST) != 0) {
		COUNT(u, DROP_STATE);
		return;
	}
	if ((seg->flags & TH_SYN) != 0) {
		if ((seg->flags & (TH_ACK | TH_FIN)) == 0 && reopen(u, tw, seg))
			return;
		/* RFC 5961 section 4.2 */
		if (utcp__allow_challenge(u)) {
			COUNT(u, CHALLENGE_ACKS);
			send_ack(u, tw);
		}
		return;
	}
	if ((seg->flags & TH_ACK) == 0) {
		COUNT(u, DROP_STATE);
		return;
	}
	if (!old && (seg->flags & TH_FIN) != 0 &&
	    seg->seq + seg->len + 1 == tw->rcv_nxt) {
		/* RFC 9293 section 3.10.7.4, eighth: the FIN again; the two
		   MSL begin anew. */
		restart(u, tw);
		send_ack(u, tw);
		return;
	}
	if (!old && seg->len == 0 && (seg->flags & TH_FIN) == 0 &&
	    seg->seq == tw->rcv_nxt) {
		if (tw->ts && (seg->opts & TO_TS) != 0) {
			tw->ts_recent = seg->ts_val;
			tw->ts_seen_ns = u->now_ns;
		}
		return; /* an acknowledgement: there is nothing to say to it */
	}
	COUNT(u, DROP_STATE);
	if (utcp__allow_challenge(u))
		send_ack(u, tw);
}

bool
utcp__timewait_reuse(utcp_t *u, struct utcp__tw *tw, uint32_t *iss)
{
	/* RFC 6191 section 2, from the other side: our timestamps, and with
	   them the peer's answers, are beyond those of the old connection. */
	if (!tw->ts || u->now_ns - tw->ts_seen_ns <= REUSE_NS)
		return false;
	*iss = tw->snd_nxt + ISS_STEP;
	COUNT(u, TIMEWAIT_REUSED);
	utcp__timewait_drop(u, tw);
	return true;
}
