/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * monitor.c: keeps a switch's idea of its host true: the addresses of the vnet,
 * and when routes have to be asked again.
 *
 * What changes is told by a routing socket, as route(4) programs have it, and
 * neighbours and MAC addresses by event handlers. None of them may sleep. All
 * they do is to note what has to be looked at and to start the vnet's task,
 * which does it once for all that came within some milliseconds.
 */
#include "ms_freebsd.h"

#include <sys/kernel.h>
#include <sys/libkern.h>
#include <sys/proc.h>
#include <sys/uio.h>

#define GATHER_MS 10	/* changes */
#define RETRY_MS 1000	/* what found no memory, or an address not ready */
#define MESSAGES_MAX 64 /* read without a look at anything else */

#define TODO_ADDRS 1  /* the addresses are to be looked at */
#define TODO_LINKS 2  /* names, MTU and MAC addresses */
#define TODO_ROUTES 4 /* all interfaces' route_gen has to move */
#define TODO_ALL (TODO_ADDRS | TODO_LINKS | TODO_ROUTES)

struct ms_monitor {
	struct ms_vnet *vn; /* (c) */
	struct socket *so;  /* (c) owned */
	struct timeout_task work;
	u_int todo;	       /* atomic: TODO_* */
	u_int armed;	       /* atomic: 1: the work will be done; 2: soon */
	bool stopping;	       /* once() */
	struct ms_addr *addrs; /* ctl_lock: sorted, none twice; what the
				     table has been told */
	size_t num;	       /* ctl_lock */
};

/* Any context that does not sleep. What is wanted soon does not wait for what
   may take longer. */
static void
monitor_want(struct ms_monitor *m, u_int what, int ms)
{
	u_int haste = ms <= GATHER_MS ? 2 : 1, old;

	atomic_set_int(&m->todo, what);
	do {
		old = ms_os_load_once(&m->armed);
		if (old >= haste || ms_os_load_acquire(&m->stopping))
			return;
	} while (!atomic_cmpset_int(&m->armed, old, haste));
	(void)taskqueue_enqueue_timeout(ms_tasks, &m->work,
					MAX(1, ms * hz / 1000));
}

/* ---- addresses ------------------------------------------------------------ */

struct addr_list {
	struct ms_addr *a; /* room for cap */
	size_t cap, num;
	if_t ifp;	/* whose it is */
	bool tentative; /* some were left out that may come yet */
};

static int
addr_cmp(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct ms_addr));
}

static void
addr_put(struct addr_list *l, uint8_t family, const void *addr, uint32_t zone)
{
	struct ms_addr *a;

	if (l->num++ >= l->cap)
		return;
	a = &l->a[l->num - 1];
	memset(a, 0, sizeof(*a));
	memcpy(a->addr, addr, family == 4 ? 4 : 16);
	a->family = family;
	a->zone = zone;
}

static void
addr_read4(const struct ifaddr *ifa, void *arg)
{
	const struct sockaddr_in *in = (const void *)ifa->ifa_addr;

	addr_put(arg, 4, &in->sin_addr, 0);
}

/* An address that may still prove to be another host's is none of ours. */
static void
addr_read6(const struct ifaddr *ifa, void *arg)
{
	const struct in6_ifaddr *ia = (const void *)ifa;
	struct in6_addr a6 = ia->ia_addr.sin6_addr;
	struct addr_list *l = arg;
	uint32_t zone = 0;

	if ((ia->ia6_flags & IN6_IFF_NOTREADY) != 0) {
		l->tentative |= (ia->ia6_flags & IN6_IFF_TENTATIVE) != 0;
		return;
	}
	if (IN6_IS_ADDR_LINKLOCAL(&a6)) {
		zone = (uint32_t)if_getindex(l->ifp);
		(void)in6_clearscope(&a6);
	}
	addr_put(l, 6, &a6, zone);
}

static void
addrs_read(if_t ifp, void *arg)
{
	struct addr_list *l = arg;

	l->ifp = ifp;
	ms_ifa_foreach(ifp, AF_INET, addr_read4, l);
	ms_ifa_foreach(ifp, AF_INET6, addr_read6, l);
}

/* Sorted, each once; l->a is owned by the caller. */
static void
addrs_get(struct addr_list *l)
{
	size_t i, kept = 0;

	memset(l, 0, sizeof(*l));
	do {
		free(l->a, M_MULTISTACK);
		l->cap = l->num + 16;
		l->num = 0;
		l->tentative = false;
		l->a = malloc(l->cap * sizeof(*l->a), M_MULTISTACK, M_WAITOK);
		ms_if_foreach(addrs_read, l);
	} while (l->num > l->cap);
	qsort(l->a, l->num, sizeof(*l->a), addr_cmp);
	for (i = 0; i < l->num; i++)
		if (kept == 0 || addr_cmp(&l->a[kept - 1], &l->a[i]) != 0)
			l->a[kept++] = l->a[i];
	l->num = kept;
}

