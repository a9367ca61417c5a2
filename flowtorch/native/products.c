/* Products of large matrices by panels (tiles.h): the second factor is copied into panels, a slice of its rows after the
 * other, and the first one is read as it lies, in blocks of rows that stay in the cache. */
#include "products.h"
#include "tiles.h"
#include <stdatomic.h>
#include <stdlib.h>

#define BLOCK (1 << 17) /* numbers in a block of the first factor */

typedef struct {
    const float *a, *b;
    float *c, *panels; /* panels: [slice][panel][row of the slice][column of the panel] */
    Index m, n, k;
    Index a_row, a_column, b_row, b_column; /* distances, in numbers: one of each factor is 1 */
    Index count, rows; /* panels; rows of a block */
    int packed;        /* whether blocks are copied */
    atomic_int failed;
} Product;

INLINE Index least(Index a, Index b) { return a < b ? a : b; }
INLINE Index vectors_of(const Product *p, Index panel) { return (least(p->n - panel * PANEL, PANEL) + LANES - 1) / LANES; }
INLINE float *panel_of(const Product *p, Index panel, Index k) {
    return p->panels + k * p->count * PANEL + panel * PANEL * least(p->k - k, TILE_SUM);
}

static void fill_panels(void *context, Index begin, Index end) {
    const Product *p = context;
    for (Index item = begin; item < end; item++) {
        Index panel = item % p->count, k = item / p->count * TILE_SUM, deep = least(p->k - k, TILE_SUM);
        Index line = vectors_of(p, panel) * LANES, width = least(p->n - panel * PANEL, PANEL);
        float *to = panel_of(p, panel, k);
        const float *from = p->b + k * p->b_row + panel * PANEL * p->b_column;
        if (p->b_column != 1) {
            if (width < line) memset(to, 0, deep * line * sizeof(float));
            transpose_into(to, line, from, p->b_column, width, deep);
        } else
            for (Index t = 0; t < deep; t++, to += line, from += p->b_row)
                for (Index j = 0; j < line; j += LANES)
                    v_store(to + j, width - j < LANES ? v_load_part(from + j, width - j, 0) : v_load(from + j));
    }
}

/* Rows [first, stop) of the first factor, which lies transposed, slice by slice. */
static void pack_rows(const Product *p, Index first, Index stop, float *to) {
    for (Index k = 0; k < p->k; k += TILE_SUM) {
        Index deep = least(p->k - k, TILE_SUM);
        const float *from = p->a + first * p->a_row + k * p->a_column;
        transpose_into(to, deep, from, p->a_column, deep, stop - first);
        to += deep * (stop - first);
    }
}

/* A panel against `count` rows from row `first` on, in the slice at k. */
static void compute_tile(const Product *p, Index panel, Index first, Index count, Index k, TileRows *rows) {
    _Alignas(64) float room[TILE_ROWS * PANEL];
    Index width = least(p->n - panel * PANEL, PANEL), vectors = vectors_of(p, panel);
    float *to = p->c + first * p->n + panel * PANEL;
    if (width == vectors * LANES) {
        tile_product(count, vectors, rows, panel_of(p, panel, k), to, p->n, k > 0);
        return;
    }
    tile_product(count, vectors, rows, panel_of(p, panel, k), room, PANEL, 0);
    for (Index i = 0; i < count; i++)
        for (Index j = 0; j < width; j++) to[i * p->n + j] = k > 0 ? to[i * p->n + j] + room[i * PANEL + j] : room[i * PANEL + j];
}

/* All panels against the rows [first, stop), which lie packed if there is room for that. */
static void compute_block(const Product *p, Index first, Index stop, float *room) {
    Index count = stop - first, tiles = tiles_of(count);
    if (room) pack_rows(p, first, stop, room);
    for (Index panel = 0; panel < p->count; panel++)
        for (Index k = 0; k < p->k; k += TILE_SUM) {
            Index deep = least(p->k - k, TILE_SUM), line = room ? deep : p->a_row;
            const float *a = room ? room + k * count : p->a + first * p->a_row + k * p->a_column;
            int32_t off[TILE_ROWS];
            for (int i = 0; i < TILE_ROWS; i++) off[i] = (int32_t)(i * line);
            for (Index tile = 0; tile < tiles; tile++) {
                Index row = tile_begin(count, tile);
                TileRows rows = {a + row * line, off, 1, 1, deep, 0, 0, room ? 1 : p->a_column};
                compute_tile(p, panel, first + row, tile_begin(count, tile + 1) - row, k, &rows);
            }
        }
}

