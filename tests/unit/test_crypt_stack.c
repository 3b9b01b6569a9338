/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections with tcpcrypt: what goes over them, how they end, what is chosen. */
#include "crypt_wire.h"

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
		cmocka_unit_test(both_connect),
		cmocka_unit_test(nothing_is_left),
	};

	text_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
