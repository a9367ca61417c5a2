/* Convolution in one and two dimensions, forward and backward, without gathering windows.
 *
 * The padded input lies in planes that a window's positions step through by 1: with stride s there are s * s planes, one
 * for each remainder of the coordinates. Output positions are numbered with the planes' row length, so that the input
 * of tap k for neighbouring outputs is a run of memory at a fixed distance, across the ends of rows too; what is
 * computed between the end of an output row and that of the plane's is thrown away. The adjoint in the input is such a
 * correlation itself, one for each remainder; the adjoint in the weight is one of dot products of the same runs. */
#include "conv.h"
#include <stdlib.h>

#if WIDE
#define TILE 14 /* output channels whose sums stay in registers, with two vectors of positions */
#else
#define TILE 6
#endif

static void planes_of(Geometry *g) {
    g->rows = (g->size[0] + 2 * g->padding[0] + g->stride[0] - 1) / g->stride[0];
    g->pitch = (g->size[1] + 2 * g->padding[1] + g->stride[1] - 1) / g->stride[1];
    g->plane = g->rows * g->pitch * g->stride[0] * g->stride[1];
    for (int k = 0; k < 2; k++) {
        if (g->stride[k] > 64) g->read[k] = ~(uint64_t)0;
        else for (Index i = 0; i < g->kernel[k]; i++) g->read[k] |= (uint64_t)1 << i * g->dilation[k] % g->stride[k];
    }
}

static int is_read(const Geometry *g, int k, Index remainder) { return g->read[k] >> (remainder & 63) & 1; }

static int all_are_read(const Geometry *g, int k) {
    return g->stride[k] < 64 && g->read[k] == ((uint64_t)1 << g->stride[k]) - 1;
}

/* ---- the padded planes of channels */

void fill_planes(void *context, Index begin, Index end) {
    const Fill *w = context;
    const Geometry *g = w->g;
    Index sy = g->stride[0], sx = g->stride[1];
    for (Index c = begin; c < end; c++) {
        const float *x = w->x + c * g->size[0] * g->size[1];
        float *to = w->planes + c * g->plane;
        memset(to, 0, g->plane * sizeof(float));
        for (Index y = 0; y < g->size[0]; y++, x += g->size[1]) {
            Index v = y + g->padding[0], line = (v % sy * sx * g->rows + v / sy) * g->pitch;
            if (!is_read(g, 0, v % sy)) continue;
            if (sx == 1) memcpy(to + line + g->padding[1], x, g->size[1] * sizeof(float));
            else
                for (Index r = 0; r < sx; r++) {
                    if (!is_read(g, 1, r)) continue;
                    Index first = (r - g->padding[1] % sx + sx) % sx; /* columns whose padded place has remainder r */
                    float *row = to + line + r * g->rows * g->pitch + (first + g->padding[1]) / sx;
                    for (Index j = first; j < g->size[1]; j += sx) *row++ = x[j];
                }
        }
    }
}

/* ---- correlation: y[f][p] = sum over k of w[k][f] * x[off[k] + p] */

typedef struct {
    const float *x, *w, *bias;
    float *y;
    const int32_t *off;
    Index k, f, tiles, groups, chunks;
    Index pitch, rows, columns;          /* outputs that count: columns of each row */
    Index x_image, x_group;              /* steps, in numbers */
    Index y_image, y_channel, y_row, y_column;
} Correlation;

INLINE void block(const int F, const int V, const float *w, Index k, const int32_t *off, const float *x, float *y) {
    vf a[TILE][4]; /* sizes that are no parameters, so that all of it goes to registers */
#pragma GCC unroll 16
    for (int f = 0; f < F; f++)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) a[f][v] = v_all(0);
    for (Index t = 0; t < k; t++, w += F) {
        const float *at = x + off[t];
        vf b[4];
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) b[v] = v_load(at + v * LANES);
#pragma GCC unroll 16
        for (int f = 0; f < F; f++)
#pragma GCC unroll 8
            for (int v = 0; v < V; v++) a[f][v] = v_fma(v_all(w[f]), b[v], a[f][v]);
    }
#pragma GCC unroll 16
    for (int f = 0; f < F; f++)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) v_store(y + f * CHUNK + v * LANES, a[f][v]);
}

