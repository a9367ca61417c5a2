/* Steps of sequences, and products whose sums stay in registers: OpenBLAS copies its factors first, and for the few rows
 * of a step that is a third of its time. */
#include "recurrent.h"
#include <stdlib.h>

int read_sequence(PyObject *sizes, PyObject *reverse, PyArrayObject *state, Sequence *s) {
    if (!PyList_CheckExact(sizes) || !PyBool_Check(reverse) || PyArray_NDIM(state) != 2) return 0;
    Index n = s->steps = PyList_GET_SIZE(sizes), most = 0;
    s->batch = PyArray_DIM(state, 0), s->units = PyArray_DIM(state, 1), s->total = 0;
    if (n == 0 || (s->start = PyMem_Malloc(2 * n * sizeof(Index))) == NULL) return 0;
    s->rows = s->start + n;
    for (Index k = 0; k < n; k++) {
        Index rows = PyLong_AsSsize_t(PyList_GET_ITEM(sizes, k)), to = reverse == Py_True ? n - 1 - k : k;
        if (rows < 1) { PyErr_Clear(); most = -1; break; }
        s->start[to] = s->total, s->rows[to] = rows, s->total += rows;
        if (rows > most) most = rows;
    }
    if (most == s->batch && s->units > 0) return 1;
    free_sequence(s);
    return 0;
}

void free_sequence(Sequence *s) { PyMem_Free(s->start); }

PyArrayObject *hold(Held *held, PyArrayObject *a) {
    if (a == NULL) held->missing = 1;
    else held->array[held->count++] = a;
    return a;
}

void let_go(Held *held) {
    while (held->count) Py_DECREF(held->array[--held->count]);
}

static const float *numbers(Held *held, PyObject *x, int ndim, Index rows, Index columns) {
    PyArrayObject *a = (PyArrayObject *)x;
    int fits = is_array(x) && PyArray_TYPE(a) == NPY_FLOAT && PyArray_NDIM(a) == ndim &&
               PyArray_DIM(a, ndim - 1) == columns && (ndim == 1 || PyArray_DIM(a, 0) == rows);
    a = hold(held, fits ? PyArray_GETCONTIGUOUS(a) : NULL);
    return a ? floats(a) : NULL;
}
const float *take(Held *held, PyObject *x, Index rows, Index columns) { return numbers(held, x, 2, rows, columns); }
const float *take_row(Held *held, PyObject *x, Index n) { return numbers(held, x, 1, 1, n); }

float *vectors_of_memory(Index vectors, void **memory) {
    *memory = malloc((vectors * LANES + 16) * sizeof(float));
    return (float *)(((uintptr_t)*memory + 63) & ~(uintptr_t)63);
}

INLINE void product(const int rows, const int width, Index n, const float *a, Index lda, const float *b, float *y) {
    vf s[MOST_ROWS][MOST_WIDTH]; /* sizes that are no parameters, so that all of it goes to registers */
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < width; v++) s[r][v] = v_load(y + (r * width + v) * LANES);
    for (Index k = 0; k < n; k++, b += width * LANES) {
        vf c[MOST_WIDTH];
#pragma GCC unroll 8
        for (int v = 0; v < width; v++) c[v] = v_load(b + v * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            vf x = v_all(a[r * lda + k]);
#pragma GCC unroll 8
            for (int v = 0; v < width; v++) s[r][v] = v_fma(x, c[v], s[r][v]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < width; v++) v_store(y + (r * width + v) * LANES, s[r][v]);
}

void add_product(int rows, int width, Index n, const float *a, Index lda, const float *b, float *y) {
#define BY(r, width) case r: product(r, width, n, a, lda, b, y); break;
#define MORE_ROWS(width) BY(1, width) BY(2, width) BY(3, width) BY(4, width) BY(5, width) BY(6, width)
#define ALL_ROWS(width) MORE_ROWS(width) BY(7, width) BY(8, width)
    switch (width) {
        case 1: switch (rows) { ALL_ROWS(1) } break;
        case 2: switch (rows) { ALL_ROWS(2) } break;
        case 3: switch (rows) { ALL_ROWS(3) } break;
        default: switch (rows) { MORE_ROWS(4) } break;
    }
}

int width_at(Index vector, Index vectors) {
    Index left = vectors - vector;
    return left == 4 ? 2 : left < WIDTH ? (int)left : WIDTH;
}

void cut_columns(const float *b, Index rows, Index n, float *panels) {
    Index vectors = VECTORS(n);
    for (Index v = 0; v < vectors; v += width_at(v, vectors)) {
        Index width = width_at(v, vectors) * LANES, first = v * LANES, here = n - first < width ? n - first : width;
        for (Index k = 0; k < rows; k++, panels += width) {
            memcpy(panels, b + k * n + first, here * sizeof(float));
            memset(panels + here, 0, (width - here) * sizeof(float));
        }
    }
}
