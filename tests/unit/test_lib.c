/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_lib.c: the port layer over two switches of this process, joined by a
 * wire in memory.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_lib_util.h"

#define A_ADDR "10.9.0.1"
#define B_ADDR "10.9.0.2"
#define A_DEV "pair:p0,link=lib,side=0,addr=" A_ADDR ",offload=1"
#define B_DEV "pair:p1,link=lib,side=1,addr=" B_ADDR ",offload=1"

struct ends {
	msport_t *a, *b;
	struct flow ab, ba;
};

static int
setup_with(void **state, const msport_options_t *opt)
{
	struct ends *e = calloc(1, sizeof *e);

	assert_non_null(e);
	e->a = must_open(A_DEV, opt);
	e->b = must_open(B_DEV, opt);
	must_bind(e->a, A_ADDR, 1000);
	must_bind(e->b, B_ADDR, 2000);
	e->ab = (struct flow){
		.src = A_ADDR, .dst = B_ADDR, .sport = 1000, .dport = 2000
	};
	memcpy(e->ab.smac, msport_info(e->a)->mac, 6);
	memcpy(e->ab.dmac, msport_info(e->b)->mac, 6);
	e->ba = (struct flow){
		.src = B_ADDR, .dst = A_ADDR, .sport = 2000, .dport = 1000
	};
	memcpy(e->ba.smac, e->ab.dmac, 6);
	memcpy(e->ba.dmac, e->ab.smac, 6);
	*state = e;
	return 0;
}

static int
setup(void **state)
{
	return setup_with(state, NULL);
}

static int
setup_small(void **state)
{
	static const msport_options_t opt = { .slots = 8, .extra_bufs = 2 };

	return setup_with(state, &opt);
}

static int
teardown(void **state)
{
	struct ends *e = *state;

	msport_close(e->a);
	msport_close(e->b);
	free(e);
	return 0;
}

/* n frames of `bytes` from a to b; the i-th has seed first + i. */
static void
send_ab(struct ends *e, unsigned int n, uint32_t bytes, uint8_t first)
{
	uint8_t f[2048];

	for (unsigned int i = 0; i < n; i++) {
		udp_frame(f, bytes, &e->ab, (uint8_t)(first + i));
		assert_int_equal(msport_send(e->a, 0, f, bytes), 0);
	}
}

static void
is_frame(const uint8_t *got, uint32_t len, uint8_t seed)
{
	for (uint32_t i = HDR_BYTES; i < len; i++)
		if (got[i] != (uint8_t)(i + seed))
			fail_msg("byte %u of %u is wrong", i, len);
}

static void
unbind(msport_t *p, const char *addr, uint16_t number)
{
	struct ms_tuple t;

	assert_int_equal(msport_tuple(&t, addr, IPPROTO_UDP, number), 0);
	assert_int_equal(msport_unbind(p, &t), 0);
}

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

/* ---- sleeping ------------------------------------------------------------------ */

static void
test_wait_times_out_and_does_not_spin(void **state)
{
	struct ends *e = *state;

	assert_int_equal(msport_wait(e->b, 1, 0, 0), 0);
	assert_int_equal(msport_wait(e->b, 1, 0, 20), 0);
	assert_int_equal(msport_wait(e->b, 0, 0, -1), 1); /* there is room */
}

static void
test_the_descriptor_is_readable_after_a_frame(void **state)
{
	struct ends *e = *state;
	int fd = msport_fd(e->b, 1, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t got[128];

	assert_true(fd >= 0);
	assert_int_equal(msport_fd(e->b, 1, 0), fd);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	for (int round = 0; round < 10; round++) {
		assert_int_equal(msport_arm(e->b, 1, 0), 0);
		assert_int_equal(poll(&p, 1, 0), 0);
		send_ab(e, 1, 100, 0);
		assert_int_equal(poll(&p, 1, 5000), 1);
		assert_int_equal(msport_arm(e->b, 1, 0), 1);
		assert_int_equal(msport_recv(e->b, 0, got, sizeof got), 100);
	}
}

struct pinger {
	msport_t *port;
	const struct flow *flow;
	int rounds;
	bool first;
	int result;
};

static void *
ping(void *arg)
{
	struct pinger *p = arg;
	uint8_t f[128], got[128];

	udp_frame(f, 100, p->flow, 0);
	for (int i = 0; i < p->rounds; i++) {
		if ((p->first || i) && msport_send(p->port, 0, f, 100)) {
			p->result = 1;
			return NULL;
		}
		while (msport_recv(p->port, 0, got, sizeof got) <= 0)
			if (msport_wait(p->port, 1, 0, 20000) != 1) {
				p->result = 2;
				return NULL;
			}
	}
	if (!p->first && msport_send(p->port, 0, f, 100))
		p->result = 3;
	return NULL;
}

static void
test_two_threads_wake_each_other(void **state)
{
	struct ends *e = *state;
	struct pinger a = { e->a, &e->ab, 2000, true, 0 };
	struct pinger b = { e->b, &e->ba, 2000, false, 0 };
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, ping, &b), 0);
	ping(&a);
	pthread_join(t, NULL);
	assert_int_equal(a.result, 0);
	assert_int_equal(b.result, 0);
}

