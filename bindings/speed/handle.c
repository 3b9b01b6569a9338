/* SPDX-License-Identifier: BSD-2-Clause */
/* handle.c: what call_soon() and call_later() return. */
#include "speed.h"

#define MAX_ARGV ((Py_ssize_t)2)
/* Each argument of the next: so many are freed within each other, not more. */
#define MAX_DEPTH 32

static PyTypeObject *handle_type, *timer_type;
static PyObject *copy_context;
static PyObject *str_run, *str_failed;
static Py_ssize_t fields_at; /* behind those of asyncio.TimerHandle */
static PyObject *dead;	     /* to be freed when `depth` is less */
static int depth;

static struct handle *
fields(PyObject *self)
{
	return (struct handle *)((char *)self + fields_at);
}

struct handle *
speed__handle_of(PyObject *o)
{
	PyTypeObject *type = Py_TYPE(o);

	return type == handle_type || type == timer_type ? fields(o) : NULL;
}

/* ---- making, ending ------------------------------------------------------ */

static PyObject *
handle_new(PyTypeObject *type, PyObject *loop, PyObject *const *argv,
	   Py_ssize_t argc, PyObject *context)
{
	PyObject *self, *rest = NULL;
	struct handle *h;

	if (context && context != Py_None)
		Py_INCREF(context);
	else if (!(context = PyObject_CallNoArgs(copy_context)))
		return NULL;
	argc--;
	if (argc > MAX_ARGV) {
		rest = PyTuple_New(argc);
		for (Py_ssize_t i = 0; rest && i < argc; i++) {
			Py_INCREF(argv[i + 1]);
			PyTuple_SetItem(rest, i, argv[i + 1]);
		}
	}
	self = argc > MAX_ARGV && !rest ? NULL : PyType_GenericAlloc(type, 0);
	if (!self) {
		Py_DECREF(context);
		Py_XDECREF(rest);
		return NULL;
	}
	h = fields(self);
	h->context = context;
	h->loop = loop;
	h->callback = argv[0];
	Py_INCREF(loop);
	Py_INCREF(argv[0]);
	h->argc = argc;
	h->argv[0] = rest;
	if (!rest) {
		for (Py_ssize_t i = 0; i < argc; i++) {
			Py_INCREF(argv[i + 1]);
			h->argv[i] = argv[i + 1];
		}
	}
	return self;
}

PyObject *
speed__handle_new(PyObject *loop, PyObject *const *argv, Py_ssize_t argc,
		  PyObject *context)
{
	return handle_new(handle_type, loop, argv, argc, context);
}

PyObject *
speed__timer_new(PyObject *loop, double when, PyObject *const *argv,
		 Py_ssize_t argc, PyObject *context)
{
	PyObject *self = handle_new(timer_type, loop, argv, argc, context);

	if (self) {
		fields(self)->when = when;
		fields(self)->is_timer = true;
	}
	return self;
}

static void
forget_callback(struct handle *h)
{
	PyObject *callback = h->callback, *a = h->argv[0], *b = h->argv[1];

	h->callback = h->argv[0] = h->argv[1] = NULL;
	h->argc = 0;
	Py_XDECREF(callback);
	Py_XDECREF(a);
	Py_XDECREF(b);
}

static int
handle_traverse(PyObject *self, visitproc visit, void *arg)
{
	struct handle *h = fields(self);

	Py_VISIT(Py_TYPE(self));
	Py_VISIT(h->callback);
	Py_VISIT(h->argv[0]);
	Py_VISIT(h->argv[1]);
	Py_VISIT(h->context);
	Py_VISIT(h->loop);
	return 0;
}

static int
handle_clear(PyObject *self)
{
	struct handle *h = fields(self);

	forget_callback(h);
	Py_CLEAR(h->context);
	Py_CLEAR(h->loop);
	return 0;
}

static void
free_one(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	(void)handle_clear(self);
	PyObject_GC_Del(self);
	Py_DECREF(type);
}

static void
handle_dealloc(PyObject *self)
{
	PyObject_GC_UnTrack(self);
	PyObject_ClearWeakRefs(self);
	if (depth == MAX_DEPTH) {
		fields(self)->dead = dead;
		dead = self;
		return;
	}
	depth++;
	free_one(self);
	while (depth == 1 && (self = dead)) {
		dead = fields(self)->dead;
		free_one(self);
	}
	depth--;
}

/* ---- calling ------------------------------------------------------------- */

static PyObject *
call_many(PyObject *context, PyObject *callback, PyObject *args)
{
	Py_ssize_t n = PyTuple_Size(args);
	PyObject *run = PyObject_GetAttr(context, str_run), *r = NULL;
	PyObject *all = PyTuple_New(n + 1);

	if (run && all) {
		Py_INCREF(callback);
		PyTuple_SetItem(all, 0, callback);
		for (Py_ssize_t i = 0; i < n; i++) {
			PyObject *arg = PyTuple_GetItem(args, i);

			Py_INCREF(arg);
			PyTuple_SetItem(all, i + 1, arg);
		}
		r = PyObject_CallObject(run, all);
	}
	Py_XDECREF(run);
	Py_XDECREF(all);
	return r;
}

