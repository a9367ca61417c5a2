/* Fast calls of pointwise ops with a third operand or a factor, which nothing records: addcmul, addcdiv, lerp, clamp, and
add_ and sub_ with alpha. The operands are dense floats of one type and shape. */
#include "engine.h"

enum { ADDCMUL, ADDCDIV, LERP, CLAMP, ADD, SUB };
static const char *const kinds[] = {"addcmul", "addcdiv", "lerp", "clamp", "add", "sub", NULL};
#define RELEASE 8192                    /* elements from which the GIL is given up */

static int is_number(PyObject *x) { return PyFloat_CheckExact(x) || PyLong_CheckExact(x); }

/* The operands in order, and the factor; 0: the function must look at this call. */
static int read_call(int kind, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, PyObject **operands, PyObject **factor) {
    static const char *const factors[] = {"value", "value", NULL, NULL, "alpha", "alpha"};
    static const char *const bounds[] = {NULL, "min", "max"};
    Py_ssize_t keywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0, most = kind >= ADD ? 2 : 3;
    if (count > most) return 0;
    for (Py_ssize_t i = 0; i < 3; i++) operands[i] = i < count ? args[i] : Py_None;
    for (Py_ssize_t k = 0; k < keywords; k++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, k);
        int found = 0;
        if (factors[kind] && PyUnicode_CompareWithASCIIString(name, factors[kind]) == 0) *factor = args[count + k], found = 1;
        for (Py_ssize_t i = count; kind == CLAMP && i > 0 && i < 3; i++)
            if (PyUnicode_CompareWithASCIIString(name, bounds[i]) == 0) operands[i] = args[count + k], found = 1;
        if (!found) return 0;
    }
    if (*factor != NULL && !is_number(*factor)) return 0;
    return kind == CLAMP ? count > 0 && (operands[1] != Py_None || operands[2] != Py_None) : count == most;
}

/* Whether `t` lies in memory as the first operand does, and may be read while that one is written. */
static int fits(PyObject *t, PyObject *first, int written) {
    if (!is_tensor(t) || SLOT(t, in_tensor.type) != SLOT(first, in_tensor.type)) return 0;
    PyArrayObject *a = ARRAY(t), *b = ARRAY(first);
    if (!is_array((PyObject *)a) || !is_contiguous(a) || !same_shape(a, b)) return 0;
    char *x = PyArray_BYTES(a), *y = PyArray_BYTES(b);
    return !written || x == y || x >= y + PyArray_NBYTES(b) || y >= x + PyArray_NBYTES(a);
}

#define EACH(EXPRESSION) for (npy_intp i = 0; i < n; i++) to[i] = EXPRESSION
#define COMPUTE(TYPE)                                                                                                  \
    do {                                                                                                               \
        const TYPE *a = x, *b = y, *c = z;                                                                             \
        TYPE *to = out, v = (TYPE)factor;                                                                              \
        switch (kind) {                                                                                                \
            case ADDCMUL: if (factor == 1) EACH(a[i] + b[i] * c[i]); else EACH(a[i] + v * b[i] * c[i]); break;         \
            case ADDCDIV: EACH(a[i] + v * b[i] / c[i]); break;                                                         \
            case LERP:                                                                                                 \
                if ((v < 0 ? -v : v) < (TYPE)0.5) EACH(a[i] + v * (b[i] - a[i]));                                      \
                else EACH(b[i] - (b[i] - a[i]) * (1 - v));                                                             \
                break;                                                                                                 \
            case ADD: EACH(a[i] + b[i] * v); break;                                                                    \
            case SUB: EACH(a[i] - b[i] * v); break;                                                                    \
        }                                                                                                              \
    } while (0)

static void compute(int kind, int number, npy_intp n, const void *x, const void *y, const void *z, void *out, double factor) {
    NPY_BEGIN_THREADS_DEF;
    NPY_BEGIN_THREADS_THRESHOLDED(n > RELEASE ? n : 0);
    if (number == NPY_FLOAT) COMPUTE(float);
    else COMPUTE(double);
    NPY_END_THREADS;
}

