/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * netlink.c: what the kernel knows of links, addresses, routes, neighbours.
 */
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "netlink.h"

#define NEIGH_TRIES 8 /* 1, 2, 4, ... 8 ms apart: 31 ms in all */

int
ms_nl_open(struct ms_nl *nl)
{
	struct timeval limit = { .tv_sec = 2 };

	nl->seq = (uint32_t)time(NULL);
	nl->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (nl->sock == NULL)
		return -errno;
	if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		int r = -errno;

		mnl_socket_close(nl->sock);
		return r;
	}
	setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVTIMEO, &limit,
		   sizeof(limit));
	return 0;
}

void
ms_nl_close(struct ms_nl *nl)
{
	mnl_socket_close(nl->sock);
}

struct nlmsghdr *
ms_nl_begin(struct ms_nl *nl, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *req = mnl_nlmsg_put_header(nl->buf);

	req->nlmsg_type = type;
	req->nlmsg_flags = NLM_F_REQUEST | flags;
	req->nlmsg_seq = ++nl->seq;
	return req;
}

int
ms_nl_run(struct ms_nl *nl, struct nlmsghdr *req, mnl_cb_t cb, void *arg)
{
	unsigned int portid = mnl_socket_get_portid(nl->sock);
	bool dump = (req->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	bool ack = (req->nlmsg_flags & NLM_F_ACK) != 0;
	uint32_t seq = req->nlmsg_seq;
	ssize_t n;
	int r;

	if (mnl_socket_sendto(nl->sock, req, req->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(nl->sock, nl->buf, sizeof(nl->buf));
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		r = mnl_cb_run(nl->buf, (size_t)n, seq, portid, cb, arg);
		if (r < 0)
			return -errno;
	} while (r != MNL_CB_STOP && (dump || ack));
	return 0;
}

/* ---- links ---- */

static void
link_kind(struct ms_link *out, const struct nlattr *info)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, info)
	{
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			snprintf(out->kind, sizeof(out->kind), "%.*s",
				 (int)mnl_attr_get_payload_len(a),
				 mnl_attr_get_str(a));
	}
}

