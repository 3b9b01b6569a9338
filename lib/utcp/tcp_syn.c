/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_syn.c: a listener's connections before they are open (RFC 9293 section
 * 3.10.7.2, and SYN-RECEIVED of 3.10.7.4).
 *
 * A half open connection is a small struct, or nothing at all, but a number in
 * the SYN-ACK (tcp_syncookie.c), once there are too many of them. A socket is made
 * when the handshake is complete, or by Fast Open (tcp_fastopen.c).
 */
#include "ext.h"
#include "tcp_input.h"
#include "tcp_loss.h"
#include "tcp_output.h"
#include "tcp_syn.h"

#define SYNS_LEAST 16 /* half open ones of a listener, whatever its backlog */
#define STEPS_MAX 64  /* searched, if timeouts differ */

static struct utcp__syn *
syn_of(struct utcp__link *l)
{
	return CONTAINER(l, struct utcp__syn, link);
}

/* ---- the queue, its timer ---------------------------------------------- */

static uint64_t
timeout_ns(const struct utcp__syn *syn)
{
	const struct utcp__opts *o = syn->listener->opts;
	uint64_t most = (uint64_t)o->v[UTCP_OPT_RTO_MAX_NS];
	uint64_t ns = (uint64_t)o->v[UTCP_OPT_INITRTO_NS];
	unsigned int n = syn->retries > 7 ? 7 : syn->retries;

	ns <<= n;
	return ns > most ? most : ns;
}

/* A list for each number of retries, by time: all wait equally long there,
   unless listeners differ. */
static void
enqueue(utcp_t *u, struct utcp__syn *syn)
{
	struct utcp__link *list = &u->syns[syn->retries > 7 ? 7 : syn->retries];
	struct utcp__link *at = list->prev;
	unsigned int steps = 0;

	while (at != list && syn_of(at)->due_ns > syn->due_ns &&
	       steps++ < STEPS_MAX)
		at = at->prev;
	link_append(at->next, &syn->link);
	utcp__timer_at(u, &u->syn_timer, syn->due_ns);
}

static void
syn_unlink(struct utcp__syn *syn)
{
	link_remove(&syn->link);
	link_remove(&syn->of_listener);
	syn->listener->listen->num_syns--;
	syn->listener->u->num_syns--;
}

void
utcp__syn_drop(struct utcp__syn *syn)
{
	utcp_t *u = syn->listener->u;

	syn_unlink(syn);
	if (syn->ent.linked)
		utcp__unlink_ent(u, &syn->ent);
	utcp__ext_free(syn->ext);
	utcp__pool_put(u, UTCP__POOL_SYN, syn);
}

void
utcp__listen_end(utcp_sock_t *listener)
{
	struct utcp__link *list = &listener->listen->syns;

	while (!link_empty(list))
		utcp__syn_drop(
		    CONTAINER(list->next, struct utcp__syn, of_listener));
}

/* False: an extension wants it not; syn is gone. */
static bool
send_synack(struct utcp__syn *syn, bool ecn, uint8_t again)
{
	utcp_sock_t *l = syn->listener;
	utcp_t *u = l->u;
	struct utcp__synack a = { .key = &syn->ent.key,
				  .iss = syn->iss,
				  .irs = syn->irs,
				  .wnd = syn->wnd_said,
				  .ecn = ecn,
				  .again = again,
				  .ext = syn->ext };
	uint8_t cookie[8];

	a.opts.opts = (uint16_t)((syn->opts & ~TO_FASTOPEN) | TO_MSS);
	a.opts.mss = utcp__mss_offer(u, l->opts, a.key->family);
	a.opts.wscale = syn->wscale_said;
	a.opts.ts_val = utcp__ts_now(u, syn->ts_ofs);
	a.opts.ts_ecr = syn->ts_recent;
	if (syn->cookie_due) {
		utcp__fastopen_cookie(u, a.key, cookie);
		a.opts.opts |= TO_FASTOPEN;
		a.opts.exp_fastopen = syn->exp_fastopen;
		a.opts.cookie = cookie;
		a.opts.cookie_len = sizeof(cookie);
	}
	utcp__synack_send(l, &a);
	if (LIKELY(syn->ext == NULL) || syn->ext->doom == 0)
		return true;
	COUNT(u, EXT_ENDS);
	utcp__syn_drop(syn);
	return false;
}

