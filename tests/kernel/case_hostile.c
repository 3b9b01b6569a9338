/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_hostile.c: users that do what they should not, for as long as they are
 * let, beside one that does its work and must not notice.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>

#include "../hostile/scribbler.h"
#include "kt.h"

#define EVIL SCRIBBLE_EVIL_PORT
#define GOOD SCRIBBLE_GOOD_PORT

static bool stop;
static struct kt_port evil, good;
static uint8_t frame[2048];

static bool
stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void
begin(pthread_t *t, void *(*run)(void *), uintptr_t arg)
{
	CHECK(pthread_create(t, NULL, run, (void *)arg) == 0);
}

/* ---- the honest neighbour ----------------------------------------------------------- */

/*
 * Each frame that the far end sends to it comes, once, in order, and its answer
 * arrives there, for kt_seconds. What the others do with the wire meanwhile is
 * looked at: nothing leaves in a name that its sender does not have.
 */
static void
neighbour(int raw)
{
	uint64_t until = kt_now_ms() + kt_seconds * 1000;
	uint32_t seq = 0, n, k;
	uint8_t got[2048];

	os_stay();
	while (kt_now_ms() < until) {
		for (k = 0; k < 16; k++) {
			uint32_t payload[2] = { seq + k, ~(seq + k) };

			kt_far_udp(raw, GOOD, payload, sizeof(payload));
		}
		for (k = 0; k < 16; k++, seq++) {
			uint32_t payload[2] = { seq, ~seq }, came[2];

			do { /* the hostile one may send to it, too */
				n = kt_recv(&good, 0, got, sizeof(got),
					    KT_WAIT_MS);
				CHECK(n != 0);
			} while (memcmp(got + 26, rig_ip, 4) == 0);
			CHECK_EQ(n, 42 + sizeof(payload));
			memcpy(came, got + 42, sizeof(came));
			CHECK_EQ(came[0] ^ came[1], UINT32_MAX);
			CHECK_EQ(came[0], seq);
			n = rig_udp_out(frame, GOOD, 9, payload,
					sizeof(payload));
			kt_send(&good, frame, n);
			kt_far_expect(raw, frame, n);
		}
	}
	CHECK_EQ(kt_counter(&good, MS_CTR_DROP_RX_FULL), 0);
	CHECK_EQ(kt_counter(&good, MS_CTR_TX_FRAMES), seq);
	kt_note("%u frames of the neighbour", (unsigned int)seq);
}

static void
ports(void)
{
	CHECK_EQ(kt_port_try(&evil, 2, 2, 256), 0);
	CHECK_EQ(kt_port_try(&good, 1, 1, 256), 0);
	kt_must_bind(&evil, EVIL);
	kt_must_bind(&good, GOOD);
}

/* ---- scribbling ---------------------------------------------------------------------- */

static void
kick(void *arg, unsigned int ring)
{
	(void)kt_sync(&evil, false, ring);
}

static void *
scribbler(void *arg)
{
	struct scribbler sc = {
		.region = (void *)evil.region,
		.words = evil.geo.bytes / 4,
		.ring_words = evil.geo.bufs_ofs / 4,
		.tx = { kt_ring(&evil, false, 0), kt_ring(&evil, false, 1) },
		.rx = { kt_ring(&evil, true, 0), kt_ring(&evil, true, 1) },
		.slots = evil.geo.slots,
		.bufs = kt_buf(&evil, 0),
		.kick = kick,
		.state = (kt_seed ^ (uintptr_t)arg << 32) | 1,
	};

	while (!stopped())
		scribble(&sc);
	return NULL;
}

/* Frames from the wire for the hostile one, of any length. */
static void *
noise(void *arg)
{
	int raw = (int)(uintptr_t)arg;
	uint64_t s = kt_seed;
	uint8_t buf[2048] = { 0 };

	while (!stopped()) {
		os_raw_send(raw, buf,
			    rig_udp_in(buf, (uint16_t)kt_chance(&s), EVIL,
				       buf + 1500, kt_chance(&s) % 400));
		kt_nap_us(500);
	}
	return NULL;
}

