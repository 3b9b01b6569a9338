/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_names.c: BIND and UNBIND, who is in the way, the host's own sockets,
 * handing over.
 */
#include <sys/socket.h>

#include "kt.h"

#define NUMBER 7000

static const uint8_t any[16];
static const uint8_t stranger[4] = { 10, 0, 0, 77 };

/* ---- what can be bound ------------------------------------------------------------- */

static const struct {
	const char *what;
	struct ms_tuple t;
	int result;
} tuples[] = {
	{ "nothing", { { 0 } }, -EINVAL },
	{ "a family of 5", { { 0 }, 1, IPPROTO_UDP, 5 }, -EINVAL },
	{ "multicast", { { 224, 0, 0, 1 }, 1, IPPROTO_UDP, 4 }, -EINVAL },
	{ "broadcast", { { 255, 255, 255, 255 }, 1, IPPROTO_UDP, 4 }, -EINVAL },
	{ "0.x", { { 0, 0, 0, 1 }, 1, IPPROTO_UDP, 4 }, -EINVAL },
	{ "rubbish behind IPv4",
	  { { 10, 0, 0, 1, 1 }, 1, IPPROTO_UDP, 4 },
	  -EINVAL },
	{ "IPv6 multicast", { { 0xff, 2 }, 1, IPPROTO_UDP, 6 }, -EINVAL },
	{ "IPv4 mapped",
	  { { [10] = 0xff, 0xff, 10, 0, 0, 1 }, 1, IPPROTO_UDP, 6 },
	  -EINVAL },
	{ "ICMP", { { 10, 0, 0, 1 }, 0, IPPROTO_ICMP, 4 }, -EINVAL },
	{ "a port of a protocol without",
	  { { 10, 0, 0, 1 }, 1, 253, 4 },
	  -EINVAL },
	{ "an address of nobody",
	  { { 10, 0, 0, 77 }, 1, IPPROTO_UDP, 4 },
	  -EADDRNOTAVAIL },
	{ "an IPv6 address of nobody",
	  { { 0xfd, [15] = 77 }, 1, IPPROTO_UDP, 6 },
	  -EADDRNOTAVAIL },
	{ "UDP", { { 10, 0, 0, 1 }, 0x581b, IPPROTO_UDP, 4 }, 0 },
	{ "TCP", { { 10, 0, 0, 1 }, 0x581b, IPPROTO_TCP, 4 }, 0 },
	{ "UDP on any", { { 0 }, 0x581b, IPPROTO_UDP, 4 }, 0 },
	{ "IPv6 UDP", { { 0xfd, [15] = 1 }, 0x581b, IPPROTO_UDP, 6 }, 0 },
	{ "IPv6 TCP on any", { { 0 }, 0x581b, IPPROTO_TCP, 6 }, 0 },
	{ "a privileged port", { { 10, 0, 0, 1 }, 0x5000, IPPROTO_TCP, 4 }, 0 },
	{ "a whole protocol", { { 10, 0, 0, 1 }, 0, 253, 4 }, 0 },
	{ "a whole protocol on IPv6", { { 0xfd, [15] = 1 }, 0, 253, 6 }, 0 },
};

static void
what_can_be_bound(void)
{
	unsigned int i;
	struct kt_port p;
	int r;

	kt_port_open(&p);
	for (i = 0; i < KT_COUNT(tuples); i++) {
		r = kt_bind(&p, tuples[i].t);
		if (r != tuples[i].result)
			kt_fail(__FILE__, __LINE__, "%s: %d (%s), not %d",
				tuples[i].what, r, strerror(-r),
				tuples[i].result);
		if (r == 0) {
			CHECK_EQ(kt_bind(&p, tuples[i].t), -EADDRINUSE);
			CHECK_EQ(kt_unbind(&p, tuples[i].t), 0);
		}
		CHECK(kt_unbind(&p, tuples[i].t) < 0);
	}
	CHECK_EQ(kt_num_tuples(), 0);
	kt_port_close(&p);
}

static void
port_0_gives_one(void)
{
	struct ms_tuple t[64];
	struct kt_port p;
	unsigned int i, k;

	kt_port_open(&p);
	for (i = 0; i < KT_COUNT(t); i++) {
		t[i] = i & 1 ? rig_tuple4(rig_ip, IPPROTO_TCP, 0)
			     : rig_tuple6(rig_ip6, IPPROTO_UDP, 0);
		CHECK_EQ(kt_bind_tuple(p.fd, MS_CMD_BIND, &t[i], NULL), 0);
		CHECK(ntohs(t[i].port_be) >= 1024);
		for (k = i & 1; k < i; k += 2)
			CHECK(t[k].port_be != t[i].port_be);
	}
	CHECK_EQ(kt_num_tuples(), KT_COUNT(t));
	for (i = 0; i < KT_COUNT(t); i++)
		CHECK_EQ(kt_unbind(&p, t[i]), 0);
	kt_port_close(&p);
}

