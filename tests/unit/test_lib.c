/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_lib.c: the port layer over two switches of this process: devices by name,
 * frames, buffers.
 */
#include "lib_ends.h"

/* ---- device strings --------------------------------------------------------- */

static void
test_bad_devices_are_refused_in_words(void **state)
{
	static const struct {
		const char *device;
		int code;
		const char *word; /* in the text */
	} cases[] = {
		{ "", -EINVAL, "interface" },
		{ "daemon:", -EINVAL, "interface" },
		{ "kmod:", -EINVAL, "interface" },
		{ "kmod:eth0", -ENODEV, "daemon:eth0" },
		{ "warp:eth0", -EINVAL, "warp" },
		{ "xdp:", -EINVAL, "interface" },
		{ "eth0,queues=1", -EINVAL, "kind" },
		{ "eth0123456789abcdef", -EINVAL, "too long" },
		{ "xdp:eth0123456789abcdef", -EINVAL, "interface" },
		{ "pair:p0,vlan=4095", -EINVAL, "vlan=" },
		{ "pair:p0,queues=x", -EINVAL, "queues=" },
		{ "daemon@/nonexistent/socket:eth0", -ECONNREFUSED,
		  "multistackd is not running" },
		{ "daemon@:eth0", -EINVAL, "path" },
		{ "tc:ms-no-such-if", -ENODEV, "ms-no-such-if" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		msport_error_t err = { 0 };
		msport_t *p = (msport_t *)&err;
		int r = msport_open(&p, cases[i].device, NULL, &err);

		if (r != cases[i].code || err.code != r ||
		    !strstr(err.text, cases[i].word))
			fail_msg("'%s': %d, %d '%s'", cases[i].device, r,
				 err.code, err.text);
		assert_null(p);
	}
}

static void
test_a_long_device_string_is_refused(void **state)
{
	char device[600];
	msport_error_t err;
	msport_t *p;

	(void)state;
	memset(device, 'x', sizeof device - 1);
	device[sizeof device - 1] = '\0';
	assert_int_equal(msport_open(&p, device, NULL, &err), -EINVAL);
	assert_int_equal(msport_open(&p, device, NULL, NULL), -EINVAL);
}

static void
test_options_out_of_range_are_refused(void **state)
{
	static const msport_options_t cases[] = {
		{ .tx_rings = MS_RINGS_MAX + 1 },
		{ .rx_rings = MS_RINGS_MAX + 1 },
		{ .slots = MS_SLOTS_MAX + 1 },
		{ .buf_bytes = MS_BUF_BYTES_MAX + 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		msport_error_t err = { 0 };
		msport_t *p;

		int r = msport_open(&p, A_DEV, &cases[i], &err);

		assert_true(r == -EINVAL || r == -E2BIG);
		assert_int_not_equal(err.text[0], 0);
	}
}

/* ---- frames ------------------------------------------------------------------ */

static void
test_a_frame_crosses_the_wire(void **state)
{
	struct ends *e = *state;
	uint8_t got[2048];

	send_ab(e, 1, 100, 7);
	assert_int_equal(msport_wait(e->b, 1, 0, 1000), 1);
	assert_int_equal(msport_recv(e->b, 0, got, sizeof got), 100);
	is_frame(got, 100, 7);
	assert_int_equal(msport_recv(e->b, 0, got, sizeof got), 0);
	assert_int_equal(counter(e->a, MS_CTR_TX_FRAMES), 1);
	assert_int_equal(counter(e->b, MS_CTR_RX_FRAMES), 1);
}

static void
test_batches_keep_order_across_the_wrap(void **state)
{
	struct ends *e = *state;
	unsigned int sent = 0, got = 0, rounds;

	for (rounds = 0; rounds < 100; rounds++) {
		unsigned int n = 1 + rounds % 7;
		msport_view_t v[8];
		int r;

		send_ab(e, n, 60 + n, (uint8_t)sent);
		sent += n;
		while ((r = msport_rx(e->b, 0, v, 3)) > 0) {
			for (int i = 0; i < r; i++)
				is_frame(v[i].data, v[i].len, (uint8_t)got++);
			msport_rx_release(e->b, 0, (unsigned int)r);
		}
		assert_int_equal(r, 0);
	}
	assert_int_equal(sent, got);
}

static void
test_views_stay_until_released(void **state)
{
	struct ends *e = *state;
	msport_view_t first[2], second[8];

	send_ab(e, 5, 80, 0);
	assert_int_equal(msport_wait(e->b, 1, 0, 1000), 1);
	assert_int_equal(msport_rx(e->b, 0, first, 2), 2);
	assert_int_equal(msport_rx(e->b, 0, second, 8), 3);
	/* Nothing is overwritten while it is held: the ring has 8 slots. */
	send_ab(e, 6, 80, 100);
	(void)msport_arm(e->b, 1, 0);
	for (int i = 0; i < 2; i++)
		is_frame(first[i].data, 80, (uint8_t)i);
	for (int i = 0; i < 3; i++)
		is_frame(second[i].data, 80, (uint8_t)(2 + i));
	assert_int_equal(counter(e->b, MS_CTR_DROP_RX_FULL), 3);
	msport_rx_release(e->b, 0, 5);
	assert_int_equal(msport_rx(e->b, 0, second, 8), 3);
	is_frame(second[0].data, 80, 100);
	msport_rx_release(e->b, 0, 100); /* more than there are: all */
	assert_int_equal(msport_rx(e->b, 0, second, 8), 0);
}

/* 9000 bytes need five buffers; the wire carries it as one frame by GSO. */
static void
send_long(struct ends *e, uint32_t bytes, uint8_t seed)
{
	static uint8_t f[65536];
	msport_view_t v[MS_FRAME_SLOTS_MAX];
	uint32_t n = (bytes + 2047) / 2048;

	udp_frame(f, bytes, &e->ab, seed);
	assert_int_equal(msport_tx(e->a, 0, v, n), n);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t part = i + 1 < n ? 2048 : bytes - i * 2048;

		memcpy(v[i].data, f + (size_t)i * 2048, part);
		v[i].len = part;
		v[i].flags = i + 1 < n ? MS_SLOT_MORE : 0;
	}
	v[0].flags |= MS_SLOT_CSUM_PARTIAL;
	v[0].gso_type = MS_GSO_UDP;
	v[0].gso_size = 1400;
	v[0].csum_start = 34;
	v[0].csum_offset = 6;
	assert_int_equal(msport_tx_commit(e->a, 0, v, n), 0);
	assert_int_equal(msport_sync(e->a, 0), 0);
}

static void
test_a_long_frame_spans_slots(void **state)
{
	struct ends *e = *state;
	msport_view_t v[MS_FRAME_SLOTS_MAX];
	static uint8_t got[65536];
	uint32_t at = 0;
	int n;

	for (int round = 0; round < 20; round++) {
		send_ab(e, 1, 64, 1);
		send_long(e, 9000, (uint8_t)round);
		assert_int_equal(msport_wait(e->b, 1, 0, 1000), 1);
		/* Three views: the short frame fits, the long one does not. */
		assert_int_equal(msport_rx(e->b, 0, v, 3), 1);
		msport_rx_release(e->b, 0, 1);
		assert_int_equal(msport_rx(e->b, 0, v, 3), -EMSGSIZE);
		n = msport_rx(e->b, 0, v, MS_FRAME_SLOTS_MAX);
		assert_int_equal(n, 5);
		assert_int_equal(v[0].gso_type, MS_GSO_UDP);
		assert_int_equal(v[0].gso_size, 1400);
		at = 0;
		for (int i = 0; i < n; i++) {
			assert_int_equal(!!(v[i].flags & MS_SLOT_MORE),
					 i < n - 1);
			memcpy(got + at, v[i].data, v[i].len);
			at += v[i].len;
		}
		assert_int_equal(at, 9000);
		is_frame(got, 9000, (uint8_t)round);
		msport_rx_release(e->b, 0, (unsigned int)n);
	}
}

static void
test_recv_copies_or_cuts_with_an_error(void **state)
{
	struct ends *e = *state;
	static uint8_t got[65536];

	send_long(e, 9000, 3);
	send_long(e, 9000, 4);
	send_ab(e, 2, 200, 5);
	assert_int_equal(msport_recv(e->b, 0, got, sizeof got), 9000);
	is_frame(got, 9000, 3);
	assert_int_equal(msport_recv(e->b, 0, got, 100), -EMSGSIZE);
	assert_int_equal(msport_recv(e->b, 0, got, sizeof got), 200);
	is_frame(got, 200, 5);
	assert_int_equal(msport_recv(e->b, 0, got, 200), 200);
	is_frame(got, 200, 6);
	assert_int_equal(msport_recv(e->b, 0, got, sizeof got), 0);
}

static void
test_reserving_twice_gives_the_same_slots(void **state)
{
	struct ends *e = *state;
	msport_view_t v[8], w[8];

	assert_int_equal(msport_tx(e->a, 0, v, 8), 8);
	assert_int_equal(msport_tx(e->a, 0, w, 3), 3);
	for (int i = 0; i < 3; i++)
		assert_ptr_equal(v[i].data, w[i].data);
	assert_int_equal(v[0].len, 2048);
}

static void
test_bad_commits_send_nothing(void **state)
{
	struct ends *e = *state;
	msport_view_t v[8];
	uint8_t elsewhere[2048];

	static const struct {
		int what;
	} cases[] = { { 0 }, { 1 }, { 2 }, { 3 }, { 4 }, { 5 } };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		unsigned int n = 1;

		assert_int_equal(msport_tx(e->a, 0, v, 8), 8);
		udp_frame(v[0].data, 60, &e->ab, 0);
		v[0].len = 60;
		switch (cases[i].what) {
		case 0:
			v[0].len = 0;
			break;
		case 1:
			v[0].len = 2049;
			break;
		case 2:
			v[0].data = elsewhere;
			break;
		case 3:
			v[0].data++;
			break;
		case 4:
			v[0].flags = MS_SLOT_MORE;
			break;
		case 5:
			n = 9;
			break;
		}
		assert_int_equal(msport_tx_commit(e->a, 0, v, n), -EINVAL);
	}
	assert_int_equal(msport_sync(e->a, 0), 0);
	assert_int_equal(counter(e->a, MS_CTR_TX_FRAMES), 0);
	assert_int_equal(msport_tx_commit(e->a, 0, v, 0), 0);
}

