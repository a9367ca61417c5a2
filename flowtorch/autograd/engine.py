"""Backward: nodes are taken from a heap, the newest first, so each one runs once and after all that used its output.

The inputs of a node were always made before it, so the order of creation is a topological order, and no counts of
dependencies are needed. There is no recursion: a chain of any length works.
"""
from __future__ import annotations

import heapq
import itertools
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from flowtorch import overrides
from flowtorch.array.place import contiguous
from flowtorch.autograd import anomaly, array_pass
from flowtorch.autograd.gradient_dtype import gradient_type, in_use
from flowtorch.autograd.levels import levels
from flowtorch.autograd.mode import grad_mode
from flowtorch.autograd.node import RELEASED, AccumulateGrad, Node, Output, edge, wrong_number
from flowtorch.dtypes import contiguous_format
from flowtorch.native import calls
from flowtorch.tensor import Tensor, wrap

_leaf_lock = threading.Lock()
_getrefcount = sys.getrefcount
heappush = heapq.heappush
active = overrides.active


class _Current(threading.local):
    """What this thread's innermost backward pass is doing."""

    node: Any = None
    pass_id = 0
    partial = False             # only some inputs' gradients are asked for
    roots: Sequence[Any] = ()
    modes: Sequence[Any] = ()

    def reachable(self) -> set:
        """The nodes, and the ids of the leaves, that a gradient of the running pass can reach."""
        found: set = set()
        stack = [_node(e) if not isinstance(e, Tensor) else e for e in self.roots if e is not None]
        while stack:
            e = stack.pop()
            key = id(e) if isinstance(e, Tensor) else e
            if key in found:
                continue
            found.add(key)
            if not isinstance(e, Tensor):
                stack.extend(e2.node if type(e2) is Output else e2 for e2 in e.edges if e2 is not None)
        return found


current = _Current()
_pass_ids = itertools.count(1)


def run_backward(roots: Sequence[Any], grads: Sequence[Tensor], keep_graph: bool, create_graph: bool,
                 inputs: Sequence[Any] | None = None, accumulate_into: bool = True) -> list:
    """Push ``grads`` back from the edges ``roots``.

    ``inputs`` are edges (leaf tensors, Node, Output) that stop the walk; their gradients are returned in order (None
    where nothing arrives), or added to the leaves' ``grad`` with ``accumulate_into``. Without ``inputs`` every leaf
    met accumulates.
    """
    if inputs is None and not create_graph and _common_pass(roots, grads, bool(keep_graph)):
        return []
    capture: dict[Any, list[int]] | None = None
    needed: set | None = None
    results: list = []
    if inputs is not None:
        results = [None] * len(inputs)
        capture = {}
        for i, e in enumerate(inputs):
            capture.setdefault(_key(e), []).append(i)
        needed = _needed(roots, capture)
    previous = grad_mode.enabled
    grad_mode.enabled = create_graph
    outer = current.node, current.pass_id, current.roots, current.partial
    current.pass_id, current.roots, current.partial = next(_pass_ids), roots, inputs is not None
    modes = overrides.state.modes           # they see the call of backward, not what it computes; user functions do
    if modes:
        current.modes, overrides.state.modes = modes, []
    disabled = overrides.state.subclasses_disabled
    overrides.state.subclasses_disabled = True
    owned: set[int] = set()                 # ids of pending sums that this pass made: free to be added to in place
    pending: dict[Node, Any] = {}
    heap: list = []
    leaves = _HookedLeaves(roots)
    check_nan = anomaly.state.enabled and anomaly.state.check_nan
    try:
        for e, g in zip(roots, grads, strict=True):
            _send(e, g, pending, heap, owned, capture, results, create_graph, accumulate_into, leaves)
        while heap:
            node = heapq.heappop(heap)[1]
            g = pending.pop(node)
            owned.discard(id(g))            # a later tensor may get the same id
            multi = type(node.type) is tuple
            hooks = node.hooks
            if hooks is not None:
                g = _before(node, g, multi)
            if capture is not None:
                if multi:
                    for k in range(len(g)):
                        for i in capture.get((node, k), ()):
                            results[i] = g[k]
                else:
                    for i in capture.get(node, ()):
                        results[i] = g
                if node not in needed:      # type: ignore[operator]
                    continue
            current.node = node
            input_grads = node.apply(g)
            if check_nan:
                anomaly.check(node, input_grads, g)
            if hooks is not None and hooks.post:
                input_grads = _after(node, input_grads, g, multi)
            if not keep_graph:
                node.release()
            g = None
            edges = node.edges
            if len(input_grads) != len(edges):
                raise wrong_number(node, len(input_grads))
            for k in node.order or range(len(edges)):   # not zip: its own reference would make _own copy gradients
                e = edges[k]
                gi = input_grads[k]
                if e is None or gi is None:
                    continue
                if needed is not None:
                    if _key(e) not in capture and _node(e) not in needed:                          # type: ignore[operator]
                        continue
                elif isinstance(e, Node) and type(gi) is Tensor and gi._type is e.type and (
                        gi._array.shape == e.shape and e not in pending):
                    # The common case of what _send does: the first and fitting gradient of a node with one output.
                    pending[e] = gi
                    heappush(heap, (-e.seq, e))
                    continue
                _send(e, gi, pending, heap, owned, capture, results, create_graph, accumulate_into, leaves, node)
            input_grads = e = gi = None
        for e, g in leaves.sums.values():   # some of what uses them had no gradient to send
            _send(e, g, pending, heap, owned, capture, results, create_graph, accumulate_into, None)
    except Exception as error:
        _name_place(error)
        g = gi = input_grads = None         # a traceback that somebody keeps shall not keep gradients
        pending.clear()
        heap.clear()
        raise
    finally:
        grad_mode.enabled = previous
        current.node, current.pass_id, current.roots, current.partial = outer
        overrides.state.subclasses_disabled = disabled
        if modes:
            current.modes, overrides.state.modes = (), modes
    return results


