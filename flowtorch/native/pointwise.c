/* Pointwise kernels: one contiguous loop per op and dtype does all layouts, scalars and 16-bit floats.
 *
 * Operands that do not lie as the loop wants them (a broadcast or strided one, a 16-bit float) pass through a block
 * that stays in the first-level cache. */
#include "pointwise.h"
#include "stream.h"

#define BLOCK 1024
#define DIMS 16

static const int sizes[] = {1, 1, 1, 2, 4, 8, 2, 2, 4, 8};

typedef struct {
    const Pointwise *op;
    Loop loop, streamed;
    const double *s;
    int operands;                       /* inputs and the output */
    int streams;                        /* the output is new and large */
    signed char code[INPUTS + 1];       /* as stored */
    signed char wants[INPUTS + 1];      /* as the loop takes them */
    char *data[INPUTS + 1];
    int ndim;                           /* the inner dimension is the last */
    Index shape[DIMS], steps[INPUTS + 1][DIMS];
} Work;

/* ---- blocks */

#define GATHER(T, LOAD)                                                                                               \
    if (step == 0) {                                                                                                  \
        T value = LOAD(*(const T *)from);                                                                             \
        for (Index i = 0; i < n; i++) ((T *)to)[i] = value;                                                           \
    } else for (Index i = 0; i < n; i++) ((T *)to)[i] = LOAD(*(const T *)(from + i * step));
#define WIDEN(LOAD) for (Index i = 0; i < n; i++) ((float *)to)[i] = LOAD(*(const uint16_t *)(from + i * step));
#define PLAIN(x) (x)

/* n elements of `from`, `step` bytes apart, as contiguous elements of the wanted dtype. */
static void load(char *to, const char *from, Index step, Index n, int code, int wants) {
    if (code == wants) {
        switch (sizes[code]) {
            case 1: GATHER(uint8_t, PLAIN) break;
            case 2: GATHER(uint16_t, PLAIN) break;
            case 4: GATHER(uint32_t, PLAIN) break;
            case 8: GATHER(uint64_t, PLAIN) break;
        }
    } else if (code == BFLOAT16) {
        if (step == 2) { step = 2; WIDEN(load_bfloat16) } else WIDEN(load_bfloat16)
    } else {
        if (step == 2) { step = 2; WIDEN(load_float16) } else WIDEN(load_float16)
    }
}

#define SCATTER(T) for (Index i = 0; i < n; i++) *(T *)(to + i * step) = ((const T *)from)[i];
#define NARROW(STORE) for (Index i = 0; i < n; i++) *(uint16_t *)(to + i * step) = STORE(((const float *)from)[i]);

static void store(char *to, const char *from, Index step, Index n, int code, int wants) {
    if (code == wants) {
        switch (sizes[code]) {
            case 1: SCATTER(uint8_t) break;
            case 2: SCATTER(uint16_t) break;
            case 4: SCATTER(uint32_t) break;
            case 8: SCATTER(uint64_t) break;
        }
    } else if (code == BFLOAT16) {
        if (step == 2) { step = 2; NARROW(store_bfloat16) } else NARROW(store_bfloat16)
    } else {
        if (step == 2) { step = 2; NARROW(store_float16) } else NARROW(store_float16)
    }
}

/* n contiguous elements, written past the cache: by a loop made for it, or in blocks that are computed within. */
static void streamed(const Work *w, char *const *at, Index n) {
    _Alignas(64) char block[STREAM_BLOCK];
    char *p[INPUTS + 1];
    int result = w->operands - 1, size = sizes[w->code[result]];
    Index most = STREAM_BLOCK / size, m = to_line(at[result]) / size; /* all blocks but the first begin a line */
    if (w->streamed) {
        if (m > n) m = n;
        if (m) w->loop(at, m, w->s);
        for (int k = 0; k <= result; k++) p[k] = at[k] + m * sizes[w->code[k]];
        w->streamed(p, n - m, w->s);
        return;
    }
    for (Index begin = 0; begin < n; begin += m, m = most) {
        if (m == 0) m = most;
        if (m > n - begin) m = n - begin;
        for (int k = 0; k < result; k++) {
            p[k] = at[k] + begin * sizes[w->code[k]];
            for (Index line = 0; line < m * sizes[w->code[k]]; line += 64) stream_prefetch(p[k] + line);
        }
        p[result] = block;
        w->loop(p, m, w->s);
        stream_copy(at[result] + begin * size, block, m * size);
    }
}

