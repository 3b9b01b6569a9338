/* SPDX-License-Identifier: BSD-2-Clause */
/* udp_io.c: datagrams. */
#include <stdlib.h>

#include "internal.h"

#define DGRAM_BYTES 65536
#define CHUNKS_MAX 20 /* of a buffer of several */
#define NBUFS_MAX (1024 * 1024)

/* ---- receiving ----------------------------------------------------------- */

/* Datagrams that came in one, and are not told yet. */
struct rest {
	utcp_dgram_t d;
	uint8_t data[];
};

void
mu__udp_rest_drop(mu_udp_t *h)
{
	free(h->rest_);
	h->rest_ = NULL;
}

/* The next datagram, at most len bytes of it into buf; its length, or why there
   is none. */
static ssize_t
take(mu_udp_t *h, uv_buf_t *buf, utcp_addr_t *peer, unsigned int *flags)
{
	struct rest *rest = h->rest_;
	utcp_dgram_t d;
	size_t n;
	int r = 1;

	if (rest)
		d = rest->d;
	else
		r = utcp_udp_recv(h->sock_, &d, 1);
	if (r < 1)
		return r ? r : UV_EAGAIN;
	n = d.gso_size && d.gso_size < d.len ? d.gso_size : d.len;
	*peer = d.peer;
	*flags = n > buf->len ? UV_UDP_PARTIAL : 0;
	if (n && buf->len)
		memcpy(buf->base, d.data, n < buf->len ? n : buf->len);
	d.data = (const uint8_t *)d.data + n;
	d.len -= n;
	if (d.len == 0) {
		mu__udp_rest_drop(h);
	} else if (rest) {
		rest->d = d;
	} else if ((rest = malloc(sizeof *rest + d.len))) {
		memcpy(rest->data, d.data, d.len);
		d.data = rest->data;
		rest->d = d;
		h->rest_ = rest;
	}
	return (ssize_t)(n < buf->len ? n : buf->len);
}

static void
tell(mu_udp_t *h, ssize_t n, const uv_buf_t *buf, const utcp_addr_t *peer,
     unsigned int flags)
{
	struct sockaddr_in6 a;
	int len = sizeof a;

	mu__addr_to((struct sockaddr *)&a, &len, peer,
		    (h->flags & MU__FAMILY6) != 0);
	h->recv_cb(h, n, buf, (struct sockaddr *)&a, flags);
}

/* Several into one buffer; how many, or why none. */
static ssize_t
receive_many(mu_udp_t *h, uv_buf_t *buf)
{
	size_t chunks = buf->len / DGRAM_BYTES, k;
	unsigned int flags;
	utcp_addr_t peer;
	ssize_t n = 0;

	if (chunks == 0)
		return UV_EINVAL;
	if (chunks > CHUNKS_MAX)
		chunks = CHUNKS_MAX;
	for (k = 0; k < chunks && h->recv_cb; k++) {
		uv_buf_t part = { buf->base + k * DGRAM_BYTES, DGRAM_BYTES };

		n = take(h, &part, &peer, &flags);
		if (n < 0)
			break;
		tell(h, n, &part, &peer, flags | UV_UDP_MMSG_CHUNK);
	}
	if (k == 0)
		return n == UV_EAGAIN ? 0 : n;
	if (h->recv_cb)
		h->recv_cb(h, 0, buf, NULL, UV_UDP_MMSG_FREE);
	return (ssize_t)k;
}

/* How many datagrams, 0: no more. */
static int
receive_one(mu_udp_t *h)
{
	uv_buf_t buf = { NULL, 0 };
	unsigned int flags;
	utcp_addr_t peer;
	ssize_t n;

	h->alloc_cb((uv_handle_t *)h, DGRAM_BYTES, &buf);
	if (!buf.base || buf.len == 0) {
		h->recv_cb(h, UV_ENOBUFS, &buf, NULL, 0);
		return 0;
	}
	if (h->flags & MU__RECVMMSG) {
		n = receive_many(h, &buf);
		if (n > 0)
			return (int)n;
	} else {
		n = take(h, &buf, &peer, &flags);
		if (n >= 0) {
			tell(h, n, &buf, &peer, flags);
			return 1;
		}
	}
	h->recv_cb(h, n == UV_EAGAIN ? 0 : n, &buf, NULL, 0);
	return 0;
}

