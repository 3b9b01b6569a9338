/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_mtu.c: how large a packet the path takes. Told by ICMP (RFC 1191, RFC
 * 8201), found out by probing with real data (RFC 4821, RFC 8899), noticed when
 * full segments vanish and small ones do not.
 *
 *	probe_low	a size that is known to work, or taken for that
 *	probe_high	the largest that may work; below it the search goes on
 *	probe_at_ns	not before; then, if the search is over, from the top
 *
 * probe_high 0: nothing has happened to this connection's MTU yet.
 */
#include "ext.h"
#include "tcp_loss.h"
#include "tcp_output.h"
#include "tcp_syn.h"

#define MIN4 552     /* not below, whatever is said: RFC 5927 section 7 */
#define MIN6 1280    /* RFC 8200 section 5 */
#define MIN4_EVER 68 /* RFC 791: who says less, lies */

#define RAISE_NS (600 * SEC) /* RFC 1191 section 6.3, RFC 8201 section 4 */
#define AGAIN_NS SEC	     /* between probes that are lost */
#define RECOVER_NS (5 * SEC) /* after a black hole, before the first probe */
#define WORTH_IT 64    /* bytes less, for which a black hole is suspected */
#define CLOSE_ENOUGH 8 /* bytes: the search is over */
#define PROBE_MSS 8    /* cwnd that a probe needs, segments */
#define BEHIND_MSS 4   /* and data to follow it */
#define OPTS_MAX 40    /* bytes of TCP options */

/* Sizes that links and tunnels have: the search goes by them. */
static const uint16_t common[] = {
	576,  1006, 1024, 1280, 1360, 1380,  1400,  1420,  1440,  1450,
	1460, 1468, 1472, 1476, 1480, 1492,  1500,  2002,  4352,  8166,
	8940, 9000, 9180, 9216, 9600, 16384, 17914, 32000, 65280, 65535,
};

static inline uint32_t
floor_of(uint8_t family)
{
	return family == 4 ? MIN4 : MIN6;
}

static inline uint8_t
family_of(const utcp_sock_t *s)
{
	return s->ent.key.family;
}

static inline uint32_t
headers_of(const utcp_sock_t *s)
{
	return utcp__header_bytes(family_of(s));
}

/* The interface's, and no more than the peer can take at all. */
static uint32_t
limit_of(const utcp_sock_t *s)
{
	uint32_t limit = utcp__link_mtu(s->u, family_of(s));
	uint32_t peer = s->peer_mss;

	/* RFC 9293 section 3.7.1 */
	if (peer == 0)
		peer = utcp__default_mss(family_of(s));
	peer += headers_of(s);
	return peer < limit ? peer : limit;
}

uint32_t
utcp__path_mtu(utcp_t *u, const uint8_t *raddr, uint8_t family)
{
	struct utcp__host *h = utcp__host(u, raddr, family, false);
	uint32_t mtu = utcp__link_mtu(u, family);

	if (h != NULL && h->pmtu != 0 && h->pmtu < mtu &&
	    u->now_ns - h->pmtu_ns < RAISE_NS)
		return h->pmtu;
	return mtu;
}

/* Remembers for the peer what was learnt. */
static void
learn(utcp_t *u, const uint8_t *raddr, uint8_t family, uint32_t mtu)
{
	struct utcp__host *h = utcp__host(u, raddr, family, true);

	if (h == NULL)
		return;
	h->pmtu = (uint16_t)(mtu < 65535 ? mtu : 65535);
	h->pmtu_ns = u->now_ns;
}

uint32_t
utcp__path_mtu_told(utcp_t *u, const uint8_t *raddr, uint8_t family,
		    uint32_t mtu)
{
	/* RFC 8201 section 4: less than the least is to be discarded. */
	if (mtu < (family == 4 ? MIN4_EVER : MIN6))
		return 0;
	if (mtu < floor_of(family))
		mtu = floor_of(family);
	if (mtu >= utcp__path_mtu(u, raddr, family))
		return 0;
	learn(u, raddr, family, mtu);
	return mtu;
}

bool
utcp__df(const utcp_sock_t *s)
{
	return OPT(s, PMTUD) != 0 && (family_of(s) == 6 || s->pmtu > MIN4);
}

/* The path's MTU is this now; segments follow. */
static void
set_pmtu(utcp_sock_t *s, uint32_t mtu)
{
	if (mtu == s->pmtu)
		return;
	s->pmtu = (uint16_t)mtu;
	COUNT(s->u, PMTU);
	utcp__set_mss(s);
	if (s->acked_max > s->mss)
		s->acked_max = s->mss;
	utcp__want_output(s);
}

/* The search is over: from the top again after a while. */
static void
rest(utcp_sock_t *s)
{
	s->probe_low = s->probe_high = s->pmtu;
	s->probe_at_ns = s->u->now_ns + RAISE_NS;
}

