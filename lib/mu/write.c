/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * write.c: writing and shutting down.
 *
 *	writes_	   requests of which bytes are still the caller's
 *	written_   those that are done, whose callbacks are due
 */
#include <stdlib.h>

#include "internal.h"

#define NBUFS_MAX (1024 * 1024)
#define TURNS 4 /* there and back, twice */

static uv_stream_t *
theirs(const mu_stream_t *h)
{
	return (uv_stream_t *)(uintptr_t)h;
}

/* ---- the queue ----------------------------------------------------------- */

static void
finish(mu_stream_t *h, mu_write_t *req)
{
	h->writes_ = req->next_;
	if (!h->writes_)
		h->writes_end_ = &h->writes_;
	/* With an error the bytes count until the callback: a size that is not
	   0 is what tells the caller to stop. */
	if (req->error_ == 0) {
		if (req->bufs_ != req->bufsml_)
			free(req->bufs_);
		req->bufs_ = NULL;
	}
	req->next_ = NULL;
	*h->written_end_ = req;
	h->written_end_ = &req->next_;
}

void
mu__write_cancel(mu_stream_t *h, int error)
{
	while (h->writes_) {
		h->writes_->error_ = error;
		finish(h, h->writes_);
	}
}

void
mu__write_callbacks(mu_stream_t *h)
{
	mu_write_t *done = h->written_, *req;

	h->written_ = NULL;
	h->written_end_ = &h->written_;
	while ((req = done)) {
		done = req->next_;
		mu__req_remove(h->stack_);
		if (req->bufs_) {
			h->write_queue_size -= mu__count(
			    req->bufs_ + req->at_, req->nbufs_ - req->at_);
			if (req->bufs_ != req->bufsml_)
				free(req->bufs_);
			req->bufs_ = NULL;
		}
		if (req->cb)
			req->cb(req, req->error_);
	}
}

/* As much of bufs as the socket takes; the bytes, or why not one. */
static ssize_t
put(utcp_sock_t *s, const uv_buf_t bufs[], unsigned int nbufs)
{
	ssize_t n, all = 0;

	for (unsigned int i = 0; i < nbufs; i++) {
		if (bufs[i].len == 0)
			continue;
		n = utcp_write(s, bufs[i].base, bufs[i].len,
			       i + 1 < nbufs ? UTCP_MSG_MORE : 0);
		if (n < 0)
			return all ? all : n;
		all += n;
		if ((size_t)n < bufs[i].len)
			break;
	}
	return all;
}

/* n bytes of req are taken; whether all are. */
static bool
advance(mu_stream_t *h, mu_write_t *req, size_t n)
{
	h->write_queue_size -= n;
	while (req->at_ < req->nbufs_) {
		uv_buf_t *b = &req->bufs_[req->at_];
		size_t k = n < b->len ? n : b->len;

		if (k)
			b->base += k;
		b->len -= k;
		n -= k;
		if (b->len > 0)
			return false;
		req->at_++;
	}
	return true;
}

void
mu__write(mu_stream_t *h)
{
	bool wrote = false;
	ssize_t n;

	while (h->writes_) {
		mu_write_t *req = h->writes_;

		n = put(h->sock_, req->bufs_ + req->at_,
			req->nbufs_ - req->at_);
		if (n == UV_EAGAIN)
			break;
		if (n < 0) {
			req->error_ = (int)n;
			finish(h, req);
			mu__feed(h);
			break;
		}
		wrote = true;
		if (!advance(h, req, (size_t)n))
			break;
		finish(h, req);
		mu__feed(h);
	}
	if (wrote)
		mu__stack_stir(h->stack_);
}

/* ---- calls --------------------------------------------------------------- */

