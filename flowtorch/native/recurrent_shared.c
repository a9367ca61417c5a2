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

PyArrayObject *matrix(PyObject *x, Index rows, Index columns) {
    PyArrayObject *a = (PyArrayObject *)x;
    if (!is_array(x) || PyArray_TYPE(a) != NPY_FLOAT || PyArray_NDIM(a) != 2 || PyArray_DIM(a, 0) != rows ||
        PyArray_DIM(a, 1) != columns) return NULL;
    return PyArray_GETCONTIGUOUS(a);
}

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
#define ROWS(r, width) case r: product(r, width, n, a, lda, b, y); break;
#define SOME_ROWS(width) ROWS(1, width) ROWS(2, width) ROWS(3, width)
#define MORE_ROWS(width) SOME_ROWS(width) ROWS(4, width) ROWS(5, width) ROWS(6, width)
#define ALL_ROWS(width) MORE_ROWS(width) ROWS(7, width) ROWS(8, width)
    switch (width) {
        case 1: switch (rows) { ALL_ROWS(1) } break;
        case 2: switch (rows) { ALL_ROWS(2) } break;
        case 3: switch (rows) { ALL_ROWS(3) } break;
        default: switch (rows) { MORE_ROWS(4) } break;
    }
}
