/* SPDX-License-Identifier: BSD-2-Clause */
/* Stacks on ports: two links, joined by the attachment `pair`. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <multistack/link.h>
#include <multistack/link_table.h>

#define PORT 7000
#define PATIENCE_NS 60000000000u /* after so long nothing is still to come */

struct world {
	mslink_t *l[2];
	utcp_sock_t *listener, *s[2]; /* client's, server's */
};

static const char *const address[2][2] = {
	{ "10.0.0.1", "10.0.0.2" },
	{ "fd00::1", "fd00::2" },
};

/* options: of the device; a link's name is never used twice. */
static void
world_open(struct world *w, const char *options, mslink_options_t *o)
{
	static unsigned int number;
	msport_error_t err = { 0 };
	char device[160];

	memset(w, 0, sizeof *w);
	number++;
	for (int i = 0; i < 2; i++) {
		snprintf(device, sizeof device,
			 "pair:l%d,link=t%u,side=%d,addr=%s+%s%s", i, number, i,
			 address[0][i], address[1][i], options);
		if (mslink_open(&w->l[i], device, o, &err))
			fail_msg("%s: %s", device, err.text);
	}
}

static void
world_close(struct world *w)
{
	utcp_close(w->listener);
	for (int i = 0; i < 2; i++)
		mslink_close(w->l[i]);
}

/* A frame that was lost is sent again in real time. */
static bool
before(uint64_t until_ns)
{
	return mslink_now_ns() < until_ns;
}

static uint64_t
count(const mslink_t *l, enum mslink_counter c)
{
	uint64_t v[MSLINK_CTR_MAX];

	assert_int_equal(mslink_counters(l, v, MSLINK_CTR_MAX), MSLINK_CTR_MAX);
	return v[c];
}

static void
turn(struct world *w)
{
	utcp_event_t ev[16];

	for (int i = 0; i < 2; i++) {
		assert_true(mslink_poll(w->l[i]) >= 0);
		(void)utcp_events(mslink_stack(w->l[i]), ev, 16);
		assert_true(mslink_flush(w->l[i]) >= 0);
	}
}

static utcp_sock_t *
listen_on(mslink_t *l, int family, const char *addr)
{
	utcp_addr_t a;
	utcp_sock_t *s;

	assert_int_equal(mslink_addr(&a, addr, PORT), 0);
	assert_int_equal(utcp_open(mslink_stack(l), family, &s), 0);
	assert_int_equal(utcp_bind(s, &a), 0);
	assert_int_equal(utcp_listen(s, 100), 0);
	return s;
}

static int
begin(mslink_t *l, int family, const char *addr, utcp_sock_t **s)
{
	utcp_addr_t a;

	assert_int_equal(mslink_addr(&a, addr, PORT), 0);
	assert_int_equal(utcp_open(mslink_stack(l), family, s), 0);
	return mslink_connect(l, *s, &a);
}

/* Opens a connection from side 0 to side 1. */
static void
join(struct world *w, int family)
{
	uint64_t until = mslink_now_ns() + PATIENCE_NS;
	const char *to = address[family == 6][1];

	if (!w->listener)
		w->listener = listen_on(w->l[1], family, to);
	assert_int_equal(begin(w->l[0], family, to, &w->s[0]), -EINPROGRESS);
	w->s[1] = NULL;
	while (!w->s[1] && before(until)) {
		turn(w);
		(void)utcp_accept(w->listener, &w->s[1]);
	}
	assert_non_null(w->s[1]);
}

/* `bytes` from one side to the other, and no other bytes. */
static void
carry(struct world *w, int from, size_t bytes)
{
	uint8_t *data = malloc(bytes), *got = malloc(bytes + 1);
	uint64_t until = mslink_now_ns() + PATIENCE_NS;
	size_t sent = 0, have = 0;

	for (size_t i = 0; i < bytes; i++)
		data[i] = (uint8_t)(i * 31 + i / 251);
	while (have < bytes && before(until)) {
		ssize_t n;

		n = sent < bytes
			? utcp_write(w->s[from], data + sent, bytes - sent, 0)
			: 0;
		if (n > 0)
			sent += (size_t)n;
		turn(w);
		n = utcp_read(w->s[!from], got + have, bytes + 1 - have, 0);
		if (n > 0)
			have += (size_t)n;
	}
	assert_int_equal(have, bytes);
	assert_memory_equal(data, got, bytes);
	free(data);
	free(got);
}

