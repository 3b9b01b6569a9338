/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scribble.c: the owner of a port writes random garbage over its whole region,
 * for ever, from two threads, while frames flow to it and from it; beside it
 * another port does its work. That one loses nothing, gets all in order, and
 * all that it sends goes out, in order; nothing goes out in its name that it
 * did not send.
 *
 * It is one data race, on purpose: nothing for the thread sanitizer.
 *
 *   scribble [FRAMES]
 */
#include <pthread.h>
#include <sched.h>

#include "rig.h"
#include "scribbler.h"

#define QUEUES 2
#define WINDOW 64 /* frames to the neighbour on their way */
#define EVIL_PORT SCRIBBLE_EVIL_PORT
#define GOOD_PORT SCRIBBLE_GOOD_PORT
#define SLOTS 256

struct payload {
	uint32_t queue, seq, again;
};

static struct rig rig;
static struct ms_port *evil, *good;
static uint32_t frames = 100000; /* to the neighbour, a queue */
static uint32_t received[QUEUES], echoed[QUEUES], wired[QUEUES];
static bool stop;

static bool
stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

/* ---- the wire ------------------------------------------------------------------ */

static uint32_t
wire(struct ms_nic *nic, unsigned int q, struct ms_frame *f, uint32_t n,
     bool more)
{
	volatile uint8_t sink = 0;
	struct payload p;
	uint32_t i, k, at;

	(void)nic;
	(void)more;
	for (i = 0; i < n; i++) {
		RIG_CHECK(f[i].linear >= 42);
		RIG_CHECK(memcmp(f[i].data + 6, rig_mac, 6) == 0);
		RIG_CHECK(memcmp(f[i].data + 26, rig_ip, 4) == 0);
		for (k = 0; k < f[i].nsegs; k++)
			for (at = 0; at < f[i].segs[k].bytes; at++)
				sink ^= f[i].segs[k].p[at];
		if (ms_be16(f[i].data + 34) == EVIL_PORT)
			continue;
		RIG_CHECK(ms_be16(f[i].data + 34) == GOOD_PORT);
		memcpy(&p, f[i].data + 42, sizeof(p));
		RIG_CHECK(q == 0 && p.queue < QUEUES);
		RIG_CHECK(p.seq == wired[p.queue] && p.again == ~p.seq);
		__atomic_store_n(&wired[p.queue], p.seq + 1, __ATOMIC_RELAXED);
	}
	return n;
}

static const struct ms_nic_ops ops = {
	.name = "wire",
	.xmit = wire,
	.to_host = rig_to_host,
};

/* ---- the hostile owner ----------------------------------------------------------- */

static void
kick(void *arg, unsigned int ring)
{
	(void)arg;
	ms_kring_tx_ready(&evil->tx[ring]);
}

static void *
scribbler(void *arg)
{
	struct scribbler sc = {
		.region = (void *)evil->region,
		.words = evil->region_bytes / 4,
		.ring_words =
		    (size_t)(evil->rx[0].bufs - (uint8_t *)evil->region) / 4,
		.tx = { rig_ring(evil, false, 0), rig_ring(evil, false, 1) },
		.rx = { rig_ring(evil, true, 0), rig_ring(evil, true, 1) },
		.slots = SLOTS,
		.bufs = rig_buf(evil, 0),
		.kick = kick,
		.state = 88172645463325252u + (uintptr_t)arg,
	};

	while (!stopped())
		scribble(&sc);
	return NULL;
}

/* ---- the good ones ------------------------------------------------------------------ */

static void *
input(void *arg)
{
	uint32_t q = (uint32_t)(uintptr_t)arg, seq = 0, i, n;
	static uint8_t buf[QUEUES][8][2048], noise[QUEUES][1400];
	struct ms_frame f[8];
	struct payload p;
	uint64_t s = q + 1;

	while (seq < frames) {
		memset(f, 0, sizeof(f));
		for (i = n = 0; i < 8; i++) {
			f[i].data = buf[q][i];
			if ((i & 1) == 0 &&
			    seq - ms_os_load_once(&received[q]) < WINDOW &&
			    seq < frames) {
				p.queue = q;
				p.seq = seq++;
				p.again = ~p.seq;
				f[i].len = rig_udp_in(buf[q][i], (uint16_t)q,
						      GOOD_PORT, &p, sizeof(p));
				n++;
			} else {
				f[i].len = rig_udp_in(
				    buf[q][i], (uint16_t)scribble_chance(&s),
				    EVIL_PORT, noise[q],
				    scribble_chance(&s) % 1400);
			}
			f[i].linear = f[i].len;
		}
		ms_nic_input(rig.nic, q, f, 8);
		for (i = 0; i < 8; i++)
			RIG_CHECK(f[i].verdict == MS_VERDICT_TAKEN);
		if (n == 0)
			sched_yield();
	}
	return NULL;
}

