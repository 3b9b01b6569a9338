/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_os.h: the seam. All that the core asks of an operating system.
 *
 * sys/os/X/ms_os_impl.h gives the types, atomics, locks and memory functions
 * of system X, as inline functions with the names below where that is faster;
 * -I picks the system. Nothing else of an OS is visible to the core.
 *
 * From ms_os_impl.h come:
 *   fixed-width types, size_t, bool, NULL, errno values, memcpy/memset/memcmp,
 *   ms_move(d, s, n)                memcpy of constant n, always in line: some
 *                                   kernels are built without the compiler's
 *   MS_ASSERT(x)                    aborts (user), WARNs and goes on (kernel)
 *   ms_likely(x), ms_unlikely(x), ms_prefetch(p), ms_prefetchw(p)
 *   MS_GUARDED_BY(l), MS_ACQUIRE(l), MS_RELEASE(l), MS_REQUIRES(l)
 *                                   clang -Wthread-safety, or nothing
 *   ms_be16(p), ms_be32(p)          unaligned big-endian loads
 *   MS_USER_READ(lvalue)            one load of a word a hostile side may
 *                                   change at any time; any scalar type
 *   MS_USER_WRITE(lvalue, v)        one store of such a word
 *   ms_os_load_acquire(p)           of uint32_t, uint64_t or a pointer
 *   ms_os_store_release(p, v)       likewise
 *   ms_os_load_once(p), ms_os_store_once(p, v)  relaxed, untorn
 *   ms_os_fence()                   full, also store-load
 *   struct ms_mutex                 ms_mutex_init/deinit/lock/unlock; sleeps
 *   struct ms_spin                  ms_spin_init/deinit/lock/unlock; never
 *                                   sleeps, safe against the packet context
 *   ms_spin_lock_packet, ms_spin_unlock_packet  the same by callers in packet
 *                                   context
 *   struct ms_read                  a read section, on the stack
 */
#ifndef MS_OS_H
#define MS_OS_H

#include "ms_os_impl.h"

struct ms_nic;
struct ms_port;
struct ms_kring;
struct ms_tuple;
struct ms_cred;
struct ms_resv;
struct ms_shm;

/* Zeroed memory; may sleep; NULL when there is none. */
void *ms_os_alloc(size_t bytes);
void ms_os_free(void *p);

/*
 * Zeroed pages that can be mapped by a port's owner. May sleep. Returns the
 * kernel-side address (page aligned) and in *shm what to map and free, or NULL.
 */
void *ms_os_shm_create(size_t bytes, struct ms_shm **shm);
void ms_os_shm_destroy(struct ms_shm *shm);

/*
 * Read sections (RCU, epoch). What a reader found in a shared structure stays
 * allocated until it leaves the section. Sections nest and never sleep. *r
 * lives on the caller's stack from enter to exit, one for each section:
 * FreeBSD's epoch(9) and rmlock(9) keep their place in it.
 */
void ms_os_read_enter(struct ms_read *r);
void ms_os_read_exit(struct ms_read *r);
/* Waits until every section that runs now has ended. May sleep. */
void ms_os_read_sync(void);

uint64_t ms_os_now_ns(void); /* monotonic */
void ms_os_sleep_us(unsigned int us);
void ms_os_random(void *buf, size_t bytes);

/*
 * Wakes whoever sleeps on this ring (poll, eventfd). Any context, no locks of
 * the core held but those of a read section.
 */
void ms_os_wake(struct ms_kring *ring);

/*
 * Asks the host for `tuple` (port_be 0: the host chooses, and writes it back)
 * as the caller `cred`, in the network namespace of `nic`, and holds it until
 * destroyed. May sleep. 0, -EADDRINUSE (the host has it), -EACCES (privileged
 * port), -EPERM (protocol without ports, without the raw privilege),
 * -EADDRNOTAVAIL (not an address of this host), -EMFILE, -ENOMEM.
 */
int ms_os_resv_create(struct ms_nic *nic, const struct ms_cred *cred,
		      struct ms_tuple *tuple, struct ms_resv **out);
void ms_os_resv_destroy(struct ms_resv *resv);

enum ms_priv {
	MS_PRIV_ADMIN, /* attach, detach, tap an interface */
	MS_PRIV_RAW,   /* whole IP protocols */
};
bool ms_os_cred_has(const struct ms_cred *cred, enum ms_priv priv);
uint32_t ms_os_cred_uid(const struct ms_cred *cred);
int32_t ms_os_cred_pid(const struct ms_cred *cred);

#endif /* MS_OS_H */
