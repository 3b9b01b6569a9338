/* SPDX-License-Identifier: BSD-2-Clause */
/* tcpcrypt's sessions that are resumed, and beside another extension. */
#include "crypt_wire.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resumed),
		cmocka_unit_test(a_secret_is_used_once),
		cmocka_unit_test(beside_another_extension),
	};

	text_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
