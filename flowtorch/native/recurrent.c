/* Recurrent layers forward, over whole sequences: the product of a step and what follows it in one pass.
 *
 * Sequences are independent, so threads share the rows of the batch, and each takes its rows through all steps. The
 * weights are turned once: a panel of them has, for one vector of hidden units, the columns of all gates side by side,
 * so that the sums of a few rows are gates of the same units and become states at once. */
#include "recurrent.h"
#include <stdlib.h>

typedef struct {
    Kind kind;
    Index gates;
    Sequence s;
    const float *x;                            /* the input's share of the gates, or the input itself: */
    const float *w_ih, *b_ih;                  /* NULL, or panels of its weights, and the bias or NULL */
    Index inputs;
    const float *b_hh, *h0, *c0, *w_hh;        /* w_hh: panels */
    float *active, *share, *cells, *squashed, *output, *h, *c;
} Forward;

/* Gates side by side in p, those of one unit a vector apart; m of the units of a row. */
INLINE void lstm_cells(const long m, const Forward *w, const float *p, Index row, Index unit, const float *c) {
    Index h = w->s.units, k = row * h + unit;
    float *gates = w->active + row * 4 * h + unit;
    vf i = v_sigmoid(v_load(p)), f = v_sigmoid(v_load(p + LANES)), g = v_tanh(v_load(p + 2 * LANES));
    vf o = v_sigmoid(v_load(p + 3 * LANES)), cell = v_load_part(c, m, 0) * f + i * g, t = v_tanh(cell);
    v_store_part(gates, i, m), v_store_part(gates + h, f, m);
    v_store_part(gates + 2 * h, g, m), v_store_part(gates + 3 * h, o, m);
    v_store_part(w->cells + k, cell, m), v_store_part(w->squashed + k, t, m), v_store_part(w->output + k, t * o, m);
}

/* The new gate's hidden share is kept for the gradient, so both shares come here: x is the input's, like p. */
INLINE void gru_cells(const long m, const Forward *w, const float *p, const float *x, Index row, Index unit,
                      const float *state) {
    Index h = w->s.units, k = row * h + unit;
    float *gates = w->active + row * 3 * h + unit;
    vf r = v_sigmoid(v_load(p) + v_load(x)), z = v_sigmoid(v_load(p + LANES) + v_load(x + LANES));
    vf share = v_load(p + 2 * LANES), new = v_tanh(v_load(x + 2 * LANES) + r * share);
    v_store_part(gates, r, m), v_store_part(gates + h, z, m), v_store_part(gates + 2 * h, new, m);
    v_store_part(w->share + k, share, m);
    v_store_part(w->output + k, (v_load_part(state, m, 0) - new) * z + new, m);
}

INLINE void plain_cells(const long m, const Forward *w, const float *p, Index row, Index unit) {
    vf x = v_load(p);
    v_store_part(w->output + row * w->s.units + unit, w->kind == TANH ? v_tanh(x) : v_above(x, v_all(0)), m);
}

INLINE void cells(const long m, const Forward *w, const float *p, const float *x, Index row, Index unit, const float *h,
                  const float *c) {
    if (w->kind == LSTM) lstm_cells(m, w, p, row, unit, c);
    else if (w->kind == GRU) gru_cells(m, w, p, x, row, unit, h);
    else plain_cells(m, w, p, row, unit);
}

/* What the sums of a row begin with, read from numbers that are `step` apart for the gates; nothing for NULL. */
INLINE void begin_sums(const long m, const Forward *w, const float *from, float *p) {
    for (Index g = 0; g < w->gates; g++)
        v_store(p + g * LANES, from ? v_load_part(from + g * w->s.units, m, 0) : v_all(0));
}

