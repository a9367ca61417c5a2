/* Cross entropy of class indices, and maxima of windows. */
#include "rows.h"

typedef struct {
    const float *x;
    const int64_t *target;
    float *y, scale;
    const float *scales; /* of each row, where the gradient has one for each */
    Index n;
} Entropy;

INLINE float exponentials(const float *x, float m, float *e, Index n) {
    vf a[4] = {{0}};
    OVER_ROW(n, ,
        vf t = v_exp_below(v_load(x + k) - m); if (e) v_store(e + k, t); a[u] += t;,
        vf t = v_exp_below(v_load_part(x + k, rest, -INFINITY) - m); if (e) v_store_part(e + k, t, rest); a[1] += t;)
    return v_sum((a[0] + a[1]) + (a[2] + a[3]));
}

static void entropy_rows(void *context, Index begin, Index end) {
    const Entropy *w = context;
    for (Index r = begin; r < end; r++) {
        const float *x = w->x + r * w->n;
        float m = row_top(x, w->n);
        w->y[r] = logf(exponentials(x, m, NULL, w->n)) - (x[w->target[r]] - m);
    }
}

static void entropy_backward_rows(void *context, Index begin, Index end) {
    const Entropy *w = context;
    Index n = w->n;
    for (Index r = begin; r < end; r++) {
        const float *x = w->x + r * n;
        float *y = w->y + r * n, scale = w->scales ? w->scales[r] : w->scale;
        float s = scale / exponentials(x, row_top(x, n), y, n);
#define TIMES(LOAD) LOAD(y) * s
        FOR_ROW(n, y, TIMES)
        y[w->target[r]] -= scale;
    }
}

/* (N, C) logits with N class indices that all count, without weights; the reduction, or -1. */
static int read_entropy(PyObject *const *args, PyArrayObject **x, Entropy *w) {
    PyArrayObject *t = (PyArrayObject *)args[1];
    if ((*x = single(args[0])) == NULL || PyArray_NDIM(*x) != 2 || !is_array(args[1]) || PyArray_NDIM(t) != 1 ||
        PyArray_TYPE(t) != NPY_INT64 || !is_contiguous(t) || args[2] != Py_None || !PyUnicode_Check(args[3]) ||
        !PyLong_CheckExact(args[4])) return -1;
    Index rows = PyArray_DIM(*x, 0);
    int64_t ignored = PyLong_AsLong(args[4]);
    w->n = PyArray_DIM(*x, 1), w->x = floats(*x), w->target = PyArray_DATA(t);
    if (rows == 0 || PyArray_DIM(t, 0) != rows || (ignored == -1 && PyErr_Occurred())) { PyErr_Clear(); return -1; }
    if (ignored >= 0 && ignored < w->n) return -1;
    uint64_t outside = 0;
    for (Index r = 0; r < rows; r++) outside |= (uint64_t)w->target[r] >= (uint64_t)w->n;
    if (outside) return -1;
    const char *reduction = PyUnicode_AsUTF8(args[3]);
    return strcmp(reduction, "none") == 0 ? 0 : strcmp(reduction, "mean") == 0 ? 1 : strcmp(reduction, "sum") == 0 ? 2 : -1;
}

/* _cross_entropy(input, target, weight, reduction, ignore_index) */
static PyObject *cross_entropy(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyArrayObject *x, *out = NULL;
    Entropy w = {0};
    int reduction = count == 5 && !names ? read_entropy(args, &x, &w) : -1;
    if (reduction < 0) return NULL;
    Index rows = PyArray_DIM(x, 0);
    PyArrayObject *losses = new_array(NPY_FLOAT, 1, &rows);
    if (losses == NULL) return NULL;
    w.y = floats(losses);
    parallel_for(rows, GRAIN(12000, w.n), entropy_rows, &w);
    if (reduction == 0) return (PyObject *)losses;
    if ((out = new_array(NPY_FLOAT, 0, NULL)) != NULL) {
        double total = row_sum(w.y, rows);
        *floats(out) = reduction == 1 ? (float)total / (float)rows : (float)total;
    }
    Py_DECREF(losses);
    return (PyObject *)out;
}

/* _cross_entropy_backward(grad, input, target, weight, reduction, ignore_index) */
static PyObject *cross_entropy_backward(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyArrayObject *x, *g;
    Entropy w = {0};
    int reduction = count == 6 && !names ? read_entropy(args + 1, &x, &w) : -1;
    if (reduction < 0 || (g = single(args[0])) == NULL) return NULL;
    Index rows = PyArray_DIM(x, 0);
    if (PyArray_NDIM(g) == 0) w.scale = reduction == 1 ? *floats(g) / (float)rows : *floats(g);
    else if (reduction == 0 && PyArray_NDIM(g) == 1 && PyArray_DIM(g, 0) == rows) w.scales = floats(g);
    else return NULL;
    PyArrayObject *out = new_like(PyArray_DESCR(x), 2, PyArray_DIMS(x));
    if (out == NULL) return NULL;
    w.y = floats(out);
    parallel_for(rows, GRAIN(12000, w.n), entropy_backward_rows, &w);
    return (PyObject *)out;
}

