/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two stacks with tcpcrypt, and who sits on the wire: he listens, takes options
 * off, changes bytes (checksums are not looked at here).
 */
#include "utcp_pair.h"

#include <multistack/utcp_crypt.h>

#define KIND_ENO 69
#define TEXT 300000

static uint8_t text[TEXT];

/* ---- the wire ------------------------------------------------------------ */

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

static bool
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

static int
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

static void
pump(struct wire *w)
{
	for (int i = 0; i < 10000; i++)
		if (move(w, 0) + move(w, 1) == 0)
			return;
	fail_msg("two stacks talk without an end");
}

static void
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
static void
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

static void
end(struct wire *w)
{
	pair_end(&w->p);
	free(w->tap[0]);
	free(w->tap[1]);
}

static void
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
static void
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

static void
opened(struct wire *w)
{
	assert_int_equal(utcp_accept(w->listener, &w->s), 0);
}

static void
open_all(struct wire *w, unsigned int which)
{
	begin(w, which);
	server(w, NULL);
	client(w, NULL);
	opened(w);
}

static void
close_all(struct wire *w)
{
	utcp_close(w->c);
	utcp_close(w->s);
	w->c = w->s = NULL;
	pump(w);
}

static utcp_crypt_session_t
session(const utcp_sock_t *s)
{
	utcp_crypt_session_t out = { .size = sizeof(out) };

	assert_int_equal(utcp_crypt_session(s, &out), 0);
	return out;
}

static int
session_error(const utcp_sock_t *s)
{
	utcp_crypt_session_t out = { .size = sizeof(out) };

	return utcp_crypt_session(s, &out);
}

static bool
same_session(struct wire *w)
{
	utcp_crypt_session_t a = session(w->c), b = session(w->s);

	assert_int_not_equal(a.host, b.host);
	assert_int_equal(a.protocol, b.protocol);
	assert_int_equal(a.cipher, b.cipher);
	assert_int_equal(a.resumed, b.resumed);
	return memcmp(a.id, b.id, sizeof(a.id)) == 0;
}

static void
put(utcp_sock_t *s, size_t at, size_t len)
{
	assert_int_equal(utcp_write(s, text + at, len, 0), len);
}

/* Reads len bytes, which are those of the text from `at` on. */
static void
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

static bool
tapped(const struct wire *w, unsigned int from, const uint8_t *what, size_t n)
{
	return memmem(w->tap[from], w->tap_len[from], what, n) != NULL;
}

/* Both ways, small. */
static void
exchange(struct wire *w)
{
	put(w->c, 0, 1000);
	pump(w);
	take(w, w->s, 0, 1000);
	put(w->s, 5000, 700);
	pump(w);
	take(w, w->c, 5000, 700);
}

/* ---- encrypted ------------------------------------------------------------- */

static void
who_listens_sees_nothing(void **state)
{
	struct wire w;

	(void)state;
	open_all(&w, BOTH);
	assert_true(same_session(&w));
	assert_int_equal(session(w.c).host, 'A');
	assert_int_equal(session(w.c).protocol, UTCP_CRYPT_X25519);
	assert_int_equal(session(w.s).cipher, UTCP_CRYPT_AES_128_GCM);
	exchange(&w);
	for (size_t at = 0; at < 1000; at += 50)
		assert_false(tapped(&w, 0, text + at, 8));
	for (size_t at = 5000; at < 5700; at += 50)
		assert_false(tapped(&w, 1, text + at, 8));
	close_all(&w);
	end(&w);
}

/* Without it he does. */
static void
who_listens_sees_plain_text(void **state)
{
	struct wire w;

	(void)state;
	for (unsigned int which = 0; which < 3; which++) {
		open_all(&w, which);
		exchange(&w);
		assert_true(tapped(&w, 0, text, 1000));
		assert_true(tapped(&w, 1, text + 5000, 700));
		assert_int_equal(session_error(w.c), -EOPNOTSUPP);
		assert_int_equal(session_error(w.s), -EOPNOTSUPP);
		close_all(&w);
		end(&w);
	}
}

