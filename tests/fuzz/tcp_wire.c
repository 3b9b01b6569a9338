/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_wire.c: the wire of fuzz_tcp, and who sits on it. */
#include "tcp_world.h"

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

/* Lengths and checksums of a packet without IP options put right. */
static void
fix(struct packet *p)
{
	uint8_t *b = p->bytes;
	uint32_t l3 = b[0] >> 4 == 4 ? 20 : 40, l4, at, sum;
	uint8_t proto;

	p->partial = false;
	if (p->len < l3 + 8)
		return;
	l4 = p->len - l3;
	proto = b[l3 == 20 ? 9 : 6];
	if (l3 == 20) {
		b[0] = 0x45;
		put16(b + 2, p->len);
		put16(b + 10, 0);
		put16(b + 10, (uint16_t)~sum16(b, 20, 0));
	} else {
		put16(b + 4, l4);
	}
	at = proto == 6			 ? 16
	     : proto == 17		 ? 6
	     : proto == 1 || proto == 58 ? 2
					 : 0;
	if (at == 0 || l4 < at + 2)
		return;
	sum = proto == 1 ? 0 : proto + l4;
	if (proto != 1)
		sum = l3 == 20 ? sum16(b + 12, 8, sum) : sum16(b + 8, 32, sum);
	put16(b + l3 + at, 0);
	put16(b + l3 + at, (uint16_t)~sum16(b + l3, l4, sum));
}

void
wire_remove(struct world *w, unsigned int i)
{
	struct packet *p = w->wire[i];

	w->num_wire--;
	memmove(&w->wire[i], &w->wire[i + 1], (w->num_wire - i) * sizeof(p));
	w->wire[w->num_wire] = p;
}

static struct packet *
wire_add(struct world *w, unsigned int to)
{
	struct packet *p;

	if (w->num_wire == WIRE_MAX)
		wire_remove(w, 0); /* the oldest is lost */
	p = w->wire[w->num_wire++];
	p->len = 0;
	p->to = (uint8_t)to;
	p->partial = false;
	p->gso_type = UTCP_GSO_NONE;
	p->gso_size = 0;
	return p;
}

/* ---- between stack and wire ---------------------------------------------------- */

/* Adds an element to packet p; the first begins with a link header. */
static void
take_element(struct world *w, struct packet *p, const utcp_pkt_t *el)
{
	uint32_t skip = p->len == 0 ? w->l2_bytes : 0;

	FUZZ_CHECK(el->len >= skip && p->len + el->len - skip <= PACKET_MAX);
	if (p->len == 0) {
		p->partial = (el->flags & UTCP_PKT_CSUM_PARTIAL) != 0;
		p->csum_start = el->csum_start;
		p->csum_offset = el->csum_offset;
		p->gso_type = el->gso_type;
		p->gso_size = el->gso_size;
		FUZZ_CHECK(p->gso_type == UTCP_GSO_NONE || p->partial);
	}
	memcpy(p->bytes + p->len, el->data + skip, el->len - skip);
	p->len += el->len - skip;
}

static void
packet_sent(struct side *s, const struct packet *p)
{
	uint32_t hdr = p->bytes[0] >> 4 == 4 ? 20 : 40;

	FUZZ_CHECK(p->len > hdr);
	if (p->len >= hdr + 20 && p->bytes[hdr == 20 ? 9 : 6] == 6) {
		s->hdr = hdr;
		s->tcp_len = p->len < 128 ? p->len : 128;
		memcpy(s->tcp, p->bytes, s->tcp_len);
	}
}

