/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * route.c: MS_CMD_ROUTE, from the kernel's tables: what a stack has to write
 * into its frames to reach a peer through this interface.
 *
 * Called without locks: all may change meanwhile, the interface may go. An
 * answer that has become stale is told by route_gen.
 */
#include "ms_freebsd.h"

#include <sys/proc.h>

union peer {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6; /* with its zone in it */
};

static bool
is_local(const struct ms_nic *nic, const struct ms_tuple *t)
{
	struct ms_read r;
	bool local;

	ms_os_read_enter(&r);
	local = ms_table_addr_local(nic->sw->table, t->addr, t->family);
	ms_os_read_exit(&r);
	return local;
}

static int
peer_set(union peer *p, const struct ms_tuple *t, if_t ifp)
{
	memset(p, 0, sizeof(*p));
	if (t->family == 4) {
		p->in.sin_len = sizeof(p->in);
		p->in.sin_family = AF_INET;
		memcpy(&p->in.sin_addr, t->addr, 4);
		return 0;
	}
	p->in6.sin6_len = sizeof(p->in6);
	p->in6.sin6_family = AF_INET6;
	memcpy(&p->in6.sin6_addr, t->addr, 16);
	return -in6_setscope(&p->in6.sin6_addr, ifp, NULL);
}

/* ---- MACs that follow from the address --------------------------------------- */

struct broadcast {
	struct in_addr addr;
	bool is;
};

static void
broadcast_look(const struct ifaddr *ifa, void *arg)
{
	const struct sockaddr_in *b = (const void *)ifa->ifa_broadaddr;
	struct broadcast *look = arg;

	if (b != NULL && b->sin_addr.s_addr == look->addr.s_addr)
		look->is = true;
}

static bool
is_broadcast(if_t ifp, struct in_addr addr)
{
	struct broadcast look = { .addr = addr };

	if (addr.s_addr == INADDR_BROADCAST)
		return true;
	if ((if_getflags(ifp) & IFF_BROADCAST) != 0)
		ms_ifa_foreach(ifp, AF_INET, broadcast_look, &look);
	return look.is;
}

static bool
mac_mapped(if_t ifp, const union peer *p, uint8_t mac[6])
{
	const struct in_addr *a4 = &p->in.sin_addr;
	const struct in6_addr *a6 = &p->in6.sin6_addr;

	if (p->sa.sa_family == AF_INET6) {
		if (!IN6_IS_ADDR_MULTICAST(a6))
			return false;
		ETHER_MAP_IPV6_MULTICAST(a6, mac);
		return true;
	}
	if (IN_MULTICAST(ntohl(a4->s_addr))) {
		ETHER_MAP_IP_MULTICAST(a4, mac);
		return true;
	}
	if (!is_broadcast(ifp, *a4))
		return false;
	memset(mac, 0xff, 6);
	return true;
}

/* ---- the next hop's MAC ------------------------------------------------------- */

/* -EAGAIN: not known within some milliseconds. */
static int
neigh_resolve(if_t ifp, const struct sockaddr *sa, uint8_t mac[6])
{
	static const unsigned int pause_ms[] = { 1, 1, 2, 3, 4, 8, 12 };
	unsigned int i;

	for (i = 0;; i++) {
		if (ms_neigh_resolve(ifp, sa, mac) == 0)
			return 0;
		if (i == nitems(pause_ms))
			return -EAGAIN;
		ms_os_sleep_us(1000 * pause_ms[i]);
	}
}

/* ---- all together --------------------------------------------------------------- */

static int
fill_local(const struct ms_nic *nic, struct ms_cmd_route *r)
{
	memcpy(r->src.addr, r->dst.addr, sizeof(r->src.addr));
	memcpy(r->dst_mac, r->src_mac, sizeof(r->dst_mac));
	r->mtu = ms_os_load_once(&nic->mtu);
	r->state = MS_ROUTE_LOCAL;
	return 0;
}

static int
fill_source(const struct ms_hop *hop, const union peer *p, if_t ifp, u_int fib,
	    struct ms_cmd_route *r)
{
	struct in6_addr a6;
	int err;

	if (p->sa.sa_family == AF_INET) {
		if (hop->src.sin_addr.s_addr == INADDR_ANY)
			return -EADDRNOTAVAIL;
		memcpy(r->src.addr, &hop->src.sin_addr, 4);
		return 0;
	}
	err = -ms_src6(fib, &p->in6, ifp, &a6);
	if (err)
		return err;
	(void)in6_clearscope(&a6);
	memcpy(r->src.addr, &a6, 16);
	return 0;
}

static int
fill_remote(const struct ms_nic *nic, if_t ifp, struct ms_cmd_route *r)
{
	u_int fib = (u_int)curthread->td_proc->p_fibnum;
	uint32_t mtu = ms_os_load_once(&nic->mtu);
	struct ms_hop hop;
	union peer p;
	int err;

	err = peer_set(&p, &r->dst, ifp);
	if (err)
		return err;
	if (!ms_hop_lookup(fib, &p.sa, &hop) || hop.ifp != ifp)
		return -ENETUNREACH;
	if (hop.refused)
		return -EHOSTUNREACH;
	err = fill_source(&hop, &p, ifp, fib, r);
	if (err)
		return err;
	r->mtu = hop.mtu != 0 ? MIN(hop.mtu, mtu) : mtu;
	r->state = MS_ROUTE_REACHABLE;
	if (!mac_mapped(ifp, &p, r->dst_mac) &&
	    neigh_resolve(ifp, &hop.next.sa, r->dst_mac) != 0)
		r->state = MS_ROUTE_PENDING;
	return 0;
}

int
ms_route(struct ms_nic *nic, struct ms_cmd_route *r)
{
	const struct ms_ifnet *mi = nic->os;
	unsigned int i;
	int err;

	memset(&r->src, 0, sizeof(r->src));
	memset(r->dst_mac, 0, sizeof(r->dst_mac));
	r->src.family = r->dst.family;
	for (i = 0; i < sizeof(r->src_mac); i++)
		r->src_mac[i] = ms_os_load_once(&nic->mac[i]);
	if (is_local(nic, &r->dst))
		return fill_local(nic, r);
	if (nic->loopback)
		return -ENETUNREACH;
	CURVNET_SET(mi->vn->vnet);
	err = fill_remote(nic, mi->ifp, r);
	CURVNET_RESTORE();
	return err;
}
