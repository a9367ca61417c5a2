/* What the forward and the backward pass of recurrent layers share: the steps of a sequence, and products of a few rows. */
#ifndef FLOWTORCH_RECURRENT_H
#define FLOWTORCH_RECURRENT_H
#include "rows.h"

/* Steps in the order of computation: step s has rows[s] sequences, whose packed rows begin at start[s]. */
typedef struct {
    Index steps, batch, total, units;
    Index *start, *rows;
} Sequence;

/* Reads batch_sizes and reverse, for a state of (batch, units); 0: the call is not for here. */
int read_sequence(PyObject *sizes, PyObject *reverse, PyArrayObject *state, Sequence *s);
void free_sequence(Sequence *s);

/* The arrays of a call, which are let go of together; `missing` says that one was not for here. */
typedef struct { PyArrayObject *array[16]; int count, missing; } Held;
PyArrayObject *hold(Held *held, PyArrayObject *a);
void let_go(Held *held);

/* The numbers of a float32 matrix of these sizes, or of a row, in C order: of a copy if they lie otherwise. */
const float *take(Held *held, PyObject *x, Index rows, Index columns);
const float *take_row(Held *held, PyObject *x, Index n);

typedef enum { LSTM = 4, GRU = 3, TANH = 1, RELU = 2 } Kind; /* the gates, but for RELU */
#define GATES(kind) ((kind) == RELU ? 1 : (kind))

/* Rows of a product whose sums are in registers at once, `width` vectors a row. */
#define MOST_ROWS 8
#define MOST_WIDTH 4
#define FIT(width) ((WIDE ? 24 : 12) / (width))
#define ROWS_OF(width) (FIT(width) < MOST_ROWS ? FIT(width) : MOST_ROWS)
#define VECTORS(units) (((units) + LANES - 1) / LANES)

/* y += A B: A has `rows` rows of n numbers, lda apart; B has n rows of `width` vectors; y and B lie without gaps. */
void add_product(int rows, int width, Index n, const float *a, Index lda, const float *b, float *y);

/* A matrix of n columns in panels, each with the same few columns of all rows: at a vector begins one of so many. */
#define WIDTH 3
int width_at(Index vector, Index vectors);
void cut_columns(const float *b, Index rows, Index n, float *panels);

/* Room for `vectors` vectors at the beginning of a line of the cache; free() takes *memory. */
float *vectors_of_memory(Index vectors, void **memory);

/* Groups of rows that are worth a thread, where each row takes so many multiplications. */
#define GROUPS(rows, multiplications) (1 + 1000000 / ((rows) * (multiplications) + 1))

#endif
