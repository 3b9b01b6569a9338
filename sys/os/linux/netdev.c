// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * netdev.c: attachments: how they come and go, and what becomes of them when
 * the interface changes.
 *
 * Of an attached interface we hold the rx_handler, as a bridge would: who comes
 * second gets -EBUSY. Its own settings (promiscuity, LRO, offloads) stay as
 * they are, for most of its traffic is the host's.
 */
#include <linux/etherdevice.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>

#include "ms_txq.h"

#define MTU_MAX 65535 /* that IP can say; lo has 65536 */
#define FEATURES                                                               \
	(MS_FEATURE_GSO_TCP | MS_FEATURE_GSO_UDP | MS_FEATURE_CSUM_TX |        \
	 MS_FEATURE_CSUM_RX | MS_FEATURE_HOST)

/* ---- what is asked for ------------------------------------------------------ */

static bool
is_xdp(const struct ms_cmd_attach *arg)
{
	return strcmp(arg->kind, "xdp") == 0;
}

static bool
is(const char *text, size_t bytes, const char *word)
{
	return strlen(word) == bytes && memcmp(text, word, bytes) == 0;
}

/* One "key=value" of so many bytes. */
static int
option(struct ms_netdev *md, const char *opt, size_t bytes)
{
	const char *value = memchr(opt, '=', bytes);
	size_t key;

	if (value == NULL)
		return -EINVAL;
	key = value - opt;
	value++;
	bytes -= key + 1;
	if (is(opt, key, "qdisc")) {
		md->respect_qdisc = is(value, bytes, "always");
		md->ignore_qdisc = is(value, bytes, "never");
		return md->respect_qdisc || md->ignore_qdisc ||
			       is(value, bytes, "auto")
			   ? 0
			   : -EINVAL;
	}
	if (is(opt, key, "tx")) {
		md->xdp_tx = is(value, bytes, "xdp");
		md->by_page = is(value, bytes, "page");
		return md->xdp_tx || md->by_page || is(value, bytes, "skb")
			   ? 0
			   : -EINVAL;
	}
	return -EINVAL;
}

/* "key=value,key=value" */
static int
options(struct ms_netdev *md, const char *text)
{
	size_t bytes;
	int err = 0;

	while (*text != '\0' && err == 0) {
		bytes = strcspn(text, ",");
		err = option(md, text, bytes);
		text += bytes;
		if (*text == ',')
			text++;
	}
	return err;
}

/* Whether the interface can be attached like that. */
static int
device_check(const struct ms_netdev *md, const struct ms_cmd_attach *arg)
{
	const struct net_device *dev = md->dev;
	bool lo = (dev->flags & IFF_LOOPBACK) != 0;

	if ((dev->flags & IFF_UP) == 0)
		return -ENETDOWN;
	if (!lo && (dev->type != ARPHRD_ETHER || dev->addr_len != ETH_ALEN))
		return -EOPNOTSUPP;
	if (lo && (is_xdp(arg) || md->xdp_tx))
		return -EOPNOTSUPP;
	if ((lo && arg->vlan != 0) || arg->queues > MS_RINGS_MAX)
		return -EINVAL;
	if (md->xdp_tx && !ms_dev_takes_xdp_frames(dev))
		return -EOPNOTSUPP;
	if (md->by_page && !ms_tx_page_device(dev))
		return -EOPNOTSUPP;
	return 0;
}

/* ---- the switch's view -------------------------------------------------------- */

static void
netdev_stats(struct ms_nic *nic, uint64_t counter[MS_CTR_MAX])
{
	struct ms_netdev *md = nic->os;
	unsigned int i;
	int cpu;

	for_each_possible_cpu(cpu)
	{
		const uint64_t *c = per_cpu_ptr(md->counter, cpu);

		for (i = 0; i < MS_CTR_MAX; i++)
			counter[i] += READ_ONCE(c[i]);
	}
	ms_tx_stats(md, counter);
}

const struct ms_nic_ops ms_netdev_ops = {
	.name = "netdev",
	.room = ms_tx_room,
	.xmit = ms_tx_xmit,
	.to_host = ms_local_to_host,
	.route = ms_route,
	.stats = netdev_stats,
};

static uint32_t
device_mtu(const struct net_device *dev)
{
	return min_t(uint32_t, READ_ONCE(dev->mtu), MTU_MAX);
}

