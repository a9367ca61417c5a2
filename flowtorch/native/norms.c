/* Normalisation forward and backward: groups of numbers that share a mean, as rows or as the channels of (N, C, *).
 *
 * Means and variances come from one pass over memory: each piece's sum and squared deviations while it is in the
 * cache, joined in double precision (Chan, Golub and LeVeque, 1979). */
#include "rows.h"
#include <stdlib.h>

typedef struct {
    const float *x, *g, *weight, *bias;
    float *y, *mean, *var, *dw, *db;
    Index groups, pieces, step, n; /* a group is `pieces` runs of n numbers, `step` apart */
    Index stride;                  /* from a group's first number to the next group's */
    float eps;
    Index parts;                   /* of the groups, with sums of dw and db of their own */
    double *sums;
} Norm;

#define PIECE 4096

INLINE void statistics(const Norm *w, Index group, double *mean, double *variance) {
    double count = 0, m = 0, squares = 0;
    const float *base = w->x + group * w->stride;
    for (Index p = 0; p < w->pieces; p++)
        for (Index at = 0; at < w->n; at += PIECE) {
            Index k = w->n - at < PIECE ? w->n - at : PIECE;
            const float *x = base + p * w->step + at;
            double own = row_sum(x, k) / k, d = own - m;
            squares += row_square_sum(x, (float)own, k) + d * d * count * k / (count + k);
            count += k;
            m += d * k / count;
        }
    *mean = m, *variance = squares / count;
}

static void forward(void *context, Index begin, Index end) {
    const Norm *w = context;
    Index n = w->n;
    for (Index group = begin; group < end; group++) {
        double m, v;
        statistics(w, group, &m, &v);
        if (w->mean) w->mean[group] = (float)m, w->var[group] = (float)v;
        float mean = (float)m, rstd = 1.0f / sqrtf((float)v + w->eps);
        for (Index p = 0; p < w->pieces; p++) {
            const float *x = w->x + group * w->stride + p * w->step, *a = w->weight, *b = w->bias;
            float *y = w->y + group * w->stride + p * w->step;
#define STANDARD(LOAD) (LOAD(x) - mean) * rstd
#define SCALE_SHIFT(LOAD) v_fma((LOAD(x) - mean) * rstd, LOAD(a), LOAD(b))
#define SCALE(LOAD) (LOAD(x) - mean) * rstd * LOAD(a)
#define SHIFT(LOAD) (LOAD(x) - mean) * rstd + LOAD(b)
            if (a && b) FOR_ROW(n, y, SCALE_SHIFT)
            else if (a) FOR_ROW(n, y, SCALE)
            else if (b) FOR_ROW(n, y, SHIFT)
            else FOR_ROW(n, y, STANDARD)
        }
    }
}

/* The sums of g and of g times the deviation over a run, g scaled by the weight. */
INLINE void sums(const float *g, const float *x, const float *a, float mean, Index n, double *sum, double *product) {
    vf s[4] = {{0}}, q[4] = {{0}};
#define TERMS(LOAD) vf e = a ? LOAD(g) * LOAD(a) : LOAD(g); s[u] += e; q[u] += e * (LOAD(x) - mean);
    OVER_ROW(n, , TERMS(v_load_all), const int u = 1; TERMS(v_load_rest))
    *sum += v_sum((s[0] + s[1]) + (s[2] + s[3])), *product += v_sum((q[0] + q[1]) + (q[2] + q[3]));
}

#define SOON 16 /* rows whose terms for the parameters are added up in single precision first */

/* The gradient of a row, and its terms added to those of the scale and of the shift. */
INLINE void row_and_terms(const float *g, const float *x, const float *a, float mean, float rstd, float shift,
                          float along, Index n, float *y, float *scale_terms, float *shift_terms) {
#define ROW_AND_TERMS(LOAD, STORE)                                                                                    \
    vf e = LOAD(g), d = LOAD(x) - mean;                                                                               \
    STORE(scale_terms, LOAD(scale_terms) + e * (d * rstd));                                                           \
    STORE(shift_terms, LOAD(shift_terms) + e);                                                                        \
    STORE(y, ((a ? e * LOAD(a) : e) - shift - d * along) * rstd);
#define STORE_ALL(p, v) v_store((p) + k, v)
#define STORE_REST(p, v) v_store_part((p) + k, v, rest)
    Index k = 0;
    for (; k + LANES <= n; k += LANES) { ROW_AND_TERMS(v_load_all, STORE_ALL) }
    const Index rest = n - k;
    if (rest) { ROW_AND_TERMS(v_load_rest, STORE_REST) }
}

