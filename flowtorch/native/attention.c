/* Attention head by head: rows of weights that stay in the cache, and the products of BLAS around them.
 *
 * The scores of ROWS queries are computed, become their softmax and meet the values before the next rows begin, and with
 * causal attention no score is computed that no row of the block sees (as in Dao et al., FlashAttention, 2022; but the
 * weights are kept for the gradient: reading them takes less time than computing them again). All products are of
 * pieces for which OpenBLAS has kernels that copy nothing: those take the second factor as it lies, so that keys (and
 * values, for the gradient) are turned once for each head. */
#include "blas.h"
#include "rows.h"
#include <stdlib.h>

#define ROWS 64
#define SMALL 1000000 /* multiplications that OpenBLAS takes for a small product */
#define MOST_LEADING 8

enum { QUERY, KEY, VALUE, WEIGHTS, OUT, GRAD, D_QUERY, D_KEY, D_VALUE, OPERANDS };

/* A float32 array of (..., rows, columns) with whole rows. */
typedef struct { float *data; Index step, heads[MOST_LEADING]; } Heads;

typedef struct {
    Heads of[OPERANDS];
    int leading, causal;
    Index lead[MOST_LEADING], length, steps, width, value_width; /* L, S, E and Ev */
    float scale;
    _Atomic int failed;
} Attention;

static float *head_of(const Attention *w, int operand, Index head) {
    float *data = w->of[operand].data;
    for (int d = w->leading - 1; d >= 0; d--) {
        data += head % w->lead[d] * w->of[operand].heads[d];
        head /= w->lead[d];
    }
    return data;
}

/* The columns that the rows before `end` see. */
static Index seen_before(const Attention *w, Index end) { return w->causal && end < w->steps ? end : w->steps; }

static void turn(const float *from, Index step, Index rows, Index columns, float *to) {
    for (Index i = 0; i < rows; i += 16) {
        Index most = rows - i < 16 ? rows - i : 16;
        for (Index j = 0; j < columns; j++)
            for (Index k = 0; k < most; k++) to[j * rows + i + k] = from[(i + k) * step + j];
    }
}

/* How much of a third dimension goes into a small product beside `ROWS` and a width. */
static Index piece(Index width) {
    Index most = SMALL / (ROWS * width) / 32 * 32;
    return most < ROWS ? ROWS : most > 4 * ROWS ? 4 * ROWS : most;
}

/* (m, k) times (k, n), the last dimension of the result in pieces. */
static void product_by_columns(Index m, Index n, Index k, float alpha, const float *a, Index lda, const float *b, Index ldb,
                               float *c, Index ldc) {
    Index most = piece(k);
    for (Index j = 0; j < n; j += most)
        blas_product(0, m, n - j < most ? n - j : most, k, alpha, a, lda, b + j, ldb, 0, c + j, ldc);
}

/* The same, the dimension that is summed in pieces. */
static void product_by_terms(Index m, Index n, Index k, const float *a, Index lda, const float *b, Index ldb, float *c,
                             Index ldc) {
    Index most = piece(n);
    for (Index i = 0; i < k; i += most)
        blas_product(0, m, n, k - i < most ? k - i : most, 1, a + i, lda, b + i * ldb, ldb, i > 0, c, ldc);
}

/* Adds (k, m) turned times (k, n), in pieces of rows of the result. */
static void add_turned_product(Index m, Index n, Index k, const float *a, Index lda, const float *b, Index ldb, float *c,
                               Index ldc) {
    Index most = piece(n);
    for (Index i = 0; i < m; i += most)
        blas_product(1, m - i < most ? m - i : most, n, k, 1, a + i, lda, b, ldb, 1, c + i * ldc, ldc);
}

