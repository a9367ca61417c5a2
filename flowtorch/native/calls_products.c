/* Fast calls of matrix products, linear layers and concatenation. */
#include "calls.h"
#include "products.h"

static int is_float(PyArrayObject *a) {
    int number = PyArray_TYPE(a);
    return number == NPY_FLOAT || number == NPY_DOUBLE;
}

/* What the derivative keeps: each factor for the other's gradient, and the second one's shape. */
static int record_product(PyTypeObject *cls, PyObject *t, PyObject *const *operands, int count) {
    PyObject *edges = PyTuple_New(count), *saved = NULL, *versions = NULL, *edge[3], *n = NULL;
    int any = 0;
    if (edges == NULL) return -1;
    for (int i = 0; i < count; i++) {
        edge[i] = NULL;
        if (operands[i] != Py_None && edge_of(operands[i], &edge[i]) < 0) {
            Py_DECREF(edges);
            return -1;
        }
        any = any || edge[i] != NULL;
        PyTuple_SET_ITEM(edges, i, new_reference(edge[i] ? edge[i] : Py_None));
        Py_XDECREF(edge[i]);                            /* the tuple keeps it */
    }
    if (!any) {
        Py_DECREF(edges);
        return 0;
    }
    if ((n = new_node(cls, edges, ARRAY(t), SLOT(t, in_tensor.type))) == NULL) return -1;
    if ((saved = PyTuple_New(count)) && (versions = PyTuple_New(count)))
        for (int i = 0; i < count; i++) {
            int kept = i < 2 && edge[1 - i] != NULL;
            PyTuple_SET_ITEM(saved, i, new_reference(kept ? operands[i] : Py_None));
            PyTuple_SET_ITEM(versions, i, new_reference(kept ? version_of(operands[i]) : Py_None));
        }
    SLOT(n, in_node.saved) = saved;
    SLOT(n, in_node.versions) = versions;
    PyArrayObject *b = ARRAY(operands[1]);
    PyObject *shape = PyArray_IntTupleFromIntp(PyArray_NDIM(b), PyArray_DIMS(b));
    PyObject *item = shape ? PyTuple_Pack(2, shape, Py_None) : NULL;
    PyObject *shapes = !item ? NULL : count == 2 ? PyTuple_Pack(2, Py_None, item) : PyTuple_Pack(3, Py_None, item, Py_None);
    SLOT(n, in_node.shapes) = shapes;
    Py_XDECREF(shape);
    Py_XDECREF(item);
    if (saved == NULL || versions == NULL || shapes == NULL) {
        Py_DECREF(n);
        return -1;
    }
    set_slot(t, in_tensor.node, n);
    set_slot(t, in_tensor.requires_grad, new_reference(Py_True));
    return 0;
}

/* `which`: the place of the node's class among those given. */
static PyObject *recorded(Call *self, int which, PyObject *t, PyObject *const *operands, int count) {
    int wanted = 0;
    for (int i = 0; i < count; i++) wanted = wanted || (operands[i] != Py_None && wants_gradient(operands[i]));
    if (t == NULL || !wanted || !grad_enabled()) return t;
    if (record_product((PyTypeObject *)PyTuple_GET_ITEM(self->rest, which), t, operands, count) < 0) Py_CLEAR(t);
    return t;
}

/* Plain tensors on the CPU of one type, float32 or float64. */
static int alike(PyObject *a, PyObject *b) {
    PyObject *type = SLOT(a, in_tensor.type);
    return type == SLOT(b, in_tensor.type) && SLOT(type, in_type.simple) == Py_True && is_float(ARRAY(a));
}

static PyObject *matmul_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    Call *self = (Call *)callable;
    if (PyVectorcall_NARGS(nargsf) != 2 || kwnames != NULL || !nobody_listens() || !is_tensor(args[0]) ||
        !is_tensor(args[1]) || !alike(args[0], args[1]))
        goto python;
    PyArrayObject *a = ARRAY(args[0]), *b = ARRAY(args[1]);
    if (PyArray_NDIM(a) != 2 || PyArray_NDIM(b) != 2 || PyArray_DIM(a, 1) != PyArray_DIM(b, 0)) goto python;
    PyObject *c = (PyObject *)matrix_product(a, b);
    if (c == NULL) goto python;
    return recorded(self, 0, new_tensor(c, SLOT(args[0], in_tensor.type)), args, 2);
python:
    return fall_back(self, args, nargsf, kwnames);
}

#define ADD_ROW(TYPE)                                                                                                  \
    do {                                                                                                               \
        TYPE *out = PyArray_DATA(c);                                                                                   \
        const TYPE *row = PyArray_DATA(bias);                                                                          \
        for (npy_intp i = 0; i < rows; i++, out += n)                                                                  \
            for (npy_intp j = 0; j < n; j++) out[j] += row[j];                                                         \
    } while (0)

