/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_compat.h: what differs between 10.4, 14 and 15, under one name each.
 * Nothing else in sys/os/freebsd knows of versions.
 *
 * Macros and headers of the kernel are their own probes; where there are none,
 * the version that brought the change is asked for.
 */
#ifndef MS_COMPAT_H
#define MS_COMPAT_H

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/eventhandler.h>
#include <sys/file.h>
#include <sys/filedesc.h>
#include <sys/kernel.h>
#include <sys/lock.h>
#include <sys/malloc.h>
#include <sys/mbuf.h>
#include <sys/protosw.h>
#include <sys/queue.h>
#include <sys/rmlock.h>
#include <sys/rwlock.h>
#include <sys/socket.h>
#include <sys/socketvar.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/vmmeter.h>
#if __has_include(<sys/epoch.h>)
#include <sys/epoch.h>
#endif

#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_dl.h>
#include <net/if_types.h>
#include <net/if_var.h>
#include <net/if_llatbl.h>
#include <net/route.h>
#include <net/vnet.h>
#if __has_include(<net/if_private.h>)
#include <net/if_private.h> /* since 14: if_t is opaque without it */
#endif
#if __has_include(<net/route/nhop.h>)
#include <net/route/nhop.h>
#include <netinet/in_fib.h>
#include <netinet6/in6_fib.h>
#define MS_HAVE_NHOP /* since 13: next hops instead of rtentry */
#endif

#include <netinet/in.h>
#include <netinet/in_var.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <netinet6/in6_var.h>
#include <netinet6/ip6_var.h>
#include <netinet6/nd6.h>
#include <netinet6/scope6_var.h>

/* ---- read sections -------------------------------------------------------- */

/*
 * Since 13 the stack's own epoch: input runs inside it, and a section within a
 * section costs next to nothing. Before, a lock for readers that nest.
 */
#if defined(NET_EPOCH_WAIT)
#define ms_compat_tracker epoch_tracker
#define ms_compat_read_enter(rm, t) NET_EPOCH_ENTER(*(t))
#define ms_compat_read_exit(rm, t) NET_EPOCH_EXIT(*(t))
#define ms_compat_read_sync(rm) NET_EPOCH_WAIT()
/* Around calls into the stack that are made from elsewhere. */
#define ms_stack_enter(t) NET_EPOCH_ENTER(*(t))
#define ms_stack_exit(t) NET_EPOCH_EXIT(*(t))
#else
#define ms_compat_tracker rm_priotracker
#define ms_compat_read_enter(rm, t) rm_rlock((rm), (t))
#define ms_compat_read_exit(rm, t) rm_runlock((rm), (t))
#define ms_compat_read_sync(rm) (rm_wlock(rm), rm_wunlock(rm))
#define ms_stack_enter(t) ((void)(t))
#define ms_stack_exit(t) ((void)(t))
#endif

/* ---- memory --------------------------------------------------------------- */

/* Pages that may be wired yet, if a third of all is to stay for others. */
static inline u_long
ms_pages_spare(void)
{
#if __FreeBSD_version >= 1200000
	u_long all = vm_cnt.v_page_count, wired = vm_wire_count();
#else
	u_long all = cnt.v_page_count, wired = cnt.v_wire_count;
#endif
	u_long most = all - all / 3;

	return wired < most ? most - wired : 0;
}

/* ---- mbufs ---------------------------------------------------------------- */

/* Payload in pages that are not mapped, since 13. */
#ifndef M_EXTPG
#define M_EXTPG 0
#endif
/* The frame ends with its own checksum; before 11. */
#ifndef M_HASFCS
#define M_HASFCS 0
#endif

/* ---- descriptors ---------------------------------------------------------- */

/* What stat(2) and procstat(1) say of a ring's descriptor. */
#if __FreeBSD_version >= 1400000
static inline int
ms_ring_stat(struct file *fp, struct stat *sb, struct ucred *cred)
#else
static inline int
ms_ring_stat(struct file *fp, struct stat *sb, struct ucred *cred,
	     struct thread *td)
#endif
{
	memset(sb, 0, sizeof(*sb));
	sb->st_mode = S_IFCHR | S_IRUSR | S_IWUSR;
	return 0;
}

#if __FreeBSD_version >= 1100000
static inline int
ms_ring_fill_kinfo(struct file *fp, struct kinfo_file *kif,
		   struct filedesc *fdp)
{
	kif->kf_type = KF_TYPE_UNKNOWN;
	return 0;
}
#define MS_RING_FILEOPS                                                        \
	.fo_stat = ms_ring_stat, .fo_fill_kinfo = ms_ring_fill_kinfo