static int
nic_create(struct ms_netdev *md, const struct ms_cmd_attach *arg)
{
	const struct net_device *dev = md->dev;
	struct ms_nic *tmpl;
	int err;

	tmpl = kzalloc(sizeof(*tmpl), GFP_KERNEL);
	if (tmpl == NULL)
		return -ENOMEM;
	tmpl->ops = &ms_netdev_ops;
	tmpl->os = md;
	tmpl->attach = md;
	strscpy(tmpl->name, dev->name, sizeof(tmpl->name));
	strscpy(tmpl->kind,
		!is_xdp(arg)				? "rx_handler"
		: (arg->flags & MS_ATTACH_GENERIC) != 0 ? "xdp generic"
							: "xdp native",
		sizeof(tmpl->kind));
	memcpy(tmpl->mac, dev->dev_addr, sizeof(tmpl->mac));
	tmpl->vlan = arg->vlan;
	tmpl->mtu = device_mtu(dev);
	tmpl->features = FEATURES;
	tmpl->loopback = (dev->flags & IFF_LOOPBACK) != 0;
	tmpl->num_queues = nr_cpu_ids;
	tmpl->holds = md->by_page;
	tmpl->spread = true;
	err = ms_nic_create(md->ns->sw, tmpl, &md->nic);
	kfree(tmpl);
	return err;
}

/* ---- beginning and end ---------------------------------------------------------- */

/* ns->local: the first that is not lo. rtnl held. */
static void
local_choose(struct ms_netns *ns)
{
	struct ms_netdev *md;

	list_for_each_entry(md, &ns->devs, list)
	{
		if (!md->nic->loopback) {
			rcu_assign_pointer(ns->local, md);
			return;
		}
	}
	RCU_INIT_POINTER(ns->local, NULL);
}

/* In any state that netdev_create() can leave. rtnl held. */
static void
netdev_destroy(struct ms_netdev *md)
{
	if (md == NULL)
		return;
	WRITE_ONCE(md->gone, true);
	ms_nic_destroy(md->nic); /* and no reader is left */
	ms_tx_destroy(md);
	free_percpu(md->counter);
	netdev_put(md->dev, &md->tracker);
	kfree(md);
}

/* All but the handler. rtnl held. */
static int
netdev_create(struct ms_netns *ns, struct net_device *dev,
	      const struct ms_cmd_attach *arg, struct ms_netdev **out)
{
	struct ms_netdev *md;
	int err;

	md = kzalloc(sizeof(*md), GFP_KERNEL);
	if (md == NULL)
		return -ENOMEM;
	md->ns = ns;
	md->dev = dev;
	INIT_LIST_HEAD(&md->list);
	netdev_hold(dev, &md->tracker, GFP_KERNEL);
	err = options(md, arg->options);
	if (err == 0)
		err = device_check(md, arg);
	if (err == 0 && netdev_is_rx_handler_busy(dev) &&
	    !ms_local_is_handler(dev))
		err = -EBUSY;
	if (err == 0) {
		md->counter = __alloc_percpu(MS_CTR_MAX * sizeof(uint64_t),
					     __alignof__(uint64_t));
		if (md->counter == NULL)
			err = -ENOMEM;
	}
	if (err == 0)
		err = ms_tx_create(md);
	if (err == 0)
		err = nic_create(md, arg);
	if (err) {
		netdev_destroy(md);
		return err;
	}
	*out = md;
	return 0;
}

/* lo has local.c's handler while something is attached, but not where lo itself
   is. rtnl held. */
static int
local_update(struct ms_netns *ns, struct net *net)
{
	if (list_empty(&ns->devs)) {
		ms_local_stop(ns, net);
		return 0;
	}
	if (ms_netdev_of(net->loopback_dev) != NULL)
		return 0;
	return ms_local_start(ns, net);
}

/* No frame comes any more; also where starting failed. rtnl held. */
static void
netdev_stop(struct ms_netdev *md, struct net *net)
{
	struct ms_netns *ns = md->ns;

	if (!list_empty(&md->list)) {
		netdev_rx_handler_unregister(md->dev);
		list_del_init(&md->list);
	}
	local_choose(ns);
	/* It had a handler there a moment ago, or has it. */
	WARN_ON_ONCE(local_update(ns, net) != 0);
	synchronize_net(); /* ns->local */
}

/* Frames come from now on. rtnl held. */
static int
netdev_start(struct ms_netdev *md, struct net *net)
{
	int err;

	if (md->nic->loopback)
		ms_local_stop(md->ns, net);
	err = netdev_rx_handler_register(md->dev, ms_rx_handler, md);
	if (err == 0) {
		list_add_tail(&md->list, &md->ns->devs);
		local_choose(md->ns);
		err = local_update(md->ns, net);
	}
	if (err)
		netdev_stop(md, net);
	/* "this device takes no handler" */
	return err == -EINVAL ? -EOPNOTSUPP : err;
}

static void
netdev_end(struct ms_netdev *md)
{
	netdev_stop(md, dev_net(md->dev));
	netdev_destroy(md);
}

void
ms_netdev_detach_all(struct ms_netns *ns)
{
	struct ms_netdev *md, *next;

	ASSERT_RTNL();
	list_for_each_entry_safe(md, next, &ns->devs, list) netdev_end(md);
}

