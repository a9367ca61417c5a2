/* Batches of small products on several threads, each product on one: BLAS would share out the inside of every product,
 * which does not pay where they are small. */
#include "blas.h"

#define LARGEST (1 << 22)  /* multiplications of one product; larger ones are better shared themselves */
#define WORTH (1 << 20)    /* multiplications that are worth a thread */
#define MOST_DIMS 8

typedef struct {
    const char *data;
    Index lead[MOST_DIMS]; /* strides of the batch's dimensions, in bytes */
    Index line;            /* numbers from a row to the next, or from a column where it lies turned */
    int turned;
} Factor;

typedef struct {
    Factor a, b;
    float *c;
    int leading;
    Index lead[MOST_DIMS], m, n, k;
} Batches;

static const float *matrix_at(const Batches *w, const Factor *f, Index number) {
    const char *at = f->data;
    for (int d = w->leading - 1; d >= 0; number /= w->lead[d--]) at += number % w->lead[d] * f->lead[d];
    return (const float *)at;
}

static void multiply(void *context, Index begin, Index end) {
    const Batches *w = context;
    for (Index i = begin; i < end; i++)
        blas_product(w->a.turned | w->b.turned << 1, w->m, w->n, w->k, 1, matrix_at(w, &w->a, i), w->a.line,
                     matrix_at(w, &w->b, i), w->b.line, 0, w->c + i * w->m * w->n, w->n);
}

/* Whether the matrices of an array lie as BLAS reads them. */
static int read_factor(PyArrayObject *x, Factor *f) {
    int ndim = PyArray_NDIM(x);
    Index rows = PyArray_DIM(x, ndim - 2), columns = PyArray_DIM(x, ndim - 1);
    Index down = PyArray_STRIDE(x, ndim - 2), right = PyArray_STRIDE(x, ndim - 1), size = sizeof(float);
    f->data = PyArray_DATA(x);
    for (int d = 0; d < ndim - 2; d++) f->lead[d] = PyArray_STRIDE(x, d);
    f->turned = right != size || down < columns * size;
    f->line = (f->turned ? right : down) / size;
    if (f->turned) return down == size && right >= rows * size && right % size == 0;
    return down % size == 0;
}

/* product_of_batches(a, b) */
static PyObject *product_of_batches(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyArrayObject *a = (PyArrayObject *)args[0], *b = (PyArrayObject *)args[1];
    if (count != 2 || names || threads_get() < 2 || !is_array(args[0]) || !is_array(args[1]) ||
        PyArray_TYPE(a) != NPY_FLOAT || PyArray_TYPE(b) != NPY_FLOAT) return NULL;
    int ndim = PyArray_NDIM(a);
    Batches w = {.leading = ndim - 2};
    if (ndim < 3 || ndim > MOST_DIMS || PyArray_NDIM(b) != ndim ||
        !PyArray_CompareLists(PyArray_DIMS(a), PyArray_DIMS(b), ndim - 2) || !blas_found()) return NULL;
    w.m = PyArray_DIM(a, ndim - 2), w.k = PyArray_DIM(a, ndim - 1), w.n = PyArray_DIM(b, ndim - 1);
    Index batches = 1, shape[MOST_DIMS];
    for (int d = 0; d < ndim - 2; d++) batches *= w.lead[d] = shape[d] = PyArray_DIM(a, d);
    shape[ndim - 2] = w.m, shape[ndim - 1] = w.n;
    Index one = w.m * w.n * w.k;
    if (PyArray_DIM(b, ndim - 2) != w.k || one == 0 || one > LARGEST || batches < threads_get() ||
        one * batches < 2 * WORTH || !read_factor(a, &w.a) || !read_factor(b, &w.b)) return NULL;
    PyArrayObject *c = new_array(NPY_FLOAT, ndim, shape);
    if (c == NULL) return NULL;
    w.c = PyArray_DATA(c);
    blas_alone();
    parallel_for(batches, WORTH / one + 1, multiply, &w);
    blas_shared();
    return (PyObject *)c;
}

const Entry batch_entries[] = {
    {"product_of_batches", product_of_batches},
    {NULL},
};
