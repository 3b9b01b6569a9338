/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_os_linux.c: kernel_test's world on Linux: two network namespaces and a
 * veth pair, made with ip(8), all gone with the process.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kt.h"

#define NOBODY 65534
#define MODULE "multistack"

const uintptr_t os_kernel_addrs[] = {
	0x7ffffffff000,	    0x800000000000,	0x8000000000000000,
	0xffff800000000000, 0xffff888000001000, 0xffffc90000000000,
	0xffffffff81000000, 0xffffffffff600000, 0xfffffffffffff000,
	0xffffffffffffffff,
};
const unsigned int os_num_kernel_addrs = sizeof(os_kernel_addrs) /
					 sizeof(os_kernel_addrs[0]);

static pid_t far_pid; /* holds the far namespace; 0: none */
static int near_ns = -1;

static void
die(const char *what)
{
	printf("# %s: %s\n", what, strerror(errno));
	fflush(stdout);
	_exit(1);
}

/* Runs a command; ends the process where it fails. */
static void
run(const char *format, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	if (system(command) != 0) {
		printf("# failed: %s\n", command);
		fflush(stdout);
		_exit(1);
	}
}

const char *
os_unable(void)
{
	if (geteuid() != 0)
		return "needs root";
	if (access(KT_DEVICE, F_OK) != 0)
		return "no " KT_DEVICE ": the module is not loaded";
	if (chmod(KT_DEVICE, 0666) != 0) /* for nobody */
		return "cannot change " KT_DEVICE;
	return NULL;
}

/* ---- the world --------------------------------------------------------------- */

const char *
os_nic(enum os_side side)
{
	return side == OS_NEAR ? "ms0" : "ms1";
}

static int
ns_of(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	return fd;
}

/* Nothing but its process holds the far one, so that it can end. */
void
os_enter(enum os_side side)
{
	int fd = side == OS_NEAR ? near_ns : ns_of(far_pid);

	if (setns(fd, CLONE_NEWNET) != 0)
		die("setns");
	if (side == OS_FAR)
		close(fd);
}

static void
far_begin(void)
{
	int pipes[2];
	char c;

	if (pipe(pipes) != 0)
		die("pipe");
	fflush(stdout);
	far_pid = fork();
	if (far_pid < 0)
		die("fork");
	if (far_pid == 0) {
		close(near_ns);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) != 0 || write(pipes[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (read(pipes[0], &c, 1) != 1)
		die("far host");
	close(pipes[0]);
	close(pipes[1]);
}

static void
run_far(const char *command)
{
	os_enter(OS_FAR);
	run("%s", command);
	os_enter(OS_NEAR);
}

static void
wire_begin(void)
{
	run("ip link add ms0 address 02:00:00:00:00:01 type veth peer "
	    "name ms1 address 02:00:00:00:00:02 netns %d",
	    (int)far_pid);
	/* No word by themselves: no IPv6 at the far end, no DAD here. */
	run_far("sysctl -qw net.ipv6.conf.ms1.disable_ipv6=1; "
		"ip link set ms1 up && ip link set lo up");
	run("ip link set lo up && ip link set ms0 up && "
	    "ip addr add 10.0.0.1/24 dev ms0 && "
	    "ip addr add fd00::1/64 dev ms0 nodad && "
	    "ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev ms0 && "
	    "ip neigh add fd00::2 lladdr 02:00:00:00:00:02 dev ms0");
}

/* Namespaces take long to go, so they are used again. */
void
os_world_create(void)
{
	if (near_ns < 0) {
		if (unshare(CLONE_NEWNET) != 0)
			die("unshare");
		near_ns = ns_of(getpid());
	}
	if (far_pid == 0)
		far_begin();
	wire_begin();
}

void
os_far_end(void)
{
	kill(far_pid, SIGKILL);
}

void
os_world_destroy(void)
{
	if (waitpid(far_pid, NULL, WNOHANG) == far_pid)
		far_pid = 0;
	(void)!system("ip link del ms0 2>/dev/null");
}

void
os_wire_cut(void)
{
	run("ip link del ms0");
}

void
os_wire_up(bool up)
{
	const char *state = up ? "up" : "down";

	run("ip link set ms0 %s", state);
	run_far(up ? "ip link set ms1 up" : "ip link set ms1 down");
	if (up)
		run("ip addr replace fd00::1/64 dev ms0 nodad && "
		    "ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:02 "
		    "dev ms0 && "
		    "ip neigh replace fd00::2 lladdr 02:00:00:00:00:02 "
		    "dev ms0");
}

void
os_set_mtu(uint32_t bytes)
{
	char command[64];

	snprintf(command, sizeof(command), "ip link set ms1 mtu %u",
		 (unsigned int)bytes);
	run_far(command);
	run("ip link set ms0 mtu %u", (unsigned int)bytes);
}

/* ---- the far end -------------------------------------------------------------- */

int
os_raw_open(void)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL) };
	int fd, one = 1;

	os_enter(OS_FAR);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	at.sll_ifindex = (int)if_nametoindex("ms1");
	if (fd < 0 || bind(fd, (void *)&at, sizeof(at)) != 0)
		die("packet socket");
	(void)setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one,
			 sizeof(one));
	one = 8 << 20;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &one, sizeof(one));
	os_enter(OS_NEAR);
	return fd;
}

