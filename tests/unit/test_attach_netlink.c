/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_attach_netlink.c: what the host knows, asked for by ports, and how they
 * learn that it changed.
 */
#include "attach_net.h"

static uint8_t frame[70000];

struct world {
	struct ms_host *host;
	struct tport port;
};

static int
world_open(void **state)
{
	static struct world w;

	*state = &w;
	assert_true(net_setup());
	w.host = host_new();
	assert_int_equal(attach(w.host, "xdp:ms0", NULL), 0);
	port_open(&w.port, w.host, "ms0", 0);
	assert_int_equal(port_bind(&w.port, OUR4, IPPROTO_UDP, 7000), 0);
	return 0;
}

static int
world_close(void **state)
{
	struct world *w = *state;

	port_close(&w->port);
	ms_host_destroy(w->host);
	net_teardown();
	return 0;
}

#define RETRANS "/proc/sys/net/ipv4/neigh/ms0/retrans_time_ms"

static uint32_t
gen(struct world *w)
{
	return MS_USER_READ(w->port.port->region->route_gen);
}

/* Until the generation moves from `was`. */
static void
wait_gen(struct world *w, uint32_t was)
{
	int64_t end = now_ms() + WAIT_MS;

	while (gen(w) == was) {
		assert_true(now_ms() < end);
		usleep(1000);
	}
}

static void
test_link(void **state)
{
	struct ms_link link;

	assert_int_equal(ms_link_get("ms0", &link), 0);
	assert_true(link.up && link.ether && !link.loopback);
	assert_int_equal(link.mtu, 1500);
	assert_int_equal(link.ifindex, if_nametoindex("ms0"));
	assert_int_equal(link.rx_queues, 1);
	assert_int_equal(ms_link_get("lo", &link), 0);
	assert_true(link.loopback && !link.ether);
	assert_int_equal(ms_link_get("nosuch0", &link), -ENODEV);
	assert_int_equal(ms_link_get("", &link), -ENODEV);
	assert_int_equal(ms_link_get("a-name-that-is-too-long", &link),
			 -ENODEV);
}

static void
test_neighbour_is_resolved(void **state)
{
	static const char *const pairs[2][2] = { { OUR4, THEIR4 },
						 { OUR6, THEIR6 } };
	struct world *w = *state;
	struct ms_cmd_route r;
	struct ms_tuple src;
	unsigned int k;

	for (k = 0; k < 2; k++) {
		/* While its link-local address is tentative, the kernel
		   solicits nobody: pending, until it does. */
		while (port_route(&w->port, pairs[k][1], &r) == 0 &&
		       r.state == MS_ROUTE_PENDING && k == 1)
			wait_gen(w, r.gen);
		assert_int_equal(r.state, MS_ROUTE_REACHABLE);
		assert_int_equal(r.mtu, 1500);
		src = tuple_of(pairs[k][0], 0, 0);
		assert_memory_equal(r.src.addr, src.addr, 16);
		assert_memory_equal(r.src_mac, w->port.mac, 6);
		assert_memory_not_equal(r.dst_mac, "\0\0\0\0\0\0", 6);
	}
}

static void
test_gateway_and_path_mtu(void **state)
{
	struct world *w = *state;
	struct ms_cmd_route direct, via;

	assert_int_equal(port_route(&w->port, "192.0.2.7", &via), -ENETUNREACH);
	assert_int_equal(port_route(&w->port, THEIR4, &direct), 0);
	assert_int_equal(sh("ip route add default via " THEIR4 " mtu 1400"), 0);
	assert_int_equal(port_route(&w->port, "192.0.2.7", &via), 0);
	assert_int_equal(via.state, MS_ROUTE_REACHABLE);
	assert_memory_equal(via.dst_mac, direct.dst_mac, 6);
	assert_int_equal(via.mtu, 1400);
	assert_int_equal(sh("ip route add unreachable 192.0.2.8/32"), 0);
	assert_true(port_route(&w->port, "192.0.2.8", &via) < 0);
}

static void
test_unknown_neighbour_is_pending(void **state)
{
	struct world *w = *state;
	struct ms_cmd_route r;
	uint32_t was;

	/* The kernel asks thrice: who waited for it would wait for long. */
	assert_int_equal(sh("echo 100000 >" RETRANS), 0);
	assert_int_equal(port_route(&w->port, "10.77.0.99", &r), 0);
	assert_int_equal(r.state, MS_ROUTE_PENDING);
	was = r.gen;
	assert_int_equal(sh("ip neigh replace 10.77.0.99 lladdr "
			    "02:00:00:00:00:99 dev ms0"),
			 0);
	wait_gen(w, was);
	assert_int_equal(port_route(&w->port, "10.77.0.99", &r), 0);
	assert_int_equal(r.state, MS_ROUTE_REACHABLE);
	assert_int_equal(r.dst_mac[5], 0x99);
	assert_int_equal(sh("echo 1000 >" RETRANS), 0);
}

