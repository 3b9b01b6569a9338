/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rcvbuf.c: what came and the user has not read: a list of blocks, which lie in
 * packets' memory until utcp_retain() and are copied only if they are unread
 * then. Small ones are copied together, so that what is kept is not much more
 * than the data in it.
 */
#include "ext.h"
#include "tcp_input.h"
#include "tcp_output.h"

#define OWN_MIN 256u
#define OWN_USUAL (16u << 10)
#define OWN_MAX (64u << 10)

static struct utcp__rblk *
first(const utcp_sock_t *s)
{
	return CONTAINER(s->busy->rcvq.next, struct utcp__rblk, link);
}

void
utcp__rblk_free(utcp_t *u, struct utcp__rblk *b)
{
	if (b->room) {
		u->buffered_bytes -= b->room;
		utcp__free(u, b->own, b->room);
	}
	utcp__pool_put(u, UTCP__POOL_RBLK, b);
}

/* Gives b memory of its own; what it has stays what it is. */
static int
own(utcp_t *u, struct utcp__rblk *b, size_t room)
{
	b->own = utcp__alloc_raw(u, room);
	if (!b->own)
		return -ENOMEM;
	b->room = (uint32_t)room;
	u->buffered_bytes += room;
	return 0;
}

bool
utcp__rblk_append(struct utcp__rblk *b, const struct utcp__seg_in *seg)
{
	unsigned int i;

	if (b->data + b->len != b->own + b->own_len ||
	    b->room - b->own_len < seg->len)
		return false;
	for (i = 0; i < seg->num_parts; i++) {
		memcpy(b->own + b->own_len, seg->part[i].data,
		       seg->part[i].len);
		b->own_len += (uint32_t)seg->part[i].len;
	}
	b->len += seg->len;
	return true;
}

struct utcp__rblk *
utcp__rblk_new(utcp_t *u, const struct utcp__seg_in *seg, uint32_t room)
{
	struct utcp__rblk *b = NULL;

	if (u->buffered_bytes + room <= u->cfg.max_bytes)
		b = utcp__pool_get(u, UTCP__POOL_RBLK);
	if (!b || own(u, b, room)) {
		if (b)
			utcp__pool_put(u, UTCP__POOL_RBLK, b);
		return NULL;
	}
	link_init(&b->link);
	b->data = b->own;
	b->seq = seg->seq;
	(void)utcp__rblk_append(b, seg);
	return b;
}

/* ---- in ---------------------------------------------------------------- */

/* Where what is in order goes: to the user, or first to an extension. */
static struct utcp__link *
queue(const utcp_sock_t *s)
{
	struct utcp__ext_stream *st = utcp__ext_stream(s);

	return st ? &st->raw : &s->busy->rcvq;
}

/* n bytes more are in order. */
static void
arrived(utcp_sock_t *s, uint32_t n)
{
	s->rcv_nxt += n;
	s->bytes_received += n;
	if (UNLIKELY(utcp__ext_stream(s) != NULL)) {
		s->ext->stream->raw_bytes += n;
		utcp__ext_later(s->ext);
		return;
	}
	s->rcvq_bytes += n;
	s->told &= (uint8_t)~UTCP_IN; /* more is news */
	utcp__wake(s);
}

static int
append_borrowed(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	struct utcp__link *list = queue(s), *last = list->prev;
	unsigned int i;

	for (i = 0; i < seg->num_parts; i++) {
		struct utcp__rblk *b;

		if (!seg->part[i].len)
			continue;
		b = utcp__pool_get(s->u, UTCP__POOL_RBLK);
		if (!b)
			goto nomem;
		b->data = seg->part[i].data;
		b->len = (uint32_t)seg->part[i].len;
		link_append(list, &b->link);
	}
	if (link_empty(&s->busy->held))
		link_append(&s->u->held, &s->busy->held);
	return 0;

nomem:
	while (list->prev != last) {
		struct utcp__rblk *b = CONTAINER(list->prev, struct utcp__rblk,
						 link);

		link_remove(&b->link);
		utcp__rblk_free(s->u, b);
	}
	return -ENOMEM;
}

int
utcp__rcv_append(utcp_sock_t *s, struct utcp__seg_in *seg)
{
	struct utcp__rblk *b;

	if (s->u->buffered_bytes + seg->len > s->u->cfg.max_bytes) {
		COUNT(s->u, DROP_NOMEM);
		return -ENOMEM;
	}
	if (seg->in->borrowed) {
		if (append_borrowed(s, seg)) {
			COUNT(s->u, DROP_NOMEM);
			return -ENOMEM;
		}
		arrived(s, seg->len);
		return 0;
	}
	b = utcp__rblk_new(s->u, seg, seg->len);
	if (!b) {
		COUNT(s->u, DROP_NOMEM);
		return -ENOMEM;
	}
	utcp__rcv_append_blk(s, b);
	return 0;
}

