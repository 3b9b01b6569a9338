/* SPDX-License-Identifier: BSD-2-Clause */
/* dev_daemon.c: ports of multistackd; ms_proto.h is what is said. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"
#include "ms_proto.h"

#define ANSWER_S 30   /* a daemon that says nothing for so long hangs */
#define CLOSE_MS 1000 /* and one that is not done with a port in this */

struct conn {
	int sock;
	unsigned int num_fds;
	int fds[MS_MSG_FDS_MAX]; /* of PORT_CREATE: in ms_proto.h's order */
};

/* ---- messages ----------------------------------------------------------- */

struct answer {
	struct ms_msg msg;
	uint8_t body[MS_MSG_BYTES_MAX - sizeof(struct ms_msg)];
};

/* The connection said something that ends it. */
static int
lost(msport_t *port, msport_error_t *err, int code)
{
	struct conn *c = port->link;

	shutdown(c->sock, SHUT_RDWR);
	if (code == -ETIMEDOUT) {
		msport__die(port, -ECONNRESET);
		return msport__fail(port, err, code,
				    "multistackd at %s did not answer for %d "
				    "seconds; is it stopped or stuck?",
				    port->dev.socket, ANSWER_S);
	}
	msport__die(port, -ECONNRESET);
	return msport__fail(port, err, -ECONNRESET,
			    "multistackd at %s stopped or closed the "
			    "connection; start it again, then msport_reopen()",
			    port->dev.socket);
}

/* Keeps the descriptors of a message; too many or in wrong places are closed
   by whoever ends the connection. */
static void
take_fds(struct conn *c, struct msghdr *mh)
{
	struct cmsghdr *cm;

	for (cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
		unsigned int n;

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		n = (unsigned int)((cm->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (unsigned int i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cm) + i * sizeof fd, sizeof fd);
			if (c->num_fds < MS_MSG_FDS_MAX)
				c->fds[c->num_fds++] = fd;
			else
				close(fd);
		}
	}
}

/* One packet into *a. Its bytes, or a negative errno. */
static ssize_t
receive(struct conn *c, struct answer *a)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(MS_MSG_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = a, .iov_len = sizeof *a };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof control.buf };
	ssize_t n;

	do
		n = recvmsg(c->sock, &mh, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	take_fds(c, &mh);
	if (n == 0)
		return -ECONNRESET;
	if (mh.msg_flags & MSG_CTRUNC)
		return -EMFILE;
	if (n < (ssize_t)sizeof a->msg || (mh.msg_flags & MSG_TRUNC) ||
	    a->msg.magic != MS_PROTO_MAGIC)
		return -EPROTO;
	return n;
}

