/* Softmax, log-softmax and their derivatives, and running sums: along one dimension of an array in C order. */
#include "rows.h"

typedef struct {
    const float *a, *b;
    float *y;
    Index n, inner; /* `inner` numbers lie between neighbours along the dimension */
} Along;

static void softmax_rows(void *context, Index begin, Index end) {
    const Along *w = context;
    Index n = w->n;
    for (Index r = begin; r < end; r++) {
        const float *x = w->a + r * n;
        float *y = w->y + r * n, m = row_top(x, n);
        vf a[4] = {{0}};
        OVER_ROW(n, ,
            vf e = v_exp_below(v_load(x + k) - m); v_store(y + k, e); a[u] += e;,
            vf e = v_exp_below(v_load_part(x + k, rest, -INFINITY) - m); v_store_part(y + k, e, rest); a[1] += e;)
        float scale = 1 / v_sum((a[0] + a[1]) + (a[2] + a[3]));
#define SCALED(LOAD) LOAD(y) * scale
        FOR_ROW(n, y, SCALED)
    }
}

INLINE float log_sum(const float *x, float m, Index n) {
    vf a[4] = {{0}};
    OVER_ROW(n, , a[u] += v_exp_below(v_load(x + k) - m);, a[1] += v_exp_below(v_load_part(x + k, rest, -INFINITY) - m);)
    return logf(v_sum((a[0] + a[1]) + (a[2] + a[3])));
}

static void log_softmax_rows(void *context, Index begin, Index end) {
    const Along *w = context;
    Index n = w->n;
    for (Index r = begin; r < end; r++) {
        const float *x = w->a + r * n;
        float *y = w->y + r * n, m = row_top(x, n), l = log_sum(x, m, n);
#define SHIFTED(LOAD) LOAD(x) - m - l
        FOR_ROW(n, y, SHIFTED)
    }
}

static void softmax_backward_rows(void *context, Index begin, Index end) {
    const Along *w = context;
    Index n = w->n;
    for (Index r = begin; r < end; r++) {
        const float *g = w->a + r * n, *o = w->b + r * n;
        float *y = w->y + r * n, s = row_dot(g, o, n);
#define ADJOINT(LOAD) LOAD(o) * (LOAD(g) - s)
        FOR_ROW(n, y, ADJOINT)
    }
}

static void log_softmax_backward_rows(void *context, Index begin, Index end) {
    const Along *w = context;
    Index n = w->n;
    for (Index r = begin; r < end; r++) {
        const float *g = w->a + r * n, *o = w->b + r * n;
        float *y = w->y + r * n, s = (float)row_sum(g, n);
#define LOG_ADJOINT(LOAD) LOAD(g) - v_exp(LOAD(o)) * s
        FOR_ROW(n, y, LOG_ADJOINT)
    }
}

/* ---- along another dimension than the last: a vector of neighbouring columns at a time */

#define COLUMNS(...)                                                                                                  \
    const Along *w = context;                                                                                         \
    Index n = w->n, inner = w->inner, blocks = (inner + LANES - 1) / LANES;                                           \
    for (Index part = begin; part < end; part++) {                                                                    \
        Index column = part % blocks * LANES, at = part / blocks * n * inner + column;                                \
        Index rest = inner - column < LANES ? inner - column : LANES;                                                 \
        const float *a = w->a + at, *b = w->b + at;                                                                   \
        float *y = w->y + at;                                                                                         \
        __VA_ARGS__                                                                                                   \
    }
#define READ(p) (rest == LANES ? v_load(p + j * inner) : v_load_part(p + j * inner, rest, 0))
#define WRITE(v) { vf _v = v; if (rest == LANES) v_store(y + j * inner, _v); else v_store_part(y + j * inner, _v, rest); }
#define STEPS for (Index j = 0; j < n; j++)

static void softmax_columns(void *context, Index begin, Index end) {
    COLUMNS((void)b; vf m = v_all(-INFINITY), s = {0}; STEPS m = v_larger(m, READ(a));
            STEPS { vf e = v_exp(READ(a) - m); s += e; WRITE(e) } s = 1.0f / s; STEPS WRITE(READ(y) * s))
}

