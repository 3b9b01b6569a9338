/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host.c: hosts joined by a pair: frames through workers, doorbells,
 * interfaces that vanish, owners that die, handover.
 */
#include "host_util.h"

/* ---- frames through workers ----------------------------------------- */

static void
threads_carry_frames_and_wake(void **state)
{
	struct world *w = *state;
	uint32_t i;
	bool sent;
	int64_t r;

	for (i = 0; i < 2000; i++) {
		if (send_one(&w->a, i, &sent))
			kick(&w->a);
		assert_true(sent);
		while ((r = receive_one(w->b.port, &w->b.rx_head)) < 0)
			assert_true(wait_frame(w->b.port, w->b.rx_head));
		assert_int_equal(r, i);
	}
}

static void
a_stepped_worker_moves_when_it_says_so(void **state)
{
	struct world *w = *state;
	struct ms_worker *from = ms_host_worker(w->a.host, w->a.port, 0);
	struct ms_worker *to = ms_host_worker(w->b.host, w->b.port, 0);
	uint32_t i;
	bool sent;

	while (ms_worker_step(from) + ms_worker_step(to) > 0)
		;
	for (i = 0; i < 100; i++) {
		assert_false(readable(ms_worker_fd(from)));
		assert_true(send_one(&w->a, i, &sent));
		assert_true(sent);
		kick(&w->a);
		assert_true(readable(ms_worker_fd(from)));
		assert_int_equal(ms_worker_step(from), 1);
		assert_int_equal(ms_worker_step(from), 0);
		assert_true(readable(ms_worker_fd(to)));
		assert_int_equal(ms_worker_step(to), 1);
		assert_int_equal(receive_one(w->b.port, &w->b.rx_head), i);
		assert_int_equal(ms_worker_step(to), 0);
		assert_false(readable(ms_worker_fd(to)));
	}
}

/* Kicks are an offer to look, not an order: too many do no harm. */
static void
idle_kicks_move_nothing(void **state)
{
	struct world *w = *state;
	struct ms_worker *from = ms_host_worker(w->a.host, w->a.port, 0);
	unsigned int i;

	for (i = 0; i < 1000; i++) {
		kick(&w->a);
		assert_int_equal(ms_worker_step(from), 0);
	}
	assert_false(readable(ms_worker_fd(from)));
}

static void
doorbells_are_where_they_should_be(void **state)
{
	struct world *w = *state;
	const struct ms_port *p = w->a.port;

	assert_true(ms_host_ring_fd(&p->tx[0]) >= 0);
	assert_true(ms_host_ring_fd(&p->rx[0]) >= 0);
	assert_true(ms_host_kick_fd(&p->tx[0]) >= 0);
	assert_int_equal(ms_host_kick_fd(&p->rx[0]), -1);
	ms_host_port_unwatch(w->a.host, w->a.port);
	assert_int_equal(ms_host_ring_fd(&p->tx[0]), -1);
	assert_int_equal(ms_host_kick_fd(&p->tx[0]), -1);
	assert_int_equal(ms_host_port_watch(w->a.host, w->a.port), 0);
}

/* ---- what ends under traffic ---------------------------------------- */

struct sender {
	struct side *s;
	pthread_t thread;
	uint32_t stop;
	uint64_t sent;
};

static void *
send_forever(void *arg)
{
	struct sender *me = arg;
	bool sent;

	while (ms_os_load_acquire(&me->stop) == 0) {
		if (ms_os_load_acquire(&me->s->port->tx[0].shared->gone) != 0)
			break;
		if (send_one(me->s, (uint32_t)me->sent, &sent))
			kick(me->s);
		if (sent)
			me->sent++;
		else
			sched_yield();
	}
	return NULL;
}

static void
sender_start(struct sender *me, struct side *s)
{
	memset(me, 0, sizeof(*me));
	me->s = s;
	assert_int_equal(pthread_create(&me->thread, NULL, send_forever, me),
			 0);
}

static void
sender_stop(struct sender *me)
{
	ms_os_store_release(&me->stop, 1);
	pthread_join(me->thread, NULL);
}