static void add_terms(float *terms, Index n, double *sums) {
    for (Index k = 0; k < n; k++) sums[k] += terms[k];
    memset(terms, 0, n * sizeof(float));
}

/* Three runs of memory in turn are more than the processor foresees by itself. */
INLINE void ask_for_row(const float *x, const float *g, const float *y, Index n) {
    for (Index k = 0; k < n; k += 16) __builtin_prefetch(x + k), __builtin_prefetch(g + k), __builtin_prefetch(y + k, 1);
}

/* `sums_of_terms`, where not NULL: sums of the n terms of the scale, of those of the shift, room for 2 n terms, all 0. */
static void backward_groups(const Norm *w, Index begin, Index end, double *sums_of_terms) {
    float *terms = sums_of_terms ? (float *)(sums_of_terms + 2 * w->n) : NULL;
    Index n = w->n;
    double count = (double)w->pieces * n;
    const float *a = w->weight;
    for (Index group = begin; group < end; group++) {
        double m, v, sum = 0, product = 0;
        statistics(w, group, &m, &v);
        float mean = (float)m, rstd = 1.0f / sqrtf((float)v + w->eps);
        const float *base_g = w->g + group * w->stride, *base_x = w->x + group * w->stride;
        if (w->pieces == 1 && n <= PIECE && group + 1 < end) ask_for_row(base_x + n, base_g + n, w->y + group * n + n, n);
        for (Index p = 0; p < w->pieces; p++)
            for (Index at = 0; at < n; at += PIECE)
                sums(base_g + p * w->step + at, base_x + p * w->step + at, a ? a + at : NULL, mean,
                     n - at < PIECE ? n - at : PIECE, &sum, &product);
        float shift = (float)(sum / count), along = (float)(product / count) * rstd * rstd;
        for (Index p = 0; p < w->pieces; p++) {
            const float *g = base_g + p * w->step, *x = base_x + p * w->step;
            float *y = w->y + group * w->stride + p * w->step;
#define INNER(LOAD) (LOAD(g) - shift - (LOAD(x) - mean) * along) * rstd
#define INNER_SCALED(LOAD) (LOAD(g) * LOAD(a) - shift - (LOAD(x) - mean) * along) * rstd
            if (terms) row_and_terms(g, x, a, mean, rstd, shift, along, n, y, terms, terms + n);
            else if (a) FOR_ROW(n, y, INNER_SCALED)
            else FOR_ROW(n, y, INNER)
        }
        if (terms && ((group - begin) % SOON == SOON - 1 || group == end - 1)) add_terms(terms, 2 * n, sums_of_terms);
    }
}

static void backward(void *context, Index begin, Index end) {
    backward_groups(context, begin, end, NULL);
}

/* A part of the rows with its own sums for the parameters, so that the result is the same on any number of threads. */
static void backward_parts(void *context, Index begin, Index end) {
    const Norm *w = context;
    for (Index part = begin; part < end; part++)
        backward_groups(w, w->groups * part / w->parts, w->groups * (part + 1) / w->parts, w->sums + part * 3 * w->n);
}

/* ---- rows with scale and shift: _layer_norm(input, weight, bias, count, eps) */

static int read_count(PyObject *count, PyObject *eps, PyArrayObject *x, Norm *w) {
    if (!PyLong_CheckExact(count) || !PyFloat_CheckExact(eps)) return 0;
    w->n = PyLong_AsLong(count);
    w->eps = (float)PyFloat_AS_DOUBLE(eps);
    Index size = PyArray_SIZE(x);
    if (w->n <= 0 || size == 0 || size % w->n) return 0;
    w->x = floats(x), w->groups = size / w->n, w->pieces = 1, w->step = w->stride = w->n;
    return 1;
}

/* NULL for None; 0 if the parameter is nothing that the kernel takes. */
static int read_parameter(PyObject *value, Index n, const float **at) {
    *at = NULL;
    if (value == Py_None) return 1;
    PyArrayObject *a = single(value);
    if (a == NULL || PyArray_SIZE(a) != n) return 0;
    *at = floats(a);
    return 1;
}

static PyObject *layer_norm(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Norm w = {0};
    PyArrayObject *x;
    if (count != 5 || names || (x = single(args[0])) == NULL || !read_count(args[3], args[4], x, &w) ||
        !read_parameter(args[1], w.n, &w.weight) || !read_parameter(args[2], w.n, &w.bias)) return NULL;
    PyArrayObject *out = new_like(PyArray_DESCR(x), PyArray_NDIM(x), PyArray_DIMS(x));
    if (out == NULL) return NULL;
    w.y = floats(out);
    parallel_for(w.groups, GRAIN(16000, w.n), forward, &w);
    return (PyObject *)out;
}