/* ---- who is in the way ------------------------------------------------------------- */

static void
the_holder_is_told(void)
{
	struct ms_tuple t = rig_tuple4(rig_ip, IPPROTO_UDP, NUMBER);
	struct kt_port a, b;
	uint32_t holder;

	kt_port_open(&a);
	kt_port_open(&b);
	kt_must_bind(&a, NUMBER);
	CHECK_EQ(kt_bind_tuple(b.fd, MS_CMD_BIND, &t, &holder), -EADDRINUSE);
	CHECK_EQ(holder, a.info.port_id);
	CHECK_EQ(kt_unbind(&b, t), -EPERM);
	t = rig_tuple4(any, IPPROTO_UDP, NUMBER);
	CHECK_EQ(kt_bind_tuple(b.fd, MS_CMD_BIND, &t, &holder), -EADDRINUSE);
	CHECK_EQ(holder, a.info.port_id);
	/* another family, another protocol: another name */
	CHECK_EQ(kt_bind(&b, rig_tuple4(rig_ip, IPPROTO_TCP, NUMBER)), 0);
	CHECK_EQ(kt_bind(&b, rig_tuple6(rig_ip6, IPPROTO_UDP, NUMBER)), 0);
	kt_port_close(&a);
	CHECK_EQ(kt_bind(&b, rig_tuple4(rig_ip, IPPROTO_UDP, NUMBER)), 0);
	kt_port_close(&b);
}

/* -errno, or the descriptor. */
static int
host_socket(int family, int type, const struct ms_tuple *t, int option)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6,
				   .sin6_port = t->port_be };
	struct sockaddr_in a4 = { .sin_family = AF_INET,
				  .sin_port = t->port_be };
	int fd = socket(family, type, 0), one = 1, r;

	CHECK(fd >= 0);
	if (option)
		CHECK(setsockopt(fd, SOL_SOCKET, option, &one, sizeof(one)) ==
		      0);
	one = 1;
	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one,
				 sizeof(one));
	memcpy(&a4.sin_addr, t->addr, 4);
	memcpy(&a6.sin6_addr, t->addr, 16);
	r = family == AF_INET ? bind(fd, (void *)&a4, sizeof(a4))
			      : bind(fd, (void *)&a6, sizeof(a6));
	if (r == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static void
hosts_sockets_and_ours_exclude_each_other(void)
{
	static const int options[] = { 0, SO_REUSEADDR, SO_REUSEPORT };
	struct kt_port p;
	unsigned int i;
	int fd, k;

	kt_port_open(&p);
	for (k = 0; k < 8; k++) {
		bool six = k & 1, tcp = k & 2, wild = k & 4;
		uint8_t proto = tcp ? IPPROTO_TCP : IPPROTO_UDP;
		int type = tcp ? SOCK_STREAM : SOCK_DGRAM;
		int family = six ? AF_INET6 : AF_INET;
		struct ms_tuple t, at;
		uint32_t holder = 1;

		at = six ? rig_tuple6(rig_ip6, proto, NUMBER)
			 : rig_tuple4(rig_ip, proto, NUMBER);
		t = at;
		if (wild)
			memset(t.addr, 0, sizeof(t.addr));
		for (i = 0; i < KT_COUNT(options); i++) {
			fd = host_socket(family, type, &at, options[i]);
			CHECK(fd >= 0);
			CHECK_EQ(kt_bind_tuple(p.fd, MS_CMD_BIND, &t, &holder),
				 -EADDRINUSE);
			CHECK_EQ(holder, 0);
			close(fd);
			CHECK_EQ(kt_bind(&p, t), 0);
			fd = host_socket(family, type, &at, options[i]);
			if (fd >= 0)
				kt_fail(__FILE__, __LINE__,
					"IPv%d %s%s with option %d was bound "
					"beside ours",
					six ? 6 : 4, tcp ? "TCP" : "UDP",
					wild ? " on any" : "", options[i]);
			CHECK_EQ(fd, -EADDRINUSE);
			CHECK_EQ(kt_unbind(&p, t), 0);
		}
	}
	kt_port_close(&p);
}

static void
a_closed_port_is_free_at_once(void)
{
	struct kt_port p;
	int i;

	for (i = 0; i < 50; i++) {
		kt_port_open(&p);
		kt_must_bind(&p, NUMBER);
		CHECK_EQ(kt_bind(&p, rig_tuple4(rig_ip, IPPROTO_TCP, NUMBER)),
			 0);
		CHECK_EQ(kt_bind(&p, rig_tuple6(any, IPPROTO_UDP, NUMBER)), 0);
		kt_port_close(&p);
	}
	CHECK_EQ(kt_num_tuples(), 0);
}

/* ---- what nobody may ----------------------------------------------------------------- */

static void
as_nobody(void)
{
	struct ms_cmd_tap tap = { .size = sizeof(tap), .scope = MS_TAP_NIC };
	struct kt_port p;

	kt_port_open(&p);
	CHECK_EQ(kt_bind(&p, rig_tuple4(rig_ip, IPPROTO_TCP, 80)), -EACCES);
	CHECK_EQ(kt_bind(&p, rig_tuple6(rig_ip6, IPPROTO_UDP, 1)), -EACCES);
	CHECK_EQ(kt_bind(&p, rig_tuple4(rig_ip, 253, 0)), -EPERM);
	CHECK_EQ(kt_bind(&p, rig_tuple4(rig_ip, IPPROTO_TCP, NUMBER)), 0);
	CHECK_EQ(kt_bind(&p, rig_tuple4(rig_ip, IPPROTO_TCP, 0)), 0);
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_TAP, &tap), -EPERM);
	CHECK_EQ(kt_attach("lo", ""), -EPERM);
	CHECK_EQ(kt_detach(os_nic(OS_NEAR), 0), -EPERM);
	CHECK_EQ(kt_detach(os_nic(OS_NEAR), MS_ATTACH_FORCE), -EPERM);
	kt_port_close(&p);
}

