"""Nodes of the tape, the edges between them, and what a node keeps for its derivative."""
from __future__ import annotations

import itertools
import threading
import weakref
from collections import OrderedDict
from typing import Any, ClassVar

import numpy as np

from flowtorch.autograd.mode import grad_mode
from flowtorch.tensor import Tensor, shared_counter, view_of, wrap

next_seq = itertools.count(1).__next__
_new: Any = object.__new__


class _SavedHooks(threading.local):
    def __init__(self) -> None:
        self.stack: list[tuple[Any, Any]] = []      # (pack, unpack) pairs, innermost last


saved_hooks = _SavedHooks()


class Node:
    """One recorded call. Every op has a subclass named as PyTorch names it (``MulBackward0``).

    ``seq``       creation order: backward runs nodes from the highest number down
    ``edges``     where each input's gradient goes: a Node, an Output of a node, a leaf Tensor, or None
    ``saved``     the inputs that the derivative needs (None where it does not), then nothing else
    ``versions``  their storage versions at that time, None for what has no version (Python numbers)
    ``params``    the op's other arguments by name, or None
    ``shapes``    the input shapes, if the derivative asks for one
    ``out``       (array(s), version counter(s)) if the derivative needs the result
    ``shape``, ``type``   of the output (tuples of them for several outputs): gradients are checked against these
    ``hooks``     None, or the Hooks of this node
    """

    __slots__ = ("__weakref__", "_metadata", "edges", "hooks", "out", "params", "saved", "seq", "shape", "shapes",
                 "type", "versions")

    op: Any = None
    on_arrays: Any = None                   # a method (g) that derives on arrays (ops/array_gradients.py), or None
    order: ClassVar[tuple | None] = None    # in which gradients go to (three) edges, if not as they stand
    seq: int
    edges: tuple
    saved: Any
    versions: Any
    params: Any
    shapes: Any
    out: Any
    shape: Any
    type: Any
    hooks: Any              # Hooks, or None

    # ---- PyTorch's public face of a node
    def name(self) -> str:
        """The node's type name."""
        return type(self).__name__

    @property
    def next_functions(self) -> tuple:
        """(node, output number) for every input; leaves appear as AccumulateGrad nodes."""
        edges = self.edges if self.order is None else [self.edges[k] for k in self.order]
        return tuple(public_edge(e) for e in edges)

    @property
    def metadata(self) -> dict:
        """A dictionary for the user's notes on this node."""
        try:
            return self._metadata
        except AttributeError:
            self._metadata: dict = {}
            return self._metadata

    def _sequence_nr(self) -> int:
        return self.seq - 1

    def register_hook(self, fn: Any) -> Any:
        """Call ``fn(grad_inputs, grad_outputs)`` after this node ran; a returned tuple replaces ``grad_inputs``."""
        return node_hooks(self).add("post", fn)

    def register_prehook(self, fn: Any) -> Any:
        """Call ``fn(grad_outputs)`` before this node runs; a returned tuple replaces them."""
        return node_hooks(self).add("pre", fn)

    def _register_hook_dict(self, hooks: Any) -> None:
        node_hooks(self).tensor.append((0, hooks))

    def apply(self, g: Any) -> tuple:
        """The gradients of the inputs, in the order of ``edges``, from the gradient(s) of the output(s)."""
        return self.op.backward(self, g)

    def release(self) -> None:
        """Forget what was saved: a second backward through here is an error."""
        if self.saved:
            self.saved = RELEASED
        self.out = RELEASED

    def __call__(self, *grads: Any) -> Any:
        g = grads[0] if isinstance(self.shape, tuple) and not isinstance(self.type, tuple) else grads
        result = self.apply(g)
        return result[0] if len(result) == 1 else result

    def __getattr__(self, name: str) -> Any:
        # _saved_self, _saved_other, ...: PyTorch's names for what a node keeps
        if name.startswith("_saved_") and self.op is not None:
            return self.op.saved_attribute(self, name[len("_saved_"):])
        if name in ("params", "shapes", "out", "saved", "versions"):
            return None
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {id(self):#x}>"


class _Released:
    """Stands for saved values that a backward pass has used up."""

    def __getitem__(self, index: int) -> Any:
        raise RuntimeError(
            "Trying to backward through the graph a second time (or directly access saved tensors after they have "
            "already been freed). Saved intermediate values of the graph are freed when you call .backward() or "
            "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or if "
            "you need to access saved tensors after calling backward.")


RELEASED: Any = _Released()


def wrong_number(node: Node, found: int) -> RuntimeError:
    """The error of a derivative that does not give each input its gradient (or None)."""
    return RuntimeError(f"Function {node.name()} returned an incorrect number of gradients (expected "
                        f"{len(node.edges)}, got {found})")


class Output:
    """The edge to one of several outputs of a node."""

    __slots__ = ("index", "node")

    def __init__(self, node: Node, index: int) -> None:
        self.node, self.index = node, index


class Hooks:
    """Hooks of one node: before it runs, after it ran, and on the gradient of one of its outputs."""

    __slots__ = ("post", "pre", "retain", "tensor")

    def __init__(self) -> None:
        self.post: dict[int, Any] = OrderedDict()      # not plain dicts: handles refer to them weakly
        self.pre: dict[int, Any] = OrderedDict()
        self.tensor: list[tuple[int, dict]] = []       # (output number, ordered hooks)
        self.retain: dict[int, Any] = {}               # output number -> weak reference to the tensor

    def add(self, kind: str, fn: Any) -> Any:
        from flowtorch.utils.hooks import RemovableHandle

        hooks = getattr(self, kind)
        handle = RemovableHandle(hooks)
        hooks[handle.id] = fn
        return handle


def node_hooks(node: Node) -> Hooks:
    if node.hooks is None:
        node.hooks = Hooks()
    return node.hooks


class _Handles:
    """What removes the hooks that together stand for one."""

    def __init__(self, *handles: Any) -> None:
        self.handles = handles

    def remove(self) -> None:
        """Remove them all."""
        for handle in self.handles:
            handle.remove()


class AccumulateGrad(Node):
    """The node behind a leaf: it adds what arrives to the leaf's ``grad``. Made when somebody walks the graph."""

    __slots__ = ("variable",)

    def __init__(self, variable: Tensor) -> None:
        self.variable = variable
        self.seq = 2 ** 63
        self.edges, self.hooks, self.saved = (), None, ()
        self.shape, self.type = variable._array.shape, variable._type

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"

    def register_hook(self, fn: Any) -> Any:
        """Call ``fn((), grad_outputs)`` after a gradient was added to the leaf."""
        arrived: list = []

        def note(g: Tensor) -> None:
            arrived[:] = [g]

        def after(leaf: Tensor) -> None:
            fn((), tuple(arrived))
            arrived.clear()
        return _Handles(self.variable.register_hook(note),
                        self.variable.register_post_accumulate_grad_hook(after))

    def register_prehook(self, fn: Any) -> Any:
        """Call ``fn(grad_outputs)`` before a gradient is added to the leaf; a returned tuple replaces it."""
        def before(g: Tensor) -> Any:
            new = fn((g,))
            return new[0] if isinstance(new, tuple) else new
        return self.variable.register_hook(before)

    def apply(self, g: Any) -> tuple:
        from flowtorch.autograd.engine import accumulate

        accumulate(self.variable, g, False)
        return ()


_accumulators: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def accumulator(leaf: Tensor) -> AccumulateGrad:
    """The AccumulateGrad node of a leaf, the same one as long as somebody holds it."""
    ref = leaf.__dict__.get("_accumulate_grad")
    node = ref() if ref is not None else None
    if node is None:
        node = AccumulateGrad(leaf)
        leaf.__dict__["_accumulate_grad"] = weakref.ref(node)
        leaf.__dict__.pop("_accumulator_hooks", None)
    return node


def public_edge(e: Any) -> tuple:
    if e is None:
        return (None, 0)
    if isinstance(e, Tensor):
        return (accumulator(e), 0)
    return (node_of(e), e.index if type(e) is Output else 0)


def node_of(e: Any) -> Any:
    """The node of an edge, for ``grad_fn``: under PyTorch's name."""
    if e is None:
        return None
    from flowtorch.autograd.node_names import shown

    return shown(e.node if type(e) is Output else e)


# ---- edges

def edge(t: Tensor) -> Any:
    """Where a gradient for ``t`` goes: its node, ``t`` itself if it is a leaf, None if it needs none."""
    if t._view is not None:
        return view_edge(t)
    if t._requires_grad:
        return t if t._node is None else t._node
    return None


def view_edge(t: Tensor) -> Any:
    """``edge`` for views: after an in-place change of the base the view's history is made anew from the base's."""
    view: Any = t._view
    c = t._counter
    version = c if type(c) is int else c[0]
    if view[2] != version:
        t._view = view = (*view[:2], version, *view[3:])
        base = view[0]
        if (base._requires_grad or base._node is not None) and t._type.dtype.rank >= 2 and view[1] is None:
            refresh(t)
    if t._requires_grad:
        return t if t._node is None else t._node
    return None


def refresh(t: Tensor) -> None:
    """Give a view the history of its base: in one step where its elements lie apart, else by its own steps again."""
    from flowtorch.autograd.copy_slices import as_strided_node
    from flowtorch.autograd.mode import enable_grad

    view: Any = view_of(t)
    if (node := as_strided_node(t, view)) is not None:
        t._node, t._requires_grad = node, True
        return
    with enable_grad():
        again = view.base
        for function, args in view.steps:
            again = function(again, *args)
    t._node = again._node
    t._requires_grad = again._requires_grad


def make_view(base: Tensor, out: Tensor, step: tuple, origin: str | None = None) -> None:
    """Mark ``out`` as the view that ``step`` (function, arguments) makes of ``base``: shared version, shared
    history."""
    out._counter = counter = shared_counter(base)
    parent = base._view
    if parent is None:
        out._view = (base, origin, counter[0], None, *step)
    else:
        out._view = (parent[0], origin or parent[1], counter[0], parent, *step)


# ---- saving and fetching

def save(node: Node, inputs: tuple) -> None:
    """Keep ``inputs`` (tensors, Python numbers or None) on ``node`` with their versions."""
    versions = []
    for t in inputs:
        if isinstance(t, Tensor):
            if t._type.inference:
                raise RuntimeError("Inference tensors cannot be saved for backward. Please do not use Tensors created "
                                   "in inference mode in computation tracked by autograd. To work around this, you "
                                   "can make a clone to get a normal tensor and use it in autograd, or use "
                                   "`torch.no_grad()` instead of `torch.inference_mode()`.")
            c = t._counter
            versions.append(c if type(c) is int else c[0])
        else:
            versions.append(None)
    if saved_hooks.stack:
        inputs = tuple(Packed(t) if isinstance(t, Tensor) else t for t in inputs)
    node.saved = inputs
    node.versions = tuple(versions)


def save_output(node: Node, out: Any) -> None:
    """Keep the result without a reference cycle: its array and its version, not the tensor that refers to the node."""
    if saved_hooks.stack:
        node.out = Packed(_detached_alias(out)), None, None
        return
    counter = shared_counter(out)
    node.out = (kept(out), counter, counter[0])


def kept(out: Any) -> Any:
    """What a node keeps of its result: the array, or for a transform's tensor something with ``get()`` and
    ``shape``."""
    return out._array if out._type.plain or not hasattr(out, "__flowtorch_saved__") else out.__flowtorch_saved__()


def restored(array: Any, type: Any) -> Tensor:
    """A tensor around what ``kept`` returned."""
    return wrap(array, type) if isinstance(array, np.ndarray) or hasattr(array, "strides") else array.get()


def _detached_alias(t: Tensor) -> Tensor:
    alias = wrap(t._array, t._type)
    alias._counter = shared_counter(t)
    return alias


class Packed:
    """A saved tensor under ``saved_tensors_hooks``: what the pack hook returned, and how to get the tensor back."""

    __slots__ = ("edge", "requires_grad", "unpack", "value")

    def __init__(self, t: Tensor) -> None:
        pack, self.unpack = saved_hooks.stack[-1]
        self.requires_grad = t.requires_grad
        self.edge = edge(t)
        with _without_hooks():
            self.value = pack(t.detach() if t.requires_grad and t._node is not None else t)   # type: ignore[attr-defined]

    def get(self) -> Tensor:
        with _without_hooks():
            t = self.unpack(self.value)
        if not isinstance(t, Tensor):
            raise TypeError(f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                            f"{type(t).__name__}")
        if self.edge is None:
            return t
        if isinstance(self.edge, Tensor):                # a leaf: what the hook returns stands in for it
            return t if t is self.edge or not grad_mode.enabled else _standing_in(self.edge, t)
        t = _detached_alias(t)
        t._node, t._requires_grad = self.edge, True
        return t


def _standing_in(leaf: Tensor, t: Tensor) -> Tensor:
    """``t`` with gradients that go to ``leaf``."""
    alias = _detached_alias(t)
    alias._node, alias._requires_grad = leaf.view_as(leaf)._node, True   # type: ignore[attr-defined]
    return alias


class _without_hooks:
    def __enter__(self) -> None:
        self.stack, saved_hooks.stack = saved_hooks.stack, []

    def __exit__(self, *exc: object) -> None:
        saved_hooks.stack = self.stack


def fetch(node: Node, i: int) -> Any:
    """Saved input ``i`` of ``node``, refused if its memory was changed since."""
    t = node.saved[i]
    version = node.versions[i]
    if version is not None:
        if type(t) is Packed:
            return t.get()
        c = t._counter
        now = c if type(c) is int else c[0]
        if now != version:
            raise_stale(t._array.shape, t._type, node_of(t._node), now, version)
    return t


def fetch_output(node: Node) -> Tensor:
    """The saved result of ``node`` as a tensor with its history."""
    array, counter, version = node.out[0], node.out[1], node.out[2]
    if type(array) is Packed:
        t = array.get()
        t = _detached_alias(t)
        t._node, t._requires_grad = node, True
        return t
    if counter[0] != version:
        raise_stale(array.shape, node.type, node, counter[0], version)
    t = restored(array, node.type)
    t._counter = counter
    if grad_mode.enabled:
        t._node = node
        t._requires_grad = True
    return t


def raise_stale(shape: tuple, type: Any, producer: Any, now: int, expected: int) -> None:
    origin = "" if producer is None else f", which is output 0 of {producer.name()},"
    raise RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[torch.{type.dtype.label}Tensor {list(shape)}]{origin} is at version {now}; expected version {expected} "
        "instead. Hint: enable anomaly detection to find the operation that failed to compute its gradient, with "
        "torch.autograd.set_detect_anomaly(True, check_nan=False).")
