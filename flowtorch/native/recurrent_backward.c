/* Recurrent layers backward: the product that carries the gradient to the step before, and the gates' gradients there.
 *
 * As in recurrent.c threads share the rows of the batch. What a product gives for some units is all that the gates of
 * the same units need at the step before, so it goes on at once. */
#include "recurrent.h"
#include <stdlib.h>

typedef struct {
    Kind kind;
    Index gates;
    Sequence s;
    const float *dy;                     /* NULL: none */
    const float *active, *share, *cells, *squashed, *output, *h0, *c0;
    const float *w_hh, *w_ih;            /* panels; NULL where the input needs no gradient */
    Index inputs;
    float *dgates, *dhidden, *dinput, *dh, *dc; /* dh: what reaches a state beside the product */
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
        if (d) add_product(rows, width, wide, d + r * wide, wide, w->w_hh + vector * LANES * wide, sums);
        for (int i = 0; i < rows; i++) pass_on(w, k, r + i, vector, width, sums + i * width * LANES);
    }
}

/* The gradient of the input for rows whose gates have theirs. */
static void input_rows(const Backward *w, Index begin, Index end) {
    Index n = w->inputs, vectors = VECTORS(n), wide = w->gates * w->s.units;
    float sums[MOST_ROWS * WIDTH * LANES] __attribute__((aligned(64)));
    for (Index v = 0; v < vectors; v += width_at(v, vectors)) {
        int width = width_at(v, vectors), tall = ROWS_OF(width);
        Index columns = n - v * LANES < width * LANES ? n - v * LANES : width * LANES;
        for (Index r = begin; r < end; r += tall) {
            int rows = end - r < tall ? (int)(end - r) : tall;
            memset(sums, 0, rows * width * LANES * sizeof(float));
            add_product(rows, width, wide, w->dgates + r * wide, wide, w->w_ih + v * LANES * wide, sums);
            for (int i = 0; i < rows; i++)
                memcpy(w->dinput + (r + i) * n + v * LANES, sums + i * width * LANES, columns * sizeof(float));
        }
    }
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
        if (w->w_ih && here > begin) input_rows(w, s->start[k] + begin, s->start[k] + here);
    }
}

static void compute(Backward *w, const float *w_hh, const float *w_ih) {
    Index units = w->s.units, wide = w->gates * units, vectors = VECTORS(units), more = w_ih ? VECTORS(w->inputs) : 0;
    void *memory;
    float *panels = vectors_of_memory((vectors + more) * wide, &memory);
    if (memory == NULL) {
        PyErr_NoMemory();
        return;
    }
    cut_columns(w_hh, wide, units, panels);
    w->w_hh = panels, panels += vectors * wide * LANES;
    if (w_ih) cut_columns(w_ih, wide, w->inputs, panels), w->w_ih = panels;
    Index groups = (w->s.batch + MOST_ROWS - 1) / MOST_ROWS;
    parallel_for(groups, GROUPS(MOST_ROWS, w->s.steps * (vectors + more) * wide * LANES), all_steps, w);
    free(memory);
}

static float *held_memory(Held *held, Index rows, Index columns) {
    PyArrayObject *a = hold(held, new_array(NPY_FLOAT, 2, (Index[]){rows, columns}));
    return a ? floats(a) : NULL;
}

/* A copy of the gradient that a last state has, to work in; zeros for None. */
static float *gradient_of_last(Held *held, PyObject *g, Index rows, Index columns) {
    Held its = {0};
    const float *from = g == Py_None ? NULL : take(&its, g, rows, columns);
    float *to = its.missing ? NULL : held_memory(held, rows, columns);
    if (to && from) memcpy(to, from, rows * columns * sizeof(float));
    else if (to) memset(to, 0, rows * columns * sizeof(float));
    held->missing |= its.missing;
    let_go(&its);
    return to;
}

/* Where the arguments of a call are: the same in all three up to what the kinds do not have. */
typedef struct { PyObject *dy, *dh, *dc, *output, *active, *share, *cells, *squashed, *h0, *c0, *w_hh, *w_ih; } Arguments;