static void
hang_up(struct world *w)
{
	utcp_close(w->s[0]);
	utcp_close(w->s[1]);
	for (int i = 0; i < 8; i++)
		turn(w);
}

/* ---- data ----------------------------------------------------------------- */

static void
data_crosses_in_both_families(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "", NULL);
	for (int family = 4; family <= 6; family += 2) {
		join(&w, family);
		carry(&w, 0, 300000);
		carry(&w, 1, 300000);
		hang_up(&w);
		utcp_close(w.listener);
		w.listener = NULL;
	}
	world_close(&w);
}

static void
data_crosses_whatever_the_rings_are(void **state)
{
	static const struct {
		uint32_t slots, buf_bytes, no_offloads;
		const char *options;
	} rows[] = {
		{ 8, 0, 0, "" },
		{ 64, 2048, 0, "" },
		{ 64, 65536, 0, "" },
		{ 256, 4096, UTCP_OFFLOAD_GSO_TCP, "" },
		{ 64, 2048, UTCP_OFFLOAD_CSUM, "" },
		{ 0, 0, 0, ",offload=0" },
		{ 0, 16384, 0, ",offload=0,mtu=9000" },
		{ 0, 0, 0, ",vlan=7" },
	};
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		mslink_options_t o = {
			.size = sizeof o,
			.slots = rows[i].slots,
			.buf_bytes = rows[i].buf_bytes,
			.no_offloads = rows[i].no_offloads,
		};

		world_open(&w, rows[i].options, &o);
		join(&w, 4);
		carry(&w, 0, 200000);
		carry(&w, 1, 200000);
		hang_up(&w);
		world_close(&w);
	}
}

static void
large_sends_leave_as_one_frame(void **state)
{
	uint64_t out[UTCP_CTR_MAX];
	struct world w;

	(void)state;
	world_open(&w, "", NULL);
	join(&w, 4);
	carry(&w, 0, 1000000);
	utcp_counters(mslink_stack(w.l[0]), out, UTCP_CTR_MAX);
	/* At least 8 segments of 1448 in a frame, from first to last. */
	assert_true(out[UTCP_CTR_OUT_PKTS] < 1000000 / 1448 / 8);
	hang_up(&w);
	world_close(&w);
}

/* ---- neighbours and claims -------------------------------------------------- */

static void
who_was_heard_from_needs_no_route(void **state)
{
	uint64_t before;
	struct world w;

	(void)state;
	world_open(&w, "", NULL);
	before = count(w.l[1], MSLINK_CTR_ROUTES);
	for (int i = 0; i < 20; i++) {
		join(&w, 4);
		carry(&w, 1, 1000);
		hang_up(&w);
	}
	assert_int_equal(count(w.l[1], MSLINK_CTR_ROUTES), before);
	assert_int_equal(count(w.l[1], MSLINK_CTR_LEARNT), 1);
	assert_int_equal(count(w.l[1], MSLINK_CTR_DROP_NO_ROUTE), 0);
	world_close(&w);
}

static void
a_listeners_port_is_bound_at_the_switch(void **state)
{
	struct ms_tuple t;
	msport_t *other;
	struct world w;

	(void)state;
	world_open(&w, ",frames=64", NULL);
	w.listener = listen_on(w.l[1], 4, address[0][1]);
	/* Another port of the same interface, by the same device string. */
	assert_int_equal(msport_tuple(&t, address[0][1], 6, PORT), 0);
	other = mslink_port(w.l[1]);
	assert_int_equal(msport_bind(other, &t), -EADDRINUSE);
	utcp_close(w.listener);
	w.listener = NULL;
	assert_int_equal(msport_bind(other, &t), 0);
	assert_int_equal(msport_unbind(other, &t), 0);
	world_close(&w);
}