static int
addr_came(struct ms_monitor *m, const struct ms_addr *a)
{
	int err = ms_table_addr_add(m->vn->sw->table, a->addr, a->family);

	if (err == 0)
		ms_resv_addr(m->vn, a);
	return err;
}

/*
 * The table learns what came and what went; now: what there is. True: some that
 * came are missing for want of memory, and not noted as known. The vnet is
 * current; sleeps.
 */
static bool
addrs_apply(struct ms_monitor *m, struct addr_list *now)
{
	struct ms_table *table = m->vn->sw->table;
	struct ms_addr *old = m->addrs;
	size_t i = 0, j = 0, kept = 0;
	bool missing = false;
	int c;

	while (i < m->num || j < now->num) {
		c = i == m->num	    ? 1
		    : j == now->num ? -1
				    : addr_cmp(&old[i], &now->a[j]);
		if (c < 0) {
			ms_table_addr_del(table, old[i].addr, old[i].family);
		} else if (c > 0 && addr_came(m, &now->a[j]) != 0) {
			missing = true;
			j++;
			continue;
		}
		if (c != 0)
			atomic_set_int(&m->todo, TODO_ROUTES);
		i += c <= 0;
		if (c >= 0)
			now->a[kept++] = now->a[j++];
	}
	now->num = kept;
	m->addrs = now->a;
	m->num = kept;
	free(old, M_MULTISTACK);
	return missing;
}

/* True: has to be done again soon. */
static bool
addrs_sync(struct ms_monitor *m)
{
	struct addr_list now;
	bool again;

	addrs_get(&now);
	ms_mutex_lock(&m->vn->sw->ctl_lock);
	again = addrs_apply(m, &now);
	ms_mutex_unlock(&m->vn->sw->ctl_lock);
	return again || now.tentative;
}

const struct ms_addr *
ms_monitor_addrs(const struct ms_vnet *vn, size_t *num)
{
	*num = vn->monitor->num;
	return vn->monitor->addrs;
}

/* ---- the routing socket ----------------------------------------------------- */

/* The start of every message. */
struct message {
	uint16_t bytes;
	uint8_t version;
	uint8_t type;
};

static u_int
message_todo(uint8_t type)
{
	switch (type) {
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return TODO_ADDRS | TODO_ROUTES;
	case RTM_IFINFO:
	case RTM_IFANNOUNCE:
		return TODO_LINKS | TODO_ADDRS | TODO_ROUTES;
	case RTM_ADD:
	case RTM_DELETE:
	case RTM_CHANGE:
	case RTM_REDIRECT:
		return TODO_ROUTES;
	default:
		return 0;
	}
}

/* Reads what has come. When some of it was lost, all may have changed; it is
   not always said, but before it is the buffer is full. */
static u_int
messages_read(struct ms_monitor *m)
{
	unsigned int left = MESSAGES_MAX, bytes = 0;
	struct message msg;
	struct mbuf *data;
	struct uio uio;
	u_int todo = 0;
	int error, flags;

	while (left-- > 0) {
		memset(&uio, 0, sizeof(uio));
		uio.uio_resid = 65536;
		uio.uio_rw = UIO_READ;
		uio.uio_td = curthread;
		flags = MSG_DONTWAIT;
		data = NULL;
		error = soreceive(m->so, NULL, &uio, &data, NULL, &flags);
		if (error == EWOULDBLOCK || (error == 0 && data == NULL))
			return bytes > m->so->so_rcv.sb_hiwat / 2 ? TODO_ALL
								  : todo;
		if (error != 0 || m_length(data, NULL) < sizeof(msg)) {
			todo |= TODO_ALL;
		} else {
			m_copydata(data, 0, sizeof(msg), (caddr_t)&msg);
			todo |= message_todo(msg.type);
			bytes += m_length(data, NULL);
		}
		m_freem(data);
	}
	monitor_want(m, TODO_ALL, GATHER_MS);
	return todo;
}

/* The socket's buffer is locked. */
static int
on_message(struct socket *so, void *arg, int waitflag)
{
	monitor_want(arg, 0, GATHER_MS);
	return SU_OK;
}

/* ---- the work ----------------------------------------------------------------- */

static void
nics_moved(struct ms_monitor *m)
{
	struct ms_nic *nic;

	ms_mutex_lock(&m->vn->sw->ctl_lock);
	for (nic = m->vn->sw->nics; nic != NULL; nic = nic->next)
		ms_nic_moved(nic);
	ms_mutex_unlock(&m->vn->sw->ctl_lock);
}

/* Who stops us holds the lock, and waits. */
static bool
links_look(struct ms_monitor *m)
{
	if (!sx_try_xlock(&ms_attach_lock))
		return false;
	ms_ifnet_refresh(m->vn);
	sx_xunlock(&ms_attach_lock);
	return true;
}

