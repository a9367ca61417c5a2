/* What a tensor's array and type say, as attributes without a Python frame. */
#include "calls.h"

static PyObject *get_shape(PyObject *self, void *unused) {
    PyArrayObject *a = ARRAY(self);
    if (!PyArray_Check((PyObject *)a)) {                /* a device array */
        PyObject *sizes = PyObject_GetAttrString((PyObject *)a, "shape");
        PyObject *size = sizes ? PyObject_CallOneArg((PyObject *)SizeType, sizes) : NULL;
        Py_XDECREF(sizes);
        return size;
    }
    int ndim = PyArray_NDIM(a);
    PyObject *shape = SizeType->tp_alloc(SizeType, ndim);
    for (int i = 0; shape != NULL && i < ndim; i++) {
        PyObject *n = PyLong_FromSsize_t(PyArray_DIM(a, i));
        if (n == NULL) Py_CLEAR(shape);
        else PyTuple_SET_ITEM(shape, i, n);
    }
    return shape;
}

static PyObject *get_dtype(PyObject *self, void *unused) {
    return new_reference(SLOT(SLOT(self, in_tensor.type), in_type.dtype));
}

static PyObject *get_device(PyObject *self, void *unused) {
    return new_reference(SLOT(SLOT(self, in_tensor.type), in_type.device));
}

static PyGetSetDef attributes[] = {
    {"dtype", get_dtype, NULL, NULL, NULL},
    {"device", get_device, NULL, NULL, NULL},
    {"shape", get_shape, NULL, NULL, NULL},
    {NULL},
};

/* The docstring of the Python property whose place a descriptor takes. Descriptors point into it: it stays for ever. */
static const char *doc_of(const char *name) {
    PyObject *property = PyObject_GetAttrString((PyObject *)Tensor, name);
    PyObject *doc = property ? PyObject_GetAttrString(property, "__doc__") : NULL;
    const char *text = doc && PyUnicode_Check(doc) ? PyUnicode_AsUTF8(doc) : NULL;
    Py_XDECREF(property);
    PyErr_Clear();                                      /* a docstring is never worth an error */
    return text;
}

/* attributes(): name -> descriptor, for Tensor. */
static PyObject *make(PyObject *module, PyObject *unused) {
    PyObject *made = PyDict_New();
    for (PyGetSetDef *a = attributes; made != NULL && a->name; a++) {
        a->doc = doc_of(a->name);
        PyObject *descriptor = PyDescr_NewGetSet(Tensor, a);
        if (descriptor == NULL || PyDict_SetItemString(made, a->name, descriptor) < 0) Py_CLEAR(made);
        Py_XDECREF(descriptor);
    }
    return made;
}

static PyMethodDef functions[] = {
    {"attributes", make, METH_NOARGS, "attributes(): descriptors of Tensor's attributes, by name."},
    {NULL},
};

int attributes_register(PyObject *module) { return PyModule_AddFunctions(module, functions); }
