/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * resv.c: the host's word that a tuple is ours: a bound socket of the caller's.
 *
 * It shares its address with nobody: without SO_REUSEADDR and SO_REUSEPORT, a
 * later bind to the same gets EADDRINUSE, whatever options it has. On FreeBSD
 * one with SO_REUSEADDR may bind an exact address under somebody's wildcard: so
 * behind a wildcard of ours stands a socket for each address of the host
 * besides.
 *
 * The sockets receive nothing: TCP and SCTP do not listen, all others have a
 * buffer in which nothing has room.
 */
#include "ms_freebsd.h"

#include <sys/proc.h>
#include <sys/sockopt.h>

struct resv_socket {
	LIST_ENTRY(resv_socket) list;
	struct socket *so; /* owned */
};

struct ms_resv {
	LIST_ENTRY(ms_resv) list;	  /* ctl_lock: of vn */
	LIST_HEAD(, resv_socket) sockets; /* ctl_lock */
	struct ms_tuple tuple;		  /* (c) */
	struct ucred *cred;		  /* (c) counted; whose it is */
	unsigned int refs;		  /* ctl_lock; of binds */
};

/* ---- the socket ------------------------------------------------------- */

/* 0: the kernel has no such. */
static int
socket_type(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
	case IPPROTO_SCTP:
		return SOCK_STREAM;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return SOCK_DGRAM;
	default:
		return ms_proto_has_ports(proto) ? 0 : SOCK_RAW;
	}
}

/* Which do not listen, and so hear nothing. */
static bool
is_connected(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_SCTP;
}

static int
socket_open(struct ucred *cred, const struct ms_tuple *t, struct socket **out)
{
	int domain = t->family == 4 ? PF_INET : PF_INET6;
	int type = socket_type(t->proto);
	int error;

	if (type == 0)
		return -EPROTONOSUPPORT;
	error = socreate(domain, out, type, t->proto, cred, curthread);
	switch (error) {
	case 0:
		return 0;
	case ENOMEM:
	case ENOBUFS:
		return -ENOMEM;
	case ENFILE:
	case EMFILE:
		return -EMFILE;
	case EACCES:
	case EPERM:
		return -EPERM;
	default: /* the kernel has no such protocol */
		return -EPROTONOSUPPORT;
	}
}

static int
socket_set(struct socket *so, int level, int name, int value)
{
	struct sockopt opt = {
		.sopt_dir = SOPT_SET,
		.sopt_level = level,
		.sopt_name = name,
		.sopt_val = &value,
		.sopt_valsize = sizeof(value),
	};

	return -sosetopt(so, &opt);
}

/* zone: of a link-local address. */
static void
tuple_to_sockaddr(const struct ms_tuple *t, uint32_t zone,
		  struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *in = (struct sockaddr_in *)ss;

	memset(ss, 0, sizeof(*ss));
	if (t->family == 4) {
		in->sin_len = sizeof(*in);
		in->sin_family = AF_INET;
		in->sin_port = t->port_be;
		memcpy(&in->sin_addr, t->addr, 4);
		return;
	}
	in6->sin6_len = sizeof(*in6);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = t->port_be;
	memcpy(&in6->sin6_addr, t->addr, 16);
	if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
		in6->sin6_scope_id = zone;
}

/* Writes the port back. In a jail another address may have been put into it:
   then this is no reservation of t. */
static int
check_bound(struct socket *so, struct ms_tuple *t)
{
	struct sockaddr_storage ss;
	const struct sockaddr_in6 *in6 = (const void *)&ss;
	const struct sockaddr_in *in = (const void *)&ss;
	struct in6_addr a6;
	uint16_t port_be;
	bool same;

	if (ms_sockname(so, &ss) != 0)
		return -EADDRNOTAVAIL;
	if (t->family == 4) {
		port_be = in->sin_port;
		same = memcmp(&in->sin_addr, t->addr, 4) == 0;
	} else {
		port_be = in6->sin6_port;
		a6 = in6->sin6_addr;
		in6_clearscope(&a6);
		same = memcmp(&a6, t->addr, 16) == 0;
	}
	if (!same)
		return -EADDRNOTAVAIL;
	if (!ms_proto_has_ports(t->proto))
		return 0;
	if (port_be == 0 || (t->port_be != 0 && t->port_be != port_be))
		return -EADDRNOTAVAIL;
	t->port_be = port_be;
	return 0;
}

