/* Copies of large arrays, shared by threads and written past the caches where that is faster; numpy makes small ones. */
#include "rows.h"
#include "stream.h"

#define LARGE (1 << 18) /* bytes */

static void copy_bytes(char *to, const char *from, Index bytes, int streams) {
    if (streams) stream_copy(to, from, bytes);
    else memcpy(to, from, bytes);
}

typedef struct { char *to; const char *from; int streams; } Bytes;

/* Blocks [begin, end) of 64 bytes. */
static void copy_blocks(void *context, Index begin, Index end) {
    const Bytes *w = context;
    copy_bytes(w->to + begin * 64, w->from + begin * 64, (end - begin) * 64, w->streams);
    if (w->streams) stream_end();
}

static void copy_all(char *to, const char *from, Index bytes, int streams) {
    Bytes w = {to, from, streams};
    Index blocks = bytes / 64;
    parallel_for(blocks, LARGE / 64, copy_blocks, &w);
    memcpy(to + blocks * 64, from + blocks * 64, bytes - blocks * 64);
}

/* duplicate(array) */
static PyObject *duplicate(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (count != 1 || names || !is_array(args[0])) return NULL;
    PyArrayObject *a = (PyArrayObject *)args[0];
    Index bytes = PyArray_NBYTES(a);
    if (bytes < LARGE || (!is_contiguous(a) && !PyArray_IS_F_CONTIGUOUS(a)) || PyArray_HASFIELDS(a) ||
        PyDataType_REFCHK(PyArray_DESCR(a))) return NULL;
    PyArrayObject *out = (PyArrayObject *)PyArray_NewLikeArray(a, NPY_KEEPORDER, NULL, 0);
    if (out == NULL) return NULL;
    copy_all(PyArray_BYTES(out), PyArray_BYTES(a), bytes, streams(bytes));
    return (PyObject *)out;
}

/* ---- concatenate(arrays, dim) */

typedef struct { char *to; const char **from; const Index *bytes; Index parts, row; int streams; } Join;

/* Rows [begin, end) of the dimensions before the one along which arrays are joined. */
static void join_rows(void *context, Index begin, Index end) {
    const Join *w = context;
    for (Index r = begin; r < end; r++) {
        char *to = w->to + r * w->row;
        for (Index k = 0; k < w->parts; to += w->bytes[k], k++)
            copy_bytes(to, w->from[k] + r * w->bytes[k], w->bytes[k], w->streams);
    }
    if (w->streams) stream_end();
}

/* Whether all arrays lie row by row, and have the first one's dtype and its sizes but along `dim`; the sum along it. */
static int alike(PyObject **items, Index parts, int dim, Index *total) {
    if (!is_array(items[0])) return 0;
    PyArrayObject *first = (PyArrayObject *)items[0];
    *total = 0;
    for (Index k = 0; k < parts; k++) {
        PyArrayObject *a = (PyArrayObject *)items[k];
        if (!is_array(items[k]) || !is_contiguous(a) || PyArray_NDIM(a) != PyArray_NDIM(first) ||
            PyArray_DESCR(a) != PyArray_DESCR(first)) return 0;
        for (int d = 0; d < PyArray_NDIM(a); d++)
            if (d != dim && PyArray_DIM(a, d) != PyArray_DIM(first, d)) return 0;
        *total += PyArray_DIM(a, dim);
    }
    return !PyDataType_REFCHK(PyArray_DESCR(first));
}