void
wire_drain(struct world *w, unsigned int nr, unsigned int n, uint32_t room)
{
	static uint8_t bufs[OUT_ELEMENTS][2048];
	struct side *s = &w->side[nr];
	utcp_pkt_t el[OUT_ELEMENTS];
	struct packet *p = NULL;
	unsigned int i, turns = 0;
	int got;

	do {
		memset(el, 0, sizeof(el));
		for (i = 0; i < n; i++) {
			el[i].data = bufs[i];
			el[i].len = room;
		}
		got = utcp_output(s->u, el, n);
		FUZZ_CHECK(got >= 0 && got <= (int)n);
		for (i = 0; i < (unsigned int)got; i++) {
			FUZZ_CHECK(el[i].len <= room);
			if (p == NULL)
				p = wire_add(w, !nr);
			take_element(w, p, &el[i]);
			if ((el[i].flags & UTCP_PKT_MORE) != 0)
				continue;
			packet_sent(s, p);
			p = NULL;
		}
		FUZZ_CHECK(p == NULL);
		FUZZ_CHECK(turns++ < 20000);
	} while (got > 0);
}

/* An element of its own memory, so that a sanitizer sees what is read past. */
static utcp_pkt_t
element(const uint8_t *bytes, uint32_t len)
{
	utcp_pkt_t el = { .len = len };

	el.data = malloc(len ? len : 1);
	memcpy(el.data, bytes, len);
	return el;
}

/* What the first element says of the packet. */
static void
mark_first(struct world *w, const struct packet *p, utcp_pkt_t *el)
{
	uint8_t *data = malloc(w->l2_bytes + el->len + 1);

	memset(data, 0xee, w->l2_bytes);
	memcpy(data + w->l2_bytes, el->data, el->len);
	free(el->data);
	el->data = data;
	el->len += w->l2_bytes;
	if (p->partial) {
		el->flags |= UTCP_PKT_CSUM_PARTIAL;
		el->csum_start = p->csum_start;
		el->csum_offset = p->csum_offset;
	}
	el->gso_type = p->gso_type;
	el->gso_size = p->gso_size;
}

void
wire_deliver(struct world *w, const struct packet *p, unsigned int parts,
	     bool merged)
{
	utcp_pkt_t el[4];
	uint32_t at = 0, len;
	unsigned int i;

	if (parts > 4 || p->len < 80 * parts)
		parts = 1;
	for (i = 0; i < parts; i++) {
		len = i + 1 == parts ? p->len - at : p->len / parts;
		el[i] = element(p->bytes + at, len);
		el[i].flags = i + 1 < parts ? UTCP_PKT_MORE : 0;
		at += len;
	}
	mark_first(w, p, &el[0]);
	if (merged) {
		el[0].gso_type = p->bytes[0] >> 4 == 4 ? UTCP_GSO_TCP4
						       : UTCP_GSO_TCP6;
		el[0].gso_size = 500;
	}
	FUZZ_CHECK(utcp_input(w->side[p->to].u, el, parts) == 0);
	utcp_retain(w->side[p->to].u);
	for (i = 0; i < parts; i++)
		free(el[i].data);
}

void
wire_deliver_odd(struct world *w, struct fuzz_in *in, unsigned int to)
{
	uint8_t cut[3] = { fuzz_u8(in), fuzz_u8(in), fuzz_u8(in) };
	utcp_t *u = w->side[to].u;
	utcp_pkt_t el[32] = { 0 };
	unsigned int n = 0, i = 0, k;

	while (i < w->num_wire && n + 4 <= 32) {
		const struct packet *p = w->wire[i];
		unsigned int first = n;
		uint32_t at = 0, len;

		if (p->to != to) {
			i++;
			continue;
		}
		for (k = 0; k < 3; k++) { /* parts may be empty */
			len = cut[k] < p->len - at ? cut[k] : p->len - at;
			el[n] = element(p->bytes + at, len);
			el[n++].flags = UTCP_PKT_MORE;
			at += len;
		}
		el[n++] = element(p->bytes + at, p->len - at);
		mark_first(w, p, &el[first]);
		wire_remove(w, i);
	}
	FUZZ_CHECK(utcp_input(u, el, n) == 0);
	read_all(w); /* from the packets' own memory */
	utcp_retain(u);
	for (k = 0; k < n; k++)
		free(el[k].data);
}

void
wire_flow(struct world *w, unsigned int rounds)
{
	while (rounds-- > 0 && w->num_wire > 0) {
		wire_deliver(w, w->wire[0], 1, false);
		wire_remove(w, 0);
		wire_drain(w, 0, OUT_ELEMENTS, 2048);
		wire_drain(w, 1, OUT_ELEMENTS, 2048);
	}
}

