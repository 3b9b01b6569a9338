/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn.c: a connection, whichever carries it.
 *
 * Requests under way stand in a ring, the oldest first; responses come in that
 * order. What breaks a connection fails all of them. A server that has said
 * that it closes has not looked at those behind (section 9.3.2): they are sent
 * again on the next connection, and their time goes on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

/* ---- all of them, and lists ----------------------------------------------------------- */

static void
leave(struct conn *c)
{
	if (c->waits) {
		list_remove(&c->wait);
		c->waits = false;
	}
}

static void
join(struct conn *c, struct list *list)
{
	leave(c);
	list_append(list, &c->wait);
	c->waits = true;
}

static void
set_state(struct conn *c, enum conn_state state)
{
	c->w->opening += state == CONN_OPENING;
	c->w->opening -= c->state == CONN_OPENING;
	c->state = (uint8_t)state;
}

int
conn_create_all(struct worker *w)
{
	w->conn_bytes = sizeof(struct conn) +
			w->opt->pipeline * sizeof(struct pend);
	w->conns = calloc(w->num_conns, w->conn_bytes);
	if (!w->conns)
		return -ENOMEM;
	for (unsigned int i = 0; i < w->num_conns; i++) {
		struct conn *c = conn_at(w, i);

		c->w = w;
		c->fd = -1;
		list_init(&c->wait);
		response_reset(&c->resp, w->opt->head);
		if (w->opt->num_sources)
			c->source = (uint16_t)(i % w->opt->num_sources);
		join(c, &w->retry);
	}
	return 0;
}

struct conn *
conn_at(const struct worker *w, unsigned int i)
{
	return (struct conn *)(void *)(w->conns + i * w->conn_bytes);
}

void
conn_destroy_all(struct worker *w)
{
	for (unsigned int i = 0; w->conns && i < w->num_conns; i++)
		response_deinit(&conn_at(w, i)->resp);
	free(w->conns);
	w->conns = NULL;
}

static void
push(struct conn *c, uint64_t due_ns)
{
	uint32_t at = c->first + c->num;

	if (at >= c->w->opt->pipeline)
		at -= c->w->opt->pipeline;
	c->pend[at].due_ns = due_ns;
	c->pend[at].sent_ns = c->w->now_ns;
	c->num++;
	c->unsent++;
	c->w->outstanding++;
	worker_begun(c->w, due_ns);
}

static struct pend *
pop(struct conn *c)
{
	struct pend *p = &c->pend[c->first];

	if (++c->first == c->w->opt->pipeline)
		c->first = 0;
	c->num--;
	c->w->outstanding--;
	return p;
}

/* ---- ends ----------------------------------------------------------------------------- */

/* All that is under way on it has failed. */
static void
fail_all(struct conn *c, enum error e)
{
	while (c->num)
		worker_error(c->w, pop(c)->due_ns, e);
	c->unsent = 0;
}

static void
shut(struct conn *c, bool reset)
{
	leave(c);
	set_state(c, CONN_SHUT);
	c->closing = false;
	c->out = 0;
	response_reset(&c->resp, c->w->opt->head);
	c->w->carrier->close(c, reset);
}

/* The connection's own error, which no request is there for: one fails that it
   would have carried. */
static void
fail_one(struct conn *c, enum error e)
{
	if (c->w->left == 0)
		return;
	worker_begun(c->w, c->w->now_ns);
	worker_error(c->w, c->w->now_ns, e);
}

/* It is shut: opened again, now or in a moment. */
static void
again(struct conn *c, bool now)
{
	if (!now) {
		c->since_ns = c->w->now_ns;
		join(c, &c->w->retry);
	} else {
		conn_start(c);
	}
}

static void
broken(struct conn *c, enum error e)
{
	fail_all(c, e);
	shut(c, true);
	again(c, e != ERR_CONNECT && c->served);
}

void
conn_failed(struct conn *c, int why)
{
	if (c->state == CONN_OPENING) {
		if (c->num == 0)
			fail_one(c, ERR_CONNECT);
		broken(c, ERR_CONNECT);
	} else if (c->num == 0) {
		conn_settle(c, true);
	} else {
		broken(c, why == -ETIMEDOUT ? ERR_TIMEOUT : ERR_RESET);
	}
}

