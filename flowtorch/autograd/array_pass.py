"""The common backward pass without the extension: every leaf accumulates, nothing is recorded, nobody listens.

It is the loop of `engine.run_backward` with numpy arrays for gradients: real ones on their way between nodes need no
tensor around them. Nodes whose op has its derivative on arrays (ops/array_gradients.py) are run by that; what is rare
(hooks, other derivatives, gradients that do not fit) is asked of the engine, as native/engine.c does it.
"""
from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from flowtorch import overrides
from flowtorch.array.tensortype import tensor_type
from flowtorch.autograd import anomaly
from flowtorch.autograd.gradient_dtype import in_use
from flowtorch.autograd.mode import _enabled, grad_enabled
from flowtorch.autograd.node import RELEASED, Node, Output, wrong_number
from flowtorch.dtypes import float32, float64
from flowtorch.tensor import Tensor, wrap

_active = overrides.active
_ndarray = np.ndarray
_getrefcount = sys.getrefcount
_EACH = tuple(map(range, range(4)))           # by the number of edges: of the formulas' nodes at most three
REAL = frozenset({tensor_type(float32), tensor_type(float64)})     # the types whose gradients are bare arrays here


def backward_pass(helper: Any, current: Any, lock: Any) -> Callable:
    """``(roots, grads, keep_graph)`` runs a backward pass, or gives False if it is none for this loop.

    ``helper(roots)`` makes what does the rare things, ``current`` knows the node that runs, and ``lock`` is held where
    gradients are added to leaves.
    """
    ready: list = []

    def run(roots: Sequence[Any], grads: Sequence[Tensor], keep_graph: bool) -> bool:
        if _active or anomaly.state.enabled:
            return False
        if not ready:                       # now, as most programs that import flowtorch never get here
            from flowtorch.ops import array_gradients

            array_gradients.register()
            ready.append(True)
        _Pass(roots, helper, current, lock).run(grads, keep_graph)
        return True

    return run


