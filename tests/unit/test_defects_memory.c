/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_defects_memory.c: out of memory, at every allocation of every call. The
 * first allocation of a call fails, then the second, and so on until the call
 * comes through: each failure is a clean error and leaves all as it was. Once
 * with one failure, once with all that follow. Leaks are the sanitizer's to
 * find.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../hostile/rig.h"

#define TRIES 200

static struct rig rig;

/* What a failed call must not change. */
struct shape {
	uint32_t ports, nics, nic_ports, binds;
	uint64_t tuples;
};

static struct shape
shape(const struct ms_port *port)
{
	struct shape s = { .ports = rig.sw->num_ports,
			   .nics = rig.sw->num_nics,
			   .nic_ports = rig.nic->num_ports,
			   .binds = port != NULL ? port->num_binds : 0,
			   .tuples = ms_table_count(rig.sw->table) };

	return s;
}

typedef int (*call)(struct ms_port *port, unsigned int n);

/* Calls until it comes through; returns how many failures that took. */
static unsigned int
starve(call c, struct ms_port *port, bool all)
{
	struct shape before, after;
	unsigned int n;
	int err;

	for (n = 1; n < TRIES; n++) {
		before = shape(port);
		ms_os_fail_after(n, all);
		err = c(port, n);
		ms_os_fail_after(0, false);
		assert_int_equal(pthread_mutex_trylock(&rig.sw->ctl_lock.m), 0);
		pthread_mutex_unlock(&rig.sw->ctl_lock.m);
		if (err == 0)
			return n - 1;
		assert_int_equal(err, -ENOMEM);
		after = shape(port);
		assert_memory_equal(&before, &after, sizeof(before));
	}
	fail_msg("never came through");
	return 0;
}

/* ---- the calls ------------------------------------------------------------------ */

static int
call_switch(struct ms_port *port, unsigned int n)
{
	struct ms_switch *sw = NULL;
	int err = ms_switch_create(&sw);

	(void)port;
	(void)n;
	if (err == 0)
		ms_switch_destroy(sw);
	else
		assert_null(sw);
	return err;
}

static int
call_nic(struct ms_port *port, unsigned int n)
{
	struct ms_nic tmpl = { .ops = rig_ops(),
			       .os = &rig,
			       .name = "more0",
			       .mtu = 1500,
			       .num_queues = 3 };
	struct ms_nic *nic = NULL;
	int err = ms_nic_create(rig.sw, &tmpl, &nic);

	(void)port;
	(void)n;
	if (err == 0)
		ms_nic_destroy(nic);
	else
		assert_null(nic);
	return err;
}

static int
call_port(struct ms_port *port, unsigned int n)
{
	struct ms_port *made = NULL;
	int err = rig_port_sized(&rig, &rig_alice, 3, 2, 64, &made);

	(void)port;
	(void)n;
	if (err == 0)
		ms_port_destroy(made);
	else
		assert_null(made);
	return err;
}

static int
call_bind4(struct ms_port *port, unsigned int n)
{
	(void)n;
	return rig_bind(&rig, &rig_root, port,
			rig_tuple4(rig_ip, IPPROTO_UDP, 5001));
}

static int
call_bind6(struct ms_port *port, unsigned int n)
{
	(void)n;
	return rig_bind(&rig, &rig_root, port,
			rig_tuple6(rig_ip6, IPPROTO_TCP, 5001));
}

static int
call_bind_ephemeral(struct ms_port *port, unsigned int n)
{
	(void)n;
	return rig_bind(&rig, &rig_root, port,
			rig_tuple4(rig_ip, IPPROTO_UDP, 0));
}

static int
call_bind_protocol(struct ms_port *port, unsigned int n)
{
	(void)n;
	return rig_bind(&rig, &rig_root, port, rig_tuple4(rig_ip, 253, 0));
}