static int
link_read(const struct nlmsghdr *msg, void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(msg);
	const struct nlattr *a;
	struct ms_link *out = arg;

	if (msg->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	out->ifindex = ifi->ifi_index;
	out->up = (ifi->ifi_flags & IFF_UP) != 0;
	out->loopback = (ifi->ifi_flags & IFF_LOOPBACK) != 0;
	out->ether = ifi->ifi_type == ARPHRD_ETHER;
	mnl_attr_for_each(a, msg, sizeof(*ifi))
	{
		switch (mnl_attr_get_type(a)) {
		case IFLA_MTU:
			out->mtu = mnl_attr_get_u32(a);
			break;
		case IFLA_ADDRESS:
			if (mnl_attr_get_payload_len(a) == 6)
				memcpy(out->mac, mnl_attr_get_payload(a), 6);
			break;
		case IFLA_NUM_TX_QUEUES:
			out->tx_queues = mnl_attr_get_u32(a);
			break;
		case IFLA_LINKINFO:
			link_kind(out, a);
			break;
		default:
			break;
		}
	}
	return MNL_CB_OK;
}

int
ms_link_get(const char *ifname, struct ms_link *out)
{
	struct ifinfomsg *ifi;
	struct nlmsghdr *req;
	struct ms_nl nl;
	int r;

	if (ifname[0] == '\0' || strlen(ifname) >= IFNAMSIZ)
		return -ENODEV;
	memset(out, 0, sizeof(*out));
	r = ms_nl_open(&nl);
	if (r != 0)
		return r;
	req = ms_nl_begin(&nl, RTM_GETLINK, 0);
	ifi = mnl_nlmsg_put_extra_header(req, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	mnl_attr_put_strz(req, IFLA_IFNAME, ifname);
	r = ms_nl_run(&nl, req, link_read, out);
	ms_nl_close(&nl);
	if (r == 0)
		out->rx_queues = ms_ethtool_rx_queues(ifname);
	return r;
}

/* ---- addresses ---- */

bool
ms_addr_read(const struct nlmsghdr *msg, struct ms_addr *out)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(msg);
	const struct nlattr *a, *best = NULL;

	memset(out, 0, sizeof(*out));
	if (ifa->ifa_family == AF_INET)
		out->family = 4;
	else if (ifa->ifa_family == AF_INET6)
		out->family = 6;
	else
		return false;
	out->ifindex = (int)ifa->ifa_index;
	/* On a point-to-point link IFA_ADDRESS is the other end. */
	mnl_attr_for_each(a, msg, sizeof(*ifa))
	{
		if (mnl_attr_get_type(a) == IFA_LOCAL ||
		    (mnl_attr_get_type(a) == IFA_ADDRESS && best == NULL))
			best = a;
	}
	if (best == NULL ||
	    mnl_attr_get_payload_len(best) != (out->family == 4 ? 4 : 16))
		return false;
	memcpy(out->addr, mnl_attr_get_payload(best),
	       mnl_attr_get_payload_len(best));
	return true;
}

struct addr_call {
	int (*cb)(const struct ms_addr *a, void *arg);
	void *arg;
	int result;
};

static int
addr_found(const struct nlmsghdr *msg, void *arg)
{
	struct addr_call *call = arg;
	struct ms_addr addr;

	if (msg->nlmsg_type == RTM_NEWADDR && call->result == 0 &&
	    ms_addr_read(msg, &addr))
		call->result = call->cb(&addr, call->arg);
	return MNL_CB_OK;
}

int
ms_addr_each(int (*cb)(const struct ms_addr *a, void *arg), void *arg)
{
	struct addr_call call = { .cb = cb, .arg = arg };
	struct rtgenmsg *gen;
	struct nlmsghdr *req;
	struct ms_nl nl;
	int r;

	r = ms_nl_open(&nl);
	if (r != 0)
		return r;
	req = ms_nl_begin(&nl, RTM_GETADDR, NLM_F_DUMP);
	gen = mnl_nlmsg_put_extra_header(req, sizeof(*gen));
	gen->rtgen_family = AF_UNSPEC;
	r = ms_nl_run(&nl, req, addr_found, &call);
	ms_nl_close(&nl);
	return r != 0 ? r : call.result;
}

/* ---- routes ---- */

struct hop {
	uint8_t type; /* RTN_* */
	uint8_t via[16], src[16];
	bool has_via, has_src;
	uint32_t mtu;	/* 0: the link's */
	uint32_t table; /* RT_TABLE_*; 0: no route, IPv4 guesses "on link" */
};

static int
route_read(const struct nlmsghdr *msg, void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(msg);
	const struct nlattr *a, *m;
	struct hop *hop = arg;

	if (msg->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	hop->type = rtm->rtm_type;
	mnl_attr_for_each(a, msg, sizeof(*rtm))
	{
		uint16_t n = mnl_attr_get_payload_len(a);

		switch (mnl_attr_get_type(a)) {
		case RTA_GATEWAY:
			if (n <= 16) {
				memcpy(hop->via, mnl_attr_get_payload(a), n);
				hop->has_via = true;
			}
			break;
		case RTA_PREFSRC:
			if (n <= 16) {
				memcpy(hop->src, mnl_attr_get_payload(a), n);
				hop->has_src = true;
			}
			break;
		case RTA_TABLE:
			hop->table = mnl_attr_get_u32(a);
			break;
		case RTA_METRICS:
			mnl_attr_for_each_nested(
			    m, a) if (mnl_attr_get_type(m) == RTAX_MTU)
			    hop->mtu = mnl_attr_get_u32(m);
			break;
		default:
			break;
		}
	}
	return MNL_CB_OK;
}

/* The next hop to dst, by interface oif (0: by any). */
static int
route_ask(struct ms_nl *nl, const struct ms_tuple *dst, int oif,
	  struct hop *hop)
{
	struct nlmsghdr *req = ms_nl_begin(nl, RTM_GETROUTE, 0);
	size_t bytes = dst->family == 4 ? 4 : 16;
	struct rtmsg *rtm;
	int r;

	memset(hop, 0, sizeof(*hop));
	rtm = mnl_nlmsg_put_extra_header(req, sizeof(*rtm));
	rtm->rtm_family = dst->family == 4 ? AF_INET : AF_INET6;
	rtm->rtm_dst_len = (unsigned char)(8 * bytes);
	rtm->rtm_flags = RTM_F_LOOKUP_TABLE;
	mnl_attr_put(req, RTA_DST, bytes, dst->addr);
	if (oif != 0)
		mnl_attr_put_u32(req, RTA_OIF, (uint32_t)oif);
	r = ms_nl_run(nl, req, route_read, hop);
	/* ip_route_output_key() takes whatever has no route for a neighbour, if
	   asked for one interface. */
	return r == 0 && hop->table == 0 ? -ENETUNREACH : r;
}

/* ---- neighbours ---- */

struct neigh {
	uint16_t state; /* NUD_* */
	uint8_t mac[6];
	bool has_mac;
};

static int
neigh_read(const struct nlmsghdr *msg, void *arg)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(msg);
	const struct nlattr *a;
	struct neigh *n = arg;

	if (msg->nlmsg_type != RTM_NEWNEIGH)
		return MNL_CB_OK;
	n->state = ndm->ndm_state;
	mnl_attr_for_each(a, msg, sizeof(*ndm))
	{
		if (mnl_attr_get_type(a) == NDA_LLADDR &&
		    mnl_attr_get_payload_len(a) == 6) {
			memcpy(n->mac, mnl_attr_get_payload(a), 6);
			n->has_mac = true;
		}
	}
	return MNL_CB_OK;
}

static struct nlmsghdr *
neigh_begin(struct ms_nl *nl, uint16_t type, uint16_t flags, int ifindex,
	    uint8_t family, const uint8_t *addr)
{
	struct nlmsghdr *req = ms_nl_begin(nl, type, flags);
	struct ndmsg *ndm = mnl_nlmsg_put_extra_header(req, sizeof(*ndm));

	ndm->ndm_family = family == 4 ? AF_INET : AF_INET6;
	ndm->ndm_ifindex = ifindex;
	if (type == RTM_NEWNEIGH) {
		ndm->ndm_flags = NTF_USE;
		ndm->ndm_state = NUD_NONE;
	}
	mnl_attr_put(req, NDA_DST, family == 4 ? 4 : 16, addr);
	return req;
}

static void
sleep_ms(unsigned int ms)
{
	struct timespec t = { .tv_nsec = (long)ms * 1000000 };

	nanosleep(&t, NULL);
}

/* Without the privilege for NTF_USE: an empty datagram to the discard port
   makes the kernel look for its neighbour too. */
static int
neigh_poke(int ifindex, uint8_t family, const uint8_t *addr)
{
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(9),
				    .sin6_scope_id = (uint32_t)ifindex };
	struct sockaddr_in to4 = { .sin_family = AF_INET,
				   .sin_port = htons(9) };
	int fd = socket(family == 4 ? AF_INET : AF_INET6,
			SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ssize_t n;

	if (fd < 0)
		return -errno;
	memcpy(&to4.sin_addr, addr, 4);
	if (family == 6)
		memcpy(&to6.sin6_addr, addr, 16);
	n = sendto(fd, "", 0, 0,
		   family == 4 ? (struct sockaddr *)&to4
			       : (struct sockaddr *)&to6,
		   family == 4 ? sizeof(to4) : sizeof(to6));
	close(fd);
	return n < 0 ? -errno : 0;
}

/*
 * The MAC of a neighbour. What is missing or stale is used, in the kernel's
 * sense (NTF_USE), so that the kernel solicits it. 0 with the MAC, -EAGAIN when
 * it is not known within some milliseconds.
 */
static int
neigh_get(struct ms_nl *nl, int ifindex, uint8_t family, const uint8_t *addr,
	  uint8_t mac[6])
{
	static const unsigned int pause_ms[NEIGH_TRIES] = { 0, 1, 1, 2,
							    3, 4, 8, 12 };
	struct neigh n;
	unsigned int i;
	bool used = false;
	int r;

	for (i = 0; i < NEIGH_TRIES; i++) {
		if (pause_ms[i] != 0)
			sleep_ms(pause_ms[i]);
		memset(&n, 0, sizeof(n));
		r = ms_nl_run(
		    nl, neigh_begin(nl, RTM_GETNEIGH, 0, ifindex, family, addr),
		    neigh_read, &n);
		if (r != 0 && r != -ENOENT)
			return r;
		if (n.has_mac &&
		    (n.state & (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE |
				NUD_PROBE | NUD_STALE | NUD_DELAY)) != 0)
			memcpy(mac, n.mac, 6);
		else
			n.has_mac = false;
		if (!used && (!n.has_mac || n.state == NUD_STALE)) {
			used = true;
			r = ms_nl_run(nl,
				      neigh_begin(nl, RTM_NEWNEIGH,
						  NLM_F_CREATE | NLM_F_ACK,
						  ifindex, family, addr),
				      NULL, NULL);
			if (r == -EPERM && !n.has_mac)
				r = neigh_poke(ifindex, family, addr);
			if (r != 0 && !n.has_mac)
				return r;
		}
		if (n.has_mac)
			return 0;
	}
	return -EAGAIN;
}

/* Addresses whose MAC follows from the address alone. */
static bool
group_mac(const struct ms_tuple *dst, uint8_t type, uint8_t mac[6])
{
	const uint8_t *a = dst->addr;

	if (type == RTN_BROADCAST) {
		memset(mac, 0xff, 6);
		return true;
	}
	if (dst->family == 4 && (a[0] & 0xf0) == 0xe0) { /* RFC 1112 */
		const uint8_t m[6] = { 0x01, 0, 0x5e, a[1] & 0x7f, a[2], a[3] };

		memcpy(mac, m, 6);
		return true;
	}
	if (dst->family == 6 && a[0] == 0xff) { /* RFC 2464 */
		mac[0] = mac[1] = 0x33;
		memcpy(mac + 2, a + 12, 4);
		return true;
	}
	return false;
}

/* The source for a route that names none: an address of the interface, of a
   scope that reaches dst. */
struct src_search {
	const struct ms_tuple *dst;
	int ifindex;
	uint8_t addr[16];
	bool found;
};

static bool
is_linklocal6(const uint8_t *a)
{
	return a[0] == 0xfe && (a[1] & 0xc0) == 0x80;
}

static int
src_candidate(const struct ms_addr *a, void *arg)
{
	struct src_search *s = arg;

	if (!s->found && a->ifindex == s->ifindex &&
	    a->family == s->dst->family &&
	    (a->family == 4 ||
	     is_linklocal6(a->addr) == is_linklocal6(s->dst->addr))) {
		memcpy(s->addr, a->addr, 16);
		s->found = true;
	}
	return 0;
}

static int
route_fill(struct ms_nl *nl, const struct ms_link *link, struct ms_cmd_route *r)
{
	size_t bytes = r->dst.family == 4 ? 4 : 16;
	struct hop hop;
	int e;

	e = route_ask(nl, &r->dst, link->ifindex, &hop);
	if (e == -ENETUNREACH || e == -EHOSTUNREACH || e == -EINVAL ||
	    (e == 0 && hop.type != RTN_LOCAL && link->loopback)) {
		/* 127.0.0.1 and the like are on no interface but lo. */
		e = route_ask(nl, &r->dst, 0, &hop);
		if (e == 0 && hop.type != RTN_LOCAL)
			e = -ENETUNREACH;
	}
	if (e != 0)
		return e;
	if (!hop.has_src) {
		struct src_search s = { .dst = &r->dst,
					.ifindex = link->ifindex };

		if (hop.type == RTN_LOCAL)
			memcpy(hop.src, r->dst.addr, bytes);
		else if ((e = ms_addr_each(src_candidate, &s)) != 0)
			return e;
		else if (s.found)
			memcpy(hop.src, s.addr, bytes);
		else
			return -EADDRNOTAVAIL;
	}
	memcpy(r->src.addr, hop.src, bytes);
	r->mtu = hop.mtu != 0 && hop.mtu < link->mtu ? hop.mtu : link->mtu;
	memcpy(r->src_mac, link->mac, 6);
	r->state = MS_ROUTE_REACHABLE;
	if (hop.type == RTN_LOCAL) {
		memcpy(r->dst_mac, link->mac, 6);
		r->state = MS_ROUTE_LOCAL;
		return 0;
	}
	if (hop.type == RTN_BLACKHOLE || hop.type == RTN_UNREACHABLE ||
	    hop.type == RTN_PROHIBIT)
		return hop.type == RTN_PROHIBIT ? -EACCES : -EHOSTUNREACH;
	if (group_mac(&r->dst, hop.type, r->dst_mac))
		return 0;
	e = neigh_get(nl, link->ifindex, r->dst.family,
		      hop.has_via ? hop.via : r->dst.addr, r->dst_mac);
	if (e == -EAGAIN) {
		r->state = MS_ROUTE_PENDING;
		e = 0;
	}
	return e;
}

int
ms_route_get(const char *ifname, struct ms_cmd_route *r)
{
	struct ms_link link;
	struct ms_nl nl;
	int e;

	if (r->dst.family != 4 && r->dst.family != 6)
		return -EAFNOSUPPORT;
	e = ms_link_get(ifname, &link);
	if (e != 0)
		return e;
	memset(&r->src, 0, sizeof(r->src));
	memset(r->dst_mac, 0, sizeof(r->dst_mac));
	r->src.family = r->dst.family;
	e = ms_nl_open(&nl);
	if (e != 0)
		return e;
	e = route_fill(&nl, &link, r);
	ms_nl_close(&nl);
	return e;
}
