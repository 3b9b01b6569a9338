/* SPDX-License-Identifier: BSD-2-Clause */
/* stream.c: accepting, reading, closing. */
#include "internal.h"

#define SUGGESTED 65536

static uv_stream_t *
theirs(const mu_stream_t *h)
{
	return (uv_stream_t *)(uintptr_t)h;
}

/* ---- accepting ----------------------------------------------------------- */

int
mu_listen(mu_stream_t *stream, int backlog, mu_connection_cb cb)
{
	int r;

	if (!mu__is_ours(stream))
		return uv_listen(theirs(stream), backlog, (uv_connection_cb)cb);
	if (mu__is_closing(stream) || stream->type != UV_TCP)
		return UV_EINVAL;
	r = mu__tcp_listen(stream, backlog, cb);
	if (r == 0)
		mu__start((struct mu__handle *)stream);
	return r;
}

/* As long as the user takes them. */
static void
server_io(mu_stream_t *h)
{
	int looks = MU__LOOKS;

	while (h->sock_ && !h->accepted_ && h->connection_cb) {
		if (looks-- == 0) {
			mu__feed(h);
			return;
		}
		if (utcp_accept(h->sock_, &h->accepted_))
			return;
		h->connection_cb(h, 0);
	}
}

int
mu_accept(mu_stream_t *server, mu_stream_t *client)
{
	utcp_sock_t *s;
	int r;

	if (!mu__is_ours(server) && !mu__is_ours(client))
		return uv_accept(theirs(server), theirs(client));
	if (!mu__is_ours(server) || !mu__is_ours(client))
		return UV_EINVAL;
	assert(server->loop == client->loop);
	if (!server->accepted_)
		return UV_EAGAIN;
	if (client->type != UV_TCP)
		return UV_EINVAL;
	s = server->accepted_;
	server->accepted_ = NULL;
	r = client->sock_
		? UV_EBUSY
		: mu__tcp_adopt(client, s, MU__READABLE | MU__WRITABLE);
	if (r)
		utcp_close(s);
	else if (server->flags & MU__FAMILY6)
		client->flags |= MU__FAMILY6;
	mu__feed(server);
	return r;
}

/* ---- reading ------------------------------------------------------------- */

static void
reading_ends(mu_stream_t *h)
{
	h->read_cb = NULL;
	h->alloc_cb = NULL;
	mu__stop((struct mu__handle *)h);
}

static void
read_eof(mu_stream_t *h, const uv_buf_t *buf)
{
	mu_read_cb cb = h->read_cb;

	h->flags |= MU__READ_EOF;
	reading_ends(h);
	cb(h, UV_EOF, buf);
}

static void
read_error(mu_stream_t *h, int error, const uv_buf_t *buf)
{
	h->flags &= ~(uint32_t)(MU__READABLE | MU__WRITABLE);
	h->read_cb(h, error, buf);
	if (h->read_cb)
		reading_ends(h);
}

/* One call of read_cb for what was read into buf; whether to go on. */
static bool
read_told(mu_stream_t *h, ssize_t n, const uv_buf_t *buf)
{
	if (n == UV_EAGAIN) {
		h->read_cb(h, 0, buf);
		return false;
	}
	if (n < 0)
		read_error(h, (int)n, buf);
	else if (n == 0)
		read_eof(h, buf);
	else
		h->read_cb(h, n, buf);
	return n > 0;
}

/* What there is to be told: data, the end, or what ended it. */
static bool
has_news(const mu_stream_t *h)
{
	return (utcp_poll(h->sock_) &
		(UTCP_IN | UTCP_RDHUP | UTCP_ERR | UTCP_HUP)) != 0;
}

static bool
read_one(mu_stream_t *h)
{
	uv_buf_t buf = { NULL, 0 };
	size_t room;

	h->alloc_cb((uv_handle_t *)h, SUGGESTED, &buf);
	if (!buf.base || buf.len == 0) {
		h->read_cb(h, UV_ENOBUFS, &buf);
		return false;
	}
	room = buf.len < MU__IO_MAX_BYTES ? buf.len : MU__IO_MAX_BYTES;
	return read_told(h, utcp_read(h->sock_, buf.base, room, 0), &buf);
}

/* The same where the bytes lie. */
static bool
view_one(mu_stream_t *h)
{
	utcp_sock_t *s = h->sock_;
	uv_buf_t buf = { NULL, 0 };
	utcp_view_t v;
	char none;
	int n = utcp_views(s, &v, 1);

	if (n <= 0)
		return read_told(
		    h, n < 0 ? n : utcp_read(s, &none, sizeof none, 0), &buf);
	buf.base = (char *)(uintptr_t)v.data;
	buf.len = v.len;
	h->viewing_ = v.len;
	h->read_cb(h, (ssize_t)v.len, &buf);
	if (h->sock_)
		(void)utcp_consume(s, h->viewing_);
	h->viewing_ = 0;
	return true;
}

