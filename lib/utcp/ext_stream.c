/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ext_stream.c: an extension between the user's bytes and the stream. What the
 * user writes waits here for `write`, which emits into the send buffer; what
 * came waits for `read`, which delivers into the receive queue. Both hooks are
 * called at the end of public calls (utcp__ext_work), so that they may end the
 * connection; `read` also before the next segment is looked at.
 *
 * Memory: what utcp_write copied counts for the send buffer, before and behind
 * the hook; `write` is called while that is not full. Unread plaintext and what
 * `read` did not take count for the window; `read` is called while the receive
 * buffer is not full.
 */
#include "ext.h"
#include "tcp_output.h"

#define CHUNK (64u << 10) /* bytes for one call of `write` */

/* ---- out --------------------------------------------------------------- */

static void
queue(struct utcp__ext_stream *st, utcp_buf_t *b, int flags)
{
	b->next_ = NULL;
	b->seq_ = (uint64_t)flags;
	if (st->last)
		st->last->next_ = b;
	else
		st->first = b;
	st->last = b;
	st->bytes += b->len;
}

ssize_t
utcp__ext_write(utcp_sock_t *s, const void *buf, size_t len, int flags)
{
	struct utcp__ext_stream *st = utcp__ext_stream(s);
	uint64_t used = s->end_ofs - s->una_ofs + st->bytes;
	utcp_buf_t *b;

	if (!len) {
		/* A record ends with what waits. */
		if (st->last && flags & UTCP_MSG_EOR)
			st->last->seq_ = UTCP_MSG_EOR;
		return 0;
	}
	if (used >= s->sndbuf) {
		s->told &= (uint8_t)~UTCP_OUT;
		return -EAGAIN;
	}
	if (len > s->sndbuf - used) {
		len = (size_t)(s->sndbuf - used);
		flags &= ~UTCP_MSG_EOR; /* the record goes on */
	}
	b = utcp__own_new(s->u, len);
	if (!b) {
		COUNT(s->u, DROP_NOMEM);
		return -ENOMEM;
	}
	utcp__own_fill(b, buf, len);
	queue(st, b, flags);
	utcp__ext_later(s->ext);
	utcp__wake(s);
	return (ssize_t)len;
}

void
utcp__ext_send(utcp_sock_t *s, utcp_buf_t *buf, int flags)
{
	queue(utcp__ext_stream(s), buf, flags);
	utcp__ext_later(s->ext);
	utcp__wake(s);
}

static utcp_buf_t *
pop(struct utcp__ext_stream *st)
{
	utcp_buf_t *b = st->first;

	st->first = b->next_;
	if (!st->first)
		st->last = NULL;
	st->bytes -= b->len - st->taken;
	st->taken = 0;
	return b;
}

/* `write` has all of b: a user's buffer is done when what became of it is
   acknowledged. */
static void
written_out(utcp_sock_t *s, struct utcp__ext_stream *st, utcp_buf_t *b)
{
	if (utcp__buf_is_own(b) || s->end_ofs == s->una_ofs) {
		utcp__buf_end(s, b, 0);
		return;
	}
	b->seq_ = s->end_ofs;
	b->next_ = NULL;
	if (st->wait_last)
		st->wait_last->next_ = b;
	else
		st->wait = b;
	st->wait_last = b;
}

/* Gives `write` what it takes of the first buffer. False: no more now. */
static bool
write_some(utcp_sock_t *s, struct utcp__ext_stream *st)
{
	struct utcp__ext *e = st->ext;
	utcp_buf_t *b = st->first;
	size_t n = MIN(b->len - st->taken, (size_t)CHUNK);
	bool last = n == b->len - st->taken;
	int flags = last ? (int)b->seq_ : UTCP_MSG_MORE;
	ssize_t r;

	if (last && b->next_)
		flags |= UTCP_MSG_MORE;
	r = e->mod->ops.write(&e->pub, (const uint8_t *)b->data + st->taken, n,
			      flags);
	if (r < 0) {
		utcp__ext_doom(s->ext, r > -INT16_MAX ? (int)-r : EPROTO);
		return false;
	}
	if ((size_t)r > n) {
		utcp__ext_fault(e);
		return false;
	}
	st->taken += (size_t)r;
	st->bytes -= (uint64_t)r;
	if (st->taken == b->len)
		written_out(s, st, pop(st));
	st->write_waits = r == 0;
	return r > 0 && !s->ext->doom;
}