class _HookedLeaves:
    """The gradients of leaves with hooks. The hooks run once per pass, on the sum of everything that arrives in it."""

    __slots__ = ("left", "roots", "sums")

    def __init__(self, roots: Sequence[Any]) -> None:
        self.roots = roots
        self.left: dict[int, int] | None = None          # by id: how many gradients are still to come
        self.sums: dict[int, tuple[Tensor, Any]] = {}

    def add(self, leaf: Tensor, g: Any) -> Any:
        """The complete gradient if this was the last part of it, else None."""
        if self.left is None:
            self.left = _arrivals(self.roots)
        key = id(leaf)
        if key in self.sums:
            g = added(self.sums[key][1], g)
        self.left[key] = self.left.get(key, 1) - 1
        if self.left[key] > 0:
            self.sums[key] = leaf, g
            return None
        self.sums.pop(key, None)
        return g


def _arrivals(roots: Sequence[Any]) -> dict[int, int]:
    """How many edges of the graph behind ``roots`` lead to each leaf with hooks, by the leaf's id."""
    found: dict[int, int] = {}
    seen: set = set()
    stack = list(roots)
    while stack:
        e = stack.pop()
        if isinstance(e, Tensor):
            if e._backward_hooks or e._post_accumulate_grad_hooks:
                found[id(e)] = found.get(id(e), 0) + 1
        elif e is not None:
            node = e.node if type(e) is Output else e
            if node not in seen:
                seen.add(node)
                stack.extend(node.edges)
    return found


def _name_place(error: Exception) -> None:
    """Make an error in backward name the line that made the current node, if provenance was on at that time."""
    node = current.node
    if node is not None and type(node.seq) is not int:
        from flowtorch.autograd.provenance import explain

        explain(error, node)


def _key(e: Any) -> Any:
    return (e.node, e.index) if type(e) is Output else (id(e) if isinstance(e, Tensor) else e)


def _node(e: Any) -> Any:
    return e.node if type(e) is Output else (id(e) if isinstance(e, Tensor) else e)


