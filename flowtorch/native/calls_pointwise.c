/* Fast calls of pointwise ops: of one tensor, of two, of a tensor and a Python number. */
#include "engine.h"
#include "stream.h"

enum { BESIDE_TENSOR, BESIDE_FLOAT, BESIDE_INT };
#define RELEASE 8192                    /* elements from which the GIL is given up */

/* ---- plans */

/* The inner loop of a ufunc for operands of one dtype, if its results have the dtype that the plan says. */
static int find_loop(Plan *p, PyUFuncObject *ufunc, PyArray_Descr *in, PyArray_Descr *out) {
    if (ufunc->core_enabled || ufunc->nout != 1 || ufunc->nin > 2) return 0;
    for (int i = 0; i < ufunc->ntypes; i++) {
        const char *types = ufunc->types + i * ufunc->nargs;
        int fits = types[ufunc->nin] == out->type_num;
        for (int k = 0; k < ufunc->nin; k++) fits = fits && types[k] == in->type_num;
        if (fits) {
            p->loop = ufunc->functions[i];
            p->data = ufunc->data ? (void *)ufunc->data[i] : NULL;
            return 1;
        }
    }
    return 0;
}

static int fill(Plan *p, PyObject *type, PyObject *plan) {
    PyObject *kernel = PyTuple_GET_ITEM(plan, 0), *result = PyTuple_GET_ITEM(plan, 1);
    PyArray_Descr *in = (PyArray_Descr *)SLOT(type, in_type.numpy), *out = (PyArray_Descr *)SLOT(result, in_type.numpy);
    PyObject *rank = PyObject_GetAttr(SLOT(result, in_type.dtype), name_rank);
    if (rank == NULL) return -1;
    p->inexact = PyLong_AsLong(rank) >= 2;
    Py_DECREF(rank);
    Py_INCREF(type);
    Py_INCREF(plan);
    Py_XSETREF(p->type, type);
    Py_XSETREF(p->plan, plan);
    p->epoch = epoch;
    p->kernel = kernel;
    p->result = result;
    p->number = in->type_num;
    p->out = out;
    p->how = NOT_HERE;
    if (PyObject_TypeCheck(kernel, &PyUFunc_Type)) {
        if (find_loop(p, (PyUFuncObject *)kernel, in, out)) p->how = LOOP;
    } else if (Py_TYPE(kernel) == &Kernel_Type)
        p->how = KERNEL;
    return 0;
}

/* The plan for operands of `type`; NULL if the complete path has made none yet. */
static Plan *find_plan(Call *self, int beside, PyObject *type) {
    Plan *known = self->known[beside];
    for (int i = 0; i < PLANS; i++)
        if (known[i].type == type && known[i].epoch == epoch) return known + i;
    PyObject *plan = PyDict_GetItemWithError(self->plans[beside], type);
    if (plan == NULL) return NULL;
    int i = 0;
    while (i < PLANS - 1 && known[i].type != NULL && known[i].epoch == epoch) i++;
    return fill(known + i, type, plan) < 0 ? NULL : known + i;
}

/* ---- computing */

static inline int readable(PyArrayObject *a, int number) {
    return PyArray_TYPE(a) == number && PyArray_ISALIGNED(a) && PyArray_ISNOTSWAPPED(a);
}

/* Elements that are computed in the cache and written past it; `result` is the place of the output. */
static void stream_loop(Plan *p, char *const *data, npy_intp n, npy_intp *steps, int result) {
    _Alignas(64) char block[STREAM_CALL];
    npy_intp size = steps[result], most = STREAM_CALL / size, m = to_line(data[result]) / size;
    for (npy_intp begin = 0; begin < n; begin += m, m = most) {
        if (m == 0) m = most;
        if (m > n - begin) m = n - begin;
        char *at[3] = {data[0] + begin * steps[0], data[1] + begin * steps[1], NULL};
        at[result] = block;
        p->loop(at, &m, steps, p->data);
        stream_copy(data[result] + begin * size, block, m * size);
    }
    stream_end();
}