static void log_softmax_columns(void *context, Index begin, Index end) {
    COLUMNS((void)b; vf m = v_all(-INFINITY), s = {0}; STEPS m = v_larger(m, READ(a));
            STEPS s += v_exp(READ(a) - m); s = v_log(s); STEPS WRITE(READ(a) - m - s))
}

static void softmax_backward_columns(void *context, Index begin, Index end) {
    COLUMNS(vf s = {0}; STEPS s += READ(a) * READ(b); STEPS WRITE(READ(b) * (READ(a) - s)))
}

static void log_softmax_backward_columns(void *context, Index begin, Index end) {
    COLUMNS(vf s = {0}; STEPS s += READ(a); STEPS WRITE(READ(a) - v_exp(READ(b)) * s))
}

static void cumsum_columns(void *context, Index begin, Index end) {
    /* with what each addition rounds away carried on: a running sum would gather it */
    COLUMNS((void)b; vf s = {0}, lost = {0};
            STEPS { vf x = READ(a) - lost, t = s + x; lost = v_rounded_away(t, s, x); s = t; WRITE(s) })
}

/* Running sums in float32 would lose digits that float64 keeps for nothing: the additions wait for each other anyway. */
static void cumsum_rows(void *context, Index begin, Index end) {
    const Along *w = context;
    Index n = w->n;
    for (Index r = begin; r < end; r++) {
        const float *x = w->a + r * n;
        float *y = w->y + r * n;
        double s = 0;
        Index i = 0;
        for (; i + 4 <= n; i += 4) {
            double p0 = x[i], p1 = p0 + x[i + 1], q = (double)x[i + 2], p2 = p1 + q, p3 = p1 + (q + x[i + 3]);
            y[i] = (float)(s + p0), y[i + 1] = (float)(s + p1), y[i + 2] = (float)(s + p2), y[i + 3] = (float)(s + p3);
            s += p3;
        }
        for (; i < n; i++) y[i] = (float)(s += x[i]);
    }
}

/* ---- */

typedef struct { int arrays; Index grain; Body rows, columns; } Plan;

static PyObject *along_run(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    const Plan *plan = self->data;
    if (count != plan->arrays + 1 || names) return NULL;
    PyArrayObject *a = single(args[0]), *b = a;
    if (a == NULL) return NULL;
    if (plan->arrays == 2 && ((b = single(args[1])) == NULL || !same_shape(a, b))) return NULL;
    int ndim = PyArray_NDIM(a), d = dimension(args[count - 1], ndim);
    if (d < 0) return NULL;
    PyArrayObject *out = new_like(PyArray_DESCR(a), ndim, PyArray_DIMS(a));
    Index size = PyArray_SIZE(a);
    if (out == NULL || size == 0) return (PyObject *)out;
    Along w = {floats(a), floats(b), floats(out), PyArray_DIM(a, d), 1};
    for (int k = d + 1; k < ndim; k++) w.inner *= PyArray_DIM(a, k);
    if (w.inner == 1) parallel_for(size / w.n, GRAIN(plan->grain, w.n), plan->rows, &w);
    else {
        Index blocks = (w.inner + LANES - 1) / LANES;
        parallel_for(size / w.n / w.inner * blocks, GRAIN(plan->grain, w.n * LANES), plan->columns, &w);
    }
    return (PyObject *)out;
}

static const Plan softmax = {1, 16000, softmax_rows, softmax_columns};
static const Plan log_softmax = {1, 16000, log_softmax_rows, log_softmax_columns};
static const Plan softmax_backward = {2, 30000, softmax_backward_rows, softmax_backward_columns};
static const Plan log_softmax_backward = {2, 16000, log_softmax_backward_rows, log_softmax_backward_columns};
static const Plan cumsum = {1, 16000, cumsum_rows, cumsum_columns};