/* ---- ports, errors ------------------------------------------------------------- */

static void
test_ports_of_one_device_string_share_the_switch(void **state)
{
	struct ends *e = *state;
	msport_t *c = must_open(A_DEV, NULL);
	struct flow f = e->ab;
	uint8_t out[128], got[128];

	assert_int_equal(try_bind(c, A_ADDR, 1000), -EADDRINUSE);
	assert_non_null(strstr(msport_error(c), "1000"));
	must_bind(c, A_ADDR, 1001);
	/* From a's port to c's, inside. */
	f.dst = A_ADDR;
	f.dport = 1001;
	memcpy(f.dmac, f.smac, 6);
	udp_frame(out, 100, &f, 9);
	assert_int_equal(msport_send(e->a, 0, out, 100), 0);
	assert_int_equal(msport_wait(c, 1, 0, 1000), 1);
	assert_int_equal(msport_recv(c, 0, got, sizeof got), 100);
	is_frame(got, 100, 9);
	msport_close(c);
}

static void
test_errors_have_words(void **state)
{
	struct ends *e = *state;
	msport_view_t v[1];
	struct ms_tuple t;
	uint32_t command[64] = { sizeof command };

	assert_string_equal(msport_error(e->a), "");
	assert_int_equal(msport_rx(e->a, 1, v, 1), -EINVAL);
	assert_int_equal(msport_tx(e->a, 7, v, 1), -EINVAL);
	assert_int_equal(msport_wait(e->a, 1, 7, 0), -EINVAL);
	assert_int_not_equal(msport_error(e->a)[0], 0);
	assert_int_equal(try_bind(e->a, "198.51.100.77", 5), -EADDRNOTAVAIL);
	assert_non_null(strstr(msport_error(e->a), "198.51.100.77"));
	assert_int_equal(msport_tuple(&t, "10.0.0", IPPROTO_UDP, 1), -EINVAL);
	assert_int_equal(msport_tuple(&t, "::1", IPPROTO_TCP, 80), 0);
	assert_int_equal(t.family, 6);
	assert_int_equal(msport_unbind(e->a, &t), -ENOENT);
	assert_true(msport_command(e->a, 9999, command) < 0);
	assert_int_equal(msport_command(e->a, MS_CMD_PORT_CREATE, command),
			 -EBUSY);
	assert_null(msport_counter_name(MS_CTR_MAX));
	assert_string_equal(msport_counter_name(0), "rx_frames");
	assert_int_equal(msport_abi(), MS_ABI_VERSION);
}

static void
test_a_control_connection_has_no_rings(void **state)
{
	struct ms_cmd_list l = { .size = sizeof l, .what = MS_LIST_PORTS };
	struct ends *e = *state;
	msport_error_t err;
	msport_view_t v[1];
	msport_t *c;

	assert_int_equal(msport_control(&c, A_DEV, &err), 0);
	assert_null(msport_info(c));
	assert_null(msport_region(c));
	assert_int_equal(msport_rx(c, 0, v, 1), -EINVAL);
	assert_int_equal(msport_command(c, MS_CMD_LIST, &l), 0);
	assert_int_equal(l.port_id, msport_info(e->a)->port_id);
	assert_int_equal(msport_command(c, MS_CMD_LIST, &l), -ENOENT);
	msport_close(c);
	msport_close(NULL);
}

