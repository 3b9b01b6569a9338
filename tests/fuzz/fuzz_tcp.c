/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_tcp.c: two stacks, the wire between them and who sits on it.
 *
 * The input is a program. Its steps call the sockets of either stack, let time
 * pass, and deal with the packets that wait on the wire: deliver, lose, repeat,
 * swap, cut, turn bits of (checksums put right again), cut into fragments; and
 * forge segments and ICMP errors that fit a connection, or nearly. After it
 * both stacks are destroyed, and all memory is back, and each buffer that was
 * lent was given back once.
 */
#include "fuzz.h"
#include "stack.h"

#define STEPS_MAX 600
#define SOCKS 12
#define UDPS 3
#define WIRE_MAX 64
#define PACKET_MAX 9100
#define OUT_ELEMENTS 48

struct packet {
	uint32_t len;
	uint8_t to; /* stack */
	uint8_t bytes[PACKET_MAX];
};

struct side {
	utcp_t *u;
	utcp_sock_t *socks[SOCKS];
	utcp_udp_t *udps[UDPS];
	unsigned int num_socks, num_udps;
	uint8_t tcp[128]; /* the last segment that it sent, from IP on */
	uint32_t tcp_len;
	uint32_t hdr;
};

struct world {
	struct side side[2];
	struct packet *wire[WIRE_MAX]; /* the first num_wire are on it */
	unsigned int num_wire;
	uint64_t now_ns;
	int64_t mem;
	unsigned int lent, bufs_num;
};

static struct packet packets[WIRE_MAX];
static struct world *w;
static uint8_t text[65536];

/* ---- memory and buffers ------------------------------------------------------ */

static void *
count_alloc(void *arg, size_t bytes)
{
	w->mem += (int64_t)bytes;
	return malloc(bytes);
}

static void
count_release(void *arg, void *mem, size_t bytes)
{
	if (mem != NULL)
		w->mem -= (int64_t)bytes;
	free(mem);
}

static void
given_back(utcp_buf_t *b, int status)
{
	FUZZ_CHECK(status <= 0);
	FUZZ_CHECK(w->lent > 0);
	w->lent--;
	free(b);
}

/* ---- packets ------------------------------------------------------------------- */

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

static void
wire_remove(unsigned int i)
{
	struct packet *p = w->wire[i];

	w->num_wire--;
	memmove(&w->wire[i], &w->wire[i + 1], (w->num_wire - i) * sizeof(p));
	w->wire[w->num_wire] = p;
}

static struct packet *
wire_add(uint8_t to)
{
	struct packet *p;

	if (w->num_wire == WIRE_MAX)
		wire_remove(0); /* the oldest is lost */
	p = w->wire[w->num_wire++];
	p->len = 0;
	p->to = to;
	return p;
}

/* What side nr has to send goes onto the wire. */
static void
drain(unsigned int nr, unsigned int n, uint32_t room)
{
	static uint8_t bufs[OUT_ELEMENTS][2048];
	struct side *s = &w->side[nr];
	utcp_pkt_t el[OUT_ELEMENTS];
	struct packet *p = NULL;
	unsigned int i, turns = 0;
	uint32_t hdr;
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
				p = wire_add(!nr);
			FUZZ_CHECK(p->len + el[i].len <= PACKET_MAX);
			memcpy(p->bytes + p->len, el[i].data, el[i].len);
			p->len += el[i].len;
			if ((el[i].flags & UTCP_PKT_MORE) != 0)
				continue;
			hdr = p->bytes[0] >> 4 == 4 ? 20 : 40;
			FUZZ_CHECK(p->len >= hdr + 8);
			if (p->bytes[hdr == 20 ? 9 : 6] == 6) {
				s->hdr = hdr;
				s->tcp_len = p->len < 128 ? p->len : 128;
				memcpy(s->tcp, p->bytes, s->tcp_len);
			}
			p = NULL;
		}
		FUZZ_CHECK(p == NULL);
		FUZZ_CHECK(turns++ < 20000);
	} while (got > 0);
}

