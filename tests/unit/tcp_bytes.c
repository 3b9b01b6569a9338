/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_bytes.c: segments as bytes on the wire; see tcp_util.h. Nothing here shares
   code with the stack but byte order. */
#include "tcp_text.h"

/* ---- segment to bytes -------------------------------------------------- */

static unsigned int
put_options(const struct tt_peer *p, const struct tt_seg *s, uint8_t *to)
{
	uint8_t opts[120];
	unsigned int n = 0, i;

	if (s->mss == TT_IS) {
		memcpy(opts + n, "\2\4", 2);
		put16(opts + n + 2, s->mss_is);
		n += 4;
	}
	if (s->sack_ok == TT_IS) {
		if (s->ts != TT_IS) { /* which comes next and aligns */
			memcpy(opts + n, "\1\1", 2);
			n += 2;
		}
		memcpy(opts + n, "\4\2", 2);
		n += 2;
	}
	if (s->ts == TT_IS) {
		if (s->sack_ok != TT_IS) {
			memcpy(opts + n, "\1\1", 2);
			n += 2;
		}
		memcpy(opts + n, "\10\12", 2);
		put32(opts + n + 2, s->ts_val);
		put32(opts + n + 6, s->ts_ecr + (p->ts_known ? p->ts_base : 0));
		n += 10;
	}
	if (s->wscale == TT_IS) {
		memcpy(opts + n, "\1\3\3", 3);
		opts[n + 3] = (uint8_t)s->wscale_is;
		n += 4;
	}
	if (s->num_sacks > 0) {
		memcpy(opts + n, "\1\1\5", 3);
		opts[n + 3] = (uint8_t)(2 + 8 * s->num_sacks);
		n += 4;
		for (i = 0; i < s->num_sacks; i++, n += 8) {
			put32(opts + n, s->sacks[i].start + p->iss);
			put32(opts + n + 4, s->sacks[i].end + p->iss);
		}
	}
	if (s->fo != TT_NO) {
		opts[n++] = s->fo_exp ? 254 : 34;
		opts[n++] = (uint8_t)(2 + 2 * s->fo_exp + s->fo_len);
		if (s->fo_exp) {
			put16(opts + n, 0xf989);
			n += 2;
		}
		memcpy(opts + n, s->fo_cookie, s->fo_len);
		n += s->fo_len;
	}
	memcpy(opts + n, s->raw, s->raw_len);
	n += s->raw_len;
	while (n % 4 != 0)
		opts[n++] = 1;
	if (n > 40)
		n = 40;
	memcpy(to, opts, n);
	return n;
}