/* One row of n elements at `at`. */
static void row(const Work *w, char *const *at, Index n) {
    int last = w->ndim - 1, direct = 1;
    char *p[INPUTS + 1];
    for (int k = 0; k < w->operands; k++) {
        p[k] = at[k];
        direct &= w->code[k] == w->wants[k] && w->steps[k][last] == sizes[w->code[k]];
    }
    if (direct) {
        if (w->streams) streamed(w, at, n);
        else w->loop(p, n, w->s);
        return;
    }
    _Alignas(64) char block[INPUTS + 1][BLOCK * 8];
    int result = w->operands - 1;
    for (Index begin = 0; begin < n; begin += BLOCK) {
        Index m = n - begin < BLOCK ? n - begin : BLOCK;
        for (int k = 0; k < w->operands; k++) {
            Index step = w->steps[k][last];
            if (w->code[k] == w->wants[k] && step == sizes[w->code[k]]) {
                p[k] = at[k] + begin * step;
                continue;
            }
            p[k] = block[k];
            if (k != result && (step != 0 || begin == 0)) /* a block of one value stays as it is */
                load(block[k], at[k] + begin * step, step, m, w->code[k], w->wants[k]);
        }
        w->loop(p, m, w->s);
        if (p[result] == block[result]) {
            Index step = w->steps[result][last];
            store(at[result] + begin * step, block[result], step, m, w->code[result], w->wants[result]);
        }
    }
}

/* Elements [begin, end) of a space of one dimension. */
static void flat(void *context, Index begin, Index end) {
    const Work *w = context;
    char *at[INPUTS + 1];
    for (int k = 0; k < w->operands; k++) at[k] = w->data[k] + begin * w->steps[k][0];
    row(w, at, end - begin);
    if (w->streams) stream_end();
}

/* Rows [begin, end) of a space of more dimensions. */
static void rows(void *context, Index begin, Index end) {
    const Work *w = context;
    int outer = w->ndim - 1;
    Index at[DIMS], rest = begin;
    char *p[INPUTS + 1];
    for (int k = 0; k < w->operands; k++) p[k] = w->data[k];
    for (int d = outer - 1; d >= 0; d--) {
        at[d] = rest % w->shape[d];
        rest /= w->shape[d];
        for (int k = 0; k < w->operands; k++) p[k] += at[d] * w->steps[k][d];
    }
    for (Index r = begin; r < end; r++) {
        row(w, p, w->shape[outer]);
        for (int d = outer - 1; d >= 0; d--) {
            for (int k = 0; k < w->operands; k++) p[k] += w->steps[k][d];
            if (++at[d] < w->shape[d]) break;
            for (int k = 0; k < w->operands; k++) p[k] -= w->shape[d] * w->steps[k][d];
            at[d] = 0;
        }
    }
    if (w->streams) stream_end(); /* once, not for every row: it waits for all that is under way */
}

/* ---- the space to walk */

/* Join dimensions that every operand steps through as through one. */
static void coalesce(Work *w) {
    int n = 0;
    for (int d = 0; d < w->ndim; d++) {
        if (w->shape[d] == 1) continue;
        int joined = n > 0;
        for (int k = 0; joined && k < w->operands; k++)
            joined = w->steps[k][n - 1] == w->steps[k][d] * w->shape[d];
        if (joined) n--, w->shape[n] *= w->shape[d]; else w->shape[n] = w->shape[d];
        for (int k = 0; k < w->operands; k++) w->steps[k][n] = w->steps[k][d];
        n++;
    }
    if (n == 0) {
        w->shape[0] = 1;
        for (int k = 0; k < w->operands; k++) w->steps[k][0] = sizes[w->code[k]];
        n = 1;
    }
    w->ndim = n;
}

