/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_attach_lo.c: lo attached, for clients on this machine: the loopback
 * addresses and an own address of another interface, both ways, with and
 * without the host's reverse path filter.
 */
#include "attach_net.h"

static uint8_t frame[70000];

struct world {
	const char *spec;
	struct ms_host *host;
	struct tport port;
};

static int
world_open(void **state)
{
	struct world *w = *state;

	w->host = host_new();
	assert_int_equal(attach(w->host, w->spec, NULL), 0);
	port_open(&w->port, w->host, "lo", 16384);
	return 0;
}

static int
world_close(void **state)
{
	struct world *w = *state;

	port_close(&w->port);
	ms_host_destroy(w->host);
	return 0;
}

static const char *const addrs[] = { "127.0.0.1", OUR4, "::1", OUR6 };

static void
udp_echo(struct world *w, const char *addr, uint16_t port)
{
	int c = sock_in(ns_ours, SOCK_DGRAM, addr, 0);
	struct ms_cmd_route r;
	struct ms_slot first;
	char got[16];
	uint32_t n;

	assert_int_equal(port_bind(&w->port, addr, IPPROTO_UDP, port), 0);
	assert_int_equal(sock_to(c, addr, port), 0);
	assert_int_equal(send(c, "ping", 4, 0), 4);
	n = port_recv(&w->port, frame, &first, WAIT_MS);
	assert_true(n != 0);
	assert_memory_equal(frame + n - 4, "ping", 4);
	assert_true((first.flags & MS_SLOT_CSUM_OK) != 0);
	assert_int_equal(port_route(&w->port, addr, &r), 0);
	assert_int_equal(r.state, MS_ROUTE_LOCAL);
	n = udp_frame(frame, &r, addr, port, addr, sock_port(c), "pong", 4,
		      false);
	port_send(&w->port, frame, n, NULL);
	if (recv(c, got, sizeof(got), 0) != 4)
		fail_msg("no answer from %s", addr);
	close(c);
}

static void
test_udp_both_ways(void **state)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		udp_echo(*state, addrs[i], (uint16_t)(7100 + i));
}

static void
test_udp_with_reverse_path_filter(void **state)
{
	unsigned int i;

	assert_int_equal(sh("sysctl -qw net.ipv4.conf.all.rp_filter=1"), 0);
	for (i = 0; i < 2; i++)
		udp_echo(*state, addrs[i], (uint16_t)(7110 + i));
	assert_int_equal(sh("sysctl -qw net.ipv4.conf.all.rp_filter=0"), 0);
}

/* The next segment to this port; what an earlier connection still says is
   passed over. */
static uint32_t
recv_tcp(struct world *w, uint32_t l4, uint16_t port, struct ms_slot *first)
{
	uint32_t n;

	do
		n = port_recv(&w->port, frame, first, WAIT_MS);
	while (n != 0 && ms_be16(frame + l4 + 2) != port);
	return n;
}

/* A TCP connection's first steps: the client's connect() succeeds, and a large
   send comes in one frame with its metadata. */
static void
tcp_once(struct world *w, const char *addr, uint16_t port)
{
	uint32_t ip = strchr(addr, ':') != NULL ? 40 : 20, l4 = 14 + ip, n;
	static uint8_t data[20000];
	struct ms_cmd_route r;
	struct ms_slot first;
	uint8_t *t, seq[4];
	int c = sock_in(ns_ours, SOCK_STREAM | SOCK_NONBLOCK, addr, 0);
	struct pollfd p = { .fd = c, .events = POLLOUT };

	assert_int_equal(port_bind(&w->port, addr, IPPROTO_TCP, port), 0);
	assert_int_equal(port_route(&w->port, addr, &r), 0);
	sock_to(c, addr, port);
	n = recv_tcp(w, l4, port, NULL);
	assert_true(n >= l4 + 20);
	t = frame + l4;
	assert_int_equal(t[13] & 0x12, 0x02);
	memcpy(seq, t + 4, 4);
	seq[3]++;
	if (seq[3] == 0 && ++seq[2] == 0 && ++seq[1] == 0)
		seq[0]++;
	memset(t, 0, 24);
	be16(t, port);
	be16(t + 2, sock_port(c));
	memcpy(t + 8, seq, 4);
	t[12] = 0x60;
	t[13] = 0x12;
	be16(t + 14, 65535);
	be16(t + 20, 0x0204); /* MSS */
	be16(t + 22, 4096);
	n = frame_finish(frame, &r, addr, addr, IPPROTO_TCP, 24, 16, false);
	port_send(&w->port, frame, n, NULL);
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	n = recv_tcp(w, l4, port, NULL); /* ACK */
	assert_int_equal(n, l4 + 20);
	assert_int_equal(send(c, data, sizeof(data), 0), sizeof(data));
	n = recv_tcp(w, l4, port, &first);
	assert_true(n > l4 + 2 * 4096);
	assert_int_equal(first.gso_type, ip == 20 ? MS_GSO_TCP4 : MS_GSO_TCP6);
	assert_int_equal(first.gso_size, 4096);
	assert_int_equal(first.csum_start, l4);
	assert_int_equal(first.csum_offset, 16);
	assert_true((first.flags & MS_SLOT_CSUM_PARTIAL) != 0);
	close(c);
}

static void
test_tcp(void **state)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		tcp_once(*state, addrs[i], (uint16_t)(7120 + i));
}

static void
test_others_on_lo_notice_nothing(void **state)
{
	int a = sock_in(ns_ours, SOCK_DGRAM, "127.0.0.1", 7130);
	int b = sock_in(ns_ours, SOCK_DGRAM, "127.0.0.1", 7131);
	struct world *w = *state;
	char got[8];

	assert_int_equal(port_bind(&w->port, "127.0.0.1", IPPROTO_UDP, 7132),
			 0);
	assert_int_equal(sock_to(a, "127.0.0.1", 7131), 0);
	assert_int_equal(send(a, "host", 4, 0), 4);
	assert_int_equal(recv(b, got, sizeof(got), 0), 4);
	assert_int_equal(port_recv(&w->port, frame, NULL, 20), 0);
	close(a);
	close(b);
}

#define BODY(f) { #f, f, world_open, world_close, NULL }

int
main(void)
{
	struct world tcx = { .spec = "tc:lo" };
	struct world classic = { .spec = "tc:lo,classic=1" };
	struct CMUnitTest tests[] = {
		BODY(test_udp_both_ways),
		BODY(test_udp_with_reverse_path_filter),
		BODY(test_tcp),
		BODY(test_others_on_lo_notice_nothing),
	};
	unsigned int i;
	int failed;

	if (!net_setup())
		return 77;
	for (i = 0; i < 4; i++)
		tests[i].initial_state = &tcx;
	failed = cmocka_run_group_tests_name("tcx", tests, NULL, NULL);
	for (i = 0; i < 4; i++)
		tests[i].initial_state = &classic;
	failed += cmocka_run_group_tests_name("clsact", tests, NULL, NULL);
	net_teardown();
	return failed != 0;
}
