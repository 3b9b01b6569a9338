/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scheduler.c: an iteration of the loop, and what puts callbacks into it.
 *
 * A base beside asyncio's own loop, whose fields it holds (_ready, _scheduled,
 * ...) and whose rules it follows; in debug mode, and where something is not as
 * usual, asyncio's own methods do it.
 */
#include "speed.h"

#include <stdint.h>
#include <time.h>

#define NS_PER_S 1000000000
#define SELECT_MAX_S (24 * 3600.0) /* as asyncio's */

struct scheduler {
	PyObject_HEAD PyObject *ready; /* a deque */
	struct heap heap;
	PyObject *selector;
	PyObject *task_factory; /* or None */
	bool closed;
	bool debug;
	bool stopping;
	bool call_at_is_ours; /* no subclass has one of its own */
};

static PyTypeObject *scheduler_type;
static PyObject *base_call_soon, *base_call_at, *base_call_later;
static PyObject *base_run_once, *base_create_task, *our_call_at;
static PyObject *future_type, *task_type;
static PyObject *str_append, *str_popleft, *str_select, *str_process_events;
static PyObject *str_time, *str_run;
static PyObject *str_resolution, *str_timer_cancelled, *str_loop;
static PyObject *zero, *no_args;

static struct scheduler *
of(PyObject *self)
{
	return (struct scheduler *)self;
}

/* ---- putting ------------------------------------------------------------- */

/* asyncio's own: base(self, *args, **kwargs). */
static PyObject *
by_base(PyObject *base, PyObject *self, PyObject *const *args, Py_ssize_t n,
	PyObject *names)
{
	Py_ssize_t num_names = names ? PyTuple_Size(names) : 0;
	PyObject *all = PyTuple_New(n + 1), *kw = PyDict_New(), *r = NULL;
	int error = all && kw ? 0 : -1;

	if (!error) {
		Py_INCREF(self);
		PyTuple_SetItem(all, 0, self);
	}
	for (Py_ssize_t i = 0; !error && i < n; i++) {
		Py_INCREF(args[i]);
		PyTuple_SetItem(all, i + 1, args[i]);
	}
	for (Py_ssize_t i = 0; !error && i < num_names; i++)
		error = PyDict_SetItem(kw, PyTuple_GetItem(names, i),
				       args[n + i]);
	if (!error)
		r = PyObject_Call(base, all, kw);
	Py_XDECREF(all);
	Py_XDECREF(kw);
	return r;
}

/* Whether nothing but context= is named; then *context is it, or NULL. */
static bool
only_context(PyObject *const *args, Py_ssize_t n, PyObject *names,
	     PyObject **context)
{
	*context = NULL;
	if (!names || PyTuple_Size(names) == 0)
		return true;
	*context = args[n];
	return PyTuple_Size(names) == 1 &&
	       PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0),
						"context") == 0;
}

/* Of what a call may replace, the caller has a reference of its own. */
static int
append(struct scheduler *s, PyObject *o)
{
	PyObject *deque = s->ready, *r;

	Py_INCREF(deque);
	r = PyObject_CallMethodObjArgs(deque, str_append, o, NULL);
	Py_DECREF(deque);
	Py_XDECREF(r);
	return r ? 0 : -1;
}

static PyObject *
call_soon(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
	struct scheduler *s = of(self);
	PyObject *context, *handle;

	if (s->closed || s->debug || n < 1 || !s->ready ||
	    !only_context(args, n, names, &context))
		return by_base(base_call_soon, self, args, n, names);
	handle = speed__handle_new(self, args, n, context);
	if (handle && append(s, handle) < 0)
		Py_CLEAR(handle);
	return handle;
}

static PyObject *
put_timer(PyObject *self, double when, PyObject *const *argv, Py_ssize_t argc,
	  PyObject *context)
{
	PyObject *timer = speed__timer_new(self, when, argv, argc, context);

	if (timer && speed__heap_push(&of(self)->heap, timer) < 0)
		Py_CLEAR(timer);
	if (timer)
		speed__handle_of(timer)->scheduled = true;
	return timer;
}

