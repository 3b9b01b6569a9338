/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_daemon_socket.c: multistackd's socket: how it begins, and what comes by it
 * from who is not as he should be, daemon or client.
 */
#include "daemon_util.h"

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
		WITH(test_a_second_daemon_names_the_first, teardown),
		WITH(test_the_log_says_how_it_attached, teardown_hard),
		WITH(test_something_else_in_the_sockets_place_stays,
		     teardown_hard),
		WITH(test_bad_starts_say_why, teardown_hard),
		WITH(test_garbage_ends_only_its_connection, teardown),
		WITH(test_descriptors_are_not_taken, teardown),
		WITH(test_another_abi_is_told_both_versions, teardown),
		cmocka_unit_test(test_a_lying_daemon_is_an_error),
	};

	return cmocka_run_group_tests_name("daemon_socket", tests, group_setup,
					   group_teardown);
}
