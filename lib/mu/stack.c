/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stack.c: a stack on a loop.
 *
 *	idle	   what was fed outside of a round	(libuv: pending)
 *	prepare	   frames out; arm the port; when to wake
 *	poll	   asleep: the port's descriptor, or the timer
 *	check	   the round: frames and time in, events told, frames out
 *	closing	   libuv's own
 */
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

#define EVENTS 64
#define FEEDS 8 /* looks at what callbacks fed, before the loop goes on */
#define LINGER_MS 1000
#define RETRY_MS 200

#define HANDLES 5 /* prepare, check, idle, timer, poll */

static void on_poll(uv_poll_t *poll, int status, int events);

/* ---- a round ------------------------------------------------------------- */

static void
dispatch(const utcp_event_t *e)
{
	/* Who closed his handle in this batch has taken the socket off it. */
	if (e->sock) {
		mu_stream_t *h = e->user;

		if (h && h->sock_ == e->sock)
			mu__stream_io(h, e->ready);
	} else {
		mu_udp_t *h = e->user;

		if (h && h->sock_ == e->udp)
			mu__udp_io(h, e->ready);
	}
}

static void
events(struct mu__stack *s)
{
	utcp_event_t ev[EVENTS];
	int n, rounds = 16;

	do {
		n = utcp_events(s->u, ev, EVENTS);
		for (int i = 0; i < n; i++)
			dispatch(&ev[i]);
	} while (n == EVENTS && --rounds > 0);
	if (n == EVENTS)
		s->woken = true;
}

static bool
is_empty(const struct mu__link *l)
{
	return l->next == l;
}

/* Those that were fed up to now. */
static void
feed_once(struct mu__stack *s)
{
	struct mu__link now = s->fed, *l;

	now.prev->next = now.next->prev = &now;
	s->fed.prev = s->fed.next = &s->fed;
	while (!is_empty(&now)) {
		struct mu__handle *h;

		l = now.next;
		h = (void *)((uint8_t *)l - offsetof(struct mu__handle, fed_));
		mu__unfeed(h);
		if (h->type == UV_UDP) {
			mu_udp_t *u = (mu_udp_t *)h;

			mu__udp_io(u, utcp_udp_poll(u->sock_));
		} else {
			mu_stream_t *t = (mu_stream_t *)h;

			mu__stream_io(t, t->sock_ ? utcp_poll(t->sock_) : 0);
		}
	}
}

static void
feed_all(struct mu__stack *s)
{
	for (int i = 0; i < FEEDS && !is_empty(&s->fed); i++)
		feed_once(s);
}

static void
flush(struct mu__stack *s)
{
	int n = s->poll ? mslink_flush(s->link) : 0;

	s->dirty = false;
	if (n < 0)
		mu__stack_away(s, n);
}

void
mu__stack_flush(struct mu__stack *s)
{
	if (!s->dirty || s->in_round)
		return;
	utcp_advance(s->u, mslink_now_ns());
	flush(s);
}

bool
mu__stack_turn(struct mu__stack *s)
{
	if (s->in_round || !s->poll)
		return false;
	utcp_advance(s->u, mslink_now_ns());
	flush(s);
	/* An error here is the next round's to find. */
	if (s->poll && mslink_poll(s->link) > 0)
		mu__stack_stir(s);
	return s->poll != NULL;
}

static void
round_(struct mu__stack *s)
{
	int n;

	s->in_round = true;
	s->woken = false;
	if (s->poll) {
		n = mslink_poll(s->link);
		if (n < 0)
			mu__stack_away(s, n);
	} else {
		utcp_advance(s->u, mslink_now_ns());
	}
	events(s);
	feed_all(s);
	s->in_round = false;
	flush(s);
}

/* ---- hooks of the loop --------------------------------------------------- */

static void
on_idle(uv_idle_t *idle)
{
	struct mu__stack *s = idle->data;

	if (is_empty(&s->fed))
		return;
	s->in_round = true;
	feed_all(s);
	s->in_round = false;
	s->dirty = true;
}

void
mu__stack_stir(struct mu__stack *s)
{
	s->dirty = true;
	if (!s->in_round && !uv_is_active((uv_handle_t *)&s->idle))
		(void)uv_idle_start(&s->idle, on_idle);
}

static void
on_check(uv_check_t *check)
{
	struct mu__stack *s = check->data;

	if (s->woken || s->dirty || !is_empty(&s->fed))
		round_(s);
}

