/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_proto.c: multistackd's server, in a thread, spoken to over its real
 * socket by clients that say anything: packets of any bytes, commands of the
 * right form with any content, descriptors sent along, connections closed at
 * any moment. Whatever they say, the server answers each sound message, ends
 * the connections of those who send garbage, serves others afterwards, and
 * leaves no port behind.
 *
 * The interface is a pair without its other end, so no frame flows here:
 * fuzz_region.c is about those.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "fuzz.h"

/* A call that libFuzzer's own alarm interrupts is made again. */
#define RETRY(call)                                                            \
	({                                                                     \
		ssize_t n_;                                                    \
		do                                                             \
			n_ = (call);                                           \
		while (n_ < 0 && errno == EINTR);                              \
		n_;                                                            \
	})
#define CLIENTS 4
#define ANSWER_S 10
#define STEPS_MAX 40

static const struct options opt = {
	.max_ports = 64,
	.max_bytes = 1ull << 30,
	.no_attach = true,
	.foreground = true,
};
static struct ms_host *host;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t address_bytes;

struct answer {
	struct ms_msg msg;
	uint8_t rest[MS_MSG_BYTES_MAX + MS_MSG_TEXT_MAX];
};

/* ---- the server --------------------------------------------------------------- */

static void *
serve(void *arg)
{
	FUZZ_CHECK(server_run(host, &opt, *(int *)arg, 4096) == 0);
	return NULL;
}

static void
start(void)
{
	struct ms_host_options ho = { 0 };
	struct ms_cmd_attach at = { .size = sizeof(at),
				    .nic = "fuzz0",
				    .kind = "pair" };
	static int sock;
	struct ms_err err = { "" };
	pthread_t thread;
	sigset_t set;

	/* the server reads these from a descriptor; others get none */
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (ms_host_create(&ho, &host, &err) != 0 ||
	    ms_host_attach(host, &at, &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	/* an abstract name: nothing is left on disk */
	address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				    (size_t)snprintf(address.sun_path + 1, 64,
						     "ms-fuzz-%d",
						     (int)getpid()) +
				    1);
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		      0);
	FUZZ_CHECK(sock >= 0);
	FUZZ_CHECK(bind(sock, (struct sockaddr *)&address, address_bytes) == 0);
	FUZZ_CHECK(listen(sock, 64) == 0);
	FUZZ_CHECK(pthread_create(&thread, NULL, serve, &sock) == 0);
	pthread_detach(thread);
}

/* ---- a client ------------------------------------------------------------------ */

static int
dial(void)
{
	struct timeval tv = { .tv_sec = ANSWER_S };
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	FUZZ_CHECK(s >= 0);
	FUZZ_CHECK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) ==
		   0);
	FUZZ_CHECK(
	    RETRY(connect(s, (struct sockaddr *)&address, address_bytes)) == 0);
	return s;
}

/* Reads an answer and closes the descriptors that came with it. Bytes, or 0
   when the connection was ended. */
