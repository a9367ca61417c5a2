/* Fast calls of view ops and of basic indexing: the same memory under another shape. */
#include "calls.h"

/* How the view's array is found: by the op's body in Python, or here for the commonest ones. */
enum { BODY, SHAPE, SWAP_TWO, SWAP, ORDER, INSERT };

/* ---- arrays over the same memory */

static PyObject *array_over(PyArrayObject *a, int ndim, npy_intp *shape, npy_intp *strides, char *data) {
    PyArray_Descr *descr = PyArray_DESCR(a);
    Py_INCREF(descr);
    PyObject *view = PyArray_NewFromDescr(&PyArray_Type, descr, ndim, shape, strides, data,
                                          PyArray_FLAGS(a) & NPY_ARRAY_WRITEABLE, NULL);
    if (view != NULL && PyArray_SetBaseObject((PyArrayObject *)view, new_reference((PyObject *)a)) < 0) Py_CLEAR(view);
    return view;
}

/* Exact Python ints from `items`; 0 if there is anything else. */
static int take_ints(PyObject *const *items, Py_ssize_t count, npy_intp *values) {
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!PyLong_CheckExact(items[i])) return 0;
        values[i] = PyLong_AsSsize_t(items[i]);
        if (values[i] == -1 && PyErr_Occurred()) return 0;
    }
    return 1;
}

static int take_dim(PyObject *item, int ndim, int *dim) {
    npy_intp d;
    if (!take_ints(&item, 1, &d) || d < -ndim || d >= ndim) return 0;
    *dim = (int)(d < 0 ? d + ndim : d);
    return 1;
}

static PyObject *reshaped(PyArrayObject *a, PyObject *const *items, Py_ssize_t count) {
    npy_intp shape[NPY_MAXDIMS], strides[NPY_MAXDIMS], known = 1, size = PyArray_SIZE(a);
    Py_ssize_t open = -1;
    if (count > NPY_MAXDIMS || !take_ints(items, count, shape) || !PyArray_IS_C_CONTIGUOUS(a) || size == 0) return NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (shape[i] == -1 && open < 0) open = i;
        else if (shape[i] <= 0) return NULL;
        else if (known > size) return NULL;
        else known *= shape[i];
    }
    if (open >= 0) {
        if (size % known) return NULL;
        shape[open] = size / known;
    } else if (known != size) return NULL;
    npy_intp step = PyArray_ITEMSIZE(a);
    for (Py_ssize_t i = count - 1; i >= 0; i--) {
        strides[i] = step;
        step *= shape[i];
    }
    return array_over(a, (int)count, shape, strides, PyArray_BYTES(a));
}

static PyObject *permuted(PyArrayObject *a, const int *order) {
    npy_intp shape[NPY_MAXDIMS], strides[NPY_MAXDIMS];
    int ndim = PyArray_NDIM(a);
    for (int i = 0; i < ndim; i++) {
        shape[i] = PyArray_DIM(a, order[i]);
        strides[i] = PyArray_STRIDE(a, order[i]);
    }
    return array_over(a, ndim, shape, strides, PyArray_BYTES(a));
}

static PyObject *ordered(PyArrayObject *a, PyObject *const *items, Py_ssize_t count) {
    int order[NPY_MAXDIMS], seen[NPY_MAXDIMS] = {0}, ndim = PyArray_NDIM(a);
    if (count != ndim) return NULL;
    for (int i = 0; i < ndim; i++)
        if (!take_dim(items[i], ndim, &order[i]) || seen[order[i]]++) return NULL;
    return permuted(a, order);
}

static PyObject *swapped(PyArrayObject *a, int x, int y) {
    int order[NPY_MAXDIMS], ndim = PyArray_NDIM(a);
    for (int i = 0; i < ndim; i++) order[i] = i == x ? y : i == y ? x : i;
    return permuted(a, order);
}

