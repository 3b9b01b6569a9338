/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_attach_wire.c: attachments to an Ethernet interface, xdp and tc, over
 * veth, with the kernel's own sockets as the other side. The same bodies run
 * over every kind and mode.
 */
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "attach_net.h"

#define CLAIMED 7000
#define UNCLAIMED 7001

struct world {
	const char *spec;
	struct ms_host *host;
	struct tport port;
};

static uint8_t frame[70000];

static int
world_open(void **state)
{
	struct world *w = *state;

	w->host = host_new();
	assert_int_equal(attach(w->host, w->spec, NULL), 0);
	port_open(&w->port, w->host, "ms0", 0);
	assert_int_equal(port_bind(&w->port, OUR4, IPPROTO_UDP, CLAIMED), 0);
	assert_int_equal(port_bind(&w->port, OUR6, IPPROTO_UDP, CLAIMED), 0);
	return 0;
}

static int
world_close(void **state)
{
	struct world *w = *state;

	if (w->host != NULL) {
		port_close(&w->port);
		ms_host_destroy(w->host);
		w->host = NULL;
	}
	return 0;
}

/* A datagram socket of the other side, connected to one of ours. */
static int
client(const char *from, const char *to, uint16_t port)
{
	int fd = sock_in(ns_theirs, SOCK_DGRAM, from, 0);

	assert_int_equal(sock_to(fd, to, port), 0);
	return fd;
}

static void
expect_text(const uint8_t *data, uint32_t bytes, const char *text)
{
	assert_int_equal(bytes, strlen(text));
	assert_memory_equal(data, text, bytes);
}

static void
test_claimed_comes_to_the_port(void **state)
{
	struct world *w = *state;
	int c = client(THEIR4, OUR4, CLAIMED);
	uint32_t n;

	assert_int_equal(send(c, "one", 3, 0), 3);
	n = port_recv(&w->port, frame, NULL, WAIT_MS);
	assert_true(n >= 45);
	expect_text(frame + 42, 3, "one");
	assert_memory_equal(frame, w->port.mac, 6);
	close(c);
}

static void
test_claimed_ip6_comes_to_the_port(void **state)
{
	struct world *w = *state;
	int c = client(THEIR6, OUR6, CLAIMED);
	uint32_t n;

	assert_int_equal(send(c, "six", 3, 0), 3);
	n = port_recv(&w->port, frame, NULL, WAIT_MS);
	assert_int_equal(n, 14 + 40 + 8 + 3);
	expect_text(frame + 62, 3, "six");
	close(c);
}

static void
test_unclaimed_goes_to_the_host(void **state)
{
	struct world *w = *state;
	int own = sock_in(ns_ours, SOCK_DGRAM, OUR4, UNCLAIMED);
	int c = client(THEIR4, OUR4, UNCLAIMED);
	char got[16];

	assert_int_equal(send(c, "host", 4, 0), 4);
	assert_int_equal(recv(own, got, sizeof(got), 0), 4);
	assert_int_equal(port_recv(&w->port, frame, NULL, 20), 0);
	close(c);
	close(own);
}

static void
test_port_sends(void **state)
{
	static const struct {
		const char *ours, *theirs;
		bool partial;
	} cases[] = { { OUR4, THEIR4, false },
		      { OUR4, THEIR4, true },
		      { OUR6, THEIR6, false },
		      { OUR6, THEIR6, true } };
	struct world *w = *state;
	struct ms_cmd_route r;
	char got[64];
	unsigned int i;

	for (i = 0; i < 4; i++) {
		int c = client(cases[i].theirs, cases[i].ours, CLAIMED);
		uint32_t l4 = 14 + (strchr(cases[i].ours, ':') ? 40 : 20), n;
		struct ms_slot meta = { .flags = cases[i].partial
						     ? MS_SLOT_CSUM_PARTIAL
						     : 0,
					.csum_start = (uint16_t)l4,
					.csum_offset = 6 };

		assert_int_equal(port_route(&w->port, cases[i].theirs, &r), 0);
		assert_int_equal(r.state, MS_ROUTE_REACHABLE);
		n = udp_frame(frame, &r, cases[i].ours, CLAIMED,
			      cases[i].theirs, sock_port(c), "answer", 6,
			      cases[i].partial);
		port_send(&w->port, frame, n, &meta);
		assert_int_equal(recv(c, got, sizeof(got), 0), 6);
		assert_memory_equal(got, "answer", 6);
		close(c);
	}
}

