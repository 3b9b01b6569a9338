// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * monitor.c: keeps a switch's idea of its host true: the addresses of the
 * namespace, and when routes have to be asked again.
 *
 * Most notifiers are called where nothing may sleep. All they do is to note
 * what has to be looked at and to start the namespace's work, which does it
 * once for all that came meanwhile: addresses at once, as traffic to them waits
 * for it, routes a little later, as they come in thousands.
 */
#include <linux/inetdevice.h>
#include <linux/jiffies.h>
#include <linux/random.h>
#include <linux/rtnetlink.h>
#include <linux/siphash.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <net/addrconf.h>
#include <net/fib_notifier.h>
#include <net/if_inet6.h>
#include <net/ip6_fib.h>
#include <net/neighbour.h>
#include <net/netevent.h>

#include "ms_linux.h"

#define GATHER_MS 10  /* changes of routes and neighbours */
#define RETRY_MS 1000 /* what found no memory */
#define NEIGHS 1024   /* remembered, by hash; a power of two */

enum todo {
	TODO_ADDRS,  /* the addresses are to be looked at */
	TODO_ROUTES, /* all interfaces' route_gen has to move */
};

struct known {
	uint8_t addr[16];
	uint8_t family;
};

struct ms_monitor {
	struct ms_switch *sw; /* (c) */
	struct net *net;      /* (c) ends after us */
	struct delayed_work work;
	unsigned long todo;	   /* bits of enum todo */
	struct notifier_block fib; /* registered: following */
	bool following;		   /* once() written by the work */
	struct known *known;	   /* of the work: sorted, none twice; what the
				      table has been told */
	size_t num;		   /* of the work */
	siphash_key_t key;	   /* (c) */
	uint32_t neigh[NEIGHS];	   /* xchg: which MAC; 0: none */
};

static void
monitor_want(struct ms_monitor *m, enum todo what)
{
	set_bit(what, &m->todo);
	if (what == TODO_ADDRS)
		mod_delayed_work(system_long_wq, &m->work, 0);
	else
		queue_delayed_work(system_long_wq, &m->work,
				   msecs_to_jiffies(GATHER_MS));
}

/* ---- addresses ------------------------------------------------------------ */

static int
known_cmp(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct known));
}

static void
known_put(struct known *k, size_t num, size_t n, uint8_t family,
	  const void *addr)
{
	if (n >= num)
		return;
	memset(&k[n], 0, sizeof(k[n]));
	memcpy(k[n].addr, addr, family == 4 ? 4 : 16);
	k[n].family = family;
}

/* As ipv6_chk_addr(): an address that may still prove to be another host's is
   none of ours, unless we are optimistic. */
static bool
is_tentative(const struct inet6_ifaddr *ifa)
{
	uint32_t flags = READ_ONCE(ifa->flags);

	return (flags & IFA_F_TENTATIVE) != 0 &&
	       (flags & IFA_F_OPTIMISTIC) == 0;
}

/* All addresses of all devices into k, which has room for num. Returns how many
   there are. */
static size_t
addrs_read(const struct net *net, struct known *k, size_t num)
{
	const struct inet6_ifaddr *ifa6;
	const struct inet6_dev *in6;
	const struct in_ifaddr *ifa;
	const struct in_device *in;
	struct net_device *dev;
	size_t n = 0;

	rcu_read_lock();
	for_each_netdev_rcu((struct net *)net, dev)
	{
		in = __in_dev_get_rcu(dev);
		if (in != NULL) {
			in_dev_for_each_ifa_rcu(ifa, in)
			    known_put(k, num, n++, 4, &ifa->ifa_local);
		}
		in6 = __in6_dev_get(dev);
		if (in6 == NULL)
			continue;
		list_for_each_entry_rcu(ifa6, &in6->addr_list, if_list)
		{
			if (!is_tentative(ifa6))
				known_put(k, num, n++, 6, &ifa6->addr);
		}
	}
	rcu_read_unlock();
	return n;
}