static PyObject *
call_at(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
	struct scheduler *s = of(self);
	PyObject *context;
	double when;

	if (s->closed || s->debug || n < 2 || args[0] == Py_None ||
	    !s->heap.timers || !only_context(args, n, names, &context))
		return by_base(base_call_at, self, args, n, names);
	when = PyFloat_AsDouble(args[0]);
	if (when == -1 && PyErr_Occurred())
		return NULL;
	return put_timer(self, when, args + 1, n - 1, context);
}

static int
now(PyObject *self, double *t)
{
	PyObject *r = PyObject_CallMethodObjArgs(self, str_time, NULL);

	if (!r)
		return -1;
	*t = PyFloat_AsDouble(r);
	Py_DECREF(r);
	return *t == -1 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *
call_later(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
	struct scheduler *s = of(self);
	PyObject *context;
	double delay, t;

	if (s->closed || s->debug || n < 2 || args[0] == Py_None ||
	    !s->heap.timers || !s->call_at_is_ours ||
	    !only_context(args, n, names, &context))
		return by_base(base_call_later, self, args, n, names);
	delay = PyFloat_AsDouble(args[0]);
	if ((delay == -1 && PyErr_Occurred()) || now(self, &t) < 0)
		return NULL;
	return put_timer(self, t + delay, args + 1, n - 1, context);
}

/* ---- what awaits --------------------------------------------------------- */

/* {name: value, ..., "loop": self} of what was named in a call. */
static PyObject *
with_loop(PyObject *self, PyObject *const *values, PyObject *names)
{
	Py_ssize_t n = names ? PyTuple_Size(names) : 0;
	PyObject *kw = PyDict_New();
	int error = kw ? PyDict_SetItem(kw, str_loop, self) : -1;

	for (Py_ssize_t i = 0; !error && i < n; i++)
		error = PyDict_SetItem(kw, PyTuple_GetItem(names, i),
				       values[i]);
	if (error)
		Py_CLEAR(kw);
	return kw;
}

/* Whether nothing is named that asyncio's would say more of. */
static bool
only_name_and_context(PyObject *names)
{
	Py_ssize_t n = names ? PyTuple_Size(names) : 0;

	for (Py_ssize_t i = 0; i < n; i++) {
		PyObject *name = PyTuple_GetItem(names, i);

		if (PyUnicode_CompareWithASCIIString(name, "name") != 0 &&
		    PyUnicode_CompareWithASCIIString(name, "context") != 0)
			return false;
	}
	return true;
}

static PyObject *
create_future(PyObject *self, PyObject *unused)
{
	PyObject *kw = with_loop(self, NULL, NULL), *future;

	(void)unused;
	future = kw ? PyObject_Call(future_type, no_args, kw) : NULL;
	Py_XDECREF(kw);
	return future;
}

static PyObject *
create_task(PyObject *self, PyObject *const *args, Py_ssize_t n,
	    PyObject *names)
{
	struct scheduler *s = of(self);
	PyObject *coro, *kw, *task;

	if (s->closed || s->debug || n != 1 || !only_name_and_context(names) ||
	    (s->task_factory && s->task_factory != Py_None))
		return by_base(base_create_task, self, args, n, names);
	kw = with_loop(self, args + 1, names);
	coro = kw ? PyTuple_Pack(1, args[0]) : NULL;
	task = coro ? PyObject_Call(task_type, coro, kw) : NULL;
	Py_XDECREF(kw);
	Py_XDECREF(coro);
	return task;
}

static PyObject *
get_debug(PyObject *self, PyObject *unused)
{
	(void)unused;
	return PyBool_FromLong(of(self)->debug);
}

int
speed__timer_cancelled(PyObject *loop, PyObject *timer)
{
	PyObject *r;

	if (PyObject_TypeCheck(loop, scheduler_type)) {
		of(loop)->heap.cancelled++;
		return 0;
	}
	r = PyObject_CallMethodObjArgs(loop, str_timer_cancelled, timer, NULL);
	Py_XDECREF(r);
	return r ? 0 : -1;
}

/* time.monotonic(), rounded as it does. */
static PyObject *
loop_time(PyObject *self, PyObject *unused)
{
	struct timespec t;

	(void)self;
	(void)unused;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return PyFloat_FromDouble(
	    (double)((int64_t)t.tv_sec * NS_PER_S + t.tv_nsec) /
	    (double)NS_PER_S);
}

/* ---- an iteration -------------------------------------------------------- */

/* How long the selector may sleep; NULL with an exception. */
static PyObject *
sleep_time(PyObject *self)
{
	struct scheduler *s = of(self);
	Py_ssize_t num_ready = PyObject_Size(s->ready);
	double when, t;
	int is;

	if (num_ready < 0)
		return NULL;
	if (num_ready || s->stopping) {
		Py_INCREF(zero);
		return zero;
	}
	is = speed__heap_first(&s->heap, &when);
	if (!is)
		Py_RETURN_NONE;
	if (is < 0 || now(self, &t) < 0)
		return NULL;
	t = when - t;
	if (!(t > 0))
		t = 0;
	return PyFloat_FromDouble(t < SELECT_MAX_S ? t : SELECT_MAX_S);
}

static int
poll_events(PyObject *self)
{
	struct scheduler *s = of(self);
	PyObject *timeout = sleep_time(self), *selector, *events, *r;

	if (!timeout)
		return -1;
	selector = s->selector;
	Py_INCREF(selector);
	events = PyObject_CallMethodObjArgs(selector, str_select, timeout,
					    NULL);
	Py_DECREF(selector);
	Py_DECREF(timeout);
	if (!events)
		return -1;
	r = PyObject_CallMethodObjArgs(self, str_process_events, events, NULL);
	Py_DECREF(events);
	Py_XDECREF(r);
	return r ? 0 : -1;
}

static int
run_one(PyObject *handle)
{
	PyObject *r;
	int is;

	if (speed__handle_of(handle))
		return speed__handle_run(handle);
	is = speed__is_cancelled(handle);
	if (is)
		return is < 0 ? -1 : 0;
	r = PyObject_CallMethodObjArgs(handle, str_run, NULL);
	Py_XDECREF(r);
	return r ? 0 : -1;
}

/* Timers whose time has come are ready. */
static int
take_due(PyObject *self)
{
	struct scheduler *s = of(self);
	PyObject *resolution, *timer;
	double end, when;
	int error, is;

	if (PyList_Size(s->heap.timers) == 0)
		return 0;
	if (now(self, &end) < 0)
		return -1;
	resolution = PyObject_GetAttr(self, str_resolution);
	end += resolution ? PyFloat_AsDouble(resolution) : 0;
	Py_XDECREF(resolution);
	error = PyErr_Occurred() ? -1 : 0;
	while (!error && (is = speed__heap_first(&s->heap, &when))) {
		if (is < 0)
			return -1;
		if (when >= end)
			break;
		timer = speed__heap_pop(&s->heap);
		error = timer ? append(s, timer) : -1;
		Py_XDECREF(timer);
	}
	return error;
}

/* Those that are ready now; what they add waits for the next iteration. */
static int
run_ready(struct scheduler *s)
{
	PyObject *deque = s->ready, *handle;
	Py_ssize_t n = PyObject_Size(deque);
	int error = n < 0 ? -1 : 0;

	Py_INCREF(deque);
	while (!error && n-- > 0) {
		handle = PyObject_CallMethodObjArgs(deque, str_popleft, NULL);
		error = handle ? run_one(handle) : -1;
		Py_XDECREF(handle);
	}
	Py_DECREF(deque);
	return error;
}

static PyObject *
run_once(PyObject *self, PyObject *unused)
{
	struct scheduler *s = of(self);

	(void)unused;
	if (s->debug || !s->ready || !s->heap.timers || !s->selector)
		return PyObject_CallFunctionObjArgs(base_run_once, self, NULL);
	if (speed__heap_tidy(&s->heap) < 0 || poll_events(self) < 0 ||
	    take_due(self) < 0 || run_ready(s) < 0)
		return NULL;
	Py_RETURN_NONE;
}

/* ---- the type ------------------------------------------------------------ */

static PyObject *
scheduler_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
	PyObject *self = PyType_GenericNew(type, args, kw), *found;

	if (!self)
		return NULL;
	of(self)->closed = true; /* until asyncio's has made it */
	found = PyObject_GetAttrString((PyObject *)type, "call_at");
	of(self)->call_at_is_ours = found == our_call_at;
	Py_XDECREF(found);
	PyErr_Clear();
	return self;
}

