// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * netns.c: one switch a network namespace.
 */
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include <net/netns/generic.h>

#include "ms_linux.h"

/* What the kernel keeps for us with each namespace. */
struct ms_pernet {
	struct ms_netns __rcu *ns; /* (n) counted; NULL: none yet, or the
				      namespace goes */
};

static unsigned int pernet_id;

static struct ms_pernet *
pernet_of(const struct net *net)
{
	return net_generic(net, pernet_id);
}

struct ms_netns *
ms_netns_find(const struct net *net)
{
	return rcu_dereference_rtnl(pernet_of(net)->ns);
}

/* ---- beginning ------------------------------------------------------------ */

/* rtnl held. */
static int
netns_create(struct net *net, struct ms_netns **out)
{
	struct ms_netns *ns;
	int err;

	ns = kzalloc(sizeof(*ns), GFP_KERNEL_ACCOUNT);
	if (ns == NULL)
		return -ENOMEM;
	refcount_set(&ns->refs, 1);
	RCU_INIT_POINTER(ns->net, net);
	INIT_LIST_HEAD(&ns->devs);
	INIT_LIST_HEAD(&ns->resvs);
	mutex_init(&ns->resv_lock);
	err = ms_switch_create(&ns->sw);
	if (err == 0)
		err = ms_monitor_addrs(ns, net);
	if (err) {
		ms_netns_put(ns);
		return err;
	}
	*out = ns;
	return 0;
}

/* The caller's own namespace lives as long as the call. */
int
ms_netns_get_current(struct ms_netns **out)
{
	struct net *net = current->nsproxy->net_ns;
	struct ms_pernet *pn = pernet_of(net);
	struct ms_netns *ns;
	int err = 0;

	rcu_read_lock();
	ns = rcu_dereference(pn->ns);
	if (ns != NULL)
		refcount_inc(&ns->refs);
	rcu_read_unlock();
	if (ns == NULL) {
		rtnl_lock();
		ns = rtnl_dereference(pn->ns);
		if (ns == NULL) {
			err = netns_create(net, &ns);
			if (err == 0)
				rcu_assign_pointer(pn->ns, ns);
		}
		if (err == 0)
			refcount_inc(&ns->refs);
		rtnl_unlock();
	}
	*out = ns;
	return err;
}

/* ---- end ------------------------------------------------------------------ */

void
ms_netns_put(struct ms_netns *ns)
{
	if (ns == NULL || !refcount_dec_and_test(&ns->refs))
		return;
	ms_switch_destroy(ns->sw);
	mutex_destroy(&ns->resv_lock);
	kfree(ns);
}

struct net *
ms_netns_net(struct ms_netns *ns)
{
	struct net *net;

	rcu_read_lock();
	net = rcu_dereference(ns->net);
	if (net != NULL)
		net = maybe_get_net(net);
	rcu_read_unlock();
	return net;
}

/*
 * The namespace goes, and nobody holds it: no command is under way in it, and
 * none will find it. Its own sockets have to be released before the rest of it
 * goes; interfaces, too, before they are unregistered or moved away.
 */
static void __net_exit
netns_pre_exit(struct net *net)
{
	struct ms_pernet *pn = pernet_of(net);
	struct ms_netns *ns;

	rtnl_lock();
	ns = rtnl_dereference(pn->ns);
	if (ns != NULL) {
		ms_netdev_detach_all(ns);
		RCU_INIT_POINTER(pn->ns, NULL);
		RCU_INIT_POINTER(ns->net, NULL);
	}
	rtnl_unlock();
	if (ns == NULL)
		return;
	synchronize_rcu(); /* who found it has left */
	ms_monitor_stop(ns);
	ms_resv_release_all(ns);
	ms_netns_put(ns);
}

static struct pernet_operations netns_ops = {
	.pre_exit = netns_pre_exit,
	.id = &pernet_id,
	.size = sizeof(struct ms_pernet),
};

int
ms_netns_init(void)
{
	return register_pernet_subsys(&netns_ops);
}

void
ms_netns_deinit(void)
{
	unregister_pernet_subsys(&netns_ops);
}
