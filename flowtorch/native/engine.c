/* The loop of backward for its common case: every leaf accumulates, nothing is recorded, nobody listens.

It does what `run_backward` of autograd/engine.py does, in the same order. Python is asked for what is rare (hooks,
gradients that do not fit, leaves with hooks) and for the derivatives of nodes without a formula here. */
#include "engine.h"

typedef struct {
    long long seq;
    PyObject *node, *grad;      /* grad: of nodes with several outputs a list */
    int owned;                  /* grad is a sum made here: free to be added to in place */
    int next;                   /* of the places not in use */
} Waiting;

typedef struct {
    Waiting *waiting;
    int *heap, *table;          /* places in `waiting`: by creation order, by node */
    int room, heaped, unused;
    unsigned mask;
    PyObject *roots, *helper;   /* helper: the Python side of this pass, made when it is first needed */
    PyObject *node;             /* the one that runs, borrowed */
} Pass;

static PyObject *make_helper, *prepare, *current, *released, *plain_release, *lock_acquire, *lock_release;
static PyTypeObject *OutputType;
static Py_ssize_t in_output_node, in_output_index;
static PyObject *name_apply, *name_release, *name_hooks, *name_post_hooks, *name_gradient_dtype, *name_fit, *name_node, *name_order, *add_call, *sum_call;

/* ---- what waits: a heap by creation order, and a table by node with linear probing */

static unsigned home(Pass *p, PyObject *node) { return (unsigned)((uintptr_t)node >> 4) * 2654435761u & p->mask; }

static unsigned place_of(Pass *p, PyObject *node) {
    unsigned i = home(p, node);
    while (p->table[i] >= 0 && p->waiting[p->table[i]].node != node) i = (i + 1) & p->mask;
    return i;
}

static int grow(Pass *p) {
    int room = p->room ? 2 * p->room : 64, first = p->room;
    Waiting *waiting = PyMem_Realloc(p->waiting, room * sizeof *waiting);
    if (waiting != NULL) p->waiting = waiting;
    int *heap = PyMem_Realloc(p->heap, room * sizeof *heap);
    if (heap != NULL) p->heap = heap;
    int *table = PyMem_Realloc(p->table, 2 * room * sizeof *table);
    if (table != NULL) p->table = table;
    if (!waiting || !heap || !table) {
        PyErr_NoMemory();
        return -1;
    }
    for (int i = first; i < room; i++) waiting[i].next = i + 1 < room ? i + 1 : p->unused;
    p->unused = first;
    p->room = room;
    p->mask = 2 * room - 1;
    for (int i = 0; i < 2 * room; i++) table[i] = -1;
    for (int i = 0; i < p->heaped; i++) table[place_of(p, waiting[heap[i]].node)] = heap[i];
    return 0;
}

/* Let `node` run when its turn comes; steals the gradient. */
static int push(Pass *p, PyObject *node, PyObject *grad) {
    long long seq = PyLong_AsLongLong(SLOT(node, in_node.seq));
    if ((seq == -1 && PyErr_Occurred()) || (p->unused < 0 && grow(p) < 0)) {
        Py_DECREF(grad);
        return -1;
    }
    int k = p->unused, i = p->heaped++;
    p->unused = p->waiting[k].next;
    p->waiting[k] = (Waiting){seq, new_reference(node), grad, 0, -1};
    p->table[place_of(p, node)] = k;
    for (int up; i > 0 && p->waiting[p->heap[up = (i - 1) / 2]].seq < seq; i = up) p->heap[i] = p->heap[up];
    p->heap[i] = k;
    return 0;
}