/* ---- _max_pool(input, kernel, stride, padding, dilation, ceil_mode) of (N, C, H, W) */

typedef struct {
    const float *x;
    float *y;
    int64_t *index;
    Index size[2], out[2], kernel[2], stride[2], padding[2], dilation[2];
} Pool;

/* Steps over the positions of a window that lie before the input. */
INLINE Index first_inside(Index start, Index step) { return start >= 0 ? start : start + (-start + step - 1) / step * step; }

static void pool_planes(void *context, Index begin, Index end) {
    const Pool *w = context;
    Index wide = w->size[1], plane = w->size[0] * wide, outs = w->out[0] * w->out[1];
    for (Index p = begin; p < end; p++) {
        const float *x = w->x + p * plane;
        for (Index oy = 0; oy < w->out[0]; oy++) {
            Index y0 = oy * w->stride[0] - w->padding[0], y1 = y0 + w->kernel[0] * w->dilation[0];
            y0 = first_inside(y0, w->dilation[0]), y1 = y1 < w->size[0] ? y1 : w->size[0];
            for (Index ox = 0; ox < w->out[1]; ox++) {
                Index x0 = ox * w->stride[1] - w->padding[1], x1 = x0 + w->kernel[1] * w->dilation[1];
                x0 = first_inside(x0, w->dilation[1]), x1 = x1 < wide ? x1 : wide;
                Index at = y0 * wide + x0;
                float best = -INFINITY;
                for (Index i = y0; i < y1; i += w->dilation[0])
                    for (Index j = x0; j < x1; j += w->dilation[1]) {
                        float v = x[i * wide + j];
                        if (v > best || v != v) best = v, at = i * wide + j; /* the last NaN wins */
                    }
                w->y[p * outs + oy * w->out[1] + ox] = best;
                w->index[p * outs + oy * w->out[1] + ox] = at;
            }
        }
    }
}

static int two(PyObject *value, Index *at) {
    if (!PyTuple_CheckExact(value) || PyTuple_GET_SIZE(value) != 2) return 0;
    for (int k = 0; k < 2; k++) {
        PyObject *item = PyTuple_GET_ITEM(value, k);
        if (!PyLong_CheckExact(item)) return 0;
        at[k] = PyLong_AsSsize_t(item);
    }
    return !PyErr_Occurred();
}

static PyObject *max_pool(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Pool w = {0};
    PyArrayObject *x;
    if (count != 6 || names || (x = single(args[0])) == NULL || PyArray_NDIM(x) != 4 || PyArray_SIZE(x) == 0 ||
        channels_lag(x) > 0 || !two(args[1], w.kernel) || !two(args[2], w.stride) || !two(args[3], w.padding) || !two(args[4], w.dilation)) {
        PyErr_Clear();
        return NULL;
    }
    int ceil = PyObject_IsTrue(args[5]);
    Index shape[4] = {PyArray_DIM(x, 0), PyArray_DIM(x, 1), 0, 0};
    for (int k = 0; k < 2; k++) {
        w.size[k] = PyArray_DIM(x, 2 + k);
        if (w.stride[k] < 1 || w.dilation[k] < 1 || w.kernel[k] < 1 || w.padding[k] < 0) return NULL;
        Index span = w.size[k] + 2 * w.padding[k] - w.dilation[k] * (w.kernel[k] - 1) - 1 + (ceil ? w.stride[k] - 1 : 0);
        if (span < 0) return NULL;
        w.out[k] = span / w.stride[k] + 1;
        if (ceil && (w.out[k] - 1) * w.stride[k] >= w.size[k] + w.padding[k]) w.out[k]--;
        shape[2 + k] = w.out[k];
        /* windows that see nothing of the input are numpy's */
        if (w.padding[k] >= w.kernel[k] * w.dilation[k] || (w.out[k] - 1) * w.stride[k] - w.padding[k] >= w.size[k])
            return NULL;
    }
    PyArrayObject *values = new_array(NPY_FLOAT, 4, shape), *index = new_array(NPY_INT64, 4, shape);
    if (!values || !index) {
        Py_XDECREF(values), Py_XDECREF(index);
        return NULL;
    }
    w.x = floats(x), w.y = floats(values), w.index = PyArray_DATA(index);
    Index work = w.out[0] * w.out[1] * w.kernel[0] * w.kernel[1];
    parallel_for(shape[0] * shape[1], GRAIN(16000, work), pool_planes, &w);
    return Py_BuildValue("(NN)", values, index);
}

const Entry loss_entries[] = {
    {"_cross_entropy", cross_entropy},
    {"_cross_entropy_backward", cross_entropy_backward},
    {"_max_pool", max_pool},
    {NULL},
};
