/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serve_host.c: the same server on the host's own sockets, for comparison.
 *
 * A reply's text and the file's bytes leave with one writev(), straight from
 * the mapping, as nginx does with sendfile off.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "httpd.h"
#include "os.h"

#define EVENTS 256
#define INPUT_BYTES 65536
#define IOVS 64
#define DEAF_NS 100000000u

struct host_conn {
	struct conn c; /* first */
	int fd;
	struct reply *out, **out_end; /* to be sent, the oldest first */
	size_t out_done;	      /* of the oldest */
	uint64_t taken;		      /* by the kernel, in all */
	uint8_t *stash;		      /* input that waits while it is paused */
	size_t stash_len;
	struct list gone;	      /* the worker's */
	bool close_after, shut_after; /* all of it is sent */
	bool in, wants_out;	      /* as the poller was told */
};

struct worker {
	struct server srv; /* first */
	int poller;
	int listeners[16];
	struct list gone; /* closed in this round: events may still name them */
	uint64_t deaf_ns; /* since when it accepts nobody; 0: it does */
	pthread_t thread;
	uint8_t input[INPUT_BYTES];
};

static struct host_conn *
host(struct conn *c)
{
	return CONTAINER(c, struct host_conn, c);
}

static struct worker *
worker(struct conn *c)
{
	return CONTAINER(c->srv, struct worker, srv);
}

/* ---- out ------------------------------------------------------------------------ */

static void
carry_send(struct conn *c, struct reply *r, bool more)
{
	struct host_conn *h = host(c);

	(void)more; /* it leaves after all input was looked at */
	reply_give(r, c);
	r->next = NULL;
	*h->out_end = r;
	h->out_end = &r->next;
}

/* The oldest reply has left, or never will. */
static void
pop(struct host_conn *h, int status)
{
	struct reply *r = h->out;
	bool body = r->body.len > 0;

	h->out = r->next;
	if (!h->out)
		h->out_end = &h->out;
	h->out_done = 0;
	reply_done(&r->head, status);
	if (body)
		reply_done(&r->body, status);
}

static void
watch(struct host_conn *h)
{
	bool in = !h->c.paused && !h->close_after, out = h->out != NULL;

	if (in == h->in && out == h->wants_out)
		return;
	h->in = in;
	h->wants_out = out;
	(void)os_poller_change(worker(&h->c)->poller, h->fd, h, in, out);
}

/* The pieces of the replies that wait, as iovecs. */
static int
gather(const struct host_conn *h, struct iovec *iov, size_t *bytes)
{
	size_t skip = h->out_done;
	int n = 0;

	*bytes = 0;
	for (const struct reply *r = h->out; r && n + 2 <= IOVS; r = r->next) {
		const utcp_buf_t *part[2] = { &r->head, &r->body };

		for (int i = 0; i < 2; i++) {
			size_t len = part[i]->len;

			if (skip >= len) {
				skip -= len;
				continue;
			}
			iov[n].iov_base = (char *)(uintptr_t)part[i]->data +
					  skip;
			iov[n].iov_len = len - skip;
			*bytes += iov[n++].iov_len;
			skip = 0;
		}
	}
	return n;
}

