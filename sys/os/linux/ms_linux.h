/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_linux.h: the inside of the Linux module.
 *
 *   module.c   load and unload
 *   file.c     /dev/multistack: a descriptor is a port, or one of its rings
 *   netns.c    one switch a network namespace
 *   cred.c     who asks, and what they may have
 *   resv.c     the host's word that a tuple is ours: a bound socket
 *   monitor.c  addresses, links, routes and neighbours that change
 *   route.c    MS_CMD_ROUTE
 *   netdev.c   attachments: how they come and go
 *   rx.c       from an skb to the switch
 *   xdp.c      from a driver's page to the switch: the kfunc
 *   local.c    the host's own stack: its packets to ports, and ours to it
 *   tx.c       from the switch to the driver; tx_page.c without copying the
 *              payload, tx_xdp.c without an skb
 *
 * Locks, outermost first:
 *   rtnl                 attachments come and go
 *   ms_file.lock         mutex: makes a descriptor's port
 *   ms_switch.ctl_lock   and the core's below it. Whoever holds it never takes
 *                        rtnl, nor waits for a module to be loaded
 *   ms_netns.resv_lock   mutex: leaf
 *   cred.c's users_lock  mutex: leaf
 *
 * Field tags as in ms_core.h, and (n) written under rtnl, read in read
 * sections.
 */
#ifndef MS_LINUX_H
#define MS_LINUX_H

#include <linux/list.h>
#include <linux/netdevice.h>
#include <linux/refcount.h>
#include <linux/skbuff.h>
#include <linux/wait.h>
#include <net/net_namespace.h>

#include "ms_core.h"

#include "ms_compat.h"

/* ---- namespaces: netns.c ---------------------------------------------- */

struct ms_monitor;

/*
 * One network namespace: a host with a namespace of tuples of its own. Made
 * with the first descriptor that is opened in it. Descriptors outlive the
 * namespace, and do not keep it: `net` is NULL from then on, its interfaces
 * are detached and its sockets released.
 */
struct ms_netns {
	struct ms_switch *sw;  /* (c) owned */
	refcount_t refs;       /* of the namespace itself and of descriptors */
	struct net __rcu *net; /* (r) not counted */
	struct list_head devs; /* (n) of struct ms_netdev */
	struct ms_netdev __rcu *local; /* (n) the one that frames between the
					  host and ports go through: the first
					  that is not lo */
	struct mutex resv_lock;
	struct list_head resvs;	    /* resv_lock: of struct ms_resv */
	struct ms_monitor *monitor; /* (r) monitor.c's; NULL before
					ms_monitor_addrs() and after
					ms_monitor_stop() */
};

/* Of the caller's namespace, made if need be. Counted. -ENOMEM; takes rtnl;
   sleeps. */
int ms_netns_get_current(struct ms_netns **out);
/* The one of `net` if it has been made and stays, else NULL. Not counted. rtnl
   held, or read section. */
struct ms_netns *ms_netns_find(const struct net *net);
/* Frees the switch with the last reference. May sleep. NULL is fine. */
void ms_netns_put(struct ms_netns *ns);
/* The namespace, held with get_net(), or NULL when it is gone; put_net(). */
struct net *ms_netns_net(struct ms_netns *ns);
int ms_netns_init(void); /* pernet operations */
void ms_netns_deinit(void);

/* ---- memory: ms_os_linux.c ------------------------------------------- */

/* A port's region: single pages, charged to the memory cgroup of who made it,
   and mapped one after the other. */
struct ms_shm {
	void *addr;	     /* (c) of vmap() */
	struct page **pages; /* (c) owned */
	unsigned long num;   /* (c) */
};

/*
 * The core asks for a region with ctl_lock held, for which others wait, rtnl in
 * hand. So it is made before: the next ms_os_shm_create() of this task takes
 * it, if it is large enough, or else fails. *p lives on the caller's stack from
 * park to unpark, which frees what was not taken. Sleep.
 */
struct ms_shm_park {
	struct list_head list;
	struct task_struct *task; /* (c) */
	struct ms_shm *shm;	  /* owned; NULL: no memory, or taken */
};
void ms_shm_park(struct ms_shm_park *p, size_t bytes);
void ms_shm_unpark(struct ms_shm_park *p);

/* Maps as much of it as the vma has, which is checked already. mmap_lock
   held. */
int ms_shm_mmap(const struct ms_shm *shm, struct vm_area_struct *vma);

/* ---- descriptors: file.c ------------------------------------------------ */

