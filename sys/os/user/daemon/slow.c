/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * slow.c: commands that may take a while (loading programs into the kernel,
 * looking for a neighbour) have a thread of their own, so that they hold up
 * only each other and never the others' binds and exits. Users take turns: who
 * asks for much waits for himself.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon.h"

struct job {
	struct job *next;
	struct client *c; /* busy, so it stays */
	uint64_t round;	  /* a user has one job in each */
	int result;
};

struct slow {
	struct server *srv;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct job *todo; /* lock; by round */
	struct job *done; /* lock */
	uint64_t round;	  /* lock; of the job taken last */
	uid_t user;	  /* lock; of the job in work */
	bool working;	  /* lock */
	bool stop;	  /* lock */
	int eventfd;
};

static void
put(struct job **list, struct job *j)
{
	while (*list && (*list)->round <= j->round)
		list = &(*list)->next;
	j->next = *list;
	*list = j;
}

static struct job *
get(struct job **list)
{
	struct job *j = *list;

	if (j)
		*list = j->next;
	return j;
}

/* The first round without a job of this user. */
static uint64_t
round_for(const struct slow *s, uid_t user)
{
	uint64_t round = s->round + (s->working && s->user == user);

	for (const struct job *j = s->todo; j; j = j->next)
		if (j->c->cred.uid == user)
			round = j->round + 1;
	return round;
}

static void *
work(void *arg)
{
	struct slow *s = arg;
	uint64_t one = 1;
	struct job *j;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct client *c;

		while (!s->stop && !s->todo)
			pthread_cond_wait(&s->more, &s->lock);
		if (s->stop)
			break;
		j = get(&s->todo);
		c = j->c;
		s->round = j->round;
		s->user = c->cred.uid;
		s->working = true;
		pthread_mutex_unlock(&s->lock);
		j->result = ms_host_ctl(s->srv->host, &c->cred, &c->port,
					c->msg.cmd, c->arg, c->msg.bytes,
					&c->err);
		pthread_mutex_lock(&s->lock);
		s->working = false;
		put(&s->done, j);
		if (write(s->eventfd, &one, sizeof one) < 0)
			log_line(LOG_ERROR, "eventfd: %m");
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int
slow_start(struct server *srv, struct slow **out)
{
	struct slow *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return -ENOMEM;
	s->srv = srv;
	s->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->eventfd < 0) {
		r = -errno;
		free(s);
		return r;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->more, NULL);
	r = -pthread_create(&s->thread, NULL, work, s);
	if (r) {
		close(s->eventfd);
		free(s);
		return r;
	}
	*out = s;
	return 0;
}

void
slow_stop(struct slow *s)
{
	struct job *j;

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	while ((j = get(&s->todo)) || (j = get(&s->done))) {
		j->c->busy = false;
		free(j);
	}
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->lock);
	close(s->eventfd);
	free(s);
}

bool
slow_is(uint32_t cmd)
{
	return cmd == MS_CMD_ROUTE || cmd == MS_CMD_ATTACH ||
	       cmd == MS_CMD_DETACH;
}

void
slow_submit(struct slow *s, struct client *c)
{
	struct job *j = calloc(1, sizeof *j);

	if (!j) {
		ms_err_set(&c->err, -ENOMEM, "multistackd is out of memory");
		client_answer(c, -ENOMEM);
		return;
	}
	j->c = c;
	c->busy = true;
	/* Not even its end is looked at meanwhile. */
	(void)epoll_ctl(s->srv->epoll_fd, EPOLL_CTL_DEL, c->sock, NULL);
	pthread_mutex_lock(&s->lock);
	j->round = round_for(s, c->cred.uid);
	put(&s->todo, j);
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
}

void
slow_cancel(struct slow *s, struct client *c)
{
	struct job **p, *j;

	pthread_mutex_lock(&s->lock);
	for (p = &s->todo; (j = *p) && j->c != c; p = &j->next)
		;
	if (j) {
		*p = j->next;
		c->busy = false;
		free(j);
	}
	pthread_mutex_unlock(&s->lock);
}

int
slow_fd(struct slow *s)
{
	return s->eventfd;
}

void
slow_finish(struct slow *s)
{
	uint64_t sink;
	struct job *j;

	if (read(s->eventfd, &sink, sizeof sink) < 0 && errno != EAGAIN)
		log_line(LOG_ERROR, "eventfd: %m");
	for (;;) {
		struct client *c;
		int r;

		pthread_mutex_lock(&s->lock);
		j = get(&s->done);
		pthread_mutex_unlock(&s->lock);
		if (!j)
			return;
		c = j->c;
		r = j->result;
		free(j);
		c->busy = false;
		if (c->dead)
			continue; /* reaped after this batch of events */
		if (server_watch(s->srv, c->sock, EPOLLIN | EPOLLRDHUP,
				 &c->sock_src)) {
			client_drop(c);
			continue;
		}
		client_answer(c, r);
	}
}