static int
send_request(struct conn *c, uint32_t cmd, const void *arg, uint32_t bytes)
{
	struct ms_msg m = { .magic = MS_PROTO_MAGIC,
			    .abi = MS_ABI_VERSION,
			    .cmd = cmd,
			    .bytes = (uint16_t)bytes };
	struct iovec iov[2] = { { &m, sizeof m }, { (void *)arg, bytes } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	do
		n = sendmsg(c->sock, &mh, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* What the daemon's answer comes to. */
static int
answered(msport_t *port, const struct answer *a, size_t n, uint32_t cmd,
	 void *arg, uint32_t bytes, msport_error_t *err)
{
	size_t body = n - sizeof a->msg, text = a->msg.text;

	if (a->msg.abi != MS_ABI_VERSION)
		return msport__fail(port, err, -EPROTO,
				    "multistackd at %s speaks ABI version %u, "
				    "this libmultistack version %d; install "
				    "both from one release and restart "
				    "multistackd",
				    port->dev.socket, a->msg.abi,
				    MS_ABI_VERSION);
	if (a->msg.bytes > body || text > body - a->msg.bytes ||
	    (a->msg.cmd != cmd && a->msg.err == 0) || a->msg.err > 0)
		return lost(port, err, -EPROTO);
	if (a->msg.bytes)
		memcpy(arg, a->body,
		       a->msg.bytes < bytes ? a->msg.bytes : bytes);
	if (a->msg.err == 0)
		return 0;
	if (text == 0)
		return msport__fail(port, err, a->msg.err, "%s",
				    strerror(-a->msg.err));
	return msport__fail(port, err, a->msg.err, "%.*s", (int)text,
			    (const char *)a->body + a->msg.bytes);
}

static int
daemon_command(msport_t *port, uint32_t cmd, void *arg, uint32_t bytes,
	       msport_error_t *err)
{
	struct conn *c = port->link;
	struct answer a;
	ssize_t n;
	int r;

	if (bytes > sizeof a.body - MS_MSG_TEXT_MAX)
		return msport__fail(port, err, -E2BIG,
				    "a command of %u bytes is longer than any",
				    bytes);
	r = send_request(c, cmd, arg, bytes);
	/* A daemon that refused the connection said why before it closed. */
	if (r && r != -EPIPE && r != -ECONNRESET)
		return lost(port, err, r);
	n = receive(c, &a);
	if (n == -EMFILE)
		return msport__fail(port, err, -EMFILE,
				    "out of file descriptors; raise the limit "
				    "(ulimit -n)");
	if (n < 0)
		return lost(port, err, (int)n);
	return answered(port, &a, (size_t)n, cmd, arg, bytes, err);
}

/* ---- opening ------------------------------------------------------------ */

static int
no_daemon(msport_t *port, msport_error_t *err, int code)
{
	const char *path = port->dev.socket;

	if (code == -EACCES || code == -EPERM)
		return msport__fail(NULL, err, -EACCES,
				    "no permission for multistackd's socket "
				    "%s; become a member of its group, or ask "
				    "the administrator",
				    path);
	if (code == -ENOENT || code == -ECONNREFUSED)
		return msport__fail(NULL, err, -ECONNREFUSED,
				    "multistackd is not running at %s; start "
				    "it with 'systemctl start multistackd' or "
				    "'multistackd --attach %s'%s",
				    path,
				    *port->dev.nic ? port->dev.nic : "eth0",
				    port->dev.kind == MSPORT__ANY
					? " (nor is there a kernel module)"
					: "");
	return msport__fail(NULL, err, code, "cannot connect to %s: %s", path,
			    strerror(-code));
}

static int
daemon_open(msport_t *port, msport_error_t *err)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = ANSWER_S };
	struct conn *c = calloc(1, sizeof *c);
	int r;

	if (!c)
		return msport__fail(NULL, err, -ENOMEM, "out of memory");
	_Static_assert(sizeof sun.sun_path >= sizeof port->dev.socket, "");
	strcpy(sun.sun_path, port->dev.socket);
	c->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (c->sock < 0) {
		r = -errno;
		free(c);
		return msport__fail(NULL, err, r, "no socket: %s",
				    strerror(-r));
	}
	setsockopt(c->sock, SOL_SOCKET, SO_RCVTIMEO, &patience,
		   sizeof patience);
	setsockopt(c->sock, SOL_SOCKET, SO_SNDTIMEO, &patience,
		   sizeof patience);
	do
		r = connect(c->sock, (struct sockaddr *)&sun, sizeof sun);
	while (r < 0 && errno == EINTR);
	if (r < 0) {
		r = -errno;
		close(c->sock);
		free(c);
		return no_daemon(port, err, r);
	}
	port->link = c;
	return 0;
}

/* Hands the descriptors that came with PORT_CREATE to the rings. */
static int
daemon_map(msport_t *port, msport_error_t *err)
{
	struct conn *c = port->link;
	unsigned int i, at = 1;
	struct stat st;
	void *p;
	int seals;

	if (c->num_fds != 1 + 2 * port->num_tx + port->num_rx)
		return msport__fail(NULL, err, -EPROTO,
				    "multistackd gave %u descriptors for a "
				    "port of %u and %u rings",
				    c->num_fds, port->num_tx, port->num_rx);
	/* A file that can shrink would be a SIGBUS at any time. */
	seals = fcntl(c->fds[0], F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(c->fds[0], &st) ||
	    (uint64_t)st.st_size < port->info.region_bytes)
		return msport__fail(
		    NULL, err, -EPROTO,
		    "the region that multistackd gave is not a "
		    "sealed file of %llu bytes",
		    (unsigned long long)port->info.region_bytes);
	p = mmap(NULL, port->info.region_bytes, PROT_READ | PROT_WRITE,
		 MAP_SHARED, c->fds[0], 0);
	if (p == MAP_FAILED) {
		int r = -errno;

		return msport__fail(
		    NULL, err, r, "cannot map %llu bytes of rings: %s",
		    (unsigned long long)port->info.region_bytes, strerror(-r));
	}
	port->region = p;
	port->region_bytes = port->info.region_bytes;
	madvise(p, port->region_bytes, MADV_DONTFORK);
	for (i = 0; i < port->num_tx; i++) {
		port->tx[i].wake_fd = c->fds[at++];
		port->tx[i].kick_fd = c->fds[at++];
	}
	for (i = 0; i < port->num_rx; i++)
		port->rx[i].wake_fd = c->fds[at++];
	/* The mapping stays without it. */
	close(c->fds[0]);
	c->fds[0] = -1;
	return 0;
}

/* Until the daemon hangs up: the port is no more then, its tuples are free. It
   takes what was sent first. */
static void
hang_up(const struct conn *c)
{
	struct pollfd p = { .fd = c->sock, .events = POLLIN };
	int left_ms = CLOSE_MS;
	struct answer a;
	ssize_t n;

	if (shutdown(c->sock, SHUT_WR))
		return;
	do {
		struct timespec t0, t1;

		clock_gettime(CLOCK_MONOTONIC, &t0);
		if (poll(&p, 1, left_ms) < 0 && errno != EINTR)
			return;
		clock_gettime(CLOCK_MONOTONIC, &t1);
		left_ms -= (int)((t1.tv_sec - t0.tv_sec) * 1000 +
				 (t1.tv_nsec - t0.tv_nsec) / 1000000);
		/* An answer that nobody waits for any more is no matter. */
		n = recv(c->sock, &a, sizeof a, MSG_DONTWAIT);
	} while (left_ms > 0 &&
		 (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))));
}

