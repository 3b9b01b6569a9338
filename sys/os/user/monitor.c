/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * monitor.c: keeps the switch's idea of the host true: its addresses, the
 * links it is attached to, and when routes have to be asked again.
 *
 * One thread. What rtnetlink lost (ENOBUFS) is found by looking at everything
 * again. Locks: host.lock, then ctl_lock.
 */
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "attach.h"
#include "host.h"
#include "netlink.h"

#define RCVBUF_BYTES (1 << 20)
#define NEIGHS 1024 /* remembered, by hash; one that is not is news */
#define LO_MTU_MAX 65521u

struct neigh {
	uint32_t ifindex;
	uint8_t addr[16];
	uint8_t family;
	bool valid;
	uint8_t mac[6];
};

struct known {
	struct ms_addr addr;
	bool seen; /* in this look at everything */
};

struct ms_monitor {
	struct ms_host *host;
	struct mnl_socket *sock;
	int stop_fd;
	pthread_t thread;
	bool started;
	struct known *known; /* addresses of the host, by interface */
	size_t num, cap;
	struct neigh neighs[NEIGHS];
	/* gathered from one batch of messages */
	bool all_changed;     /* addresses, routes */
	uint32_t changed[16]; /* interfaces; 0: free */
	char gone[8][MS_IFNAME_BYTES];
	unsigned int num_gone;
};

/* ---- addresses ---- */

static struct known *
find_known(struct ms_monitor *m, const struct ms_addr *a)
{
	size_t i;

	for (i = 0; i < m->num; i++)
		if (memcmp(&m->known[i].addr, a, sizeof(*a)) == 0)
			return &m->known[i];
	return NULL;
}

/* On how many interfaces it is. */
static unsigned int
count_known(const struct ms_monitor *m, const struct ms_addr *a)
{
	unsigned int n = 0;
	size_t i;

	for (i = 0; i < m->num; i++)
		n += m->known[i].addr.family == a->family &&
		     memcmp(m->known[i].addr.addr, a->addr, 16) == 0;
	return n;
}

/* The switch and its attachments learn it. host.lock held. */
static void
tell(struct ms_monitor *m, const struct ms_addr *a, bool on)
{
	struct ms_switch *sw = m->host->sw;
	struct ms_attachment *att;

	ms_mutex_lock(&sw->ctl_lock);
	if (on) {
		if (ms_table_addr_add(sw->table, a->addr, a->family) != 0)
			ms_warn("out of memory for an address of this host");
	} else {
		ms_table_addr_del(sw->table, a->addr, a->family);
	}
	for (att = m->host->attachments; att != NULL; att = att->next)
		if (att->a->ops->addr != NULL)
			att->a->ops->addr(att->a, a->addr, a->family, on);
	ms_mutex_unlock(&sw->ctl_lock);
	m->all_changed = true;
}

static int
addr_on(const struct ms_addr *a, void *arg)
{
	struct ms_monitor *m = arg;
	struct known *k = find_known(m, a);

	if (k != NULL) {
		k->seen = true;
		return 0;
	}
	if (m->num == m->cap) {
		size_t cap = m->cap != 0 ? 2 * m->cap : 32;

		k = realloc(m->known, cap * sizeof(*k));
		if (k == NULL)
			return -ENOMEM;
		m->known = k;
		m->cap = cap;
	}
	if (count_known(m, a) == 0)
		tell(m, a, true);
	k = &m->known[m->num++];
	k->addr = *a;
	k->seen = true;
	return 0;
}

static void
addr_off(struct ms_monitor *m, const struct ms_addr *a)
{
	struct known *k = find_known(m, a);
	struct ms_addr addr = *a;

	if (k == NULL)
		return;
	*k = m->known[--m->num];
	if (count_known(m, &addr) == 0)
		tell(m, &addr, false);
}

/* ---- everything, at first and after ENOBUFS ---- */

static int
resync(struct ms_monitor *m)
{
	struct ms_attachment *att;
	char name[IF_NAMESIZE];
	size_t i;
	int r;

	for (i = 0; i < m->num; i++)
		m->known[i].seen = false;
	r = ms_addr_each(addr_on, m);
	for (i = m->num; r == 0 && i-- > 0;)
		if (!m->known[i].seen)
			addr_off(m, &m->known[i].addr);
	for (att = m->host->attachments; att != NULL; att = att->next)
		if (att->a->ifindex != 0 && m->num_gone < 8 &&
		    if_indextoname((unsigned int)att->a->ifindex, name) == NULL)
			memcpy(m->gone[m->num_gone++], att->nic->name,
			       MS_IFNAME_BYTES);
	memset(m->neighs, 0, sizeof(m->neighs));
	m->all_changed = true;
	return r;
}