class _Pass:
    """What waits in one pass: gradients by node, arrays of the node's type where that is real, and else tensors."""

    __slots__ = ("current", "heap", "help", "helper", "lock", "node", "owned", "pending", "roots")

    def __init__(self, roots: Sequence[Any], helper: Any, current: Any, lock: Any) -> None:
        self.roots, self.helper, self.current, self.lock = roots, helper, current, lock
        self.help: Any = None               # made when it is first needed
        self.pending: dict[Node, Any] = {}
        self.heap: list = []
        self.owned: set = set()             # nodes that wait with a sum made here: free to be added to in place

    def helped(self) -> Any:
        if self.help is None:
            self.help = self.helper(self.roots)
        return self.help

    def run(self, grads: Sequence[Tensor], keep_graph: bool) -> None:
        recording = grad_enabled()
        if recording:
            _enabled.set(False)
        self.node = None                    # the one that runs
        try:
            for k, e in enumerate(self.roots):
                self.send_tensor(e, grads[k], None)
            self.run_nodes(keep_graph)
            if self.help is not None:
                self.help.finish()          # leaves with hooks, of which not every user sent a gradient
        except Exception as error:
            self.pending.clear()            # a traceback that somebody keeps shall not keep gradients
            self.heap.clear()
            helped, self.help = self.helped(), None
            helped.close(error, self.node)
            raise
        finally:
            if self.help is not None:
                self.help.close(None, None)
            if recording:
                _enabled.set(True)

    def run_nodes(self, keep_graph: bool) -> None:
        """Run what waits, the newest first, and send on what it gives."""
        heap, pending, owned = self.heap, self.pending, self.owned
        while heap:
            self.node = node = heappop(heap)[1]
            g = pending.pop(node)
            if owned:
                owned.discard(node)
            formula, grads = node.on_arrays, None
            if formula is not None and type(g) is _ndarray and node.hooks is None and not _active:
                try:
                    grads = formula(g)
                except Exception:           # the op's own derivative does it again, and says what is wrong
                    grads = None
            if grads is None:
                self.apply(node, g, keep_graph)
                continue
            if not keep_graph:
                if node.saved:
                    node.saved = RELEASED
                node.out = RELEASED
            g = None
            kind, edges = node.type, node.edges
            for k in node.order or _EACH[len(edges)]:   # not zip: its own reference would make leaves copy gradients
                e = edges[k]
                if e is None:
                    continue
                x = grads[k]
                if x is None:
                    continue
                if isinstance(e, Node):
                    if x.shape == e.shape and e.type is kind and e not in pending:
                        pending[e] = x
                        heappush(heap, (-e.seq, e))
                        continue
                elif type(e) is not Output:
                    seen = _getrefcount(x) > 3          # referrers: grads, x, getrefcount's argument
                    if self.to_leaf(e, x, kind, seen):
                        continue
                self.send_tensor(e, wrap(x, kind), node)
            x = None                        # the next gradient that is sent to a leaf may be the same array

    def apply(self, node: Node, g: Any, keep_graph: bool) -> None:
        """The same by the node's own derivative, on tensors."""
        helped = self.helped()
        if type(g) is _ndarray:
            g = wrap(g, node.type)
        hooks = node.hooks
        if hooks is not None:
            g = helped.before(node, g)
        self.current.node = node
        grads = node.apply(g)
        if hooks is not None:
            grads = helped.after(node, grads, g)
        if not keep_graph:
            node.release()
        g = None
        edges = node.edges
        if len(grads) != len(edges):
            raise wrong_number(node, len(grads))
        for k in node.order or range(len(edges)):
            e, x = edges[k], grads[k]
            if x is None or e is None:
                continue
            if type(x) is Tensor and x._type in REAL and not isinstance(e, (Node, Output)):
                # Referrers: grads, x, getrefcount's argument; of the array x and that argument.
                seen = (_getrefcount(x) > 3 or _getrefcount(x._array) > 2 or x._node is not None
                        or x._requires_grad)
                if self.to_leaf(e, x._array, x._type, seen):
                    continue
            self.send_tensor(e, x, node)

    def to_leaf(self, leaf: Any, x: np.ndarray, kind: Any, seen: bool) -> bool:
        """Add ``x`` to an ordinary leaf, which takes it over unless it is ``seen`` elsewhere; False: it is no such one.
        """
        own = leaf._array
        if (leaf._type is not kind or x.shape != own.shape or leaf._backward_hooks
                or leaf._post_accumulate_grad_hooks or in_use or _active):
            return False
        with self.lock:
            old = leaf._grad
            if old is None:
                if not own.flags.c_contiguous:
                    return False
                if seen or x.base is not None or not x.flags.c_contiguous:
                    x = x.copy()
                leaf._grad = wrap(x, kind)
                return True
            total = old._array
            if type(old) is not Tensor or old._type is not kind or 0 in total.strides:
                return False
            np.add(total, x, total)
            old._bump_version()
            return True

    def send_tensor(self, e: Any, g: Any, source: Any) -> None:
        """Send a gradient to wherever the edge leads."""
        if e is None:
            return
        if not isinstance(e, (Node, Output)):
            self.helped().send(e, g, source)
            return
        node, shape, kind = (e, e.shape, e.type) if isinstance(e, Node) else (
            e.node, e.node.shape[e.index], e.node.type[e.index])
        if type(g) is not Tensor or g._type is not kind or g._array.shape != shape:
            g = self.helper.fit(g, shape, kind, source)
        pending = self.pending
        if e is not node:
            slots = pending.get(node)
            if slots is None:
                pending[node] = slots = [None] * len(node.shape)
                heappush(self.heap, (-node.seq, node))
            slots[e.index] = g if slots[e.index] is None else self.helper.added(slots[e.index], g)
            return
        bare = type(g) is Tensor and kind in REAL
        waiting = pending.get(node)
        if waiting is None:
            pending[node] = g._array if bare else g
            heappush(self.heap, (-node.seq, node))
        elif bare and node in self.owned and not _active and type(waiting) is _ndarray:
            np.add(waiting, g._array, waiting)
        else:
            total = self.helper.added(
                wrap(waiting, kind) if type(waiting) is _ndarray else waiting, g)
            bare = type(total) is Tensor and total._type is kind and kind in REAL
            pending[node] = total._array if bare else total
            if bare:
                self.owned.add(node)