static void
write_end(utcp_sock_t *s, struct utcp__ext_stream *st)
{
	struct utcp__ext *e = st->ext;
	int r = e->mod->ops.write_end ? e->mod->ops.write_end(&e->pub) : 0;

	st->write_waits = r == UTCP_EXT_WAIT;
	if (st->write_waits)
		return;
	st->write_ended = true;
	(void)utcp__ext_took(e, r);
	utcp__want_output(s);
}

/* Whether the stream takes more of us. */
static bool
may_emit(const utcp_sock_t *s)
{
	return !s->dead && !s->fin_sent && s->state >= UTCP_ESTABLISHED;
}

/* An orphan whose extension cannot say what it has to say ends by time. */
static void
watch_orphan(utcp_sock_t *s, const struct utcp__ext_stream *st)
{
	bool stuck = s->orphan && s->fin_wanted && !st->write_ended &&
		     st->write_waits;

	if (!stuck && s->state != UTCP_FIN_WAIT_2)
		utcp__tm_clear(s, UTCP__TM_END);
	else if (stuck && s->due[UTCP__TM_END] == UTCP_NEVER)
		utcp__tm_set(s, UTCP__TM_END,
			     s->u->now_ns + (uint64_t)OPT(s, FIN_TIMEOUT_NS));
}

static void
pump_out(utcp_sock_t *s)
{
	struct utcp__ext_stream *st = utcp__ext_stream(s);

	if (!may_emit(s) || !utcp__rouse(s))
		return;
	while (st->first && !st->write_waits &&
	       s->end_ofs - s->una_ofs < s->sndbuf && write_some(s, st))
		;
	if (!st->first && s->fin_wanted && !st->write_ended &&
	    !st->write_waits && !s->ext->doom)
		write_end(s, st);
	if (s->orphan && st->ext)
		watch_orphan(s, st);
	utcp__wake(s);
}

int
utcp_ext_emit(utcp_ext_t *ext, const void *data, size_t len, int flags)
{
	struct utcp__ext *e;
	utcp_sock_t *s;

	if (!ext || (!data && len) || flags & ~(UTCP_MSG_MORE | UTCP_MSG_EOR))
		return -EINVAL;
	e = CONTAINER(ext, struct utcp__ext, pub);
	s = e->all->s;
	if (!s || !utcp__ext_lives(e) || !e->all->stream ||
	    e->all->stream->ext != e || !e->all->open)
		return -EINVAL;
	if (!may_emit(s))
		return -EPIPE;
	if (!utcp__rouse(s) || !utcp__snd_put_all(s, data, len))
		return -ENOMEM;
	utcp__snd_written(s, flags);
	return 0;
}

void
utcp__ext_acked(utcp_sock_t *s)
{
	struct utcp__ext_stream *st = s->ext->stream;
	utcp_buf_t *b;

	if (!st)
		return;
	while ((b = st->wait) != NULL && b->seq_ <= s->una_ofs) {
		st->wait = b->next_;
		if (!st->wait)
			st->wait_last = NULL;
		utcp__buf_end(s, b, 0);
	}
	utcp__ext_later(s->ext);
}

void
utcp__ext_snd_drop(utcp_sock_t *s, int status)
{
	struct utcp__ext_stream *st = s->ext->stream;
	utcp_buf_t *b;

	if (!st)
		return;
	while ((b = st->wait) != NULL) {
		st->wait = b->next_;
		utcp__buf_end(s, b, status);
	}
	st->wait_last = NULL;
	while (st->first)
		utcp__buf_end(s, pop(st), status);
}

/* ---- in ---------------------------------------------------------------- */

/* Gives `read` what it takes of the first block. False: no more now. */
static bool
read_some(utcp_sock_t *s, struct utcp__ext_stream *st)
{
	struct utcp__rblk *b = CONTAINER(st->raw.next, struct utcp__rblk, link);
	struct utcp__ext *e = st->ext;
	ssize_t r;

	st->reading = true;
	r = e->mod->ops.read(&e->pub, b->data, b->len);
	st->reading = false;
	if (r < 0) {
		utcp__ext_doom(s->ext, r > -INT16_MAX ? (int)-r : EPROTO);
		return false;
	}
	if ((size_t)r > b->len) {
		utcp__ext_fault(e);
		return false;
	}
	b->data += r;
	b->len -= (uint32_t)r;
	st->raw_bytes -= (uint32_t)r;
	if (!b->len) {
		link_remove(&b->link);
		utcp__rblk_free(s->u, b);
	}
	st->read_waits = r == 0;
	return r > 0 && !s->ext->doom;
}

