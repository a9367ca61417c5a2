/* The products of numpy's own BLAS, called from C: for matrices so small that numpy's call would be a good part of it. */
#ifndef FLOWTORCH_BLAS_H
#define FLOWTORCH_BLAS_H
#include "kernel.h"

/* Whether numpy's BLAS was found; else there are no products here. */
int blas_found(void);

/* C = alpha * A B + beta * C for row-major float32 matrices with rows lda, ldb, ldc numbers apart: (m, k), (k, n), (m, n).
 * `turned` says that A lies as (k, m) if it has the first bit, and B as (n, k) if it has the second. */
void blas_product(int turned, Index m, Index n, Index k, float alpha, const float *a, Index lda, const float *b, Index ldb,
                  float beta, float *c, Index ldc);

/* Between the two, BLAS computes on the calling thread alone: for loops that are shared among threads themselves. */
void blas_alone(void);
void blas_shared(void);

#endif