static void
test_ephemeral_ports_survive_reopen(void **state)
{
	struct ends *e = *state;
	struct ms_tuple t;
	uint16_t number;

	assert_int_equal(msport_tuple(&t, A_ADDR, IPPROTO_UDP, 0), 0);
	assert_int_equal(msport_bind(e->a, &t), 0);
	number = t.port_be;
	assert_int_not_equal(number, 0);
	assert_int_equal(msport_reopen(e->a), 0);
	/* It has both again: a stranger gets neither. */
	msport_t *c = must_open(A_DEV, NULL);
	assert_int_equal(msport_bind(c, &t), -EADDRINUSE);
	assert_int_equal(try_bind(c, A_ADDR, 1000), -EADDRINUSE);
	msport_close(c);
	assert_int_equal(msport_unbind(e->a, &t), 0);
}

/* One handover while the switch lives, and one of which the offerer cannot
   hear any more: its interface goes. */
static void
test_a_reopened_port_leaves_alone_what_it_handed_over(void **state)
{
	struct ms_cmd_attach d = { .size = sizeof d,
				   .flags = MS_ATTACH_FORCE,
				   .nic = "p0" };
	struct ends *e = *state;

	for (int round = 0; round < 2; round++) {
		struct ms_cmd_handover h = { .size = sizeof h,
					     .op = MS_HANDOVER_OFFER };
		msport_t *heir = must_open(A_DEV, NULL);

		must_bind(e->a, A_ADDR, 1001);
		assert_int_equal(msport_command(e->a, MS_CMD_HANDOVER, &h), 0);
		h.op = MS_HANDOVER_ACCEPT;
		assert_int_equal(msport_command(heir, MS_CMD_HANDOVER, &h), 0);
		assert_int_equal(h.moved, 2);
		must_bind(e->a, A_ADDR, 1002); /* this one is its own */
		if (round) {
			assert_int_equal(
			    msport_command(heir, MS_CMD_DETACH, &d), 0);
			assert_int_equal(msport_reopen(heir), 0);
		}
		assert_int_equal(msport_reopen(e->a), 0);
		assert_int_equal(try_bind(heir, A_ADDR, 1002), -EADDRINUSE);
		assert_int_equal(try_bind(e->a, A_ADDR, 1000), -EADDRINUSE);
		msport_close(heir);
		/* Nor does it come back to them later. */
		assert_int_equal(msport_reopen(e->a), 0);
		must_bind(e->a, A_ADDR, 1000);
		unbind(e->a, A_ADDR, 1002);
	}
}

static void
test_a_detached_interface_is_gone(void **state)
{
	struct ms_cmd_attach d = { .size = sizeof d,
				   .flags = MS_ATTACH_FORCE,
				   .nic = "p1" };
	struct ends *e = *state;
	uint8_t got[128];
	msport_error_t err;
	msport_view_t v[4];
	msport_t *c;

	send_ab(e, 1, 100, 5);
	assert_int_equal(msport_wait(e->b, 1, 0, 1000), 1);
	assert_int_equal(msport_control(&c, B_DEV, &err), 0);
	assert_int_equal(msport_command(c, MS_CMD_DETACH, &d), 0);
	/* What came before is still there, then it says why nothing comes. */
	assert_int_equal(msport_recv(e->b, 0, got, sizeof got), 100);
	assert_int_equal(msport_rx(e->b, 0, v, 4), -ENETDOWN);
	assert_int_equal(msport_wait(e->b, 1, 0, -1), -ENETDOWN);
	assert_int_equal(msport_arm(e->b, 1, 0), -ENETDOWN);
	assert_int_equal(msport_sync(e->b, 0), -ENETDOWN);
	assert_non_null(strstr(msport_error(e->b), "'p1'"));
	assert_non_null(strstr(msport_error(e->b), "msport_reopen"));
	assert_int_equal(msport_reopen(e->b), 0);
	send_ab(e, 1, 100, 6);
	assert_int_equal(msport_wait(e->b, 1, 0, 1000), 1);
	assert_int_equal(msport_recv(e->b, 0, got, sizeof got), 100);
	is_frame(got, 100, 6);
	msport_close(c);
}

