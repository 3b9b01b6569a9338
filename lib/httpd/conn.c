/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn.c: a connection, whichever carries it.
 *
 * A connection is in one of the phases, each with a timeout of its own and a
 * list in the order in which it will be due, so a million idle connections cost
 * nothing to watch. While it is idle it has no parser and no buffer.
 */
#include <stdlib.h>
#include <string.h>

#include "httpd.h"

static void
enter(struct conn *c, enum phase phase)
{
	c->phase = (uint8_t)phase;
	c->since_ns = c->srv->now_ns;
	list_remove(&c->timer);
	list_append(&c->srv->phase[phase], &c->timer);
}

struct conn *
conn_new(struct server *srv, size_t bytes)
{
	struct conn *c = calloc(1, bytes);

	if (!c)
		return NULL;
	c->srv = srv;
	c->refs = 1;
	list_init(&c->timer);
	list_init(&c->resume);
	enter(c, PHASE_HEAD); /* of the first request not a byte yet */
	srv->conns++;
	srv->num_conns++;
	return c;
}

void
conn_put(struct conn *c)
{
	if (--c->refs == 0)
		free(c);
}

void
conn_closed(struct conn *c)
{
	c->sock = NULL;
	request_free(c->srv, c->req);
	c->req = NULL;
	list_remove(&c->timer);
	list_remove(&c->resume);
	/* Replies on their way do not come back to it. */
	c->paused = false;
	c->phase = PHASE_MAX;
	c->srv->num_conns--;
	conn_put(c);
}

/* One request, or a part of one. Returns how many bytes it took. */
static size_t
feed_one(struct conn *c, const char *data, size_t len)
{
	struct request *q = c->req;
	size_t took;

	if (!q) {
		/* Empty lines between requests (RFC 9112 section 2.2). */
		for (took = 0; took < len; took++)
			if (data[took] != '\r' && data[took] != '\n')
				break;
		if (took)
			return took;
		q = c->req = request_new(c->srv);
		if (!q) {
			c->closing = true;
			return len;
		}
		if (c->phase != PHASE_HEAD)
			enter(c, PHASE_HEAD);
	}
	took = request_feed(q, data, len);
	if (q->done || q->refused) {
		if (q->refused || q->cut)
			c->linger = true;
		if (c->srv->until_ns)
			q->keep_alive = false;
		enter(c, PHASE_SEND);
		if (!respond(c, q))
			c->closing = true;
		request_free(c->srv, q);
		c->req = NULL;
	}
	return took;
}

size_t
conn_feed(struct conn *c, const uint8_t *data, size_t len)
{
	size_t at = 0;

	while (at < len) {
		if (c->phase == PHASE_LINGER)
			return len;
		if (c->closing) {
			c->linger = true; /* more than we wanted to hear */
			return len;
		}
		if (c->replies >= REPLIES_MAX) {
			c->paused = true;
			return at;
		}
		at += feed_one(c, (const char *)data + at, len - at);
	}
	return at;
}

void
conn_replied(struct conn *c)
{
	c->replies--;
	if (c->phase == PHASE_MAX)
		return;
	if (c->paused && c->replies <= REPLIES_MAX / 2 &&
	    list_empty(&c->resume))
		list_append(&c->srv->resume, &c->resume);
	if (c->phase == PHASE_SEND) /* it makes progress */
		enter(c, c->replies ? PHASE_SEND : PHASE_IDLE);
}

/* The carrier may still have something to send, for which there is a time. */
static void
finish(struct conn *c, bool reset)
{
	enter(c, PHASE_SEND);
	c->srv->carrier->close(c, reset);
}

bool
conn_settle(struct conn *c)
{
	const struct carrier *via = c->srv->carrier;

	if (c->phase == PHASE_LINGER) {
		if (!c->eof)
			return true;
		finish(c, false);
		return false;
	}
	if (c->closing && c->linger && !c->eof) {
		/* A reset would take the answer away from a client that is
		   still sending (RFC 9112 section 9.6). */
		via->shutdown(c);
		enter(c, PHASE_LINGER);
		return true;
	}
	if (c->closing || (c->eof && !c->paused)) {
		finish(c, false);
		return false;
	}
	if (c->phase == PHASE_SEND && c->replies == 0)
		enter(c, PHASE_IDLE);
	return true;
}

/* ---- time ------------------------------------------------------------------------ */

/* Of a large reply a part was taken: that is progress too. */
static bool
still_takes(struct conn *c)
{
	uint64_t taken = c->srv->carrier->taken(c);
	bool more = taken != c->taken;

	c->taken = taken;
	return more;
}

static void
timed_out(struct conn *c)
{
	if (c->phase == PHASE_SEND && still_takes(c)) {
		enter(c, PHASE_SEND);
		return;
	}
	c->srv->timeouts++;
	if (c->phase == PHASE_HEAD && c->req) {
		respond_error(c, NULL, 408, NULL);
		finish(c, false);
	} else {
		/* Silent ones are let go; who does not take is cut off. */
		finish(c, c->phase == PHASE_SEND || c->phase == PHASE_LINGER);
	}
}

