/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_resv.c: reservations on the host, against real sockets, in a network
 * namespace of the test's own where that may be made.
 */
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "control_util.h"

#define TCP 6
#define UDP 17
#define OURS 253 /* a protocol for experiments, RFC 3692 */

struct world {
	struct ms_switch *sw;
	struct bare_nic n;
	struct ms_attach attach;
	struct ms_attach_ops ops;
	struct ms_port *port; /* of root */
};

static bool own_namespace;

/* An interface with the host's addresses. */
static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(ms_switch_create(&w->sw), 0);
	bare_nic_add(w->sw, &w->n, "lo");
	w->ops.kind = "bare";
	w->attach.ops = &w->ops;
	w->n.nic->attach = &w->attach;
	w->port = port_new(w->n.nic, &root_cred);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	while (w->sw->ports != NULL)
		ms_port_destroy(w->sw->ports);
	assert_int_equal(ms_table_count(w->sw->table), 0);
	ms_nic_destroy(w->n.nic);
	ms_switch_destroy(w->sw);
	free(w);
	return 0;
}

static int
setup_namespace(void **state)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd;

	(void)state;
	own_namespace = unshare(CLONE_NEWNET) == 0;
	if (!own_namespace)
		return 0;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	close(fd);
	return 0;
}

/* ---- the host's side ------------------------------------------------ */

enum { PLAIN = 0, REUSEADDR = 1, REUSEPORT = 2, DUAL = 4, LISTEN = 8 };

static socklen_t
address(const char *addr, uint16_t port, struct sockaddr_storage *ss)
{
	struct ms_tuple t = tuple_of(addr, UDP, port);
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (t.family == 4) {
		in->sin_family = AF_INET;
		in->sin_port = t.port_be;
		memcpy(&in->sin_addr, t.addr, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = t.port_be;
	memcpy(&in6->sin6_addr, t.addr, 16);
	return sizeof(*in6);
}

/* What an application does. A descriptor or a negative errno. */
static int
host_bind(const char *addr, uint8_t proto, uint16_t port, int flags)
{
	struct sockaddr_storage ss;
	socklen_t len = address(addr, port, &ss);
	int one = 1, only = !(flags & DUAL), r = 0;
	int fd = socket(ss.ss_family,
			(proto == TCP	? SOCK_STREAM
			 : proto == UDP ? SOCK_DGRAM
					: SOCK_RAW) |
			    SOCK_CLOEXEC,
			proto);

	if (fd < 0)
		return -errno;
	if (flags & REUSEADDR)
		r |= setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one,
				sizeof(one));
	if (flags & REUSEPORT)
		r |= setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one,
				sizeof(one));
	if (ss.ss_family == AF_INET6)
		r |= setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only,
				sizeof(only));
	assert_int_equal(r, 0);
	if (bind(fd, (struct sockaddr *)&ss, len) == 0 &&
	    (!(flags & LISTEN) || listen(fd, 1) == 0))
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static int
our_bind(struct world *w, const char *addr, uint8_t proto, uint16_t port)
{
	struct ms_tuple t = tuple_of(addr, proto, port);

	return bind_tuple(w->port, &root_cred, &t, NULL);
}

static int
our_unbind(struct world *w, const char *addr, uint8_t proto, uint16_t port)
{
	struct ms_tuple t = tuple_of(addr, proto, port);

	return unbind_tuple(w->port, &t);
}

/* ---- conflicts, both ways ------------------------------------------- */

