/* SPDX-License-Identifier: BSD-2-Clause */
/* test_attach_pair.c: two machines in one process, a wire between them. */
#include "attach_net.h"

static uint8_t frame[70000], got[70000];

struct world {
	struct ms_host *host[2];
	struct tport port[2];
};

static int
world_open(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->host[0] = host_new();
	w->host[1] = host_new();
	assert_int_equal(attach(w->host[0],
				"pair:w0,link=w,side=0,addr=10.1.0.1+fd01::1",
				NULL),
			 0);
	assert_int_equal(attach(w->host[1],
				"pair:w0,link=w,side=1,addr=10.1.0.2+fd01::2",
				NULL),
			 0);
	port_open(&w->port[0], w->host[0], "w0", 0);
	port_open(&w->port[1], w->host[1], "w0", 0);
	assert_int_equal(port_bind(&w->port[0], "10.1.0.1", IPPROTO_UDP, 1000),
			 0);
	assert_int_equal(port_bind(&w->port[1], "10.1.0.2", IPPROTO_UDP, 1000),
			 0);
	*state = w;
	return 0;
}

static int
world_close(void **state)
{
	struct world *w = *state;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		port_close(&w->port[i]);
		ms_host_destroy(w->host[i]);
	}
	free(w);
	return 0;
}

static uint32_t
make(struct world *w, uint32_t bytes)
{
	static uint8_t data[65000];
	struct ms_cmd_route r;

	assert_int_equal(port_route(&w->port[0], "10.1.0.2", &r), 0);
	assert_int_equal(r.state, MS_ROUTE_REACHABLE);
	assert_memory_equal(r.dst_mac, w->port[1].mac, 6);
	return udp_frame(frame, &r, "10.1.0.1", 1000, "10.1.0.2", 1000, data,
			 bytes, bytes > 1472);
}

static void
test_frames_cross_in_order(void **state)
{
	struct world *w = *state;
	uint32_t n = make(w, 1000), i, round;

	for (round = 0; round < 40; round++) {
		for (i = 0; i < 100; i++) {
			frame[n - 1] = (uint8_t)i;
			frame[40] = frame[41] = 0; /* no UDP checksum */
			port_send(&w->port[0], frame, n, NULL);
		}
		for (i = 0; i < 100; i++) {
			assert_int_equal(
			    port_recv(&w->port[1], got, NULL, WAIT_MS), n);
			assert_int_equal(got[n - 1], i);
		}
	}
}

static void
test_metadata_crosses(void **state)
{
	struct world *w = *state;
	uint32_t n = make(w, 40000);
	struct ms_slot meta = { .flags = MS_SLOT_CSUM_PARTIAL,
				.gso_type = MS_GSO_UDP,
				.gso_size = 1400,
				.csum_start = 34,
				.csum_offset = 6 },
		       first;

	port_send(&w->port[0], frame, n, &meta);
	assert_int_equal(port_recv(&w->port[1], got, &first, WAIT_MS), n);
	assert_memory_equal(got, frame, n);
	assert_int_equal(first.gso_type, MS_GSO_UDP);
	assert_int_equal(first.gso_size, 1400);
	assert_int_equal(first.csum_start, 34);
	assert_true((first.flags & MS_SLOT_CSUM_PARTIAL) != 0);
}

static void
test_alone_is_lost_and_counted(void **state)
{
	struct world *w = *state;
	uint32_t n = make(w, 10);

	assert_int_equal(detach(w->host[1], "w0"), 0);
	port_send(&w->port[0], frame, n, NULL);
	assert_int_equal(port_counter(&w->port[0], MS_CTR_DROP_TX_NIC), 1);
	assert_int_equal(
	    ms_os_load_acquire(&w->port[1].port->rx[0].shared->gone),
	    MS_GONE_NIC);
}

/* What was on the wire for a side that left is not for its successor. */
static void
test_nothing_stale_for_a_newcomer(void **state)
{
	struct world *w = *state;
	struct tport t;
	uint32_t n = make(w, 10);

	port_send(&w->port[0], frame, n, NULL);
	assert_int_equal(detach(w->host[1], "w0"), 0);
	assert_int_equal(
	    attach(w->host[1], "pair:w1,link=w,side=1,addr=10.1.0.2", NULL), 0);
	port_close(&w->port[1]);
	port_open(&w->port[1], w->host[1], "w1", 0);
	t = w->port[1];
	assert_int_equal(port_bind(&t, "10.1.0.2", IPPROTO_UDP, 1000), 0);
	assert_int_equal(port_recv(&t, got, NULL, 10), 0);
	port_send(&w->port[0], frame, n, NULL);
	assert_int_equal(port_recv(&t, got, NULL, WAIT_MS), n);
}

static void
test_readable_when_frames_come(void **state)
{
	struct world *w = *state;
	struct pollfd p = { .fd = ms_worker_fd(w->port[1].w),
			    .events = POLLIN };
	uint32_t n = make(w, 10);
	unsigned int i;

	for (i = 0; i < 3; i++) {
		while (ms_worker_step(w->port[1].w) != 0)
			;
		assert_int_equal(poll(&p, 1, 0), 0);
		port_send(&w->port[0], frame, n, NULL);
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		assert_int_equal(port_recv(&w->port[1], got, NULL, WAIT_MS), n);
	}
}

static void
test_words(void **state)
{
	static const struct {
		const char *spec, *words;
		int r;
	} cases[] = {
		{ "pair:x0,link=w,side=0", "side 0", -EBUSY },
		{ "pair:x0,side=2", "side", -EINVAL },
		{ "pair:x0,addr=10.1.0", "10.1.0", -EINVAL },
		{ "pair:x0,addr=10.1.0.9+10.1.0.9", "twice", -EINVAL },
		{ "pair:x0,mac=ff:ff:ff:ff:ff:ff", "mac", -EINVAL },
		{ "pair:x0,wheels=4", "wheels", -EINVAL },
	};
	struct world *w = *state;
	struct ms_err err;
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ms_host *h = host_new();
		int r = attach(h, cases[i].spec, &err);

		if (r != cases[i].r && !(r == -EEXIST && i == 3))
			fail_msg("%s: %d, '%s'", cases[i].spec, r, err.text);
		if (strstr(err.text, cases[i].words) == NULL)
			fail_msg("%s: '%s'", cases[i].spec, err.text);
		ms_host_destroy(h);
	}
	assert_non_null(w->port[0].port->nic);
}

#define BODY(f) cmocka_unit_test_setup_teardown(f, world_open, world_close)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BODY(test_frames_cross_in_order),
		BODY(test_metadata_crosses),
		BODY(test_alone_is_lost_and_counted),
		BODY(test_nothing_stale_for_a_newcomer),
		BODY(test_readable_when_frames_come),
		BODY(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