void
os_raw_send(int fd, const void *frame, size_t bytes)
{
	while (send(fd, frame, bytes, 0) < 0)
		if (errno != ENOBUFS && errno != EINTR)
			die("send to the wire");
}

size_t
os_raw_recv(int fd, void *frame, size_t room, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	ssize_t n;

	if (poll(&pfd, 1, timeout_ms) <= 0)
		return 0;
	n = recv(fd, frame, room, MSG_DONTWAIT);
	return n < 0 ? 0 : (size_t)n;
}

/* ---- the rest ------------------------------------------------------------------- */

int
os_unload(void)
{
	return syscall(SYS_delete_module, MODULE, O_NONBLOCK) ? -errno : 0;
}

void
os_become_nobody(void)
{
	if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 ||
	    setuid(NOBODY) != 0)
		die("becoming nobody");
}

/* Or a negative errno. */
static int
put_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* Telling the kernel to stop may be what fails for want of memory. */
static int
may_fail(bool on)
{
	int r;

	do {
		r = put_text("/proc/self/make-it-fail", on ? "1" : "0");
	} while (r == -ENOMEM);
	return r;
}

int
os_fail_allocations(unsigned int one_in)
{
	static const char *const points[] = { "failslab", "fail_page_alloc" };
	char path[96], text[16];
	unsigned int i;
	int r = 0;

	if (may_fail(false) != 0)
		return -EOPNOTSUPP;
	for (i = 0; i < 2 && one_in != 0; i++) {
		const char *const set[][2] = {
			{ "task-filter", "Y" },	 { "times", "-1" },
			{ "verbose", "0" },	 { "ignore-gfp-wait", "N" },
			{ "interval", "0" },	 { "min-order", "0" },
			{ "probability", text },
		};
		unsigned int k;

		/* in per cent */
		snprintf(text, sizeof(text), "%u", (100 + one_in - 1) / one_in);
		for (k = 0; k < sizeof(set) / sizeof(set[0]); k++) {
			snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s",
				 points[i], set[k][0]);
			r = put_text(path, set[k][1]);
		}
		if (r != 0) /* the probability; not all have all the others */
			return -EOPNOTSUPP;
	}
	return one_in != 0 ? may_fail(true) : 0;
}

void
os_log(const char *text)
{
	char line[128];

	snprintf(line, sizeof(line), "<6>kernel-test: %s\n", text);
	put_text("/dev/kmsg", line);
}

/* A veth queues at its receiver's processor, which is the sender's. */
void
os_stay(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET((size_t)sched_getcpu(), &here);
	if (sched_setaffinity(0, sizeof(here), &here) != 0)
		die("sched_setaffinity");
}

/* User Mode Linux gives a child all that its parent's process has mapped. */
static bool
is_uml(void)
{
	char text[256] = "";
	int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	return strstr(text, "User Mode Linux") != NULL;
}

bool
os_has(enum os_trait trait)
{
	return trait != OS_FORKS_TRULY || !is_uml();
}

void
os_private(void *region, size_t bytes)
{
	/* The module said so. */
}

unsigned int
os_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	if (dir == NULL)
		die("/proc/self/fd");
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

/* tests/kernel/test_rounds.py and others have what is Linux's alone. */
const struct kt_case os_cases[] = { { 0 } };
