/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * daemon.h: the inside of multistackd.
 *
 *   multistackd.c  options, start and end
 *   server.c       the socket: who connects, and the one thread that serves
 *   client.c       one connection: its messages, its port
 *   slow.c         a second thread, for commands that may take a while
 *   system.c       log, privileges, readiness, the socket's lock
 *   witness.c      a process that can tell where a client comes from
 */
#ifndef MS_DAEMON_H
#define MS_DAEMON_H

#include <stdarg.h>
#include <sys/types.h>

#include "ms_proto.h"
#include "ms_user.h"

struct options {
	const char *socket; /* path */
	const char *group;  /* who may connect; NULL: everybody */
	const char *user;   /* to become; NULL: stay */
	const char *pid_file;
	const char *attach[64];
	unsigned int num_attach;
	uint32_t busy_poll_us;
	uint32_t max_ports; /* of one user, but administrators */
	uint64_t max_bytes; /* of regions of one user, likewise */
	bool foreground, generic, no_attach, verbose;
};

/* ---- system.c ------------------------------------------------------------ */

enum { LOG_ERROR = 3, LOG_WARN = 4, LOG_NOTE = 5, LOG_INFO = 6, LOG_FINE = 7 };
/* To stderr; with the journal's priorities if that is where it goes. LOG_FINE
   only if verbose. Any thread. */
void log_init(bool verbose);
void log_line(int level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Raises the limits of descriptors and of locked memory as far as may be.
   Returns how many descriptors there are. */
unsigned int limits_raise(void);
/*
 * Before any thread: looks opt->user up; nothing that is executed gains
 * privileges. After all is open, in the main thread: keeps the capabilities that serving takes (to attach as well, unless
 * no_attach) and becomes opt->user. 0 or a negative errno, logged.
 */
int privs_lock(const struct options *opt);
int privs_drop(const struct options *opt);
/* struct ms_host_options.thread_start: becomes opt->user; workers need no
   privilege at all. */
void privs_drop_thread(void);

/* Of the witness: it keeps CAP_SYS_PTRACE, if it has it, and nothing else. */
int privs_witness(void);

/*
 * Makes sure that no other daemon serves `path`, for as long as *lock_fd is
 * open. 0, or a negative errno with words (the other's process id).
 */
int socket_lock(const char *path, int *lock_fd, struct ms_err *err);
/* Listens at `path`, in place of a socket that was left there. Returns the
   descriptor, or a negative errno with words. */
int socket_listen(const struct options *opt, struct ms_err *err);

/* Tells systemd, if it asked: sd_notify(3). */
void notify(const char *state);
int pid_file_write(const char *path, struct ms_err *err);

/* ---- witness.c ------------------------------------------------------------ */

/* Before any thread and privs_drop(): from then on ms_cred_peer() asks it. 0 or
   a negative errno, logged. */
int witness_start(void);

/* ---- server.c ------------------------------------------------------------ */

struct server;
struct client;

/* What epoll hands back. */
struct source {
	void (*ready)(struct source *s, uint32_t events);
	struct server *srv;
};

struct server {
	const struct options *opt;
	struct ms_host *host;
	struct client *clients; /* list */
	struct client *doomed;	/* list: freed after the batch of events */
	unsigned int num_clients;
	unsigned int max_fds; /* the process may have */
	int epoll_fd;
	int listen_fd;
	int spare_fd; /* given up for a moment to refuse when there are none */
	bool stop;
	struct source listener, signals, finished;
	int signal_fd;
	struct slow *slow;
};

/* Serves until SIGTERM or SIGINT. 0 or a negative errno, logged. Closes
   listen_fd; ends all ports. */
int server_run(struct ms_host *host, const struct options *opt, int listen_fd,
	       unsigned int max_fds);
int server_watch(struct server *srv, int fd, uint32_t events, struct source *s);

/* ---- client.c ------------------------------------------------------------ */

struct client {
	struct source sock_src, pid_src;
	struct client *next, **prevp;
	int sock;
	int pidfd; /* of the process that connected, or -1 */
	struct ms_cred cred;
	struct ms_port *port; /* owned */
	bool watched;	      /* port is, by its worker */
	bool busy;	      /* a command of it is with slow.c */
	bool dead;	      /* and to be freed once it is neither busy nor
				 waited for */
	uint64_t linger_ns;   /* dead: wait so long for its last frames */
	uint32_t tx_head[MS_RINGS_MAX]; /* and these are they */
	uint64_t region_bytes;
	uint32_t port_fds; /* descriptors for its rings, here */

	/* the message in work */
	struct ms_msg msg;
	struct ms_err err;
	union {
		uint64_t align;
		uint8_t arg[MS_MSG_BYTES_MAX];
	};
};

/* Takes the connected socket; refuses it in words, or serves it. */
void client_accept(struct server *srv, int sock);
/* The port ends and the socket is closed, at once or when the switch has taken
   what was sent last; freed at the end of a batch. */
void client_drop(struct client *c);
/* Frees the doomed that are not busy. True: others wait for their last frames,
   so call again in a millisecond. */
bool clients_reap(struct server *srv);
/* Tells all ports that the daemon stops, and ends them. */
void clients_stop(struct server *srv);
/* The command in c->msg, c->arg was done with result r: answers. */
void client_answer(struct client *c, int r);

/* ---- slow.c --------------------------------------------------------------- */

struct slow;

int slow_start(struct server *srv, struct slow **out);
/* Waits for the command in work; those behind it are not done. */
void slow_stop(struct slow *s);
bool slow_is(uint32_t cmd);
/* Hands the command in c->arg over. Users take turns, however many commands of
   one wait; client_answer() is called in the server's
   thread when it is done. c->busy until then. */
void slow_submit(struct slow *s, struct client *c);
/* If the command is not in work yet it is not done, and c not busy. */
void slow_cancel(struct slow *s, struct client *c);
/* To watch: readable when something is done; then call slow_finish(). */
int slow_fd(struct slow *s);
void slow_finish(struct slow *s);

#endif /* MS_DAEMON_H */
