/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_daemon.c: multistackd as its clients see it, good ones and others.
 *
 * The daemon is the one that was built; it listens in a temporary directory,
 * with one end of a wire in memory attached, so nothing of the machine is
 * touched. TEST_SEED=N repeats a run of what is random.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ms_proto.h"
#include "test_lib_util.h"

#define ADDR "10.9.0.1"
#define NOBODY 65534

static char dir[64], path[96], device[128], program[256];

static struct daemon {
	pid_t pid;
	int log; /* its stderr */
} d;

/* ---- processes -------------------------------------------------------------- */

static void
nap_us(unsigned int us)
{
	struct timespec t = { us / 1000000, (long)(us % 1000000) * 1000 };

	nanosleep(&t, NULL);
}

/* Starts it with `args` (NULL at the end) more, and at most `fds` descriptors
   if that is not 0. The pipe of its stderr goes to *log. */
static pid_t
daemon_spawn(const char *const *args, unsigned int fds, int *log)
{
	const char *argv[24] = { program, "-f", "-s", path };
	int p[2], n = 4;
	pid_t pid;

	while (args && *args && n < 23)
		argv[n++] = *args++;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit lim = { fds, fds };

		dup2(p[1], STDERR_FILENO);
		if (fds && setrlimit(RLIMIT_NOFILE, &lim))
			_exit(125);
		execv(program, (char **)argv);
		_exit(126);
	}
	close(p[1]);
	*log = p[0];
	return pid;
}

/* Until the socket answers. */
static void
daemon_wait_ready(void)
{
	for (int i = 0; i < 2000; i++) {
		msport_t *c;

		if (msport_control(&c, device, NULL) == 0) {
			msport_close(c);
			return;
		}
		if (waitpid(d.pid, NULL, WNOHANG) == d.pid)
			break;
		nap_us(5000);
	}
	fail_msg("multistackd did not start");
}

static void
daemon_start_with(const char *const *more, unsigned int fds)
{
	static const char *usual[24] = { "-a", "pair:p0,addr=" ADDR };
	int n = 2;

	while (more && *more)
		usual[n++] = *more++;
	usual[n] = NULL;
	d.pid = daemon_spawn(usual, fds, &d.log);
	daemon_wait_ready();
}

static int
daemon_end(int sig)
{
	int status = -1;

	if (d.pid <= 0)
		return -1;
	kill(d.pid, sig);
	assert_int_equal(waitpid(d.pid, &status, 0), d.pid);
	close(d.log);
	d.pid = 0;
	return status;
}

static int
setup(void **state)
{
	daemon_start_with(NULL, 0);
	return 0;
}

static int
teardown(void **state)
{
	int status = daemon_end(SIGTERM);

	/* Under a sanitizer this is where leaks show. */
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return 0;
}

/* Whatever a test did to it. */
static int
teardown_hard(void **state)
{
	(void)daemon_end(SIGKILL);
	return 0;
}