/* Sorted, each once; owned by the caller. -ENOMEM. */
static int
addrs_get(const struct net *net, struct known **out, size_t *num)
{
	size_t n = addrs_read(net, NULL, 0), cap, i, kept = 0;
	struct known *k;

	for (;;) {
		cap = n + 16;
		k = kvmalloc_array(cap, sizeof(*k), GFP_KERNEL_ACCOUNT);
		if (k == NULL)
			return -ENOMEM;
		n = addrs_read(net, k, cap);
		if (n <= cap)
			break;
		kvfree(k);
	}
	sort(k, n, sizeof(*k), known_cmp, NULL);
	for (i = 0; i < n; i++)
		if (kept == 0 || known_cmp(&k[kept - 1], &k[i]) != 0)
			k[kept++] = k[i];
	*out = k;
	*num = kept;
	return 0;
}

/*
 * The table learns what came and what went. -ENOMEM: some that came are
 * missing, and not noted as known. rtnl held, or in the work; sleeps.
 */
static int
addrs_sync(struct ms_monitor *m)
{
	struct ms_table *table = m->sw->table;
	size_t i = 0, j = 0, kept = 0, num;
	struct known *k;
	int c, err;

	err = addrs_get(m->net, &k, &num);
	if (err)
		return err;
	ms_mutex_lock(&m->sw->ctl_lock);
	while (i < m->num || j < num) {
		c = i == m->num ? 1
		    : j == num	? -1
				: known_cmp(&m->known[i], &k[j]);
		if (c != 0)
			set_bit(TODO_ROUTES, &m->todo);
		if (c < 0) {
			ms_table_addr_del(table, m->known[i].addr,
					  m->known[i].family);
		} else if (c > 0 && ms_table_addr_add(table, k[j].addr,
						      k[j].family) != 0) {
			err = -ENOMEM;
			j++;
			continue;
		}
		i += c <= 0;
		if (c >= 0)
			k[kept++] = k[j++];
	}
	ms_mutex_unlock(&m->sw->ctl_lock);
	kvfree(m->known);
	m->known = k;
	m->num = kept;
	return err;
}

/* ---- the work ------------------------------------------------------------- */

static void
nics_moved(struct ms_monitor *m)
{
	bool all = test_and_clear_bit(TODO_ROUTES, &m->todo);
	struct ms_netdev *md;
	struct ms_nic *nic;

	ms_mutex_lock(&m->sw->ctl_lock);
	for (nic = m->sw->nics; nic != NULL; nic = nic->next) {
		md = nic->os;
		if (test_and_clear_bit(0, &md->changed) || all)
			ms_nic_moved(nic);
	}
	ms_mutex_unlock(&m->sw->ctl_lock);
}

/* Here, because it takes rtnl before 6.13. */
static int
fib_follow(struct ms_monitor *m)
{
	int err = register_fib_notifier(m->net, &m->fib, NULL, NULL);

	if (err)
		return err;
	WRITE_ONCE(m->following, true);
	set_bit(TODO_ADDRS, &m->todo); /* what came meanwhile */
	set_bit(TODO_ROUTES, &m->todo);
	return 0;
}

static void
monitor_work(struct work_struct *work)
{
	struct ms_monitor *m = container_of(to_delayed_work(work),
					    struct ms_monitor, work);
	bool retry = false;

	if (!m->following)
		retry = fib_follow(m) != 0;
	if (test_and_clear_bit(TODO_ADDRS, &m->todo) && addrs_sync(m) != 0) {
		set_bit(TODO_ADDRS, &m->todo);
		retry = true;
	}
	nics_moved(m);
	if (retry)
		queue_delayed_work(system_long_wq, &m->work,
				   msecs_to_jiffies(RETRY_MS));
}

/* ---- routes --------------------------------------------------------------- */

