/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_lib_port.c: the port layer: sleeping, several ports, errors, and what ends
 * a port.
 */
#include "lib_ends.h"

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
		assert_int_equal(poll(&p, 1, 60000), 1);
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

	return cmocka_run_group_tests_name("lib_port", tests, NULL, NULL);
}