static int
group_setup(void **state)
{
	char exe[200];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	const char *given = getenv("MULTISTACKD");

	assert_true(n > 0);
	exe[n] = '\0';
	*strrchr(exe, '/') = '\0';
	snprintf(program, sizeof program,
		 "%s/../../sys/os/user/daemon/"
		 "multistackd",
		 exe);
	if (given)
		snprintf(program, sizeof program, "%s", given);
	strcpy(dir, "/tmp/ms-daemon-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	snprintf(path, sizeof path, "%s/s", dir);
	snprintf(device, sizeof device, "daemon@%s:p0", path);
	return 0;
}

static int
group_teardown(void **state)
{
	char lock[128];

	snprintf(lock, sizeof lock, "%s.lock", path);
	unlink(lock);
	unlink(path);
	rmdir(dir);
	return 0;
}

static unsigned int
ports_now(void)
{
	struct ms_cmd_info info = { .size = sizeof info };
	msport_error_t err;
	msport_t *c;

	if (msport_control(&c, device, &err))
		fail_msg("%s", err.text);
	assert_int_equal(msport_command(c, MS_CMD_INFO, &info), 0);
	msport_close(c);
	return info.num_ports;
}

/* The end of a client is noticed a moment later. */
static void
wait_for_ports(unsigned int n)
{
	for (int i = 0; i < 2000 && ports_now() != n; i++)
		nap_us(5000);
	assert_int_equal(ports_now(), n);
}

static void
bind_when_free(msport_t *p, uint16_t number)
{
	for (int i = 0; i < 2000; i++) {
		if (try_bind(p, ADDR, number) == 0)
			return;
		nap_us(5000);
	}
	fail_msg("%u stays taken: %s", number, msport_error(p));
}

static struct flow
flow_of(msport_t *p, uint16_t from, uint16_t to)
{
	struct flow f = {
		.src = ADDR, .dst = ADDR, .sport = from, .dport = to
	};

	memcpy(f.smac, msport_info(p)->mac, 6);
	memcpy(f.dmac, f.smac, 6);
	return f;
}

/* A frame from `from` is seen by `to`. */
static void
must_pass(msport_t *from, uint16_t sport, msport_t *to, uint16_t dport)
{
	struct flow flow = flow_of(from, sport, dport);
	uint8_t f[128], got[256];

	udp_frame(f, 100, &flow, 1);
	assert_int_equal(msport_send(from, 0, f, 100), 0);
	assert_int_equal(msport_wait(to, 1, 0, 10000), 1);
	assert_int_equal(msport_recv(to, 0, got, sizeof got), 100);
	assert_memory_equal(f, got, 100);
}

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
		assert_int_equal(poll(&pfd, 1, 20000), 1);
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

/* ---- the socket ------------------------------------------------------------------ */

static void
read_log(int fd, char *text, size_t bytes)
{
	size_t at = 0;
	ssize_t n;

	while (at + 1 < bytes && (n = read(fd, text + at, bytes - at - 1)) > 0)
		at += (size_t)n;
	text[at] = '\0';
}

static void
test_a_second_daemon_names_the_first(void **state)
{
	char text[1024], pid[32];
	int log, status;
	pid_t second = daemon_spawn(NULL, 0, &log);

	read_log(log, text, sizeof text);
	close(log);
	assert_int_equal(waitpid(second, &status, 0), second);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	snprintf(pid, sizeof pid, "process %d", (int)d.pid);
	if (!strstr(text, pid) || !strstr(text, path))
		fail_msg("%s", text);
	assert_int_equal(ports_now(), 0); /* the first still serves */
}

static void
test_the_log_says_how_it_attached(void **state)
{
	char text[2048];
	int log = dup(d.log);

	assert_true(log >= 0);
	(void)daemon_end(SIGTERM);
	read_log(log, text, sizeof text);
	close(log);
	if (!strstr(text, "attached p0 (pair)"))
		fail_msg("%s", text);
}

static void
test_something_else_in_the_sockets_place_stays(void **state)
{
	char text[1024];
	int log, status, fd;
	struct stat st;
	pid_t pid;

	(void)daemon_end(SIGTERM);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	pid = daemon_spawn(NULL, 0, &log);
	read_log(log, text, sizeof text);
	close(log);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_non_null(strstr(text, "no socket"));
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	unlink(path);
}

static void
test_bad_starts_say_why(void **state)
{
	static const struct {
		const char *args[4];
		int status;
		const char *word;
	} cases[] = {
		{ { "-a", "warp:eth0" }, 2, "warp" },
		{ { "-a", "tc:ms-none" }, 1, "ms-none" },
		{ { "-b", "much" }, 2, "--busy-poll" },
		{ { "-n" }, 2, "--no-attach" },
		{ { "eth0" }, 2, "--attach eth0" },
		{ { "-u", "no-such-user-here" }, 1, "no-such-user-here" },
		{ { "-G", "no-such-group-here" }, 1, "no-such-group-here" },
	};

	(void)daemon_end(SIGTERM);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[1024];
		int log, status;
		pid_t pid = daemon_spawn(cases[i].args, 0, &log);

		read_log(log, text, sizeof text);
		close(log);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) ||
		    WEXITSTATUS(status) != cases[i].status ||
		    !strstr(text, cases[i].word))
			fail_msg("%s: %x %s", cases[i].args[0], status, text);
	}
}

static int
raw_connect(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 10 };
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(s >= 0);
	strcpy(sun.sun_path, path);
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	assert_int_equal(connect(s, (struct sockaddr *)&sun, sizeof sun), 0);
	return s;
}

