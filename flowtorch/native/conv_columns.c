/* Convolution as products of matrices, for small maps with many channels.
 *
 * The input that an output position sees is a column; the columns of several images side by side make a matrix that is
 * large enough for BLAS to be fast. numpy does the products, so they run on the BLAS and the threads that it has. */
#include "conv.h"
#include <stdlib.h>

#define MOST (1 << 20) /* numbers in a matrix of columns */

int columns_suit(const Geometry *g) {
    Index area = g->out[0] * g->out[1], run = (g->out[0] * g->pitch + 2 * LANES - 1) / (2 * LANES) * (2 * LANES);
    Index taps = g->c * g->kernel[0] * g->kernel[1];
    if (g->groups > 1 || g->f < 16 || taps < 32) return 0;
    return 6 * area < 5 * run || g->n * area < 256;
}

typedef struct {
    const Geometry *g;
    const float *from; /* images: of the input or of the gradient */
    float *planes, *columns, *rows;
    PyArrayObject *matrix; /* taps * positions: the columns as an array */
    PyArrayObject *values; /* output channels * positions: the output or its gradient */
    Index area, taps, images, positions;
} Work;

/* The taps of channels [begin, end), a row each. Whole vectors are moved: what a row has too much, the next one
 * overwrites, and the last one of a channel is cut. */
static void to_columns(void *context, Index begin, Index end) {
    const Work *w = context;
    const Geometry *g = w->g;
    Index width = g->out[1], image = g->c * g->plane;
    float *last = w->columns + (begin < end ? end * w->taps * w->positions - LANES : 0);
    for (Index c = begin; c < end; c++)
        for (Index i = 0; i < g->kernel[0]; i++)
            for (Index j = 0; j < g->kernel[1]; j++) {
                const float *from = w->planes + c * g->plane + tap(g, i, j);
                float *to = w->columns + (c * w->taps + i * g->kernel[1] + j) * w->positions;
                for (Index n = 0; n < w->images; n++, from += image)
                    for (Index y = 0; y < g->out[0]; y++, to += width)
                        for (Index x = 0; x < width; x += LANES) {
                            vf v = v_load(from + y * g->pitch + x);
                            if (to + x <= last) v_store(to + x, v);
                            else v_store_part(to + x, v, width - x < LANES ? width - x : LANES);
                        }
            }
}

/* The adjoint of `to_columns`. Images are in the inner loop, so that no number is read just after it was written. */
static void from_columns(void *context, Index begin, Index end) {
    const Work *w = context;
    const Geometry *g = w->g;
    Index width = g->out[1], image = g->c * g->plane;
    for (Index c = begin; c < end; c++) {
        for (Index n = 0; n < w->images; n++)
            memset(w->planes + n * image + c * g->plane, 0, g->plane * sizeof(float));
        for (Index i = 0; i < g->kernel[0]; i++)
            for (Index j = 0; j < g->kernel[1]; j++) {
                float *planes = w->planes + c * g->plane + tap(g, i, j);
                const float *columns = w->columns + (c * w->taps + i * g->kernel[1] + j) * w->positions;
                for (Index y = 0; y < g->out[0]; y++)
                    for (Index x = 0; x < width; x += LANES) {
                        Index rest = width - x < LANES ? width - x : LANES;
                        float *to = planes + y * g->pitch + x;
                        const float *from = columns + y * width + x;
                        for (Index n = 0; n < w->images; n++, to += image, from += w->area)
                            v_store_part(to, v_load_part(to, rest, 0) + v_load_part(from, rest, 0), rest);
                    }
            }
    }
}

/* [image][channel][position] to [channel][image][position]. */
static void gather_channels(void *context, Index begin, Index end) {
    const Work *w = context;
    for (Index f = begin; f < end; f++)
        for (Index n = 0; n < w->images; n++)
            memcpy(w->rows + (f * w->images + n) * w->area, w->from + (n * w->g->f + f) * w->area, w->area * sizeof(float));
}

typedef struct { const Work *work; const float *bias; float *out; } Spread;

/* The reverse, with the bias. */
static void spread_channels(void *context, Index begin, Index end) {
    const Spread *s = context;
    const Work *w = s->work;
    for (Index f = begin; f < end; f++) {
        float bias = s->bias ? s->bias[f] : 0;
        for (Index n = 0; n < w->images; n++) {
            const float *from = w->rows + (f * w->images + n) * w->area;
            float *to = s->out + (n * w->g->f + f) * w->area;
            for (Index p = 0; p < w->area; p++) to[p] = from[p] + bias;
        }
    }
}

typedef struct { const Work *work; float *out; } Crop;

/* The reverse of `fill_planes`. */
static void crop_planes(void *context, Index begin, Index end) {
    const Crop *s = context;
    const Geometry *g = s->work->g;
    Index sy = g->stride[0], sx = g->stride[1];
    for (Index c = begin; c < end; c++) {
        const float *planes = s->work->planes + c * g->plane;
        float *to = s->out + c * g->size[0] * g->size[1];
        for (Index y = 0; y < g->size[0]; y++) {
            Index v = y + g->padding[0];
            const float *line = planes + (v % sy * sx * g->rows + v / sy) * g->pitch;
            for (Index x = 0; x < g->size[1]; x++) {
                Index u = x + g->padding[1];
                *to++ = sx == 1 ? line[u] : line[u % sx * g->rows * g->pitch + u / sx];
            }
        }
    }
}

/* ---- memory and images */

static PyArrayObject *matrix_of(Index rows, Index columns) {
    Index shape[2] = {rows, columns};
    return new_array(NPY_FLOAT, 2, shape);
}

