/* SPDX-License-Identifier: BSD-2-Clause */
/* batch_ends.c: the sockets: new ones of the batch, and all of its peer's. */
#include "batch_world.h"

#define READ_MAX 65536

static struct world *const w = &fuzz_world;

utcp_addr_t
fuzz_address(unsigned int nr, int family, uint32_t port)
{
	utcp_addr_t a = { .family = (uint8_t)family };

	a.addr[0] = family == 4 ? 10 : 0xfd;
	a.addr[family == 4 ? 3 : 15] = (uint8_t)(nr + 1);
	a.port_be = (uint16_t)(port >> 8 | (port & 255) << 8);
	return a;
}

/* Small buffers, so that they are full now and then, and large ones, of which a
   turn's arena is full. */
static void
options(utcp_sock_t *s, uint8_t how)
{
	if ((how & 1) != 0)
		(void)utcp_set(s, UTCP_OPT_SNDBUF, 4096 << 2 * (how >> 6));
	if ((how & 2) != 0)
		(void)utcp_set(s, UTCP_OPT_RCVBUF, 4096 << 2 * (how >> 6));
	if ((how & 4) != 0)
		(void)utcp_set(s, UTCP_OPT_NODELAY, 1);
	if ((how & 8) != 0)
		(void)utcp_set(s, UTCP_OPT_NOTSENT_LOWAT, 1 << (how >> 4));
}

/* Listens, or connects to side `to`. */
static utcp_sock_t *
opened(struct fuzz_in *in, utcp_t *u, unsigned int to, bool listens)
{
	uint8_t how = fuzz_u8(in);
	int family = (how & 1) != 0 ? 6 : 4;
	utcp_addr_t a = { .family = (uint8_t)family };
	utcp_sock_t *s;

	if (utcp_open(u, family, &s) != 0)
		return NULL;
	options(s, fuzz_u8(in));
	if (listens) {
		a.port_be = (uint16_t)(80 + (how >> 7)) << 8;
		if (utcp_bind(s, &a) == 0)
			(void)utcp_listen(s, how >> 2 & 15);
	} else {
		a = fuzz_address(to, family, 80 + (how >> 7));
		(void)utcp_connect(s, &a);
	}
	return s;
}

static utcp_udp_t *
udp_opened(struct fuzz_in *in, utcp_t *u, unsigned int to)
{
	uint8_t how = fuzz_u8(in);
	utcp_addr_t a = fuzz_address(!to, 4, 7 + how % 8);
	utcp_udp_t *s;

	if (utcp_udp_open(u, 4, &s) != 0)
		return NULL;
	if ((how & 16) != 0)
		(void)utcp_udp_set(s, UTCP_OPT_SNDBUF, 4096);
	if ((how & 32) != 0)
		(void)utcp_udp_bind(s, &a);
	a = fuzz_address(to, 4, 7 + fuzz_u8(in) % 8);
	if ((how & 64) != 0)
		(void)utcp_udp_connect(s, &a);
	return s;
}

/* ---- the batch's -------------------------------------------------------------------- */

static void
known(int id, utcp_sock_t *s, utcp_udp_t *udp, uint32_t mode)
{
	const struct number k = { .s = s, .udp = udp, .mode = (uint8_t)mode };

	FUZZ_CHECK(id >= 0);
	number_new((uint32_t)id, &k);
}

static void
add_udp(struct fuzz_in *in, uint32_t mode)
{
	utcp_udp_t *s = udp_opened(in, w->link[0].u, 1);
	int id;

	if (s == NULL)
		return;
	id = msbatch_add_udp(w->b, s, mode);
	if (id >= 0) {
		known(id, NULL, s, mode);
		FUZZ_CHECK(msbatch_add_udp(w->b, s, mode) == -EINVAL);
	} else {
		FUZZ_CHECK(id == -ENOMEM || mode == MSBATCH_ACCEPT);
		utcp_udp_close(s);
	}
}

void
fuzz_add(struct fuzz_in *in, uint8_t how)
{
	unsigned int to = (how & 8) != 0 ? 0 : 1; /* to itself, or the peer */
	uint32_t mode = how >> 6;
	utcp_sock_t *s;
	int id;

	if ((how & 6) == 0) {
		add_udp(in, mode);
		return;
	}
	s = opened(in, w->link[0].u, to, (how & 6) == 2);
	if (s == NULL)
		return;
	if ((how & 6) == 2 && (how & 16) != 0)
		mode = MSBATCH_ACCEPT;
	id = msbatch_add(w->b, s, mode);
	if (id >= 0) {
		known(id, s, NULL, mode);
		FUZZ_CHECK(msbatch_add(w->b, s, mode) == -EINVAL);
	} else {
		FUZZ_CHECK(id == -ENOMEM);
		utcp_close(s);
	}
}

void
fuzz_direct(struct fuzz_in *in, uint8_t how)
{
	static uint8_t bytes[READ_MAX];
	struct number *k = &w->numbers[fuzz_u8(in) % 24];
	size_t len = 1u << how % 16;
	ssize_t n;

	if (k->s == NULL)
		return;
	switch (how >> 5) {
	case 0:
		options(k->s, fuzz_u8(in));
		break;
	case 1:
		(void)utcp_shutdown(k->s, UTCP_SHUT_WR);
		break;
	case 2:
		text_put(bytes, k->sent, len);
		n = utcp_write(k->s, bytes, len, 0);
		k->sent += n > 0 ? (uint64_t)n : 0;
		break;
	default:
		n = utcp_read(k->s, bytes, len, 0);
		if (n > 0)
			text_check(bytes, k->got, (size_t)n);
		k->got += n > 0 ? (uint64_t)n : 0;
	}
	/* What it was told may hold no more. */
	k->told &= utcp_poll(k->s);
}