/* _layer_norm_adjoint(grad, input, weight, count, eps, affine) */
static PyObject *layer_norm_adjoint(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Norm w = {0};
    PyArrayObject *g, *x;
    if (count != 6 || names || (g = single(args[0])) == NULL || (x = single(args[1])) == NULL ||
        PyArray_SIZE(g) != PyArray_SIZE(x) || !read_count(args[3], args[4], x, &w) ||
        !read_parameter(args[2], w.n, &w.weight)) return NULL;
    int affine = PyObject_IsTrue(args[5]);
    Index length = affine ? w.n : 0;
    PyArrayObject *out = new_like(PyArray_DESCR(x), PyArray_NDIM(x), PyArray_DIMS(x));
    PyArrayObject *dw = new_array(NPY_FLOAT, 1, &length), *db = new_array(NPY_FLOAT, 1, &length);
    w.parts = w.groups < 16 ? w.groups : 16;
    w.sums = affine && out && dw && db ? calloc(w.parts * 3 * w.n, sizeof(double)) : NULL;
    if (!out || !dw || !db || (affine && !w.sums)) {
        Py_XDECREF(out), Py_XDECREF(dw), Py_XDECREF(db);
        return PyErr_NoMemory();
    }
    w.g = floats(g), w.y = floats(out);
    if (affine) {
        Index grain = w.parts * GRAIN(12000, w.n) / w.groups;
        parallel_for(w.parts, grain + 1, backward_parts, &w);
        for (Index k = 0; k < w.n; k++) {
            double a = 0, b = 0;
            for (Index p = 0; p < w.parts; p++) a += w.sums[p * 3 * w.n + k], b += w.sums[(p * 3 + 1) * w.n + k];
            floats(dw)[k] = (float)a, floats(db)[k] = (float)b;
        }
        free(w.sums);
    } else parallel_for(w.groups, GRAIN(12000, w.n), backward, &w);
    return Py_BuildValue("(NNN)", out, dw, db);
}

/* ---- any groups: _standardize(input, dims, eps), _standardize_adjoint(grad, input, dims, eps) */

/* The groups of an array in C order: trailing dimensions, or all but the second. 0 for others. */
static int read_dims(PyObject *dims, PyArrayObject *x, Norm *w, Index *kept) {
    int ndim = PyArray_NDIM(x), gone[NPY_MAXDIMS] = {0};
    if (!PyTuple_CheckExact(dims) || PyArray_SIZE(x) == 0) return 0;
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(dims); k++) {
        int d = dimension(PyTuple_GET_ITEM(dims, k), ndim);
        if (d < 0) return 0;
        gone[d] = 1;
    }
    int first = 0, trailing = 1;
    while (first < ndim && !gone[first]) first++;
    for (int d = first; d < ndim; d++) trailing &= gone[d];
    w->pieces = w->groups = w->n = 1;
    for (int d = 0; d < ndim; d++) kept[d] = gone[d] ? 1 : PyArray_DIM(x, d);
    if (trailing && first < ndim) {
        for (int d = 0; d < ndim; d++) if (gone[d]) w->n *= PyArray_DIM(x, d); else w->groups *= PyArray_DIM(x, d);
        w->stride = w->step = w->n;
        return 1;
    }
    if (ndim < 3 || !gone[0] || gone[1]) return 0;
    for (int d = 2; d < ndim; d++) {
        if (!gone[d]) return 0;
        w->n *= PyArray_DIM(x, d);
    }
    if (w->n < 8) return 0;
    w->groups = PyArray_DIM(x, 1), w->pieces = PyArray_DIM(x, 0), w->stride = w->n, w->step = w->groups * w->n;
    return 1;
}

static PyObject *standardize(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Norm w = {0};
    Index kept[NPY_MAXDIMS];
    PyArrayObject *x;
    if (count != 3 || names || (x = single(args[0])) == NULL || !PyFloat_Check(args[2]) ||
        !read_dims(args[1], x, &w, kept)) return NULL;
    int ndim = PyArray_NDIM(x);
    PyArrayObject *out = new_like(PyArray_DESCR(x), ndim, PyArray_DIMS(x));
    PyArrayObject *mean = new_array(NPY_FLOAT, ndim, kept), *var = new_array(NPY_FLOAT, ndim, kept);
    if (!out || !mean || !var) {
        Py_XDECREF(out), Py_XDECREF(mean), Py_XDECREF(var);
        return NULL;
    }
    w.x = floats(x), w.y = floats(out), w.mean = floats(mean), w.var = floats(var);
    w.eps = (float)PyFloat_AS_DOUBLE(args[2]);
    parallel_for(w.groups, GRAIN(16000, w.n * w.pieces), forward, &w);
    return Py_BuildValue("(NNN)", out, mean, var);
}