/* cumsum(input, dim, dtype=None) */
static PyObject *cumsum_run(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyObject *dtype = argument(args, count, names, 2, "dtype");
    if (count < 2 || (dtype != NULL && dtype != Py_None)) return NULL;
    return along_run(self, args, 2, NULL);
}

/* ---- attention: matrices with contiguous rows, any distance apart, changed in place */

typedef struct {
    float *d;
    const float *w;
    Index n, step, w_step, first, period; /* rows of each matrix */
    float scale;
} Scores;

static void scores_rows(void *context, Index begin, Index end) {
    const Scores *w = context;
    for (Index r = begin; r < end; r++) {
        Index seen = r % w->period + w->first + 1, n = w->first < 0 || seen > w->n ? w->n : seen;
        float *x = w->d + r * w->step, scale = w->scale;
#define TIMES_SCALE(LOAD) LOAD(x) * scale
        FOR_ROW(n, x, TIMES_SCALE)
        row_softmax(x, n);
        memset(x + n, 0, (w->n - n) * sizeof(float));
    }
}

static void scores_backward_rows(void *context, Index begin, Index end) {
    const Scores *w = context;
    Index n = w->n;
    for (Index r = begin; r < end; r++) {
        float *d = w->d + r * w->step, scale = w->scale;
        const float *o = w->w + r * w->w_step;
        float s = row_dot(d, o, n);
#define SCORES_ADJOINT(LOAD) LOAD(o) * (LOAD(d) - s) * scale
        FOR_ROW(n, d, SCORES_ADJOINT)
    }
}

/* A float32 matrix with contiguous rows, or several in C order; the distance of the rows. */
static PyArrayObject *matrices(PyObject *x, Index *step) {
    PyArrayObject *a = (PyArrayObject *)x;
    if (!is_array(x) || PyArray_TYPE(a) != NPY_FLOAT || PyArray_NDIM(a) < 2 || PyArray_SIZE(a) == 0) return NULL;
    *step = PyArray_DIM(a, PyArray_NDIM(a) - 1);
    if (is_contiguous(a)) return a;
    *step = PyArray_STRIDE(a, 0) / 4;
    return PyArray_NDIM(a) == 2 && PyArray_STRIDE(a, 1) == sizeof(float) && *step > 0 ? a : NULL;
}

/* softmax_of_scores(scores, scale, first), adjoint_of_scores(d, weights, scale) */
static PyObject *scores_run(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyArrayObject *d, *o = NULL;
    Scores w = {0};
    int forward = self->data != NULL;
    if (count != 3 || names || (d = matrices(args[0], &w.step)) == NULL || !PyArray_ISWRITEABLE(d) ||
        !PyFloat_Check(args[forward ? 1 : 2])) return NULL;
    int ndim = PyArray_NDIM(d);
    w.d = floats(d), w.n = PyArray_DIM(d, ndim - 1), w.period = PyArray_DIM(d, ndim - 2);
    w.scale = (float)PyFloat_AS_DOUBLE(args[forward ? 1 : 2]);
    if (forward) {
        if (!PyLong_CheckExact(args[2])) return NULL;
        w.first = PyLong_AsLong(args[2]);
    } else {
        if ((o = matrices(args[1], &w.w_step)) == NULL || !same_shape(o, d)) return NULL;
        w.w = floats(o);
    }
    parallel_for(PyArray_SIZE(d) / w.n, GRAIN(16000, w.n), forward ? scores_rows : scores_backward_rows, &w);
    Py_RETURN_NONE;
}

const Entry row_entries[] = {
    {"softmax_of_scores", scores_run, "forward"},
    {"adjoint_of_scores", scores_run, NULL},
    {"_softmax", along_run, &softmax},
    {"_log_softmax", along_run, &log_softmax},
    {"_softmax_backward", along_run, &softmax_backward, EXPANDED},
    {"_log_softmax_backward", along_run, &log_softmax_backward, EXPANDED},
    {"cumsum", cumsum_run, &cumsum},
    {NULL},
};
