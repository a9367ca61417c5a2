/* What the ways of convolving share: the geometry, the padded planes that they read the input from, and their tasks. */
#ifndef FLOWTORCH_CONV_H
#define FLOWTORCH_CONV_H
#include "rows.h"

#define SLACK 1024 /* numbers behind the planes that may be read */

typedef struct {
    Index n, groups, c, f; /* images; channels in and out of each group */
    Index size[2], out[2], kernel[2], stride[2], padding[2], dilation[2];
    Index rows, pitch, plane; /* of one remainder's plane; all planes of a channel */
    uint64_t read[2]; /* bits: which remainders a tap reads */
} Geometry;

/* y[f][p] = bias[f] + sum over k of w[f][k] * x[off[k] + p], for positions p in `rows` of `columns`, `pitch` apart. */
typedef struct {
    const float *x, *w, *bias; /* w: [group][f][k]; the bias may be missing */
    float *y;
    const int32_t *off;
    Index k, f, groups, pitch, rows, columns;
    Index x_image, x_group; /* steps, in numbers */
    Index y_image, y_channel, y_row, y_column;
    int bounded; /* nothing may be read behind the last image */
} Correlation;

/* sums[f][k] += sum over images and positions p of grad[f][p] * planes[off[k] + p]. */
typedef struct {
    const float *grad, *planes; /* grad: [image][group][f][line][column] */
    const int32_t *off;
    Index images, k, f, groups, lines, columns, pitch;
    Index plane_image, plane_group;
} Products;

/* ---- few channels (conv_direct.c); 0 means that there is no memory */
int correlate_direct(const Correlation *w, Index images);
int products_direct(const Products *w, double *sums);

/* ---- many channels (conv_panels.c); 0 means that there is no memory */

/* Whether panels are the faster way. */
int panels_suit(Index channels, Index positions);
int correlate_panels(const Correlation *w, Index images);
/* The sums are made when there are none (NULL), and are in an order of their own. */
int products_panels(const Products *w, float **sums);
/* Puts the sums in order: [group][f][k], or [group][k][f]. */
void order_sums(const Products *w, const float *sums, float *out, int taps_first);
#endif
