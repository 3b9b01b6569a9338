/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * hook.c: our place among those who want an interface's input.
 *
 * There is one pointer, if_input, and a custom: whoever wants the frames saves
 * it, puts his own routine there, and calls what he saved. netmap(4) in
 * emulated mode does so, and others. Nobody says so to anybody. So we look:
 *
 *   if_input is ours     we are the first, and can leave
 *   it is what we saved  who came before us has left, and has taken us out
 *   else                 somebody stands before us and calls us: we stay, and
 *                        hand on all, until one of the above is so
 *
 * And vlan(4) gives a new interface the routine that its parent has just then:
 * so ours may stand in interfaces that we never put it into. Those get what was
 * there when we came.
 */
#include "ms_freebsd.h"

#include <sys/counter.h>
#include <sys/pcpu.h>
#include <sys/proc.h>
#include <sys/sched.h>

#include <net/bpf.h>

#define HASH 64 /* a power of two */

struct ms_hook {
	if_t ifp;	      /* (c) counted */
	if_input_fn_t next;   /* (c) what we saved */
	struct ms_ifnet *mi;  /* (n) NULL: hands on all */
	struct ms_hook *link; /* (n) */
};

static struct ms_hook *hooks[HASH]; /* (n) */
static counter_u64_t calls;	    /* under way */
static if_input_fn_t base;	    /* (n) what our first hook saved */

void
ms_hook_enter(void)
{
	counter_u64_add(calls, 1);
}

void
ms_hook_exit(void)
{
	counter_u64_add(calls, -1);
}

/* ---- in the chain ----------------------------------------------------------- */

static struct ms_hook **
bucket(const struct ifnet *ifp)
{
	return &hooks[((uintptr_t)ifp >> 8) % HASH];
}

/* Read section, or ms_attach_lock. */
static struct ms_hook *
hook_find(const struct ifnet *ifp)
{
	struct ms_hook *h;

	for (h = ms_os_load_acquire(bucket(ifp)); h != NULL;
	     h = ms_os_load_acquire(&h->link))
		if (h->ifp == ifp)
			return h;
	return NULL;
}

struct ms_ifnet *
ms_hook_ifnet(const struct ifnet *ifp)
{
	struct ms_hook *h = hook_find(ifp);

	return h != NULL ? ms_os_load_acquire(&h->mi) : NULL;
}

/* Frames that were taken: what the interface's input would have counted, and
   shown to packet filters. */
static void
taken_done(if_t ifp, struct ms_mbufs *taken)
{
	struct mbuf *m;

	while ((m = ms_mbufs_pop(taken)) != NULL) {
		ETHER_BPF_MTAP(ifp, m);
		if ((if_getcapenable(ifp) & IFCAP_HWSTATS) == 0)
			if_inc_counter(ifp, IFCOUNTER_IBYTES, m->m_pkthdr.len);
		m_freem(m);
	}
}

static void
hook_input(struct ifnet *ifp, struct mbuf *m)
{
	struct ms_ifnet *mi = NULL;
	if_input_fn_t next = NULL;
	struct ms_mbufs taken;
	struct ms_hook *h;
	struct ms_read r;

	ms_hook_enter();
	ms_mbufs_init(&taken);
	ms_os_read_enter(&r);
	h = hook_find(ifp);
	if (h != NULL) {
		next = h->next;
		mi = ms_os_load_acquire(&h->mi);
	}
	if (mi != NULL && (if_getflags(ifp) & (IFF_UP | IFF_MONITOR)) == IFF_UP)
		m = ms_rx_list(mi, m, &taken);
	ms_os_read_exit(&r);
	taken_done(ifp, &taken);
	/* Called by who read the pointer just before we left, or whose parent
	   we stand in. */
	if (next == NULL)
		next = if_getinputfn(ifp);
	if (next == hook_input)
		next = ms_os_load_once(&base);
	if (m != NULL)
		next(ifp, m);
	ms_hook_exit();
}

/* ---- coming and going; ms_attach_lock held ------------------------------------ */

static void
hook_unlink(struct ms_hook *h)
{
	struct ms_hook **p = bucket(h->ifp);

	while (*p != h)
		p = &(*p)->link;
	ms_os_store_release(p, h->link);
}

