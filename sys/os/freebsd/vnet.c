/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * vnet.c: one switch a virtual network stack. Where the kernel has but one
 * (10.4's GENERIC), that is it.
 */
#include "ms_freebsd.h"

#include <sys/jail.h>
#include <sys/kernel.h>
#include <sys/proc.h>

VNET_DEFINE(struct ms_vnet *, ms_vnet); /* (n) owned */
#define V_ms_vnet VNET(ms_vnet)

struct sx ms_attach_lock;
SX_SYSINIT(ms_attach, &ms_attach_lock, "multistack attach");

static LIST_HEAD(, ms_vnet) vnets = LIST_HEAD_INITIALIZER(vnets); /* (n) */
static unsigned int files; /* ms_attach_lock: of all vnets */
static bool closed;	   /* ms_attach_lock: the module goes */

struct ms_vnet *
ms_vnet_find(void)
{
	return ms_os_load_acquire(&V_ms_vnet);
}

/* ---- life; ms_attach_lock held, the vnet current -------------------------- */

static int
vn_create(struct vnet *vnet, struct ms_vnet **out)
{
	struct ms_vnet *vn;
	int err;

	vn = malloc(sizeof(*vn), M_MULTISTACK, M_WAITOK | M_ZERO);
	vn->vnet = vnet;
	LIST_INIT(&vn->ifs);
	LIST_INIT(&vn->resvs);
	err = ms_switch_create(&vn->sw);
	if (err) {
		free(vn, M_MULTISTACK);
		return err;
	}
	LIST_INSERT_HEAD(&vnets, vn, list);
	ms_os_store_release(&V_ms_vnet, vn);
	*out = vn;
	return 0;
}

/* No descriptor is open in it. */
static void
vn_destroy(struct ms_vnet *vn)
{
	ms_ifnet_detach_all(vn);
	LIST_REMOVE(vn, list);
	ms_os_store_release(&V_ms_vnet, NULL);
	ms_os_read_sync();
	ms_switch_destroy(vn->sw);
	free(vn, M_MULTISTACK);
}

/* ---- descriptors ------------------------------------------------------------ */

/*
 * Addresses and routes are followed only while there is a descriptor, so a
 * port. The socket for it holds the credentials of who opened the first one,
 * and these the vnet, which would else never end.
 */
static int
vn_get(struct vnet *vnet, struct ms_vnet **out)
{
	struct ms_vnet *vn = V_ms_vnet;
	int err;

	if (closed)
		return -ENXIO;
	if (vn == NULL) {
		err = vn_create(vnet, &vn);
		if (err)
			return err;
	}
	if (vn->files == 0) {
		err = ms_monitor_start(vn);
		if (err)
			return err;
		ms_ifnet_refresh(vn);
	}
	vn->files++;
	files++;
	*out = vn;
	return 0;
}

int
ms_vnet_get_current(struct ms_vnet **out)
{
	struct thread *td = curthread;
	int err;

	/* Jails without a vnet share one, and numbers of users that are not
	   the same users. */
	if (jailed_without_vnet(td->td_ucred))
		return -EPERM;
	CURVNET_SET(TD_TO_VNET(td));
	sx_xlock(&ms_attach_lock);
	err = vn_get(TD_TO_VNET(td), out);
	sx_xunlock(&ms_attach_lock);
	CURVNET_RESTORE();
	return err;
}

void
ms_vnet_put(struct ms_vnet *vn)
{
	CURVNET_SET(vn->vnet);
	sx_xlock(&ms_attach_lock);
	if (--vn->files == 0)
		ms_monitor_stop(vn);
	files--;
	sx_xunlock(&ms_attach_lock);
	CURVNET_RESTORE();
}

/* ---- the end ------------------------------------------------------------------ */

/* ms_attach_lock held. */
static bool
detach_all(void)
{
	struct ms_vnet *vn;
	bool none = true;

	LIST_FOREACH(vn, &vnets, list)
	{
		CURVNET_SET(vn->vnet);
		ms_ifnet_detach_all(vn);
		if (!ms_local_stop(vn))
			none = false;
		CURVNET_RESTORE();
	}
	return ms_hook_none() && none;
}

bool
ms_vnet_close(void)
{
	sx_xlock(&ms_attach_lock);
	closed = files == 0 && detach_all();
	sx_xunlock(&ms_attach_lock);
	return closed;
}

void
ms_vnet_deinit(void)
{
	struct ms_vnet *vn;

	sx_xlock(&ms_attach_lock);
	while ((vn = LIST_FIRST(&vnets)) != NULL) {
		CURVNET_SET(vn->vnet);
		vn_destroy(vn);
		CURVNET_RESTORE();
	}
	sx_xunlock(&ms_attach_lock);
}

/* The vnet goes, before its own interfaces do; those that were lent to it have
   left. Or the module goes, which has seen to that. */
static void
vn_end(const void *unused)
{
	if (V_ms_vnet == NULL)
		return;
	sx_xlock(&ms_attach_lock);
	if (V_ms_vnet != NULL)
		vn_destroy(V_ms_vnet);
	sx_xunlock(&ms_attach_lock);
}

VNET_SYSUNINIT(ms_vnet, SI_SUB_PROTO_END, SI_ORDER_ANY, vn_end, NULL);