#else
#define MS_RING_FILEOPS .fo_stat = ms_ring_stat
#endif

/* ---- interfaces ----------------------------------------------------------- */

#if !__has_include(<net/if_private.h>)
typedef struct ifnet *if_t;
typedef void (*if_input_fn_t)(struct ifnet *, struct mbuf *);
typedef int (*if_output_fn_t)(struct ifnet *, struct mbuf *,
			      const struct sockaddr *, struct route *);
#define if_getinputfn(ifp) ((ifp)->if_input)
#define if_setinputfn(ifp, fn) ((void)((ifp)->if_input = (fn)))
#define if_setoutputfn(ifp, fn) ((void)((ifp)->if_output = (fn)))
#define if_transmit(ifp, m) ((ifp)->if_transmit((ifp), (m)))
#define if_getflags(ifp) ((ifp)->if_flags)
#define if_getdrvflags(ifp) ((ifp)->if_drv_flags)
#define if_getcapenable(ifp) ((ifp)->if_capenable)
#define if_gethwassist(ifp) ((ifp)->if_hwassist)
#define if_gethwtsomax(ifp) ((ifp)->if_hw_tsomax)
#define if_getmtu(ifp) ((ifp)->if_mtu)
#define if_getaddrlen(ifp) ((ifp)->if_addrlen)
#define if_getindex(ifp) ((ifp)->if_index)
#if defined(VIMAGE)
#define if_getvnet(ifp) ((ifp)->if_vnet)
#else
#define if_getvnet(ifp) ((struct vnet *)NULL)
#endif
#endif

/* The kernel has a setter only. */
static inline if_output_fn_t
ms_if_output(const struct ifnet *ifp)
{
	return ifp->if_output;
}

/* Whether its queue, if the driver uses that one, would lose the next mbuf. */
static inline bool
ms_if_full(const struct ifnet *ifp)
{
	int max = ifp->if_snd.ifq_maxlen;

	return max > 0 && ifp->if_snd.ifq_len >= max;
}

/*
 * Whether frames with an Ethernet header pass by its own input routine. Not those
 * of a bridge's or a lagg's own address, nor, before 12, a vlan's: these come by
 * its parent's.
 */
static inline bool
ms_if_hears(const struct ifnet *ifp)
{
	if (ifp->if_dname != NULL && strcmp(ifp->if_dname, "lagg") == 0)
		return false;
#if __FreeBSD_version >= 1200000
	if (ifp->if_type == IFT_L2VLAN)
		return true;
#endif
	return ifp->if_type == IFT_ETHER || ifp->if_type == IFT_IEEE8023ADLAG;
}

/* It has been detached, and all its routines replaced. */
static inline bool
ms_if_dead(const struct ifnet *ifp)
{
	return ifp->if_addr == NULL;
}

/* False: it has none. Called by ms_if_foreach(). */
static inline bool
ms_if_lladdr(const struct ifnet *ifp, uint8_t mac[6])
{
	const struct ifaddr *ifa =
	    *(struct ifaddr *const volatile *)&ifp->if_addr;
	const struct sockaddr_dl *sdl;

	if (ifa == NULL)
		return false;
	sdl = (const struct sockaddr_dl *)ifa->ifa_addr;
	if (sdl->sdl_alen != 6)
		return false;
	memcpy(mac, sdl->sdl_data + sdl->sdl_nlen, 6);
	return true;
}

/*
 * The interfaces of the current vnet, and the addresses of one of a family,
 * each to fn(). Nothing may sleep, nor come or go meanwhile.
 */
static inline void
ms_if_foreach(void (*fn)(if_t ifp, void *arg), void *arg)
{
	struct ifnet *ifp;
#if defined(NET_EPOCH_WAIT)
	struct epoch_tracker t;

	NET_EPOCH_ENTER(t);
	CK_STAILQ_FOREACH(ifp, &V_ifnet, if_link) fn(ifp, arg);
	NET_EPOCH_EXIT(t);
#else
	IFNET_RLOCK_NOSLEEP();
	TAILQ_FOREACH(ifp, &V_ifnet, if_link) fn(ifp, arg);
	IFNET_RUNLOCK_NOSLEEP();
#endif
}

