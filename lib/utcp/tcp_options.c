/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_options.c: the TCP header and its options, read and written.
 *
 * Order on SYN: MSS, SACK-permitted, timestamps, NOP, window scale, Fast Open.
 * On segments: NOP, NOP, timestamps, NOP, NOP, SACK blocks. All is aligned to
 * four bytes, so that a peer's quick look finds the timestamps where they use
 * to be (RFC 7323 appendix A).
 */
#include "tcp_var.h"

#define OPT_EOL 0
#define OPT_NOP 1
#define OPT_MSS 2
#define OPT_WSCALE 3
#define OPT_SACK_OK 4
#define OPT_SACK 5
#define OPT_TS 8
#define OPT_FASTOPEN 34
#define OPT_EXP 254
#define EXID_FASTOPEN 0xf989 /* RFC 7413 appendix, by way of RFC 6994 */

static void
parse_cookie(struct utcp__seg_in *seg, const uint8_t *p, uint32_t len, bool exp)
{
	/* RFC 7413 section 4.1.1: 4 to 16 bytes, an even number; or none. */
	if (len != 0 && (len < 4 || len > 16 || (len & 1) != 0))
		return;
	seg->opts |= TO_FASTOPEN;
	seg->cookie_len = (uint8_t)len;
	seg->exp_fastopen = exp;
	memcpy(seg->cookie, p, len);
}

static void
parse_sack(struct utcp__seg_in *seg, const uint8_t *p, uint32_t len)
{
	uint32_t n = len / 8;

	if (len == 0 || len % 8 != 0 || n > 4)
		return;
	for (uint32_t i = 0; i < n; i++) {
		seg->sacks[i].start = get32(p + 8 * i);
		seg->sacks[i].end = get32(p + 8 * i + 4);
	}
	seg->opts |= TO_SACK;
	seg->num_sacks = (uint8_t)n;
}

/* Options that only a SYN may carry. */
static void
parse_syn_option(struct utcp__seg_in *seg, uint8_t kind, const uint8_t *p,
		 uint32_t len)
{
	switch (kind) {
	case OPT_MSS:
		if (len == 2) {
			seg->opts |= TO_MSS;
			seg->mss = get16(p);
		}
		break;
	case OPT_WSCALE:
		if (len == 1) {
			seg->opts |= TO_WSCALE;
			/* RFC 7323 section 2.3 */
			seg->wscale = p[0] > 14 ? 14 : p[0];
		}
		break;
	case OPT_SACK_OK:
		if (len == 0)
			seg->opts |= TO_SACK_OK;
		break;
	case OPT_FASTOPEN:
		parse_cookie(seg, p, len, false);
		break;
	case OPT_EXP:
		if (len >= 2 && get16(p) == EXID_FASTOPEN)
			parse_cookie(seg, p + 2, len - 2, true);
		break;
	default:
		break; /* RFC 9293 section 3.1 (MUST-6): unknown, ignored */
	}
}

static void
parse_options(struct utcp__seg_in *seg, const uint8_t *p, uint32_t len)
{
	while (len > 0) {
		uint8_t kind = p[0];
		uint32_t n;

		if (kind == OPT_EOL)
			return;
		if (kind == OPT_NOP) {
			p++;
			len--;
			continue;
		}
		/* RFC 9293 section 3.1 (MUST-7): an illegal length; the rest
		   cannot be told apart. */
		if (len < 2 || p[1] < 2 || p[1] > len)
			return;
		n = p[1];
		if (kind == OPT_TS) {
			if (n == 10) {
				seg->opts |= TO_TS;
				seg->ts_val = get32(p + 2);
				seg->ts_ecr = get32(p + 6);
			}
		} else if (kind == OPT_SACK) {
			parse_sack(seg, p + 2, n - 2);
		} else if ((seg->flags & TH_SYN) != 0) {
			parse_syn_option(seg, kind, p + 2, n - 2);
		}
		p += n;
		len -= n;
	}
}

/* Where data lies: the parts without the header. */
static void
parse_data(struct utcp__seg_in *seg, const struct utcp__in *in, uint32_t hlen)
{
	unsigned int n = 0;
	uint32_t left = in->l4_bytes - hlen, skip = hlen;

	for (unsigned int i = 0; i < in->num_parts && left > 0; i++) {
		size_t len = in->part[i].len - skip;

		if (len > left)
			len = left;
		if (len > 0) {
			seg->part[n].data = in->part[i].data + skip;
			seg->part[n].len = len;
			left -= (uint32_t)len;
			n++;
		}
		skip = 0;
	}
	seg->num_parts = n;
}

int
utcp__tcp_parse(struct utcp__seg_in *seg, struct utcp__in *in)
{
	const uint8_t *h = in->l4;
	uint32_t hlen;

	if (in->l4_bytes < 20 || in->num_parts == 0 || in->part[0].len < 20)
		return -EINVAL;
	hlen = (uint32_t)(h[12] >> 4) * 4;
	if (hlen < 20 || hlen > in->l4_bytes || hlen > in->part[0].len)
		return -EINVAL;
	seg->seq = get32(h + 4);
	seg->ack = get32(h + 8);
	seg->flags = (uint16_t)(get16(h + 12) & 0x1ff);
	seg->wnd = get16(h + 14);
	seg->len = in->l4_bytes - hlen;
	seg->opts = 0;
	seg->num_sacks = 0;
	seg->cookie_len = 0;
	seg->exp_fastopen = false;
	seg->in = in;
	if (LIKELY(hlen == 32 && get32(h + 20) == 0x0101080a)) {
		seg->opts = TO_TS;
		seg->ts_val = get32(h + 24);
		seg->ts_ecr = get32(h + 28);
	} else if (hlen > 20) {
		parse_options(seg, h + 20, hlen - 20);
	}
	parse_data(seg, in, hlen);
	return 0;
}