/* Gives packet p to its stack, in parts. */
static void
deliver(const struct packet *p, unsigned int parts, bool merged)
{
	utcp_pkt_t el[4];
	uint8_t *mem[4];
	uint32_t at = 0, len;
	unsigned int i;

	memset(el, 0, sizeof(el));
	if (parts > 4 || p->len < 80 * parts)
		parts = 1;
	for (i = 0; i < parts; i++) {
		len = i + 1 == parts ? p->len - at : p->len / parts;
		mem[i] = malloc(len ? len : 1);
		memcpy(mem[i], p->bytes + at, len);
		el[i].data = mem[i];
		el[i].len = len;
		el[i].flags = i + 1 < parts ? UTCP_PKT_MORE : 0;
		at += len;
	}
	if (merged) {
		el[0].gso_type = p->bytes[0] >> 4 == 4 ? UTCP_GSO_TCP4
						       : UTCP_GSO_TCP6;
		el[0].gso_size = 500;
	}
	utcp_input(w->side[p->to].u, el, parts);
	utcp_retain(w->side[p->to].u);
	for (i = 0; i < parts; i++)
		free(mem[i]);
}

/* ---- forging ----------------------------------------------------------------------- */

/* A segment as the peer of side `to` might send: from what both sent last. */
static void
forge(struct fuzz_in *in, unsigned int to)
{
	const struct side *s = &w->side[to], *o = &w->side[!to];
	uint8_t how = fuzz_u8(in), flags = fuzz_u8(in), opts = fuzz_u8(in);
	uint32_t hdr = s->hdr, len, off;
	struct packet *p;
	uint8_t *t;

	if (s->tcp_len == 0)
		return;
	p = wire_add((uint8_t)to);
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
	memcpy(t + off, text + get32(t + 4) % 1000, len);
	p->len = hdr + off + len;
	fix(p);
}