/* The newest node, with its gradient; both are the caller's now. */
static Waiting pop(Pass *p) {
    int k = p->heap[0], last = p->heap[--p->heaped], i = 0;
    for (int down; (down = 2 * i + 1) < p->heaped; i = down) {
        if (down + 1 < p->heaped && p->waiting[p->heap[down + 1]].seq > p->waiting[p->heap[down]].seq) down++;
        if (p->waiting[p->heap[down]].seq <= p->waiting[last].seq) break;
        p->heap[i] = p->heap[down];
    }
    if (p->heaped) p->heap[i] = last;
    Waiting w = p->waiting[k];
    unsigned hole = place_of(p, w.node);
    for (unsigned j = (hole + 1) & p->mask; p->table[j] >= 0; j = (j + 1) & p->mask) {
        unsigned wanted = home(p, p->waiting[p->table[j]].node);
        if (((j - wanted) & p->mask) >= ((j - hole) & p->mask)) p->table[hole] = p->table[j], hole = j;
    }
    p->table[hole] = -1;
    p->waiting[k].next = p->unused;
    p->unused = k;
    return w;
}

/* ---- what Python does */

static PyObject *helper_of(Pass *p) {
    if (p->helper == NULL) p->helper = PyObject_CallOneArg(make_helper, p->roots);
    return p->helper;
}

static PyObject *ask(Pass *p, const char *what, PyObject *a, PyObject *b, PyObject *c) {
    PyObject *helper = helper_of(p), *name = helper ? PyUnicode_InternFromString(what) : NULL;
    PyObject *result = name ? PyObject_CallMethodObjArgs(helper, name, a, b, c, NULL) : NULL;
    Py_XDECREF(name);
    return result;
}

/* `source` is the node that sent the gradient, None for a root. */
static PyObject *source_of(Pass *p) { return p->node ? p->node : Py_None; }

/* ---- gradients on their way */

static int fits(PyObject *g, PyObject *shape, PyObject *type) {
    if (Py_TYPE(g) != Tensor || SLOT(g, in_tensor.type) != type || !is_simple(type) || !PyTuple_CheckExact(shape)) return 0;
    PyArrayObject *a = ARRAY(g);
    int ndim = PyArray_NDIM(a);
    if (PyTuple_GET_SIZE(shape) != ndim) return 0;
    for (int d = 0; d < ndim; d++)
        if (PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, d)) != PyArray_DIM(a, d)) return 0;
    return 1;
}

static int fits_leaf(PyObject *g, PyObject *leaf) {
    PyObject *type = SLOT(leaf, in_tensor.type);
    return Py_TYPE(g) == Tensor && SLOT(g, in_tensor.type) == type && is_simple(type) && same_shape(ARRAY(g), ARRAY(leaf));
}

/* What a bias gets: the sum over the first dimensions, where these are all that a gradient has more than the leaf. NULL
without an error: it is something else. */
static PyObject *sum_of_rows(PyObject *g, PyObject *leaf) {
    PyObject *type = SLOT(leaf, in_tensor.type), *args[2] = {g, zero};
    if (Py_TYPE(g) != Tensor || SLOT(g, in_tensor.type) != type || !is_simple(type) || !nobody_listens()) return NULL;
    PyArrayObject *a = ARRAY(g), *like = ARRAY(leaf);
    int ndim = PyArray_NDIM(like), more = PyArray_NDIM(a) - ndim;
    if (ndim == 0 || more < 1 || !PyArray_CompareLists(PyArray_DIMS(a) + more, PyArray_DIMS(like), ndim)) return NULL;
    if (more == 1) return PyObject_Vectorcall(sum_call, args, 2, NULL);
    if ((args[1] = PyTuple_New(more)) == NULL) return NULL;
    for (int d = 0; d < more; d++) PyTuple_SET_ITEM(args[1], d, PyLong_FromLong(d));     /* small numbers are there */
    PyObject *sum = PyObject_Vectorcall(sum_call, args, 2, NULL);
    Py_DECREF(args[1]);
    return sum;
}

/* The gradient in the shape, dtype and device of what it belongs to; steals it. */
static PyObject *fitted(Pass *p, PyObject *g, PyObject *shape, PyObject *type) {
    PyObject *helper = helper_of(p), *result = NULL;
    if (helper != NULL) result = PyObject_CallMethodObjArgs(helper, name_fit, g, shape, type, source_of(p), NULL);
    Py_DECREF(g);
    return result;
}