static void
on_timer(uv_timer_t *timer)
{
	struct mu__stack *s = timer->data;

	s->timing = false;
	s->woken = true;
	if (!uv_is_active((uv_handle_t *)&s->idle))
		(void)uv_idle_start(&s->idle, on_idle);
}

static void
on_poll(uv_poll_t *poll, int status, int events_)
{
	struct mu__stack *s = poll->data;

	(void)status; /* the round finds out */
	(void)events_;
	s->woken = true;
}

/* Has the timer go off in ms, or earlier: one that runs is left alone, as its
   going off costs less than moving it each time. */
static void
set_timer(struct mu__stack *s, uint64_t ms)
{
	uint64_t at = uv_now(s->loop) + ms;

	if (s->timing && s->timer_at <= at)
		return;
	s->timing = true;
	s->timer_at = at;
	(void)uv_timer_start(&s->timer, on_timer, ms, 0);
}

static int
poll_start(struct mu__stack *s)
{
	int fd = mslink_fd(s->link), r;

	if (fd < 0)
		return fd;
	s->poll = malloc(sizeof *s->poll);
	if (!s->poll)
		return UV_ENOMEM;
	r = uv_poll_init(s->loop, s->poll, fd);
	if (r) {
		free(s->poll);
		s->poll = NULL;
		return r;
	}
	s->poll->data = s;
	return uv_poll_start(s->poll, UV_READABLE, on_poll);
}

static void
poll_closed(uv_handle_t *poll)
{
	free(poll);
}

static void
hide(struct mu__stack *s, uv_handle_t *h)
{
	uv_unref(h);
	h->flags |= s->hidden;
}

void
mu__stack_away(struct mu__stack *s, int r)
{
	(void)r;
	if (!s->poll)
		return;
	(void)uv_poll_stop(s->poll);
	uv_close((uv_handle_t *)s->poll, poll_closed);
	s->poll = NULL;
	s->retry_at = 0;
}

/* Tries to have the device again. */
static void
come_back(struct mu__stack *s)
{
	if (uv_now(s->loop) >= s->retry_at) {
		s->retry_at = uv_now(s->loop) + RETRY_MS;
		if (mslink_reopen(s->link) == 0 && poll_start(s) == 0) {
			hide(s, (uv_handle_t *)s->poll);
			s->woken = true;
			return;
		}
	}
	set_timer(s, RETRY_MS);
}

/* Whether the loop may sleep. */
static bool
arm(struct mu__stack *s)
{
	uint64_t ns;
	int r;

	if (!s->poll)
		come_back(s);
	if (s->woken || !is_empty(&s->fed))
		return false;
	if (s->poll && mslink_near(s->link)) {
		s->woken = true;
		return false;
	}
	if (s->poll) {
		r = mslink_arm(s->link);
		if (r < 0)
			mu__stack_away(s, r);
		if (r) {
			s->woken = true;
			return false;
		}
	}
	ns = mslink_timeout_ns(s->link);
	if (ns == 0) {
		s->woken = true;
		return false;
	}
	if (ns != UTCP_NEVER)
		set_timer(s, (ns + 999999) / 1000000);
	return true;
}

static void
on_prepare(uv_prepare_t *prepare)
{
	struct mu__stack *s = prepare->data;

	s->owner = pthread_self();
	/* Before the program's own, as libuv's input and output are. */
	(void)uv_check_stop(&s->check);
	(void)uv_check_start(&s->check, on_check);
	if (s->dirty) {
		utcp_advance(s->u, mslink_now_ns());
		flush(s);
		s->woken = true; /* the clock moved: there may be events */
	}
	if (arm(s))
		(void)uv_idle_stop(&s->idle);
	else
		(void)uv_idle_start(&s->idle, on_idle);
}

/* ---- beginning ----------------------------------------------------------- */

/*
 * libuv hides handles of its own from uv_walk and uv_loop_close by a flag,
 * which has no name outside. The loop's wq_async has it; what else that one has
 * (active, without a reference) `check` has as well.
 */
static unsigned int
hidden_flag(const struct mu__stack *s)
{
	const uv_handle_t *own = (const uv_handle_t *)&s->loop->wq_async;

	return own->flags & ~s->check.flags;
}