/* The block before this one, or the last, if it has memory of its own. */
static struct utcp__rblk *
tail_of(const struct utcp__link *list, const struct utcp__link *before)
{
	struct utcp__rblk *b;

	if (before->prev == list)
		return NULL;
	b = CONTAINER(before->prev, struct utcp__rblk, link);
	return b->room ? b : NULL;
}

/* Moves bytes of b into the room that `to` has; true: b is empty now. */
static bool
fill(struct utcp__rblk *to, struct utcp__rblk *b)
{
	uint32_t n = to->room - to->own_len;

	if (n > b->len)
		n = b->len;
	memcpy(to->own + to->own_len, b->data, n);
	to->own_len += n;
	to->len += n;
	b->data += n;
	b->len -= n;
	return b->len == 0;
}

/* For a block that is to take small ones: more, when more waits already. */
static size_t
usual_room(const utcp_sock_t *s)
{
	if (s->rcvq_bytes < OWN_MIN)
		return OWN_MIN;
	return s->rcvq_bytes < OWN_USUAL ? s->rcvq_bytes : OWN_USUAL;
}

void
utcp__rcv_append_blk(utcp_sock_t *s, struct utcp__rblk *b)
{
	utcp_t *u = s->u;
	struct utcp__link *list = queue(s);
	struct utcp__rblk *to;
	uint32_t len = b->len;

	link_remove(&b->link);
	/* Small ones go together; without memory each stays what it is. */
	if (b->room && b->room < OWN_MIN) {
		to = tail_of(list, list);
		if (!to || to->room - to->own_len < len) {
			to = utcp__pool_get(u, UTCP__POOL_RBLK);
			if (to && own(u, to, usual_room(s))) {
				utcp__pool_put(u, UTCP__POOL_RBLK, to);
				to = NULL;
			}
			if (to) {
				to->data = to->own;
				link_append(list, &to->link);
			}
		}
		if (to && fill(to, b)) {
			utcp__rblk_free(u, b);
			arrived(s, len);
			return;
		}
	}
	link_append(list, &b->link);
	if (!b->room && link_empty(&s->busy->held))
		link_append(&u->held, &s->busy->held);
	arrived(s, len);
}

/* Memory of its own for a borrowed block, and room for what follows. */
static int
keep(utcp_sock_t *s, struct utcp__rblk *b, size_t follow)
{
	const uint8_t *from = b->data;
	size_t room = usual_room(s);

	if (room < follow)
		room = follow < OWN_MAX ? follow : OWN_MAX;
	if (room < b->len)
		room = b->len;
	if (own(s->u, b, room))
		return -ENOMEM;
	memcpy(b->own, from, b->len);
	b->data = b->own;
	b->own_len = b->len;
	return 0;
}

/* Copies what is borrowed in one queue. -ENOMEM. */
static int
retain(utcp_sock_t *s, struct utcp__link *list)
{
	struct utcp__link *l, *next;
	size_t follow = 0;

	for (l = list->next; l != list; l = l->next) {
		struct utcp__rblk *b = CONTAINER(l, struct utcp__rblk, link);

		if (!b->room)
			follow += b->len;
	}
	for (l = list->next; l != list && follow; l = next) {
		struct utcp__rblk *b = CONTAINER(l, struct utcp__rblk, link);
		struct utcp__rblk *to = tail_of(list, l);

		next = l->next;
		if (b->room)
			continue;
		follow -= b->len;
		if (to && fill(to, b)) {
			link_remove(l);
			utcp__rblk_free(s->u, b);
		} else if (keep(s, b, follow + b->len)) {
			return -ENOMEM;
		}
	}
	return 0;
}

void
utcp__rcv_retain(utcp_sock_t *s)
{
	int r;

	link_remove(&s->busy->held);
	r = retain(s, &s->busy->rcvq);
	if (r == 0 && UNLIKELY(utcp__ext_raw(s) != 0))
		r = retain(s, &s->ext->stream->raw);
	if (r == 0)
		return;
	/* It was acknowledged: all that is left is to end. */
	COUNT(s->u, DROP_NOMEM);
	utcp__rcv_drop(s);
	if (s->dead)
		s->error = ENOBUFS;
	utcp__sock_abort(s, ENOBUFS);
}

