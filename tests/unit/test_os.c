/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_os.c: the seam in user space: memory that fails on demand, sealed
 * regions, read sections, wake-ups.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "control_util.h"

/* ---- memory --------------------------------------------------------- */

static void
memory_is_zero_and_aligned(void **state)
{
	static const size_t sizes[] = {
		0, 1, 63, 64, 1000, 65537, (size_t)5 << 20
	};
	size_t i, j;
	uint8_t *p;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		p = ms_os_alloc(sizes[i]);
		assert_non_null(p);
		if (sizes[i] >= MS_CACHE_LINE)
			assert_int_equal((uintptr_t)p % MS_CACHE_LINE, 0);
		for (j = 0; j < sizes[i]; j++)
			if (p[j] != 0)
				fail();
		memset(p, 0xa5, sizes[i]);
		ms_os_free(p);
	}
	ms_os_free(NULL);
}

static void
the_nth_allocation_fails(void **state)
{
	void *p[4];
	int i;

	(void)state;
	ms_os_fail_after(2, false);
	for (i = 0; i < 4; i++) {
		p[i] = ms_os_alloc(8);
		assert_int_equal(p[i] == NULL, i == 1);
		ms_os_free(p[i]);
	}
	ms_os_fail_after(2, true);
	for (i = 0; i < 4; i++) {
		p[i] = ms_os_alloc(8);
		assert_int_equal(p[i] == NULL, i >= 1);
		ms_os_free(p[i]);
	}
	ms_os_fail_after(0, false);
}

static void
regions_cannot_be_resized(void **state)
{
	struct ms_shm *shm = NULL;
	uint8_t *p;
	void *q;
	int fd;

	(void)state;
	p = ms_os_shm_create(3 * 4096, &shm);
	assert_non_null(p);
	assert_int_equal((uintptr_t)p % 4096, 0);
	fd = ms_shm_fd(shm);
	assert_int_not_equal(ftruncate(fd, 4096), 0);
	assert_int_not_equal(ftruncate(fd, 4 * 4096), 0);
	assert_int_not_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	q = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(q, MAP_FAILED);
	p[8192] = 7;
	assert_int_equal(((uint8_t *)q)[8192], 7);
	munmap(q, 3 * 4096);
	ms_os_shm_destroy(shm);
	ms_os_shm_destroy(NULL);
	assert_null(ms_os_shm_create(0, &shm));
	assert_null(ms_os_shm_create(SIZE_MAX, &shm));
}

/* ---- read sections -------------------------------------------------- */

#define READERS 4
#define SWAPS 2000
#define ALIVE 0x600dcafe

struct thing {
	uint64_t alive;
};

static struct thing *current;
static uint32_t stop;

struct reader {
	pthread_t thread;
	bool no_memory;
	uint64_t reads, dead;
};

static void *
reader_main(void *arg)
{
	struct reader *me = arg;
	struct ms_read outer, inner;
	struct thing *t;

	while (ms_os_load_acquire(&stop) == 0) {
		ms_os_read_enter(&outer);
		t = ms_os_load_acquire(&current);
		ms_os_read_enter(&inner);
		me->dead += t->alive != ALIVE;
		ms_os_read_exit(&inner);
		me->dead += t->alive != ALIVE;
		ms_os_read_exit(&outer);
		if (++me->reads % 64 == 0)
			sched_yield();
	}
	return NULL;
}

static struct thing *
thing_new(void)
{
	struct thing *t = malloc(sizeof(*t));

	t->alive = ALIVE;
	return t;
}

static void
run_readers(unsigned int num_without_memory)
{
	struct reader r[READERS];
	struct thing *old;
	unsigned int i;

	memset(r, 0, sizeof(r));
	stop = 0;
	current = thing_new();
	if (num_without_memory)
		ms_os_fail_after(1, true);
	for (i = 0; i < READERS; i++)
		assert_int_equal(
		    pthread_create(&r[i].thread, NULL, reader_main, &r[i]), 0);
	for (i = 0; i < SWAPS; i++) {
		old = __atomic_exchange_n(&current, thing_new(),
					  __ATOMIC_ACQ_REL);
		ms_os_read_sync();
		old->alive = 0;
		free(old);
		if (i == SWAPS / 2)
			ms_os_fail_after(0, false);
	}
	ms_os_store_release(&stop, 1);
	for (i = 0; i < READERS; i++) {
		pthread_join(r[i].thread, NULL);
		assert_int_equal(r[i].dead, 0);
	}
	free(current);
}

static void
nothing_is_freed_under_a_reader(void **state)
{
	(void)state;
	run_readers(0);
}