/* By the native kernel that the op's plan names; NULL: there is none, or it declines. */
static PyArrayObject *clamped(Call *self, PyObject *type, PyObject **operands) {
    PyObject *plan = PyDict_GetItemWithError(self->plans[0], type), *arrays[3] = {SLOT(operands[0], in_tensor.array)};
    PyObject *kernel = plan && PyTuple_CheckExact(plan) ? PyTuple_GET_ITEM(plan, 0) : NULL, *c = NULL;
    if (kernel == NULL || Py_TYPE(kernel) != &Kernel_Type) return NULL;
    for (int i = 1; i < 3; i++) {
        arrays[i] = is_number(operands[i]) ? PyObject_CallMethod(type, "scalar", "O", operands[i])
                    : new_reference(operands[i] == Py_None ? Py_None : SLOT(operands[i], in_tensor.array));
        if (arrays[i] == NULL) PyErr_Clear();
    }
    if (arrays[1] && arrays[2]) {
        Py_INCREF(arrays[0]);
        c = PyObject_Vectorcall(kernel, arrays, 3, NULL);
        Py_DECREF(arrays[0]);
    }
    Py_XDECREF(arrays[1]);
    Py_XDECREF(arrays[2]);
    if (c != NULL && (Py_TYPE(c) != &PyArray_Type || !is_contiguous((PyArrayObject *)c) ||
                      PyArray_TYPE((PyArrayObject *)c) != PyArray_TYPE(ARRAY(operands[0])) ||
                      !same_shape((PyArrayObject *)c, ARRAY(operands[0]))))
        Py_CLEAR(c);
    return (PyArrayObject *)c;
}

static PyObject *call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    Call *self = (Call *)callable;
    PyObject *operands[3], *number = NULL;
    int kind = self->code, written = self->reverse, wanted = 0;
    if (!nobody_listens() || !read_call(kind, args, PyVectorcall_NARGS(nargsf), kwnames, operands, &number)) goto python;
    if ((kind == ADD || kind == SUB) && number == NULL) goto python;            /* these have a shorter call */
    PyObject *first = operands[0], *type;
    if (!is_tensor(first) || !is_simple(type = SLOT(first, in_tensor.type)) || !is_real(ARRAY(first)) ||
        !fits(first, first, 0))
        goto python;
    for (int i = 0; i < 3; i++) {
        PyObject *t = operands[i];
        if (t == Py_None && (kind == CLAMP || (kind >= ADD && i == 2))) continue;
        if (i > 0 && is_number(t) && (kind == CLAMP || (kind == LERP && i == 2))) continue;
        if (!fits(t, first, written && i > 0)) goto python;
        wanted |= wants_gradient(t);
    }
    if (kind == LERP) {
        if (!is_number(number = operands[2])) goto python;
    }
    if (wanted && grad_enabled()) goto python;
    if (written && (SLOT(first, in_tensor.view) != Py_None || !PyArray_ISWRITEABLE(ARRAY(first)))) goto python;
    double factor = number ? PyFloat_AsDouble(number) : 1;
    if (factor == -1 && PyErr_Occurred()) goto python;
    PyArrayObject *a = ARRAY(first), *out;
    npy_intp n = PyArray_SIZE(a);
    if (kind == CLAMP) {
        if ((out = clamped(self, type, operands)) == NULL) goto python;
        if (written) {
            memcpy(PyArray_DATA(a), PyArray_DATA(out), PyArray_NBYTES(a));
            Py_DECREF(out);
        }
    } else {
        out = written ? a : new_like(PyArray_DESCR(a), PyArray_NDIM(a), PyArray_DIMS(a));
        if (out == NULL) goto python;
        PyArrayObject *b = ARRAY(operands[1]), *c = kind == ADDCMUL || kind == ADDCDIV ? ARRAY(operands[2]) : b;
        PyObject *held[3] = {new_reference((PyObject *)a), new_reference((PyObject *)b), new_reference((PyObject *)c)};
        compute(kind, PyArray_TYPE(a), n, PyArray_DATA(a), PyArray_DATA(b), PyArray_DATA(c), PyArray_DATA(out), factor);
        for (int i = 0; i < 3; i++) Py_DECREF(held[i]);
    }
    if (!written) return new_tensor((PyObject *)out, type);
    return raise_version(first) < 0 ? NULL : new_reference(first);
python:
    return fall_back(self, args, nargsf, kwnames);
}

/* ternary(name, inplace, op, fallback): the fast call of an op that is known here, or the fallback. */
static PyObject *make(PyObject *module, PyObject *args) {
    const char *name;
    int inplace, kind = 0;
    PyObject *op, *fallback;
    if (!PyArg_ParseTuple(args, "spOO", &name, &inplace, &op, &fallback)) return NULL;
    while (kinds[kind] != NULL && strcmp(kinds[kind], name) != 0) kind++;
    if (kinds[kind] == NULL) return new_reference(fallback);
    Call *self = new_call(fallback, op, call);
    if (self == NULL) return NULL;
    self->code = kind;
    self->reverse = inplace;
    if ((self->plans[0] = PyObject_GetAttrString(op, "plans")) == NULL) Py_CLEAR(self);
    return (PyObject *)self;
}

static PyMethodDef functions[] = {
    {"ternary", make, METH_VARARGS, "ternary(name, inplace, op, fallback): the fast call, or the fallback."},
    {NULL},
};

int ternary_register(PyObject *module) { return PyModule_AddFunctions(module, functions); }