def _needed(roots: Sequence[Any], capture: dict) -> set:
    """The nodes that lie on a path from a root to one of the captured edges."""
    wanted_nodes = {k[0] if isinstance(k, tuple) else k for k in capture}
    order: list = []
    stack = [e.node if type(e) is Output else e for e in roots if e is not None and not isinstance(e, Tensor)]
    seen = set(stack)
    while stack:
        n = stack.pop()
        order.append(n)
        for e in n.edges:
            if e is not None and not isinstance(e, Tensor):
                m = e.node if type(e) is Output else e
                if m not in seen:
                    seen.add(m)
                    stack.append(m)
    order.sort(key=lambda n: n.seq)
    needed: set = set()
    for n in order:
        for e in n.edges:
            if e is None:
                continue
            if isinstance(e, Tensor):
                if id(e) in wanted_nodes:
                    needed.add(n)
                    break
            else:
                m = e.node if type(e) is Output else e
                if m in needed or m in wanted_nodes:
                    needed.add(n)
                    break
    return needed


def _send(e: Any, g: Any, pending: dict, heap: list, owned: set, capture: Any, results: list, create_graph: bool,
          accumulate_into: bool, leaves: _HookedLeaves | None, source: Any = None) -> None:
    """Add gradient ``g`` to what waits at edge ``e``. Without ``leaves``, a leaf with hooks gets no other part."""
    if e is None:
        return
    kind = type(e)
    if kind is Output:
        node = e.node
        g = fit(g, node.shape[e.index], node.type[e.index], source)
        slots = pending.get(node)
        if slots is None:
            pending[node] = slots = [None] * len(node.shape)
            heapq.heappush(heap, (-node.seq, node))
        slots[e.index] = g if slots[e.index] is None else added(slots[e.index], g)
        return
    if isinstance(e, Tensor):
        wanted = e._type if not in_use else gradient_type(e, g)
        if not isinstance(g, Tensor) or g._type is not wanted or g._array.shape != e._array.shape:
            g = fit(g, e._array.shape, wanted, source)
        if e._backward_hooks or e._post_accumulate_grad_hooks:
            if leaves is not None and (g := leaves.add(e, g)) is None:
                return
            if e._backward_hooks:
                g = _run_tensor_hooks(e._backward_hooks, g)
        if capture is not None:
            places = capture.get(id(e))
            if places is not None:
                for i in places:
                    results[i] = g if results[i] is None else added(results[i], g)
            if places is None or not accumulate_into:
                return
            for i in places:
                results[i] = None
        accumulate(e, g, create_graph)
        return
    if type(g) is not Tensor or g._type is not e.type or g._array.shape != e.shape:
        g = fit(g, e.shape, e.type, source)
    waiting = pending.get(e)
    if waiting is None:
        pending[e] = g
        heapq.heappush(heap, (-e.seq, e))
    elif id(waiting) in owned and not (create_graph or active) and type(waiting) is Tensor and type(g) is Tensor and (
            waiting._type.device.type == "cpu"):
        np.add(waiting._array, g._array, waiting._array)
    else:
        total = added(waiting, g)
        pending[e] = total
        owned.add(id(total))


def added(a: Any, b: Any) -> Any:
    """The sum of two gradients. If one is sparse and one dense, the dense one is the first operand."""
    return b + a if a.is_sparse and not b.is_sparse else a + b


def fit(g: Any, shape: tuple, type_: Any, source: Any) -> Tensor:
    """A gradient brought to the shape, dtype and device of its input: the only place where broadcasting is undone."""
    if not isinstance(g, Tensor):
        raise TypeError(f"expected Variable or None (got {type(g).__name__})" if source is None else
                        f"{source.name()} returned {type(g).__name__}, expected a Tensor or None")
    if g._array.shape != tuple(shape):
        try:
            if type(g) is Tensor and g._type.simple and not active and shape and g._array.shape[1:] == shape:
                g = g.sum(0)                                            # type: ignore[attr-defined]
            else:
                g = g.sum_to_size(shape)                                    # type: ignore[attr-defined]
        except RuntimeError:
            name = "a root" if source is None else source.name()
            raise RuntimeError(f"Function {name} returned an invalid gradient at index 0 - got {list(g.shape)} but "
                               f"expected shape compatible with {list(shape)}") from None
    d = g.dtype
    if d is not type_.dtype:
        if d.is_complex and not type_.dtype.is_complex:
            g = g.real                                                  # type: ignore[attr-defined]
        if g.dtype is not type_.dtype:
            g = g.to(type_.dtype)                                       # type: ignore[attr-defined]
    if g.device != type_.device:
        if g._array.ndim or g.device.type != "cpu":
            raise RuntimeError(f"Function {'a root' if source is None else source.name()} returned an invalid gradient "
                               f"at index 0 - expected device {type_.device} but got {g.device}")
        g = g.to(type_.device)                                          # type: ignore[attr-defined]
    return g