static void
test_a_ring_that_is_full_says_so(void **state)
{
	struct ends *e = *state;
	msport_view_t v[16];
	uint8_t f[64];
	int n;

	/* Fill it without a sync: nobody works for the switch meanwhile. */
	n = msport_tx(e->a, 0, v, 16);
	assert_int_equal(n, 8);
	for (int i = 0; i < n; i++) {
		udp_frame(v[i].data, 64, &e->ab, (uint8_t)i);
		v[i].len = 64;
	}
	assert_int_equal(msport_tx_commit(e->a, 0, v, 8), 0);
	/* A look at the full ring does the switch's work: there is room. */
	assert_int_equal(msport_wait(e->a, 0, 0, 1000), 1);
	assert_int_equal(msport_tx(e->a, 0, v, 16), 8);
	udp_frame(f, 64, &e->ab, 0);
	assert_int_equal(msport_send(e->a, 0, f, 0), -EINVAL);
	assert_int_equal(msport_send(e->a, 0, f, 8 * 2048 + 1), -EMSGSIZE);
}

/* ---- buffers to keep --------------------------------------------------------- */

static void
test_extra_buffers_are_exchanged(void **state)
{
	struct ends *e = *state;
	uint8_t *spare = msport_extra(e->b, 0), *kept;
	msport_view_t v[8];

	assert_non_null(spare);
	assert_non_null(msport_extra(e->b, 1));
	assert_null(msport_extra(e->b, 2));
	send_ab(e, 1, 90, 42);
	assert_int_equal(msport_wait(e->b, 1, 0, 1000), 1);
	assert_int_equal(msport_rx(e->b, 0, v, 8), 1);
	kept = v[0].data;
	assert_int_equal(msport_rx_swap(e->b, 0, 1, spare), -EINVAL);
	assert_int_equal(msport_rx_swap(e->b, 0, 0, spare + 1), -EINVAL);
	assert_int_equal(msport_rx_swap(e->b, 0, 0, (uint8_t *)v), -EINVAL);
	assert_int_equal(msport_rx_swap(e->b, 0, 0, spare), 0);
	msport_rx_release(e->b, 0, 1);
	/* Twice round the ring: what was kept stays, the spare is used. */
	for (unsigned int i = 0; i < 16; i++) {
		send_ab(e, 1, 70, (uint8_t)i);
		assert_int_equal(msport_wait(e->b, 1, 0, 1000), 1);
		assert_int_equal(msport_rx(e->b, 0, v, 8), 1);
		assert_ptr_not_equal(v[0].data, kept);
		is_frame(v[0].data, 70, (uint8_t)i);
		msport_rx_release(e->b, 0, 1);
	}
	is_frame(kept, 90, 42);

	/* And back out, without a copy. */
	assert_int_equal(msport_tx(e->b, 0, v, 1), 1);
	udp_frame(kept, 90, &e->ba, 43);
	spare = v[0].data;
	v[0].data = kept;
	v[0].len = 90;
	assert_int_equal(msport_tx_commit(e->b, 0, v, 1), 0);
	assert_int_equal(msport_sync(e->b, 0), 0);
	assert_int_equal(msport_wait(e->a, 1, 0, 1000), 1);
	assert_int_equal(msport_rx(e->a, 0, v, 8), 1);
	is_frame(v[0].data, 90, 43);
	msport_rx_release(e->a, 0, 1);
}

#define WITH(setup_fn, t) cmocka_unit_test_setup_teardown(t, setup_fn, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_devices_are_refused_in_words),
		cmocka_unit_test(test_a_long_device_string_is_refused),
		cmocka_unit_test(test_options_out_of_range_are_refused),
		WITH(setup, test_a_frame_crosses_the_wire),
		WITH(setup_small, test_batches_keep_order_across_the_wrap),
		WITH(setup_small, test_views_stay_until_released),
		WITH(setup_small, test_a_long_frame_spans_slots),
		WITH(setup, test_recv_copies_or_cuts_with_an_error),
		WITH(setup_small, test_reserving_twice_gives_the_same_slots),
		WITH(setup_small, test_bad_commits_send_nothing),
		WITH(setup_small, test_a_ring_that_is_full_says_so),
		WITH(setup_small, test_extra_buffers_are_exchanged),
	};

	return cmocka_run_group_tests_name("lib", tests, NULL, NULL);
}
