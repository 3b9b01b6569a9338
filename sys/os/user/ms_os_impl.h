/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_os_impl.h: the seam in user space: C11 with gcc's or clang's atomics,
 * pthreads. ms_os.h says what each name promises.
 *
 * All accesses to shared words are __atomic builtins, so that the thread
 * sanitizer sees what the processor sees.
 */
#ifndef MS_OS_IMPL_H
#define MS_OS_IMPL_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__GNUC__)
#error "MultiStack needs gcc or clang"
#endif

#define ms_move(d, s, n) __builtin_memcpy(d, s, n)
#define ms_likely(x) __builtin_expect(!!(x), 1)
#define ms_unlikely(x) __builtin_expect(!!(x), 0)
#define ms_prefetch(p) __builtin_prefetch((p), 0)
#define ms_prefetchw(p) __builtin_prefetch((p), 1)

void ms_os_assert_failed(const char *what, const char *file, int line)
    __attribute__((noreturn, cold));
#define MS_ASSERT(x)                                                           \
	(ms_likely(x) ? (void)0 : ms_os_assert_failed(#x, __FILE__, __LINE__))

#if defined(__clang__)
#define MS_TSA(x) __attribute__((x))
#else
#define MS_TSA(x)
#endif
#define MS_CAPABILITY MS_TSA(capability("mutex"))
/* In C, clang cannot yet name one field in the attribute of another: this one
   is for the reader; the attributes of functions are checked. */
#define MS_GUARDED_BY(l)
#define MS_ACQUIRE(l) MS_TSA(acquire_capability(l))
#define MS_RELEASE(l) MS_TSA(release_capability(l))
#define MS_REQUIRES(l) MS_TSA(requires_capability(l))
#define MS_NO_TSA MS_TSA(no_thread_safety_analysis)

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

#define MS_USER_READ(lvalue) __atomic_load_n(&(lvalue), __ATOMIC_RELAXED)
#define MS_USER_WRITE(lvalue, v)                                               \
	__atomic_store_n(&(lvalue), (v), __ATOMIC_RELAXED)
#define ms_os_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define ms_os_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define ms_os_load_once(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define ms_os_store_once(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)

static inline void
ms_os_fence(void)
{
#if defined(__x86_64__)
	/* A locked instruction orders as mfence does, in a third of its time;
	   gcc emits it too, clang does not. */
	__asm__ volatile("lock; addl $0, -4(%%rsp)" ::: "memory", "cc");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static inline void
ms_os_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* A reader's place is per thread here: ms_os_user.c. */
struct ms_read {
	uint8_t unused;
};

struct MS_CAPABILITY ms_mutex {
	pthread_mutex_t m;
};

static inline void
ms_mutex_init(struct ms_mutex *l)
{
	pthread_mutex_init(&l->m, NULL);
}

static inline void
ms_mutex_deinit(struct ms_mutex *l)
{
	pthread_mutex_destroy(&l->m);
}

static inline void ms_mutex_lock(struct ms_mutex *l) MS_ACQUIRE(l);
static inline void MS_NO_TSA
ms_mutex_lock(struct ms_mutex *l)
{
	pthread_mutex_lock(&l->m);
}

static inline void ms_mutex_unlock(struct ms_mutex *l) MS_RELEASE(l);
static inline void MS_NO_TSA
ms_mutex_unlock(struct ms_mutex *l)
{
	pthread_mutex_unlock(&l->m);
}

struct MS_CAPABILITY ms_spin {
	uint32_t held;
};

static inline void
ms_spin_init(struct ms_spin *l)
{
	__atomic_store_n(&l->held, 0, __ATOMIC_RELAXED);
}

static inline void
ms_spin_deinit(struct ms_spin *l)
{
	MS_ASSERT(__atomic_load_n(&l->held, __ATOMIC_RELAXED) == 0);
}

/* Waits for a holder that may have been preempted: yields after a while. */
void ms_spin_lock_slow(struct ms_spin *l) __attribute__((cold));

static inline void ms_spin_lock(struct ms_spin *l) MS_ACQUIRE(l);
static inline void MS_NO_TSA
ms_spin_lock(struct ms_spin *l)
{
	if (ms_unlikely(__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE)))
		ms_spin_lock_slow(l);
}

static inline void ms_spin_unlock(struct ms_spin *l) MS_RELEASE(l);
static inline void MS_NO_TSA
ms_spin_unlock(struct ms_spin *l)
{
	__atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
}

/* There is no other context. */
#define ms_spin_lock_packet(l) ms_spin_lock(l)
#define ms_spin_unlock_packet(l) ms_spin_unlock(l)

#endif /* MS_OS_IMPL_H */