/* ---- forging ----------------------------------------------------------------------- */

/* A segment as the peer of side `to` might send: from what both sent last. */
void
forge(struct world *w, struct fuzz_in *in, unsigned int to)
{
	const struct side *s = &w->side[to], *o = &w->side[!to];
	uint8_t how = fuzz_u8(in), flags = fuzz_u8(in), opts = fuzz_u8(in);
	uint32_t hdr = s->hdr, len, off;
	struct packet *p;
	uint8_t *t;

	if (s->tcp_len == 0)
		return;
	w->hostile = true;
	p = wire_add(w, to);
	memset(p->bytes, 0, 200);
	memcpy(p->bytes, s->tcp, hdr);
	if (hdr == 20) { /* the other way round */
		memcpy(p->bytes + 12, s->tcp + 16, 4);
		memcpy(p->bytes + 16, s->tcp + 12, 4);
		p->bytes[1] = how & 3;
	} else {
		memcpy(p->bytes + 8, s->tcp + 24, 16);
		memcpy(p->bytes + 24, s->tcp + 8, 16);
	}
	t = p->bytes + hdr;
	memcpy(t, s->tcp + hdr + 2, 2);
	memcpy(t + 2, s->tcp + hdr, 2);
	/* seq: what it acknowledged last; ack: what it sent last; and near */
	put32(t + 4,
	      get32(s->tcp + hdr + 8) +
		  (uint32_t)(int32_t)(int16_t)((how & 4) != 0 ? fuzz_u16(in)
							      : 0));
	put32(t + 8,
	      get32(s->tcp + hdr + 4) +
		  (uint32_t)(int32_t)(int16_t)((how & 8) != 0 ? fuzz_u16(in)
							      : 0));
	t[13] = flags;
	put16(t + 14, (how & 16) != 0 ? fuzz_u16(in) : 0x7fff);
	put16(t + 18, (how & 32) != 0 ? fuzz_u16(in) : 0);
	off = 20;
	if ((opts & 64) != 0 && o->tcp_len > hdr + 32 && o->hdr == hdr) {
		/* the options that the peer used last */
		off = (uint32_t)(o->tcp[hdr + 12] >> 4) * 4;
		if (off > o->tcp_len - hdr)
			off = 20;
		memcpy(t + 20, o->tcp + hdr + 20, off - 20);
	} else {
		off += (opts & 10) * 4u;
		fuzz_bytes(in, t + 20, off - 20);
	}
	t[12] = (uint8_t)(off << 2);
	len = (how & 64) != 0 ? fuzz_u16(in) % 3000 : opts & 1 ? 100 : 0;
	memcpy(t + off, fuzz_text + get32(t + 4) % 1000, len);
	p->len = hdr + off + len;
	fix(p);
}

void
forge_icmp(struct world *w, struct fuzz_in *in, unsigned int to)
{
	const struct side *s = &w->side[to];
	uint32_t hdr = s->hdr, quote;
	struct packet *p;
	uint8_t *b;

	if (s->tcp_len == 0)
		return;
	w->hostile = true;
	p = wire_add(w, to);
	b = p->bytes;
	memset(b, 0, 48);
	memcpy(b, s->tcp, hdr);
	if (hdr == 20) {
		memcpy(b + 16, s->tcp + 12, 4);
		b[9] = 1;
	} else {
		memcpy(b + 24, s->tcp + 8, 16);
		b[6] = 58;
	}
	b[hdr] = fuzz_u8(in);
	b[hdr + 1] = fuzz_u8(in);
	put16(b + hdr + 6, fuzz_u16(in));
	quote = 8 + fuzz_u8(in) % (s->tcp_len - 8 + 1);
	memcpy(b + hdr + 8, s->tcp, quote);
	p->len = hdr + 8 + quote;
	fix(p);
}

