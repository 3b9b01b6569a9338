/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * program.h: what programs on a stack of their own have in common: options of
 * that stack and its port, signals, words, lists. os.h is what differs between
 * systems.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <multistack/link.h>

/* Circular lists. */
struct list {
	struct list *next, *prev;
};

static inline void
list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool
list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void
list_remove(struct list *l)
{
	l->next->prev = l->prev;
	l->prev->next = l->next;
	list_init(l);
}

static inline void
list_append(struct list *list, struct list *l)
{
	l->prev = list->prev;
	l->next = list;
	list->prev->next = l;
	list->prev = l;
}

#define CONTAINER(ptr, type, member)                                           \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* The program's, for its messages. */
extern const char program_name[];
/* A line on stderr, behind the program's name. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* on_signal for SIGINT and SIGTERM; who writes to a closed socket is told so. */
void catch_signals(void (*on_signal)(int sig));

/* ---- options; false: wrong, and why was said --------------------------------- */

bool option_number(const char *text, double least, double most, double *n);
bool option_uint(const char *text, unsigned int least, unsigned int most,
		 unsigned int *to);

struct stack_options {
	const char *cc; /* NULL: the stack's own choice */
	struct {
		int opt; /* enum utcp_opt */
		int64_t value;
	} set[32];
	unsigned int num_set;
	bool pin;	      /* each thread to a processor */
	unsigned int spin_us; /* look so long before sleeping */
	uint32_t slots, buf_bytes, no_offloads; /* as mslink_options_t's */
};

enum { /* what getopt_long() returns for those without a letter */
       OPT_PIN = 512,
       OPT_CC,
       OPT_SPIN,
       OPT_SLOTS,
       OPT_BUFFER,
       OPT_NO_OFFLOADS,
};

/* For the program's struct option[]. */
#define STACK_OPTIONS                                                          \
	{ "cc", required_argument, NULL, OPT_CC },                             \
	    { "option", required_argument, NULL, 'o' },                        \
	    { "pin", no_argument, NULL, OPT_PIN },                             \
	    { "spin", required_argument, NULL, OPT_SPIN },                     \
	    { "slots", required_argument, NULL, OPT_SLOTS },                   \
	    { "buffer", required_argument, NULL, OPT_BUFFER },                 \
	{                                                                      \
		"no-offloads", no_argument, NULL, OPT_NO_OFFLOADS              \
	}

/* What getopt_long() returned, if it is one of these; else false alone. */
bool option_stack(struct stack_options *o, int c, const char *arg);
/* Those of them that a socket has, on s. 0, negative errno. */
int stack_options_set(const struct stack_options *o, utcp_sock_t *s);

#endif /* PROGRAM_H */
