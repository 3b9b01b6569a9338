/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handle.c: what all handles share.
 *
 * A handle of ours is a timer to the loop, one that never goes off: it runs
 * while the handle is active. So the loop knows by itself which handles keep it
 * alive, which are closing, and in which order their close callbacks are due.
 * Only uv_close() looks at a handle's type, which is the timer's from
 * mu_close() to the close callback.
 */
#include <stdlib.h>

#include "internal.h"

/* The rest of a uv_write_t is libuv's, if the stream is. */
#define SAME(mu, uv, field)                                                    \
	_Static_assert(offsetof(mu, field) == offsetof(uv, field), #field)
SAME(mu_tcp_t, uv_handle_t, data);
SAME(mu_tcp_t, uv_handle_t, loop);
SAME(mu_tcp_t, uv_handle_t, type);
SAME(mu_write_t, uv_write_t, cb);
SAME(mu_write_t, uv_write_t, send_handle);
SAME(mu_write_t, uv_write_t, handle);
SAME(mu_connect_t, uv_connect_t, cb);
SAME(mu_connect_t, uv_connect_t, handle);
SAME(mu_shutdown_t, uv_shutdown_t, handle);
SAME(mu_shutdown_t, uv_shutdown_t, cb);
_Static_assert(offsetof(struct mu__handle, stack_) == sizeof(uv_timer_t), "");
_Static_assert(sizeof(mu_write_t) >= sizeof(uv_write_t), "");
_Static_assert(sizeof(mu_connect_t) >= sizeof(uv_connect_t), "");
_Static_assert(sizeof(mu_shutdown_t) >= sizeof(uv_shutdown_t), "");
_Static_assert(sizeof(mu_tcp_t) == sizeof(mu_stream_t), "");

static const char mark;

/* libuv keeps nothing here on Unix. */
static void **
mark_of(const void *handle)
{
	return ((uv_handle_t *)(uintptr_t)handle)->u.reserved;
}

bool
mu__is_ours(const void *handle)
{
	void **m = mark_of(handle);

	return m[0] == &mark && m[1] == handle;
}

void
mu__handle_init(struct mu__handle *h, struct mu__stack *s, uv_handle_type type)
{
	void **m = mark_of(h);

	(void)uv_timer_init(s->loop, (uv_timer_t *)h);
	h->type = type;
	m[0] = (void *)(uintptr_t)&mark;
	m[1] = h;
	h->stack_ = s;
	h->fed_[0] = h->fed_[1] = NULL;
	h->close_cb = NULL;
	h->flags = type == UV_UDP ? MU__UDP : 0;
	h->delayed_error_ = 0;
	s->handles++;
}

/* ---- activity ------------------------------------------------------------ */

static void
never(uv_timer_t *timer)
{
	(void)timer;
}

void
mu__start(struct mu__handle *h)
{
	if (!uv_is_active((uv_handle_t *)h))
		(void)uv_timer_start((uv_timer_t *)h, never, UINT64_MAX, 0);
}

void
mu__stop(struct mu__handle *h)
{
	(void)uv_timer_stop((uv_timer_t *)h);
}

static struct mu__link *
link_of(struct mu__handle *h)
{
	return (struct mu__link *)(void *)h->fed_;
}

void
mu__feed(void *handle)
{
	struct mu__handle *h = handle;
	struct mu__stack *s = h->stack_;
	struct mu__link *l = link_of(h);

	if (!l->next) {
		l->prev = s->fed.prev;
		l->next = &s->fed;
		l->prev->next = l;
		l->next->prev = l;
	}
	mu__stack_stir(s);
}

void
mu__unfeed(struct mu__handle *h)
{
	struct mu__link *l = link_of(h);

	if (!l->next)
		return;
	l->prev->next = l->next;
	l->next->prev = l->prev;
	l->prev = l->next = NULL;
}

/* libuv's count of requests is not ours to change; a handle that has a
   reference while there are any comes to the same. */
void
mu__req_add(struct mu__stack *s)
{
	if (s->reqs++ == 0)
		uv_ref((uv_handle_t *)&s->check);
}

void
mu__req_remove(struct mu__stack *s)
{
	assert(s->reqs > 0);
	if (--s->reqs == 0)
		uv_unref((uv_handle_t *)&s->check);
}

/* ---- the end ------------------------------------------------------------- */

static void
on_closed(uv_handle_t *handle)
{
	struct mu__handle *h = (struct mu__handle *)handle;
	struct mu__stack *s = h->stack_;
	void **m = mark_of(h);

	h->type = h->flags & MU__UDP ? UV_UDP : UV_TCP;
	if (h->type == UV_UDP)
		mu__udp_closed((mu_udp_t *)h);
	else
		mu__stream_closed((mu_stream_t *)h);
	m[0] = m[1] = NULL;
	s->handles--;
	if (h->close_cb)
		h->close_cb(handle);
	mu__stack_flush(s);
}

void
mu_close(uv_handle_t *handle, uv_close_cb close_cb)
{
	struct mu__handle *h = (struct mu__handle *)handle;

	if (!mu__is_ours(handle)) {
		uv_close(handle, close_cb);
		return;
	}
	assert(!mu__is_closing(h));
	h->close_cb = close_cb;
	if (h->type == UV_UDP) {
		mu__udp_close((mu_udp_t *)h);
	} else {
		mu__stream_close((mu_stream_t *)h);
	}
	mu__unfeed(h);
	mu__stop(h);
	mu__stack_stir(h->stack_);
	h->type = UV_TIMER;
	uv_close(handle, on_closed);
}

/* ---- sizes, types, buffers ----------------------------------------------- */

size_t
mu_handle_size(uv_handle_type type)
{
	switch (type) {
	case UV_TCP:
		return sizeof(mu_tcp_t);
	case UV_UDP:
		return sizeof(mu_udp_t);
	case UV_STREAM:
		return sizeof(mu_stream_t);
	default:
		return uv_handle_size(type);
	}
}

size_t
mu_req_size(uv_req_type type)
{
	switch (type) {
	case UV_CONNECT:
		return sizeof(mu_connect_t);
	case UV_WRITE:
		return sizeof(mu_write_t);
	case UV_SHUTDOWN:
		return sizeof(mu_shutdown_t);
	case UV_UDP_SEND:
		return sizeof(mu_udp_send_t);
	default:
		return uv_req_size(type);
	}
}

uv_handle_type
mu_handle_get_type(const uv_handle_t *handle)
{
	const struct mu__handle *h = (const void *)handle;

	if (handle->type == UV_TIMER && mu__is_ours(handle))
		return h->flags & MU__UDP ? UV_UDP : UV_TCP;
	return handle->type;
}

int
mu_fileno(const uv_handle_t *handle, uv_os_fd_t *fd)
{
	return mu__is_ours(handle) ? UV_EBADF : uv_fileno(handle, fd);
}

static int
buffer_size(struct mu__handle *h, int *value, int opt)
{
	mu_stream_t *t = (mu_stream_t *)h;
	mu_udp_t *u = (mu_udp_t *)h;
	bool udp = h->type == UV_UDP;
	int64_t v;
	int r;

	if (mu__is_closing(h) || !(udp ? (void *)u->sock_ : (void *)t->sock_))
		return UV_EBADF;
	if (*value != 0)
		return udp ? utcp_udp_set(u->sock_, opt, *value)
			   : utcp_set(t->sock_, opt, *value);
	r = udp ? utcp_udp_get(u->sock_, opt, &v) : utcp_get(t->sock_, opt, &v);
	/* It grows by itself; what it grows to. */
	if (r == 0 && v == 0)
		r = utcp_get(t->sock_,
			     opt == UTCP_OPT_SNDBUF ? UTCP_OPT_SNDBUF_MAX
						    : UTCP_OPT_RCVBUF_MAX,
			     &v);
	if (r == 0)
		*value = (int)v;
	return r;
}

int
mu_send_buffer_size(uv_handle_t *handle, int *value)
{
	if (!handle || !value)
		return UV_EINVAL;
	if (!mu__is_ours(handle))
		return uv_send_buffer_size(handle, value);
	return buffer_size((struct mu__handle *)handle, value, UTCP_OPT_SNDBUF);
}

int
mu_recv_buffer_size(uv_handle_t *handle, int *value)
{
	if (!handle || !value)
		return UV_EINVAL;
	if (!mu__is_ours(handle))
		return uv_recv_buffer_size(handle, value);
	return buffer_size((struct mu__handle *)handle, value, UTCP_OPT_RCVBUF);
}

/* ---- buffers ------------------------------------------------------------- */

size_t
mu__count(const uv_buf_t bufs[], unsigned int nbufs)
{
	size_t bytes = 0;

	for (unsigned int i = 0; i < nbufs; i++)
		bytes += bufs[i].len;
	return bytes;
}

int
mu__bufs_copy(uv_buf_t **to, uv_buf_t small[4], const uv_buf_t bufs[],
	      unsigned int nbufs)
{
	*to = small;
	if (nbufs > 4)
		*to = malloc(nbufs * sizeof **to);
	if (!*to)
		return UV_ENOMEM;
	memcpy(*to, bufs, nbufs * sizeof **to);
	return 0;
}