def accumulate(leaf: Tensor, g: Tensor, create_graph: bool) -> None:
    """Add ``g`` to ``leaf.grad``, then run the post-accumulate hooks."""
    with _leaf_lock:
        old = leaf._grad
        if old is None:
            leaf._grad = g if create_graph else _own(g, leaf)
        elif type(old) is Tensor and not g._type.plain and old._type.plain and not create_graph and g.is_sparse:
            old.add_(g)                                                 # type: ignore[attr-defined]
        elif active or create_graph or grad_mode.enabled or type(old) is not Tensor or old._type is not g._type or (
                old._type.device.type == "meta" or (old._array.strides and 0 in old._array.strides)):
            leaf._grad = added(old, g)
        elif old._type.device.type == "cuda":
            old.add_(g)                                                 # type: ignore[attr-defined]
        else:
            np.add(old._array, g._array, old._array)
            old._bump_version()
    hooks = leaf._post_accumulate_grad_hooks
    if hooks:
        for hook in tuple(hooks.values()):
            hook(leaf)


def _own(g: Tensor, leaf: Tensor) -> Tensor:
    """``g`` itself if nobody else can see its memory, else a copy laid out like the leaf."""
    array = g._array
    # Referrers here: _send's g, accumulate's g, our g, getrefcount's argument, and the results tuple that it came in.
    if (array.base is None and _getrefcount(g) <= 6 and _getrefcount(array) <= 3 and array.flags.c_contiguous
            and type(g) is Tensor and leaf._array.flags.c_contiguous and g._node is None and not g._requires_grad):
        return g
    if active or (type(g) is not Tensor and not g._type.plain):
        if g._type.plain and leaf._type.plain and leaf.is_contiguous():
            return (g.detach() if g.requires_grad else g).clone(memory_format=contiguous_format)  # type: ignore[attr-defined]
        copy = (g.detach() if g.requires_grad else g).clone()           # type: ignore[attr-defined]
        return copy._coalesced_(False) if g.is_sparse else copy
    if g._type.device.type == "meta":
        return g.detach()                                               # type: ignore[attr-defined]
    if leaf._array.flags.c_contiguous or leaf._array.size <= 1 or type(leaf._array) is not np.ndarray:
        return wrap(contiguous(array), g._type)
    copy = np.empty_like(leaf._array, dtype=array.dtype)
    copy[...] = array
    return wrap(copy, g._type)


class _Helper:
    """What the common pass (native/engine.c, array_pass.py) leaves to the engine; made when it first asks for it."""

    fit = staticmethod(fit)
    added = staticmethod(added)

    def __init__(self, roots: Sequence[Any]) -> None:
        self.outer = current.node, current.pass_id, current.roots, current.partial
        current.pass_id, current.roots, current.partial = next(_pass_ids), roots, False
        self.leaves = _HookedLeaves(roots)

    def send(self, leaf: Tensor, g: Any, source: Any) -> None:
        """Give a leaf its gradient, where the leaf has hooks or is of an unusual kind."""
        _send(leaf, g, {}, [], set(), None, [], False, True, self.leaves, source)

    def before(self, node: Node, g: Any) -> Any:
        """Run the hooks that see the gradient before a node runs."""
        return _before(node, g, type(node.type) is tuple)

    def after(self, node: Node, input_grads: tuple, g: Any) -> tuple:
        """Run the hooks that see the gradients which a node has returned."""
        return _after(node, input_grads, g, type(node.type) is tuple) if node.hooks.post else input_grads

    def finish(self) -> None:
        """Some users of the leaves with hooks had no gradient to send."""
        for leaf, g in self.leaves.sums.values():
            _send(leaf, g, {}, [], set(), None, [], False, True, None)

    def close(self, error: Exception | None, node: Any) -> None:
        """Restore the state of the pass around this one. If there is an ``error``, this pass fails with it."""
        if error is not None and node is not None:
            current.node = node
            _name_place(error)
        current.node, current.pass_id, current.roots, current.partial = self.outer