void
forge_raw(struct world *w, struct fuzz_in *in, unsigned int to)
{
	struct packet *p = wire_add(w, to);
	uint8_t how = fuzz_u8(in);

	w->hostile = true;
	p->len = fuzz_u16(in) % 1500;
	fuzz_bytes(in, p->bytes, p->len);
	if ((how & 1) != 0 && p->len >= 28) {
		p->bytes[0] = 0x45;
		memcpy(p->bytes + 16, "\12\0\0\1", 4);
		p->bytes[19] = (uint8_t)(to + 1);
	} else if ((how & 2) != 0 && p->len >= 48) {
		p->bytes[0] = 0x60;
		memset(p->bytes + 24, 0, 16);
		p->bytes[24] = 0xfd;
		p->bytes[39] = (uint8_t)(to + 1);
	}
	if ((how & 4) != 0)
		fix(p);
}

/* ---- mischief ------------------------------------------------------------------------ */

/* Two fragments of IPv4 for one packet; they may overlap or leave a gap. */
static void
fragment(struct world *w, struct fuzz_in *in, unsigned int i)
{
	static struct packet whole;
	uint32_t cut, ofs, part;
	uint8_t how = fuzz_u8(in);
	struct packet *p;

	whole = *w->wire[i];
	if (whole.bytes[0] != 0x45 || whole.len < 60)
		return;
	if (whole.partial)
		fix(&whole);
	whole.gso_type = UTCP_GSO_NONE;
	wire_remove(w, i);
	cut = 8 + (uint32_t)(fuzz_u16(in) % (whole.len - 28)) / 8 * 8;
	p = wire_add(w, whole.to);
	*p = whole;
	p->len = 20 + cut;
	put16(p->bytes + 2, p->len);
	put16(p->bytes + 6, 0x2000);
	put16(p->bytes + 10, 0);
	put16(p->bytes + 10, (uint16_t)~sum16(p->bytes, 20, 0));
	ofs = cut;
	if ((how & 1) != 0 && ofs >= 8)
		ofs -= 8;
	if ((how & 2) != 0 && 20 + ofs + 8 < whole.len)
		ofs += 8;
	p = wire_add(w, whole.to);
	memcpy(p->bytes, whole.bytes, 20);
	part = whole.len - 20 - ofs;
	memcpy(p->bytes + 20, whole.bytes + 20 + ofs, part);
	p->len = 20 + part;
	put16(p->bytes + 2, p->len);
	put16(p->bytes + 6, ofs / 8 | ((how & 4) != 0 ? 0x2000 : 0));
	put16(p->bytes + 10, 0);
	put16(p->bytes + 10, (uint16_t)~sum16(p->bytes, 20, 0));
}

static void
mangle(struct world *w, struct fuzz_in *in, unsigned int i)
{
	struct packet *p = w->wire[i];
	uint8_t n = fuzz_u8(in);
	uint32_t at;

	w->hostile = true;
	do {
		at = fuzz_u8(in);
		if (at < p->len)
			p->bytes[at] ^= (uint8_t)(1 + fuzz_u8(in));
	} while ((n++ & 3) != 3);
	if ((n & 16) != 0 && p->len > 40)
		p->len -= fuzz_u8(in) % (p->len - 20);
	if ((n & 4) == 0)
		fix(p);
}

void
wire_step(struct world *w, struct fuzz_in *in, uint8_t op)
{
	unsigned int i;

	if (w->num_wire == 0)
		return;
	i = (op & 8) != 0 ? fuzz_u8(in) % w->num_wire : 0;
	switch (op & 7) {
	case 0: /* the first is lost */
		wire_remove(w, i);
		break;
	case 1: /* twice */
		wire_deliver(w, w->wire[i], 1, false);
		break;
	case 2:
		mangle(w, in, i);
		break;
	case 3:
		fragment(w, in, i);
		break;
	case 4:
		wire_deliver(w, w->wire[i], 2, false);
		wire_remove(w, i);
		break;
	case 5:
		wire_deliver(w, w->wire[i], 3, true);
		wire_remove(w, i);
		break;
	default:
		wire_deliver(w, w->wire[i], 1, false);
		wire_remove(w, i);
	}
}
