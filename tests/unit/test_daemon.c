/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_daemon.c: multistackd's clients, who live and die, and its own end under
 * them.
 */
#include "daemon_util.h"

/* ---- life -------------------------------------------------------------------- */

static void
test_frames_pass_between_two_ports(void **state)
{
	msport_t *a = must_open(device, NULL), *b = must_open(device, NULL);

	must_bind(a, ADDR, 1000);
	must_bind(b, ADDR, 2000);
	for (int i = 0; i < 1000; i++) {
		must_pass(a, 1000, b, 2000);
		must_pass(b, 2000, a, 1000);
	}
	assert_int_equal(counter(a, MS_CTR_TX_LOCAL), 1000);
	msport_close(a);
	msport_close(b);
}

static void
test_many_rings_have_their_descriptors(void **state)
{
	static const msport_options_t opt = { .tx_rings = 64,
					      .rx_rings = 64,
					      .slots = 8 };
	msport_t *p = must_open(device, &opt);
	msport_view_t v[8];

	for (unsigned int i = 0; i < 64; i++) {
		assert_int_equal(msport_tx(p, i, v, 8), 8);
		assert_int_equal(msport_rx(p, i, v, 8), 0);
		assert_true(msport_fd(p, 1, i) >= 0);
		assert_int_equal(msport_arm(p, 1, i), 0);
	}
	msport_close(p);
}

/* Child: opens, claims, says so, sleeps until killed. */
static pid_t
claimant(uint16_t number, int *fd)
{
	int p[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		msport_t *port;

		if (msport_open(&port, device, NULL, NULL) ||
		    try_bind(port, ADDR, number) || write(p[1], "", 1) != 1)
			_exit(1);
		for (;;)
			(void)msport_wait(port, 1, 0, -1);
	}
	close(p[1]);
	assert_int_equal(read(p[0], &c, 1), 1);
	*fd = p[0];
	return pid;
}

static void
test_a_killed_client_leaves_nothing(void **state)
{
	msport_t *b = must_open(device, NULL);
	int fd;
	pid_t pid = claimant(3000, &fd);

	assert_int_equal(try_bind(b, ADDR, 3000), -EADDRINUSE);
	assert_non_null(strstr(msport_error(b), "port"));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(fd);
	bind_when_free(b, 3000);
	assert_int_equal(ports_now(), 1);
	msport_close(b);
}