/* ---- messages; host.lock held ---- */

static void
mark_changed(struct ms_monitor *m, uint32_t ifindex)
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		if (m->changed[i] == ifindex)
			return;
		if (m->changed[i] == 0) {
			m->changed[i] = ifindex;
			return;
		}
	}
	m->all_changed = true;
}

static struct ms_attachment *
attachment_on(const struct ms_monitor *m, int ifindex)
{
	struct ms_attachment *att;

	for (att = m->host->attachments; att != NULL; att = att->next)
		if (att->a->ifindex == ifindex)
			return att;
	return NULL;
}

static void
link_msg(struct ms_monitor *m, const struct nlmsghdr *msg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(msg);
	struct ms_attachment *att = attachment_on(m, ifi->ifi_index);
	const struct nlattr *a;
	const uint8_t *mac = NULL;
	uint32_t mtu = 0;

	if (att == NULL || ifi->ifi_family != AF_UNSPEC)
		return;
	if (msg->nlmsg_type == RTM_DELLINK) {
		if (m->num_gone < 8)
			memcpy(m->gone[m->num_gone++], att->nic->name,
			       MS_IFNAME_BYTES);
		return;
	}
	/* A TAP's MAC is the host's end's, not ours. */
	if (att->a->ops != &ms_attach_xdp && att->a->ops != &ms_attach_tc)
		return;
	mnl_attr_for_each(a, msg, sizeof(*ifi))
	{
		if (mnl_attr_get_type(a) == IFLA_MTU)
			mtu = mnl_attr_get_u32(a);
		if (mnl_attr_get_type(a) == IFLA_ADDRESS &&
		    mnl_attr_get_payload_len(a) == 6)
			mac = mnl_attr_get_payload(a);
	}
	if (mtu > LO_MTU_MAX)
		mtu = LO_MTU_MAX;
	if ((mac == NULL || memcmp(mac, att->nic->mac, 6) == 0) &&
	    (mtu == 0 || mtu == att->nic->mtu))
		return;
	ms_nic_changed(att->nic, mac, mtu);
	if (mac != NULL && att->a->ops == &ms_attach_xdp) {
		ms_mutex_lock(&m->host->sw->ctl_lock);
		ms_xdp_mac(att->a, mac);
		ms_mutex_unlock(&m->host->sw->ctl_lock);
	}
}

/* The kernel tells every turn of reachable, stale and probe; only a new or
   lost MAC is news to a stack. */
static void
neigh_msg(struct ms_monitor *m, const struct nlmsghdr *msg)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(msg);
	struct neigh n = { .ifindex = (uint32_t)ndm->ndm_ifindex }, *was;
	const struct nlattr *a;
	uint32_t h = n.ifindex;
	unsigned int i;

	n.family = ndm->ndm_family == AF_INET ? 4 : 6;
	mnl_attr_for_each(a, msg, sizeof(*ndm))
	{
		uint16_t len = mnl_attr_get_payload_len(a);

		if (mnl_attr_get_type(a) == NDA_DST && len <= 16)
			memcpy(n.addr, mnl_attr_get_payload(a), len);
		if (mnl_attr_get_type(a) == NDA_LLADDR && len == 6) {
			memcpy(n.mac, mnl_attr_get_payload(a), 6);
			n.valid = true;
		}
	}
	if (msg->nlmsg_type == RTM_DELNEIGH ||
	    (ndm->ndm_state & (NUD_FAILED | NUD_INCOMPLETE)) != 0)
		n.valid = false;
	if (!n.valid)
		memset(n.mac, 0, 6);
	for (i = 0; i < 16; i++)
		h = (h ^ n.addr[i]) * 16777619u;
	was = &m->neighs[(h >> 8) % NEIGHS];
	if (memcmp(was, &n, sizeof(n)) == 0)
		return;
	if (n.valid || was->valid)
		mark_changed(m, n.ifindex);
	*was = n;
}