/* So many that the table grows on the way. */
static int
call_bind_many(struct ms_port *port, unsigned int n)
{
	static uint16_t next = 10000;
	unsigned int i;
	int err;

	(void)n;
	for (i = 0; i < 40; i++) {
		err = rig_bind(&rig, &rig_root, port,
			       rig_tuple4(rig_ip, IPPROTO_UDP, next));
		if (err != 0) {
			/* all but the one that failed are given up again */
			while (i-- > 0)
				assert_int_equal(
				    rig_unbind(&rig, &rig_root, port,
					       rig_tuple4(rig_ip, IPPROTO_UDP,
							  --next)),
				    0);
			return err;
		}
		next++;
	}
	return 0;
}

static int
call_tap(struct ms_port *port, unsigned int n)
{
	struct ms_cmd_tap arg = { .size = sizeof(arg), .scope = MS_TAP_NIC };

	(void)n;
	return ms_ctl(rig.sw, &rig_root, &port, MS_CMD_TAP, &arg, sizeof(arg));
}

static int
call_addr(struct ms_port *port, unsigned int n)
{
	static uint8_t last;
	uint8_t addr[4] = { 10, 1, 0, 0 };
	unsigned int i;
	int err = 0;

	(void)port;
	(void)n;
	/* new ones each time, so that the list has to grow */
	ms_mutex_lock(&rig.sw->ctl_lock);
	for (i = 0; i < 8 && err == 0; i++) {
		addr[3] = ++last;
		err = ms_table_addr_add(rig.sw->table, addr, 4);
	}
	ms_mutex_unlock(&rig.sw->ctl_lock);
	return err;
}

/* ---- tests -------------------------------------------------------------------------- */

static void
test_every_call_survives(void **state)
{
	static const struct {
		const char *name;
		call c;
		unsigned int least; /* allocations that it makes */
	} cases[] = {
		{ "switch", call_switch, 4 },
		{ "interface", call_nic, 7 },
		{ "port", call_port, 6 },
		{ "bind IPv4", call_bind4, 1 },
		{ "bind IPv6", call_bind6, 1 },
		{ "bind an ephemeral port", call_bind_ephemeral, 1 },
		{ "bind a protocol", call_bind_protocol, 1 },
		{ "bind many", call_bind_many, 40 },
		{ "tap", call_tap, 1 },
		{ "addresses", call_addr, 1 },
	};
	struct ms_port *port;
	unsigned int i, k, n;

	(void)state;
	for (k = 0; k < 2; k++) {
		for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			rig_init(&rig, 1);
			port = rig_port(&rig, &rig_root);
			n = starve(cases[i].c, port, k != 0);
			if (cases[i].c != call_addr)
				assert_in_range(n, cases[i].least, TRIES);
			ms_port_destroy(port);
			rig_deinit(&rig);
		}
	}
}

/* What gives up or asks must not fail for want of memory. */
static void
test_giving_up_needs_no_memory(void **state)
{
	struct ms_cmd_list list = { .size = sizeof(list),
				    .what = MS_LIST_TUPLES };
	struct ms_cmd_handover h = { .size = sizeof(h),
				     .op = MS_HANDOVER_OFFER };
	struct ms_cmd_stats st = { .size = sizeof(st) };
	struct ms_port *a, *b, *gone;
	uint16_t i;

	(void)state;
	rig_init(&rig, 1);
	a = rig_port(&rig, &rig_root);
	b = rig_port(&rig, &rig_root);
	gone = rig_port(&rig, &rig_root);
	for (i = 0; i < 300; i++)
		assert_int_equal(rig_bind(&rig, &rig_root, a,
					  rig_tuple4(rig_ip, IPPROTO_UDP,
						     (uint16_t)(5000 + i))),
				 0);
	assert_int_equal(rig_bind(&rig, &rig_root, gone,
				  rig_tuple4(rig_ip, IPPROTO_TCP, 80)),
			 0);
	assert_int_equal(call_tap(b, 0), 0);
	ms_os_fail_after(1, true);
	assert_int_equal(
	    ms_ctl(rig.sw, &rig_root, &a, MS_CMD_STATS, &st, sizeof(st)), 0);
	assert_int_equal(
	    ms_ctl(rig.sw, &rig_root, &a, MS_CMD_LIST, &list, sizeof(list)), 0);
	assert_int_equal(
	    ms_ctl(rig.sw, &rig_root, &a, MS_CMD_HANDOVER, &h, sizeof(h)), 0);
	h.op = MS_HANDOVER_ACCEPT;
	assert_int_equal(
	    ms_ctl(rig.sw, &rig_root, &b, MS_CMD_HANDOVER, &h, sizeof(h)), 0);
	assert_int_equal(h.moved, 300);
	for (i = 0; i < 300; i++)
		assert_int_equal(rig_unbind(&rig, &rig_root, b,
					    rig_tuple4(rig_ip, IPPROTO_UDP,
						       (uint16_t)(5000 + i))),
				 0);
	ms_port_destroy(gone);
	ms_port_destroy(b);
	assert_int_equal(ms_table_count(rig.sw->table), 0);
	ms_os_fail_after(0, false);
	ms_port_destroy(a);
	rig_deinit(&rig);
}