static int add_row(PyArrayObject *c, PyArrayObject *bias) {
    npy_intp n = PyArray_DIM(c, 1), rows = PyArray_DIM(c, 0);
    if (PyArray_NDIM(bias) != 1 || PyArray_DIM(bias, 0) != n || !is_array((PyObject *)bias) ||
        !PyArray_IS_C_CONTIGUOUS(bias) || !PyArray_IS_C_CONTIGUOUS(c))
        return 0;
    Py_INCREF(bias);                                    /* its tensor may get other memory meanwhile */
    NPY_BEGIN_THREADS_DEF;
    NPY_BEGIN_THREADS_THRESHOLDED(rows * n);
    if (PyArray_TYPE(c) == NPY_FLOAT) ADD_ROW(float);
    else ADD_ROW(double);
    NPY_END_THREADS;
    Py_DECREF(bias);
    return 1;
}

/* input @ weight.T + bias: (..., k), (n, k), (n,) or None. Leading dimensions count as rows. */
static PyArrayObject *linear_array(PyArrayObject *a, PyArrayObject *weight, PyArrayObject *bias) {
    int ndim = PyArray_NDIM(a);
    npy_intp k = PyArray_DIM(weight, 1), shape[NPY_MAXDIMS], two[2] = {0, k};
    if (PyArray_DIM(a, ndim - 1) != k || k == 0) return NULL;
    PyArrayObject *rows = a, *c = NULL;
    if (ndim > 2) {
        if (!PyArray_IS_C_CONTIGUOUS(a)) return NULL;
        PyArray_Dims dims = {two, 2};
        two[0] = PyArray_SIZE(a) / k;
        rows = (PyArrayObject *)PyArray_Newshape(a, &dims, NPY_CORDER);
    } else Py_INCREF(rows);
    PyArrayObject *transposed = (PyArrayObject *)PyArray_Transpose(weight, NULL);
    if (rows && transposed)
        c = matrix_product(rows, transposed);
    Py_XDECREF(rows);
    Py_XDECREF(transposed);
    if (c == NULL || (bias != NULL && !add_row(c, bias))) {
        Py_XDECREF(c);
        return NULL;
    }
    if (ndim == 2) return c;
    for (int i = 0; i < ndim - 1; i++) shape[i] = PyArray_DIM(a, i);
    shape[ndim - 1] = PyArray_DIM(weight, 0);
    PyArray_Dims dims = {shape, ndim};
    PyArrayObject *result = (PyArrayObject *)PyArray_Newshape(c, &dims, NPY_CORDER);
    Py_DECREF(c);
    return result;
}

static PyObject *linear_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    Call *self = (Call *)callable;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    if (count < 2 || count > 3 || kwnames != NULL || !nobody_listens() || !is_tensor(args[0]) || !is_tensor(args[1]) ||
        !alike(args[0], args[1]))
        goto python;
    PyObject *bias = count == 3 ? args[2] : Py_None, *operands[3] = {args[0], args[1], bias};
    if (bias != Py_None && (!is_tensor(bias) || SLOT(bias, in_tensor.type) != SLOT(args[0], in_tensor.type))) goto python;
    PyArrayObject *a = ARRAY(args[0]), *weight = ARRAY(args[1]);
    if (PyArray_NDIM(weight) != 2 || PyArray_NDIM(a) < 2) goto python;
    PyArrayObject *c = linear_array(a, weight, bias == Py_None ? NULL : ARRAY(bias));
    if (c == NULL) goto python;
    int which = 2 * (PyArray_NDIM(a) > 2) + (bias == Py_None);
    return recorded(self, which, new_tensor((PyObject *)c, SLOT(args[0], in_tensor.type)), operands, 3);
python:
    return fall_back(self, args, nargsf, kwnames);
}

/* ---- concatenation of contiguous tensors of one type */

static PyArrayObject *joined(PyObject *const *tensors, Py_ssize_t count, PyObject *type, int dim) {
    npy_intp shape[NPY_MAXDIMS], outer = 1, inner;
    PyArrayObject *first = ARRAY(tensors[0]);
    int ndim = PyArray_NDIM(first);
    for (int d = 0; d < ndim; d++) shape[d] = PyArray_DIM(first, d);
    shape[dim] = 0;
    for (Py_ssize_t k = 0; k < count; k++) {
        PyArrayObject *a = ARRAY(tensors[k]);
        if (PyArray_NDIM(a) != ndim || !PyArray_IS_C_CONTIGUOUS(a) || channels_lag(a) > 0 || PyArray_SIZE(a) == 0) return NULL;
        for (int d = 0; d < ndim; d++)
            if (d != dim && PyArray_DIM(a, d) != shape[d]) return NULL;
        shape[dim] += PyArray_DIM(a, dim);
    }
    PyArrayObject *c = new_like((PyArray_Descr *)SLOT(type, in_type.numpy), ndim, shape);
    if (c == NULL) return NULL;
    for (int d = 0; d < dim; d++) outer *= shape[d];
    inner = PyArray_NBYTES(c) / outer / shape[dim];
    char *to = PyArray_BYTES(c);                        /* with the GIL: another thread might change the list */
    for (Py_ssize_t k = 0; k < count; k++) {
        PyArrayObject *a = ARRAY(tensors[k]);
        npy_intp width = PyArray_DIM(a, dim) * inner;
        const char *from = PyArray_BYTES(a);
        for (npy_intp i = 0; i < outer; i++) memcpy(to + i * shape[dim] * inner, from + i * width, width);
        to += width;
    }
    return c;
}

