/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_freebsd.h: the inside of the FreeBSD module.
 *
 *   module.c   load and unload, sysctls
 *   file.c     /dev/multistack: a descriptor is a port, or one of its rings
 *   wait.c     poll, kqueue, and who is woken
 *   vnet.c     one switch a virtual network stack
 *   cred.c     who asks, and what they may have
 *   resv.c     the host's word that a tuple is ours: a bound socket
 *   monitor.c  addresses, links, routes and neighbours that change
 *   route.c    MS_CMD_ROUTE
 *   ifnet.c    attachments: how they come and go
 *   hook.c     our place among those who want an interface's input
 *   rx.c       from an mbuf to the switch
 *   local.c    the host's own stack: its packets to ports, and ours to it
 *   tx.c       from the switch to the driver; tx_mbuf.c makes the mbufs
 *
 * Locks, outermost first:
 *   ms_attach_lock       sx: attachments, and vnets of ours, come and go
 *   ms_file.lock         sx: makes a descriptor's port
 *   ms_switch.ctl_lock   sx, and the core's below it
 *   ms_rxq.lock          mutex: who uses a receive queue of an attachment
 *   the core's spins     mutexes: rings, schedulers, fragments
 *   ms_txq.lock          mutex: leaf but for the allocators
 *   ms_event.lock        mutex: knotes of one event; below it the kqueue's
 *   cred.c's users_lock  sx: leaf
 * The lists of interfaces and addresses are locked by nobody who holds one of
 * the mutexes. Read sections may be entered under all of these, and no call
 * into the host's stack or a driver is made within one: before 13 they are a
 * lock, which would have to stand in the order of all the stack's.
 *
 * Field tags as in ms_core.h, and (n) written under ms_attach_lock, read in
 * read sections.
 */
#ifndef MS_FREEBSD_H
#define MS_FREEBSD_H

#include "ms_core.h"

#include "ms_compat.h"

#include <sys/callout.h>
#include <sys/malloc.h>
#include <sys/mutex.h>
#include <sys/selinfo.h>
#include <sys/smp.h>
#include <sys/sx.h>
#include <sys/sysctl.h>
#include <sys/taskqueue.h>

MALLOC_DECLARE(M_MULTISTACK);
SYSCTL_DECL(_net_multistack);

extern struct sx ms_attach_lock;

/* Runs what packet contexts leave behind: rounds of a scheduler, and looks at
   addresses and routes. Sleeps. */
extern struct taskqueue *ms_tasks;

/* ---- vnets: vnet.c ---------------------------------------------------- */

struct ms_hook;
struct ms_ifnet;
struct ms_monitor;

/*
 * One virtual network stack: a host with a namespace of tuples of its own. Made
 * with the first descriptor that is opened in it, and stays until the vnet or
 * the module goes. A descriptor keeps the vnet, by the credentials in it.
 */
struct ms_vnet {
	struct ms_switch *sw;	    /* (c) owned */
	struct vnet *vnet;	    /* (c) */
	LIST_ENTRY(ms_vnet) list;   /* (n) */
	LIST_HEAD(, ms_ifnet) ifs;  /* (n) */
	struct ms_ifnet *local;	    /* (n) the one that frames between the
					host and ports go through: lo if that
					is attached, else the first */
	if_output_fn_t lo_next;	    /* (n) of lo, while we stand before it */
	LIST_HEAD(, ms_resv) resvs; /* ctl_lock of sw */
	unsigned int files;	    /* ms_attach_lock: open descriptors */
	struct ms_monitor *monitor; /* (n) while there are any */
};

/* Of the caller's vnet, made if need be; one descriptor more. EPERM in a jail
   that has none of its own; sleeps. Negative errno, as everywhere here. */
int ms_vnet_get_current(struct ms_vnet **out);
/* One descriptor less. Sleeps. */
void ms_vnet_put(struct ms_vnet *vn);
/* The current vnet's, or NULL. Read section, or ms_attach_lock. */
struct ms_vnet *ms_vnet_find(void);
/*
 * The end of the module: from true on no descriptor is open nor will be, no
 * interface is attached, and nobody has a pointer to a routine of ours. False:
 * something is in use, and descriptors can be opened again. Sleeps.
 */