/* One large send becomes datagrams of gso_size with good checksums. */
static void
test_udp_gso_is_cut(void **state)
{
	static const struct {
		const char *ours, *theirs;
	} cases[] = { { OUR4, THEIR4 }, { OUR6, THEIR6 } };
	struct world *w = *state;
	struct ms_cmd_route r;
	uint8_t data[5000], got[2000];
	unsigned int i, k;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (k = 0; k < 2; k++) {
		int c = client(cases[k].theirs, cases[k].ours, CLAIMED);
		uint32_t l4 = 14 + (k ? 40 : 20), n, ofs = 0;
		struct ms_slot meta = { .flags = MS_SLOT_CSUM_PARTIAL,
					.gso_type = MS_GSO_UDP,
					.gso_size = 1200,
					.csum_start = (uint16_t)l4,
					.csum_offset = 6 };

		assert_int_equal(port_route(&w->port, cases[k].theirs, &r), 0);
		n = udp_frame(frame, &r, cases[k].ours, CLAIMED,
			      cases[k].theirs, sock_port(c), data, sizeof(data),
			      true);
		port_send(&w->port, frame, n, &meta);
		while (ofs < sizeof(data)) {
			ssize_t one = recv(c, got, sizeof(got), 0);

			assert_true(one > 0 && one <= 1200);
			assert_memory_equal(got, data + ofs, (size_t)one);
			ofs += (uint32_t)one;
		}
		close(c);
	}
}

static void
test_fragments_follow_their_first(void **state)
{
	static const struct {
		const char *ours, *theirs;
		uint32_t hdr;
	} cases[] = { { OUR4, THEIR4, 34 }, { OUR6, THEIR6, 62 } };
	struct world *w = *state;
	uint8_t data[4000], got[4001];
	unsigned int k;

	memset(data, 'f', sizeof(data));
	for (k = 0; k < 2; k++) {
		int own = sock_in(ns_ours, SOCK_DGRAM, cases[k].ours,
				  UNCLAIMED);
		int c = client(cases[k].theirs, cases[k].ours, CLAIMED);
		uint32_t bytes = 0, n;

		assert_int_equal(send(c, data, sizeof(data), 0), sizeof(data));
		while (bytes < sizeof(data) + 8) {
			n = port_recv(&w->port, frame, NULL, WAIT_MS);
			assert_true(n > cases[k].hdr);
			bytes += n - cases[k].hdr;
		}
		assert_int_equal(bytes, sizeof(data) + 8);
		/* those of others stay whole for the host */
		assert_int_equal(sock_to(c, cases[k].ours, UNCLAIMED), 0);
		assert_int_equal(send(c, data, sizeof(data), 0), sizeof(data));
		assert_int_equal(recv(own, got, sizeof(got), 0), sizeof(data));
		close(c);
		close(own);
	}
}

/* The other side's kernel complains about what the port sent. */
static void
test_icmp_errors_come_to_the_sender(void **state)
{
	static const struct {
		const char *ours, *theirs;
		uint32_t type_ofs;
		uint8_t type;
	} cases[] = { { OUR4, THEIR4, 34, ICMP_DEST_UNREACH },
		      { OUR6, THEIR6, 54, ICMP6_DST_UNREACH } };
	struct world *w = *state;
	struct ms_cmd_route r;
	uint32_t n;
	unsigned int k;

	for (k = 0; k < 2; k++) {
		assert_int_equal(port_route(&w->port, cases[k].theirs, &r), 0);
		n = udp_frame(frame, &r, cases[k].ours, CLAIMED,
			      cases[k].theirs, 9, "anyone?", 7, false);
		port_send(&w->port, frame, n, NULL);
		n = port_recv(&w->port, frame, NULL, WAIT_MS);
		assert_true(n > cases[k].type_ofs);
		assert_int_equal(frame[cases[k].type_ofs], cases[k].type);
	}
}

static void
test_ip_options(void **state)
{
	static const uint8_t nops[8] = { 1, 1, 1, 1, 1, 1, 1, 0 };
	struct world *w = *state;
	int c = client(THEIR4, OUR4, CLAIMED);
	uint32_t n;

	assert_int_equal(
	    setsockopt(c, IPPROTO_IP, IP_OPTIONS, nops, sizeof(nops)), 0);
	assert_int_equal(send(c, "options", 7, 0), 7);
	n = port_recv(&w->port, frame, NULL, WAIT_MS);
	assert_true(n >= 57);
	assert_int_equal(frame[14], 0x47);
	expect_text(frame + 50, 7, "options");
	close(c);
}