/* What `join._record_join` does: nodes of these ops keep shapes and the dimension. */
static int record_join(Call *self, PyObject **tensors, Py_ssize_t count, PyObject *dim, PyObject *t) {
    PyObject *edges = PyTuple_New(count), *shapes = PyList_New(count), *edge, *n;
    int any = 0;
    if (edges == NULL || shapes == NULL) goto failed;
    for (Py_ssize_t k = 0; k < count; k++) {
        PyArrayObject *a = ARRAY(tensors[k]);
        PyObject *shape = PyArray_IntTupleFromIntp(PyArray_NDIM(a), PyArray_DIMS(a));
        PyObject *item = shape ? PyTuple_Pack(2, shape, Py_None) : NULL;
        Py_XDECREF(shape);
        if (item == NULL) goto failed;
        PyList_SET_ITEM(shapes, k, item);
        if (edge_of(tensors[k], &edge) < 0) goto failed;
        any = any || edge != NULL;
        PyTuple_SET_ITEM(edges, k, edge ? edge : new_reference(Py_None));
    }
    if (!any) {
        Py_DECREF(edges);
        Py_DECREF(shapes);
        return 0;
    }
    n = new_node(self->node_class, edges, ARRAY(t), SLOT(t, in_tensor.type));   /* takes the edges */
    edges = NULL;
    if (n == NULL) goto failed;
    SLOT(n, in_node.saved) = new_reference(empty_tuple);
    SLOT(n, in_node.shapes) = shapes;
    SLOT(n, in_node.params) = PyTuple_Pack(1, dim);
    if (SLOT(n, in_node.params) == NULL) {
        Py_DECREF(n);
        return -1;
    }
    set_slot(t, in_tensor.node, n);
    set_slot(t, in_tensor.requires_grad, new_reference(Py_True));
    return 0;
failed:
    Py_XDECREF(edges);
    Py_XDECREF(shapes);
    return -1;
}

static PyObject *cat_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    Call *self = (Call *)callable;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf), keywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    PyObject *dim = count == 2 ? args[1] : zero;
    int wanted = 0;
    if (keywords == 1 && count == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "dim") == 0)
        dim = args[1];
    else if (keywords != 0 || count < 1 || count > 2) goto python;
    if (read_record(self) < 0 || !nobody_listens() || !(PyList_CheckExact(args[0]) || PyTuple_CheckExact(args[0])) || !PyLong_CheckExact(dim))
        goto python;
    Py_ssize_t length = PySequence_Fast_GET_SIZE(args[0]);
    PyObject **tensors = PySequence_Fast_ITEMS(args[0]);
    if (length == 0 || !is_tensor(tensors[0])) goto python;
    PyObject *type = SLOT(tensors[0], in_tensor.type);
    if (SLOT(type, in_type.simple) != Py_True) goto python;
    PyObject *rank = PyObject_GetAttr(SLOT(type, in_type.dtype), name_rank);
    int inexact = rank != NULL && PyLong_AsLong(rank) >= 2;
    Py_XDECREF(rank);
    for (Py_ssize_t k = 0; k < length; k++) {
        if (!is_tensor(tensors[k]) || SLOT(tensors[k], in_tensor.type) != type) goto python;
        if (inexact && wants_gradient(tensors[k])) wanted = 1;
    }
    long d = PyLong_AsLong(dim);
    int ndim = PyArray_NDIM(ARRAY(tensors[0]));
    if (d < -ndim || d >= ndim) goto python;
    PyArrayObject *c = joined(tensors, length, type, (int)(d < 0 ? d + ndim : d));
    if (c == NULL) goto python;
    PyObject *t = new_tensor((PyObject *)c, type);
    if (t != NULL && wanted && self->differentiable && grad_enabled() && record_join(self, tensors, length, dim, t) < 0)
        Py_CLEAR(t);
    return t;
python:
    return fall_back(self, args, nargsf, kwnames);
}

/* ---- making them */

static PyObject *make(PyObject *module, PyObject *args) {
    const char *kind;
    PyObject *op, *fallback, *classes;
    if (!PyArg_ParseTuple(args, "sOOO!", &kind, &op, &fallback, &PyTuple_Type, &classes)) return NULL;
    Call *self = new_call(fallback, op, kind[0] == 'm' ? matmul_call : kind[0] == 'l' ? linear_call : cat_call);
    if (self != NULL) self->rest = new_reference(classes);
    return (PyObject *)self;
}

static PyMethodDef functions[] = {
    {"product", make, METH_VARARGS,
     "product(kind, op, fallback, classes): the fast call of \"matmul\" of matrices, of \"linear\" or \"cat\". `classes` of "
     "nodes: one for matmul; for linear of rows with and without bias, of more dimensions with and without."},
    {NULL},
};

int products_register(PyObject *module) { return PyModule_AddFunctions(module, functions); }