bool ms_vnet_close(void);
void ms_vnet_deinit(void); /* after that */

/* ---- memory and read sections: ms_os_freebsd.c ------------------------- */

/* A port's region. */
struct ms_shm {
	vm_offset_t addr;	  /* (c) in the kernel's map, wired */
	vm_size_t bytes;	  /* (c) whole pages */
	struct vm_object *object; /* (c) counted: what a mapping maps */
};

/* For d_mmap_single: counted for the caller. */
struct vm_object *ms_shm_object(const struct ms_shm *shm);

void ms_read_init(void);
void ms_read_deinit(void);

/* ---- waiting: wait.c ------------------------------------------------------ */

struct ms_event { /* what a descriptor is polled for */
	struct selinfo sel;
	struct mtx lock;	 /* of sel's knotes */
	struct ms_waiter *first; /* (c) with num: whose rings it is about */
	unsigned int num;	 /* 0, then (c) */
};

/* What ms_kring.waiter points to; lives as long as the port's ms_file. */
struct ms_waiter {
	struct ms_event own;   /* of the ring's own descriptors */
	struct ms_event *all;  /* (c) of the port's */
	struct ms_kring *ring; /* (c) */
	struct ms_file *file;  /* (c) counted by each descriptor of the ring */
};

/* About no ring yet. */
void ms_event_init(struct ms_event *e);
/* About all rings of `port`, each of which gets a waiter. -ENOMEM. */
int ms_event_start(struct ms_event *all, struct ms_file *file,
		   struct ms_port *port);
/* In any state, with all its waiters. Nobody sends, receives or polls any more,
   but for those who polled once and did not come back. */
void ms_event_end(struct ms_event *all);
/* Those of the wanted POLL* that are so, POLLERR and POLLHUP; if none is, td
   will be woken. */
int ms_event_poll(struct ms_event *e, int wanted, struct thread *td);
int ms_event_kqfilter(struct ms_event *e, struct knote *kn);

/* ---- descriptors: file.c -------------------------------------------------- */

int ms_file_init(void);
void ms_file_deinit(void); /* none is open */

/* ---- who asks, and what they may have: cred.c ------------------------------- */

/* The caller of one command. On the stack of the call. */
struct ms_cred {
	struct thread *td; /* curthread */
	struct vnet *vnet; /* (c) the descriptor's; privileges of another are
			       none */
};
bool ms_cred_is_here(const struct ms_cred *cred);

/* What a user has, on all descriptors and in all vnets. */
struct ms_user;
/*
 * Counts one more port with rings of so many bytes for the caller. 0 with the
 * user counted, -ENOMEM, or -EDQUOT: more than the sysctls allow, and the
 * caller is not the system's administrator. Sleeps.
 */
int ms_user_charge(struct thread *td, uint64_t bytes, struct ms_user **out);
void ms_user_uncharge(struct ms_user *user, uint64_t bytes); /* NULL: fine */

/* ---- reservations: resv.c -------------------------------------------------- */

struct ms_addr { /* one that the host has */
	uint8_t addr[16];
	uint32_t zone; /* of a link-local one: the interface's number */
	uint8_t family;
};

/* vn has one more: wildcards claim it as well. ctl_lock held; sleeps. */
void ms_resv_addr(struct ms_vnet *vn, const struct ms_addr *a);

/* ---- what the system knows: monitor.c, route.c ------------------------------- */

void ms_monitor_init(void); /* event handlers */
void ms_monitor_deinit(void);
/* vn->monitor: the switch learns the vnet's addresses, and follows them until
   the second. The caller is in that vnet, and holds ms_attach_lock. The first:
   -ENOMEM, or those of socreate(9). Sleep. */
int ms_monitor_start(struct ms_vnet *vn);
void ms_monitor_stop(struct ms_vnet *vn);
/* All addresses of the vnet, as the switch knows them. A descriptor is open;
   ctl_lock held. */