static void
hook_free(struct ms_hook *h)
{
	if_rele(h->ifp);
	free(h, M_MULTISTACK);
}

static void
heir_clean(if_t ifp, void *arg)
{
	if (if_getinputfn(ifp) == hook_input && hook_find(ifp) == NULL)
		if_setinputfn(ifp, base);
}

/* No interface has our routine from another, in any vnet. */
static void
heirs_clean(void)
{
	VNET_ITERATOR_DECL(vnet);

	VNET_LIST_RLOCK();
	VNET_FOREACH(vnet)
	{
		CURVNET_SET_QUIET(vnet);
		ms_if_foreach(heir_clean, NULL);
		CURVNET_RESTORE();
	}
	VNET_LIST_RUNLOCK();
}

/* Out of the chain, if that can be. */
static bool
hook_leave(struct ms_hook *h)
{
	if_input_fn_t now = if_getinputfn(h->ifp);

	if (now == hook_input)
		if_setinputfn(h->ifp, h->next);
	else if (now != h->next && !ms_if_dead(h->ifp))
		return false;
	hook_unlink(h);
	heirs_clean();
	return true;
}

int
ms_hook_set(if_t ifp, struct ms_ifnet *mi)
{
	if_input_fn_t now = if_getinputfn(ifp);
	struct ms_hook *h = hook_find(ifp);

	if (h != NULL) {
		if (now != hook_input && now != h->next)
			return -EBUSY;
		ms_os_store_release(&h->mi, mi);
		if_setinputfn(ifp, hook_input);
		return 0;
	}
	if (now == hook_input)
		now = base;
	else if (base == NULL)
		ms_os_store_once(&base, now);
	h = malloc(sizeof(*h), M_MULTISTACK, M_WAITOK | M_ZERO);
	if_ref(ifp);
	h->ifp = ifp;
	h->next = now;
	h->mi = mi;
	h->link = *bucket(ifp);
	ms_os_store_release(bucket(ifp), h);
	if_setinputfn(ifp, hook_input);
	return 0;
}

void
ms_hook_clear(if_t ifp)
{
	struct ms_hook *h = hook_find(ifp);
	bool left;

	if (h == NULL)
		return;
	ms_os_store_release(&h->mi, NULL);
	left = hook_leave(h);
	ms_os_read_sync();
	if (left)
		hook_free(h);
}

bool
ms_hook_none(void)
{
	struct ms_hook *h, *link;
	unsigned int i;
	bool none = true;

	for (i = 0; i < HASH; i++) {
		for (h = hooks[i]; h != NULL; h = link) {
			link = h->link;
			if (h->mi != NULL || !hook_leave(h)) {
				none = false;
				continue;
			}
			ms_os_read_sync();
			hook_free(h);
		}
	}
	return none;
}

/*
 * Threads that were about to run, or were interrupted, have run: of each
 * processor, its idle thread has; or, where there is no rest, all the others
 * have had some time slices for it.
 */
static void
quiesce(void)
{
	struct thread *idle;
	u_int cpu, gen;
	int left;

	CPU_FOREACH(cpu)
	{
		thread_lock(curthread);
		sched_bind(curthread, (int)cpu);
		thread_unlock(curthread);
		idle = pcpu_find(cpu)->pc_idlethread;
		gen = idle->td_generation;
		left = MAX(1, hz / 4);
		for (; left > 0 && gen == idle->td_generation; left--)
			pause("msquiet", 1);
	}
	thread_lock(curthread);
	sched_unbind(curthread);
	thread_unlock(curthread);
}

/*
 * A routine may be called by who read the pointer before it was restored, and
 * is still running after its last word. Such a thread does not sleep there, but
 * it may have lost its processor.
 */
void
ms_hook_drain(void)
{
	quiesce();
	heirs_clean(); /* who was about to inherit has done so */
	while (counter_u64_fetch(calls) != 0)
		pause("msdrain", 1);
	quiesce();
}

void
ms_hook_init(void)
{
	calls = counter_u64_alloc(M_WAITOK);
}

void
ms_hook_deinit(void)
{
	counter_u64_free(calls);
}