struct ms_netdev *
ms_netdev_of(const struct net_device *dev)
{
	if (rcu_dereference_rtnl(dev->rx_handler) != ms_rx_handler)
		return NULL;
	return rcu_dereference_rtnl(dev->rx_handler_data);
}

/* ---- commands ---------------------------------------------------------------- */

static struct ms_netdev *
find_attached(struct ms_netns *ns, const char name[MS_IFNAME_BYTES])
{
	struct ms_netdev *md;

	list_for_each_entry(md, &ns->devs, list)
	{
		if (strncmp(md->dev->name, name, MS_IFNAME_BYTES) == 0)
			return md;
	}
	return NULL;
}

static bool
is_kind(const char *kind)
{
	return kind[0] == '\0' || strcmp(kind, "rx_handler") == 0 ||
	       strcmp(kind, "xdp") == 0;
}

/* rtnl held. */
static int
attach(struct ms_netns *ns, struct net *net, const struct ms_cmd_attach *arg)
{
	struct net_device *dev;
	struct ms_netdev *md;
	int err;

	if (find_attached(ns, arg->nic) != NULL)
		return -EEXIST;
	if (!is_kind(arg->kind))
		return -EINVAL;
	dev = __dev_get_by_name(net, arg->nic);
	if (dev == NULL)
		return -ENODEV;
	err = netdev_create(ns, dev, arg, &md);
	if (err)
		return err;
	err = netdev_start(md, net);
	if (err)
		netdev_destroy(md);
	return err;
}

int
ms_netdev_attach(struct ms_netns *ns, const struct ms_cred *cred,
		 const struct ms_cmd_attach *arg)
{
	struct net *net;
	int err;

	if (!ms_os_cred_has(cred, MS_PRIV_ADMIN))
		return -EPERM;
	err = ms_ctl_attach_check(arg);
	if (err)
		return err;
	net = ms_netns_net(ns);
	if (net == NULL)
		return -ENODEV;
	rtnl_lock();
	err = attach(ns, net, arg);
	rtnl_unlock();
	put_net(net);
	return err;
}

static uint32_t
count_ports(struct ms_nic *nic)
{
	uint32_t n;

	ms_mutex_lock(&nic->sw->ctl_lock);
	n = nic->num_ports;
	ms_mutex_unlock(&nic->sw->ctl_lock);
	return n;
}

int
ms_netdev_detach(struct ms_netns *ns, const struct ms_cred *cred,
		 const struct ms_cmd_attach *arg)
{
	struct ms_netdev *md;
	int err = 0;

	if (!ms_os_cred_has(cred, MS_PRIV_ADMIN))
		return -EPERM;
	rtnl_lock();
	md = find_attached(ns, arg->nic);
	if (md == NULL)
		err = -ENODEV;
	else if (count_ports(md->nic) > 0 &&
		 (arg->flags & MS_ATTACH_FORCE) == 0)
		err = -EBUSY;
	else
		netdev_end(md);
	rtnl_unlock();
	return err;
}

/* ---- the interface changes ------------------------------------------------------ */

/* Of an attached interface. */
static int
netdev_event(struct ms_netdev *md, unsigned long event)
{
	switch (event) {
	case NETDEV_UNREGISTER: /* for good, or to another namespace */
		netdev_end(md);
		break;
	case NETDEV_CHANGENAME:
		/* The attachment belongs to the interface, not to its name:
		   commands know it by the new one from now on. */
		WARN_ON_ONCE(ms_nic_rename(md->nic, md->dev->name) != 0);
		break;
	case NETDEV_CHANGEMTU:
		ms_nic_changed(md->nic, NULL, device_mtu(md->dev));
		break;
	case NETDEV_CHANGEADDR:
		ms_nic_changed(md->nic, md->dev->dev_addr, 0);
		break;
	case NETDEV_PRE_TYPE_CHANGE:
		/* We understand Ethernet only, and were asked first. */
		return notifier_from_errno(-EBUSY);
	default:
		break;
	}
	return NOTIFY_DONE;
}

static int
netdev_notify(struct notifier_block *nb, unsigned long event, void *info)
{
	struct net_device *dev = netdev_notifier_info_to_dev(info);
	struct ms_netdev *md = ms_netdev_of(dev);
	struct ms_netns *ns;

	if (md != NULL)
		return netdev_event(md, event);
	if (event == NETDEV_UNREGISTER && ms_local_is_handler(dev)) {
		ns = ms_netns_find(dev_net(dev));
		if (ns != NULL)
			ms_local_stop(ns, dev_net(dev));
	}
	return NOTIFY_DONE;
}

static struct notifier_block netdev_nb = {
	.notifier_call = netdev_notify,
};

int
ms_netdev_init(void)
{
	return register_netdevice_notifier(&netdev_nb);
}

/* Tells us of all interfaces that they go, so nothing stays attached. */
void
ms_netdev_deinit(void)
{
	unregister_netdevice_notifier(&netdev_nb);
}