static void
read_some(mu_stream_t *h)
{
	int looks = MU__LOOKS;

	while (h->read_cb && has_news(h)) {
		if (looks-- == 0) {
			mu__feed(h);
			return;
		}
		if (!(h->flags & MU__VIEW ? view_one(h) : read_one(h)))
			return;
		if (!h->sock_)
			return;
	}
}

static int
read_start(mu_stream_t *h, uv_alloc_cb alloc_cb, mu_read_cb read_cb,
	   uint32_t view)
{
	if (mu__is_closing(h))
		return UV_EINVAL;
	if (h->read_cb)
		return UV_EALREADY;
	if (!(h->flags & MU__READABLE))
		return UV_ENOTCONN;
	h->flags &= ~(uint32_t)(MU__READ_EOF | MU__VIEW);
	h->flags |= view;
	h->read_cb = read_cb;
	h->alloc_cb = alloc_cb;
	mu__start((struct mu__handle *)h);
	mu__feed(h);
	return 0;
}

int
mu_read_start(mu_stream_t *stream, uv_alloc_cb alloc_cb, mu_read_cb read_cb)
{
	if (!stream || !alloc_cb || !read_cb)
		return UV_EINVAL;
	if (!mu__is_ours(stream))
		return uv_read_start(theirs(stream), alloc_cb,
				     (uv_read_cb)read_cb);
	return read_start(stream, alloc_cb, read_cb, 0);
}

int
mu_read_start_view(mu_stream_t *stream, mu_read_cb read_cb)
{
	if (!stream || !read_cb)
		return UV_EINVAL;
	if (!mu__is_ours(stream))
		return UV_ENOTSUP;
	return read_start(stream, NULL, read_cb, MU__VIEW);
}

int
mu_read_stop(mu_stream_t *stream)
{
	if (!mu__is_ours(stream))
		return uv_read_stop(theirs(stream));
	if (stream->read_cb)
		reading_ends(stream);
	return 0;
}

/* ---- events -------------------------------------------------------------- */

void
mu__stream_io(mu_stream_t *h, uint32_t ready)
{
	if (mu__is_closing(h))
		return;
	if (h->flags & MU__LISTENING) {
		server_io(h);
		return;
	}
	if (h->connect_req_) {
		mu__connect_io(h, ready);
		return;
	}
	if (h->sock_ && h->read_cb)
		read_some(h);
	if (!h->sock_)
		return;
	mu__write(h);
	mu__write_callbacks(h);
	if (h->sock_ && !h->writes_)
		mu__drain(h);
}

/* ---- the end ------------------------------------------------------------- */

void
mu__stream_close(mu_stream_t *h)
{
	utcp_sock_t *s = h->sock_;

	(void)mu_read_stop(h);
	h->flags &= ~(uint32_t)(MU__READABLE | MU__WRITABLE);
	h->sock_ = NULL;
	if (s) {
		utcp_set_user(s, NULL);
		/* What read_cb is looking at is read: no reset. */
		(void)utcp_consume(s, h->viewing_);
		/* The caller's memory goes with his callbacks. */
		if (h->flags & MU__RESET || h->refs_)
			utcp_abort(s);
		else
			utcp_close(s);
	}
	utcp_close(h->accepted_);
	h->accepted_ = NULL;
}

void
mu__stream_closed(mu_stream_t *h)
{
	mu_connect_t *c = h->connect_req_;

	h->connect_req_ = NULL;
	if (c) {
		mu__req_remove(h->stack_);
		c->cb(c, UV_ECANCELED);
	}
	mu__write_cancel(h, UV_ECANCELED);
	mu__write_callbacks(h);
	mu__drain(h);
}

/* ---- small calls --------------------------------------------------------- */

int
mu_is_readable(const mu_stream_t *handle)
{
	if (!mu__is_ours(handle))
		return uv_is_readable(theirs(handle));
	return (handle->flags & MU__READABLE) != 0;
}

int
mu_is_writable(const mu_stream_t *handle)
{
	if (!mu__is_ours(handle))
		return uv_is_writable(theirs(handle));
	return (handle->flags & MU__WRITABLE) != 0;
}

int
mu_stream_set_blocking(mu_stream_t *handle, int blocking)
{
	if (!mu__is_ours(handle))
		return uv_stream_set_blocking(theirs(handle), blocking);
	return blocking ? UV_ENOTSUP : 0;
}

size_t
mu_stream_get_write_queue_size(const mu_stream_t *stream)
{
	if (!mu__is_ours(stream))
		return uv_stream_get_write_queue_size(theirs(stream));
	return stream->write_queue_size;
}