static void
receivers_die_at_any_time(void **state)
{
	struct world *w = *state;
	struct sender from;
	struct ms_port *next;
	unsigned int i;

	sender_start(&from, &w->a);
	for (i = 0; i < 30; i++) {
		ms_os_sleep_us(i * 100);
		port_close(&w->b, w->b.port);
		w->b.port = next = port_open(&w->b, "pair1", &user_cred);
		assert_int_equal(
		    try_bind(&w->b, next, &user_cred, "10.0.0.2", 7000, NULL),
		    0);
	}
	w->b.rx_head = 0;
	while (receive_one(w->b.port, &w->b.rx_head) < 0)
		assert_true(wait_frame(w->b.port, w->b.rx_head));
	sender_stop(&from);
	assert_true(from.sent > 0);
}

static void
senders_die_at_any_time(void **state)
{
	struct world *w = *state;
	struct sender from;
	unsigned int i;

	for (i = 0; i < 30; i++) {
		sender_start(&from, &w->a);
		ms_os_sleep_us(i * 100);
		sender_stop(&from);
		port_close(&w->a, w->a.port); /* with frames in its ring */
		w->a.port = port_open(&w->a, "pair0", &user_cred);
		w->a.tx_head = MS_USER_READ(w->a.port->tx[0].shared->head);
		assert_int_equal(try_bind(&w->a, w->a.port, &user_cred,
					  "10.0.0.1", 7000, NULL),
				 0);
	}
}

static void
an_interface_vanishes(void **state)
{
	struct ms_cmd_port_create arg = { .size = sizeof(arg), .nic = "pair0" };
	struct world *w = *state;
	struct ms_err err = { "" };
	struct ms_port *late = NULL;
	struct pollfd p;

	ms_host_gone(w->a.host, "pair0");
	ms_host_gone(w->a.host, "pair0");
	ms_host_gone(w->a.host, "nosuch");
	assert_int_equal(MS_USER_READ(w->a.port->rx[0].shared->gone),
			 MS_GONE_NIC);
	p.fd = ms_host_ring_fd(&w->a.port->rx[0]);
	p.events = POLLIN;
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_null(ms_host_worker(w->a.host, w->a.port, 0));
	assert_int_equal(
	    try_bind(&w->a, w->a.port, &user_cred, "10.0.0.1", 7001, &err),
	    -ENODEV);
	assert_non_null(strstr(err.text, "gone"));
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &late,
				     MS_CMD_PORT_CREATE, &arg, sizeof(arg),
				     &err),
			 -ENODEV);
	assert_int_equal(ms_host_port_watch(w->a.host, w->a.port), -EALREADY);
	assert_true(ms_host_ring_fd(&w->a.port->rx[0]) >= 0);
}

static void
who_comes_late_is_told(void **state)
{
	struct world *w = *state;

	ms_host_port_unwatch(w->a.host, w->a.port);
	ms_host_gone(w->a.host, "pair0");
	assert_int_equal(ms_host_port_watch(w->a.host, w->a.port), -ENODEV);
}

struct watcher {
	struct side *s;
	uint32_t stop;
};

static void *
watch_again_and_again(void *arg)
{
	struct watcher *me = arg;

	while (ms_os_load_acquire(&me->stop) == 0) {
		ms_host_port_unwatch(me->s->host, me->s->port);
		(void)ms_host_port_watch(me->s->host, me->s->port);
	}
	return NULL;
}

/* The last wake-up meets doorbells that are being taken down. */
static void
doorbells_go_while_the_interface_does(void **state)
{
	struct ms_cmd_attach arg = pair_arg(0);
	struct world *w = *state;
	struct watcher me;
	pthread_t thread;
	unsigned int i;

	for (i = 0; i < 20; i++) {
		me = (struct watcher){ .s = &w->a };
		assert_int_equal(
		    pthread_create(&thread, NULL, watch_again_and_again, &me),
		    0);
		ms_os_sleep_us(i * 20);
		ms_host_gone(w->a.host, "pair0");
		ms_os_store_release(&me.stop, 1);
		pthread_join(thread, NULL);
		port_close(&w->a, w->a.port);
		w->a.port = NULL;
		assert_int_equal(ms_host_attach(w->a.host, &arg, NULL), 0);
		w->a.port = port_open(&w->a, "pair0", &user_cred);
	}
}

