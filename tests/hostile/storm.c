/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * storm.c: everything at once, by well-behaved users, for the thread sanitizer
 * and for anything else that watches: several queues fill the same rings,
 * tuples come and go by the hundreds so that the table grows and shrinks,
 * ports are made and destroyed under traffic (as when their owner is killed),
 * taps are set, addresses and the interface's MAC change, counters are read.
 * One port stays: each queue's frames reach it once, in order, and it sleeps
 * by event index and eventfd between them, so a lost wake-up stops the test.
 *
 *   storm [FRAMES]
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>

#include "rig.h"

#define QUEUES 3
#define STAY_PORT 7777
#define WINDOW 40 /* QUEUES windows fit into the ring */
#define SLOTS 128
#define MANY 300

static struct rig rig;
static struct ms_port *stay;
static struct ms_waiter waiter;
static uint32_t frames = 20000; /* of a queue */
static uint32_t received[QUEUES];
static bool stop;

struct payload {
	uint32_t queue, seq;
};

static bool
stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void *
input(void *arg)
{
	uint32_t q = (uint32_t)(uintptr_t)arg, seq = 0, i, n;
	static uint8_t buf[QUEUES][6][256];
	struct ms_frame f[6];
	struct payload p;

	while (seq < frames) {
		memset(f, 0, sizeof(f));
		for (i = n = 0; i < 6; i++) {
			f[i].data = buf[q][i];
			if ((i & 1) == 0 && seq < frames &&
			    seq - ms_os_load_acquire(&received[q]) < WINDOW) {
				p.queue = q;
				p.seq = seq++;
				f[i].len = rig_udp_in(buf[q][i], 9, STAY_PORT,
						      &p, sizeof(p));
				n++;
			} else { /* for those who come and go */
				f[i].len = rig_udp_in(
				    buf[q][i], 9,
				    (uint16_t)(20000 + seq * 7 % MANY), &p,
				    sizeof(p));
			}
			f[i].linear = f[i].len;
		}
		ms_nic_input(rig.nic, q, f, 6);
		(void)ms_nic_sched_run(rig.nic, q, 64);
		if (n == 0)
			sched_yield();
	}
	return NULL;
}

/* Sleeps as ms_core.h's table of barriers says. */
static void
sleep_for_frames(struct ms_ring *r)
{
	struct pollfd p = { .fd = waiter.ring_fd, .events = POLLIN };
	uint32_t head = ms_os_load_once(&r->head);
	uint64_t tokens[64];

	ms_os_store_once(&r->wake, head);
	ms_os_fence(); /* F */
	if (ms_os_load_acquire(&r->tail) != head)
		return;
	/* Nobody waits so long for a frame: it was lost. */
	RIG_CHECK(poll(&p, 1, 60000) == 1);
	RIG_CHECK(read(waiter.ring_fd, tokens, sizeof(tokens)) > 0);
}

static void *
receiver(void *arg)
{
	struct ms_ring *r = rig_ring(stay, true, 0);
	uint32_t left = QUEUES * frames, len;
	uint8_t frame[2048];
	struct payload p;

	(void)arg;
	while (left > 0) {
		len = rig_rx(stay, 0, frame, sizeof(frame));
		if (len == 0) {
			sleep_for_frames(r);
			continue;
		}
		RIG_CHECK(len == 42 + sizeof(p));
		memcpy(&p, frame + 42, sizeof(p));
		RIG_CHECK(p.queue < QUEUES && p.seq == received[p.queue]);
		ms_os_store_release(&received[p.queue], p.seq + 1);
		left--;
	}
	return NULL;
}

/* Ports that live a moment, claim something, send something, and go. */
static void *
mayflies(void *arg)
{
	const struct ms_cred *cred = arg;
	struct ms_port *port;
	uint8_t frame[256];
	uint32_t i = 0, n, len;
	uint16_t base = cred == &rig_alice ? 20000 : 20000 + MANY / 2;

	while (!stopped()) {
		RIG_CHECK(rig_port_sized(&rig, cred, 1, 2, 16, &port) == 0);
		for (n = 0; n < 5; n++, i++) {
			uint16_t p = (uint16_t)(base + i % (MANY / 2));

			RIG_CHECK(
			    rig_bind(&rig, cred, port,
				     rig_tuple4(rig_ip, IPPROTO_UDP, p)) == 0);
			len = rig_udp_out(frame, p, 9, "x", 1);
			RIG_CHECK(rig_tx(port, 0, frame, len) == 0);
			ms_kring_tx_ready(&port->tx[0]);
		}
		while (rig_rx(port, 0, frame, sizeof(frame)) != 0)
			;
		ms_port_destroy(port);
	}
	return NULL;
}

