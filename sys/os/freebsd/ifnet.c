/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ifnet.c: attachments: how they come and go, and what becomes of them when
 * the interface changes.
 *
 * The interface's own settings (promiscuity, LRO, offloads) stay as they are,
 * for most of its traffic is the host's.
 */
#include "ms_freebsd.h"

#include <sys/kernel.h>
#include <sys/proc.h>
#include <sys/sockio.h>

#define MTU_MAX 65535 /* that IP can say */
#define FEATURES                                                               \
	(MS_FEATURE_GSO_TCP | MS_FEATURE_GSO_UDP | MS_FEATURE_CSUM_TX |        \
	 MS_FEATURE_CSUM_RX | MS_FEATURE_HOST)

/* ---- what is asked for ------------------------------------------------------ */

static bool
is_kind(const char *kind)
{
	return kind[0] == '\0' || strcmp(kind, "if_input") == 0;
}

static bool
is_loopback(if_t ifp)
{
	return (if_getflags(ifp) & IFF_LOOPBACK) != 0;
}

/* Whether the interface can be attached like that. */
static int
device_check(if_t ifp, const struct ms_cmd_attach *arg)
{
	if ((if_getflags(ifp) & IFF_UP) == 0)
		return -ENETDOWN;
	if (!is_loopback(ifp) &&
	    (!ms_if_hears(ifp) || if_getaddrlen(ifp) != ETHER_ADDR_LEN))
		return -EOPNOTSUPP;
	if ((is_loopback(ifp) && arg->vlan != 0) || arg->options[0] != '\0' ||
	    arg->queues > MS_RINGS_MAX)
		return -EINVAL;
	return 0;
}

/* ---- how it is now ------------------------------------------------------------- */

struct look {
	if_t ifp;
	bool found;
	uint32_t mtu;
	uint8_t mac[6];
};

static void
look_one(if_t ifp, void *arg)
{
	struct look *l = arg;

	if (ifp != l->ifp)
		return;
	l->found = ms_if_lladdr(ifp, l->mac) || is_loopback(ifp);
	l->mtu = MIN((uint32_t)if_getmtu(ifp), MTU_MAX);
}

/* False: it is not among the current vnet's any more. An interface that leaves
   does so before it is taken apart, so what is found there can be read. */
static bool
look_at(if_t ifp, struct look *l)
{
	memset(l, 0, sizeof(*l));
	l->ifp = ifp;
	ms_if_foreach(look_one, l);
	return l->found;
}

/* ---- the switch's view ----------------------------------------------------------- */

static void
ifnet_stats(struct ms_nic *nic, uint64_t counter[MS_CTR_MAX])
{
	struct ms_ifnet *mi = nic->os;

	ms_rx_stats(mi, counter);
	ms_tx_stats(mi, counter);
}

const struct ms_nic_ops ms_ifnet_ops = {
	.name = "ifnet",
	.room = ms_tx_room,
	.xmit = ms_tx_xmit,
	.to_host = ms_tx_to_host,
	.route = ms_route,
	.stats = ifnet_stats,
};

static int
nic_create(struct ms_ifnet *mi, const struct ms_cmd_attach *arg)
{
	struct ms_nic *tmpl;
	struct look look;
	int err;

	if (!look_at(mi->ifp, &look))
		return -ENODEV;
	tmpl = malloc(sizeof(*tmpl), M_MULTISTACK, M_WAITOK | M_ZERO);
	tmpl->ops = &ms_ifnet_ops;
	tmpl->os = mi;
	tmpl->attach = mi;
	strlcpy(tmpl->name, if_name(mi->ifp), sizeof(tmpl->name));
	strlcpy(tmpl->kind, "if_input", sizeof(tmpl->kind));
	memcpy(tmpl->mac, look.mac, sizeof(tmpl->mac));
	tmpl->vlan = arg->vlan;
	tmpl->mtu = look.mtu;
	tmpl->features = FEATURES;
	tmpl->loopback = is_loopback(mi->ifp);
	tmpl->num_queues = ms_num_queues();
	tmpl->spread = true;
	err = ms_nic_create(mi->vn->sw, tmpl, &mi->nic);
	free(tmpl, M_MULTISTACK);
	return err;
}

/* ---- beginning and end; ms_attach_lock held, the vnet current -------------------- */

