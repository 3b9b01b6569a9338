/* SPDX-License-Identifier: BSD-2-Clause */
/* speed.c: the module, and what its parts have in common. */
#include "speed.h"

PyObject *
speed__import(const char *module, const char *name)
{
	PyObject *m = PyImport_ImportModule(module);
	PyObject *o = m ? PyObject_GetAttrString(m, name) : NULL;

	Py_XDECREF(m);
	return o;
}

Py_ssize_t
speed__size_of(PyObject *type)
{
	PyObject *size = PyObject_GetAttrString(type, "__basicsize__");
	Py_ssize_t n = size ? PyLong_AsSsize_t(size) : -1;

	Py_XDECREF(size);
	return n;
}

int
speed__exception_tell(PyObject *to, PyObject *method, PyObject *about)
{
	PyObject *type, *exc, *traceback, *old_type, *old, *old_traceback, *r;

	if (PyErr_ExceptionMatches(PyExc_SystemExit) ||
	    PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
		return -1;
	PyErr_Fetch(&type, &exc, &traceback);
	PyErr_NormalizeException(&type, &exc, &traceback);
	if (traceback)
		PyException_SetTraceback(exc, traceback);
	PyErr_GetExcInfo(&old_type, &old, &old_traceback);
	Py_INCREF(exc);
	PyErr_SetExcInfo(type, exc, traceback);
	r = about ? PyObject_CallMethodObjArgs(to, method, about, exc, NULL)
		  : PyObject_CallMethodObjArgs(to, method, exc, NULL);
	PyErr_SetExcInfo(old_type, old, old_traceback);
	Py_DECREF(exc);
	Py_XDECREF(r);
	return r ? 0 : -1;
}

static struct PyModuleDef definition = {
	.m_base = PyModuleDef_HEAD_INIT,
	.m_name = "multistack._speed",
	.m_size = -1,
};

PyMODINIT_FUNC
PyInit__speed(void)
{
	PyObject *m = PyModule_Create(&definition);

	if (m && (speed__handle_init(m) < 0 || speed__heap_init() < 0 ||
		  speed__scheduler_init(m) < 0 || speed__stream_init(m) < 0 ||
		  speed__turn_init() < 0 || speed__told_init(m) < 0))
		Py_CLEAR(m);
	return m;
}
