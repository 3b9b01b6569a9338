/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * daemon_util.h: a multistackd for a test, as its clients see it.
 *
 * The daemon is the one that was built; it listens in a temporary directory,
 * with one end of a wire in memory attached, so nothing of the machine is
 * touched. TEST_SEED=N repeats a run of what is random.
 */
#ifndef DAEMON_UTIL_H
#define DAEMON_UTIL_H

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

static inline void
nap_us(unsigned int us)
{
	struct timespec t = { us / 1000000, (long)(us % 1000000) * 1000 };

	nanosleep(&t, NULL);
}

/* Starts it with `args` (NULL at the end) more, and at most `fds` descriptors
   if that is not 0. The pipe of its stderr goes to *log. */
static inline pid_t
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
static inline void
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

static inline void
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

static inline int
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

static inline int
setup(void **state)
{
	daemon_start_with(NULL, 0);
	return 0;
}

static inline int
teardown(void **state)
{
	int status = daemon_end(SIGTERM);

	/* Under a sanitizer this is where leaks show. */
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return 0;
}

/* Whatever a test did to it. */
static inline int
teardown_hard(void **state)
{
	(void)daemon_end(SIGKILL);
	return 0;
}

static inline int
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

static inline int
group_teardown(void **state)
{
	char lock[128];

	snprintf(lock, sizeof lock, "%s.lock", path);
	unlink(lock);
	unlink(path);
	rmdir(dir);
	return 0;
}

static inline unsigned int
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
static inline void
wait_for_ports(unsigned int n)
{
	for (int i = 0; i < 2000 && ports_now() != n; i++)
		nap_us(5000);
	assert_int_equal(ports_now(), n);
}

static inline void
bind_when_free(msport_t *p, uint16_t number)
{
	for (int i = 0; i < 2000; i++) {
		if (try_bind(p, ADDR, number) == 0)
			return;
		nap_us(5000);
	}
	fail_msg("%u stays taken: %s", number, msport_error(p));
}

static inline struct flow
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
static inline void
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

static inline int
raw_connect(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 60 };
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(s >= 0);
	strcpy(sun.sun_path, path);
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	assert_int_equal(connect(s, (struct sockaddr *)&sun, sizeof sun), 0);
	return s;
}

#endif /* DAEMON_UTIL_H */
