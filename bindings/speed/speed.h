/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * speed.h: what the event loop does for each callback, each event and each
 * write, where Python itself would cost more than the stack does.
 *
 * One extension for all Pythons from 3.10 on (the stable ABI). It holds no
 * socket and knows no protocol: asyncio's rules stand in loop.py and
 * transport.py, and what is not the usual case is theirs, by a method that is
 * named where it is called.
 */
#ifndef MULTISTACK_SPEED_H
#define MULTISTACK_SPEED_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <multistack/batch.h>

#include <stdbool.h>

/*
 * handle.c: asyncio's Handle and TimerHandle.
 *
 * They are subclasses of asyncio's, so that they are what their users take
 * them for, with fields of their own behind those, which stay empty.
 */
struct handle {
	PyObject *callback; /* NULL: cancelled */
	PyObject *argv[2];  /* with more than these a tuple is the first */
	Py_ssize_t argc;
	PyObject *context;
	PyObject *loop;
	union {
		double when;	/* of timers, in seconds of the loop's clock */
		PyObject *dead; /* handle.c: of what is freed, the next */
	};
	bool is_timer;
	bool scheduled; /* in the loop's heap */
	bool cancelled;
};

int speed__handle_init(PyObject *module);
/* A new one, calling argv[0] with what follows; context NULL: the current one's
   copy. NULL with an exception. */
PyObject *speed__handle_new(PyObject *loop, PyObject *const *argv,
			    Py_ssize_t argc, PyObject *context);
PyObject *speed__timer_new(PyObject *loop, double when, PyObject *const *argv,
			   Py_ssize_t argc, PyObject *context);
/* Its fields; NULL: it is none of ours (but asyncio's own). */
struct handle *speed__handle_of(PyObject *o);
/* Calls it; the caller owns a reference. -1 with an exception: SystemExit or
   KeyboardInterrupt; all others go to its loop's _callback_failed(handle,
   exception). */
int speed__handle_run(PyObject *o);

/* heap.c: a loop's timers. */
struct heap {
	PyObject *timers;     /* a list, ordered by heapq */
	Py_ssize_t cancelled; /* of those in it */
};

int speed__heap_init(void);
/* 0, or -1 with an exception, here and below. */
int speed__heap_push(struct heap *h, PyObject *timer);
/* 1: *when is the first one's time; 0: there is none. */
int speed__heap_first(struct heap *h, double *when);
/* The first, owned by the caller and not scheduled; NULL with an exception. */
PyObject *speed__heap_pop(struct heap *h);
/* Takes out the cancelled ones in front; all, if they are many. */
int speed__heap_tidy(struct heap *h);
/* 0, 1, or -1 with an exception. Of any handle. */
int speed__is_cancelled(PyObject *handle);

/* scheduler.c: the base of EventLoop. */
int speed__scheduler_init(PyObject *module);
/* A timer in this loop's heap has been cancelled. */
int speed__timer_cancelled(PyObject *loop, PyObject *timer);

/*
 * stream.c: the base of a connection's transport: what it has to send, and
 * whether what comes goes straight to data_received().
 *
 * Behind the fields of asyncio's _FlowControlMixin; objects are kept as those in
 * __slots__ are, by Python itself.
 */
struct stream {
	PyObject *out;	/* list: what is to be sent */
	PyObject *turn; /* list: the stack's, who has something to send */
	PyObject *run;	/* of the connection's context */
	PyObject *data_received; /* the protocol's, or None */
	PyObject *empty_waiter;	 /* sendfile's, or None */
	PyObject *high;		 /* high_water, as it was given */
	Py_ssize_t out_bytes;
	Py_ssize_t high_water; /* rounded down, and no more than fits */
	unsigned int id;
	unsigned int after; /* a command that follows, or 0 */
	unsigned int all;   /* MSBATCH_ALL, or 0 */
	int conn_lost;	    /* counts, as asyncio's */
	char plain;	    /* data goes straight to data_received() */
	char dirty;	    /* it stands in `turn` */
	char watched;	    /* wants to know when it is sent */
	char blocked;	    /* the stack takes no more */
	char eof;	    /* write_eof() */
};

int speed__stream_init(PyObject *module);
/* Its fields; NULL: it is none. */
struct stream *speed__stream_of(PyObject *o);
/* Appends the commands of all streams in `turn` to cmds, what they write to
   chunks, and who wants to know to watched, all of them lists; `turn` is empty
   then. Of each no more than `limit` bytes. -1 with an exception: who has not
   had his turn stands in it as before. */
int speed__gather(PyObject *turn, PyObject *cmds, PyObject *chunks,
		  PyObject *watched, Py_ssize_t limit);
/* Of what it wrote the stack did not take these bytes, and takes no more now. */
int speed__stream_short(struct stream *s, PyObject *left);

/* msbatch_turn, by its address: the library is not linked. */
typedef int (*speed__run_fn)(msbatch_t *, const msbatch_cmd_t *, unsigned int,
			     const void *, size_t, uint32_t);

/* turn.c: a turn of the stack. The lists are the stack's, and borrowed. */
struct turn {
	speed__run_fn run;
	msbatch_t *batch;
	const msbatch_view_t *view;
	PyObject *dirty;     /* streams with something to send */
	PyObject *cmds;	     /* four numbers to a command */
	PyObject *chunks;    /* what those write */
	PyObject *watched;   /* streams that want to know when it is sent */
	PyObject *answers;   /* (endpoint, op, errno, bytes that are left) */
	PyObject *endpoints; /* dict, by number */
	Py_ssize_t limit;    /* bytes of a stream */
	uint32_t flags;	     /* MSBATCH_SLEEP */
};

int speed__turn_init(void);
/*
 * Sends what dirty, cmds and chunks have; they are empty then. *events: as
 * msbatch_turn. Who is to be told of it stands in watched and answers; a stream
 * has back what was not taken. -1 with an exception: nothing was sent, or there
 * was no memory to tell an answer.
 */
int speed__turn(const struct turn *t, int *events);
/* Whether there was one: the view is of it. */
bool speed__turn_was(int events);

/* told.c: what a turn of the stack has brought, told to whom it concerns. */
int speed__told_init(PyObject *module);

/* speed.c */
/* How large the instances of a type are; -1 with an exception. */
Py_ssize_t speed__size_of(PyObject *type);
PyMODINIT_FUNC PyInit__speed(void);
/* An attribute of a module; owned by the caller; NULL with an exception. */
PyObject *speed__import(const char *module, const char *name);
/* Tells the exception that is set: to.method(exception), or to.method(about,
   exception); meanwhile sys.exc_info() has it, as in an `except`. -1 with an
   exception: it is SystemExit or KeyboardInterrupt, or the method has raised. */
int speed__exception_tell(PyObject *to, PyObject *method, PyObject *about);

#endif /* MULTISTACK_SPEED_H */
