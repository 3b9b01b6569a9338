/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sndbuf.c: what the user wrote: a list of buffers, the caller's own ones
 * (utcp_send) and blocks of ours that utcp_write copies into. They stay until
 * they are acknowledged; a retransmission reads them again.
 */
#include "ext.h"
#include "tcp_output.h"

#define SNDBUF_FIRST (64u << 10)
#define RCVBUF_FIRST (64u << 10)
#define OWN_MIN 512u
#define OWN_MAX (64u << 10)
#define WRITE_FLAGS (UTCP_MSG_MORE | UTCP_MSG_EOR)

/* A block of ours; the last in the queue takes more as long as it has room. */
struct own {
	utcp_buf_t buf; /* first; done is own_done */
	size_t room;
	uint8_t data[];
};

/* Marks our blocks; they are freed by utcp__buf_end(). */
static void
own_done(utcp_buf_t *buf, int status)
{
	(void)buf;
	(void)status;
}

void
utcp__bufs_init(utcp_sock_t *s)
{
	int64_t snd = OPT(s, SNDBUF), rcv = OPT(s, RCVBUF);

	if (!snd)
		snd = OPT(s, SNDBUF_MAX) < SNDBUF_FIRST ? OPT(s, SNDBUF_MAX)
							: SNDBUF_FIRST;
	if (!rcv)
		rcv = OPT(s, RCVBUF_MAX) < RCVBUF_FIRST ? OPT(s, RCVBUF_MAX)
							: RCVBUF_FIRST;
	s->sndbuf = (uint32_t)snd;
	s->rcvbuf = (uint32_t)rcv;
}

/* ---- for output and acknowledgements ----------------------------------- */

void
utcp__snd_copy(utcp_sock_t *s, uint64_t ofs, uint32_t len, struct utcp__out *o)
{
	utcp_buf_t *b = s->busy->sndq, **cur = &s->busy->snd_cur;

	/* Before it: something is sent again, mostly behind the last that was. */
	if (*cur && (*cur)->seq_ > ofs)
		cur = &s->busy->snd_again;
	if (*cur && (*cur)->seq_ <= ofs)
		b = *cur;
	while (len) {
		uint64_t skip;
		size_t n;

		while (b && b->seq_ + b->len <= ofs)
			b = b->next_;
		UTCP_ASSERT(b && b->seq_ <= ofs);
		if (UNLIKELY(!b))
			return;
		skip = ofs - b->seq_;
		n = b->len - skip < len ? (size_t)(b->len - skip) : len;
		utcp__out_data(o, (const uint8_t *)b->data + skip, n);
		ofs += n;
		len -= (uint32_t)n;
	}
	if (b)
		*cur = b;
}

/* ---- records ----------------------------------------------------------- */

/* Those that end at upto or before are of no use any more. */
static void
eor_drop(utcp_sock_t *s, uint64_t upto)
{
	struct utcp__eor *last, *first;

	while ((last = s->busy->eor) != NULL && last->next->ofs <= upto) {
		first = last->next;
		last->next = first->next;
		if (first == last)
			s->busy->eor = NULL;
		s->u->buffered_bytes -= sizeof(*first);
		utcp__free(s->u, first, sizeof(*first));
	}
}

/* A record ends with what was written. Without memory for it the boundary is
   lost, as TCP may (RFC 9293 section 3.9.1). */
static void
eor_add(utcp_sock_t *s)
{
	struct utcp__eor *e, *last = s->busy->eor;
	utcp_t *u = s->u;

	if (last && last->ofs == s->end_ofs)
		return;
	if (u->buffered_bytes + sizeof(*e) > u->cfg.max_bytes) {
		COUNT(u, DROP_NOMEM);
		return;
	}
	e = utcp__alloc_raw(u, sizeof(*e));
	if (!e) {
		COUNT(u, DROP_NOMEM);
		return;
	}
	u->buffered_bytes += sizeof(*e);
	e->ofs = s->end_ofs;
	e->next = last ? last->next : e;
	if (last)
		last->next = e;
	s->busy->eor = e;
}

uint32_t
utcp__snd_record(utcp_sock_t *s, uint32_t unsent)
{
	uint64_t ofs = utcp__ofs_of(s, s->snd_nxt);

	eor_drop(s, ofs);
	if (!s->busy->eor || s->busy->eor->next->ofs - ofs > unsent)
		return unsent;
	return (uint32_t)(s->busy->eor->next->ofs - ofs);
}

/* ---- their end --------------------------------------------------------- */

