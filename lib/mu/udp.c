/* SPDX-License-Identifier: BSD-2-Clause */
/* udp.c: sockets, names, options; datagrams pass in udp_io.c. */
#include "internal.h"

#define BIND_FLAGS                                                             \
	((unsigned int)(UV_UDP_IPV6ONLY | UV_UDP_REUSEADDR |                   \
			UV_UDP_LINUX_RECVERR))
#define REUSEPORT 64u /* UV_UDP_REUSEPORT, which libuv has from 1.49 on */

/* ---- sockets ------------------------------------------------------------- */

static void
adopt(mu_udp_t *h, utcp_udp_t *sock, uint8_t family)
{
	h->sock_ = sock;
	if (family == 6)
		h->flags |= MU__FAMILY6;
	utcp_udp_set_user(sock, h);
}

static int
want_socket(mu_udp_t *h, uint8_t family)
{
	utcp_udp_t *sock;
	int r;

	if (h->sock_)
		return 0;
	r = utcp_udp_open(h->stack_->u, family, &sock);
	if (r == 0)
		adopt(h, sock, family);
	return r;
}

int
mu__udp_deferred_bind(mu_udp_t *h, uint8_t family)
{
	utcp_addr_t any = { .family = family };
	int r;

	if (h->sock_)
		return 0;
	r = want_socket(h, family);
	return r ? r : utcp_udp_bind(h->sock_, &any);
}

int
mu_udp_init_ex(uv_loop_t *loop, mu_udp_t *handle, unsigned int flags)
{
	unsigned int domain = flags & 0xff;
	utcp_udp_t *sock = NULL;
	struct mu__stack *s;
	int r;

	if ((domain != AF_INET && domain != AF_INET6 && domain != AF_UNSPEC) ||
	    flags & ~(0xffu | (unsigned int)UV_UDP_RECVMMSG))
		return UV_EINVAL;
	s = mu__stack_of(loop);
	if (!s)
		return UV_ENODEV;
	if (domain != AF_UNSPEC) {
		r = utcp_udp_open(s->u, domain == AF_INET6 ? 6 : 4, &sock);
		if (r)
			return r;
	}
	mu__handle_init((struct mu__handle *)handle, s, UV_UDP);
	memset(&handle->send_queue_size, 0,
	       sizeof *handle - offsetof(mu_udp_t, send_queue_size));
	handle->sends_end_ = &handle->sends_;
	handle->sent_end_ = &handle->sent_;
	if (flags & UV_UDP_RECVMMSG)
		handle->flags |= MU__RECVMMSG;
	if (sock)
		adopt(handle, sock, domain == AF_INET6 ? 6 : 4);
	return 0;
}

int
mu_udp_init(uv_loop_t *loop, mu_udp_t *handle)
{
	return mu_udp_init_ex(loop, handle, AF_UNSPEC);
}

int
mu_udp_open(mu_udp_t *handle, uv_os_sock_t sock)
{
	(void)handle;
	(void)sock;
	return UV_ENOTSUP;
}

int
mu_udp_open_ex(mu_udp_t *handle, uv_os_sock_t sock, unsigned int flags)
{
	(void)flags;
	return mu_udp_open(handle, sock);
}

utcp_udp_t *
mu_udp_sock(const mu_udp_t *handle)
{
	return handle->sock_;
}

void
mu__udp_close(mu_udp_t *h)
{
	(void)mu_udp_recv_stop(h);
	utcp_udp_close(h->sock_);
	h->sock_ = NULL;
	mu__udp_rest_drop(h);
}

/* ---- names --------------------------------------------------------------- */

int
mu_udp_bind(mu_udp_t *handle, const struct sockaddr *addr, unsigned int flags)
{
	utcp_addr_t a;
	uint8_t family;
	int r;

	if (handle->type != UV_UDP || mu__addr_from(&a, addr))
		return UV_EINVAL;
	if (flags & ~(BIND_FLAGS | REUSEPORT) ||
	    (flags & UV_UDP_IPV6ONLY && addr->sa_family != AF_INET6))
		return UV_EINVAL;
	if (flags & REUSEPORT)
		return UV_ENOTSUP;
	family = addr->sa_family == AF_INET6 && a.family == 6 ? 6 : 4;
	r = want_socket(handle, family);
	if (r == 0 && flags & UV_UDP_IPV6ONLY)
		r = utcp_udp_set(handle->sock_, UTCP_OPT_V6ONLY, 1);
	if (r == 0 && flags & UV_UDP_REUSEADDR)
		r = utcp_udp_set(handle->sock_, UTCP_OPT_REUSEADDR, 1);
	if (r == 0)
		r = utcp_udp_bind(handle->sock_, &a);
	return r == UV_EAFNOSUPPORT || r == UV_EISCONN ? UV_EINVAL : r;
}