static void
nobody_has_no_privileges(void)
{
	kt_as_nobody(as_nobody);
}

static uint32_t roots_port;

static void
look_at_roots_port(void)
{
	struct ms_cmd_stats s = { .size = sizeof(s), .port_id = roots_port };
	struct ms_cmd_tap t = { .size = sizeof(t),
				.scope = MS_TAP_PORT,
				.port_id = roots_port };
	struct kt_port p;

	kt_port_open(&p);
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_STATS, &s), -EPERM);
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_TAP, &t), -EPERM);
	s.port_id = p.info.port_id;
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_STATS, &s), 0);
	s.port_id = p.info.port_id + 1000;
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_STATS, &s), -ENOENT);
	/* under root's wildcard there is no place for others */
	CHECK_EQ(kt_bind(&p, rig_tuple4(rig_ip, IPPROTO_UDP, NUMBER)),
		 -EADDRINUSE);
	kt_port_close(&p);
}

static void
nobody_sees_only_his_own(void)
{
	struct kt_port p;

	kt_port_open(&p);
	CHECK_EQ(kt_bind(&p, rig_tuple4(any, IPPROTO_UDP, NUMBER)), 0);
	roots_port = p.info.port_id;
	kt_as_nobody(look_at_roots_port);
	kt_port_close(&p);
}

/* ---- handing over ----------------------------------------------------------------------- */

static void
handover_moves_all(void)
{
	struct ms_cmd_handover h = { .size = sizeof(h),
				     .op = MS_HANDOVER_OFFER };
	struct ms_cmd_handover bad = { .size = sizeof(bad),
				       .op = MS_HANDOVER_ACCEPT };
	int raw = os_raw_open(), i;
	struct kt_port a, b;
	uint8_t frame[128];

	kt_port_open(&a);
	kt_port_open(&b);
	for (i = 0; i < 20; i++)
		kt_must_bind(&a, (uint16_t)(NUMBER + i));
	bad.op = 3;
	CHECK_EQ(kt_cmd(b.fd, MS_CMD_HANDOVER, &bad), -EINVAL);
	bad.op = MS_HANDOVER_ACCEPT;
	CHECK_EQ(kt_cmd(b.fd, MS_CMD_HANDOVER, &bad), -ENOENT);
	CHECK_EQ(kt_cmd(a.fd, MS_CMD_HANDOVER, &h), 0);
	CHECK_EQ(kt_cmd(b.fd, MS_CMD_HANDOVER, &bad), -ENOENT);
	h.op = MS_HANDOVER_ACCEPT;
	CHECK_EQ(kt_cmd(a.fd, MS_CMD_HANDOVER, &h), -EINVAL);
	CHECK_EQ(kt_cmd(b.fd, MS_CMD_HANDOVER, &h), 0);
	CHECK_EQ(h.moved, 20);
	CHECK_EQ(kt_cmd(b.fd, MS_CMD_HANDOVER, &h), -ENOENT);
	kt_port_close(&a);
	kt_far_udp(raw, NUMBER + 19, "moved", 5);
	CHECK_EQ(kt_recv(&b, 0, frame, sizeof(frame), KT_WAIT_MS), 47);
	kt_send(&b, frame, rig_udp_out(frame, NUMBER, 9, "back", 4));
	CHECK_EQ(kt_counter(&b, MS_CTR_TX_FRAMES), 1);
	kt_port_close(&b);
}

