/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp.c: what is TCP's own: sockets, names, connecting, options. */
#include "internal.h"

#define NS_PER_S 1000000000ll
#define KEEPIDLE_S 60 /* where only "on" is known */
#define KEEPINTVL_S 1
#define KEEPCNT 10

static mu_stream_t *
stream(const mu_tcp_t *handle)
{
	return (mu_stream_t *)(uintptr_t)handle;
}

/* ---- sockets ------------------------------------------------------------- */

static int
keepalive_set(utcp_sock_t *s, bool on, const uint32_t v[3])
{
	int r = utcp_set(s, UTCP_OPT_KEEPALIVE, on);

	if (r || !on)
		return r;
	if (v[0] < 1 || v[1] < 1 || v[2] < 1)
		return UV_EINVAL;
	r = utcp_set(s, UTCP_OPT_KEEPIDLE_NS, v[0] * NS_PER_S);
	if (r == 0)
		r = utcp_set(s, UTCP_OPT_KEEPINTVL_NS, v[1] * NS_PER_S);
	if (r == 0)
		r = utcp_set(s, UTCP_OPT_KEEPCNT, v[2]);
	return r;
}

int
mu__tcp_adopt(mu_stream_t *h, utcp_sock_t *sock, uint32_t flags)
{
	int r = 0;

	if (h->flags & MU__NODELAY)
		r = utcp_set(sock, UTCP_OPT_NODELAY, 1);
	if (r == 0 && h->flags & MU__KEEPALIVE)
		r = keepalive_set(sock, true, h->keepalive_);
	if (r)
		return r;
	utcp_set_user(sock, h);
	h->sock_ = sock;
	h->flags |= flags;
	return 0;
}

/* A socket of that family, unless there is one of any. */
static int
want_socket(mu_stream_t *h, uint8_t family, uint32_t flags)
{
	utcp_sock_t *s;
	int r;

	if (h->sock_) {
		h->flags |= flags;
		return 0;
	}
	r = utcp_open(h->stack_->u, family, &s);
	if (r)
		return r;
	if (family == 6)
		flags |= MU__FAMILY6;
	r = mu__tcp_adopt(h, s, flags);
	if (r)
		utcp_close(s);
	return r;
}

int
mu_tcp_init_ex(uv_loop_t *loop, mu_tcp_t *handle, unsigned int flags)
{
	unsigned int domain = flags & 0xff;
	mu_stream_t *h = stream(handle);
	utcp_sock_t *sock = NULL;
	struct mu__stack *s;
	int r;

	if ((domain != AF_INET && domain != AF_INET6 && domain != AF_UNSPEC) ||
	    flags & ~0xffu)
		return UV_EINVAL;
	s = mu__stack_of(loop);
	if (!s)
		return UV_ENODEV;
	if (domain != AF_UNSPEC) {
		r = utcp_open(s->u, domain == AF_INET ? 4 : 6, &sock);
		if (r)
			return r;
	}
	mu__handle_init((struct mu__handle *)h, s, UV_TCP);
	memset(&h->write_queue_size, 0,
	       sizeof *h - offsetof(mu_stream_t, write_queue_size));
	h->writes_end_ = &h->writes_;
	h->written_end_ = &h->written_;
	if (sock)
		(void)mu__tcp_adopt(h, sock,
				    domain == AF_INET6 ? MU__FAMILY6 : 0);
	return 0;
}

int
mu_tcp_init(uv_loop_t *loop, mu_tcp_t *handle)
{
	return mu_tcp_init_ex(loop, handle, AF_UNSPEC);
}

int
mu_tcp_open(mu_tcp_t *handle, uv_os_sock_t sock)
{
	(void)handle;
	(void)sock;
	return UV_ENOTSUP;
}

utcp_sock_t *
mu_tcp_sock(const mu_tcp_t *handle)
{
	return handle->sock_;
}

/* ---- names --------------------------------------------------------------- */