static void
test_garbage_ends_only_its_connection(void **state)
{
	const char *given = getenv("TEST_SEED");
	unsigned int seed = given ? (unsigned int)atoi(given)
				  : (unsigned int)getpid();
	msport_t *a = must_open(device, NULL), *b = must_open(device, NULL);

	print_message("TEST_SEED=%u\n", seed);
	must_bind(a, ADDR, 1000);
	must_bind(b, ADDR, 2000);
	for (int round = 0; round < 3000; round++) {
		uint8_t m[MS_MSG_BYTES_MAX + 64], answer[4096];
		struct ms_msg *h = (void *)m;
		size_t n = (size_t)rand_r(&seed) % sizeof m;
		int s = raw_connect();
		ssize_t r;

		for (size_t i = 0; i < sizeof m; i++)
			m[i] = (uint8_t)rand_r(&seed);
		/* Most look like messages, so that they get further. */
		if (rand_r(&seed) % 4) {
			n = sizeof *h + 4 + (size_t)rand_r(&seed) % 300;
			h->magic = MS_PROTO_MAGIC;
			h->abi = MS_ABI_VERSION;
			h->cmd = (uint32_t)rand_r(&seed) % (MS_CMD_MAX + 2);
			h->bytes = (uint16_t)(n - sizeof *h);
			if (rand_r(&seed) % 8)
				*(uint32_t *)(m + sizeof *h) = h->bytes;
			if (rand_r(&seed) % 2)
				memset(m + sizeof *h + 4, 0, n - sizeof *h - 4);
			if (h->cmd == MS_CMD_ATTACH)
				h->cmd = MS_CMD_LIST;
			if (h->cmd == MS_CMD_DETACH)
				h->cmd = MS_CMD_INFO;
		}
		(void)send(s, m, n, MSG_NOSIGNAL);
		if (rand_r(&seed) % 2) {
			r = recv(s, answer, sizeof answer, 0);
			assert_true(r >= 0 || errno == ECONNRESET);
		}
		close(s);
		if (round % 100 == 0)
			must_pass(a, 1000, b, 2000);
	}
	wait_for_ports(2);
	msport_close(a);
	msport_close(b);
}