/* Without IPv4 behind an IPv6 socket, whatever net.inet6.ip6.v6only says. */
static int
socket_bind(struct socket *so, struct ms_tuple *t, uint32_t zone)
{
	struct sockaddr_storage ss;
	int err = 0;

	if (!is_connected(t->proto))
		err = -soreserve(so, 0, 0);
	if (err == 0 && t->family == 6 && ms_proto_has_ports(t->proto))
		err = socket_set(so, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (err)
		return err;
	tuple_to_sockaddr(t, zone, &ss);
	err = -sobind(so, (struct sockaddr *)&ss, curthread);
	switch (err) {
	case 0:
		return check_bound(so, t);
	case -EINVAL:
	case -EAFNOSUPPORT:
		return -EADDRNOTAVAIL;
	default:
		return err;
	}
}

/* ---- reservations; ctl_lock held ----------------------------------------- */

/* One more socket behind r, bound to t; under: to an address below r's own
   wildcard, which nobody else may have either. */
static int
resv_add(struct ms_resv *r, struct ms_tuple *t, uint32_t zone, bool under)
{
	struct resv_socket *s;
	int err;

	s = malloc(sizeof(*s), M_MULTISTACK, M_WAITOK);
	err = socket_open(r->cred, t, &s->so);
	if (err) {
		free(s, M_MULTISTACK);
		return err;
	}
	if (under)
		err = socket_set(s->so, SOL_SOCKET, SO_REUSEADDR, 1);
	if (err == 0)
		err = socket_bind(s->so, t, zone);
	if (err == 0 && under)
		err = socket_set(s->so, SOL_SOCKET, SO_REUSEADDR, 0);
	if (err) {
		(void)soclose(s->so);
		free(s, M_MULTISTACK);
		return err;
	}
	LIST_INSERT_HEAD(&r->sockets, s, list);
	return 0;
}

static int
resv_add_addr(struct ms_resv *r, const struct ms_addr *a)
{
	struct ms_tuple t = r->tuple;

	if (a->family != t.family || !ms_tuple_is_wildcard(&t) ||
	    !ms_proto_has_ports(t.proto))
		return 0;
	memcpy(t.addr, a->addr, sizeof(t.addr));
	return resv_add(r, &t, a->zone, true);
}

void
ms_resv_addr(struct ms_vnet *vn, const struct ms_addr *a)
{
	struct ms_resv *r;

	LIST_FOREACH(r, &vn->resvs, list)
	{
		(void)resv_add_addr(r, a);
	}
}

/* The wildcard's own, and one for each address; those that have just left do
   not matter. */
static int
resv_fill(struct ms_resv *r, struct ms_vnet *vn, uint32_t zone)
{
	const struct ms_addr *a;
	size_t num, i;
	int err;

	err = resv_add(r, &r->tuple, zone, false);
	if (err)
		return err;
	a = ms_monitor_addrs(vn, &num);
	for (i = 0; i < num; i++) {
		err = resv_add_addr(r, &a[i]);
		if (err && err != -EADDRNOTAVAIL)
			return err;
	}
	return 0;
}

static void
resv_free(struct ms_resv *r)
{
	struct resv_socket *s;

	while ((s = LIST_FIRST(&r->sockets)) != NULL) {
		LIST_REMOVE(s, list);
		(void)soclose(s->so);
		free(s, M_MULTISTACK);
	}
	crfree(r->cred);
	free(r, M_MULTISTACK);
}

/* As bind() asks; but it binds to broadcast addresses too, and nobody owns
   one. */
static int
check_address(const struct ms_nic *nic, const struct ms_tuple *t)
{
	struct ms_read r;
	bool ok;

	if (ms_tuple_is_wildcard(t))
		return 0;
	ms_os_read_enter(&r);
	ok = ms_table_addr_local(nic->sw->table, t->addr, t->family);
	ms_os_read_exit(&r);
	return ok ? 0 : -EADDRNOTAVAIL;
}

int
ms_os_resv_create(struct ms_nic *nic, const struct ms_cred *cred,
		  struct ms_tuple *tuple, struct ms_resv **out)
{
	const struct ms_ifnet *mi = nic->os;
	struct ms_resv *r;
	int err;

	if (!ms_cred_is_here(cred))
		return -EPERM;
	err = check_address(nic, tuple);
	if (err)
		return err;
	/* The sockets stay until the last of both goes. */
	r = ms_port_wildcard_resv(nic->sw, tuple, ms_os_cred_uid(cred));
	if (r != NULL) {
		r->refs++;
		*out = r;
		return 0;
	}
	r = malloc(sizeof(*r), M_MULTISTACK, M_WAITOK | M_ZERO);
	LIST_INIT(&r->sockets);
	r->tuple = *tuple;
	r->cred = crhold(cred->td->td_ucred);
	r->refs = 1;
	err = resv_fill(r, mi->vn, (uint32_t)if_getindex(mi->ifp));
	if (err) {
		resv_free(r);
		return err;
	}
	LIST_INSERT_HEAD(&mi->vn->resvs, r, list);
	*tuple = r->tuple;
	*out = r;
	return 0;
}

void
ms_os_resv_destroy(struct ms_resv *r)
{
	if (r == NULL || --r->refs > 0)
		return;
	LIST_REMOVE(r, list);
	resv_free(r);
}
