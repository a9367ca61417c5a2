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

/* A float32 matrix of these sizes in C order, a new reference (a copy of one in another order); NULL: not for here. */
PyArrayObject *matrix(PyObject *x, Index rows, Index columns);

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

/* Room for `vectors` vectors at the beginning of a line of the cache; free() takes *memory. */
float *vectors_of_memory(Index vectors, void **memory);

/* Groups of rows that are worth a thread, where each row takes so many multiplications. */
#define GROUPS(rows, multiplications) (1 + 1000000 / ((rows) * (multiplications) + 1))

#endif
