/* Derivatives of the ops that most nodes are of, as the formulas of their records have them, for real tensors on the
CPU. What a formula finds otherwise than it expects (hooks have packed it, it was written since, the graph was freed) it
leaves to the node's `apply`, which says what is wrong. */
#include "engine.h"
#include "products.h"

static PyObject *formulas;              /* class of nodes -> the address of a Formula */

Formula *formula_of(PyTypeObject *node_class) {
    PyObject *address = formulas ? PyDict_GetItemWithError(formulas, (PyObject *)node_class) : NULL;
    return address ? PyLong_AsVoidPtr(address) : NULL;
}

/* ---- what a node keeps */

/* A saved input, borrowed: a tensor that was not written since, or a number. */
static PyObject *saved(PyObject *node, Py_ssize_t i) {
    PyObject *all = SLOT(node, in_node.saved), *versions = SLOT(node, in_node.versions);
    if (all == NULL || versions == NULL || !PyTuple_CheckExact(all) || !PyTuple_CheckExact(versions) ||
        i >= PyTuple_GET_SIZE(all) || i >= PyTuple_GET_SIZE(versions))
        return NULL;
    PyObject *t = PyTuple_GET_ITEM(all, i), *then = PyTuple_GET_ITEM(versions, i);
    if (t == Py_None) return NULL;
    if (then == Py_None) return PyFloat_CheckExact(t) || PyLong_CheckExact(t) ? t : NULL;
    if (!is_tensor(t) || !PyLong_CheckExact(then) || !PyLong_CheckExact(version_of(t))) return NULL;
    return then == version_of(t) || PyLong_AsLong(then) == PyLong_AsLong(version_of(t)) ? t : NULL;
}

static PyObject *saved_alike(PyObject *node, Py_ssize_t i, PyObject *g) {
    PyObject *t = saved(node, i);
    return t && is_tensor(t) && SLOT(t, in_tensor.type) == SLOT(g, in_tensor.type) ? t : NULL;
}

/* The saved result as a tensor without history: a new reference. */
static PyObject *saved_out(PyObject *node) {
    PyObject *out = SLOT(node, in_node.out);
    if (out == NULL || !PyTuple_CheckExact(out) || PyTuple_GET_SIZE(out) != 3) return NULL;
    PyObject *array = PyTuple_GET_ITEM(out, 0), *counter = PyTuple_GET_ITEM(out, 1), *then = PyTuple_GET_ITEM(out, 2);
    if (Py_TYPE(array) != &PyArray_Type || !PyList_CheckExact(counter) ||
        PyLong_AsLong(PyList_GET_ITEM(counter, 0)) != PyLong_AsLong(then))
        return NULL;
    return new_tensor(new_reference(array), SLOT(node, in_node.type));
}

/* A parameter of the call, borrowed: by name, or by position after the tensor. */
static PyObject *parameter(PyObject *node, const char *name, Py_ssize_t i) {
    PyObject *params = SLOT(node, in_node.params);
    if (params == NULL) return NULL;
    if (PyDict_CheckExact(params)) return PyDict_GetItemString(params, name);
    return PyTuple_CheckExact(params) && i < PyTuple_GET_SIZE(params) ? PyTuple_GET_ITEM(params, i) : NULL;
}

static int no_parameters(PyObject *node) {
    PyObject *params = SLOT(node, in_node.params);
    return params == NULL || params == Py_None;
}

static PyObject *input_shape(PyObject *node) {
    PyObject *shapes = SLOT(node, in_node.shapes);
    if (shapes == NULL || !PyTuple_CheckExact(shapes) || PyTuple_GET_SIZE(shapes) < 1) return NULL;
    PyObject *item = PyTuple_GET_ITEM(shapes, 0);
    return PyTuple_CheckExact(item) && PyTuple_CheckExact(PyTuple_GET_ITEM(item, 0)) ? PyTuple_GET_ITEM(item, 0) : NULL;
}

