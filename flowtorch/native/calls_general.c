/* Fast calls of ops with parameters: reductions and ops with a kernel of their own. */
#include "calls.h"

enum { GENERAL, REDUCTION };
#define MOST 16                         /* parameters */

static PyObject *name_body, *name_recorder;

/* The values of all parameters, in order, borrowed; 0: the closure must look at this call. */
static int bind(Call *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, PyObject **values) {
    Py_ssize_t n = PyTuple_GET_SIZE(self->names), keywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    if (count > self->positional) return 0;
    for (Py_ssize_t i = 0; i < n; i++) values[i] = i < count ? args[i] : PyTuple_GET_ITEM(self->defaults, i);
    for (Py_ssize_t k = 0; k < keywords; k++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, k);
        Py_ssize_t i = count;
        while (i < n && PyTuple_GET_ITEM(self->names, i) != name) i++;     /* interned, but for odd callers */
        if (i == n) return 0;
        values[i] = args[count + k];
    }
    for (Py_ssize_t i = count; i < n; i++)
        if (values[i] == (PyObject *)self) return 0;                        /* stands for "required" */
    return 1;
}

/* The arrays in the place of the tensors; new references in `made`, so that they can be let go. */
static int take_arrays(Call *self, PyObject **values, PyObject **arrays, PyObject **made) {
    Py_ssize_t n = PyTuple_GET_SIZE(self->names);
    *made = NULL;
    for (Py_ssize_t i = 0; i < n; i++) {
        arrays[i] = values[i];
        if (!(self->tensors >> i & 1) || values[i] == Py_None) continue;
        if (self->many == i) {
            if (!PyTuple_CheckExact(values[i]) && !PyList_CheckExact(values[i])) return 0;
            Py_ssize_t length = PySequence_Fast_GET_SIZE(values[i]);
            *made = arrays[i] = PyList_New(length);
            if (*made == NULL) return 0;
            for (Py_ssize_t k = 0; k < length; k++) {
                PyObject *t = PySequence_Fast_GET_ITEM(values[i], k);
                if (!is_tensor(t) || SLOT(SLOT(t, in_tensor.type), in_type.simple) != Py_True) return 0;
                PyList_SET_ITEM(*made, k, new_reference(SLOT(t, in_tensor.array)));
            }
        } else {
            if (!is_tensor(values[i])) return 0;
            if (i > 0 && SLOT(SLOT(values[i], in_tensor.type), in_type.simple) != Py_True) return 0;
            arrays[i] = SLOT(values[i], in_tensor.array);
        }
    }
    return 1;
}

static int any_wants_gradient(Call *self, PyObject **values) {
    Py_ssize_t n = PyTuple_GET_SIZE(self->names);
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!(self->tensors >> i & 1) || values[i] == Py_None) continue;
        if (self->many != i) {
            if (wants_gradient(values[i])) return 1;
        } else
            for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(values[i]); k++)
                if (wants_gradient(PySequence_Fast_GET_ITEM(values[i], k))) return 1;
    }
    return 0;
}

/* The op's kernel may have been replaced when the plans were forgotten. */
static PyObject *current_body(Call *self) {
    if (self->body_epoch != epoch) {
        PyObject *body = PyObject_GetAttr(self->op, name_body);
        if (body == NULL) return NULL;
        Py_XSETREF(self->body, body);
        self->body_epoch = epoch;
    }
    return self->body;
}

static PyObject *run_body(Call *self, PyObject **arrays) {
    PyObject *body = current_body(self), *names = NULL;
    if (body == NULL) return NULL;
    Py_ssize_t n = PyTuple_GET_SIZE(self->names);
    if (Py_TYPE(body) == &Kernel_Type && (self->code == REDUCTION || n == self->positional)) {
        PyObject *c = kernel_run((Kernel *)body, arrays, self->code == REDUCTION ? 3 : n, NULL);
        if (c != NULL || PyErr_Occurred()) return c;
        body = ((Kernel *)body)->fallback;
    }
    if (self->code == REDUCTION) return PyObject_Vectorcall(body, arrays, 3, NULL);
    if (n > self->positional) names = self->rest;
    return PyObject_Vectorcall(body, arrays, self->positional, names);
}

