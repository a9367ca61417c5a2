/* The callable that stands for an op, its slots, tensors and nodes made in C. */
#define FLOWTORCH_CALLS
#include "calls.h"
#include <structmember.h>

struct tensor_slots in_tensor;
struct node_slots in_node;
struct type_slots in_type;
PyTypeObject *Tensor, *SizeType;
PyObject *active, *empty_tuple, *zero, *name_no_grad, *name_rank;
unsigned epoch = 1;
PyObject *grad_mode, *sequence_call;
static PyObject *sequence, *view_edge;

/* ---- the callable */

static PyObject *call_get(PyObject *self, PyObject *object, PyObject *type) {
    if (object == NULL || object == Py_None) return new_reference(self);
    return PyMethod_New(self, object);
}

static PyObject *call_getattro(PyObject *self, PyObject *name) {
    PyObject *found = PyObject_GenericGetAttr(self, name);
    if (found != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError)) return found;
    PyErr_Clear();
    return PyObject_GetAttr(((Call *)self)->fallback, name);
}

static int call_setattro(PyObject *self, PyObject *name, PyObject *value) {
    return PyObject_SetAttr(((Call *)self)->fallback, name, value);
}

static PyObject *call_repr(PyObject *self) { return PyObject_Repr(((Call *)self)->fallback); }

static int call_traverse(PyObject *object, visitproc visit, void *arg) {
    Call *self = (Call *)object;
    Py_VISIT(self->fallback);
    Py_VISIT(self->op);
    for (int i = 0; i < 3; i++) Py_VISIT(self->plans[i]);
    Py_VISIT(self->body);
    Py_VISIT(self->names);
    Py_VISIT(self->defaults);
    Py_VISIT(self->rest);
    Py_VISIT(self->wrap);
    Py_VISIT(self->compile_recorder);
    Py_VISIT(self->recorder);
    Py_VISIT((PyObject *)self->node_class);
    return 0;
}

static int call_clear(PyObject *object) {
    Call *self = (Call *)object;
    for (int i = 0; i < 3; i++) {
        Py_CLEAR(self->plans[i]);
        for (int k = 0; k < PLANS; k++) {
            Py_CLEAR(self->known[i][k].type);
            Py_CLEAR(self->known[i][k].plan);
        }
    }
    Py_CLEAR(self->fallback);
    Py_CLEAR(self->op);
    Py_CLEAR(self->body);
    Py_CLEAR(self->names);
    Py_CLEAR(self->defaults);
    Py_CLEAR(self->rest);
    Py_CLEAR(self->wrap);
    Py_CLEAR(self->compile_recorder);
    Py_CLEAR(self->recorder);
    Py_CLEAR(self->node_class);
    return 0;
}

static void call_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    if (((Call *)object)->weakrefs != NULL) PyObject_ClearWeakRefs(object);
    call_clear(object);
    Py_TYPE(object)->tp_free(object);
}

/* Pickled by its public name, as functions are. */
static PyObject *call_reduce(PyObject *self, PyObject *unused) {
    return PyObject_GetAttrString(((Call *)self)->fallback, "__qualname__");
}

static PyObject *of_fallback(PyObject *self, void *name) {
    return name == NULL ? new_reference(((Call *)self)->fallback)
                        : PyObject_GetAttrString(((Call *)self)->fallback, name);
}

static PyMethodDef call_methods[] = {{"__reduce__", call_reduce, METH_NOARGS, NULL}, {NULL}};
static PyGetSetDef call_attributes[] = {
    {"__wrapped__", of_fallback, NULL, "The Python function that says what this call means.", NULL},
    {"__doc__", of_fallback, NULL, NULL, "__doc__"},
    {"__module__", of_fallback, NULL, NULL, "__module__"},
    {"__dict__", of_fallback, NULL, NULL, "__dict__"},
    {NULL},
};

PyTypeObject CallType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "flowtorch.native.function",
    .tp_basicsize = sizeof(Call),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .tp_vectorcall_offset = offsetof(Call, vectorcall),
    .tp_weaklistoffset = offsetof(Call, weakrefs),
    .tp_call = PyVectorcall_Call,
    .tp_descr_get = call_get,
    .tp_getattro = call_getattro,
    .tp_setattro = call_setattro,
    .tp_repr = call_repr,
    .tp_traverse = call_traverse,
    .tp_clear = call_clear,
    .tp_dealloc = call_dealloc,
    .tp_methods = call_methods,
    .tp_getset = call_attributes,
};

Call *new_call(PyObject *fallback, PyObject *op, vectorcallfunc function) {
    Call *self = (Call *)CallType.tp_alloc(&CallType, 0);
    if (self == NULL) return NULL;
    self->vectorcall = function;
    self->fallback = new_reference(fallback);
    self->op = new_reference(op);
    return self;
}

/* The Python closure makes the call anew: an error here only means that the short cut does not fit. */
PyObject *fall_back(Call *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) return NULL;
        PyErr_Clear();
    }
    return PyObject_Vectorcall(self->fallback, args, nargsf & ~PY_VECTORCALL_ARGUMENTS_OFFSET, kwnames);
}

