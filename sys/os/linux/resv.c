// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * resv.c: the host's word that a tuple is ours: a bound socket of the kernel.
 *
 * It shares its address with nobody: without SO_REUSEADDR and SO_REUSEPORT, a
 * later bind that has them gets EADDRINUSE like any other. It receives nothing:
 * TCP, SCTP and DCCP do not listen, all others drop what comes.
 *
 * Kernel sockets do not hold their network namespace: they are let go when it
 * ends, and the reservations stay behind empty.
 */
#include <linux/filter.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/inetdevice.h>
#include <linux/ipv6.h>
#include <linux/net.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <net/addrconf.h>
#include <net/inet_sock.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/raw.h>
#include <net/rawv6.h>
#include <net/route.h>
#include <net/sock.h>

#include "ms_linux.h"

#if !IS_ENABLED(CONFIG_INET) || !IS_ENABLED(CONFIG_IPV6)
#error "MultiStack needs a kernel with IPv4 and IPv6"
#endif

struct ms_resv {
	struct ms_netns *ns;   /* (c) the port's descriptor holds it */
	struct list_head list; /* resv_lock: of ns */
	struct socket *sock;   /* resv_lock; owned; NULL: ns has ended */
	unsigned int refs;     /* ctl_lock; of binds */
};

/* ---- a filter that drops everything ----------------------------------- */

/* One for all our sockets; each has a reference, and we have one. */
static struct sk_filter *deaf;

int
ms_resv_init(void)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog_kern prog = { .len = 1, .filter = &drop };
	int err;

	deaf = kzalloc(sizeof(*deaf), GFP_KERNEL);
	if (deaf == NULL)
		return -ENOMEM;
	err = bpf_prog_create(&deaf->prog, &prog);
	if (err) {
		kfree(deaf);
		return err;
	}
	refcount_set(&deaf->refcnt, 1);
	return 0;
}

/* Sockets that RCU has not freed yet keep it, and free it. */
void
ms_resv_deinit(void)
{
	if (!refcount_dec_and_test(&deaf->refcnt))
		return;
	synchronize_rcu();
	bpf_prog_destroy(deaf->prog);
	kfree(deaf);
}

/*
 * As if by SO_ATTACH_FILTER, whose way is for user space only. A raw socket
 * receives from its creation on. Socket locked.
 */
static void
sock_deafen(struct sock *sk)
{
	refcount_inc(&deaf->refcnt);
	atomic_add(bpf_prog_size(deaf->prog->len), &sk->sk_omem_alloc);
	rcu_assign_pointer(sk->sk_filter, deaf);
	skb_queue_purge(&sk->sk_receive_queue);
}

static bool
sock_is_ours(const struct sock *sk)
{
	return rcu_access_pointer(sk->sk_filter) == deaf;
}

/* ---- the socket ------------------------------------------------------- */

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
	case IPPROTO_DCCP:
		return SOCK_DCCP;
	default:
		return SOCK_RAW;
	}
}

/* Which do not listen, and so hear nothing. */
static bool
is_connected(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_SCTP ||
	       proto == IPPROTO_DCCP;
}

static int
socket_open(struct net *net, const struct ms_tuple *t, struct socket **out)
{
	int domain = t->family == 4 ? AF_INET : AF_INET6;
	int err;

	if (t->family == 6 && !ipv6_mod_enabled())
		return -EPROTONOSUPPORT;
	err = sock_create_kern(net, domain, socket_type(t->proto), t->proto,
			       out);
	switch (err) {
	case 0:
	case -ENOMEM:
		return err;
	case -ENOBUFS:
		return -ENOMEM;
	case -ENFILE:
		return -EMFILE;
	case -EACCES:
	case -EPERM:
		return -EPERM;
	default: /* the kernel has no such protocol */
		return -EPROTONOSUPPORT;
	}
}

/* Protocols that the kernel may have to load a module for. */
static bool
is_optional(uint8_t proto)
{
	return proto == IPPROTO_SCTP || proto == IPPROTO_DCCP ||
	       proto == IPPROTO_UDPLITE;
}

void
ms_resv_prepare(struct ms_cred *cred, const struct ms_tuple *t)
{
	struct socket *sock;
	int err;

	if (cred->net == NULL || !is_optional(t->proto) ||
	    (t->family != 4 && t->family != 6))
		return;
	err = socket_open(cred->net, t, &sock);
	cred->proto = err ? ERR_PTR(err) : sock;
}

void
ms_resv_unprepare(struct ms_cred *cred)
{
	if (!IS_ERR_OR_NULL(cred->proto))
		sock_release(cred->proto);
	cred->proto = NULL;
}

