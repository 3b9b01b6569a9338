/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_open.c: how connections begin: sequence numbers, negotiation, the answer
 * to our SYN (RFC 9293 section 3.10.7.3).
 */
#include "ext.h"
#include "tcp_input.h"
#include "tcp_loss.h"
#include "tcp_output.h"
#include "tcp_syn.h"

#define QUICK_ACKS 16
#define MSS_MIN 48 /* less is an attack more than a network */

/* For both numbers of a connection, which mostly are asked for together. */
static uint64_t
tuple_hash(utcp_t *u, const struct utcp__key *k)
{
	uint8_t in[37];

	if (u->tuple_hash != 0 && memcmp(&u->tuple, k, sizeof(*k)) == 0)
		return u->tuple_hash;
	memcpy(in, k->laddr, 16);
	memcpy(in + 16, k->raddr, 16);
	memcpy(in + 32, &k->lport_be, 2);
	memcpy(in + 34, &k->rport_be, 2);
	in[36] = k->family;
	u->tuple = *k;
	u->tuple_hash = utcp__siphash(u->key_iss, in, sizeof(in));
	return u->tuple_hash;
}

uint32_t
utcp__iss(utcp_t *u, const struct utcp__key *k)
{
	/* RFC 6528 section 3: a clock of 4 us and a secret of the tuple. */
	return (uint32_t)tuple_hash(u, k) + (uint32_t)(u->now_ns / 4000);
}

uint32_t
utcp__ts_offset(utcp_t *u, const struct utcp__key *k)
{
	/* RFC 7323 section 5.4: of each connection its own, the same again for
	   the same tuple, so that RFC 6191 holds. */
	return (uint32_t)(tuple_hash(u, k) >> 32);
}

static void
negotiate_ecn(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	uint16_t flags = seg->flags & (TH_ECE | TH_CWR);
	bool ok;

	/* RFC 3168 section 6.1.1. An answer to a SYN that was sent again does
	   not count: only the first asked. */
	if ((seg->flags & TH_ACK) != 0)
		ok = OPT(s, ECN) == 2 && flags == TH_ECE && s->retries == 0;
	else
		ok = OPT(s, ECN) != 0 && flags == (TH_ECE | TH_CWR);
	if (ok)
		s->negotiated |= UTCP_GOT_ECN;
	else
		s->negotiated &= (uint16_t)~UTCP_GOT_ECN;
}

void
utcp__negotiate(utcp_sock_t *s, const struct utcp__seg_in *seg,
		uint16_t offered)
{
	uint16_t both = seg->opts & offered;
	uint16_t dflt = utcp__default_mss(s->ent.key.family);

	/* RFC 9293 section 3.7.1 (MUST-15) */
	s->peer_mss = (seg->opts & TO_MSS) != 0 ? seg->mss : dflt;
	if (s->peer_mss < MSS_MIN)
		s->peer_mss = MSS_MIN;
	s->negotiated &= (uint16_t)~(UTCP_GOT_WSCALE | UTCP_GOT_SACK |
				     UTCP_GOT_TIMESTAMPS);
	if ((both & TO_WSCALE) != 0) {
		s->negotiated |= UTCP_GOT_WSCALE;
		s->snd_wscale = seg->wscale;
	} else { /* RFC 7323 section 2.2: both or none */
		s->snd_wscale = 0;
		s->rcv_wscale = 0;
	}
	if ((both & TO_SACK_OK) != 0)
		s->negotiated |= UTCP_GOT_SACK;
	if ((both & TO_TS) != 0) {
		s->negotiated |= UTCP_GOT_TIMESTAMPS;
		s->ts_recent = seg->ts_val;
		s->ts_recent_ns = s->u->now_ns;
	}
	negotiate_ecn(s, seg);
	utcp__set_mss(s);
	s->cc.cwnd = utcp__initial_window(s);
}