#define CHANNELS(F, V)                                                                                                \
    case F:                                                                                                           \
        for (Index p = 0; p < n; p += V * LANES) block(F, V, w, k, off, x + p, y + p);                                \
        break;

static void chunk(Index f, const float *w, Index k, const int32_t *off, const float *x, float *y, Index n) {
    switch (f) {
        CHANNELS(1, 4) CHANNELS(2, 4) CHANNELS(3, 4) CHANNELS(4, 2) CHANNELS(5, 2) CHANNELS(6, 2)
#if WIDE
        CHANNELS(7, 2) CHANNELS(8, 2) CHANNELS(9, 2) CHANNELS(10, 2) CHANNELS(11, 2) CHANNELS(12, 2) CHANNELS(13, 2)
        CHANNELS(14, 2)
#endif
    }
}

/* The channels of tile number `tile`, of as equal tiles as there can be. */
INLINE Index tile_start(const Correlation *w, Index tile) { return w->f * tile / w->tiles; }

static void correlate(void *context, Index begin, Index end) {
    const Correlation *w = context;
    _Alignas(64) float y[TILE * CHUNK];
    for (Index item = begin; item < end; item++) {
        Index rest = item, part = rest % w->chunks, tile, group, image;
        rest /= w->chunks, tile = rest % w->tiles, rest /= w->tiles, group = rest % w->groups, image = rest / w->groups;
        Index first = tile_start(w, tile), f = tile_start(w, tile + 1) - first;
        Index p = part * CHUNK, total = w->rows * w->pitch, n = total - p < CHUNK ? total - p : CHUNK;
        const float *weights = w->w + (group * w->f + first) * w->k;
        chunk(f, weights, w->k, w->off, w->x + image * w->x_image + group * w->x_group + p, y, n);
        for (Index i = 0; i < f; i++) {
            Index channel = group * w->f + first + i;
            float bias = w->bias ? w->bias[channel] : 0;
            float *out = w->y + image * w->y_image + channel * w->y_channel;
            for (Index at = p; at < p + n;) {
                Index row = at / w->pitch, column = at % w->pitch;
                Index stop = w->columns < column + p + n - at ? w->columns : column + p + n - at;
                const float *from = y + i * CHUNK + (at - p) - column;
                float *to = out + row * w->y_row;
                if (w->y_column == 1) for (Index j = column; j < stop; j++) to[j] = from[j] + bias;
                else for (Index j = column; j < stop; j++) to[j * w->y_column] = from[j] + bias;
                at += w->pitch - column;
            }
        }
    }
}

/* Images whose planes are made at a time, to bound the memory. */
static Index images_at_once(Index n, Index image) {
    Index most = (1 << 21) / (image + 1) + 1;
    return most < n ? most : n;
}

static void correlate_images(Correlation *w, Index images) {
    w->chunks = (w->rows * w->pitch + CHUNK - 1) / CHUNK;
    Index work = (w->f / w->tiles + 1) * w->k * (w->rows * w->pitch / w->chunks + 1);
    parallel_for(images * w->groups * w->tiles * w->chunks, GRAIN(400000, work), correlate, w);
}

static void set_tiles(Correlation *w, Index f) {
    w->f = f, w->tiles = (f + TILE - 1) / TILE;
}

/* Weights as the tiles take them: [group][tile][k][channel of the tile]; weight(group, f, k) by its offset. */
#define PACK(w, packed, WEIGHT)                                                                                       \
    for (Index group = 0; group < (w).groups; group++)                                                                \
        for (Index tile = 0; tile < (w).tiles; tile++) {                                                              \
            Index first = tile_start(&(w), tile), count = tile_start(&(w), tile + 1) - first;                         \
            float *to = (packed) + (group * (w).f + first) * (w).k;                                                   \
            for (Index t = 0; t < (w).k; t++)                                                                         \
                for (Index i = 0; i < count; i++) { Index f = first + i; *to++ = WEIGHT; }                            \
        }

/* ---- arguments */

