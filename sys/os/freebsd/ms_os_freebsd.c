/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_os_freebsd.c: memory, read sections, time and chance for the core, on
 * FreeBSD 14 and 15.
 *
 * The rest of ms_os.h (ms_os_shm_*, ms_os_wake, ms_os_resv_*, ms_os_cred_*)
 * needs the module's device, VM objects, sockets and credentials, and is
 * theirs.
 */
#include "ms_os.h"

#include <sys/kdb.h>
#include <sys/kernel.h>
#include <sys/libkern.h>
#include <sys/malloc.h>
#include <sys/time.h>

static MALLOC_DEFINE(M_MULTISTACK, "multistack", "MultiStack switch");

/*
 * Ports decide how much is asked for, so a request that cannot be met now
 * fails instead of waiting for memory. malloc(9) aligns only to 16 bytes;
 * the core wants cache lines.
 */
void *
ms_os_alloc(size_t bytes)
{
	return malloc_aligned(bytes == 0 ? 1 : bytes, CACHE_LINE_SIZE,
			      M_MULTISTACK, M_NOWAIT | M_ZERO);
}

void
ms_os_free(void *p)
{
	free(p, M_MULTISTACK);
}

/* The network's own epoch: input already runs inside it, and a section within
   a section costs next to nothing. */
void
ms_os_read_enter(struct ms_read *r)
{
	NET_EPOCH_ENTER(r->et);
}

void
ms_os_read_exit(struct ms_read *r)
{
	NET_EPOCH_EXIT(r->et);
}

void
ms_os_read_sync(void)
{
	NET_EPOCH_WAIT();
}

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
