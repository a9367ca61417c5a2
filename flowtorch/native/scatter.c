/* Positions that indices name, and sums at repeated positions, in the order of the values. */
#include "rows.h"

/* A one-dimensional array of int64 in order; NULL for others. */
static const int64_t *integers(PyObject *x, Index *n) {
    PyArrayObject *a = (PyArrayObject *)x;
    if (!is_array(x) || dtype_code(PyArray_DESCR(a)) != INT64 || !is_contiguous(a)) return NULL;
    *n = PyArray_SIZE(a);
    return PyArray_DATA(a);
}

static int inside(const int64_t *at, Index count, Index n) {
    uint64_t outside = 0;
    for (Index i = 0; i < count; i++) outside |= (uint64_t)at[i] >= (uint64_t)n;
    return !outside;
}

typedef struct { void *target; const void *values; const int64_t *rows; Index count, d; int wide; } Rows;

#define ADD_ROWS(T)                                                                                                   \
    for (Index i = 0; i < w->count; i++) {                                                                            \
        T *to = (T *)w->target + w->rows[i] * w->d;                                                                   \
        const T *from = (const T *)w->values + i * w->d;                                                              \
        _Pragma("GCC ivdep") for (Index k = begin; k < end; k++) to[k] += from[k];                                    \
    }

/* Columns [begin, end) of all rows: threads share columns, so that the sums are made in order. */
static void add_columns(void *context, Index begin, Index end) {
    const Rows *w = context;
    if (w->wide) { ADD_ROWS(double) } else { ADD_ROWS(float) }
}

static int floating(PyArrayObject *a) { return PyArray_TYPE(a) == NPY_FLOAT || PyArray_TYPE(a) == NPY_DOUBLE; }

/* add_rows(target, rows, values) */
static PyObject *add_rows(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (count != 3 || names || !is_array(args[0]) || !is_array(args[2])) return NULL;
    PyArrayObject *target = (PyArrayObject *)args[0], *values = (PyArrayObject *)args[2];
    Index k;
    const int64_t *rows = integers(args[1], &k);
    if (rows == NULL || PyArray_NDIM(target) != 2 || PyArray_NDIM(values) != 2 || !floating(target) ||
        PyArray_TYPE(values) != PyArray_TYPE(target) || !is_contiguous(target) || !is_contiguous(values) ||
        !PyArray_ISWRITEABLE(target)) return NULL;
    Index d = PyArray_DIM(target, 1);
    if (PyArray_DIM(values, 0) != k || PyArray_DIM(values, 1) != d || !inside(rows, k, PyArray_DIM(target, 0))) return NULL;
    Rows w = {PyArray_DATA(target), PyArray_DATA(values), rows, k, d, PyArray_TYPE(target) == NPY_DOUBLE};
    parallel_for(d, GRAIN(60000, k) < LANES ? LANES : GRAIN(60000, k), add_columns, &w);
    Py_RETURN_NONE;
}

/* accumulate(flat, at, values, how): for sums */
static PyObject *accumulate(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (count != 4 || names || !is_array(args[0]) || !is_array(args[2]) || !PyUnicode_Check(args[3]) ||
        PyUnicode_CompareWithASCIIString(args[3], "sum") != 0) return NULL;
    PyArrayObject *target = (PyArrayObject *)args[0], *values = (PyArrayObject *)args[2];
    Index k, n = PyArray_SIZE(target);
    const int64_t *at = integers(args[1], &k);
    if (at == NULL || PyArray_NDIM(target) != 1 || !floating(target) || PyArray_TYPE(values) != PyArray_TYPE(target) ||
        !is_contiguous(target) || !is_contiguous(values) || !PyArray_ISWRITEABLE(target) || PyArray_SIZE(values) != k ||
        !inside(at, k, n)) return NULL;
    Rows w = {PyArray_DATA(target), PyArray_DATA(values), at, k, 1, PyArray_TYPE(target) == NPY_DOUBLE};
    add_columns(&w, 0, 1);
    Py_RETURN_NONE;
}

/* ---- flat_index(index, dim, shape): positions in an array of `shape` in C order */

typedef struct { const int64_t *index; int64_t *out; Index size[NPY_MAXDIMS], stride[NPY_MAXDIMS], count; int ndim, dim; } Flat;

/* Rows [begin, end) of the last dimension. */
static void flat_rows(void *context, Index begin, Index end) {
    const Flat *w = context;
    int last = w->ndim - 1;
    Index n = w->size[last], step = w->stride[w->dim];
    for (Index r = begin; r < end; r++) {
        Index rest = r, base = 0;
        for (int d = last - 1; d >= 0; d--) {
            if (d != w->dim) base += rest % w->size[d] * w->stride[d];
            rest /= w->size[d];
        }
        const int64_t *from = w->index + r * n;
        int64_t *to = w->out + r * n;
        if (w->dim == last) for (Index k = 0; k < n; k++) to[k] = from[k] + base;
        else for (Index k = 0; k < n; k++) to[k] = from[k] * step + base + k;
    }
}