static int
message(const struct nlmsghdr *msg, void *arg)
{
	struct ms_monitor *m = arg;
	struct ms_addr addr;

	switch (msg->nlmsg_type) {
	case RTM_NEWADDR:
		if (ms_addr_read(msg, &addr) && addr_on(&addr, m) != 0)
			ms_warn("out of memory for an address of this host");
		break;
	case RTM_DELADDR:
		if (ms_addr_read(msg, &addr))
			addr_off(m, &addr);
		break;
	case RTM_NEWLINK:
	case RTM_DELLINK:
		link_msg(m, msg);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		neigh_msg(m, msg);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		m->all_changed = true;
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

/* What a batch of messages came to. host.lock held. */
static void
apply_changes(struct ms_monitor *m)
{
	struct ms_attachment *att;
	unsigned int i;

	for (att = m->host->attachments; att != NULL; att = att->next) {
		bool hit = m->all_changed;

		for (i = 0; i < 16 && !hit && m->changed[i] != 0; i++)
			hit = (int)m->changed[i] == att->a->ifindex;
		if (hit)
			ms_nic_changed(att->nic, NULL, 0);
	}
	m->all_changed = false;
	memset(m->changed, 0, sizeof(m->changed));
}

/* ---- the thread ---- */

static void
monitor_read(struct ms_monitor *m)
{
	char buf[32768] __attribute__((aligned(8)));
	unsigned int i;
	ssize_t n;

	n = mnl_socket_recvfrom(m->sock, buf, sizeof(buf));
	if (n < 0 && errno != ENOBUFS)
		return;
	ms_mutex_lock(&m->host->lock);
	if (n < 0) {
		i = (unsigned int)-resync(m);
		if (i != 0)
			ms_warn("cannot list this host's addresses: %s",
				strerror((int)i));
	} else {
		mnl_cb_run(buf, (size_t)n, 0, 0, message, m);
	}
	apply_changes(m);
	ms_mutex_unlock(&m->host->lock);
	for (i = 0; i < m->num_gone; i++)
		ms_host_gone(m->host, m->gone[i]);
	m->num_gone = 0;
}

static void *
monitor_main(void *arg)
{
	struct ms_monitor *m = arg;
	struct pollfd p[2] = {
		{ .fd = m->stop_fd, .events = POLLIN },
		{ .fd = mnl_socket_get_fd(m->sock), .events = POLLIN },
	};

	for (;;) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents != 0)
			return NULL;
		if (p[1].revents != 0)
			monitor_read(m);
	}
}

static int
monitor_socket(struct ms_monitor *m)
{
	unsigned int groups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR |
			      RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
			      RTMGRP_IPV6_ROUTE;
	int bytes = RCVBUF_BYTES;

	m->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (m->sock == NULL ||
	    mnl_socket_bind(m->sock, groups, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	setsockopt(mnl_socket_get_fd(m->sock), SOL_SOCKET, SO_RCVBUF, &bytes,
		   sizeof(bytes));
	m->stop_fd = eventfd(0, EFD_CLOEXEC);
	return m->stop_fd < 0 ? -errno : 0;
}

/* host.lock held, as by ms_host_attach(): addresses are known on return. */
int
ms_monitor_start(struct ms_host *host, struct ms_err *err)
{
	struct ms_monitor *m = calloc(1, sizeof(*m));
	int r = -ENOMEM;

	if (m != NULL) {
		m->host = host;
		m->stop_fd = -1;
		host->monitor = m;
		r = monitor_socket(m);
		if (r == 0)
			r = resync(m);
		if (r == 0)
			r = ms__host_thread(host, &m->thread, monitor_main, m);
		m->started = r == 0;
	}
	if (r != 0) {
		ms_monitor_stop(host);
		return ms_err_set(err, r,
				  "cannot follow this host's addresses "
				  "and links: %s",
				  strerror(-r));
	}
	return 0;
}

void
ms_monitor_stop(struct ms_host *host)
{
	struct ms_monitor *m = host->monitor;
	const uint64_t one = 1;
	size_t i;

	if (m == NULL)
		return;
	if (m->started) {
		while (write(m->stop_fd, &one, sizeof(one)) < 0)
			;
		pthread_join(m->thread, NULL);
	}
	ms_mutex_lock(&host->sw->ctl_lock);
	for (i = m->num; i-- > 0; m->num--)
		if (count_known(m, &m->known[i].addr) == 1)
			ms_table_addr_del(host->sw->table,
					  m->known[i].addr.addr,
					  m->known[i].addr.family);
	ms_mutex_unlock(&host->sw->ctl_lock);
	if (m->stop_fd >= 0)
		close(m->stop_fd);
	if (m->sock != NULL)
		mnl_socket_close(m->sock);
	free(m->known);
	free(m);
	host->monitor = NULL;
}