static void read_arguments(Backward *w, const Arguments *a, Held *held) {
    Index total = w->s.total, batch = w->s.batch, units = w->s.units, wide = w->gates * units;
    if (a->dy != Py_None) w->dy = take(held, a->dy, total, units);
    w->output = take(held, a->output, total, units), w->h0 = take(held, a->h0, batch, units);
    if (a->active) w->active = take(held, a->active, total, wide);
    if (a->share) w->share = take(held, a->share, total, units);
    if (a->cells == NULL) return;
    w->cells = take(held, a->cells, total, units), w->squashed = take(held, a->squashed, total, units);
    w->c0 = take(held, a->c0, batch, units);
}

/* The results begin with the gradients of the gates and of the first h; then come, as far as there are any, those of
 * the first c, of the hidden share, and of the input (None if it needs none); an LSTM's end with None. */
static PyObject *make_results(const Backward *w, Held *held, int first, int dinput) {
    PyObject *found[5];
    int n = 0;
    for (; first + n < held->count; n++) found[n] = (PyObject *)held->array[first + n];
    if (!dinput) found[n++] = Py_None;
    if (w->kind == LSTM) found[n++] = Py_None;
    PyObject *results = PyTuple_New(n);
    for (int k = 0; results && k < n; k++) PyTuple_SET_ITEM(results, k, Py_NewRef(found[k]));
    return results;
}

static PyObject *run(Backward *w, const Arguments *a, PyObject *const *ending) {
    PyArrayObject *w_ih = (PyArrayObject *)a->w_ih;
    int dinput = a->w_ih != Py_None;
    if (!is_array(a->h0) || (dinput && (!is_array(a->w_ih) || PyArray_NDIM(w_ih) != 2)) ||
        !read_sequence(ending[0], ending[1], (PyArrayObject *)a->h0, &w->s)) return NULL;
    Index total = w->s.total, batch = w->s.batch, units = w->s.units, wide = (w->gates = GATES(w->kind)) * units;
    Held held = {0};
    PyObject *results = NULL;
    w->inputs = dinput ? PyArray_DIM(w_ih, 1) : 0;
    read_arguments(w, a, &held);
    const float *hidden = take(&held, a->w_hh, wide, units), *input = dinput ? take(&held, a->w_ih, wide, w->inputs) : NULL;
    int first = held.count;
    w->dgates = w->dhidden = held_memory(&held, total, wide);
    w->dh = gradient_of_last(&held, a->dh, batch, units);
    if (a->c0) w->dc = gradient_of_last(&held, a->dc, batch, units);
    if (w->kind == GRU) w->dhidden = held_memory(&held, total, wide);
    if (dinput) w->dinput = held_memory(&held, total, w->inputs);
    if (!held.missing) {
        compute(w, hidden, input);
        if (!PyErr_Occurred()) results = make_results(w, &held, first, dinput);
    }
    let_go(&held);
    free_sequence(&w->s);
    return results;
}

/* lstm_backward(dy, dh, dc, output, gates, cells, squashed, h0, c0, w_hh, w_ih, w_hr, batch_sizes, reverse) */
static PyObject *lstm_backward(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Backward w = {.kind = LSTM};
    if (count != 14 || names || args[11] != Py_None) return NULL;
    Arguments a = {args[0], args[1], args[2], args[3], args[4], NULL, args[5], args[6], args[7], args[8], args[9], args[10]};
    return run(&w, &a, args + 12);
}

/* gru_backward(dy, dh, output, gates, share, h0, w_hh, w_ih, batch_sizes, reverse) */
static PyObject *gru_backward(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Backward w = {.kind = GRU};
    if (count != 10 || names) return NULL;
    Arguments a = {args[0], args[1], NULL, args[2], args[3], args[4], NULL, NULL, args[5], NULL, args[6], args[7]};
    return run(&w, &a, args + 8);
}

/* rnn_backward(dy, dh, output, h0, w_hh, w_ih, relu, batch_sizes, reverse) */
static PyObject *rnn_backward(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (count != 9 || names || !PyBool_Check(args[6])) return NULL;
    Backward w = {.kind = args[6] == Py_True ? RELU : TANH};
    Arguments a = {args[0], args[1], NULL, args[2], NULL, NULL, NULL, NULL, args[3], NULL, args[4], args[5]};
    return run(&w, &a, args + 7);
}

const Entry recurrent_backward_entries[] = {
    {"lstm_backward", lstm_backward},
    {"gru_backward", gru_backward},
    {"rnn_backward", rnn_backward},
    {NULL},
};
