/* SPDX-License-Identifier: BSD-2-Clause */
/* conn.c: what the sockets of utcp-peer do. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

#define ECHO_BYTES 65536
#define CHUNK 65536	      /* zero copy: of one utcp_buf_t */
#define TURN_BYTES (4u << 20) /* then the others, and the link, have a turn */

static uint8_t scratch[256 << 10];

struct conn *
conn_new(struct peer *p, utcp_sock_t *s, const char *name)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		exit(2);
	c->p = p;
	c->s = s;
	c->bad_at = UINT64_MAX;
	c->born_ns = utcp_now_ns(p->u);
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->prev = p->conns.prev;
	c->next = &p->conns;
	c->prev->next = c;
	p->conns.prev = c;
	utcp_set_user(s, c);
	return c;
}

struct conn *
conn_find(struct peer *p, const char *name)
{
	/* The youngest: names of ended ones may come again. */
	for (struct conn *c = p->conns.prev; c != &p->conns; c = c->prev)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

static void
say(const struct conn *c, const char *event, int error)
{
	if (c->quiet)
		return;
	printf("{\"event\": \"%s\", \"error\": %d", event, error);
	json_conn(stdout, c);
	if (c->s)
		json_info(stdout, c->s);
	puts("}");
}

void
conn_end(struct conn *c, int error)
{
	struct conn *l = c->parent;

	say(c, "end", error);
	if (l) {
		l->ended++;
		l->failed += error != 0;
		l->sum_rx += c->rx;
		l->sum_tx += c->tx;
		l->sum_bad += c->bad_at != UINT64_MAX;
	}
	for (struct conn *d = c->p->conns.next;
	     c->listener && d != &c->p->conns; d = d->next)
		if (d->parent == c)
			d->parent = NULL;
	/* utcp_close calls `done` of what it drops. */
	if (c->s)
		utcp_close(c->s);
	c->s = NULL;
	c->p->again -= c->again;
	c->prev->next = c->next;
	c->next->prev = c->prev;
	free(c->echo);
	if (c->sent_bufs == 0)
		free(c); /* else the last `done` does */
}

/* ---- the pattern ------------------------------------------------------------- */

void
pattern_fill(struct peer *p)
{
	uint64_t x = 0x123456789abcdefu, z;

	p->pattern = malloc(2 * PATTERN_BYTES + 8);
	if (p->pattern == NULL)
		exit(2);
	for (uint32_t i = 0; i < PATTERN_BYTES; i += 8) { /* splitmix64 */
		z = x += 0x9e3779b97f4a7c15u;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
		z = (z ^ z >> 27) * 0x94d049bb133111ebu;
		z ^= z >> 31;
		memcpy(p->pattern + i, &z, 8);
	}
	memcpy(p->pattern + PATTERN_BYTES, p->pattern, PATTERN_BYTES);
}

static void
check(struct conn *c, const uint8_t *data, size_t len)
{
	const uint8_t *want;
	size_t n, i;

	if (c->rx == 0)
		c->first_ns = utcp_now_ns(c->p->u);
	for (; len; data += n, len -= n, c->rx += n) {
		want = c->p->pattern + c->rx % PATTERN_BYTES;
		n = len < PATTERN_BYTES ? len : PATTERN_BYTES;
		if (c->mode == MODE_ECHO || c->bad_at != UINT64_MAX ||
		    !memcmp(data, want, n))
			continue;
		for (i = 0; data[i] == want[i]; i++)
			continue;
		c->bad_at = c->rx + i;
	}
	c->last_ns = utcp_now_ns(c->p->u);
}

/* ---- read ------------------------------------------------------------------------ */

/* Up to `bytes`: returns how many, 0 at the end, or a negative errno. */
ssize_t
conn_read(struct conn *c, uint64_t bytes)
{
	utcp_view_t v[8];
	size_t len = bytes < sizeof(scratch) ? bytes : sizeof(scratch);
	size_t sum = 0;
	ssize_t r;
	int n;

	if (c->p->zerocopy) {
		n = utcp_views(c->s, v, 8);
		for (int i = 0; i < n && sum < len; i++) {
			if (v[i].len > len - sum)
				v[i].len = len - sum;
			check(c, v[i].data, v[i].len);
			sum += v[i].len;
		}
		if (sum && (r = utcp_consume(c->s, sum)) < 0)
			return r;
		if (sum)
			return (ssize_t)sum;
		/* No data: utcp_read says whether it is the end. */
	}
	r = utcp_read(c->s, scratch, len, 0);
	if (r > 0)
		check(c, scratch, (size_t)r);
	return r;
}

static int
sink(struct conn *c)
{
	ssize_t r;

	for (size_t turn = 0; turn < TURN_BYTES; turn += (size_t)r) {
		r = conn_read(c, UINT64_MAX);
		if (r <= 0) {
			c->eof |= r == 0;
			/* Before the answer to a Fast Open's SYN. */
			if (r == -EAGAIN ||
			    (r == -ENOTCONN && !(utcp_poll(c->s) & UTCP_HUP)))
				return 0;
			return (int)r;
		}
	}
	return 1;
}

/* ---- write ----------------------------------------------------------------------- */

struct sent {
	utcp_buf_t buf;
	struct conn *c;
	uint8_t own[]; /* an echo's */
};

static void
sent_done(utcp_buf_t *buf, int status)
{
	struct sent *b = (struct sent *)(void *)buf;
	struct conn *c = b->c;

	(void)status;
	free(b);
	if (--c->sent_bufs == 0 && c->s == NULL)
		free(c);
}

static ssize_t
send_zero_copy(struct conn *c, const uint8_t *data, size_t len, bool copy,
	       int flags)
{
	struct sent *b;
	int r;

	if (!(utcp_poll(c->s) & UTCP_OUT))
		return -EAGAIN;
	if (len > CHUNK)
		len = CHUNK;
	b = malloc(sizeof(*b) + (copy ? len : 0));
	if (b == NULL)
		return -ENOMEM;
	if (copy)
		memcpy(b->own, data, len);
	b->buf = (utcp_buf_t){ .data = copy ? b->own : data,
			       .len = len,
			       .done = sent_done };
	b->c = c;
	c->sent_bufs++;
	r = utcp_send(c->s, &b->buf, flags);
	if (r) {
		c->sent_bufs--;
		free(b);
		return r;
	}
	return (ssize_t)len;
}

/* Up to `bytes` of the pattern: returns how many, or a negative errno. */
ssize_t
conn_write(struct conn *c, uint64_t bytes, int flags)
{
	const uint8_t *from = c->p->pattern + c->tx % PATTERN_BYTES;
	size_t len = bytes < PATTERN_BYTES ? bytes : PATTERN_BYTES;
	ssize_t r;

	if (c->p->zerocopy)
		r = send_zero_copy(c, from, len, false, flags);
	else
		r = utcp_write(c->s, from, len, flags);
	if (r > 0)
		c->tx += (uint64_t)r;
	return r;
}

static int
source(struct conn *c)
{
	ssize_t r;

	for (size_t turn = 0; c->tx < c->want; turn += (size_t)r) {
		if (turn > TURN_BYTES)
			return 1;
		r = conn_write(c, c->want - c->tx, 0);
		if (r < 0)
			return r == -EAGAIN ? 0 : (int)r;
	}
	if (!c->shut) {
		c->shut = true;
		return utcp_shutdown(c->s, UTCP_SHUT_WR);
	}
	return 0;
}

static int
echo(struct conn *c)
{
	ssize_t r;

	if (c->echo == NULL && (c->echo = malloc(ECHO_BYTES)) == NULL)
		return -ENOMEM;
	for (size_t turn = 0; turn < TURN_BYTES;) {
		if (c->echo_at == c->echo_len) {
			r = utcp_read(c->s, c->echo, ECHO_BYTES, 0);
			if (r == -EAGAIN)
				return 0;
			if (r < 0)
				return (int)r;
			if (r == 0) {
				c->eof = true;
				break;
			}
			check(c, c->echo, (size_t)r);
			c->echo_at = 0;
			c->echo_len = (size_t)r;
		}
		if (c->p->zerocopy)
			r = send_zero_copy(c, c->echo + c->echo_at,
					   c->echo_len - c->echo_at, true, 0);
		else
			r = utcp_write(c->s, c->echo + c->echo_at,
				       c->echo_len - c->echo_at, 0);
		if (r < 0)
			return r == -EAGAIN ? 0 : (int)r;
		c->echo_at += (size_t)r;
		c->tx += (uint64_t)r;
		turn += (size_t)r;
	}
	if (c->eof && !c->shut) {
		c->shut = true;
		return utcp_shutdown(c->s, UTCP_SHUT_WR);
	}
	return !c->eof;
}

/* ---- events ------------------------------------------------------------------------ */

static void
accept_all(struct conn *l)
{
	utcp_sock_t *s;
	struct conn *c;
	char name[sizeof(c->name)];

	while (utcp_accept(l->s, &s) == 0) {
		snprintf(name, sizeof(name), "%.20s.%u", l->name,
			 (unsigned int)l->accepted++);
		c = conn_new(l->p, s, name);
		c->parent = l;
		c->mode = l->mode;
		c->want = l->want;
		c->quiet = l->quiet;
		c->keep = l->keep;
		c->open = true;
		c->open_ns = c->born_ns;
		say(c, "accepted", 0);
		conn_step(c);
	}
}

/* 1: wants another turn; 0; or a negative errno. */
static int
work(struct conn *c)
{
	int r = 0, again = 0;

	switch (c->mode) {
	case MODE_ECHO:
		return c->eof ? 0 : echo(c);
	case MODE_SOURCE:
	case MODE_BOTH:
	case MODE_SINK:
		if (!c->eof)
			r = again = sink(c);
		if (r >= 0 && c->mode != MODE_SINK) {
			r = source(c);
			again |= r;
		}
		if (r >= 0 && c->mode == MODE_SINK && c->eof && !c->shut) {
			c->shut = true;
			r = utcp_shutdown(c->s, UTCP_SHUT_WR);
		}
		return r < 0 ? r : again;
	case MODE_HOLD:
		break;
	}
	return 0;
}

void
conn_step(struct conn *c)
{
	uint32_t ready = utcp_poll(c->s);
	int64_t error = 0;
	int r = 0;

	if (c->listener) {
		accept_all(c);
		return;
	}
	if (ready & UTCP_OUT && !c->open) {
		c->open = true;
		c->open_ns = c->first_ns = c->last_ns = utcp_now_ns(c->p->u);
		say(c, "open", 0);
	}
	if (c->open)
		r = work(c);
	c->p->again += (r > 0) - c->again;
	c->again = r > 0;
	if (ready & UTCP_ERR)
		utcp_get(c->s, UTCP_OPT_ERROR, &error);
	if (error || r < 0) {
		conn_end(c, error ? (int)error : -r);
	} else if (ready & UTCP_ERR) {
		conn_end(c, EPROTO); /* ERR without an error: a fault */
	} else if (c->eof && c->shut && !c->keep && c->mode != MODE_HOLD) {
		conn_end(c, 0);
	} else if (ready & UTCP_RDHUP && !c->eof && c->mode == MODE_HOLD) {
		c->eof = true;
		say(c, "rdhup", 0);
	}
}

void
peer_events(struct peer *p)
{
	struct conn *c, *next;
	utcp_event_t ev[64];
	int n;

	/* Those that stopped at the end of their turn: no edge will come. */
	for (c = p->conns.next; p->again && c != &p->conns; c = next) {
		next = c->next;
		if (c->again)
			conn_step(c);
	}
	do {
		n = utcp_events(p->u, ev, 64);
		for (int i = 0; i < n; i++)
			if (ev[i].udp)
				udp_echo_step(p, ev[i].udp);
			else if (ev[i].user)
				conn_step(ev[i].user);
	} while (n == 64);
}
