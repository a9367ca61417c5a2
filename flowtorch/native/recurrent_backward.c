/* Recurrent layers backward: the product that carries the gradient to the step before, and the gates' gradients there.
 *
 * As in recurrent.c threads share the rows of the batch. What a product gives for some units is all that the gates of
 * the same units need at the step before, so it goes on at once. */
#include "recurrent.h"
#include <stdlib.h>

#define WIDTH 3 /* vectors of units whose sums are in registers at once */

typedef struct {
    Kind kind;
    Index gates;
    Sequence s;
    const float *dy;                     /* NULL: none */
    const float *active, *share, *cells, *squashed, *output, *h0, *c0, *panels;
    float *dgates, *dhidden, *dh, *dc;   /* dh: what reaches a state beside the product */
} Backward;

/* m of the units of a sequence: its packed row, and its row of the batch. e is the gradient of its state. */
INLINE vf lstm_cells(const long m, const Backward *w, vf e, Index row, Index r, Index unit, const float *c) {
    Index h = w->s.units;
    const float *gates = w->active + row * 4 * h + unit;
    float *d = w->dgates + row * 4 * h + unit, *dc = w->dc + r * h + unit;
    vf i = v_load_part(gates, m, 0), f = v_load_part(gates + h, m, 0), g = v_load_part(gates + 2 * h, m, 0);
    vf o = v_load_part(gates + 3 * h, m, 0), t = v_load_part(w->squashed + row * h + unit, m, 0);
    vf through = e * o, cell = v_load_part(dc, m, 0) + through * (1.0f - t * t);
    v_store_part(d, cell * g * i * (1.0f - i), m);
    v_store_part(d + h, cell * v_load_part(c, m, 0) * f * (1.0f - f), m);
    v_store_part(d + 2 * h, cell * i * (1.0f - g * g), m);
    v_store_part(d + 3 * h, through * t * (1.0f - o), m);
    v_store_part(dc, cell * f, m);
    return v_all(0);
}

INLINE vf gru_cells(const long m, const Backward *w, vf e, Index row, Index unit, const float *state) {
    Index h = w->s.units, k = row * 3 * h + unit;
    const float *gates = w->active + k;
    float *input = w->dgates + k, *hidden = w->dhidden + k;
    vf r = v_load_part(gates, m, 0), z = v_load_part(gates + h, m, 0), new = v_load_part(gates + 2 * h, m, 0);
    vf to_new = e * (1.0f - z) * (1.0f - new * new);
    vf to_r = to_new * v_load_part(w->share + row * h + unit, m, 0) * r * (1.0f - r);
    vf to_z = e * (v_load_part(state, m, 0) - new) * z * (1.0f - z);
    v_store_part(input, to_r, m), v_store_part(hidden, to_r, m);
    v_store_part(input + h, to_z, m), v_store_part(hidden + h, to_z, m);
    v_store_part(input + 2 * h, to_new, m), v_store_part(hidden + 2 * h, to_new * r, m);
    return e * z;
}

INLINE vf plain_cells(const long m, const Backward *w, vf e, Index k) {
    vf y = v_load_part(w->output + k, m, 0);
    v_store_part(w->dgates + k, w->kind == TANH ? e * (1.0f - y * y) : v_select(v_less(v_all(0), y), e, v_all(0) * e), m);
    return v_all(0);
}

/* One vector of a sequence at a step; h and c are its states before it. */
INLINE void cells(const long m, const Backward *w, vf e, Index row, Index r, Index unit, const float *h, const float *c) {
    Index k = row * w->s.units + unit;
    if (w->dy) e += v_load_part(w->dy + k, m, 0);
    vf rest = w->kind == LSTM  ? lstm_cells(m, w, e, row, r, unit, c)
              : w->kind == GRU ? gru_cells(m, w, e, row, unit, h)
                               : plain_cells(m, w, e, k);
    v_store_part(w->dh + r * w->s.units + unit, rest, m);
}