/* ---- the peer's --------------------------------------------------------------------- */

static void
peer_read(struct end *e, size_t most)
{
	static uint8_t bytes[READ_MAX];
	ssize_t n;

	while (most > 0) {
		n = utcp_read(e->s, bytes, most < READ_MAX ? most : READ_MAX,
			      0);
		if (n <= 0)
			return;
		text_check(bytes, e->got, (size_t)n);
		e->got += (uint64_t)n;
		w->got += (uint64_t)n;
		most -= (size_t)n;
	}
}

static void
peer_udp_read(utcp_udp_t *s)
{
	utcp_dgram_t d;

	while (utcp_udp_recv(s, &d, 1) == 1) {
		if (d.gso_size == 0)
			dgram_check(d.data, d.len);
		else
			for (size_t at = 0; at < d.len; at += d.gso_size)
				dgram_check((const uint8_t *)d.data + at,
					    d.len - at < d.gso_size
						? d.len - at
						: d.gso_size);
	}
}

void
peer_read_all(void)
{
	for (unsigned int i = 0; i < w->num_ends; i++)
		peer_read(&w->ends[i], SIZE_MAX);
	for (unsigned int i = 0; i < w->num_udps; i++)
		peer_udp_read(w->udps[i]);
}

static void
peer_open(struct fuzz_in *in, uint8_t how)
{
	utcp_t *u = w->link[1].u;

	if ((how & 1) != 0 && w->num_udps < ENDS) {
		w->udps[w->num_udps] = udp_opened(in, u, 0);
		w->num_udps += w->udps[w->num_udps] != NULL;
	} else if (w->num_ends < ENDS) {
		w->ends[w->num_ends] =
		    (struct end){ .s = opened(in, u, 0, (how & 6) == 0) };
		w->num_ends += w->ends[w->num_ends].s != NULL;
	}
}

static void
peer_accept(struct end *e)
{
	utcp_sock_t *s;

	while (w->num_ends < ENDS && utcp_accept(e->s, &s) == 0)
		w->ends[w->num_ends++] = (struct end){ .s = s };
}

static void
peer_write(struct end *e, size_t len)
{
	static uint8_t bytes[READ_MAX];
	ssize_t n;

	text_put(bytes, e->sent, len);
	n = utcp_write(e->s, bytes, len, 0);
	e->sent += n > 0 ? (uint64_t)n : 0;
}

/* One datagram, or many in one. */
static void
peer_send(struct fuzz_in *in, utcp_udp_t *s, uint8_t how)
{
	static uint8_t bytes[READ_MAX];
	uint32_t gso = (how & 1) != 0 ? 1 + fuzz_u16(in) % 1400 : 0;
	size_t len = fuzz_u16(in) % 65508, at, n;
	utcp_dgram_t d = { .data = bytes, .gso_size = gso };

	if (gso != 0 && len > gso * 128u)
		len = gso * 128u;
	for (at = 0; at < len; at += n) {
		n = gso != 0 && gso < len - at ? gso : len - at;
		dgram_put(bytes + at, n);
	}
	d.len = len;
	d.peer = fuzz_address(0, 4, 7 + (how >> 1) % 8);
	(void)utcp_udp_send(s, &d, 1);
}

static void
peer_end(unsigned int i, bool abort_it)
{
	utcp_sock_t *s = w->ends[i].s;

	w->ends[i] = w->ends[--w->num_ends];
	if (abort_it)
		utcp_abort(s);
	else
		utcp_close(s);
}

static void
peer_udp(struct fuzz_in *in, uint8_t how)
{
	unsigned int i = fuzz_u8(in) % w->num_udps;

	if ((how & 0xc0) == 0xc0) {
		utcp_udp_close(w->udps[i]);
		w->udps[i] = w->udps[--w->num_udps];
	} else if ((how & 0x40) != 0) {
		peer_udp_read(w->udps[i]);
	} else {
		peer_send(in, w->udps[i], fuzz_u8(in));
	}
}

void
fuzz_peer(struct fuzz_in *in, uint8_t how)
{
	unsigned int i;

	if ((how & 7) == 0)
		peer_open(in, fuzz_u8(in));
	else if ((how & 7) == 1 && w->num_udps > 0)
		peer_udp(in, how);
	if ((how & 6) == 0)
		return;
	i = fuzz_u8(in);
	if (w->num_ends == 0)
		return;
	i %= w->num_ends;
	switch (how & 7) {
	case 2:
	case 3:
		peer_write(&w->ends[i], 1u << (how >> 4));
		break;
	case 4:
		peer_accept(&w->ends[i]);
		break;
	case 5:
		peer_read(&w->ends[i], 1u << (how >> 3));
		break;
	case 6:
		(void)utcp_shutdown(w->ends[i].s, UTCP_SHUT_WR);
		break;
	default:
		peer_end(i, (how & 8) != 0);
	}
}