/* Frames go on without: the paths of packets allocate nothing. */
static void
test_packets_need_no_memory(void **state)
{
	struct ms_port *port;
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	rig_init(&rig, 1);
	port = rig_port(&rig, &rig_alice);
	assert_int_equal(rig_bind(&rig, &rig_alice, port,
				  rig_tuple4(rig_ip, IPPROTO_UDP, 5001)),
			 0);
	ms_os_fail_after(1, true);
	len = rig_udp_in(frame, 9, 5001, "x", 1);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_TAKEN);
	assert_int_equal(rig_rx(port, 0, frame, sizeof(frame)), len);
	len = rig_udp_out(frame, 5001, 9, "x", 1);
	assert_int_equal(rig_send(&rig, port, frame, len), 0);
	assert_int_equal(rig.wire.frames, 1);
	ms_os_fail_after(0, false);
	ms_port_destroy(port);
	rig_deinit(&rig);
}

/* ---- through the host ------------------------------------------------------------------ */

/* From nothing to a bound port that is served, and back. */
static int
whole_life(struct ms_err *err)
{
	struct ms_host_options opt = { .flags = MS_HOST_NO_THREADS };
	struct ms_cmd_attach at = { .size = sizeof(at),
				    .nic = "mem0",
				    .kind = "pair",
				    .options = "addr=10.0.0.1" };
	struct ms_cmd_port_create create = { .size = sizeof(create),
					     .nic = "mem0" };
	struct ms_cmd_bind bind = { .size = sizeof(bind) };
	struct ms_port *port = NULL;
	struct ms_host *host = NULL;
	int r;

	bind.tuple = rig_tuple4(rig_ip, IPPROTO_UDP, 5001);
	r = ms_host_create(&opt, &host, err);
	if (r != 0)
		return r;
	r = ms_host_attach(host, &at, err);
	if (r == 0)
		r = ms_host_ctl(host, &rig_root, &port, MS_CMD_PORT_CREATE,
				&create, sizeof(create), err);
	if (r == 0) {
		r = ms_host_port_watch(host, port);
		if (r == 0) {
			r = ms_host_ctl(host, &rig_root, &port, MS_CMD_BIND,
					&bind, sizeof(bind), err);
			ms_host_port_unwatch(host, port);
		}
	}
	ms_port_destroy(port);
	ms_host_destroy(host);
	return r;
}

static void
test_host_survives(void **state)
{
	struct ms_err err;
	unsigned int k, n;
	int r;

	(void)state;
	for (k = 0; k < 2; k++) {
		for (n = 1;; n++) {
			memset(&err, 0, sizeof(err));
			ms_os_fail_after(n, k != 0);
			r = whole_life(&err);
			ms_os_fail_after(0, false);
			if (r == 0)
				break;
			assert_int_equal(r, -ENOMEM);
			assert_in_range(n, 1, TRIES);
		}
		assert_in_range(n, 12, TRIES);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_call_survives),
		cmocka_unit_test(test_giving_up_needs_no_memory),
		cmocka_unit_test(test_packets_need_no_memory),
		cmocka_unit_test(test_host_survives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
