/* Products of matrices of float32 in the C tier; the others are numpy's. */
#ifndef FLOWTORCH_PRODUCTS_H
#define FLOWTORCH_PRODUCTS_H
#include "kernel.h"

/* a @ b of two matrices; NULL with an exception set. */
PyArrayObject *matrix_product(PyArrayObject *a, PyArrayObject *b);
#endif