/* Row r of the batch at step k (-1: before the first); `sums` has the gradient of its state for `width` vectors. */
static void pass_on(const Backward *w, Index k, Index r, Index vector, int width, const float *sums) {
    const Sequence *s = &w->s;
    Index units = s->units, last = k < 0 ? 0 : s->rows[k], row = k < 0 ? 0 : s->start[k] + r;
    int known = k > 0 && r < s->rows[k - 1];
    Index before = known ? (s->start[k - 1] + r) * units : r * units;
    const float *h = (known ? w->output : w->h0) + before, *c = w->c0 ? (known ? w->cells : w->c0) + before : NULL;
    for (int v = 0; v < width; v++, sums += LANES) {
        Index unit = (vector + v) * LANES, m = units - unit < LANES ? units - unit : LANES;
        const float *cell = c ? c + unit : NULL;
        if (r >= last) v_store_part(w->dh + r * units + unit, v_load(sums), m);
        else if (m == LANES) cells(LANES, w, v_load(sums), row, r, unit, h + unit, cell);
        else cells(m, w, v_load(sums), row, r, unit, h + unit, cell);
    }
}

/* Rows begin .. end of the batch; `d` are the gates' gradients at the step after, NULL where there is none. */
static void some_rows(const Backward *w, Index k, Index begin, Index end, Index vector, int width, const float *d) {
    Index units = w->s.units, wide = w->gates * units;
    int tall = ROWS_OF(width);
    float sums[MOST_ROWS * WIDTH * LANES] __attribute__((aligned(64)));
    for (Index r = begin; r < end; r += tall) {
        int rows = end - r < tall ? (int)(end - r) : tall;
        for (int i = 0; i < rows * width; i++) {
            Index unit = (vector + i % width) * LANES, m = units - unit < LANES ? units - unit : LANES;
            v_store(sums + i * LANES, v_load_part(w->dh + (r + i / width) * units + unit, m, 0));
        }
        if (d) add_product(rows, width, wide, d + r * wide, wide, w->panels + vector * LANES * wide, sums);
        for (int i = 0; i < rows; i++) pass_on(w, k, r + i, vector, width, sums + i * width * LANES);
    }
}

static int width_at(Index vector, Index vectors) {
    Index left = vectors - vector;
    return left == 4 ? 2 : left < WIDTH ? (int)left : WIDTH;
}

static void all_steps(void *context, Index begin, Index end) {
    const Backward *w = context;
    const Sequence *s = &w->s;
    Index vectors = VECTORS(s->units), wide = w->gates * s->units;
    begin *= MOST_ROWS, end = end * MOST_ROWS < s->batch ? end * MOST_ROWS : s->batch;
    for (Index k = s->steps - 1; k >= -1; k--) {
        Index after = k + 1 < s->steps ? s->rows[k + 1] : 0, here = k < 0 ? 0 : s->rows[k];
        after = after < end ? after : end, here = here < end ? here : end;
        Index fresh = after > begin ? after : begin; /* from here on sequences end with this step */
        for (Index v = 0; v < vectors; v += width_at(v, vectors)) {
            int width = width_at(v, vectors);
            if (after > begin) some_rows(w, k, begin, after, v, width, w->dhidden + s->start[k + 1] * wide);
            some_rows(w, k, fresh, here, v, width, NULL);
        }
    }
}

/* The columns of some vectors of units side by side. */
static void cut_weights(const Backward *w, const float *weights, float *panels) {
    Index units = w->s.units, vectors = VECTORS(units), wide = w->gates * units;
    for (Index v = 0; v < vectors; v += width_at(v, vectors)) {
        Index width = width_at(v, vectors) * LANES, unit = v * LANES, here = units - unit < width ? units - unit : width;
        for (Index k = 0; k < wide; k++, panels += width) {
            memcpy(panels, weights + k * units + unit, here * sizeof(float));
            memset(panels + here, 0, (width - here) * sizeof(float));
        }
    }
}

static void compute(Backward *w, const float *weights) {
    Index vectors = VECTORS(w->s.units) * w->gates * w->s.units;
    void *memory;
    float *panels = vectors_of_memory(vectors, &memory);
    if (memory == NULL) {
        PyErr_NoMemory();
        return;
    }
    cut_weights(w, weights, panels);
    w->panels = panels;
    Index groups = (w->s.batch + MOST_ROWS - 1) / MOST_ROWS;
    parallel_for(groups, GROUPS(MOST_ROWS, w->s.steps * vectors * LANES), all_steps, w);
    free(memory);
}