/* The sum of two gradients; steals both. */
static PyObject *added(Pass *p, PyObject *a, PyObject *b) {
    PyObject *sum = NULL;
    if (Py_TYPE(a) == Tensor && Py_TYPE(b) == Tensor && is_simple(SLOT(a, in_tensor.type)) && nobody_listens())
        sum = binary_of(add_call, a, b);
    if (sum == NULL) {
        PyErr_Clear();
        sum = ask(p, "added", a, b, NULL);
    }
    Py_DECREF(a);
    Py_DECREF(b);
    return sum;
}

/* Whether a leaf has hooks, or wants its gradient in another dtype. */
static int has_wishes(PyObject *leaf) {
    PyObject **dict = _PyObject_GetDictPtr(leaf);
    if (dict == NULL || *dict == NULL || PyDict_GET_SIZE(*dict) == 0) return 0;
    return PyDict_GetItemWithError(*dict, name_hooks) != NULL || PyDict_GetItemWithError(*dict, name_post_hooks) != NULL ||
           PyDict_GetItemWithError(*dict, name_gradient_dtype) != NULL;
}

/* What `accumulate` does for a leaf without hooks; steals. -1: failed, 0: Python must do it (nothing stolen then). */
static int accumulated(PyObject *leaf, PyObject *g) {
    PyObject *old = SLOT(leaf, in_tensor.grad), *type = SLOT(leaf, in_tensor.type);
    PyArrayObject *a = ARRAY(g);
    if (!nobody_listens()) return 0;
    if (old == Py_None) {
        if (!PyArray_IS_C_CONTIGUOUS(ARRAY(leaf))) return 0;
        if (Py_REFCNT(g) != 1 || Py_REFCNT(a) != 1 || PyArray_BASE(a) != NULL || !PyArray_IS_C_CONTIGUOUS(a) ||
            SLOT(g, in_tensor.node) != Py_None || SLOT(g, in_tensor.requires_grad) != Py_False) {
            PyObject *copy = new_tensor(PyArray_NewCopy(a, NPY_CORDER), type);
            Py_DECREF(g);
            if ((g = copy) == NULL) return -1;
        }
        set_slot(leaf, in_tensor.grad, g);
        return 1;
    }
    if (Py_TYPE(old) != Tensor || SLOT(old, in_tensor.type) != SLOT(g, in_tensor.type) ||
        PyArray_SIZE(a) == 0 || !PyArray_ISWRITEABLE(ARRAY(old)) || !add_into(ARRAY(old), a))
        return 0;
    Py_DECREF(g);
    return raise_version(old) < 0 ? -1 : 1;
}