void
utcp__seg_trim_front(struct utcp__seg_in *seg, uint32_t n)
{
	unsigned int skip = 0;
	uint32_t left;

	if (n > seg->len)
		n = seg->len;
	seg->seq += n;
	seg->len -= n;
	for (left = n; left > 0 && left >= seg->part[skip].len; skip++)
		left -= (uint32_t)seg->part[skip].len;
	if (skip > 0) {
		seg->num_parts -= skip;
		memmove(seg->part, seg->part + skip,
			seg->num_parts * sizeof(seg->part[0]));
	}
	if (left > 0) {
		seg->part[0].data += left;
		seg->part[0].len -= left;
	}
}

void
utcp__seg_trim_end(struct utcp__seg_in *seg, uint32_t n)
{
	uint32_t keep, sum = 0;
	unsigned int i;

	keep = n < seg->len ? seg->len - n : 0;
	seg->len = keep;
	for (i = 0; i < seg->num_parts && sum < keep; i++) {
		if (seg->part[i].len > keep - sum)
			seg->part[i].len = keep - sum;
		sum += (uint32_t)seg->part[i].len;
	}
	seg->num_parts = i;
}

static uint8_t *
put_ts(uint8_t *p, const struct utcp__opt_out *o)
{
	/* On a SYN, SACK-permitted fills what padding would. */
	if ((o->opts & TO_SACK_OK) != 0) {
		p[0] = OPT_SACK_OK;
		p[1] = 2;
	} else {
		p[0] = OPT_NOP;
		p[1] = OPT_NOP;
	}
	p[2] = OPT_TS;
	p[3] = 10;
	put32(p + 4, o->ts_val);
	put32(p + 8, o->ts_ecr);
	return p + 12;
}

static uint8_t *
put_fastopen(uint8_t *p, const struct utcp__opt_out *o, uint32_t room)
{
	uint32_t head = o->exp_fastopen ? 4 : 2;
	uint32_t len = head + o->cookie_len;

	if (((len + 3) & ~3u) > room)
		return p;
	p[0] = o->exp_fastopen ? OPT_EXP : OPT_FASTOPEN;
	p[1] = (uint8_t)len;
	if (o->exp_fastopen)
		put16(p + 2, EXID_FASTOPEN);
	if (o->cookie_len > 0)
		memcpy(p + head, o->cookie, o->cookie_len);
	p += len;
	for (; (len & 3) != 0; len++)
		*p++ = OPT_NOP;
	return p;
}

static uint8_t *
put_sack(uint8_t *p, const struct utcp__opt_out *o, uint32_t room)
{
	uint32_t n = o->num_sacks;

	if (room < 12 || n == 0)
		return p;
	if (n > (room - 4) / 8)
		n = (room - 4) / 8;
	p[0] = OPT_NOP;
	p[1] = OPT_NOP;
	p[2] = OPT_SACK;
	p[3] = (uint8_t)(2 + 8 * n);
	p += 4;
	for (uint32_t i = 0; i < n; i++, p += 8) {
		put32(p, o->sacks[i].start);
		put32(p + 4, o->sacks[i].end);
	}
	return p;
}

unsigned int
utcp__tcp_options(uint8_t *to, const struct utcp__opt_out *o)
{
	uint8_t *p = to, *end = to + 40;

	if ((o->opts & TO_MSS) != 0) {
		p[0] = OPT_MSS;
		p[1] = 4;
		put16(p + 2, o->mss);
		p += 4;
	}
	if ((o->opts & TO_TS) != 0) {
		p = put_ts(p, o);
	} else if ((o->opts & TO_SACK_OK) != 0) {
		p[0] = OPT_NOP;
		p[1] = OPT_NOP;
		p[2] = OPT_SACK_OK;
		p[3] = 2;
		p += 4;
	}
	if ((o->opts & TO_WSCALE) != 0) {
		p[0] = OPT_NOP;
		p[1] = OPT_WSCALE;
		p[2] = 3;
		p[3] = o->wscale;
		p += 4;
	}
	if ((o->opts & TO_SACK) != 0)
		p = put_sack(p, o, (uint32_t)(end - p));
	if ((o->opts & TO_FASTOPEN) != 0)
		p = put_fastopen(p, o, (uint32_t)(end - p));
	return (unsigned int)(p - to);
}

/* ---- what we offer ----------------------------------------------------- */

uint16_t
utcp__offer(const struct utcp__opts *o)
{
	uint16_t opts = TO_MSS;

	if (o->v[UTCP_OPT_SACK] != 0)
		opts |= TO_SACK_OK;
	if (o->v[UTCP_OPT_TIMESTAMPS] != 0)
		opts |= TO_TS;
	if (o->v[UTCP_OPT_WSCALE] >= 0)
		opts |= TO_WSCALE;
	return opts;
}

uint16_t
utcp__offer_window(const struct utcp__opts *o)
{
	int64_t space = o->v[UTCP_OPT_RCVBUF];
	int64_t clamp = o->v[UTCP_OPT_WINDOW_CLAMP];

	if (space == 0 || space > 65535)
		space = 65535;
	if (clamp != 0 && clamp < space)
		space = clamp;
	return (uint16_t)space;
}