/* The route to an IPv6 address of our own comes when it is no longer
   tentative. */
static bool
is_own_route6(unsigned long event, const struct fib_notifier_info *info)
{
	switch (event) {
	case FIB_EVENT_ENTRY_REPLACE:
	case FIB_EVENT_ENTRY_APPEND:
	case FIB_EVENT_ENTRY_ADD:
	case FIB_EVENT_ENTRY_DEL:
		return container_of(info, struct fib6_entry_notifier_info, info)
			   ->rt->fib6_type == RTN_LOCAL;
	default:
		return false;
	}
}

/* Read section. Registering, one is told all routes there are: no news. */
static int
on_fib(struct notifier_block *nb, unsigned long event, void *ptr)
{
	struct ms_monitor *m = container_of(nb, struct ms_monitor, fib);
	const struct fib_notifier_info *info = ptr;

	if (!READ_ONCE(m->following) ||
	    (info->family != AF_INET && info->family != AF_INET6))
		return NOTIFY_DONE;
	if (info->family == AF_INET6 && is_own_route6(event, info))
		monitor_want(m, TODO_ADDRS);
	monitor_want(m, TODO_ROUTES);
	return NOTIFY_DONE;
}

/* ---- notifiers of all namespaces ------------------------------------------ */

/* Something of an attached device changed, that routes depend on. */
static void
dev_changed(const struct net_device *dev)
{
	struct ms_netdev *md;
	struct ms_monitor *m;

	rcu_read_lock();
	md = ms_netdev_of(dev);
	m = md != NULL ? READ_ONCE(md->ns->monitor) : NULL;
	if (m != NULL) {
		set_bit(0, &md->changed);
		queue_delayed_work(system_long_wq, &m->work,
				   msecs_to_jiffies(GATHER_MS));
	}
	rcu_read_unlock();
}

static void
addrs_changed(const struct net_device *dev)
{
	struct ms_monitor *m;
	struct ms_netns *ns;

	rcu_read_lock();
	ns = ms_netns_find(dev_net(dev));
	m = ns != NULL ? READ_ONCE(ns->monitor) : NULL;
	if (m != NULL)
		monitor_want(m, TODO_ADDRS);
	rcu_read_unlock();
}

/* rtnl held. */
static int
on_inetaddr(struct notifier_block *nb, unsigned long event, void *ptr)
{
	const struct in_ifaddr *ifa = ptr;

	addrs_changed(ifa->ifa_dev->dev);
	return NOTIFY_DONE;
}

/* Read section. */
static int
on_inet6addr(struct notifier_block *nb, unsigned long event, void *ptr)
{
	const struct inet6_ifaddr *ifa = ptr;

	addrs_changed(ifa->idev->dev);
	return NOTIFY_DONE;
}

/* rtnl held. netdev.c sees to MAC and MTU. */
static int
on_netdev(struct notifier_block *nb, unsigned long event, void *ptr)
{
	if (event == NETDEV_UP || event == NETDEV_DOWN ||
	    event == NETDEV_CHANGE)
		dev_changed(netdev_notifier_info_to_dev(ptr));
	return NOTIFY_DONE;
}

/*
 * The kernel tells every turn of reachable, stale and probe; only a new or lost
 * MAC is news to a stack. Of two neighbours with one place, each turn is news.
 */
static bool
neigh_is_news(struct ms_monitor *m, struct neighbour *n)
{
	struct {
		uint8_t addr[16];
		uint64_t ifindex;
		uint8_t mac[8];
	} id = { .ifindex = (uint64_t)n->dev->ifindex };
	uint32_t place, value = 0;

	memcpy(id.addr, n->primary_key,
	       min_t(size_t, n->tbl->key_len, sizeof(id.addr)));
	place = siphash(&id, sizeof(id), &m->key) % NEIGHS;
	if ((READ_ONCE(n->nud_state) & NUD_VALID) != 0 && !READ_ONCE(n->dead) &&
	    n->dev->addr_len <= sizeof(id.mac)) {
		neigh_ha_snapshot((char *)id.mac, n, n->dev);
		value = (uint32_t)siphash(&id, sizeof(id), &m->key) | 1;
	}
	return xchg(&m->neigh[place], value) != value;
}