static void walk(Work *w) {
    coalesce(w);
    if (w->ndim == 1) {
        parallel_for(w->shape[0], w->op->grain, flat, w);
        return;
    }
    Index count = 1, n = w->shape[w->ndim - 1];
    for (int d = 0; d < w->ndim - 1; d++) count *= w->shape[d];
    parallel_for(count, w->op->grain / n + 1, rows, w);
}

/* The broadcast shape; 0 where there is none. */
static int broadcast(int inputs, PyArrayObject *const *a, int *ndim, Index *shape) {
    int most = 0;
    for (int k = 0; k < inputs; k++) most = PyArray_NDIM(a[k]) > most ? PyArray_NDIM(a[k]) : most;
    if (most > DIMS) return 0;
    for (int d = 0; d < most; d++) shape[d] = 1;
    for (int k = 0; k < inputs; k++) {
        int shift = most - PyArray_NDIM(a[k]);
        for (int d = shift; d < most; d++) {
            Index size = PyArray_DIM(a[k], d - shift);
            if (size == 1 || size == shape[d]) continue;
            if (shape[d] != 1) return 0;
            shape[d] = size;
        }
    }
    *ndim = most;
    return 1;
}

/* The loop for these dtypes; the output's code, or -1. 16-bit floats are computed in float32. */
static int choose(Work *w, int inputs) {
    int low = -1;
    for (int k = 0; k < inputs; k++)
        if (w->code[k] == FLOAT16 || w->code[k] == BFLOAT16) {
            if (low >= 0 && low != w->code[k]) return -1;
            low = w->code[k];
        }
    for (const Variant *v = w->op->variants; v->loop; v++) {
        int fits = 1;
        for (int k = 0; fits && k < inputs; k++)
            fits = v->in[k] == w->code[k] || (v->in[k] == FLOAT32 && w->code[k] == low);
        if (!fits) continue;
        memcpy(w->wants, v->in, inputs);
        w->wants[inputs] = v->out;
        w->loop = v->loop, w->streamed = v->streamed;
        return v->out == FLOAT32 && low >= 0 ? low : v->out;
    }
    return -1;
}

static const int numbers[] = {NPY_BOOL, NPY_UINT8, NPY_INT8, NPY_INT16, NPY_INT32, NPY_INT64, NPY_HALF, -1,
                              NPY_FLOAT, NPY_DOUBLE};

/* The parameters' values; 0 for anything but numbers. */
static int read_parameters(const Pointwise *op, PyObject *const *args, PyObject *names, double *s) {
    for (int k = 0; k < op->parameters; k++) s[k] = op->defaults[k];
    Py_ssize_t given = names ? PyTuple_GET_SIZE(names) : 0;
    for (Py_ssize_t j = 0; j < given; j++) {
        PyObject *name = PyTuple_GET_ITEM(names, j), *value = args[j];
        int k = 0;
        while (k < op->parameters && PyUnicode_CompareWithASCIIString(name, op->names[k]) != 0) k++;
        if (k == op->parameters) return 0;
        if (PyFloat_CheckExact(value)) s[k] = PyFloat_AS_DOUBLE(value);
        else if (PyLong_CheckExact(value)) {
            s[k] = PyLong_AsDouble(value);
            if (s[k] == -1 && PyErr_Occurred()) { PyErr_Clear(); return 0; }
        } else return 0;
    }
    for (int k = 0; k < op->parameters; k++) /* NAN stands for "must be given" */
        if (op->defaults[k] != op->defaults[k] && given < op->parameters) return 0;
    return 1;
}