/* The operands lie at `data`, the output last. */
static void run_loop(Plan *p, char **data, npy_intp n, npy_intp *steps, int result) {
    if (n == 0) return;
    NPY_BEGIN_THREADS_DEF;
    NPY_BEGIN_THREADS_THRESHOLDED(n > RELEASE ? n : 0);
    if (data[result] != data[0] && streams(n * steps[result])) stream_loop(p, data, n, steps, result);
    else p->loop(data, &n, steps, p->data);
    NPY_END_THREADS;
}

static PyArrayObject *make_result(Plan *p, PyArrayObject *like, int fortran) {
    Py_INCREF(p->out);
    return (PyArrayObject *)PyArray_NewFromDescr(&PyArray_Type, p->out, PyArray_NDIM(like), PyArray_DIMS(like), NULL,
                                                 NULL, fortran ? NPY_ARRAY_F_CONTIGUOUS : 0, NULL);
}

/* One pass over memory, where the elements lie dense and in the same order. NULL without an error: not so. */
static PyArrayObject *compute_one(Plan *p, PyArrayObject *a) {
    int fortran = !PyArray_IS_C_CONTIGUOUS(a);
    if (!readable(a, p->number) || (fortran && !PyArray_IS_F_CONTIGUOUS(a))) return NULL;
    PyArrayObject *c = make_result(p, a, fortran);
    if (c == NULL) return NULL;
    char *data[2] = {PyArray_BYTES(a), PyArray_BYTES(c)};
    npy_intp steps[2] = {PyArray_ITEMSIZE(a), PyArray_ITEMSIZE(c)};
    run_loop(p, data, PyArray_SIZE(a), steps, 1);
    return c;
}

static PyArrayObject *compute_number(Plan *p, PyArrayObject *a, char *number, int reverse) {
    int fortran = !PyArray_IS_C_CONTIGUOUS(a);
    if (!readable(a, p->number) || (fortran && !PyArray_IS_F_CONTIGUOUS(a))) return NULL;
    PyArrayObject *c = make_result(p, a, fortran);
    if (c == NULL) return NULL;
    npy_intp step = PyArray_ITEMSIZE(a);
    char *data[3] = {reverse ? number : PyArray_BYTES(a), reverse ? PyArray_BYTES(a) : number, PyArray_BYTES(c)};
    npy_intp steps[3] = {reverse ? 0 : step, reverse ? step : 0, PyArray_ITEMSIZE(c)};
    run_loop(p, data, PyArray_SIZE(a), steps, 2);
    return c;
}

/* Broadcast operands, both contiguous: the result is so too. Dimensions that both step through alike become one. */
static PyArrayObject *compute_broadcast(Plan *p, PyArrayObject *a, PyArrayObject *b) {
    int na = PyArray_NDIM(a), nb = PyArray_NDIM(b), n = na > nb ? na : nb, used = 0;
    npy_intp shape[NPY_MAXDIMS], size[NPY_MAXDIMS], step[NPY_MAXDIMS][2], item = PyArray_ITEMSIZE(a);
    npy_intp dense[2] = {item, item};
    for (int i = 0; i < n; i++) {                       /* from the last dimension to the first */
        npy_intp x = i < na ? PyArray_DIM(a, na - 1 - i) : 1, y = i < nb ? PyArray_DIM(b, nb - 1 - i) : 1;
        if (x != y && x != 1 && y != 1) return NULL;
        npy_intp m = shape[n - 1 - i] = x == 1 ? y : x;
        npy_intp sx = x == 1 ? 0 : dense[0], sy = y == 1 ? 0 : dense[1];
        dense[0] *= x;
        dense[1] *= y;
        if (m == 1) continue;
        if (used && step[used - 1][0] * size[used - 1] == sx && step[used - 1][1] * size[used - 1] == sy)
            size[used - 1] *= m;
        else {
            size[used] = m;
            step[used][0] = sx;
            step[used++][1] = sy;
        }
    }
    PyArrayObject *c = new_like(p->out, n, shape);
    if (c == NULL || PyArray_SIZE(c) == 0) return c;
    npy_intp inner = used ? size[0] : 1, outer = PyArray_SIZE(c) / inner, width = PyArray_ITEMSIZE(c);
    npy_intp steps[3] = {used ? step[0][0] : 0, used ? step[0][1] : 0, width}, at[NPY_MAXDIMS] = {0};
    char *x = PyArray_BYTES(a), *y = PyArray_BYTES(b), *z = PyArray_BYTES(c);
    NPY_BEGIN_THREADS_DEF;
    NPY_BEGIN_THREADS_THRESHOLDED(inner * outer > RELEASE ? inner * outer : 0);
    for (npy_intp k = 0; k < outer; k++) {
        char *data[3] = {x, y, z};
        p->loop(data, &inner, steps, p->data);
        z += inner * width;
        for (int d = 1; d < used; d++) {                /* the next row: count like an odometer */
            x += step[d][0];
            y += step[d][1];
            if (++at[d] < size[d]) break;
            at[d] = 0;
            x -= step[d][0] * size[d];
            y -= step[d][1] * size[d];
        }
    }
    NPY_END_THREADS;
    return c;
}

