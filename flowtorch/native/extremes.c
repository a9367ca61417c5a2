/* The largest and the smallest element of all, by the inner loops of numpy's maximum and minimum. */
#include "calls.h"

static PyObject *extreme(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    static PyUFuncObject *ufuncs[2];
    int least = self->data != NULL;
    if (count == 0 || count > 3 || names || !is_array(args[0])) return NULL;
    if (count > 1 && args[1] != Py_None && args[1] != empty_tuple) return NULL;
    if (count > 2 && args[2] != Py_False) return NULL;
    PyArrayObject *a = (PyArrayObject *)args[0];
    npy_intp n = PyArray_SIZE(a), rest = n - 1, steps[3] = {0, PyArray_ITEMSIZE(a), 0};
    if (n == 0 || !is_contiguous(a)) return NULL;
    if (ufuncs[least] == NULL) {
        PyObject *numpy = PyImport_ImportModule("numpy");
        ufuncs[least] = numpy ? (PyUFuncObject *)PyObject_GetAttrString(numpy, least ? "minimum" : "maximum") : NULL;
        Py_XDECREF(numpy);
        if (ufuncs[least] == NULL) return NULL;
    }
    PyUFuncGenericFunction loop = NULL;
    void *data = NULL;
    int number = PyArray_TYPE(a);
    for (int i = 0; i < ufuncs[least]->ntypes && loop == NULL; i++)
        if (ufuncs[least]->types[3 * i] == number && ufuncs[least]->types[3 * i + 2] == number) {
            loop = ufuncs[least]->functions[i];
            data = ufuncs[least]->data ? (void *)ufuncs[least]->data[i] : NULL;
        }
    if (loop == NULL) return NULL;
    PyArrayObject *out = new_like(PyArray_DESCR(a), 0, NULL);
    if (out == NULL) return NULL;
    memcpy(PyArray_DATA(out), PyArray_DATA(a), PyArray_ITEMSIZE(a));
    char *places[3] = {PyArray_BYTES(out), PyArray_BYTES(a) + PyArray_ITEMSIZE(a), PyArray_BYTES(out)};
    NPY_BEGIN_THREADS_DEF;
    NPY_BEGIN_THREADS_THRESHOLDED(n);
    if (rest) loop(places, &rest, steps, data);
    NPY_END_THREADS;
    return (PyObject *)out;
}

const Entry extreme_entries[] = {
    {"amax", extreme},
    {"amin", extreme, "least"},
    {NULL},
};