static int
check(const mu_stream_t *h, const uv_buf_t bufs[], unsigned int nbufs,
      const mu_stream_t *send_handle)
{
	if (nbufs < 1 || nbufs > NBUFS_MAX ||
	    mu__count(bufs, nbufs) > MU__IO_MAX_BYTES)
		return UV_EINVAL;
	if (!h->sock_)
		return UV_EBADF;
	if (!(h->flags & MU__WRITABLE))
		return UV_EPIPE;
	return send_handle ? UV_EINVAL : 0; /* TCP carries no handles */
}

int
mu_write2(mu_write_t *req, mu_stream_t *handle, const uv_buf_t bufs[],
	  unsigned int nbufs, mu_stream_t *send_handle, mu_write_cb cb)
{
	mu_stream_t *h = handle;
	bool was_empty;
	int r;

	if (!mu__is_ours(h))
		return send_handle && mu__is_ours(send_handle)
			   ? UV_EINVAL
			   : uv_write2((uv_write_t *)req, theirs(h), bufs,
				       nbufs, theirs(send_handle),
				       (uv_write_cb)cb);
	r = check(h, bufs, nbufs, send_handle);
	if (r == 0)
		r = mu__bufs_copy(&req->bufs_, req->bufsml_, bufs, nbufs);
	if (r)
		return r;
	was_empty = h->write_queue_size == 0;
	req->type = UV_WRITE;
	req->cb = cb;
	req->handle = h;
	req->send_handle = NULL;
	req->error_ = 0;
	req->at_ = 0;
	req->nbufs_ = nbufs;
	req->next_ = NULL;
	*h->writes_end_ = req;
	h->writes_end_ = &req->next_;
	h->write_queue_size += mu__count(bufs, nbufs);
	mu__req_add(h->stack_);
	/* In error, those before wait for their callbacks. */
	if (!h->connect_req_ && was_empty)
		mu__write(h);
	else if (!h->connect_req_)
		mu__feed(h);
	return 0;
}

int
mu_write(mu_write_t *req, mu_stream_t *handle, const uv_buf_t bufs[],
	 unsigned int nbufs, mu_write_cb cb)
{
	return mu_write2(req, handle, bufs, nbufs, NULL, cb);
}

int
mu_try_write2(mu_stream_t *handle, const uv_buf_t bufs[], unsigned int nbufs,
	      mu_stream_t *send_handle)
{
	ssize_t n;
	int r;

	if (!mu__is_ours(handle))
		return send_handle ? UV_EINVAL
				   : uv_try_write(theirs(handle), bufs, nbufs);
	if (handle->connect_req_ || handle->write_queue_size != 0)
		return UV_EAGAIN;
	r = check(handle, bufs, nbufs, send_handle);
	if (r)
		return r;
	n = put(handle->sock_, bufs, nbufs);
	for (int i = 0; i < TURNS && n == UV_EAGAIN; i++) {
		if (!mu__stack_turn(handle->stack_))
			break;
		n = put(handle->sock_, bufs, nbufs);
	}
	if (n > 0)
		mu__stack_stir(handle->stack_);
	return (int)n;
}

int
mu_try_write(mu_stream_t *handle, const uv_buf_t bufs[], unsigned int nbufs)
{
	return mu_try_write2(handle, bufs, nbufs, NULL);
}

/* ---- without a copy ------------------------------------------------------ */

/* The array of stack's buffers, in the request if one does. */
static utcp_buf_t *
refs_of(mu_write_t *req)
{
	_Static_assert(sizeof(utcp_buf_t) <= sizeof req->bufsml_, "");
	return (utcp_buf_t *)(void *)req->bufs_;
}

/* So many of its parts are done with. */
static void
refs_less(mu_write_t *req, unsigned int n)
{
	mu_stream_t *h = req->handle;

	req->nbufs_ -= n;
	if (req->nbufs_ > 0)
		return;
	if (req->bufs_ != req->bufsml_)
		free(req->bufs_);
	req->bufs_ = NULL;
	h->refs_--;
	req->next_ = NULL;
	*h->written_end_ = req;
	h->written_end_ = &req->next_;
	mu__feed(h);
}