/* Frames flow from the far end all the while; each comes once, in order. */
static void
handover_loses_nothing(void)
{
	struct ms_cmd_handover h = { .size = sizeof(h) };
	uint32_t sent = 0, got = 0, round, i, n;
	int raw = os_raw_open();
	struct kt_port p[2];
	uint8_t frame[128];

	kt_port_open(&p[0]);
	kt_must_bind(&p[0], NUMBER);
	for (round = 0; round < 40; round++) {
		struct kt_port *from = &p[round % 2], *to = &p[1 - round % 2];

		kt_port_open(to);
		h.op = MS_HANDOVER_OFFER;
		CHECK_EQ(kt_cmd(from->fd, MS_CMD_HANDOVER, &h), 0);
		for (i = 0; i < 20; i++, sent++) {
			kt_far_udp(raw, NUMBER, &sent, sizeof(sent));
			h.op = MS_HANDOVER_ACCEPT;
			if (i == 10)
				CHECK_EQ(kt_cmd(to->fd, MS_CMD_HANDOVER, &h),
					 0);
		}
		/* what the old one has is older */
		for (i = 0; i < 20; got++, i++) {
			n = kt_get(from, 0, frame, sizeof(frame));
			if (n == 0)
				n = kt_recv(to, 0, frame, sizeof(frame),
					    KT_WAIT_MS);
			CHECK_EQ(n, 46);
			CHECK(memcmp(frame + 42, &got, sizeof(got)) == 0);
		}
		kt_port_close(from);
	}
	kt_port_close(&p[round % 2]);
}

static uint8_t roots_token[16];

static void
take_roots_tuples(void)
{
	struct ms_cmd_handover h = { .size = sizeof(h),
				     .op = MS_HANDOVER_ACCEPT };
	struct kt_port p;

	kt_port_open(&p);
	memcpy(h.token, roots_token, sizeof(h.token));
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_HANDOVER, &h), -EPERM);
	kt_port_close(&p);
}

static void
handover_stays_in_the_family(void)
{
	struct ms_cmd_handover h = { .size = sizeof(h),
				     .op = MS_HANDOVER_OFFER };
	struct kt_port p;

	kt_port_open(&p);
	kt_must_bind(&p, NUMBER);
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_HANDOVER, &h), 0);
	memcpy(roots_token, h.token, sizeof(roots_token));
	kt_as_nobody(take_roots_tuples);
	kt_port_close(&p);
}

/* ---- where to -------------------------------------------------------------------------------- */

static void
route_tells_the_way(void)
{
	struct ms_cmd_route r = { .size = sizeof(r) };
	struct kt_port p;

	kt_port_open(&p);
	r.dst = rig_tuple4(rig_peer_ip, 0, 0);
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_ROUTE, &r), 0);
	CHECK_EQ(r.state, MS_ROUTE_REACHABLE);
	CHECK(memcmp(r.dst_mac, rig_peer_mac, 6) == 0);
	CHECK(memcmp(r.src_mac, rig_mac, 6) == 0);
	CHECK(memcmp(r.src.addr, rig_ip, 4) == 0);
	CHECK_EQ(r.mtu, 1500);
	r.dst = rig_tuple6(rig_peer_ip6, 0, 0);
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_ROUTE, &r), 0);
	CHECK_EQ(r.state, MS_ROUTE_REACHABLE);
	CHECK(memcmp(r.dst_mac, rig_peer_mac, 6) == 0);
	r.dst = rig_tuple4(rig_ip, 0, 0);
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_ROUTE, &r), 0);
	CHECK_EQ(r.state, MS_ROUTE_LOCAL);
	r.dst = rig_tuple4(stranger, 0, 0);
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_ROUTE, &r), 0);
	CHECK_EQ(r.state, MS_ROUTE_PENDING);
	r.dst.family = 5;
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_ROUTE, &r), -EINVAL);
	r.dst.family = 4;
	r.flags = 1;
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_ROUTE, &r), -EINVAL);
	kt_port_close(&p);
}

const struct kt_case kt_cases_names[] = {
	{ .name = "what can be bound", .run = what_can_be_bound },
	{ .name = "port 0 gives one", .run = port_0_gives_one },
	{ .name = "the holder is told", .run = the_holder_is_told },
	{ .name = "the host's sockets and ours exclude each other",
	  .run = hosts_sockets_and_ours_exclude_each_other },
	{ .name = "a closed port is free at once",
	  .run = a_closed_port_is_free_at_once },
	{ .name = "nobody has no privileges", .run = nobody_has_no_privileges },
	{ .name = "nobody sees only his own", .run = nobody_sees_only_his_own },
	{ .name = "handover moves all", .run = handover_moves_all },
	{ .name = "handover loses nothing", .run = handover_loses_nothing },
	{ .name = "handover stays in the family",
	  .run = handover_stays_in_the_family },
	{ .name = "route tells the way", .run = route_tells_the_way },
	{ 0 },
};