/* The record in flight that has seq; NULL. */
static const struct utcp__seg *
seg_at(const utcp_sock_t *s, uint32_t seq)
{
	const struct utcp__link *l;

	for (l = s->busy->segs.next; l != &s->busy->segs; l = l->next) {
		const struct utcp__seg *seg = CONTAINER(l, struct utcp__seg,
							link);

		if (seq_lt(seq, seg->seq + seg->len))
			return seg;
	}
	return NULL;
}

/* Whether the segment at seq can have been of more than mtu bytes of IP. */
static bool
was_longer(const utcp_sock_t *s, uint32_t seq, uint32_t mtu)
{
	const struct utcp__seg *seg = seg_at(s, seq);
	uint32_t len;

	if (seg == NULL)
		return false;
	len = seg->seq + seg->len - seq;
	if (seg->flags & SEG_SYN)
		len = s->out_bytes; /* with the data on it */
	else if (len > seg->unit)
		len = seg->unit;
	return len + OPTS_MAX + headers_of(s) > mtu;
}

static void
believe(utcp_sock_t *s, uint32_t mtu)
{
	learn(s->u, s->ent.key.raddr, family_of(s), mtu);
	set_pmtu(s, mtu);
	rest(s);
	utcp__mtu_resend(s);
	if (s->state == UTCP_SYN_SENT) {
		/* RFC 7413 section 4.1.3: an ICMP error is a no, too. */
		utcp__fastopen_timeout(s);
		s->syn_owed = true;
	}
}

/*
 * RFC 5927 section 7.2. As long as nothing longer than `mtu` was acknowledged,
 * the path is being learnt, and its routers are believed. Later one of them is
 * believed when the segment that it speaks of times out: who guesses sequence
 * numbers cannot make that happen.
 */
void
utcp__mtu_told(utcp_sock_t *s, uint32_t mtu, uint32_t seq)
{
	uint8_t family = family_of(s);

	if (OPT(s, PMTUD) == 0)
		return;
	if (mtu < (family == 4 ? MIN4_EVER : MIN6)) {
		COUNT(s->u, DROP_HEADER);
		return;
	}
	if (mtu < floor_of(family))
		mtu = floor_of(family);
	if (s->pmtu_probing && seq == s->probe_seq && mtu >= s->pmtu) {
		/* About the probe, and no worse than we knew: it is lost, and
		   here stands what will work. */
		if (mtu < s->probe_size) {
			s->probe_high = (uint16_t)mtu;
			utcp__mtu_resend(s);
		}
		return;
	}
	if (mtu >= s->pmtu ||
	    (s->busy->told_mtu != 0 && mtu >= s->busy->told_mtu))
		return; /* stale, or nothing new */
	if (!was_longer(s, seq, mtu)) {
		COUNT(s->u, DROP_STATE);
		return;
	}
	if (s->acked_max + headers_of(s) + utcp__opt_fixed(s) <= mtu ||
	    s->backoff != 0) {
		believe(s, mtu);
		return;
	}
	s->busy->told_mtu = (uint16_t)mtu;
	s->busy->told_seq = seq;
}

void
utcp__mtu_timeout(utcp_sock_t *s)
{
	uint32_t mtu = s->busy->told_mtu, seq = s->busy->told_seq;
	const struct utcp__seg *seg;

	if (mtu == 0)
		return;
	s->busy->told_mtu = 0;
	if (mtu >= s->pmtu || seq_lt(seq, s->snd_una))
		return;
	seg = seg_at(s, seq);
	if (seg != NULL && !(seg->flags & SEG_SACKED))
		believe(s, mtu);
}

void
utcp__mtu_changed(utcp_sock_t *s)
{
	uint32_t mtu = utcp__link_mtu(s->u, family_of(s));
	struct utcp__host *h;

	if (s->state == UTCP_LISTEN || s->state == UTCP_CLOSED)
		return;
	if (mtu < s->pmtu) {
		set_pmtu(s, mtu);
		s->probe_high = 0;
		utcp__mtu_resend(s);
		return;
	}
	h = utcp__host(s->u, s->ent.key.raddr, family_of(s), false);
	if (h == NULL || h->pmtu == 0) {
		set_pmtu(s, mtu);
		s->probe_high = 0;
		return;
	}
	/* The path was narrower than the interface: ask it. */
	s->probe_low = s->pmtu;
	s->probe_high = (uint16_t)limit_of(s);
	s->probe_at_ns = s->u->now_ns;
}

/* ---- probing ----------------------------------------------------------- */

/* IP bytes to try next: the top first, which a path that is as it was before
   takes; then the common size nearest to the middle; else the middle. */
static uint32_t
next_size(const utcp_sock_t *s)
{
	uint32_t low = s->probe_low, high = s->probe_high;
	uint32_t limit = limit_of(s), mid, best, near;
	unsigned int i;

	if (high >= limit)
		return limit;
	mid = best = low + (high - low + 1) / 2;
	near = (high - low) / 4;
	for (i = 0; i < sizeof(common) / sizeof(*common); i++) {
		uint32_t c = common[i], d = c > mid ? c - mid : mid - c;

		if (c > low && c <= high && d <= near) {
			best = c;
			near = d;
		}
	}
	return best;
}