static void
port_that_the_switch_refuses_is_refused_to_the_stack(void **state)
{
	struct ms_tuple t;
	utcp_sock_t *s;
	utcp_addr_t a;
	struct world w;

	(void)state;
	world_open(&w, "", NULL);
	assert_int_equal(msport_tuple(&t, address[0][1], 6, PORT), 0);
	assert_int_equal(msport_bind(mslink_port(w.l[1]), &t), 0);
	assert_int_equal(mslink_addr(&a, address[0][1], PORT), 0);
	assert_int_equal(utcp_open(mslink_stack(w.l[1]), 4, &s), 0);
	assert_int_equal(utcp_bind(s, &a), -EADDRINUSE);
	utcp_close(s);
	world_close(&w);
}

static void
many_connections_one_after_the_other(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "", NULL);
	for (int i = 0; i < 2000; i++) {
		join(&w, 4);
		/* The server leaves first: TIME-WAIT is not the client's. */
		utcp_close(w.s[1]);
		turn(&w);
		utcp_close(w.s[0]);
		turn(&w);
	}
	world_close(&w);
}

/* ---- rings -------------------------------------------------------------------- */

/* Four links on one port, and a client with a port of its own: two pairs would
   be two wires, so the client is opened by hand. */
static void
each_ring_has_a_stack_and_its_connections(void **state)
{
	const char *ours = "pair:r1,link=rings,side=1,addr=10.0.0.2,queues=4";
	const char *his = "pair:r0,link=rings,side=0,addr=10.0.0.1,queues=4";
	mslink_options_t o = { .size = sizeof o, .rings = 4 };
	utcp_sock_t *listener[4], *s, *c[64];
	mslink_t *ring[4], *client, *again;
	uint64_t until = mslink_now_ns() + PATIENCE_NS;
	unsigned int total = 0, used = 0;
	bool has[4] = { false };

	(void)state;
	assert_int_equal(mslink_open(&client, his, NULL, NULL), 0);
	assert_int_equal(mslink_open(&ring[0], ours, &o, NULL), 0);
	assert_int_equal(mslink_open_ring(&again, ring[0], 0), -EBUSY);
	assert_int_equal(mslink_open_ring(&again, ring[0], 4), -EINVAL);
	for (unsigned int i = 1; i < 4; i++)
		assert_int_equal(mslink_open_ring(&ring[i], ring[0], i), 0);
	for (unsigned int i = 0; i < 4; i++)
		listener[i] = listen_on(ring[i], 4, "10.0.0.2");
	/* Which ring an answer comes by is not who connects to say. */
	assert_int_equal(begin(ring[1], 4, "10.0.0.1", &s), -EADDRNOTAVAIL);
	utcp_close(s);
	for (unsigned int i = 0; i < 64; i++)
		assert_int_equal(begin(client, 4, "10.0.0.2", &c[i]),
				 -EINPROGRESS);
	while (total < 64 && before(until)) {
		assert_true(mslink_poll(client) >= 0);
		assert_true(mslink_flush(client) >= 0);
		for (unsigned int i = 0; i < 4; i++) {
			assert_true(mslink_poll(ring[i]) >= 0);
			while (utcp_accept(listener[i], &s) == 0) {
				used += !has[i];
				has[i] = true;
				total++;
				utcp_abort(s);
			}
			assert_true(mslink_flush(ring[i]) >= 0);
		}
	}
	assert_int_equal(total, 64);
	assert_int_equal(used, 4); /* by chance none in 10^8 */
	for (unsigned int i = 0; i < 64; i++)
		utcp_close(c[i]);
	mslink_close(client);
	for (unsigned int i = 0; i < 4; i++) {
		utcp_close(listener[i]);
		mslink_close(ring[i]);
	}
}

struct opener {
	mslink_t *first, *ring;
	pthread_barrier_t *together;
	int said;
};

static void *
open_ring(void *arg)
{
	struct opener *o = arg;

	pthread_barrier_wait(o->together);
	o->said = mslink_open_ring(&o->ring, o->first, 1);
	return NULL;
}