static void *
runner(void *arg)
{
	unsigned int q = (unsigned int)(uintptr_t)arg;

	while (!stopped())
		if (ms_nic_sched_run(rig.nic, q, 64) == 0)
			sched_yield();
	return NULL;
}

static void *
neighbour(void *arg)
{
	uint8_t frame[2048];
	struct payload p;
	uint32_t left = QUEUES * frames, len;

	(void)arg;
	while (left > 0) {
		len = rig_rx(good, 0, frame, sizeof(frame));
		if (len == 0) {
			sched_yield();
			continue;
		}
		/* the hostile port may send to us, too */
		if (memcmp(frame + 26, rig_ip, 4) == 0)
			continue;
		RIG_CHECK(len == 42 + sizeof(p));
		memcpy(&p, frame + 42, sizeof(p));
		RIG_CHECK(p.queue < QUEUES && p.seq == received[p.queue] &&
			  p.again == ~p.seq);
		ms_os_store_once(&received[p.queue], p.seq + 1);
		len = rig_udp_out(frame, GOOD_PORT, 9, &p, sizeof(p));
		while (rig_tx(good, 0, frame, len) != 0)
			sched_yield();
		ms_kring_tx_ready(&good->tx[0]);
		echoed[p.queue]++;
		left--;
	}
	return NULL;
}

/* ---- the whole ----------------------------------------------------------------------- */

static void
check_counters(void)
{
	uint64_t c[MS_CTR_MAX], g[MS_CTR_MAX];

	rig_stats(&rig, NULL, c);
	rig_stats(&rig, good, g);
	RIG_CHECK(g[MS_CTR_DROP_RX_FULL] == 0 && g[MS_CTR_DROP_RX_SLOT] == 0);
	RIG_CHECK(g[MS_CTR_TX_FRAMES] == QUEUES * (uint64_t)frames);
	RIG_CHECK(c[MS_CTR_RX_SEEN] + c[MS_CTR_TX_LOCAL] ==
		  c[MS_CTR_RX_FRAMES] + c[MS_CTR_RX_HOST] +
		      c[MS_CTR_DROP_RX_FULL] + c[MS_CTR_DROP_RX_SLOT] +
		      c[MS_CTR_DROP_RX_LONG] + c[MS_CTR_DROP_RX_GONE]);
	printf("seen %llu, received %llu, dropped %llu full and %llu bad, "
	       "bad heads %llu, sent %llu\n",
	       (unsigned long long)c[MS_CTR_RX_SEEN],
	       (unsigned long long)c[MS_CTR_RX_FRAMES],
	       (unsigned long long)c[MS_CTR_DROP_RX_FULL],
	       (unsigned long long)c[MS_CTR_DROP_RX_SLOT],
	       (unsigned long long)c[MS_CTR_BAD_HEAD],
	       (unsigned long long)c[MS_CTR_TX_FRAMES]);
}

int
main(int argc, char **argv)
{
	pthread_t scribblers[2], inputs[QUEUES], runners[QUEUES], user;
	uintptr_t i;

	if (argc > 1)
		frames = (uint32_t)strtoul(argv[1], NULL, 0);
	rig_init_ops(&rig, QUEUES, &ops);
	RIG_CHECK(rig_port_sized(&rig, &rig_alice, 2, 2, SLOTS, &evil) == 0);
	RIG_CHECK(rig_port_sized(&rig, &rig_bob, 1, 1, SLOTS, &good) == 0);
	RIG_CHECK(rig_bind(&rig, &rig_alice, evil,
			   rig_tuple4(rig_ip, IPPROTO_UDP, EVIL_PORT)) == 0);
	RIG_CHECK(rig_bind(&rig, &rig_bob, good,
			   rig_tuple4(rig_ip, IPPROTO_UDP, GOOD_PORT)) == 0);
	for (i = 0; i < 2; i++)
		pthread_create(&scribblers[i], NULL, scribbler, (void *)i);
	for (i = 0; i < QUEUES; i++) {
		pthread_create(&inputs[i], NULL, input, (void *)i);
		pthread_create(&runners[i], NULL, runner, (void *)i);
	}
	pthread_create(&user, NULL, neighbour, NULL);
	for (i = 0; i < QUEUES; i++)
		pthread_join(inputs[i], NULL);
	pthread_join(user, NULL);
	for (i = 0; i < QUEUES; i++)
		while (__atomic_load_n(&wired[i], __ATOMIC_RELAXED) < frames)
			sched_yield();
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		pthread_join(scribblers[i], NULL);
	for (i = 0; i < QUEUES; i++)
		pthread_join(runners[i], NULL);
	check_counters();
	ms_port_destroy(evil);
	ms_port_destroy(good);
	rig_deinit(&rig);
	return 0;
}
