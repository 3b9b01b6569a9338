/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_cred.c: who is at the other end of a socket, and may do what.
 */
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "control_util.h"

/* In a child: what ms_cred_peer() sees of it while it waits. */
static int
peer_of(int (*become)(void), struct ms_cred *cred)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int ready[2], s, r;
	socklen_t len;
	char c;
	pid_t pid;

	snprintf(sun.sun_path + 1, sizeof(sun.sun_path) - 1, "ms-test-%d",
		 (int)getpid());
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			  strlen(sun.sun_path + 1));
	assert_int_equal(bind(listener, (struct sockaddr *)&sun, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		s = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		alarm(60);
		if (setgid(65534) != 0 || become() != 0 ||
		    connect(s, (struct sockaddr *)&sun, len) != 0)
			_exit(1);
		(void)!write(ready[1], "x", 1);
		(void)!read(s, &c, 1);
		_exit(0);
	}
	s = accept(listener, NULL, NULL);
	assert_int_equal(read(ready[0], &c, 1), 1);
	r = ms_cred_peer(s, cred);
	assert_true(r != 0 || cred->pid == pid);
	close(s);
	close(listener);
	close(ready[0]);
	close(ready[1]);
	waitpid(pid, NULL, 0);
	return r;
}

static int
stay_root(void)
{
	return 0;
}

static int
become_user(void)
{
	return setuid(65534);
}

/* A user with CAP_NET_RAW, effective, and in the ambient set if wanted. */
static int
keep_net_raw(bool ambient)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2] = {
		{ 1u << CAP_NET_RAW, 1u << CAP_NET_RAW, 1u << CAP_NET_RAW }
	};

	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || setuid(65534) != 0 ||
	    syscall(SYS_capset, &head, data) != 0)
		return -1;
	return ambient ? prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE,
			       CAP_NET_RAW, 0, 0)
		       : 0;
}

static int
become_user_with_file_capability(void)
{
	return keep_net_raw(false);
}

static int
become_user_with_ambient_capability(void)
{
	return keep_net_raw(true);
}

static void
peers_are_known_by_the_kernels_word(void **state)
{
	static const struct {
		int (*become)(void);
		uid_t uid;
		bool admin, raw, low;
	} cases[] = {
		{ stay_root, 0, true, true, true },
		{ become_user, 65534, false, false, false },
		{ become_user_with_file_capability, 65534, false, false,
		  false },
		{ become_user_with_ambient_capability, 65534, false, true,
		  false },
	};
	struct ms_cred self, cred;
	unsigned int i;

	(void)state;
	ms_cred_self(&self);
	assert_int_equal(self.uid, geteuid());
	assert_int_equal(self.pid, getpid());
	if (!self.net_admin || !self.net_raw || !self.net_bind_service)
		skip();
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(peer_of(cases[i].become, &cred), 0);
		assert_int_equal(cred.uid, cases[i].uid);
		assert_int_equal(cred.net_admin, cases[i].admin);
		assert_int_equal(cred.net_raw, cases[i].raw);
		assert_int_equal(cred.net_bind_service, cases[i].low);
	}
}

static void
a_dead_peer_is_nobody(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), s;
	struct ms_cred cred;
	socklen_t len;
	pid_t pid;

	(void)state;
	snprintf(sun.sun_path + 1, sizeof(sun.sun_path) - 1, "ms-dead-%d",
		 (int)getpid());
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			  strlen(sun.sun_path + 1));
	assert_int_equal(bind(listener, (struct sockaddr *)&sun, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	pid = fork();
	if (pid == 0) {
		s = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		_exit(connect(s, (struct sockaddr *)&sun, len) != 0);
	}
	waitpid(pid, NULL, 0);
	s = accept(listener, NULL, NULL);
	assert_true(s >= 0);
	assert_true(ms_cred_peer(s, &cred) < 0);
	assert_false(cred.net_admin || cred.net_raw || cred.net_bind_service);
	close(s);
	close(listener);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peers_are_known_by_the_kernels_word),
		cmocka_unit_test(a_dead_peer_is_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