static int wanted(PyObject *node, Py_ssize_t i) { return PyTuple_GET_ITEM(SLOT(node, in_node.edges), i) != Py_None; }
static Py_ssize_t edges_of(PyObject *node) { return PyTuple_GET_SIZE(SLOT(node, in_node.edges)); }
static int real(PyObject *g) { return is_real(ARRAY(g)); }

/* ---- arithmetic */

static int derive_mul(Formula *f, PyObject *node, PyObject *g, PyObject **grads) {
    if (edges_of(node) != 2 || !real(g)) return 0;
    for (int i = 0; i < 2; i++) {
        if (!wanted(node, i)) continue;
        PyObject *other = saved(node, 1 - i);
        if (other == NULL || (grads[i] = binary_of(f->calls[0], g, other)) == NULL) return 0;
    }
    return 2;
}

static PyObject *negative(Formula *f, PyObject *g) { return PyObject_CallOneArg(f->calls[0], g); }

/* calls: neg */
static int derive_sum_of_two(Formula *f, PyObject *node, PyObject *g, PyObject **grads) {
    if (edges_of(node) != 2 || !real(g) || !no_parameters(node)) return 0;
    if (wanted(node, 0)) grads[0] = new_reference(g);
    if (wanted(node, 1) && (grads[1] = f->calls[0] == Py_None ? new_reference(g) : negative(f, g)) == NULL) return 0;
    return 2;
}

/* calls: true_divide, mul, neg */
static int derive_div(Formula *f, PyObject *node, PyObject *g, PyObject **grads) {
    PyObject *other = saved(node, 1), *a, *b, *minus;
    if (edges_of(node) != 2 || !real(g) || other == NULL) return 0;
    if (wanted(node, 0) && (grads[0] = binary_of(f->calls[0], g, other)) == NULL) return 0;
    if (wanted(node, 1)) {
        PyObject *input = saved(node, 0);
        if (input == NULL || !is_tensor(input) || (a = binary_of(f->calls[0], input, other)) == NULL) return 0;
        b = binary_of(f->calls[0], a, other);
        Py_DECREF(a);
        if (b == NULL) return 0;
        if ((minus = PyObject_CallOneArg(f->calls[2], g)) != NULL) grads[1] = binary_of(f->calls[1], minus, b);
        Py_XDECREF(minus);
        Py_DECREF(b);
        if (grads[1] == NULL) return 0;
    }
    return 2;
}

static int derive_neg(Formula *f, PyObject *node, PyObject *g, PyObject **grads) {
    return edges_of(node) == 1 && real(g) && (grads[0] = negative(f, g)) != NULL;
}

/* call(g, out), or call(g, out, dim) */
static int derive_from_out(Formula *f, PyObject *node, PyObject *g, PyObject **grads) {
    PyObject *out = edges_of(node) == 1 && real(g) ? saved_out(node) : NULL, *dim = NULL;
    if (out == NULL) return 0;
    int with_dim = f->calls[1] != Py_None;
    if (!with_dim) grads[0] = binary_of(f->calls[0], g, out);
    else if ((dim = parameter(node, "dim", 0)) != NULL) {
        PyObject *args[3] = {g, out, dim};
        grads[0] = PyObject_Vectorcall(f->calls[0], args, 3, NULL);
    }
    Py_DECREF(out);
    return grads[0] != NULL;
}

/* call(g, input) */
static int derive_from_input(Formula *f, PyObject *node, PyObject *g, PyObject **grads) {
    PyObject *input = edges_of(node) == 1 && real(g) ? saved_alike(node, 0, g) : NULL;
    return input != NULL && (grads[0] = binary_of(f->calls[0], g, input)) != NULL;
}

/* ---- shapes */

static int derive_reshape(Formula *f, PyObject *node, PyObject *g, PyObject **grads) {
    PyObject *shape = edges_of(node) == 1 ? input_shape(node) : NULL;
    if (shape == NULL || !PyArray_IS_C_CONTIGUOUS(ARRAY(g))) return 0;
    PyArray_Dims dims = {NULL, 0};
    if (!PyArray_IntpConverter(shape, &dims)) return 0;
    grads[0] = new_tensor(PyArray_Newshape(ARRAY(g), &dims, NPY_CORDER), SLOT(g, in_tensor.type));
    PyDimMem_FREE(dims.ptr);
    return grads[0] != NULL;
}