static PyObject *standardize_adjoint(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Norm w = {0};
    Index kept[NPY_MAXDIMS];
    PyArrayObject *g, *x;
    if (count != 4 || names || (g = single(args[0])) == NULL || (x = single(args[1])) == NULL || !same_shape(g, x) ||
        !PyFloat_Check(args[3]) || !read_dims(args[2], x, &w, kept)) return NULL;
    PyArrayObject *out = new_like(PyArray_DESCR(x), PyArray_NDIM(x), PyArray_DIMS(x));
    if (out == NULL) return NULL;
    w.x = floats(x), w.g = floats(g), w.y = floats(out), w.eps = (float)PyFloat_AS_DOUBLE(args[3]);
    parallel_for(w.groups, GRAIN(12000, w.n * w.pieces), backward, &w);
    return (PyObject *)out;
}

/* ---- channels of (N, C, *) with scale and shift: _batch_norm(input, weight, bias, eps) */

#define ROOM 8192 /* numbers of a channel that are brought together where its runs are short */

/* A channel's runs one after the other, so that all passes over them work on whole vectors. */
static void collect(const Norm *w, const float *from, float *room) {
    for (Index p = 0; p < w->pieces; p++, from += w->step, room += w->n)
        for (Index k = 0; k < w->n; k += LANES)
            v_store(room + k, v_load_part(from + k, w->n - k < LANES ? w->n - k : LANES, 0));
}

static void distribute(const Norm *w, const float *room, float *to) {
    for (Index p = 0; p < w->pieces; p++, room += w->n, to += w->step)
        for (Index k = 0; k < w->n; k += LANES)
            v_store_part(to + k, v_load(room + k), w->n - k < LANES ? w->n - k : LANES);
}

static int has_short_runs(const Norm *w) { return w->n < 4 * LANES && w->n * w->pieces <= ROOM; }

/* This channel alone, as one run that begins at x; g and y likewise. */
static Norm alone(const Norm *w, const float *x, const float *g, float *y) {
    Norm own = *w;
    own.x = x, own.g = g, own.y = y, own.n = w->n * w->pieces, own.pieces = 1;
    return own;
}

static void scale_channel(const Norm *w, Index channel) {
    double m, v;
    statistics(w, 0, &m, &v);
    w->mean[channel] = (float)m, w->var[channel] = (float)v;
    float mean = (float)m, scale = 1.0f / sqrtf((float)v + w->eps), shift = w->bias ? w->bias[channel] : 0;
    if (w->weight) scale *= w->weight[channel];
    for (Index p = 0; p < w->pieces; p++) {
        const float *x = w->x + p * w->step;
#define SCALED(LOAD) v_fma(LOAD(x) - mean, v_all(scale), v_all(shift))
        FOR_ROW(w->n, w->y + p * w->step, SCALED)
    }
}

static void channels_forward(void *context, Index begin, Index end) {
    const Norm *w = context;
    float room[2][ROOM + LANES];
    for (Index c = begin; c < end; c++) {
        Norm own = *w;
        own.x += c * w->stride, own.y += c * w->stride;
        if (has_short_runs(w)) {
            collect(w, own.x, room[0]);
            Norm whole = alone(w, room[0], NULL, room[1]);
            scale_channel(&whole, c);
            distribute(w, room[1], own.y);
        } else scale_channel(&own, c);
    }
}

/* The gradient of a channel; those of its scale and shift into dw and db. */
static void derive_channel(const Norm *w, Index channel) {
    double m, v, sum = 0, product = 0, count = (double)w->pieces * w->n;
    statistics(w, 0, &m, &v);
    float mean = (float)m, rstd = 1.0f / sqrtf((float)v + w->eps);
    for (Index p = 0; p < w->pieces; p++)
        for (Index at = 0; at < w->n; at += PIECE)
            sums(w->g + p * w->step + at, w->x + p * w->step + at, NULL, mean, w->n - at < PIECE ? w->n - at : PIECE,
                 &sum, &product);
    product -= sum * (m - mean); /* what rounding the mean has left out */
    w->dw[channel] = (float)(product * rstd), w->db[channel] = (float)sum;
    float shift = (float)(sum / count), along = (float)(product / count) * rstd * rstd;
    float scale = w->weight ? rstd * w->weight[channel] : rstd;
    for (Index p = 0; p < w->pieces; p++) {
        const float *g = w->g + p * w->step, *x = w->x + p * w->step;
#define SLOPED(LOAD) v_fma(mean - LOAD(x), v_all(along), LOAD(g) - shift) * scale
        FOR_ROW(w->n, w->y + p * w->step, SLOPED)
    }
}