/* One or two numbers as two: one dimension is a row. `missing` stands for the other. */
static int read_pair(PyObject *value, int dims, Index missing, Index *pair) {
    if (!PyTuple_CheckExact(value) && !PyList_CheckExact(value)) return 0;
    if (PySequence_Fast_GET_SIZE(value) != dims) return 0;
    pair[0] = missing;
    for (int k = 0; k < dims; k++) {
        PyObject *item = PySequence_Fast_GET_ITEM(value, k);
        if (!PyLong_CheckExact(item)) return 0;
        pair[2 - dims + k] = PyLong_AsSsize_t(item);
    }
    return 1;
}

static void read_size(PyArrayObject *a, int dims, Index *pair) {
    pair[0] = 1;
    for (int k = 0; k < dims; k++) pair[2 - dims + k] = PyArray_DIM(a, 2 + k);
}

static int read_options(PyObject *const *args, int dims, Geometry *g) {
    if (!read_pair(args[0], dims, 1, g->stride) || !read_pair(args[1], dims, 0, g->padding) ||
        !read_pair(args[2], dims, 1, g->dilation) || !PyLong_CheckExact(args[3])) return 0;
    g->groups = PyLong_AsSsize_t(args[3]);
    for (int k = 0; k < 2; k++) if (g->stride[k] < 1 || g->dilation[k] < 1 || g->padding[k] < 0) return 0;
    return g->groups > 0;
}

/* Whether the geometry has work in it, and not that of a plain product of matrices, which BLAS does. */
static int is_ours(const Geometry *g) {
    for (int k = 0; k < 2; k++) {
        Index reach = (g->out[k] - 1) * g->stride[k] + (g->kernel[k] - 1) * g->dilation[k] + 1;
        if (g->out[k] < 1 || g->kernel[k] < 1 || reach > g->size[k] + 2 * g->padding[k]) return 0;
    }
    if (g->n < 1 || g->c < 1 || g->f < 1 || g->c * g->plane > (1 << 30)) return 0;
    int pointwise = g->kernel[0] * g->kernel[1] == 1 && g->stride[0] * g->stride[1] == 1 &&
                    g->padding[0] + g->padding[1] == 0;
    return !pointwise;
}

static int all_finite(const float *x, Index n) {
    int32_t infinite = 0, bits;
    for (Index k = 0; k < n; k++) {
        memcpy(&bits, x + k, sizeof bits);
        infinite |= (bits & 0x7f800000) == 0x7f800000;
    }
    return !infinite;
}

/* The result of a computation that went well; else NULL, with its exception. */
static PyObject *either(int done, PyArrayObject *out) {
    if (!done) Py_CLEAR(out);
    return (PyObject *)out;
}

/* An operand in the order of its dimensions, also by the strides along dimensions of one element. */
static PyArrayObject *planar(PyObject *x) {
    PyArrayObject *a = single(x);
    return a != NULL && channels_lag(a) <= 0 ? a : NULL;
}

/* ---- convolution(input, weight, bias, stride, padding, dilation, groups, size) */