int
mu_tcp_bind(mu_tcp_t *handle, const struct sockaddr *addr, unsigned int flags)
{
	mu_stream_t *h = stream(handle);
	utcp_addr_t a;
	uint8_t family;
	int r;

	if (handle->type != UV_TCP || mu__is_closing(handle) ||
	    mu__addr_from(&a, addr))
		return UV_EINVAL;
	if (flags & UV_TCP_IPV6ONLY && addr->sa_family != AF_INET6)
		return UV_EINVAL;
	if (flags & ~(unsigned int)UV_TCP_IPV6ONLY)
		return UV_ENOTSUP; /* UV_TCP_REUSEPORT */
	/* One address that is IPv4's, whatever it looks like. */
	family = addr->sa_family == AF_INET6 && a.family == 6 ? 6 : 4;
	r = want_socket(h, family, 0);
	if (r == 0 && family == 6)
		r = utcp_set(h->sock_, UTCP_OPT_V6ONLY,
			     (flags & UV_TCP_IPV6ONLY) != 0);
	if (r == 0)
		r = utcp_bind(h->sock_, &a);
	/* Told when it listens or has connected, as by libuv. */
	h->delayed_error_ = r == UV_EADDRINUSE ? r : 0;
	if (r == UV_EADDRINUSE)
		return 0;
	return r == UV_EAFNOSUPPORT || r == UV_EISCONN ? UV_EINVAL : r;
}

int
mu__tcp_listen(mu_stream_t *h, int backlog, mu_connection_cb cb)
{
	utcp_addr_t any = { 0 };
	int r;

	if (h->delayed_error_)
		return h->delayed_error_;
	r = want_socket(h, 4, 0);
	if (r)
		return r;
	any.family = h->flags & MU__FAMILY6 ? 6 : 4;
	if (utcp_getsockname(h->sock_, &any) != 0) /* not bound */
		r = utcp_bind(h->sock_, &any);
	if (backlog < 0 || backlog > 65535)
		backlog = 65535;
	if (r == 0)
		r = utcp_listen(h->sock_, backlog);
	if (r)
		return r == UV_EISCONN ? UV_EINVAL : r;
	h->connection_cb = cb;
	h->flags |= MU__LISTENING;
	mu__feed(h);
	return 0;
}

static int
name(const mu_tcp_t *handle, struct sockaddr *to, int *len,
     int (*get)(const utcp_sock_t *, utcp_addr_t *))
{
	bool six = (handle->flags & MU__FAMILY6) != 0;
	utcp_addr_t a = { .family = six ? 6 : 4 };
	int r;

	if (handle->delayed_error_)
		return handle->delayed_error_;
	if (!handle->sock_)
		return UV_EBADF;
	r = get(handle->sock_, &a);
	if (r == UV_EINVAL && get == utcp_getsockname)
		r = 0; /* not bound: any address, port 0 */
	if (r == 0)
		mu__addr_to(to, len, &a, six);
	return r;
}

int
mu_tcp_getsockname(const mu_tcp_t *handle, struct sockaddr *to, int *namelen)
{
	return name(handle, to, namelen, utcp_getsockname);
}

int
mu_tcp_getpeername(const mu_tcp_t *handle, struct sockaddr *to, int *namelen)
{
	if (handle->connect_req_ && handle->delayed_error_ == 0)
		return UV_ENOTCONN;
	return name(handle, to, namelen, utcp_getpeername);
}

/* ---- connecting ---------------------------------------------------------- */

static int
connect_to(mu_stream_t *h, const utcp_addr_t *peer)
{
	utcp_addr_t local, to = *peer;
	bool bound = utcp_getsockname(h->sock_, &local) == 0 &&
		     !mu__addr_is_any(&local);

	if (bound)
		mslink_peer(&to, &local);
	return mu__no_source(
	    bound ? utcp_connect(h->sock_, &to)
		  : mslink_connect(h->stack_->link, h->sock_, &to));
}

