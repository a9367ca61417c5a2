/* Sums and norms of arrays in C order: of all elements, of trailing, of leading or of inner dimensions. */
#include "rows.h"

typedef struct {
    const void *x;
    void *y;
    Index n, inner;
} Reduce;

INLINE double sum_double(const double *x, Index n) {
    double a[16] = {0}, total = 0;
    Index i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) a[j] += x[i + j];
    for (; i < n; i++) total += x[i];
    for (int j = 0; j < 16; j++) total += a[j];
    return total;
}

static void float_rows(void *context, Index begin, Index end) {
    const Reduce *w = context;
    for (Index r = begin; r < end; r++) ((float *)w->y)[r] = (float)row_sum((const float *)w->x + r * w->n, w->n);
}

static void double_rows(void *context, Index begin, Index end) {
    const Reduce *w = context;
    for (Index r = begin; r < end; r++) ((double *)w->y)[r] = sum_double((const double *)w->x + r * w->n, w->n);
}

/* Parts of one long row, which are added in the end in their order. */
#define PART 8192
static void float_parts(void *context, Index begin, Index end) {
    const Reduce *w = context;
    for (Index p = begin; p < end; p++) {
        Index at = p * PART, k = w->n - at < PART ? w->n - at : PART;
        ((double *)w->y)[p] = row_sum((const float *)w->x + at, k);
    }
}

static void float_square_parts(void *context, Index begin, Index end) {
    const Reduce *w = context;
    for (Index p = begin; p < end; p++) {
        Index at = p * PART, k = w->n - at < PART ? w->n - at : PART;
        ((double *)w->y)[p] = row_square_sum((const float *)w->x + at, 0, k);
    }
}

static void double_parts(void *context, Index begin, Index end) {
    const Reduce *w = context;
    for (Index p = begin; p < end; p++) {
        Index at = p * PART, k = w->n - at < PART ? w->n - at : PART;
        ((double *)w->y)[p] = sum_double((const double *)w->x + at, k);
    }
}

static double long_row(const void *x, Index n, Body body) {
    double few[64], *sums = few, total = 0;
    Index parts = (n + PART - 1) / PART;
    if (parts > 64) sums = PyMem_Malloc(parts * sizeof(double));
    if (sums == NULL) return 0;
    Reduce w = {x, sums, n, 1};
    parallel_for(parts, 6, body, &w);
    for (Index p = 0; p < parts; p++) total += sums[p];
    if (sums != few) PyMem_Free(sums);
    return total;
}

/* Columns, four vectors of them at a time; sums of 64 rows are added to the sums of all, with what that rounds away. */
static void float_columns(void *context, Index begin, Index end) {
    const Reduce *w = context;
    Index n = w->n, inner = w->inner, blocks = (inner + 4 * LANES - 1) / (4 * LANES);
    for (Index part = begin; part < end; part++) {
        Index outer = part / blocks, column = part % blocks * 4 * LANES, width = inner - column;
        const float *x = (const float *)w->x + outer * n * inner + column;
        float *y = (float *)w->y + outer * inner + column;
        if (width >= 4 * LANES) {
            vf total[4] = {{0}}, lost[4] = {{0}};
            for (Index r = 0; r < n; r += 64) {
                vf a[4] = {{0}};
                for (Index j = r; j < n && j < r + 64; j++)
                    for (int u = 0; u < 4; u++) a[u] += v_load(x + j * inner + u * LANES);
                for (int u = 0; u < 4; u++) {
                    vf s = a[u] - lost[u], t = total[u] + s;
                    lost[u] = v_rounded_away(t, total[u], s);
                    total[u] = t;
                }
            }
            for (int u = 0; u < 4; u++) v_store(y + u * LANES, total[u]);
        } else {
            double total[4 * LANES] = {0};
            for (Index r = 0; r < n; r += 64) {
                float a[4 * LANES] = {0};
                for (Index j = r; j < n && j < r + 64; j++)
                    for (Index k = 0; k < width; k++) a[k] += x[j * inner + k];
                for (Index k = 0; k < width; k++) total[k] += a[k];
            }
            for (Index k = 0; k < width; k++) y[k] = (float)total[k];
        }
    }
}

int read_run(PyObject *dim, PyArrayObject *x, int *first, int *last) {
    int ndim = PyArray_NDIM(x);
    if (dim == Py_None) { *first = 0, *last = ndim - 1; return 1; }
    if (PyLong_CheckExact(dim)) return (*first = *last = dimension(dim, ndim)) >= 0;
    if (!PyTuple_CheckExact(dim) || PyTuple_GET_SIZE(dim) == 0) return 0;
    int gone[NPY_MAXDIMS] = {0}, count = (int)PyTuple_GET_SIZE(dim);
    for (int k = 0; k < count; k++) {
        int d = dimension(PyTuple_GET_ITEM(dim, k), ndim);
        if (d < 0 || gone[d]) return 0;
        gone[d] = 1;
    }
    for (*first = 0; !gone[*first];) ++*first;
    *last = *first + count - 1;
    for (int d = *first; d <= *last; d++) if (d >= ndim || !gone[d]) return 0;
    return 1;
}

/* ---- all dimensions but the second, as the gradients of a channel's parameters need them */

typedef struct { const float *x; float *y; Index images, channels, n; } Channels;

static void channel_sums(void *context, Index begin, Index end) {
    const Channels *w = context;
    for (Index c = begin; c < end; c++) {
        double total = 0;
        for (Index i = 0; i < w->images; i++) total += row_sum(w->x + (i * w->channels + c) * w->n, w->n);
        w->y[c] = (float)total;
    }
}