static PyArrayObject *compute_two(Plan *p, PyArrayObject *a, PyArrayObject *b) {
    if (!readable(a, p->number) || !readable(b, p->number)) return NULL;
    if (same_shape(a, b)) {
        int fortran = !(PyArray_IS_C_CONTIGUOUS(a) && PyArray_IS_C_CONTIGUOUS(b));
        if (fortran && !(PyArray_IS_F_CONTIGUOUS(a) && PyArray_IS_F_CONTIGUOUS(b))) return NULL;
        PyArrayObject *c = make_result(p, a, fortran);
        if (c == NULL) return NULL;
        npy_intp item = PyArray_ITEMSIZE(a), steps[3] = {item, item, PyArray_ITEMSIZE(c)};
        char *data[3] = {PyArray_BYTES(a), PyArray_BYTES(b), PyArray_BYTES(c)};
        run_loop(p, data, PyArray_SIZE(a), steps, 2);
        return c;
    }
    if (!PyArray_IS_C_CONTIGUOUS(a) || !PyArray_IS_C_CONTIGUOUS(b)) return NULL;
    return compute_broadcast(p, a, b);
}

static PyArrayObject *run_kernel(Plan *p, PyObject *const *arrays, Py_ssize_t count) {
    Kernel *kernel = (Kernel *)p->kernel;
    PyObject *c = kernel->run(kernel, arrays, count, NULL);
    if (c != NULL && (Py_TYPE(c) != &PyArray_Type || PyArray_TYPE((PyArrayObject *)c) != p->out->type_num)) {
        Py_DECREF(c);
        return NULL;
    }
    return (PyArrayObject *)c;
}

/* The array of a tensor, held: while a loop runs without the GIL, another thread may give the tensor another one. */
static PyArrayObject *hold(PyObject *t) { return (PyArrayObject *)new_reference(SLOT(t, in_tensor.array)); }

static PyArrayObject *compute(Plan *p, PyArrayObject *a, PyArrayObject *b) {
    PyObject *arrays[2] = {(PyObject *)a, (PyObject *)b};
    if (p->how == KERNEL) return run_kernel(p, arrays, b ? 2 : 1);
    return b ? compute_two(p, a, b) : compute_one(p, a);
}

/* ---- recording */

static int keep_inputs(PyObject *n, int count, PyObject *const *inputs, const int *wanted) {
    PyObject *saved = PyTuple_New(count), *versions = PyTuple_New(count);
    for (int i = 0; saved && versions && i < count; i++) {
        int tensor = is_tensor(inputs[i]);
        PyTuple_SET_ITEM(saved, i, new_reference(wanted[i] || !tensor ? inputs[i] : Py_None));
        PyTuple_SET_ITEM(versions, i, new_reference(wanted[i] && tensor ? version_of(inputs[i]) : Py_None));
    }
    SLOT(n, in_node.saved) = saved;
    SLOT(n, in_node.versions) = versions;
    return saved && versions ? 0 : -1;
}