static PyObject *forward(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyArrayObject *x, *weight, *bias = NULL;
    Geometry g = {0};
    if (count != 8 || names || (x = planar(args[0])) == NULL || (weight = planar(args[1])) == NULL) return NULL;
    if (args[2] != Py_None && (bias = single(args[2])) == NULL) return NULL;
    int dims = PyArray_NDIM(x) - 2;
    if ((dims != 1 && dims != 2) || PyArray_NDIM(weight) != dims + 2 || !read_options(args + 3, dims, &g)) return NULL;
    read_size(x, dims, g.size), read_size(weight, dims, g.kernel);
    g.n = PyArray_DIM(x, 0), g.c = PyArray_DIM(weight, 1), g.f = PyArray_DIM(weight, 0) / g.groups;
    if (PyArray_DIM(x, 1) != g.c * g.groups || PyArray_DIM(weight, 0) != g.f * g.groups ||
        (bias && PyArray_SIZE(bias) != PyArray_DIM(weight, 0))) return NULL;
    for (int k = 0; k < 2; k++)
        g.out[k] = (g.size[k] + 2 * g.padding[k] - g.dilation[k] * (g.kernel[k] - 1) - 1) / g.stride[k] + 1;
    if (args[7] != Py_None && !read_pair(args[7], dims, 1, g.out)) return NULL;
    planes_of(&g);
    if (!is_ours(&g)) return NULL;

    Index shape[4] = {g.n, g.f * g.groups, g.out[0], g.out[1]}, area = g.kernel[0] * g.kernel[1], taps = g.c * area;
    if (dims == 1) shape[2] = g.out[1];
    Index channels = g.c * g.groups, image = channels * g.plane, together = images_at_once(g.n, image);
    PyArrayObject *out = new_array(NPY_FLOAT, dims + 2, shape);
    if (out && columns_suit(&g))
        return either(columns_forward(&g, floats(x), weight, bias ? floats(bias) : NULL, floats(out)), out);
    float *planes = malloc((together * image + SLACK) * sizeof(float)), *packed = malloc(PyArray_SIZE(weight) * sizeof(float));
    int32_t *off = malloc(taps * sizeof(int32_t));
    if (!out || !planes || !packed || !off) {
        free(planes), free(packed), free(off);
        Py_XDECREF(out);
        return PyErr_NoMemory();
    }
    memset(planes + together * image, 0, SLACK * sizeof(float));
    for (Index t = 0; t < taps; t++)
        off[t] = (int32_t)(t / area * g.plane + tap(&g, t % area / g.kernel[1], t % g.kernel[1]));
    Correlation w = {.x = planes, .w = packed, .bias = bias ? floats(bias) : NULL, .off = off, .k = taps,
                     .groups = g.groups, .pitch = g.pitch, .rows = g.out[0], .columns = g.out[1], .x_image = image,
                     .x_group = g.c * g.plane, .y_channel = g.out[0] * g.out[1], .y_row = g.out[1], .y_column = 1};
    set_tiles(&w, g.f);
    w.y_image = w.y_channel * g.f * g.groups;
    const float *from = floats(weight);
    PACK(w, packed, from[(group * w.f + f) * taps + t])
    for (Index n = 0; n < g.n; n += together) {
        Index here = g.n - n < together ? g.n - n : together;
        Fill fill = {&g, floats(x) + n * channels * g.size[0] * g.size[1], planes};
        parallel_for(here * channels, GRAIN(60000, g.plane), fill_planes, &fill);
        w.y = floats(out) + n * w.y_image;
        correlate_images(&w, here);
    }
    free(planes), free(packed), free(off);
    return (PyObject *)out;
}

/* ---- convolution_input(grad, weight, size, stride, padding, dilation, groups) */