static void
much(void **state)
{
	struct wire w;
	size_t done[2] = { 0, 0 }, got[2] = { 0, 0 };
	static uint8_t buf[20000];
	ssize_t n;

	(void)state;
	open_all(&w, BOTH);
	for (int turn = 0; got[0] + got[1] < 2 * TEXT && turn < 5000; turn++) {
		for (int i = 0; i < 2; i++) {
			utcp_sock_t *s = i ? w.s : w.c, *r = i ? w.c : w.s;

			n = utcp_write(s, text + done[i], TEXT - done[i], 0);
			if (n > 0)
				done[i] += (size_t)n;
			pump(&w);
			n = utcp_read(r, buf, 1 + (size_t)turn * 97 % 20000, 0);
			if (n <= 0)
				continue;
			assert_memory_equal(buf, text + got[i], n);
			got[i] += (size_t)n;
		}
		pass(&w, MSEC);
	}
	assert_int_equal(got[0], TEXT);
	assert_int_equal(got[1], TEXT);
	close_all(&w);
	end(&w);
}

/* Who does not read is not sent more, and loses nothing. */
static void
slow_reader(void **state)
{
	struct wire w;
	size_t done = 0;
	ssize_t n;

	(void)state;
	open_all(&w, BOTH);
	assert_int_equal(utcp_set(w.s, UTCP_OPT_RCVBUF, 20000), 0);
	assert_int_equal(utcp_set(w.c, UTCP_OPT_SNDBUF, 30000), 0);
	for (int i = 0; i < 100; i++) {
		n = utcp_write(w.c, text + done, TEXT - done, 0);
		if (n > 0)
			done += (size_t)n;
		pass(&w, 10 * MSEC);
	}
	assert_in_range(done, 40000, 150000);
	assert_in_range(utcp_readable(w.s), 1000, 100000);
	take(&w, w.s, 0, done);
	pass(&w, SEC);
	close_all(&w);
	end(&w);
}

static void
half_close(void **state)
{
	uint8_t byte;
	struct wire w;

	(void)state;
	open_all(&w, BOTH);
	put(w.c, 0, 3000);
	assert_int_equal(utcp_shutdown(w.c, UTCP_SHUT_WR), 0);
	pump(&w);
	take(&w, w.s, 0, 3000);
	assert_int_equal(utcp_read(w.s, &byte, 1, 0), 0);
	assert_true(utcp_poll(w.s) & UTCP_RDHUP);
	put(w.s, 3000, 4000);
	utcp_close(w.s);
	pump(&w);
	take(&w, w.c, 3000, 4000);
	assert_int_equal(utcp_read(w.c, &byte, 1, 0), 0);
	utcp_close(w.c);
	end(&w);
}

/* Said all before there are keys: it comes, and so does the end. */
static void
shut_down_early(void **state)
{
	utcp_addr_t a;
	uint8_t byte;
	struct wire w;

	(void)state;
	for (size_t len = 0; len <= 100; len += 100) {
		begin(&w, BOTH);
		server(&w, NULL);
		a = w.p.addr[1];
		put16(&a.port_be, 80);
		assert_int_equal(utcp_open(w.p.u[0], 4, &w.c), 0);
		assert_int_equal(utcp_connect(w.c, &a), -EINPROGRESS);
		move(&w, 0);
		move(&w, 1); /* SYN-ACK */
		assert_int_equal(session_error(w.c), -ENOTCONN);
		if (len > 0)
			put(w.c, 0, len);
		assert_int_equal(utcp_shutdown(w.c, UTCP_SHUT_WR), 0);
		pump(&w);
		opened(&w);
		take(&w, w.s, 0, len);
		assert_int_equal(utcp_read(w.s, &byte, 1, 0), 0);
		assert_false(tapped(&w, 0, text, 8));
		close_all(&w);
		end(&w);
	}
}