static void forward(void *context, Index begin, Index end) {
    Attention *w = context;
    Index steps = w->steps, width = w->width;
    float *keys = malloc(steps * width * sizeof(float));
    if (keys == NULL) w->failed = 1;
    for (Index head = begin; head < end && keys; head++) {
        const float *q = head_of(w, QUERY, head), *v = head_of(w, VALUE, head);
        float *p = head_of(w, WEIGHTS, head), *o = head_of(w, OUT, head);
        turn(head_of(w, KEY, head), w->of[KEY].step, steps, width, keys);
        for (Index r = 0; r < w->length; r += ROWS) {
            Index rows = w->length - r < ROWS ? w->length - r : ROWS, seen = seen_before(w, r + rows);
            float *here = p + r * steps;
            product_by_columns(rows, seen, width, w->scale, q + r * w->of[QUERY].step, w->of[QUERY].step, keys, steps, here,
                               steps);
            for (Index i = 0; i < rows; i++) {
                Index n = seen_before(w, r + i + 1);
                row_softmax(here + i * steps, n);
                memset(here + i * steps + n, 0, (steps - n) * sizeof(float));
            }
            product_by_terms(rows, w->value_width, seen, here, steps, v, w->of[VALUE].step, o + r * w->of[OUT].step,
                             w->of[OUT].step);
        }
    }
    free(keys);
}

static void backward(void *context, Index begin, Index end) {
    Attention *w = context;
    Index steps = w->steps, width = w->width, value_width = w->value_width;
    Index key_step = w->of[KEY].step, query_step = w->of[QUERY].step, grad_step = w->of[GRAD].step;
    float *values = malloc(steps * (value_width + ROWS) * sizeof(float)), *scores = values + steps * value_width;
    if (values == NULL) w->failed = 1;
    for (Index head = begin; head < end && values; head++) {
        const float *q = head_of(w, QUERY, head), *k = head_of(w, KEY, head), *g = head_of(w, GRAD, head);
        const float *p = head_of(w, WEIGHTS, head);
        float *dq = head_of(w, D_QUERY, head), *dk = head_of(w, D_KEY, head), *dv = head_of(w, D_VALUE, head);
        turn(head_of(w, VALUE, head), w->of[VALUE].step, steps, value_width, values);
        memset(dk, 0, steps * width * sizeof(float));
        memset(dv, 0, steps * value_width * sizeof(float));
        for (Index r = 0; r < w->length; r += ROWS) {
            Index rows = w->length - r < ROWS ? w->length - r : ROWS, seen = seen_before(w, r + rows);
            const float *here = p + r * steps;
            product_by_columns(rows, seen, value_width, 1, g + r * grad_step, grad_step, values, steps, scores, seen);
            for (Index i = 0; i < rows; i++) {
                float *d = scores + i * seen, scale = w->scale;
                const float *o = here + i * steps;
                float s = row_dot(d, o, seen);
#define ADJOINT(LOAD) LOAD(o) * (LOAD(d) - s) * scale
                FOR_ROW(seen, d, ADJOINT)
            }
            product_by_terms(rows, width, seen, scores, seen, k, key_step, dq + r * width, width);
            add_turned_product(seen, width, rows, scores, seen, q + r * query_step, query_step, dk, width);
            add_turned_product(seen, value_width, rows, here, steps, g + r * grad_step, grad_step, dv, value_width);
        }
    }
    free(values);
}

/* ---- arguments */

/* Takes an operand of (*lead, rows, columns); 0 for what is left to numpy. */
static int take(Attention *w, int operand, PyObject *x, Index rows, Index columns, int written) {
    PyArrayObject *a = (PyArrayObject *)x;
    if (!is_array(x) || PyArray_TYPE(a) != NPY_FLOAT || (written && !PyArray_ISWRITEABLE(a))) return 0;
    int n = PyArray_NDIM(a);
    if (n != w->leading + 2 || PyArray_DIM(a, n - 2) != rows || PyArray_DIM(a, n - 1) != columns) return 0;
    Heads *h = w->of + operand;
    h->data = floats(a), h->step = PyArray_STRIDE(a, n - 2) / (Index)sizeof(float);
    if (columns > 1 && PyArray_STRIDE(a, n - 1) != sizeof(float)) return 0;
    if (rows == 1 && h->step < columns) h->step = columns;      /* numpy leaves the step of a single row open */
    if (h->step < columns) return 0;
    for (int d = 0; d < w->leading; d++) {
        if (PyArray_DIM(a, d) != w->lead[d]) return 0;
        h->heads[d] = PyArray_STRIDE(a, d) / (Index)sizeof(float);
    }
    return 1;
}

