/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * told.c: the events of a turn (batch.h), each to whom it concerns.
 *
 * Data for a protocol that takes it straight goes there from here; all else is
 * its endpoint's on_event(). A callback that raises SystemExit or
 * KeyboardInterrupt ends it, and what is left is told the next time.
 */
#include "speed.h"

#include <errno.h>

struct told {
	PyObject_HEAD const msbatch_view_t *view; /* borrowed; NULL: closed */
	msbatch_t *batch; /* as long as there is a view */
	speed__run_fn run;
	unsigned int next, end;
};

static PyObject *str_on_event, *str_data_failed, *str_unclaimed;

static struct told *
of(PyObject *self)
{
	return (struct told *)self;
}

/* ---- what there is ------------------------------------------------------- */

static PyObject *
told_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
	unsigned long long batch, view, run;
	PyObject *self;
	struct told *t;

	if (kw && PyDict_Size(kw)) {
		PyErr_SetString(PyExc_TypeError, "Told(batch, view, run)");
		return NULL;
	}
	if (!PyArg_ParseTuple(args, "KKK", &batch, &view, &run))
		return NULL;
	self = PyType_GenericAlloc(type, 0);
	if (!self)
		return NULL;
	t = of(self);
	t->batch = (msbatch_t *)(uintptr_t)batch;
	t->view = (const msbatch_view_t *)(uintptr_t)view;
	t->run = (speed__run_fn)(uintptr_t)run;
	return self;
}

static void
told_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
}

/* turn(dirty, cmds, chunks, watched, answers, endpoints, limit, flags) */
static PyObject *
take_turn(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	struct told *t = of(self);
	struct turn turn = { .run = t->run,
			     .batch = t->batch,
			     .view = t->view };
	int error = n == 8 && PyDict_Check(args[5]) ? 0 : -1, events = -EINVAL;

	for (Py_ssize_t i = 0; !error && i < 5; i++)
		error = PyList_Check(args[i]) ? 0 : -1;
	if (error) {
		PyErr_SetString(PyExc_TypeError,
				"turn(5 lists, dict, int, int)");
		return NULL;
	}
	turn.dirty = args[0];
	turn.cmds = args[1];
	turn.chunks = args[2];
	turn.watched = args[3];
	turn.answers = args[4];
	turn.endpoints = args[5];
	turn.limit = PyLong_AsSsize_t(args[6]);
	turn.flags = (uint32_t)PyLong_AsUnsignedLong(args[7]);
	if (PyErr_Occurred())
		return NULL;
	if (t->view)
		error = speed__turn(&turn, &events);
	if (speed__turn_was(events)) {
		t->next = t->view->num_answers;
		t->end = t->view->num_events;
	}
	return error ? NULL : PyLong_FromLong(events);
}

static PyObject *
close_told(PyObject *self, PyObject *unused)
{
	struct told *t = of(self);

	(void)unused;
	t->view = NULL;
	t->next = t->end = 0;
	Py_RETURN_NONE;
}

static PyObject *
get_left(PyObject *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(of(self)->end - of(self)->next);
}

/* ---- telling ------------------------------------------------------------- */

static int
tell_data(PyObject *endpoint, const struct stream *s, const void *data,
	  Py_ssize_t len)
{
	PyObject *run = s->run, *to = s->data_received, *bytes, *r;

	bytes = PyBytes_FromStringAndSize(data, len);
	if (!bytes)
		return -1;
	/* The transport may lose both meanwhile. */
	Py_INCREF(run);
	Py_INCREF(to);
	r = PyObject_CallFunctionObjArgs(run, to, bytes, NULL);
	Py_DECREF(run);
	Py_DECREF(to);
	Py_DECREF(bytes);
	Py_XDECREF(r);
	return r ? 0 : speed__exception_tell(endpoint, str_data_failed, NULL);
}

