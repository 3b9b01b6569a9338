/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach_net.h: for the tests of attachments: two network namespaces of the
 * test's own, joined by veth, and a port held without a library.
 *
 *   ours: ms0 10.77.0.1/24 fd77::1/64  <->  theirs: p0 10.77.0.2/24 fd77::2/64
 *
 * Workers are stepped by the test (MS_HOST_NO_THREADS), so nothing here waits
 * for a thread.
 */
#ifndef ATTACH_NET_H
#define ATTACH_NET_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ms_user.h"

#define OUR4 "10.77.0.1"
#define THEIR4 "10.77.0.2"
#define OUR6 "fd77::1"
#define THEIR6 "fd77::2"
#define WAIT_MS 60000 /* for what must come */

static int ns_ours = -1, ns_theirs = -1;
static pid_t ns_child;

/* ---- namespaces ---- */

__attribute__((format(printf, 1, 2), unused)) static int
sh(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;
	int r;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	r = system(cmd);
	if (r != 0)
		fprintf(stderr, "`%s`: status %d\n", cmd, r);
	return r;
}

__attribute__((unused)) static void
enter(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

static int
ns_open(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static pid_t
ns_holder(void)
{
	int ready[2];
	pid_t pid;
	char c;

	if (pipe(ready) != 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		c = unshare(CLONE_NEWNET) == 0;
		if (write(ready[1], &c, 1) == 1)
			pause();
		_exit(0);
	}
	if (read(ready[0], &c, 1) != 1 || c == 0)
		pid = -1;
	close(ready[0]);
	close(ready[1]);
	return pid;
}

/* Two namespaces and the link between them; this process is in ours. False: no
   privilege, with the reason on stderr. */
__attribute__((unused)) static bool
net_setup(void)
{
	if (unshare(CLONE_NEWNET) != 0) {
		fprintf(stderr, "skipped: no network namespace: %s\n",
			strerror(errno));
		return false;
	}
	ns_child = ns_holder();
	assert_true(ns_child > 0);
	ns_ours = ns_open(getpid());
	ns_theirs = ns_open(ns_child);
	assert_true(ns_ours >= 0 && ns_theirs >= 0);
	assert_int_equal(
	    sh("ip link set lo up && ip link add ms0 type veth peer name "
	       "p0 && ip link set p0 netns %d && ip addr add " OUR4
	       "/24 dev ms0 && ip addr add " OUR6
	       "/64 dev ms0 nodad && ip link set ms0 up",
	       (int)ns_child),
	    0);
	assert_int_equal(
	    sh("nsenter -t %d -n sh -c 'ip link set lo up && ip addr "
	       "add " THEIR4 "/24 dev p0 && ip addr add " THEIR6
	       "/64 dev p0 nodad && ip link set p0 up && ethtool -K p0 tx "
	       "off >/dev/null'",
	       (int)ns_child),
	    0);
	return true;
}

__attribute__((unused)) static void
net_teardown(void)
{
	if (ns_child > 0) {
		kill(ns_child, SIGKILL);
		waitpid(ns_child, NULL, 0);
	}
	close(ns_theirs);
	close(ns_ours);
	ns_child = 0;
}

/* ---- sockets ---- */

/* A socket of namespace ns, bound to addr:port (port 0: any). */
__attribute__((unused)) static int
sock_in(int ns, int type, const char *addr, uint16_t port)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6,
				   .sin6_port = htons(port) };
	struct sockaddr_in a4 = { .sin_family = AF_INET,
				  .sin_port = htons(port) };
	bool six = strchr(addr, ':') != NULL;
	struct timeval limit = { .tv_sec = WAIT_MS / 1000 };
	int fd;

	enter(ns);
	fd = socket(six ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	if (six)
		inet_pton(AF_INET6, addr, &a6.sin6_addr);
	else
		inet_pton(AF_INET, addr, &a4.sin_addr);
	assert_int_equal(bind(fd, six ? (void *)&a6 : (void *)&a4,
			      six ? sizeof(a6) : sizeof(a4)),
			 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	enter(ns_ours);
	return fd;
}

__attribute__((unused)) static int
sock_to(int fd, const char *addr, uint16_t port)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6,
				   .sin6_port = htons(port) };
	struct sockaddr_in a4 = { .sin_family = AF_INET,
				  .sin_port = htons(port) };

	if (strchr(addr, ':') != NULL) {
		inet_pton(AF_INET6, addr, &a6.sin6_addr);
		return connect(fd, (void *)&a6, sizeof(a6));
	}
	inet_pton(AF_INET, addr, &a4.sin_addr);
	return connect(fd, (void *)&a4, sizeof(a4));
}

__attribute__((unused)) static uint16_t
sock_port(int fd)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(fd, (void *)&a, &len), 0);
	return ntohs(a.sin6_port); /* the same place in both families */
}

/* ---- host and port ---- */

