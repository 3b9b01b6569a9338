/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crypt_wire.h: two stacks with tcpcrypt, and who sits on the wire: he listens,
 * takes options off, changes bytes (checksums are not looked at here).
 */
#ifndef CRYPT_WIRE_H
#define CRYPT_WIRE_H

#include "utcp_pair.h"

#include <multistack/utcp_crypt.h>

#define KIND_ENO 69
#define TEXT 300000

static uint8_t text[TEXT];

static inline void
text_init(void)
{
	for (size_t i = 0; i < TEXT; i++)
		text[i] = pattern(i * 7 + i / 5000);
}

struct seg {
	unsigned int from;
	uint8_t *tcp; /* header */
	uint8_t *opts, *data;
	size_t opts_len, data_len;
	uint8_t *ip;
};

struct wire {
	struct pair p;
	utcp_sock_t *listener, *c, *s;
	uint64_t base[2];
	/* False: the packet is lost. */
	bool (*man)(struct wire *w, struct seg *seg);
	unsigned int count; /* the man's */
	size_t at;
	uint8_t *tap[2]; /* payloads, as they came */
	size_t tap_len[2];
};

static inline bool
show(struct wire *w, unsigned int from, utcp_pkt_t *pkt)
{
	struct seg seg = { .from = from, .ip = pkt->data };
	size_t ip = (size_t)(pkt->data[0] & 15) * 4, hlen;

	seg.tcp = pkt->data + ip;
	hlen = (size_t)(seg.tcp[12] >> 4) * 4;
	seg.opts = seg.tcp + 20;
	seg.opts_len = hlen - 20;
	seg.data = seg.tcp + hlen;
	seg.data_len = get16(pkt->data + 2) - ip - hlen;
	assert_true(w->tap_len[from] + seg.data_len < 4 * TEXT);
	memcpy(w->tap[from] + w->tap_len[from], seg.data, seg.data_len);
	w->tap_len[from] += seg.data_len;
	return w->man == NULL || w->man(w, &seg);
}

static inline int
move(struct wire *w, unsigned int from)
{
	utcp_pkt_t pkts[BUFS] = { { 0 } };
	int n;

	for (int i = 0; i < BUFS; i++) {
		pkts[i].data = w->p.mem + i * BUF_BYTES;
		pkts[i].len = BUF_BYTES;
	}
	n = utcp_output(w->p.u[from], pkts, BUFS);
	assert_true(n >= 0);
	for (int i = 0; i < n; i++)
		if (show(w, from, &pkts[i]))
			assert_int_equal(utcp_input(w->p.u[!from], &pkts[i], 1),
					 0);
	utcp_retain(w->p.u[!from]);
	memset(w->p.mem, 0xee, (size_t)n * BUF_BYTES);
	return n;
}

static inline void
pump(struct wire *w)
{
	for (int i = 0; i < 10000; i++)
		if (move(w, 0) + move(w, 1) == 0)
			return;
	fail_msg("two stacks talk without an end");
}

static inline void
pass(struct wire *w, uint64_t ns)
{
	uint64_t end = w->p.now_ns + ns, next;

	for (pump(w);; pump(w)) {
		next = MIN(utcp_next_ns(w->p.u[0]), utcp_next_ns(w->p.u[1]));
		if (next > end)
			break;
		w->p.now_ns = MAX(next, w->p.now_ns);
		utcp_advance(w->p.u[0], w->p.now_ns);
		utcp_advance(w->p.u[1], w->p.now_ns);
	}
	w->p.now_ns = end;
	utcp_advance(w->p.u[0], end);
	utcp_advance(w->p.u[1], end);
}

#define BOTH 3u

/* Stacks; those of `which` have tcpcrypt. */
static inline void
begin(struct wire *w, unsigned int which)
{
	utcp_usage_t usage;

	memset(w, 0, sizeof(*w));
	pair_init_with(&w->p, 4,
		       (utcp_config_t){ .offloads = UTCP_OFFLOAD_CSUM_TRUST });
	for (unsigned int i = 0; i < 2; i++) {
		w->tap[i] = malloc(4 * TEXT);
		if ((which & 1u << i) != 0)
			assert_int_equal(utcp_crypt_register(w->p.u[i]), 0);
		utcp_usage(w->p.u[i], &usage);
		w->base[i] = usage.mem_bytes;
	}
}

