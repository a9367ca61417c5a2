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
    const float *x, *bias, *h0, *c0, *panels;
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

/* The input's share comes here: the new gate's hidden share is kept for the gradient. */
INLINE void gru_cells(const long m, const Forward *w, const float *p, Index row, Index unit, const float *state) {
    Index h = w->s.units, k = row * h + unit;
    const float *x = w->x + row * 3 * h + unit;
    float *gates = w->active + row * 3 * h + unit;
    vf r = v_sigmoid(v_load(p) + v_load_part(x, m, 0)), z = v_sigmoid(v_load(p + LANES) + v_load_part(x + h, m, 0));
    vf share = v_load(p + 2 * LANES), new = v_tanh(v_load_part(x + 2 * h, m, 0) + r * share);
    v_store_part(gates, r, m), v_store_part(gates + h, z, m), v_store_part(gates + 2 * h, new, m);
    v_store_part(w->share + k, share, m);
    v_store_part(w->output + k, (v_load_part(state, m, 0) - new) * z + new, m);
}

INLINE void plain_cells(const long m, const Forward *w, const float *p, Index row, Index unit) {
    vf x = v_load(p);
    v_store_part(w->output + row * w->s.units + unit, w->kind == TANH ? v_tanh(x) : v_above(x, v_all(0)), m);
}

INLINE void cells(const long m, const Forward *w, const float *p, Index row, Index unit, const float *h, const float *c) {
    if (w->kind == LSTM) lstm_cells(m, w, p, row, unit, c);
    else if (w->kind == GRU) gru_cells(m, w, p, row, unit, h);
    else plain_cells(m, w, p, row, unit);
}

/* What the sums begin with: the input's share, or the bias of the hidden share. */
INLINE void begin_sums(const long m, const Forward *w, Index row, Index unit, float *p) {
    Index h = w->s.units;
    const float *from = w->kind == GRU ? w->bias + unit : w->x + row * w->gates * h + unit;
    for (Index g = 0; g < w->gates; g++) v_store(p + g * LANES, v_load_part(from + g * h, m, 0));
}

/* Sequences begin .. end of a step, all with their states before it in h and c (rows of the batch). */
static void some_rows(const Forward *w, Index start, Index begin, Index end, Index vector, const float *h, const float *c) {
    Index units = w->s.units, unit = vector * LANES, wide = w->gates * LANES;
    Index m = units - unit < LANES ? units - unit : LANES, tall = ROWS_OF(w->gates);
    float sums[MOST_ROWS * MOST_WIDTH * LANES] __attribute__((aligned(64)));
    for (Index r = begin; r < end; r += tall) {
        Index rows = end - r < tall ? end - r : tall;
        for (Index k = 0; k < rows; k++)
            if (m == LANES) begin_sums(LANES, w, start + r + k, unit, sums + k * wide);
            else begin_sums(m, w, start + r + k, unit, sums + k * wide);
        add_product(rows, w->gates, units, h + r * units, units, w->panels + vector * units * wide, sums);
        for (Index k = 0; k < rows; k++) {
            const float *before = h + (r + k) * units + unit, *cell = c ? c + (r + k) * units + unit : NULL;
            if (m == LANES) cells(LANES, w, sums + k * wide, start + r + k, unit, before, cell);
            else cells(m, w, sums + k * wide, start + r + k, unit, before, cell);
        }
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
        for (Index v = 0; v < VECTORS(units); v++) {
            some_rows(w, start, begin, known, v, w->output + from, w->cells ? w->cells + from : NULL);
            some_rows(w, start, fresh, last, v, w->h0, w->c0);
        }
        Index on = k + 1 < s->steps ? s->rows[k + 1] : 0, ended = on > begin ? on : begin;
        if (ended >= last) continue;
        size_t bytes = (last - ended) * units * sizeof(float);
        memcpy(w->h + ended * units, w->output + (start + ended) * units, bytes);
        if (w->c) memcpy(w->c + ended * units, w->cells + (start + ended) * units, bytes);
    }
}

