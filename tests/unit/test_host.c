/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host.c: hosts joined by a pair: frames through workers, doorbells,
 * interfaces that vanish, owners that die, handover, errors in words.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>

#include "control_util.h"

#define UDP 17
#define FRAME_BYTES 60
#define WAIT_MS 10000

struct side {
	struct ms_host *host;
	struct ms_port *port;
	uint32_t rx_head, tx_head;
	uint8_t mac[6], peer_mac[6];
};

struct world {
	struct side a, b;
};

/* ---- hosts and frames ----------------------------------------------- */

static struct ms_cmd_attach
pair_arg(unsigned int which)
{
	struct ms_cmd_attach arg = { .size = sizeof(arg), .kind = "pair" };

	snprintf(arg.nic, sizeof(arg.nic), "pair%u", which);
	snprintf(arg.options, sizeof(arg.options),
		 "link=test_host,side=%u,addr=10.0.0.%u", which, which + 1);
	return arg;
}

static void
host_open(struct side *s, unsigned int which, uint32_t flags)
{
	struct ms_host_options opt = { .flags = flags };
	struct ms_cmd_attach arg = pair_arg(which);
	struct ms_err err = { "" };

	if (ms_host_create(&opt, &s->host, &err) != 0 ||
	    ms_host_attach(s->host, &arg, &err) != 0)
		fail_msg("%s", err.text);
}