static void
hooks_start(struct mu__stack *s)
{
	(void)uv_prepare_init(s->loop, &s->prepare);
	(void)uv_check_init(s->loop, &s->check);
	(void)uv_idle_init(s->loop, &s->idle);
	(void)uv_timer_init(s->loop, &s->timer);
	s->prepare.data = s->check.data = s->idle.data = s->timer.data = s;
	(void)uv_prepare_start(&s->prepare, on_prepare);
	(void)uv_check_start(&s->check, on_check);
	uv_unref((uv_handle_t *)&s->check);
	s->hidden = hidden_flag(s);
	hide(s, (uv_handle_t *)&s->prepare);
	hide(s, (uv_handle_t *)&s->idle);
	hide(s, (uv_handle_t *)&s->timer);
	hide(s, (uv_handle_t *)s->poll);
	hide(s, (uv_handle_t *)&s->check);
}

/* Takes l. */
static int
stack_new(uv_loop_t *loop, mslink_t *l, uint32_t linger_ms, uint32_t spin_us)
{
	struct mu__stack *s = calloc(1, sizeof *s);
	int r;

	if (!s) {
		mslink_close(l);
		return UV_ENOMEM;
	}
	s->loop = loop;
	s->link = l;
	s->u = mslink_stack(l);
	s->linger_ms = linger_ms ? linger_ms : LINGER_MS;
	s->spin_us = spin_us;
	mslink_spin(l, spin_us);
	s->owner = pthread_self();
	s->pid = (uint64_t)getpid();
	s->fed.prev = s->fed.next = &s->fed;
	r = poll_start(s);
	if (r) {
		mslink_close(l);
		free(s);
		return r;
	}
	hooks_start(s);
	mu__registry_add(s);
	mu__at_exit();
	return 0;
}

int
mu_stack_open(uv_loop_t *loop, const char *device, const mu_options_t *opt,
	      msport_error_t *err)
{
	mu_options_t o = { 0 };
	mslink_t *l;
	int r;

	if (!loop || !device || (opt && opt->size == 0))
		return UV_EINVAL;
	if (opt)
		memcpy(&o, opt, opt->size < sizeof o ? opt->size : sizeof o);
	if (mu__registry_find(loop))
		return UV_EEXIST;
	r = mslink_open(&l, device, o.link, err);
	return r ? r : stack_new(loop, l, o.linger_ms, o.spin_us);
}

int
mu_stack_open_ring(uv_loop_t *loop, uv_loop_t *first, unsigned int ring)
{
	struct mu__stack *f;
	mslink_t *l;
	int r;

	if (!loop || !first)
		return UV_EINVAL;
	f = mu__registry_find(first);
	if (!f)
		return UV_ENODEV;
	if (mu__registry_find(loop))
		return UV_EEXIST;
	r = mslink_open_ring(&l, f->link, ring);
	return r ? r : stack_new(loop, l, f->linger_ms, f->spin_us);
}

struct mu__stack *
mu__stack_of(uv_loop_t *loop)
{
	struct mu__stack *s = mu__registry_find(loop);
	const char *device;

	if (s)
		return s;
	device = getenv("MULTISTACK_DEVICE");
	if (!device || mu_stack_open(loop, device, NULL, NULL))
		return NULL;
	return mu__registry_find(loop);
}

mslink_t *
mu_stack_link(uv_loop_t *loop)
{
	struct mu__stack *s = loop ? mu__registry_find(loop) : NULL;

	return s ? s->link : NULL;
}

/* ---- the end ------------------------------------------------------------- */

static void
hook_closed(uv_handle_t *handle)
{
	struct mu__stack *s = handle->data;

	s->closed++;
}

int
mu_stack_close(uv_loop_t *loop)
{
	struct mu__stack *s = loop ? mu__registry_find(loop) : NULL;

	if (!s)
		return UV_EINVAL;
	if (s->handles)
		return UV_EBUSY;
	mu__registry_remove(s);
	if (s->poll)
		(void)mslink_linger(s->link, s->linger_ms);
	mu__stack_away(s, 0);
	uv_close((uv_handle_t *)&s->prepare, hook_closed);
	uv_close((uv_handle_t *)&s->check, hook_closed);
	uv_close((uv_handle_t *)&s->idle, hook_closed);
	uv_close((uv_handle_t *)&s->timer, hook_closed);
	while (s->closed < HANDLES - 1)
		(void)uv_run(loop, UV_RUN_NOWAIT);
	mslink_close(s->link);
	free(s);
	return 0;
}

static void
count_handle(uv_handle_t *handle, void *arg)
{
	(void)handle;
	++*(unsigned int *)arg;
}

int
mu_loop_close(uv_loop_t *loop)
{
	unsigned int others = 0;

	/* Only if libuv would agree; or else all stays as it is. */
	uv_walk(loop, count_handle, &others);
	if (others == 0 && mu__registry_find(loop))
		(void)mu_stack_close(loop);
	return uv_loop_close(loop);
}