void
utcp__synack_send(utcp_sock_t *l, const struct utcp__synack *a)
{
	struct utcp__bare synack = {
		.seq = a->iss,
		.ack = a->irs + 1,
		.wnd = a->wnd,
		/* RFC 3168 section 6.1.1 */
		.flags = TH_SYN | TH_ACK | (a->ecn ? TH_ECE : 0),
		.tos = (uint8_t)(OPT(l, DSCP) << 2),
		.ttl = (uint8_t)OPT(l, TTL),
		.opts = a->opts,
	};
	uint8_t more[40];

	if (UNLIKELY(a->ext != NULL) && !utcp__ext_synack(a, &synack, more))
		return;
	utcp__ctl_tcp(l->u, a->key, &synack);
}

static bool
accept_full(const utcp_sock_t *l)
{
	return l->listen->num_accept >= l->listen->backlog;
}

/* ---- the connection is made -------------------------------------------- */

void
utcp__syn_say(const utcp_sock_t *l, struct utcp__said *said)
{
	int scale = utcp__wscale_offer(l->opts);

	said->wnd = utcp__offer_window(l->opts);
	said->wscale = (uint8_t)(scale < 0 ? 0 : scale);
	said->offered = utcp__offer(l->opts);
}

utcp_sock_t *
utcp__syn_child(utcp_sock_t *l, const struct utcp__seg_in *seg,
		const struct utcp__said *said)
{
	const struct utcp__key *k = &seg->in->key;
	utcp_sock_t *s = utcp__sock_accepted(l, k);

	if (s == NULL) {
		COUNT(l->u, DROP_NOMEM);
		return NULL;
	}
	s->passive = true;
	s->iss = s->snd_una = s->snd_nxt = said->iss;
	s->irs = seg->seq;
	s->rcv_nxt = s->rcv_acked = seg->seq + 1;
	s->rcv_adv = s->rcv_nxt + said->wnd;
	s->ts_ofs = said->ts_ofs;
	s->rcv_wscale = said->wscale;
	s->snd_wnd = s->max_wnd = seg->wnd;
	s->snd_wl1 = seg->seq;
	s->snd_wl2 = said->iss;
	utcp__negotiate(s, seg, said->offered);
	return s;
}

/* The handshake is complete: the peer has acknowledged our SYN. */
void
utcp__syn_open(utcp_sock_t *l, utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	s->snd_una = s->snd_nxt = s->iss + 1;
	s->snd_wnd = seg->wnd << s->snd_wscale;
	if (s->snd_wnd > s->max_wnd)
		s->max_wnd = s->snd_wnd;
	utcp__established(s);
	utcp__sock_queue(l, s);
}

/* The SYN that syn was made of. */
static void
rebuild(const struct utcp__syn *syn, struct utcp__in *in,
	struct utcp__seg_in *seg)
{
	memset(in, 0, offsetof(struct utcp__in, part));
	in->key = syn->ent.key;
	seg->in = in;
	seg->seq = syn->irs;
	seg->ack = 0;
	seg->wnd = syn->wnd;
	seg->len = 0;
	seg->num_parts = 0;
	seg->flags = TH_SYN;
	if (syn->ecn)
		seg->flags |= TH_ECE | TH_CWR;
	seg->opts = (uint16_t)(syn->opts | TO_MSS);
	seg->mss = syn->mss;
	seg->wscale = syn->wscale;
	seg->ts_val = syn->ts_recent;
}

/* syn is done with, a socket takes its place. NULL: not now. ack: the last
   segment of the handshake, NULL: it is long gone. */
static utcp_sock_t *
complete(struct utcp__syn *syn, const struct utcp__seg_in *ack)
{
	utcp_sock_t *l = syn->listener, *s;
	utcp_t *u = l->u;
	struct utcp__in in;
	struct utcp__seg_in seg;
	const struct utcp__said said = { .iss = syn->iss,
					 .ts_ofs = syn->ts_ofs,
					 .wnd = syn->wnd_said,
					 .wscale = syn->wscale_said,
					 .offered = syn->opts };

	if (accept_full(l)) {
		/* The SYN-ACK goes on being sent, until there is room. */
		COUNT(u, DROP_ACCEPT);
		return NULL;
	}
	rebuild(syn, &in, &seg);
	s = utcp__syn_child(l, &seg, &said);
	if (s == NULL)
		return NULL;
	/* RFC 6298 section 3: of a SYN-ACK sent once the time is known. */
	if (syn->retries == 0 && ack != NULL && !syn->acked)
		utcp__rtt_sample(s, u->now_ns - syn->born_ns);
	/* RFC 5681 section 3.1: they count for the initial window. */
	s->total_retrans = syn->retries;
	if (UNLIKELY(syn->ext != NULL)) {
		utcp__ext_attach(s, syn->ext);
		syn->ext = NULL;
	}
	if (ack == NULL) {
		seg.wnd = syn->wnd_acked;
		ack = &seg;
	}
	utcp__syn_open(l, s, ack);
	utcp__syn_drop(syn);
	return s;
}