static int
scheduler_traverse(PyObject *self, visitproc visit, void *arg)
{
	Py_VISIT(Py_TYPE(self));
	Py_VISIT(of(self)->ready);
	Py_VISIT(of(self)->heap.timers);
	Py_VISIT(of(self)->selector);
	Py_VISIT(of(self)->task_factory);
	return 0;
}

static int
scheduler_clear(PyObject *self)
{
	Py_CLEAR(of(self)->ready);
	Py_CLEAR(of(self)->heap.timers);
	Py_CLEAR(of(self)->selector);
	Py_CLEAR(of(self)->task_factory);
	return 0;
}

static void
scheduler_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	PyObject_GC_UnTrack(self);
	(void)scheduler_clear(self);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
}

static PyObject *
get_bool(PyObject *self, void *at)
{
	return PyBool_FromLong(*((bool *)self + (size_t)at));
}

static int
set_bool(PyObject *self, PyObject *value, void *at)
{
	int on = value ? PyObject_IsTrue(value) : 0;

	if (on >= 0)
		*((bool *)self + (size_t)at) = on;
	return on < 0 ? -1 : 0;
}

/* A list, or whatever has a deque's methods; it cannot be taken away. */
struct object {
	const char *name;
	size_t at;
	bool is_list;
};

static const struct object objects[] = {
	{ "_ready", offsetof(struct scheduler, ready), false },
	{ "_scheduled", offsetof(struct scheduler, heap.timers), true },
	{ "_selector", offsetof(struct scheduler, selector), false },
	{ "_task_factory", offsetof(struct scheduler, task_factory), false },
};

