/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_syncookie.c: SYN cookies (RFC 4987 section 3.6): when there is no room for
 * half open connections, all that is known of one goes into the SYN-ACK's
 * sequence number, and into its timestamp if there is one:
 *
 *	sequence number	secret hash of the tuple + the peer's number + (8 bits
 *			of epoch, 21 of a hash of tuple, epoch and MSS, 3 of an
 *			index of the MSS)
 *	timestamp	the clock, its lowest 6 bits: window scale (15: none),
 *			SACK, ECN
 */
#include "ext.h"
#include "tcp_input.h"
#include "tcp_output.h"
#include "tcp_syn.h"

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

bool
utcp__cookie_lately(const utcp_sock_t *l)
{
	uint64_t at = l->listen->cookie_ns;

	return at != 0 && (l->u->now_ns | 1) - at <= EPOCHS * EPOCH_NS;
}

/* Nothing is kept of a cookie, so what we say of windows stays what it is as
   long as one may come back. */
static void
say(utcp_sock_t *l, struct utcp__said *said)
{
	utcp__syn_say(l, said);
	if (utcp__cookie_lately(l))
		said->wscale = l->listen->cookie_wscale;
	else
		l->listen->cookie_wscale = said->wscale;
}

/* Options that are remembered by the timestamp, and as which timestamp. */
static void
say_options(utcp_sock_t *l, const struct utcp__seg_in *seg,
	    struct utcp__opt_out *o, bool ecn)
{
	utcp_t *u = l->u;
	uint32_t now, bits;

	bits = (o->opts & TO_WSCALE) != 0 ? seg->wscale : NO_SCALE;
	if ((o->opts & TO_SACK_OK) != 0)
		bits |= TS_SACK;
	if (ecn)
		bits |= TS_ECN;
	now = utcp__ts_now(u, utcp__ts_offset(u, &seg->in->key));
	o->ts_val = (now & ~TS_BITS) | bits;
	if (seq_lt(now, o->ts_val)) /* never ahead of the clock */
		o->ts_val -= TS_BITS + 1;
	o->ts_ecr = seg->ts_val;
}

void
utcp__cookie_send(utcp_sock_t *l, const struct utcp__seg_in *seg, bool ecn)
{
	utcp_t *u = l->u;
	const struct utcp__key *k = &seg->in->key;
	struct utcp__synack a = { .key = k, .irs = seg->seq };
	uint16_t mss = seg->mss, both;
	struct utcp__said said;
	uint32_t size = 7;

	say(l, &said);
	if ((seg->opts & TO_MSS) == 0)
		mss = utcp__default_mss(k->family);
	while (size > 0 && sizes[size] > mss)
		size--;
	both = seg->opts & said.offered;
	a.opts.opts = TO_MSS;
	a.opts.mss = utcp__mss_offer(u, l->opts, k->family);
	a.opts.wscale = said.wscale;
	a.wnd = said.wnd;
	if ((both & TO_TS) != 0) {
		a.opts.opts |= both & (TO_TS | TO_SACK_OK | TO_WSCALE);
		a.ecn = ecn;
		say_options(l, seg, &a.opts, ecn);
	}
	a.iss = cookie_make(u, k, seg->seq, size);
	l->listen->cookie_ns = u->now_ns | 1;
	COUNT(u, COOKIES_OUT);
	utcp__synack_send(l, &a);
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
utcp__cookie_good(utcp_sock_t *l, const struct utcp__seg_in *seg)
{
	return cookie_check(l->u, &seg->in->key, seg->seq - 1, seg->ack - 1) >=
	       0;
}

void
utcp__cookie_take(utcp_sock_t *l, struct utcp__seg_in *seg)
{
	utcp_t *u = l->u;
	struct utcp__seg_in syn;
	struct utcp__said said;
	utcp_sock_t *s;

	if (l->listen->num_accept >= l->listen->backlog) {
		COUNT(u, DROP_ACCEPT);
		return;
	}
	rebuild(&syn, seg,
		cookie_check(u, &seg->in->key, seg->seq - 1, seg->ack - 1));
	say(l, &said);
	said.iss = seg->ack - 1;
	said.ts_ofs = utcp__ts_offset(u, &seg->in->key);
	said.offered = UINT16_MAX; /* the cookie has only what we offered */
	s = utcp__syn_child(l, &syn, &said);
	if (s == NULL)
		return;
	COUNT(u, COOKIES_IN);
	if (UNLIKELY(l->ext != NULL))
		utcp__ext_cookie(l);
	s->negotiated |= UTCP_GOT_COOKIE;
	utcp__syn_open(l, s, seg);
	utcp__tcp_segment(s, seg);
}