static PyObject *adjoint_input(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyArrayObject *grad, *weight;
    Geometry g = {0}, e = {0}; /* of the convolution; of the gradient's own planes */
    if (count != 7 || names || (grad = planar(args[0])) == NULL || (weight = planar(args[1])) == NULL) return NULL;
    int dims = PyArray_NDIM(grad) - 2;
    if ((dims != 1 && dims != 2) || PyArray_NDIM(weight) != dims + 2 || !read_pair(args[2], dims, 1, g.size) ||
        !read_options(args + 3, dims, &g)) return NULL;
    read_size(grad, dims, g.out), read_size(weight, dims, g.kernel);
    g.n = PyArray_DIM(grad, 0), g.c = PyArray_DIM(weight, 1), g.f = PyArray_DIM(weight, 0) / g.groups;
    if (PyArray_DIM(grad, 1) != g.f * g.groups || PyArray_DIM(weight, 0) != g.f * g.groups) return NULL;
    planes_of(&g);
    if (!is_ours(&g)) return NULL;
    if (!all_finite(floats(weight), PyArray_SIZE(weight))) return NULL; /* inf must not meet zeros around the gradient */
    Index shape[4] = {g.n, g.c * g.groups, g.size[0], g.size[1]};
    if (dims == 1) shape[2] = g.size[1];
    int whole = columns_suit(&g) || (all_are_read(&g, 0) && all_are_read(&g, 1)); /* every number gets its sum */
    PyArrayObject *out = whole ? new_array(NPY_FLOAT, dims + 2, shape)
                               : (PyArrayObject *)PyArray_ZEROS(dims + 2, shape, NPY_FLOAT, 0);
    if (out && columns_suit(&g)) return either(columns_input(&g, floats(grad), weight, floats(out)), out);

    /* A padded coordinate u = s * i + r gets w[k] * grad[i - m] where d * k = s * m + r. */
    Index area = g.kernel[0] * g.kernel[1], padded[2] = {g.rows, g.pitch};
    for (int k = 0; k < 2; k++) {
        e.size[k] = g.out[k], e.stride[k] = e.kernel[k] = 1;
        e.padding[k] = g.dilation[k] * (g.kernel[k] - 1) / g.stride[k];
        Index need = padded[k] - g.out[k]; /* room behind, so that every i has its whole window */
        if (need > e.padding[k]) e.padding[k] = need;
    }
    planes_of(&e);
    Index channels = g.f * g.groups, image = channels * e.plane, together = images_at_once(g.n, image);
    float *planes = malloc((together * image + SLACK) * sizeof(float));
    float *packed = malloc((PyArray_SIZE(weight) + 1) * sizeof(float));
    int32_t *off = malloc(g.f * area * sizeof(int32_t)), *taps = malloc(area * sizeof(int32_t));
    if (!out || !planes || !packed || !off || !taps || g.f * e.plane > (1 << 30)) {
        free(planes), free(packed), free(off), free(taps);
        Py_XDECREF(out);
        return PyErr_NoMemory();
    }
    memset(planes + together * image, 0, SLACK * sizeof(float));
    const float *from = floats(weight);
    for (Index n = 0; n < g.n; n += together) {
        Index here = g.n - n < together ? g.n - n : together;
        Fill fill = {&e, floats(grad) + n * channels * g.out[0] * g.out[1], planes};
        parallel_for(here * channels, GRAIN(60000, e.plane), fill_planes, &fill);
        for (Index ry = 0; ry < g.stride[0]; ry++)
            for (Index rx = 0; rx < g.stride[1]; rx++) {
                Index own = 0;
                for (Index i = 0; i < g.kernel[0]; i++)
                    for (Index j = 0; j < g.kernel[1]; j++) {
                        Index y = i * g.dilation[0] - ry, x = j * g.dilation[1] - rx;
                        if (y % g.stride[0] || x % g.stride[1]) continue;
                        /* a remainder above d * k gives m = 0 only where they are equal */
                        off[own] = (int32_t)((e.padding[0] - y / g.stride[0]) * e.pitch + e.padding[1] - x / g.stride[1]);
                        taps[own++] = (int32_t)(i * g.kernel[1] + j);
                    }
                if (own == 0) continue;
                for (Index t = g.f * own - 1; t >= 0; t--) off[t] = (int32_t)(t / own * e.plane) + off[t % own];
                /* i counts from the first padded coordinate of this remainder that lies inside */
                Index r[2] = {ry, rx}, i0[2], counts[2], start[2];
                for (int k = 0; k < 2; k++) {
                    Index inside = g.padding[k] - r[k];
                    i0[k] = inside > 0 ? (inside + g.stride[k] - 1) / g.stride[k] : 0;
                    start[k] = i0[k] * g.stride[k] + r[k] - g.padding[k];
                    counts[k] = start[k] < g.size[k] ? (g.size[k] - start[k] + g.stride[k] - 1) / g.stride[k] : 0;
                }
                if (counts[0] == 0 || counts[1] == 0) continue;
                Correlation w = {.x = planes + i0[0] * e.pitch + i0[1], .w = packed, .off = off, .k = g.f * own,
                                 .groups = g.groups, .pitch = e.pitch, .rows = counts[0], .columns = counts[1],
                                 .x_image = image, .x_group = g.f * e.plane, .y_channel = g.size[0] * g.size[1],
                                 .y_row = g.size[1] * g.stride[0], .y_column = g.stride[1]};
                set_tiles(&w, g.c);
                w.y_image = w.y_channel * g.c * g.groups;
                PACK(w, packed, from[((group * g.f + t / own) * g.c + f) * area + taps[t % own]])
                w.y = floats(out) + n * w.y_image + start[0] * g.size[1] + start[1];
                correlate_images(&w, here);
            }
    }
    free(planes), free(packed), free(off), free(taps);
    return (PyObject *)out;
}