static PyObject *
get_object(PyObject *self, void *what)
{
	const struct object *o = what;
	PyObject *value = *(PyObject **)((char *)self + o->at);

	if (!value)
		PyErr_SetString(PyExc_AttributeError, o->name);
	Py_XINCREF(value);
	return value;
}

static int
set_object(PyObject *self, PyObject *value, void *what)
{
	const struct object *o = what;
	PyObject **at = (PyObject **)((char *)self + o->at), *old = *at;

	if (!value || (o->is_list && !PyList_Check(value))) {
		PyErr_Format(PyExc_TypeError, "%s must be %s", o->name,
			     o->is_list ? "a list" : "there");
		return -1;
	}
	Py_INCREF(value);
	*at = value;
	Py_XDECREF(old);
	return 0;
}

#define BOOL(name, field)                                                      \
	{ name, get_bool, set_bool, NULL,                                      \
	  (void *)offsetof(struct scheduler, field) }
#define OBJECT(name, i)                                                        \
	{ name, get_object, set_object, NULL, (void *)&objects[i] }

static PyGetSetDef attributes[] = {
	BOOL("_closed", closed),     BOOL("_debug", debug),
	BOOL("_stopping", stopping), OBJECT("_ready", 0),
	OBJECT("_scheduled", 1),     OBJECT("_selector", 2),
	OBJECT("_task_factory", 3),  { NULL, NULL, NULL, NULL, NULL },
};

static PyMemberDef members[] = {
	{ "_timer_cancelled_count", T_PYSSIZET,
	  offsetof(struct scheduler, heap.cancelled), 0, NULL },
	{ NULL, 0, 0, 0, NULL },
};

#define FAST(f) ((PyCFunction)(void (*)(void))(f))