void
utcp__established(utcp_sock_t *s)
{
	utcp_t *u = s->u;
	uint32_t rcv_mss = s->mss, half;

	utcp__fastopen_done(s);
	utcp__set_state(s, UTCP_ESTABLISHED);
	if (s->passive)
		COUNT(u, ACCEPTS);
	else
		COUNT(u, CONNECTS);
	/* What the peer's segments are like is not known before they come. */
	half = (s->rcv_adv - s->rcv_nxt) / 2;
	if (rcv_mss > 536)
		rcv_mss = 536;
	if (rcv_mss > half)
		rcv_mss = half;
	if (s->rcv_mss == 0)
		s->rcv_mss = (uint16_t)(rcv_mss < 88 ? 88 : rcv_mss);
	s->quick_acks = QUICK_ACKS;
	/* RFC 6298 section 5.7: what a lost SYN did to the timer is over. */
	s->backoff = 0;
	s->retries = 0;
	s->last_rcv_ns = u->now_ns;
	s->busy->rcvq_ns = u->now_ns;
	s->busy->rcvq_seq = s->rcv_nxt;
	s->busy->rcv_rtt_at_ns = 0;
	if (s->cc_mod == NULL)
		utcp__cc_start(s, s->opts->cc);
	utcp__keep_restart(s);
	/* RFC 9293 section 3.10.4: a CLOSE that waited for this. */
	if (s->fin_wanted)
		utcp__set_state(s, UTCP_FIN_WAIT_1);
	utcp__wake(s);
	utcp__want_output(s);
	if (UNLIKELY(s->ext != NULL))
		utcp__ext_open(s);
}

/* Both sides sent a SYN (RFC 9293 section 3.5, figure 7). */
static void
simultaneous_open(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	s->snd_wnd = seg->wnd;
	s->max_wnd = seg->wnd;
	s->snd_wl1 = seg->seq;
	s->snd_wl2 = s->iss;
	utcp__set_state(s, UTCP_SYN_RECEIVED);
	/* The SYN again, as a SYN-ACK. Data and FIN that came along are not
	   taken (section 3.10.7.3, fourth, would queue them), so they are not
	   acknowledged and come again; ours went with the SYN, if at all. */
	utcp__fastopen_forget(s);
	s->syn_owed = true;
	utcp__want_output(s);
}

/* A SYN or SYN-ACK that is good: what it says of the peer. */
static void
take_syn(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	uint32_t wnd = utcp__rcv_space(s);

	if (wnd > 65535)
		wnd = 65535;
	s->irs = seg->seq;
	s->rcv_nxt = seg->seq + 1;
	s->rcv_acked = s->rcv_nxt;
	s->rcv_adv = s->rcv_nxt + wnd;
	utcp__negotiate(s, seg, utcp__offer(s->opts));
}

/* RFC 9293 section 3.10.7.3, from the first to the last check. */
void
utcp__syn_sent_input(utcp_sock_t *s, struct utcp__seg_in *seg)
{
	utcp_t *u = s->u;
	bool acks = (seg->flags & TH_ACK) != 0;

	/* first: what was never sent, or only the number before the SYN */
	if (acks &&
	    (seq_leq(seg->ack, s->iss) || seq_lt(s->snd_nxt, seg->ack))) {
		COUNT(u, DROP_ACK);
		if ((seg->flags & TH_RST) == 0)
			utcp__tcp_refuse(u, seg);
		return;
	}
	/* The same of an echo that is younger than what it would echo
	   (RFC 7323 section 3.2). */
	if (acks && (seg->flags & TH_RST) == 0 &&
	    (seg->opts & utcp__offer(s->opts) & TO_TS) != 0 &&
	    seg->ts_ecr != 0 &&
	    seq_lt(utcp__ts_now(u, s->ts_ofs), seg->ts_ecr)) {
		COUNT(u, DROP_PAWS);
		utcp__tcp_refuse(u, seg);
		return;
	}
	/* second: a reset only if it acknowledges the SYN */
	if ((seg->flags & TH_RST) != 0) {
		if (acks) {
			COUNT(u, RESETS_IN);
			utcp__sock_reset(s, ECONNREFUSED);
		} else {
			COUNT(u, DROP_STATE);
		}
		return;
	}
	/* fourth: the SYN; fifth: neither SYN nor RST */
	if ((seg->flags & TH_SYN) == 0) {
		COUNT(u, DROP_STATE);
		return;
	}
	take_syn(s, seg);
	if (UNLIKELY(s->ext != NULL) && !utcp__ext_in(s->ext, seg))
		return;
	if (!acks) {
		simultaneous_open(s, seg);
		return;
	}
	utcp__fastopen_synack(s, seg);
	s->snd_wnd = seg->wnd; /* RFC 7323 section 2.2: not scaled */
	s->max_wnd = seg->wnd;
	s->snd_wl1 = seg->seq;
	s->snd_wl2 = seg->ack;
	utcp__tcp_ack(s, seg, true, true);
	utcp__established(s);
	utcp__ack_soon(s);
	/* Data and FIN that came along: sixth step on of 3.10.7.4. */
	seg->seq++;
	seg->flags &= (uint16_t)~TH_SYN;
	if (seg->len > 0 || (seg->flags & TH_FIN) != 0)
		utcp__tcp_data(s, seg);
}
