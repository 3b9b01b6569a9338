/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* server.c: one thread, one epoll: who connects, what clients say, signals. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon.h"

#define EVENTS 64

static struct server *
of(struct source *s)
{
	return s->srv;
}

int
server_watch(struct server *srv, int fd, uint32_t events, struct source *s)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (epoll_ctl(srv->epoll_fd, EPOLL_CTL_ADD, fd, &ev)) {
		log_line(LOG_ERROR, "epoll: %m");
		return -errno;
	}
	return 0;
}

/* Out of descriptors a connection would wait for ever, and wake us for ever:
   lets it in on the spare one, to be told. */
static void
accept_spare(struct server *srv)
{
	int sock;

	if (srv->spare_fd < 0)
		return;
	close(srv->spare_fd);
	sock = accept4(srv->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (sock >= 0)
		close(sock);
	srv->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	log_line(LOG_WARN, "a connection was closed: out of file descriptors "
			   "(raise LimitNOFILE)");
}

static void
listener_ready(struct source *s, uint32_t events)
{
	struct server *srv = of(s);
	int sock = accept4(srv->listen_fd, NULL, NULL,
			   SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (sock >= 0)
		client_accept(srv, sock);
	else if (errno == EMFILE || errno == ENFILE)
		accept_spare(srv);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		log_line(LOG_ERROR, "accept: %m");
}

static void
signals_ready(struct source *s, uint32_t events)
{
	struct server *srv = of(s);
	struct signalfd_siginfo si;

	if (read(srv->signal_fd, &si, sizeof si) != (ssize_t)sizeof si)
		return;
	log_line(LOG_INFO, "%s: stopping, %u clients are told",
		 strsignal((int)si.ssi_signo), srv->num_clients);
	srv->stop = true;
}

static void
finished_ready(struct source *s, uint32_t events)
{
	slow_finish(of(s)->slow);
}

/* Descriptors and first events. What is half open, server_close() closes. */
static int
server_open(struct server *srv)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	srv->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	srv->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	srv->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (srv->epoll_fd < 0 || srv->signal_fd < 0 || srv->spare_fd < 0)
		return -errno;
	r = slow_start(srv, &srv->slow);
	if (r)
		return r;
	srv->listener = (struct source){ listener_ready, srv };
	srv->signals = (struct source){ signals_ready, srv };
	srv->finished = (struct source){ finished_ready, srv };
	r = server_watch(srv, srv->listen_fd, EPOLLIN, &srv->listener);
	if (r == 0)
		r = server_watch(srv, srv->signal_fd, EPOLLIN, &srv->signals);
	if (r == 0)
		r = server_watch(srv, slow_fd(srv->slow), EPOLLIN,
				 &srv->finished);
	return r;
}

static void
server_close(struct server *srv)
{
	/* First, so that who was told can tell a new daemon from this one. */
	close(srv->listen_fd);
	slow_stop(srv->slow);
	clients_stop(srv);
	if (srv->spare_fd >= 0)
		close(srv->spare_fd);
	if (srv->signal_fd >= 0)
		close(srv->signal_fd);
	if (srv->epoll_fd >= 0)
		close(srv->epoll_fd);
}

int
server_run(struct ms_host *host, const struct options *opt, int listen_fd,
	   unsigned int max_fds)
{
	struct server srv = {
		.opt = opt,
		.host = host,
		.max_fds = max_fds,
		.epoll_fd = -1,
		.listen_fd = listen_fd,
		.spare_fd = -1,
		.signal_fd = -1,
	};
	struct epoll_event ev[EVENTS];
	int r = server_open(&srv), n, patience_ms = -1;

	if (r)
		log_line(LOG_ERROR, "cannot start: %s", strerror(-r));
	else
		notify("READY=1");
	while (r == 0 && !srv.stop) {
		n = epoll_wait(srv.epoll_fd, ev, EVENTS, patience_ms);
		if (n < 0 && errno != EINTR) {
			r = -errno;
			log_line(LOG_ERROR, "epoll: %s", strerror(-r));
		}
		for (int i = 0; i < n; i++) {
			struct source *s = ev[i].data.ptr;

			s->ready(s, ev[i].events);
		}
		patience_ms = clients_reap(&srv) ? 1 : -1;
	}
	notify("STOPPING=1");
	server_close(&srv);
	return r;
}