static PyObject *wrapped(Call *self, PyObject *c, PyObject *type) {
    if (Py_TYPE(c) == &PyArray_Type && (PyObject *)PyArray_DESCR((PyArrayObject *)c) == SLOT(type, in_type.numpy))
        return new_tensor(c, type);
    PyObject *result = PyObject_CallFunctionObjArgs(self->wrap, c, type, NULL);
    Py_DECREF(c);
    return result;
}

/* A reduction's result as an array in the order of its dimensions; steals. */
static PyObject *in_rows(PyObject *c) {
    PyArrayObject *a = (PyArrayObject *)c;
    if (Py_TYPE(c) == &PyArray_Type && PyArray_IS_C_CONTIGUOUS(a) && channels_lag(a) < 0) return c;
    PyObject *array = PyArray_FromAny(c, NULL, 0, 0, NPY_ARRAY_C_CONTIGUOUS, NULL);
    Py_DECREF(c);
    if (array == NULL || channels_lag(a = (PyArrayObject *)array) < 0) return array;
    PyArray_Dims shape = {PyArray_DIMS(a), PyArray_NDIM(a)};
    PyObject *flat = PyArray_Ravel(a, NPY_CORDER), *rows = NULL;        /* its strides are those of one dimension */
    if (flat != NULL) rows = PyArray_Newshape((PyArrayObject *)flat, &shape, NPY_CORDER);
    Py_XDECREF(flat);
    Py_DECREF(array);
    return rows;
}

/* What the derivative asks for: tensors with their versions, the other parameters by name, shapes. */
static int keep(Call *self, PyObject *n, PyObject **values, PyObject **edges) {
    int count = self->count;
    Py_ssize_t parameters = PyTuple_GET_SIZE(self->names);
    if (!self->savers) SLOT(n, in_node.saved) = new_reference(empty_tuple);
    else {
        PyObject *saved = SLOT(n, in_node.saved) = PyTuple_New(count);
        PyObject *versions = SLOT(n, in_node.versions) = PyTuple_New(count);
        if (saved == NULL || versions == NULL) return -1;
        for (int i = 0; i < count; i++) {
            PyObject *t = values[self->place[i]];
            int wanted = 0;
            for (int j = 0; j < count && t != Py_None; j++) wanted |= edges[j] != NULL && self->saver[i] >> j & 1;
            PyTuple_SET_ITEM(saved, i, new_reference(wanted ? t : Py_None));
            PyTuple_SET_ITEM(versions, i, new_reference(wanted ? version_of(t) : Py_None));
        }
    }
    if (self->wants_params) {
        PyObject *params = SLOT(n, in_node.params) = PyDict_New();
        for (Py_ssize_t i = 0; params && i < parameters; i++)
            if (!(self->tensors >> i & 1) && PyDict_SetItem(params, PyTuple_GET_ITEM(self->names, i), values[i]) < 0) return -1;
        if (params == NULL) return -1;
    }
    if (self->wants_shapes) {
        PyObject *shapes = SLOT(n, in_node.shapes) = PyTuple_New(count);
        for (int i = 0; shapes && i < count; i++) {
            PyObject *t = values[self->place[i]];
            PyObject *item = t == Py_None ? PyTuple_Pack(2, empty_tuple, Py_None) : shape_and_dtype(t);
            if (item == NULL) return -1;
            PyTuple_SET_ITEM(shapes, i, item);
        }
        if (shapes == NULL) return -1;
    }
    return 0;
}