/* More for the user than there was. */
static void
news(utcp_sock_t *s, uint32_t n)
{
	s->rcvq_bytes += n;
	s->told &= (uint8_t)~UTCP_IN;
	utcp__wake(s);
}

int
utcp__rcv_deliver(utcp_sock_t *s, const void *data, uint32_t len)
{
	struct utcp__link *list;
	struct utcp__rblk *to, *more = NULL;
	uint32_t n = 0;

	if (!utcp__rouse(s) || s->u->buffered_bytes + len > s->u->cfg.max_bytes)
		goto nomem;
	list = &s->busy->rcvq;
	to = tail_of(list, list);
	/* Behind what the user has read in part nothing else may stand. */
	if (to && to->data + to->len == to->own + to->own_len)
		n = MIN(to->room - to->own_len, len);
	if (n < len) {
		more = utcp__pool_get(s->u, UTCP__POOL_RBLK);
		if (!more || own(s->u, more, MAX(len - n, usual_room(s)))) {
			if (more)
				utcp__pool_put(s->u, UTCP__POOL_RBLK, more);
			goto nomem;
		}
		more->data = more->own;
		more->len = more->own_len = len - n;
		memcpy(more->own, (const uint8_t *)data + n, len - n);
		link_append(list, &more->link);
	}
	if (n) {
		memcpy(to->own + to->own_len, data, n);
		to->own_len += n;
		to->len += n;
	}
	news(s, len);
	return 0;

nomem:
	COUNT(s->u, DROP_NOMEM);
	return -ENOMEM;
}

void
utcp__rcv_take_raw(utcp_sock_t *s, struct utcp__link *list, uint32_t bytes)
{
	while (!link_empty(list)) {
		struct utcp__link *l = list->next;

		link_remove(l);
		link_append(&s->busy->rcvq, l);
	}
	news(s, bytes);
}

static void
drop_list(utcp_t *u, struct utcp__link *list)
{
	while (!link_empty(list)) {
		struct utcp__rblk *b = CONTAINER(list->next, struct utcp__rblk,
						 link);

		link_remove(&b->link);
		utcp__rblk_free(u, b);
	}
}

void
utcp__rcv_drop(utcp_sock_t *s)
{
	drop_list(s->u, &s->busy->rcvq);
	s->rcvq_bytes = 0;
	if (UNLIKELY(utcp__ext_raw(s) != 0)) {
		drop_list(s->u, &s->ext->stream->raw);
		s->ext->stream->raw_bytes = 0;
	}
	link_remove(&s->busy->held);
	utcp__reass_drop(s);
}

/* ---- sizes ------------------------------------------------------------- */

uint32_t
utcp__rcv_most(const utcp_sock_t *s)
{
	int64_t clamp = OPT(s, WINDOW_CLAMP);
	uint32_t most = s->rcvbuf;

	if (clamp)
		most = (uint32_t)MIN((int64_t)most, clamp);
	return MAX(most, 1u << s->rcv_wscale);
}

uint32_t
utcp__rcv_space(const utcp_sock_t *s)
{
	const utcp_t *u = s->u;
	uint64_t space = 0, left = 0;
	uint32_t buf = MAX(s->rcvbuf, 1u << s->rcv_wscale);
	uint32_t used = s->rcvq_bytes + utcp__ext_raw(s);

	/* What came out of order lies in the window: it does not shut it. */
	if (used < buf)
		space = buf - used;
	space = MIN(space, utcp__rcv_most(s));
	if (u->buffered_bytes < u->cfg.max_bytes)
		left = u->cfg.max_bytes - u->buffered_bytes;
	return (uint32_t)(space < left ? space : left);
}

/*
 * Dynamic right-sizing: what the user reads in a round trip is what the sender
 * could send in one; twice that lets it go on to grow.
 */