/* panel[k][gate][lane] of each vector of units. */
static void turn_weights(const Forward *w, const float *weights, float *panels) {
    Index units = w->s.units, wide = w->gates * LANES;
    for (Index unit = 0; unit < units; unit += LANES, panels += units * wide)
        for (Index j = 0; j < wide; j++) {
            Index u = unit + j % LANES;
            const float *row = weights + (j / LANES * units + u) * units;
            for (Index k = 0; k < units; k++) panels[k * wide + j] = u < units ? row[k] : 0;
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
        fine = fine && (w->cells = result(results, at++, total, units)) && (w->squashed = result(results, at++, total, units));
    if (!fine) Py_CLEAR(results);
    return results;
}

static PyObject *compute(Forward *w, const float *weights) {
    Index vectors = VECTORS(w->s.units) * w->gates * w->s.units, tall = ROWS_OF(w->gates);
    void *memory;
    float *panels = vectors_of_memory(vectors, &memory);
    if (memory == NULL) return PyErr_NoMemory();
    PyObject *results = make_results(w);
    if (results != NULL) {
        turn_weights(w, weights, panels);
        w->panels = panels;
        Index groups = (w->s.batch + tall - 1) / tall;
        parallel_for(groups, GROUPS(tall, w->s.steps * vectors * LANES), all_steps, w);
    }
    free(memory);
    return results;
}

/* The arguments lie in the order of the function: gates, h0, [c0,] w_hh, then what `last` is, batch_sizes, reverse. */
static PyObject *run(Forward *w, PyObject *const *args, Py_ssize_t count, PyObject *last) {
    int lstm = w->kind == LSTM;
    PyArrayObject *state = (PyArrayObject *)args[1], *arrays[5] = {0};
    PyObject *results = NULL;
    w->gates = GATES(w->kind);
    if (!is_array(args[1]) || !read_sequence(args[count - 2], args[count - 1], state, &w->s)) return NULL;
    Index units = w->s.units, wide = w->gates * units;
    if ((arrays[0] = matrix(args[0], w->s.total, wide)) != NULL && (arrays[1] = matrix(args[1], w->s.batch, units)) != NULL &&
        (arrays[2] = matrix(args[2 + lstm], wide, units)) != NULL &&
        (!lstm || (arrays[3] = matrix(args[2], w->s.batch, units)) != NULL) &&
        (last == NULL || (arrays[4] = single(last)) != NULL)) {
        Py_XINCREF(arrays[4]);
        w->x = floats(arrays[0]), w->h0 = floats(arrays[1]);
        if (lstm) w->c0 = floats(arrays[3]);
        if (last) w->bias = floats(arrays[4]);
        if (last == NULL || PyArray_SIZE(arrays[4]) == wide) results = compute(w, floats(arrays[2]));
    } else arrays[4] = NULL;
    for (int k = 0; k < 5; k++) Py_XDECREF(arrays[k]);
    free_sequence(&w->s);
    return results;
}

/* lstm_forward(gates, h0, c0, w_hh, w_hr, batch_sizes, reverse) */
static PyObject *lstm_forward(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Forward w = {.kind = LSTM};
    return count == 7 && !names && args[4] == Py_None ? run(&w, args, count, NULL) : NULL;
}

/* gru_forward(gates, h0, w_hh, b_hh, batch_sizes, reverse) */
static PyObject *gru_forward(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Forward w = {.kind = GRU};
    return count == 6 && !names ? run(&w, args, count, args[3]) : NULL;
}

/* rnn_forward(gates, h0, w_hh, relu, batch_sizes, reverse) */
static PyObject *rnn_forward(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (count != 6 || names || !PyBool_Check(args[3])) return NULL;
    Forward w = {.kind = args[3] == Py_True ? RELU : TANH};
    return run(&w, args, count, NULL);
}

const Entry recurrent_entries[] = {
    {"lstm_forward", lstm_forward},
    {"gru_forward", gru_forward},
    {"rnn_forward", rnn_forward},
    {NULL},
};
