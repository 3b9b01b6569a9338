/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream.c: a connection's transport, as far as each write goes through it.
 *
 * write() keeps what it is given and puts the transport into the stack's list;
 * speed__gather() makes one list of commands of all that stand there. What is
 * not bytes, too much, or too late is for the transport's own _write().
 */
#include "speed.h"

static PyTypeObject *stream_type;
static PyObject *str_write;
static Py_ssize_t fields_at; /* behind those of asyncio's _FlowControlMixin */

static struct stream *
fields(PyObject *self)
{
	return (struct stream *)((char *)self + fields_at);
}

struct stream *
speed__stream_of(PyObject *o)
{
	return PyObject_TypeCheck(o, stream_type) ? fields(o) : NULL;
}

/* ---- what is to be sent -------------------------------------------------- */

/* Whether nothing speaks against taking n bytes more. */
static bool
takes(const struct stream *s, Py_ssize_t n)
{
	return !s->eof && !s->conn_lost && s->empty_waiter == Py_None &&
	       s->out && s->turn && n > 0 && n <= s->high_water - s->out_bytes;
}

static PyObject *
stream_write(PyObject *self, PyObject *data)
{
	struct stream *s = fields(self);
	Py_ssize_t n = PyBytes_CheckExact(data) ? PyBytes_Size(data) : 0;

	if (!takes(s, n))
		return PyObject_CallMethodObjArgs(self, str_write, data, NULL);
	if (PyList_Append(s->out, data) < 0)
		return NULL;
	s->out_bytes += n;
	if (!s->dirty && !s->blocked) {
		if (PyList_Append(s->turn, self) < 0)
			return NULL;
		s->dirty = true;
	}
	Py_RETURN_NONE;
}

/* ---- a turn -------------------------------------------------------------- */

/* Appends a command (batch.h), whole or not at all. */
static int
command(PyObject *cmds, unsigned int id, unsigned int op, Py_ssize_t len,
	unsigned int arg)
{
	const unsigned long words[] = { id, op, (unsigned long)len, arg };
	const Py_ssize_t before = PyList_Size(cmds);
	PyObject *word;
	int error = 0;

	for (size_t i = 0; !error && i < sizeof words / sizeof *words; i++) {
		word = PyLong_FromUnsignedLong(words[i]);
		error = word ? PyList_Append(cmds, word) : -1;
		Py_XDECREF(word);
	}
	if (error)
		(void)PyList_SetSlice(cmds, before, PyList_Size(cmds), NULL);
	return error;
}

static int
extend(PyObject *list, PyObject *more)
{
	Py_ssize_t n = PyList_Size(list);

	return PyList_SetSlice(list, n, n, more);
}

/* The first n bytes of what is to be sent, appended to `taken` as memoryviews.
   *whole: how many parts that takes altogether; *rest: what stays of the next,
   owned, or NULL. */
static int
first(const struct stream *s, Py_ssize_t n, PyObject *taken, Py_ssize_t *whole,
      PyObject **rest)
{
	PyObject *item, *part;
	Py_ssize_t len;
	int error = 0;

	*rest = NULL;
	for (*whole = 0; !error && n > 0; n -= len) {
		item = PyList_GetItem(s->out, *whole);
		part = item ? PyMemoryView_FromObject(item) : NULL;
		len = part ? PyObject_Size(part) : -1;
		if (len > n) {
			*rest = PySequence_GetSlice(part, n, len);
			item = part;
			part = *rest ? PySequence_GetSlice(item, 0, n) : NULL;
			Py_DECREF(item);
		} else {
			++*whole;
		}
		error = part && len >= 0 ? PyList_Append(taken, part) : -1;
		Py_XDECREF(part);
	}
	return error;
}

static int
write_list(struct stream *s, PyObject *list, Py_ssize_t n, PyObject *cmds,
	   PyObject *chunks)
{
	const Py_ssize_t before = PyList_Size(chunks);

	if (extend(chunks, list) < 0)
		return -1;
	if (command(cmds, s->id, MSBATCH_WRITE, n, s->all) < 0) {
		(void)PyList_SetSlice(chunks, before, PyList_Size(chunks),
				      NULL);
		return -1;
	}
	s->out_bytes -= n;
	return 0;
}