/* ---- convolution_weight(grad, input, kernel, stride, padding, dilation, groups) */

#define DOT_F 4
#define DOT_K 6
#define DOT_RUN 2048 /* positions whose products are summed in float32 */

typedef struct {
    const float *grad, *planes;
    const int32_t *off;
    double *sums; /* [group][f][k] */
    Index images, f, k, tiles, run, grad_channel, grad_image, plane_image, plane_group, groups;
} Products;

/* The runs of several images, one after the other: `count` numbers of each. */
typedef struct { const float *g, *x; Index images, g_image, x_image, g_channel, count; } Runs;

INLINE void dots(const int F, const int K, const Runs *r, const int32_t *off, double *sums, Index line) {
    vf a[DOT_F][DOT_K];
#pragma GCC unroll 8
    for (int f = 0; f < F; f++)
#pragma GCC unroll 8
        for (int k = 0; k < K; k++) a[f][k] = v_all(0);
    for (Index n = 0; n < r->images; n++) {
        const float *g = r->g + n * r->g_image, *x = r->x + n * r->x_image;
        const float *at[DOT_K];
#pragma GCC unroll 8
        for (int k = 0; k < K; k++) at[k] = x + off[k];
        Index step = r->g_channel, count = r->count;
        for (Index p = 0; p < count; p += LANES) {
            vf b[DOT_F];
#pragma GCC unroll 8
            for (int f = 0; f < F; f++) b[f] = v_load(g + f * step + p);
#pragma GCC unroll 8
            for (int k = 0; k < K; k++) {
                vf c = v_load(at[k] + p);
#pragma GCC unroll 8
                for (int f = 0; f < F; f++) a[f][k] = v_fma(b[f], c, a[f][k]);
            }
        }
    }
#pragma GCC unroll 8
    for (int f = 0; f < F; f++)
#pragma GCC unroll 8
        for (int k = 0; k < K; k++) sums[f * line + k] += v_sum(a[f][k]);
}

#define DOTS(F, K) case F * 8 + K: dots(F, K, r, off, sums, line); break;
#define DOTS_OF(F) DOTS(F, 1) DOTS(F, 2) DOTS(F, 3) DOTS(F, 4) DOTS(F, 5) DOTS(F, 6)

static void some_dots(Index f, Index k, const Runs *r, const int32_t *off, double *sums, Index line) {
    switch (f * 8 + k) { DOTS_OF(1) DOTS_OF(2) DOTS_OF(3) DOTS_OF(4) }
}

static void products(void *context, Index begin, Index end) {
    const Products *w = context;
    Index together = DOT_RUN / w->run + 1; /* images whose products are summed before the sums leave the registers */
    for (Index item = begin; item < end; item++) {
        Index group = item / w->tiles, tile = item % w->tiles;
        Index first = w->f * tile / w->tiles, f = w->f * (tile + 1) / w->tiles - first;
        double *sums = w->sums + (group * w->f + first) * w->k;
        for (Index n = 0; n < w->images; n += together)
            for (Index p = 0; p < w->run; p += DOT_RUN) {
                Runs r = {.g = w->grad + n * w->grad_image + (group * w->f + first) * w->grad_channel + p,
                          .x = w->planes + n * w->plane_image + group * w->plane_group + p,
                          .images = w->images - n < together ? w->images - n : together, .g_image = w->grad_image,
                          .x_image = w->plane_image, .g_channel = w->grad_channel,
                          .count = w->run - p < DOT_RUN ? w->run - p : DOT_RUN};
                for (Index k = 0; k < w->k; k += DOT_K)
                    some_dots(f, w->k - k < DOT_K ? w->k - k : DOT_K, &r, w->off + k, sums + k, w->k);
            }
    }
}

typedef struct { const float *x; float *y; Index rows, columns, pitch, step; } Spread;

/* The gradient's rows at the planes' pitch, zeros between them. */
static void spread(void *context, Index begin, Index end) {
    const Spread *w = context;
    for (Index c = begin; c < end; c++) {
        float *y = w->y + c * w->step;
        memset(y, 0, w->step * sizeof(float));
        for (Index r = 0; r < w->rows; r++)
            memcpy(y + r * w->pitch, w->x + (c * w->rows + r) * w->columns, w->columns * sizeof(float));
    }
}