/* Whether the memory of `a` and `b` meets without being the same elements in the same places. */
static int entangled(PyArrayObject *a, PyArrayObject *b) {
    char *low_a, *high_a, *low_b, *high_b;
    if (PyArray_DATA(a) == PyArray_DATA(b) && same_shape(a, b) &&
        PyArray_CompareLists(PyArray_STRIDES(a), PyArray_STRIDES(b), PyArray_NDIM(a))) return 0;
    low_a = high_a = PyArray_BYTES(a), low_b = high_b = PyArray_BYTES(b);
    for (int d = 0; d < PyArray_NDIM(a); d++) high_a += (PyArray_DIM(a, d) - 1) * PyArray_STRIDE(a, d);
    for (int d = 0; d < PyArray_NDIM(b); d++) high_b += (PyArray_DIM(b, d) - 1) * PyArray_STRIDE(b, d);
    return low_a < high_b + PyArray_ITEMSIZE(b) && low_b < high_a + PyArray_ITEMSIZE(a);
}

/* Whether two arrays of one shape have their elements in the same order and at the same distances. */
static int lie_alike(PyArrayObject *a, PyArrayObject *b) {
    if (!same_shape(a, b)) return 0;
    for (int d = 0; d < PyArray_NDIM(a); d++)
        if (PyArray_STRIDE(a, d) * PyArray_ITEMSIZE(b) != PyArray_STRIDE(b, d) * PyArray_ITEMSIZE(a)) return 0;
    return 1;
}

/* How an array steps where it has more than one element: through the same one again, or ever less far. */
static void steps_of(PyArrayObject *a, int *expanded, int *falling) {
    Index above = NPY_MAX_INTP;
    *expanded = 0, *falling = 1;
    for (int d = 0; d < PyArray_NDIM(a); d++) {
        Index step = PyArray_STRIDE(a, d);
        if (PyArray_DIM(a, d) == 1) continue;
        if (step == 0) *expanded = 1;
        else *falling &= step <= above, above = step;
    }
}

static int one_value(PyArrayObject *a) {
    for (int d = 0; d < PyArray_NDIM(a); d++)
        if (PyArray_DIM(a, d) != 1 && PyArray_STRIDE(a, d) != 0) return 0;
    return 1;
}

/* Where the result goes: a new array that lies as the operands do, or NULL for layouts left to numpy. */
static PyArrayObject *allocate(Work *w, PyArrayObject *const *a, int inputs, PyArray_Descr *descr, int ndim,
                               const Index *shape) {
    int rows = 1, first = -1, first_expanded = 1, expanded, falling;
    for (int k = 0; k < inputs; k++) {
        steps_of(a[k], &expanded, &falling);
        rows &= falling;
        if (first_expanded && PyArray_NDIM(a[k]) == ndim && PyArray_CompareLists(PyArray_DIMS(a[k]), shape, ndim) &&
            (first < 0 || !expanded)) first = k, first_expanded = expanded;
    }
    if (rows) return new_like(descr, ndim, shape);
    if (first < 0 || first_expanded) return NULL; /* a step of 0 has no place in an order */
    for (int k = 0; k < inputs; k++) /* operands that lie differently: the order is numpy's to choose */
        if (k != first && !one_value(a[k]) && !lie_alike(a[k], a[first])) return NULL;
    Py_INCREF(descr);
    return (PyArrayObject *)PyArray_NewLikeArray(a[first], NPY_KEEPORDER, descr, 0);
}

/* Dimensions in the order in which the result lies in memory. */
static void sort_dims(Work *w) {
    const Index *own = w->steps[w->operands - 1];
    for (int i = 1; i < w->ndim; i++)
        for (int j = i; j > 0 && own[j] > own[j - 1]; j--) {
            Index t = w->shape[j];
            w->shape[j] = w->shape[j - 1], w->shape[j - 1] = t;
            for (int k = 0; k < w->operands; k++)
                t = w->steps[k][j], w->steps[k][j] = w->steps[k][j - 1], w->steps[k][j - 1] = t;
        }
}