/* The op itself again, with the same parameters: transpositions. */
static int derive_again(Formula *f, PyObject *node, PyObject *g, PyObject **grads) {
    PyObject *params = SLOT(node, in_node.params), *args[4] = {g};
    Py_ssize_t n = params && PyTuple_CheckExact(params) ? PyTuple_GET_SIZE(params) : 0;
    if (edges_of(node) != 1 || n > 3 || (n == 0 && !no_parameters(node) && !PyTuple_CheckExact(params))) return 0;
    for (Py_ssize_t i = 0; i < n; i++) args[i + 1] = PyTuple_GET_ITEM(params, i);
    return (grads[0] = PyObject_Vectorcall(f->calls[0], args, n + 1, NULL)) != NULL;
}

#define SPREAD 65536                    /* elements: more are not written out, but seen as one */

/* The gradient of a sum or mean (calls: None) of all elements, for each of them. */
static int derive_total(Formula *f, PyObject *node, PyObject *g, PyObject **grads) {
    PyObject *shape = edges_of(node) == 1 && real(g) ? input_shape(node) : NULL;
    if (shape == NULL || parameter(node, "dim", 0) != Py_None || PyArray_SIZE(ARRAY(g)) != 1) return 0;
    PyArray_Dims dims = {NULL, 0};
    if (!PyArray_IntpConverter(shape, &dims)) return 0;
    npy_intp n = PyArray_MultiplyList(dims.ptr, dims.len);
    PyArrayObject *out = n > 0 && n <= SPREAD ? new_like(PyArray_DESCR(ARRAY(g)), dims.len, dims.ptr) : NULL;
    PyDimMem_FREE(dims.ptr);
    if (out == NULL) return 0;
    int mean = f->calls[0] == Py_None;
    if (PyArray_TYPE(out) == NPY_FLOAT) {
        float value = *(float *)PyArray_DATA(ARRAY(g)) / (mean ? (float)n : 1), *to = PyArray_DATA(out);
        for (npy_intp i = 0; i < n; i++) to[i] = value;
    } else {
        double value = *(double *)PyArray_DATA(ARRAY(g)) / (mean ? (double)n : 1), *to = PyArray_DATA(out);
        for (npy_intp i = 0; i < n; i++) to[i] = value;
    }
    return (grads[0] = new_tensor((PyObject *)out, SLOT(g, in_tensor.type))) != NULL;
}

/* ---- products */

/* x @ y, either of them transposed, of arrays seen as matrices; steals both. */
static PyArrayObject *product(PyArrayObject *x, int turned, PyArrayObject *y, int other_turned) {
    PyArrayObject *a = x && turned ? (PyArrayObject *)PyArray_Transpose(x, NULL) : (PyArrayObject *)Py_XNewRef(x);
    PyArrayObject *b = y && other_turned ? (PyArrayObject *)PyArray_Transpose(y, NULL) : (PyArrayObject *)Py_XNewRef(y);
    PyArrayObject *c = a && b ? matrix_product(a, b) : NULL;
    Py_XDECREF(a);
    Py_XDECREF(b);
    Py_XDECREF(x);
    Py_XDECREF(y);
    return c;
}

/* All but the last dimension as one: a new reference. */
static PyArrayObject *as_matrix(PyArrayObject *a) {
    int ndim = PyArray_NDIM(a);
    if (ndim == 2) return (PyArrayObject *)new_reference((PyObject *)a);
    if (ndim < 2 || !PyArray_IS_C_CONTIGUOUS(a) || PyArray_DIM(a, ndim - 1) == 0) return NULL;
    npy_intp shape[2] = {PyArray_SIZE(a) / PyArray_DIM(a, ndim - 1), PyArray_DIM(a, ndim - 1)};
    PyArray_Dims dims = {shape, 2};
    return (PyArrayObject *)PyArray_Newshape(a, &dims, NPY_CORDER);
}