static PyObject *adjoint_weight(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyArrayObject *grad, *x;
    Geometry g = {0};
    if (count != 7 || names || (grad = planar(args[0])) == NULL || (x = planar(args[1])) == NULL) return NULL;
    int dims = PyArray_NDIM(grad) - 2;
    if ((dims != 1 && dims != 2) || PyArray_NDIM(x) != dims + 2 || !read_pair(args[2], dims, 1, g.kernel) ||
        !read_options(args + 3, dims, &g)) return NULL;
    read_size(grad, dims, g.out), read_size(x, dims, g.size);
    g.n = PyArray_DIM(grad, 0), g.c = PyArray_DIM(x, 1) / g.groups, g.f = PyArray_DIM(grad, 1) / g.groups;
    if (PyArray_DIM(x, 0) != g.n || PyArray_DIM(x, 1) != g.c * g.groups || PyArray_DIM(grad, 1) != g.f * g.groups) return NULL;
    planes_of(&g);
    if (!is_ours(&g)) return NULL;

    Index area = g.kernel[0] * g.kernel[1], taps = g.c * area, channels = g.c * g.groups, fs = g.f * g.groups;
    Index run = g.out[0] * g.pitch, step = (run + LANES - 1) / LANES * LANES;
    Index image = channels * g.plane, together = images_at_once(g.n, image + fs * step);
    Index shape[4] = {fs, g.c, g.kernel[0], g.kernel[1]};
    if (dims == 1) shape[2] = g.kernel[1];
    PyArrayObject *out = new_array(NPY_FLOAT, dims + 2, shape);
    if (out && columns_suit(&g)) return either(columns_weight(&g, floats(grad), floats(x), out), out);
    float *planes = malloc((together * image + SLACK) * sizeof(float));
    float *rows = malloc((together * fs * step + SLACK) * sizeof(float));
    int32_t *off = malloc(taps * sizeof(int32_t));
    double *sums = calloc(fs * taps, sizeof(double));
    if (!out || !planes || !rows || !off || !sums) {
        free(planes), free(rows), free(off), free(sums);
        Py_XDECREF(out);
        return PyErr_NoMemory();
    }
    memset(planes + together * image, 0, SLACK * sizeof(float));
    for (Index t = 0; t < taps; t++)
        off[t] = (int32_t)(t / area * g.plane + tap(&g, t % area / g.kernel[1], t % g.kernel[1]));
    Products w = {.grad = rows, .planes = planes, .off = off, .sums = sums, .f = g.f, .k = taps,
                  .tiles = (g.f + DOT_F - 1) / DOT_F, .run = step, .grad_channel = step, .grad_image = fs * step,
                  .plane_image = image, .plane_group = g.c * g.plane, .groups = g.groups};
    for (Index n = 0; n < g.n; n += together) {
        w.images = g.n - n < together ? g.n - n : together;
        Fill fill = {&g, floats(x) + n * channels * g.size[0] * g.size[1], planes};
        parallel_for(w.images * channels, GRAIN(60000, g.plane), fill_planes, &fill);
        if (w.images < together) memset(planes + w.images * image, 0, SLACK * sizeof(float)); /* 0 times what is there */
        Spread s = {floats(grad) + n * fs * g.out[0] * g.out[1], rows, g.out[0], g.out[1], g.pitch, step};
        parallel_for(w.images * fs, GRAIN(60000, step), spread, &s);
        parallel_for(g.groups * w.tiles, GRAIN(400000, w.images * step * DOT_F * taps), products, &w);
    }
    int finite = 1;
    for (Index k = 0; k < fs * taps; k++) {
        floats(out)[k] = (float)sums[k];
        finite &= isfinite(sums[k]) != 0;
    }
    free(planes), free(rows), free(off), free(sums);
    if (finite) return (PyObject *)out;
    Py_DECREF(out); /* the zeros between the rows may have met an infinity: the complete kernel has none */
    return NULL;
}

const Entry conv_entries[] = {
    {"convolution", forward},
    {"convolution_input", adjoint_input},
    {"convolution_weight", adjoint_weight},
    {NULL},
};