static PyMethodDef methods[] = {
	{ "call_soon", FAST(call_soon), METH_FASTCALL | METH_KEYWORDS,
	  PyDoc_STR("call_soon($self, callback, *args, context=None)\n--\n\n"
		    "As asyncio's.") },
	{ "call_at", FAST(call_at), METH_FASTCALL | METH_KEYWORDS,
	  PyDoc_STR("call_at($self, when, callback, *args, context=None)\n"
		    "--\n\nAs asyncio's.") },
	{ "call_later", FAST(call_later), METH_FASTCALL | METH_KEYWORDS,
	  PyDoc_STR("call_later($self, delay, callback, *args, context=None)\n"
		    "--\n\nAs asyncio's.") },
	{ "time", loop_time, METH_NOARGS,
	  PyDoc_STR(
	      "time($self)\n--\n\nSeconds, of time.monotonic()'s clock.") },
	{ "create_future", create_future, METH_NOARGS,
	  PyDoc_STR("create_future($self)\n--\n\nAs asyncio's.") },
	{ "create_task", FAST(create_task), METH_FASTCALL | METH_KEYWORDS,
	  PyDoc_STR("create_task($self, coro, **kwargs)\n--\n\n"
		    "As asyncio's.") },
	{ "get_debug", get_debug, METH_NOARGS, PyDoc_STR("As asyncio's.") },
	{ "_run_once", run_once, METH_NOARGS, NULL },
	{ NULL, NULL, 0, NULL },
};

static PyType_Slot slots[] = {
	{ Py_tp_new, scheduler_new },
	{ Py_tp_dealloc, scheduler_dealloc },
	{ Py_tp_traverse, scheduler_traverse },
	{ Py_tp_clear, scheduler_clear },
	{ Py_tp_getset, attributes },
	{ Py_tp_members, members },
	{ Py_tp_methods, methods },
	{ 0, NULL },
};

static PyType_Spec spec = {
	.name = "multistack._speed.Scheduler",
	.basicsize = sizeof(struct scheduler),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
	.slots = slots,
};

static int
find_names(void)
{
	const struct {
		PyObject **at;
		const char *name;
	} strings[] = {
		{ &str_append, "append" },
		{ &str_popleft, "popleft" },
		{ &str_select, "select" },
		{ &str_process_events, "_process_events" },
		{ &str_time, "time" },
		{ &str_run, "_run" },
		{ &str_loop, "loop" },
		{ &str_resolution, "_clock_resolution" },
		{ &str_timer_cancelled, "_timer_handle_cancelled" },
	}, bases[] = {
		{ &base_call_soon, "call_soon" },
		{ &base_call_at, "call_at" },
		{ &base_call_later, "call_later" },
		{ &base_run_once, "_run_once" },
		{ &base_create_task, "create_task" },
	};
	PyObject *base = speed__import("asyncio", "BaseEventLoop");
	bool found = base != NULL;

	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
		found &= (*strings[i].at = PyUnicode_InternFromString(
			      strings[i].name)) != NULL;
	for (size_t i = 0; found && i < sizeof bases / sizeof *bases; i++)
		found = (*bases[i].at = PyObject_GetAttrString(
			     base, bases[i].name)) != NULL;
	Py_XDECREF(base);
	zero = PyLong_FromLong(0);
	no_args = PyTuple_New(0);
	future_type = speed__import("asyncio", "Future");
	task_type = speed__import("asyncio", "Task");
	return found && zero && no_args && future_type && task_type ? 0 : -1;
}

int
speed__scheduler_init(PyObject *module)
{
	if (find_names() < 0)
		return -1;
	scheduler_type = (PyTypeObject *)PyType_FromSpec(&spec);
	if (!scheduler_type)
		return -1;
	our_call_at = PyObject_GetAttrString((PyObject *)scheduler_type,
					     "call_at");
	if (!our_call_at)
		return -1;
	Py_INCREF(scheduler_type);
	return PyModule_AddObject(module, "Scheduler",
				  (PyObject *)scheduler_type);
}