static PyObject *flat_index(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Flat w;
    Index size;
    if (count != 3 || names || (w.index = integers(args[0], &size)) == NULL || !PyTuple_CheckExact(args[2])) return NULL;
    PyArrayObject *index = (PyArrayObject *)args[0];
    w.ndim = PyArray_NDIM(index);
    if (w.ndim < 2 || PyTuple_GET_SIZE(args[2]) != w.ndim || size == 0) return NULL;
    if ((w.dim = dimension(args[1], w.ndim)) < 0) return NULL;
    Index stride = 1;
    for (int d = w.ndim - 1; d >= 0; d--) {
        PyObject *item = PyTuple_GET_ITEM(args[2], d);
        if (!PyLong_CheckExact(item)) return NULL;
        w.size[d] = PyArray_DIM(index, d), w.stride[d] = stride;
        stride *= PyLong_AsSsize_t(item);
    }
    PyArrayObject *out = new_array(NPY_INT64, w.ndim, w.size);
    if (out == NULL) return NULL;
    w.out = PyArray_DATA(out);
    Index n = w.size[w.ndim - 1];
    parallel_for(size / n, GRAIN(50000, n), flat_rows, &w);
    return (PyObject *)out;
}

/* ---- gather(input, dim, index, *, sparse_grad) */

typedef struct { Flat at; const char *from; char *to; int size; _Atomic int outside; } Gather;

#define PICK(T)                                                                                                       \
    for (Index k = 0; k < n; k++) {                                                                                   \
        uint64_t at = (uint64_t)index[k];                                                                             \
        if (at >= most) { w->outside = 1; return; }                                                                   \
        ((T *)w->to)[r * n + k] = ((const T *)w->from)[base + at * step + k * along];                                 \
    }

/* Rows [begin, end) of the last dimension of the index. */
static void gather_rows(void *context, Index begin, Index end) {
    Gather *w = context;
    const Flat *f = &w->at;
    int last = f->ndim - 1;
    Index n = f->size[last], step = f->stride[f->dim], along = f->dim == last ? 0 : 1;
    uint64_t most = f->count;
    for (Index r = begin; r < end; r++) {
        Index rest = r, base = 0;
        for (int d = last - 1; d >= 0; d--) {
            if (d != f->dim) base += rest % f->size[d] * f->stride[d];
            rest /= f->size[d];
        }
        const int64_t *index = f->index + r * n;
        switch (w->size) {
            case 1: PICK(uint8_t) break;
            case 2: PICK(uint16_t) break;
            case 4: PICK(uint32_t) break;
            case 8: PICK(uint64_t) break;
        }
    }
}

/* What is wrong with the arguments, the numpy kernel finds out. */
static PyObject *gather(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Gather w = {0};
    Index size;
    if (count < 3 || !is_array(args[0]) || (w.at.index = integers(args[2], &size)) == NULL || size == 0) return NULL;
    PyArrayObject *x = (PyArrayObject *)args[0], *index = (PyArrayObject *)args[2];
    Flat *f = &w.at;
    f->ndim = PyArray_NDIM(x);
    if (f->ndim < 1 || PyArray_NDIM(index) != f->ndim || !is_contiguous(x) || dtype_code(PyArray_DESCR(x)) == UNKNOWN ||
        (f->dim = dimension(args[1], f->ndim)) < 0) return NULL;
    Index stride = 1;
    for (int d = f->ndim - 1; d >= 0; d--) {
        f->size[d] = PyArray_DIM(index, d), f->stride[d] = stride;
        if (d != f->dim && f->size[d] > PyArray_DIM(x, d)) return NULL;
        stride *= PyArray_DIM(x, d);
    }
    f->count = PyArray_DIM(x, f->dim);
    PyArrayObject *out = new_like(PyArray_DESCR(x), f->ndim, f->size);
    if (out == NULL) return NULL;
    w.from = PyArray_DATA(x), w.to = PyArray_DATA(out), w.size = (int)PyArray_ITEMSIZE(x);
    Index n = f->size[f->ndim - 1];
    parallel_for(size / n, GRAIN(20000, n), gather_rows, &w);
    if (!w.outside) return (PyObject *)out;
    Py_DECREF(out);
    return NULL;
}

const Entry scatter_entries[] = {
    {"gather", gather},
    {"add_rows", add_rows},
    {"accumulate", accumulate},
    {"flat_index", flat_index},
    {NULL},
};