/* Read section. */
static int
on_netevent(struct notifier_block *nb, unsigned long event, void *ptr)
{
	const struct netevent_redirect *redirect;
	struct ms_netdev *md;
	struct ms_monitor *m;
	struct neighbour *n;

	if (event == NETEVENT_REDIRECT) {
		redirect = ptr;
		if (redirect->neigh != NULL)
			dev_changed(redirect->neigh->dev);
		return NOTIFY_DONE;
	}
	if (event != NETEVENT_NEIGH_UPDATE)
		return NOTIFY_DONE;
	n = ptr;
	rcu_read_lock();
	md = ms_netdev_of(n->dev);
	m = md != NULL ? READ_ONCE(md->ns->monitor) : NULL;
	if (m != NULL && neigh_is_news(m, n))
		dev_changed(n->dev);
	rcu_read_unlock();
	return NOTIFY_DONE;
}

static struct notifier_block inetaddr_nb = { .notifier_call = on_inetaddr };
static struct notifier_block inet6addr_nb = { .notifier_call = on_inet6addr };
static struct notifier_block netevent_nb = { .notifier_call = on_netevent };
static struct notifier_block netdev_nb = { .notifier_call = on_netdev };

/* ---- begin and end -------------------------------------------------------- */

int
ms_monitor_init(void)
{
	int err;

	err = register_netdevice_notifier(&netdev_nb);
	if (err)
		return err;
	err = register_inetaddr_notifier(&inetaddr_nb);
	if (err)
		goto out_netdev;
	err = register_inet6addr_notifier(&inet6addr_nb);
	if (err)
		goto out_inetaddr;
	err = register_netevent_notifier(&netevent_nb);
	if (err)
		goto out_inet6addr;
	return 0;

out_inet6addr:
	unregister_inet6addr_notifier(&inet6addr_nb);
out_inetaddr:
	unregister_inetaddr_notifier(&inetaddr_nb);
out_netdev:
	unregister_netdevice_notifier(&netdev_nb);
	return err;
}

void
ms_monitor_deinit(void)
{
	unregister_netevent_notifier(&netevent_nb);
	unregister_inet6addr_notifier(&inet6addr_nb);
	unregister_inetaddr_notifier(&inetaddr_nb);
	unregister_netdevice_notifier(&netdev_nb);
}

int
ms_monitor_addrs(struct ms_netns *ns, struct net *net)
{
	struct ms_monitor *m;
	int err;

	m = kvzalloc(sizeof(*m), GFP_KERNEL_ACCOUNT);
	if (m == NULL)
		return -ENOMEM;
	m->sw = ns->sw;
	m->net = net;
	m->fib.notifier_call = on_fib;
	get_random_bytes(&m->key, sizeof(m->key));
	INIT_DELAYED_WORK(&m->work, monitor_work);
	err = addrs_sync(m);
	if (err) {
		kvfree(m->known);
		kvfree(m);
		return err;
	}
	smp_store_release(&ns->monitor, m);
	queue_delayed_work(system_long_wq, &m->work, 0);
	return 0;
}

void
ms_monitor_stop(struct ms_netns *ns)
{
	struct ms_monitor *m = ns->monitor;

	if (m == NULL)
		return;
	WRITE_ONCE(ns->monitor, NULL);
	synchronize_rcu(); /* notifiers that found it */
	cancel_delayed_work_sync(&m->work);
	if (m->following) {
		unregister_fib_notifier(m->net, &m->fib);
		cancel_delayed_work_sync(&m->work);
	}
	kvfree(m->known);
	kvfree(m);
}