void
utcp__buf_end(utcp_sock_t *s, utcp_buf_t *b, int status)
{
	utcp_t *u = s->u;

	if (b->done == own_done) {
		size_t bytes = sizeof(struct own) + ((struct own *)b)->room;

		u->buffered_bytes -= bytes;
		utcp__free(u, b, bytes);
		return;
	}
	if (!b->done)
		return;
	b->seq_ = (uint64_t)(int64_t)status;
	b->next_ = NULL;
	if (u->done_last)
		u->done_last->next_ = b;
	else
		u->done_first = b;
	u->done_last = b;
}

static utcp_buf_t *
pop(utcp_sock_t *s)
{
	utcp_buf_t *b = s->busy->sndq;

	s->busy->sndq = b->next_;
	if (!s->busy->sndq)
		s->busy->sndq_last = NULL;
	if (s->busy->snd_cur == b)
		s->busy->snd_cur = s->busy->sndq;
	if (s->busy->snd_again == b)
		s->busy->snd_again = NULL;
	return b;
}

/* Grows the send buffer with cwnd. */
static void
snd_tune(utcp_sock_t *s)
{
	uint64_t want = 2ull * s->cc.cwnd + (16u << 10);
	uint64_t max = (uint64_t)OPT(s, SNDBUF_MAX);

	if (want <= s->sndbuf || OPT(s, SNDBUF))
		return;
	/* Not when memory is short. */
	if (s->u->buffered_bytes > s->u->cfg.max_bytes / 2)
		return;
	if (want > max)
		want = max;
	if (want > s->sndbuf)
		s->sndbuf = (uint32_t)want;
}

void
utcp__snd_acked(utcp_sock_t *s, uint32_t n)
{
	utcp_buf_t *b;

	s->una_ofs += n;
	UTCP_ASSERT(s->una_ofs <= s->end_ofs);
	if (UNLIKELY(s->busy->eor))
		eor_drop(s, s->una_ofs);
	while ((b = s->busy->sndq) != NULL && b->seq_ + b->len <= s->una_ofs)
		utcp__buf_end(s, pop(s), 0);
	if (UNLIKELY(s->ext))
		utcp__ext_acked(s);
	snd_tune(s);
	if (!(s->told & UTCP_OUT))
		utcp__wake(s);
}

void
utcp__snd_drop(utcp_sock_t *s, int status)
{
	while (s->busy->sndq)
		utcp__buf_end(s, pop(s), status);
	eor_drop(s, UINT64_MAX);
	s->end_ofs = s->una_ofs;
}

uint32_t
utcp__snd_unsent(const utcp_sock_t *s)
{
	uint64_t sent = s->snd_nxt - s->snd_una, all = s->end_ofs - s->una_ofs;

	/* SYN and FIN count one each in sequence numbers. */
	if (sent && utcp__syn_unacked(s))
		sent--;
	if (sent && s->fin_sent)
		sent--;
	UTCP_ASSERT(sent <= all || s->dead);
	if (sent >= all)
		return 0;
	return all - sent < 1u << 30 ? (uint32_t)(all - sent) : 1u << 30;
}

/* ---- calls ------------------------------------------------------------- */

int
utcp__take_error(utcp_sock_t *s)
{
	int error = s->error;

	s->error = 0;
	return -error;
}

/* 0, or why nothing can be written. */
static int
write_state(utcp_sock_t *s)
{
	if (s->orphan)
		return -EINVAL;
	if (s->dead)
		return s->error ? utcp__take_error(s) : -EPIPE;
	if (s->fin_wanted)
		return -EPIPE;
	switch (s->state) {
	case UTCP_SYN_SENT: /* RFC 9293 section 3.10.2: queued until it opens */
	case UTCP_SYN_RECEIVED:
	case UTCP_ESTABLISHED:
	case UTCP_CLOSE_WAIT:
		return utcp__rouse(s) ? 0 : -ENOMEM;
	default:
		return -ENOTCONN;
	}
}

void
utcp__snd_append(utcp_sock_t *s, utcp_buf_t *b)
{
	b->seq_ = s->end_ofs;
	b->next_ = NULL;
	s->end_ofs += b->len;
	if (s->busy->sndq_last)
		s->busy->sndq_last->next_ = b;
	else
		s->busy->sndq = b;
	s->busy->sndq_last = b;
}

void
utcp__snd_written(utcp_sock_t *s, int flags)
{
	s->write_more = flags & UTCP_MSG_MORE;
	if ((flags & UTCP_MSG_EOR) && utcp__snd_unsent(s)) {
		s->push = true;
		eor_add(s);
	}
	s->fastopen_syn = false;
	utcp__want_output(s);
	utcp__wake(s);
}

/* A new one, empty. NULL: over a limit. */
static inline struct own *
own_new(utcp_t *u, size_t room)
{
	struct own *w;

	if (u->buffered_bytes + sizeof(*w) + room > u->cfg.max_bytes)
		return NULL;
	w = utcp__alloc_raw(u, sizeof(*w) + room);
	if (!w)
		return NULL;
	u->buffered_bytes += sizeof(*w) + room;
	memset(w, 0, sizeof(*w));
	w->buf.data = w->data;
	w->buf.done = own_done;
	w->room = room;
	return w;
}