/* vn->local, and whether lo's output has to be ours. */
static void
local_choose(struct ms_vnet *vn)
{
	struct ms_ifnet *mi, *best = NULL;

	LIST_FOREACH(mi, &vn->ifs, list) /* the newest first */
	{
		if (best == NULL || !best->nic->loopback)
			best = mi;
	}
	ms_os_store_release(&vn->local, best);
	if (best != NULL)
		ms_local_start(vn);
	else
		ms_local_stop(vn);
}

/* In any state that ifnet_create() can leave. */
static void
ifnet_destroy(struct ms_ifnet *mi)
{
	if (mi == NULL)
		return;
	ms_os_store_release(&mi->gone, true);
	ms_nic_destroy(mi->nic); /* and no reader is left */
	ms_tx_destroy(mi);
	ms_rx_destroy(mi);
	if_rele(mi->ifp);
	free(mi, M_MULTISTACK);
}

/* All but the hooks. */
static int
ifnet_create(struct ms_vnet *vn, if_t ifp, const struct ms_cmd_attach *arg,
	     struct ms_ifnet **out)
{
	struct ms_ifnet *mi;
	int err;

	err = device_check(ifp, arg);
	if (err)
		return err;
	mi = malloc(sizeof(*mi), M_MULTISTACK, M_WAITOK | M_ZERO);
	mi->vn = vn;
	mi->ifp = ifp;
	if_ref(ifp);
	err = ms_rx_create(mi);
	if (err == 0)
		err = ms_tx_create(mi);
	if (err == 0)
		err = nic_create(mi, arg);
	if (err) {
		ifnet_destroy(mi);
		return err;
	}
	*out = mi;
	return 0;
}

/* No frame comes any more. */
static void
ifnet_stop(struct ms_ifnet *mi)
{
	LIST_REMOVE(mi, list);
	if (!mi->nic->loopback)
		ms_hook_clear(mi->ifp);
	local_choose(mi->vn);
	ms_os_read_sync(); /* vn->local */
}

/* Frames come from now on. An interface that left meanwhile did so before we
   could be told. */
static int
ifnet_start(struct ms_ifnet *mi)
{
	struct look look;
	int err = 0;

	if (!mi->nic->loopback)
		err = ms_hook_set(mi->ifp, mi);
	if (err)
		return err;
	LIST_INSERT_HEAD(&mi->vn->ifs, mi, list);
	local_choose(mi->vn);
	if (look_at(mi->ifp, &look))
		return 0;
	ifnet_stop(mi);
	return -ENODEV;
}

static void
ifnet_end(struct ms_ifnet *mi)
{
	ifnet_stop(mi);
	ifnet_destroy(mi);
}

void
ms_ifnet_detach_all(struct ms_vnet *vn)
{
	struct ms_ifnet *mi;

	while ((mi = LIST_FIRST(&vn->ifs)) != NULL)
		ifnet_end(mi);
}

/* ---- commands ---------------------------------------------------------------- */

static struct ms_ifnet *
find_attached(struct ms_vnet *vn, const char name[MS_IFNAME_BYTES])
{
	struct ms_ifnet *mi;

	LIST_FOREACH(mi, &vn->ifs, list)
	{
		if (strncmp(if_name(mi->ifp), name, MS_IFNAME_BYTES) == 0)
			return mi;
	}
	return NULL;
}

static int
attach(struct ms_vnet *vn, const struct ms_cmd_attach *arg)
{
	struct ms_ifnet *mi;
	if_t ifp;
	int err;

	if (find_attached(vn, arg->nic) != NULL)
		return -EEXIST;
	if (!is_kind(arg->kind))
		return -EINVAL;
	ifp = ifunit_ref(arg->nic);
	if (ifp == NULL)
		return -ENODEV;
	err = ifnet_create(vn, ifp, arg, &mi);
	if_rele(ifp);
	if (err)
		return err;
	err = ifnet_start(mi);
	if (err)
		ifnet_destroy(mi);
	return err;
}