/* A copy of the gradient that a last state has, to work in; zeros for None. */
static PyArrayObject *gradient_of_last(PyObject *g, Index rows, Index columns) {
    if (g == Py_None) return (PyArrayObject *)PyArray_ZEROS(2, ((Index[]){rows, columns}), NPY_FLOAT, 0);
    PyArrayObject *a = matrix(g, rows, columns);
    if (a == NULL) return NULL;
    PyArrayObject *copy = (PyArrayObject *)PyArray_NewCopy(a, NPY_CORDER);
    Py_DECREF(a);
    return copy;
}

/* What a call holds: references to let go of. */
typedef struct { PyArrayObject *array[12]; int count, missing; } Held;

static PyArrayObject *hold(Held *held, PyArrayObject *a) {
    if (a == NULL) held->missing = 1;
    else held->array[held->count++] = a;
    return a;
}
static const float *take(Held *held, PyObject *x, Index rows, Index columns) {
    PyArrayObject *a = hold(held, matrix(x, rows, columns));
    return a ? floats(a) : NULL;
}

/* The arguments of all three begin with the gradients of the results, and end with batch_sizes and reverse. */
static PyObject *run(Backward *w, PyObject *const *args, Py_ssize_t count, PyObject *const *saved, PyObject *h0,
                     PyObject *c0, PyObject *weights) {
    PyArrayObject *state = (PyArrayObject *)h0, *dgates, *dhidden = NULL, *dh, *dc = NULL;
    if (!is_array(h0) || !read_sequence(args[count - 2], args[count - 1], state, &w->s)) return NULL;
    Index total = w->s.total, batch = w->s.batch, units = w->s.units, wide = (w->gates = GATES(w->kind)) * units;
    Held held = {0};
    PyObject *results = NULL;
    if (args[0] != Py_None) w->dy = take(&held, args[0], total, units);
    w->output = take(&held, saved[0], total, units), w->h0 = take(&held, h0, batch, units);
    const float *first = take(&held, weights, wide, units);
    if (w->gates > 1) w->active = take(&held, saved[1], total, wide);
    if (w->kind == GRU) w->share = take(&held, saved[2], total, units);
    if (c0) {
        w->cells = take(&held, saved[2], total, units), w->squashed = take(&held, saved[3], total, units);
        w->c0 = take(&held, c0, batch, units);
    }
    if (held.missing) goto done;
    dh = hold(&held, gradient_of_last(args[1], batch, units));
    if (c0) dc = hold(&held, gradient_of_last(args[2], batch, units));
    dgates = hold(&held, new_array(NPY_FLOAT, 2, (Index[]){total, wide}));
    if (w->kind == GRU) dhidden = hold(&held, new_array(NPY_FLOAT, 2, (Index[]){total, wide}));
    if (held.missing) goto done;
    w->dh = floats(dh), w->dgates = floats(dgates);
    w->dhidden = dhidden ? floats(dhidden) : w->dgates;
    if (dc) w->dc = floats(dc);
    compute(w, first);
    if (!PyErr_Occurred())
        results = c0        ? PyTuple_Pack(4, dgates, dh, dc, Py_None)
                  : dhidden ? PyTuple_Pack(3, dgates, dh, dhidden)
                            : PyTuple_Pack(2, dgates, dh);
done:
    while (held.count) Py_DECREF(held.array[--held.count]);
    free_sequence(&w->s);
    return results;
}

/* lstm_backward(dy, dh, dc, output, gates, cells, squashed, h0, c0, w_hh, w_hr, batch_sizes, reverse) */
static PyObject *lstm_backward(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Backward w = {.kind = LSTM};
    return count == 13 && !names && args[10] == Py_None ? run(&w, args, count, args + 3, args[7], args[8], args[9]) : NULL;
}

/* gru_backward(dy, dh, output, gates, share, h0, w_hh, batch_sizes, reverse) */
static PyObject *gru_backward(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Backward w = {.kind = GRU};
    return count == 9 && !names ? run(&w, args, count, args + 2, args[5], NULL, args[6]) : NULL;
}

/* rnn_backward(dy, dh, output, h0, w_hh, relu, batch_sizes, reverse) */
static PyObject *rnn_backward(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (count != 8 || names || !PyBool_Check(args[5])) return NULL;
    Backward w = {.kind = args[5] == Py_True ? RELU : TANH};
    return run(&w, args, count, args + 2, args[3], NULL, args[4]);
}

const Entry recurrent_backward_entries[] = {
    {"lstm_backward", lstm_backward},
    {"gru_backward", gru_backward},
    {"rnn_backward", rnn_backward},
    {NULL},
};
