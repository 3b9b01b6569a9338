/* SPDX-License-Identifier: BSD-2-Clause */
/* run_host.c: connections on the host's own sockets, for comparison. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"
#include "os.h"

#define EVENTS 256
#define INPUT_BYTES 65536

struct host_worker {
	struct worker w; /* first */
	int poller;
	uint8_t input[INPUT_BYTES];
};

static struct host_worker *
of(struct worker *w)
{
	return CONTAINER(w, struct host_worker, w);
}

/* ---- the carrier ------------------------------------------------------------------ */

union sock_addr {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
};

static socklen_t
sock_addr(union sock_addr *to, const utcp_addr_t *a)
{
	*to = (union sock_addr){ .any.sa_family = AF_INET };
	if (a->family == 4) {
		to->four.sin_port = a->port_be;
		memcpy(&to->four.sin_addr, a->addr, 4);
		return sizeof to->four;
	}
	to->six.sin6_family = AF_INET6;
	to->six.sin6_port = a->port_be;
	memcpy(&to->six.sin6_addr, a->addr, 16);
	return sizeof to->six;
}

/* Binding an address leaves the port to connect(), which may then share it. */
static int
bind_source(struct conn *c)
{
	const struct options *o = c->w->opt;
	union sock_addr from;
	socklen_t len;

	if (o->num_sources == 0)
		return 0;
	len = sock_addr(&from, &o->sources[c->source]);
#ifdef IP_BIND_ADDRESS_NO_PORT
	if (from.four.sin_port == 0) {
		int one = 1;

		(void)setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT,
				 &one, sizeof one);
	}
#endif
	return bind(c->fd, &from.any, len) ? -errno : 0;
}

static int
carry_open(struct conn *c)
{
	const utcp_addr_t *peer = &c->w->opt->peer;
	int poller = of(c->w)->poller, one = 1, r;
	union sock_addr to;
	socklen_t len = sock_addr(&to, peer);

	c->fd = socket(to.any.sa_family,
		       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	r = bind_source(c);
	if (r == 0 && connect(c->fd, &to.any, len) && errno != EINPROGRESS)
		r = -errno;
	if (r == 0)
		r = os_poller_add(poller, c->fd, c);
	return r ? r : os_poller_change(poller, c->fd, c, true, true);
}

/* The text is the same again and again, so what is left of it begins where its
   end is so far away. */
static int
push(struct conn *c)
{
	const struct options *o = c->w->opt;
	size_t block = o->text_len * o->pipeline;

	while (c->out) {
		size_t at = (o->text_len - c->out % o->text_len) % o->text_len;
		size_t n = c->out < block - at ? c->out : block - at;
		ssize_t took = send(c->fd, o->text + at, n, MSG_NOSIGNAL);

		if (took < 0 && errno == EINTR)
			continue;
		if (took < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 0
								       : -errno;
		c->out -= (size_t)took;
	}
	return 0;
}

static int
carry_send(struct conn *c, unsigned int n)
{
	bool waited = c->out > 0;
	int r;

	c->out += n * c->w->opt->text_len;
	if (waited)
		return 0;
	r = push(c);
	if (r == 0 && c->out)
		r = os_poller_change(of(c->w)->poller, c->fd, c, true, true);
	return r;
}

static void
carry_close(struct conn *c, bool reset)
{
	struct linger now = { .l_onoff = 1 };

	if (c->fd < 0)
		return;
	if (reset)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now,
				 sizeof now);
	close(c->fd);
	c->fd = -1;
}

static const struct carrier carrier = {
	.open = carry_open,
	.send = carry_send,
	.close = carry_close,
};

/* ---- events --------------------------------------------------------------------------- */

static void
input(struct conn *c)
{
	struct host_worker *h = of(c->w);
	ssize_t n = recv(c->fd, h->input, sizeof h->input, 0);

	if (n < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			conn_failed(c, -errno);
		return;
	}
	conn_feed(c, h->input, (size_t)n);
	conn_settle(c, n == 0);
}

static void
opened(struct conn *c)
{
	socklen_t len = sizeof(int);
	int e = 0, r;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &len))
		e = errno;
	r = e ? -e : os_poller_change(of(c->w)->poller, c->fd, c, true, false);
	if (r)
		conn_failed(c, r);
	else
		conn_opened(c);
}

static void
event(struct conn *c, const struct os_event *ev)
{
	int r = 0;

	c->w->now_ns = mslink_now_ns();
	if (c->state == CONN_OPENING) {
		opened(c);
		return;
	}
	if (ev->out && c->out) {
		r = push(c);
		if (r == 0 && c->out == 0)
			r = os_poller_change(of(c->w)->poller, c->fd, c, true,
					     false);
	}
	if (r)
		conn_failed(c, r);
	else if (ev->in)
		input(c);
}

/* ---- the loop ---------------------------------------------------------------------------- */

/* Until a descriptor or a time; to the nanosecond if that is near, as requests
   are due. */
static int
rest(struct host_worker *h, struct os_event ev[EVENTS])
{
	uint64_t now = mslink_now_ns(), until = worker_wake_ns(&h->w);
	uint64_t ns = until > now ? until - now : 0;
	struct pollfd p = { .fd = h->poller, .events = POLLIN };
	struct timespec t;

	if (ns >= 10000000u)
		return os_poller_wait(h->poller, ev, EVENTS,
				      (int)(ns / 1000000));
	if (ns && h->w.opt->rate > 0) {
		t = (struct timespec){ .tv_nsec = (long)ns };
		if (ppoll(&p, 1, &t, NULL) <= 0)
			return 0;
		ns = 0;
	}
	return os_poller_wait(h->poller, ev, EVENTS,
			      (int)((ns + 999999) / 1000000));
}

static void *
work(void *arg)
{
	struct host_worker *h = arg;
	struct os_event ev[EVENTS];
	int n;

	if (h->w.opt->stack.pin)
		os_pin(h->w.index);
	worker_start(&h->w);
	while (worker_step(&h->w)) {
		n = rest(h, ev);
		/* A descriptor stands there once, and one that was opened
		   meanwhile does not stand there. */
		for (int i = 0; i < n; i++)
			event(ev[i].user, &ev[i]);
	}
	return NULL;
}

/* ---- beginning and end ------------------------------------------------------------------- */

static void
finish(struct host_worker *h)
{
	for (unsigned int i = 0; h->w.conns && i < h->w.num_conns; i++)
		carry_close(conn_at(&h->w, i), true);
	if (h->poller >= 0)
		close(h->poller);
	worker_deinit(&h->w);
}

/* As many descriptors as connections may need, if it is allowed. */
static void
raise_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

int
run_host(const struct options *o, struct live *live, struct total *all)
{
	struct host_worker *h = calloc(o->threads, sizeof *h);
	struct worker *w[THREADS_MAX] = { NULL };
	unsigned int i, made = 0;
	int r = h ? 0 : -ENOMEM;

	raise_limit();
	for (; made < o->threads && r == 0; made++) {
		w[made] = &h[made].w;
		r = worker_init(w[made], o, &carrier, live, made);
		h[made].poller = os_poller_open();
		if (r == 0 && h[made].poller < 0)
			r = h[made].poller;
	}
	if (r)
		complain("%s", strerror(-r));
	else
		r = run_threads(w, o->threads, work);
	for (i = 0; i < made; i++) {
		if (r == 0)
			total_add(all, w[i]);
		finish(&h[i]);
	}
	free(h);
	return r;
}