/* ---- time -------------------------------------------------------------- */

/* True: syn waits on, with a new due_ns. */
static bool
syn_due(struct utcp__syn *syn)
{
	utcp_sock_t *l = syn->listener;
	utcp_t *u = l->u;

	if (syn->acked) {
		/* It was deferred long enough without data. */
		if (complete(syn, NULL) != NULL)
			return false;
		syn->acked = false;
	}
	if (syn->retries >= OPT(l, SYNACK_RETRIES)) {
		utcp__syn_drop(syn);
		return false;
	}
	syn->retries++;
	/* RFC 3168 section 6.1.1.1: perhaps it was the ECE. */
	syn->ecn = false;
	if (!send_synack(syn, false, syn->retries))
		return false;
	syn->due_ns = u->now_ns + timeout_ns(syn);
	return true;
}

void
utcp__syn_timer(utcp_t *u)
{
	uint64_t next = UTCP_NEVER;

	for (unsigned int i = 0; i < 8; i++) {
		struct utcp__link *list = &u->syns[i];
		struct utcp__syn *syn;

		while (!link_empty(list)) {
			syn = syn_of(list->next);
			if (syn->due_ns > u->now_ns)
				break;
			if (syn_due(syn)) {
				link_remove(&syn->link);
				enqueue(u, syn);
			}
		}
		if (!link_empty(list) && syn_of(list->next)->due_ns < next)
			next = syn_of(list->next)->due_ns;
	}
	if (next != UTCP_NEVER)
		utcp__timer_at(u, &u->syn_timer, next);
}

/* ---- LISTEN ------------------------------------------------------------ */

static bool
wants_ecn(const utcp_sock_t *l, const struct utcp__seg_in *seg)
{
	uint16_t both = TH_ECE | TH_CWR;

	/* RFC 3168 section 6.1.1; with AE (RFC 9768) it is asked likewise. */
	return OPT(l, ECN) != 0 && (seg->flags & both) == both;
}

/* A half open connection of this SYN, and its SYN-ACK. */
static void
syn_new(utcp_sock_t *l, const struct utcp__seg_in *seg, uint32_t iss,
	struct utcp__exts *ext)
{
	utcp_t *u = l->u;
	struct utcp__syn *syn = utcp__pool_get(u, UTCP__POOL_SYN);
	struct utcp__said said;

	if (syn == NULL) {
		COUNT(u, DROP_NOMEM);
		utcp__ext_free(ext);
		return;
	}
	syn->ext = ext;
	syn->ent.kind = UTCP__SYN;
	syn->ent.key = seg->in->key;
	utcp__link_ent(u, &syn->ent);
	syn->listener = l;
	link_append(&l->listen->syns, &syn->of_listener);
	l->listen->num_syns++;
	u->num_syns++;
	syn->irs = seg->seq;
	syn->iss = iss;
	syn->ts_ofs = utcp__ts_offset(u, &syn->ent.key);
	utcp__syn_say(l, &said);
	syn->wnd_said = said.wnd;
	syn->wscale_said = said.wscale;
	syn->opts = (uint8_t)(seg->opts & said.offered);
	syn->mss = (seg->opts & TO_MSS) != 0
		       ? seg->mss
		       : utcp__default_mss(seg->in->key.family);
	syn->wnd = (uint16_t)seg->wnd;
	syn->wscale = seg->wscale;
	syn->ts_recent = (seg->opts & TO_TS) != 0 ? seg->ts_val : 0;
	syn->ecn = wants_ecn(l, seg);
	/* RFC 7413 section 4.1.2: who asks, or has a bad one, is given one. */
	syn->cookie_due = (seg->opts & TO_FASTOPEN) != 0 &&
			  OPT(l, FASTOPEN) != 0;
	syn->exp_fastopen = seg->exp_fastopen;
	syn->born_ns = u->now_ns;
	syn->due_ns = u->now_ns + timeout_ns(syn);
	link_init(&syn->link);
	enqueue(u, syn);
	(void)send_synack(syn, syn->ecn, 0);
}