/* Put a node behind `t`. The edges are stolen. */
static int record(Call *self, Plan *p, PyObject *t, int count, PyObject *const *inputs, PyObject **edges) {
    int wanted[2] = {0, 0}, any = 0;
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++)
            if (edges[j] != NULL && self->saver[i] >> j & 1) wanted[i] = any = 1;
        any = any || !is_tensor(inputs[i]);             /* a Python number is always kept */
    }
    PyObject *ends = PyTuple_New(count);
    if (ends == NULL) return -1;
    for (int i = 0; i < count; i++) PyTuple_SET_ITEM(ends, i, edges[i] ? edges[i] : new_reference(Py_None));
    PyObject *n = new_node(self->node_class, ends, (PyArrayObject *)SLOT(t, in_tensor.array), p->result);
    if (n == NULL) return -1;
    if (!any) SLOT(n, in_node.saved) = new_reference(empty_tuple);
    else if (keep_inputs(n, count, inputs, wanted) < 0) goto failed;
    if (self->wants_out && keep_output(n, t) < 0) goto failed;
    if (self->wants_shapes) {                           /* of ops of one tensor only: see below */
        PyObject *item = shape_and_dtype(inputs[0]);
        SLOT(n, in_node.shapes) = item ? PyTuple_Pack(1, item) : NULL;
        Py_XDECREF(item);
        if (SLOT(n, in_node.shapes) == NULL) goto failed;
    }
    set_slot(t, in_tensor.node, n);
    set_slot(t, in_tensor.requires_grad, new_reference(Py_True));
    return 0;
failed:
    Py_DECREF(n);
    return -1;
}

/* ---- the calls */

static PyObject *unary_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    Call *self = (Call *)callable;
    if (PyVectorcall_NARGS(nargsf) != 1 || kwnames != NULL || !nobody_listens() || !is_tensor(args[0])) goto python;
    PyObject *input = args[0], *type = SLOT(input, in_tensor.type), *edge = NULL;
    Plan *p = find_plan(self, BESIDE_TENSOR, type);
    if (p == NULL || p->how == NOT_HERE) goto python;
    int recording = p->inexact && wants_gradient(input) && grad_enabled();
    if (recording && (read_record(self) < 0)) goto python;
    PyArrayObject *a = hold(input), *c = compute(p, a, NULL);
    Py_DECREF(a);
    if (c == NULL) goto python;
    PyObject *t = new_tensor((PyObject *)c, p->result);
    if (t == NULL || !recording || !self->differentiable) return t;
    if (edge_of(input, &edge) < 0 || (edge != NULL && record(self, p, t, 1, &input, &edge) < 0)) Py_CLEAR(t);
    return t;
python:
    return fall_back(self, args, nargsf, kwnames);
}

/* A tensor and a Python number. */
static PyObject *number_call(Call *self, PyObject *tensor, PyObject *number) {
    PyObject *type = SLOT(tensor, in_tensor.type), *edge = NULL;
    int is_float = PyFloat_CheckExact(number);
    Plan *p = find_plan(self, is_float ? BESIDE_FLOAT : BESIDE_INT, type);
    if (p == NULL || p->how == NOT_HERE) return NULL;
    int recording = p->inexact && wants_gradient(tensor) && grad_enabled();
    if (recording && (read_record(self) < 0 || (self->differentiable && self->wants_shapes))) return NULL;
    PyArrayObject *a = hold(tensor), *c = NULL;
    union { float f; double d; } value;
    int direct = is_float && (p->number == NPY_FLOAT || p->number == NPY_DOUBLE);
    if (direct && p->how == LOOP) {
        if (p->number == NPY_FLOAT) value.f = (float)PyFloat_AS_DOUBLE(number);
        else value.d = PyFloat_AS_DOUBLE(number);
        c = compute_number(p, a, (char *)&value, self->reverse);
    } else {
        PyObject *scalar = NULL;
        if (PyObject_IsTrue(number) == 1)
            scalar = Py_XNewRef(PyDict_GetItemWithError(SLOT(type, in_type.scalars), number));
        if (scalar == NULL) {
            static PyObject *name;
            if (name == NULL) name = PyUnicode_InternFromString("scalar");
            if (name != NULL && !PyErr_Occurred()) scalar = PyObject_CallMethodOneArg(type, name, number);
        }
        PyArrayObject *b = (PyArrayObject *)scalar;
        if (b != NULL && p->how == KERNEL) c = self->reverse ? compute(p, b, a) : compute(p, a, b);
        else if (b != NULL && readable(b, p->number)) c = compute_number(p, a, PyArray_BYTES(b), self->reverse);
        Py_XDECREF(scalar);
    }
    Py_DECREF(a);
    if (c == NULL) return NULL;
    PyObject *t = new_tensor((PyObject *)c, p->result);
    if (t == NULL || !recording || !self->differentiable) return t;
    if (edge_of(tensor, &edge) < 0) Py_CLEAR(t);
    else if (edge != NULL) {
        PyObject *inputs[2] = {tensor, number}, *edges[2] = {edge, NULL};
        if (self->reverse) inputs[0] = number, inputs[1] = tensor, edges[0] = NULL, edges[1] = edge;
        if (record(self, p, t, 2, inputs, edges) < 0) Py_CLEAR(t);
    }
    return t;
}