static void
receive(mu_udp_t *h)
{
	int looks = MU__LOOKS, n;

	do {
		n = receive_one(h);
		looks -= n;
	} while (n > 0 && looks > 0 && h->sock_ && h->recv_cb);
	if (n > 0 && h->sock_ && h->recv_cb)
		mu__feed(h);
}

/* What ICMP said of what a connected handle sent. */
static void
receive_error(mu_udp_t *h)
{
	uv_buf_t buf = { NULL, 0 };
	int64_t v = 0;

	(void)utcp_udp_get(h->sock_, UTCP_OPT_ERROR, &v);
	if (v == 0)
		return;
	h->alloc_cb((uv_handle_t *)h, DGRAM_BYTES, &buf);
	h->recv_cb(h, buf.base && buf.len ? -v : UV_ENOBUFS, &buf, NULL, 0);
}

int
mu_udp_recv_start(mu_udp_t *handle, uv_alloc_cb alloc_cb,
		  mu_udp_recv_cb recv_cb)
{
	int r;

	if (handle->type != UV_UDP || !alloc_cb || !recv_cb)
		return UV_EINVAL;
	if (handle->recv_cb)
		return UV_EALREADY;
	r = mu__udp_deferred_bind(handle, 4);
	if (r)
		return r;
	handle->alloc_cb = alloc_cb;
	handle->recv_cb = recv_cb;
	mu__start((struct mu__handle *)handle);
	if (handle->rest_ || utcp_udp_poll(handle->sock_) & UTCP_IN)
		mu__feed(handle);
	return 0;
}

int
mu_udp_recv_stop(mu_udp_t *handle)
{
	if (handle->type != UV_UDP)
		return UV_EINVAL;
	handle->alloc_cb = NULL;
	handle->recv_cb = NULL;
	if (!handle->sends_)
		mu__stop((struct mu__handle *)handle);
	return 0;
}

/* ---- sending ------------------------------------------------------------- */

static int
check(const mu_udp_t *h, const uv_buf_t bufs[], unsigned int nbufs,
      const struct sockaddr *addr)
{
	if (h->type != UV_UDP)
		return UV_EINVAL;
	if (addr && h->flags & MU__CONNECTED)
		return UV_EISCONN;
	if (!addr && !(h->flags & MU__CONNECTED))
		return UV_EDESTADDRREQ;
	if (addr && addr->sa_family != AF_INET && addr->sa_family != AF_INET6)
		return UV_EINVAL;
	if (nbufs < 1 || nbufs > NBUFS_MAX ||
	    mu__count(bufs, nbufs) > MU__IO_MAX_BYTES)
		return UV_EINVAL;
	return 0;
}

/* The peer that addr names (family 0: the connected one), and a socket. */
static int
prepare(mu_udp_t *h, const struct sockaddr *addr, utcp_addr_t *peer)
{
	utcp_addr_t local = { 0 };
	int r;

	memset(peer, 0, sizeof *peer);
	if (!addr)
		return 0;
	if (mu__addr_from(peer, addr))
		return UV_EINVAL;
	r = mu__udp_deferred_bind(h, peer->family);
	if (r == 0 && mu__addr_is_any(peer)) {
		(void)utcp_udp_getsockname(h->sock_, &local);
		mslink_peer(peer, &local);
	}
	return r;
}

static int
send_one(mu_udp_t *h, const uv_buf_t bufs[], unsigned int nbufs,
	 const utcp_addr_t *peer)
{
	struct mu__stack *s = h->stack_;
	utcp_dgram_t d = { .data = bufs[0].base, .len = bufs[0].len };
	int r;

	if (nbufs > 1) {
		if (mu__count(bufs, nbufs) > sizeof s->gather)
			return UV_EMSGSIZE;
		d.data = s->gather;
		d.len = 0;
		for (unsigned int i = 0; i < nbufs; i++) {
			if (bufs[i].len)
				memcpy(s->gather + d.len, bufs[i].base,
				       bufs[i].len);
			d.len += bufs[i].len;
		}
	}
	d.peer = *peer;
	r = utcp_udp_send(h->sock_, &d, 1);
	if (r < 0)
		return mu__no_source(r);
	mu__stack_stir(s);
	return 0;
}

static void
done(mu_udp_t *h, mu_udp_send_t *req, int status)
{
	h->sends_ = req->next_;
	if (!h->sends_)
		h->sends_end_ = &h->sends_;
	req->status_ = status;
	req->next_ = NULL;
	*h->sent_end_ = req;
	h->sent_end_ = &req->next_;
}