/* What ms_kring.waiter points to; lives as long as the port's descriptor. */
struct ms_waiter {
	wait_queue_head_t wait;	      /* of the ring's own descriptor */
	wait_queue_head_t *port_wait; /* (c) of the port's */
	struct ms_kring *ring;	      /* (c) */
	struct file *file;	      /* (c) the port's; counted by each of the
					 ring's own */
	__poll_t events; /* (c) EPOLLIN | EPOLLRDNORM, or EPOLLOUT | ... */
};

int ms_file_init(void); /* the misc device */
void ms_file_deinit(void);

/* ---- who asks, and what they may have: cred.c --------------------------- */

/* The caller of one command. On the stack of the call. */
struct ms_cred {
	struct net *net; /* held by the caller, NULL: the namespace is gone */
	kuid_t uid;	 /* effective */
	int32_t pid;	 /* in the first PID namespace */
	struct socket *proto; /* resv.c's: keeps a protocol loaded; or NULL */
};
/* Of `current`; borrows net. */
void ms_cred_current(struct ms_cred *cred, struct net *net);
/* CAP_NET_BIND_SERVICE in the user namespace that owns net. */
bool ms_cred_bind_service(const struct ms_cred *cred);
/* Makes a core's user and process number those of the caller's namespaces; a
   process that it cannot see, or that is dead, is 0. */
void ms_cred_localize(uint32_t *uid, int32_t *pid);

/* What a user has, on all descriptors and in all namespaces. */
struct ms_user;
/*
 * Counts one more port with rings of so many bytes for the caller. 0 with the
 * user counted, -ENOMEM, or -EDQUOT: more than the module's parameters allow,
 * and the caller is not the system's administrator. Sleeps.
 */
int ms_user_charge(uint64_t bytes, struct ms_user **out);
void ms_user_uncharge(struct ms_user *user, uint64_t bytes); /* NULL: fine */

/* ---- reservations: resv.c ------------------------------------------------ */

int ms_resv_init(void);
void ms_resv_deinit(void); /* after all namespaces */
/* Before a bind, without any lock: the module that the host needs for such a
   socket is loaded, and stays until after the bind. cred->net is set. Sleeps. */
void ms_resv_prepare(struct ms_cred *cred, const struct ms_tuple *tuple);
void ms_resv_unprepare(struct ms_cred *cred);
/* The namespace goes: releases the sockets of all reservations in it, which
   stay valid for ms_os_resv_destroy(). Sleeps. */
void ms_resv_release_all(struct ms_netns *ns);

/* ---- what the system knows: monitor.c, route.c ----------------------------- */

int ms_monitor_init(void); /* notifiers */
void ms_monitor_deinit(void);
/* A new switch learns the namespace's addresses, and none twice: rtnl held
   from here until the netns can be found. -ENOMEM; sleeps. */
int ms_monitor_addrs(struct ms_netns *ns, struct net *net);
/* No work of this ns is under way or comes: nobody finds it any more. No lock
   held; sleeps. */
void ms_monitor_stop(struct ms_netns *ns);
/* ms_nic_ops.route, from the kernel's tables, for frames out of md->dev;
   resolves the neighbour, for some milliseconds at most, else
   MS_ROUTE_PENDING. No lock held; sleeps. */
int ms_route(struct ms_nic *nic, struct ms_cmd_route *r);

/* ---- attachments: netdev.c --------------------------------------------------- */

struct ms_txq; /* tx.c's: what waits for one of the driver's queues */

struct ms_netdev {		/* one attached interface */
	struct ms_netns *ns;	/* (c) */
	struct net_device *dev; /* (c) held until destroyed */
	netdevice_tracker tracker;
	struct ms_nic *nic;    /* (c) owned */
	struct list_head list; /* (n) */
	struct ms_txq *txq;    /* (c) owned, one a queue of nic; tx.c's */
	bool respect_qdisc;    /* (c) options "qdisc=always" */
	bool ignore_qdisc;     /* (c) options "qdisc=never" */
	bool by_page;	       /* (c) tx_page.c is used; options "tx=page" */
	bool xdp_tx;	       /* (c) tx_xdp.c is used; options "tx=xdp" */
	bool xdp_rx;	       /* once() the kfunc has been called for it */
	unsigned long changed; /* monitor.c: bit 0: its route_gen has to move */
	bool gone;	       /* once() no timer may touch nic any more */
	/* frames that the switch never saw, by enum ms_counter */
	uint64_t __percpu *counter;
};

extern const struct ms_nic_ops ms_netdev_ops; /* netdev.c */

