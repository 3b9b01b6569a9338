/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_input.c: a segment arrives (RFC 9293 section 3.10.7, its order kept).
 *
 *	3.10.7.1 CLOSED		utcp__tcp_refuse
 *	3.10.7.2 LISTEN		tcp_syn.c
 *	3.10.7.3 SYN-SENT	tcp_open.c
 *	3.10.7.4 the others	here: sequence number, RST, SYN, ACK; data and
 *				FIN in tcp_data.c; TIME-WAIT in tcp_timewait.c
 */
#include "ext.h"
#include "tcp_input.h"
#include "tcp_loss.h"
#include "tcp_syn.h"

#define PAWS_IDLE_NS (24ull * 86400 * SEC) /* RFC 7323 section 5.5 */
#define ODD_NS (500 * MSEC) /* RFC 5961 section 7: 10 ACKs in 5 s */
#define ODD_BURST 10

void
utcp__tcp_input(utcp_t *u, struct utcp__in *in)
{
	struct utcp__seg_in seg;
	struct utcp__ent *e;
	utcp_sock_t *listener;

	if (utcp__tcp_parse(&seg, in) < 0) {
		COUNT(u, DROP_HEADER);
		return;
	}
	memcpy(&in->key.rport_be, in->l4, 2);
	memcpy(&in->key.lport_be, in->l4 + 2, 2);
	e = utcp__find(u, &in->key);
	if (LIKELY(e != NULL)) {
		if (LIKELY(e->kind == UTCP__CONN))
			utcp__tcp_segment(CONTAINER(e, utcp_sock_t, ent), &seg);
		else if (e->kind == UTCP__SYN)
			utcp__syn_input(CONTAINER(e, struct utcp__syn, ent),
					&seg);
		else
			utcp__timewait_input(CONTAINER(e, struct utcp__tw, ent),
					     &seg);
		return;
	}
	listener = utcp__find_listener(u, &in->key);
	if (listener != NULL) {
		utcp__listen_input(listener, &seg);
		return;
	}
	COUNT(u, DROP_CLOSED);
	utcp__tcp_refuse(u, &seg);
}

void
utcp__tcp_refuse(utcp_t *u, const struct utcp__seg_in *seg)
{
	struct utcp__bare rst = { .flags = TH_RST, .ttl = 64 };

	/* Section 3.5.2: a reset answers no reset. */
	if ((seg->flags & TH_RST) != 0 || !utcp__allow_answer(u))
		return;
	if ((seg->flags & TH_ACK) != 0) {
		rst.seq = seg->ack;
	} else {
		rst.flags |= TH_ACK;
		rst.ack = seg->seq + seg->len + ((seg->flags & TH_SYN) != 0) +
			  ((seg->flags & TH_FIN) != 0);
	}
	if (utcp__ctl_tcp(u, &seg->in->key, &rst) == 0)
		COUNT(u, RESETS_OUT);
}

bool
utcp__odd_often(utcp_t *u, uint64_t *whole_ns)
{
	if (*whole_ns < u->now_ns)
		*whole_ns = u->now_ns;
	if (*whole_ns - u->now_ns > (ODD_BURST - 1) * ODD_NS) {
		COUNT(u, DROP_LIMIT);
		return true;
	}
	*whole_ns += ODD_NS;
	return false;
}

/* RFC 5961: an ACK of what we have, rate limited. */
static void
challenge(utcp_sock_t *s)
{
	/* RFC 5961 section 7: limited for the connection, and for the stack,
	   so that nobody can have us work, or count: the stack's limit tells
	   nothing of a connection whose own comes first. */
	if (utcp__odd_often(s->u, &s->challenge_ns) ||
	    !utcp__allow_challenge(s->u))
		return;
	COUNT(s->u, CHALLENGE_ACKS);
	utcp__ack_soon(s);
}

void
utcp__ack_odd(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	/* Data is no answer to an ACK of ours, so no loop can be of it. */
	if ((seg->len > 0 && (seg->flags & TH_SYN) == 0) ||
	    !utcp__odd_often(s->u, &s->challenge_ns))
		utcp__ack_soon(s);
}