static PyObject *binary_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames);

static PyObject *two_call(Call *self, PyObject *a, PyObject *b) {
    PyObject *type = SLOT(a, in_tensor.type), *edges[2] = {NULL, NULL};
    if (SLOT(b, in_tensor.type) != type) return NULL;
    Plan *p = find_plan(self, BESIDE_TENSOR, type);
    if (p == NULL || p->how == NOT_HERE) return NULL;
    int recording = p->inexact && (wants_gradient(a) || wants_gradient(b)) && grad_enabled();
    if (recording && (read_record(self) < 0 || (self->differentiable && self->wants_shapes))) return NULL;
    PyArrayObject *x = hold(a), *y = hold(b), *c = compute(p, x, y);
    Py_DECREF(x);
    Py_DECREF(y);
    if (c == NULL) return NULL;
    PyObject *t = new_tensor((PyObject *)c, p->result);
    if (t == NULL || !recording || !self->differentiable) return t;
    PyObject *inputs[2] = {a, b};
    if (edge_of(a, &edges[0]) < 0) Py_CLEAR(t);
    else if (edge_of(b, &edges[1]) < 0) {
        Py_CLEAR(t);
        Py_XDECREF(edges[0]);
    } else if ((edges[0] || edges[1]) && record(self, p, t, 2, inputs, edges) < 0) Py_CLEAR(t);
    return t;
}

/* What a fast call of two operands gives, with the first a tensor; NULL without an error: not here. */
PyObject *binary_of(PyObject *call, PyObject *a, PyObject *b) {
    if (Py_TYPE(call) != &CallType || ((Call *)call)->vectorcall != binary_call) return NULL;
    if (PyFloat_CheckExact(b) || PyLong_CheckExact(b)) return number_call((Call *)call, a, b);
    return is_tensor(b) ? two_call((Call *)call, a, b) : NULL;
}

/* Adds one array to another of the same shape. */
int add_into(PyArrayObject *to, PyArrayObject *from) {
    if (!same_shape(to, from) || !is_real(to) || !readable(to, PyArray_TYPE(to)) || !readable(from, PyArray_TYPE(to)) ||
        !PyArray_IS_C_CONTIGUOUS(to) || !PyArray_IS_C_CONTIGUOUS(from))
        return 0;
    npy_intp n = PyArray_SIZE(to);
    void *x = PyArray_DATA(to), *y = PyArray_DATA(from);
    Py_INCREF(to);
    NPY_BEGIN_THREADS_DEF;
    NPY_BEGIN_THREADS_THRESHOLDED(n > RELEASE ? n : 0);
    if (PyArray_TYPE(to) == NPY_FLOAT)
        for (npy_intp i = 0; i < n; i++) ((float *)x)[i] += ((float *)y)[i];
    else
        for (npy_intp i = 0; i < n; i++) ((double *)x)[i] += ((double *)y)[i];
    NPY_END_THREADS;
    Py_DECREF(to);
    return 1;
}

static PyObject *binary_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    Call *self = (Call *)callable;
    PyObject *result = NULL;
    if (PyVectorcall_NARGS(nargsf) == 2 && kwnames == NULL && nobody_listens() && is_tensor(args[0])) {
        if (PyFloat_CheckExact(args[1]) || PyLong_CheckExact(args[1])) result = number_call(self, args[0], args[1]);
        else if (is_tensor(args[1]))
            result = self->reverse ? two_call(self, args[1], args[0]) : two_call(self, args[0], args[1]);
    }
    return result != NULL ? result : fall_back(self, args, nargsf, kwnames);
}

/* ---- in place: memory that nobody else knows by another name, operands alike */

