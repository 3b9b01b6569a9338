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
	double when; /* of timers, in seconds of the loop's clock */
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
/* Calls it. -1 with an exception: SystemExit or KeyboardInterrupt; all others go
   to its loop's _callback_failed(handle, exception). */
int speed__handle_run(PyObject *o);

/* scheduler.c: the base of EventLoop. */
int speed__scheduler_init(PyObject *module);
/* A timer in this loop's heap has been cancelled. */
int speed__timer_cancelled(PyObject *loop, PyObject *timer);

/* speed.c */
PyMODINIT_FUNC PyInit__speed(void);
/* An attribute of a module; owned by the caller; NULL with an exception. */
PyObject *speed__import(const char *module, const char *name);
/* The exception that is set, with its traceback, and no longer set. */
PyObject *speed__exception_take(void);

#endif /* MULTISTACK_SPEED_H */