/* The first n bytes of what has more; the rest stays. */
static int
write_part(struct stream *s, Py_ssize_t n, PyObject *cmds, PyObject *chunks)
{
	/* Not chunks itself: to make views may collect garbage, and transports that
	   are collected have commands. */
	PyObject *taken = PyList_New(0), *rest = NULL;
	Py_ssize_t whole = 0;
	int error = taken ? first(s, n, taken, &whole, &rest) : -1;

	if (!error)
		error = write_list(s, taken, n, cmds, chunks);
	Py_XDECREF(taken);
	if (error) {
		Py_XDECREF(rest);
		return -1;
	}
	s->watched = true;
	if (rest && PyList_SetItem(s->out, whole, rest) < 0)
		return -1;
	return PyList_SetSlice(s->out, 0, whole, NULL);
}

static int
write_all(struct stream *s, PyObject *cmds, PyObject *chunks)
{
	if (write_list(s, s->out, s->out_bytes, cmds, chunks) < 0)
		return -1;
	return PyList_SetSlice(s->out, 0, PyList_Size(s->out), NULL);
}

static int
gather_one(PyObject *self, Py_ssize_t limit, PyObject *cmds, PyObject *chunks)
{
	struct stream *s = speed__stream_of(self);
	int error = 0;

	if (!s) {
		PyErr_SetString(PyExc_TypeError, "not a Stream");
		return -1;
	}
	s->dirty = false;
	if (s->out_bytes > limit)
		error = write_part(s, limit, cmds, chunks);
	else if (s->out_bytes)
		error = write_all(s, cmds, chunks);
	if (!error && s->after && !s->out_bytes) {
		error = command(cmds, s->id, s->after, 0, 0);
		s->after = error ? s->after : 0;
	}
	s->dirty = error != 0;
	return error;
}

/* Those from `at` on, who have not had their turn, are in the list as before. */
static void
put_back(PyObject *list, PyObject *turn, Py_ssize_t at)
{
	PyObject *type, *value, *traceback, *rest;

	PyErr_Fetch(&type, &value, &traceback);
	rest = PyList_GetSlice(turn, at, PyList_Size(turn));
	if (!rest || PyList_SetSlice(list, 0, 0, rest) < 0)
		PyErr_Clear();
	Py_XDECREF(rest);
	PyErr_Restore(type, value, traceback);
}

int
speed__gather(PyObject *list, PyObject *cmds, PyObject *chunks,
	      PyObject *watched, Py_ssize_t limit)
{
	const Py_ssize_t n = PyList_Size(list);
	PyObject *turn;
	Py_ssize_t i;
	int error = 0;

	if (n == 0)
		return 0;
	turn = PyList_GetSlice(list, 0, n);
	if (!turn || PyList_SetSlice(list, 0, n, NULL) < 0) {
		Py_XDECREF(turn);
		return -1;
	}
	for (i = 0; !error && i < n; i += !error) {
		PyObject *self = PyList_GetItem(turn, i);

		error = gather_one(self, limit, cmds, chunks);
		if (!error && fields(self)->watched)
			error = PyList_Append(watched, self);
	}
	if (error)
		put_back(list, turn, i);
	Py_DECREF(turn);
	return error;
}

int
speed__stream_short(struct stream *s, PyObject *left)
{
	if (s->conn_lost || !s->out)
		return 0;
	if (PyBytes_Size(left) && PyList_Insert(s->out, 0, left) < 0)
		return -1;
	s->out_bytes += PyBytes_Size(left);
	s->blocked = true;
	if (s->eof)
		s->after = MSBATCH_SHUTDOWN;
	s->watched = true;
	return 0;
}

/* ---- how much is too much ------------------------------------------------ */

