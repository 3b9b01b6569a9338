/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_life.c: the ends of owners, interfaces, hosts and the module.
 */
#include <sys/socket.h>

#include "kt.h"

#define NUMBER 7000

static uint8_t frame[2048];

/* ---- owners ------------------------------------------------------------------------- */

/* A child with a port and a tuple, that waits to be killed. */
static pid_t
claimant(uint16_t number)
{
	int pipes[2];
	pid_t pid;

	CHECK(pipe(pipes) == 0);
	pid = kt_fork();
	if (pid == 0) {
		struct kt_port p;

		kt_port_open(&p);
		kt_must_bind(&p, number);
		kt_say(pipes[1]);
		for (;;)
			(void)kt_recv(&p, 0, frame, sizeof(frame), 1000);
	}
	kt_hear(pipes[0]);
	close(pipes[0]);
	close(pipes[1]);
	return pid;
}

static void
a_killed_owner_leaves_nothing(void)
{
	struct kt_port p;
	pid_t pid;
	int i;

	kt_port_open(&p);
	for (i = 0; i < 10; i++) {
		pid = claimant(NUMBER);
		CHECK_EQ(kt_bind(&p, rig_tuple4(rig_ip, IPPROTO_UDP, NUMBER)),
			 -EADDRINUSE);
		kt_kill(pid);
		/* not some time later */
		kt_must_bind(&p, NUMBER);
		CHECK_EQ(kt_num_ports(), 1);
		CHECK_EQ(kt_unbind(&p, rig_tuple4(rig_ip, IPPROTO_UDP, NUMBER)),
			 0);
	}
	kt_port_close(&p);
}

/* What a stack does all day, from any point of which it may be killed. */
static void
busy(uint64_t s)
{
	uint16_t number = (uint16_t)(8000 + s % 50);

	for (;;) {
		uint16_t rings = (uint16_t)(1 + kt_chance(&s) % 4);
		struct kt_port p;
		uint32_t len, i;

		if (kt_port_try(&p, rings, rings, 8u << kt_chance(&s) % 6))
			continue;
		(void)kt_bind(&p, rig_tuple4(rig_ip, IPPROTO_UDP, number));
		(void)kt_bind(&p, rig_tuple6(rig_ip6, IPPROTO_TCP, 0));
		len = rig_udp_out(frame, number, 9, "busy", 4);
		for (i = kt_chance(&s) % 30; i > 0; i--) {
			(void)kt_put(&p, 0, frame, len);
			(void)kt_sync(&p, false, 0);
			(void)kt_get(&p, 0, frame, sizeof(frame));
		}
		kt_port_close(&p);
	}
}

static void
owners_killed_at_any_instant(void)
{
	uint64_t until = kt_now_ms() + kt_seconds * 1000, s = kt_seed;
	int raw = os_raw_open();
	uint32_t kills = 0, seq = 0;
	struct kt_port p;
	pid_t pid[4];
	unsigned int i;

	if (!os_has(OS_FORKS_TRULY))
		kt_skip("this kernel gives children more than it should");
	kt_port_open(&p);
	kt_must_bind(&p, NUMBER);
	for (i = 0; i < KT_COUNT(pid); i++) {
		pid[i] = kt_fork();
		if (pid[i] == 0)
			busy(kt_chance(&s));
	}
	while (kt_now_ms() < until) {
		kt_nap_us((unsigned int)(kt_chance(&s) % 20000));
		i = (unsigned int)(kt_chance(&s) % KT_COUNT(pid));
		kt_kill(pid[i]);
		(void)kt_chance(&s);
		pid[i] = kt_fork();
		if (pid[i] == 0)
			busy(s | 1);
		/* an honest neighbour notices nothing */
		kt_far_udp(raw, NUMBER, &seq, sizeof(seq));
		CHECK_EQ(kt_recv(&p, 0, frame, sizeof(frame), KT_WAIT_MS), 46);
		CHECK(memcmp(frame + 42, &seq, sizeof(seq)) == 0);
		seq++;
		kills++;
	}
	for (i = 0; i < KT_COUNT(pid); i++)
		kt_kill(pid[i]);
	for (i = 0; i < 50; i++)
		kt_must_bind(&p, (uint16_t)(8000 + i));
	CHECK_EQ(kt_num_ports(), 1);
	kt_port_close(&p);
	kt_note("%u kills", (unsigned int)kills);
}

