/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_attach_tap.c: the private link to the host: what this side answers,
 * datagrams, and TCP in bulk both ways with a TCP of a few lines, to see that
 * large frames cross with the right metadata and lose no byte.
 */
#include <netinet/ip_icmp.h>

#include "attach_net.h"

#define L4 34
#define BULK (8u << 20)
#define PORT_TCP 8080
#define HOST4 "10.9.0.1"
#define LOCAL4 "10.9.0.2"
#define HOST6 "fd09::1"
#define LOCAL6 "fd09::2"

static uint8_t frame[70000], got[70000];

struct world {
	struct ms_host *host;
	struct tport port;
};

static int
world_open(void **state)
{
	static struct world w;

	*state = &w;
	w.host = host_new();
	assert_int_equal(attach(w.host,
				"tap:tap0,local=" LOCAL4 "/24,host=" HOST4
				",local6=" LOCAL6 "/64,host6=" HOST6,
				NULL),
			 0);
	port_open(&w.port, w.host, "tap0", 16384);
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

/* Lets the attachment work while a socket waits for an answer. */
static ssize_t
recv_stepping(struct world *w, int fd, void *buf, size_t bytes)
{
	int64_t end = now_ms() + WAIT_MS;
	ssize_t n;

	do {
		ms_worker_step(w->port.w);
		n = recv(fd, buf, bytes, MSG_DONTWAIT);
	} while (n < 0 && now_ms() < end && usleep(100) == 0);
	return n;
}

static void
test_datagrams_both_ways(void **state)
{
	static const char *const pairs[2][2] = { { LOCAL4, HOST4 },
						 { LOCAL6, HOST6 } };
	struct world *w = *state;
	struct ms_cmd_route r;
	unsigned int k;

	for (k = 0; k < 2; k++) {
		const char *local = pairs[k][0], *host = pairs[k][1];
		int c = sock_in(ns_ours, SOCK_DGRAM, host, 0);
		uint32_t n;

		assert_int_equal(port_bind(&w->port, local, IPPROTO_UDP, 53),
				 0);
		assert_int_equal(sock_to(c, local, 53), 0);
		assert_int_equal(send(c, "who", 3, 0), 3);
		/* the host asked for our MAC first: ARP, ND */
		n = port_recv(&w->port, frame, NULL, WAIT_MS);
		assert_true(n != 0);
		assert_memory_equal(frame + (k ? 62 : 42), "who", 3);
		assert_int_equal(port_route(&w->port, host, &r), 0);
		assert_int_equal(r.state, MS_ROUTE_REACHABLE);
		n = udp_frame(frame, &r, local, 53, host, sock_port(c), "me", 2,
			      true);
		port_send(&w->port, frame, n,
			  &(struct ms_slot){ .flags = MS_SLOT_CSUM_PARTIAL,
					     .csum_start = k ? 54 : 34,
					     .csum_offset = 6 });
		assert_int_equal(recv_stepping(w, c, got, sizeof(got)), 2);
		close(c);
	}
}

static void
test_ping_is_answered(void **state)
{
	struct world *w = *state;
	int c = sock_in(ns_ours, SOCK_DGRAM, HOST4, 0), fd;
	uint8_t echo[64] = { ICMP_ECHO };
	struct sockaddr_in to = { .sin_family = AF_INET };
	ssize_t n;

	close(c);
	fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	assert_true(fd >= 0);
	inet_pton(AF_INET, LOCAL4, &to.sin_addr);
	memset(echo + 8, 'e', 56);
	be16(echo + 4, 77);
	be16(echo + 2, ~sum16(0, echo, sizeof(echo)));
	assert_int_equal(
	    sendto(fd, echo, sizeof(echo), 0, (void *)&to, sizeof(to)),
	    sizeof(echo));
	n = recv_stepping(w, fd, got, sizeof(got));
	assert_int_equal(n, 20 + 64);
	assert_int_equal(got[20], ICMP_ECHOREPLY);
	assert_memory_equal(got + 24, echo + 4, 60);
	close(fd);
}

/* ---- TCP in bulk ---- */

struct tiny { /* the passive side of one connection */
	struct world *w;
	struct ms_cmd_route r;
	uint16_t peer;
	uint32_t snd, rcv;    /* next sequence numbers */
	uint32_t una, window; /* what the peer has acknowledged and allows */
	unsigned int wscale;
};

static void
put32(uint8_t *p, uint32_t v)
{
	be16(p, v >> 16);
	be16(p + 2, v);
}

static void
tiny_send(struct tiny *t, uint8_t flags, const uint8_t *data, uint32_t bytes,
	  bool syn)
{
	uint8_t *h = frame + L4;
	uint32_t hdr = syn ? 28 : 20, n;
	struct ms_slot meta = { .flags = MS_SLOT_CSUM_PARTIAL,
				.csum_start = L4,
				.csum_offset = 16 };

	memset(h, 0, hdr);
	be16(h, PORT_TCP);
	be16(h + 2, t->peer);
	put32(h + 4, t->snd);
	put32(h + 8, t->rcv);
	h[12] = (uint8_t)(hdr / 4 << 4);
	h[13] = flags;
	be16(h + 14, 65535);
	if (syn) { /* MSS 1460, window scale 7 */
		static const uint8_t opt[8] = { 2, 4, 5, 0xb4, 1, 3, 3, 7 };

		memcpy(h + 20, opt, 8);
	}
	memcpy(h + hdr, data, bytes);
	if (bytes > 1460) {
		meta.gso_type = MS_GSO_TCP4;
		meta.gso_size = 1460;
	}
	n = frame_finish(frame, &t->r, LOCAL4, HOST4, IPPROTO_TCP, hdr + bytes,
			 16, true);
	port_send(&t->w->port, frame, n, &meta);
	t->snd += bytes + syn;
}

/* Takes the next segment; its payload is at *data. */
static uint32_t
tiny_recv(struct tiny *t, uint8_t **data, struct ms_slot *meta, int ms)
{
	uint32_t n = port_recv(&t->w->port, got, meta, ms), hdr, ip_bytes;
	uint8_t *h = got + L4;
	unsigned int i;

	if (n == 0)
		return UINT32_MAX;
	hdr = (uint32_t)(h[12] >> 4) * 4;
	ip_bytes = ms_be16(got + 16);
	assert_int_equal(n, 14 + ip_bytes);
	t->peer = ms_be16(h);
	if ((h[13] & 0x02) != 0) {
		t->rcv = ms_be32(h + 4) + 1;
		for (i = 20; i < hdr && h[i] != 0;
		     i += h[i] == 1 ? 1 : h[i + 1])
			if (h[i] == 3)
				t->wscale = h[i + 2];
		return 0;
	}
	t->una = ms_be32(h + 8);
	t->window = (uint32_t)ms_be16(h + 14) << t->wscale;
	*data = h + hdr;
	assert_int_equal(ms_be32(h + 4), t->rcv); /* nothing lost, in order */
	t->rcv += ip_bytes - 20 - hdr;
	return ip_bytes - 20 - hdr;
}

static uint8_t
pattern(uint32_t i)
{
	return (uint8_t)(i ^ i >> 8 ^ i >> 16);
}

/* The client: sends BULK bytes, then reads BULK bytes, checking. */
static int
client_main(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(PORT_TCP) };
	static uint8_t buf[BULK];
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	uint32_t i, n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	inet_pton(AF_INET, LOCAL4, &to.sin_addr);
	if (connect(fd, (void *)&to, sizeof(to)) != 0)
		return 1;
	for (i = 0; i < BULK; i++)
		buf[i] = pattern(i);
	for (i = 0; i < BULK; i += n)
		n = (uint32_t)send(fd, buf + i, BULK - i, 0);
	memset(buf, 0, BULK);
	for (i = 0; i < BULK; i += n) {
		n = (uint32_t)recv(fd, buf + i, BULK - i, 0);
		if (n == 0 || n > BULK)
			return 2;
	}
	for (i = 0; i < BULK; i++)
		if (buf[i] != pattern(i))
			return 3;
	return 0;
}