/* One port that claims hundreds of tuples and gives them up again. */
static void *
hoarder(void *arg)
{
	struct ms_port *port = rig_port(&rig, &rig_bob);
	uint16_t i;

	(void)arg;
	while (!stopped()) {
		for (i = 0; i < MANY && !stopped(); i++) {
			RIG_CHECK(rig_bind(&rig, &rig_bob, port,
					   rig_tuple4(rig_ip, IPPROTO_TCP,
						      30000 + i)) == 0);
			RIG_CHECK(rig_bind(&rig, &rig_bob, port,
					   rig_tuple6(rig_ip6, IPPROTO_UDP,
						      30000 + i)) == 0);
		}
		while (i-- > 0) {
			(void)rig_unbind(
			    &rig, &rig_bob, port,
			    rig_tuple4(rig_ip, IPPROTO_TCP, 30000 + i));
			(void)rig_unbind(
			    &rig, &rig_bob, port,
			    rig_tuple6(rig_ip6, IPPROTO_UDP, 30000 + i));
		}
	}
	ms_port_destroy(port);
	return NULL;
}

/* Looks on, asks, and moves what the administrator moves. */
static void *
administrator(void *arg)
{
	struct ms_cmd_list list = { .size = sizeof(list),
				    .what = MS_LIST_TUPLES };
	struct ms_cmd_tap tap = { .size = sizeof(tap), .snap_bytes = 60 };
	struct ms_port *port = rig_port(&rig, &rig_root);
	static const uint8_t addr[4] = { 10, 0, 1, 1 };
	uint64_t c[MS_CTR_MAX];
	uint8_t frame[2048];
	uint32_t round = 0;

	(void)arg;
	while (!stopped()) {
		tap.scope = ++round % 3;
		tap.port_id = stay->id;
		tap.flags = round & 4 ? round & MS_TAP_REFUSED : 3;
		(void)ms_ctl(rig.sw, &rig_root, &port, MS_CMD_TAP, &tap,
			     sizeof(tap));
		rig_stats(&rig, NULL, c);
		rig_stats(&rig, stay, c);
		if (ms_ctl(rig.sw, &rig_root, &port, MS_CMD_LIST, &list,
			   sizeof(list)) != 0)
			list.cursor = 0;
		ms_nic_changed(rig.nic, rig_mac, 1400 + round % 2 * 100);
		ms_mutex_lock(&rig.sw->ctl_lock);
		RIG_CHECK(ms_table_addr_add(rig.sw->table, addr, 4) == 0);
		ms_table_addr_del(rig.sw->table, addr, 4);
		ms_mutex_unlock(&rig.sw->ctl_lock);
		while (rig_rx(port, 0, frame, sizeof(frame)) != 0)
			;
		usleep(500);
	}
	ms_port_destroy(port);
	return NULL;
}

static uint32_t
drop_wire(struct ms_nic *nic, unsigned int q, struct ms_frame *f, uint32_t n,
	  bool more)
{
	(void)nic;
	(void)q;
	(void)f;
	(void)more;
	return n;
}

int
main(int argc, char **argv)
{
	static const struct ms_nic_ops ops = { .name = "storm",
					       .xmit = drop_wire };
	pthread_t in[QUEUES], user, others[4];
	int fds[2];
	uintptr_t i;

	if (argc > 1)
		frames = (uint32_t)strtoul(argv[1], NULL, 0);
	rig_init_ops(&rig, QUEUES, &ops);
	RIG_CHECK(rig_port_sized(&rig, &rig_root, 1, 1, SLOTS, &stay) == 0);
	RIG_CHECK(pipe2(fds, 04000 /* O_NONBLOCK */) == 0);
	waiter.ring_fd = fds[0];
	waiter.wake_fd = fds[1];
	ms_os_store_release(&stay->rx[0].waiter, (void *)&waiter);
	RIG_CHECK(rig_bind(&rig, &rig_root, stay,
			   rig_tuple4(rig_ip, IPPROTO_UDP, STAY_PORT)) == 0);
	pthread_create(&user, NULL, receiver, NULL);
	pthread_create(&others[0], NULL, mayflies, (void *)&rig_alice);
	pthread_create(&others[1], NULL, mayflies, (void *)&rig_bob);
	pthread_create(&others[2], NULL, hoarder, NULL);
	pthread_create(&others[3], NULL, administrator, NULL);
	for (i = 0; i < QUEUES; i++)
		pthread_create(&in[i], NULL, input, (void *)i);
	for (i = 0; i < QUEUES; i++)
		pthread_join(in[i], NULL);
	pthread_join(user, NULL);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 4; i++)
		pthread_join(others[i], NULL);
	RIG_CHECK(rig_counter(&rig, stay, MS_CTR_RX_FRAMES) ==
		  QUEUES * (uint64_t)frames);
	RIG_CHECK(rig_counter(&rig, stay, MS_CTR_DROP_RX_FULL) == 0);
	printf("%llu frames, %llu wake-ups\n",
	       (unsigned long long)rig_counter(&rig, stay, MS_CTR_RX_FRAMES),
	       (unsigned long long)rig_counter(&rig, stay, MS_CTR_RX_WAKEUPS));
	ms_port_destroy(stay);
	rig_deinit(&rig);
	close(fds[0]);
	close(fds[1]);
	return 0;
}