/*
 * MS_CMD_ATTACH and DETACH in namespace ns; *arg is size-checked. Kinds: "",
 * "rx_handler", and "xdp", where the caller loads the program itself
 * afterwards. Options: "qdisc=auto|always|never", "tx=skb|xdp|page". -EPERM,
 * -ENODEV, -EEXIST (attached already), -EBUSY (somebody else's rx_handler; or
 * open ports, without MS_ATTACH_FORCE), -EINVAL, -EOPNOTSUPP (no Ethernet
 * header). Take rtnl; sleep.
 */
int ms_netdev_attach(struct ms_netns *ns, const struct ms_cred *cred,
		     const struct ms_cmd_attach *arg);
int ms_netdev_detach(struct ms_netns *ns, const struct ms_cred *cred,
		     const struct ms_cmd_attach *arg);
/* The namespace goes, or the module; ns->net is still set. rtnl held; sleeps. */
void ms_netdev_detach_all(struct ms_netns *ns);
/* Follows devices that go away, get another name, MTU, MAC or namespace. */
int ms_netdev_init(void);
void ms_netdev_deinit(void);
/* The attachment of a device, or NULL. rtnl held, or read section. */
struct ms_netdev *ms_netdev_of(const struct net_device *dev);

/* One more frame that the switch did not see or that was lost later. Any
   context. */
static inline void
ms_netdev_count(struct ms_netdev *md, enum ms_counter which, uint64_t n)
{
	unsigned long flags;

	local_irq_save(flags);
	__this_cpu_add(md->counter[which], n);
	local_irq_restore(flags);
}

/* ---- receive: rx.c, xdp.c ---------------------------------------------------- */

/* Queues of an attachment's nic: one a processor, so that whoever runs with
   bottom halves off may call ms_nic_input() for its own. */
static inline unsigned int
ms_rx_queue(void)
{
	return smp_processor_id();
}

/* Registered for each attached device. Packet context. */
rx_handler_result_t ms_rx_handler(struct sk_buff **pskb);
/*
 * Shows the switch a frame: skb->data at the network header, the MAC header
 * set. Borrows skb and changes nothing in it. `mac` (may be NULL) stands in
 * for both MAC addresses. True: taken; the caller frees. Packet context.
 */
bool ms_rx_skb(struct ms_netdev *md, const struct sk_buff *skb,
	       const uint8_t *mac);
int ms_xdp_init(void); /* the kfunc; -EOPNOTSUPP without module BTF is fine */

/* ---- the host's own stack: local.c -------------------------------------------- */

/* lo has a handler as long as the namespace has an attachment, so that the
   host reaches ports. rtnl held; sleep. -EBUSY. */
int ms_local_start(struct ms_netns *ns, struct net *net);
void ms_local_stop(struct ms_netns *ns, struct net *net);
/* Whether the handler of dev is this one. rtnl held. */
bool ms_local_is_handler(const struct net_device *dev);
/* ms_nic_ops.to_host */
uint32_t ms_local_to_host(struct ms_nic *nic, unsigned int q,
			  struct ms_frame *frames, uint32_t n);

/* ---- transmit: tx.c, tx_page.c, tx_xdp.c ---------------------------------------- */

/* After every attachment has gone; waits for frames that are still out by
   reference. */
void ms_tx_deinit(void);
int ms_tx_create(struct ms_netdev *md); /* md->txq; nic is not there yet */
/* Nothing of md is sent any more; what waits is freed. The nic is stopped
   (no ring is scheduled); sleeps. NULL txq is fine. */
void ms_tx_destroy(struct ms_netdev *md);
/* ms_nic_ops.room and .xmit */
uint32_t ms_tx_room(struct ms_nic *nic, unsigned int q);
uint32_t ms_tx_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
		    uint32_t n, bool more);
/* Adds what tx.c has counted itself. Any context. */
void ms_tx_stats(struct ms_netdev *md, uint64_t counter[MS_CTR_MAX]);
/*
 * MS_CMD_SYNC of a transmit ring: puts it on its scheduler's list and runs
 * that, for this ring's and others' frames, within a budget; what is left then
 * a timer goes on with. Process context; sleeps between rounds. 0, or -ENETDOWN
 * when the interface is gone.
 */
int ms_tx_sync(struct ms_kring *ring);
/* An skb made of a frame, dev, protocol, headers, checksum and GSO fields set;
   headroom for dev. NULL: no memory, or -EINVAL metadata (counted as
   drop_nomem, drop_tx_offload by the caller through *why). Payload is copied
   once. Packet context. */
struct sk_buff *ms_tx_skb(struct net_device *dev, const struct ms_frame *f,
			  enum ms_counter *why);

#endif /* MS_LINUX_H */