_common_pass = calls.backward_pass(_Helper, current, RELEASED, _leaf_lock) or array_pass.backward_pass(
    _Helper, current, _leaf_lock)


# ---------------------------------------------------------------- hooks

def _run_tensor_hooks(hooks: dict, g: Any) -> Any:
    for hook in tuple(hooks.values()):
        new = hook(g)
        if new is not None:
            if not isinstance(new, Tensor):
                raise TypeError(f"expected Variable, but hook returned '{type(new).__name__}'")
            if new.shape != g.shape:
                raise RuntimeError(f"hook '{getattr(hook, '__name__', hook)}' has changed the size of value")
            g = new
    return g


def _before(node: Node, g: Any, multi: bool) -> Any:
    hooks = node.hooks
    grads = list(g) if multi else [g]
    for index, registered in hooks.tensor:
        if grads[index] is not None:
            grads[index] = _run_tensor_hooks(registered, grads[index])
    for hook in tuple(hooks.pre.values()):
        new = hook(tuple(grads))
        if new is not None:
            grads = list(new) if isinstance(new, (tuple, list)) else [new]
    for index, ref in hooks.retain.items():
        t = ref()
        if t is not None and grads[index] is not None:
            kept = grads[index]
            old = t._grad
            t._grad = (kept if grad_mode.enabled else kept.detach()) if old is None else old + kept
    return grads if multi else grads[0]


def _after(node: Node, input_grads: tuple, g: Any, multi: bool) -> tuple:
    outputs = tuple(g) if multi else (g,)
    for hook in tuple(node.hooks.post.values()):
        new = hook(tuple(input_grads), outputs)
        if new is not None:
            new = new if isinstance(new, tuple) else (new,)
            if len(new) != len(input_grads):
                raise RuntimeError(f"hook '{getattr(hook, '__name__', hook)}' has returned an incorrect number of "
                                   "values "
                                   f"(got {len(new)}, but expected {len(input_grads)})")
            input_grads = new
    return input_grads


# ---------------------------------------------------------------- the public entry points

def _tuple(x: Any) -> tuple:
    if x is None:
        return ()
    return (x,) if isinstance(x, Tensor) or not isinstance(x, (tuple, list)) else tuple(x)


def root_grads(tensors: tuple, grads: Any, create_graph: bool) -> list:
    """One gradient per root: given, or 1 for a root with one element."""
    if grads is None and len(tensors) == 1:
        t = tensors[0]
        kind = t._type
        if type(t) is Tensor and kind in array_pass.REAL and t._requires_grad and not t._array.ndim and not active:
            one = kind.scalars.get(1)
            return [wrap((kind.scalar(1) if one is None else one).copy(), kind)]
    given = (None,) * len(tensors) if grads is None else _tuple(grads)
    if len(given) != len(tensors):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(given)} gradients")
    result: list = []
    for t, g in zip(tensors, given, strict=True):
        if g is None:
            if not t.requires_grad:
                result.append(None)
                continue
            if t.numel() != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs, and this one has shape "
                                   f"{list(t.shape)}: reduce it first, or give a gradient of that shape")
            if not t.dtype.is_floating_point:
                raise RuntimeError("grad can be implicitly created only for real scalar outputs but got "
                                   f"{t.dtype!r}")
            if type(t) is Tensor and t._type.fast and not active:
                bare = t._type.simple and not t._array.ndim             # a copy costs a fifth of making ones
                result.append(wrap(t._type.scalar(1).copy() if bare else np.ones_like(t._array), t._type))
            else:
                with overrides.DisableTorchFunctionSubclass():          # gradients of subclasses are plain tensors
                    result.append(_ones_like(t))
        elif isinstance(g, Tensor):
            if g.shape != t.shape:
                raise RuntimeError(f"Mismatch in shape: grad_output[{len(result)}] has a shape of {g.shape} and "
                                   f"output[{len(result)}] has a shape of {t.shape}.")
            if g.dtype.is_complex != t.dtype.is_complex:
                raise RuntimeError("For complex Tensors, both grad_output and output are required to have the same "
                                   "dtype. "
                                   f"Mismatch in dtype: grad_output[{len(result)}] has a dtype of {g.dtype} and "
                                   f"output[{len(result)}] has a dtype of {t.dtype}.")
            result.append(g)
        else:
            raise TypeError("gradients can be either Tensors or None, but got " + type(g).__name__)
    return result


