/* The extension module: the kernel type, the registry by name, and the hook for calls.c. */
#define FLOWTORCH_MODULE
#include "kernel.h"
#include <structmember.h>

static const Entry *const tables[] = {pointwise_entries, cast_entries, row_entries,
    norm_entries, random_entries, reduce_entries, conv_entries, loss_entries, scatter_entries, put_entries,
    extreme_entries, attention_entries, copy_entries, power_entries, recurrent_entries, recurrent_backward_entries,
    twister_entries, order_entries, batch_entries, NULL};

/* Whether the elements of an array are read again along some dimension, or do not follow each other. */
static int to_be_written_out(const Kernel *self, PyObject *x) {
    if (Py_TYPE(x) != &PyArray_Type || PyArray_IS_C_CONTIGUOUS((PyArrayObject *)x)) return 0;
    if (self->written_out == ALL) return 1;
    for (int d = 0; d < PyArray_NDIM((PyArrayObject *)x); d++)
        if (PyArray_STRIDE((PyArrayObject *)x, d) == 0 && PyArray_DIM((PyArrayObject *)x, d) > 1) return 1;
    return 0;
}

/* A declined call once more, on copies of such operands: gradients of sums are expanded, and a copy is little beside the
 * kernel. NULL if there are none. */
static PyObject *again(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    enum { MOST = 16 };
    PyObject *given[MOST], *result = NULL;
    Py_ssize_t all = count + (names ? PyTuple_GET_SIZE(names) : 0), copied = 0, k;
    if (all > MOST) return NULL;
    for (k = 0; k < all; k++) {
        given[k] = args[k];
        if (!to_be_written_out(self, args[k])) Py_INCREF(args[k]);
        else if ((given[k] = PyArray_NewCopy((PyArrayObject *)args[k], NPY_CORDER)) == NULL) break;
        else copied++;
    }
    if (k == all && copied) result = self->run(self, given, count, names);
    while (k--) Py_DECREF(given[k]);
    return result;
}

PyObject *kernel_run(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyObject *result = self->run(self, args, count, names);
    return result || !self->written_out || PyErr_Occurred() ? result : again(self, args, count, names);
}

static PyObject *kernel_call(PyObject *callable, PyObject *const *args, size_t flags, PyObject *names) {
    Kernel *self = (Kernel *)callable;
    PyObject *result = kernel_run(self, args, PyVectorcall_NARGS(flags), names);
    if (result != NULL || PyErr_Occurred()) return result;
    return PyObject_Vectorcall(self->fallback, args, flags, names);
}

static int kernel_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(((Kernel *)self)->fallback);
    return 0;
}

static int kernel_clear(PyObject *self) {
    Py_CLEAR(((Kernel *)self)->fallback);
    return 0;
}

static void kernel_free(PyObject *self) {
    PyObject_GC_UnTrack(self);
    kernel_clear(self);
    PyObject_GC_Del(self);
}

static PyObject *kernel_repr(PyObject *self) {
    return PyUnicode_FromFormat("<native kernel %s>", ((Kernel *)self)->name);
}

/* A reader of the code sees the numpy kernel's name, text and signature. */
static PyObject *kernel_attribute(PyObject *self, PyObject *name) {
    PyObject *own = PyObject_GenericGetAttr(self, name);
    if (own != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError)) return own;
    PyErr_Clear();
    return PyObject_GetAttr(((Kernel *)self)->fallback, name);
}

static PyMemberDef kernel_members[] = {
    {"__wrapped__", T_OBJECT, offsetof(Kernel, fallback), READONLY, "the numpy kernel"},
    {"native", T_STRING, offsetof(Kernel, name), READONLY, "the name in the registry"},
    {NULL},
};

PyTypeObject Kernel_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "flowtorch.native.Kernel",
    .tp_doc = "A C kernel in the place of the numpy kernel that it wraps.",
    .tp_basicsize = sizeof(Kernel),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Kernel, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_traverse = kernel_traverse,
    .tp_clear = kernel_clear,
    .tp_dealloc = kernel_free,
    .tp_repr = kernel_repr,
    .tp_getattro = kernel_attribute,
    .tp_members = kernel_members,
};