static void
test_tcp_bulk_with_gso(void **state)
{
	struct world *w = *state;
	struct tiny t = { .w = w, .snd = 1000 };
	uint32_t bytes = 0, n, i, large_in = 0, large_out = 0;
	static uint8_t data[45000];
	struct ms_slot meta;
	uint8_t *p = NULL;
	int status;
	pid_t pid;

	assert_int_equal(port_bind(&w->port, LOCAL4, IPPROTO_TCP, PORT_TCP), 0);
	assert_int_equal(port_route(&w->port, HOST4, &t.r), 0);
	pid = fork();
	if (pid == 0)
		_exit(client_main());
	assert_int_equal(tiny_recv(&t, &p, &meta, WAIT_MS), 0);
	tiny_send(&t, 0x12, data, 0, true);
	while (bytes < BULK) {
		n = tiny_recv(&t, &p, &meta, WAIT_MS);
		assert_true(n != UINT32_MAX);
		for (i = 0; i < n; i++)
			assert_true(p[i] == pattern(bytes + i));
		if (n > 1460) {
			large_in++;
			assert_int_equal(meta.gso_type, MS_GSO_TCP4);
			assert_int_equal(meta.gso_size, 1460);
			assert_int_equal(meta.csum_start, L4);
			assert_int_equal(meta.csum_offset, 16);
			assert_true((meta.flags & MS_SLOT_CSUM_PARTIAL) != 0);
		}
		bytes += n;
		if (n > 0)
			tiny_send(&t, 0x10, data, 0, false);
	}
	assert_true(large_in > 20);
	for (bytes = 0; bytes < BULK; bytes += n) {
		n = BULK - bytes < sizeof(data) ? BULK - bytes : sizeof(data);
		while (t.una + t.window - t.snd < n)
			assert_true(tiny_recv(&t, &p, &meta, WAIT_MS) == 0);
		for (i = 0; i < n; i++)
			data[i] = pattern(bytes + i);
		tiny_send(&t, 0x18, data, n, false);
		large_out++;
	}
	assert_true(large_out < BULK / 40000);
	while (waitpid(pid, &status, WNOHANG) == 0)
		tiny_recv(&t, &p, &meta, 1);
	assert_int_equal(status, 0);
	assert_int_equal(port_counter(&w->port, MS_CTR_DROP_TX_NIC), 0);
}

