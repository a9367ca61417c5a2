/* Random numbers from drawn words, rounded exactly as flowtorch/streams has them. */
#include "rows.h"

/* ---- Box and Muller's pairs: see streams/boxmuller.py for where each step comes from */

INLINE vf horner(const float *c, int n, vf x) {
    vf y = v_fma(v_all(c[0]), x, v_all(c[1]));
    for (int k = 2; k < n; k++) y = v_fma(y, x, v_all(c[k]));
    return y;
}

INLINE vf stream_log(vf u) {
    static const float c[] = {7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
                              -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f};
    vi bits = (vi)u, exponent = bits >> 23;
    vf scaled = (vf)((bits & 0x007fffff) | 0x3f000000);
    vi small = scaled < 0.707106781186547524f;
    vf power = __builtin_convertvector(exponent + small, vf) - 126.0f; /* a true comparison is -1 */
    vf x = (vf)((vi)scaled & small) + (scaled - 1.0f), square = x * x;
    vf y = v_fma(horner(c, 9, x) * x, square, power * -2.12194440e-4f) - square * 0.5f;
    return (x + y) + power * 0.693359375f;
}

INLINE void sine_cosine(vf x, vf *sine, vf *cosine) {
    static const float s[] = {-1.9515295891e-4f, 8.3321608736e-3f, -1.6666654611e-1f};
    static const float c[] = {2.443315711809948e-5f, -1.388731625493765e-3f, 4.166664568298827e-2f};
    vi octant = (__builtin_convertvector(x * (float)(4 / 3.14159265358979323846), vi) + 1) & -2;
    vf y = __builtin_convertvector(octant, vf);
    x = x - y * 0.78515625f;
    x = x - y * 2.4187564849853515625e-4f;
    x = v_fma(y, v_all(-3.77489497744594108e-8f), x);
    vf square = x * x, p = horner(c, 3, square) * square, q = horner(s, 3, square) * square;
    p = v_fma(p, square, square * -0.5f) + 1.0f;
    q = v_fma(q, x, x);
    vm swapped = v_mask((octant & 2) != 0);
    vf a = v_select(swapped, p, q), b = v_select(swapped, q, p);
    *sine = (vf)((vi)a ^ ((octant & 4) << 29));
    *cosine = (vf)((vi)b ^ (((octant + 2) & 4) << 29));
}

typedef struct { float *x; float mean, std; } Pairs;

/* Blocks of 16 numbers: 8 for the radius, then 8 for the angle. */
static void pairs(void *context, Index begin, Index end) {
    const Pairs *w = context;
    const int blocks = LANES / 8;
    for (Index b = begin; b < end; b += blocks) {
        Index here = end - b < blocks ? end - b : blocks;
        float *x = w->x + b * 16, one[LANES] = {0}, two[LANES] = {0};
        for (Index k = 0; k < here; k++) memcpy(one + 8 * k, x + 16 * k, 32), memcpy(two + 8 * k, x + 16 * k + 8, 32);
        vf sine, cosine, radius = v_sqrt(stream_log(1.0f - v_load(one)) * -2.0f);
        sine_cosine(v_load(two) * (float)(2 * 3.14159265358979323846), &sine, &cosine);
        v_store(one, v_fma(cosine * radius, v_all(w->std), v_all(w->mean)));
        v_store(two, v_fma(sine * radius, v_all(w->std), v_all(w->mean)));
        for (Index k = 0; k < here; k++) memcpy(x + 16 * k, one + 8 * k, 32), memcpy(x + 16 * k + 8, two + 8 * k, 32);
    }
}

/* pairs_of_blocks(units, mean, std), in place */
static PyObject *normal_blocks(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyArrayObject *x;
    if (count != 3 || names || (x = single(args[0])) == NULL || PyArray_SIZE(x) % 16) return NULL;
    double mean = PyFloat_AsDouble(args[1]), std = PyFloat_AsDouble(args[2]);
    if (PyErr_Occurred()) { PyErr_Clear(); return NULL; }
    Pairs w = {floats(x), (float)mean, (float)std};
    parallel_for(PyArray_SIZE(x) / 16, 512, pairs, &w);
    Py_INCREF(x);
    return (PyObject *)x;
}

const Entry random_entries[] = {
    {"normal_blocks", normal_blocks},
    {NULL},
};