def _ones_like(t: Tensor) -> Tensor:
    from flowtorch.ops.factory import ones_like

    return ones_like(t)


def _start(t: Tensor, what: str, i: int) -> Any:
    e = edge(t)
    if e is None:
        raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
    return e


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
             grad_variables: Any = None, inputs: Any = None) -> None:
    """Add to the ``grad`` of every leaf (or of ``inputs``) the gradients of ``tensors`` weighted by
    ``grad_tensors``."""
    if grad_variables is not None:
        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        grad_tensors = grad_variables
    if levels.open:
        raise RuntimeError("backward() called inside a functorch transform. This is not supported, please use "
                           "torch.func.grad or torch.func.vjp instead, or call backward() outside of transforms.")
    if inputs is not None and not isinstance(inputs, Tensor) and len(inputs) == 0:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    tensors = _tuple(tensors)
    grads = root_grads(tensors, grad_tensors, create_graph)
    keep = create_graph if retain_graph is None else retain_graph
    roots = [_start(t, "tensors", i) for i, t in enumerate(tensors)]
    if inputs is None:
        run_backward(roots, grads, keep, create_graph)
        return
    targets = _tuple(inputs)
    edges = [edge(t) for t in targets]
    for i, e in enumerate(edges):
        if e is None:
            raise RuntimeError(f"One of the differentiated Tensors does not require grad (inputs[{i}])")
    results = run_backward(roots, grads, keep, create_graph, edges)
    for t, e, g in zip(targets, edges, results, strict=True):
        if g is not None and not isinstance(e, Tensor):                 # a non-leaf asked for by name
            t._grad = g if t._grad is None else t._grad + g             # type: ignore[operator]


def grad(outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None,
         create_graph: bool = False, only_inputs: bool = True, allow_unused: bool | None = None,
         is_grads_batched: bool = False, materialize_grads: bool = False) -> tuple:
    """The gradients of ``outputs`` (weighted by ``grad_outputs``) in ``inputs``, returned rather than accumulated.

    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> (slope,) = torch.autograd.grad(x ** 2, x, create_graph=True)
    >>> torch.autograd.grad(slope, x)
    (tensor(2.),)
    """
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
                         "allow_unused=False.")
    allow_unused = materialize_grads if allow_unused is None else allow_unused
    outputs, targets = _tuple(outputs), _tuple(inputs)
    if is_grads_batched:
        from flowtorch.func import vmap

        weights = _tuple(grad_outputs)
        for i, (o, w) in enumerate(zip(outputs, weights, strict=False)):
            if isinstance(w, Tensor) and w.shape[1:] != o.shape:
                raise RuntimeError("If `is_grads_batched=True`, we interpret the first dimension of each grad_output "
                                   "as the batch dimension. The sizes of the remaining dimensions are expected to "
                                   f"match the shape of the corresponding output, but grad_output[{i}] has a shape of "
                                   f"{w.shape} and output[{i}] has a shape of {o.shape}.")
        return vmap(lambda *w: grad(outputs, targets, w, True, create_graph, True, allow_unused, False,
                                    materialize_grads), in_dims=0)(*weights)
    keep = create_graph if retain_graph is None else retain_graph
    grads = root_grads(outputs, grad_outputs, create_graph)
    roots = [_start(t, "outputs", i) for i, t in enumerate(outputs)]
    edges = []
    for t in targets:
        e = edge(t) if isinstance(t, Tensor) else getattr(t, "edge", None)
        if e is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
        edges.append(e)
    results = run_backward(roots, grads, keep, create_graph, edges, accumulate_into=False)
    for i, g in enumerate(results):
        if g is None:
            if materialize_grads:
                results[i] = targets[i].new_zeros(targets[i].shape)
            elif not allow_unused:
                raise RuntimeError(f"The differentiated Tensor at index {i} appears to not have been used in the "
                                   "graph. Set allow_unused=True if this is the desired behavior.")
    return tuple(results)


__all__ = ["AccumulateGrad", "accumulate", "backward", "grad", "run_backward"]
