/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_cookie.c: SYN cookies (RFC 4987 section 3.6): when there is no room for
 * half open connections, all that is known of one goes into the SYN-ACK's
 * sequence number, and into its timestamp if there is one:
 *
 *	sequence number	secret hash of the tuple + the peer's number + (8 bits
 *			of epoch, 21 of a hash of tuple, epoch and MSS, 3 of an
 *			index of the MSS)
 *	timestamp	the clock, its lowest 6 bits: window scale (15: none),
 *			SACK, ECN
 */
#include "internal.h"

#define EPOCH_NS (64 * SEC)
#define EPOCHS 2 /* a cookie is good for so many, at most */
#define TS_SACK 0x10u
#define TS_ECN 0x20u
#define TS_BITS 0x3fu
#define NO_SCALE 0xfu

/* Each segment size is rounded down to one of these. */
static const uint16_t sizes[8] = {
	216, 536, 1220, 1300, 1400, 1440, 1460, 8960
};

static uint64_t
hash(const uint64_t key[2], const struct utcp__key *k, uint32_t extra)
{
	uint8_t in[40];

	memcpy(in, k->laddr, 16);
	memcpy(in + 16, k->raddr, 16);
	memcpy(in + 32, &k->lport_be, 2);
	memcpy(in + 34, &k->rport_be, 2);
	memcpy(in + 36, &extra, 4);
	return utcp__siphash(key, in, sizeof(in));
}

/* The lower 24 bits: proof of tuple, epoch and size; size. */
static uint32_t
low_bits(utcp_t *u, const struct utcp__key *k, uint32_t epoch, uint32_t size)
{
	uint64_t h = hash(u->key_cookie[1], k, epoch << 3 | size);

	return ((uint32_t)h & 0x1fffff) << 3 | size;
}

static uint32_t
cookie_make(utcp_t *u, const struct utcp__key *k, uint32_t irs, uint32_t size)
{
	uint32_t epoch = (uint32_t)(u->now_ns / EPOCH_NS);

	return (uint32_t)hash(u->key_cookie[0], k, 0) + irs +
	       (epoch << 24 | low_bits(u, k, epoch, size));
}

/* Index of the MSS in the cookie; -1: it is none, or too old. */
static int
cookie_check(utcp_t *u, const struct utcp__key *k, uint32_t irs,
	     uint32_t cookie)
{
	uint32_t epoch = (uint32_t)(u->now_ns / EPOCH_NS), age, size;

	cookie -= (uint32_t)hash(u->key_cookie[0], k, 0) + irs;
	age = (epoch - (cookie >> 24)) & 0xff;
	size = cookie & 7;
	if (age >= EPOCHS ||
	    low_bits(u, k, epoch - age, size) != (cookie & 0xffffff))
		return -1;
	return (int)size;
}

void
utcp__cookie_send(utcp_sock_t *l, const struct utcp__seg_in *seg, bool ecn)
{
	utcp_t *u = l->u;
	const struct utcp__key *k = &seg->in->key;
	uint16_t mss = seg->mss;
	struct utcp__opt_out o = { 0 };
	uint32_t size = 7, now, bits;

	if ((seg->opts & TO_MSS) == 0)
		mss = k->family == 4 ? 536 : 1220;
	while (size > 0 && sizes[size] > mss)
		size--;
	o.opts = TO_MSS;
	o.mss = utcp__mss_offer(u, l->opts, k->family);
	if ((seg->opts & utcp__offer(l->opts) & TO_TS) != 0) {
		o.opts |= seg->opts & utcp__offer(l->opts) &
			  (TO_TS | TO_SACK_OK | TO_WSCALE);
		o.wscale = (uint8_t)utcp__wscale_offer(l->opts);
		bits = (o.opts & TO_WSCALE) != 0 ? seg->wscale : NO_SCALE;
		if ((o.opts & TO_SACK_OK) != 0)
			bits |= TS_SACK;
		if (ecn)
			bits |= TS_ECN;
		now = utcp__ts_now(u, utcp__ts_offset(u, k));
		o.ts_val = (now & ~TS_BITS) | bits;
		if (seq_lt(now, o.ts_val)) /* never ahead of the clock */
			o.ts_val -= TS_BITS + 1;
		o.ts_ecr = seg->ts_val;
	} else {
		ecn = false; /* nowhere to remember it */
	}
	u->cookie_epoch = u->now_ns | 1;
	COUNT(u, COOKIES_OUT);
	utcp__synack(l, k, cookie_make(u, k, seg->seq, size), seg->seq, &o,
		     ecn);
}

/* What the SYN said, as far as the cookie knows. */
static void
rebuild(struct utcp__seg_in *syn, const struct utcp__seg_in *seg, int size)
{
	uint32_t bits = seg->ts_ecr & TS_BITS;

	syn->in = seg->in;
	syn->seq = seg->seq - 1;
	syn->ack = 0;
	syn->wnd = 0;
	syn->len = 0;
	syn->num_parts = 0;
	syn->flags = TH_SYN;
	syn->opts = TO_MSS;
	syn->mss = sizes[size];
	if ((seg->opts & TO_TS) == 0)
		return;
	syn->opts |= TO_TS;
	syn->ts_val = seg->ts_val;
	if ((bits & NO_SCALE) != NO_SCALE) {
		syn->opts |= TO_WSCALE;
		syn->wscale = (uint8_t)(bits & NO_SCALE);
	}
	if ((bits & TS_SACK) != 0)
		syn->opts |= TO_SACK_OK;
	if ((bits & TS_ECN) != 0)
		syn->flags |= TH_ECE | TH_CWR;
}

bool
utcp__cookie_take(utcp_sock_t *l, struct utcp__seg_in *seg)
{
	utcp_t *u = l->u;
	struct utcp__seg_in syn;
	utcp_sock_t *s;
	int size;

	/* Who sent none lately need not look at what might be one. */
	if (u->cookie_epoch == 0 ||
	    (u->now_ns | 1) - u->cookie_epoch > EPOCHS * EPOCH_NS)
		return false;
	size = cookie_check(u, &seg->in->key, seg->seq - 1, seg->ack - 1);
	if (size < 0)
		return false;
	if (l->listen->num_accept >= l->listen->backlog) {
		COUNT(u, DROP_ACCEPT);
		return true;
	}
	rebuild(&syn, seg, size);
	s = utcp__syn_child(l, &syn, seg->ack - 1, utcp__offer(l->opts));
	if (s == NULL)
		return true;
	COUNT(u, COOKIES_IN);
	s->negotiated |= UTCP_GOT_COOKIE;
	utcp__syn_open(l, s, seg);
	utcp__tcp_segment(s, seg);
	return true;
}