/* By a method with the numbers of an event. */
static int
tell_slowly(PyObject *endpoint, const msbatch_event_t *ev)
{
	PyObject *on_event = PyObject_GetAttr(endpoint, str_on_event), *r;
	PyObject *args = on_event
			     ? Py_BuildValue("IIIII", (unsigned int)ev->what,
					     (unsigned int)ev->error,
					     ev->offset, ev->len, ev->arg)
			     : NULL;

	r = args ? PyObject_CallObject(on_event, args) : NULL;
	Py_XDECREF(args);
	Py_XDECREF(on_event);
	Py_XDECREF(r);
	return r ? 0 : -1;
}

/* A connection whose listener has closed meanwhile. */
static int
tell_nobody(PyObject *stack, const msbatch_event_t *ev)
{
	PyObject *id, *r;

	if (!(ev->what & MSBATCH_ACCEPTED))
		return 0;
	id = PyLong_FromUnsignedLong(ev->arg);
	r = id ? PyObject_CallMethodObjArgs(stack, str_unclaimed, id, NULL)
	       : NULL;
	Py_XDECREF(id);
	Py_XDECREF(r);
	return r ? 0 : -1;
}

static int
tell_one(const msbatch_view_t *view, const msbatch_event_t *ev,
	 PyObject *endpoints, PyObject *stack)
{
	PyObject *id = PyLong_FromUnsignedLong(ev->id), *endpoint;
	const struct stream *s;
	int error;

	if (!id)
		return -1;
	endpoint = PyDict_GetItemWithError(endpoints, id);
	Py_DECREF(id);
	if (!endpoint)
		return PyErr_Occurred() ? -1 : tell_nobody(stack, ev);
	Py_INCREF(endpoint);
	s = ev->what == MSBATCH_DATA ? speed__stream_of(endpoint) : NULL;
	if (s && s->plain && s->run && s->data_received)
		error = tell_data(endpoint, s, view->arena + ev->offset,
				  (Py_ssize_t)ev->len);
	else
		error = tell_slowly(endpoint, ev);
	Py_DECREF(endpoint);
	return error;
}

/* tell(endpoints, stack): all that is left. */
static PyObject *
tell(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	struct told *t = of(self);

	if (n != 2 || !PyDict_Check(args[0])) {
		PyErr_SetString(PyExc_TypeError, "tell(dict, stack)");
		return NULL;
	}
	while (t->next < t->end) {
		/* A copy: a callback may close the batch it lies in. */
		const msbatch_event_t ev = t->view->events[t->next++];

		if (tell_one(t->view, &ev, args[0], args[1]) < 0)
			return NULL;
	}
	Py_RETURN_NONE;
}

/* ---- the type ------------------------------------------------------------ */

static PyMethodDef methods[] = {
	{ "turn", (PyCFunction)(void (*)(void))take_turn, METH_FASTCALL,
	  PyDoc_STR(
	      "turn(dirty, cmds, chunks, watched, answers, endpoints, "
	      "limit, flags): as msbatch_turn(), with what these have.") },
	{ "tell", (PyCFunction)(void (*)(void))tell, METH_FASTCALL,
	  PyDoc_STR("tell(endpoints, stack): tells what is left.") },
	{ "close", close_told, METH_NOARGS,
	  PyDoc_STR("Before the batch is destroyed.") },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef attributes[] = {
	{ "left", get_left, NULL, PyDoc_STR("Events not yet told."), NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot slots[] = {
	{ Py_tp_new, told_new },
	{ Py_tp_dealloc, told_dealloc },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, attributes },
	{ 0, NULL },
};

static PyType_Spec spec = {
	.name = "multistack._speed.Told",
	.basicsize = sizeof(struct told),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = slots,
};

int
speed__told_init(PyObject *module)
{
	PyObject *type;

	str_on_event = PyUnicode_InternFromString("on_event");
	str_data_failed = PyUnicode_InternFromString("data_failed");
	str_unclaimed = PyUnicode_InternFromString("unclaimed");
	type = PyType_FromSpec(&spec);
	if (!str_on_event || !str_data_failed || !str_unclaimed || !type)
		return -1;
	return PyModule_AddObject(module, "Told", type);
}