const struct ms_addr *ms_monitor_addrs(const struct ms_vnet *vn, size_t *num);
/* ms_nic_ops.route, from the kernel's tables, for frames out of mi->ifp;
   resolves the neighbour, for some milliseconds at most, else
   MS_ROUTE_PENDING. No lock held; sleeps. */
int ms_route(struct ms_nic *nic, struct ms_cmd_route *r);

/* ---- attachments: ifnet.c ------------------------------------------------------ */

struct ms_rxq; /* rx.c's: what belongs to whoever receives on a processor */
struct ms_txq; /* tx.c's: what waits to be sent */

struct ms_ifnet {		   /* one attached interface */
	struct ms_vnet *vn;	   /* (c) */
	if_t ifp;		   /* (c) counted until destroyed */
	struct ms_nic *nic;	   /* (c) owned */
	LIST_ENTRY(ms_ifnet) list; /* (n) */
	struct ms_rxq *rxq;	   /* (c) owned, one a queue; rx.c's */
	struct ms_txq *txq;	   /* (c) owned, one a queue; tx.c's */
	bool gone;		   /* once() no frame is to be sent any more */
};

extern const struct ms_nic_ops ms_ifnet_ops; /* ifnet.c */

/* Queues of an attachment's nic: one a processor. */
static inline unsigned int
ms_num_queues(void)
{
	return (unsigned int)mp_maxid + 1;
}

/*
 * MS_CMD_ATTACH and DETACH; *arg is size-checked. Kinds: "" and "if_input". No
 * options. -EPERM, -ENODEV, -EEXIST (attached already), -EBUSY (open ports,
 * without MS_ATTACH_FORCE; or somebody has put his input routine over ours),
 * -ENETDOWN, -EINVAL, -EOPNOTSUPP (no Ethernet header). Sleep.
 */
int ms_ifnet_attach(struct ms_vnet *vn, const struct ms_cred *cred,
		    const struct ms_cmd_attach *arg);
int ms_ifnet_detach(struct ms_vnet *vn, const struct ms_cred *cred,
		    const struct ms_cmd_attach *arg);
/* The vnet goes, or the module. ms_attach_lock held; sleeps. */
void ms_ifnet_detach_all(struct ms_vnet *vn);
/* MTU and MAC as they are now. ms_attach_lock held; sleeps. */
void ms_ifnet_refresh(struct ms_vnet *vn);
/* Follows interfaces that go away, get another name, MAC or vnet. */
void ms_ifnet_init(void);
void ms_ifnet_deinit(void);

/* ---- hooks: hook.c ---------------------------------------------------------------- */

/*
 * An interface's input routine is a chain: each saves the one that it replaces
 * and hands it what it does not want. Ours comes and goes at the end only; a
 * place that cannot be left, because somebody stands before it, stays, and
 * hands on all.
 */

/* Frames of ifp are shown to mi from now on. -EBUSY, -ENOMEM. ms_attach_lock
   held; sleeps. */
int ms_hook_set(if_t ifp, struct ms_ifnet *mi);
/* No more. Nobody who has mi from here uses it, on return. Held as above. */
void ms_hook_clear(if_t ifp);
/* Whether no chain has a place of ours any more. Held as above. */
bool ms_hook_none(void);
/* Afterwards no processor is in a call that a hook made, nor will one be: all
   hooks are gone. Sleeps. */
void ms_hook_drain(void);
/* The attachment of an interface, or NULL. Read section. */
struct ms_ifnet *ms_hook_ifnet(const struct ifnet *ifp);
void ms_hook_init(void);
void ms_hook_deinit(void);
/* First and last in each routine that stands in such a chain, around all that
   it calls. */
void ms_hook_enter(void);
void ms_hook_exit(void);

/* ---- lists of mbufs: tx_mbuf.c ------------------------------------------------------ */

struct ms_mbufs { /* a list by m_nextpkt */
	struct mbuf *first, **lastp;
	uint32_t num;
};

static inline void
ms_mbufs_init(struct ms_mbufs *l)
{
	l->first = NULL;
	l->lastp = &l->first;
	l->num = 0;
}