static PyObject *concatenate(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    enum { MOST = 64 };
    if (count != 2 || names || !PyList_CheckExact(args[0])) return NULL;
    Index parts = PyList_GET_SIZE(args[0]), total, bytes[MOST];
    PyObject **items = ((PyListObject *)args[0])->ob_item;
    if (parts < 1 || parts > MOST || !is_array(items[0])) return NULL;
    PyArrayObject *first = (PyArrayObject *)items[0];
    int dim = dimension(args[1], PyArray_NDIM(first));
    if (dim < 0 || !alike(items, parts, dim, &total)) return NULL;
    Index shape[NPY_MAXDIMS], outer = 1, item = PyArray_ITEMSIZE(first);
    memcpy(shape, PyArray_DIMS(first), PyArray_NDIM(first) * sizeof *shape);
    shape[dim] = total;
    for (int d = 0; d < PyArray_NDIM(first); d++) *(d < dim ? &outer : &item) *= d == dim ? 1 : shape[d];
    if (outer * item * total < LARGE) return NULL;
    PyArrayObject *out = new_like(PyArray_DESCR(first), PyArray_NDIM(first), shape);
    if (out == NULL) return NULL;
    const char *from[MOST];
    for (Index k = 0; k < parts; k++) {
        from[k] = PyArray_BYTES((PyArrayObject *)items[k]);
        bytes[k] = PyArray_DIM((PyArrayObject *)items[k], dim) * item;
    }
    Join w = {PyArray_BYTES(out), from, bytes, parts, total * item, streams(PyArray_NBYTES(out))};
    if (outer > 1) {
        parallel_for(outer, GRAIN(LARGE, w.row), join_rows, &w);
        return (PyObject *)out;
    }
    for (Index k = 0; k < parts; w.to += bytes[k], k++) copy_all(w.to, from[k], bytes[k], w.streams);
    return (PyObject *)out;
}

/* ---- take(array, index, dim) */

typedef struct { char *to; const char *from; const int64_t *index; Index count, size, bytes; int streams; _Atomic int outside; } Take;

#define AHEAD 8 /* slices: what is far away is asked for so long before it is copied */

/* Slices [begin, end) of all slices of the result. */
static void take_slices(void *context, Index begin, Index end) {
    Take *w = context;
    Index k = begin % w->count;
    const char *from = w->from + begin / w->count * w->size * w->bytes;
    char *to = w->to + begin * w->bytes;
    for (Index r = begin; r < end; r++, to += w->bytes) {
        if (k + AHEAD < w->count)
            for (Index line = 0; line < w->bytes && line < 512; line += 64)
                __builtin_prefetch(from + w->index[k + AHEAD] * w->bytes + line);
        uint64_t at = (uint64_t)w->index[k];
        if (at >= (uint64_t)w->size) { w->outside = 1; return; }
        copy_bytes(to, from + (Index)at * w->bytes, w->bytes, w->streams);
        if (++k == w->count) k = 0, from += w->size * w->bytes;
    }
    if (w->streams) stream_end();
}

static PyObject *take(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (count != 3 || names || !is_array(args[0]) || !is_array(args[1])) return NULL;
    PyArrayObject *a = (PyArrayObject *)args[0], *index = (PyArrayObject *)args[1];
    int ndim = PyArray_NDIM(a), dim = dimension(args[2], ndim), wide = PyArray_NDIM(index), n = 0;
    if (dim < 0 || !is_contiguous(a) || !is_contiguous(index) || PyArray_TYPE(index) != NPY_INT64 ||
        ndim - 1 + wide > NPY_MAXDIMS || PyDataType_REFCHK(PyArray_DESCR(a))) return NULL;
    Index shape[NPY_MAXDIMS], outer = 1, bytes = PyArray_ITEMSIZE(a);
    for (int d = 0; d < dim; d++) outer *= shape[n++] = PyArray_DIM(a, d);
    for (int d = 0; d < wide; d++) shape[n++] = PyArray_DIM(index, d);
    for (int d = dim + 1; d < ndim; d++) bytes *= shape[n++] = PyArray_DIM(a, d);
    Index slices = outer * PyArray_SIZE(index);
    if (bytes < 32 || slices * bytes < LARGE) return NULL; /* numpy's take of short slices does not call memcpy */
    PyArrayObject *out = new_like(PyArray_DESCR(a), n, shape);
    if (out == NULL) return NULL;
    Take w = {PyArray_BYTES(out), PyArray_BYTES(a), PyArray_DATA(index), PyArray_SIZE(index), PyArray_DIM(a, dim), bytes,
              bytes % 64 == 0 && streams(PyArray_NBYTES(out)), 0};
    parallel_for(slices, GRAIN(LARGE / 2, bytes), take_slices, &w);
    if (!w.outside) return (PyObject *)out;
    Py_DECREF(out);
    return NULL;
}

const Entry copy_entries[] = {
    {"duplicate", duplicate},
    {"concatenate", concatenate},
    {"take", take},
    {NULL},
};
