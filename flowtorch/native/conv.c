/* Convolution in one and two dimensions, forward and backward.
 *
 * The padded input lies in planes that a window's positions step through by 1: with stride s there are s * s planes, one
 * for each remainder of the coordinates. So a convolution of any stride is a correlation with taps at fixed distances.
 * The adjoint in the input is such a correlation itself, one for each remainder; the adjoint in the weight is one of
 * products of the planes with the gradient. */
#include "conv.h"
#include <stdlib.h>

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

/* Where tap (i, j) of a channel lies in its planes. */
static Index tap(const Geometry *g, Index i, Index j) {
    Index y = i * g->dilation[0], x = j * g->dilation[1], sy = g->stride[0], sx = g->stride[1];
    return ((y % sy * sx + x % sx) * g->rows + y / sy) * g->pitch + x / sx;
}

/* ---- the padded planes of channels */

typedef struct { const Geometry *g; const float *x; float *planes; } Fill;

static void fill_planes(void *context, Index begin, Index end) {
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

/* The planes of some images at a time, to bound the memory; the input itself where that is what they would be. */
typedef struct {
    const Geometry *g;
    const float *x;
    float *room;
    Index channels, image, together; /* numbers in an image's planes; images at a time */
} Planes;

/* Whether the planes would be a copy, and are read by panels, which stay inside of them. */
static int are_there(const Geometry *g, int panels) {
    return panels && g->stride[0] * g->stride[1] == 1 && g->padding[0] + g->padding[1] == 0;
}

/* 0 when there is no memory. */
static int make_planes(Planes *p, const Geometry *g, const float *x, Index channels, int panels) {
    *p = (Planes){g, x, NULL, channels, channels * g->plane, g->n};
    if (are_there(g, panels)) return 1;
    Index most = (1 << 21) / (p->image + 1) + 1;
    if (most < g->n) p->together = most;
    p->room = malloc((p->together * p->image + SLACK) * sizeof(float));
    if (p->room) memset(p->room + p->together * p->image, 0, SLACK * sizeof(float));
    return p->room != NULL;
}

static Index next_images(const Planes *p, Index n) { return p->g->n - n < p->together ? p->g->n - n : p->together; }

/* The planes of images [n, n + next_images). */
static const float *next_planes(const Planes *p, Index n) {
    if (p->room == NULL) return p->x + n * p->image;
    Index here = next_images(p, n);
    Fill fill = {p->g, p->x + n * p->channels * p->g->size[0] * p->g->size[1], p->room};
    parallel_for(here * p->channels, GRAIN(60000, p->g->plane), fill_planes, &fill);
    if (here < p->together) memset(p->room + here * p->image, 0, SLACK * sizeof(float)); /* 0 times what is there */
    return p->room;
}

static int correlate(const Correlation *w, Index images, int panels) {
    return panels ? correlate_panels(w, images) : correlate_direct(w, images);
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

/* Whether a filter sees one position, and each position is seen: images are matrices, and results products of them. */
static int is_product(const Geometry *g) {
    return g->kernel[0] * g->kernel[1] == 1 && g->stride[0] * g->stride[1] == 1 && g->padding[0] + g->padding[1] == 0;
}

/* Whether the geometry has work in it; products of small matrices are left to BLAS. */
static int is_ours(const Geometry *g) {
    for (int k = 0; k < 2; k++) {
        Index reach = (g->out[k] - 1) * g->stride[k] + (g->kernel[k] - 1) * g->dilation[k] + 1;
        if (g->out[k] < 1 || g->kernel[k] < 1 || reach > g->size[k] + 2 * g->padding[k]) return 0;
    }
    if (g->n < 1 || g->c < 1 || g->f < 1 || g->c * g->plane > (1 << 30)) return 0;
    Index area = g->out[0] * g->out[1];
    return !is_product(g) || (panels_suit(g->f, g->n * area) && panels_suit(g->c, g->n * area));
}

static int all_finite(const float *x, Index n) {
    int32_t infinite = 0, bits;
    for (Index k = 0; k < n; k++) {
        memcpy(&bits, x + k, sizeof bits);
        infinite |= (bits & 0x7f800000) == 0x7f800000;
    }
    return !infinite;
}

/* The result of a computation that went well; else there was no memory. */
static PyObject *either(int done, PyArrayObject *out) {
    if (done) return (PyObject *)out;
    Py_XDECREF(out);
    return PyErr_NoMemory();
}

/* Where the taps of a group's channels lie in the planes, in the order of the weight. */
static int32_t *offsets_of(const Geometry *g) {
    Index area = g->kernel[0] * g->kernel[1];
    int32_t *off = malloc(g->c * area * sizeof(int32_t));
    for (Index t = 0; off && t < g->c * area; t++)
        off[t] = (int32_t)(t / area * g->plane + tap(g, t % area / g->kernel[1], t % g->kernel[1]));
    return off;
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

    Index shape[4] = {g.n, g.f * g.groups, g.out[0], g.out[1]}, area = g.kernel[0] * g.kernel[1];
    if (dims == 1) shape[2] = g.out[1];
    PyArrayObject *out = new_array(NPY_FLOAT, dims + 2, shape);
    Planes planes = {0};
    int32_t *off = offsets_of(&g);
    int panels = panels_suit(g.f, g.n * g.out[0] * g.out[1]);
    int done = make_planes(&planes, &g, floats(x), g.c * g.groups, panels) && out && off;
    Correlation w = {.w = floats(weight), .bias = bias ? floats(bias) : NULL, .off = off, .k = g.c * area, .f = g.f,
                     .groups = g.groups, .pitch = g.pitch, .rows = g.out[0], .columns = g.out[1], .x_image = planes.image,
                     .x_group = g.c * g.plane, .y_channel = g.out[0] * g.out[1], .y_row = g.out[1], .y_column = 1,
                     .bounded = planes.room == NULL};
    w.y_image = w.y_channel * g.f * g.groups;
    for (Index n = 0; n < g.n && done; n += planes.together) {
        w.x = next_planes(&planes, n), w.y = floats(out) + n * w.y_image;
        done = correlate(&w, next_images(&planes, n), panels);
    }
    free(planes.room), free(off);
    return either(done, out);
}

/* Some taps of the weight from [f][c][tap] to [c][f][tap], for so few channels that rows of the result stay in the cache. What
 * is read lies far apart, so it is asked for some rows before. */
INLINE void turn_group(const Geometry *g, const float *from, const int32_t *taps, const Index count, float *to) {
    Index area = g->kernel[0] * g->kernel[1], line = g->c * area;
    for (Index first = 0; first < g->c; first += 8)
        for (Index f = 0; f < g->f; f++)
            for (Index c = first; c < g->c && c < first + 8; c++) {
                const float *w = from + f * line + c * area;
                float *row = to + (c * g->f + f) * count;
                __builtin_prefetch(w + 4 * line);
                if (count == 9 && area == 9) memcpy(row, w, 9 * sizeof(float));
                else for (Index t = 0; t < count; t++) row[t] = w[taps[t]];
            }
}

static void turn_weight(const Geometry *g, const float *from, const int32_t *taps, Index count, float *to) {
    Index step = g->f * g->c;
    for (Index group = 0; group < g->groups; group++, from += step * g->kernel[0] * g->kernel[1], to += step * count)
        switch (count) { /* the most frequent ones, without a loop */
            case 1: turn_group(g, from, taps, 1, to); break;
            case 2: turn_group(g, from, taps, 2, to); break;
            case 4: turn_group(g, from, taps, 4, to); break;
            case 9: turn_group(g, from, taps, 9, to); break;
            default: turn_group(g, from, taps, count, to);
        }
}

/* ---- convolution_input(grad, weight, size, stride, padding, dilation, groups) */

/* What the gradient in the padded coordinates of one remainder is made of: u = s * i + r gets w[k] * grad[i - m] where
 * d * k = s * m + r. */
typedef struct {
    const Geometry *g, *e; /* of the convolution; of the gradient's own planes */
    int32_t *taps, *off;   /* of the weight's taps; into the planes, for all channels */
    float *turned;         /* the taps' weights */
    Index count;           /* taps */
    Index i0[2], counts[2], start[2]; /* the first i that lies inside, how many do, and where the first one is */
} Remainder;

/* Whether any tap reaches the coordinates of remainder r. */
static int find_taps(Remainder *m, const Index *r) {
    const Geometry *g = m->g, *e = m->e;
    m->count = 0;
    for (Index i = 0; i < g->kernel[0]; i++)
        for (Index j = 0; j < g->kernel[1]; j++) {
            Index y = i * g->dilation[0] - r[0], x = j * g->dilation[1] - r[1];
            if (y % g->stride[0] || x % g->stride[1]) continue;
            /* a remainder above d * k gives m = 0 only where they are equal */
            m->off[m->count] = (int32_t)((e->padding[0] - y / g->stride[0]) * e->pitch + e->padding[1] - x / g->stride[1]);
            m->taps[m->count++] = (int32_t)(i * g->kernel[1] + j);
        }
    for (Index t = g->f * m->count - 1; t >= 0; t--)
        m->off[t] = (int32_t)(t / m->count * e->plane) + m->off[t % m->count];
    for (int k = 0; k < 2; k++) {
        Index inside = g->padding[k] - r[k], s = g->stride[k];
        m->i0[k] = inside > 0 ? (inside + s - 1) / s : 0;
        m->start[k] = m->i0[k] * s + r[k] - g->padding[k];
        m->counts[k] = m->start[k] < g->size[k] ? (g->size[k] - m->start[k] + s - 1) / s : 0;
    }
    return m->count > 0 && m->counts[0] > 0 && m->counts[1] > 0;
}

/* One correlation for each remainder; 0 when there is no memory. */
static int add_remainders(Remainder *m, const Planes *planes, const float *weight, float *out, int panels) {
    const Geometry *g = m->g, *e = m->e;
    int done = 1;
    for (Index n = 0; n < g->n && done; n += planes->together) {
        const float *here = next_planes(planes, n);
        for (Index k = 0; k < g->stride[0] * g->stride[1] && done; k++) {
            Index r[2] = {k / g->stride[1], k % g->stride[1]};
            if (!find_taps(m, r)) continue;
            turn_weight(g, weight, m->taps, m->count, m->turned);
            Correlation w = {.x = here + m->i0[0] * e->pitch + m->i0[1], .w = m->turned, .off = m->off, .k = g->f * m->count,
                             .f = g->c, .groups = g->groups, .pitch = e->pitch, .rows = m->counts[0],
                             .columns = m->counts[1], .x_image = planes->image, .x_group = g->f * e->plane,
                             .y_channel = g->size[0] * g->size[1], .y_row = g->size[1] * g->stride[0],
                             .y_column = g->stride[1], .bounded = planes->room == NULL};
            w.y_image = w.y_channel * g->c * g->groups;
            w.y = out + n * w.y_image + m->start[0] * g->size[1] + m->start[1];
            done = correlate(&w, next_images(planes, n), panels);
        }
    }
    return done;
}

static Geometry of_gradient(const Geometry *g) {
    Geometry e = {.n = g->n, .c = g->f};
    Index padded[2] = {g->rows, g->pitch};
    for (int k = 0; k < 2; k++) {
        e.size[k] = g->out[k], e.stride[k] = e.kernel[k] = 1;
        e.padding[k] = g->dilation[k] * (g->kernel[k] - 1) / g->stride[k];
        Index need = padded[k] - g->out[k]; /* room behind, so that every i has its whole window */
        if (need > e.padding[k]) e.padding[k] = need;
    }
    planes_of(&e);
    return e;
}

static PyObject *adjoint_input(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyArrayObject *grad, *weight;
    Geometry g = {0};
    if (count != 7 || names || (grad = planar(args[0])) == NULL || (weight = planar(args[1])) == NULL) return NULL;
    int dims = PyArray_NDIM(grad) - 2;
    if ((dims != 1 && dims != 2) || PyArray_NDIM(weight) != dims + 2 || !read_pair(args[2], dims, 1, g.size) ||
        !read_options(args + 3, dims, &g)) return NULL;
    read_size(grad, dims, g.out), read_size(weight, dims, g.kernel);
    g.n = PyArray_DIM(grad, 0), g.c = PyArray_DIM(weight, 1), g.f = PyArray_DIM(weight, 0) / g.groups;
    if (PyArray_DIM(grad, 1) != g.f * g.groups || PyArray_DIM(weight, 0) != g.f * g.groups) return NULL;
    planes_of(&g);
    if (!is_ours(&g)) return NULL;
    Geometry e = of_gradient(&g);
    if (g.f * e.plane > 1 << 30) return NULL;
    if (!all_finite(floats(weight), PyArray_SIZE(weight))) return NULL; /* inf must not meet zeros around the gradient */
    Index shape[4] = {g.n, g.c * g.groups, g.size[0], g.size[1]}, area = g.kernel[0] * g.kernel[1];
    if (dims == 1) shape[2] = g.size[1];
    int whole = all_are_read(&g, 0) && all_are_read(&g, 1); /* every number gets its sum */
    PyArrayObject *out = whole ? new_array(NPY_FLOAT, dims + 2, shape)
                               : (PyArrayObject *)PyArray_ZEROS(dims + 2, shape, NPY_FLOAT, 0);
    Planes planes = {0};
    Remainder m = {.g = &g, .e = &e, .taps = malloc(area * sizeof(int32_t)), .off = malloc(g.f * area * sizeof(int32_t)),
                   .turned = malloc((PyArray_SIZE(weight) + 1) * sizeof(float))};
    int panels = panels_suit(g.c, g.n * g.size[0] * g.size[1]);
    int done = make_planes(&planes, &e, floats(grad), g.f * g.groups, panels) && out && m.taps && m.off && m.turned;
    done = done && add_remainders(&m, &planes, floats(weight), floats(out), panels);
    free(planes.room), free(m.taps), free(m.off), free(m.turned);
    return either(done, out);
}

/* ---- convolution_weight(grad, input, kernel, stride, padding, dilation, groups) */

/* The same sums with the channels of the gradient as taps of its images: fewer of them are copied into panels, if it has
 * more channels than the input has. `off` has room for them. */
static Products exchanged(const Products *w, int32_t *off) {
    Index area = w->lines * w->columns;
    for (Index f = 0; f < w->f; f++) off[f] = (int32_t)(f * area);
    return (Products){.grad = w->planes, .planes = w->grad, .off = off, .images = w->images, .k = w->f, .f = w->k,
                      .groups = w->groups, .lines = 1, .columns = area, .pitch = area,
                      .plane_image = w->groups * w->f * area, .plane_group = w->f * area};
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

    Index taps = g.c * g.kernel[0] * g.kernel[1], fs = g.f * g.groups, area = g.out[0] * g.out[1];
    Index shape[4] = {fs, g.c, g.kernel[0], g.kernel[1]};
    if (dims == 1) shape[2] = g.kernel[1];
    PyArrayObject *out = new_array(NPY_FLOAT, dims + 2, shape);
    Planes planes = {0};
    float *in_panels = NULL;
    int panels = panels_suit(g.f, g.n * area), exchange = panels && is_product(&g) && g.f > g.c && g.f * area < 1 << 30;
    int32_t *off = exchange ? malloc(g.f * sizeof(int32_t)) : offsets_of(&g);
    double *sums = panels ? NULL : calloc(fs * taps, sizeof(double));
    int done = make_planes(&planes, &g, floats(x), g.c * g.groups, panels) && out && off && (sums || panels);
    Products w = {.off = off, .k = taps, .f = g.f, .groups = g.groups, .lines = g.out[0], .columns = g.out[1],
                  .pitch = g.pitch, .plane_image = planes.image, .plane_group = g.c * g.plane};
    for (Index n = 0; n < g.n && done; n += planes.together) {
        w.images = next_images(&planes, n), w.planes = next_planes(&planes, n), w.grad = floats(grad) + n * fs * area;
        if (exchange) w = exchanged(&w, off);
        done = panels ? products_panels(&w, &in_panels) : products_direct(&w, sums);
    }
    if (done && panels) order_sums(&w, in_panels, floats(out), exchange);
    int finite = 1;
    for (Index k = 0; done && sums && k < fs * taps; k++) {
        floats(out)[k] = (float)sums[k];
        finite &= isfinite(sums[k]) != 0;
    }
    free(planes.room), free(in_panels), free(off), free(sums);
    if (finite) return either(done, out);
    Py_DECREF(out); /* the zeros between the rows may have met an infinity: the complete kernel has none */
    return NULL;
}

const Entry conv_entries[] = {
    {"convolution", forward},
    {"convolution_input", adjoint_input, NULL, EXPANDED},
    {"convolution_weight", adjoint_weight, NULL, EXPANDED},
    {NULL},
};