struct tport {
	struct ms_host *host;
	struct ms_port *port;
	struct ms_worker *w;
	struct ms_cred cred;
	uint8_t mac[6];
};

__attribute__((unused)) static struct ms_host *
host_new(void)
{
	struct ms_host_options opt = { .flags = MS_HOST_NO_THREADS };
	struct ms_host *host = NULL;
	struct ms_err err;

	assert_int_equal(ms_host_create(&opt, &host, &err), 0);
	return host;
}

__attribute__((unused)) static int
attach(struct ms_host *host, const char *spec, struct ms_err *err)
{
	struct ms_cmd_attach arg;
	struct ms_err own = { "" };
	int r;

	memset(&arg, 0, sizeof(arg));
	r = ms_attach_spec(spec, &arg, err != NULL ? err : &own);
	if (r == 0) {
		arg.size = sizeof(arg);
		r = ms_host_attach(host, &arg, err != NULL ? err : &own);
	}
	if (r != 0 && err == NULL)
		fprintf(stderr, "attach %s: %s\n", spec, own.text);
	return r;
}

__attribute__((unused)) static int
detach(struct ms_host *host, const char *nic)
{
	struct ms_cmd_attach arg = { .size = sizeof(arg),
				     .flags = MS_ATTACH_FORCE };

	strcpy(arg.nic, nic);
	return ms_host_detach(host, &arg, NULL);
}

__attribute__((unused)) static void
port_open(struct tport *t, struct ms_host *host, const char *nic,
	  uint32_t buf_bytes)
{
	struct ms_cmd_port_create arg = { .size = sizeof(arg),
					  .buf_bytes = buf_bytes };
	struct ms_err err = { "" };

	memset(t, 0, sizeof(*t));
	t->host = host;
	ms_cred_self(&t->cred);
	strcpy(arg.nic, nic);
	if (ms_host_ctl(host, &t->cred, &t->port, MS_CMD_PORT_CREATE, &arg,
			sizeof(arg), &err) != 0)
		fail_msg("port on %s: %s", nic, err.text);
	memcpy(t->mac, arg.mac, 6);
	assert_int_equal(ms_host_port_watch(host, t->port), 0);
	t->w = ms_host_worker(host, t->port, 0);
	assert_non_null(t->w);
}

__attribute__((unused)) static void
port_close(struct tport *t)
{
	ms_host_port_unwatch(t->host, t->port);
	ms_port_destroy(t->port);
}

static struct ms_tuple
tuple_of(const char *addr, uint8_t proto, uint16_t port)
{
	struct ms_tuple t = { .proto = proto, .port_be = htons(port) };

	t.family = strchr(addr, ':') != NULL ? 6 : 4;
	assert_int_equal(
	    inet_pton(t.family == 4 ? AF_INET : AF_INET6, addr, t.addr), 1);
	return t;
}

__attribute__((unused)) static int
port_bind(struct tport *t, const char *addr, uint8_t proto, uint16_t port)
{
	struct ms_cmd_bind arg = { .size = sizeof(arg) };
	struct ms_err err = { "" };
	int r;

	arg.tuple = tuple_of(addr, proto, port);
	r = ms_host_ctl(t->host, &t->cred, &t->port, MS_CMD_BIND, &arg,
			sizeof(arg), &err);
	if (r != 0)
		fprintf(stderr, "bind %s:%u: %s\n", addr, port, err.text);
	return r;
}

