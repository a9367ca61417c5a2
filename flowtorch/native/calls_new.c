/* New tensors filled with one number, for the functions of ops/factory.py. */
#include "calls.h"

/* Sizes given one by one, or as one tuple or list; -1: the function must look at them. */
static int read_sizes(PyObject *sizes, npy_intp *shape) {
    if (PyTuple_GET_SIZE(sizes) == 1) {
        PyObject *first = PyTuple_GET_ITEM(sizes, 0);
        if (PyTuple_Check(first) || PyList_CheckExact(first)) sizes = first;
    }
    Py_ssize_t n = PySequence_Fast_GET_SIZE(sizes);
    if (n > NPY_MAXDIMS) return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *size = PySequence_Fast_GET_ITEM(sizes, i);
        if (!PyLong_CheckExact(size)) return -1;
        shape[i] = PyLong_AsSsize_t(size);
        if (shape[i] < 0) return -1;
    }
    return (int)n;
}

/* filled(value, sizes, type): a tensor of 0, 1 or None (whatever is there); None if the function must make it. */
static PyObject *filled(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    npy_intp shape[NPY_MAXDIMS];
    if (count != 3 || !PyTuple_CheckExact(args[1])) Py_RETURN_NONE;
    PyObject *value = args[0], *type = args[2];
    int ndim = is_simple(type) ? read_sizes(args[1], shape) : -1;
    PyArray_Descr *descr = (PyArray_Descr *)SLOT(type, in_type.numpy);
    int one = PyLong_CheckExact(value) && PyLong_AsLong(value) == 1;
    if (ndim < 0 || (one && descr->type_num != NPY_FLOAT && descr->type_num != NPY_DOUBLE)) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    Py_INCREF(descr);
    PyArrayObject *array = (PyArrayObject *)(value == Py_None || one
        ? PyArray_NewFromDescr(&PyArray_Type, descr, ndim, shape, NULL, NULL, 0, NULL)
        : PyArray_Zeros(ndim, shape, descr, 0));
    if (array == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_ValueError)) return NULL;
        PyErr_Clear();                                  /* too large: the function says so */
        Py_RETURN_NONE;
    }
    npy_intp n = one ? PyArray_SIZE(array) : 0;
    if (descr->type_num == NPY_FLOAT)
        for (npy_intp i = 0; i < n; i++) ((float *)PyArray_DATA(array))[i] = 1;
    else
        for (npy_intp i = 0; i < n; i++) ((double *)PyArray_DATA(array))[i] = 1;
    return new_tensor((PyObject *)array, type);
}

static PyMethodDef functions[] = {
    {"filled", (PyCFunction)(void (*)(void))filled, METH_FASTCALL,
     "filled(value, sizes, type): a tensor of 0, 1 or (None) anything; None if Python must make it."},
    {NULL},
};

int new_register(PyObject *module) { return PyModule_AddFunctions(module, functions); }
