/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_os_impl.h: the seam in the FreeBSD kernel. ms_os.h says what each name
 * promises.
 *
 * Packet context is an interrupt thread, a taskqueue or a system call inside
 * a read section: it may take default mutexes and may not sleep.
 */
#ifndef MS_OS_IMPL_H
#define MS_OS_IMPL_H

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/errno.h>
#include <sys/lock.h>
#include <sys/mutex.h>
#include <sys/stdint.h>
#include <sys/sx.h>

#include <machine/atomic.h>
#include <machine/cpu.h>

#define ms_move(d, s, n) __builtin_memcpy(d, s, n)
#define ms_likely(x) __predict_true(x)
#define ms_unlikely(x) __predict_false(x)
#define ms_prefetch(p) __builtin_prefetch((p), 0)
#define ms_prefetchw(p) __builtin_prefetch((p), 1)

/* Prints and goes on; panics where the kernel has INVARIANTS. */
void ms_os_assert_failed(const char *what, const char *file, int line)
    __attribute__((cold));
#define MS_ASSERT(x)                                                           \
	(ms_likely(x) ? (void)0 : ms_os_assert_failed(#x, __FILE__, __LINE__))

/* clang's analysis runs on the user build; WITNESS and INVARIANTS on this. */
#define MS_GUARDED_BY(l)
#define MS_ACQUIRE(l)
#define MS_RELEASE(l)
#define MS_REQUIRES(l)
#define MS_NO_TSA

static inline uint16_t
ms_be16(const void *p)
{
	const uint8_t *b = p;

	return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t
ms_be32(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 |
	       (uint32_t)b[2] << 8 | b[3];
}

/* An aligned volatile access is one access (the kernel's atomic_load_int and
   its kin are this, for one type each). */
#define MS_VOLATILE(lvalue) (*(volatile __typeof__(lvalue) *)&(lvalue))
#define MS_USER_READ(lvalue)                                                   \
	((__typeof__(lvalue))*(const volatile __typeof__(lvalue) *)&(lvalue))
#define MS_USER_WRITE(lvalue, v) ((void)(MS_VOLATILE(lvalue) = (v)))
#define ms_os_load_once(p) MS_USER_READ(*(p))
#define ms_os_store_once(p, v) MS_USER_WRITE(*(p), v)

/* atomic(9) has a function a width; the words here have 4 or 8 bytes. */
#define MS_WORD32(p) ((volatile uint32_t *)(uintptr_t)(p))
#define MS_WORD64(p) ((volatile uint64_t *)(uintptr_t)(p))
#define ms_os_load_acquire(p)                                                  \
	((__typeof__(*(p)))(sizeof(*(p)) == 8                                  \
				? atomic_load_acq_64(MS_WORD64(p))             \
				: atomic_load_acq_32(MS_WORD32(p))))
#define ms_os_store_release(p, v)                                              \
	(sizeof(*(p)) == 8                                                     \
	     ? atomic_store_rel_64(MS_WORD64(p), (uint64_t)(v))                \
	     : atomic_store_rel_32(MS_WORD32(p), (uint32_t)(uint64_t)(v)))

static inline void
ms_os_fence(void)
{
	mb();
}

static inline void
ms_os_pause(void)
{
	cpu_spinwait();
}

/* Room for what epoch(9) or rmlock(9) keep of a reader; ms_os_freebsd.c knows
   which, and checks that it is enough. */
struct ms_read {
	uint64_t room[16];
};

/* Held across allocations, so not a mutex(9): those must not sleep. */
struct ms_mutex {
	struct sx sx;
};

/* A macro, so that WITNESS tells apart locks by where they are made. */
#define ms_mutex_init(l) sx_init(&(l)->sx, "multistack " #l)

static inline void
ms_mutex_deinit(struct ms_mutex *l)
{
	sx_destroy(&l->sx);
}

static inline void
ms_mutex_lock(struct ms_mutex *l)
{
	sx_xlock(&l->sx);
}

static inline void
ms_mutex_unlock(struct ms_mutex *l)
{
	sx_xunlock(&l->sx);
}

/* A default mutex: it adapts, lends its priority, and may be taken in packet
   context and within epochs. */
struct ms_spin {
	struct mtx m;
};

#define ms_spin_init(l) mtx_init(&(l)->m, "multistack " #l, NULL, MTX_DEF)

static inline void
ms_spin_deinit(struct ms_spin *l)
{
	mtx_destroy(&l->m);
}

static inline void
ms_spin_lock(struct ms_spin *l)
{
	mtx_lock(&l->m);
}

static inline void
ms_spin_unlock(struct ms_spin *l)
{
	mtx_unlock(&l->m);
}

/* An ithread is a thread. */
#define ms_spin_lock_packet(l) ms_spin_lock(l)
#define ms_spin_unlock_packet(l) ms_spin_unlock(l)

#endif /* MS_OS_IMPL_H */