static void drop_room(Work *w) {
    free(w->planes);
    Py_XDECREF(w->matrix), Py_XDECREF(w->values);
}

/* Room for `images` images; 0 with an exception set. */
static int make_room(Work *w, const Geometry *g, Index images) {
    drop_room(w);
    *w = (Work){.g = g, .area = g->out[0] * g->out[1], .taps = g->kernel[0] * g->kernel[1], .images = images};
    w->positions = images * w->area;
    w->planes = calloc(images * g->c * g->plane + SLACK, sizeof(float));
    w->matrix = matrix_of(g->c * w->taps, w->positions), w->values = matrix_of(g->f, w->positions);
    if (!w->planes || !w->matrix || !w->values) {
        if (!PyErr_Occurred()) PyErr_NoMemory();
        return 0;
    }
    w->columns = floats(w->matrix), w->rows = floats(w->values);
    return 1;
}

/* Makes room for the images from number `at` on that are taken together. */
static int next_images(Work *w, const Geometry *g, Index at) {
    Index image = g->c * g->kernel[0] * g->kernel[1] * g->out[0] * g->out[1], most = MOST / image + 1;
    Index parts = (g->n + most - 1) / most, together = (g->n + parts - 1) / parts; /* as equal as there can be */
    Index images = g->n - at < together ? g->n - at : together;
    return images == w->images || make_room(w, g, images);
}

/* The columns of images from `x`. */
static void read_columns(Work *w, const float *x) {
    const Geometry *g = w->g;
    Fill fill = {g, x, w->planes};
    parallel_for(w->images * g->c, GRAIN(60000, g->plane), fill_planes, &fill);
    parallel_for(g->c, GRAIN(60000, w->taps * w->positions), to_columns, w);
}

static void read_gradient(Work *w, const float *grad) {
    w->from = grad;
    parallel_for(w->g->f, GRAIN(60000, w->positions), gather_channels, w);
}

/* out = a @ b; 0 with an exception set. Takes the reference to b. */
static int multiply(PyArrayObject *a, PyObject *b, PyArrayObject *out) {
    PyObject *done = b ? PyArray_MatrixProduct2((PyObject *)a, b, out) : NULL;
    Py_XDECREF(b);
    Py_XDECREF(done);
    return done != NULL;
}

/* The weight as (output channels, taps of all input channels). */
static PyArrayObject *flat_weight(const Geometry *g, PyArrayObject *weight) {
    Index shape[2] = {g->f, g->c * g->kernel[0] * g->kernel[1]};
    PyArray_Dims dims = {shape, 2};
    return (PyArrayObject *)PyArray_Newshape(weight, &dims, NPY_CORDER);
}

int columns_forward(const Geometry *g, const float *x, PyArrayObject *weight, const float *bias, float *out) {
    Work w = {0};
    int done = 0;
    PyArrayObject *flat = flat_weight(g, weight);
    if (flat == NULL) return 0;
    for (Index at = 0; at < g->n; at += w.images) {
        if (!next_images(&w, g, at)) goto end;
        read_columns(&w, x + at * g->c * g->size[0] * g->size[1]);
        Py_INCREF(w.matrix);
        if (!multiply(flat, (PyObject *)w.matrix, w.values)) goto end;
        Spread spread = {&w, bias, out + at * g->f * w.area};
        parallel_for(g->f, GRAIN(60000, w.positions), spread_channels, &spread);
    }
    done = 1;
end:
    drop_room(&w);
    Py_DECREF(flat);
    return done;
}

int columns_input(const Geometry *g, const float *grad, PyArrayObject *weight, float *out) {
    Work w = {0};
    int done = 0;
    PyArrayObject *flat = flat_weight(g, weight);
    PyArrayObject *across = flat ? (PyArrayObject *)PyArray_Transpose(flat, NULL) : NULL;
    Py_XDECREF(flat);
    if (across == NULL) return 0;
    for (Index at = 0; at < g->n; at += w.images) {
        if (!next_images(&w, g, at)) goto end;
        read_gradient(&w, grad + at * g->f * w.area);
        Py_INCREF(w.values);
        if (!multiply(across, (PyObject *)w.values, w.matrix)) goto end;
        parallel_for(g->c, GRAIN(40000, w.taps * w.positions), from_columns, &w);
        Crop crop = {&w, out + at * g->c * g->size[0] * g->size[1]};
        parallel_for(w.images * g->c, GRAIN(60000, g->plane), crop_planes, &crop);
    }
    done = 1;
end:
    drop_room(&w);
    Py_DECREF(across);
    return done;
}

int columns_weight(const Geometry *g, const float *grad, const float *x, PyArrayObject *out) {
    Work w = {0};
    int done = 0;
    PyArrayObject *sum = flat_weight(g, out), *part = NULL; /* `sum` is a view of out */
    if (sum == NULL) return 0;
    for (Index at = 0; at < g->n; at += w.images) {
        if (!next_images(&w, g, at)) goto end;
        read_columns(&w, x + at * g->c * g->size[0] * g->size[1]);
        read_gradient(&w, grad + at * g->f * w.area);
        if (at > 0 && part == NULL && (part = matrix_of(PyArray_DIM(sum, 0), PyArray_DIM(sum, 1))) == NULL) goto end;
        if (!multiply(w.values, PyArray_Transpose(w.matrix, NULL), at ? part : sum)) goto end;
        float *total = floats(sum);
        for (Index k = 0, size = at ? PyArray_SIZE(sum) : 0; k < size; k++) total[k] += floats(part)[k];
    }
    done = 1;
end:
    drop_room(&w);
    Py_DECREF(sum);
    Py_XDECREF(part);
    return done;
}