/* ... and who closes, and is gone before there are keys, has said it. */
static void
close_early(void **state)
{
	utcp_addr_t a;
	uint8_t byte;
	struct wire w;

	(void)state;
	begin(&w, BOTH);
	server(&w, NULL);
	a = w.p.addr[1];
	put16(&a.port_be, 80);
	assert_int_equal(utcp_open(w.p.u[0], 4, &w.c), 0);
	assert_int_equal(utcp_connect(w.c, &a), -EINPROGRESS);
	move(&w, 0);
	move(&w, 1); /* SYN-ACK */
	put(w.c, 0, 30000);
	utcp_close(w.c);
	pass(&w, SEC);
	opened(&w);
	take(&w, w.s, 0, 30000);
	pass(&w, SEC);
	assert_int_equal(utcp_read(w.s, &byte, 1, 0), 0);
	assert_false(tapped(&w, 0, text, 8));
	utcp_close(w.s);
	end(&w);
}

static void
reset(void **state)
{
	uint8_t byte;
	struct wire w;

	(void)state;
	open_all(&w, BOTH);
	utcp_abort(w.c);
	pump(&w);
	assert_int_equal(utcp_read(w.s, &byte, 1, 0), -ECONNRESET);
	utcp_close(w.s);
	end(&w);
}

static void
lent_buffers_come_back(void **state)
{
	struct pair_sent x = { .buf = { .data = text,
					.len = 50000,
					.done = pair_done,
					.user = &x } };
	struct wire w;

	(void)state;
	open_all(&w, BOTH);
	assert_int_equal(utcp_send(w.c, &x.buf, 0), 0);
	for (int i = 0; i < 100 && x.calls == 0; i++)
		pass(&w, 10 * MSEC);
	assert_int_equal(x.calls, 1);
	assert_int_equal(x.status, 0);
	take(&w, w.s, 0, 50000);
	close_all(&w);
	end(&w);
}

static void
new_keys(void **state)
{
	struct wire w;

	(void)state;
	open_all(&w, BOTH);
	for (uint64_t n = 1; n <= 3; n++) {
		assert_int_equal(utcp_crypt_rekey(n & 1 ? w.c : w.s), 0);
		assert_int_equal(utcp_crypt_rekey(n & 1 ? w.c : w.s), -EAGAIN);
		pass(&w, 100 * MSEC); /* Nagle may hold it */
		assert_int_equal(session(w.c).sent_rekeys, n);
		assert_int_equal(session(w.c).received_rekeys, n);
		assert_int_equal(session(w.s).received_rekeys, n);
		exchange(&w);
	}
	assert_int_equal(utcp_shutdown(w.c, UTCP_SHUT_WR), 0);
	pump(&w);
	assert_int_equal(utcp_crypt_rekey(w.c), -EPIPE);
	close_all(&w);
	end(&w);
}

/* ---- options ---------------------------------------------------------------- */