static void
test_ip6_extension_headers(void **state)
{
	/* a destination options header of padding */
	static const uint8_t pad[8] = { 0, 0, 1, 4, 0, 0, 0, 0 };
	struct world *w = *state;
	int c = client(THEIR6, OUR6, CLAIMED);
	uint32_t n;

	assert_int_equal(
	    setsockopt(c, IPPROTO_IPV6, IPV6_DSTOPTS, pad, sizeof(pad)), 0);
	assert_int_equal(
	    setsockopt(c, IPPROTO_IPV6, IPV6_HOPOPTS, pad, sizeof(pad)), 0);
	assert_int_equal(send(c, "ext", 3, 0), 3);
	n = port_recv(&w->port, frame, NULL, WAIT_MS);
	assert_int_equal(n, 14 + 40 + 16 + 8 + 3);
	expect_text(frame + 78, 3, "ext");
	close(c);
}

static void
test_wildcard_takes_own_addresses_only(void **state)
{
	struct world *w = *state;
	int c = client(THEIR4, OUR4, 7002);

	assert_int_equal(port_bind(&w->port, "0.0.0.0", IPPROTO_UDP, 7002), 0);
	assert_int_equal(send(c, "any", 3, 0), 3);
	assert_true(port_recv(&w->port, frame, NULL, WAIT_MS) != 0);
	/* routed here, but not one of ours */
	assert_int_equal(
	    sh("nsenter -t %d -n ip route replace 10.78.0.9 via " OUR4,
	       (int)ns_child),
	    0);
	assert_int_equal(sock_to(c, "10.78.0.9", 7002), 0);
	assert_int_equal(send(c, "not", 3, 0), 3);
	assert_int_equal(port_recv(&w->port, frame, NULL, 30), 0);
	/* until the host gets it, and the monitor tells */
	assert_int_equal(sh("ip addr add 10.78.0.9/32 dev ms0"), 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(send(c, "now", 3, 0), 3);
		if (port_recv(&w->port, frame, NULL, 30) != 0)
			break;
		assert_true(i < 99);
	}
	assert_int_equal(sh("ip addr del 10.78.0.9/32 dev ms0"), 0);
	close(c);
}

static void
test_unbound_again_is_the_hosts(void **state)
{
	struct world *w = *state;
	struct ms_cmd_bind arg = { .size = sizeof(arg) };
	int c = client(THEIR4, OUR4, 7003), own;
	char got[8];

	assert_int_equal(port_bind(&w->port, OUR4, IPPROTO_UDP, 7003), 0);
	assert_int_equal(send(c, "a", 1, 0), 1);
	assert_true(port_recv(&w->port, frame, NULL, WAIT_MS) != 0);
	arg.tuple = tuple_of(OUR4, IPPROTO_UDP, 7003);
	assert_int_equal(ms_host_ctl(w->host, &w->port.cred, &w->port.port,
				     MS_CMD_UNBIND, &arg, sizeof(arg), NULL),
			 0);
	own = sock_in(ns_ours, SOCK_DGRAM, OUR4, 7003);
	assert_int_equal(send(c, "b", 1, 0), 1);
	assert_int_equal(recv(own, got, sizeof(got), 0), 1);
	close(own);
	close(c);
}

/* A socket on the same machine, and the stack, on the one address. */
static void
test_local_client(void **state)
{
	static const char *const addrs[] = { OUR4, OUR6 };
	struct world *w = *state;
	struct ms_cmd_route r;
	char got[16];
	unsigned int k;

	for (k = 0; k < 2; k++) {
		int c = sock_in(ns_ours, SOCK_DGRAM, addrs[k], 0);
		uint32_t n;

		assert_int_equal(sock_to(c, addrs[k], CLAIMED), 0);
		assert_int_equal(send(c, "near", 4, 0), 4);
		n = port_recv(&w->port, frame, NULL, WAIT_MS);
		assert_true(n != 0);
		expect_text(frame + n - 4, 4, "near");
		assert_int_equal(port_route(&w->port, addrs[k], &r), 0);
		assert_int_equal(r.state, MS_ROUTE_LOCAL);
		n = udp_frame(frame, &r, addrs[k], CLAIMED, addrs[k],
			      sock_port(c), "by", 2, false);
		port_send(&w->port, frame, n, NULL);
		assert_int_equal(recv(c, got, sizeof(got), 0), 2);
		close(c);
	}
	assert_true(port_counter(&w->port, MS_CTR_TX_HOST) >= 2);
}

