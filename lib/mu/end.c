/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * end.c: which stacks there are, and how they end.
 *
 * The kernel goes on speaking for a socket whose process is gone. A stack of
 * our own is gone with its process, so it stays a little before.
 */
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

static struct {
	pthread_mutex_t lock;
	struct mu__stack *first;
	unsigned int epoch; /* of removals */
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* What this thread found last, valid in that epoch. */
static __thread struct {
	struct mu__stack *s;
	unsigned int epoch;
} found;

void
mu__registry_add(struct mu__stack *s)
{
	pthread_mutex_lock(&registry.lock);
	s->next = registry.first;
	registry.first = s;
	pthread_mutex_unlock(&registry.lock);
}

void
mu__registry_remove(struct mu__stack *s)
{
	struct mu__stack **p;

	pthread_mutex_lock(&registry.lock);
	for (p = &registry.first; *p && *p != s; p = &(*p)->next)
		;
	if (*p)
		*p = s->next;
	__atomic_add_fetch(&registry.epoch, 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&registry.lock);
}

struct mu__stack *
mu__registry_find(const uv_loop_t *loop)
{
	unsigned int epoch = __atomic_load_n(&registry.epoch, __ATOMIC_ACQUIRE);
	struct mu__stack *s;

	if (found.s && found.epoch == epoch && found.s->loop == loop)
		return found.s;
	pthread_mutex_lock(&registry.lock);
	for (s = registry.first; s && s->loop != loop; s = s->next)
		;
	found.s = s;
	found.epoch = registry.epoch;
	pthread_mutex_unlock(&registry.lock);
	return s;
}

static void
exit_all(void)
{
	struct mu__stack *s;

	pthread_mutex_lock(&registry.lock);
	for (s = registry.first; s; s = s->next)
		if (s->pid == (uint64_t)getpid() &&
		    pthread_equal(s->owner, pthread_self()))
			(void)mslink_linger(s->link, s->linger_ms);
	pthread_mutex_unlock(&registry.lock);
}

static void
exit_register(void)
{
	(void)atexit(exit_all);
}

void
mu__at_exit(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, exit_register);
}