static PyObject *inserted(PyArrayObject *a, int dim) {
    npy_intp shape[NPY_MAXDIMS + 1], strides[NPY_MAXDIMS + 1];
    int ndim = PyArray_NDIM(a);
    if (ndim == NPY_MAXDIMS) return NULL;
    for (int i = 0; i <= ndim; i++) {
        shape[i] = i == dim ? 1 : PyArray_DIM(a, i - (i > dim));
        strides[i] = i == dim ? (dim < ndim ? PyArray_DIM(a, dim) * PyArray_STRIDE(a, dim) : PyArray_ITEMSIZE(a))
                              : PyArray_STRIDE(a, i - (i > dim));
    }
    return array_over(a, ndim + 1, shape, strides, PyArray_BYTES(a));
}

/* The view's array from the op's arguments; NULL: ask the Python closure. */
static PyObject *view_array(Call *self, PyArrayObject *a, PyObject *const *items, Py_ssize_t count) {
    int x, y, ndim = PyArray_NDIM(a);
    switch (self->code) {
        case SHAPE: return reshaped(a, items, count);
        case ORDER: return ordered(a, items, count);
        case SWAP_TWO: return ndim == 2 && count == 0 ? swapped(a, 0, 1) : NULL;
        case SWAP: return count == 2 && take_dim(items[0], ndim, &x) && take_dim(items[1], ndim, &y) ? swapped(a, x, y) : NULL;
        case INSERT: return count == 1 && take_dim(items[0], ndim + 1, &x) ? inserted(a, x) : NULL;
    }
    return NULL;
}

/* ---- the tensor around it: shared version, and how to make the view again */

static PyObject *view_tensor(PyObject *input, PyObject *array, PyObject *function, PyObject *params, int recording) {
    PyObject *t = new_tensor(array, SLOT(input, in_tensor.type)), *counter = SLOT(input, in_tensor.counter);
    if (t == NULL) return NULL;
    if (PyLong_CheckExact(counter)) {
        PyObject *shared = PyList_New(1);
        if (shared == NULL) goto failed;
        PyList_SET_ITEM(shared, 0, new_reference(counter));
        set_slot(input, in_tensor.counter, shared);
        counter = shared;
    }
    set_slot(t, in_tensor.counter, new_reference(counter));
    PyObject *parent = SLOT(input, in_tensor.view), *root = parent != Py_None ? parent : NULL;
    PyObject *origin = !recording ? name_no_grad : root ? PyTuple_GET_ITEM(parent, 1) : Py_None;
    PyObject *view = PyTuple_Pack(6, root ? PyTuple_GET_ITEM(parent, 0) : input, origin, PyList_GET_ITEM(counter, 0),
                                  parent, function, params);
    if (view == NULL) goto failed;
    set_slot(t, in_tensor.view, view);
    return t;
failed:
    Py_DECREF(t);
    return NULL;
}

static int record_view(PyObject *t, PyObject *edge, PyTypeObject *cls, PyObject *params, PyObject *shapes) {
    PyObject *edges = PyTuple_New(1), *n = NULL;
    if (edges == NULL) Py_DECREF(edge);
    else {
        PyTuple_SET_ITEM(edges, 0, edge);
        n = new_node(cls, edges, ARRAY(t), SLOT(t, in_tensor.type));
    }
    if (n == NULL || shapes == NULL) {
        Py_XDECREF(n);
        Py_XDECREF(shapes);
        return -1;
    }
    SLOT(n, in_node.saved) = new_reference(empty_tuple);
    SLOT(n, in_node.params) = new_reference(params);
    SLOT(n, in_node.shapes) = shapes;
    set_slot(t, in_tensor.node, n);
    set_slot(t, in_tensor.requires_grad, new_reference(Py_True));
    return 0;
}

static PyObject *shape_of(PyObject *t) { return PyArray_IntTupleFromIntp(PyArray_NDIM(ARRAY(t)), PyArray_DIMS(ARRAY(t))); }

