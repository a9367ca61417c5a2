/* The stable order of numbers along the last dimension, by their bytes: every pass puts them in the order of one byte
 * of a key that sorts as an unsigned number, from the last byte to the first. */
#include "kernel.h"
#include <stdatomic.h>
#include <stdlib.h>

#define FEW 40 /* so few are put in order one by one */

/* Keys of the numbers: NaN is the largest, and zeros are alike. */
INLINE uint32_t key_of_float(float x) {
    int32_t bits;
    memcpy(&bits, &x, 4);
    if (x == 0) bits = 0;
    return x != x ? UINT32_MAX : bits < 0 ? ~(uint32_t)bits : (uint32_t)bits | 0x80000000u;
}
INLINE uint64_t key_of_double(double x) {
    int64_t bits;
    memcpy(&bits, &x, 8);
    if (x == 0) bits = 0;
    return x != x ? UINT64_MAX : bits < 0 ? ~(uint64_t)bits : (uint64_t)bits | (uint64_t)1 << 63;
}

typedef struct { uint32_t key, index; } Short;
typedef struct { uint64_t key, index; } Long;

/* name(a, b, n): n numbers in a, with as much room in b; where they are afterwards, in order. */
#define ORDER_OF(name, Pair, BYTES)                                                                                   \
    static Pair *name(Pair *a, Pair *b, Index n) {                                                                    \
        if (n <= FEW) {                                                                                               \
            for (Index k = 1; k < n; k++) {                                                                           \
                Pair p = a[k];                                                                                        \
                Index j = k;                                                                                          \
                for (; j > 0 && a[j - 1].key > p.key; j--) a[j] = a[j - 1];                                           \
                a[j] = p;                                                                                             \
            }                                                                                                         \
            return a;                                                                                                 \
        }                                                                                                             \
        uint32_t counts[BYTES][256] = {{0}};                                                                          \
        for (Index k = 0; k < n; k++)                                                                                 \
            for (int byte = 0; byte < BYTES; byte++) counts[byte][a[k].key >> 8 * byte & 255]++;                      \
        for (int byte = 0; byte < BYTES; byte++) {                                                                    \
            uint32_t *count = counts[byte], before = 0;                                                               \
            if (count[a[0].key >> 8 * byte & 255] == n) continue; /* the byte is the same in all */                   \
            for (int d = 0; d < 256; d++) { uint32_t here = count[d]; count[d] = before, before += here; }            \
            for (Index k = 0; k < n; k++) b[count[a[k].key >> 8 * byte & 255]++] = a[k];                              \
            Pair *t = a;                                                                                              \
            a = b, b = t;                                                                                             \
        }                                                                                                             \
        return a;                                                                                                     \
    }
ORDER_OF(short_order, Short, 4)
ORDER_OF(long_order, Long, 8)

typedef struct {
    const char *x;
    int64_t *order;
    Index n;
    int code, descending;
    _Atomic int failed;
} Orders;

#define ROW(Pair, Number, KEY, ORDER)                                                                                 \
    {                                                                                                                 \
        const Number *from = (const Number *)w->x + r * w->n;                                                         \
        Pair *a = memory, *found;                                                                                     \
        for (Index k = 0; k < w->n; k++) {                                                                            \
            Number x = from[k];                                                                                       \
            a[k].key = w->descending ? ~(KEY) : (KEY), a[k].index = k;                                                \
        }                                                                                                             \
        found = ORDER(a, a + w->n, w->n);                                                                             \
        for (Index k = 0; k < w->n; k++) to[k] = found[k].index;                                                      \
    }                                                                                                                 \
    break;

static void order_rows(void *context, Index begin, Index end) {
    Orders *w = context;
    void *memory = malloc(2 * w->n * (w->code == FLOAT32 || w->code == INT32 ? sizeof(Short) : sizeof(Long)));
    if (memory == NULL) {
        w->failed = 1;
        return;
    }
    for (Index r = begin; r < end; r++) {
        int64_t *to = w->order + r * w->n;
        switch (w->code) {
            case FLOAT32: ROW(Short, float, key_of_float(x), short_order)
            case INT32: ROW(Short, int32_t, (uint32_t)x ^ 0x80000000u, short_order)
            case FLOAT64: ROW(Long, double, key_of_double(x), long_order)
            default: ROW(Long, int64_t, (uint64_t)x ^ (uint64_t)1 << 63, long_order)
        }
    }
    free(memory);
}

/* stable_order(a, axis, descending) */
static PyObject *stable_order(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyArrayObject *x = (PyArrayObject *)args[0];
    if (count != 3 || names || !is_array(args[0]) || !is_contiguous(x) || !PyLong_CheckExact(args[1]) ||
        !PyBool_Check(args[2])) return NULL;
    int ndim = PyArray_NDIM(x), code = dtype_code(PyArray_DESCR(x));
    if (ndim == 0 || PyLong_AsLong(args[1]) != ndim - 1 || PyArray_SIZE(x) == 0 ||
        (code != FLOAT32 && code != FLOAT64 && code != INT32 && code != INT64)) return NULL;
    Orders w = {.x = PyArray_DATA(x), .n = PyArray_DIM(x, ndim - 1), .code = code, .descending = args[2] == Py_True};
    if (w.n >= INT32_MAX) return NULL;
    PyArrayObject *order = new_array(NPY_INT64, ndim, PyArray_DIMS(x));
    if (order == NULL) return NULL;
    w.order = PyArray_DATA(order);
    parallel_for(PyArray_SIZE(x) / w.n, 8192 / w.n + 1, order_rows, &w);
    if (!w.failed) return (PyObject *)order;
    Py_DECREF(order);
    return PyErr_NoMemory();
}

const Entry order_entries[] = {
    {"stable_order", stable_order},
    {NULL},
};
