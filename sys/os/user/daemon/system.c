/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* system.c: log, privileges, readiness, the socket and its lock. */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon.h"

#define FDS_WANTED (1u << 20)
#ifndef CAP_BPF
#define CAP_BPF 39
#endif
#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif

/* ---- log ------------------------------------------------------------------ */

static struct {
	bool verbose;
	bool journal;
} logging;

void
log_init(bool verbose)
{
	logging.verbose = verbose;
	logging.journal = getenv("JOURNAL_STREAM") != NULL;
}

void
log_line(int level, const char *fmt, ...)
{
	char line[640];
	int saved = errno, n;
	va_list ap;

	if (level == LOG_FINE && !logging.verbose)
		return;
	n = logging.journal ? snprintf(line, sizeof line, "<%d>", level)
			    : snprintf(line, sizeof line, "multistackd: ");
	errno = saved; /* for %m */
	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof line - 2)
		n = (int)sizeof line - 2;
	/* One line, whatever a client's name for something contains. */
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ')
			line[i] = ' ';
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		errno = saved;
	errno = saved;
}

/* ---- limits and privileges -------------------------------------------------- */

unsigned int
limits_raise(void)
{
	struct rlimit fds, lock = { RLIM_INFINITY, RLIM_INFINITY };
	rlim_t had;

	if (getrlimit(RLIMIT_NOFILE, &fds))
		return 1024;
	had = fds.rlim_cur;
	fds.rlim_cur = fds.rlim_max < FDS_WANTED ? fds.rlim_max : FDS_WANTED;
	if (setrlimit(RLIMIT_NOFILE, &fds))
		fds.rlim_cur = had;
	if (setrlimit(RLIMIT_MEMLOCK, &lock) && errno != EPERM)
		log_line(LOG_NOTE, "RLIMIT_MEMLOCK: %m");
	return (unsigned int)fds.rlim_cur;
}

static struct {
	bool change;
	uid_t uid;
	gid_t gid;
} become;

int
privs_lock(const struct options *opt)
{
	struct passwd *pw = opt->user ? getpwnam(opt->user) : NULL;

	if (opt->user && !pw) {
		log_line(LOG_ERROR, "there is no user '%s'", opt->user);
		return -ENOENT;
	}
	if (pw) {
		become.change = true;
		become.uid = pw->pw_uid;
		become.gid = pw->pw_gid;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
		log_line(LOG_ERROR, "no_new_privs: %m");
		return -errno;
	}
	return 0;
}

/*
 * The calling thread becomes the user. By system calls: the C library would
 * have all threads do it at once, and abort if one has no privilege to, as
 * those have that privs_drop_thread() was called in.
 */
static int
thread_become(void)
{
	if (!become.change)
		return 0;
	if (syscall(SYS_setgroups, 0, NULL) ||
	    syscall(SYS_setresgid, become.gid, become.gid, become.gid) ||
	    syscall(SYS_setresuid, become.uid, become.uid, become.uid)) {
		log_line(LOG_ERROR, "cannot become user %u: %m",
			 (unsigned int)become.uid);
		return -EPERM;
	}
	return 0;
}

/* Marks those of caps to be kept that the process has: had[] by number. */
static void
keep(const bool *had, const unsigned int *caps, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (had[caps[i]])
			capng_update(CAPNG_ADD,
				     CAPNG_EFFECTIVE | CAPNG_PERMITTED,
				     caps[i]);
}

/* Becomes the user, with the capabilities that are marked. */
static int
apply(void)
{
	int r;

	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || thread_become()) {
		log_line(LOG_ERROR, "cannot drop privileges: %m");
		return -EPERM;
	}
	r = capng_apply(CAPNG_SELECT_CAPS);
	(void)prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
	if (r) {
		log_line(LOG_ERROR, "cannot drop privileges (%d): %m", r);
		return -EPERM;
	}
	return 0;
}

int
privs_drop(const struct options *opt)
{
	static const unsigned int serve[] = {
		CAP_NET_BIND_SERVICE, /* low ports, for clients that may */
		CAP_NET_RAW,	      /* whole protocols, likewise */
	};
	static const unsigned int attach[] = {
		CAP_NET_ADMIN,
		CAP_BPF,
		CAP_PERFMON,
	};
	bool had[64] = { false };
	unsigned int i;

	capng_get_caps_process();
	for (i = 0; i < 64 && i <= CAP_LAST_CAP; i++)
		had[i] = capng_have_capability(CAPNG_PERMITTED, i);
	capng_clear(CAPNG_SELECT_CAPS);
	keep(had, serve, sizeof serve / sizeof *serve);
	if (!opt->no_attach)
		keep(had, attach, sizeof attach / sizeof *attach);
	return apply();
}