static struct ms_port *
port_open(struct side *s, const char *nic, const struct ms_cred *cred)
{
	struct ms_cmd_port_create arg = { .size = sizeof(arg), .slots = 256 };
	struct ms_port *port = NULL;
	struct ms_err err = { "" };

	snprintf(arg.nic, sizeof(arg.nic), "%s", nic);
	if (ms_host_ctl(s->host, cred, &port, MS_CMD_PORT_CREATE, &arg,
			sizeof(arg), &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(ms_host_port_watch(s->host, port), 0);
	return port;
}

static void
port_close(struct side *s, struct ms_port *port)
{
	if (port == NULL)
		return;
	ms_host_port_unwatch(s->host, port);
	ms_port_destroy(port);
}

static int
try_bind(struct side *s, struct ms_port *port, const struct ms_cred *cred,
	 const char *addr, uint16_t number, struct ms_err *err)
{
	struct ms_cmd_bind arg = { .size = sizeof(arg),
				   .tuple = tuple_of(addr, UDP, number) };

	return ms_host_ctl(s->host, cred, &port, MS_CMD_BIND, &arg, sizeof(arg),
			   err);
}

static int
setup_with(void **state, uint32_t flags)
{
	struct world *w = calloc(1, sizeof(*w));

	host_open(&w->a, 0, flags);
	host_open(&w->b, 1, flags);
	w->a.port = port_open(&w->a, "pair0", &user_cred);
	w->b.port = port_open(&w->b, "pair1", &user_cred);
	memcpy(w->a.mac, w->a.port->nic->mac, 6);
	memcpy(w->a.peer_mac, w->b.port->nic->mac, 6);
	assert_int_equal(
	    try_bind(&w->a, w->a.port, &user_cred, "10.0.0.1", 7000, NULL), 0);
	assert_int_equal(
	    try_bind(&w->b, w->b.port, &user_cred, "10.0.0.2", 7000, NULL), 0);
	*state = w;
	return 0;
}

static int
setup_threads(void **state)
{
	return setup_with(state, 0);
}

static int
setup_stepped(void **state)
{
	return setup_with(state, MS_HOST_NO_THREADS);
}

static int
teardown(void **state)
{
	struct world *w = *state;

	ms_os_fail_after(0, false);
	port_close(&w->a, w->a.port);
	port_close(&w->b, w->b.port);
	ms_host_destroy(w->a.host);
	ms_host_destroy(w->b.host);
	free(w);
	return 0;
}

static void
put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* UDP from 10.0.0.1:7000 to 10.0.0.2:7000 with a number in it. */
static void
frame_build(uint8_t f[FRAME_BYTES], const struct side *s, uint32_t seq)
{
	uint32_t sum = 0;
	unsigned int i;

	memset(f, 0, FRAME_BYTES);
	memcpy(f, s->peer_mac, 6);
	memcpy(f + 6, s->mac, 6);
	put16(f + 12, 0x0800);
	f[14] = 0x45;
	put16(f + 16, FRAME_BYTES - 14);
	f[22] = 64;
	f[23] = UDP;
	memcpy(f + 26, "\x0a\0\0\1\x0a\0\0\2", 8);
	for (i = 14; i < 34; i += 2)
		sum += ms_be16(f + i);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(f + 24, ~((sum & 0xffff) + (sum >> 16)));
	put16(f + 34, 7000);
	put16(f + 36, 7000);
	put16(f + 38, FRAME_BYTES - 34);
	memcpy(f + 42, &seq, sizeof(seq));
}

/* As an owner does it. Returns whether the switch wants a kick. */
static bool
send_one(struct side *s, uint32_t seq, bool *sent)
{
	struct ms_kring *k = &s->port->tx[0];
	struct ms_slot *slot;

	*sent = false;
	if (ms_os_load_acquire(&k->shared->tail) == s->tx_head)
		return MS_USER_READ(k->shared->doze) != 0;
	slot = &k->slots[s->tx_head & k->mask];
	frame_build(k->bufs + ((size_t)slot->buf << k->buf_shift), s, seq);
	MS_USER_WRITE(slot->len, FRAME_BYTES);
	MS_USER_WRITE(slot->flags, 0);
	s->tx_head++;
	ms_os_store_release(&k->shared->head, s->tx_head); /* C */
	ms_os_fence();					   /* H */
	*sent = true;
	return MS_USER_READ(k->shared->doze) != 0;
}

static void
kick(struct side *s)
{
	const uint64_t one = 1;

	assert_int_equal(write(ms_host_kick_fd(&s->port->tx[0]), &one, 8), 8);
}

/* The number in the next frame, or -1. */
static int64_t
receive_one(struct ms_port *port, uint32_t *head)
{
	struct ms_kring *k = &port->rx[0];
	const struct ms_slot *slot;
	uint32_t seq;

	if (ms_os_load_acquire(&k->shared->tail) == *head) /* B */
		return -1;
	slot = &k->slots[*head & k->mask];
	memcpy(&seq, k->bufs + ((size_t)slot->buf << k->buf_shift) + 42,
	       sizeof(seq));
	++*head;
	ms_os_store_release(&k->shared->head, *head); /* C */
	return seq;
}

/* Sleeps as an owner does, for at most WAIT_MS. Whether a frame is there. */
static bool
wait_frame(struct ms_port *port, uint32_t head)
{
	struct ms_kring *k = &port->rx[0];
	struct pollfd p = { .fd = ms_host_ring_fd(k), .events = POLLIN };
	uint8_t sink[64];

	MS_USER_WRITE(k->shared->wake, head);
	ms_os_fence(); /* F */
	if (ms_os_load_acquire(&k->shared->tail) != head)
		return true;
	if (poll(&p, 1, WAIT_MS) != 1)
		return false;
	assert_true(read(p.fd, sink, sizeof(sink)) > 0);
	return true;
}

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

static bool
readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
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

/* ---- attach and detach ---------------------------------------------- */

static void
attach_errors_name_thing_and_remedy(void **state)
{
	static const struct {
		struct ms_cmd_attach arg;
		int err;
		const char *words[3];
	} cases[] = {
		{ { .nic = "nosuch0" }, -ENODEV, { "nosuch0", "lo" } },
		{ { .nic = "nosuch0", .kind = "xdp" },
		  -ENODEV,
		  { "nosuch0", "lo" } },
		{ { .nic = "lo", .kind = "magic" },
		  -EINVAL,
		  { "magic", "xdp", "tap" } },
		{ { .nic = "pair0", .kind = "pair" },
		  -EEXIST,
		  { "pair0", "already", "detach" } },
		{ { .nic = "" }, -EINVAL, { "name" } },
		{ { .nic = "x", .vlan = 4095 }, -EINVAL, { "4095", "4094" } },
		{ { .nic = "x", .flags = 1u << 31 }, -EINVAL, { "flags" } },
		{ { .nic = "0123456789abcdef" }, -EINVAL, { "too long" } },
	};
	struct world *w = *state;
	struct ms_err err;
	unsigned int i, j;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err.text[0] = '\0';
		assert_int_equal(ms_host_attach(w->a.host, &cases[i].arg, &err),
				 cases[i].err);
		for (j = 0; j < 3 && cases[i].words[j] != NULL; j++)
			if (strstr(err.text, cases[i].words[j]) == NULL)
				fail_msg("'%s' does not say '%s'", err.text,
					 cases[i].words[j]);
	}
}

static void
attaching_needs_the_administrator(void **state)
{
	struct ms_cmd_attach arg = pair_arg(0);
	struct world *w = *state;
	struct ms_port *none = NULL;
	struct ms_err err = { "" };

	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &none,
				     MS_CMD_DETACH, &arg, sizeof(arg), &err),
			 -EPERM);
	assert_non_null(strstr(err.text, "CAP_NET_ADMIN"));
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &none,
				     MS_CMD_ATTACH, &arg, sizeof(arg), &err),
			 -EPERM);
	arg.size = 3;
	assert_int_equal(ms_host_ctl(w->a.host, &root_cred, &none,
				     MS_CMD_ATTACH, &arg, sizeof(arg), &err),
			 -EINVAL);
	arg.size = sizeof(arg);
	assert_int_equal(ms_host_ctl(w->a.host, &root_cred, &none,
				     MS_CMD_DETACH, &arg, sizeof(arg), &err),
			 -EBUSY);
	assert_non_null(strstr(err.text, "force"));
	arg.flags = MS_ATTACH_FORCE;
	assert_int_equal(ms_host_ctl(w->a.host, &root_cred, &none,
				     MS_CMD_DETACH, &arg, sizeof(arg), &err),
			 0);
	assert_int_equal(MS_USER_READ(w->a.port->tx[0].shared->gone),
			 MS_GONE_NIC);
	assert_int_equal(ms_host_ctl(w->a.host, &root_cred, &none,
				     MS_CMD_DETACH, &arg, sizeof(arg), &err),
			 -ENODEV);
	arg.flags = 0;
	assert_int_equal(ms_host_ctl(w->a.host, &root_cred, &none,
				     MS_CMD_ATTACH, &arg, sizeof(arg), &err),
			 0);
}