/* The switch is not trusted either: what it could write is tried. */
static void
test_a_damaged_ring_is_an_error(void **state)
{
	struct ends *e = *state;
	struct ms_region *g = msport_region(e->b);
	struct ms_ring *tx = (void *)((uint8_t *)g + g->ring_ofs);
	struct ms_ring *rx = (void *)((uint8_t *)tx +
				      g->tx_rings * g->ring_stride);
	struct ms_slot *slot = (void *)((uint8_t *)rx + rx->slots_ofs);
	msport_view_t v[MS_FRAME_SLOTS_MAX];
	struct ms_slot good;
	uint32_t tail;

	send_ab(e, 1, 100, 0);
	assert_int_equal(msport_wait(e->b, 1, 0, 1000), 1);
	good = slot[0];
	slot[0].buf = 0xffffffff;
	assert_int_equal(msport_rx(e->b, 0, v, 4), -EBADMSG);
	slot[0] = good;
	slot[0].len = 2049;
	assert_int_equal(msport_rx(e->b, 0, v, 4), -EBADMSG);
	slot[0] = good;
	slot[0].flags |= MS_SLOT_MORE; /* of a frame that never ends */
	assert_int_equal(msport_rx(e->b, 0, v, MS_FRAME_SLOTS_MAX), -EBADMSG);
	slot[0] = good;
	assert_int_equal(msport_rx(e->b, 0, v, 4), 1);
	msport_rx_release(e->b, 0, 1);
	tail = rx->tail;
	rx->tail = tail + 513;
	assert_int_equal(msport_rx(e->b, 0, v, 4), -EBADMSG);
	rx->tail = tail - 1;
	assert_int_equal(msport_rx(e->b, 0, v, 4), -EBADMSG);
	assert_int_equal(msport_arm(e->b, 1, 0), -EBADMSG);
	rx->tail = tail;
	assert_int_equal(msport_rx(e->b, 0, v, 4), 0);
	tail = tx->tail;
	tx->tail = tail + 1;
	assert_int_equal(msport_tx(e->b, 0, v, 1), -EBADMSG);
	tx->tail = tail;
	assert_non_null(strstr(msport_error(e->b), "damaged"));
}

static void
test_a_child_cannot_use_the_port(void **state)
{
	struct ends *e = *state;
	uint8_t got[128];
	int status;
	pid_t pid;

	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct ms_cmd_route r = { .size = sizeof r };
		int bad = msport_route(e->a, &r) != -EPERM;

		msport_close(e->a);
		msport_close(e->b);
		_exit(bad);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	send_ab(e, 1, 100, 0);
	assert_int_equal(msport_wait(e->b, 1, 0, 1000), 1);
	assert_int_equal(msport_recv(e->b, 0, got, sizeof got), 100);
}

/* Of 600 frames one step of the switch takes a part. */
static void
test_what_was_committed_goes_out_at_the_close(void **state)
{
	static const msport_options_t opt = { .slots = 1024 };
	struct ends *e = *state;
	msport_t *c = must_open(A_DEV, &opt), *d = must_open(B_DEV, &opt);
	msport_view_t v[600];
	int n, got = 0;

	must_bind(c, A_ADDR, 1001);
	must_bind(d, B_ADDR, 2001);
	e->ab.sport = 1001;
	e->ab.dport = 2001;
	assert_int_equal(msport_tx(c, 0, v, 600), 600);
	for (int i = 0; i < 600; i++) {
		udp_frame(v[i].data, 64, &e->ab, (uint8_t)i);
		v[i].len = 64;
	}
	assert_int_equal(msport_tx_commit(c, 0, v, 600), 0);
	msport_close(c);
	while ((n = msport_rx(d, 0, v, 600)) > 0) {
		for (int i = 0; i < n; i++)
			is_frame(v[i].data, 64, (uint8_t)got++);
		msport_rx_release(d, 0, (unsigned int)n);
	}
	assert_int_equal(got, 600);
	msport_close(d);
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
		WITH(setup, test_wait_times_out_and_does_not_spin),
		WITH(setup, test_the_descriptor_is_readable_after_a_frame),
		WITH(setup, test_two_threads_wake_each_other),
		WITH(setup, test_ports_of_one_device_string_share_the_switch),
		WITH(setup, test_errors_have_words),
		WITH(setup, test_a_control_connection_has_no_rings),
		WITH(setup, test_ephemeral_ports_survive_reopen),
		WITH(setup,
		     test_a_reopened_port_leaves_alone_what_it_handed_over),
		WITH(setup, test_a_detached_interface_is_gone),
		WITH(setup, test_a_damaged_ring_is_an_error),
		WITH(setup, test_a_child_cannot_use_the_port),
		WITH(setup, test_what_was_committed_goes_out_at_the_close),
	};

	return cmocka_run_group_tests_name("lib", tests, NULL, NULL);
}
