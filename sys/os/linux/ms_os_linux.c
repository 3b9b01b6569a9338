// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * ms_os_linux.c: memory, read sections, wake-ups, time and chance for the core.
 * Reservations are resv.c's, credentials cred.c's.
 */
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "ms_linux.h"

/* ---- memory --------------------------------------------------------------- */

/*
 * What a caller makes us keep is charged to its memory cgroup. Sizes that are
 * powers of two are aligned to themselves by kmalloc(), also with slab
 * debugging, so every block starts on a cache line of its own.
 */
void *
ms_os_alloc(size_t bytes)
{
	if (bytes > INT_MAX)
		return NULL;
	if (bytes <= PAGE_SIZE)
		bytes = roundup_pow_of_two(
		    max_t(size_t, bytes, SMP_CACHE_BYTES));
	return kvzalloc(bytes, GFP_KERNEL_ACCOUNT);
}

void
ms_os_free(void *p)
{
	kvfree(p);
}

/* ---- regions -------------------------------------------------------------- */

/* For so many pages the machine must not be driven out of memory: whoever asks
   for too much gets none. */
#define PAGE_FLAGS                                                             \
	(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN | __GFP_RETRY_MAYFAIL)
/* For pages in a row nobody else's are moved. */
#define ROW_FLAGS                                                              \
	(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN | __GFP_NORETRY)
#define ROW_ORDER_MAX 10

/*
 * Where they are to be had, a region's pages lie in a row, and we reach them by
 * the kernel's own large mappings: what many ports' packets cost is TLB misses
 * else. KASAN sees no end of a region there, but does see vmap()'s.
 */
static bool
pages_in_a_row(struct ms_shm *s, unsigned long num)
{
	unsigned int order = get_order(num << PAGE_SHIFT);
	struct page *page;
	unsigned long i;

	if (IS_ENABLED(CONFIG_KASAN) || order > ROW_ORDER_MAX)
		return false;
	page = alloc_pages(ROW_FLAGS, order);
	if (page == NULL)
		return false;
	split_page(page, order);
	for (i = 0; i < num; i++)
		s->pages[i] = page + i;
	for (; i < 1ul << order; i++)
		__free_page(page + i);
	s->num = num;
	return true;
}

/* One by one. */
static int
pages_alloc(struct ms_shm *s, unsigned long num)
{
	while (s->num < num) {
		if (fatal_signal_pending(current))
			return -EINTR;
		s->pages[s->num] = alloc_page(PAGE_FLAGS);
		if (s->pages[s->num] == NULL)
			return -ENOMEM;
		s->num++;
		cond_resched();
	}
	return 0;
}

static struct ms_shm *
shm_create(size_t bytes)
{
	unsigned long num = DIV_ROUND_UP(bytes, PAGE_SIZE);
	struct ms_shm *s;

	if (num > INT_MAX / sizeof(*s->pages) || num > si_mem_available())
		return NULL;
	s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	if (s == NULL)
		return NULL;
	s->pages = kvcalloc(num, sizeof(*s->pages), GFP_KERNEL_ACCOUNT);
	if (s->pages != NULL && pages_in_a_row(s, num)) {
		s->addr = page_address(s->pages[0]);
		return s;
	}
	if (s->pages != NULL && pages_alloc(s, num) == 0)
		s->addr = vmap(s->pages, s->num, VM_MAP, PAGE_KERNEL);
	if (s->addr == NULL) {
		ms_os_shm_destroy(s);
		return NULL;
	}
	return s;
}

static DEFINE_SPINLOCK(parked_lock);
static LIST_HEAD(parked);

void
ms_shm_park(struct ms_shm_park *p, size_t bytes)
{
	p->task = current;
	p->shm = shm_create(bytes);
	spin_lock(&parked_lock);
	list_add(&p->list, &parked);
	spin_unlock(&parked_lock);
}

void
ms_shm_unpark(struct ms_shm_park *p)
{
	spin_lock(&parked_lock);
	list_del(&p->list);
	spin_unlock(&parked_lock);
	ms_os_shm_destroy(p->shm);
}

void *
ms_os_shm_create(size_t bytes, struct ms_shm **shm)
{
	struct ms_shm *s = NULL;
	struct ms_shm_park *p;

	spin_lock(&parked_lock);
	list_for_each_entry(p, &parked, list)
	{
		if (p->task != current || p->shm == NULL ||
		    p->shm->num < DIV_ROUND_UP(bytes, PAGE_SIZE))
			continue;
		s = p->shm;
		p->shm = NULL;
		break;
	}
	spin_unlock(&parked_lock);
	*shm = s;
	return s != NULL ? s->addr : NULL;
}

void
ms_os_shm_destroy(struct ms_shm *shm)
{
	unsigned long i;

	if (shm == NULL)
		return;
	if (is_vmalloc_addr(shm->addr))
		vunmap(shm->addr);
	for (i = 0; i < shm->num; i++) {
		__free_page(shm->pages[i]);
		cond_resched();
	}
	kvfree(shm->pages);
	kfree(shm);
}

int
ms_shm_mmap(const struct ms_shm *shm, struct vm_area_struct *vma)
{
	return vm_map_pages_zero(vma, shm->pages, shm->num);
}

/* ---- read sections -------------------------------------------------------- */

void
ms_os_read_enter(struct ms_read *r) __acquires(RCU)
{
	rcu_read_lock();
}

void
ms_os_read_exit(struct ms_read *r) __releases(RCU)
{
	rcu_read_unlock();
}

/* The caller holds ctl_lock, and others wait for that: each unbind and close
   would else cost milliseconds. */
void
ms_os_read_sync(void)
{
	synchronize_rcu_expedited();
}

/* ---- wake-ups ------------------------------------------------------------- */

/* The core's fence is between the tail and here; that of wq_has_sleeper()
   between port->nic and here. They pair with those of file.c's polls. */
void
ms_os_wake(struct ms_kring *ring)
{
	struct ms_waiter *w;
	__poll_t events;

	rcu_read_lock();
	w = ms_os_load_acquire(&ring->waiter);
	if (w == NULL)
		goto out;
	events = w->events;
	if (ms_os_load_acquire(&ring->port->nic) == NULL)
		events |= EPOLLERR | EPOLLHUP;
	if (wq_has_sleeper(&w->wait))
		wake_up_interruptible_sync_poll(&w->wait, events);
	if (wq_has_sleeper(w->port_wait))
		wake_up_interruptible_sync_poll(w->port_wait, events);
out:
	rcu_read_unlock();
}

/* ---- time and chance ------------------------------------------------------ */

uint64_t
ms_os_now_ns(void)
{
	return ktime_get_ns();
}

void
ms_os_sleep_us(unsigned int us)
{
	fsleep(us);
}

void
ms_os_random(void *buf, size_t bytes)
{
	get_random_bytes(buf, bytes);
}
