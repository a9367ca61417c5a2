"""How faults are planted in flowtorch, in this process only, to see whether the differential tester finds them.

A fault changes the record of an op: what its kernel gives (``out``), what it is given (``given``), a derivative
(``gradient``); or it takes the place of something that is no op (``elsewhere``).
"""

import contextlib

import numpy as np

from flowtorch import overrides
from flowtorch.autograd import engine
from flowtorch.autograd.node import Node
from flowtorch.ops.op import REGISTRY
from flowtorch.tensor import Tensor, wrap


class Changed:
    """The family of an op, with another ``compute``."""

    def __init__(self, family, compute):
        self._family, self.compute = family, compute

    def __getattr__(self, name):
        return getattr(self._family, name)


@contextlib.contextmanager
def noticed():
    """Go round the fast closures and the common backward pass, which have what they need, while a fault is planted."""
    overrides.active.append("fault")
    common, engine._common_pass = engine._common_pass, lambda *asked: False
    try:
        yield
    finally:
        overrides.active.remove("fault")
        engine._common_pass = common


@contextlib.contextmanager
def changed_compute(name, make):
    """``make(compute)`` gives the function ``(op, values)`` that takes the place of the op's."""
    op = REGISTRY[name]
    family = op.family
    op.family = Changed(family, make(family.compute))
    try:
        with noticed():
            yield
    finally:
        op.family = family


@contextlib.contextmanager
def changed_derivative(name, change, index=None):
    """The gradients that an op's derivative gives, or the one of input ``index``, go through ``change``.

    ``change`` may take what the derivative saved after the gradient.
    """
    count = change.__code__.co_argcount - 1
    record = REGISTRY[name]
    before = record.vjps, record.joint, record.node_class.__dict__.get("apply")
    record.node_class.apply = Node.apply

    def alter(f):
        def altered(g, *saved):
            result = f(g, *saved)
            if isinstance(result, tuple):
                kept = [r is None or index not in (None, k) for k, r in enumerate(result)]
                return tuple(r if k else change(r, *saved[:count]) for r, k in zip(result, kept, strict=True))
            return None if result is None else change(result, *saved[:count])

        return altered

    if record.joint is not None:
        record.joint = alter(record.joint[0]), record.joint[1]
    record.vjps = tuple(
        v if v is None or index not in (None, k) else (alter(v[0]), v[1]) for k, v in enumerate(record.vjps)
    )
    try:
        with noticed():
            yield
    finally:
        record.vjps, record.joint, apply = before
        if apply is not None:
            record.node_class.apply = apply


@contextlib.contextmanager
def replaced(owner, attribute, new):
    """``new(original)`` takes the place of an attribute."""
    original = getattr(owner, attribute)
    setattr(owner, attribute, new(original))
    try:
        with noticed():
            yield
    finally:
        setattr(owner, attribute, original)


class Faults(dict):
    """name -> (family, ops whose functions are looked at, what gives a context manager that plants it)."""

    def out(self, family, op, change, name=None, which=0):
        """The array that comes out (number ``which`` of several) goes through ``change(array, values)``."""

        def make(compute):
            def altered(record, values):
                result = compute(record, values)
                one = result if isinstance(result, Tensor) else result[which]
                new = np.asarray(change(one._array, values))
                if values and one._array is getattr(values[0], "_array", None):  # written in place
                    np.copyto(one._array, new)
                    return result
                made = wrap(new) if new.dtype != one._array.dtype else wrap(new, one._type)
                if isinstance(result, Tensor):
                    return made
                parts = [*result[:which], made, *result[which + 1 :]]
                return tuple(parts) if type(result) is tuple else type(result)(parts)

            return altered

        name = name or f"{op}: {change.__doc__ or change.__name__}"
        self[name] = family, [op], lambda: changed_compute(op, make)

    def given(self, family, op, change, what):
        """The op gets ``change({parameter: value})`` instead of its arguments."""

        def make(compute):
            def altered(record, values):
                named = dict(zip(record.names, values, strict=True))
                return compute(record, list({**named, **change(named)}.values()))

            return altered

        self[f"{op}: {what}"] = family, [op], lambda: changed_compute(op, make)

    def gradient(self, family, op, change, what, index=None):
        """The gradients that the derivative gives go through ``change(gradient)``."""
        self[f"{op} gradient: {what}"] = family, [op], lambda: changed_derivative(op, change, index)

    def elsewhere(self, family, name, ops, owner, attribute, new):
        """Something that is no op: ``new(original)`` takes its place."""
        self[name] = family, ops, lambda: replaced(owner, attribute, new)


def array(value):
    return value._array if isinstance(value, Tensor) else np.asarray(value)


def floats(f):
    """Only floating-point arrays are changed."""

    def change(a, values):
        return f(a, values) if a.dtype.kind in "fc" else a

    change.__doc__ = f.__doc__
    return change


def doc(text, f):
    f.__doc__ = text
    return f


def swapped(a, b):
    return lambda v: {a: v[b], b: v[a]}


def rounded16(a):
    return a.astype(np.float16).astype(a.dtype) if a.dtype in (np.float32, np.float64) else a