static void
send_all(mu_udp_t *h)
{
	while (h->sends_) {
		mu_udp_send_t *req = h->sends_;
		int r = send_one(h, req->bufs_, req->nbufs_, &req->peer_);

		if (r == UV_EAGAIN)
			return; /* until there is room */
		done(h, req, r);
		mu__feed(h);
	}
}

static void
callbacks(mu_udp_t *h)
{
	mu_udp_send_t *req;

	h->flags |= MU__PROCESSING;
	while ((req = h->sent_)) {
		h->sent_ = req->next_;
		if (!h->sent_)
			h->sent_end_ = &h->sent_;
		mu__req_remove(h->stack_);
		h->send_queue_size -= mu__count(req->bufs_, req->nbufs_);
		h->send_queue_count--;
		if (req->bufs_ != req->bufsml_)
			free(req->bufs_);
		req->bufs_ = NULL;
		if (req->cb)
			req->cb(req, req->status_);
	}
	if (!h->sends_ && !h->recv_cb)
		mu__stop((struct mu__handle *)h);
	h->flags &= ~(uint32_t)MU__PROCESSING;
}

int
mu_udp_send(mu_udp_send_t *req, mu_udp_t *handle, const uv_buf_t bufs[],
	    unsigned int nbufs, const struct sockaddr *addr,
	    mu_udp_send_cb send_cb)
{
	bool was_empty = handle->send_queue_count == 0;
	utcp_addr_t peer;
	int r = check(handle, bufs, nbufs, addr);

	if (r == 0)
		r = prepare(handle, addr, &peer);
	if (r == 0)
		r = mu__bufs_copy(&req->bufs_, req->bufsml_, bufs, nbufs);
	if (r)
		return r;
	req->type = UV_UDP_SEND;
	req->handle = handle;
	req->cb = send_cb;
	req->nbufs_ = nbufs;
	req->peer_ = peer;
	req->next_ = NULL;
	*handle->sends_end_ = req;
	handle->sends_end_ = &req->next_;
	handle->send_queue_size += mu__count(bufs, nbufs);
	handle->send_queue_count++;
	mu__req_add(handle->stack_);
	mu__start((struct mu__handle *)handle);
	if (was_empty && !(handle->flags & MU__PROCESSING))
		send_all(handle);
	else
		mu__feed(handle);
	return 0;
}

int
mu_udp_try_send(mu_udp_t *handle, const uv_buf_t bufs[], unsigned int nbufs,
		const struct sockaddr *addr)
{
	utcp_addr_t peer;
	int r = check(handle, bufs, nbufs, addr);

	if (r)
		return r;
	if (handle->send_queue_count != 0)
		return UV_EAGAIN;
	r = prepare(handle, addr, &peer);
	if (r == 0)
		r = send_one(handle, bufs, nbufs, &peer);
	return r ? r : (int)mu__count(bufs, nbufs);
}

int
mu_udp_try_send2(mu_udp_t *handle, unsigned int count, uv_buf_t *bufs[],
		 unsigned int nbufs[], struct sockaddr *addrs[],
		 unsigned int flags)
{
	unsigned int i;
	int r = 0;

	if (count < 1 || flags != 0)
		return UV_EINVAL;
	for (i = 0; i < count && r == 0; i++)
		r = check(handle, bufs[i], nbufs[i], addrs[i]);
	if (r)
		return r;
	if (handle->send_queue_count > 0)
		return UV_EAGAIN;
	if (!handle->sock_)
		return UV_EINVAL;
	for (i = 0; i < count && r >= 0; i++)
		r = mu_udp_try_send(handle, bufs[i], nbufs[i], addrs[i]);
	if (r < 0)
		i--;
	return i > 0 ? (int)i : r;
}

/* ---- events -------------------------------------------------------------- */

void
mu__udp_io(mu_udp_t *h, uint32_t ready)
{
	if (mu__is_closing(h))
		return;
	if (ready & UTCP_ERR && h->recv_cb)
		receive_error(h);
	if (h->sock_ && h->recv_cb && (ready & UTCP_IN || h->rest_))
		receive(h);
	if (!h->sock_)
		return;
	send_all(h);
	callbacks(h);
}

void
mu__udp_closed(mu_udp_t *h)
{
	while (h->sends_)
		done(h, h->sends_, UV_ECANCELED);
	callbacks(h);
	assert(h->send_queue_size == 0 && h->send_queue_count == 0);
	h->recv_cb = NULL;
	h->alloc_cb = NULL;
}