static void
what_was_sent_before_the_end_leaves(void)
{
	int raw = os_raw_open();
	uint32_t n, i, round;
	pid_t pid;

	for (round = 0; round < 20; round++) {
		n = 1 + round * 3;
		pid = kt_fork();
		if (pid == 0) {
			struct kt_port p;

			kt_port_open(&p);
			kt_must_bind(&p, NUMBER);
			for (i = 0; i < n; i++)
				CHECK_EQ(kt_put(&p, 0, frame,
						rig_udp_out(frame, NUMBER, 9,
							    &i, sizeof(i))),
					 0);
			CHECK_EQ(kt_sync(&p, false, 0), 0);
			_exit(0); /* without a word */
		}
		kt_join(pid);
		for (i = 0; i < n; i++)
			kt_far_expect(
			    raw, frame,
			    rig_udp_out(frame, NUMBER, 9, &i, sizeof(i)));
	}
}

/* The child has the descriptor, as with any other file; not the region. */
static void
fork_with_an_open_port(void)
{
	int go[2], raw = os_raw_open();
	struct kt_port p;
	pid_t pid;

	CHECK(pipe(go) == 0);
	kt_port_open(&p);
	kt_must_bind(&p, NUMBER);
	pid = kt_fork();
	if (pid == 0) {
		kt_hear(go[0]);
		_exit(0);
	}
	kt_far_udp(raw, NUMBER, "parent", 6);
	CHECK_EQ(kt_recv(&p, 0, frame, sizeof(frame), KT_WAIT_MS), 48);
	kt_send(&p, frame, rig_udp_out(frame, NUMBER, 9, "parent", 6));
	kt_say(go[1]);
	kt_join(pid);
	kt_far_udp(raw, NUMBER, "parent", 6);
	CHECK_EQ(kt_recv(&p, 0, frame, sizeof(frame), KT_WAIT_MS), 48);
	kt_port_close(&p);
	CHECK_EQ(kt_num_ports(), 0);
}

/* Another process gets the descriptor, maps it, and works on after the first
   has gone. */
static void
a_descriptor_can_be_passed_on(void)
{
	int sock[2], raw = os_raw_open();
	struct kt_port p;
	pid_t pid;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sock) == 0);
	pid = kt_fork();
	if (pid == 0) {
		kt_port_open(&p);
		kt_must_bind(&p, NUMBER);
		CHECK(write(sock[1], &p.info, sizeof(p.info)) ==
		      sizeof(p.info));
		kt_pass(sock[1], p.fd);
		_exit(0);
	}
	memset(&p, 0, sizeof(p));
	CHECK(read(sock[0], &p.info, sizeof(p.info)) == sizeof(p.info));
	p.fd = kt_take(sock[0]);
	kt_join(pid);
	p.region = mmap(NULL, p.info.region_bytes, PROT_READ | PROT_WRITE,
			MAP_SHARED, p.fd, 0);
	CHECK(p.region != MAP_FAILED);
	p.geo = *p.region;
	kt_far_udp(raw, NUMBER, "taken over", 10);
	CHECK_EQ(kt_recv(&p, 0, frame, sizeof(frame), KT_WAIT_MS), 52);
	kt_send(&p, frame, rig_udp_out(frame, NUMBER, 9, "x", 1));
	kt_port_close(&p);
	CHECK_EQ(kt_num_ports(), 0);
}