static PyObject *module_kernel(PyObject *module, PyObject *args) {
    const char *name;
    PyObject *fallback;
    if (!PyArg_ParseTuple(args, "sO", &name, &fallback)) return NULL;
    for (int t = 0; tables[t]; t++)
        for (const Entry *e = tables[t]; e->name; e++)
            if (strcmp(e->name, name) == 0) {
                Kernel *self = PyObject_GC_New(Kernel, &Kernel_Type);
                if (self == NULL) return NULL;
                self->vectorcall = kernel_call;
                self->run = e->run;
                self->data = e->data;
                self->name = e->name;
                self->written_out = e->written_out;
                Py_INCREF(fallback);
                self->fallback = fallback;
                PyObject_GC_Track((PyObject *)self);
                return (PyObject *)self;
            }
    return PyErr_Format(PyExc_KeyError, "no native kernel is called %s", name);
}

static PyObject *module_names(PyObject *module, PyObject *unused) {
    PyObject *names = PyList_New(0);
    for (int t = 0; names && tables[t]; t++)
        for (const Entry *e = tables[t]; e->name; e++) {
            PyObject *name = PyUnicode_FromString(e->name);
            if (name == NULL || PyList_Append(names, name) < 0) Py_CLEAR(names);
            Py_XDECREF(name);
            if (names == NULL) return NULL;
        }
    return names;
}

static PyObject *module_threads(PyObject *module, PyObject *args) {
    int count = 0;
    if (!PyArg_ParseTuple(args, "|i", &count)) return NULL;
    if (count > 0) threads_set(count);
    return PyLong_FromLong(threads_get());
}

static PyMethodDef methods[] = {
    {"kernel", module_kernel, METH_VARARGS, "kernel(name, fallback): the kernel of that name before a numpy kernel."},
    {"names", module_names, METH_NOARGS, "The names of all kernels."},
    {"threads", module_threads, METH_VARARGS, "threads([count]): how many threads kernels use, after setting it."},
    {NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "flowtorch.native._kernels", "CPU kernels in C.", -1, methods,
};

PyMODINIT_FUNC PyInit__kernels(void) {
    import_array();
    if (PyType_Ready(&Kernel_Type) < 0) return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) return NULL;
    if (calls_register(module) < 0) Py_CLEAR(module);
    return module;
}

/* ---- what kernels share */

int dtype_code(PyArray_Descr *descr) {
    static int bfloat16 = -1; /* ml_dtypes registers its number when it loads */
    int number = descr->type_num;
    switch (number) {
        case NPY_FLOAT: return FLOAT32;
        case NPY_DOUBLE: return FLOAT64;
        case NPY_BOOL: return BOOL;
        case NPY_UBYTE: return UINT8;
        case NPY_BYTE: return INT8;
        case NPY_SHORT: return INT16;
        case NPY_INT: return INT32;
        case NPY_LONG: return sizeof(long) == 8 ? INT64 : INT32;
        case NPY_LONGLONG: return INT64;
        case NPY_HALF: return FLOAT16;
    }
    if (number >= NPY_USERDEF) {
        if (bfloat16 < 0) {
            const char *name = strrchr(descr->typeobj->tp_name, '.');
            if (strcmp(name ? name + 1 : descr->typeobj->tp_name, "bfloat16") == 0) bfloat16 = number;
        }
        if (number == bfloat16) return BFLOAT16;
    }
    return UNKNOWN;
}

PyObject *argument(PyObject *const *args, Py_ssize_t count, PyObject *names, Py_ssize_t position, const char *name) {
    if (position < count) return args[position];
    Py_ssize_t keywords = names ? PyTuple_GET_SIZE(names) : 0;
    for (Py_ssize_t k = 0; k < keywords; k++)
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, k), name) == 0) return args[count + k];
    return NULL;
}
