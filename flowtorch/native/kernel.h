/* What the C files of the native tier share: the kernel object, the registry, threads, numpy's C API.
 *
 * A kernel object stands in the place of a numpy kernel and is called exactly as that is. It looks at its operands;
 * what it does not take (another dtype, an odd layout, a subclass, a wrong argument) goes to the numpy kernel, its
 * fallback, with the arguments untouched. So a kernel has no errors of its own to raise, and no rule to repeat. */
#ifndef FLOWTORCH_KERNEL_H
#define FLOWTORCH_KERNEL_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL flowtorch_native_array_api
#ifndef FLOWTORCH_MODULE
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>
#include "prelude.h"

typedef npy_intp Index;
typedef struct Kernel Kernel;

/* Computes and returns a new reference; NULL without an exception set declines the call. */
typedef PyObject *(*Run)(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names);

struct Kernel {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Run run;
    const void *data;     /* what `run` wants to know beside its operands */
    PyObject *fallback;   /* the numpy kernel */
    const char *name;
    int written_out;      /* of its entry */
};

extern PyTypeObject Kernel_Type;

/* What the kernel gives, without its fallback: NULL without an exception set where it declines. */
PyObject *kernel_run(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names);

/* Operands that a declined call may be tried again with, written out row by row, since the kernel only reads them and
 * its result lies the same way for all of them. */
enum { AS_THEY_ARE, EXPANDED, ALL };
typedef struct { const char *name; Run run; const void *data; int written_out; } Entry;

/* Each file has one table of entries, closed by a name of NULL; module.c lists the tables. */
extern const Entry pointwise_entries[], cast_entries[], row_entries[], norm_entries[], random_entries[],
    reduce_entries[], conv_entries[], loss_entries[], scatter_entries[], put_entries[], extreme_entries[],
    attention_entries[], copy_entries[], power_entries[], recurrent_entries[], recurrent_backward_entries[],
    twister_entries[], order_entries[], batch_entries[];

/* calls.c: adds what it has to the module; -1 with an exception set when it fails. */
int calls_register(PyObject *module);

/* ---- threads (threads.c) */

typedef void (*Body)(void *context, Index begin, Index end);

/* Calls `body` on parts of [0, n) of at least `grain`, on several threads when there is more than one part. The GIL
 * is released meanwhile. One caller at a time has the other threads; a second one computes alone. */
void parallel_for(Index n, Index grain, Body body, void *context);
int threads_get(void);
void threads_set(int count);
void threads_after_fork(void);

/* ---- operands */

enum { BOOL, UINT8, INT8, INT16, INT32, INT64, FLOAT16, BFLOAT16, FLOAT32, FLOAT64, UNKNOWN };
int dtype_code(PyArray_Descr *descr);

/* An exact ndarray whose elements can be read in place. */
static inline int is_array(PyObject *x) {
    return Py_TYPE(x) == &PyArray_Type && PyArray_ISALIGNED((PyArrayObject *)x) &&
           PyArray_ISNOTSWAPPED((PyArrayObject *)x);
}
static inline int is_contiguous(PyArrayObject *a) { return PyArray_IS_C_CONTIGUOUS(a); }
/* How far apart the last elements of a contiguous image are, beyond its channels, in bytes: less than 0 but where its
 * strides are those of an image of one element whose channels come last. */
static inline Index channels_lag(PyArrayObject *a) {
    int ndim = PyArray_NDIM(a);
    return ndim > 3 ? PyArray_STRIDE(a, ndim - 1) - PyArray_STRIDE(a, 1) : -1;
}
static inline int same_shape(PyArrayObject *a, PyArrayObject *b) {
    return PyArray_NDIM(a) == PyArray_NDIM(b) &&
           PyArray_CompareLists(PyArray_DIMS(a), PyArray_DIMS(b), PyArray_NDIM(a));
}

/* New memory of a descriptor (borrowed here) or of a dtype number. */
static inline PyArrayObject *new_like(PyArray_Descr *descr, int ndim, const Index *shape) {
    Py_INCREF(descr);
    return (PyArrayObject *)PyArray_NewFromDescr(&PyArray_Type, descr, ndim, (Index *)shape, NULL, NULL, 0, NULL);
}
static inline PyArrayObject *new_array(int number, int ndim, const Index *shape) {
    return (PyArrayObject *)PyArray_SimpleNew(ndim, (Index *)shape, number);
}

/* Whether every keyword argument is None, which is as if it were not given. */
static inline int no_options(PyObject *const *args, Py_ssize_t count, PyObject *names) {
    for (Py_ssize_t k = 0; names && k < PyTuple_GET_SIZE(names); k++)
        if (args[count + k] != Py_None) return 0;
    return 1;
}

/* The value of argument `position`, or of keyword `name`; NULL when it is not given. */
PyObject *argument(PyObject *const *args, Py_ssize_t count, PyObject *names, Py_ssize_t position, const char *name);

#endif
