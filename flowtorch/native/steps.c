/* A step of an optimiser over all parameters of a group, in one call: gathering, counting, updating.

The update itself is a function that optim/native.py has compiled from the optimiser's formula. A plan says which one,
for which options of the group; rows that are not all alike are left to Python. */
#include "calls.h"

typedef int64_t (*Rows)(int64_t count, const void *const *arrays, int64_t part, int64_t parts, int64_t limit,
                        const double *numbers);

enum { SNAPSHOT, NAMES, STEP, ADDRESS, NUMBERS, WRITES, FIELDS };     /* of a plan, a tuple; see optim/planned.py */
#define MOST_ARRAYS 8
#define MOST_NUMBERS 16
#define PARALLEL (1 << 20)              /* elements from which threads share a step */

typedef struct {
    PyObject *tensors[MOST_ARRAYS], *step;
} Row;

/* Whether the group's options are the very objects that the plan was made for. */
static int is_current(PyObject *plan, PyObject *group) {
    PyObject *seen = PyTuple_GET_ITEM(plan, SNAPSHOT), *key, *value;
    Py_ssize_t at = 0, i = 0, n = PyTuple_GET_SIZE(seen);
    if (PyDict_GET_SIZE(group) != n) return 0;
    while (PyDict_Next(group, &at, &key, &value))
        if (PyTuple_GET_ITEM(seen, i++) != value) return 0;
    return 1;
}

static int is_like(PyObject *t, PyObject *param) {
    if (t == NULL || !is_tensor(t) || SLOT(t, in_tensor.type) != SLOT(param, in_tensor.type)) return 0;
    PyArrayObject *a = ARRAY(t);
    return is_array((PyObject *)a) && is_contiguous(a) && same_shape(a, ARRAY(param));
}

/* The count of steps in a 0-d tensor; -1: it is something else. */
static double count_in(PyObject *t) {
    if (t == NULL || !is_tensor(t) || !is_simple(SLOT(t, in_tensor.type))) return -1;
    PyArrayObject *a = ARRAY(t);
    if (!is_array((PyObject *)a) || PyArray_SIZE(a) != 1) return -1;
    return PyArray_TYPE(a) == NPY_FLOAT    ? *(float *)PyArray_DATA(a)
           : PyArray_TYPE(a) == NPY_DOUBLE ? *(double *)PyArray_DATA(a)
                                           : -1;
}

/* The parameters that have a gradient, with what belongs to them; -1: not for here. */
static Py_ssize_t gather(PyObject *plan, PyObject *params, PyObject *state, Row *rows, double *count) {
    PyObject *names = PyTuple_GET_ITEM(plan, NAMES), *step = PyTuple_GET_ITEM(plan, STEP), *type = NULL;
    Py_ssize_t n = 0, width = PyTuple_GET_SIZE(names);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(params); i++) {
        PyObject *p = PyList_GET_ITEM(params, i), *kept = NULL;
        if (!is_tensor(p)) return -1;
        PyObject *grad = SLOT(p, in_tensor.grad);
        if (grad == Py_None) continue;
        if (type == NULL) type = SLOT(p, in_tensor.type);
        if (SLOT(p, in_tensor.type) != type || !is_simple(type) || !is_like(p, p) || !is_like(grad, p) ||
            !PyArray_ISWRITEABLE(ARRAY(p)))
            return -1;
        Row *row = rows + n++;
        row->tensors[0] = p;
        row->tensors[1] = grad;
        if ((width || step != Py_None) &&
            ((kept = PyDict_GetItemWithError(state, p)) == NULL || !PyDict_CheckExact(kept)))
            return -1;
        for (Py_ssize_t k = 0; k < width; k++) {
            PyObject *t = row->tensors[2 + k] = PyDict_GetItemWithError(kept, PyTuple_GET_ITEM(names, k));
            if (!is_like(t, p) || !PyArray_ISWRITEABLE(ARRAY(t))) return -1;
        }
        if (step == Py_None) continue;
        double now = count_in(row->step = PyDict_GetItemWithError(kept, step));
        if (now < 0 || (n > 1 && now != *count)) return -1;
        *count = now;
    }
    return n;
}

/* The numbers of the formula at this step. */
static int read_numbers(PyObject *plan, double step, double *numbers) {
    PyObject *values = PyTuple_GET_ITEM(plan, NUMBERS);
    if (PyTuple_CheckExact(values)) Py_INCREF(values);
    else {
        PyObject *count = PyFloat_FromDouble(step);
        values = count ? PyObject_CallOneArg(values, count) : NULL;
        Py_XDECREF(count);
    }
    int n = values && PyTuple_CheckExact(values) && PyTuple_GET_SIZE(values) <= MOST_NUMBERS ? (int)PyTuple_GET_SIZE(values) : -1;
    for (int i = 0; i < n; i++) {
        PyObject *value = PyTuple_GET_ITEM(values, i);
        if (!PyFloat_CheckExact(value) && !PyLong_CheckExact(value)) n = -1;
        else numbers[i] = PyFloat_AsDouble(value);
    }
    Py_XDECREF(values);
    return n;
}

typedef struct {
    Rows function;
    int64_t count, parts;
    const void *const *arrays;
    const double *numbers;
} Shares;

