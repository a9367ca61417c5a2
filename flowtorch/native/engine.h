/* Backward in C: what the loop (engine.c) and the formulas (formulas.c) tell each other. */
#ifndef FLOWTORCH_ENGINE_H
#define FLOWTORCH_ENGINE_H

#include "calls.h"

/* How the gradients of one kind of node are computed here, and the fast calls that this takes. */
typedef struct Formula Formula;
struct Formula {
    /* Sets grads[0..] (new references, NULL for none) for each edge; 0: the node's `apply` must look at this. */
    int (*derive)(Formula *self, PyObject *node, PyObject *g, PyObject **grads);
    PyObject *calls[4];
};

Formula *formula_of(PyTypeObject *node_class);              /* NULL: there is none */
PyObject *binary_of(PyObject *call, PyObject *a, PyObject *b);  /* calls_pointwise.c: NULL without an error: not here */
int add_into(PyArrayObject *to, PyArrayObject *from);       /* calls_pointwise.c: 0 if they do not lie alike */

static inline int is_real(PyArrayObject *a) { return PyArray_TYPE(a) == NPY_FLOAT || PyArray_TYPE(a) == NPY_DOUBLE; }

#endif
