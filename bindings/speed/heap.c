/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap.c: a loop's timers, as asyncio keeps them: a list that heapq orders, of
 * our timers and of asyncio's own.
 */
#include "speed.h"

#define PURGE_MIN 100
#define PURGE_PART 2 /* purged if more than one in so many is cancelled */

static PyObject *heappush, *heappop, *heapify;
static PyObject *str_cancelled, *str_when, *str_scheduled;

int
speed__is_cancelled(PyObject *handle)
{
	struct handle *h = speed__handle_of(handle);
	PyObject *r;
	int is;

	if (h)
		return h->cancelled;
	r = PyObject_GetAttr(handle, str_cancelled);
	is = r ? PyObject_IsTrue(r) : -1;
	Py_XDECREF(r);
	return is;
}

static int
not_scheduled(PyObject *timer)
{
	struct handle *h = speed__handle_of(timer);

	if (!h)
		return PyObject_SetAttr(timer, str_scheduled, Py_False);
	h->scheduled = false;
	return 0;
}

static int
when_of(PyObject *timer, double *when)
{
	struct handle *h = speed__handle_of(timer);
	PyObject *r;

	if (h) {
		*when = h->when;
		return 0;
	}
	r = PyObject_GetAttr(timer, str_when);
	*when = r ? PyFloat_AsDouble(r) : -1;
	Py_XDECREF(r);
	return *when == -1 && PyErr_Occurred() ? -1 : 0;
}

/* One of a list, owned by the caller; NULL: it has no more. */
static PyObject *
item(PyObject *list, Py_ssize_t i)
{
	PyObject *o = NULL;

	if (i < PyList_Size(list)) {
		o = PyList_GetItem(list, i);
		Py_INCREF(o);
	}
	return o;
}

/* heapq's push of a timer, or pop: NULL. What a call may replace, the caller has a
   reference of its own of. */
static PyObject *
on_heap(PyObject *function, struct heap *h, PyObject *timer)
{
	PyObject *list = h->timers, *r;

	Py_INCREF(list);
	r = PyObject_CallFunctionObjArgs(function, list, timer, NULL);
	Py_DECREF(list);
	return r;
}

int
speed__heap_push(struct heap *h, PyObject *timer)
{
	PyObject *r = on_heap(heappush, h, timer);

	Py_XDECREF(r);
	return r ? 0 : -1;
}

int
speed__heap_first(struct heap *h, double *when)
{
	PyObject *timer = item(h->timers, 0);
	int error;

	if (!timer)
		return 0;
	error = when_of(timer, when);
	Py_DECREF(timer);
	return error ? -1 : 1;
}

PyObject *
speed__heap_pop(struct heap *h)
{
	PyObject *timer = on_heap(heappop, h, NULL);

	if (timer && not_scheduled(timer) < 0)
		Py_CLEAR(timer);
	return timer;
}

/* A heap of those that are not cancelled. */
static int
purge(struct heap *h)
{
	PyObject *kept = PyList_New(0), *old = h->timers, *timer, *r;
	int is = kept ? 0 : -1;

	Py_INCREF(old);
	for (Py_ssize_t i = 0; is >= 0 && (timer = item(old, i)); i++) {
		is = speed__is_cancelled(timer);
		if (is == 0)
			is = PyList_Append(kept, timer);
		else if (is > 0)
			is = not_scheduled(timer);
		Py_DECREF(timer);
	}
	Py_DECREF(old);
	r = is < 0 ? NULL : PyObject_CallFunctionObjArgs(heapify, kept, NULL);
	if (!r) {
		Py_XDECREF(kept);
		return -1;
	}
	Py_DECREF(r);
	old = h->timers;
	h->timers = kept;
	h->cancelled = 0;
	Py_DECREF(old);
	return 0;
}

int
speed__heap_tidy(struct heap *h)
{
	Py_ssize_t n = PyList_Size(h->timers);
	PyObject *timer;
	int is;

	if (n > PURGE_MIN && h->cancelled > n / PURGE_PART)
		return purge(h);
	while ((timer = item(h->timers, 0))) {
		is = speed__is_cancelled(timer);
		Py_DECREF(timer);
		if (is <= 0)
			return is;
		h->cancelled--;
		timer = speed__heap_pop(h);
		if (!timer)
			return -1;
		Py_DECREF(timer);
	}
	return 0;
}

int
speed__heap_init(void)
{
	heappush = speed__import("heapq", "heappush");
	heappop = speed__import("heapq", "heappop");
	heapify = speed__import("heapq", "heapify");
	str_cancelled = PyUnicode_InternFromString("_cancelled");
	str_when = PyUnicode_InternFromString("_when");
	str_scheduled = PyUnicode_InternFromString("_scheduled");
	return heappush && heappop && heapify && str_cancelled && str_when &&
		       str_scheduled
		   ? 0
		   : -1;
}