static void
test_group_addresses(void **state)
{
	static const struct {
		const char *dst;
		uint8_t mac[6];
	} cases[] = {
		{ "10.77.0.255", { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
		{ "224.1.2.3", { 0x01, 0x00, 0x5e, 0x01, 0x02, 0x03 } },
		{ "ff02::fb", { 0x33, 0x33, 0x00, 0x00, 0x00, 0xfb } },
	};
	struct world *w = *state;
	struct ms_cmd_route r;
	unsigned int i;

	sh("ip route add 224.0.0.0/4 dev ms0");
	for (i = 0; i < 3; i++) {
		assert_int_equal(port_route(&w->port, cases[i].dst, &r), 0);
		assert_int_equal(r.state, MS_ROUTE_REACHABLE);
		assert_memory_equal(r.dst_mac, cases[i].mac, 6);
	}
}

static void
test_changes_move_the_generation(void **state)
{
	static const char *const changes[] = {
		("ip route add 192.0.2.0/24 via " THEIR4),
		"ip route del 192.0.2.0/24",
		"ip addr add 10.79.0.1/24 dev ms0",
		"ip addr del 10.79.0.1/24 dev ms0",
		"ip link set ms0 mtu 1400",
		"ip neigh replace 10.77.0.50 lladdr 02:00:00:00:00:50 dev ms0",
		"ip neigh replace 10.77.0.50 lladdr 02:00:00:00:00:51 dev ms0",
		"ip neigh del 10.77.0.50 dev ms0",
	};
	struct world *w = *state;
	struct ms_cmd_route r;
	unsigned int i;

	for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		uint32_t was = gen(w);

		assert_int_equal(sh("%s", changes[i]), 0);
		wait_gen(w, was);
	}
	assert_int_equal(port_route(&w->port, THEIR4, &r), 0);
	assert_int_equal(r.mtu, 1400);
	assert_int_equal(w->port.port->nic->mtu, 1400);
}

/* With another MAC the claimed still come, and are checked against it. */
static void
test_new_mac(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 0x77 };
	struct world *w = *state;
	int c = sock_in(ns_theirs, SOCK_DGRAM, THEIR4, 0);
	struct ms_cmd_route r;
	uint32_t was = gen(w);
	unsigned int i;

	assert_int_equal(sock_to(c, OUR4, 7000), 0);
	assert_int_equal(sh("ip link set ms0 address 02:00:00:00:00:77"), 0);
	wait_gen(w, was);
	assert_int_equal(port_route(&w->port, THEIR4, &r), 0);
	assert_memory_equal(r.src_mac, mac, 6);
	for (i = 0; i < WAIT_MS / 50; i++) {
		send(c, "x", 1, 0);
		if (port_recv(&w->port, frame, NULL, 50) != 0)
			break;
	}
	assert_true(i < WAIT_MS / 50);
	assert_memory_equal(frame, mac, 6);
	close(c);
}

/* More messages than the monitor's socket can hold: it looks at everything
   again, and what is true in the end is what the switch knows. */
static void
test_lost_messages_are_made_up_for(void **state)
{
	struct world *w = *state;
	struct ms_switch *sw = ms_host_switch(w->host);
	struct ms_tuple last = tuple_of("10.90.15.255", 0, 0);
	int64_t end = now_ms() + WAIT_MS;
	struct ms_read read;
	bool known = false;
	FILE *f = popen("ip -batch -", "w");
	unsigned int i;

	assert_non_null(f);
	ms_mutex_lock(&sw->ctl_lock); /* keeps the monitor from reading on */
	for (i = 0; i < 4096; i++)
		fprintf(f, "addr add 10.90.%u.%u/32 dev ms0\n", i >> 8,
			i & 255);
	assert_int_equal(pclose(f), 0);
	ms_mutex_unlock(&sw->ctl_lock);
	while (!known && now_ms() < end) {
		ms_os_read_enter(&read);
		known = ms_table_addr_local(sw->table, last.addr, 4);
		ms_os_read_exit(&read);
		usleep(1000);
	}
	assert_true(known);
}

#define BODY(f) cmocka_unit_test_setup_teardown(f, world_open, world_close)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BODY(test_link),
		BODY(test_neighbour_is_resolved),
		BODY(test_gateway_and_path_mtu),
		BODY(test_unknown_neighbour_is_pending),
		BODY(test_group_addresses),
		BODY(test_changes_move_the_generation),
		BODY(test_new_mac),
		BODY(test_lost_messages_are_made_up_for),
	};

	if (!net_setup())
		return 77;
	net_teardown();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