static ssize_t
hear(int s, struct answer *a)
{
	union {
		struct cmsghdr cm;
		char buf[CMSG_SPACE(MS_MSG_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { a, sizeof(*a) };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control) };
	struct cmsghdr *cm;
	int fds[MS_MSG_FDS_MAX];
	unsigned int i, num;
	ssize_t n;

	n = RETRY(recvmsg(s, &mh, MSG_CMSG_CLOEXEC));
	if (n < 0) {
		FUZZ_CHECK(errno == ECONNRESET); /* not: it took too long */
		return 0;
	}
	for (cm = CMSG_FIRSTHDR(&mh); cm != NULL; cm = CMSG_NXTHDR(&mh, cm)) {
		num = (unsigned int)((cm->cmsg_len - CMSG_LEN(0)) /
				     sizeof(int));
		memcpy(fds, CMSG_DATA(cm), num * sizeof(int));
		for (i = 0; i < num; i++)
			close(fds[i]);
	}
	return n;
}

static bool
answered(int s, uint32_t cmd)
{
	struct answer a;
	ssize_t n = hear(s, &a);

	if (n == 0)
		return false;
	FUZZ_CHECK(n >= (ssize_t)sizeof(a.msg));
	FUZZ_CHECK(a.msg.magic == MS_PROTO_MAGIC);
	FUZZ_CHECK(a.msg.abi == MS_ABI_VERSION);
	FUZZ_CHECK(a.msg.cmd == cmd || a.msg.cmd == 0);
	FUZZ_CHECK(a.msg.err <= 0 && a.msg.err > -4096);
	FUZZ_CHECK((size_t)n == sizeof(a.msg) + a.msg.bytes + a.msg.text);
	return true;
}

/* Values that would only take this machine's memory. */
static void
temper(struct ms_cmd_port_create *c)
{
	if (c->slots <= MS_SLOTS_MAX)
		c->slots &= 0x1ff;
	if (c->extra_bufs < 0x10000000)
		c->extra_bufs &= 0xff;
}

/* A message of the right form; what it asks is up to the input. */
static bool
ask(int s, struct fuzz_in *in)
{
	struct {
		struct ms_msg msg;
		uint8_t arg[MS_MSG_BYTES_MAX];
	} m = { .msg = { .magic = MS_PROTO_MAGIC, .abi = MS_ABI_VERSION } };
	uint8_t how = fuzz_u8(in);
	uint32_t bytes;

	m.msg.cmd = fuzz_u8(in) % (MS_CMD_MAX + 2);
	bytes = ms_ctl_bytes(m.msg.cmd);
	if ((how & 3) == 0)
		bytes = fuzz_u16(in) % MS_MSG_BYTES_MAX;
	fuzz_bytes(in, m.arg, bytes < 96 ? bytes : 96);
	if ((how & 4) == 0 && bytes >= 4)
		memcpy(m.arg, &bytes, 4);
	if (m.msg.cmd == MS_CMD_PORT_CREATE) {
		if ((how & 8) == 0) {
			memset(m.arg + 4, 0, bytes > 4 ? bytes - 4 : 0);
			strcpy((char *)m.arg + 8, "fuzz0");
			m.arg[24] = how >> 4; /* rings */
		}
		temper((void *)m.arg);
	}
	m.msg.bytes = (uint16_t)bytes;
	if (RETRY(send(s, &m, sizeof(m.msg) + bytes, MSG_NOSIGNAL)) < 0)
		return false;
	return answered(s, m.msg.cmd);
}

/* Any packet. */
static void
babble(int s, struct fuzz_in *in)
{
	uint8_t buf[512];
	size_t n = fuzz_u16(in) % sizeof(buf);

	fuzz_bytes(in, buf, n);
	if (n >= 8) { /* neither a port that is not tempered */
		uint32_t cmd;

		memcpy(&cmd, buf + 4, 4);
		if (cmd == MS_CMD_PORT_CREATE)
			buf[4] = 0;
	}
	(void)send(s, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* A sound message, with a descriptor. */
static void
present(int s)
{
	struct {
		struct ms_msg msg;
		struct ms_cmd_info info;
	} m = { .msg = { .magic = MS_PROTO_MAGIC,
			 .abi = MS_ABI_VERSION,
			 .cmd = MS_CMD_INFO,
			 .bytes = sizeof(m.info) },
		.info = { .size = sizeof(m.info) } };
	union {
		struct cmsghdr cm;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { .buf = { 0 } };
	struct iovec iov = { &m, sizeof(m) };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control) };

	control.cm.cmsg_level = SOL_SOCKET;
	control.cm.cmsg_type = SCM_RIGHTS;
	control.cm.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.cm), &s, sizeof(s));
	(void)sendmsg(s, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The server serves, and what the others left is gone or will be. */
static void
check_server(void)
{
	struct {
		struct ms_msg msg;
		struct ms_cmd_info info;
	} m;
	struct answer a;
	unsigned int tries;
	int s = dial();

	for (tries = 0;; tries++) {
		memset(&m, 0, sizeof(m));
		m.msg.magic = MS_PROTO_MAGIC;
		m.msg.abi = MS_ABI_VERSION;
		m.msg.cmd = MS_CMD_INFO;
		m.msg.bytes = m.info.size = sizeof(m.info);
		FUZZ_CHECK(RETRY(send(s, &m, sizeof(m), MSG_NOSIGNAL)) > 0);
		FUZZ_CHECK(hear(s, &a) ==
			   (ssize_t)(sizeof(m.msg) + sizeof(m.info)));
		memcpy(&m.info, a.rest, sizeof(m.info));
		FUZZ_CHECK(a.msg.err == 0 && m.info.abi == MS_ABI_VERSION);
		if (m.info.num_ports == 0 && m.info.num_tuples == 0)
			break;
		FUZZ_CHECK(tries < 2000);
		usleep(1000);
	}
	close(s);
}

static void
step(int *socks, struct fuzz_in *in)
{
	uint8_t op = fuzz_u8(in);
	int *s = &socks[op >> 4 & (CLIENTS - 1)];
	bool alive = true;

	if (*s < 0)
		*s = dial();
	switch (op % 8) {
	case 0:
		alive = false;
		break;
	case 1:
		babble(*s, in);
		alive = false; /* who knows what it is answered */
		break;
	case 2:
		present(*s);
		alive = false;
		break;
	default:
		alive = ask(*s, in);
	}
	if (!alive) {
		close(*s);
		*s = -1;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	int socks[CLIENTS] = { -1, -1, -1, -1 };
	unsigned int i;

	if (host == NULL)
		start();
	for (i = 0; in.left > 0 && i < STEPS_MAX; i++)
		step(socks, &in);
	for (i = 0; i < CLIENTS; i++)
		if (socks[i] >= 0)
			close(socks[i]);
	check_server();
	return 0;
}