/* Its child has the socket still, and nothing of the port. */
static void
test_a_dead_client_whose_child_lives_leaves_nothing(void **state)
{
	msport_t *b = must_open(device, NULL);
	int p[2], alive[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(p), 0);
	assert_int_equal(pipe(alive), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		msport_t *port;

		if (msport_open(&port, device, NULL, NULL) ||
		    try_bind(port, ADDR, 3100))
			_exit(1);
		if (fork() == 0) {
			close(alive[1]);
			(void)!read(alive[0], &c, 1); /* until the test ends */
			_exit(0);
		}
		if (write(p[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	assert_int_equal(read(p[0], &c, 1), 1);
	assert_int_equal(try_bind(b, ADDR, 3100), -EADDRINUSE);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	bind_when_free(b, 3100);
	close(alive[0]);
	close(alive[1]);
	close(p[0]);
	close(p[1]);
	msport_close(b);
}

/* Descriptors that the daemon has open. */
static unsigned int
fds_now(void)
{
	unsigned int n = 0;
	char name[64];
	DIR *dp;

	snprintf(name, sizeof name, "/proc/%d/fd", (int)d.pid);
	dp = opendir(name);
	assert_non_null(dp);
	while (readdir(dp))
		n++;
	closedir(dp);
	return n;
}

/* Not some time later: somebody else may bind its tuples at once. */
static void
test_what_is_closed_is_free(void **state)
{
	msport_t *b = must_open(device, NULL);
	unsigned int fds = fds_now();
	struct ms_tuple t;

	assert_int_equal(msport_tuple(&t, ADDR, IPPROTO_UDP, 3200), 0);
	for (int i = 0; i < 200; i++) {
		msport_t *a = must_open(device, NULL);

		must_bind(a, ADDR, 3200);
		assert_true(fds_now() > fds);
		msport_close(a);
		assert_int_equal(fds_now(), fds);
		must_bind(b, ADDR, 3200);
		assert_int_equal(msport_unbind(b, &t), 0);
	}
	msport_close(b);
}

/* Sends n frames to 2000 and goes without a word if `dies`. */
static void
send_and_go(unsigned int n, bool dies)
{
	msport_t *p = must_open(device, NULL);
	struct flow flow = flow_of(p, 3300, 2000);
	uint8_t f[128];

	must_bind(p, ADDR, 3300);
	for (unsigned int i = 0; i < n; i++) {
		udp_frame(f, 100, &flow, (uint8_t)i);
		assert_int_equal(msport_send(p, 0, f, 100), 0);
	}
	if (dies)
		_exit(0);
	msport_close(p);
}

static void
test_what_was_sent_before_the_end_arrives(void **state)
{
	msport_t *b = must_open(device, NULL);
	uint8_t got[128];

	must_bind(b, ADDR, 2000);
	for (unsigned int i = 0; i < 200; i++) {
		unsigned int n = 1 + i % 300;
		bool dies = i % 4 == 0;

		if (dies) {
			pid_t pid = fork();

			assert_true(pid >= 0);
			if (pid == 0)
				send_and_go(n, true);
			assert_int_equal(waitpid(pid, NULL, 0), pid);
		} else {
			send_and_go(n, false);
		}
		for (unsigned int j = 0; j < n; j++) {
			assert_int_equal(msport_wait(b, 1, 0, 10000), 1);
			assert_int_equal(msport_recv(b, 0, got, 128), 100);
			assert_int_equal(got[127 - 28], (uint8_t)(99 + j));
		}
		if (dies)
			wait_for_ports(1);
	}
	msport_close(b);
}

/* Its last frames are not waited for beyond a moment: the ring says it has
   some that never come. */
static void
test_who_lies_about_last_frames_ends_all_the_same(void **state)
{
	msport_t *p = must_open(device, NULL);
	struct ms_region *g = msport_region(p);
	struct ms_ring *tx = (void *)((uint8_t *)g + g->ring_ofs);

	must_bind(p, ADDR, 3400);
	tx->tail = tx->head + g->slots - 1;
	msport_close(p);
	p = must_open(device, NULL);
	must_bind(p, ADDR, 3400);
	msport_close(p);
	assert_int_equal(ports_now(), 0);
}

/* What a client does all day, from any point of which it may be killed. */
static void
busy_client(unsigned int seed)
{
	uint16_t number = (uint16_t)(4000 + seed % 50);

	for (;;) {
		msport_options_t opt = {
			.slots = 8u << rand_r(&seed) % 6,
			.tx_rings = (uint16_t)(1 + rand_r(&seed) % 4)
		};
		uint8_t f[128];
		struct flow flow;
		msport_t *p;

		if (msport_open(&p, device, &opt, NULL))
			continue;
		(void)try_bind(p, ADDR, number);
		flow = flow_of(p, number, 1000);
		udp_frame(f, 100, &flow, 1);
		for (int i = rand_r(&seed) % 50; i > 0; i--) {
			(void)msport_send(p, 0, f, 100);
			(void)msport_recv(p, 0, f, sizeof f);
		}
		msport_close(p);
	}
}

static void
test_clients_killed_at_any_instant_harm_nobody(void **state)
{
	const char *given = getenv("TEST_SEED");
	unsigned int seed = given ? (unsigned int)atoi(given)
				  : (unsigned int)getpid();
	msport_t *a = must_open(device, NULL), *b = must_open(device, NULL);
	msport_view_t v[64];
	int n;

	print_message("TEST_SEED=%u\n", seed);
	must_bind(a, ADDR, 1000);
	must_bind(b, ADDR, 2000);
	for (int round = 0; round < 60; round++) {
		pid_t pid[3];

		for (int i = 0; i < 3; i++) {
			pid[i] = fork();
			assert_true(pid[i] >= 0);
			if (pid[i] == 0)
				busy_client(seed + (unsigned int)i);
		}
		for (int i = 0; i < 3; i++) {
			nap_us((unsigned int)rand_r(&seed) % 8000);
			kill(pid[i], SIGKILL);
			waitpid(pid[i], NULL, 0);
		}
		/* What they sent to a is not what is looked at here. */
		must_pass(a, 1000, b, 2000);
		while ((n = msport_rx(a, 0, v, 64)) > 0)
			msport_rx_release(a, 0, (unsigned int)n);
		assert_int_equal(n, 0);
	}
	wait_for_ports(2);
	msport_close(a);
	msport_close(b);
	wait_for_ports(0);
}

/* ---- the daemon's end ---------------------------------------------------------- */

static void
check_lost(int sig)
{
	msport_t *p = must_open(device, NULL), *fresh;
	struct ms_tuple t;
	struct ms_cmd_route r;
	msport_view_t v[4];
	msport_error_t err;
	int n = 0;

	must_bind(p, ADDR, 1000);
	assert_int_equal(msport_tuple(&t, ADDR, IPPROTO_UDP, 0), 0);
	assert_int_equal(msport_bind(p, &t), 0);
	(void)daemon_end(sig);

	/* Whoever polls the ring without sleeping learns it, */
	for (int i = 0; i < 100000 && n == 0; i++)
		n = msport_rx(p, 0, v, 4);
	assert_int_equal(n, -ECONNRESET);
	/* whoever sleeps, whoever sends, whoever asks. */
	assert_int_equal(msport_wait(p, 1, 0, -1), -ECONNRESET);
	assert_int_equal(msport_arm(p, 1, 0), -ECONNRESET);
	assert_int_equal(msport_sync(p, 0), -ECONNRESET);
	memset(&r, 0, sizeof r);
	assert_int_equal(msport_route(p, &r), -ECONNRESET);
	assert_non_null(strstr(msport_error(p), "multistackd"));
	assert_int_equal(msport_open(&fresh, device, NULL, &err),
			 -ECONNREFUSED);
	assert_non_null(strstr(err.text, "not running"));
	assert_int_equal(msport_reopen(p), -ECONNREFUSED);
	assert_int_equal(msport_rx(p, 0, v, 4), -ECONNRESET);
	assert_int_equal(msport_wait(p, 1, 0, -1), -ECONNRESET);
	assert_int_equal(msport_route(p, &r), -ECONNRESET);

	daemon_start_with(NULL, 0);
	assert_int_equal(msport_reopen(p), 0);
	fresh = must_open(device, NULL);
	assert_int_equal(msport_bind(fresh, &t), -EADDRINUSE);
	must_bind(fresh, ADDR, 2000);
	must_pass(p, 1000, fresh, 2000);
	must_pass(fresh, 2000, p, 1000);
	msport_close(fresh);
	msport_close(p);
}

static void
test_a_stopped_daemon_is_noticed_and_left_behind(void **state)
{
	check_lost(SIGTERM);
}

static void
test_a_killed_daemon_is_noticed_and_left_behind(void **state)
{
	check_lost(SIGKILL);
}

static void
test_a_sleeper_is_woken_by_the_daemons_end(void **state)
{
	static const int sigs[] = { SIGTERM, SIGKILL };

	for (int i = 0; i < 2; i++) {
		msport_t *p;
		pid_t killer;
		struct pollfd pfd;

		p = must_open(device, NULL);
		must_bind(p, ADDR, 1000);
		pfd = (struct pollfd){ .fd = msport_fd(p, 1, 0),
				       .events = POLLIN };
		killer = fork();
		assert_true(killer >= 0);
		if (killer == 0) {
			nap_us(50000);
			kill(d.pid, sigs[i]);
			_exit(0);
		}
		assert_int_equal(msport_arm(p, 1, 0), 0);
		assert_int_equal(poll(&pfd, 1, 60000), 1);
		assert_int_equal(msport_wait(p, 1, 0, -1), -ECONNRESET);
		waitpid(killer, NULL, 0);
		(void)daemon_end(SIGKILL);
		daemon_start_with(NULL, 0);
		assert_int_equal(msport_reopen(p), 0);
		msport_close(p);
	}
}

static void
test_daemons_killed_at_random_leave_clients_whole(void **state)
{
	unsigned int seed = (unsigned int)getpid();
	msport_t *p = must_open(device, NULL);
	uint8_t f[128], got[128];
	struct flow flow;

	must_bind(p, ADDR, 1000);
	must_bind(p, ADDR, 1001);
	flow = flow_of(p, 1000, 1001);
	udp_frame(f, 100, &flow, 0);
	for (int round = 0; round < 20; round++) {
		pid_t killer = fork();
		int r = 0;

		assert_true(killer >= 0);
		if (killer == 0) {
			nap_us((unsigned int)rand_r(&seed) % 20000);
			kill(d.pid, SIGKILL);
			_exit(0);
		}
		rand_r(&seed);
		while (r >= 0) {
			r = msport_send(p, 0, f, 100);
			if (r == 0 || r == -ENOBUFS)
				r = msport_recv(p, 0, got, sizeof got);
			if (r == 0)
				r = msport_wait(p, 1, 0, 100);
		}
		assert_int_equal(r, -ECONNRESET);
		waitpid(killer, NULL, 0);
		(void)daemon_end(SIGKILL);
		daemon_start_with(NULL, 0);
		assert_int_equal(msport_reopen(p), 0);
	}
	must_pass(p, 1000, p, 1001);
	msport_close(p);
}

#define WITH(t, end) cmocka_unit_test_setup_teardown(t, setup, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_frames_pass_between_two_ports, teardown),
		WITH(test_many_rings_have_their_descriptors, teardown),
		WITH(test_a_killed_client_leaves_nothing, teardown),
		WITH(test_a_dead_client_whose_child_lives_leaves_nothing,
		     teardown),
		WITH(test_what_is_closed_is_free, teardown),
		WITH(test_what_was_sent_before_the_end_arrives, teardown),
		WITH(test_who_lies_about_last_frames_ends_all_the_same,
		     teardown),
		WITH(test_clients_killed_at_any_instant_harm_nobody, teardown),
		WITH(test_a_stopped_daemon_is_noticed_and_left_behind,
		     teardown),
		WITH(test_a_killed_daemon_is_noticed_and_left_behind, teardown),
		WITH(test_a_sleeper_is_woken_by_the_daemons_end, teardown),
		WITH(test_daemons_killed_at_random_leave_clients_whole,
		     teardown),
	};

	return cmocka_run_group_tests_name("daemon", tests, group_setup,
					   group_teardown);
}