/* Brings the search up to date. False: nothing to be searched now. */
static bool
searching(utcp_sock_t *s)
{
	uint64_t now = s->u->now_ns;
	uint32_t limit = limit_of(s);

	if (s->pmtu >= limit)
		return false;
	if (s->probe_high == 0) {
		/* Begun with what another connection had learnt. */
		struct utcp__host *h = utcp__host(s->u, s->ent.key.raddr,
						  family_of(s), false);

		rest(s);
		if (h != NULL && h->pmtu != 0)
			s->probe_at_ns = h->pmtu_ns + RAISE_NS;
	}
	if (now < s->probe_at_ns)
		return false;
	if (s->probe_high < s->probe_low + CLOSE_ENOUGH) {
		s->probe_low = s->pmtu;
		s->probe_high = (uint16_t)(limit < 65535 ? limit : 65535);
	}
	return s->probe_high > s->probe_low;
}

uint32_t
utcp__mtu_probe(utcp_sock_t *s)
{
	uint32_t mss, len, need, wnd;

	if (OPT(s, PMTUD) == 0 || s->pmtu_probing ||
	    s->state < UTCP_ESTABLISHED || !searching(s))
		return 0;
	if (OPT(s, PMTUD) == 1) {
		/* RFC 1191 section 6.3: to the top; ICMP will say. */
		set_pmtu(s, limit_of(s));
		rest(s);
		return 0;
	}
	/* RFC 4821 section 7.4: with a window that can tell the loss of a
	   probe, and data behind it by which it is noticed. */
	mss = s->mss;
	if (s->recovery != REC_OPEN || s->backoff != 0 ||
	    s->cc.cwnd < PROBE_MSS * mss)
		return 0;
	s->probe_size = (uint16_t)next_size(s);
	len = s->probe_size - headers_of(s) - utcp__opt_fixed(s);
	if (OPT(s, MAXSEG) != 0 && len > (uint32_t)OPT(s, MAXSEG))
		return 0;
	need = len + BEHIND_MSS * mss;
	if (len <= mss || utcp__snd_unsent(s) < need || s->snd_wnd < need ||
	    s->cc.cwnd < need)
		return 0;
	/* The pipe gives way to it: ACKs of what is in flight make room. */
	wnd = s->snd_wnd > s->out_bytes ? s->snd_wnd - s->out_bytes : 0;
	if (wnd < len || utcp__cwnd_room(s) < len)
		return s->out_bytes > 0 ? UTCP__PROBE_WAITS : 0;
	return len;
}

void
utcp__mtu_probe_acked(utcp_sock_t *s)
{
	s->pmtu_probing = false;
	if (s->probe_size <= s->pmtu)
		return;
	s->probe_low = s->probe_size;
	learn(s->u, s->ent.key.raddr, family_of(s), s->probe_size);
	set_pmtu(s, s->probe_size);
	if (s->probe_high < s->probe_low + CLOSE_ENOUGH)
		rest(s);
}

void
utcp__mtu_probe_lost(utcp_sock_t *s)
{
	s->pmtu_probing = false;
	if (s->probe_high >= s->probe_size)
		s->probe_high = (uint16_t)(s->probe_size - 1);
	if (s->probe_high < s->probe_low + CLOSE_ENOUGH)
		rest(s);
	else
		/* It may have been lost as anything is. */
		s->probe_at_ns = s->u->now_ns + AGAIN_NS;
}

/* Whether the oldest in flight is of those that a path of `mtu` stops. */
static bool
oldest_exceeds(const utcp_sock_t *s, uint32_t mtu)
{
	const struct utcp__seg *seg;
	uint32_t len;

	if (s->busy->segs.next == &s->busy->segs)
		return false;
	seg = CONTAINER(s->busy->segs.next, struct utcp__seg, link);
	len = seg->len < s->mss ? seg->len : s->mss;
	return len + headers_of(s) + utcp__opt_fixed(s) > mtu;
}

/* RFC 4821 section 7.7: one size down, to where paths hardly ever end, and
   what was lost goes again in such pieces; from there the search goes up, to
   where it was as well: that may have been plain loss. */
void
utcp__mtu_black_hole(utcp_sock_t *s)
{
	uint32_t low = floor_of(family_of(s)), was = limit_of(s), mtu = low;

	if (s->pmtu < was)
		was = s->pmtu;
	if (OPT(s, PMTUD) != 2 || was <= low || s->backoff < 2 ||
	    s->state < UTCP_ESTABLISHED)
		return;
	if (was > 1280)
		mtu = 1280;
	if (was - mtu < WORTH_IT || !oldest_exceeds(s, mtu))
		return;
	s->pmtu_probing = false;
	learn(s->u, s->ent.key.raddr, family_of(s), mtu);
	set_pmtu(s, mtu);
	s->probe_low = (uint16_t)mtu;
	if (s->probe_high < was)
		s->probe_high = (uint16_t)was;
	s->probe_at_ns = s->u->now_ns + RECOVER_NS;
	utcp__mtu_resend(s);
}