/* Without its TAP the way to this host is gone, and nothing else. */
static void
test_local_tap_deleted(void **state)
{
	struct world *w = *state;
	int c = client(THEIR4, OUR4, CLAIMED);
	struct pollfd p = { .fd = ms_worker_fd(w->port.w), .events = POLLIN };
	const char *tap = strncmp(w->spec, "tc", 2) == 0 ? "mstap1" : "mstap0";

	assert_int_equal(sh("ip link del %s", tap), 0);
	while (ms_worker_step(w->port.w) != 0)
		;
	ms_worker_step(w->port.w);
	assert_int_equal(poll(&p, 1, 0), 0); /* does not spin */
	assert_int_equal(send(c, "one", 3, 0), 3);
	assert_true(port_recv(&w->port, frame, NULL, WAIT_MS) != 0);
	close(c);
}

static void
test_attached_twice(void **state)
{
	struct world *w = *state;
	struct ms_host *other;
	struct ms_err err = { "" };

	assert_int_equal(attach(w->host, w->spec, &err), -EEXIST);
	assert_non_null(strstr(err.text, "ms0"));
	if (strncmp(w->spec, "xdp", 3) != 0)
		return;
	other = host_new();
	assert_int_equal(attach(other, w->spec, &err), -EBUSY);
	assert_non_null(strstr(err.text, "another MultiStack"));
	ms_host_destroy(other);
}

static void
test_detach_leaves_no_trace(void **state)
{
	struct world *w = *state;
	int own, c;
	char got[8];

	world_close(state);
	assert_int_equal(sh("! ip -d link show ms0 | grep -q xdp && "
			    "! ip link | grep -q mstap && "
			    "test -z \"$(tc filter show dev ms0 ingress)\" && "
			    "test -z \"$(tc filter show dev lo ingress)\" && "
			    "! tc qdisc show | grep -q clsact && "
			    "ethtool -k ms0 | grep -q 'rx-vlan-offload: on'"),
			 0);
	own = sock_in(ns_ours, SOCK_DGRAM, OUR4, CLAIMED);
	c = client(THEIR4, OUR4, CLAIMED);
	assert_int_equal(send(c, "x", 1, 0), 1);
	assert_int_equal(recv(own, got, sizeof(got), 0), 1);
	close(c);
	close(own);
	assert_null(w->host);
}

static void
test_interface_goes_under_traffic(void **state)
{
	struct world *w = *state;
	int c = client(THEIR4, OUR4, CLAIMED);
	int64_t end = now_ms() + WAIT_MS;
	unsigned int i;

	for (i = 0; i < 200; i++)
		send(c, "flood", 5, 0);
	assert_int_equal(sh("ip link del ms0"), 0);
	while (ms_os_load_acquire(&w->port.port->rx[0].shared->gone) !=
	       MS_GONE_NIC) {
		assert_true(now_ms() < end);
		usleep(1000);
	}
	close(c);
	world_close(state);
	/* for those who come after */
	assert_int_equal(sh("ip link add ms0 type veth peer name p0 && ip link "
			    "set p0 netns %d && ip addr add " OUR4
			    "/24 dev ms0 && ip addr add " OUR6
			    "/64 dev ms0 nodad && ip link set ms0 up && "
			    "nsenter -t %d -n sh -c 'ip addr add " THEIR4
			    "/24 dev p0 && ip addr add " THEIR6
			    "/64 dev p0 nodad && ip link set p0 up && ethtool "
			    "-K p0 tx off >/dev/null'",
			    (int)ns_child, (int)ns_child),
			 0);
}

/* Sends a UDP frame with a VLAN tag (0: without) from the other side. */
static void
send_tagged(struct world *w, uint16_t vlan, const char *text)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET };
	struct ms_cmd_route r;
	uint32_t n;
	int fd;

	memset(&r, 0, sizeof(r));
	memcpy(r.dst_mac, w->port.mac, 6);
	r.src_mac[0] = 2;
	n = udp_frame(frame, &r, THEIR4, 999, OUR4, CLAIMED, text,
		      (uint32_t)strlen(text), false);
	if (vlan != 0) {
		memmove(frame + 16, frame + 12, n - 12);
		be16(frame + 12, 0x8100);
		be16(frame + 14, vlan);
		n += 4;
	}
	enter(ns_theirs);
	fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	to.sll_ifindex = (int)if_nametoindex("p0");
	assert_true(fd >= 0 && to.sll_ifindex > 0);
	assert_int_equal(sendto(fd, frame, n, 0, (void *)&to, sizeof(to)), n);
	close(fd);
	enter(ns_ours);
}