/* Threads that cannot register are waited for as well. */
static void
nor_without_memory_to_register(void **state)
{
	(void)state;
	run_readers(READERS);
}

static uint32_t inside, leave, synced;

static void *
stay_inside(void *arg)
{
	struct ms_read r;

	(void)arg;
	ms_os_read_enter(&r);
	ms_os_store_release(&inside, 1);
	while (ms_os_load_acquire(&leave) == 0)
		ms_os_sleep_us(100);
	ms_os_read_exit(&r);
	return NULL;
}

static void *
sync_once(void *arg)
{
	(void)arg;
	ms_os_read_sync();
	ms_os_store_release(&synced, 1);
	return NULL;
}

static void
sync_waits_for_the_section(void **state)
{
	pthread_t reader, writer;

	(void)state;
	inside = leave = synced = 0;
	assert_int_equal(pthread_create(&reader, NULL, stay_inside, NULL), 0);
	while (ms_os_load_acquire(&inside) == 0)
		ms_os_sleep_us(100);
	assert_int_equal(pthread_create(&writer, NULL, sync_once, NULL), 0);
	ms_os_sleep_us(20000);
	assert_int_equal(ms_os_load_acquire(&synced), 0);
	ms_os_store_release(&leave, 1);
	pthread_join(writer, NULL);
	pthread_join(reader, NULL);
	assert_int_equal(synced, 1);
}

/* The section of a thread that fork() did not take along ends with it. */
static void
a_forked_child_waits_for_nobody(void **state)
{
	pthread_t reader;
	int status;
	pid_t pid;

	(void)state;
	inside = leave = 0;
	assert_int_equal(pthread_create(&reader, NULL, stay_inside, NULL), 0);
	while (ms_os_load_acquire(&inside) == 0)
		ms_os_sleep_us(100);
	pid = fork();
	if (pid == 0) {
		alarm(60);
		ms_os_read_sync();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	ms_os_store_release(&leave, 1);
	pthread_join(reader, NULL);
}

/* ---- locks ---------------------------------------------------------- */

static struct ms_spin spin;
static uint64_t guarded;

static void *
count_up(void *arg)
{
	unsigned int i;

	(void)arg;
	for (i = 0; i < 20000; i++) {
		ms_spin_lock(&spin);
		guarded++;
		ms_spin_unlock(&spin);
	}
	return NULL;
}

static void
spin_locks_exclude(void **state)
{
	pthread_t t[READERS];
	unsigned int i;

	(void)state;
	ms_spin_init(&spin);
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count_up, NULL),
				 0);
	for (i = 0; i < READERS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(guarded, READERS * 20000);
	ms_spin_deinit(&spin);
}

/* ---- wake-ups ------------------------------------------------------- */

/* The owner of a ring has the other end, and may do with it what it likes. */
static void
a_wake_up_never_blocks(void **state)
{
	struct ms_waiter w;
	struct ms_kring ring;
	struct pollfd p;
	unsigned int i;
	int fds[2];

	(void)state;
	memset(&ring, 0, sizeof(ring));
	ms_os_wake(&ring); /* nobody waits */
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	w.ring_fd = fds[0];
	w.wake_fd = fds[1];
	ring.waiter = &w;
	assert_int_equal(fcntl(w.ring_fd, F_SETFL, 0), 0);
	for (i = 0; i < 20000; i++)
		ms_os_wake(&ring);
	p.fd = w.ring_fd;
	p.events = POLLIN;
	assert_int_equal(poll(&p, 1, 0), 1);
	close(fds[0]);
	close(fds[1]);
}

static void
time_goes_on_and_chance_varies(void **state)
{
	uint64_t a = ms_os_now_ns(), x[2] = { 0, 0 };

	(void)state;
	ms_os_sleep_us(1000);
	assert_true(ms_os_now_ns() >= a + 1000000);
	ms_os_random(x, sizeof(x));
	assert_true(x[0] != x[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_zero_and_aligned),
		cmocka_unit_test(the_nth_allocation_fails),
		cmocka_unit_test(regions_cannot_be_resized),
		cmocka_unit_test(nothing_is_freed_under_a_reader),
		cmocka_unit_test(nor_without_memory_to_register),
		cmocka_unit_test(sync_waits_for_the_section),
		cmocka_unit_test(a_forked_child_waits_for_nobody),
		cmocka_unit_test(spin_locks_exclude),
		cmocka_unit_test(a_wake_up_never_blocks),
		cmocka_unit_test(time_goes_on_and_chance_varies),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
