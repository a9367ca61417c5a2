/* What the generated loops say about themselves. */
#ifndef FLOWTORCH_POINTWISE_H
#define FLOWTORCH_POINTWISE_H
#include "kernel.h"

#define INPUTS 4
#define PARAMETERS 4
#define VARIANTS 4

/* Contiguous elements: p[0..inputs-1] are read, p[inputs] is written and may be one of them; s are the parameters. */
typedef void (*Loop)(char *const *p, Index n, const double *s);

typedef struct {
    signed char in[INPUTS], out; /* dtype codes */
    Loop loop;                   /* NULL closes the list */
    Loop streamed;               /* the same past the caches, for results that begin a line; NULL: in blocks */
} Variant;

typedef struct {
    int inputs, parameters;
    Index grain; /* elements that are worth a thread */
    const char *names[PARAMETERS];
    double defaults[PARAMETERS];
    Variant variants[VARIANTS + 1];
} Pointwise;

PyObject *pointwise_run(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
#endif