static void
rcv_tune(utcp_sock_t *s)
{
	uint64_t now = s->u->now_ns, rtt = s->busy->rcv_rtt_ns, want;
	uint64_t max = (uint64_t)OPT(s, RCVBUF_MAX);
	uint32_t read = s->rcv_nxt - s->rcvq_bytes - utcp__ext_raw(s), copied;

	if (s->srtt_ns && (!rtt || s->srtt_ns < rtt))
		rtt = s->srtt_ns;
	if (!rtt || OPT(s, RCVBUF) || s->rcvbuf >= max)
		return;
	if (s->busy->rcvq_ns && now - s->busy->rcvq_ns < rtt)
		return;
	copied = read - s->busy->rcvq_seq;
	if (UNLIKELY(seq_lt(read, s->busy->rcvq_seq)))
		copied = 0; /* an extension made more of it than came */
	if (s->busy->rcvq_ns && copied > s->busy->rcvq_space &&
	    s->u->buffered_bytes < s->u->cfg.max_bytes / 2) {
		want = 2ull * copied + 16ull * s->rcv_mss;
		/* It grows fast: be ahead of it. */
		if (s->busy->rcvq_space)
			want += want * (copied - s->busy->rcvq_space) /
				s->busy->rcvq_space;
		if (want > 4ull * s->rcvbuf)
			want = 4ull * s->rcvbuf;
		if (want > max)
			want = max;
		if (want > s->rcvbuf)
			s->rcvbuf = (uint32_t)want;
		s->busy->rcvq_space = copied;
	}
	s->busy->rcvq_seq = read;
	s->busy->rcvq_ns = now ? now : 1;
}

/* ---- calls ------------------------------------------------------------- */

/* What to return when there is nothing to read: 0 at the end. */
static int
read_state(utcp_sock_t *s)
{
	if (s->orphan)
		return -EINVAL;
	if (s->dead)
		return s->error ? utcp__take_error(s) : 0;
	if (s->state == UTCP_CLOSED || s->state == UTCP_LISTEN)
		return -ENOTCONN;
	/* RFC 9293 section 3.10.3: before the connection is open, one waits. */
	return utcp__rd_end(s) ? 0 : -EAGAIN;
}

static void
consumed(utcp_sock_t *s)
{
	if (UNLIKELY(utcp__ext_raw(s) != 0)) {
		/* There is room for more of what waits. */
		utcp__ext_later(s->ext);
		utcp__enter(s->u);
		utcp__leave(s->u);
		/* That may have been all: what it learns with is gone. */
		if (s->busy == &s->u->rest)
			return;
	}
	if (s->dead)
		return;
	rcv_tune(s);
	utcp__window_update(s);
}

/* The first n bytes are gone. */
static void
consume(utcp_sock_t *s, size_t n)
{
	s->rcvq_bytes -= (uint32_t)n;
	while (n) {
		struct utcp__rblk *b = first(s);

		if (n < b->len) {
			b->data += n;
			b->len -= (uint32_t)n;
			break;
		}
		n -= b->len;
		link_remove(&b->link);
		utcp__rblk_free(s->u, b);
	}
	if (link_empty(&s->busy->rcvq) && !utcp__ext_raw(s)) {
		link_remove(&s->busy->held);
		(void)utcp__rouse(s); /* to rest, if that was all */
	}
}

ssize_t
utcp_read(utcp_sock_t *s, void *buf, size_t len, int flags)
{
	struct utcp__link *l;
	size_t done = 0;

	if (!s || (!buf && len) || (flags & ~UTCP_MSG_PEEK))
		return -EINVAL;
	if (!s->rcvq_bytes || s->orphan)
		return read_state(s);
	for (l = s->busy->rcvq.next; l != &s->busy->rcvq && done < len;
	     l = l->next) {
		struct utcp__rblk *b = CONTAINER(l, struct utcp__rblk, link);
		size_t n = b->len < len - done ? b->len : len - done;

		memcpy((uint8_t *)buf + done, b->data, n);
		done += n;
	}
	if (!(flags & UTCP_MSG_PEEK) && done) {
		consume(s, done);
		consumed(s);
	}
	return (ssize_t)done;
}

int
utcp_views(utcp_sock_t *s, utcp_view_t *views, unsigned int n)
{
	struct utcp__link *l;
	unsigned int num = 0;
	int r;

	if (!s || (!views && n))
		return -EINVAL;
	if (!s->rcvq_bytes || s->orphan) {
		r = read_state(s);
		return r == -EAGAIN ? 0 : r;
	}
	for (l = s->busy->rcvq.next; l != &s->busy->rcvq && num < n;
	     l = l->next) {
		struct utcp__rblk *b = CONTAINER(l, struct utcp__rblk, link);

		views[num].data = b->data;
		views[num++].len = b->len;
	}
	return (int)num;
}

int
utcp_consume(utcp_sock_t *s, size_t len)
{
	if (!s || s->orphan || len > s->rcvq_bytes)
		return -EINVAL;
	if (len) {
		consume(s, len);
		consumed(s);
	}
	return 0;
}

size_t
utcp_readable(const utcp_sock_t *s)
{
	return s && !s->orphan ? s->rcvq_bytes : 0;
}
