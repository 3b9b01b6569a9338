/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_os_user.c: memory, read sections, time and wake-ups in user space.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "ms_user.h"

#define HUGE_BYTES ((size_t)2 << 20)

void
ms_os_assert_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "multistack: %s:%d: assertion failed: %s\n", file, line,
		what);
	abort();
}

void
ms_spin_lock_slow(struct ms_spin *l)
{
	unsigned int spins = 0;

	do {
		while (__atomic_load_n(&l->held, __ATOMIC_RELAXED) != 0) {
			if (++spins < 128)
				ms_os_pause();
			else
				sched_yield();
		}
	} while (__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE) != 0);
}

/* ---- memory --------------------------------------------------------- */

static unsigned int fail_countdown; /* 0: off */
static bool fail_all;

void
ms_os_fail_after(unsigned int n, bool all)
{
	__atomic_store_n(&fail_all, all, __ATOMIC_RELAXED);
	__atomic_store_n(&fail_countdown, n, __ATOMIC_SEQ_CST);
}

/* Whether this allocation is one that a test wants to fail. */
static bool
fail_now(void)
{
	unsigned int n = __atomic_load_n(&fail_countdown, __ATOMIC_RELAXED);

	if (ms_likely(n == 0))
		return false;
	while (n > 1) {
		if (__atomic_compare_exchange_n(&fail_countdown, &n, n - 1,
						false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			return false;
	}
	if (n == 0)
		return false;
	if (!__atomic_load_n(&fail_all, __ATOMIC_RELAXED))
		__atomic_store_n(&fail_countdown, 0, __ATOMIC_RELAXED);
	return true;
}

void *
ms_os_alloc(size_t bytes)
{
	size_t align = MS_CACHE_LINE;
	void *p;

	if (fail_now())
		return NULL;
	if (bytes < MS_CACHE_LINE)
		return calloc(1, bytes ? bytes : 1);
	/* A table of a million tuples is looked up at random: huge pages
	   spare most of its TLB misses. */
	if (bytes >= 2 * HUGE_BYTES)
		align = HUGE_BYTES;
	if (posix_memalign(&p, align, bytes) != 0)
		return NULL;
	if (align == HUGE_BYTES)
		(void)madvise(p, bytes & ~(HUGE_BYTES - 1), MADV_HUGEPAGE);
	memset(p, 0, bytes);
	return p;
}

void
ms_os_free(void *p)
{
	free(p);
}

struct ms_shm {
	void *addr;
	size_t bytes;
	int fd;
};

/*
 * Sealed, so that the owner of the port cannot shrink it under the switch.
 * Pages come when they are touched: an idle port costs little.
 */
void *
ms_os_shm_create(size_t bytes, struct ms_shm **out)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct ms_shm *shm;

	if (bytes == 0 || bytes > PTRDIFF_MAX)
		return NULL;
	shm = ms_os_alloc(sizeof(*shm));
	if (shm == NULL)
		return NULL;
	shm->bytes = bytes;
	shm->addr = MAP_FAILED;
	shm->fd = -1;
	if (fail_now())
		goto fail;
	shm->fd = memfd_create("multistack-port",
			       MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (shm->fd < 0 || ftruncate(shm->fd, (off_t)bytes) != 0)
		goto fail;
	shm->addr = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			 shm->fd, 0);
	if (shm->addr == MAP_FAILED || fcntl(shm->fd, F_ADD_SEALS, seals) != 0)
		goto fail;
	if (bytes >= HUGE_BYTES)
		(void)madvise(shm->addr, bytes, MADV_HUGEPAGE);
	(void)madvise(shm->addr, bytes, MADV_DONTFORK);
	*out = shm;
	return shm->addr;
fail:
	ms_os_shm_destroy(shm);
	return NULL;
}

void
ms_os_shm_destroy(struct ms_shm *shm)
{
	if (shm == NULL)
		return;
	if (shm->addr != MAP_FAILED)
		munmap(shm->addr, shm->bytes);
	if (shm->fd >= 0)
		close(shm->fd);
	ms_os_free(shm);
}

int
ms_shm_fd(const struct ms_shm *shm)
{
	return shm->fd;
}

/* ---- read sections -------------------------------------------------- */

/*
 * Each thread that reads has a record with the epoch in which its section
 * began, 0 outside of sections. A writer moves the epoch and waits for the
 * records that show an older one. The exchange of enter and the addition of
 * sync are full fences: either the writer sees the section, or the section
 * sees what the writer had unlinked before.
 *
 * A thread for which there is no memory shares `crowd` with others like it.
 */
struct ms_reader {
	uint64_t epoch;
	uint32_t taken;		/* by a living thread */
	struct ms_reader *next; /* (c) */
} __attribute__((aligned(MS_CACHE_LINE)));

static struct ms_reader *readers; /* only grows */
static uint64_t read_epoch = 1;
static pthread_rwlock_t crowd = PTHREAD_RWLOCK_INITIALIZER;
static pthread_once_t reader_once = PTHREAD_ONCE_INIT;
static pthread_key_t reader_key;
static bool reader_key_ok;

static __thread struct ms_reader *self;
static __thread unsigned int depth;
static __thread bool in_crowd;

static void
reader_release(void *arg)
{
	struct ms_reader *r = arg;

	self = NULL;
	__atomic_store_n(&r->epoch, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&r->taken, 0, __ATOMIC_RELEASE);
}

/* A forked child has none of the other threads: nobody will end their
   sections. */
static void
reader_forked(void)
{
	struct ms_reader *r;

	for (r = readers; r != NULL; r = r->next) {
		if (r == self)
			continue;
		r->epoch = 0;
		r->taken = 0;
	}
	if (!in_crowd)
		pthread_rwlock_init(&crowd, NULL);
}

static void
reader_setup(void)
{
	reader_key_ok = pthread_key_create(&reader_key, reader_release) == 0;
	pthread_atfork(NULL, NULL, reader_forked);
}

/* A record for this thread: one that a dead thread left, or a new one. */
static struct ms_reader *
reader_register(void)
{
	struct ms_reader *r;
	uint32_t unused;

	pthread_once(&reader_once, reader_setup);
	if (!reader_key_ok)
		return NULL;
	for (r = ms_os_load_acquire(&readers); r != NULL; r = r->next) {
		unused = 0;
		if (__atomic_compare_exchange_n(&r->taken, &unused, 1, false,
						__ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED))
			break;
	}
	if (r == NULL) {
		r = ms_os_alloc(sizeof(*r));
		if (r == NULL)
			return NULL;
		r->taken = 1;
		r->next = ms_os_load_once(&readers);
		while (!__atomic_compare_exchange_n(&readers, &r->next, r, true,
						    __ATOMIC_ACQ_REL,
						    __ATOMIC_RELAXED))
			;
	}
	if (pthread_setspecific(reader_key, r) != 0) {
		ms_os_store_release(&r->taken, 0);
		return NULL;
	}
	return r;
}

void
ms_os_read_enter(struct ms_read *r)
{
	if (depth++ > 0)
		return;
	if (ms_unlikely(self == NULL)) {
		self = reader_register();
		if (self == NULL) {
			in_crowd = true;
			pthread_rwlock_rdlock(&crowd);
			return;
		}
	}
	(void)__atomic_exchange_n(&self->epoch, ms_os_load_acquire(&read_epoch),
				  __ATOMIC_SEQ_CST);
#if !defined(__x86_64__)
	ms_os_fence(); /* where an exchange does not order later loads */
#endif
}

void
ms_os_read_exit(struct ms_read *r)
{
	MS_ASSERT(depth > 0);
	if (--depth > 0)
		return;
	if (ms_unlikely(in_crowd)) {
		in_crowd = false;
		pthread_rwlock_unlock(&crowd);
		return;
	}
	ms_os_store_release(&self->epoch, 0);
}

static void
reader_wait(struct ms_reader *r, uint64_t epoch)
{
	const struct timespec nap = { .tv_nsec = 50000 };
	unsigned int tries = 0;
	uint64_t e;

	for (;;) {
		e = ms_os_load_acquire(&r->epoch);
		if (e == 0 || e >= epoch)
			return;
		if (++tries < 64)
			sched_yield();
		else
			nanosleep(&nap, NULL);
	}
}

void
ms_os_read_sync(void)
{
	struct ms_reader *r;
	uint64_t epoch;

	MS_ASSERT(depth == 0); /* would wait for itself */
	epoch = __atomic_add_fetch(&read_epoch, 1, __ATOMIC_SEQ_CST);
	ms_os_fence();
	for (r = ms_os_load_acquire(&readers); r != NULL; r = r->next)
		reader_wait(r, epoch);
	pthread_rwlock_wrlock(&crowd);
	pthread_rwlock_unlock(&crowd);
}

/* ---- time, chance, wake-ups ----------------------------------------- */

uint64_t
ms_os_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void
ms_os_sleep_us(unsigned int us)
{
	const struct timespec ts = { .tv_sec = us / 1000000u,
				     .tv_nsec = (long)(us % 1000000u) * 1000 };

	nanosleep(&ts, NULL);
}

void
ms_os_random(void *buf, size_t bytes)
{
	uint8_t *p = buf;
	ssize_t n;

	while (bytes > 0) {
		n = getrandom(p, bytes, 0);
		if (n < 0) {
			MS_ASSERT(errno == EINTR);
			continue;
		}
		p += n;
		bytes -= (size_t)n;
	}
}

/* In a read section of its own: the doorbell may be on its way out. */
void
ms_os_wake(struct ms_kring *ring)
{
	const struct ms_waiter *w;
	const uint64_t one = 1;
	struct ms_read r;
	ssize_t n;

	ms_os_read_enter(&r);
	w = ms_os_load_acquire(&ring->waiter);
	if (w != NULL) {
		/* EAGAIN: it is readable already, which is all that counts. */
		n = write(w->wake_fd, &one, sizeof(one));
		(void)n;
	}
	ms_os_read_exit(&r);
}