__attribute__((unused)) static int
port_route(struct tport *t, const char *dst, struct ms_cmd_route *r)
{
	memset(r, 0, sizeof(*r));
	r->size = sizeof(*r);
	r->dst = tuple_of(dst, 0, 0);
	return ms_host_ctl(t->host, &t->cred, &t->port, MS_CMD_ROUTE, r,
			   sizeof(*r), NULL);
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A frame that came to the port, put together; its length, or 0 if none comes
   within `ms`. *first: its first slot. */
__attribute__((unused)) static uint32_t
port_recv(struct tport *t, uint8_t *buf, struct ms_slot *first, int ms)
{
	struct ms_kring *k = &t->port->rx[0];
	struct ms_ring *ring = k->shared;
	uint32_t head = ring->head, len = 0, n;
	int64_t end = now_ms() + ms;
	struct ms_slot *s;

	while (ms_os_load_acquire(&ring->tail) == head) {
		if (now_ms() > end)
			return 0;
		if (ms_worker_step(t->w) == 0)
			usleep(200);
	}
	if (first != NULL)
		*first = k->slots[head & k->mask];
	do {
		s = &k->slots[head++ & k->mask];
		n = s->len != 0 ? s->len : 65536;
		memcpy(buf + len, k->bufs + ((size_t)s->buf << k->buf_shift),
		       n);
		len += n;
	} while ((s->flags & MS_SLOT_MORE) != 0);
	ms_os_store_release(&ring->head, head);
	return len;
}

__attribute__((unused)) static void
port_send(struct tport *t, const uint8_t *frame, uint32_t len,
	  const struct ms_slot *meta)
{
	struct ms_kring *k = &t->port->tx[0];
	struct ms_ring *ring = k->shared;
	uint32_t head = ring->head, buf_bytes = 1u << k->buf_shift, ofs = 0;

	while (ofs < len) {
		struct ms_slot *s = &k->slots[head++ & k->mask];
		uint32_t n = len - ofs < buf_bytes ? len - ofs : buf_bytes;
		uint32_t buf = s->buf;

		memset(s, 0, sizeof(*s));
		if (ofs == 0 && meta != NULL)
			*s = *meta;
		s->buf = buf;
		s->len = (uint16_t)n;
		s->flags &= MS_SLOT_CSUM_PARTIAL;
		if (ofs + n < len)
			s->flags |= MS_SLOT_MORE;
		memcpy(k->bufs + ((size_t)buf << k->buf_shift), frame + ofs, n);
		ofs += n;
	}
	ms_os_store_release(&ring->head, head);
	ms_kring_tx_ready(k);
	ms_worker_step(t->w);
}

__attribute__((unused)) static uint64_t
port_counter(struct tport *t, enum ms_counter c)
{
	uint64_t ctr[MS_CTR_MAX];

	ms_mutex_lock(&t->port->sw->ctl_lock);
	ms_port_stats(t->port, ctr);
	ms_mutex_unlock(&t->port->sw->ctl_lock);
	return ctr[c];
}

/* ---- frames ---- */

static uint32_t
sum16(uint32_t sum, const uint8_t *p, uint32_t n)
{
	for (; n > 1; n -= 2, p += 2)
		sum += (uint32_t)p[0] << 8 | p[1];
	if (n != 0)
		sum += (uint32_t)p[0] << 8;
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void
be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t
pseudo_sum(const struct ms_tuple *src, const struct ms_tuple *dst,
	   uint8_t proto, uint32_t bytes)
{
	uint32_t n = src->family == 4 ? 4 : 16;
	uint32_t sum = sum16(0, src->addr, n);

	sum = sum16(sum, dst->addr, n);
	return sum16(sum + proto + (bytes >> 16) + (bytes & 0xffff), NULL, 0);
}

/*
 * Ethernet and IP in front of `l4_bytes` of transport header and data at
 * f + 14 + 20 (or 40), whose checksum at csum_ofs is finished, or, `partial`,
 * prepared. Returns the frame's length.
 */
__attribute__((unused)) static uint32_t
frame_finish(uint8_t *f, const struct ms_cmd_route *r, const char *src,
	     const char *dst, uint8_t proto, uint32_t l4_bytes,
	     uint32_t csum_ofs, bool partial)
{
	struct ms_tuple s = tuple_of(src, 0, 0), d = tuple_of(dst, 0, 0);
	uint8_t *ip = f + 14, *l4 = ip + (s.family == 4 ? 20 : 40);
	uint32_t sum;

	memcpy(f, r->dst_mac, 6);
	memcpy(f + 6, r->src_mac, 6);
	if (s.family == 4) {
		be16(f + 12, 0x0800);
		memset(ip, 0, 20);
		ip[0] = 0x45;
		be16(ip + 2, 20 + l4_bytes);
		ip[8] = 64;
		ip[9] = proto;
		memcpy(ip + 12, s.addr, 4);
		memcpy(ip + 16, d.addr, 4);
		be16(ip + 10, ~sum16(0, ip, 20));
	} else {
		be16(f + 12, 0x86dd);
		memset(ip, 0, 40);
		ip[0] = 0x60;
		be16(ip + 4, l4_bytes);
		ip[6] = proto;
		ip[7] = 64;
		memcpy(ip + 8, s.addr, 16);
		memcpy(ip + 24, d.addr, 16);
	}
	be16(l4 + csum_ofs, 0);
	sum = pseudo_sum(&s, &d, proto, l4_bytes);
	be16(l4 + csum_ofs, partial ? sum : ~sum16(sum, l4, l4_bytes));
	return 14 + (s.family == 4 ? 20 : 40) + l4_bytes;
}

/* A UDP datagram; a bad checksum is the receiver's to see. */
__attribute__((unused)) static uint32_t
udp_frame(uint8_t *f, const struct ms_cmd_route *r, const char *src,
	  uint16_t sport, const char *dst, uint16_t dport, const void *data,
	  uint32_t bytes, bool partial)
{
	uint8_t *udp = f + 14 + (strchr(src, ':') != NULL ? 40 : 20);

	be16(udp, sport);
	be16(udp + 2, dport);
	be16(udp + 4, 8 + bytes);
	memcpy(udp + 8, data, bytes);
	return frame_finish(f, r, src, dst, IPPROTO_UDP, 8 + bytes, 6, partial);
}

#endif /* ATTACH_NET_H */