/* To a leaf; steals the gradient. */
static int send_to_leaf(Pass *p, PyObject *leaf, PyObject *g) {
    if (!fits_leaf(g, leaf)) {
        PyObject *sum = sum_of_rows(g, leaf);
        if (sum == NULL && PyErr_Occurred()) {
            Py_DECREF(g);
            return -1;
        }
        if (sum != NULL) Py_SETREF(g, sum);
    }
    if (fits_leaf(g, leaf) && !has_wishes(leaf)) {
        PyObject *taken = PyObject_CallNoArgs(lock_acquire);    /* Python's `accumulate` holds it too */
        if (taken == NULL) {
            Py_DECREF(g);
            return -1;
        }
        Py_DECREF(taken);
        int done = accumulated(leaf, g);
        PyObject *error_type, *error, *traceback;
        PyErr_Fetch(&error_type, &error, &traceback);
        Py_XDECREF(PyObject_CallNoArgs(lock_release));
        PyErr_Restore(error_type, error, traceback);
        if (done != 0) return done < 0 ? -1 : 0;
    }
    PyObject *done = ask(p, "send", leaf, g, source_of(p));
    Py_DECREF(g);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* To one of several outputs of a node; steals the gradient. */
static int send_to_output(Pass *p, PyObject *edge, PyObject *g) {
    PyObject *node = SLOT(edge, in_output_node), *shapes = SLOT(node, in_node.shape), *types = SLOT(node, in_node.type);
    Py_ssize_t index = PyLong_AsSsize_t(SLOT(edge, in_output_index));
    PyObject *shape = PyTuple_GetItem(shapes, index), *type = shape ? PyTuple_GetItem(types, index) : NULL;
    if (type == NULL) {
        Py_DECREF(g);
        return -1;
    }
    if (!fits(g, shape, type) && (g = fitted(p, g, shape, type)) == NULL) return -1;
    int k = p->room ? p->table[place_of(p, node)] : -1;
    if (k < 0) {
        Py_ssize_t n = PyTuple_GET_SIZE(shapes);
        PyObject *slots = PyList_New(n);
        for (Py_ssize_t i = 0; slots && i < n; i++) PyList_SET_ITEM(slots, i, new_reference(Py_None));
        if (slots == NULL || push(p, node, slots) < 0) {
            Py_DECREF(g);
            return -1;
        }
        k = p->table[place_of(p, node)];
    }
    PyObject *slots = p->waiting[k].grad, *old = PyList_GET_ITEM(slots, index);
    if (old != Py_None) {
        Py_INCREF(old);
        Py_INCREF(slots);
        g = added(p, old, g);
        Py_DECREF(slots);
        if (g == NULL) return -1;
    }
    return PyList_SetItem(slots, index, g);
}

/* To where an edge leads; steals the gradient. */
static int send(Pass *p, PyObject *edge, PyObject *g) {
    if (Py_TYPE(edge) == OutputType) return send_to_output(p, edge, g);
    if (is_tensor(edge)) return send_to_leaf(p, edge, g);
    PyObject *shape = SLOT(edge, in_node.shape), *type = SLOT(edge, in_node.type);
    if (!fits(g, shape, type) && (g = fitted(p, g, shape, type)) == NULL) return -1;
    int k = p->room ? p->table[place_of(p, edge)] : -1;
    if (k < 0) return push(p, edge, g);
    Waiting *w = p->waiting + k;
    if (w->owned && nobody_listens() && fits(w->grad, shape, type) && fits(g, shape, type) &&
        add_into(ARRAY(w->grad), ARRAY(g))) {
        Py_DECREF(g);
        return 0;
    }
    PyObject *old = w->grad;
    w->grad = new_reference(Py_None);
    g = added(p, old, g);
    if (g == NULL) return -1;
    k = p->table[place_of(p, edge)];                    /* Python may have run meanwhile */
    Py_SETREF(p->waiting[k].grad, g);
    p->waiting[k].owned = 1;
    return 0;
}

/* ---- nodes */

#define MOST 16                                         /* gradients that a formula here gives */

/* The gradients from the node's own `apply`, as a sequence of new references. */
static PyObject *apply(Pass *p, PyObject *node, PyObject *g) {
    if (helper_of(p) == NULL || PyObject_SetAttr(current, name_node, node) < 0) return NULL;
    PyObject *grads = PyObject_CallMethodOneArg(node, name_apply, g);
    if (grads == NULL || PyTuple_CheckExact(grads) || PyList_CheckExact(grads)) return grads;
    PyObject *list = PySequence_List(grads);
    Py_DECREF(grads);
    return list;
}

/* What was saved is forgotten: `Node.release`, but for classes that have their own. */
static int release(PyObject *node) {
    PyObject *own = _PyType_Lookup(Py_TYPE(node), name_release);
    if (own != plain_release) {
        PyObject *done = PyObject_CallMethodNoArgs(node, name_release);
        Py_XDECREF(done);
        return done == NULL ? -1 : 0;
    }
    PyObject *saved = SLOT(node, in_node.saved);
    if (saved != NULL && !(PyTuple_CheckExact(saved) && PyTuple_GET_SIZE(saved) == 0) && saved != Py_None)
        set_slot(node, in_node.saved, new_reference(released));
    set_slot(node, in_node.out, new_reference(released));
    return 0;
}

static int wrong_count(PyObject *node, Py_ssize_t expected, Py_ssize_t got) {
    PyObject *name = PyObject_CallMethod(node, "name", NULL);
    if (name != NULL)
        PyErr_Format(PyExc_RuntimeError, "Function %U returned an incorrect number of gradients (expected %zd, got %zd)",
                     name, expected, got);
    Py_XDECREF(name);
    return -1;
}

/* Run a node that has waited, and send on what it gives; steals the gradient. */
static int run_node(Pass *p, PyObject *node, PyObject *g, int keep) {
    PyObject *grads[MOST] = {NULL}, *given = NULL, *order = NULL, *hooks = SLOT(node, in_node.hooks);
    Py_ssize_t turns;
    int count = 0, watched = hooks != NULL && hooks != Py_None, status = -1;
    p->node = node;
    if (watched) {
        PyObject *seen = ask(p, "before", node, g, NULL);
        if (seen == NULL) goto end;
        Py_SETREF(g, seen);
    }
    Formula *formula = formula_of(Py_TYPE(node));
    if (formula != NULL && !watched && Py_TYPE(g) == Tensor && is_simple(SLOT(g, in_tensor.type)) &&
        nobody_listens()) {
        count = formula->derive(formula, node, g, grads);
        if (count == 0) {
            if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) goto end;
            PyErr_Clear();
            for (int i = 0; i < MOST; i++) Py_CLEAR(grads[i]);
        }
    }
    PyObject *edges = SLOT(node, in_node.edges);
    Py_ssize_t n = PyTuple_GET_SIZE(edges);
    if (count == 0) {
        if ((given = apply(p, node, g)) == NULL) goto end;
        if (watched) {
            PyObject *seen = ask(p, "after", node, given, g);
            if (seen == NULL) goto end;
            Py_SETREF(given, seen);
        }
    }
    if (!keep && release(node) < 0) goto end;
    Py_CLEAR(g);
    if (given != NULL && PySequence_Fast_GET_SIZE(given) != n) {
        wrong_count(node, n, PySequence_Fast_GET_SIZE(given));
        goto end;
    }
    if (n == 3 && (order = PyObject_GetAttr((PyObject *)Py_TYPE(node), name_order)) == NULL) goto end;
    if (order == Py_None) Py_CLEAR(order);
    turns = order ? PyTuple_GET_SIZE(order) : n;
    for (Py_ssize_t i = 0; i < turns; i++) {
        Py_ssize_t k = order ? PyLong_AsSsize_t(PyTuple_GET_ITEM(order, i)) : i;
        PyObject *edge = PyTuple_GET_ITEM(edges, k), *gk = given ? PySequence_Fast_GET_ITEM(given, k) : grads[k];
        if (edge == Py_None || gk == NULL || gk == Py_None) continue;
        if (given == NULL) grads[k] = NULL;
        else if (Py_REFCNT(given) == 1) {               /* nobody else sees the sequence: its reference is ours */
            PySequence_Fast_ITEMS(given)[k] = new_reference(Py_None);
        } else
            Py_INCREF(gk);
        if (send(p, edge, gk) < 0) goto end;
    }
    status = 0;
end:
    for (int i = 0; i < MOST; i++) Py_XDECREF(grads[i]);
    Py_XDECREF(given);
    Py_XDECREF(order);
    Py_XDECREF(g);
    return status;
}