/* RFC 7323 section 5.3, R1 and R3. True: go on. */
static bool
check_timestamp(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	utcp_t *u = s->u;

	if ((seg->opts & TO_TS) == 0) {
		/* Section 3.2: a segment without them is dropped, silently; a
		   reset may come without. */
		if ((seg->flags & TH_RST) != 0)
			return true;
		COUNT(u, DROP_PAWS);
		return false;
	}
	if (seq_lt(seg->ts_val, s->ts_recent)) {
		/* Section 5.5: what is known is outdated. */
		if (u->now_ns - s->ts_recent_ns > PAWS_IDLE_NS) {
			s->ts_recent = seg->ts_val;
			s->ts_recent_ns = u->now_ns;
			return true;
		}
		/* Section 5.2: resets are not tested. */
		if ((seg->flags & TH_RST) != 0)
			return true;
		COUNT(u, DROP_PAWS);
		if (seg->len > 0 && seq_lt(seg->seq, s->rcv_nxt)) {
			uint32_t end = seg->seq + seg->len;

			if (seq_lt(s->rcv_nxt, end))
				end = s->rcv_nxt;
			utcp__dsack(s, seg->seq, end);
		}
		utcp__ack_odd(s, seg);
		return false;
	}
	return true;
}

static inline void
update_timestamp(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	/* RFC 7323 section 4.3 (2), Last.ACK.sent being rcv_acked */
	if ((seg->opts & TO_TS) != 0 && seq_leq(s->ts_recent, seg->ts_val) &&
	    seq_leq(seg->seq, s->rcv_acked)) {
		s->ts_recent = seg->ts_val;
		s->ts_recent_ns = s->u->now_ns;
	}
}

/*
 * Section 3.10.7.4, first. More is let through than its table says, as section
 * 3.10.7.4 itself wants it of a zero window, and as RFC 9293's segments are
 * idealised: what begins at the right edge, or ends where our last ACK stood,
 * may still acknowledge; its data is cut off in tcp_data.c.
 */
static bool
check_sequence(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	uint32_t end = seg->seq + seg->len;

	end += (seg->flags & TH_SYN) != 0;
	end += (seg->flags & TH_FIN) != 0;
	if (LIKELY(seq_leq(s->rcv_acked, end) &&
		   seq_leq(seg->seq, s->rcv_nxt + utcp__offered(s))))
		return true;
	if ((seg->flags & TH_RST) != 0) {
		COUNT(s->u, DROP_WINDOW);
		return false;
	}
	/* RFC 5961 section 4: any SYN is for check_syn. */
	if ((seg->flags & TH_SYN) != 0)
		return true;
	COUNT(s->u, DROP_WINDOW);
	if (seg->len > 0 && seq_lt(seg->seq, s->rcv_nxt)) {
		utcp__dsack(s, seg->seq,
			    seq_lt(s->rcv_nxt, seg->seq + seg->len)
				? s->rcv_nxt
				: seg->seq + seg->len);
	}
	/* RFC 1122 section 4.2.3.6: a keepalive, or a zero window's probe, is
	   always answered. Two ends cannot loop by it: when they disagree so
	   far, the ACK field is of what was never sent. */
	if (seg->len == 0 && seg->seq + 1 == s->rcv_nxt &&
	    (seg->flags & TH_ACK) != 0 && seq_leq(seg->ack, s->snd_nxt))
		utcp__ack_soon(s);
	else
		utcp__ack_odd(s, seg);
	return false;
}

/* Second: the RST bit (RFC 5961 section 3.2). */
static void
take_reset(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	utcp_t *u = s->u;
	int error = ECONNRESET;

	if (seg->seq != s->rcv_nxt) {
		if (seq_lt(s->rcv_nxt, seg->seq) &&
		    seq_lt(seg->seq, s->rcv_nxt + utcp__offered(s)))
			challenge(s);
		else
			COUNT(u, DROP_WINDOW);
		return;
	}
	COUNT(u, RESETS_IN);
	if (s->state == UTCP_SYN_RECEIVED)
		error = s->passive ? ECONNRESET : ECONNREFUSED;
	else if (s->state == UTCP_CLOSE_WAIT)
		error = EPIPE;
	utcp__sock_reset(s, error);
}

/* Fourth: the SYN bit. True: go on, as if there was none. */
static bool
take_syn(utcp_sock_t *s, struct utcp__seg_in *seg)
{
	if (s->state == UTCP_SYN_RECEIVED && seg->seq == s->irs) {
		/* The other side's half of a simultaneous open; its SYN-ACK
		   acknowledges ours. */
		if ((seg->flags & TH_ACK) != 0 && seg->ack == s->snd_nxt) {
			seg->flags &= (uint16_t)~TH_SYN;
			seg->seq++;
			/* The SYN is one we had; perhaps ours has not come. */
			utcp__dsack(s, s->irs, s->rcv_nxt);
			utcp__ack_soon(s);
			return true;
		}
		if ((seg->flags & TH_ACK) == 0) {
			/* The SYN again: so our SYN-ACK was lost. */
			if (!utcp__odd_often(s->u, &s->challenge_ns)) {
				s->syn_owed = true;
				utcp__want_output(s);
			}
			return false;
		}
	}
	/* The peer's SYN again: extensions may have something to learn. */
	if (UNLIKELY(s->ext != NULL) && seg->seq == s->irs)
		(void)utcp__ext_in(s->ext, seg);
	/* RFC 5961 section 4.2: whatever its sequence number. */
	challenge(s);
	return false;
}

