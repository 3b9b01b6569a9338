/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_slow.c: multistackd's queue of slow commands: users take turns in it.
 *
 * The file is included whole; what it calls is below. The first command waits
 * until all others are in the queue.
 */
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ms_host_ctl test_ctl
#include "../../sys/os/user/daemon/slow.c"

#define CLIENTS 24

static struct world {
	struct server srv;
	struct client client[CLIENTS];
	unsigned int num_clients;
	sem_t go;
	uid_t order[CLIENTS]; /* of users served; the slow thread's */
	unsigned int served;
	unsigned int answered;
} w;

int
test_ctl(struct ms_host *host, const struct ms_cred *cred,
	 struct ms_port **port, uint32_t cmd, void *arg, uint32_t bytes,
	 struct ms_err *err)
{
	if (w.served == 0)
		sem_wait(&w.go);
	w.order[w.served++] = cred->uid;
	return 0;
}

void
log_line(int level, const char *fmt, ...)
{
	fail_msg("%s", fmt);
}

int
server_watch(struct server *srv, int fd, uint32_t events, struct source *s)
{
	return 0;
}

void
client_answer(struct client *c, int r)
{
	assert_int_equal(r, 0);
	w.answered++;
}

void
client_drop(struct client *c)
{
	fail();
}

/* ---- steps --------------------------------------------------------------- */

static int
setup(void **state)
{
	memset(&w, 0, sizeof w);
	w.srv.epoll_fd = -1;
	sem_init(&w.go, 0, 0);
	return slow_start(&w.srv, &w.srv.slow);
}

static int
teardown(void **state)
{
	slow_stop(w.srv.slow);
	sem_destroy(&w.go);
	return 0;
}

static struct client *
ask(uid_t user)
{
	struct client *c = &w.client[w.num_clients++];

	c->sock = -1;
	c->cred.uid = user;
	slow_submit(w.srv.slow, c);
	assert_true(c->busy);
	return c;
}

/* Until the slow thread waits in the first command. */
static void
wait_until_working(void)
{
	bool working = false;

	while (!working) {
		pthread_mutex_lock(&w.srv.slow->lock);
		working = w.srv.slow->working;
		pthread_mutex_unlock(&w.srv.slow->lock);
	}
}

static void
wait_for_answers(unsigned int n)
{
	sem_post(&w.go);
	while (w.answered < n) {
		struct pollfd p = { .fd = slow_fd(w.srv.slow),
				    .events = POLLIN };

		assert_int_equal(poll(&p, 1, 60000), 1);
		slow_finish(w.srv.slow);
	}
	assert_int_equal(w.served, n);
}

/* ---- turns --------------------------------------------------------------- */

static void
test_who_asks_for_much_waits_for_himself(void **state)
{
	static const uid_t want[] = { 1, 2, 3, 1, 2, 1, 1, 1, 1, 1 };

	ask(1);
	wait_until_working();
	for (int i = 0; i < 6; i++)
		ask(1);
	ask(2);
	ask(3);
	ask(2);
	wait_for_answers(10);
	assert_memory_equal(w.order, want, sizeof want);
}

static void
test_a_newcomer_is_next(void **state)
{
	static const uid_t want[] = { 1, 2, 1, 2, 1 };

	ask(1);
	wait_until_working();
	ask(1);
	ask(1);
	ask(2);
	ask(2);
	wait_for_answers(5);
	assert_memory_equal(w.order, want, sizeof want);
}

static void
test_what_the_dead_asked_for_is_not_done(void **state)
{
	static const uid_t want[] = { 1, 3 };
	struct client *first, *dead[2];

	first = ask(1);
	wait_until_working();
	dead[0] = ask(2);
	dead[1] = ask(1);
	ask(3);
	for (int i = 0; i < 2; i++) {
		slow_cancel(w.srv.slow, dead[i]);
		assert_false(dead[i]->busy);
	}
	slow_cancel(w.srv.slow, first);
	assert_true(first->busy); /* it is in work */
	wait_for_answers(2);
	assert_memory_equal(w.order, want, sizeof want);
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_who_asks_for_much_waits_for_himself),
		WITH(test_a_newcomer_is_next),
		WITH(test_what_the_dead_asked_for_is_not_done),
	};

	return cmocka_run_group_tests_name("slow", tests, NULL, NULL);
}