static void
what_is_chosen(void **state)
{
	static const struct {
		utcp_crypt_options_t client, server;
		int protocol, cipher; /* 0: plain; -1: it fails */
	} cases[] = {
		{ { .protocols = { 0x23, 0x24 } },
		  { .protocols = { 0x24, 0x23 } },
		  0x24,
		  1 },
		{ { .protocols = { 0x21, 0x22 } },
		  { .protocols = { 0x23, 0x22 } },
		  0x22,
		  1 },
		{ { .protocols = { 0x21 } }, { .protocols = { 0x23 } }, 0, 0 },
		{ { .ciphers = { 1, 2, 16 } },
		  { .ciphers = { 16, 1 } },
		  0x23,
		  16 },
		{ { .flags = UTCP_CRYPT_OFF }, { 0 }, 0, 0 },
		{ { 0 }, { .flags = UTCP_CRYPT_OFF }, 0, 0 },
		{ { .flags = UTCP_CRYPT_HOST_B }, { 0 }, 0, 0 },
		{ { .flags = UTCP_CRYPT_AWARE_BOTH }, { 0 }, 0, 0 },
		{ { 0 }, { .flags = UTCP_CRYPT_AWARE_BOTH }, 0, 0 },
		{ { .flags = UTCP_CRYPT_AWARE_BOTH },
		  { .flags = UTCP_CRYPT_AWARE },
		  0x23,
		  1 },
		{ { .flags = UTCP_CRYPT_MUST }, { 0 }, 0x23, 1 },
		{ { .flags = UTCP_CRYPT_MUST },
		  { .flags = UTCP_CRYPT_OFF },
		  -1,
		  0 },
		{ { .flags = UTCP_CRYPT_OFF },
		  { .flags = UTCP_CRYPT_MUST },
		  -1,
		  0 },
	};
	utcp_crypt_options_t c, s;
	int64_t error;
	struct wire w;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("case %zu\n", i);
		c = cases[i].client;
		s = cases[i].server;
		c.size = s.size = sizeof(c);
		begin(&w, BOTH);
		server(&w, &s);
		client(&w, &c);
		if (cases[i].protocol < 0) {
			pass(&w, 300 * SEC);
			assert_int_equal(utcp_get(w.c, UTCP_OPT_ERROR, &error),
					 0);
			assert_int_not_equal(error, 0);
			assert_int_equal(w.tap_len[0] + w.tap_len[1], 0);
			utcp_close(w.c);
			end(&w);
			continue;
		}
		opened(&w);
		if (cases[i].protocol != 0) {
			assert_true(same_session(&w));
			assert_int_equal(session(w.c).protocol,
					 cases[i].protocol);
			assert_int_equal(session(w.c).cipher, cases[i].cipher);
			assert_int_equal(
			    session(w.s).peer_aware,
			    (c.flags &
			     (UTCP_CRYPT_AWARE | UTCP_CRYPT_AWARE_BOTH)) != 0);
		} else {
			assert_int_equal(session_error(w.c), -EOPNOTSUPP);
			assert_int_equal(session_error(w.s), -EOPNOTSUPP);
		}
		exchange(&w);
		close_all(&w);
		end(&w);
	}
}