static const struct {
	const char *ours, *hosts;
	int flags;
	bool conflict;
} pairs[] = {
	{ "127.0.0.1", "127.0.0.1", PLAIN, true },
	{ "127.0.0.1", "127.0.0.1", REUSEADDR, true },
	{ "127.0.0.1", "127.0.0.1", REUSEPORT, true },
	{ "127.0.0.1", "127.0.0.1", REUSEADDR | REUSEPORT, true },
	{ "127.0.0.1", "0.0.0.0", PLAIN, true },
	{ "127.0.0.1", "0.0.0.0", REUSEADDR, true },
	{ "127.0.0.1", "0.0.0.0", REUSEPORT, true },
	{ "0.0.0.0", "127.0.0.1", PLAIN, true },
	{ "0.0.0.0", "127.0.0.1", REUSEADDR, true },
	{ "0.0.0.0", "127.0.0.1", REUSEADDR | REUSEPORT, true },
	{ "0.0.0.0", "0.0.0.0", REUSEADDR, true },
	{ "0.0.0.0", "0.0.0.0", REUSEPORT, true },
	{ "127.0.0.1", "127.0.0.2", PLAIN, false },
	{ "::1", "::1", PLAIN, true },
	{ "::1", "::1", REUSEADDR, true },
	{ "::1", "::1", REUSEPORT, true },
	{ "::1", "::", PLAIN, true },
	{ "::1", "::", REUSEADDR, true },
	{ "::", "::1", REUSEADDR, true },
	{ "::", "::", REUSEADDR | REUSEPORT, true },
	/* a host's socket for both families holds the IPv4 port as well */
	{ "127.0.0.1", "::", DUAL, true },
	{ "127.0.0.1", "::", DUAL | REUSEADDR, true },
	{ "0.0.0.0", "::", DUAL, true },
	{ "0.0.0.0", "::", DUAL | REUSEADDR | REUSEPORT, true },
	{ "::1", "::", DUAL | REUSEADDR, true },
	{ "::1", "127.0.0.1", PLAIN, false },
	{ "0.0.0.0", "::", PLAIN, false },
	{ "::", "0.0.0.0", PLAIN, false },
};

static void
conflicts_are_found_both_ways(void **state)
{
	static const uint8_t protos[] = { TCP, UDP };
	struct world *w = *state;
	unsigned int i, p, listening;
	uint16_t port;
	int fd, flags, expect;

	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		for (p = 0; p < 3; p++) {
			listening = p == 2;
			port = (uint16_t)(21000 + 3 * i + p);
			flags = pairs[i].flags | (listening ? LISTEN : 0);
			expect = pairs[i].conflict ? -EADDRINUSE : 0;
			/* we were first */
			assert_int_equal(
			    our_bind(w, pairs[i].ours, protos[p % 2], port), 0);
			fd = host_bind(pairs[i].hosts, protos[p % 2], port,
				       flags);
			if (fd >= 0)
				close(fd);
			assert_int_equal(fd < 0 ? fd : 0, expect);
			assert_int_equal(
			    our_unbind(w, pairs[i].ours, protos[p % 2], port),
			    0);
			/* the host was first, and we left nothing behind */
			fd = host_bind(pairs[i].hosts, protos[p % 2], port,
				       flags);
			assert_true(fd >= 0);
			assert_int_equal(
			    our_bind(w, pairs[i].ours, protos[p % 2], port),
			    expect);
			close(fd);
			if (expect == 0)
				our_unbind(w, pairs[i].ours, protos[p % 2],
					   port);
		}
	}
}

static void
the_host_is_named_as_holder_0(void **state)
{
	struct ms_tuple t = tuple_of("127.0.0.1", TCP, 21500);
	struct world *w = *state;
	struct ms_port *other = port_new(w->n.nic, &other_cred);
	int fd = host_bind("127.0.0.1", TCP, 21500, LISTEN);
	uint32_t holder = 77;

	assert_true(fd >= 0);
	assert_int_equal(bind_tuple(w->port, &root_cred, &t, &holder),
			 -EADDRINUSE);
	assert_int_equal(holder, 0);
	close(fd);
	assert_int_equal(bind_tuple(w->port, &root_cred, &t, &holder), 0);
	assert_int_equal(bind_tuple(other, &other_cred, &t, &holder),
			 -EADDRINUSE);
	assert_int_equal(holder, w->port->id);
	t = tuple_of("0.0.0.0", TCP, 21500);
	assert_int_equal(bind_tuple(other, &other_cred, &t, &holder),
			 -EADDRINUSE);
	assert_int_equal(holder, w->port->id);
	ms_port_destroy(other);
}

static void
a_connecting_host_keeps_off(void **state)
{
	struct ms_tuple t = tuple_of("0.0.0.0", TCP, 0);
	struct world *w = *state;
	struct sockaddr_storage ss;
	socklen_t len;
	char text[64];
	int fd, i;

	if (!own_namespace)
		skip();
	/* of two port numbers one is ours */
	fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY);
	assert_true(fd >= 0);
	snprintf(text, sizeof(text), "21600 21601");
	assert_true(pwrite(fd, text, strlen(text), 0) > 0);
	assert_int_equal(bind_tuple(w->port, &root_cred, &t, NULL), 0);
	assert_in_range(ntohs(t.port_be), 21600, 21601);
	for (i = 0; i < 2; i++) {
		int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

		len = address("127.0.0.1", 1, &ss);
		(void)connect(s, (struct sockaddr *)&ss, len);
		len = sizeof(ss);
		assert_int_equal(getsockname(s, (struct sockaddr *)&ss, &len),
				 0);
		assert_int_not_equal(((struct sockaddr_in *)&ss)->sin_port,
				     t.port_be);
		close(s);
	}
	snprintf(text, sizeof(text), "32768 60999");
	assert_true(pwrite(fd, text, strlen(text), 0) > 0);
	close(fd);
}