static void channels_backward(void *context, Index begin, Index end) {
    const Norm *w = context;
    float room[3][ROOM + LANES];
    for (Index c = begin; c < end; c++) {
        Norm own = *w;
        own.x += c * w->stride, own.g += c * w->stride, own.y += c * w->stride;
        if (has_short_runs(w)) {
            collect(w, own.x, room[0]), collect(w, own.g, room[1]);
            Norm whole = alone(w, room[0], room[1], room[2]);
            derive_channel(&whole, c);
            distribute(w, room[2], own.y);
        } else derive_channel(&own, c);
    }
}

/* Reads (N, C, *) in C order. */
static int read_channels(PyArrayObject *x, PyObject *eps, Norm *w) {
    int ndim = PyArray_NDIM(x);
    if (ndim < 3 || PyArray_SIZE(x) == 0 || !PyFloat_Check(eps)) return 0;
    w->eps = (float)PyFloat_AS_DOUBLE(eps);
    w->pieces = PyArray_DIM(x, 0), w->groups = PyArray_DIM(x, 1), w->n = 1;
    for (int d = 2; d < ndim; d++) w->n *= PyArray_DIM(x, d);
    w->stride = w->n, w->step = w->groups * w->n, w->x = floats(x);
    return 1;
}

static PyObject *batch_norm(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Norm w = {0};
    PyArrayObject *x;
    if (count != 4 || names || (x = single(args[0])) == NULL || !read_channels(x, args[3], &w) ||
        !read_parameter(args[1], w.groups, &w.weight) || !read_parameter(args[2], w.groups, &w.bias)) return NULL;
    PyArrayObject *out = new_like(PyArray_DESCR(x), PyArray_NDIM(x), PyArray_DIMS(x));
    PyArrayObject *mean = new_array(NPY_FLOAT, 1, &w.groups), *var = new_array(NPY_FLOAT, 1, &w.groups);
    if (!out || !mean || !var) {
        Py_XDECREF(out), Py_XDECREF(mean), Py_XDECREF(var);
        return NULL;
    }
    w.y = floats(out), w.mean = floats(mean), w.var = floats(var);
    parallel_for(w.groups, GRAIN(16000, w.n * w.pieces), channels_forward, &w);
    return Py_BuildValue("(NNN)", out, mean, var);
}

/* _batch_norm_adjoint(grad, input, weight, eps) */
static PyObject *batch_norm_adjoint(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Norm w = {0};
    PyArrayObject *g, *x;
    if (count != 4 || names || (g = single(args[0])) == NULL || (x = single(args[1])) == NULL || !same_shape(g, x) ||
        !read_channels(x, args[3], &w) || !read_parameter(args[2], w.groups, &w.weight)) return NULL;
    PyArrayObject *out = new_like(PyArray_DESCR(x), PyArray_NDIM(x), PyArray_DIMS(x));
    PyArrayObject *dw = new_array(NPY_FLOAT, 1, &w.groups), *db = new_array(NPY_FLOAT, 1, &w.groups);
    if (!out || !dw || !db) {
        Py_XDECREF(out), Py_XDECREF(dw), Py_XDECREF(db);
        return NULL;
    }
    w.g = floats(g), w.y = floats(out), w.dw = floats(dw), w.db = floats(db);
    parallel_for(w.groups, GRAIN(12000, w.n * w.pieces), channels_backward, &w);
    return Py_BuildValue("(NNN)", out, dw, db);
}

const Entry norm_entries[] = {
    {"_batch_norm", batch_norm},
    {"_batch_norm_adjoint", batch_norm_adjoint, NULL, EXPANDED},
    {"_layer_norm", layer_norm, NULL, ALL},
    {"_layer_norm_adjoint", layer_norm_adjoint, NULL, ALL},
    {"_standardize", standardize},
    {"_standardize_adjoint", standardize_adjoint, NULL, EXPANDED},
    {NULL},
};