static void
date_refresh(struct server *srv)
{
	struct timespec t;
	char date[DATE_BYTES];
	size_t n;

	clock_gettime(CLOCK_REALTIME, &t);
	srv->now_s = t.tv_sec;
	srv->date_due_ns = srv->now_ns + 1000000000u - (uint64_t)t.tv_nsec;
	date_write(date, t.tv_sec);
	memcpy(srv->prefix, "Server: multistack-httpd\r\nDate: ", 32);
	n = 32;
	memcpy(srv->prefix + n, date, DATE_BYTES - 1);
	n += DATE_BYTES - 1;
	memcpy(srv->prefix + n, "\r\n", 2);
	srv->prefix_len = (uint16_t)(n + 2);
}

void
server_clock(struct server *srv, uint64_t now_ns)
{
	srv->now_ns = now_ns;
	if (now_ns >= srv->date_due_ns)
		date_refresh(srv);
}

/* What waits for nothing but another request may be closed at once. */
static void
close_idle(struct server *srv)
{
	struct list *l = srv->phase[PHASE_HEAD].next, *next;

	while (!list_empty(&srv->phase[PHASE_IDLE]))
		finish(
		    CONTAINER(srv->phase[PHASE_IDLE].next, struct conn, timer),
		    false);
	for (; l != &srv->phase[PHASE_HEAD]; l = next) {
		struct conn *c = CONTAINER(l, struct conn, timer);

		next = l->next;
		if (!c->req)
			finish(c, false);
	}
}

bool
server_over(struct server *srv)
{
	if (!stop)
		return false;
	if (!srv->until_ns) {
		/* What has come until now is looked at first. */
		srv->until_ns = srv->now_ns + srv->opt->grace_ns;
		return false;
	}
	close_idle(srv);
	return (srv->num_conns == 0 && srv->num_replies == 0) || stop > 1 ||
	       srv->now_ns >= srv->until_ns;
}

void
server_timeouts(struct server *srv)
{
	for (unsigned int i = 0; i < PHASE_MAX; i++)
		while (!list_empty(&srv->phase[i])) {
			struct conn *c = CONTAINER(srv->phase[i].next,
						   struct conn, timer);
			uint64_t due = c->since_ns + srv->opt->timeout_ns[i];

			if (due > srv->now_ns)
				break;
			timed_out(c);
		}
}

void
server_resume(struct server *srv)
{
	struct list now;

	if (list_empty(&srv->resume))
		return;
	/* Those that come again in the meantime wait for the next turn. */
	now = srv->resume;
	now.next->prev = now.prev->next = &now;
	list_init(&srv->resume);
	while (!list_empty(&now)) {
		struct conn *c = CONTAINER(now.next, struct conn, resume);

		list_remove(&c->resume);
		c->paused = false;
		srv->carrier->resume(c);
	}
}

int
server_timeout_ms(const struct server *srv)
{
	uint64_t best = 500000000u;

	if (!list_empty(&srv->resume))
		return 0;
	for (unsigned int i = 0; i < PHASE_MAX; i++) {
		const struct conn *c;
		uint64_t due;

		if (list_empty(&srv->phase[i]))
			continue;
		c = CONTAINER(srv->phase[i].next, struct conn, timer);
		due = c->since_ns + srv->opt->timeout_ns[i];
		if (due <= srv->now_ns)
			return 0;
		if (due - srv->now_ns < best)
			best = due - srv->now_ns;
	}
	return (int)(best / 1000000u) + 1;
}

/* ---- the server -------------------------------------------------------------------- */

int
server_init(struct server *srv, const struct options *opt,
	    const struct carrier *carrier, unsigned int index)
{
	memset(srv, 0, sizeof *srv);
	srv->opt = opt;
	srv->carrier = carrier;
	srv->index = index;
	for (unsigned int i = 0; i < PHASE_MAX; i++)
		list_init(&srv->phase[i]);
	list_init(&srv->resume);
	server_clock(srv, mslink_now_ns());
	return files_create(&srv->files, opt->root, opt->cache);
}

void
server_deinit(struct server *srv)
{
	while (srv->free_replies) {
		struct reply *r = srv->free_replies;

		srv->free_replies = r->next;
		free(r);
	}
	while (srv->free_requests) {
		struct request *q = srv->free_requests;

		srv->free_requests = q->next;
		free(q);
	}
	files_destroy(srv->files);
}

void
server_add(struct server *dst, const struct server *src)
{
	dst->conns += src->conns;
	dst->requests += src->requests;
	dst->errors += src->errors;
	dst->timeouts += src->timeouts;
	dst->resets += src->resets;
	dst->sent_bytes += src->sent_bytes;
}