/* ---- tensors, nodes, edges */

int grad_enabled(void) {
    PyObject *value;
    if (PyContextVar_Get(grad_mode, NULL, &value) < 0 || value == NULL) return 0;
    Py_DECREF(value);
    return value == Py_True;
}

PyObject *new_tensor(PyObject *array, PyObject *type) {
    PyObject *t = array == NULL ? NULL : Tensor->tp_alloc(Tensor, 0);
    if (t == NULL) {
        Py_XDECREF(array);
        return NULL;
    }
    SLOT(t, in_tensor.array) = array;
    SLOT(t, in_tensor.type) = new_reference(type);
    SLOT(t, in_tensor.requires_grad) = new_reference(Py_False);
    SLOT(t, in_tensor.node) = new_reference(Py_None);
    SLOT(t, in_tensor.grad) = new_reference(Py_None);
    SLOT(t, in_tensor.counter) = new_reference(zero);
    SLOT(t, in_tensor.view) = new_reference(Py_None);
    return t;
}

PyObject *new_node(PyTypeObject *cls, PyObject *edges, PyArrayObject *result, PyObject *type) {
    PyObject *n = edges == NULL ? NULL : cls->tp_alloc(cls, 0);
    if (n == NULL) {
        Py_XDECREF(edges);
        return NULL;
    }
    SLOT(n, in_node.edges) = edges;
    SLOT(n, in_node.hooks) = new_reference(Py_None);
    SLOT(n, in_node.type) = new_reference(type);
    SLOT(n, in_node.seq) = sequence_call ? PyObject_CallNoArgs(sequence_call) : Py_TYPE(sequence)->tp_iternext(sequence);
    SLOT(n, in_node.shape) = PyArray_IntTupleFromIntp(PyArray_NDIM(result), PyArray_DIMS(result));
    if (SLOT(n, in_node.seq) == NULL || SLOT(n, in_node.shape) == NULL) Py_CLEAR(n);
    return n;
}

int edge_of(PyObject *t, PyObject **edge) {
    PyObject *view = SLOT(t, in_tensor.view);
    *edge = NULL;
    if (view != Py_None) {
        PyObject *then = PyTuple_GET_ITEM(view, 2), *now = version_of(t);
        if (then != now && PyLong_AsLong(then) != PyLong_AsLong(now)) {
            PyObject *e = PyObject_CallOneArg(view_edge, t);    /* its storage was written since: a new history */
            if (e == NULL) return -1;
            if (e != Py_None) *edge = e;
            else Py_DECREF(e);
            return 0;
        }
    }
    if (SLOT(t, in_tensor.requires_grad) == Py_True) {
        PyObject *node = SLOT(t, in_tensor.node);
        *edge = new_reference(node == Py_None ? t : node);
    }
    return 0;
}

/* The result is kept for the derivative: its array and its version, not the tensor, which would be a cycle. */
int keep_output(PyObject *n, PyObject *t) {
    PyObject *counter = PyList_New(1);
    if (counter == NULL) return -1;
    PyList_SET_ITEM(counter, 0, new_reference(zero));
    PyObject *out = PyTuple_Pack(3, SLOT(t, in_tensor.array), counter, zero);
    if (out == NULL) {
        Py_DECREF(counter);
        return -1;
    }
    SLOT(n, in_node.out) = out;
    set_slot(t, in_tensor.counter, counter);
    return 0;
}

int raise_version(PyObject *t) {
    PyObject *counter = SLOT(t, in_tensor.counter), *one = PyLong_FromLong(1);
    PyObject *version = one ? PyNumber_Add(version_of(t), one) : NULL;
    Py_XDECREF(one);
    if (version == NULL) return -1;
    if (PyList_CheckExact(counter)) return PyList_SetItem(counter, 0, version);
    set_slot(t, in_tensor.counter, version);
    return 0;
}

PyObject *shape_and_dtype(PyObject *t) {
    PyArrayObject *a = ARRAY(t);
    PyObject *shape = PyArray_IntTupleFromIntp(PyArray_NDIM(a), PyArray_DIMS(a));
    PyObject *item = shape ? PyTuple_Pack(2, shape, SLOT(SLOT(t, in_tensor.type), in_type.dtype)) : NULL;
    Py_XDECREF(shape);
    return item;
}

static int flag(PyObject *object, const char *name) {
    PyObject *value = PyObject_GetAttrString(object, name);
    int truth = value == NULL ? -1 : PyObject_IsTrue(value);
    Py_XDECREF(value);
    return truth;
}

/* A tuple of small numbers as a set of bits. */
static unsigned bits(PyObject *numbers) {
    unsigned set = 0;
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(numbers); k++) {
        long j = PyLong_AsLong(PyTuple_GET_ITEM(numbers, k));
        if (j >= 0 && j < TENSORS) set |= 1u << j;
    }
    return set;
}