/* RFC 9293 section 3.10.7.2, third: a SYN. */
void
utcp__listen_syn(utcp_sock_t *l, struct utcp__seg_in *seg, uint32_t iss)
{
	utcp_t *u = l->u;
	uint32_t most = l->listen->backlog;
	struct utcp__exts *ext = NULL;
	bool refused = false;

	if (accept_full(l)) {
		COUNT(u, DROP_ACCEPT);
		return;
	}
	/* What stands between user and stream has not agreed with the peer. */
	if (OPT(l, FASTOPEN) != 0 && !utcp__ext_stream(l) &&
	    utcp__fastopen_accept(l, seg, iss))
		return;
	if (most < SYNS_LEAST)
		most = SYNS_LEAST;
	if (l->listen->num_syns >= most || u->num_syns >= u->cfg.max_syns) {
		if (UNLIKELY(l->ext != NULL) && !utcp__ext_cookie_may(l))
			COUNT(u, DROP_SYN);
		else
			utcp__cookie_send(l, seg,
					  l->ext == NULL && wants_ecn(l, seg));
		return;
	}
	if (UNLIKELY(l->ext != NULL))
		ext = utcp__ext_syn(l, seg, &refused);
	if (!refused)
		syn_new(l, seg, iss, ext);
}

void
utcp__listen_input(utcp_sock_t *l, struct utcp__seg_in *seg)
{
	const struct utcp__key *k = &seg->in->key;
	utcp_t *u = l->u;

	/* first: a reset is for nothing that is here */
	if ((seg->flags & TH_RST) != 0) {
		COUNT(u, DROP_STATE);
		return;
	}
	if (seg->in->ttl < OPT(l, TTL_MIN)) {
		COUNT(u, DROP_STATE);
		return;
	}
	/* second: an ACK is for no connection that we know of, unless one that
	   we sent away with a cookie */
	if ((seg->flags & TH_ACK) != 0) {
		if ((seg->flags & TH_SYN) == 0 && utcp__cookie_lately(l)) {
			if (utcp__cookie_good(l, seg)) {
				utcp__cookie_take(l, seg);
				return;
			}
			if (seg->len > 0) {
				/* Perhaps what precedes it, with the cookie,
				   was lost, and comes yet. */
				COUNT(u, DROP_CLOSED);
				return;
			}
		}
		COUNT(u, DROP_CLOSED);
		utcp__tcp_refuse(u, seg);
		return;
	}
	/* third; fourth: nothing else is taken, nor, against the letter, a SYN
	   that ends at once: nobody sends it but to probe */
	if ((seg->flags & (TH_SYN | TH_FIN)) != TH_SYN) {
		COUNT(u, DROP_STATE);
		return;
	}
	if (k->lport_be == k->rport_be &&
	    memcmp(k->laddr, k->raddr, sizeof(k->laddr)) == 0) {
		/* In our name: the answer would come to ourselves. */
		COUNT(u, DROP_SOURCE);
		return;
	}
	utcp__listen_syn(l, seg, utcp__iss(u, k));
}

/* ---- SYN-RECEIVED ------------------------------------------------------ */

/* An ACK in answer to what does not fit (3.10.7.4, first; RFC 5961). */
static void
syn_ack_odd(struct utcp__syn *syn)
{
	utcp_t *u = syn->listener->u;
	unsigned int scale = syn->opts & TO_WSCALE ? syn->wscale_said : 0;
	const struct utcp__bare ack = {
		.seq = syn->iss + 1,
		.ack = syn->irs + 1,
		.wnd = (uint16_t)(syn->wnd_said >> scale),
		.flags = TH_ACK,
		.ttl = 64,
		.opts.opts = syn->opts & TO_TS,
		.opts.ts_val = utcp__ts_now(u, syn->ts_ofs),
		.opts.ts_ecr = syn->ts_recent,
	};

	if (utcp__odd_often(u, &syn->odd_ns) || !utcp__allow_challenge(u))
		return;
	COUNT(u, CHALLENGE_ACKS);
	utcp__ctl_tcp(u, &syn->ent.key, &ack);
}

/* Shows a segment to extensions. False: it is done with, and syn may be. */
static bool
ext_takes(struct utcp__syn *syn, const struct utcp__seg_in *seg)
{
	utcp_t *u = syn->listener->u;

	if (utcp__ext_in(syn->ext, seg))
		return true;
	if (syn->ext->doom != 0) {
		COUNT(u, EXT_ENDS);
		utcp__tcp_refuse(u, seg);
		utcp__ext_end_half(syn->ext, UTCP_EXT_RST_OUT, syn->ext->doom);
		utcp__syn_drop(syn);
	}
	return false;
}