static void
scribbling(void)
{
	int raw = os_raw_open(), raw2 = os_raw_open();
	pthread_t t[3];

	ports();
	begin(&t[0], scribbler, 1);
	begin(&t[1], scribbler, 2);
	begin(&t[2], noise, (uintptr_t)raw2);
	neighbour(raw);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < KT_COUNT(t); i++)
		pthread_join(t[i], NULL);
	kt_note("bad heads %llu, bad slots %llu, refused %llu as foreign",
		(unsigned long long)kt_counter(&evil, MS_CTR_BAD_HEAD),
		(unsigned long long)kt_counter(&evil, MS_CTR_DROP_TX_SLOT),
		(unsigned long long)kt_counter(&evil, MS_CTR_DROP_TX_FOREIGN));
	kt_port_close(&evil);
	kt_port_close(&good);
}

/* ---- commands of chance ---------------------------------------------------------------- */

/* Most of the struct is sensible, some of it is not. */
static void
random_struct(uint64_t *s, enum ms_cmd cmd, uint8_t *p)
{
	struct ms_tuple t = rig_tuple4(rig_ip, IPPROTO_UDP,
				       (uint16_t)(9000 + kt_chance(s) % 20));
	uint32_t size = kt_cmd_bytes(cmd), i;

	memset(p, 0, KT_PAGE);
	memcpy(p, &size, sizeof(size));
	switch (cmd) {
	case MS_CMD_PORT_CREATE:
	case MS_CMD_ATTACH:
	case MS_CMD_DETACH:
		if (kt_chance(s) % 4)
			strcpy((char *)p + 8, "lo");
		break;
	case MS_CMD_BIND:
	case MS_CMD_UNBIND:
	case MS_CMD_ROUTE:
		memcpy(p + offsetof(struct ms_cmd_bind, tuple), &t, sizeof(t));
		break;
	default:
		p[4] = kt_chance(s) & 3;
		p[8] = kt_chance(s) & 3;
	}
	for (i = kt_chance(s) % 4; i > 0; i--)
		p[kt_chance(s) % (size + 8)] = (uint8_t)kt_chance(s);
}

/* Its own port, or that of another process: any descriptor will do. */
static void *
commander(void *arg)
{
	uint64_t s = (kt_seed ^ (uintptr_t)arg << 20) | 1;
	uint8_t *p = mmap(NULL, 2 * KT_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANON, -1, 0);
	int fd = kt_open(), r;

	CHECK(p != MAP_FAILED);
	while (!stopped()) {
		enum ms_cmd cmd = kt_chance(&s) % (MS_CMD_MAX + 2);
		uint64_t v = kt_chance(&s);
		int on = v & 1 ? fd : evil.fd;

		random_struct(&s, cmd < MS_CMD_MAX ? cmd : MS_CMD_INFO, p);
		r = kt_cmd(on, cmd, v % 64 == 0 ? (void *)(uintptr_t)v : p);
		if (r > 0)
			close(r);
		if (v % 256 == 0) {
			close(fd);
			fd = kt_open();
		}
	}
	close(fd);
	return NULL;
}

/* Changes what the others' commands are made of, between two looks at it. */
static struct ms_cmd_stats *shared;

static void *
changer(void *arg)
{
	static const uint32_t sizes[] = {
		0, 4, sizeof(*shared), sizeof(*shared) + 64, 4096, 0x7fffffff
	};
	uint64_t s = kt_seed | 1;

	while (!stopped())
		__atomic_store_n(&shared->size,
				 sizes[kt_chance(&s) % KT_COUNT(sizes)],
				 __ATOMIC_RELAXED);
	return NULL;
}

static void *
caller(void *arg)
{
	int fd = kt_open(), cmd;

	while (!stopped())
		for (cmd = 1; cmd < MS_CMD_MAX; cmd++) {
			int r = kt_cmd(cmd & 1 ? fd : evil.fd, cmd, shared);

			if (r > 0)
				close(r);
		}
	close(fd);
	return NULL;
}

static void
commands_of_chance(void)
{
	int raw = os_raw_open();
	pthread_t t[4];

	ports();
	/* with nothing behind it */
	shared = mmap(NULL, 2 * KT_PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANON, -1, 0);
	CHECK(shared != MAP_FAILED);
	CHECK(mprotect((uint8_t *)shared + KT_PAGE, KT_PAGE, PROT_NONE) == 0);
	shared = (void *)((uint8_t *)shared + KT_PAGE - sizeof(*shared) - 64);
	begin(&t[0], commander, 1);
	begin(&t[1], commander, 2);
	begin(&t[2], changer, 0);
	begin(&t[3], caller, 0);
	neighbour(raw);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < KT_COUNT(t); i++)
		pthread_join(t[i], NULL);
	kt_port_close(&evil);
	kt_port_close(&good);
}

/* ---- storm -------------------------------------------------------------------------------- */