static void
the_host_gives_the_ephemeral_port(void **state)
{
	static const char *const addrs[] = { "127.0.0.1", "0.0.0.0", "::1",
					     "::" };
	struct world *w = *state;
	struct ms_tuple t;
	unsigned int i;
	int fd;

	for (i = 0; i < 8; i++) {
		t = tuple_of(addrs[i % 4], i < 4 ? TCP : UDP, 0);
		assert_int_equal(bind_tuple(w->port, &root_cred, &t, NULL), 0);
		assert_int_not_equal(t.port_be, 0);
		fd = host_bind(addrs[i % 4], t.proto, ntohs(t.port_be),
			       REUSEADDR);
		assert_int_equal(fd, -EADDRINUSE);
	}
}

static void
nothing_is_queued_on_the_reservation(void **state)
{
	struct world *w = *state;
	char data[1024] = "", line[512];
	struct sockaddr_storage ss;
	unsigned int queued, i, found = 0;
	socklen_t len;
	FILE *f;
	int fd;

	assert_int_equal(our_bind(w, "127.0.0.1", UDP, 21700), 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	len = address("127.0.0.1", 21700, &ss);
	for (i = 0; i < 16; i++)
		(void)sendto(fd, data, sizeof(data), 0, (struct sockaddr *)&ss,
			     len);
	close(fd);
	f = fopen("/proc/net/udp", "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, " %*d: 0100007F:54C4 %*s %*x %*x:%x",
			   &queued) != 1)
			continue;
		assert_int_equal(queued, 0);
		found++;
	}
	fclose(f);
	assert_int_equal(found, 1);
}

static void
addresses_must_be_the_hosts(void **state)
{
	struct world *w = *state;

	assert_int_equal(our_bind(w, "192.0.2.77", TCP, 21800), -EADDRNOTAVAIL);
	assert_int_equal(our_bind(w, "2001:db8::77", UDP, 21800),
			 -EADDRNOTAVAIL);
	assert_int_equal(our_bind(w, "fe80::77", UDP, 21800), -EADDRNOTAVAIL);
	/* also where a wildcard of ours covers the port number */
	assert_int_equal(our_bind(w, "0.0.0.0", TCP, 21800), 0);
	assert_int_equal(our_bind(w, "192.0.2.77", TCP, 21800), -EADDRNOTAVAIL);
	assert_int_equal(our_bind(w, "127.0.0.3", TCP, 21800), 0);
}

/* Exact addresses under one's own wildcard live on its socket, and on after
   it: nothing is free for the host before the last of them goes. */
static void
a_shared_socket_stays_for_the_last(void **state)
{
	struct world *w = *state;
	int fd;

	assert_int_equal(our_bind(w, "0.0.0.0", UDP, 21900), 0);
	assert_int_equal(our_bind(w, "127.0.0.1", UDP, 21900), 0);
	assert_int_equal(our_unbind(w, "0.0.0.0", UDP, 21900), 0);
	assert_int_equal(host_bind("127.0.0.1", UDP, 21900, REUSEADDR),
			 -EADDRINUSE);
	assert_int_equal(our_unbind(w, "127.0.0.1", UDP, 21900), 0);
	fd = host_bind("127.0.0.1", UDP, 21900, PLAIN);
	assert_true(fd >= 0);
	close(fd);
}

static void
a_dead_port_frees_all_on_the_host(void **state)
{
	struct world *w = *state;
	unsigned int i;
	int fd;

	for (i = 0; i < 50; i++)
		assert_int_equal(our_bind(w, i % 2 ? "127.0.0.1" : "::1",
					  i % 3 ? TCP : UDP,
					  (uint16_t)(22000 + i)),
				 0);
	ms_port_destroy(w->port);
	for (i = 0; i < 50; i++) {
		fd = host_bind(i % 2 ? "127.0.0.1" : "::1", i % 3 ? TCP : UDP,
			       (uint16_t)(22000 + i), PLAIN);
		assert_true(fd >= 0);
		close(fd);
	}
}