/* ---- the pass */

static void clear(Pass *p) {
    while (p->heaped) {
        Waiting w = pop(p);
        Py_DECREF(w.node);
        Py_DECREF(w.grad);
    }
    PyMem_Free(p->waiting);
    PyMem_Free(p->heap);
    PyMem_Free(p->table);
}

/* The helper puts things back, and names the place of an error. */
static int close_pass(Pass *p, int status) {
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    if (status < 0) {
        PyErr_NormalizeException(&type, &error, &traceback);
        if (traceback != NULL) PyException_SetTraceback(error, traceback);
        helper_of(p);
        PyErr_Clear();
    }
    if (p->helper != NULL) {
        PyObject *done = PyObject_CallMethod(p->helper, "close", "OO", error ? error : Py_None, source_of(p));
        if (done == NULL && status == 0) status = -1;
        else if (done == NULL) PyErr_Clear();
        Py_XDECREF(done);
        Py_CLEAR(p->helper);
    }
    if (type != NULL) PyErr_Restore(type, error, traceback);
    return status;
}

static int run_pass(PyObject *roots, PyObject *const *grads, int keep) {
    Pass pass = {.unused = -1, .roots = roots}, *p = &pass;
    int status = 0, recording = grad_enabled();
    if (recording) {
        PyObject *token = PyContextVar_Set(grad_mode, Py_False);
        if (token == NULL) return -1;
        Py_DECREF(token);
    }
    Py_ssize_t n = PySequence_Fast_GET_SIZE(roots);
    for (Py_ssize_t i = 0; i < n && status == 0; i++) {
        PyObject *edge = PySequence_Fast_GET_ITEM(roots, i);
        if (edge != Py_None) status = send(p, edge, new_reference(grads[i]));
    }
    while (status == 0 && p->heaped) {
        Waiting w = pop(p);
        status = run_node(p, w.node, w.grad, keep);
        if (status == 0) status = PyErr_CheckSignals();
        if (status < 0) close_pass(p, status);          /* while the node is there */
        Py_DECREF(w.node);
        p->node = NULL;
        if (status < 0) goto end;
    }
    if (status == 0 && p->helper != NULL) {             /* leaves with hooks, of which not every user sent a gradient */
        PyObject *done = PyObject_CallMethod(p->helper, "finish", NULL);
        if (done == NULL) status = -1;
        Py_XDECREF(done);
    }
    status = close_pass(p, status);
end:
    clear(p);
    if (recording) {
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        Py_XDECREF(PyContextVar_Set(grad_mode, Py_True));
        PyErr_Restore(type, error, traceback);
    }
    return status;
}