PyObject *pointwise_run(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    const Pointwise *op = self->data;
    int inputs = op->inputs;
    if (count != inputs && count != inputs + 1) return NULL;
    double s[PARAMETERS];
    if (op->parameters || names) if (!read_parameters(op, args + count, names, s)) return NULL;
    Work w;
    w.op = op, w.s = s, w.operands = inputs + 1;
    PyArrayObject *a[INPUTS + 1];
    int plain = 1, big = -1;
    for (int k = 0; k < count; k++) {
        if (!is_array(args[k])) return NULL;
        a[k] = (PyArrayObject *)args[k];
        int code = dtype_code(PyArray_DESCR(a[k]));
        if (code == UNKNOWN) return NULL;
        w.code[k] = (signed char)code;
    }
    signed char given = count > inputs ? w.code[inputs] : -1;
    int out = choose(&w, inputs);
    if (out < 0 || (given >= 0 && given != out)) return NULL;
    w.code[inputs] = (signed char)out;
    for (int k = 0; k < inputs; k++) {
        if (PyArray_NDIM(a[k]) == 0) continue;
        if (big < 0) big = k; else plain &= same_shape(a[k], a[big]);
        plain &= is_contiguous(a[k]);
    }
    if (big < 0) big = 0;

    PyArray_Descr *descr = NULL;
    for (int k = 0; k < inputs; k++) if (w.code[k] == out) descr = PyArray_DESCR(a[k]);
    int ndim = PyArray_NDIM(a[big]);
    Index shape[DIMS];
    const Index *dims = PyArray_DIMS(a[big]);
    if (!plain) {
        if (!broadcast(inputs, a, &ndim, shape)) return NULL;
        dims = shape;
    }
    PyArrayObject *result;
    if (given >= 0) {
        result = a[inputs];
        if (PyArray_NDIM(result) != ndim || !PyArray_CompareLists(PyArray_DIMS(result), dims, ndim) ||
            !PyArray_ISWRITEABLE(result)) return NULL;
        for (int k = 0; k < inputs; k++) if (entangled(a[k], result)) return NULL;
        plain &= is_contiguous(result);
        if (!plain && dims != shape) {
            if (ndim > DIMS) return NULL;
            memcpy(shape, dims, ndim * sizeof(Index));
        }
        Py_INCREF(result);
    } else {
        PyArray_Descr *made = descr ? NULL : PyArray_DescrFromType(numbers[out]);
        result = plain ? new_like(descr ? descr : made, ndim, dims)
                       : allocate(&w, a, inputs, descr ? descr : made, ndim, dims);
        Py_XDECREF(made);
        if (result == NULL) return NULL; /* no memory, or declined */
    }
    a[inputs] = result;
    Index size = PyArray_SIZE(result);
    if (size == 0) return (PyObject *)result;
    w.streams = given < 0 && streams(PyArray_NBYTES(result));
    for (int k = 0; k <= inputs; k++) w.data[k] = PyArray_BYTES(a[k]);
    if (plain) {
        w.ndim = 1;
        for (int k = 0; k <= inputs; k++)
            w.steps[k][0] = PyArray_NDIM(a[k]) == 0 && ndim > 0 ? 0 : sizes[w.code[k]];
        w.shape[0] = size;
        parallel_for(size, op->grain, flat, &w);
        return (PyObject *)result;
    }
    w.ndim = ndim;
    for (int k = 0; k <= inputs; k++) {
        int shift = ndim - PyArray_NDIM(a[k]);
        for (int d = 0; d < ndim; d++)
            w.steps[k][d] = d < shift || PyArray_DIM(a[k], d - shift) == 1 ? 0 : PyArray_STRIDE(a[k], d - shift);
    }
    memcpy(w.shape, dims, ndim * sizeof(Index));
    sort_dims(&w);
    walk(&w);
    return (PyObject *)result;
}