/* Whether the FIN that we sent is acknowledged. */
static inline bool
fin_acked(const utcp_sock_t *s)
{
	return s->fin_sent && s->snd_una == s->snd_nxt;
}

/* Takes the window (section 3.10.7.4, fifth, ESTABLISHED). True: it changed. */
static inline bool
update_window(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	uint32_t wnd, old;

	/* With a new acknowledgement even of an older segment: else SND.UNA
	   would move, and the right edge with it, which nobody offered. */
	if (!seq_lt(s->snd_wl1, seg->seq) && !seq_lt(s->snd_una, seg->ack) &&
	    (s->snd_wl1 != seg->seq || !seq_leq(s->snd_wl2, seg->ack)))
		return false;
	s->snd_wl1 = seg->seq;
	s->snd_wl2 = seg->ack;
	wnd = seg->wnd << s->snd_wscale;
	if (LIKELY(wnd == s->snd_wnd))
		return false;
	old = s->snd_wnd;
	s->snd_wnd = wnd;
	if (wnd > s->max_wnd)
		s->max_wnd = wnd;
	if (wnd > old)
		utcp__want_output(s);
	return true;
}

/* States that an acknowledgement of our FIN ends. False: the socket is gone. */
static bool
advance_state(utcp_sock_t *s)
{
	if (LIKELY(!fin_acked(s)))
		return true;
	switch (s->state) {
	case UTCP_FIN_WAIT_1:
		utcp__set_state(s, UTCP_FIN_WAIT_2);
		break;
	case UTCP_CLOSING:
		utcp__timewait_enter(s);
		return false;
	case UTCP_LAST_ACK:
		utcp__sock_dead(s, 0);
		return false;
	default:
		break;
	}
	return true;
}

/* Fifth, SYN-RECEIVED. False: not for us, answered. */
static bool
take_ack_syn_received(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	if (!seq_lt(s->snd_una, seg->ack) || seq_lt(s->snd_nxt, seg->ack)) {
		COUNT(s->u, DROP_ACK);
		utcp__tcp_refuse(s->u, seg);
		return false;
	}
	s->snd_wnd = seg->wnd << s->snd_wscale;
	s->snd_wl1 = seg->seq;
	s->snd_wl2 = seg->ack;
	if (s->snd_wnd > s->max_wnd)
		s->max_wnd = s->snd_wnd;
	/* What this tells of data sent before is for it already. */
	if (s->cc_mod == NULL)
		utcp__cc_start(s, s->opts->cc);
	return true;
}

/* An ACK that newer ones overtook: what it says of segments beyond them is news
   still (RFC 2018 section 5). Blocks below are history, no duplicates. */
static void
take_old_sacks(utcp_sock_t *s, struct utcp__seg_in *seg)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < seg->num_sacks; i++)
		if (!seq_lt(seg->sacks[i].start, s->snd_una))
			seg->sacks[n++] = seg->sacks[i];
	seg->num_sacks = (uint8_t)n;
	if (n == 0 || (s->negotiated & UTCP_GOT_SACK) == 0)
		return;
	seg->ack = s->snd_una;
	utcp__tcp_ack(s, seg, false, true);
}

/* Fifth: the ACK field. False: the segment, or the socket, is done with. */
static bool
take_ack(utcp_sock_t *s, struct utcp__seg_in *seg)
{
	utcp_t *u = s->u;
	bool wnd, more;

	if ((seg->flags & TH_ACK) == 0) {
		COUNT(u, DROP_STATE);
		return false;
	}
	if (s->state == UTCP_SYN_RECEIVED && !take_ack_syn_received(s, seg))
		return false;
	if (seq_lt(s->snd_nxt, seg->ack)) {
		/* never sent: an ACK, and drop it */
		COUNT(u, DROP_ACK);
		challenge(s);
		return false;
	}
	if (seq_lt(seg->ack, s->snd_una)) {
		/* RFC 5961 section 5.2: older than any window could be */
		if (seq_lt(seg->ack, s->snd_una - s->max_wnd)) {
			COUNT(u, DROP_ACK);
			challenge(s);
			return false;
		}
		take_old_sacks(s, seg);
		return true; /* its data is as good as any */
	}
	wnd = update_window(s, seg);
	more = seg->len > 0 || (seg->flags & TH_FIN) != 0;
	utcp__tcp_ack(s, seg, wnd, more);
	if (s->state == UTCP_SYN_RECEIVED)
		utcp__established(s);
	return advance_state(s);
}