/* Whether socket_open() finds the protocol there and runs no modprobe. */
static int
check_prepared(const struct ms_cred *cred, const struct ms_tuple *t)
{
	const struct sock *sk;

	if (!is_optional(t->proto))
		return 0;
	if (IS_ERR_OR_NULL(cred->proto))
		return cred->proto != NULL ? PTR_ERR(cred->proto)
					   : -EPROTONOSUPPORT;
	sk = cred->proto->sk;
	return sk->sk_protocol == t->proto &&
		       sk->sk_family == (t->family == 4 ? AF_INET : AF_INET6)
		   ? 0
		   : -EPROTONOSUPPORT;
}

static void
tuple_to_sockaddr(const struct ms_tuple *t, const struct net_device *dev,
		  struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *in = (struct sockaddr_in *)ss;

	memset(ss, 0, sizeof(*ss));
	if (t->family == 4) {
		in->sin_family = AF_INET;
		in->sin_port = (__force __be16)t->port_be;
		memcpy(&in->sin_addr, t->addr, 4);
		return;
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = (__force __be16)t->port_be;
	memcpy(&in6->sin6_addr, t->addr, 16);
	if (ipv6_addr_type(&in6->sin6_addr) & IPV6_ADDR_LINKLOCAL)
		in6->sin6_scope_id = dev->ifindex;
}

/* Writes the port back. A program on the cgroup's bind hook may have put
   another address into it: then this is no reservation of t. */
static int
check_bound(const struct sock *sk, struct ms_tuple *t)
{
	uint16_t port_be = (__force uint16_t)inet_sk(sk)->inet_sport;
	const void *addr = t->family == 4
			       ? (const void *)&inet_sk(sk)->inet_rcv_saddr
			       : (const void *)&sk->sk_v6_rcv_saddr;

	if (memcmp(addr, t->addr, t->family == 4 ? 4 : 16) != 0)
		return -EADDRNOTAVAIL;
	if (!ms_proto_has_ports(t->proto))
		return 0;
	if (port_be == 0 || (t->port_be != 0 && t->port_be != port_be))
		return -EADDRNOTAVAIL;
	t->port_be = port_be;
	return 0;
}

static int
socket_bind(struct socket *sock, const struct net_device *dev,
	    struct ms_tuple *t)
{
	bool ports = ms_proto_has_ports(t->proto);
	struct sock *sk = sock->sk;
	struct sockaddr_storage ss;
	int err = 0;

	lock_sock(sk);
	sk->sk_reuse = SK_NO_REUSE;
	sk->sk_reuseport = 0;
	if (!is_connected(t->proto))
		sock_deafen(sk);
	release_sock(sk);
	/* A raw socket is of one family anyway. */
	if (t->family == 6 && ports)
		err = ip6_sock_set_v6only(sk);
	if (err == 0) {
		tuple_to_sockaddr(t, dev, &ss);
		err = ms_kernel_bind(sock, &ss,
				     t->family == 4
					 ? sizeof(struct sockaddr_in)
					 : sizeof(struct sockaddr_in6));
	}
	if (err)
		return err == -EINVAL || err == -ENODEV ? -EADDRNOTAVAIL : err;
	lock_sock(sk);
	/* So that no disconnect (ss -K) lets it go. */
	sk->sk_userlocks |= SOCK_BINDADDR_LOCK | SOCK_BINDPORT_LOCK;
	err = check_bound(sk, t);
	release_sock(sk);
	return err;
}

/* ---- what the host would say ------------------------------------------ */

static __be32
addr4(const struct ms_tuple *t)
{
	__be32 addr;

	memcpy(&addr, t->addr, 4);
	return addr;
}

static struct in6_addr
addr6(const struct ms_tuple *t)
{
	struct in6_addr addr;

	memcpy(&addr, t->addr, 16);
	return addr;
}

/* The kernel asks for this too, but not in all kinds of its binds. */
static int
check_privilege(const struct ms_cred *cred, const struct ms_tuple *t)
{
	uint16_t port = ms_be16(&t->port_be);

	if (port == 0 || !inet_port_requires_bind_service(cred->net, port) ||
	    ms_cred_bind_service(cred))
		return 0;
	return -EACCES;
}

/* As bind() asks. The kernel binds to broadcast addresses; nobody owns one. */
static int
check_address(struct net *net, const struct net_device *dev,
	      const struct ms_tuple *t)
{
	struct in6_addr a6;
	unsigned int type;
	bool ok;

	if (ms_tuple_is_wildcard(t))
		return 0;
	if (t->family == 4) {
		type = inet_addr_type(net, addr4(t));
		ok = type == RTN_LOCAL ||
		     (type == RTN_UNICAST &&
		      READ_ONCE(net->ipv4.sysctl_ip_nonlocal_bind));
		return ok ? 0 : -EADDRNOTAVAIL;
	}
	a6 = addr6(t);
	if ((ipv6_addr_type(&a6) & IPV6_ADDR_LINKLOCAL) == 0)
		dev = NULL;
	ok = ipv6_chk_addr(net, &a6, dev, 0) ||
	     READ_ONCE(net->ipv6.sysctl.ip_nonlocal_bind);
	return ok ? 0 : -EADDRNOTAVAIL;
}

static bool
raw_overlaps(const struct sock *sk, const struct ms_tuple *t)
{
	struct in6_addr a6;
	__be32 a4;

	if (ms_tuple_is_wildcard(t))
		return true;
	if (t->family == 4) {
		a4 = READ_ONCE(inet_sk(sk)->inet_rcv_saddr);
		return a4 == 0 || a4 == addr4(t);
	}
	a6 = addr6(t);
	return ipv6_addr_any(&sk->sk_v6_rcv_saddr) ||
	       ipv6_addr_equal(&sk->sk_v6_rcv_saddr, &a6);
}

/* Raw sockets do not exclude each other: whether somebody else has one that
   would get these packets too. */
static bool
raw_in_use(const struct net *net, const struct ms_tuple *t)
{
	struct raw_hashinfo *h = t->family == 4 ? &raw_v4_hashinfo
						: &raw_v6_hashinfo;
	const struct sock *sk;
	bool used = false;

	rcu_read_lock();
	sk_for_each_rcu(sk, &h->ht[raw_hashfunc(net, t->proto)])
	{
		used = net_eq(sock_net(sk), net) &&
		       inet_sk(sk)->inet_num == t->proto && !sock_is_ours(sk) &&
		       raw_overlaps(sk, t);
		if (used)
			break;
	}
	rcu_read_unlock();
	return used;
}

/* ---- the seam --------------------------------------------------------- */

/* Opens and binds; *out is owned by the caller. */
static int
host_bind(const struct ms_netdev *md, const struct ms_cred *cred,
	  struct ms_tuple *t, struct socket **out)
{
	struct socket *sock;
	int err;

	err = check_address(cred->net, md->dev, t);
	if (err)
		return err;
	if (!ms_proto_has_ports(t->proto) && raw_in_use(cred->net, t))
		return -EADDRINUSE;
	err = check_prepared(cred, t);
	if (err == 0)
		err = socket_open(cred->net, t, &sock);
	if (err)
		return err;
	err = socket_bind(sock, md->dev, t);
	if (err) {
		sock_release(sock);
		return err;
	}
	*out = sock;
	return 0;
}

int
ms_os_resv_create(struct ms_nic *nic, const struct ms_cred *cred,
		  struct ms_tuple *tuple, struct ms_resv **out)
{
	const struct ms_netdev *md = nic->os;
	struct ms_resv *resv;
	int err;

	if (cred->net == NULL)
		return -ENODEV;
	err = check_privilege(cred, tuple);
	if (err)
		return err;
	/* What a wildcard of the same user holds would be in the way of another
	   socket; this one stays until the last of both goes. */
	resv = ms_port_wildcard_resv(nic->sw, tuple, ms_os_cred_uid(cred));
	if (resv != NULL) {
		err = check_address(cred->net, md->dev, tuple);
		if (err)
			return err;
		resv->refs++;
		*out = resv;
		return 0;
	}
	resv = kzalloc(sizeof(*resv), GFP_KERNEL_ACCOUNT);
	if (resv == NULL)
		return -ENOMEM;
	err = host_bind(md, cred, tuple, &resv->sock);
	if (err) {
		kfree(resv);
		return err;
	}
	resv->ns = md->ns;
	resv->refs = 1;
	mutex_lock(&resv->ns->resv_lock);
	list_add(&resv->list, &resv->ns->resvs);
	mutex_unlock(&resv->ns->resv_lock);
	*out = resv;
	return 0;
}

void
ms_os_resv_destroy(struct ms_resv *resv)
{
	if (resv == NULL || --resv->refs > 0)
		return;
	mutex_lock(&resv->ns->resv_lock);
	list_del(&resv->list);
	if (resv->sock != NULL)
		sock_release(resv->sock);
	mutex_unlock(&resv->ns->resv_lock);
	kfree(resv);
}

void
ms_resv_release_all(struct ms_netns *ns)
{
	struct ms_resv *resv;

	mutex_lock(&ns->resv_lock);
	list_for_each_entry(resv, &ns->resvs, list)
	{
		if (resv->sock != NULL)
			sock_release(resv->sock);
		resv->sock = NULL;
		cond_resched();
	}
	mutex_unlock(&ns->resv_lock);
}