static void
test_vlan(void **state)
{
	struct world *w = *state;
	char spec[64];
	uint32_t n;

	/* attached without VLAN: tagged frames are not ours */
	send_tagged(w, 5, "tagged");
	send_tagged(w, 0, "plain");
	n = port_recv(&w->port, frame, NULL, WAIT_MS);
	assert_int_equal(n, 14 + 28 + 5);
	world_close(state);

	snprintf(spec, sizeof(spec), "%s,vlan=5", w->spec);
	w->host = host_new();
	assert_int_equal(attach(w->host, spec, NULL), 0);
	port_open(&w->port, w->host, "ms0", 0);
	assert_int_equal(port_bind(&w->port, OUR4, IPPROTO_UDP, CLAIMED), 0);
	send_tagged(w, 0, "plain");
	send_tagged(w, 6, "another");
	send_tagged(w, 5, "tagged");
	n = port_recv(&w->port, frame, NULL, WAIT_MS);
	assert_int_equal(n, 18 + 28 + 6);
	assert_int_equal(frame[12], 0x81);
	assert_int_equal(frame[15], 5);
	assert_int_equal(port_recv(&w->port, frame, NULL, 20), 0);
}

static void
test_bad_words(void **state)
{
	static const struct {
		const char *spec, *words;
		int r;
	} cases[] = {
		{ "xdp:nosuch0", "nosuch0", -ENODEV },
		{ "tc:nosuch0", "nosuch0", -ENODEV },
		{ "xdp:lo", "tc", -EOPNOTSUPP },
		{ "xdp:ms0,colour=red", "colour", -EINVAL },
		{ "tc:ms0,classic=7", "classic", -EINVAL },
		{ "xdp:ms0,queues=2", "queues", -EINVAL },
		{ "tc:lo,vlan=3", "VLAN", -EINVAL },
	};
	struct ms_err err;
	struct ms_host *h = host_new();
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err.text[0] = '\0';
		assert_int_equal(attach(h, cases[i].spec, &err), cases[i].r);
		if (strstr(err.text, cases[i].words) == NULL)
			fail_msg("%s: '%s'", cases[i].spec, err.text);
	}
	ms_host_destroy(h);
}

#define BODY(f) { #f, f, world_open, world_close, NULL }

int
main(void)
{
	static const char *const specs[] = { "xdp:ms0", "xdp:ms0,generic",
					     "tc:ms0", "tc:ms0,classic=1" };
	const struct CMUnitTest bodies[] = {
		BODY(test_claimed_comes_to_the_port),
		BODY(test_claimed_ip6_comes_to_the_port),
		BODY(test_unclaimed_goes_to_the_host),
		BODY(test_port_sends),
		BODY(test_udp_gso_is_cut),
		BODY(test_fragments_follow_their_first),
		BODY(test_icmp_errors_come_to_the_sender),
		BODY(test_ip_options),
		BODY(test_ip6_extension_headers),
		BODY(test_wildcard_takes_own_addresses_only),
		BODY(test_unbound_again_is_the_hosts),
		BODY(test_local_client),
		BODY(test_local_tap_deleted),
		BODY(test_attached_twice),
		BODY(test_vlan),
		BODY(test_detach_leaves_no_trace),
		BODY(test_interface_goes_under_traffic),
	};
	const struct CMUnitTest words[] = { cmocka_unit_test(test_bad_words) };
	struct CMUnitTest tests[sizeof(bodies) / sizeof(bodies[0])];
	struct world world = { 0 };
	unsigned int i, k;
	int failed;

	if (!net_setup())
		return 77;
	failed = cmocka_run_group_tests_name("words", words, NULL, NULL);
	for (i = 0; i < 4; i++) {
		memcpy(tests, bodies, sizeof(bodies));
		for (k = 0; k < sizeof(bodies) / sizeof(bodies[0]); k++)
			tests[k].initial_state = &world;
		world.spec = specs[i];
		failed += cmocka_run_group_tests_name(specs[i], tests, NULL,
						      NULL);
	}
	net_teardown();
	return failed != 0;
}