/* Sends what can be sent. False: the connection is broken. */
static bool
push(struct host_conn *h)
{
	struct iovec iov[IOVS];

	while (h->out) {
		size_t bytes;
		struct msghdr m = { .msg_iov = iov };
		ssize_t n;

		m.msg_iovlen = (size_t)gather(h, iov, &bytes);
		n = sendmsg(h->fd, &m, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK;
		h->out_done += (size_t)n;
		h->taken += (size_t)n;
		while (h->out &&
		       h->out_done >= h->out->head.len + h->out->body.len) {
			size_t left = h->out_done - h->out->head.len -
				      h->out->body.len;

			pop(h, 0);
			h->out_done = left;
		}
		if ((size_t)n < bytes)
			return true;
	}
	return true;
}

static void
end(struct host_conn *h, bool reset)
{
	struct linger now = { .l_onoff = 1 };

	while (h->out)
		pop(h, -ECANCELED);
	if (reset)
		setsockopt(h->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(h->fd);
	h->fd = -1;
	free(h->stash);
	h->stash = NULL;
	h->c.refs++;
	list_append(&worker(&h->c)->gone, &h->gone);
	conn_closed(&h->c);
}

static void
carry_shutdown(struct conn *c)
{
	struct host_conn *h = host(c);

	h->shut_after = true;
}

/* What is left before the end. */
static void
wind_up(struct host_conn *h)
{
	if (!push(h))
		end(h, true);
	else if (!h->out)
		end(h, false);
	else
		watch(h);
}

static void
carry_close(struct conn *c, bool reset)
{
	struct host_conn *h = host(c);

	h->close_after = true;
	if (reset)
		end(h, true);
	else
		wind_up(h);
}

/* ---- in ---------------------------------------------------------------------------- */

/* Keeps what a paused connection did not take. */
static bool
keep(struct host_conn *h, const uint8_t *data, size_t len)
{
	uint8_t *p = len ? malloc(len) : NULL;

	if (len && !p)
		return false;
	if (len)
		memcpy(p, data, len);
	free(h->stash);
	h->stash = p;
	h->stash_len = len;
	return true;
}

/* After input or output: sends, closes, watches. */
static void
settle(struct host_conn *h)
{
	if (!conn_settle(&h->c))
		return;
	if (!push(h)) {
		h->c.srv->resets++;
		end(h, true);
		return;
	}
	if (h->shut_after && !h->out) {
		h->shut_after = false;
		shutdown(h->fd, SHUT_WR);
	}
	watch(h);
}

static void
input(struct host_conn *h)
{
	struct worker *w = worker(&h->c);
	ssize_t n = recv(h->fd, w->input, sizeof w->input, 0);
	size_t took;

	if (n < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
			return;
		w->srv.resets++;
		end(h, true);
		return;
	}
	if (n == 0) {
		h->c.eof = true;
	} else {
		took = conn_feed(&h->c, w->input, (size_t)n);
		if (!keep(h, w->input + took, (size_t)n - took))
			h->c.closing = true;
	}
	settle(h);
}

/* It was paused: first what it left. */
static void
carry_resume(struct conn *c)
{
	struct host_conn *h = host(c);
	size_t took;

	if (h->stash) {
		uint8_t *data = h->stash;
		size_t len = h->stash_len;

		h->stash = NULL;
		took = conn_feed(c, data, len);
		if (!keep(h, data + took, len - took))
			c->closing = true;
		free(data);
	}
	settle(h);
}

static uint64_t
carry_taken(struct conn *c)
{
	return host(c)->taken;
}

static const struct carrier carrier = {
	.send = carry_send,
	.shutdown = carry_shutdown,
	.close = carry_close,
	.resume = carry_resume,
	.taken = carry_taken,
};

/* Listens, or does not for a while: without descriptors, listeners that stay
   ready would keep us busy with nothing. */
static void
listen_again(struct worker *w, bool in)
{
	w->deaf_ns = in ? 0 : w->srv.now_ns;
	for (unsigned int i = 0; i < 16; i++)
		if (w->listeners[i] >= 0)
			(void)os_poller_change(w->poller, w->listeners[i],
					       &w->listeners[i], in, false);
}

static void
accept_all(struct worker *w, int listener)
{
	int fd;

	while ((fd = os_accept(listener)) >= 0 || fd == -ECONNABORTED) {
		struct host_conn *h;
		struct conn *c;

		if (fd < 0)
			continue;
		c = conn_new(&w->srv, sizeof *h);
		if (!c) {
			close(fd);
			continue;
		}
		h = host(c);
		h->fd = fd;
		h->in = true;
		list_init(&h->gone);
		h->out_end = &h->out;
		if (os_poller_add(w->poller, fd, h))
			end(h, true);
	}
	if (fd != -EAGAIN && fd != -EWOULDBLOCK && fd != -EINTR)
		listen_again(w, false);
}

/* ---- the loop ------------------------------------------------------------------------ */

/* Listeners are told from connections by where they lie. */
static bool
is_listener(const struct worker *w, const void *user)
{
	const int *p = user;

	return p >= w->listeners && p < w->listeners + 16;
}

/* The round is over: nobody speaks of those that ended in it any more. */
static void
bury(struct worker *w)
{
	while (!list_empty(&w->gone)) {
		struct host_conn *h = CONTAINER(w->gone.next, struct host_conn,
						gone);

		list_remove(&h->gone);
		conn_put(&h->c);
	}
}

static void
stop_listening(struct worker *w)
{
	for (unsigned int i = 0; i < 16; i++)
		if (w->listeners[i] >= 0) {
			accept_all(w, w->listeners[i]);
			close(w->listeners[i]);
			w->listeners[i] = -1;
		}
}

static void
loop(struct worker *w)
{
	struct os_event ev[EVENTS];
	int n;

	while (!server_over(&w->srv)) {
		if (w->srv.until_ns)
			stop_listening(w);
		else if (w->deaf_ns && w->srv.now_ns - w->deaf_ns > DEAF_NS)
			listen_again(w, true);
		n = os_poller_wait(w->poller, ev, EVENTS,
				   server_timeout_ms(&w->srv));
		server_clock(&w->srv, mslink_now_ns());
		for (int i = 0; i < n; i++) {
			struct host_conn *h = ev[i].user;

			if (is_listener(w, ev[i].user))
				accept_all(w, *(int *)ev[i].user);
			else if (h->fd < 0)
				continue;
			else if (h->close_after)
				wind_up(h);
			else if (ev[i].in && h->in)
				input(h);
			else
				settle(h);
		}
		server_resume(&w->srv);
		server_timeouts(&w->srv);
		bury(w);
	}
}

static void *
work(void *arg)
{
	struct worker *w = arg;

	if (w->srv.opt->stack.pin)
		os_pin(w->srv.index);
	loop(w);
	return NULL;
}

static int
listen_on(const utcp_addr_t *a, bool shared, int *out)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6,
				    .sin6_port = a->port_be };
	struct sockaddr_in four = { .sin_family = AF_INET,
				    .sin_port = a->port_be };
	bool is4 = a->family == 4;
	int fd, one = 1, off = 0, e = 0;

	fd = socket(is4 ? AF_INET : AF_INET6,
		    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	memcpy(&four.sin_addr, a->addr, 4);
	memcpy(&six.sin6_addr, a->addr, 16);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	/* Among our threads: another server's port stays his. */
	if (shared)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (!is4)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (is4)
		e = bind(fd, (struct sockaddr *)&four, sizeof four);
	else
		e = bind(fd, (struct sockaddr *)&six, sizeof six);
	if (e || listen(fd, 65535)) {
		e = -errno;
		close(fd);
		return e;
	}
	*out = fd;
	return 0;
}

static int
worker_open(struct worker *w, const struct options *opt, unsigned int index)
{
	int r = server_init(&w->srv, opt, &carrier, index);

	if (r) {
		complain("%s: %s", opt->root, strerror(-r));
		return r;
	}
	w->poller = os_poller_open();
	for (unsigned int i = 0; i < opt->num_listen && r == 0; i++) {
		r = listen_on(&opt->listen[i], opt->threads > 1,
			      &w->listeners[i]);
		if (r == 0)
			r = os_poller_add(w->poller, w->listeners[i],
					  &w->listeners[i]);
		if (r)
			complain("listening address %u: %s", i + 1,
				 strerror(-r));
	}
	return r;
}

static void
worker_close(struct worker *w)
{
	struct server *srv = &w->srv;

	if (!srv->files)
		return;
	for (unsigned int i = 0; i < PHASE_MAX; i++)
		while (!list_empty(&srv->phase[i]))
			end(host(CONTAINER(srv->phase[i].next, struct conn,
					   timer)),
			    false);
	bury(w);
	for (unsigned int i = 0; i < 16; i++)
		if (w->listeners[i] >= 0)
			close(w->listeners[i]);
	if (w->poller >= 0)
		close(w->poller);
	server_deinit(srv);
}

int
serve_host(const struct options *opt)
{
	struct worker *w = calloc(opt->threads, sizeof *w);
	struct server all = { 0 };
	unsigned int i, started = 1;
	int r = w ? 0 : -ENOMEM;

	for (i = 0; w && i < opt->threads; i++) {
		memset(w[i].listeners, -1, sizeof w[i].listeners);
		w[i].poller = -1;
		list_init(&w[i].gone);
	}
	for (i = 0; i < opt->threads && r == 0; i++)
		r = worker_open(&w[i], opt, i);
	if (r == 0) {
		server_ready(opt);
		for (; started < opt->threads && r == 0; started++)
			r = pthread_create(&w[started].thread, NULL, work,
					   &w[started]);
		if (r)
			stop = 1;
		else
			work(&w[0]);
		for (i = 1; i < started - (r != 0); i++)
			pthread_join(w[i].thread, NULL);
	}
	for (i = 0; w && i < opt->threads; i++) {
		server_add(&all, &w[i].srv);
		worker_close(&w[i]);
	}
	free(w);
	if (r == 0)
		server_report(opt, &all);
	return r != 0;
}