/* Ports that live a moment, claim something, send something, and go. */
static void *
mayflies(void *arg)
{
	uint16_t base = (uint16_t)(20000 + 100 * (uintptr_t)arg), i = 0;
	uint8_t mine[256];
	struct kt_port p;
	uint32_t n, len;

	while (!stopped()) {
		CHECK_EQ(kt_port_try(&p, 1, 2, 16), 0);
		for (n = 0; n < 5; n++, i++) {
			uint16_t number = (uint16_t)(base + i % 100);

			kt_must_bind(&p, number);
			len = rig_udp_out(mine, number, 9, "x", 1);
			CHECK_EQ(kt_put(&p, 0, mine, len), 0);
			CHECK_EQ(kt_sync(&p, false, 0), 0);
		}
		while (kt_get(&p, 0, mine, sizeof(mine)) != 0)
			;
		kt_port_close(&p);
	}
	return NULL;
}

/* One port that claims hundreds of tuples and gives them up again. */
static void *
hoarder(void *arg)
{
	struct kt_port p;
	uint16_t i;

	kt_port_open(&p);
	while (!stopped()) {
		for (i = 0; i < 200 && !stopped(); i++) {
			CHECK_EQ(kt_bind(&p, rig_tuple4(rig_ip, IPPROTO_TCP,
							30000 + i)),
				 0);
			CHECK_EQ(kt_bind(&p, rig_tuple6(rig_ip6, IPPROTO_UDP,
							30000 + i)),
				 0);
		}
		while (i-- > 0) {
			(void)kt_unbind(
			    &p, rig_tuple4(rig_ip, IPPROTO_TCP, 30000 + i));
			(void)kt_unbind(
			    &p, rig_tuple6(rig_ip6, IPPROTO_UDP, 30000 + i));
		}
	}
	kt_port_close(&p);
	return NULL;
}

/* Looks on, and asks. */
static void *
administrator(void *arg)
{
	struct ms_cmd_list list = { .size = sizeof(list),
				    .what = MS_LIST_TUPLES };
	struct ms_cmd_tap tap = { .size = sizeof(tap), .snap_bytes = 60 };
	uint64_t c[MS_CTR_MAX];
	uint8_t copy[2048];
	struct kt_port p;
	uint32_t round = 0;

	kt_port_open(&p);
	while (!stopped()) {
		tap.scope = ++round & 1 ? 1 + (round >> 1 & 1) : 0;
		tap.port_id = good.info.port_id;
		tap.flags = round >> 2 & MS_TAP_REFUSED;
		CHECK_EQ(kt_cmd(p.fd, MS_CMD_TAP, &tap), 0);
		kt_stats(p.fd, os_nic(OS_NEAR), c);
		if (kt_cmd(p.fd, MS_CMD_LIST, &list) != 0)
			list.cursor = 0;
		while (kt_get(&p, 0, copy, sizeof(copy)) != 0)
			;
		kt_nap_us(500);
	}
	kt_port_close(&p);
	return NULL;
}

static void
a_storm_of_users(void)
{
	int raw = os_raw_open();
	pthread_t t[5];

	ports();
	begin(&t[0], mayflies, 0);
	begin(&t[1], mayflies, 1);
	begin(&t[2], hoarder, 0);
	begin(&t[3], administrator, 0);
	begin(&t[4], noise, (uintptr_t)os_raw_open());
	neighbour(raw);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < KT_COUNT(t); i++)
		pthread_join(t[i], NULL);
	kt_port_close(&evil);
	kt_port_close(&good);
}

/* ---- no memory ------------------------------------------------------------------------------ */

static bool
is_fair(int r)
{
	return r >= 0 || r == -ENOMEM || r == -ENOBUFS || r == -EAGAIN ||
	       r == -EMFILE || r == -ENFILE;
}

#define FAIR(call)                                                             \
	do {                                                                   \
		int fair_r_ = (call);                                          \
		if (!is_fair(fair_r_))                                         \
			kt_fail(__FILE__, __LINE__, "%s: %d (%s)", #call,      \
				fair_r_, strerror(-fair_r_));                  \
	} while (0)

/* Linux says EADDRINUSE when it has no memory to note who uses an address
   (inet_csk_get_port()). */
static int
bind_fairly(int fd, struct ms_tuple t)
{
	int r = kt_bind_tuple(fd, MS_CMD_BIND, &t, NULL);

	return r == -EADDRINUSE ? -ENOMEM : r;
}