static inline void
ms_ifa_foreach(if_t ifp, int family,
	       void (*fn)(const struct ifaddr *ifa, void *arg), void *arg)
{
	const struct ifaddr *ifa;
#if defined(NET_EPOCH_WAIT)
	struct epoch_tracker t;

	NET_EPOCH_ENTER(t);
	CK_STAILQ_FOREACH(ifa, &ifp->if_addrhead, ifa_link)
	{
		if (ifa->ifa_addr->sa_family == family)
			fn(ifa, arg);
	}
	NET_EPOCH_EXIT(t);
#else
	IF_ADDR_RLOCK(ifp);
	TAILQ_FOREACH(ifa, &ifp->if_addrhead, ifa_link)
	{
		if (ifa->ifa_addr->sa_family == family)
			fn(ifa, arg);
	}
	IF_ADDR_RUNLOCK(ifp);
#endif
}

/* Whose neighbour it is. lle locked. */
static inline if_t
ms_lle_ifp(const struct llentry *lle)
{
#if defined(NET_EPOCH_WAIT)
	return lltable_get_ifp(lle->lle_tbl);
#else
	return lle->lle_tbl->llt_ifp;
#endif
}

/* ---- sockets -------------------------------------------------------------- */

/* The address that so is bound to. */
static inline int
ms_sockname(struct socket *so, struct sockaddr_storage *ss)
{
#if __FreeBSD_version >= 1500000
	memset(ss, 0, sizeof(*ss));
	ss->ss_len = sizeof(*ss);
	return sosockaddr(so, (struct sockaddr *)ss);
#else
	struct sockaddr *sa = NULL;
	int error;

	memset(ss, 0, sizeof(*ss));
	CURVNET_SET(so->so_vnet);
#if __FreeBSD_version >= 1400000
	error = so->so_proto->pr_sockaddr(so, &sa);
#else
	error = so->so_proto->pr_usrreqs->pru_sockaddr(so, &sa);
#endif
	CURVNET_RESTORE();
	if (error == 0 && sa != NULL)
		memcpy(ss, sa, MIN(sa->sa_len, sizeof(*ss)));
	free(sa, M_SONAME);
	return error;
#endif
}

/* ---- routes --------------------------------------------------------------- */

/* What a route says, copied out of it. */
struct ms_hop {
	if_t ifp; /* to compare with only: not counted */
	uint32_t mtu;
	bool refused; /* reject or blackhole */
	union {	      /* of whom to ask the MAC: the gateway, or dst */
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} next;
	struct sockaddr_in src; /* IPv4 */
};

#if defined(MS_HAVE_NHOP)
/* dst's way in the current vnet. False: there is none. */
static inline bool
ms_hop_lookup(u_int fib, const struct sockaddr *dst, struct ms_hop *hop)
{
	const struct sockaddr_in6 *in6 = (const void *)dst;
	const struct sockaddr_in *in = (const void *)dst;
	const struct nhop_object *nh;
	struct epoch_tracker t;
	struct in6_addr a6;
	uint32_t scope = 0;

	memset(hop, 0, sizeof(*hop));
	NET_EPOCH_ENTER(t);
	if (dst->sa_family == AF_INET) {
		nh = fib4_lookup(fib, in->sin_addr, 0, NHR_NONE, 0);
	} else {
		in6_splitscope(&in6->sin6_addr, &a6, &scope);
		nh = fib6_lookup(fib, &a6, scope, NHR_NONE, 0);
	}
	if (nh != NULL) {
		hop->ifp = nh->nh_ifp;
		hop->mtu = nh->nh_mtu;
		hop->refused = (nh->nh_flags & (NHF_REJECT | NHF_BLACKHOLE)) !=
			       0;
		if ((nh->nh_flags & NHF_GATEWAY) != 0)
			memcpy(&hop->next, &nh->gw_sa,
			       MIN(nh->gw_sa.sa_len, sizeof(hop->next)));
		else
			memcpy(&hop->next, dst, dst->sa_len);
		if (nh->nh_ifa->ifa_addr->sa_family == AF_INET)
			memcpy(&hop->src, nh->nh_ifa->ifa_addr,
			       sizeof(hop->src));
	}
	NET_EPOCH_EXIT(t);
	return nh != NULL;
}

/* The source address for dst (with its zone in it) out of ifp. */
static inline int
ms_src6(u_int fib, const struct sockaddr_in6 *dst, if_t ifp,
	struct in6_addr *src)
{
	struct epoch_tracker t;
	struct in6_addr a6;
	uint32_t scope;
	int error;

	in6_splitscope(&dst->sin6_addr, &a6, &scope);
	NET_EPOCH_ENTER(t);
	error = in6_selectsrc_addr(fib, &a6, scope, ifp, src, NULL);
	NET_EPOCH_EXIT(t);
	return error;
}

