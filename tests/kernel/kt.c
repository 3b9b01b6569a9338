/* SPDX-License-Identifier: BSD-2-Clause */
/* kt.c: checks, processes, and commands. Ports: kt_port.c. */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <time.h>

#include "kt.h"

#define SKIPPED 77

unsigned int kt_seconds = 2;
uint64_t kt_seed = 1;

/* ---- checks ----------------------------------------------------------------- */

static void
say(const char *prefix, const char *format, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), format, ap);
	printf("%s%s\n", prefix, text);
	fflush(stdout);
}

void
kt_note(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say("# ", format, ap);
	va_end(ap);
}

noreturn void
kt_fail(const char *file, int line, const char *format, ...)
{
	char where[128];
	va_list ap;

	snprintf(where, sizeof(where), "# %s:%d: ", file, line);
	va_start(ap, format);
	say(where, format, ap);
	va_end(ap);
	_exit(1);
}

noreturn void
kt_skip(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say("# skip: ", format, ap);
	va_end(ap);
	_exit(SKIPPED);
}

void
kt_equal(const char *file, int line, const char *what, long long is,
	 long long should)
{
	if (is == should)
		return;
	if (is < 0 && is > -200)
		kt_fail(file, line, "%s is %lld (%s), not %lld", what, is,
			strerror((int)-is), should);
	kt_fail(file, line, "%s is %lld, not %lld", what, is, should);
}

/* ---- time and chance ---------------------------------------------------------- */

uint64_t
kt_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void
kt_nap_us(unsigned int us)
{
	struct timespec t = { us / 1000000, (long)(us % 1000000) * 1000 };

	nanosleep(&t, NULL);
}

uint64_t
kt_chance(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* ---- processes ------------------------------------------------------------------ */

pid_t
kt_fork(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	return pid;
}

void
kt_join(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
		_exit(SKIPPED);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void
kt_kill(pid_t pid)
{
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(waitpid(pid, NULL, 0) == pid);
}

void
kt_say(int fd)
{
	CHECK(write(fd, "", 1) == 1);
}

void
kt_hear(int fd)
{
	char c;

	CHECK(read(fd, &c, 1) == 1);
}

void
kt_as_nobody(void (*body)(void))
{
	pid_t pid = kt_fork();

	if (pid == 0) {
		os_become_nobody();
		body();
		_exit(0);
	}
	kt_join(pid);
}

union control {
	struct cmsghdr cm;
	char buf[CMSG_SPACE(sizeof(int))];
};

void
kt_pass(int sock, int fd)
{
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	union control c = { .buf = { 0 } };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &c,
			    .msg_controllen = sizeof(c.buf) };

	c.cm.cmsg_level = SOL_SOCKET;
	c.cm.cmsg_type = SCM_RIGHTS;
	c.cm.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&c.cm), &fd, sizeof(int));
	CHECK(sendmsg(sock, &m, 0) == 1);
}

int
kt_take(int sock)
{
	char byte;
	struct iovec iov = { &byte, 1 };
	union control c;
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &c,
			    .msg_controllen = sizeof(c.buf) };
	int fd;

	CHECK(recvmsg(sock, &m, 0) == 1);
	CHECK(CMSG_FIRSTHDR(&m) != NULL);
	memcpy(&fd, CMSG_DATA(&c.cm), sizeof(int));
	return fd;
}

/* ---- commands --------------------------------------------------------------------- */

int
kt_open(void)
{
	int fd = open(KT_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		kt_fail(__FILE__, __LINE__, "%s: %s", KT_DEVICE,
			strerror(errno));
	return fd;
}

int
kt_cmd(int fd, enum ms_cmd cmd, void *arg)
{
	int r = ioctl(fd, MS_IOCTL(cmd), arg);

	return r < 0 ? -errno : r;
}

static const struct {
	const char *name;
	uint32_t bytes;
} commands[MS_CMD_MAX] = {
	[MS_CMD_INFO] = { "INFO", sizeof(struct ms_cmd_info) },
	[MS_CMD_PORT_CREATE] = { "PORT_CREATE",
				 sizeof(struct ms_cmd_port_create) },
	[MS_CMD_QUEUE_ATTACH] = { "QUEUE_ATTACH",
				  sizeof(struct ms_cmd_queue_attach) },
	[MS_CMD_BIND] = { "BIND", sizeof(struct ms_cmd_bind) },
	[MS_CMD_UNBIND] = { "UNBIND", sizeof(struct ms_cmd_bind) },
	[MS_CMD_ROUTE] = { "ROUTE", sizeof(struct ms_cmd_route) },
	[MS_CMD_SYNC] = { "SYNC", sizeof(struct ms_cmd_sync) },
	[MS_CMD_STATS] = { "STATS", sizeof(struct ms_cmd_stats) },
	[MS_CMD_TAP] = { "TAP", sizeof(struct ms_cmd_tap) },
	[MS_CMD_HANDOVER] = { "HANDOVER", sizeof(struct ms_cmd_handover) },
	[MS_CMD_ATTACH] = { "ATTACH", sizeof(struct ms_cmd_attach) },
	[MS_CMD_DETACH] = { "DETACH", sizeof(struct ms_cmd_attach) },
	[MS_CMD_LIST] = { "LIST", sizeof(struct ms_cmd_list) },
};

uint32_t
kt_cmd_bytes(enum ms_cmd cmd)
{
	return commands[cmd].bytes;
}

const char *
kt_cmd_name(enum ms_cmd cmd)
{
	return commands[cmd].name;
}

static struct ms_cmd_info
info(void)
{
	struct ms_cmd_info a = { .size = sizeof(a) };
	int fd = kt_open();

	CHECK_EQ(kt_cmd(fd, MS_CMD_INFO, &a), 0);
	close(fd);
	return a;
}

uint32_t
kt_num_ports(void)
{
	return info().num_ports;
}

uint64_t
kt_num_tuples(void)
{
	return info().num_tuples;
}

static int
attachment(enum ms_cmd cmd, const char *nic, const char *kind, uint32_t flags)
{
	struct ms_cmd_attach a = { .size = sizeof(a), .flags = flags };
	int fd = kt_open(), r;

	snprintf(a.nic, sizeof(a.nic), "%s", nic);
	snprintf(a.kind, sizeof(a.kind), "%s", kind);
	r = kt_cmd(fd, cmd, &a);
	close(fd);
	return r;
}

int
kt_attach(const char *nic, const char *kind)
{
	return attachment(MS_CMD_ATTACH, nic, kind, 0);
}

int
kt_detach(const char *nic, uint32_t flags)
{
	return attachment(MS_CMD_DETACH, nic, "", flags);
}