static PyObject *view_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    Call *self = (Call *)callable;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf) - 1;
    if (count < 0 || kwnames != NULL || !nobody_listens() || !is_tensor(args[0])) goto python;
    PyObject *input = args[0], *type = SLOT(input, in_tensor.type), *edge = NULL;
    if (SLOT(type, in_type.fast) != Py_True) goto python;
    PyObject *const *items = args + 1;
    Py_ssize_t length = count;
    PyObject *given = NULL;                             /* a size given as one tuple */
    if (self->positional < 0 && count == 1 && (PyTuple_CheckExact(args[1]) || Py_TYPE(args[1]) == SizeType)) {
        given = args[1];
        items = &PyTuple_GET_ITEM(given, 0);
        length = PyTuple_GET_SIZE(given);
    } else if (self->positional >= 0 && count != self->positional) goto python;
    int recording = grad_enabled();
    if (recording && wants_gradient(input) && (read_record(self) < 0 || !self->simple)) goto python;
    PyObject *array = view_array(self, ARRAY(input), items, length), *t = NULL, *params;
    if (array == NULL) goto python;
    if (given != NULL) params = new_reference(given);
    else if ((params = PyTuple_New(count)) != NULL)
        for (Py_ssize_t i = 0; i < count; i++) PyTuple_SET_ITEM(params, i, new_reference(args[i + 1]));
    if (params != NULL && self->positional < 0) {       /* sizes are one parameter */
        PyObject *sizes = params;
        params = PyTuple_Pack(1, sizes);
        Py_DECREF(sizes);
    }
    if (params == NULL) Py_DECREF(array);
    else t = view_tensor(input, array, callable, params, recording);
    if (t != NULL && recording && wants_gradient(input) && self->differentiable) {
        if (edge_of(input, &edge) < 0) Py_CLEAR(t);
        else if (edge != NULL) {
            PyObject *item = shape_and_dtype(input), *shapes = item ? PyTuple_Pack(1, item) : NULL;
            Py_XDECREF(item);
            if (record_view(t, edge, self->node_class, params, shapes) < 0) Py_CLEAR(t);
        }
    }
    Py_XDECREF(params);
    return t;
python:
    return fall_back(self, args, nargsf, kwnames);
}

/* ---- basic indexing */

static PyObject *node_class_of, *select_class, *slice_class;

typedef struct {
    PyArrayObject *a;
    int source, ndim;
    npy_intp shape[NPY_MAXDIMS], strides[NPY_MAXDIMS];
    char *data;
} Walk;

/* Apply one entry of an index; 0 if it is not for here. */
static int step_in(Walk *w, PyObject *item) {
    if (w->ndim == NPY_MAXDIMS) return 0;
    int have = w->source < PyArray_NDIM(w->a);
    npy_intp n = have ? PyArray_DIM(w->a, w->source) : 0, stride = have ? PyArray_STRIDE(w->a, w->source) : 0;
    if (PyLong_CheckExact(item)) {
        npy_intp i = have ? PyLong_AsSsize_t(item) : -1;
        if (!have || (i == -1 && PyErr_Occurred()) || i < -n || i >= n) return 0;
        w->data += (i < 0 ? i + n : i) * stride;
        w->source++;
    } else if (item == Py_None) {                       /* a new dimension steps over all of the next one */
        w->shape[w->ndim] = 1;
        w->strides[w->ndim++] = have ? n * stride : PyArray_ITEMSIZE(w->a);
    } else if (PySlice_Check(item) && have) {
        Py_ssize_t start, stop, step;
        PySliceObject *s = (PySliceObject *)item;
        for (int k = 0; k < 3; k++) {                   /* tensors as bounds are for Python */
            PyObject *bound = k == 0 ? s->start : k == 1 ? s->stop : s->step;
            if (bound != Py_None && !PyLong_CheckExact(bound)) return 0;
        }
        if (PySlice_Unpack(item, &start, &stop, &step) < 0 || step <= 0) return 0;
        npy_intp length = PySlice_AdjustIndices(n, &start, &stop, step);
        if (length == 0) return 0;
        w->data += start * stride;
        w->shape[w->ndim] = length;
        w->strides[w->ndim++] = stride * step;
        w->source++;
    } else return 0;
    return 1;
}