/* All that a user does, once; whatever fails for want of memory says so. */
static void
one_life(int fd)
{
	struct ms_cmd_queue_attach queue = { .size = sizeof(queue) };
	struct ms_cmd_port_create a = { .size = sizeof(a), .slots = 16 };
	struct ms_cmd_handover h = { .size = sizeof(h),
				     .op = MS_HANDOVER_OFFER };
	struct ms_cmd_route route = { .size = sizeof(route) };
	struct ms_cmd_sync sync = { .size = sizeof(sync) };
	void *region;
	int r;

	strcpy(a.nic, os_nic(OS_NEAR));
	r = kt_cmd(fd, MS_CMD_PORT_CREATE, &a);
	FAIR(r);
	if (r < 0)
		return;
	region = mmap(NULL, a.region_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		      fd, 0);
	FAIR(region == MAP_FAILED ? -errno : 0);
	FAIR(bind_fairly(fd, rig_tuple4(rig_ip, IPPROTO_UDP, 9100)));
	FAIR(bind_fairly(fd, rig_tuple6(rig_ip6, IPPROTO_TCP, 0)));
	route.dst = rig_tuple4(rig_peer_ip, 0, 0);
	FAIR(kt_cmd(fd, MS_CMD_ROUTE, &route));
	FAIR(kt_cmd(fd, MS_CMD_HANDOVER, &h));
	FAIR(kt_cmd(fd, MS_CMD_SYNC, &sync));
	r = kt_cmd(fd, MS_CMD_QUEUE_ATTACH, &queue);
	FAIR(r);
	if (r > 0)
		close(r);
	/* That, too, may want memory, and a mapping holds its port. */
	(void)os_fail_allocations(0);
	if (region != MAP_FAILED)
		CHECK_EQ(munmap(region, a.region_bytes), 0);
}

/* The same number of descriptors before and after; nothing stays claimed. */
static void
without_memory(void)
{
	uint64_t until = kt_now_ms() + kt_seconds * 1000;
	unsigned int fds = os_fds(), lives = 0;
	int r = os_fail_allocations(100), fd;

	if (r)
		kt_skip("this kernel cannot make allocations fail");
	for (; kt_now_ms() < until; lives++) {
		(void)os_fail_allocations(20 + lives % 7 * 30);
		fd = open(KT_DEVICE, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			CHECK(is_fair(-errno));
		else
			one_life(fd);
		(void)os_fail_allocations(0);
		if (fd >= 0)
			close(fd);
		CHECK_EQ(kt_num_ports(), 0);
		CHECK_EQ(kt_num_tuples(), 0);
	}
	(void)os_fail_allocations(0);
	CHECK_EQ(os_fds(), fds);
	kt_note("%u lives", lives);
}

static void
attaching_without_memory(void)
{
	uint64_t until = kt_now_ms() + kt_seconds * 1000;
	struct ms_cmd_attach a = { .size = sizeof(a) };
	const char *nic = os_nic(OS_NEAR);
	unsigned int rounds = 0, failed = 0;
	int r = os_fail_allocations(100), fd;

	if (r)
		kt_skip("this kernel cannot make allocations fail");
	(void)os_fail_allocations(0);
	CHECK_EQ(kt_detach(nic, 0), 0);
	fd = kt_open();
	strcpy(a.nic, nic);
	for (; kt_now_ms() < until; rounds++) {
		(void)os_fail_allocations(10 + rounds % 7 * 20);
		r = kt_cmd(fd, MS_CMD_ATTACH, &a);
		FAIR(r);
		(void)os_fail_allocations(0);
		failed += r < 0;
		CHECK_EQ(kt_detach(nic, 0), r < 0 ? -ENODEV : 0);
	}
	CHECK_EQ(kt_cmd(fd, MS_CMD_ATTACH, &a), 0);
	close(fd);
	kt_note("%u of %u failed", failed, rounds);
}

const struct kt_case kt_cases_hostile[] = {
	{ .name = "scribbling beside a neighbour",
	  .run = scribbling,
	  .hostile = true },
	{ .name = "commands of chance beside a neighbour",
	  .run = commands_of_chance,
	  .ruins = true,
	  .hostile = true },
	{ .name = "a storm of users beside a neighbour",
	  .run = a_storm_of_users,
	  .hostile = true },
	{ .name = "without memory", .run = without_memory, .hostile = true },
	{ .name = "attaching without memory",
	  .run = attaching_without_memory,
	  .hostile = true },
	{ 0 },
};