/* Some rows of a step for one vector of units: h and c are their states before it. */
INLINE void few_rows(const long m, const Forward *w, Index row, Index rows, Index unit, const float *h, const float *c) {
    Index units = w->s.units, wide = w->gates * LANES, all = w->gates * units;
    float sums[2][MOST_ROWS * MOST_WIDTH * LANES] __attribute__((aligned(64)));
    float *p = sums[0], *x = sums[w->kind == GRU]; /* the hidden share and the input's share */
    for (Index k = 0; k < rows; k++) {
        begin_sums(m, w, w->w_ih ? w->b_ih ? w->b_ih + unit : NULL : w->x + (row + k) * all + unit, x + k * wide);
        if (x != p) begin_sums(m, w, w->b_hh ? w->b_hh + unit : NULL, p + k * wide);
    }
    if (w->w_ih) {
        Index n = w->inputs;
        add_product(rows, w->gates, n, w->x + row * n, n, w->w_ih + unit * w->gates * n, x);
    }
    add_product(rows, w->gates, units, h, units, w->w_hh + unit * all, p);
    for (Index k = 0; k < rows; k++)
        cells(m, w, p + k * wide, x + k * wide, row + k, unit, h + k * units + unit, c ? c + k * units + unit : NULL);
}

/* Sequences begin .. end of a step, all with their states before it in h and c (rows of the batch). */
static void some_rows(const Forward *w, Index start, Index begin, Index end, Index unit, const float *h, const float *c) {
    Index units = w->s.units, m = units - unit < LANES ? units - unit : LANES, tall = ROWS_OF(w->gates);
    for (Index r = begin; r < end; r += tall) {
        Index rows = end - r < tall ? end - r : tall;
        const float *state = h + r * units, *cell = c ? c + r * units : NULL;
        if (m == LANES) few_rows(LANES, w, start + r, rows, unit, state, cell);
        else few_rows(m, w, start + r, rows, unit, state, cell);
    }
}

static void all_steps(void *context, Index begin, Index end) {
    const Forward *w = context;
    const Sequence *s = &w->s;
    Index tall = ROWS_OF(w->gates), units = s->units;
    begin *= tall, end = end * tall < s->batch ? end * tall : s->batch;
    for (Index k = 0; k < s->steps; k++) {
        Index start = s->start[k], last = s->rows[k] < end ? s->rows[k] : end;
        Index from = k ? s->start[k - 1] * units : 0, known = k == 0 ? 0 : s->rows[k - 1] < last ? s->rows[k - 1] : last;
        Index fresh = known > begin ? known : begin; /* from here on sequences begin with this step */
        for (Index unit = 0; unit < units; unit += LANES) {
            some_rows(w, start, begin, known, unit, w->output + from, w->cells ? w->cells + from : NULL);
            some_rows(w, start, fresh, last, unit, w->h0, w->c0);
        }
        Index on = k + 1 < s->steps ? s->rows[k + 1] : 0, ended = on > begin ? on : begin;
        if (ended >= last) continue;
        size_t bytes = (last - ended) * units * sizeof(float);
        memcpy(w->h + ended * units, w->output + (start + ended) * units, bytes);
        if (w->c) memcpy(w->c + ended * units, w->cells + (start + ended) * units, bytes);
    }
}

/* panel[k][gate][lane] of each vector of units, from weights with rows of n numbers. */
static void turn_weights(const Forward *w, const float *weights, Index n, float *panels) {
    Index units = w->s.units, wide = w->gates * LANES;
    for (Index unit = 0; unit < units; unit += LANES, panels += n * wide)
        for (Index j = 0; j < wide; j++) {
            Index u = unit + j % LANES;
            const float *row = weights + (j / LANES * units + u) * n;
            for (Index k = 0; k < n; k++) panels[k * wide + j] = u < units ? row[k] : 0;
        }
}

/* A new float32 matrix behind those that there are; NULL when there is no memory. */
static float *result(PyObject *results, Py_ssize_t at, Index rows, Index columns) {
    PyArrayObject *a = new_array(NPY_FLOAT, 2, (Index[]){rows, columns});
    if (a == NULL) return NULL;
    PyTuple_SET_ITEM(results, at, (PyObject *)a);
    return floats(a);
}