void
utcp__ext_pump_in(utcp_sock_t *s)
{
	struct utcp__ext_stream *st = utcp__ext_stream(s);
	struct utcp__ext *e;

	if (!st || !s->ext->open || s->ext->doom)
		return;
	e = st->ext;
	if (s->dead) {
		/* Nothing will happen any more that it could wait for. */
		e->pub.flags |= UTCP_EXT_OVER;
		st->read_waits = false;
	}
	while (st->raw_bytes && !st->read_waits && s->rcvq_bytes < s->rcvbuf &&
	       read_some(s, st))
		;
	if (st->raw_bytes && st->read_waits && s->dead)
		utcp__ext_doom(s->ext, EPROTO);
	if (!st->raw_bytes && s->fin_seen && !st->read_ended && !s->ext->doom) {
		st->read_ended = true;
		st->reading = true;
		if (e->mod->ops.read_end)
			(void)utcp__ext_took(e, e->mod->ops.read_end(&e->pub));
		st->reading = false;
		utcp__wake(s);
	}
}

int
utcp_ext_deliver(utcp_ext_t *ext, const void *data, size_t len)
{
	struct utcp__ext *e;
	utcp_sock_t *s;

	if (!ext || (!data && len) || len > UINT32_MAX / 2)
		return -EINVAL;
	e = CONTAINER(ext, struct utcp__ext, pub);
	s = e->all->s;
	if (!s || !e->all->stream || e->all->stream->ext != e ||
	    !e->all->stream->reading)
		return -EINVAL;
	/* RFC 1122 section 4.2.2.13: data for which there is no reader. */
	if (s->orphan || (s->rd_shut && s->fin_wanted)) {
		if (len && !s->dead) {
			COUNT(s->u, DROP_STATE);
			utcp__ext_doom(e->all, ECONNRESET);
		}
		return 0;
	}
	return len ? utcp__rcv_deliver(s, data, (uint32_t)len) : 0;
}

int
utcp_ext_deliver_end(utcp_ext_t *ext)
{
	struct utcp__ext *e;

	if (!ext)
		return -EINVAL;
	e = CONTAINER(ext, struct utcp__ext, pub);
	if (!e->all->s || !e->all->stream || e->all->stream->ext != e ||
	    !e->all->stream->reading)
		return -EINVAL;
	e->all->stream->eof = true;
	utcp__wake(e->all->s);
	return 0;
}

int
utcp_ext_resume(utcp_ext_t *ext)
{
	struct utcp__ext *e;

	if (!ext)
		return -EINVAL;
	e = CONTAINER(ext, struct utcp__ext, pub);
	if (!e->all->s || !e->all->stream || e->all->stream->ext != e)
		return -EINVAL;
	e->all->stream->write_waits = e->all->stream->read_waits = false;
	utcp__ext_later(e->all);
	return 0;
}

/* ---- both -------------------------------------------------------------- */

void
utcp__ext_pump(utcp_sock_t *s)
{
	if (!utcp__ext_stream(s) || !s->ext->open)
		return;
	utcp__ext_pump_in(s);
	if (utcp__ext_stream(s) && !s->ext->doom)
		pump_out(s);
	/* `read` may go on when there is room again, and tell the peer. */
	if (!s->dead)
		utcp__window_update(s);
}

/* What was not given to `write` goes as it is. Of a buffer that was in part the
   rest is copied, as what is sent is whole buffers. */
static void
write_rest(utcp_sock_t *s, struct utcp__ext_stream *st)
{
	utcp_buf_t *b;
	size_t taken;
	int flags;

	while (st->first) {
		taken = st->taken;
		flags = (int)st->first->seq_;
		b = pop(st);
		if (!taken) {
			utcp__snd_append(s, b);
		} else {
			if (!utcp__snd_put_all(s,
					       (const uint8_t *)b->data + taken,
					       b->len - taken))
				utcp__ext_doom(s->ext, ENOMEM);
			written_out(s, st, b);
		}
		utcp__snd_written(s, flags);
	}
}

void
utcp__ext_stream_end(struct utcp__exts *x)
{
	struct utcp__ext_stream *st = x->stream;
	utcp_sock_t *s = x->s;

	st->ext = NULL;
	if (!s)
		return;
	if (x->doom)
		return; /* not a byte of it in the open */
	if (!s->dead && !s->fin_sent && st->first) {
		if (utcp__rouse(s))
			write_rest(s, st);
		else
			utcp__ext_doom(x, ENOMEM);
	}
	if (st->raw_bytes)
		utcp__rcv_take_raw(s, &st->raw, st->raw_bytes);
	st->raw_bytes = 0;
	if (!s->dead)
		utcp__want_output(s);
	utcp__wake(s);
}