utcp_buf_t *
utcp__own_new(utcp_t *u, size_t room)
{
	struct own *w = own_new(u, room);

	return w ? &w->buf : NULL;
}

void
utcp__own_fill(utcp_buf_t *b, const void *data, size_t len)
{
	struct own *w = (struct own *)b;

	memcpy(w->data + b->len, data, len);
	b->len += len;
}

bool
utcp__buf_is_own(const utcp_buf_t *b)
{
	return b->done == own_done;
}

/* Room at the end of the queue: what the last block has, or a new one for
   about `len` bytes, larger when more waits already. NULL: no memory. */
static struct own *
own_room(utcp_sock_t *s, size_t len)
{
	struct own *w = (struct own *)s->busy->sndq_last;
	uint64_t used = s->end_ofs - s->una_ofs;
	size_t room = len > OWN_MIN ? len : OWN_MIN;

	if (w && w->buf.done == own_done && w->buf.len < w->room)
		return w;
	if (room < used && room < OWN_MAX / 4)
		room = used < OWN_MAX / 4 ? (size_t)used : OWN_MAX / 4;
	if (room > OWN_MAX)
		room = OWN_MAX;
	w = own_new(s->u, room);
	if (w)
		utcp__snd_append(s, &w->buf);
	return w;
}

bool
utcp__snd_put_all(utcp_sock_t *s, const void *data, size_t len)
{
	utcp_buf_t *last = s->busy->sndq_last, *more;
	size_t room, n = 0;

	if (last && last->done == own_done) {
		room = ((struct own *)last)->room - last->len;
		n = len < room ? len : room;
	}
	if (n < len) {
		room = len - n > OWN_MIN ? len - n : OWN_MIN;
		more = utcp__own_new(s->u, room);
		if (!more) {
			COUNT(s->u, DROP_NOMEM);
			return false;
		}
		if (n)
			utcp__own_fill(last, data, n);
		s->end_ofs += n;
		utcp__own_fill(more, (const uint8_t *)data + n, len - n);
		utcp__snd_append(s, more);
		return true;
	}
	if (n)
		utcp__own_fill(last, data, n);
	s->end_ofs += n;
	return true;
}

ssize_t
utcp_write(utcp_sock_t *s, const void *buf, size_t len, int flags)
{
	const uint8_t *from = buf;
	uint64_t used, space;
	size_t left;
	int r;

	if (!s || (!buf && len) || len > PTRDIFF_MAX || (flags & ~WRITE_FLAGS))
		return -EINVAL;
	r = write_state(s);
	if (r)
		return r;
	if (UNLIKELY(utcp__ext_stream(s) != NULL)) {
		ssize_t n;

		utcp__enter(s->u);
		n = utcp__ext_write(s, buf, len, flags);
		utcp__leave(s->u);
		return n;
	}
	if (!len) {
		if ((flags & UTCP_MSG_EOR) || s->fastopen_syn)
			utcp__snd_written(s, flags);
		return 0;
	}
	used = s->end_ofs - s->una_ofs;
	space = used < s->sndbuf ? s->sndbuf - used : 0;
	if (!space) {
		s->told &= (uint8_t)~UTCP_OUT;
		return -EAGAIN;
	}
	left = len < space ? len : (size_t)space;
	while (left) {
		struct own *w = own_room(s, left);
		size_t n;

		if (!w) {
			COUNT(s->u, DROP_NOMEM);
			break;
		}
		n = w->room - w->buf.len < left ? w->room - w->buf.len : left;
		memcpy(w->data + w->buf.len, from, n);
		w->buf.len += n;
		s->end_ofs += n;
		from += n;
		left -= n;
	}
	if (from == buf)
		return -ENOMEM;
	/* A record goes on if not all of it was taken. */
	if (from != (const uint8_t *)buf + len)
		flags &= ~UTCP_MSG_EOR;
	utcp__snd_written(s, flags);
	return from - (const uint8_t *)buf;
}

int
utcp_send(utcp_sock_t *s, utcp_buf_t *buf, int flags)
{
	int r;

	if (!s || !buf || !buf->data || !buf->len || buf->len > PTRDIFF_MAX ||
	    (flags & ~WRITE_FLAGS))
		return -EINVAL;
	r = write_state(s);
	if (r)
		return r;
	if (UNLIKELY(utcp__ext_stream(s) != NULL)) {
		utcp__enter(s->u);
		utcp__ext_send(s, buf, flags);
		utcp__leave(s->u);
		return 0;
	}
	utcp__snd_append(s, buf);
	utcp__snd_written(s, flags);
	return 0;
}