int
mu_tcp_connect(mu_connect_t *req, mu_tcp_t *handle, const struct sockaddr *addr,
	       mu_connect_cb cb)
{
	mu_stream_t *h = stream(handle);
	utcp_addr_t peer;
	int r;

	if (handle->type != UV_TCP || mu__addr_from(&peer, addr))
		return UV_EINVAL;
	if (h->connect_req_)
		return UV_EALREADY;
	if (h->delayed_error_ == 0) {
		r = want_socket(h, peer.family, MU__READABLE | MU__WRITABLE);
		if (r)
			return r;
		r = connect_to(h, &peer);
		if (r == UV_ECONNREFUSED)
			h->delayed_error_ = r;
		else if (r && r != -EINPROGRESS)
			return r;
	}
	req->type = UV_CONNECT;
	req->cb = cb;
	req->handle = h;
	h->connect_req_ = req;
	mu__req_add(h->stack_);
	if (h->delayed_error_)
		mu__feed(h);
	else
		mu__stack_stir(h->stack_);
	return 0;
}

void
mu__connect_io(mu_stream_t *h, uint32_t ready)
{
	mu_connect_t *req = h->connect_req_;
	int error = h->delayed_error_;
	int64_t v = 0;

	h->delayed_error_ = 0;
	if (error == 0) {
		if (!(ready & (UTCP_OUT | UTCP_ERR | UTCP_HUP)))
			return;
		if (ready & (UTCP_ERR | UTCP_HUP))
			(void)utcp_get(h->sock_, UTCP_OPT_ERROR, &v);
		error = (int)-v;
	}
	h->connect_req_ = NULL;
	mu__req_remove(h->stack_);
	if (req->cb)
		req->cb(req, error);
	if (!h->sock_)
		return;
	if (error) {
		mu__write_cancel(h, UV_ECANCELED);
		mu__write_callbacks(h);
	} else {
		mu__feed(h); /* reads and writes from a fresh stack */
	}
}

int
mu_tcp_close_reset(mu_tcp_t *handle, uv_close_cb close_cb)
{
	if (handle->shutdown_req_)
		return UV_EINVAL;
	if (!handle->sock_)
		return UV_EBADF;
	handle->flags |= MU__RESET;
	mu_close((uv_handle_t *)handle, close_cb);
	return 0;
}

/* ---- options ------------------------------------------------------------- */

int
mu_tcp_nodelay(mu_tcp_t *handle, int enable)
{
	int r = handle->sock_
		    ? utcp_set(handle->sock_, UTCP_OPT_NODELAY, enable != 0)
		    : 0;

	if (r)
		return r;
	handle->flags &= ~(uint32_t)MU__NODELAY;
	if (enable)
		handle->flags |= MU__NODELAY;
	return 0;
}

int
mu_tcp_keepalive_ex(mu_tcp_t *handle, int on, unsigned int idle,
		    unsigned int intvl, unsigned int cnt)
{
	const uint32_t v[3] = { idle, intvl, cnt };
	int r = 0;

	if (handle->sock_)
		r = keepalive_set(handle->sock_, on != 0, v);
	if (r)
		return r;
	handle->flags &= ~(uint32_t)MU__KEEPALIVE;
	if (on) {
		handle->flags |= MU__KEEPALIVE;
		handle->keepalive_[0] = idle ? idle : KEEPIDLE_S;
		handle->keepalive_[1] = intvl ? intvl : KEEPINTVL_S;
		handle->keepalive_[2] = cnt ? cnt : KEEPCNT;
	}
	return 0;
}

int
mu_tcp_keepalive(mu_tcp_t *handle, int enable, unsigned int delay)
{
	return mu_tcp_keepalive_ex(handle, enable, delay, KEEPINTVL_S, KEEPCNT);
}

int
mu_tcp_simultaneous_accepts(mu_tcp_t *handle, int enable)
{
	(void)handle;
	(void)enable;
	return 0; /* nothing to choose, as with libuv on Unix */
}