static void
forge_icmp(struct fuzz_in *in, unsigned int to)
{
	const struct side *s = &w->side[to];
	uint32_t hdr = s->hdr, quote;
	struct packet *p;
	uint8_t *b;

	if (s->tcp_len == 0)
		return;
	p = wire_add((uint8_t)to);
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

static void
forge_raw(struct fuzz_in *in, unsigned int to)
{
	struct packet *p = wire_add((uint8_t)to);
	uint8_t how = fuzz_u8(in);

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

/* ---- the wire ------------------------------------------------------------------------ */

/* Two fragments of IPv4 for one packet; they may overlap or leave a gap. */
static void
fragment(struct fuzz_in *in, unsigned int i)
{
	struct packet whole = *w->wire[i], *p;
	uint32_t cut, ofs, part;
	uint8_t how = fuzz_u8(in);

	if (whole.bytes[0] != 0x45 || whole.len < 60)
		return;
	wire_remove(i);
	cut = 8 + (uint32_t)(fuzz_u16(in) % (whole.len - 28)) / 8 * 8;
	p = wire_add(whole.to);
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
	p = wire_add(whole.to);
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
mangle(struct fuzz_in *in, unsigned int i)
{
	struct packet *p = w->wire[i];
	uint8_t n = fuzz_u8(in);
	uint32_t at;

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

static void
wire_step(struct fuzz_in *in, uint8_t op)
{
	unsigned int i;

	if (w->num_wire == 0)
		return;
	i = (op & 8) != 0 ? fuzz_u8(in) % w->num_wire : 0;
	switch (op & 7) {
	case 0: /* the first is lost */
		wire_remove(i);
		break;
	case 1: /* twice */
		deliver(w->wire[i], 1, false);
		break;
	case 2:
		mangle(in, i);
		break;
	case 3:
		fragment(in, i);
		break;
	case 4:
		deliver(w->wire[i], 2, false);
		wire_remove(i);
		break;
	case 5:
		deliver(w->wire[i], 3, true);
		wire_remove(i);
		break;
	default:
		deliver(w->wire[i], 1, false);
		wire_remove(i);
	}
}

/* All that waits is delivered, and what comes of it. */
static void
wire_flow(unsigned int rounds)
{
	while (rounds-- > 0 && w->num_wire > 0) {
		deliver(w->wire[0], 1, false);
		wire_remove(0);
		drain(0, OUT_ELEMENTS, 2048);
		drain(1, OUT_ELEMENTS, 2048);
	}
}

/* ---- calls ---------------------------------------------------------------------------- */

static utcp_addr_t
address(unsigned int nr, int family, uint16_t port)
{
	utcp_addr_t a = { .family = (uint8_t)family };

	a.addr[0] = family == 4 ? 10 : 0xfd;
	a.addr[family == 4 ? 3 : 15] = (uint8_t)(nr + 1);
	put16(&a.port_be, port);
	return a;
}

static void
call_open(struct fuzz_in *in, struct side *s, unsigned int nr)
{
	uint8_t how = fuzz_u8(in);
	int family = (how & 1) != 0 ? 6 : 4;
	utcp_addr_t a = { .family = (uint8_t)family };
	utcp_sock_t *sock;

	if (s->num_socks == SOCKS || utcp_open(s->u, family, &sock) != 0)
		return;
	s->socks[s->num_socks++] = sock;
	if ((how & 2) != 0) {
		put16(&a.port_be, 80 + (how >> 6));
		if (utcp_bind(sock, &a) == 0 && (how & 4) != 0) {
			if ((how & 8) != 0)
				utcp_set(sock, UTCP_OPT_FASTOPEN, 5);
			utcp_listen(sock, how >> 4 & 3);
		}
	}
	if ((how & 4) == 0) {
		a = address(!nr, family, 80 + (how >> 6));
		if ((how & 8) != 0)
			utcp_set(sock, UTCP_OPT_FASTOPEN_CONNECT, 1);
		utcp_connect(sock, &a);
	}
}

static void
call_send(struct fuzz_in *in, utcp_sock_t *s, uint8_t op)
{
	utcp_buf_t *b;
	size_t len = 1u + fuzz_u16(in);

	if ((op & 16) == 0 || w->bufs_num > 40) {
		utcp_write(s, text, len, (op & 32) != 0 ? UTCP_MSG_MORE : 0);
		return;
	}
	b = calloc(1, sizeof(*b));
	b->data = text;
	b->len = len;
	b->done = given_back;
	if (utcp_send(s, b, (op & 32) != 0 ? UTCP_MSG_MORE : 0) != 0) {
		free(b);
	} else {
		w->lent++;
		w->bufs_num++;
	}
}

static void
call_read(struct fuzz_in *in, utcp_sock_t *s, uint8_t op)
{
	static uint8_t buf[65536];
	utcp_view_t v[5];
	size_t sum = 0;
	uint8_t x = 0;
	int n, i;

	if ((op & 16) == 0) {
		utcp_read(s, buf, 1u + fuzz_u16(in),
			  (op & 32) != 0 ? UTCP_MSG_PEEK : 0);
		return;
	}
	n = utcp_views(s, v, 5);
	for (i = 0; i < n; i++) {
		FUZZ_CHECK(v[i].len > 0);
		x ^= v[i].data[0] ^ v[i].data[v[i].len - 1];
		sum += v[i].len;
	}
	FUZZ_CHECK(sum <= utcp_readable(s));
	buf[0] = x;
	if (sum > 0)
		FUZZ_CHECK(utcp_consume(s, (op & 32) != 0 ? sum : 1) == 0);
}

static void
call_accept(struct side *s, utcp_sock_t *l)
{
	utcp_sock_t *sock;

	if (s->num_socks < SOCKS && utcp_accept(l, &sock) == 0)
		s->socks[s->num_socks++] = sock;
}

static void
call_end(struct side *s, unsigned int i, bool abort_it)
{
	utcp_sock_t *sock = s->socks[i];

	s->socks[i] = s->socks[--s->num_socks];
	if (abort_it)
		utcp_abort(sock);
	else
		utcp_close(sock);
}

static void
call_option(struct fuzz_in *in, utcp_sock_t *s)
{
	static const char *const ccs[] = { "cubic", "newreno", "bbr", "x" };
	uint8_t opt = fuzz_u8(in);
	int64_t v = (int64_t)((uint64_t)fuzz_u16(in) << fuzz_u8(in) % 48);

	if (opt == 255)
		utcp_set_cc(s, ccs[v & 3]);
	else if ((opt & 128) != 0)
		utcp_get(s, opt & 127, &v);
	else
		utcp_set(s, opt, v);
}

static void
call_ask(utcp_sock_t *s)
{
	utcp_info_t info = { .size = sizeof(info) };
	utcp_addr_t a;

	utcp_getsockname(s, &a);
	utcp_getpeername(s, &a);
	utcp_info(s, &info);
	utcp_poll(s);
}

static void
call_udp(struct fuzz_in *in, struct side *s, unsigned int nr)
{
	uint8_t how = fuzz_u8(in);
	int family = (how & 1) != 0 ? 6 : 4;
	utcp_addr_t a = { .family = (uint8_t)family };
	utcp_dgram_t d[3];
	utcp_udp_t *sock;

	if (s->num_udps < UDPS) {
		if (utcp_udp_open(s->u, family, &sock) != 0)
			return;
		s->udps[s->num_udps++] = sock;
		put16(&a.port_be, 53 + (how >> 6));
		utcp_udp_bind(sock, &a);
		return;
	}
	sock = s->udps[(how >> 4) % UDPS];
	memset(d, 0, sizeof(d));
	d[0].data = text;
	d[0].len = fuzz_u16(in);
	d[0].peer = address(!nr, family, 53 + (how >> 6));
	if ((how & 2) != 0)
		d[0].gso_size = fuzz_u16(in);
	switch (how >> 1 & 7) {
	case 0:
		a = d[0].peer;
		utcp_udp_connect(sock, &a);
		break;
	case 1:
	case 2:
		utcp_udp_recv(sock, d, 3);
		break;
	case 3:
		utcp_udp_close(sock);
		s->udps[(how >> 4) % UDPS] = s->udps[--s->num_udps];
		break;
	default:
		utcp_udp_send(sock, d, 1);
	}
}

static void
call(struct fuzz_in *in, uint8_t op)
{
	unsigned int nr = op >> 7, i;
	struct side *s = &w->side[nr];
	utcp_sock_t *sock;

	if (s->num_socks == 0 || (op & 15) == 0) {
		call_open(in, s, nr);
		return;
	}
	i = fuzz_u8(in) % s->num_socks;
	sock = s->socks[i];
	switch (op & 15) {
	case 1:
	case 2:
	case 3:
		call_send(in, sock, op);
		break;
	case 4:
	case 5:
	case 6:
		call_read(in, sock, op);
		break;
	case 7:
	case 8:
		call_accept(s, sock);
		break;
	case 9:
		call_end(s, i, false);
		break;
	case 10:
		call_end(s, i, true);
		break;
	case 11:
		utcp_shutdown(sock, op >> 4 & 3);
		break;
	case 12:
		call_option(in, sock);
		break;
	case 13:
		call_ask(sock);
		break;
	case 14:
		call_udp(in, s, nr);
		break;
	default:
		if ((op & 64) != 0)
			utcp_set_mtu(s->u, fuzz_u16(in) % 9001u);
		else
			utcp_listen(sock, fuzz_u8(in));
	}
}

/* ---- time ---------------------------------------------------------------------------------- */

static void
events(struct side *s)
{
	utcp_event_t ev[3];
	int n;

	do {
		n = utcp_events(s->u, ev, 3);
		FUZZ_CHECK(n >= 0 && n <= 3);
	} while (n > 0);
}

/* Both send all they want now; then neither says that it is its turn. */
static void
settle(void)
{
	unsigned int nr, turns = 0;
	bool again;

	do {
		again = false;
		for (nr = 0; nr < 2; nr++) {
			utcp_advance(w->side[nr].u, w->now_ns);
			drain(nr, OUT_ELEMENTS, 2048);
			events(&w->side[nr]);
			if (utcp_next_ns(w->side[nr].u) <= w->now_ns)
				again = true;
		}
		FUZZ_CHECK(turns++ < 100);
	} while (again);
}

static void
pass(uint64_t ns)
{
	uint64_t to = w->now_ns + ns, next, other;
	unsigned int turns = 0;

	for (;;) {
		settle();
		next = utcp_next_ns(w->side[0].u);
		other = utcp_next_ns(w->side[1].u);
		if (other < next)
			next = other;
		if (next > to || turns++ > 300)
			break;
		w->now_ns = next;
	}
	w->now_ns = to;
	settle();
}

/* ---- an input --------------------------------------------------------------------------------- */

static void
begin(struct fuzz_in *in)
{
	utcp_config_t cfg = { .size = sizeof(cfg) };
	utcp_addr_t a;
	unsigned int i;
	uint8_t how = fuzz_u8(in);

	w->now_ns = cfg.now_ns = SEC;
	cfg.alloc = count_alloc;
	cfg.release = count_release;
	if ((how & 1) != 0)
		cfg.max_syns = 2;
	if ((how & 2) != 0)
		cfg.max_socks = 5;
	if ((how & 4) != 0)
		cfg.max_bytes = 50000;
	if ((how & 8) != 0)
		cfg.mtu = 9000;
	if ((how & 16) != 0)
		cfg.max_timewait = 1;
	for (i = 0; i < 2; i++) {
		cfg.seed[0] = (uint8_t)i;
		FUZZ_CHECK(utcp_create(&w->side[i].u, &cfg) == 0);
		a = address(i, 4, 0);
		FUZZ_CHECK(utcp_address(w->side[i].u, &a, 1) == 0);
		a = address(i, 6, 0);
		FUZZ_CHECK(utcp_address(w->side[i].u, &a, 1) == 0);
	}
}

static void
step(struct fuzz_in *in)
{
	uint8_t op = fuzz_u8(in), how = fuzz_u8(in);

	switch (op & 7) {
	case 0:
	case 1:
		call(in, how);
		break;
	case 2:
		wire_step(in, how);
		break;
	case 3:
		wire_flow(1 + how % 32);
		break;
	case 4:
		forge(in, how & 1);
		break;
	case 5:
		pass((uint64_t)(1 + (how >> 5)) << (how & 31) << 5);
		break;
	case 6:
		if ((how & 6) == 0)
			forge_raw(in, how & 1);
		else if ((how & 6) == 2)
			forge_icmp(in, how & 1);
		else
			forge(in, how & 1);
		wire_flow(w->num_wire);
		break;
	default: /* little room for output */
		utcp_advance(w->side[how & 1].u, w->now_ns);
		drain(how & 1, UTCP_PKT_PARTS_MAX + how % 8,
		      128 + (how & 0xf8u) * 6);
	}
	if ((op & 8) != 0)
		settle();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	unsigned int i, steps = 0;

	for (i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 7 + (i >> 8));
	w = calloc(1, sizeof(*w));
	for (i = 0; i < WIRE_MAX; i++)
		w->wire[i] = &packets[i];
	begin(&in);
	while (in.left > 0 && steps++ < STEPS_MAX)
		step(&in);
	settle();
	for (i = 0; i < 2; i++)
		utcp_destroy(w->side[i].u);
	FUZZ_CHECK(w->mem == 0);
	FUZZ_CHECK(w->lent == 0);
	free(w);
	return 0;
}