/* A hook of the stack: it must not be called from here. */
static void
on_acked(utcp_buf_t *buf, int status)
{
	mu_write_t *req = buf->user;

	if (status && req->error_ == 0)
		req->error_ = !req->handle->sock_ ? UV_ECANCELED : status;
	refs_less(req, 1);
}

/* The buffers that are not empty; how many. */
static unsigned int
refs_fill(mu_write_t *req, utcp_buf_t *b, const uv_buf_t bufs[],
	  unsigned int nbufs)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < nbufs; i++)
		if (bufs[i].len > 0)
			b[n++] = (utcp_buf_t){ .data = bufs[i].base,
					       .len = bufs[i].len,
					       .done = on_acked,
					       .user = req };
	return n;
}

int
mu_write_ref(mu_write_t *req, mu_stream_t *handle, const uv_buf_t bufs[],
	     unsigned int nbufs, mu_write_cb cb)
{
	mu_stream_t *h = handle;
	unsigned int n, sent = 0;
	utcp_buf_t *b;
	int r;

	if (!mu__is_ours(h))
		return UV_ENOTSUP;
	r = check(h, bufs, nbufs, NULL);
	if (r)
		return r;
	if (h->connect_req_ || h->writes_ || mu__count(bufs, nbufs) == 0)
		return mu_write(req, h, bufs, nbufs, cb);
	req->bufs_ = req->bufsml_;
	if (nbufs > 1)
		req->bufs_ = malloc(nbufs * sizeof *b);
	if (!req->bufs_)
		return UV_ENOMEM;
	b = refs_of(req);
	n = refs_fill(req, b, bufs, nbufs);
	req->type = UV_WRITE;
	req->cb = cb;
	req->handle = h;
	req->send_handle = NULL;
	req->error_ = 0;
	/* One more, for here: an extension may have the stack give all of them
	   back before utcp_send returns. */
	req->nbufs_ = n + 1;
	for (r = 0; sent < n && r == 0; sent += r == 0)
		r = utcp_send(h->sock_, &b[sent],
			      sent + 1 < n ? UTCP_MSG_MORE : 0);
	if (sent == 0) {
		if (req->bufs_ != req->bufsml_)
			free(req->bufs_);
		return r;
	}
	if (req->error_ == 0)
		req->error_ = r;
	h->refs_++;
	mu__req_add(h->stack_);
	refs_less(req, n - sent + 1);
	mu__stack_stir(h->stack_);
	return 0;
}

/* ---- shutting down ------------------------------------------------------- */

int
mu_shutdown(mu_shutdown_t *req, mu_stream_t *handle, mu_shutdown_cb cb)
{
	mu_stream_t *h = handle;

	if (!mu__is_ours(h))
		return uv_shutdown((uv_shutdown_t *)req, theirs(h),
				   (uv_shutdown_cb)cb);
	if (!(h->flags & MU__WRITABLE) || h->flags & MU__SHUT ||
	    h->shutdown_req_ || mu__is_closing(h))
		return UV_ENOTCONN;
	req->type = UV_SHUTDOWN;
	req->handle = h;
	req->cb = cb;
	h->shutdown_req_ = req;
	h->flags &= ~(uint32_t)MU__WRITABLE;
	mu__req_add(h->stack_);
	if (!h->writes_ && !h->connect_req_)
		mu__feed(h);
	return 0;
}

void
mu__drain(mu_stream_t *h)
{
	mu_shutdown_t *req = h->shutdown_req_;
	int r = UV_ECANCELED;

	if (!req)
		return;
	h->shutdown_req_ = NULL;
	mu__req_remove(h->stack_);
	if (h->sock_ && !mu__is_closing(h)) {
		r = utcp_shutdown(h->sock_, UTCP_SHUT_WR);
		if (r == 0)
			h->flags |= MU__SHUT;
		mu__stack_stir(h->stack_);
	}
	if (req->cb)
		req->cb(req, r);
}
