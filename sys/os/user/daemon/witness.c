/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * witness.c: a process that answers one question.
 *
 * Whether a client is in our user namespace, so that its capabilities count
 * here, can be seen only with CAP_SYS_PTRACE, which is as good as all of them.
 * So the daemon does not keep it. A child made at the start does: it reads
 * process ids, writes yes or no, and knows nothing else. It ends with the
 * daemon.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon.h"

static int witness = -1;

static bool
ask(pid_t pid)
{
	char yes = 0;
	ssize_t n;

	if (send(witness, &pid, sizeof pid, MSG_NOSIGNAL) !=
	    (ssize_t)sizeof pid)
		goto lost;
	do
		n = recv(witness, &yes, 1, 0);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return yes;
lost:
	log_line(LOG_ERROR, "the witness is gone, no client has privileges "
			    "any more; restart multistackd");
	return false;
}

/* All that it has is the socket and the one capability. */
static void
answer(int sock)
{
	pid_t pid;
	ssize_t n;

	for (;;) {
		n = recv(sock, &pid, sizeof pid, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n != (ssize_t)sizeof pid)
			return;
		if (send(sock, &(char){ ms_cred_same_userns(pid) }, 1,
			 MSG_NOSIGNAL) != 1)
			return;
	}
}

int
witness_start(void)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		log_line(LOG_ERROR, "no socket: %m");
		return -errno;
	}
	pid = fork();
	if (pid < 0) {
		log_line(LOG_ERROR, "no witness: %m");
		return -errno;
	}
	if (pid > 0) {
		close(pair[1]);
		witness = pair[0];
		ms_cred_ask(ask);
		return 0;
	}
	/* A signal to all of the process group is for the daemon. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	prctl(PR_SET_NAME, "ms-witness");
	if (dup2(pair[1], 0) < 0 || syscall(SYS_close_range, 3u, ~0u, 0u) ||
	    privs_witness())
		_exit(1);
	answer(0);
	_exit(0);
}