/* The MAC of a neighbour, asking for it where it is missing or stale.
   EWOULDBLOCK: being asked for. */
static inline int
ms_neigh_resolve(if_t ifp, const struct sockaddr *sa, uint8_t mac[6])
{
	uint8_t hdr[LLE_MAX_LINKHDR]; /* the MAC comes first */
	struct epoch_tracker t;
	int error;

	memset(hdr, 0, sizeof(hdr));
	NET_EPOCH_ENTER(t);
	if (sa->sa_family == AF_INET)
		error = arpresolve(ifp, 0, NULL, sa, hdr, NULL, NULL);
	else
		error = nd6_resolve(ifp, LLE_SF(AF_INET6, 0), NULL, sa, hdr,
				    NULL, NULL);
	NET_EPOCH_EXIT(t);
	memcpy(mac, hdr, 6);
	return error;
}
#else
static inline bool
ms_hop_lookup(u_int fib, const struct sockaddr *dst, struct ms_hop *hop)
{
	struct sockaddr_in6 key;
	struct rtentry *rt;

	memset(hop, 0, sizeof(*hop));
	memcpy(&key, dst, dst->sa_len);
	rt = rtalloc1_fib((struct sockaddr *)&key, 0, 0, fib);
	if (rt == NULL)
		return false;
	hop->ifp = rt->rt_ifp;
	hop->mtu = (uint32_t)rt->rt_mtu;
	hop->refused = (rt->rt_flags & (RTF_REJECT | RTF_BLACKHOLE)) != 0;
	if ((rt->rt_flags & RTF_GATEWAY) != 0)
		memcpy(&hop->next, rt->rt_gateway,
		       MIN(rt->rt_gateway->sa_len, sizeof(hop->next)));
	else
		memcpy(&hop->next, dst, dst->sa_len);
	if (rt->rt_ifa != NULL && rt->rt_ifa->ifa_addr->sa_family == AF_INET)
		memcpy(&hop->src, rt->rt_ifa->ifa_addr, sizeof(hop->src));
	RTFREE_LOCKED(rt);
	return true;
}

static inline int
ms_src6(u_int fib, const struct sockaddr_in6 *dst, if_t ifp,
	struct in6_addr *src)
{
	struct sockaddr_in6 to = *dst;
	struct ifnet *out = ifp;

	return in6_selectsrc(&to, NULL, NULL, NULL, NULL, &out, src);
}

/* A neighbour that has been silent for long is asked, and stays valid. */
static inline int
ms_nd_resolve(if_t ifp, const struct sockaddr_in6 *sa, uint8_t mac[6])
{
	struct sockaddr_in6 key = *sa;
	struct llentry *lle;
	int error = EWOULDBLOCK;

	IF_AFDATA_RLOCK(ifp);
	lle = lla_lookup(LLTABLE6(ifp), LLE_EXCLUSIVE, (struct sockaddr *)&key);
	IF_AFDATA_RUNLOCK(ifp);
	if (lle != NULL) {
		if (lle->ln_state == ND6_LLINFO_STALE) {
			lle->la_asked = 0;
			lle->ln_state = ND6_LLINFO_DELAY;
			nd6_llinfo_settimer_locked(lle, (long)V_nd6_delay * hz);
		}
		if ((lle->la_flags & LLE_VALID) != 0) {
			memcpy(mac, &lle->ll_addr, 6);
			error = 0;
		}
		LLE_WUNLOCK(lle);
		return error;
	}
	IF_AFDATA_LOCK(ifp);
	lle = nd6_lookup(&key.sin6_addr, ND6_CREATE | ND6_EXCLUSIVE, ifp);
	IF_AFDATA_UNLOCK(ifp);
	if (lle == NULL)
		return ENOMEM;
	lle->ln_state = ND6_LLINFO_INCOMPLETE;
	nd6_llinfo_settimer_locked(lle,
				   (long)ND_IFINFO(ifp)->retrans * hz / 1000);
	LLE_WUNLOCK(lle);
	nd6_ns_output(ifp, NULL, &key.sin6_addr, NULL, NULL);
	return error;
}

static inline int
ms_neigh_resolve(if_t ifp, const struct sockaddr *sa, uint8_t mac[6])
{
	struct llentry *lle;

	if (sa->sa_family == AF_INET)
		return arpresolve(ifp, NULL, NULL, sa, mac, &lle);
	return ms_nd_resolve(ifp, (const struct sockaddr_in6 *)sa, mac);
}
#endif

#endif /* MS_COMPAT_H */