static int derive_mm(Formula *f, PyObject *node, PyObject *g, PyObject **grads) {
    if (edges_of(node) != 2 || !real(g) || PyArray_NDIM(ARRAY(g)) != 2) return 0;
    for (int i = 0; i < 2; i++) {
        if (!wanted(node, i)) continue;
        PyObject *other = saved_alike(node, 1 - i, g);
        if (other == NULL || PyArray_NDIM(ARRAY(other)) != 2) return 0;
        PyArrayObject *x = as_matrix(ARRAY(g)), *y = as_matrix(ARRAY(other));
        grads[i] = new_tensor((PyObject *)(i == 0 ? product(x, 0, y, 1) : product(y, 1, x, 0)), SLOT(g, in_tensor.type));
        if (grads[i] == NULL) return 0;
    }
    return 2;
}

static int derive_linear(Formula *f, PyObject *node, PyObject *g, PyObject **grads) {
    if (edges_of(node) != 3 || !real(g) || PyArray_NDIM(ARRAY(g)) < 2) return 0;
    PyObject *type = SLOT(g, in_tensor.type);
    if (wanted(node, 0)) {
        PyObject *weight = saved_alike(node, 1, g);
        PyArrayObject *a = ARRAY(g);
        int ndim = PyArray_NDIM(a);
        if (weight == NULL || PyArray_NDIM(ARRAY(weight)) != 2) return 0;
        PyArrayObject *x = product(as_matrix(a), 0, as_matrix(ARRAY(weight)), 0);
        if (x != NULL && ndim > 2) {
            npy_intp shape[NPY_MAXDIMS];
            for (int d = 0; d < ndim - 1; d++) shape[d] = PyArray_DIM(a, d);
            shape[ndim - 1] = PyArray_DIM(x, 1);
            PyArray_Dims dims = {shape, ndim};
            PyArrayObject *flat = x;
            x = (PyArrayObject *)PyArray_Newshape(flat, &dims, NPY_CORDER);
            Py_DECREF(flat);
        }
        if ((grads[0] = new_tensor((PyObject *)x, type)) == NULL) return 0;
    }
    if (wanted(node, 1)) {
        PyObject *input = saved_alike(node, 0, g);
        if (input == NULL) return 0;
        PyArrayObject *w = product(as_matrix(ARRAY(g)), 1, as_matrix(ARRAY(input)), 0);
        if ((grads[1] = new_tensor((PyObject *)w, type)) == NULL) return 0;
    }
    if (wanted(node, 2)) grads[2] = new_reference(g);
    return 3;
}

/* ---- losses */

#define SQUARED(TYPE)                                                                                                  \
    do {                                                                                                               \
        const TYPE *x = PyArray_DATA(a), *t = PyArray_DATA(b);                                                         \
        TYPE *to = PyArray_DATA(out), scale = *(TYPE *)PyArray_DATA(ARRAY(g)) * (TYPE)factor;                          \
        for (npy_intp i = 0; i < n; i++) to[i] = (x[i] - t[i]) * scale;                                                \
    } while (0)