/* A ring is one thread's, however many ask for it at the same time. */
static void
a_ring_is_given_once(void **state)
{
	mslink_options_t options = { .size = sizeof options, .rings = 2 };
	pthread_barrier_t together;
	pthread_t threads[4];
	struct opener o[4];
	struct world w;

	(void)state;
	world_open(&w, "", &options);
	assert_int_equal(pthread_barrier_init(&together, NULL, 4), 0);
	for (int round = 0; round < 50; round++) {
		int got = 0;

		for (int i = 0; i < 4; i++) {
			o[i] = (struct opener){ .first = w.l[0],
						.together = &together };
			assert_int_equal(
			    pthread_create(&threads[i], NULL, open_ring, &o[i]),
			    0);
		}
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
		for (int i = 0; i < 4; i++) {
			assert_true(o[i].said == 0 || o[i].said == -EBUSY);
			got += o[i].said == 0;
			mslink_close(o[i].ring);
		}
		assert_int_equal(got, 1);
	}
	pthread_barrier_destroy(&together);
	world_close(&w);
}

/* ---- what is told to lookers-on --------------------------------------------- */

/* The table of a link of this process, as `multistack top` finds it: the one of
   this port. NULL: there is none. */
static mslink_table_t *
table_of(const mslink_t *l, void *buf, size_t bytes)
{
	uint32_t id = msport_info(mslink_port(l))->port_id;
	mslink_table_t *t = buf;
	char path[64], to[64];

	for (int fd = 3; fd < 256; fd++) {
		ssize_t n;
		int again;

		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		n = readlink(path, to, sizeof to);
		if (n < 0 || strncmp(to, "/memfd:multistack-link", 22) != 0)
			continue;
		again = open(path, O_RDONLY);
		assert_true(again >= 0);
		n = pread(again, buf, bytes, 0);
		close(again);
		assert_int_equal(n, bytes);
		assert_int_equal(t->magic, MSLINK_TABLE_MAGIC);
		if (t->port_id == id && t->rows)
			return t;
	}
	return NULL;
}

static void
connections_are_told_of_and_idle_links_sleep(void **state)
{
	static uint8_t buf[sizeof(mslink_table_t) +
			   MSLINK_TABLE_ROWS * sizeof(mslink_row_t)];
	uint64_t until = mslink_now_ns() + PATIENCE_NS;
	const mslink_table_t *t = NULL;
	const mslink_row_t *r;
	struct world w;

	(void)state;
	world_open(&w, "", NULL);
	assert_true(mslink_timeout_ns(w.l[0]) == UTCP_NEVER);
	join(&w, 4);
	carry(&w, 0, 100000);
	while (!t && before(until)) {
		turn(&w);
		t = table_of(w.l[0], buf, sizeof buf);
	}
	assert_non_null(t);
	assert_int_equal(t->seq % 2, 0);
	assert_int_equal(t->rows, 1);
	assert_int_equal(t->socks, 1);
	r = (const mslink_row_t *)(const void *)(buf + t->head_bytes);
	assert_int_equal(r->state, UTCP_ESTABLISHED);
	assert_int_equal(r->peer.port_be, htons(PORT));
	assert_memory_equal(r->peer.addr, "\x0a\x00\x00\x02", 4);
	assert_string_equal(r->cc, "cubic");
	assert_in_range(r->bytes_acked, 100000, 100002);
	assert_true(r->cwnd_bytes > 0 && r->rtt_us > 0);
	/* Written, and nothing new: nobody is woken for it. */
	while (mslink_timeout_ns(w.l[0]) != UTCP_NEVER && before(until))
		turn(&w);
	assert_true(mslink_timeout_ns(w.l[0]) == UTCP_NEVER);
	hang_up(&w);
	world_close(&w);
}

/* ---- sleeping -------------------------------------------------------------------- */

static void
wait_ends_at_its_time_and_by_a_frame(void **state)
{
	uint64_t from;
	struct world w;

	(void)state;
	world_open(&w, "", NULL);
	join(&w, 4);
	for (int i = 0; i < 100; i++)
		turn(&w);
	from = mslink_now_ns();
	assert_int_equal(mslink_wait(w.l[1], 20), 0);
	assert_true(mslink_now_ns() - from >= 20000000u);
	assert_int_equal(utcp_write(w.s[0], "x", 1, 0), 1);
	assert_true(mslink_flush(w.l[0]) > 0);
	from = mslink_now_ns();
	assert_int_equal(mslink_wait(w.l[1], 600000), 1);
	assert_true(mslink_now_ns() - from < PATIENCE_NS);
	hang_up(&w);
	world_close(&w);
}