static void
monitor_work(void *arg, int pending)
{
	struct ms_monitor *m = arg;
	u_int todo;

	atomic_store_rel_int(&m->armed, 0);
	if (ms_os_load_acquire(&m->stopping))
		return;
	CURVNET_SET(m->vn->vnet);
	todo = atomic_readandclear_int(&m->todo) | messages_read(m);
	if ((todo & TODO_LINKS) != 0 && !links_look(m))
		monitor_want(m, TODO_LINKS, GATHER_MS);
	if ((todo & TODO_ADDRS) != 0 && addrs_sync(m))
		monitor_want(m, TODO_ADDRS, RETRY_MS);
	if (((todo | m->todo) & TODO_ROUTES) != 0) {
		atomic_clear_int(&m->todo, TODO_ROUTES);
		nics_moved(m);
	}
	CURVNET_RESTORE();
}

/* ---- events of all vnets -------------------------------------------------------- */

static void
ifp_changed(if_t ifp, u_int what)
{
	struct ms_monitor *m;
	struct ms_vnet *vn;
	struct ms_read r;

	CURVNET_SET_QUIET(if_getvnet(ifp));
	ms_os_read_enter(&r);
	vn = ms_vnet_find();
	m = vn != NULL ? ms_os_load_acquire(&vn->monitor) : NULL;
	if (m != NULL)
		monitor_want(m, what, GATHER_MS);
	ms_os_read_exit(&r);
	CURVNET_RESTORE();
}

/* Of an attached interface. The entry is locked. */
static void
on_neighbour(void *arg, struct llentry *lle, int event)
{
	if_t ifp = ms_lle_ifp(lle);
	struct ms_read r;
	bool ours;

	ms_os_read_enter(&r);
	ours = ms_hook_ifnet(ifp) != NULL;
	ms_os_read_exit(&r);
	if (ours)
		ifp_changed(ifp, TODO_ROUTES);
}

static void
on_lladdr(void *arg, if_t ifp)
{
	ifp_changed(ifp, TODO_LINKS | TODO_ROUTES);
}

static eventhandler_tag neighbour_tag, lladdr_tag;

void
ms_monitor_init(void)
{
	neighbour_tag = EVENTHANDLER_REGISTER(lle_event, on_neighbour, NULL,
					      EVENTHANDLER_PRI_ANY);
	lladdr_tag = EVENTHANDLER_REGISTER(iflladdr_event, on_lladdr, NULL,
					   EVENTHANDLER_PRI_ANY);
}

/* Waits for those that are under way. */
void
ms_monitor_deinit(void)
{
	EVENTHANDLER_DEREGISTER(lle_event, neighbour_tag);
	EVENTHANDLER_DEREGISTER(iflladdr_event, lladdr_tag);
}

/* ---- begin and end -------------------------------------------------------------- */

int
ms_monitor_start(struct ms_vnet *vn)
{
	struct thread *td = curthread;
	struct ms_monitor *m;
	int error;

	m = malloc(sizeof(*m), M_MULTISTACK, M_WAITOK | M_ZERO);
	m->vn = vn;
	TIMEOUT_TASK_INIT(ms_tasks, &m->work, 0, monitor_work, m);
	error = socreate(PF_ROUTE, &m->so, SOCK_RAW, 0, td->td_ucred, td);
	if (error != 0) {
		free(m, M_MULTISTACK);
		return -error;
	}
	SOCKBUF_LOCK(&m->so->so_rcv);
	soupcall_set(m->so, SO_RCV, on_message, m);
	SOCKBUF_UNLOCK(&m->so->so_rcv);
	ms_os_store_release(&vn->monitor, m);
	if (addrs_sync(m))
		monitor_want(m, TODO_ADDRS, RETRY_MS);
	return 0;
}

void
ms_monitor_stop(struct ms_vnet *vn)
{
	struct ms_monitor *m = vn->monitor;
	struct addr_list none;

	ms_os_store_release(&vn->monitor, NULL);
	ms_os_store_release(&m->stopping, true);
	ms_os_read_sync(); /* event handlers that found it */
	SOCKBUF_LOCK(&m->so->so_rcv);
	soupcall_clear(m->so, SO_RCV);
	SOCKBUF_UNLOCK(&m->so->so_rcv);
	while (taskqueue_cancel_timeout(ms_tasks, &m->work, NULL) != 0)
		taskqueue_drain_timeout(ms_tasks, &m->work);
	(void)soclose(m->so);
	memset(&none, 0, sizeof(none));
	ms_mutex_lock(&vn->sw->ctl_lock);
	(void)addrs_apply(m, &none);
	ms_mutex_unlock(&vn->sw->ctl_lock);
	free(m, M_MULTISTACK);
}