/* ---- errors of commands in words ------------------------------------ */

static void
expect_words(struct ms_err *err, const char *a, const char *b)
{
	if (strstr(err->text, a) == NULL || strstr(err->text, b) == NULL)
		fail_msg("'%s' does not say '%s' and '%s'", err->text, a, b);
	err->text[0] = '\0';
}

static void
command_errors_name_thing_and_remedy(void **state)
{
	struct ms_cmd_port_create create = { .size = sizeof(create) };
	struct ms_cmd_stats stats = { .size = sizeof(stats), .port_id = 999 };
	struct ms_cmd_bind raw = { .size = sizeof(raw),
				   .tuple = tuple_of("10.0.0.1", 253, 0) };
	struct world *w = *state;
	struct ms_port *none = NULL, *other;
	struct ms_err err = { "" };

	snprintf(create.nic, sizeof(create.nic), "pair0");
	snprintf(create.label, sizeof(create.label), "other");
	other = NULL;
	assert_int_equal(ms_host_ctl(w->a.host, &other_cred, &other,
				     MS_CMD_PORT_CREATE, &create,
				     sizeof(create), &err),
			 0);
	assert_int_equal(
	    try_bind(&w->a, other, &other_cred, "10.0.0.1", 8000, &err), 0);
	assert_int_equal(
	    try_bind(&w->a, w->a.port, &user_cred, "10.0.0.1", 8000, &err),
	    -EADDRINUSE);
	expect_words(&err, "UDP 10.0.0.1:8000", "('other') of process 3");
	assert_int_equal(
	    try_bind(&w->a, w->a.port, &user_cred, "10.0.0.1", 7000, &err),
	    -EADDRINUSE);
	expect_words(&err, "UDP 10.0.0.1:7000", "already");
	assert_int_equal(
	    try_bind(&w->a, w->a.port, &user_cred, "10.0.0.1", 53, &err),
	    -EACCES);
	expect_words(&err, "CAP_NET_BIND_SERVICE",
		     "ip_unprivileged_port_start=53");
	assert_int_equal(
	    try_bind(&w->a, w->a.port, &user_cred, "224.0.0.1", 5353, &err),
	    -EINVAL);
	expect_words(&err, "224.0.0.1", "unicast");
	assert_int_equal(
	    try_bind(&w->a, w->a.port, &user_cred, "192.0.2.1", 5353, &err),
	    -EADDRNOTAVAIL);
	expect_words(&err, "192.0.2.1", "there are: ");
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &w->a.port,
				     MS_CMD_BIND, &raw, sizeof(raw), &err),
			 -EPERM);
	expect_words(&err, "protocol 253", "CAP_NET_RAW");
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &w->a.port,
				     MS_CMD_UNBIND, &raw, sizeof(raw), &err),
			 -ENOENT);
	expect_words(&err, "protocol 253", "nobody");
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &none, MS_CMD_BIND,
				     &raw, sizeof(raw), &err),
			 -ENOTCONN);
	expect_words(&err, "port", "create");
	snprintf(create.nic, sizeof(create.nic), "eth77");
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &none,
				     MS_CMD_PORT_CREATE, &create,
				     sizeof(create), &err),
			 -ENODEV);
	expect_words(&err, "eth77", "pair0");
	create.slots = 1u << 20;
	snprintf(create.nic, sizeof(create.nic), "pair0");
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &none,
				     MS_CMD_PORT_CREATE, &create,
				     sizeof(create), &err),
			 -E2BIG);
	expect_words(&err, "65536 slots", "too large");
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &none, MS_CMD_STATS,
				     &stats, sizeof(stats), &err),
			 -ENOENT);
	expect_words(&err, "999", "status");
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &none, 77, &stats,
				     sizeof(stats), &err),
			 -EOPNOTSUPP);
	expect_words(&err, "77", "no such command");
	ms_port_destroy(other);
}