void
conn_timeout(struct conn *c)
{
	if (c->state == CONN_OPENING)
		conn_failed(c, -ETIMEDOUT);
	else
		broken(c, ERR_TIMEOUT);
}

/* ---- out -------------------------------------------------------------------------------- */

void
conn_start(struct conn *c)
{
	struct worker *w = c->w;
	int r;

	leave(c);
	if (w->every_ns > 0 && w->opt->one_each && c->num == 0) {
		join(c, &w->idle);
		return;
	}
	if (c->num == 0 && w->left == 0)
		return;
	if (w->opt->one_each && c->num == 0)
		push(c, w->now_ns);
	c->unsent = c->num;
	c->since_ns = w->now_ns;
	c->served = false;
	set_state(c, CONN_OPENING);
	r = w->carrier->open(c);
	if (r)
		conn_failed(c, r);
}

/* Those that were not sent yet. */
static void
send_all(struct conn *c)
{
	unsigned int n = c->unsent;
	int r;

	c->unsent = 0;
	if (c->num == n)
		c->since_ns = c->w->now_ns;
	r = c->w->carrier->send(c, n);
	if (r)
		conn_failed(c, r);
}

/* Has it do what it can: an open one. */
static void
go_on(struct conn *c)
{
	struct worker *w = c->w;

	if (w->every_ns > 0) {
		if (c->num < w->opt->pipeline && !c->waits)
			join(c, &w->idle);
	} else {
		while (c->num < w->opt->pipeline && w->left > 0)
			push(c, w->now_ns);
	}
	if (c->unsent)
		send_all(c);
}

void
conn_assign(struct conn *c, uint64_t due_ns)
{
	push(c, due_ns);
	if (c->state == CONN_SHUT) {
		conn_start(c);
		return;
	}
	if (c->num == c->w->opt->pipeline)
		leave(c);
	else
		join(c, &c->w->idle);
	send_all(c);
}

void
conn_opened(struct conn *c)
{
	struct worker *w = c->w;

	if (c->since_ns >= w->begin_ns) {
		w->stats.connects++;
		hist_record(w->stats.connect, w->now_ns - c->since_ns);
	}
	set_state(c, CONN_OPEN);
	go_on(c);
}

/* ---- in ----------------------------------------------------------------------------------- */

static void
answered(struct conn *c)
{
	struct worker *w = c->w;

	worker_answered(w, pop(c), &c->resp);
	c->served = true;
	c->since_ns = w->now_ns;
	c->closing = w->opt->one_each || !response_keeps(&c->resp);
	response_reset(&c->resp, w->opt->head);
}

void
conn_feed(struct conn *c, const uint8_t *data, size_t len)
{
	size_t at = 0;

	if (c->w->now_ns >= c->w->begin_ns)
		c->w->stats.in_bytes += len;
	while (at < len && !c->closing && c->resp.state != RESPONSE_BAD) {
		/* Nobody has asked. */
		if (c->num == c->unsent) {
			c->resp.state = RESPONSE_BAD;
			break;
		}
		at += response_feed(&c->resp, &c->w->cache,
				    (const char *)data + at, len - at);
		if (c->resp.state == RESPONSE_DONE)
			answered(c);
	}
}

void
conn_settle(struct conn *c, bool end)
{
	if (c->resp.state == RESPONSE_BAD) {
		if (c->num == 0)
			fail_one(c, ERR_BAD);
		broken(c, ERR_BAD);
		return;
	}
	if (end && !c->closing && response_end(&c->resp))
		answered(c);
	if (c->closing) {
		if (c->since_ns >= c->w->begin_ns)
			c->w->stats.repeated += c->num;
		shut(c, c->w->opt->reset);
		again(c, true);
	} else if (end && c->num) {
		broken(c, ERR_CLOSED);
	} else if (end) {
		c->w->stats.idle_closed += c->w->now_ns >= c->w->begin_ns;
		shut(c, false);
		again(c, c->served);
	} else {
		go_on(c);
	}
}