static int overlaps(PyArrayObject *a, PyArrayObject *b) {
    char *x = PyArray_BYTES(a), *y = PyArray_BYTES(b);
    return x < y + PyArray_NBYTES(b) && y < x + PyArray_NBYTES(a);
}

static PyObject *inplace_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    Call *self = (Call *)callable;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    if (kwnames != NULL || count > 2 || count == 0 || !nobody_listens() || !is_tensor(args[0])) goto python;
    PyObject *target = args[0], *type = SLOT(target, in_tensor.type), *counter = SLOT(target, in_tensor.counter);
    if (SLOT(target, in_tensor.view) != Py_None) goto python;
    int beside = BESIDE_TENSOR, wanted = SLOT(target, in_tensor.requires_grad) == Py_True;
    union { float f; double d; } value;
    if (count == 2) {
        if (PyFloat_CheckExact(args[1])) beside = BESIDE_FLOAT;
        else if (is_tensor(args[1]) && SLOT(args[1], in_tensor.type) == type) wanted |= wants_gradient(args[1]);
        else goto python;
    }
    if (wanted && grad_enabled()) goto python;
    Plan *p = find_plan(self, beside, type);
    if (p == NULL || p->how != LOOP || p->result != type) goto python;
    PyArrayObject *a = ARRAY(target);
    if (!readable(a, p->number) || !PyArray_IS_C_CONTIGUOUS(a) || !PyArray_ISWRITEABLE(a)) goto python;
    npy_intp item = PyArray_ITEMSIZE(a), steps[3] = {item, item, item};
    char *data[3] = {PyArray_BYTES(a), PyArray_BYTES(a), PyArray_BYTES(a)};
    if (beside == BESIDE_FLOAT) {
        if (p->number == NPY_FLOAT) value.f = (float)PyFloat_AS_DOUBLE(args[1]);
        else if (p->number == NPY_DOUBLE) value.d = PyFloat_AS_DOUBLE(args[1]);
        else goto python;
        data[1] = (char *)&value;
        steps[1] = 0;
    } else if (count == 2) {
        PyArrayObject *b = ARRAY(args[1]);
        if (!same_shape(a, b) || !PyArray_IS_C_CONTIGUOUS(b) || !readable(b, p->number)) goto python;
        data[1] = PyArray_BYTES(b);
        if (data[1] != data[0] && overlaps(a, b)) goto python;
    }
    PyObject *one = PyLong_FromLong(1), *version = one ? PyNumber_Add(version_of(target), one) : NULL;
    Py_XDECREF(one);
    if (version == NULL) goto python;
    if (PyList_CheckExact(counter)) PyList_SetItem(counter, 0, version);
    else set_slot(target, in_tensor.counter, version);
    PyObject *held = new_reference((PyObject *)a), *other = count == 2 ? (PyObject *)(is_tensor(args[1]) ? hold(args[1]) : NULL) : NULL;
    run_loop(p, data, PyArray_SIZE(a), steps, count == 2 ? 2 : 1);
    Py_DECREF(held);
    Py_XDECREF(other);
    return new_reference(target);
python:
    return fall_back(self, args, nargsf, kwnames);
}

/* ---- making them */

/* pointwise(kind, op, fallback): the fast call of an op. `kind`: "unary", "binary", "reflected", "inplace". */
static PyObject *make(PyObject *module, PyObject *args) {
    const char *kind;
    PyObject *op, *fallback;
    if (!PyArg_ParseTuple(args, "sOO", &kind, &op, &fallback)) return NULL;
    Call *self = new_call(fallback, op, kind[0] == 'u' ? unary_call : kind[0] == 'i' ? inplace_call : binary_call);
    if (self == NULL) return NULL;
    self->reverse = kind[0] == 'r';
    const char *names[3] = {"plans", "float_plans", "int_plans"};
    for (int i = 0; i < 3; i++)
        if ((self->plans[i] = PyObject_GetAttrString(op, names[i])) == NULL) {
            Py_DECREF(self);
            return NULL;
        }
    return (PyObject *)self;
}

static PyMethodDef functions[] = {
    {"pointwise", make, METH_VARARGS, "pointwise(kind, op, fallback): the fast call of a pointwise op."},
    {NULL},
};

int pointwise_register(PyObject *module) { return PyModule_AddFunctions(module, functions); }