static void
daemon_close(msport_t *port)
{
	struct conn *c = port->link;

	if (!c)
		return;
	/* In a child of fork() that address may be something else by now, and
	   the connection is the parent's. */
	if (port->pid == getpid()) {
		if (port->region)
			munmap(port->region, port->region_bytes);
		if (!port->control)
			hang_up(c);
	}
	for (unsigned int i = 0; i < c->num_fds; i++)
		if (c->fds[i] >= 0)
			close(c->fds[i]);
	close(c->sock);
	free(c);
}

/* ---- waking, and watching ----------------------------------------------- */

static void
daemon_kick(msport_t *port, struct msport__ring *r)
{
	uint64_t one = 1;

	/* Nobody reads it, only edges count, so it never fills in the life of
	   a port; and if it did, this would not block. */
	if (write(r->kick_fd, &one, sizeof one) < 0 && errno == EAGAIN) {
		uint64_t sink;

		if (read(r->kick_fd, &sink, sizeof sink) < 0 ||
		    write(r->kick_fd, &one, sizeof one) < 0)
			return;
	}
}

static int
daemon_look(msport_t *port, struct msport__ring *r)
{
	struct conn *c = port->link;
	struct pollfd p = { .fd = c->sock, .events = POLLRDHUP };

	if (poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)))
		return msport__die(port, -ECONNRESET);
	return 0;
}

static int
daemon_watch(msport_t *port, int ep)
{
	struct conn *c = port->link;
	struct epoll_event ev = { .events = EPOLLRDHUP };

	return epoll_ctl(ep, EPOLL_CTL_ADD, c->sock, &ev) ? -errno : 0;
}

static int
daemon_sleep_on(msport_t *port, struct msport__ring *r, struct pollfd p[2])
{
	const struct conn *c = port->link;

	p[0] = (struct pollfd){ .fd = r->wake_fd, .events = r->wake_events };
	p[1] = (struct pollfd){ .fd = c->sock, .events = POLLRDHUP };
	return 2;
}

const struct msport__ops msport__daemon = {
	.name = "multistackd",
	.open = daemon_open,
	.command = daemon_command,
	.map = daemon_map,
	.close = daemon_close,
	.kick = daemon_kick,
	.look = daemon_look,
	.watch = daemon_watch,
	.sleep_on = daemon_sleep_on,
};
