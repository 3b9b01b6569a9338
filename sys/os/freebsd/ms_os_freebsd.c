/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_os_freebsd.c: memory, read sections, time and chance for the core. Wake-
 * ups are file.c's, reservations resv.c's, credentials cred.c's.
 */
#include "ms_freebsd.h"

#include <sys/kdb.h>
#include <sys/kernel.h>
#include <sys/libkern.h>
#include <sys/malloc.h>
#include <sys/proc.h>
#include <sys/time.h>

#include <vm/vm.h>
#include <vm/vm_param.h>
#include <vm/pmap.h>
#include <vm/vm_extern.h>
#include <vm/vm_kern.h>
#include <vm/vm_map.h>
#include <vm/vm_object.h>
#include <vm/vm_page.h>
#include <vm/vm_pager.h>

MALLOC_DEFINE(M_MULTISTACK, "multistack", "MultiStack switch");

/* ---- memory --------------------------------------------------------------- */

/*
 * Ports decide how much is asked for, so a request that cannot be met now
 * fails instead of waiting for memory. malloc(9) promises an alignment of 16
 * bytes; the core wants cache lines. Before the block stands what to free.
 */
void *
ms_os_alloc(size_t bytes)
{
	char *raw, *p;

	if (bytes > INT_MAX)
		return NULL;
	raw = malloc(bytes + sizeof(raw) + CACHE_LINE_SIZE, M_MULTISTACK,
		     M_NOWAIT | M_ZERO);
	if (raw == NULL)
		return NULL;
	p = (char *)roundup2((uintptr_t)raw + sizeof(raw), CACHE_LINE_SIZE);
	memcpy(p - sizeof(raw), &raw, sizeof(raw));
	return p;
}

void
ms_os_free(void *p)
{
	char *raw;

	if (p == NULL)
		return;
	memcpy(&raw, (char *)p - sizeof(raw), sizeof(raw));
	free(raw, M_MULTISTACK);
}

/* ---- regions -------------------------------------------------------------- */

/*
 * A swap object like that of shm_open(2), wired into the kernel's map as long
 * as the port lives. Who has it mapped longer keeps the object, of pages that
 * can be swapped out from then on; they are charged to who made the port.
 */
void *
ms_os_shm_create(size_t bytes, struct ms_shm **shm)
{
	struct ms_shm *s;
	int rv;

	/* The machine must not be driven out of memory. */
	if (atop(round_page(bytes)) > ms_pages_spare())
		return NULL;
	s = malloc(sizeof(*s), M_MULTISTACK, M_WAITOK | M_ZERO);
	s->bytes = round_page(bytes);
	s->addr = vm_map_min(kernel_map);
	s->object = vm_pager_allocate(OBJT_SWAP, NULL, s->bytes,
				      VM_PROT_DEFAULT, 0, curthread->td_ucred);
	if (s->object == NULL)
		goto out_free;
	vm_object_reference(s->object); /* the map's */
	rv = vm_map_find(kernel_map, s->object, 0, &s->addr, s->bytes, 0,
			 VMFS_OPTIMAL_SPACE, VM_PROT_READ | VM_PROT_WRITE,
			 VM_PROT_READ | VM_PROT_WRITE, 0);
	if (rv != KERN_SUCCESS) {
		vm_object_deallocate(s->object);
		goto out_object;
	}
	rv = vm_map_wire(kernel_map, s->addr, s->addr + s->bytes,
			 VM_MAP_WIRE_SYSTEM | VM_MAP_WIRE_NOHOLES);
	if (rv != KERN_SUCCESS) {
		(void)vm_map_remove(kernel_map, s->addr, s->addr + s->bytes);
		goto out_object;
	}
	*shm = s;
	return (void *)s->addr;

out_object:
	vm_object_deallocate(s->object);
out_free:
	free(s, M_MULTISTACK);
	return NULL;
}

struct vm_object *
ms_shm_object(const struct ms_shm *shm)
{
	vm_object_reference(shm->object);
	return shm->object;
}

void
ms_os_shm_destroy(struct ms_shm *shm)
{
	if (shm == NULL)
		return;
	(void)vm_map_remove(kernel_map, shm->addr, shm->addr + shm->bytes);
	vm_object_deallocate(shm->object);
	free(shm, M_MULTISTACK);
}

/* ---- read sections -------------------------------------------------------- */

_Static_assert(sizeof(struct ms_compat_tracker) <= sizeof(struct ms_read),
	       "a reader's place");

static struct rmlock read_lock; /* where there is no epoch */

void
ms_os_read_enter(struct ms_read *r)
{
	ms_compat_read_enter(&read_lock, (struct ms_compat_tracker *)r);
}

void
ms_os_read_exit(struct ms_read *r)
{
	ms_compat_read_exit(&read_lock, (struct ms_compat_tracker *)r);
}

void
ms_os_read_sync(void)
{
	ms_compat_read_sync(&read_lock);
}

void
ms_read_init(void)
{
	rm_init_flags(&read_lock, "multistack readers", RM_RECURSE);
}

void
ms_read_deinit(void)
{
	rm_destroy(&read_lock);
}

/* ---- time and chance ------------------------------------------------------ */

uint64_t
ms_os_now_ns(void)
{
	struct timespec ts;

	nanouptime(&ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void
ms_os_sleep_us(unsigned int us)
{
	pause_sbt("mssleep", (sbintime_t)us * SBT_1US, 0, 0);
}

void
ms_os_random(void *buf, size_t bytes)
{
	arc4rand(buf, (u_int)bytes, 0);
}

void
ms_os_assert_failed(const char *what, const char *file, int line)
{
	printf("multistack: %s:%d: not so: %s\n", file, line, what);
#ifdef INVARIANTS
	panic("multistack: %s", what);
#else
	kdb_backtrace();
#endif
}