/* ---- astype(array, dtype): between float32 and 16-bit floats, and between numbers that C converts as numpy does */

typedef struct { char *to; const char *from; int in, out, streams; } Cast;

#define CONVERT(FROM, TO) for (Index i = 0; i < n; i++) ((TO *)to)[i] = (TO)((const FROM *)from)[i];

/* n elements; 0 for a pair that is left to numpy. */
static int convert(char *to, const char *from, Index n, int in, int out) {
    int low = in == FLOAT32 ? out : in;
    if (in == FLOAT32 && out == FLOAT64) CONVERT(float, double)
    else if (in == FLOAT64 && out == FLOAT32) CONVERT(double, float)
    else if (in == INT32 && out == FLOAT32) CONVERT(int32_t, float)
    else if (in == INT64 && out == FLOAT32) CONVERT(int64_t, float)
    else if (in == FLOAT32 && out == INT32) CONVERT(float, int32_t)
    else if (in == FLOAT32 && out == INT64) CONVERT(float, int64_t)
    else if (in == FLOAT64 && out == INT64) CONVERT(double, int64_t)
    else if (in == INT64 && out == FLOAT64) CONVERT(int64_t, double)
    else if (in == INT32 && out == INT64) CONVERT(int32_t, int64_t)
    else if (in == INT64 && out == INT32) CONVERT(int64_t, int32_t)
    else if (in == BOOL && out == FLOAT32) for (Index i = 0; i < n; i++) ((float *)to)[i] = from[i] != 0;
    else if (low != FLOAT16 && low != BFLOAT16) return 0;
    else if (out == FLOAT32) load(to, from, sizes[in], n, in, FLOAT32);
    else if (in == FLOAT32) store(to, from, sizes[out], n, out, FLOAT32);
    else return 0;
    return 1;
}

static void cast(void *context, Index begin, Index end) {
    const Cast *w = context;
    int in = sizes[w->in], out = sizes[w->out];
    char *to = w->to + begin * out;
    if (!w->streams) {
        convert(to, w->from + begin * in, end - begin, w->in, w->out);
        return;
    }
    _Alignas(64) char block[STREAM_BLOCK];
    Index most = STREAM_BLOCK / out, m = to_line(to) / out;
    for (; begin < end; begin += m, m = most) {
        if (m == 0) m = most;
        if (m > end - begin) m = end - begin;
        for (Index line = 0; line < m * in; line += 64) stream_prefetch(w->from + begin * in + line);
        convert(block, w->from + begin * in, m, w->in, w->out);
        stream_copy(w->to + begin * out, block, m * out);
    }
    stream_end();
}

static PyObject *astype(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (count != 2 || names || !is_array(args[0]) || !PyArray_DescrCheck(args[1])) return NULL;
    PyArrayObject *a = (PyArrayObject *)args[0];
    PyArray_Descr *descr = (PyArray_Descr *)args[1];
    int in = dtype_code(PyArray_DESCR(a)), out = dtype_code(descr);
    if (in == UNKNOWN || out == UNKNOWN || !convert(NULL, NULL, 0, in, out)) return NULL;
    if (!is_contiguous(a) && !PyArray_IS_F_CONTIGUOUS(a)) return NULL;
    Py_INCREF(descr);
    PyArrayObject *result = (PyArrayObject *)PyArray_NewLikeArray(a, NPY_KEEPORDER, descr, 0);
    if (result == NULL) return NULL;
    Cast w = {PyArray_BYTES(result), PyArray_BYTES(a), in, out, streams(PyArray_NBYTES(result))};
    parallel_for(PyArray_SIZE(a), 50000, cast, &w);
    return (PyObject *)result;
}

const Entry cast_entries[] = {
    {"astype", astype},
    {NULL},
};
