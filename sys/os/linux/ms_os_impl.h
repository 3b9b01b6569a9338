/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_os_impl.h: the seam in the Linux kernel. ms_os.h says what each name
 * promises.
 *
 * Packet context is softirq or process context with bottom halves off; hence
 * the _bh locks. Nothing of the core runs in a hard interrupt.
 */
#ifndef MS_OS_IMPL_H
#define MS_OS_IMPL_H

#include <linux/bug.h>
#include <linux/cache.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/mutex.h>
#include <linux/prefetch.h>
#include <linux/processor.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/types.h>
/* Moved by Linux commit 5f60d5f6bbc1 ("move asm/unaligned.h to
   linux/unaligned.h"), first in 6.12; Kbuild looks. */
#if defined(MS_HAVE_LINUX_UNALIGNED)
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

/* C's names for the limits of C's types, which the kernel calls otherwise. */
#ifndef UINT16_MAX
#define UINT16_MAX U16_MAX
#endif
#ifndef UINT32_MAX
#define UINT32_MAX U32_MAX
#endif
#ifndef INT32_MAX
#define INT32_MAX S32_MAX
#endif
#ifndef INT64_MAX
#define INT64_MAX S64_MAX
#endif
#ifndef UINT64_MAX
#define UINT64_MAX U64_MAX
#endif

#define ms_move(d, s, n) __builtin_memcpy(d, s, n)
#define ms_likely(x) likely(x)
#define ms_unlikely(x) unlikely(x)
#define ms_prefetch(p) prefetch(p)
#define ms_prefetchw(p) prefetchw(p)

/* A kernel that met a surprise is worth more alive: warn once and go on. */
#define MS_ASSERT(x) ((void)WARN_ON_ONCE(!(x)))

/* Sparse follows these; clang's analysis runs on the user build. */
#define MS_GUARDED_BY(l)
#define MS_ACQUIRE(l) __acquires(l)
#define MS_RELEASE(l) __releases(l)
#define MS_REQUIRES(l) __must_hold(l)
#define MS_NO_TSA

static inline uint16_t
ms_be16(const void *p)
{
	return get_unaligned_be16(p);
}

static inline uint32_t
ms_be32(const void *p)
{
	return get_unaligned_be32(p);
}

#define MS_USER_READ(lvalue) READ_ONCE(lvalue)
#define MS_USER_WRITE(lvalue, v) WRITE_ONCE(lvalue, v)
#define ms_os_load_acquire(p) smp_load_acquire(p)
#define ms_os_store_release(p, v) smp_store_release(p, v)
#define ms_os_load_once(p) READ_ONCE(*(p))
#define ms_os_store_once(p, v) WRITE_ONCE(*(p), v)

static inline void
ms_os_fence(void)
{
	smp_mb();
}

static inline void
ms_os_pause(void)
{
	cpu_relax();
}

/* RCU keeps a reader's place in the task or the processor. */
struct ms_read {
	uint8_t unused;
};

struct ms_mutex {
	struct mutex m;
};

/* A macro, so that lockdep tells apart locks by where they are made. */
#define ms_mutex_init(l) mutex_init(&(l)->m)

static inline void
ms_mutex_deinit(struct ms_mutex *l)
{
	mutex_destroy(&l->m);
}

static inline void
ms_mutex_lock(struct ms_mutex *l) MS_ACQUIRE(l)
{
	mutex_lock(&l->m);
	__acquire(l);
}

static inline void
ms_mutex_unlock(struct ms_mutex *l) MS_RELEASE(l)
{
	mutex_unlock(&l->m);
	__release(l);
}

struct ms_spin {
	spinlock_t s;
};

#define ms_spin_init(l) spin_lock_init(&(l)->s)

static inline void
ms_spin_deinit(struct ms_spin *l)
{
	MS_ASSERT(!spin_is_locked(&l->s));
}

static inline void
ms_spin_lock(struct ms_spin *l) MS_ACQUIRE(&l->s)
{
	spin_lock_bh(&l->s);
}

static inline void
ms_spin_unlock(struct ms_spin *l) MS_RELEASE(&l->s)
{
	spin_unlock_bh(&l->s);
}

static inline void
ms_spin_lock_packet(struct ms_spin *l) MS_ACQUIRE(&l->s)
{
	spin_lock(&l->s);
}

static inline void
ms_spin_unlock_packet(struct ms_spin *l) MS_RELEASE(&l->s)
{
	spin_unlock(&l->s);
}

#endif /* MS_OS_IMPL_H */
