/* SPDX-License-Identifier: BSD-2-Clause */
/* tcpcrypt where packets do not arrive as they were sent. */
#include "crypt_wire.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_taken_off),
		cmocka_unit_test(syns_with_it_are_lost),
		cmocka_unit_test(option_sent_back),
		cmocka_unit_test(changed_offer_is_noticed),
		cmocka_unit_test(turned_bits),
		cmocka_unit_test(cut_off),
		cmocka_unit_test(fin_taken_off),
	};

	text_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