/* What the arguments have in common, from query, key and value; 0 for what is left to numpy. */
static int common(Attention *w, PyObject *const *qkv, PyObject *causal, PyObject *scale) {
    if (!is_array(qkv[0]) || !is_array(qkv[1]) || !is_array(qkv[2]) || !PyFloat_Check(scale) || !blas_found()) return 0;
    PyArrayObject *q = (PyArrayObject *)qkv[0], *k = (PyArrayObject *)qkv[1], *v = (PyArrayObject *)qkv[2];
    int n = PyArray_NDIM(q);
    if (n < 2 || n > MOST_LEADING + 2 || PyArray_NDIM(k) != n || PyArray_NDIM(v) != n) return 0;
    if (PyArray_SIZE(q) == 0 || PyArray_SIZE(k) == 0 || PyArray_SIZE(v) == 0) return 0;
    w->leading = n - 2;
    for (int d = 0; d < w->leading; d++) w->lead[d] = PyArray_DIM(q, d);
    w->length = PyArray_DIM(q, n - 2), w->steps = PyArray_DIM(k, n - 2);
    w->width = PyArray_DIM(q, n - 1), w->value_width = PyArray_DIM(v, n - 1);
    w->causal = PyObject_IsTrue(causal) == 1;
    w->scale = (float)PyFloat_AS_DOUBLE(scale);
    return take(w, QUERY, qkv[0], w->length, w->width, 0) && take(w, KEY, qkv[1], w->steps, w->width, 0) &&
           take(w, VALUE, qkv[2], w->steps, w->value_width, 0);
}

static PyObject *run(Attention *w, Body body) {
    Index heads = 1;
    for (int d = 0; d < w->leading; d++) heads *= w->lead[d];
    int alone = threads_get() > 1 && heads >= threads_get(); /* few heads: the products have the threads */
    if (alone) {
        blas_alone();
        parallel_for(heads, GRAIN(1 << 18, w->length * w->steps), body, w);
        blas_shared();
    } else {
        Py_BEGIN_ALLOW_THREADS
        body(w, 0, heads);
        Py_END_ALLOW_THREADS
    }
    if (w->failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* fill_heads(query, key, value, weights, out, is_causal, scale) */
static PyObject *fill_heads(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Attention w = {0};
    if (count != 7 || names || !common(&w, args, args[5], args[6]) ||
        !take(&w, WEIGHTS, args[3], w.length, w.steps, 1) || !is_contiguous((PyArrayObject *)args[3]) ||
        !take(&w, OUT, args[4], w.length, w.value_width, 1)) return NULL;
    return run(&w, forward);
}

/* fill_gradients(grad, weights, query, key, value, d_query, d_key, d_value, is_causal, scale) */
static PyObject *fill_gradients(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Attention w = {0};
    if (count != 10 || names || !common(&w, args + 2, args[8], args[9]) ||
        !take(&w, GRAD, args[0], w.length, w.value_width, 0) ||
        !take(&w, WEIGHTS, args[1], w.length, w.steps, 0) || !is_contiguous((PyArrayObject *)args[1]) ||
        !take(&w, D_QUERY, args[5], w.length, w.width, 1) || !take(&w, D_KEY, args[6], w.steps, w.width, 1) ||
        !take(&w, D_VALUE, args[7], w.steps, w.value_width, 1)) return NULL;
    for (int k = 5; k < 8; k++) if (!is_contiguous((PyArrayObject *)args[k])) return NULL;
    return run(&w, backward);
}

const Entry attention_entries[] = {
    {"fill_heads", fill_heads},
    {"fill_gradients", fill_gradients},
    {NULL},
};
