/* The fast path of calls on tensors, in C. */
#include "kernel.h"

int calls_register(PyObject *module) { return 0; }