/* What the tape keeps, from the record's derivatives. */
int read_record(Call *self) {
    if (self->ready) return 0;
    self->differentiable = flag(self->op, "differentiable");
    self->wants_out = flag(self->op, "wants_out");
    self->wants_shapes = flag(self->op, "wants_shapes");
    self->wants_params = flag(self->op, "wants_params");
    PyObject *joint = PyObject_GetAttrString(self->op, "joint");
    self->simple = joint == Py_None && !self->wants_out;
    Py_XDECREF(joint);
    PyObject *savers = PyObject_GetAttrString(self->op, "savers");
    PyObject *cls = PyObject_GetAttrString(self->op, "node_class");
    if (self->differentiable < 0 || self->wants_out < 0 || self->wants_shapes < 0 || savers == NULL || cls == NULL) {
        Py_XDECREF(savers);
        Py_XDECREF(cls);
        return -1;
    }
    PyObject *outs = PyObject_GetAttrString(self->op, "out_savers");
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(savers); i++) {
        unsigned users = bits(PyTuple_GET_ITEM(savers, i));
        if (i < TENSORS) self->saver[i] = users;
        if (users) self->savers = 1;
    }
    self->out_savers = outs ? bits(outs) : 0;
    self->simple = self->simple && !self->savers;
    Py_XDECREF(outs);
    Py_DECREF(savers);
    self->node_class = (PyTypeObject *)cls;
    self->ready = 1;
    return 0;
}

/* ---- the module's part */

Py_ssize_t offset_of(PyObject *cls, const char *name) {
    PyObject *member = PyDict_GetItemString(((PyTypeObject *)cls)->tp_dict, name);
    if (member == NULL || Py_TYPE(member) != &PyMemberDescr_Type) {
        PyErr_Format(PyExc_TypeError, "%s has no slot %s", ((PyTypeObject *)cls)->tp_name, name);
        return -1;
    }
    return ((PyMemberDescrObject *)member)->d_member->offset;
}

static PyObject *configure(PyObject *module, PyObject *args) {
    PyObject *tensor, *node, *type, *size;
    if (!PyArg_ParseTuple(args, "OOOOOOOO", &tensor, &size, &node, &type, &active, &grad_mode, &sequence, &view_edge))
        return NULL;
    const struct { Py_ssize_t *place; PyObject *cls; const char *name; } members[] = {
        {&in_tensor.array, tensor, "_array"}, {&in_tensor.counter, tensor, "_counter"},
        {&in_tensor.grad, tensor, "_grad"}, {&in_tensor.node, tensor, "_node"},
        {&in_tensor.requires_grad, tensor, "_requires_grad"}, {&in_tensor.type, tensor, "_type"},
        {&in_tensor.view, tensor, "_view"},
        {&in_node.edges, node, "edges"}, {&in_node.hooks, node, "hooks"}, {&in_node.out, node, "out"},
        {&in_node.params, node, "params"}, {&in_node.saved, node, "saved"}, {&in_node.seq, node, "seq"},
        {&in_node.shape, node, "shape"}, {&in_node.shapes, node, "shapes"}, {&in_node.type, node, "type"},
        {&in_node.versions, node, "versions"},
        {&in_type.device, type, "device"}, {&in_type.dtype, type, "dtype"}, {&in_type.fast, type, "fast"}, {&in_type.numpy, type, "numpy"},
        {&in_type.scalars, type, "scalars"}, {&in_type.simple, type, "simple"},
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if ((*members[i].place = offset_of(members[i].cls, members[i].name)) < 0) return NULL;
    Tensor = (PyTypeObject *)new_reference(tensor);
    SizeType = (PyTypeObject *)new_reference(size);
    Py_INCREF(active);
    Py_INCREF(grad_mode);
    Py_INCREF(sequence);
    Py_INCREF(view_edge);
    Py_RETURN_NONE;
}

static PyObject *forget_plans(PyObject *module, PyObject *unused) {
    epoch++;
    Py_RETURN_NONE;
}

static PyObject *set_sequence(PyObject *module, PyObject *function) {
    Py_CLEAR(sequence_call);
    if (function != Py_None) sequence_call = new_reference(function);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"configure", configure, METH_VARARGS, "Learn where Tensor, Node and TensorType keep their slots."},
    {"forget_plans", forget_plans, METH_NOARGS, "Look up the ops' plans anew."},
    {"set_sequence", set_sequence, METH_O, "Number nodes by calling this from now on; None: by the counter."},
    {NULL},
};

int calls_register(PyObject *module) {
    import_umath1(-1);
    empty_tuple = PyTuple_New(0);
    zero = PyLong_FromLong(0);
    name_rank = PyUnicode_InternFromString("rank");
    name_no_grad = PyUnicode_InternFromString("no_grad");
    if (empty_tuple == NULL || zero == NULL || name_no_grad == NULL || PyType_Ready(&CallType) < 0) return -1;
    if (PyModule_AddFunctions(module, functions) < 0) return -1;
    if (pointwise_register(module) < 0 || views_register(module) < 0 || general_register(module) < 0) return -1;
    if (products_register(module) < 0 || engine_register(module) < 0 || formulas_register(module) < 0) return -1;
    if (steps_register(module) < 0 || new_register(module) < 0 || ternary_register(module) < 0) return -1;
    return attributes_register(module);
}