/* A sum of its own: the stack's is what is tested. */
static uint16_t
sum16(const uint8_t *b, size_t len, uint32_t sum)
{
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(b[i] << 8 | b[i + 1]);
	if (len % 2 != 0)
		sum += (uint32_t)b[len - 1] << 8;
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Of the pseudo header and what follows the IP header. */
static uint16_t
l4_sum(const uint8_t *pkt, uint32_t len, uint32_t hdr, uint8_t proto)
{
	uint32_t l4 = len - hdr;
	uint32_t sum = proto + (l4 >> 16) + (l4 & 0xffff);

	if (pkt[0] >> 4 == 4)
		sum = sum16(pkt + 12, 8, sum);
	else
		sum = sum16(pkt + 8, 32, sum);
	return sum16(pkt + hdr, l4, sum);
}

void
tt_fix(struct tt *t, uint8_t *pkt, uint32_t len)
{
	uint32_t hdr = pkt[0] >> 4 == 4 ? 20 : 40;
	uint16_t sum;

	if (hdr == 20) {
		put16(pkt + 2, len);
		put16(pkt + 10, 0);
		put16(pkt + 10, (uint16_t)~sum16(pkt, 20, 0));
	} else {
		put16(pkt + 4, len - 40);
	}
	put16(pkt + hdr + 16, 0);
	sum = (uint16_t)~l4_sum(pkt, len, hdr, 6);
	put16(pkt + hdr + 16, sum);
}

uint32_t
tt__bytes(struct tt *t, struct tt_peer *p, const struct tt_seg *seg,
	  const void *data, uint8_t *to)
{
	uint32_t hdr = t->family == 4 ? 20 : 40, opts, i;
	uint8_t *th = to + hdr;

	memset(to, 0, hdr + 20);
	if (t->family == 4) {
		to[0] = 0x45;
		to[1] = (uint8_t)(seg->ecn |
				  (seg->dscp > 0 ? seg->dscp << 2 : 0));
		put16(to + 6, 0x4000);
		to[8] = (uint8_t)seg->ttl;
		to[9] = 6;
		memcpy(to + 12, p->addr, 4);
		memcpy(to + 16, "\12\0\0\1", 4);
	} else {
		to[0] = 0x60;
		to[1] = (uint8_t)(seg->ecn << 4);
		to[6] = 6;
		to[7] = (uint8_t)seg->ttl;
		memcpy(to + 8, p->addr, 16);
		to[24] = 0xfd;
		to[39] = 1;
	}
	put16(th, p->port);
	put16(th + 2, p->stack_port);
	put32(th + 4, p->isn + seg->seq);
	if ((seg->flags & TH_ACK) != 0 || seg->has_ack == TT_IS)
		put32(th + 8, p->iss + seg->ack);
	opts = put_options(p, seg, th + 20);
	th[12] = (uint8_t)((20 + opts) << 2 | seg->flags >> 8);
	th[13] = (uint8_t)seg->flags;
	put16(th + 14, seg->win);
	put16(th + 18, seg->urg);
	for (i = 0; i < seg->len; i++)
		th[20 + opts + i] = data != NULL
					? ((const uint8_t *)data)[i]
					: tt_byte((uint64_t)seg->seq + i - 1 +
						  ((seg->flags & TH_SYN) != 0));
	tt_fix(t, to, hdr + 20 + opts + seg->len);
	return hdr + 20 + opts + seg->len;
}

/* ---- bytes to segment -------------------------------------------------- */

static void
get_option(struct tt_peer *p, struct tt_seg *s, const uint8_t *o,
	   unsigned int len)
{
	unsigned int skip;

	if (o[0] == 2 && len == 4) {
		s->mss = TT_IS;
		s->mss_is = get16(o + 2);
	} else if (o[0] == 3 && len == 3) {
		s->wscale = TT_IS;
		s->wscale_is = o[2];
	} else if (o[0] == 4 && len == 2) {
		s->sack_ok = TT_IS;
	} else if (o[0] == 5) {
		for (o += 2; len >= 10 && s->num_sacks < 4; len -= 8, o += 8) {
			s->sacks[s->num_sacks].start = get32(o) - p->isn;
			s->sacks[s->num_sacks++].end = get32(o + 4) - p->isn;
		}
	} else if (o[0] == 8 && len == 10) {
		if (!p->ts_known) {
			p->ts_known = true;
			p->ts_base = get32(o + 2);
		}
		s->ts = s->ts_ecr_is = TT_IS;
		s->ts_val = p->ts_last = get32(o + 2) - p->ts_base;
		s->ts_ecr = get32(o + 6);
	} else if (o[0] == 34 || (o[0] == 254 && len >= 4)) {
		s->fo = TT_IS;
		s->fo_exp = o[0] == 254;
		skip = s->fo_exp ? 4 : 2;
		s->fo_len = len - skip;
		memcpy(s->fo_cookie, o + skip, s->fo_len);
	} else if (s->raw_len + len <= sizeof(s->raw)) {
		memcpy(s->raw + s->raw_len, o, len);
		s->raw_len += len;
	}
}

static const char *
get_options(struct tt_peer *p, struct tt_seg *s, const uint8_t *o,
	    const uint8_t *end)
{
	while (o < end && *o != 0) {
		if (*o == 1) {
			o++;
			continue;
		}
		if (end - o < 2 || o[1] < 2 || o[1] > end - o)
			return "malformed TCP options";
		get_option(p, s, o, o[1]);
		o += o[1];
	}
	return NULL;
}

static struct tt_peer *
peer_of(struct tt *t, const uint8_t *addr, uint16_t port, uint16_t stack_port)
{
	struct tt_peer *p;

	for (p = &t->peer0; p != NULL; p = p->next)
		if (memcmp(p->addr, addr, t->family == 4 ? 4 : 16) == 0 &&
		    p->port == port &&
		    (p->stack_port == 0 || p->stack_port == stack_port))
			break;
	if (p != NULL)
		p->stack_port = stack_port;
	return p;
}

static const char *
check_ip(const struct tt *t, struct tt_seg *seg, const uint8_t *pkt,
	 uint32_t len)
{
	if (t->family == 4) {
		if (len < 40 || pkt[0] != 0x45)
			return "IP header";
		if (get16(pkt + 2) != len)
			return "IP length";
		if (sum16(pkt, 20, 0) != 0xffff)
			return "IP checksum";
		seg->ecn = pkt[1] & 3;
		seg->dscp = pkt[1] >> 2;
		seg->ttl = pkt[8];
	} else {
		if (len < 60 || pkt[0] >> 4 != 6)
			return "IPv6 header";
		if (get16(pkt + 4) != len - 40)
			return "IPv6 length";
		seg->ecn = pkt[1] >> 4 & 3;
		seg->dscp = (pkt[0] << 2 | pkt[1] >> 6) & 63;
		seg->ttl = pkt[7];
	}
	return NULL;
}

struct tt_peer *
tt__decode(struct tt *t, struct tt_seg *seg, const uint8_t *pkt, uint32_t len,
	   bool partial, const char **why)
{
	uint32_t hdr = t->family == 4 ? 20 : 40, off;
	const uint8_t *th = pkt + hdr;
	struct tt_peer *p;

	*why = check_ip(t, seg, pkt, len);
	if (*why != NULL)
		return NULL;
	off = (uint32_t)(th[12] >> 4) * 4;
	if (off < 20 || hdr + off > len)
		*why = "TCP header length";
	else if (!partial && l4_sum(pkt, len, hdr, 6) != 0xffff)
		*why = "TCP checksum";
	p = peer_of(t, pkt + (t->family == 4 ? 16 : 24), get16(th + 2),
		    get16(th));
	if (p == NULL)
		*why = "for a peer that nobody knows";
	if (*why != NULL)
		return NULL;
	seg->flags = (uint16_t)(th[13] | (th[12] & 1) << 8);
	seg->has_seq = seg->has_len = seg->has_win = seg->has_urg = TT_IS;
	if ((seg->flags & TH_SYN) != 0 && get32(th + 4) != p->iss) {
		p->iss = get32(th + 4);
		p->iss_known = true;
		p->ts_known = false;
	}
	seg->seq = get32(th + 4) - p->iss;
	seg->has_ack = (seg->flags & TH_ACK) != 0 ? TT_IS : TT_NO;
	seg->ack = get32(th + 8) - p->isn;
	seg->win = get16(th + 14);
	seg->urg = get16(th + 18);
	seg->len = len - hdr - off;
	seg->data = th + off;
	*why = get_options(p, seg, th + 20, th + off);
	seg->has_opts = off > 20;
	return *why == NULL ? p : NULL;
}