static inline void
ms_mbufs_append(struct ms_mbufs *l, struct mbuf *m)
{
	m->m_nextpkt = NULL;
	*l->lastp = m;
	l->lastp = &m->m_nextpkt;
	l->num++;
}

static inline struct mbuf *
ms_mbufs_pop(struct ms_mbufs *l)
{
	struct mbuf *m = l->first;

	if (m == NULL)
		return NULL;
	l->first = m->m_nextpkt;
	if (l->first == NULL)
		l->lastp = &l->first;
	l->num--;
	m->m_nextpkt = NULL;
	return m;
}

void ms_mbufs_free(struct ms_mbufs *l);
/* All of `from` behind `to`. */
void ms_mbufs_join(struct ms_mbufs *to, struct ms_mbufs *from);

/* ---- receive: rx.c ------------------------------------------------------------------ */

/* mi->rxq; nic is not there yet. -ENOMEM */
int ms_rx_create(struct ms_ifnet *mi);
void ms_rx_destroy(struct ms_ifnet *mi); /* nobody receives any more */
/* Adds what rx.c has counted itself. Any context. */
void ms_rx_stats(struct ms_ifnet *mi, uint64_t counter[MS_CTR_MAX]);
/*
 * Shows the switch a list of frames as a driver hands them in. Those that it
 * took are appended to `taken`, for the caller to free outside of the read
 * section; returns the rest in order, or NULL. Read section.
 */
struct mbuf *ms_rx_list(struct ms_ifnet *mi, struct mbuf *m,
			struct ms_mbufs *taken);
/* Shows it an IP packet of the host's own, without a link header, that may
   still want its checksums. Borrows m. True: taken; the caller frees. Read
   section. */
bool ms_rx_packet(struct ms_ifnet *mi, const struct mbuf *m, int family);

/* ---- the host's own stack: local.c --------------------------------------------------- */

/* lo's output is ours as long as the vnet has an attachment, so that the host
   reaches ports. Current vnet is vn's; ms_attach_lock held. The second: false
   if somebody stands before us there; then it hands on all. */
void ms_local_start(struct ms_vnet *vn);
bool ms_local_stop(struct ms_vnet *vn);
/* Hands m, a whole frame, to the host as received on lo. Takes m. Any context
   that may take the stack's locks; no read section. */
void ms_local_input(if_t ifp, struct mbuf *m);

/* ---- transmit: tx.c, tx_mbuf.c ---------------------------------------------------------- */

int ms_tx_create(struct ms_ifnet *mi); /* mi->txq; nic is not there yet */
/* Nothing of mi is sent any more; what waits is freed. The nic is stopped (no
   ring is scheduled, mi->gone is set) and readers are gone; sleeps. */
void ms_tx_destroy(struct ms_ifnet *mi);
/* ms_nic_ops.room, .xmit and .to_host */
uint32_t ms_tx_room(struct ms_nic *nic, unsigned int q);
uint32_t ms_tx_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
		    uint32_t n, bool more);
uint32_t ms_tx_to_host(struct ms_nic *nic, unsigned int q,
		       struct ms_frame *frames, uint32_t n);
/* Adds what tx.c has counted itself. Any context. */
void ms_tx_stats(struct ms_ifnet *mi, uint64_t counter[MS_CTR_MAX]);
/*
 * MS_CMD_SYNC of a transmit ring: puts it on its scheduler's list and runs
 * that, for this ring's and others' frames, within a budget; what is left then
 * a task goes on with. No lock held; sleeps between rounds. 0, or -ENETDOWN
 * when the interface is gone.
 */
int ms_tx_sync(struct ms_kring *ring);

/*
 * Appends the mbufs that make up a frame: one, or one for each segment where
 * `hwassist` (CSUM_*) says that whoever gets them cannot segment. Checksums
 * that he cannot finish are finished. tso_max: bytes of a frame that he can
 * segment. Payload is copied once. False: nothing was appended; *why: a drop
 * counter. Packet context.
 */
bool ms_tx_mbufs(struct ms_mbufs *l, const struct ms_frame *f,
		 uint64_t hwassist, uint32_t tso_max, enum ms_counter *why);

#endif /* MS_FREEBSD_H */
