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

PyObject *
speed__exception_take(void)
{
	PyObject *type, *value, *traceback;

	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	if (traceback)
		PyException_SetTraceback(value, traceback);
	Py_XDECREF(type);
	Py_XDECREF(traceback);
	return value;
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

	if (m && (speed__handle_init(m) < 0 || speed__scheduler_init(m) < 0 ||
		  speed__stream_init(m) < 0 || speed__told_init(m) < 0))
		Py_CLEAR(m);
	return m;
}