static void
descriptor_tells_of_a_frame(void **state)
{
	struct pollfd p = { .events = POLLIN };
	struct world w;

	(void)state;
	world_open(&w, "", NULL);
	join(&w, 4);
	for (int i = 0; i < 100; i++)
		turn(&w);
	p.fd = mslink_fd(w.l[1]);
	assert_true(p.fd >= 0);
	assert_int_equal(mslink_arm(w.l[1]), 0);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(utcp_write(w.s[0], "x", 1, 0), 1);
	assert_true(mslink_flush(w.l[0]) > 0);
	assert_int_equal(poll(&p, 1, PATIENCE_NS / 1000000), 1);
	assert_true(mslink_poll(w.l[1]) > 0);
	hang_up(&w);
	world_close(&w);
}

static void
timeout_is_the_stacks_next_timer(void **state)
{
	utcp_sock_t *s;
	uint64_t from, left;
	struct world w;

	(void)state;
	world_open(&w, "", NULL);
	assert_true(mslink_timeout_ns(w.l[0]) == UTCP_NEVER);
	from = mslink_now_ns();
	/* Nobody is there: the SYN is sent again after a second. */
	assert_int_equal(begin(w.l[0], 4, "10.0.0.77", &s), -EINPROGRESS);
	assert_true(mslink_poll(w.l[0]) >= 0);
	assert_true(mslink_flush(w.l[0]) > 0);
	left = mslink_timeout_ns(w.l[0]);
	assert_true(left <= 1000000000u);
	assert_true(left + (mslink_now_ns() - from) >= 1000000000u);
	utcp_abort(s);
	world_close(&w);
}

/* ---- losing the switch ---------------------------------------------------------- */

static void
connection_survives_reopening(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "", NULL);
	join(&w, 4);
	carry(&w, 0, 10000);
	for (int side = 0; side < 2; side++) {
		assert_int_equal(mslink_reopen(w.l[side]), 0);
		carry(&w, side, 10000);
		carry(&w, !side, 10000);
	}
	hang_up(&w);
	join(&w, 4); /* the listener is bound again too */
	hang_up(&w);
	world_close(&w);
}

static void
shared_port_is_not_reopened_by_one(void **state)
{
	mslink_options_t o = { .size = sizeof o, .rings = 2 };
	struct world w;
	mslink_t *ring;

	(void)state;
	world_open(&w, "", &o);
	assert_int_equal(mslink_open_ring(&ring, w.l[1], 1), 0);
	assert_int_equal(mslink_reopen(ring), -EBUSY);
	mslink_close(ring);
	assert_int_equal(mslink_reopen(w.l[1]), 0);
	world_close(&w);
}

static void
counters_have_names_and_texts(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < MSLINK_CTR_MAX; i++)
		assert_true(mslink_counter_name(i) && mslink_counter_text(i));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_crosses_in_both_families),
		cmocka_unit_test(data_crosses_whatever_the_rings_are),
		cmocka_unit_test(large_sends_leave_as_one_frame),
		cmocka_unit_test(who_was_heard_from_needs_no_route),
		cmocka_unit_test(a_listeners_port_is_bound_at_the_switch),
		cmocka_unit_test(
		    port_that_the_switch_refuses_is_refused_to_the_stack),
		cmocka_unit_test(many_connections_one_after_the_other),
		cmocka_unit_test(each_ring_has_a_stack_and_its_connections),
		cmocka_unit_test(a_ring_is_given_once),
		cmocka_unit_test(wait_ends_at_its_time_and_by_a_frame),
		cmocka_unit_test(descriptor_tells_of_a_frame),
		cmocka_unit_test(connections_are_told_of_and_idle_links_sleep),
		cmocka_unit_test(timeout_is_the_stacks_next_timer),
		cmocka_unit_test(connection_survives_reopening),
		cmocka_unit_test(shared_port_is_not_reopened_by_one),
		cmocka_unit_test(counters_have_names_and_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
