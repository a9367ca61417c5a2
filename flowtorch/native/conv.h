/* What the two ways of convolving share: the geometry, and the padded planes that both read the input from. */
#ifndef FLOWTORCH_CONV_H
#define FLOWTORCH_CONV_H
#include "rows.h"

#define CHUNK 512 /* output positions that are computed before they are stored */
#define SLACK (2 * CHUNK) /* numbers behind the planes that may be read */

typedef struct {
    Index n, groups, c, f; /* images; channels in and out of each group */
    Index size[2], out[2], kernel[2], stride[2], padding[2], dilation[2];
    Index rows, pitch, plane; /* of one remainder's plane; all planes of a channel */
    uint64_t read[2]; /* bits: which remainders a tap reads */
} Geometry;

typedef struct { const Geometry *g; const float *x; float *planes; } Fill;

/* The planes of channels [begin, end). */
void fill_planes(void *context, Index begin, Index end);

/* Where tap (i, j) of a channel lies in its planes. */
static inline Index tap(const Geometry *g, Index i, Index j) {
    Index y = i * g->dilation[0], x = j * g->dilation[1], sy = g->stride[0], sx = g->stride[1];
    return ((y % sy * sx + x % sx) * g->rows + y / sy) * g->pitch + x / sx;
}

/* ---- convolution as products of matrices (conv_columns.c): the result in `out`; 0 with an exception set */

/* Whether products are the faster way: the runs of memory are short, or each weight meets few positions. */
int columns_suit(const Geometry *g);
int columns_forward(const Geometry *g, const float *x, PyArrayObject *weight, const float *bias, float *out);
int columns_input(const Geometry *g, const float *grad, PyArrayObject *weight, float *out);
int columns_weight(const Geometry *g, const float *grad, const float *x, PyArrayObject *out);
#endif