static void
misuse(void **state)
{
	static const utcp_crypt_options_t bad[] = {
		{ .size = 4 },
		{ .size = sizeof(bad[0]), .flags = 1u << 20 },
		{ .size = sizeof(bad[0]), .protocols = { 0x20 } },
		{ .size = sizeof(bad[0]), .protocols = { 0x23, 0x23 } },
		{ .size = sizeof(bad[0]), .ciphers = { 3 } },
	};
	utcp_crypt_session_t out = { .size = 1 };
	utcp_sock_t *s;
	struct wire w;

	(void)state;
	open_all(&w, 1);
	assert_int_equal(utcp_crypt_register(w.p.u[0]), -EEXIST);
	assert_int_equal(utcp_crypt_register(NULL), -EINVAL);
	assert_int_equal(utcp_crypt_set(NULL, NULL), -EINVAL);
	assert_int_equal(utcp_crypt_set(w.c, NULL), -EISCONN);
	assert_int_equal(utcp_crypt_set(w.s, NULL), -ENOENT);
	assert_int_equal(utcp_open(w.p.u[0], 4, &s), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(utcp_crypt_set(s, &bad[i]), -EINVAL);
	assert_int_equal(utcp_crypt_set(s, NULL), 0);
	assert_int_equal(utcp_crypt_set(s, NULL), 0);
	assert_int_equal(utcp_crypt_session(s, &out), -EINVAL);
	assert_int_equal(utcp_crypt_session(s, NULL), -EINVAL);
	assert_int_equal(session_error(NULL), -EINVAL);
	assert_int_equal(session_error(s), -ENOTCONN);
	assert_int_equal(utcp_crypt_rekey(s), -EAGAIN);
	assert_int_equal(utcp_crypt_rekey(w.c), -EOPNOTSUPP);
	assert_int_equal(utcp_crypt_forget(w.c), -EOPNOTSUPP);
	assert_int_equal(utcp_crypt_forget_all(w.p.u[0]), 0);
	assert_int_equal(utcp_crypt_forget_all(w.p.u[1]), -ENOENT);
	utcp_close(s);
	close_all(&w);
	end(&w);
}

/* ---- boxes on the way -------------------------------------------------------- */

/* The option on a segment; NULL. */
static uint8_t *
eno_of(const struct seg *seg)
{
	uint8_t *p = seg->opts, *last = p + seg->opts_len;

	while (p < last && p[0] != KIND_ENO)
		p += p[0] == 1 ? 1 : p[1];
	return p < last ? p : NULL;
}

/* Takes the option off, as some do, where w->count says: bit 0 SYN, 1
   SYN-ACK. */
static bool
strip(struct wire *w, struct seg *seg)
{
	bool syn = (seg->tcp[13] & 2) != 0, ack = (seg->tcp[13] & 16) != 0;
	uint8_t *p = eno_of(seg);

	if (syn && (w->count & (ack ? 2 : 1)) != 0 && p != NULL)
		memset(p, 1, p[1]);
	return true;
}

static void
options_taken_off(void **state)
{
	struct wire w;

	(void)state;
	for (unsigned int which = 1; which < 4; which++) {
		begin(&w, BOTH);
		w.man = strip;
		w.count = which;
		server(&w, NULL);
		client(&w, NULL);
		opened(&w);
		exchange(&w);
		assert_true(tapped(&w, 0, text, 1000));
		assert_int_equal(session_error(w.c), -EOPNOTSUPP);
		assert_int_equal(session_error(w.s), -EOPNOTSUPP);
		close_all(&w);
		end(&w);
	}
}

/* Loses SYNs with the option. */
static bool
block(struct wire *w, struct seg *seg)
{
	return (seg->tcp[13] & 2) == 0 || eno_of(seg) == NULL;
}

static void
syns_with_it_are_lost(void **state)
{
	struct wire w;

	(void)state;
	begin(&w, BOTH);
	w.man = block;
	server(&w, NULL);
	client(&w, NULL);
	pass(&w, 20 * SEC);
	opened(&w);
	assert_int_equal(session_error(w.c), -EOPNOTSUPP);
	exchange(&w);
	close_all(&w);
	end(&w);
}

/* Sends a SYN's options back, as some load balancers do. */
static bool
echo_back(struct wire *w, struct seg *seg)
{
	static uint8_t sent[4]; /* <X448, X25519> */
	uint8_t *p = eno_of(seg);

	if (p != NULL && (seg->tcp[13] & 18) == 2)
		memcpy(sent, p, sizeof(sent));
	if (p != NULL && (seg->tcp[13] & 18) == 18)
		memcpy(p, sent, sizeof(sent));
	return true;
}

static void
option_sent_back(void **state)
{
	struct wire w;

	(void)state;
	begin(&w, BOTH);
	w.man = echo_back;
	server(&w, NULL);
	client(&w, NULL);
	opened(&w);
	assert_int_equal(session_error(w.c), -EOPNOTSUPP);
	exchange(&w);
	close_all(&w);
	end(&w);
}

/* Changes what is offered, so that the weaker one is used. */
static bool
downgrade(struct wire *w, struct seg *seg)
{
	uint8_t *p = eno_of(seg);

	if (p != NULL && (seg->tcp[13] & 18) == 2)
		p[2] = 0x7e; /* nobody's */
	return true;
}

static void
changed_offer_is_noticed(void **state)
{
	uint8_t byte;
	struct wire w;

	(void)state;
	begin(&w, BOTH);
	w.man = downgrade;
	server(&w, NULL);
	client(&w, NULL);
	opened(&w);
	put(w.c, 0, 100);
	pump(&w);
	assert_int_equal(utcp_read(w.s, &byte, 1, 0), -EBADMSG);
	pump(&w);
	assert_int_equal(utcp_read(w.c, &byte, 1, 0), -ECONNRESET);
	close_all(&w);
	end(&w);
}

/* ---- a man in the middle ------------------------------------------------------ */

/* Turns a bit of the client's stream, of the byte that is at w->at. */
static bool
flip(struct wire *w, struct seg *seg)
{
	size_t from;

	if (seg->from != 0 || seg->data_len == 0)
		return true;
	from = w->tap_len[0] - seg->data_len;
	if (w->at >= from && w->at < from + seg->data_len)
		seg->data[w->at - from] ^= 1u << (w->at % 8);
	return true;
}

static void
turned_bits(void **state)
{
	static uint8_t buf[4000];
	struct wire w;
	ssize_t n = 0;
	size_t got;

	(void)state;
	for (size_t at = 0; at < 3300; at += at < 200 ? 1 : 61) {
		begin(&w, BOTH);
		w.man = flip;
		w.at = at;
		server(&w, NULL);
		client(&w, NULL);
		opened(&w);
		if (utcp_write(w.c, text, 2000, 0) > 0) {
			pump(&w);
			(void)utcp_write(w.c, text + 2000, 1000, 0);
			(void)utcp_shutdown(w.c, UTCP_SHUT_WR);
		}
		pass(&w, 2 * SEC);
		for (got = 0;
		     (n = utcp_read(w.s, buf + got, sizeof(buf) - got, 0)) > 0;
		     got += (size_t)n)
			;
		assert_memory_equal(buf, text, got);
		if (w.tap_len[0] <= at) {
			assert_int_equal(got, 3000);
			assert_int_equal(n, 0);
		} else {
			/* Init1 may also wait for what it says there is. */
			assert_true(n == -EBADMSG ||
				    (at < 79 && got == 0 &&
				     (n == -EPROTO || n == -EAGAIN)));
		}
		close_all(&w);
		end(&w);
	}
}

/* A FIN on a data segment; w->count data segments go before it. */
static bool
forge_fin(struct wire *w, struct seg *seg)
{
	if (seg->from == 0 && seg->data_len > 0 && w->count > 0 &&
	    --w->count == 0)
		seg->tcp[13] |= 1;
	return true;
}

/* Nothing goes on behind w->at bytes of the client's; then it ends. */
static bool
cut(struct wire *w, struct seg *seg)
{
	if (seg->from != 0 || seg->data_len == 0 || w->tap_len[0] < w->at)
		return true;
	seg->tcp[13] |= 1;
	put16(seg->ip + 2, get16(seg->ip + 2) - (uint32_t)seg->data_len / 2);
	return true;
}

static void
cut_off(void **state)
{
	static uint8_t buf[20000];
	struct wire w;
	ssize_t n = 0;
	size_t got;

	(void)state;
	for (unsigned int i = 0; i < 12; i++) {
		open_all(&w, BOTH);
		w.man = i < 6 ? forge_fin : cut;
		w.count = i + 1;
		w.at = w.tap_len[0] + (i - 5) * 1200;
		put(w.c, 0, 9000);
		pass(&w, SEC);
		for (got = 0;
		     (n = utcp_read(w.s, buf + got, sizeof(buf) - got, 0)) > 0;
		     got += (size_t)n)
			;
		assert_memory_equal(buf, text, got);
		/* Never an end that the sender did not mean. */
		assert_int_equal(n, -EBADMSG);
		close_all(&w);
		end(&w);
	}
}

static bool
strip_fin(struct wire *w, struct seg *seg)
{
	seg->tcp[13] &= (uint8_t)~1;
	return true;
}

/* The end is in the last frame. */
static void
fin_taken_off(void **state)
{
	uint8_t byte;
	struct wire w;

	(void)state;
	open_all(&w, BOTH);
	w.man = strip_fin;
	put(w.c, 0, 100);
	assert_int_equal(utcp_shutdown(w.c, UTCP_SHUT_WR), 0);
	pump(&w);
	take(&w, w.s, 0, 100);
	assert_int_equal(utcp_read(w.s, &byte, 1, 0), 0);
	w.man = NULL;
	pass(&w, SEC);
	close_all(&w);
	end(&w);
}

/* ---- sessions ----------------------------------------------------------------- */

static void
again(struct wire *w, const utcp_crypt_options_t *o, bool resumed)
{
	close_all(w);
	client(w, o);
	opened(w);
	assert_true(same_session(w));
	assert_int_equal(session(w->c).resumed, resumed);
	exchange(w);
	assert_false(tapped(w, 0, text, 8));
}

static void
resumed(void **state)
{
	utcp_crypt_options_t o = { .size = sizeof(o) };
	uint8_t id[4][UTCP_CRYPT_ID_BYTES];
	struct wire w;

	(void)state;
	open_all(&w, BOTH);
	memcpy(id[0], session(w.c).id, sizeof(id[0]));
	for (int i = 1; i < 4; i++) {
		again(&w, NULL, true);
		memcpy(id[i], session(w.c).id, sizeof(id[0]));
		for (int k = 0; k < i; k++)
			assert_memory_not_equal(id[i] + 1, id[k] + 1, 32);
	}
	/* By whom it is not wanted. */
	o.flags = UTCP_CRYPT_NO_RESUME;
	again(&w, &o, false);
	again(&w, NULL, true);
	o.flags = UTCP_CRYPT_NO_CACHE;
	again(&w, &o, true);
	assert_int_equal(utcp_crypt_forget_all(w.p.u[0]), 0);
	again(&w, &o, false);
	again(&w, NULL, false);
	/* One side has forgotten: new keys, not no keys. */
	assert_int_equal(utcp_crypt_forget(w.c), 0);
	again(&w, NULL, false);
	assert_int_equal(utcp_crypt_forget_all(w.p.u[1]), 0);
	again(&w, NULL, false);
	again(&w, NULL, true);
	/* A protocol, a cipher that the session was not of. */
	o.flags = 0;
	o.protocols[0] = UTCP_CRYPT_X448;
	again(&w, &o, false);
	o.ciphers[0] = UTCP_CRYPT_AES_256_GCM;
	again(&w, &o, false);
	again(&w, &o, true);
	assert_int_equal(session(w.c).cipher, UTCP_CRYPT_AES_256_GCM);
	/* ... by a listener's options. */
	assert_int_equal(utcp_crypt_forget_all(w.p.u[0]), 0);
	again(&w, NULL, false);
	assert_int_equal(session(w.c).cipher, UTCP_CRYPT_AES_128_GCM);
	utcp_close(w.listener);
	o.protocols[0] = 0;
	server(&w, &o);
	again(&w, NULL, false);
	assert_int_equal(session(w.c).cipher, UTCP_CRYPT_AES_256_GCM);
	again(&w, NULL, true);
	close_all(&w);
	end(&w);
}

static void
a_secret_is_used_once(void **state)
{
	utcp_sock_t *first, *first_s;
	struct wire w;

	(void)state;
	open_all(&w, BOTH);
	close_all(&w);
	client(&w, NULL);
	first = w.c;
	opened(&w);
	first_s = w.s;
	assert_int_equal(session(first).resumed, 1);
	client(&w, NULL);
	opened(&w);
	/* By what the first left. */
	assert_int_equal(session(w.c).resumed, 1);
	assert_memory_not_equal(session(w.c).id + 1, session(first).id + 1, 32);
	utcp_close(first);
	utcp_close(first_s);
	close_all(&w);
	end(&w);
}

/* AccECN, with options of its own on SYN-ACK and segments, which come with
   Prague. */
static void
beside_another_extension(void **state)
{
	utcp_info_t info = { .size = sizeof(info) };
	utcp_addr_t a;
	struct wire w;

	(void)state;
	begin(&w, BOTH);
	server(&w, NULL);
	assert_int_equal(utcp_set_cc(w.listener, "prague"), 0);
	a = w.p.addr[1];
	put16(&a.port_be, 80);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(utcp_open(w.p.u[0], 4, &w.c), 0);
		assert_int_equal(utcp_set_cc(w.c, "prague"), 0);
		assert_int_equal(utcp_connect(w.c, &a), -EINPROGRESS);
		pump(&w);
		opened(&w);
		assert_true(same_session(&w));
		assert_int_equal(session(w.c).resumed, i > 0);
		assert_int_equal(utcp_info(w.c, &info), 0);
		assert_true(info.negotiated & UTCP_GOT_EXT_ECN);
		w.tap_len[0] = w.tap_len[1] = 0;
		exchange(&w);
		assert_false(tapped(&w, 0, text, 8));
		close_all(&w);
	}
	end(&w);
}

