/* pow(input, exponent) for the exponents that are products, quotients and roots, with numpy's rounding. */
#include "kernel.h"

typedef struct { const void *x; void *y; int wide, kind; } Power;
static const double exponents[] = {2, 3, 0.5, -1, -2, -0.5};

#define EACH_ELEMENT(E) for (Index i = begin; i < end; i++) y[i] = E;
#define POWERS(T, ROOT)                                                                                               \
    {                                                                                                                 \
        const T *x = w->x;                                                                                            \
        T *y = w->y;                                                                                                  \
        switch (w->kind) {                                                                                            \
            case 0: EACH_ELEMENT(x[i] * x[i]) break;                                                                  \
            case 1: EACH_ELEMENT(x[i] * x[i] * x[i]) break;                                                           \
            case 2: EACH_ELEMENT(ROOT(x[i])) break;                                                                   \
            case 3: EACH_ELEMENT(1 / x[i]) break;                                                                     \
            case 4: EACH_ELEMENT(1 / (x[i] * x[i])) break;                                                            \
            case 5: EACH_ELEMENT(1 / ROOT(x[i])) break;                                                               \
        }                                                                                                             \
    }

static void powers(void *context, Index begin, Index end) {
    const Power *w = context;
    if (w->wide) POWERS(double, __builtin_sqrt) else POWERS(float, __builtin_sqrtf)
}

static PyObject *power(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (count != 2 || names || !is_array(args[0]) || !is_array(args[1])) return NULL;
    PyArrayObject *x = (PyArrayObject *)args[0], *e = (PyArrayObject *)args[1];
    int type = PyArray_TYPE(x), kinds = sizeof exponents / sizeof *exponents, kind = 0;
    if ((type != NPY_FLOAT && type != NPY_DOUBLE) || PyArray_TYPE(e) != type || PyArray_NDIM(e) != 0 ||
        !is_contiguous(x)) return NULL;
    double exponent = type == NPY_FLOAT ? *(float *)PyArray_DATA(e) : *(double *)PyArray_DATA(e);
    while (kind < kinds && exponents[kind] != exponent) kind++;
    if (kind == kinds) return NULL;
    PyArrayObject *y = new_like(PyArray_DESCR(x), PyArray_NDIM(x), PyArray_DIMS(x));
    if (y == NULL) return NULL;
    Power w = {PyArray_DATA(x), PyArray_DATA(y), type == NPY_DOUBLE, kind};
    parallel_for(PyArray_SIZE(x), 50000, powers, &w);
    return (PyObject *)y;
}

const Entry power_entries[] = {
    {"pow", power},
    {NULL},
};