static void compute_blocks(void *context, Index begin, Index end) {
    Product *p = context;
    float *room = p->packed ? aligned_alloc(64, p->rows * p->k * sizeof(float) / 64 * 64 + 64) : NULL;
    if (p->packed && room == NULL) atomic_store(&p->failed, 1);
    else for (Index block = begin; block < end; block++)
        compute_block(p, block * p->rows, least(p->m, (block + 1) * p->rows), room);
    free(room);
}

/* 0 when there is no memory. */
static int compute(Product *p) {
    Index slices = (p->k + TILE_SUM - 1) / TILE_SUM, parts = threads_get() > 1 ? 2 * threads_get() : 1;
    p->count = (p->n + PANEL - 1) / PANEL;
    p->rows = tiles_of(least((p->m + parts - 1) / parts, BLOCK / p->k + TILE_ROWS)) * TILE_ROWS;
    p->packed = p->a_column > 256; /* a row's numbers so far apart are pages, and want the same places of the cache */
    p->panels = aligned_alloc(64, p->count * PANEL * p->k * sizeof(float) / 64 * 64 + 64);
    if (p->panels == NULL) return 0;
    parallel_for(p->count * slices, GRAIN(60000, PANEL * TILE_SUM), fill_panels, p);
    parallel_for((p->m + p->rows - 1) / p->rows, GRAIN(1000000, p->n * p->rows * p->k), compute_blocks, p);
    free(p->panels);
    return !p->failed;
}

/* ---- which products */

/* The distances of rows and columns in numbers, of a matrix that lies in order or transposed. */
static int read_distances(PyArrayObject *a, Index *row, Index *column) {
    if (!is_array((PyObject *)a) || PyArray_TYPE(a) != NPY_FLOAT || PyArray_NDIM(a) != 2) return 0;
    Index r = PyArray_STRIDE(a, 0), c = PyArray_STRIDE(a, 1), size = sizeof(float);
    *row = r / size, *column = c / size;
    if (r % size || c % size || r * TILE_ROWS > INT32_MAX) return 0;
    return (c == size && r >= size * PyArray_DIM(a, 1)) || (r == size && c >= size * PyArray_DIM(a, 0));
}

/* Whether panels are the faster way: with vectors of 16 numbers. BLAS has kernels of its own for small products, but not
 * where the second factor lies transposed. */
static int is_large(const Product *p) {
    Index least_work = p->b_column == 1 ? 1 << 20 : 1 << 18;
    return WIDE && p->m >= 48 && p->n >= 2 * LANES && p->k >= 32 && p->m * p->n * p->k >= least_work;
}

PyArrayObject *matrix_product(PyArrayObject *a, PyArrayObject *b) {
    Product p = {0};
    if (read_distances(a, &p.a_row, &p.a_column) && read_distances(b, &p.b_row, &p.b_column)) {
        p.m = PyArray_DIM(a, 0), p.k = PyArray_DIM(a, 1), p.n = PyArray_DIM(b, 1);
        if (PyArray_DIM(b, 0) == p.k && is_large(&p)) {
            Index shape[2] = {p.m, p.n};
            PyArrayObject *c = new_array(NPY_FLOAT, 2, shape);
            if (c == NULL) return NULL;
            p.a = (const float *)PyArray_DATA(a), p.b = (const float *)PyArray_DATA(b), p.c = (float *)PyArray_DATA(c);
            Py_INCREF(a), Py_INCREF(b); /* their tensors may get other memory meanwhile */
            int done = compute(&p);
            Py_DECREF(a), Py_DECREF(b);
            if (done) return c;
            Py_DECREF(c);
        }
    }
    return (PyArrayObject *)PyArray_MatrixProduct2((PyObject *)a, (PyObject *)b, NULL);
}