static PyObject *getitem_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    Call *self = (Call *)callable;
    if (PyVectorcall_NARGS(nargsf) != 2 || kwnames != NULL || !nobody_listens() || !is_tensor(args[0])) goto python;
    PyObject *input = args[0], *index = args[1], *type = SLOT(input, in_tensor.type), *edge = NULL;
    if (SLOT(type, in_type.fast) != Py_True) goto python;
    Walk w = {.a = ARRAY(input), .data = PyArray_BYTES(ARRAY(input))};
    if (PyArray_SIZE(w.a) == 0) goto python;
    if (PyTuple_CheckExact(index)) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(index); i++)
            if (!step_in(&w, PyTuple_GET_ITEM(index, i))) goto python;
    } else if (!step_in(&w, index)) goto python;
    int ndim = PyArray_NDIM(w.a);
    if (w.ndim + ndim - w.source > NPY_MAXDIMS) goto python;
    for (; w.source < ndim; w.source++) {
        w.shape[w.ndim] = PyArray_DIM(w.a, w.source);
        w.strides[w.ndim++] = PyArray_STRIDE(w.a, w.source);
    }
    int recording = grad_enabled(), taped = recording && wants_gradient(input);
    PyObject *array = array_over(w.a, w.ndim, w.shape, w.strides, w.data);
    if (array == NULL) goto python;
    PyObject *params = PyTuple_Pack(1, index), *t = NULL;
    if (params == NULL) Py_DECREF(array);
    else t = view_tensor(input, array, callable, params, recording);
    Py_XDECREF(params);
    if (t == NULL || !taped) return t;
    if (edge_of(input, &edge) < 0) Py_CLEAR(t);
    else if (edge != NULL) {
        PyObject *shape = shape_of(input), *cls = NULL;
        if (shape != NULL)
            cls = PyLong_CheckExact(index) ? new_reference(select_class) : PySlice_Check(index) ? new_reference(slice_class)
                                           : PyObject_CallFunctionObjArgs(node_class_of, index, shape, NULL);
        if (cls == NULL) {
            Py_XDECREF(shape);
            Py_DECREF(edge);
            Py_CLEAR(t);
        } else if (record_view(t, edge, (PyTypeObject *)cls, index, shape) < 0) Py_CLEAR(t);
        Py_XDECREF(cls);
    }
    return t;
python:
    return fall_back(self, args, nargsf, kwnames);
}

/* ---- making them */

static PyObject *make_view(PyObject *module, PyObject *args) {
    PyObject *op, *fallback;
    int positional;
    const char *name;
    static const struct { const char *name; int code; } known[] = {
        {"view", SHAPE}, {"reshape", SHAPE}, {"t", SWAP_TWO}, {"transpose", SWAP}, {"permute", ORDER},
        {"unsqueeze", INSERT}, {NULL},
    };
    if (!PyArg_ParseTuple(args, "sOOi", &name, &op, &fallback, &positional)) return NULL;
    for (int i = 0; known[i].name; i++)
        if (strcmp(known[i].name, name) == 0) {
            Call *self = new_call(fallback, op, view_call);
            if (self == NULL) return NULL;
            self->code = known[i].code;
            self->positional = positional;
            return (PyObject *)self;
        }
    return new_reference(fallback);
}

static PyObject *make_getitem(PyObject *module, PyObject *args) {
    PyObject *fallback;
    if (!PyArg_ParseTuple(args, "OOOO", &fallback, &node_class_of, &select_class, &slice_class)) return NULL;
    Py_INCREF(node_class_of);
    Py_INCREF(select_class);
    Py_INCREF(slice_class);
    return (PyObject *)new_call(fallback, Py_None, getitem_call);
}

static PyMethodDef functions[] = {
    {"view", make_view, METH_VARARGS,
     "view(name, op, fallback, positional): the fast call of a view op, or `fallback` if there is none. "
     "`positional`: how many parameters follow the tensor; -1: a size, given as ints or as one tuple."},
    {"getitem", make_getitem, METH_VARARGS, "getitem(fallback, node_class_of, select, slice): basic indexing."},
    {NULL},
};

int views_register(PyObject *module) { return PyModule_AddFunctions(module, functions); }