/* Descriptors that nobody takes from the socket are closed with it. */
static void
a_descriptor_in_flight_is_no_leak(void)
{
	struct kt_port p;
	int sock[2], i;

	for (i = 0; i < 20; i++) {
		CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sock) == 0);
		kt_port_open(&p);
		kt_must_bind(&p, NUMBER);
		kt_pass(sock[1], p.fd);
		kt_pass(sock[0], sock[1]); /* and a cycle */
		kt_port_close(&p);
		close(sock[0]);
		close(sock[1]);
	}
	kt_port_open(&p);
	kt_bind_when_free(&p, NUMBER);
	kt_port_close(&p);
}

/* Closed in one thread of control while another is in a command on it. */
static void
close_under_commands(void)
{
	uint64_t until = kt_now_ms() + kt_seconds * 500;
	struct kt_port p;
	pid_t pid[3];
	unsigned int i;

	while (kt_now_ms() < until) {
		kt_port_open(&p);
		kt_must_bind(&p, NUMBER);
		for (i = 0; i < KT_COUNT(pid); i++) {
			pid[i] = kt_fork();
			if (pid[i] != 0)
				continue;
			for (;;) {
				(void)kt_sync(&p, i & 1, 0);
				(void)kt_bind(
				    &p, rig_tuple4(rig_ip, IPPROTO_UDP, 0));
			}
		}
		kt_port_close(&p);
		for (i = 0; i < KT_COUNT(pid); i++)
			kt_kill(pid[i]);
	}
}

/* ---- interfaces ----------------------------------------------------------------------- */

/* After the interface went. */
static void
check_gone(struct kt_port *p)
{
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
	uint64_t until = kt_now_ms() + KT_WAIT_MS;
	struct ms_cmd_route route = { .size = sizeof(route) };

	while (__atomic_load_n(&kt_ring(p, true, 0)->gone, __ATOMIC_ACQUIRE) !=
	       MS_GONE_NIC)
		CHECK(kt_now_ms() < until);
	CHECK_EQ(kt_ring(p, false, 0)->gone, MS_GONE_NIC);
	CHECK(poll(&pfd, 1, KT_WAIT_MS) == 1);
	CHECK((pfd.revents & (POLLERR | POLLHUP)) != 0);
	CHECK_EQ(kt_sync(p, false, 0), -ENETDOWN);
	CHECK_EQ(kt_sync(p, true, 0), -ENETDOWN);
	CHECK_EQ(kt_bind(p, rig_tuple4(rig_ip, IPPROTO_UDP, 0)), -ENODEV);
	route.dst = rig_tuple4(rig_peer_ip, 0, 0);
	CHECK_EQ(kt_cmd(p->fd, MS_CMD_ROUTE, &route), -ENODEV);
	/* and the frames stay readable */
	memset(p->region, 0, p->geo.bytes);
}

static void
an_interface_that_goes_takes_its_ports_along(void)
{
	int raw = os_raw_open(), i;
	struct kt_port p;

	kt_port_open(&p);
	kt_must_bind(&p, NUMBER);
	for (i = 0; i < 100; i++)
		kt_far_udp(raw, NUMBER, "x", 1);
	os_wire_cut();
	check_gone(&p);
	kt_port_close(&p);
	CHECK_EQ(kt_num_ports(), 0);
	CHECK_EQ(kt_num_tuples(), 0);
}

static void
detached_under_traffic(void)
{
	uint64_t until = kt_now_ms() + kt_seconds * 1000;
	const char *nic = os_nic(OS_NEAR);
	uint32_t rounds = 0, n;
	struct kt_port p;
	pid_t pid;

	pid = kt_fork();
	if (pid == 0) {
		int raw = os_raw_open();

		for (n = 0;; n++)
			kt_far_udp(raw, NUMBER, &n, sizeof(n));
	}
	while (kt_now_ms() < until) {
		kt_port_open(&p);
		kt_must_bind(&p, NUMBER);
		CHECK(kt_recv(&p, 0, frame, sizeof(frame), KT_WAIT_MS) != 0);
		CHECK_EQ(
		    kt_put(&p, 0, frame, rig_udp_out(frame, NUMBER, 9, "x", 1)),
		    0);
		CHECK_EQ(kt_detach(nic, 0), -EBUSY);
		CHECK_EQ(kt_detach(nic, MS_ATTACH_FORCE), 0);
		check_gone(&p);
		CHECK_EQ(kt_attach(nic, ""), 0);
		kt_port_close(&p);
		rounds++;
	}
	kt_kill(pid);
	kt_note("%u rounds", (unsigned int)rounds);
}

