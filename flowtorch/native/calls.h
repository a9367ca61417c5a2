/* What the fast calls share: where Tensor, Node and TensorType keep their slots, and the callable itself.

A fast call does in C what the Python closures of ops/fast_*.py do, for the same common case: plain tensors, nobody
listening, no out=. Everything else, and every failure, goes to the Python closure, which therefore says what a call
means; a fast call is never more than its short cut. */
#ifndef FLOWTORCH_CALLS_H
#define FLOWTORCH_CALLS_H

#include "kernel.h"
#define PY_UFUNC_UNIQUE_SYMBOL flowtorch_native_ufunc_api
#ifndef FLOWTORCH_CALLS
#define NO_IMPORT_UFUNC
#endif
#include <numpy/ufuncobject.h>

/* Byte offsets of slots (members of classes with __slots__), found once when the package configures the module. */
struct tensor_slots { Py_ssize_t array, counter, grad, node, requires_grad, type, view; };
struct node_slots { Py_ssize_t edges, hooks, out, params, saved, seq, shape, shapes, type, versions; };
struct type_slots { Py_ssize_t device, dtype, fast, numpy, scalars, simple; };
extern struct tensor_slots in_tensor;
extern struct node_slots in_node;
extern struct type_slots in_type;
#define SLOT(object, offset) (*(PyObject **)((char *)(object) + (offset)))
#define ARRAY(tensor) ((PyArrayObject *)SLOT(tensor, in_tensor.array))

extern PyTypeObject *Tensor, *SizeType;  /* flowtorch.Tensor, flowtorch.Size */
extern PyObject *active;                /* overrides.active: a list, empty in the common case */
extern PyObject *grad_mode, *sequence_call; /* the context variable; what numbers nodes instead of the counter, or NULL */
extern PyObject *empty_tuple, *zero, *name_no_grad, *name_rank;
extern unsigned epoch;                  /* raised when plans are forgotten */

typedef struct Call Call;

/* How operands of one type are computed: by a ufunc's inner loop, by a native kernel, or not here. */
typedef struct {
    PyObject *type, *plan;              /* the operands' TensorType, and what the op's dict holds for it */
    unsigned epoch;
    enum { NOT_HERE, LOOP, KERNEL } how;
    PyUFuncGenericFunction loop;
    void *data;
    int number;                         /* numpy's number of the operands' dtype */
    PyArray_Descr *out;
    PyObject *kernel, *result;          /* borrowed from the plan; `result` is the result's TensorType */
    int inexact;                        /* the result may carry a gradient */
} Plan;

#define PLANS 4
#define TENSORS 8                       /* tensor parameters of ops that are recorded here */
struct Call {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *fallback, *op, *weakrefs;
    PyObject *plans[3];                 /* the op's dicts: beside a tensor, a float, an int */
    Plan known[3][PLANS];               /* beside a tensor, a float, an int */
    /* read from the record when the first call is recorded: derivatives may be given after the op is defined */
    int ready, differentiable, wants_out, wants_params, wants_shapes, simple;   /* simple: nothing is kept but shapes */
    unsigned saver[TENSORS], out_savers;    /* bit j of saver[i]: tensor i is kept for the gradient of tensor j */
    int savers;                             /* whether any tensor is kept */
    PyTypeObject *node_class;
    int reverse;
    /* calls with parameters: views, reductions, general ops */
    PyObject *body, *names, *defaults, *rest, *wrap, *compile_recorder, *recorder;
    unsigned body_epoch;
    int tensors, many, positional, code;    /* `tensors`: a bit for each parameter that holds one */
    int count, place[TENSORS];              /* which parameters these are, in the order of the edges */
};
extern PyTypeObject CallType;

Call *new_call(PyObject *fallback, PyObject *op, vectorcallfunc function);
PyObject *new_tensor(PyObject *array, PyObject *type);                          /* steals array */
PyObject *new_node(PyTypeObject *cls, PyObject *edges, PyArrayObject *result, PyObject *type);  /* steals edges */
Py_ssize_t offset_of(PyObject *cls, const char *slot);                            /* -1 with an exception: there is none */
int grad_enabled(void);
int read_record(Call *self);
int keep_output(PyObject *node, PyObject *tensor);
int raise_version(PyObject *tensor);
PyObject *shape_and_dtype(PyObject *tensor);                                     /* what nodes keep of a shape */
int edge_of(PyObject *tensor, PyObject **edge);                                 /* new reference or NULL: none */
PyObject *fall_back(Call *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);

static inline int is_tensor(PyObject *x) { return Py_TYPE(x) == Tensor || PyType_IsSubtype(Py_TYPE(x), Tensor); }
static inline int wants_gradient(PyObject *t) {
    return SLOT(t, in_tensor.requires_grad) == Py_True || SLOT(t, in_tensor.view) != Py_None;
}
static inline PyObject *version_of(PyObject *t) {                               /* borrowed */
    PyObject *c = SLOT(t, in_tensor.counter);
    return PyLong_CheckExact(c) ? c : PyList_GET_ITEM(c, 0);
}
static inline void set_slot(PyObject *object, Py_ssize_t offset, PyObject *value) {     /* steals value */
    PyObject *old = SLOT(object, offset);
    SLOT(object, offset) = value;
    Py_XDECREF(old);
}
static inline PyObject *new_reference(PyObject *x) { Py_INCREF(x); return x; }
static inline int is_simple(PyObject *type) { return SLOT(type, in_type.simple) == Py_True; }
static inline int nobody_listens(void) { return PyList_GET_SIZE(active) == 0; }

int pointwise_register(PyObject *module);
int views_register(PyObject *module);
int general_register(PyObject *module);
int products_register(PyObject *module);
int attributes_register(PyObject *module);
int engine_register(PyObject *module);
int formulas_register(PyObject *module);
int steps_register(PyObject *module);
int new_register(PyObject *module);
int ternary_register(PyObject *module);
#endif