int
mu_udp_connect(mu_udp_t *handle, const struct sockaddr *addr)
{
	const utcp_addr_t none = { 0 };
	utcp_addr_t peer;
	int r;

	if (handle->type != UV_UDP)
		return UV_EINVAL;
	if (!addr) {
		if (!(handle->flags & MU__CONNECTED))
			return UV_ENOTCONN;
		handle->flags &= ~(uint32_t)MU__CONNECTED;
		return utcp_udp_connect(handle->sock_, &none);
	}
	if (mu__addr_from(&peer, addr))
		return UV_EINVAL;
	if (handle->flags & MU__CONNECTED)
		return UV_EISCONN;
	r = mu__udp_deferred_bind(handle, peer.family);
	if (r == 0)
		r = mslink_udp_connect(handle->stack_->link, handle->sock_,
				       &peer);
	if (r == 0)
		handle->flags |= MU__CONNECTED;
	return mu__no_source(r);
}

int
mu_udp_getpeername(const mu_udp_t *handle, struct sockaddr *name, int *namelen)
{
	utcp_addr_t a;
	int r;

	if (!handle->sock_)
		return UV_EBADF;
	r = utcp_udp_getpeername(handle->sock_, &a);
	if (r == 0)
		mu__addr_to(name, namelen, &a,
			    (handle->flags & MU__FAMILY6) != 0);
	return r;
}

int
mu_udp_getsockname(const mu_udp_t *handle, struct sockaddr *name, int *namelen)
{
	bool six = (handle->flags & MU__FAMILY6) != 0;
	utcp_addr_t a = { .family = six ? 6 : 4 };
	int r;

	if (!handle->sock_)
		return UV_EBADF;
	r = utcp_udp_getsockname(handle->sock_, &a);
	if (r == UV_EINVAL)
		r = 0; /* not bound: any address, port 0 */
	if (r == 0)
		mu__addr_to(name, namelen, &a, six);
	return r;
}

/* ---- options ------------------------------------------------------------- */

int
mu_udp_set_ttl(mu_udp_t *handle, int ttl)
{
	if (ttl < 1 || ttl > 255)
		return UV_EINVAL;
	if (!handle->sock_)
		return UV_EBADF;
	return utcp_udp_set(handle->sock_, UTCP_OPT_TTL, ttl);
}

/* The switch leaves groups and broadcast to the host's stack, so there is
   nobody to join and nobody to send to; what was to hold for that is taken. */
static int
no_effect(const mu_udp_t *handle, bool valid)
{
	if (!handle->sock_)
		return UV_EBADF;
	return valid ? 0 : UV_EINVAL;
}

int
mu_udp_set_membership(mu_udp_t *handle, const char *multicast_addr,
		      const char *interface_addr, uv_membership membership)
{
	(void)handle;
	(void)multicast_addr;
	(void)interface_addr;
	(void)membership;
	return UV_ENOTSUP;
}

int
mu_udp_set_source_membership(mu_udp_t *handle, const char *multicast_addr,
			     const char *interface_addr,
			     const char *source_addr, uv_membership membership)
{
	(void)source_addr;
	return mu_udp_set_membership(handle, multicast_addr, interface_addr,
				     membership);
}

int
mu_udp_set_multicast_loop(mu_udp_t *handle, int on)
{
	(void)on;
	return no_effect(handle, true);
}

int
mu_udp_set_multicast_ttl(mu_udp_t *handle, int ttl)
{
	return no_effect(handle, ttl >= -1 && ttl <= 255);
}

int
mu_udp_set_multicast_interface(mu_udp_t *handle, const char *interface_addr)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	if (interface_addr && uv_ip4_addr(interface_addr, 0, &four) &&
	    uv_ip6_addr(interface_addr, 0, &six))
		return UV_EINVAL;
	return no_effect(handle, true);
}

int
mu_udp_set_broadcast(mu_udp_t *handle, int on)
{
	(void)on;
	return no_effect(handle, true);
}

int
mu_udp_using_recvmmsg(const mu_udp_t *handle)
{
	return (handle->flags & MU__RECVMMSG) != 0;
}

size_t
mu_udp_get_send_queue_size(const mu_udp_t *handle)
{
	return handle->send_queue_size;
}

size_t
mu_udp_get_send_queue_count(const mu_udp_t *handle)
{
	return handle->send_queue_count;
}