static void
down_and_up_again(void)
{
	int raw = os_raw_open();
	struct kt_port p;

	kt_port_open(&p);
	kt_must_bind(&p, NUMBER);
	os_wire_up(false);
	CHECK_EQ(kt_put(&p, 0, frame, rig_udp_out(frame, NUMBER, 9, "x", 1)),
		 0);
	(void)kt_sync(&p, false, 0);
	os_wire_up(true);
	close(raw);
	raw = os_raw_open();
	kt_far_udp(raw, NUMBER, "again", 5);
	CHECK_EQ(kt_recv(&p, 0, frame, sizeof(frame), KT_WAIT_MS), 47);
	kt_send(&p, frame, rig_udp_out(frame, NUMBER, 9, "again", 5));
	kt_far_expect(raw, frame, 47);
	kt_port_close(&p);
}

static void
another_mtu(void)
{
	struct ms_cmd_route route = { .size = sizeof(route) };
	uint64_t until = kt_now_ms() + KT_WAIT_MS;
	struct kt_port p;
	uint32_t gen;

	kt_port_open(&p);
	gen = p.region->route_gen;
	os_set_mtu(1400);
	while (p.region->route_gen == gen)
		CHECK(kt_now_ms() < until);
	route.dst = rig_tuple4(rig_peer_ip, 0, 0);
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_ROUTE, &route), 0);
	CHECK_EQ(route.mtu, 1400);
	os_set_mtu(1500);
	kt_port_close(&p);
}

/* ---- hosts ------------------------------------------------------------------------------ */

/* On the far side: attach, claim, say so, wait. */
static void
far_owner(int say_to, int hear_from)
{
	struct ms_cmd_port_create a = { .size = sizeof(a) };
	struct ms_tuple t = rig_tuple4((const uint8_t[4]){ 0 }, IPPROTO_UDP,
				       NUMBER);
	int fd;

	os_enter(OS_FAR);
	CHECK_EQ(kt_attach(os_nic(OS_FAR), ""), 0);
	strcpy(a.nic, os_nic(OS_FAR));
	fd = kt_open();
	CHECK_EQ(kt_cmd(fd, MS_CMD_PORT_CREATE, &a), 0);
	CHECK_EQ(kt_bind_tuple(fd, MS_CMD_BIND, &t, NULL), 0);
	kt_say(say_to);
	kt_hear(hear_from);
	close(fd);
	CHECK_EQ(kt_detach(os_nic(OS_FAR), 0), 0);
	_exit(0);
}

static void
hosts_have_namespaces_of_their_own(void)
{
	int there[2], go[2];
	struct kt_port p;
	pid_t pid;

	if (!os_has(OS_TWO_HOSTS))
		kt_skip("this kernel has one network for all");
	CHECK(pipe(there) == 0 && pipe(go) == 0);
	pid = kt_fork();
	if (pid == 0)
		far_owner(there[1], go[0]);
	kt_hear(there[0]);
	/* that one's port is not seen here, nor is its tuple in the way */
	CHECK_EQ(kt_num_ports(), 0);
	kt_port_open(&p);
	CHECK_EQ(kt_bind(&p, rig_tuple4((const uint8_t[4]){ 0 }, IPPROTO_UDP,
					NUMBER)),
		 0);
	CHECK_EQ(kt_detach(os_nic(OS_FAR), MS_ATTACH_FORCE), -ENODEV);
	kt_say(go[1]);
	kt_join(pid);
	kt_port_close(&p);
}