static void update_shares(void *context, Index begin, Index end) {
    const Shares *s = context;
    for (Index part = begin; part < end; part++) s->function(s->count, s->arrays, part, s->parts, 0, s->numbers);
}

/* 1: done, 0: the arrays do not lie as the function expects. */
static int update(Rows function, Py_ssize_t n, const Row *rows, Py_ssize_t width, const double *numbers) {
    const void **arrays = PyMem_Malloc(n * width * sizeof *arrays);
    if (arrays == NULL) return 0;
    for (Py_ssize_t k = 0; k < width; k++)
        for (Py_ssize_t i = 0; i < n; i++) arrays[k * n + i] = ARRAY(rows[i].tensors[k]);
    int64_t outcome = function(n, arrays, 0, 0, PARALLEL, numbers);
    if (outcome == 1) {
        Shares shares = {function, n, 4 * threads_get(), arrays, numbers};
        for (Py_ssize_t i = 0; i < n * width; i++) Py_INCREF((PyObject *)arrays[i]);   /* the GIL is released */
        parallel_for(shares.parts, 1, update_shares, &shares);
        for (Py_ssize_t i = 0; i < n * width; i++) Py_DECREF((PyObject *)arrays[i]);
        outcome = 0;
    }
    PyMem_Free(arrays);
    return outcome == 0;
}

static int raise_versions(PyObject *plan, Py_ssize_t n, const Row *rows) {
    PyObject *writes = PyTuple_GET_ITEM(plan, WRITES);
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(writes); k++)
        for (Py_ssize_t i = 0; i < n; i++)
            if (raise_version(rows[i].tensors[PyLong_AsSsize_t(PyTuple_GET_ITEM(writes, k))]) < 0) return -1;
    if (PyTuple_GET_ITEM(plan, STEP) == Py_None) return 0;
    for (Py_ssize_t i = 0; i < n; i++)
        if (raise_version(rows[i].step) < 0) return -1;
    return 0;
}

static PyObject *step(PyObject *module, PyObject *const *args, Py_ssize_t argc) {
    if (argc != 4 || !PyTuple_CheckExact(args[0]) || PyTuple_GET_SIZE(args[0]) != FIELDS || !PyDict_CheckExact(args[1]) ||
        !PyList_CheckExact(args[2]) || !PyDict_Check(args[3])) {
        PyErr_SetString(PyExc_TypeError, "step(plan, group, params, state)");
        return NULL;
    }
    PyObject *plan = args[0], *params = args[2];
    Row few[32], *rows = few;
    double numbers[MOST_NUMBERS], count = 0;
    int done = 0;
    Py_ssize_t width = 2 + PyTuple_GET_SIZE(PyTuple_GET_ITEM(plan, NAMES));
    Rows function = (Rows)PyLong_AsVoidPtr(PyTuple_GET_ITEM(plan, ADDRESS));
    if (!is_current(plan, args[1])) Py_RETURN_NONE;
    if (function == NULL || !nobody_listens() || width > MOST_ARRAYS) Py_RETURN_FALSE;
    if (PyList_GET_SIZE(params) > 32 && (rows = PyMem_Malloc(PyList_GET_SIZE(params) * sizeof *rows)) == NULL)
        return PyErr_NoMemory();
    Py_ssize_t n = gather(plan, params, args[3], rows, &count);
    if (n == 0) done = 1;
    else if (n > 0 && read_numbers(plan, count + 1, numbers) >= 0 && update(function, n, rows, width, numbers)) {
        done = 1;
        for (Py_ssize_t i = 0; i < n && PyTuple_GET_ITEM(plan, STEP) != Py_None; i++) {
            PyArrayObject *a = ARRAY(rows[i].step);
            if (PyArray_TYPE(a) == NPY_FLOAT) *(float *)PyArray_DATA(a) = (float)(count + 1);
            else *(double *)PyArray_DATA(a) = count + 1;
        }
        if (raise_versions(plan, n, rows) < 0) done = -1;
    }
    if (rows != few) PyMem_Free(rows);
    if (done < 0 || PyErr_Occurred()) return NULL;
    return PyBool_FromLong(done);
}

/* Whether there is nothing to clear but gradients that nobody else needs to see go. */
static PyObject *drop_gradients(PyObject *module, PyObject *params) {
    if (!PyList_CheckExact(params)) Py_RETURN_FALSE;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(params); i++) {
        PyObject *p = PyList_GET_ITEM(params, i);
        if (!is_tensor(p) || SLOT(SLOT(p, in_tensor.type), in_type.fast) != Py_True) Py_RETURN_FALSE;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(params); i++)
        set_slot(PyList_GET_ITEM(params, i), in_tensor.grad, new_reference(Py_None));
    Py_RETURN_TRUE;
}

static PyMethodDef functions[] = {
    {"step", (PyCFunction)(void (*)(void))step, METH_FASTCALL,
     "step(plan, group, params, state): None if the plan is not for these options, False if Python must do the step."},
    {"drop_gradients", drop_gradients, METH_O, "drop_gradients(params): False, with nothing done, if some are odd."},
    {NULL},
};

int steps_register(PyObject *module) { return PyModule_AddFunctions(module, functions); }