static void
an_interface_vanishes_under_a_sender(void **state)
{
	struct world *w = *state;
	struct sender from;

	sender_start(&from, &w->a);
	ms_os_sleep_us(2000);
	an_interface_vanishes(state);
	sender_stop(&from);
}

static int
receive_gone(struct ms_attach *a, unsigned int q)
{
	(void)a, (void)q;
	return -ENODEV;
}

/* The worker itself finds out, and the attachment ends under it. */
static void
a_step_finds_the_interface_gone(void **state)
{
	struct world *w = *state;
	struct ms_attach *a = w->a.port->nic->attach;
	struct ms_attach_ops gone = *a->ops;
	struct ms_worker *worker = ms_host_worker(w->a.host, w->a.port, 0);

	gone.receive = receive_gone;
	a->ops = &gone;
	assert_int_equal(ms_worker_step(worker), 0);
	assert_int_equal(MS_USER_READ(w->a.port->rx[0].shared->gone),
			 MS_GONE_NIC);
	assert_true(readable(ms_host_ring_fd(&w->a.port->rx[0])));
	assert_null(ms_host_worker(w->a.host, w->a.port, 0));
	assert_int_equal(ms_worker_step(worker), 0);
}

/* ---- handover ------------------------------------------------------- */

#define HANDED 20000
#define WINDOW 64

static void
hand_over(struct world *w, struct ms_port *heir)
{
	struct ms_cmd_handover arg = { .size = sizeof(arg),
				       .op = MS_HANDOVER_OFFER };
	struct ms_err err = { "" };

	if (ms_host_ctl(w->b.host, &user_cred, &w->b.port, MS_CMD_HANDOVER,
			&arg, sizeof(arg), &err) != 0)
		fail_msg("%s", err.text);
	arg.op = MS_HANDOVER_ACCEPT;
	if (ms_host_ctl(w->b.host, &user_cred, &heir, MS_CMD_HANDOVER, &arg,
			sizeof(arg), &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(arg.moved, 1);
}

/* Numbered frames never stop; each arrives once, at the old port or the new. */
static void
handover_loses_no_frame(void **state)
{
	static uint8_t seen[HANDED];
	struct world *w = *state;
	struct ms_port *heir = port_open(&w->b, "pair1", &user_cred);
	uint32_t heir_head = 0, next = 0, got = 0, old = 0;
	uint64_t deadline = ms_os_now_ns() + 60000000000ull;
	int64_t r;
	bool sent;

	memset(seen, 0, sizeof(seen));
	while (got < HANDED && ms_os_now_ns() < deadline) {
		while (next < HANDED && next - got < WINDOW) {
			if (send_one(&w->a, next, &sent))
				kick(&w->a);
			if (!sent)
				break;
			if (++next == HANDED / 2)
				hand_over(w, heir);
		}
		r = receive_one(w->b.port, &w->b.rx_head);
		old += r >= 0;
		if (r < 0)
			r = receive_one(heir, &heir_head);
		if (r < 0) {
			sched_yield();
			continue;
		}
		assert_in_range(r, 0, HANDED - 1);
		seen[r]++;
		got++;
	}
	assert_int_equal(got, HANDED);
	assert_int_equal(memchr(seen, 0, HANDED) == NULL, 1);
	assert_in_range(old, HANDED / 2 - WINDOW, HANDED / 2);
	port_close(&w->b, heir);
}

int
main(void)
{
#define THREADS(f) cmocka_unit_test_setup_teardown(f, setup_threads, teardown)
#define STEPPED(f) cmocka_unit_test_setup_teardown(f, setup_stepped, teardown)
	const struct CMUnitTest tests[] = {
		THREADS(threads_carry_frames_and_wake),
		STEPPED(a_stepped_worker_moves_when_it_says_so),
		STEPPED(idle_kicks_move_nothing),
		STEPPED(doorbells_are_where_they_should_be),
		THREADS(receivers_die_at_any_time),
		THREADS(senders_die_at_any_time),
		THREADS(an_interface_vanishes),
		STEPPED(an_interface_vanishes),
		THREADS(an_interface_vanishes_under_a_sender),
		STEPPED(who_comes_late_is_told),
		THREADS(doorbells_go_while_the_interface_does),
		STEPPED(a_step_finds_the_interface_gone),
		THREADS(handover_loses_no_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