static inline void
end(struct wire *w)
{
	pair_end(&w->p);
	free(w->tap[0]);
	free(w->tap[1]);
}

static inline void
server(struct wire *w, const utcp_crypt_options_t *o)
{
	utcp_addr_t a = w->p.addr[1];

	put16(&a.port_be, 80);
	assert_int_equal(utcp_open(w->p.u[1], 4, &w->listener), 0);
	if (o != NULL)
		assert_int_equal(utcp_crypt_set(w->listener, o), 0);
	assert_int_equal(utcp_bind(w->listener, &a), 0);
	assert_int_equal(utcp_listen(w->listener, 8), 0);
}

/* A connection from 0 to 1. */
static inline void
client(struct wire *w, const utcp_crypt_options_t *o)
{
	utcp_addr_t a = w->p.addr[1];

	put16(&a.port_be, 80);
	w->tap_len[0] = w->tap_len[1] = 0;
	assert_int_equal(utcp_open(w->p.u[0], 4, &w->c), 0);
	if (o != NULL)
		assert_int_equal(utcp_crypt_set(w->c, o), 0);
	assert_int_equal(utcp_connect(w->c, &a), -EINPROGRESS);
	pump(w);
}

static inline void
opened(struct wire *w)
{
	assert_int_equal(utcp_accept(w->listener, &w->s), 0);
}

static inline void
open_all(struct wire *w, unsigned int which)
{
	begin(w, which);
	server(w, NULL);
	client(w, NULL);
	opened(w);
}

static inline void
close_all(struct wire *w)
{
	utcp_close(w->c);
	utcp_close(w->s);
	w->c = w->s = NULL;
	pump(w);
}

static inline utcp_crypt_session_t
session(const utcp_sock_t *s)
{
	utcp_crypt_session_t out = { .size = sizeof(out) };

	assert_int_equal(utcp_crypt_session(s, &out), 0);
	return out;
}

static inline int
session_error(const utcp_sock_t *s)
{
	utcp_crypt_session_t out = { .size = sizeof(out) };

	return utcp_crypt_session(s, &out);
}

static inline bool
same_session(struct wire *w)
{
	utcp_crypt_session_t a = session(w->c), b = session(w->s);

	assert_int_not_equal(a.host, b.host);
	assert_int_equal(a.protocol, b.protocol);
	assert_int_equal(a.cipher, b.cipher);
	assert_int_equal(a.resumed, b.resumed);
	return memcmp(a.id, b.id, sizeof(a.id)) == 0;
}

static inline void
put(utcp_sock_t *s, size_t at, size_t len)
{
	assert_int_equal(utcp_write(s, text + at, len, 0), len);
}

/* Reads len bytes, which are those of the text from `at` on. */
static inline void
take(struct wire *w, utcp_sock_t *s, size_t at, size_t len)
{
	static uint8_t buf[TEXT];
	size_t got = 0;
	ssize_t n;

	for (int i = 0; got < len && i < 1000; i++) {
		n = utcp_read(s, buf + got, len - got, 0);
		if (n > 0)
			got += (size_t)n;
		else
			assert_int_equal(n, -EAGAIN);
		pump(w);
	}
	assert_int_equal(got, len);
	assert_memory_equal(buf, text + at, len);
}

static inline bool
tapped(const struct wire *w, unsigned int from, const uint8_t *what, size_t n)
{
	return memmem(w->tap[from], w->tap_len[from], what, n) != NULL;
}

/* Both ways, small. */
static inline void
exchange(struct wire *w)
{
	put(w->c, 0, 1000);
	pump(w);
	take(w, w->s, 0, 1000);
	put(w->s, 5000, 700);
	pump(w);
	take(w, w->c, 5000, 700);
}

#endif /* CRYPT_WIRE_H */
