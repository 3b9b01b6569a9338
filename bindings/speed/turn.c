/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turn.c: a turn of the stack (batch.h), from what transports have to send to
 * what the stack did not take.
 *
 * It is one call from Python, in which no Python runs but the hooks that the
 * library calls. So a signal's handler, which may raise, comes before, when all
 * is still with the transports, or after, when the stack has it and what it
 * brought stands in the view and in the lists.
 */
#include "speed.h"

#include <errno.h>

static PyObject *empty, *str_join;

int
speed__turn_init(void)
{
	empty = PyBytes_FromStringAndSize(NULL, 0);
	str_join = PyUnicode_InternFromString("join");
	return empty && str_join ? 0 : -1;
}

/* ---- in ------------------------------------------------------------------ */

/* What the batch is given: commands and what they write. */
struct given {
	msbatch_cmd_t *cmds;
	unsigned int n;
	PyObject *data;
};

static void
given_deinit(struct given *g)
{
	PyMem_Free(g->cmds);
	Py_XDECREF(g->data);
}

static int
word(PyObject *list, Py_ssize_t i, uint32_t *out)
{
	unsigned long v = PyLong_AsUnsignedLong(PyList_GetItem(list, i));

	if (PyErr_Occurred())
		return -1;
	if (v > UINT32_MAX) {
		PyErr_SetString(PyExc_OverflowError, "a command's number");
		return -1;
	}
	*out = (uint32_t)v;
	return 0;
}

static int
given_init(struct given *g, const struct turn *t)
{
	const Py_ssize_t n = PyList_Size(t->cmds) / 4;

	g->n = (unsigned int)n;
	if (n == 0)
		return 0;
	g->cmds = PyMem_Malloc((size_t)n * sizeof *g->cmds);
	if (!g->cmds) {
		PyErr_NoMemory();
		return -1;
	}
	for (Py_ssize_t i = 0; i < n; i++) {
		msbatch_cmd_t *c = &g->cmds[i];

		if (word(t->cmds, 4 * i, &c->id) < 0 ||
		    word(t->cmds, 4 * i + 1, &c->op) < 0 ||
		    word(t->cmds, 4 * i + 2, &c->len) < 0 ||
		    word(t->cmds, 4 * i + 3, &c->arg) < 0)
			return -1;
	}
	g->data = PyObject_CallMethodObjArgs(empty, str_join, t->chunks, NULL);
	return g->data ? 0 : -1;
}

/* Nothing is allocated for that, so it cannot fail. */
static void
clear(PyObject *list)
{
	(void)PyList_SetSlice(list, 0, PyList_Size(list), NULL);
}

static int
run(const struct turn *t, const struct given *g)
{
	const char *data = g->data ? PyBytes_AsString(g->data) : NULL;
	const Py_ssize_t len = g->data ? PyBytes_Size(g->data) : 0;

	/* Before, as a hook may give commands, which are the next turn's. */
	clear(t->cmds);
	clear(t->chunks);
	return t->run(t->batch, g->cmds, g->n, data, (size_t)len, t->flags);
}

bool
speed__turn_was(int events)
{
	return events != -EINVAL && events != -ENOMEM;
}

/* ---- out ----------------------------------------------------------------- */

/* What of a command was not taken; owned; NULL with an exception. */
static PyObject *
left_of(const struct given *g, const msbatch_event_t *ev)
{
	const char *at = PyBytes_AsString(g->data);

	if (ev->error || g->cmds[ev->arg].op > MSBATCH_SENDTO) {
		Py_INCREF(empty);
		return empty;
	}
	for (unsigned int i = 0; i < ev->arg; i++)
		if (g->cmds[i].op <= MSBATCH_SENDTO)
			at += g->cmds[i].len;
	return PyBytes_FromStringAndSize(
	    at + ev->len, (Py_ssize_t)(g->cmds[ev->arg].len - ev->len));
}

static int
answer_later(PyObject *answers, PyObject *endpoint, uint32_t op, int error,
	     PyObject *left)
{
	PyObject *one = Py_BuildValue("OIiO", endpoint, (unsigned int)op, error,
				      left);
	int r = one ? PyList_Append(answers, one) : -1;

	Py_XDECREF(one);
	return r;
}

static int
answer(const struct turn *t, const struct given *g, const msbatch_event_t *ev)
{
	PyObject *id = PyLong_FromUnsignedLong(ev->id), *endpoint, *left;
	const uint32_t op = g->cmds[ev->arg].op;
	struct stream *s;
	int error;

	if (!id)
		return -1;
	endpoint = PyDict_GetItemWithError(t->endpoints, id);
	Py_DECREF(id);
	if (!endpoint)
		return PyErr_Occurred() ? -1 : 0;
	left = left_of(g, ev);
	if (!left)
		return -1;
	Py_INCREF(endpoint);
	s = speed__stream_of(endpoint);
	if (s && op == MSBATCH_WRITE && !ev->error)
		error = speed__stream_short(s, left);
	else
		error = answer_later(t->answers, endpoint, op, ev->error, left);
	Py_DECREF(endpoint);
	Py_DECREF(left);
	return error;
}

int
speed__turn(const struct turn *t, int *events)
{
	struct given g = { 0 };
	unsigned int answers = 0;
	int error;

	*events = -EINVAL;
	error = speed__gather(t->dirty, t->cmds, t->chunks, t->watched,
			      t->limit);
	if (!error)
		error = given_init(&g, t);
	if (!error)
		*events = run(t, &g);
	if (speed__turn_was(*events))
		answers = t->view->num_answers;
	for (unsigned int i = 0; !error && i < answers; i++)
		error = answer(t, &g, &t->view->events[i]);
	given_deinit(&g);
	return error;
}
