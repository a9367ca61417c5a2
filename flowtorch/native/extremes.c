/* The largest and the smallest element: of all, by the inner loops of numpy's maximum and minimum, and of the rows of
 * float32 arrays, for each of which numpy calls its loop anew. */
#include "calls.h"
#include "rows.h"

typedef struct { const float *x; float *y; Index n; } Rows;

#define OF_ROW(LARGER, FAR, SIGN)                                                                                     \
    const Rows *w = context;                                                                                          \
    Index n = w->n;                                                                                                   \
    for (Index r = begin; r < end; r++) {                                                                             \
        const float *x = w->x + r * n;                                                                                \
        vf a[4];                                                                                                      \
        for (int u = 0; u < 4; u++) a[u] = v_all(FAR);                                                                \
        OVER_ROW(n, , a[u] = LARGER(a[u], v_load(x + k));, a[1] = LARGER(a[1], v_load_part(x + k, rest, FAR));)       \
        vf all = LARGER(LARGER(a[0], a[1]), LARGER(a[2], a[3]));                                                      \
        w->y[r] = v_any(v_is_nan(all)) ? NAN : SIGN v_top(SIGN all);                                                  \
    }
static void largest(void *context, Index begin, Index end) { OF_ROW(v_larger, -INFINITY, +) }
static void smallest(void *context, Index begin, Index end) { OF_ROW(v_smaller, INFINITY, -) }

/* amax(input, dim, keepdim=False) over the last dimensions */
static PyObject *of_rows(PyObject *const *args, Py_ssize_t count, int least) {
    PyArrayObject *x = single(args[0]);
    int first, last, keep = count > 2 && args[2] == Py_True, dims = 0;
    if (x == NULL || PyArray_SIZE(x) == 0 || (count > 2 && !keep && args[2] != Py_False)) return NULL;
    if (!read_run(args[1], x, &first, &last) || last != PyArray_NDIM(x) - 1) return NULL;
    Index shape[NPY_MAXDIMS], n = 1;
    for (int d = 0; d <= last; d++) {
        if (d >= first) n *= PyArray_DIM(x, d);
        if (d < first || keep) shape[dims++] = d < first ? PyArray_DIM(x, d) : 1;
    }
    PyArrayObject *out = new_array(NPY_FLOAT, dims, shape);
    if (out == NULL) return NULL;
    Rows w = {floats(x), floats(out), n};
    parallel_for(PyArray_SIZE(out), GRAIN(60000, n), least ? smallest : largest, &w);
    return (PyObject *)out;
}

static PyObject *extreme(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    static PyUFuncObject *ufuncs[2];
    int least = self->data != NULL;
    if (count == 0 || count > 3 || names || !is_array(args[0])) return NULL;
    if (count > 1 && args[1] != Py_None && args[1] != empty_tuple) return of_rows(args, count, least);
    if (count > 2 && args[2] != Py_False) return NULL;
    PyArrayObject *a = (PyArrayObject *)args[0];
    npy_intp n = PyArray_SIZE(a), rest = n - 1, steps[3] = {0, PyArray_ITEMSIZE(a), 0};
    if (n == 0 || !is_contiguous(a)) return NULL;
    if (ufuncs[least] == NULL) {
        PyObject *numpy = PyImport_ImportModule("numpy");
        ufuncs[least] = numpy ? (PyUFuncObject *)PyObject_GetAttrString(numpy, least ? "minimum" : "maximum") : NULL;
        Py_XDECREF(numpy);
        if (ufuncs[least] == NULL) return NULL;
    }
    PyUFuncGenericFunction loop = NULL;
    void *data = NULL;
    int number = PyArray_TYPE(a);
    for (int i = 0; i < ufuncs[least]->ntypes && loop == NULL; i++)
        if (ufuncs[least]->types[3 * i] == number && ufuncs[least]->types[3 * i + 2] == number) {
            loop = ufuncs[least]->functions[i];
            data = ufuncs[least]->data ? (void *)ufuncs[least]->data[i] : NULL;
        }
    if (loop == NULL) return NULL;
    PyArrayObject *out = new_like(PyArray_DESCR(a), 0, NULL);
    if (out == NULL) return NULL;
    memcpy(PyArray_DATA(out), PyArray_DATA(a), PyArray_ITEMSIZE(a));
    char *places[3] = {PyArray_BYTES(out), PyArray_BYTES(a) + PyArray_ITEMSIZE(a), PyArray_BYTES(out)};
    NPY_BEGIN_THREADS_DEF;
    NPY_BEGIN_THREADS_THRESHOLDED(n);
    if (rest) loop(places, &rest, steps, data);
    NPY_END_THREADS;
    return (PyObject *)out;
}

const Entry extreme_entries[] = {
    {"amax", extreme},
    {"amin", extreme, "least"},
    {NULL},
};