static void
test_descriptors_are_not_taken(void **state)
{
	struct ms_cmd_info info = { .size = sizeof info };
	struct ms_msg m = { .magic = MS_PROTO_MAGIC,
			    .abi = MS_ABI_VERSION,
			    .cmd = MS_CMD_INFO,
			    .bytes = sizeof info };
	union {
		struct cmsghdr cm;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { .cm = { .cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS,
			      .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec iov[2] = { { &m, sizeof m }, { &info, sizeof info } };
	struct msghdr mh = { .msg_iov = iov,
			     .msg_iovlen = 2,
			     .msg_control = &control,
			     .msg_controllen = sizeof control };
	int s = raw_connect(), p[2];
	char c;

	assert_int_equal(pipe(p), 0);
	memcpy(CMSG_DATA(&control.cm), &p[1], sizeof(int));
	assert_true(sendmsg(s, &mh, 0) > 0);
	close(p[1]);
	assert_true(recv(s, &c, 1, 0) <= 0);
	/* The pipe has no writer left: nobody kept it. */
	assert_int_equal(read(p[0], &c, 1), 0);
	close(p[0]);
	close(s);
}

static void
test_another_abi_is_told_both_versions(void **state)
{
	struct ms_msg m = { .magic = MS_PROTO_MAGIC,
			    .abi = MS_ABI_VERSION + 6,
			    .cmd = MS_CMD_INFO };
	struct {
		struct ms_msg m;
		char text[MS_MSG_TEXT_MAX + 1];
	} a = { 0 };
	int s = raw_connect();

	assert_int_equal(send(s, &m, sizeof m, 0), sizeof m);
	assert_true(recv(s, &a, sizeof a, 0) > (ssize_t)sizeof a.m);
	assert_int_equal(a.m.err, -EPROTO);
	assert_int_equal(a.m.abi, MS_ABI_VERSION);
	assert_non_null(strstr(a.text, "version 1"));
	assert_non_null(strstr(a.text, "client 7"));
	close(s);
}

/* ---- limits ------------------------------------------------------------------------ */

static void
test_out_of_descriptors_is_an_error_and_passes(void **state)
{
	msport_t *p[64] = { NULL };
	msport_error_t err = { 0 };
	int n = 0, bound = 0, r;

	(void)daemon_end(SIGTERM);
	daemon_start_with(NULL, 128);
	for (; n < 2; n++) {
		p[n] = must_open(device, NULL);
		must_bind(p[n], ADDR, (uint16_t)(1000 * (n + 1)));
	}
	while ((r = msport_open(&p[n], device, NULL, &err)) == 0)
		assert_true(++n < 64);
	for (uint16_t i = 1; i < 32 && bound == 0; i++)
		bound = try_bind(p[0], ADDR, (uint16_t)(1000 + i));
	assert_int_equal(bound, -ENFILE);
	assert_true(r == -ENFILE || r == -EMFILE || r == -EDQUOT);
	assert_non_null(strstr(err.text, "descriptors"));
	assert_true(n > 2);
	must_pass(p[0], 1000, p[1], 2000);
	msport_close(p[--n]);
	wait_for_ports((unsigned int)n);
	p[n] = must_open(device, NULL);
	for (int i = 0; i <= n; i++)
		msport_close(p[i]);
}

static void
test_a_flood_of_connections_ends(void **state)
{
	int s[300];
	msport_t *p;

	(void)daemon_end(SIGTERM);
	daemon_start_with(NULL, 128);
	p = must_open(device, NULL);
	must_bind(p, ADDR, 1000);
	must_bind(p, ADDR, 1001);
	for (int i = 0; i < 300; i++)
		s[i] = raw_connect();
	must_pass(p, 1000, p, 1001);
	for (int i = 0; i < 300; i++)
		close(s[i]);
	for (int i = 0; i < 2000; i++) {
		msport_t *c;

		if (msport_control(&c, device, NULL) == 0) {
			struct ms_cmd_info info = { .size = sizeof info };
			int r = msport_command(c, MS_CMD_INFO, &info);

			msport_close(c);
			if (r == 0)
				break;
		}
		nap_us(5000);
	}
	assert_int_equal(ports_now(), 1);
	msport_close(p);
}

/* As user nobody, in a child; `run` returns its exit status. */
static int
as_nobody(int (*run)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(setresgid(NOBODY, NOBODY, NOBODY) ||
			      setresuid(NOBODY, NOBODY, NOBODY)
			  ? 99
			  : run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int
open_three(void)
{
	msport_error_t err;
	msport_t *p;

	for (int i = 0; i < 2; i++)
		if (msport_open(&p, device, NULL, &err))
			return 1;
	if (msport_open(&p, device, NULL, &err) != -EDQUOT)
		return 2;
	return strstr(err.text, "--max-ports") ? 0 : 3;
}

static int
open_large(void)
{
	static const msport_options_t opt = { .slots = 16384,
					      .buf_bytes = 65536 };
	msport_error_t err;
	msport_t *p;

	if (msport_open(&p, device, &opt, &err) != -EDQUOT)
		return 1;
	return strstr(err.text, "--max-memory") ? 0 : 2;
}

static int
bind_low_and_attach(void)
{
	struct ms_cmd_attach a = { .size = sizeof a,
				   .nic = "p9",
				   .kind = "pair" };
	msport_t *p;

	if (msport_open(&p, device, NULL, NULL))
		return 1;
	if (msport_command(p, MS_CMD_ATTACH, &a) != -EPERM)
		return 2;
	return strstr(msport_error(p), "CAP_NET_ADMIN") ? 0 : 3;
}

static void
test_a_user_has_limits_and_no_privileges(void **state)
{
	static const char *const args[] = { "--max-ports", "2", "--max-memory",
					    "64", NULL };

	if (geteuid() != 0) {
		print_message("skipped: takes root to become another user\n");
		skip();
	}
	(void)daemon_end(SIGTERM);
	daemon_start_with(args, 0);
	assert_int_equal(as_nobody(open_three), 0);
	wait_for_ports(0);
	assert_int_equal(as_nobody(open_large), 0);
	assert_int_equal(as_nobody(bind_low_and_attach), 0);
}

/* ---- privileges ---------------------------------------------------------------------- */

#if defined(__SANITIZE_THREAD__)
#define SANITIZER_THREAD true /* it has one of its own, with all it likes */
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZER_THREAD true
#endif
#endif
#ifndef SANITIZER_THREAD
#define SANITIZER_THREAD false
#endif

/* The capabilities that each thread of the daemon may use, or'ed. */
static unsigned long long
caps_of_threads(const char *field, bool first_only)
{
	char name[320], line[256];
	unsigned long long all = 0, caps;
	struct dirent *de;
	DIR *dir_;

	snprintf(name, sizeof name, "/proc/%d/task", (int)d.pid);
	dir_ = opendir(name);
	assert_non_null(dir_);
	while ((de = readdir(dir_))) {
		FILE *f;

		if (*de->d_name == '.' ||
		    (atoi(de->d_name) == (int)d.pid) != first_only)
			continue;
		snprintf(name, sizeof name, "/proc/%d/task/%s/status",
			 (int)d.pid, de->d_name);
		f = fopen(name, "r");
		assert_non_null(f);
		while (fgets(line, sizeof line, f))
			if (!strncmp(line, field, strlen(field)) &&
			    sscanf(line + strlen(field), ": %llx", &caps) == 1)
				all |= caps;
		fclose(f);
	}
	closedir(dir_);
	return all;
}

/* The daemon itself could not see any more that root is root here. */
static void
test_an_administrator_is_known_after_the_drop(void **state)
{
	static const char *const nobody[] = { "--user", "nobody", NULL };
	struct ms_cmd_attach a = { .size = sizeof a,
				   .nic = "p9",
				   .kind = "pair" };
	msport_error_t err;
	msport_t *c;

	if (geteuid() != 0) {
		print_message("skipped: takes root\n");
		skip();
	}
	(void)daemon_end(SIGTERM);
	daemon_start_with(nobody, 0);
	assert_int_equal(msport_control(&c, device, &err), 0);
	if (msport_command(c, MS_CMD_ATTACH, &a))
		fail_msg("%s", msport_error(c));
	assert_int_equal(msport_command(c, MS_CMD_ATTACH, &a), -EEXIST);
	assert_int_equal(msport_command(c, MS_CMD_DETACH, &a), 0);
	assert_int_equal(msport_command(c, MS_CMD_DETACH, &a), -ENODEV);
	msport_close(c);
}

static void
test_privileges_are_dropped(void **state)
{
	static const char *const args[] = { "--no-attach", NULL };
	static const char *const nobody[] = { "--no-attach", "--user", "nobody",
					      NULL };
	const unsigned long long serve = 1ull << 10 /* NET_BIND_SERVICE */ |
					 1ull << 13 /* NET_RAW */;
	const unsigned long long attach = 1ull << 12 /* NET_ADMIN */ |
					  1ull << 38 /* PERFMON */ |
					  1ull << 39 /* BPF */;

	if (geteuid() != 0 || SANITIZER_THREAD) {
		print_message("skipped: takes root, and no thread sanitizer\n");
		skip();
	}
	assert_int_equal(caps_of_threads("CapPrm", true) & ~(serve | attach),
			 0);
	(void)daemon_end(SIGTERM);
	daemon_start_with(args, 0);
	assert_int_equal(caps_of_threads("CapPrm", true) & ~serve, 0);
	assert_int_equal(caps_of_threads("CapEff", true) & ~serve, 0);
	assert_int_equal(caps_of_threads("CapPrm", false) & ~serve, 0);
	(void)daemon_end(SIGTERM);
	daemon_start_with(nobody, 0);
	assert_int_equal(caps_of_threads("CapPrm", true) & ~serve, 0);
	assert_int_equal(caps_of_threads("CapPrm", false) & ~serve, 0);
	assert_int_equal(caps_of_threads("Uid", true), 0x65534);
	assert_int_equal(ports_now(), 0);
}

/* ---- a daemon that is not what it should be ------------------------------------------- */

enum lie {
	LIE_ABI,
	LIE_GARBAGE,
	LIE_NO_FDS,
	LIE_UNSEALED,
	LIE_REGION,
	LIE_HANGUP,
	LIES
};

static void
give(int s, struct ms_msg *m, const void *arg, const int *fds, unsigned int n)
{
	char buf[CMSG_SPACE(4 * sizeof(int))] = { 0 };
	struct iovec iov[2] = { { m, sizeof *m }, { (void *)arg, m->bytes } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };
	struct cmsghdr *cm = (void *)buf;

	if (n) {
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, n * sizeof(int));
		mh.msg_control = buf;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
	}
	if (sendmsg(s, &mh, MSG_NOSIGNAL) < 0)
		_exit(1);
}

/* One connection, one lie. */
static void
liar(int listener, enum lie lie)
{
	struct ms_msg m = { .magic = MS_PROTO_MAGIC,
			    .abi = MS_ABI_VERSION,
			    .cmd = MS_CMD_PORT_CREATE };
	struct ms_cmd_port_create c = { .size = sizeof c,
					.tx_rings = 1,
					.rx_rings = 1,
					.region_bytes = 1 << 20 };
	int s = accept(listener, NULL, NULL), fds[4] = { -1, -1, -1, -1 };
	uint8_t in[4096];
	struct ms_region *g;

	if (s < 0 || recv(s, in, sizeof in, 0) <= 0)
		_exit(1);
	m.bytes = sizeof c;
	fds[0] = memfd_create("region", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	for (int i = 1; i < 4; i++)
		fds[i] = memfd_create("fd", MFD_CLOEXEC);
	if (ftruncate(fds[0], 1 << 20))
		_exit(1);
	if (lie != LIE_UNSEALED)
		fcntl(fds[0], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	g = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	if (lie == LIE_REGION)
		*g = (struct ms_region){
			.magic = MS_REGION_MAGIC,
			.abi = MS_ABI_VERSION,
			.size = sizeof *g,
			.bytes = 1 << 20,
			.tx_rings = 1,
			.rx_rings = 1,
			.slots = 512,
			.buf_bytes = 2048,
			.bufs = 1024,
			.ring_ofs = 128,
			.ring_stride = 8384,
			.bufs_ofs = 32768,
		}; /* its buffers end behind the region */
	if (lie == LIE_ABI)
		m.abi = MS_ABI_VERSION + 1;
	if (lie == LIE_GARBAGE) {
		m.bytes = 60000;
		if (send(s, &m, sizeof m, MSG_NOSIGNAL) < 0)
			_exit(1);
	} else if (lie != LIE_HANGUP) {
		give(s, &m, &c, fds, lie == LIE_NO_FDS ? 0 : 4);
	}
	close(s);
	_exit(0);
}

static void
test_a_lying_daemon_is_an_error(void **state)
{
	static const struct {
		int code;
		const char *word;
	} want[LIES] = {
		[LIE_ABI] = { -EPROTO, "version 2" },
		[LIE_GARBAGE] = { -ECONNRESET, "multistackd" },
		[LIE_NO_FDS] = { -EPROTO, "descriptors" },
		[LIE_UNSEALED] = { -EPROTO, "sealed" },
		[LIE_REGION] = { -EPROTO, "region" },
		[LIE_HANGUP] = { -ECONNRESET, "multistackd" },
	};
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char other[160];
	int s;

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s/liar", dir);
	snprintf(other, sizeof other, "daemon@%s:p0", sun.sun_path);
	s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s, (struct sockaddr *)&sun, sizeof sun), 0);
	assert_int_equal(listen(s, 5), 0);
	for (enum lie lie = 0; lie < LIES; lie++) {
		msport_error_t err = { 0 };
		msport_t *p = NULL;
		pid_t pid = fork();
		int r;

		assert_true(pid >= 0);
		if (pid == 0)
			liar(s, lie);
		r = msport_open(&p, other, NULL, &err);
		if (r != want[lie].code || !strstr(err.text, want[lie].word))
			fail_msg("lie %d: %d %s", lie, r, err.text);
		assert_null(p);
		waitpid(pid, NULL, 0);
	}
	close(s);
	unlink(sun.sun_path);
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
		WITH(test_a_second_daemon_names_the_first, teardown),
		WITH(test_the_log_says_how_it_attached, teardown_hard),
		WITH(test_something_else_in_the_sockets_place_stays,
		     teardown_hard),
		WITH(test_bad_starts_say_why, teardown_hard),
		WITH(test_garbage_ends_only_its_connection, teardown),
		WITH(test_descriptors_are_not_taken, teardown),
		WITH(test_another_abi_is_told_both_versions, teardown),
		WITH(test_out_of_descriptors_is_an_error_and_passes, teardown),
		WITH(test_a_flood_of_connections_ends, teardown),
		WITH(test_a_user_has_limits_and_no_privileges, teardown),
		WITH(test_an_administrator_is_known_after_the_drop, teardown),
		WITH(test_privileges_are_dropped, teardown),
		cmocka_unit_test(test_a_lying_daemon_is_an_error),
	};

	return cmocka_run_group_tests_name("daemon", tests, group_setup,
					   group_teardown);
}
