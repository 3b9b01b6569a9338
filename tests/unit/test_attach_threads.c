/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_attach_threads.c: attachments with their workers' threads, while
 * interfaces, addresses and claims come and go. For the thread sanitizer, and
 * for what hangs.
 */
#include "attach_net.h"

#define FRAMES 20000

struct flow {
	struct tport from, to;
	uint32_t received;
	bool stop;
};

static struct ms_host *
host_threaded(void)
{
	struct ms_host_options opt = { 0 };
	struct ms_host *host = NULL;
	struct ms_err err;

	assert_int_equal(ms_host_create(&opt, &host, &err), 0);
	return host;
}

/* Moves head on as tail does; rings the doorbell as a client would. */
static void *
sender(void *arg)
{
	static const uint64_t one = 1;
	struct flow *f = arg;
	struct ms_kring *k = &f->from.port->tx[0];
	struct ms_ring *ring = k->shared;
	struct ms_cmd_route r;
	uint8_t buf[200], data[50] = { 0 };
	uint32_t head = ring->head, n;

	assert_int_equal(port_route(&f->from, "10.1.0.2", &r), 0);
	n = udp_frame(buf, &r, "10.1.0.1", 1000, "10.1.0.2", 1000, data,
		      sizeof(data), false);
	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		struct ms_slot *s;

		if (head == ms_os_load_acquire(&ring->tail)) {
			sched_yield();
			continue;
		}
		s = &k->slots[head & k->mask];
		s->len = (uint16_t)n;
		s->flags = 0;
		memcpy(k->bufs + ((size_t)s->buf << k->buf_shift), buf, n);
		ms_os_store_release(&ring->head, ++head);
		ms_os_fence();
		if (MS_USER_READ(ring->doze) != 0 &&
		    write(ms_host_kick_fd(k), &one, sizeof(one)) < 0)
			return NULL;
		if (MS_USER_READ(ring->gone) != 0)
			return NULL;
	}
	return NULL;
}

static void *
receiver(void *arg)
{
	struct flow *f = arg;
	struct ms_ring *ring = f->to.port->rx[0].shared;
	uint32_t head = ring->head;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		uint32_t tail = ms_os_load_acquire(&ring->tail);

		__atomic_fetch_add(&f->received, tail - head, __ATOMIC_RELAXED);
		if (tail == head)
			usleep(100);
		head = tail;
		ms_os_store_release(&ring->head, head);
	}
	return NULL;
}

static void
wait_for(struct flow *f, uint32_t frames)
{
	int64_t end = now_ms() + WAIT_MS;

	while (__atomic_load_n(&f->received, __ATOMIC_RELAXED) < frames) {
		assert_true(now_ms() < end);
		usleep(1000);
	}
}

/* A flood over a pair, while other pairs and claims on both hosts come and
   go; at last the receiving side is detached under it. */
static void
test_pair_under_change(void **state)
{
	struct ms_host *h[2] = { host_threaded(), host_threaded() };
	struct flow f = { .received = 0 };
	pthread_t threads[2];
	unsigned int i;

	assert_int_equal(
	    attach(h[0], "pair:w0,link=t,side=0,addr=10.1.0.1", NULL), 0);
	assert_int_equal(
	    attach(h[1], "pair:w0,link=t,side=1,addr=10.1.0.2", NULL), 0);
	port_open(&f.from, h[0], "w0", 0);
	port_open(&f.to, h[1], "w0", 0);
	assert_int_equal(port_bind(&f.from, "10.1.0.1", IPPROTO_UDP, 1000), 0);
	assert_int_equal(port_bind(&f.to, "10.1.0.2", IPPROTO_UDP, 1000), 0);
	pthread_create(&threads[0], NULL, sender, &f);
	pthread_create(&threads[1], NULL, receiver, &f);
	wait_for(&f, 100);
	for (i = 0; i < 20; i++) {
		assert_int_equal(
		    attach(h[i & 1], "pair:v0,addr=10.2.0.1", NULL), 0);
		assert_int_equal(port_bind(&f.to, "10.1.0.2", IPPROTO_UDP,
					   (uint16_t)(2000 + i)),
				 0);
		assert_int_equal(detach(h[i & 1], "v0"), 0);
	}
	wait_for(&f, FRAMES);
	assert_int_equal(detach(h[1], "w0"), 0);
	usleep(20000);
	__atomic_store_n(&f.stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	port_close(&f.from);
	port_close(&f.to);
	ms_host_destroy(h[0]);
	ms_host_destroy(h[1]);
}

/* Datagrams keep coming while addresses, neighbours and claims change and the
   interface goes: everything ends, and by itself. */
static void
test_wire_under_change(void **state)
{
	const char *spec = *state;
	struct ms_host *h = host_threaded();
	int c = sock_in(ns_theirs, SOCK_DGRAM, THEIR4, 0);
	struct flow f = { .received = 0 };
	int64_t end = now_ms() + WAIT_MS;
	struct ms_cmd_route r;
	pthread_t thread;
	unsigned int i;

	assert_int_equal(attach(h, spec, NULL), 0);
	port_open(&f.to, h, "ms0", 0);
	assert_int_equal(port_bind(&f.to, OUR4, IPPROTO_UDP, 7000), 0);
	assert_int_equal(sock_to(c, OUR4, 7000), 0);
	pthread_create(&thread, NULL, receiver, &f);
	for (i = 0; i < 2000; i++) {
		send(c, "x", 1, MSG_DONTWAIT);
		if (i % 200 == 0) {
			sh("ip addr add 10.78.0.%u/32 dev ms0", i / 200 + 1);
			port_bind(&f.to, OUR4, IPPROTO_UDP,
				  (uint16_t)(7100 + i / 200));
			port_route(&f.to, THEIR4, &r);
		}
	}
	while (__atomic_load_n(&f.received, __ATOMIC_RELAXED) < 1000) {
		assert_true(now_ms() < end);
		send(c, "x", 1, MSG_DONTWAIT);
	}
	sh("ip link del ms0");
	while (MS_USER_READ(f.to.port->rx[0].shared->gone) != MS_GONE_NIC) {
		assert_true(now_ms() < end);
		usleep(1000);
	}
	__atomic_store_n(&f.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	port_close(&f.to);
	ms_host_destroy(h);
	close(c);
}

static int
world_new(void **state)
{
	net_teardown();
	assert_true(net_setup());
	return 0;
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pair_under_change),
		{ "xdp", test_wire_under_change, world_new, NULL,
		  (void *)(uintptr_t)"xdp:ms0" },
		{ "tc", test_wire_under_change, world_new, NULL,
		  (void *)(uintptr_t)"tc:ms0" },
	};
	int failed;

	if (!net_setup())
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	net_teardown();
	return failed != 0;
}