/* ---- privileges and limits ------------------------------------------ */

static void
low_ports_need_the_callers_privilege(void **state)
{
	struct world *w = *state;
	struct ms_tuple t = tuple_of("127.0.0.1", TCP, 80);
	struct ms_cred cred = user_cred;
	struct ms_port *port;

	if (ms_unprivileged_port_start() <= 80)
		skip();
	port = port_new(w->n.nic, &user_cred);
	assert_int_equal(bind_tuple(port, &user_cred, &t, NULL), -EACCES);
	cred.net_admin = cred.net_raw = true; /* not that one */
	assert_int_equal(bind_tuple(port, &cred, &t, NULL), -EACCES);
	cred.net_bind_service = true;
	assert_int_equal(bind_tuple(port, &cred, &t, NULL),
			 geteuid() == 0 ? 0 : -EACCES);
	ms_port_destroy(port);
}

static void
the_sysctl_moves_the_border(void **state)
{
	struct world *w = *state;
	struct ms_tuple t = tuple_of("127.0.0.1", TCP, 443);
	struct ms_tuple high = tuple_of("127.0.0.1", TCP, 4430);
	struct ms_port *port;
	int fd;

	if (!own_namespace)
		skip();
	port = port_new(w->n.nic, &user_cred);
	fd = open("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "443", 3, 0), 3);
	assert_int_equal(bind_tuple(port, &user_cred, &t, NULL), 0);
	assert_int_equal(pwrite(fd, "5000", 4, 0), 4);
	assert_int_equal(bind_tuple(port, &user_cred, &high, NULL), -EACCES);
	assert_int_equal(pwrite(fd, "1024", 4, 0), 4);
	close(fd);
	ms_port_destroy(port);
}

/* A switch that is not privileged itself cannot give what it has not. */
static void
an_unprivileged_switch_says_so(void **state)
{
	struct world *w = *state;
	pid_t child;
	int status;

	if (geteuid() != 0)
		skip();
	child = fork();
	if (child == 0) {
		struct ms_tuple low = tuple_of("127.0.0.1", TCP, 81);
		struct ms_tuple raw = tuple_of("127.0.0.1", OURS, 0);
		struct ms_tuple fine = tuple_of("127.0.0.1", TCP, 22100);
		int bad = 0;

		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(9);
		bad |= bind_tuple(w->port, &root_cred, &low, NULL) != -EACCES;
		bad |= bind_tuple(w->port, &root_cred, &raw, NULL) != -EPERM;
		bad |= bind_tuple(w->port, &root_cred, &fine, NULL) != 0;
		_exit(bad);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void
descriptors_can_run_out(void **state)
{
	struct world *w = *state;
	struct rlimit old, tight;
	unsigned int i;
	int r = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = old;
	tight.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	for (i = 0; i < 100 && r == 0; i++)
		r = our_bind(w, "127.0.0.1", UDP, (uint16_t)(22200 + i));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	assert_int_equal(w->port->num_binds, i - 1);
	assert_int_equal(
	    our_bind(w, "127.0.0.1", UDP, (uint16_t)(22200 + i - 1)), 0);
}

static void
memory_can_run_out(void **state)
{
	struct world *w = *state;
	struct ms_tuple t;
	unsigned int n;
	int fd, r;

	for (n = 1;; n++) {
		t = tuple_of("127.0.0.1", TCP, 22400);
		ms_os_fail_after(n, n % 2 == 0);
		r = bind_tuple(w->port, &root_cred, &t, NULL);
		ms_os_fail_after(0, false);
		if (r == 0)
			break;
		assert_int_equal(r, -ENOMEM);
		fd = host_bind("127.0.0.1", TCP, 22400, PLAIN);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_true(n > 2);
}

/* ---- whole protocols ------------------------------------------------ */

static void
whole_protocols_are_reserved_too(void **state)
{
	struct world *w = *state;
	struct ms_tuple t = tuple_of("127.0.0.1", OURS, 0);
	struct ms_port *second;
	int fd;

	if (geteuid() != 0)
		skip();
	second = port_new(w->n.nic, &root_cred);
	fd = host_bind("127.0.0.1", OURS, 0, PLAIN);
	assert_true(fd >= 0);
	assert_int_equal(our_bind(w, "127.0.0.1", OURS, 0), -EADDRINUSE);
	assert_int_equal(our_bind(w, "0.0.0.0", OURS, 0), -EADDRINUSE);
	assert_int_equal(our_bind(w, "127.0.0.2", OURS, 0), 0);
	assert_int_equal(our_bind(w, "::1", OURS, 0), 0);
	close(fd);
	assert_int_equal(our_bind(w, "127.0.0.1", OURS, 0), 0);
	/* our own sockets are no strangers */
	assert_int_equal(bind_tuple(second, &root_cred, &t, NULL), -EADDRINUSE);
	t = tuple_of("127.0.0.4", OURS, 0);
	assert_int_equal(bind_tuple(second, &root_cred, &t, NULL), 0);
	ms_port_destroy(second);
}

static void
protocols_the_kernel_has_not_are_refused(void **state)
{
	static const uint8_t protos[] = { 132, 136, 33 };
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_DCCP };
	struct world *w = *state;
	unsigned int i;
	int fd, r;

	for (i = 0; i < 3; i++) {
		fd = socket(AF_INET, types[i], protos[i]);
		r = our_bind(w, "127.0.0.1", protos[i], 22500);
		assert_int_equal(r, fd >= 0 ? 0 : -EPROTONOSUPPORT);
		if (fd >= 0)
			close(fd);
	}
}

/* ---- addresses of an attachment's own ------------------------------- */

static bool
all_private(const struct ms_attach *a, const uint8_t *addr, uint8_t family)
{
	(void)a, (void)addr, (void)family;
	return true;
}

static void
private_addresses_need_no_socket(void **state)
{
	struct world *w = *state;
	struct ms_tuple t;
	int fd;

	w->ops.private_addr = all_private;
	assert_int_equal(our_bind(w, "192.0.2.77", TCP, 22600), 0);
	assert_int_equal(our_bind(w, "0.0.0.0", UDP, 22600), 0);
	fd = host_bind("0.0.0.0", UDP, 22600, PLAIN);
	assert_true(fd >= 0);
	close(fd);
	t = tuple_of("192.0.2.77", UDP, 0);
	assert_int_equal(bind_tuple(w->port, &root_cred, &t, NULL), 0);
	assert_true(ntohs(t.port_be) >= 1024);
	t = tuple_of("192.0.2.77", TCP, 80);
	assert_int_equal(bind_tuple(w->port, &user_cred, &t, NULL), -EACCES);
}

/* Where an interface of the host is there as well, a wildcard is its too. */
static void
a_private_wildcard_is_not_beside_the_host(void **state)
{
	struct world *w = *state;
	struct ms_attach_ops private_ops = { .kind = "private",
					     .private_addr = all_private };
	struct ms_attach private_attach = { .ops = &private_ops };
	struct ms_tuple any = tuple_of("0.0.0.0", UDP, 22700);
	struct ms_tuple one = tuple_of("192.0.2.77", UDP, 22701);
	struct bare_nic nic;
	struct ms_port *port;
	int fd = host_bind("127.0.0.1", UDP, 22700, PLAIN);

	assert_true(fd >= 0);
	bare_nic_add(w->sw, &nic, "private");
	nic.nic->attach = &private_attach;
	port = port_new(nic.nic, &root_cred);
	assert_int_equal(bind_tuple(port, &root_cred, &any, NULL), -EADDRINUSE);
	close(fd);
	assert_int_equal(bind_tuple(port, &root_cred, &any, NULL), 0);
	assert_int_equal(host_bind("127.0.0.1", UDP, 22700, PLAIN),
			 -EADDRINUSE);
	assert_int_equal(bind_tuple(port, &root_cred, &one, NULL), 0);
	ms_port_destroy(port);
	ms_nic_destroy(nic.nic);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(conflicts_are_found_both_ways),
		T(the_host_is_named_as_holder_0),
		T(a_connecting_host_keeps_off),
		T(the_host_gives_the_ephemeral_port),
		T(nothing_is_queued_on_the_reservation),
		T(addresses_must_be_the_hosts),
		T(a_shared_socket_stays_for_the_last),
		T(a_dead_port_frees_all_on_the_host),
		T(low_ports_need_the_callers_privilege),
		T(the_sysctl_moves_the_border),
		T(an_unprivileged_switch_says_so),
		T(descriptors_can_run_out),
		T(memory_can_run_out),
		T(whole_protocols_are_reserved_too),
		T(protocols_the_kernel_has_not_are_refused),
		T(private_addresses_need_no_socket),
		T(a_private_wildcard_is_not_beside_the_host),
	};

	return cmocka_run_group_tests(tests, setup_namespace, NULL);
}