/* ---- the entries */

/* Whether this pass may run here at all; the formulas are made when the first one does. */
static int here(void) {
    if (make_helper == NULL || !nobody_listens() || sequence_call != NULL) return 0;
    if (add_call == NULL) {
        PyObject *done = PyObject_CallNoArgs(prepare);
        Py_XDECREF(done);
        if (done == NULL || add_call == NULL) return -1;
    }
    return 1;
}

/* loss.backward() of one number. */
static PyObject *backward_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    Call *self = (Call *)callable;
    PyObject *t = PyVectorcall_NARGS(nargsf) == 1 && kwnames == NULL ? args[0] : NULL;
    if (t == NULL || Py_TYPE(t) != Tensor || SLOT(t, in_tensor.requires_grad) != Py_True ||
        SLOT(t, in_tensor.view) != Py_None || !is_simple(SLOT(t, in_tensor.type)))
        goto python;
    PyArrayObject *a = ARRAY(t);
    if (!is_real(a) || PyArray_SIZE(a) != 1) goto python;
    int ready = here();
    if (ready <= 0) {
        if (ready < 0) return NULL;
        goto python;
    }
    PyArrayObject *one = new_like(PyArray_DESCR(a), PyArray_NDIM(a), PyArray_DIMS(a));
    if (one == NULL) return NULL;
    if (PyArray_TYPE(one) == NPY_FLOAT) *(float *)PyArray_DATA(one) = 1;
    else *(double *)PyArray_DATA(one) = 1;
    PyObject *g = new_tensor((PyObject *)one, SLOT(t, in_tensor.type)), *node = SLOT(t, in_tensor.node);
    PyObject *roots = g ? PyTuple_Pack(1, node == Py_None ? t : node) : NULL;
    int status = roots ? run_pass(roots, &g, 0) : -1;
    Py_XDECREF(roots);
    Py_XDECREF(g);
    if (status < 0) return NULL;
    Py_RETURN_NONE;
