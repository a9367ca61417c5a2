/* Writing at the places that an index names along one dimension: values put there, or added in order. */
#include "rows.h"

typedef struct {
    const int64_t *index;
    const char *from;
    char *to;
    int ndim, dim, code, adds;
    Index rows, size[NPY_MAXDIMS], to_stride[NPY_MAXDIMS], from_stride[NPY_MAXDIMS];
} Put;

#define ALONG(T, OPERATION)                                                                                           \
    for (Index k = begin; k < end; k++)                                                                               \
        ((T *)w->to)[at + index[k] * step + k * along] OPERATION ((const T *)w->from)[read + k * next];

/* Elements [begin, end) of the last dimension in row r of the index. */
static void put_row(const Put *w, Index r, Index begin, Index end) {
    int last = w->ndim - 1;
    Index rest = r, at = 0, read = 0;
    for (int d = last - 1; d >= 0; d--) {
        Index place = rest % w->size[d];
        if (d != w->dim) at += place * w->to_stride[d];
        read += place * w->from_stride[d];
        rest /= w->size[d];
    }
    const int64_t *index = w->index + r * w->size[last];
    Index step = w->to_stride[w->dim], along = w->dim == last ? 0 : 1, next = w->from_stride[last];
    if (w->adds) {
        switch (w->code) {
            case INT32: ALONG(uint32_t, +=) break;
            case INT64: ALONG(uint64_t, +=) break;
            case FLOAT32: ALONG(float, +=) break;
            case FLOAT64: ALONG(double, +=) break;
        }
        return;
    }
    switch (w->code) {
        case BOOL: case UINT8: case INT8: ALONG(uint8_t, =) break;
        case INT16: case FLOAT16: case BFLOAT16: ALONG(uint16_t, =) break;
        case INT32: case FLOAT32: ALONG(uint32_t, =) break;
        case INT64: case FLOAT64: ALONG(uint64_t, =) break;
    }
}

static void put_rows(void *context, Index begin, Index end) {
    const Put *w = context;
    for (Index r = begin; r < end; r++) put_row(w, r, 0, w->size[w->ndim - 1]);
}

/* Where the rows of the index meet in the same places, threads share columns: so they write in order. */
static void put_columns(void *context, Index begin, Index end) {
    const Put *w = context;
    for (Index r = 0; r < w->rows; r++) put_row(w, r, begin, end);
}

/* Whether values would be read that have been written: the numpy kernels know what then. */
static int meet(PyArrayObject *a, PyArrayObject *b) {
    const char *x = PyArray_DATA(a), *y = PyArray_DATA(b);
    return x < y + PyArray_NBYTES(b) && y < x + PyArray_NBYTES(a);
}

/* put_along(target, dim, index, values, adds): indices are known to lie inside. */
static PyObject *put_along(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (count != 5 || names || !is_array(args[0]) || !is_array(args[2]) || !is_array(args[3])) return NULL;
    PyArrayObject *target = (PyArrayObject *)args[0], *index = (PyArrayObject *)args[2], *values = (PyArrayObject *)args[3];
    Put w = {.ndim = PyArray_NDIM(target), .code = dtype_code(PyArray_DESCR(target)), .adds = args[4] == Py_True};
    int spread = PyArray_NDIM(values) == 0; /* one value everywhere */
    if (w.ndim < 1 || PyArray_NDIM(index) != w.ndim || PyArray_SIZE(index) == 0 || PyArray_TYPE(index) != NPY_INT64 ||
        PyArray_DESCR(target) != PyArray_DESCR(values) || w.code == UNKNOWN || !is_contiguous(target) ||
        !is_contiguous(index) || !is_contiguous(values) || !PyArray_ISWRITEABLE(target) || meet(target, values) ||
        (!spread && PyArray_NDIM(values) != w.ndim) || (w.dim = dimension(args[1], w.ndim)) < 0) return NULL;
    if (w.adds && w.code != INT32 && w.code != INT64 && w.code != FLOAT32 && w.code != FLOAT64) return NULL;
    Index to = 1, from = 1;
    for (int d = w.ndim - 1; d >= 0; d--) {
        w.size[d] = PyArray_DIM(index, d), w.to_stride[d] = to, w.from_stride[d] = spread ? 0 : from;
        to *= PyArray_DIM(target, d), from *= spread ? 1 : PyArray_DIM(values, d);
    }
    w.to = PyArray_DATA(target), w.from = PyArray_DATA(values), w.index = PyArray_DATA(index);
    Index n = w.size[w.ndim - 1];
    w.rows = PyArray_SIZE(index) / n;
    if (w.dim == w.ndim - 1 && w.ndim > 1) parallel_for(w.rows, GRAIN(20000, n), put_rows, &w);
    else if (w.ndim > 1) parallel_for(n, GRAIN(20000, w.rows), put_columns, &w);
    else put_rows(&w, 0, 1);
    Py_RETURN_NONE;
}

const Entry put_entries[] = {
    {"put_along", put_along},
    {NULL},
};