/* RFC 3168 section 6.1.3, the receiver's part. */
static inline void
take_ecn(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	if ((seg->flags & TH_CWR) != 0 && s->ece_owed) {
		s->ece_owed = false;
		if (seg->len > 0)
			utcp__ack_soon(s);
	}
	s->rcv_ecn = seg->in->tos & 3;
	if (UNLIKELY(s->rcv_ecn == 3)) {
		/* The sender is to learn it soon: at once, the first time. */
		if (!s->ece_owed && seg->len > 0)
			utcp__ack_soon(s);
		s->ece_owed = true;
	}
}

static inline void
note_segment(utcp_sock_t *s)
{
	s->segs_in++;
	s->last_rcv_ns = s->u->now_ns;
	if (UNLIKELY(s->probes != 0 || s->keep_probing)) {
		s->probes = 0;
		s->keep_probing = false;
		utcp__keep_restart(s);
	}
}

/*
 * Header prediction: the next data, or a plain acknowledgement, of an open
 * connection. It passes all that the slow way checks. True: done.
 */
static inline bool
fast_path(utcp_sock_t *s, struct utcp__seg_in *seg)
{
	uint16_t ts = s->negotiated & UTCP_GOT_TIMESTAMPS ? TO_TS : 0;
	bool wnd;

	if ((seg->flags & ~TH_PSH) != TH_ACK || seg->seq != s->rcv_nxt ||
	    s->state != UTCP_ESTABLISHED || seg->opts != ts || s->ext ||
	    seg->len > utcp__offered(s) || seq_lt(seg->ack, s->snd_una) ||
	    seq_lt(s->snd_nxt, seg->ack) || !link_empty(&s->busy->reass) ||
	    s->fin_ofo || s->orphan || (seg->in->tos & 3) == 3)
		return false;
	if (ts != 0) {
		if (seq_lt(seg->ts_val, s->ts_recent))
			return false;
		update_timestamp(s, seg);
	}
	note_segment(s);
	s->rcv_ecn = seg->in->tos & 3;
	wnd = update_window(s, seg);
	if (seg->len == 0 || wnd || seg->ack != s->snd_una)
		utcp__tcp_ack(s, seg, wnd, seg->len > 0);
	if (seg->len > 0)
		utcp__tcp_data_fast(s, seg);
	return true;
}

void
utcp__tcp_segment(utcp_sock_t *s, struct utcp__seg_in *seg)
{
	utcp_t *u = s->u;

	if (!utcp__rouse(s)) {
		COUNT(s->u, DROP_NOMEM);
		return;
	}
	/* RFC 5082 section 3 */
	if (UNLIKELY(seg->in->ttl < OPT(s, TTL_MIN))) {
		COUNT(u, DROP_STATE);
		return;
	}
	if (LIKELY(fast_path(s, seg)))
		return;
	if (UNLIKELY(s->ext != NULL) && s->ext->doom != 0) {
		COUNT(u, DROP_EXT);
		return;
	}
	if (s->state == UTCP_SYN_SENT) {
		note_segment(s);
		utcp__syn_sent_input(s, seg);
		return;
	}
	if ((s->negotiated & UTCP_GOT_TIMESTAMPS) != 0 &&
	    (seg->flags & TH_SYN) == 0 && !check_timestamp(s, seg))
		return;
	if (!check_sequence(s, seg)) /* first */
		return;
	if ((seg->flags & TH_RST) != 0) { /* second */
		take_reset(s, seg);
		return;
	}
	if ((seg->flags & TH_SYN) != 0 && !take_syn(s, seg)) /* fourth */
		return;
	note_segment(s);
	if (UNLIKELY(s->ext != NULL) && !utcp__ext_in(s->ext, seg))
		return;
	if (!take_ack(s, seg)) /* fifth */
		return;
	update_timestamp(s, seg); /* R3 of RFC 7323 section 5.3 */
	if ((s->negotiated & UTCP_GOT_ECN) != 0)
		take_ecn(s, seg);
	/* Sixth, urgent: its data is data like any other. Seventh and eighth:
	   data and FIN. */
	if (seg->len > 0 || (seg->flags & TH_FIN) != 0)
		utcp__tcp_data(s, seg);
}