python:
    return fall_back(self, args, nargsf, kwnames);
}

static PyObject *make(PyObject *module, PyObject *fallback) {
    return (PyObject *)new_call(fallback, Py_None, backward_call);
}

/* backward_pass(roots, grads, keep_graph): False if it must not run here. */
static PyObject *pass(PyObject *module, PyObject *args) {
    PyObject *roots, *grads;
    int keep;
    if (!PyArg_ParseTuple(args, "O!O!p", &PyList_Type, &roots, &PyList_Type, &grads, &keep)) return NULL;
    int ready = here();
    if (ready < 0) return NULL;
    if (ready == 0 || PyList_GET_SIZE(roots) != PyList_GET_SIZE(grads)) Py_RETURN_FALSE;
    PyObject *edges = PyList_AsTuple(roots), *values = edges ? PyList_AsTuple(grads) : NULL;
    int status = values ? run_pass(edges, ((PyTupleObject *)values)->ob_item, keep) : -1;
    Py_XDECREF(edges);
    Py_XDECREF(values);
    if (status < 0) return NULL;
    Py_RETURN_TRUE;
}

static PyObject *configure(PyObject *module, PyObject *args) {
    PyObject *lock, *output;
    if (!PyArg_ParseTuple(args, "OOOOOOO", &make_helper, &prepare, &current, &output, &released, &plain_release, &lock))
        return NULL;
    lock_acquire = PyObject_GetAttrString(lock, "acquire");
    lock_release = PyObject_GetAttrString(lock, "release");
    in_output_node = offset_of(output, "node");
    in_output_index = offset_of(output, "index");
    if (!lock_acquire || !lock_release || in_output_node < 0 || in_output_index < 0) {
        make_helper = NULL;
        return NULL;
    }
    OutputType = (PyTypeObject *)new_reference(output);
    Py_INCREF(make_helper);
    Py_INCREF(prepare);
    Py_INCREF(current);
    Py_INCREF(released);
    Py_INCREF(plain_release);
    Py_RETURN_NONE;
}

static PyObject *use_sums(PyObject *module, PyObject *args) {
    PyObject *add, *sum;
    if (!PyArg_ParseTuple(args, "OO", &add, &sum)) return NULL;
    Py_XSETREF(add_call, new_reference(add));
    Py_XSETREF(sum_call, new_reference(sum));
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"backward_pass", pass, METH_VARARGS, "backward_pass(roots, grads, keep_graph): False if Python must run it."},
    {"backward_call", make, METH_O, "backward_call(fallback): the fast call of Tensor.backward."},
    {"configure_backward", configure, METH_VARARGS,
     "configure_backward(helper, prepare, current, Output, released, release, lock): learn what autograd/engine.py has."},
    {"use_sums", use_sums, METH_VARARGS, "use_sums(add, sum): the fast calls that add gradients, and rows of one."},
    {NULL},
};

int engine_register(PyObject *module) {
    name_apply = PyUnicode_InternFromString("apply");
    name_release = PyUnicode_InternFromString("release");
    name_hooks = PyUnicode_InternFromString("_backward_hooks");
    name_post_hooks = PyUnicode_InternFromString("_post_accumulate_grad_hooks");
    name_gradient_dtype = PyUnicode_InternFromString("_gradient_dtype");
    name_fit = PyUnicode_InternFromString("fit");
    name_node = PyUnicode_InternFromString("node");
    name_order = PyUnicode_InternFromString("order");
    return PyModule_AddFunctions(module, functions);
}