static PyObject *sum_channels(PyArrayObject *x, PyObject *dim, int keep) {
    int ndim = PyArray_NDIM(x);
    unsigned gone = 0;
    if (ndim < 3 || ndim > 8 || PyArray_TYPE(x) != NPY_FLOAT || !PyTuple_CheckExact(dim) ||
        PyTuple_GET_SIZE(dim) != ndim - 1) return NULL;
    for (int k = 0; k < ndim - 1; k++) {
        int d = dimension(PyTuple_GET_ITEM(dim, k), ndim);
        if (d < 0) return NULL;
        gone |= 1u << d;
    }
    if (gone != ((1u << ndim) - 1) - 2) return NULL;
    Index shape[8] = {1, 1, 1, 1, 1, 1, 1, 1}, channels = PyArray_DIM(x, 1);
    shape[keep ? 1 : 0] = channels;
    PyArrayObject *out = new_array(NPY_FLOAT, keep ? ndim : 1, shape);
    if (out == NULL) return NULL;
    Channels w = {floats(x), floats(out), PyArray_DIM(x, 0), channels, PyArray_SIZE(x) / PyArray_DIM(x, 0) / channels};
    parallel_for(channels, GRAIN(60000, w.images * w.n), channel_sums, &w);
    return (PyObject *)out;
}

/* sum(input, dim=None, keepdim=False, *, dtype=None) */
static PyObject *sum(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (count < 1 || count > 3 || !no_options(args, count, names) || !is_array(args[0])) return NULL;
    PyArrayObject *x = (PyArrayObject *)args[0];
    int type = PyArray_TYPE(x), ndim = PyArray_NDIM(x), first, last, keep = 0;
    if ((type != NPY_FLOAT && type != NPY_DOUBLE) || !is_contiguous(x) || PyArray_SIZE(x) == 0 || ndim == 0) return NULL;
    PyObject *dim = count > 1 ? args[1] : Py_None;
    if (count > 2) {
        if (args[2] != Py_True && args[2] != Py_False) return NULL;
        keep = args[2] == Py_True;
    }
    if (!read_run(dim, x, &first, &last)) return sum_channels(x, dim, keep);
    Index n = 1, inner = 1, shape[NPY_MAXDIMS];
    int dims = 0;
    for (int d = 0; d < ndim; d++) {
        Index size = PyArray_DIM(x, d);
        if (d >= first && d <= last) {
            n *= size;
            if (keep) shape[dims++] = 1;
        } else {
            shape[dims++] = size;
            if (d > last) inner *= size;
        }
    }
    if (inner > 1 && type == NPY_DOUBLE) return NULL; /* numpy adds whole rows as fast */
    PyArrayObject *out = new_array(type, dims, shape);
    if (out == NULL) return NULL;
    Reduce w = {PyArray_DATA(x), PyArray_DATA(out), n, inner};
    Index rows = PyArray_SIZE(out);
    if (inner > 1) {
        Index blocks = (inner + 4 * LANES - 1) / (4 * LANES);
        parallel_for(rows / inner * blocks, GRAIN(60000, n * 4 * LANES), float_columns, &w);
    } else if (rows == 1 && n > PART) {
        double total = long_row(w.x, n, type == NPY_FLOAT ? float_parts : double_parts);
        if (type == NPY_FLOAT) *floats(out) = (float)total; else *(double *)w.y = total;
    } else parallel_for(rows, GRAIN(60000, n), type == NPY_FLOAT ? float_rows : double_rows, &w);
    return (PyObject *)out;
}

/* mean(input, dim=None, keepdim=False, *, dtype=None) */
static PyObject *mean(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyArrayObject *out = (PyArrayObject *)sum(self, args, count, names);
    if (out == NULL || PyArray_SIZE(out) == 0) return (PyObject *)out;
    Index size = PyArray_SIZE(out), n = PyArray_SIZE((PyArrayObject *)args[0]) / size;
    if (PyArray_TYPE(out) == NPY_FLOAT)
        for (Index i = 0; i < size; i++) floats(out)[i] /= (float)n;
    else
        for (Index i = 0; i < size; i++) ((double *)PyArray_DATA(out))[i] /= (double)n;
    return (PyObject *)out;
}

/* _vector_norm(input, ord=2.0, dim=None, keepdim=False): the Euclidean norm of all elements */
static PyObject *vector_norm(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyArrayObject *x;
    if (count < 1 || count > 4 || !no_options(args, count, names) || (x = single(args[0])) == NULL || PyArray_SIZE(x) == 0) return NULL;
    if (count > 1 && !(PyFloat_Check(args[1]) ? PyFloat_AS_DOUBLE(args[1]) == 2
                                              : PyLong_CheckExact(args[1]) && PyLong_AsLong(args[1]) == 2)) {
        PyErr_Clear();
        return NULL;
    }
    if ((count > 2 && args[2] != Py_None) || (count > 3 && args[3] != Py_False)) return NULL;
    PyArrayObject *out = new_array(NPY_FLOAT, 0, NULL);
    if (out) *floats(out) = sqrtf((float)long_row(PyArray_DATA(x), PyArray_SIZE(x), float_square_parts));
    return (PyObject *)out;
}

const Entry reduce_entries[] = {
    {"sum", sum},
    {"mean", mean},
    {"_vector_norm", vector_norm},
    {NULL},
};