int
privs_witness(void)
{
	bool had;

	capng_get_caps_process();
	had = capng_have_capability(CAPNG_PERMITTED, CAP_SYS_PTRACE);
	capng_clear(CAPNG_SELECT_CAPS);
	if (had)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
			     CAP_SYS_PTRACE);
	return apply();
}

void
privs_drop_thread(void)
{
	/* Of this thread; libcap-ng's state is the process's, so not by it. */
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3,
						 0 };
	struct __user_cap_data_struct none[2] = { { 0, 0, 0 }, { 0, 0, 0 } };

	if (thread_become() || syscall(SYS_capset, &head, none))
		log_line(LOG_WARN, "a worker keeps its privileges: %m");
}

/* ---- the socket -------------------------------------------------------------- */

int
socket_lock(const char *path, int *lock_fd, struct ms_err *err)
{
	char name[160], pid[16] = "";
	ssize_t n;
	int fd, r;

	if ((size_t)snprintf(name, sizeof name, "%s.lock", path) >= sizeof name)
		return ms_err_set(err, -ENAMETOOLONG,
				  "the path of the socket is too long");
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0) {
		r = -errno;
		return ms_err_set(err, r, "cannot open %s: %s", name,
				  strerror(-r));
	}
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		r = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
		n = read(fd, pid, sizeof pid - 1);
		close(fd);
		pid[n > 0 ? strspn(pid, "0123456789") : 0] = '\0';
		if (r != -EADDRINUSE)
			return ms_err_set(err, r, "cannot lock %s: %s", name,
					  strerror(-r));
		return ms_err_set(err, r,
				  "another multistackd (process %s) serves %s; "
				  "stop it first, or choose another --socket",
				  *pid ? pid : "unknown", path);
	}
	n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
	if (ftruncate(fd, 0) || pwrite(fd, pid, (size_t)n, 0) != n)
		log_line(LOG_NOTE, "%s: %m", name);
	*lock_fd = fd;
	return 0;
}

static int
socket_mode(const struct options *opt, struct ms_err *err)
{
	struct group *gr;

	if (!opt->group)
		return chmod(opt->socket, 0666) ? -errno : 0;
	gr = getgrnam(opt->group);
	if (!gr)
		return ms_err_set(err, -ENOENT, "there is no group '%s'",
				  opt->group);
	if (chown(opt->socket, (uid_t)-1, gr->gr_gid) ||
	    chmod(opt->socket, 0660))
		return -errno;
	return 0;
}

int
socket_listen(const struct options *opt, struct ms_err *err)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;
	mode_t mask;
	int fd, r;

	if (strlen(opt->socket) >= sizeof sun.sun_path)
		return ms_err_set(err, -ENAMETOOLONG,
				  "the path of the socket is longer than %zu "
				  "characters",
				  sizeof sun.sun_path - 1);
	strcpy(sun.sun_path, opt->socket);
	/* We hold the lock: what is there is of a daemon that crashed. */
	if (lstat(opt->socket, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return ms_err_set(err, -EEXIST,
					  "%s is there and is no socket; move "
					  "it away, or choose another --socket",
					  opt->socket);
		unlink(opt->socket);
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		r = -errno;
		return ms_err_set(err, r, "no socket: %s", strerror(-r));
	}
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&sun, sizeof sun) ? -errno : 0;
	umask(mask);
	if (r == 0)
		r = socket_mode(opt, err);
	if (r == 0 && listen(fd, 128))
		r = -errno;
	if (r == 0)
		return fd;
	close(fd);
	if (!*err->text)
		ms_err_set(err, r, "cannot listen at %s: %s", opt->socket,
			   strerror(-r));
	return r;
}

/* ---- who waits for us --------------------------------------------------------- */

void
notify(const char *state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	socklen_t n;
	int fd;

	if (!path || !*path || strlen(path) >= sizeof sun.sun_path)
		return;
	strcpy(sun.sun_path, path);
	n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (*path == '@')
		sun.sun_path[0] = '\0'; /* the abstract namespace */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL,
		   (struct sockaddr *)&sun, n) < 0)
		log_line(LOG_NOTE, "cannot tell systemd %s: %m", state);
	close(fd);
}

int
pid_file_write(const char *path, struct ms_err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), r;

	if (fd < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return ms_err_set(err, r, "cannot write %s: %s", path,
				  strerror(-r));
	}
	close(fd);
	return 0;
}