/* A node behind the one result of a call. */
static int record_one(Call *self, PyObject *t, PyObject **values) {
    PyObject *edges[TENSORS] = {NULL}, *n = NULL;
    PyObject *rank = PyObject_GetAttr(SLOT(SLOT(t, in_tensor.type), in_type.dtype), name_rank);
    int count = self->count, inexact = rank != NULL && PyLong_AsLong(rank) >= 2, any = 0, done = -1, out = 0;
    Py_XDECREF(rank);
    if (!inexact) return PyErr_Occurred() ? -1 : 0;
    for (int i = 0; i < count; i++) {
        if (values[self->place[i]] != Py_None && edge_of(values[self->place[i]], &edges[i]) < 0) goto end;
        any = any || edges[i] != NULL;
        out = out || (edges[i] != NULL && self->out_savers >> i & 1);
    }
    if (!any) return 0;
    PyObject *ends = PyTuple_New(count);
    for (int i = 0; ends && i < count; i++) PyTuple_SET_ITEM(ends, i, new_reference(edges[i] ? edges[i] : Py_None));
    n = new_node(self->node_class, ends, ARRAY(t), SLOT(t, in_tensor.type));
    if (n == NULL || keep(self, n, values, edges) < 0 || (out && self->wants_out && keep_output(n, t) < 0)) goto end;
    set_slot(t, in_tensor.node, new_reference(n));
    set_slot(t, in_tensor.requires_grad, new_reference(Py_True));
    done = 0;
end:
    Py_XDECREF(n);
    for (int i = 0; i < count; i++) Py_XDECREF(edges[i]);
    return done;
}

/* Recording of several results is compiled Python, made from the record when the first call is recorded. */
static int record_call(Call *self, PyObject *result, PyObject **values) {
    if (self->many < 0 && self->count <= TENSORS && Py_TYPE(result) == Tensor) return record_one(self, result, values);
    if (self->recorder == NULL) {
        PyObject *found = PyObject_GetAttr(self->op, name_recorder);
        if (found == Py_None) {
            Py_DECREF(found);
            found = PyObject_CallOneArg(self->compile_recorder, self->op);
        }
        if ((self->recorder = found) == NULL) return -1;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(self->names);
    PyObject *args[MOST + 1];
    args[0] = result;
    for (Py_ssize_t i = 0; i < n; i++) args[i + 1] = values[i];
    PyObject *done = PyObject_Vectorcall(self->recorder, args, n + 1, NULL);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* A node with nothing but the shape of the input and the two parameters, as `sum` and its like have it. */
static int record_simple(Call *self, PyObject *t, PyObject *input, PyObject *dim, PyObject *keepdim) {
    PyObject *edge, *edges, *n = NULL;
    if (edge_of(input, &edge) < 0) return -1;
    if (edge == NULL) return 0;
    if ((edges = PyTuple_New(1)) == NULL) Py_DECREF(edge);
    else {
        PyTuple_SET_ITEM(edges, 0, edge);
        n = new_node(self->node_class, edges, ARRAY(t), SLOT(t, in_tensor.type));
    }
    if (n == NULL) return -1;
    PyObject *item = shape_and_dtype(input);
    SLOT(n, in_node.saved) = new_reference(empty_tuple);
    SLOT(n, in_node.shapes) = item ? PyTuple_Pack(1, item) : NULL;
    SLOT(n, in_node.params) = PyTuple_Pack(2, dim, keepdim);
    Py_XDECREF(item);
    if (SLOT(n, in_node.shapes) == NULL || SLOT(n, in_node.params) == NULL) {
        Py_DECREF(n);
        return -1;
    }
    set_slot(t, in_tensor.node, n);
    set_slot(t, in_tensor.requires_grad, new_reference(Py_True));
    return 0;
}

static PyObject *general_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    Call *self = (Call *)callable;
    PyObject *values[MOST], *arrays[MOST], *made = NULL, *c = NULL, *result = NULL;
    if (!nobody_listens() || !bind(self, args, PyVectorcall_NARGS(nargsf), kwnames, values)) goto python;
    if (self->code == REDUCTION)                        /* the plan is for calls without further options */
        for (Py_ssize_t i = 3; i < PyTuple_GET_SIZE(self->names); i++)
            if (values[i] != PyTuple_GET_ITEM(self->defaults, i)) goto python;
    PyObject *first = values[0];
    if (self->many == 0) {
        if (!(PyTuple_CheckExact(first) || PyList_CheckExact(first)) || PySequence_Fast_GET_SIZE(first) == 0) goto python;
        first = PySequence_Fast_GET_ITEM(first, 0);
    }
    if (!is_tensor(first)) goto python;
    PyObject *type = SLOT(first, in_tensor.type), *plan = PyDict_GetItemWithError(self->plans[0], type);
    if (plan == NULL || !take_arrays(self, values, arrays, &made)) goto python;
    int recording = any_wants_gradient(self, values) && grad_enabled();
    if (recording && read_record(self) < 0) goto python;
    /* Held: while a kernel runs without the GIL, another thread may give a tensor other memory. */
    Py_ssize_t n = PyTuple_GET_SIZE(self->names);
    for (Py_ssize_t i = 0; i < n; i++) Py_INCREF(arrays[i]);
    c = run_body(self, arrays);
    for (Py_ssize_t i = 0; i < n; i++) Py_DECREF(arrays[i]);
    if (c == NULL) goto python;
    Py_XDECREF(made);
    if (self->code == REDUCTION) {
        result = new_tensor(in_rows(c), plan);
        if (result && recording && self->differentiable) {
            int done = self->simple ? record_simple(self, result, values[0], values[1], values[2])
                                    : record_call(self, result, values);
            if (done < 0) Py_CLEAR(result);
        }
        return result;
    }
    result = wrapped(self, c, type);
    if (result && recording && self->differentiable && record_call(self, result, values) < 0) Py_CLEAR(result);
    return result;
python:
    Py_XDECREF(made);
    return fall_back(self, args, nargsf, kwnames);
}

/* ---- making them */

/* The indices of parameter names as a bit set. */
static int positions(Call *self, PyObject *names, PyObject *chosen, int *last) {
    int set = 0;
    self->count = (int)PyTuple_GET_SIZE(chosen);
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(chosen); k++) {
        Py_ssize_t i = PySequence_Index(names, PyTuple_GET_ITEM(chosen, k));
        if (i < 0) return -1;
        set |= 1 << i;
        if (k < TENSORS) self->place[k] = (int)i;
        *last = (int)i;
    }
    return set;
}

