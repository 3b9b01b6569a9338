// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * ms_os_linux.c: memory, read sections, time and chance for the core.
 *
 * The rest of ms_os.h (ms_os_wake, ms_os_resv_*, ms_os_cred_*) needs the
 * module's device, sockets and credentials, and is theirs.
 */
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "ms_os.h"

struct ms_shm {
	void *addr; /* of vmalloc_user(): ready for remap_vmalloc_range() */
	size_t bytes;
};

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

void *
ms_os_shm_create(size_t bytes, struct ms_shm **shm)
{
	struct ms_shm *s;

	s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	if (s == NULL)
		return NULL;
	s->bytes = PAGE_ALIGN(bytes);
	s->addr = vmalloc_user(s->bytes);
	if (s->addr == NULL) {
		kfree(s);
		return NULL;
	}
	*shm = s;
	return s->addr;
}

void
ms_os_shm_destroy(struct ms_shm *shm)
{
	if (shm == NULL)
		return;
	vfree(shm->addr);
	kfree(shm);
}

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

void
ms_os_read_sync(void)
{
	synchronize_rcu();
}

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