static PyObject *make_results(Forward *w) {
    Index total = w->s.total, batch = w->s.batch, units = w->s.units;
    int n = w->kind == LSTM ? 6 : w->kind == GRU ? 4 : 2, at = 0;
    PyObject *results = PyTuple_New(n);
    if (results == NULL) return NULL;
    int fine = (w->output = result(results, at++, total, units)) && (w->h = result(results, at++, batch, units));
    if (w->kind == LSTM) fine = fine && (w->c = result(results, at++, batch, units));
    if (n > 2) fine = fine && (w->active = result(results, at++, total, w->gates * units));
    if (w->kind == GRU) fine = fine && (w->share = result(results, at++, total, units));
    if (w->kind == LSTM)
        fine = fine && (w->cells = result(results, at++, total, units)) &&
               (w->squashed = result(results, at++, total, units));
    if (!fine) Py_CLEAR(results);
    return results;
}

static PyObject *compute(Forward *w, const float *w_ih, const float *w_hh) {
    Index columns = VECTORS(w->s.units) * w->gates, tall = ROWS_OF(w->gates), deep = w->s.units + (w_ih ? w->inputs : 0);
    void *memory;
    float *panels = vectors_of_memory(columns * deep, &memory);
    if (memory == NULL) return PyErr_NoMemory();
    PyObject *results = make_results(w);
    if (results != NULL) {
        turn_weights(w, w_hh, w->s.units, panels);
        w->w_hh = panels, panels += columns * LANES * w->s.units;
        if (w_ih) turn_weights(w, w_ih, w->inputs, panels), w->w_ih = panels;
        Index groups = (w->s.batch + tall - 1) / tall;
        parallel_for(groups, GROUPS(tall, w->s.steps * columns * LANES * deep), all_steps, w);
    }
    free(memory);
    return results;
}

/* The arguments of all three begin with input, h0, [c0,] w_hh, w_ih and its bias, and end with batch_sizes and reverse. */
static PyObject *run(Forward *w, PyObject *const *args, Py_ssize_t count, PyObject *b_hh) {
    PyObject *const *weights = args + 2 + (w->kind == LSTM), *results = NULL;
    PyArrayObject *input = (PyArrayObject *)args[0];
    w->gates = GATES(w->kind);
    if (!is_array(args[1]) || !is_array(args[0]) || PyArray_NDIM(input) != 2 ||
        !read_sequence(args[count - 2], args[count - 1], (PyArrayObject *)args[1], &w->s)) return NULL;
    Index units = w->s.units, wide = w->gates * units;
    const float *w_hh, *w_ih = NULL;
    Held held = {0};
    w->inputs = PyArray_DIM(input, 1);
    w->x = take(&held, args[0], w->s.total, weights[1] == Py_None ? wide : w->inputs);
    w->h0 = take(&held, args[1], w->s.batch, units);
    if (w->kind == LSTM) w->c0 = take(&held, args[2], w->s.batch, units);
    w_hh = take(&held, weights[0], wide, units);
    if (weights[1] != Py_None) {
        w_ih = take(&held, weights[1], wide, w->inputs);
        if (weights[2] != Py_None) w->b_ih = take_row(&held, weights[2], wide);
    }
    if (b_hh != Py_None) w->b_hh = take_row(&held, b_hh, wide);
    if (!held.missing) results = compute(w, w_ih, w_hh);
    let_go(&held);
    free_sequence(&w->s);
    return results;
}

/* lstm_forward(input, h0, c0, w_hh, w_ih, bias, w_hr, batch_sizes, reverse) */
static PyObject *lstm_forward(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Forward w = {.kind = LSTM};
    return count == 9 && !names && args[6] == Py_None ? run(&w, args, count, Py_None) : NULL;
}

/* gru_forward(input, h0, w_hh, w_ih, b_ih, b_hh, batch_sizes, reverse) */
static PyObject *gru_forward(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Forward w = {.kind = GRU};
    return count == 8 && !names ? run(&w, args, count, args[5]) : NULL;
}

/* rnn_forward(input, h0, w_hh, w_ih, bias, relu, batch_sizes, reverse) */
static PyObject *rnn_forward(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (count != 8 || names || !PyBool_Check(args[5])) return NULL;
    Forward w = {.kind = args[5] == Py_True ? RELU : TANH};
    return run(&w, args, count, Py_None);
}

const Entry recurrent_entries[] = {
    {"lstm_forward", lstm_forward},
    {"gru_forward", gru_forward},
    {"rnn_forward", rnn_forward},
    {NULL},
};