/* ---- both connect --------------------------------------------------------------- */

static void
simultaneous(struct wire *w, uint32_t b_flags)
{
	utcp_crypt_options_t o = { .size = sizeof(o), .flags = b_flags };
	utcp_addr_t a[2];
	utcp_pkt_t pkts[2] = { { .data = w->p.mem, .len = BUF_BYTES },
			       { .data = w->p.mem + BUF_BYTES,
				 .len = BUF_BYTES } };

	for (int i = 0; i < 2; i++) {
		a[i] = w->p.addr[i];
		put16(&a[i].port_be, 7000);
	}
	assert_int_equal(utcp_open(w->p.u[0], 4, &w->c), 0);
	assert_int_equal(utcp_open(w->p.u[1], 4, &w->s), 0);
	assert_int_equal(utcp_crypt_set(w->s, &o), 0);
	assert_int_equal(utcp_bind(w->c, &a[0]), 0);
	assert_int_equal(utcp_bind(w->s, &a[1]), 0);
	assert_int_equal(utcp_connect(w->c, &a[1]), -EINPROGRESS);
	assert_int_equal(utcp_connect(w->s, &a[0]), -EINPROGRESS);
	/* Both SYNs are under way before either arrives. */
	assert_int_equal(utcp_output(w->p.u[0], &pkts[0], 1), 1);
	assert_int_equal(utcp_output(w->p.u[1], &pkts[1], 1), 1);
	assert_int_equal(utcp_input(w->p.u[1], &pkts[0], 1), 0);
	assert_int_equal(utcp_input(w->p.u[0], &pkts[1], 1), 0);
	pass(w, SEC);
}