static void
test_words(void **state)
{
	static const struct {
		const char *spec, *words;
	} cases[] = {
		{ "tap:tap1", "local=10.9.0.2/24" },
		{ "tap:tap1,local=10.9.1.2", "host" },
		{ "tap:tap1,host=10.9.1.2", "local" },
		{ "tap:tap1,local=fd00::1,host=fd00::2", "IPv4" },
		{ "tap:tap1,local=10.9.1.2/24,host=10.9.1.2", "another" },
		{ "tap:ms0,local=10.9.1.2/24,host=10.9.1.1", "ms0" },
		{ "tap:tap1,local=10.9.1.2/24,host=10.9.1.1,vlan=3", "VLAN" },
	};
	struct world *w = *state;
	struct ms_err err;
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(attach(w->host, cases[i].spec, &err) < 0);
		if (strstr(err.text, cases[i].words) == NULL)
			fail_msg("%s: '%s'", cases[i].spec, err.text);
	}
	assert_int_equal(sh("! ip link show tap1 2>/dev/null"), 0);
}

static void
test_detach_takes_the_device_away(void **state)
{
	struct world *w = *state;

	assert_int_equal(detach(w->host, "tap0"), 0);
	assert_int_equal(sh("! ip link show tap0 2>/dev/null"), 0);
	assert_int_equal(w->port.port->rx[0].shared->gone, MS_GONE_NIC);
}

#define BODY(f) cmocka_unit_test_setup_teardown(f, world_open, world_close)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BODY(test_datagrams_both_ways),
		BODY(test_ping_is_answered),
		BODY(test_tcp_bulk_with_gso),
		BODY(test_words),
		BODY(test_detach_takes_the_device_away),
	};
	int failed;

	if (!net_setup())
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	net_teardown();
	return failed != 0;
}