static PyObject *
get_high_water(PyObject *self, void *unused)
{
	PyObject *high = fields(self)->high;

	(void)unused;
	if (!high)
		PyErr_SetString(PyExc_AttributeError, "_high_water");
	Py_XINCREF(high);
	return high;
}

/* Any number, as asyncio takes it. */
static int
set_high_water(PyObject *self, PyObject *high, void *unused)
{
	struct stream *s = fields(self);
	PyObject *old = s->high;
	Py_ssize_t n;
	double d;

	(void)unused;
	if (!high) {
		PyErr_SetString(PyExc_TypeError, "_high_water is needed");
		return -1;
	}
	if (PyIndex_Check(high)) {
		n = PyNumber_AsSsize_t(high, NULL);
	} else {
		d = PyFloat_AsDouble(high);
		n = d < (double)PY_SSIZE_T_MAX ? (Py_ssize_t)d : PY_SSIZE_T_MAX;
	}
	if (n < 0 && PyErr_Occurred())
		return -1;
	Py_INCREF(high);
	s->high = high;
	s->high_water = n;
	Py_XDECREF(old);
	return 0;
}

/* ---- the type ------------------------------------------------------------ */

static PyMethodDef methods[] = {
	{ "write", stream_write, METH_O,
	  PyDoc_STR("Sends data, at the end of the loop's iteration.") },
	{ NULL, NULL, 0, NULL },
};

#define FIELD(name, type, field)                                               \
	{ name, type, offsetof(struct stream, field), 0, NULL }

static PyGetSetDef attributes[] = {
	{ "_high_water", get_high_water, set_high_water, NULL, NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

/* To their offsets that of the fields is added. */
static const PyMemberDef members[] = {
	FIELD("_out", T_OBJECT_EX, out),
	FIELD("_turn", T_OBJECT_EX, turn),
	FIELD("_run", T_OBJECT_EX, run),
	FIELD("_data_received", T_OBJECT_EX, data_received),
	FIELD("_empty_waiter", T_OBJECT_EX, empty_waiter),
	FIELD("_high", T_OBJECT_EX, high),
	FIELD("_out_bytes", T_PYSSIZET, out_bytes),
	FIELD("_id", T_UINT, id),
	FIELD("_after", T_UINT, after),
	FIELD("_all", T_UINT, all),
	FIELD("_conn_lost", T_INT, conn_lost),
	FIELD("plain", T_BOOL, plain),
	FIELD("_dirty", T_BOOL, dirty),
	FIELD("_watched", T_BOOL, watched),
	FIELD("_blocked", T_BOOL, blocked),
	FIELD("_eof", T_BOOL, eof),
	{ NULL, 0, 0, 0, NULL },
};

static PyTypeObject *
make_type(PyObject *base)
{
	PyMemberDef at[sizeof members / sizeof *members];
	PyType_Slot slots[] = {
		{ Py_tp_methods, methods },
		{ Py_tp_getset, attributes },
		{ Py_tp_members, at },
		{ 0, NULL },
	};
	PyType_Spec spec = {
		.name = "multistack._speed.Stream",
		.basicsize = (int)(fields_at +
				   (Py_ssize_t)sizeof(struct stream)),
		.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
		.slots = slots,
	};
	PyObject *bases = PyTuple_Pack(1, base), *type = NULL;

	memcpy(at, members, sizeof at);
	for (PyMemberDef *m = at; m->name; m++)
		m->offset += fields_at;
	if (bases)
		type = PyType_FromSpecWithBases(&spec, bases);
	Py_XDECREF(bases);
	return (PyTypeObject *)type;
}

int
speed__stream_init(PyObject *module)
{
	PyObject *base = speed__import("asyncio.transports",
				       "_FlowControlMixin");

	str_write = PyUnicode_InternFromString("_write");
	if (!base || !str_write || (fields_at = speed__size_of(base)) < 0) {
		Py_XDECREF(base);
		return -1;
	}
	stream_type = make_type(base);
	Py_DECREF(base);
	if (!stream_type)
		return -1;
	Py_INCREF(stream_type);
	return PyModule_AddObject(module, "Stream", (PyObject *)stream_type);
}
