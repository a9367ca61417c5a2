/* Words of numpy's Mersenne Twister, drawn by vectors: its state is used where it lies, so that the stream goes on as if
 * numpy had drawn them. */
#include "kernel.h"

#define WORDS 624
#define AHEAD 397

typedef struct { uint32_t key[WORDS]; int position; } Twister; /* numpy/random/src/mt19937/mt19937.h */
typedef struct { Twister *state; } Source;                     /* what numpy/random/bitgen.h begins with */

INLINE uint32_t mixed(uint32_t first, uint32_t second, uint32_t other) {
    uint32_t y = (first & 0x80000000u) | (second & 0x7fffffffu);
    return other ^ (y >> 1) ^ (-(second & 1u) & 0x9908b0dfu);
}

static void renew(uint32_t *key) {
    for (int k = 0; k < WORDS - AHEAD; k++) key[k] = mixed(key[k], key[k + 1], key[k + AHEAD]);
    for (int k = WORDS - AHEAD; k < WORDS - 1; k++) key[k] = mixed(key[k], key[k + 1], key[k + AHEAD - WORDS]);
    key[WORDS - 1] = mixed(key[WORDS - 1], key[0], key[AHEAD - 1]);
}

INLINE uint32_t tempered(uint32_t y) {
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

typedef void (*Store)(const uint32_t *key, Index n, void *out);

static void store_words(const uint32_t *key, Index n, void *out) {
    uint32_t *to = out;
    for (Index k = 0; k < n; k++) to[k] = tempered(key[k]);
}

/* Numbers in [0, 1): the low 24 bits of each word. */
static void store_units(const uint32_t *key, Index n, void *out) {
    float *to = out;
    for (Index k = 0; k < n; k++) to[k] = (float)(int32_t)(tempered(key[k]) & 0xffffff) * 0x1p-24f;
}

static void draw(Twister *t, Index n, char *out, Store store) {
    while (n > 0) {
        if (t->position == WORDS) renew(t->key), t->position = 0;
        Index here = WORDS - t->position < n ? WORDS - t->position : n;
        store(t->key + t->position, here, out);
        t->position += (int)here, out += 4 * here, n -= here;
    }
}

/* Whether the state lies in memory as it is here, found out by comparing it with what numpy says. */
static int is_like(PyObject *bits, const Twister *t) {
    PyObject *all = PyObject_GetAttrString(bits, "state"), *inner = NULL, *position = NULL;
    PyArrayObject *key = NULL;
    int like = 0;
    if (all && PyDict_Check(all) && (inner = PyDict_GetItemString(all, "state")) && PyDict_Check(inner)) {
        position = PyDict_GetItemString(inner, "pos"), key = (PyArrayObject *)PyDict_GetItemString(inner, "key");
        like = position && key && PyLong_AsLong(position) == t->position && is_array((PyObject *)key) &&
               PyArray_TYPE(key) == NPY_UINT32 && PyArray_SIZE(key) == WORDS && is_contiguous(key) &&
               memcmp(PyArray_DATA(key), t->key, sizeof t->key) == 0;
    }
    Py_XDECREF(all);
    return like;
}

static Twister *twister_of(PyObject *bits) {
    static PyTypeObject *known; /* numpy's class, where the layout is right */
    static int odd;
    if (odd || (known ? Py_TYPE(bits) != known : strcmp(Py_TYPE(bits)->tp_name, "numpy.random._mt19937.MT19937") != 0))
        return NULL;
    PyObject *capsule = PyObject_GetAttrString(bits, "capsule");
    Source *source = capsule ? PyCapsule_GetPointer(capsule, "BitGenerator") : NULL;
    Py_XDECREF(capsule);
    if (source && !known) {
        odd = !is_like(bits, source->state);
        if (!odd) Py_INCREF(known = Py_TYPE(bits));
    }
    PyErr_Clear();
    return source && !odd ? source->state : NULL;
}

/* fill_words(bits, out), fill_units(bits, out) */
static PyObject *fill(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    int type = self->data ? NPY_FLOAT : NPY_UINT32;
    if (count != 2 || names || !is_array(args[1])) return NULL;
    PyArrayObject *out = (PyArrayObject *)args[1];
    if (PyArray_TYPE(out) != type || !is_contiguous(out) || !PyArray_ISWRITEABLE(out)) return NULL;
    Twister *t = twister_of(args[0]);
    if (t == NULL) return NULL;
    PyObject *lock = PyObject_GetAttrString(args[0], "lock"), *done;
    if (lock == NULL || (done = PyObject_CallMethod(lock, "acquire", NULL)) == NULL) {
        Py_XDECREF(lock);
        return NULL;
    }
    Py_DECREF(done);
    draw(t, PyArray_SIZE(out), PyArray_DATA(out), self->data ? store_units : store_words);
    done = PyObject_CallMethod(lock, "release", NULL);
    Py_DECREF(lock);
    Py_XDECREF(done);
    if (done == NULL) return NULL;
    Py_RETURN_NONE;
}

/* ---- swap_places(words, out): element i changes places with element i + words[i] % (n - i), for i = 0, 1, ... */

static PyObject *swap_places(Kernel *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (count != 2 || names || !is_array(args[0]) || !is_array(args[1])) return NULL;
    PyArrayObject *words = (PyArrayObject *)args[0], *out = (PyArrayObject *)args[1];
    Index n = PyArray_SIZE(out);
    if (PyArray_TYPE(words) != NPY_UINT32 || !is_contiguous(words) || PyArray_TYPE(out) != NPY_INT64 ||
        !is_contiguous(out) || !PyArray_ISWRITEABLE(out) || n < 1 || n > UINT32_MAX || PyArray_SIZE(words) != n - 1)
        return NULL;
    const uint32_t *word = PyArray_DATA(words);
    int64_t *x = PyArray_DATA(out);
    for (Index i = 0; i < n; i++) x[i] = i;
    for (Index i = 0; i < n - 1; i++) {
        Index j = i + word[i] % (uint32_t)(n - i);
        int64_t t = x[i];
        x[i] = x[j], x[j] = t;
    }
    Py_RETURN_NONE;
}

const Entry twister_entries[] = {
    {"fill_words", fill, NULL},
    {"fill_units", fill, "units"},
    {"swap_places", swap_places},
    {NULL},
};