/* ---- memory and descriptors that run out ---------------------------- */

/* A whole life; 0, or how far it came is undone. */
static int
whole_life(void)
{
	struct ms_host_options opt = { .flags = MS_HOST_NO_THREADS };
	struct ms_cmd_attach arg = pair_arg(0);
	struct ms_cmd_port_create create = { .size = sizeof(create),
					     .tx_rings = 2,
					     .slots = 8,
					     .nic = "pair0" };
	struct ms_cmd_bind bind = { .size = sizeof(bind),
				    .tuple = tuple_of("10.0.0.1", UDP, 7000) };
	struct ms_port *port = NULL;
	struct ms_host *host = NULL;
	struct ms_err err = { "" };
	bool watched = false;
	int r;

	r = ms_host_create(&opt, &host, &err);
	if (r == 0)
		r = ms_host_attach(host, &arg, &err);
	if (r == 0)
		r = ms_host_ctl(host, &user_cred, &port, MS_CMD_PORT_CREATE,
				&create, sizeof(create), &err);
	if (r == 0) {
		r = ms_host_port_watch(host, port);
		watched = r == 0;
	}
	if (r == 0)
		r = ms_host_ctl(host, &user_cred, &port, MS_CMD_BIND, &bind,
				sizeof(bind), &err);
	if (watched)
		ms_host_port_unwatch(host, port);
	ms_port_destroy(port);
	ms_host_destroy(host);
	return r;
}

static unsigned int
open_descriptors(void)
{
	unsigned int n = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
every_allocation_can_fail(void **state)
{
	unsigned int before = open_descriptors(), n;
	int r;

	(void)state;
	for (n = 1; n < 1000; n++) {
		ms_os_fail_after(n, n % 2 == 0);
		r = whole_life();
		ms_os_fail_after(0, false);
		assert_int_equal(open_descriptors(), before);
		if (r == 0)
			break;
		assert_int_equal(r, -ENOMEM);
	}
	assert_in_range(n, 10, 999);
}

static void
every_descriptor_can_be_missing(void **state)
{
	unsigned int before = open_descriptors(), n;
	struct rlimit old, tight;
	int r = -1;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (n = 0; n < 100 && r != 0; n++) {
		tight = old;
		tight.rlim_cur = before + n;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
		r = whole_life();
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		assert_int_equal(open_descriptors(), before);
		assert_true(r == 0 || r == -EMFILE || r == -ENOMEM);
	}
	assert_in_range(n, 5, 99);
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
		STEPPED(attach_errors_name_thing_and_remedy),
		THREADS(attaching_needs_the_administrator),
		STEPPED(command_errors_name_thing_and_remedy),
		cmocka_unit_test(every_allocation_can_fail),
		cmocka_unit_test(every_descriptor_can_be_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
