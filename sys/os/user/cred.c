/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * cred.c: who asks, and what may they do.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ms_user.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

/* What /proc/PID/status says of a process. */
struct proc_status {
	uid_t euid;
	uint64_t effective;
	uint64_t ambient;
};

static int
proc_status(const char *path, struct proc_status *st)
{
	unsigned long long caps;
	unsigned int found = 0, euid;
	char line[256];
	FILE *f;

	memset(st, 0, sizeof(*st));
	f = fopen(path, "re");
	if (f == NULL)
		return -errno;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "Uid: %*u %u", &euid) == 1) {
			st->euid = euid;
			found |= 1;
		} else if (sscanf(line, "CapEff: %llx", &caps) == 1) {
			st->effective = caps;
			found |= 2;
		} else if (sscanf(line, "CapAmb: %llx", &caps) == 1) {
			st->ambient = caps;
			found |= 4;
		}
	}
	fclose(f);
	return found == 7 ? 0 : -ESRCH;
}

static void
cred_set_caps(struct ms_cred *cred, uint64_t caps)
{
	cred->net_admin = caps >> CAP_NET_ADMIN & 1;
	cred->net_raw = caps >> CAP_NET_RAW & 1;
	cred->net_bind_service = caps >> CAP_NET_BIND_SERVICE & 1;
}

void
ms_cred_self(struct ms_cred *cred)
{
	struct proc_status st;

	memset(cred, 0, sizeof(*cred));
	cred->uid = geteuid();
	cred->pid = getpid();
	if (proc_status("/proc/thread-self/status", &st) == 0)
		cred_set_caps(cred, st.effective);
}

static ssize_t
read_file(const char *path, char *buf, size_t bytes)
{
	ssize_t n;
	FILE *f;

	f = fopen(path, "re");
	if (f == NULL)
		return -1;
	n = (ssize_t)fread(buf, 1, bytes, f);
	fclose(f);
	return n;
}

/*
 * Capabilities in another user namespace than ours count for nothing here.
 * A daemon that gave up its privileges may not look at the namespaces of
 * others; but their mappings it may read, and nobody can make a namespace with
 * the mapping of ours who has not its privileges.
 */
bool
ms_cred_same_userns(pid_t pid)
{
	char ours_map[512], path[64], theirs_map[512];
	struct stat ours, theirs;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	if (stat("/proc/self/ns/user", &ours) == 0 && stat(path, &theirs) == 0)
		return ours.st_dev == theirs.st_dev &&
		       ours.st_ino == theirs.st_ino;
	snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
	n = read_file("/proc/self/uid_map", ours_map, sizeof(ours_map));
	return n > 0 && n < (ssize_t)sizeof(ours_map) &&
	       read_file(path, theirs_map, sizeof(theirs_map)) == n &&
	       memcmp(ours_map, theirs_map, (size_t)n) == 0;
}

/* A handle on the peer that no other process can get by taking its pid. */
static int
peer_pidfd(int sock, pid_t pid)
{
	socklen_t len = sizeof(int);
	int fd = -1;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) == 0)
		return fd;
	if (errno != ENOPROTOOPT)
		return -errno;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	return fd < 0 ? -errno : fd;
}

static bool
process_lives(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

static bool (*same_userns)(pid_t pid) = ms_cred_same_userns;

void
ms_cred_ask(bool (*ask)(pid_t pid))
{
	same_userns = ask;
}

/*
 * The kernel remembers who connected, but not with which capabilities. Those
 * of the process now are not the same thing: while its child keeps the socket,
 * a client can execute a program that has more than itself. So of root its
 * effective capabilities count, if it is root still, and of others only what
 * is ambient too: no program with privileges of its own keeps that.
 */
int
ms_cred_peer(int sock, struct ms_cred *cred)
{
	socklen_t len = sizeof(struct ucred);
	struct proc_status st;
	struct ucred peer;
	uint64_t caps = 0;
	char path[64];
	int err = 0, pidfd;

	memset(cred, 0, sizeof(*cred));
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return -errno;
	cred->uid = peer.uid;
	cred->pid = peer.pid;
	if (peer.pid <= 0)
		return 0; /* of a pid namespace that we do not see */
	pidfd = peer_pidfd(sock, peer.pid);
	if (pidfd < 0)
		return pidfd;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)peer.pid);
	if (proc_status(path, &st) == 0 && st.euid == peer.uid &&
	    same_userns(peer.pid))
		caps = peer.uid == 0 ? st.effective : st.effective & st.ambient;
	/* Alive still: then it was this process all the time. */
	if (process_lives(pidfd))
		cred_set_caps(cred, caps);
	else
		err = -ESRCH;
	close(pidfd);
	return err;
}

bool
ms_os_cred_has(const struct ms_cred *cred, enum ms_priv priv)
{
	return priv == MS_PRIV_ADMIN ? cred->net_admin : cred->net_raw;
}

uint32_t
ms_os_cred_uid(const struct ms_cred *cred)
{
	return cred->uid;
}

int32_t
ms_os_cred_pid(const struct ms_cred *cred)
{
	return cred->pid;
}