static void
both_connect(void **state)
{
	struct wire w;

	(void)state;
	begin(&w, BOTH);
	simultaneous(&w, UTCP_CRYPT_HOST_B);
	assert_true(same_session(&w));
	assert_int_equal(session(w.c).host, 'A');
	exchange(&w);
	assert_false(tapped(&w, 0, text, 8));
	close_all(&w);
	end(&w);
	/* Both would be host A: plain. */
	begin(&w, BOTH);
	simultaneous(&w, 0);
	assert_int_equal(session_error(w.c), -EOPNOTSUPP);
	assert_int_equal(session_error(w.s), -EOPNOTSUPP);
	exchange(&w);
	close_all(&w);
	end(&w);
}

/* ---- memory ------------------------------------------------------------------------ */

/* With the connection all goes that came with it. */
static void
nothing_is_left(void **state)
{
	utcp_usage_t usage;
	struct wire w;

	(void)state;
	begin(&w, BOTH);
	server(&w, NULL);
	for (int i = 0; i < 3; i++) {
		client(&w, NULL);
		opened(&w);
		exchange(&w);
		put(w.c, 0, 5000);
		pump(&w);
		utcp_abort(w.c);
		utcp_abort(w.s);
		pump(&w);
	}
	utcp_close(w.listener);
	for (int i = 0; i < 2; i++) {
		utcp_usage(w.p.u[i], &usage);
		assert_int_equal(usage.socks, 0);
		assert_int_equal(usage.buffered_bytes, 0);
	}
	end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_listens_sees_nothing),
		cmocka_unit_test(who_listens_sees_plain_text),
		cmocka_unit_test(much),
		cmocka_unit_test(slow_reader),
		cmocka_unit_test(half_close),
		cmocka_unit_test(shut_down_early),
		cmocka_unit_test(close_early),
		cmocka_unit_test(reset),
		cmocka_unit_test(lent_buffers_come_back),
		cmocka_unit_test(new_keys),
		cmocka_unit_test(what_is_chosen),
		cmocka_unit_test(misuse),
		cmocka_unit_test(options_taken_off),
		cmocka_unit_test(syns_with_it_are_lost),
		cmocka_unit_test(option_sent_back),
		cmocka_unit_test(changed_offer_is_noticed),
		cmocka_unit_test(turned_bits),
		cmocka_unit_test(cut_off),
		cmocka_unit_test(fin_taken_off),
		cmocka_unit_test(resumed),
		cmocka_unit_test(a_secret_is_used_once),
		cmocka_unit_test(beside_another_extension),
		cmocka_unit_test(both_connect),
		cmocka_unit_test(nothing_is_left),
	};

	for (size_t i = 0; i < TEXT; i++)
		text[i] = pattern(i * 7 + i / 5000);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