int
speed__handle_run(PyObject *self)
{
	struct handle *h = fields(self);
	PyObject *callback = h->callback, *context = h->context;
	PyObject *a = h->argv[0], *b = h->argv[1], *r;
	int error = 0;

	if (!callback)
		return 0;
	/* It may cancel itself. */
	Py_INCREF(callback);
	Py_XINCREF(a);
	Py_XINCREF(b);
	if (h->argc > MAX_ARGV)
		r = call_many(context, callback, a);
	else
		r = PyObject_CallMethodObjArgs(context, str_run, callback, a, b,
					       NULL);
	Py_XDECREF(r);
	if (!r)
		error = speed__exception_tell(h->loop, str_failed, self);
	Py_DECREF(callback);
	Py_XDECREF(a);
	Py_XDECREF(b);
	return error;
}

static PyObject *
run(PyObject *self, PyObject *unused)
{
	(void)unused;
	if (speed__handle_run(self) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *
cancel(PyObject *self, PyObject *unused)
{
	struct handle *h = fields(self);

	(void)unused;
	if (!h->cancelled) {
		h->cancelled = true;
		/* In a cycle that is being freed it has no loop. */
		if (h->scheduled && h->loop &&
		    speed__timer_cancelled(h->loop, self) < 0)
			return NULL;
		forget_callback(h);
	}
	Py_RETURN_NONE;
}

/* ---- being looked at ----------------------------------------------------- */

static PyObject *
cancelled(PyObject *self, PyObject *unused)
{
	(void)unused;
	return PyBool_FromLong(fields(self)->cancelled);
}

static PyObject *
when(PyObject *self, PyObject *unused)
{
	(void)unused;
	return PyFloat_FromDouble(fields(self)->when);
}

static PyObject *
get_cancelled(PyObject *self, void *unused)
{
	(void)unused;
	return PyBool_FromLong(fields(self)->cancelled);
}

static PyObject *
get_when(PyObject *self, void *unused)
{
	(void)unused;
	return PyFloat_FromDouble(fields(self)->when);
}

static PyObject *
get_scheduled(PyObject *self, void *unused)
{
	(void)unused;
	return PyBool_FromLong(fields(self)->scheduled);
}

static int
set_scheduled(PyObject *self, PyObject *value, void *unused)
{
	int on = value ? PyObject_IsTrue(value) : 0;

	(void)unused;
	if (on >= 0)
		fields(self)->scheduled = on;
	return on < 0 ? -1 : 0;
}

static PyObject *
given(PyObject *o)
{
	if (!o)
		o = Py_None;
	Py_INCREF(o);
	return o;
}

static PyObject *
get_callback(PyObject *self, void *unused)
{
	(void)unused;
	return given(fields(self)->callback);
}

static PyObject *
get_args(PyObject *self, void *unused)
{
	struct handle *h = fields(self);
	PyObject *args;

	(void)unused;
	if (!h->callback || h->argc > MAX_ARGV)
		return given(h->argv[0]);
	args = PyTuple_New(h->argc);
	for (Py_ssize_t i = 0; args && i < h->argc; i++) {
		Py_INCREF(h->argv[i]);
		PyTuple_SetItem(args, i, h->argv[i]);
	}
	return args;
}

static PyObject *
get_context(PyObject *self, void *unused)
{
	(void)unused;
	return given(fields(self)->context);
}

static PyObject *
get_loop(PyObject *self, void *unused)
{
	(void)unused;
	return given(fields(self)->loop);
}

static PyObject *
get_none(PyObject *self, void *unused)
{
	(void)self;
	(void)unused;
	Py_RETURN_NONE;
}

/* As asyncio's: equal is what has the same time and calls the same. */
static int
timer_equal(PyObject *self, PyObject *other)
{
	static const char *const names[] = { "_when", "_callback", "_args",
					     "_cancelled" };
	int same = 1;

	for (size_t i = 0; same == 1 && i < sizeof names / sizeof *names; i++) {
		PyObject *a = PyObject_GetAttrString(self, names[i]);
		PyObject *b = a ? PyObject_GetAttrString(other, names[i])
				: NULL;

		same = b ? PyObject_RichCompareBool(a, b, Py_EQ) : -1;
		Py_XDECREF(a);
		Py_XDECREF(b);
	}
	return same;
}

static PyObject *
timer_compare(PyObject *self, PyObject *other, int op)
{
	struct handle *h = fields(self);
	PyTypeObject *base = (PyTypeObject *)PyType_GetSlot(timer_type,
							    Py_tp_base);
	PyObject *theirs;
	double t;
	int same;

	if (Py_TYPE(other) == timer_type) {
		t = fields(other)->when;
	} else if (PyObject_TypeCheck(other, base)) {
		theirs = PyObject_GetAttrString(other, "_when");
		t = theirs ? PyFloat_AsDouble(theirs) : -1;
		Py_XDECREF(theirs);
		if (PyErr_Occurred())
			return NULL;
	} else {
		Py_RETURN_NOTIMPLEMENTED;
	}
	if (op == Py_LT)
		return PyBool_FromLong(h->when < t);
	if (op == Py_GT)
		return PyBool_FromLong(h->when > t);
	if (op == Py_LE && h->when < t)
		Py_RETURN_TRUE;
	if (op == Py_GE && h->when > t)
		Py_RETURN_TRUE;
	same = timer_equal(self, other);
	if (same < 0)
		return NULL;
	return PyBool_FromLong(op == Py_NE ? !same : same);
}

static Py_hash_t
timer_hash(PyObject *self)
{
	PyObject *t = PyFloat_FromDouble(fields(self)->when);
	Py_hash_t hash = t ? PyObject_Hash(t) : -1;

	Py_XDECREF(t);
	return hash;
}

/* ---- the types ----------------------------------------------------------- */

static PyMethodDef methods[] = {
	{ "_run", run, METH_NOARGS, NULL },
	{ "cancel", cancel, METH_NOARGS, NULL },
	{ "cancelled", cancelled, METH_NOARGS, NULL },
	{ NULL, NULL, 0, NULL },
};

static PyMethodDef timer_methods[] = {
	{ "_run", run, METH_NOARGS, NULL },
	{ "cancel", cancel, METH_NOARGS, NULL },
	{ "cancelled", cancelled, METH_NOARGS, NULL },
	{ "when", when, METH_NOARGS, NULL },
	{ NULL, NULL, 0, NULL },
};

#define COMMON                                                                 \
	{ "_callback", get_callback, NULL, NULL, NULL },                       \
	    { "_args", get_args, NULL, NULL, NULL },                           \
	    { "_context", get_context, NULL, NULL, NULL },                     \
	    { "_loop", get_loop, NULL, NULL, NULL },                           \
	    { "_cancelled", get_cancelled, NULL, NULL, NULL },                 \
	    { "_source_traceback", get_none, NULL, NULL, NULL },               \
	{                                                                      \
		"_repr", get_none, NULL, NULL, NULL                            \
	}

static PyGetSetDef attributes[] = { COMMON, { NULL, NULL, NULL, NULL, NULL } };

static PyGetSetDef timer_attributes[] = {
	COMMON,
	{ "_when", get_when, NULL, NULL, NULL },
	{ "_scheduled", get_scheduled, set_scheduled, NULL, NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot handle_slots[] = {
	{ Py_tp_dealloc, handle_dealloc }, { Py_tp_traverse, handle_traverse },
	{ Py_tp_clear, handle_clear },	   { Py_tp_methods, methods },
	{ Py_tp_getset, attributes },	   { 0, NULL },
};

static PyType_Slot timer_slots[] = {
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_traverse, handle_traverse },
	{ Py_tp_clear, handle_clear },
	{ Py_tp_methods, timer_methods },
	{ Py_tp_getset, timer_attributes },
	{ Py_tp_richcompare, timer_compare },
	{ Py_tp_hash, timer_hash },
	{ 0, NULL },
};

static PyTypeObject *
make_type(const char *name, const char *base_name, PyType_Slot *slots)
{
	PyType_Spec spec = {
		.name = name,
		.basicsize = (int)(fields_at +
				   (Py_ssize_t)sizeof(struct handle)),
		.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
			 Py_TPFLAGS_DISALLOW_INSTANTIATION,
		.slots = slots,
	};
	PyObject *base = speed__import("asyncio.events", base_name), *bases;
	PyObject *type = NULL;

	if (base && (bases = PyTuple_Pack(1, base))) {
		type = PyType_FromSpecWithBases(&spec, bases);
		Py_DECREF(bases);
	}
	Py_XDECREF(base);
	return (PyTypeObject *)type;
}

static int
find_offset(void)
{
	PyObject *base = speed__import("asyncio.events", "TimerHandle");

	fields_at = base ? speed__size_of(base) : -1;
	Py_XDECREF(base);
	return fields_at < 0 ? -1 : 0;
}

int
speed__handle_init(PyObject *module)
{
	str_run = PyUnicode_InternFromString("run");
	str_failed = PyUnicode_InternFromString("_callback_failed");
	copy_context = speed__import("contextvars", "copy_context");
	if (!str_run || !str_failed || !copy_context || find_offset() < 0)
		return -1;
	handle_type = make_type("multistack._speed.Handle", "Handle",
				handle_slots);
	timer_type = make_type("multistack._speed.TimerHandle", "TimerHandle",
			       timer_slots);
	if (!handle_type || !timer_type)
		return -1;
	Py_INCREF(handle_type);
	Py_INCREF(timer_type);
	if (PyModule_AddObject(module, "Handle", (PyObject *)handle_type) < 0)
		return -1;
	return PyModule_AddObject(module, "TimerHandle",
				  (PyObject *)timer_type);
}