/* First to fourth of 3.10.7.4: sequence number, RST, SYN. True: go on. */
static bool
syn_check(struct utcp__syn *syn, const struct utcp__seg_in *seg)
{
	utcp_t *u = syn->listener->u;
	uint32_t wnd = syn->wnd_said;
	uint32_t ofs = seg->seq - (syn->irs + 1);
	bool rst = (seg->flags & TH_RST) != 0;

	if ((seg->flags & (TH_SYN | TH_ACK | TH_RST)) == TH_SYN &&
	    seg->seq == syn->irs) {
		/* The SYN again: so is our answer. */
		if ((syn->opts & TO_TS) != 0 && (seg->opts & TO_TS) != 0 &&
		    seq_lt(syn->ts_recent, seg->ts_val))
			syn->ts_recent = seg->ts_val;
		if (UNLIKELY(syn->ext != NULL) && !ext_takes(syn, seg))
			return false;
		if (!utcp__odd_often(u, &syn->odd_ns))
			(void)send_synack(syn, syn->ecn, MAX(syn->retries, 1));
		return false;
	}
	if (!rst && (syn->opts & TO_TS) != 0 && (seg->flags & TH_SYN) == 0 &&
	    ((seg->opts & TO_TS) == 0 ||
	     seq_lt(seg->ts_val, syn->ts_recent))) { /* RFC 7323 5.3 R1 */
		COUNT(u, DROP_PAWS);
		if ((seg->opts & TO_TS) != 0)
			syn_ack_odd(syn);
		return false;
	}
	if (ofs >= wnd && ofs != 0) {
		COUNT(u, DROP_WINDOW);
		if (!rst)
			syn_ack_odd(syn);
		return false;
	}
	if (rst) {
		/* RFC 5961 section 3.2; passive: back to LISTEN */
		if (ofs == 0) {
			COUNT(u, RESETS_IN);
			utcp__ext_end_half(syn->ext, UTCP_EXT_RST_IN,
					   ECONNRESET);
			utcp__syn_drop(syn);
		} else {
			syn_ack_odd(syn);
		}
		return false;
	}
	if ((seg->flags & TH_SYN) != 0) {
		/* Fourth, of a passive OPEN: back to LISTEN. */
		COUNT(u, DROP_STATE);
		utcp__syn_drop(syn);
		return false;
	}
	return true;
}

void
utcp__syn_input(struct utcp__syn *syn, struct utcp__seg_in *seg)
{
	utcp_sock_t *l = syn->listener, *s;
	utcp_t *u = l->u;

	if (!syn_check(syn, seg))
		return;
	/* Fifth: the ACK field. */
	if ((seg->flags & TH_ACK) == 0) {
		COUNT(u, DROP_STATE);
		return;
	}
	if (seg->ack != syn->iss + 1) {
		if (utcp__cookie_lately(l) && utcp__cookie_good(l, seg)) {
			/* Its first SYN found no room and was answered with a
			   cookie, one that came again did. */
			utcp__syn_drop(syn);
			utcp__cookie_take(l, seg);
			return;
		}
		COUNT(u, DROP_ACK);
		utcp__tcp_refuse(u, seg);
		return;
	}
	if (OPT(l, DEFER_ACCEPT_NS) != 0 && seg->len == 0 &&
	    (seg->flags & TH_FIN) == 0 &&
	    u->now_ns - syn->born_ns < (uint64_t)OPT(l, DEFER_ACCEPT_NS)) {
		/* Not before there is something to read, or time is up. */
		if (!syn->acked) {
			syn->acked = true;
			syn->wnd_acked = (uint16_t)seg->wnd;
			syn->due_ns = syn->born_ns +
				      (uint64_t)OPT(l, DEFER_ACCEPT_NS);
			link_remove(&syn->link);
			enqueue(u, syn);
		}
		return;
	}
	if (UNLIKELY(syn->ext != NULL) && !ext_takes(syn, seg))
		return;
	s = complete(syn, seg);
	if (s == NULL)
		return;
	if (UNLIKELY(s->ext != NULL))
		s->ext->seen = true;
	utcp__tcp_segment(s, seg);
	if (UNLIKELY(s->ext != NULL))
		s->ext->seen = false;
}