static PyObject *make(PyObject *module, PyObject *args) {
    const char *kind;
    PyObject *op, *fallback, *names, *defaults, *tensors, *wrap, *compile_recorder;
    int positional, many, last = -1;
    if (!PyArg_ParseTuple(args, "sOOO!O!O!ipOO", &kind, &op, &fallback, &PyTuple_Type, &names, &PyDict_Type, &defaults,
                          &PyTuple_Type, &tensors, &positional, &many, &wrap, &compile_recorder))
        return NULL;
    Py_ssize_t n = PyTuple_GET_SIZE(names);
    if (n > MOST) return new_reference(fallback);
    Call *self = new_call(fallback, op, general_call);
    if (self == NULL) return NULL;
    self->code = kind[0] == 'r' ? REDUCTION : GENERAL;
    self->names = new_reference(names);
    self->positional = positional;
    self->tensors = positions(self, names, tensors, &last);
    self->many = many ? last : -1;
    self->wrap = new_reference(wrap);
    self->compile_recorder = new_reference(compile_recorder);
    self->plans[0] = PyObject_GetAttrString(op, "plans");
    self->rest = PyTuple_GetSlice(names, positional, n);
    self->defaults = PyTuple_New(n);
    if (self->tensors < 0 || self->plans[0] == NULL || self->rest == NULL || self->defaults == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *value = PyDict_GetItemWithError(defaults, PyTuple_GET_ITEM(names, i));
        PyTuple_SET_ITEM(self->defaults, i, new_reference(value ? value : (PyObject *)self));
    }
    return (PyObject *)self;
}

static PyMethodDef functions[] = {
    {"general", make, METH_VARARGS,
     "general(kind, op, fallback, names, defaults, tensors, positional, many, wrap, compile_recorder): the fast "
     "call of a reduction or a general op."},
    {NULL},
};

int general_register(PyObject *module) {
    name_body = PyUnicode_InternFromString("body");
    name_recorder = PyUnicode_InternFromString("recorder");
    return PyModule_AddFunctions(module, functions);
}