/* With a descriptor of a port in it that outlives it here. */
static void
a_host_goes_with_all_it_has(void)
{
	struct ms_cmd_port_create a = { .size = sizeof(a) };
	struct ms_tuple t = { .family = 4, .proto = IPPROTO_UDP };
	struct ms_cmd_sync sync = { .size = sizeof(sync) };
	struct ms_cmd_info info = { .size = sizeof(info) };
	uint64_t until = kt_now_ms() + KT_WAIT_MS;
	int sock[2], fd, r;
	pid_t pid;

	if (!os_has(OS_TWO_HOSTS) || !os_has(OS_HOSTS_END))
		kt_skip("here a descriptor keeps its network");
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sock) == 0);
	pid = kt_fork();
	if (pid == 0) {
		os_enter(OS_FAR);
		CHECK_EQ(kt_attach(os_nic(OS_FAR), ""), 0);
		strcpy(a.nic, os_nic(OS_FAR));
		fd = kt_open();
		CHECK_EQ(kt_cmd(fd, MS_CMD_PORT_CREATE, &a), 0);
		t.port_be = htons(NUMBER);
		CHECK_EQ(kt_bind_tuple(fd, MS_CMD_BIND, &t, NULL), 0);
		kt_pass(sock[1], fd);
		_exit(0);
	}
	fd = kt_take(sock[0]);
	kt_join(pid);
	CHECK_EQ(kt_cmd(fd, MS_CMD_SYNC, &sync), 0);
	os_far_end();
	while ((r = kt_cmd(fd, MS_CMD_SYNC, &sync)) == 0)
		CHECK(kt_now_ms() < until);
	CHECK_EQ(r, -ENETDOWN);
	CHECK(kt_cmd(fd, MS_CMD_INFO, &info) <= 0);
	t.port_be = 0;
	CHECK(kt_bind_tuple(fd, MS_CMD_BIND, &t, NULL) < 0);
	CHECK(kt_cmd(fd, MS_CMD_PORT_CREATE, &a) < 0);
	close(fd);
}

/* ---- the module --------------------------------------------------------------------------- */

static void
nobody_unloads_what_is_open(void)
{
	struct kt_port p;
	int fd = kt_open();

	CHECK(os_unload() < 0);
	close(fd);
	kt_port_open(&p);
	kt_must_bind(&p, NUMBER);
	CHECK(os_unload() < 0);
	close(p.fd);
	/* a mapping is enough, or else is no use */
	if (os_has(OS_MAPS_KEEP))
		CHECK(os_unload() < 0);
	munmap(p.region, p.geo.bytes);
	CHECK_EQ(kt_num_ports(), 0);
}

const struct kt_case kt_cases_life[] = {
	{ .name = "a killed owner leaves nothing",
	  .run = a_killed_owner_leaves_nothing },
	{ .name = "owners killed at any instant",
	  .run = owners_killed_at_any_instant,
	  .hostile = true },
	{ .name = "what was sent before the end leaves",
	  .run = what_was_sent_before_the_end_leaves },
	{ .name = "fork with an open port", .run = fork_with_an_open_port },
	{ .name = "a descriptor can be passed on",
	  .run = a_descriptor_can_be_passed_on },
	{ .name = "a descriptor in flight is no leak",
	  .run = a_descriptor_in_flight_is_no_leak },
	{ .name = "close under commands",
	  .run = close_under_commands,
	  .hostile = true },
	{ .name = "an interface that goes takes its ports along",
	  .run = an_interface_that_goes_takes_its_ports_along,
	  .ruins = true },
	{ .name = "detached under traffic",
	  .run = detached_under_traffic,
	  .hostile = true },
	{ .name = "down and up again", .run = down_and_up_again },
	{ .name = "another MTU", .run = another_mtu },
	{ .name = "hosts have namespaces of their own",
	  .run = hosts_have_namespaces_of_their_own },
	{ .name = "a host goes with all it has",
	  .run = a_host_goes_with_all_it_has,
	  .ruins = true },
	{ .name = "nobody unloads what is open",
	  .run = nobody_unloads_what_is_open },
	{ 0 },
};