int
ms_ifnet_attach(struct ms_vnet *vn, const struct ms_cred *cred,
		const struct ms_cmd_attach *arg)
{
	int err;

	if (!ms_os_cred_has(cred, MS_PRIV_ADMIN))
		return -EPERM;
	err = ms_ctl_attach_check(arg);
	if (err)
		return err;
	CURVNET_SET(vn->vnet);
	sx_xlock(&ms_attach_lock);
	err = attach(vn, arg);
	sx_xunlock(&ms_attach_lock);
	CURVNET_RESTORE();
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
ms_ifnet_detach(struct ms_vnet *vn, const struct ms_cred *cred,
		const struct ms_cmd_attach *arg)
{
	struct ms_ifnet *mi;
	int err = 0;

	if (!ms_os_cred_has(cred, MS_PRIV_ADMIN))
		return -EPERM;
	CURVNET_SET(vn->vnet);
	sx_xlock(&ms_attach_lock);
	mi = find_attached(vn, arg->nic);
	if (mi == NULL)
		err = -ENODEV;
	else if (count_ports(mi->nic) > 0 &&
		 (arg->flags & MS_ATTACH_FORCE) == 0)
		err = -EBUSY;
	else
		ifnet_end(mi);
	sx_xunlock(&ms_attach_lock);
	CURVNET_RESTORE();
	return err;
}

/* ---- the interface changes ------------------------------------------------------ */

/* The attachment belongs to the interface, not to its name: commands know it by
   the new one from now on. */
static void
ifnet_renamed(struct ms_ifnet *mi)
{
	if (strncmp(mi->nic->name, if_name(mi->ifp), MS_IFNAME_BYTES) != 0)
		(void)ms_nic_rename(mi->nic, if_name(mi->ifp));
}

void
ms_ifnet_refresh(struct ms_vnet *vn)
{
	struct ms_ifnet *mi;
	struct look look;
	bool mac, mtu;

	LIST_FOREACH(mi, &vn->ifs, list)
	{
		if (!look_at(mi->ifp, &look))
			continue;
		ifnet_renamed(mi);
		mac = memcmp(look.mac, mi->nic->mac, sizeof(look.mac)) != 0;
		mtu = look.mtu != mi->nic->mtu;
		if (mac || mtu)
			ms_nic_changed(mi->nic, mac ? look.mac : NULL,
				       mtu ? look.mtu : 0);
	}
}

/* What was attached of an interface in its vnet. ms_attach_lock held, the vnet
   current. */
static struct ms_ifnet *
ifnet_find(if_t ifp)
{
	struct ms_vnet *vn = ms_vnet_find();
	struct ms_ifnet *mi;

	if (vn == NULL)
		return NULL;
	LIST_FOREACH(mi, &vn->ifs, list)
	{
		if (mi->ifp == ifp)
			return mi;
	}
	return NULL;
}

/* For good, or to another vnet; a new name is told as departure and arrival. */
static void
on_departure(void *arg, if_t ifp)
{
	struct ms_ifnet *mi;

	if ((if_getflags(ifp) & IFF_RENAMING) != 0)
		return;
	CURVNET_SET_QUIET(if_getvnet(ifp));
	sx_xlock(&ms_attach_lock);
	mi = ifnet_find(ifp);
	if (mi != NULL)
		ifnet_end(mi);
	sx_xunlock(&ms_attach_lock);
	CURVNET_RESTORE();
}

static void
on_arrival(void *arg, if_t ifp)
{
	struct ms_ifnet *mi;

	CURVNET_SET_QUIET(if_getvnet(ifp));
	sx_xlock(&ms_attach_lock);
	mi = ifnet_find(ifp);
	if (mi != NULL)
		ifnet_renamed(mi);
	sx_xunlock(&ms_attach_lock);
	CURVNET_RESTORE();
}

static eventhandler_tag departure_tag, arrival_tag;

void
ms_ifnet_init(void)
{
	departure_tag = EVENTHANDLER_REGISTER(
	    ifnet_departure_event, on_departure, NULL, EVENTHANDLER_PRI_FIRST);
	arrival_tag = EVENTHANDLER_REGISTER(ifnet_arrival_event, on_arrival,
					    NULL, EVENTHANDLER_PRI_ANY);
}

/* Waits for those that are under way. */
void
ms_ifnet_deinit(void)
{
	EVENTHANDLER_DEREGISTER(ifnet_departure_event, departure_tag);
	EVENTHANDLER_DEREGISTER(ifnet_arrival_event, arrival_tag);
}
