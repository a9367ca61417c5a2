/* Sums and extrema of contiguous float32 numbers, and the arguments of kernels that work along a dimension. */
#ifndef FLOWTORCH_ROWS_H
#define FLOWTORCH_ROWS_H
#include "kernel.h"
#include "vector.h"

/* Four running vectors hide the latency of additions, and keep the error of long sums small. */
#define OVER_ROW(n, START, WHOLE, PART)                                                                               \
    Index i = 0;                                                                                                      \
    START                                                                                                             \
    for (; i + 4 * LANES <= n; i += 4 * LANES)                                                                        \
        for (int u = 0; u < 4; u++) { Index k = i + u * LANES; WHOLE }                                                \
    for (; i + LANES <= n; i += LANES) { Index k = i; const int u = 0; WHOLE }                                        \
    if (i < n) { Index k = i, rest = n - i; PART }

#define SUMMED(TERM, LAST)                                                                                            \
    vf a[4] = {{0}};                                                                                                  \
    OVER_ROW(n, , a[u] += TERM;, a[1] += LAST;)                                                                       \
    return v_sum((a[0] + a[1]) + (a[2] + a[3]));

/* Long rows are summed in pieces, whose sums are added in double precision. */
INLINE float short_sum(const float *x, Index n) { SUMMED(v_load(x + k), v_load_part(x + k, rest, 0)) }
INLINE double row_sum(const float *x, Index n) {
    if (n <= 8192) return short_sum(x, n);
    double total = 0;
    for (Index b = 0; b < n; b += 8192) total += short_sum(x + b, n - b < 8192 ? n - b : 8192);
    return total;
}
INLINE float row_square_sum(const float *x, float m, Index n) { /* of the deviations from m */
    SUMMED(({ vf d = v_load(x + k) - m; d * d; }), ({ vf d = v_load_part(x + k, rest, m) - m; d * d; }))
}
INLINE float row_dot(const float *x, const float *y, Index n) {
    SUMMED(v_load(x + k) * v_load(y + k), v_load_part(x + k, rest, 0) * v_load_part(y + k, rest, 0))
}
/* The largest for softmax, where a NaN need not be found: the sum of the exponentials has it all the same. */
INLINE float row_top(const float *x, Index n) {
    vf a[4];
    for (int u = 0; u < 4; u++) a[u] = v_all(-INFINITY);
    OVER_ROW(n, , a[u] = v_above(a[u], v_load(x + k));, a[1] = v_above(a[1], v_load_part(x + k, rest, -INFINITY));)
    return v_top(v_above(v_above(a[0], a[1]), v_above(a[2], a[3])));
}

/* y[i] = EXPRESSION of X(p), which reads p at the element. */
#define FOR_ROW(n, y, EXPRESSION)                                                                                     \
    {                                                                                                                 \
        Index k = 0;                                                                                                  \
        for (; k + LANES <= n; k += LANES) { const Index rest = LANES; (void)rest; v_store(y + k, EXPRESSION(v_load_all)); } \
        if (k < n) { const Index rest = n - k; v_store_part(y + k, EXPRESSION(v_load_rest), rest); }                  \
    }
#define v_load_all(p) v_load((p) + k)
#define v_load_rest(p) v_load_part((p) + k, rest, 0)

/* x becomes its softmax; zeros where all are -inf. */
INLINE void row_softmax(float *x, Index n) {
    vf a[4] = {{0}};
    float m = row_top(x, n);
    if (m == -INFINITY) m = 0;
    OVER_ROW(n, ,
        vf e = v_exp_below(v_load(x + k) - m); v_store(x + k, e); a[u] += e;,
        vf e = v_exp_below(v_load_part(x + k, rest, -INFINITY) - m); v_store_part(x + k, e, rest); a[1] += e;)
    float total = v_sum((a[0] + a[1]) + (a[2] + a[3])), scale = total == 0 ? 1 : 1 / total;
#define ROW_SCALED(LOAD) LOAD(x) * scale
    FOR_ROW(n, x, ROW_SCALED)
}

/* The dimension given as an int, from the front; -1 if it is none of ndim. */
static inline int dimension(PyObject *dim, int ndim) {
    if (dim == NULL || !PyLong_CheckExact(dim)) return -1;
    int overflow;
    long d = PyLong_AsLongAndOverflow(dim, &overflow);
    if (overflow) return -1;
    d = d < 0 ? d + ndim : d;
    return d >= 0 && d < ndim ? (int)d : -1;
}

/* The one run of dimensions that `dim` names (an int, a tuple, None for all); 0 if they are not neighbours. */
int read_run(PyObject *dim, PyArrayObject *x, int *first, int *last);

/* A float32 array in C order. */
static inline PyArrayObject *single(PyObject *x) {
    PyArrayObject *a = (PyArrayObject *)x;
    return is_array(x) && PyArray_TYPE(a) == NPY_FLOAT && is_contiguous(a) ? a : NULL;
}
static inline float *floats(PyArrayObject *a) { return (float *)PyArray_DATA(a); }

/* Rows that are worth a thread, for rows of n elements that take some time each. */
#define GRAIN(elements, n) ((elements) / ((n) < 1 ? 1 : (n)) + 1)
#endif