/* calls: neg */
static int derive_mse(Formula *f, PyObject *node, PyObject *g, PyObject **grads) {
    PyObject *input = saved_alike(node, 0, g), *target = saved_alike(node, 1, g);
    PyObject *reduction = parameter(node, "reduction", 1);
    if (edges_of(node) != 2 || !real(g) || !input || !target || !reduction || !PyUnicode_CheckExact(reduction)) return 0;
    int mean = PyUnicode_CompareWithASCIIString(reduction, "mean") == 0;
    if (!mean && PyUnicode_CompareWithASCIIString(reduction, "sum") != 0) return 0;
    PyArrayObject *a = ARRAY(input), *b = ARRAY(target);
    npy_intp n = PyArray_SIZE(a);
    if (!same_shape(a, b) || !is_array((PyObject *)a) || !is_array((PyObject *)b) || !is_contiguous(a) ||
        !is_contiguous(b) || PyArray_SIZE(ARRAY(g)) != 1)
        return 0;
    PyArrayObject *out = new_like(PyArray_DESCR(a), PyArray_NDIM(a), PyArray_DIMS(a));
    if (out == NULL) return 0;
    double factor = mean ? 2.0 / (double)(n > 1 ? n : 1) : 2.0;
    if (PyArray_TYPE(a) == NPY_FLOAT) SQUARED(float);
    else SQUARED(double);
    PyObject *grad = new_tensor((PyObject *)out, SLOT(g, in_tensor.type));
    if (grad == NULL) return 0;
    if (wanted(node, 1) && (grads[1] = negative(f, grad)) == NULL) {
        Py_DECREF(grad);
        return 0;
    }
    if (wanted(node, 0)) grads[0] = grad;
    else Py_DECREF(grad);
    return 2;
}

/* call(g, input, target, weight, reduction, ignore_index) */
static int derive_cross_entropy(Formula *f, PyObject *node, PyObject *g, PyObject **grads) {
    PyObject *input = saved_alike(node, 0, g), *target = saved(node, 1);
    PyObject *reduction = parameter(node, "reduction", 3), *ignored = parameter(node, "ignore_index", 4);
    if (edges_of(node) != 3 || !real(g) || !input || !target || !is_tensor(target) || !reduction || !ignored) return 0;
    PyObject *all = SLOT(node, in_node.saved), *weight = PyTuple_GET_ITEM(all, 2);
    if (weight != Py_None && saved_alike(node, 2, g) == NULL) return 0;
    PyObject *args[6] = {g, input, target, weight, reduction, ignored};
    return (grads[0] = PyObject_Vectorcall(f->calls[0], args, 6, NULL)) == NULL ? 0 : 3;
}

/* ---- making them */

static const struct { const char *kind; int (*derive)(Formula *, PyObject *, PyObject *, PyObject **); } kinds[] = {
    {"mul", derive_mul}, {"sum of two", derive_sum_of_two}, {"div", derive_div}, {"neg", derive_neg},
    {"from out", derive_from_out}, {"from input", derive_from_input}, {"reshape", derive_reshape},
    {"again", derive_again}, {"total", derive_total}, {"mm", derive_mm}, {"linear", derive_linear},
    {"mse", derive_mse}, {"cross entropy", derive_cross_entropy}, {NULL, NULL},
};

static PyObject *make(PyObject *module, PyObject *args) {
    const char *kind;
    PyObject *cls, *calls[4] = {Py_None, Py_None, Py_None, Py_None};
    if (!PyArg_ParseTuple(args, "sO!|OOOO", &kind, &PyType_Type, &cls, calls, calls + 1, calls + 2, calls + 3)) return NULL;
    int k = 0;
    while (kinds[k].kind != NULL && strcmp(kinds[k].kind, kind) != 0) k++;
    if (kinds[k].kind == NULL) return PyErr_Format(PyExc_KeyError, "no formula is called %s", kind);
    Formula *formula = PyMem_Malloc(sizeof *formula);   /* as long as the process, like the ops themselves */
    PyObject *address = formula ? PyLong_FromVoidPtr(formula) : PyErr_NoMemory();
    if (address == NULL || (formulas == NULL && (formulas = PyDict_New()) == NULL)) return NULL;
    formula->derive = kinds[k].derive;
    for (int i = 0; i < 4; i++) formula->calls[i] = new_reference(calls[i]);
    int status = PyDict_SetItem(formulas, cls, address);
    Py_DECREF(address);
    if (status < 0) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"formula", make, METH_VARARGS,
     "formula(kind, node_class, *calls): compute the gradients of these nodes here, by these fast calls."},
    {NULL},
};

int formulas_register(PyObject *module) { return PyModule_AddFunctions(module, functions); }
