"""User-defined differentiable functions: ``torch.autograd.Function``."""
from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from flowtorch import overrides
from flowtorch.autograd.mode import grad_mode, no_grad
from flowtorch.autograd.node import (
    RELEASED,
    Node,
    Output,
    Packed,
    edge,
    kept,
    make_view,
    next_seq,
    raise_stale,
    restored,
    saved_hooks,
)
from flowtorch.tensor import Tensor, shared_counter, wrap

_new: Any = object.__new__


class FunctionCtx:
    """What ``forward`` and ``backward`` of a Function share."""

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for ``backward``, which reads them as ``ctx.saved_tensors``."""
        self.to_save: tuple | None = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keep tensors for ``jvp``."""
        for t in tensors:
            if not isinstance(t, Tensor) and t is not None:
                raise AssertionError("save_for_forward expects all arguments to be tensors; you should save "
                                     "non-tensors as "
                                     "attributes on ctx.")
        self.saved_for_forward = tensors

    def mark_dirty(self, *args: Tensor) -> None:
        """Say which inputs ``forward`` changed in place (and returns)."""
        self.dirty_tensors = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Say which outputs need no gradient."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether ``backward`` gets zeros (the default) or None for outputs without gradient."""
        self.materialize_grads = value


def user_code(f: Callable, *args: Any) -> Any:
    """Call a user's function in backward, seen by the function modes that the engine's own work is hidden from."""
    from flowtorch.autograd.engine import current

    state = overrides.state
    engine = state.modes, state.subclasses_disabled
    state.modes, state.subclasses_disabled = state.modes or list(current.modes), False
    try:
        return f(*args)
    finally:
        state.modes, state.subclasses_disabled = engine


class FunctionNode(Node, FunctionCtx):
    """The node of a Function call, which is also its ``ctx``."""

    __slots__ = ("__dict__", "input_count", "saved_items", "tensor_positions")

    function: Any = None
    materialize_grads = True
    to_save: tuple | None = None
    dirty_tensors: tuple = ()

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{type(self).__name__} object at {id(self):#x}>"
    non_differentiable: tuple = ()
    needs_input_grad: tuple = ()

    @property
    def saved_tensors(self) -> tuple:
        """The tensors given to ``save_for_backward``."""
        items = getattr(self, "saved_items", None)
        if items is None:
            return tuple(self.to_save or ())
        if items is RELEASED:
            RELEASED[0]
        return tuple(self._fetch(item) for item in items)

    saved_variables = saved_tensors

    def _fetch(self, item: Any) -> Any:
        if item is None:
            return None
        what, value, version = item
        if what == "packed":
            return value.get()
        if what == "input":
            c = value._counter
            now = c if type(c) is int else c[0]
            if now != version:
                raise_stale(
                    value._array.shape,
                    value._type,
                    value._node and getattr(value._node, "node", value._node),
                    now,
                    version,
                )
            return value
        array, type_, counter, index, requires_grad = value
        if counter[0] != version:
            raise_stale(array.shape, type_, self, counter[0], version)
        t = restored(array, type_)
        t._counter = counter
        if requires_grad:
            t._node = Output(self, index) if isinstance(self.type, tuple) else self
            t._requires_grad = True
        return t

    def keep(self, outputs: tuple) -> None:
        """Turn what ``save_for_backward`` was given into saved items, without holding this node's own outputs."""
        items: list[Any] = []
        for t in self.to_save or ():
            if t is None:
                items.append(None)
                continue
            if not isinstance(t, Tensor):
                raise TypeError(f"save_for_backward can only save variables, but argument {len(items)} is of type "
                                f"{type(t).__name__}")
            if saved_hooks.stack:
                items.append(("packed", Packed(t), None))
                continue
            index = next((k for k, o in enumerate(outputs) if o is t), None)
            counter = shared_counter(t)
            if index is None:
                items.append(("input", t, counter[0]))
            else:
                items.append(("output", (kept(t), t._type, counter, index, t._requires_grad), counter[0]))
        self.saved_items = tuple(items)
        self.to_save = None

    def release(self) -> None:
        if getattr(self, "saved_items", None):
            self.saved_items = RELEASED

    def apply(self, g: Any) -> tuple:                                    # type: ignore[override]
        grads = list(g) if isinstance(self.type, tuple) else [g]
        if self.materialize_grads:
            types = self.type if isinstance(self.type, tuple) else (self.type,)
            shapes = self.shape if isinstance(self.type, tuple) else (self.shape,)
            from flowtorch.ops.factory import zeros

            grads = [zeros(s, dtype=t.dtype, device=t.device) if x is None and t is not None else x
                     for x, t, s in zip(grads, types, shapes, strict=True)]
        backward = self.function.backward if self.function.vjp is Function.vjp else self.function.vjp
        result = user_code(backward, self, *grads)
        result = result if isinstance(result, tuple) else tuple(result) if isinstance(result, list) else (result,)
        n = self.input_count
        if len(result) > n and all(r is None for r in result[n:]):
            result = result[:n]
        if len(result) != n:
            raise RuntimeError(f"function {self.name()} returned an incorrect number of gradients (expected {n}, got "
                               f"{len(result)})")
        for i, r in enumerate(result):
            if r is not None and i not in self.tensor_positions:
                raise RuntimeError(f"function {self.name()} returned a gradient different from None at position "
                                   f"{i + 1}, but the "
                                   "corresponding forward input was not a Variable")
            if r is not None and not isinstance(r, Tensor):
                raise RuntimeError(f"expected Variable or None (got {type(r).__name__})")
        return tuple(result[i] for i in self.tensor_positions)


class _FunctionMeta(type):
    """Gives every Function its own node class, named after it."""

    def __init__(cls, name: str, bases: tuple, attrs: dict) -> None:
        super().__init__(name, bases, attrs)
        cls._node_class = type(name + "Backward", (FunctionNode,), {"function": cls, "__module__": cls.__module__})
        cls._backward_cls = cls._node_class                              # type: ignore[attr-defined]


class Function(FunctionCtx, metaclass=_FunctionMeta):
    """A differentiable function with its own backward.

    Subclasses define static methods ``forward(ctx, *args)`` and ``backward(ctx, *grads)``, or ``forward(*args)`` with
    ``setup_context(ctx, inputs, output)``; use them through ``apply``.

    >>> class Cube(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x ** 3
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x ** 2 * g
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)
    """

    _node_class: Any = None
    generate_vmap_rule = False
    # What a call's ``ctx`` has; the class shows the same names.
    saved_tensors = FunctionNode.saved_tensors
    saved_variables = FunctionNode.saved_variables
    metadata = FunctionNode.metadata
    next_functions = FunctionNode.next_functions
    materialize_grads = property(lambda ctx: ctx.materialize_grads)
    needs_input_grad = property(lambda ctx: ctx.needs_input_grad)
    to_save = property(lambda ctx: ctx.to_save)
    dirty_tensors = property(lambda ctx: ctx.dirty_tensors)
    non_differentiable = property(lambda ctx: ctx.non_differentiable)
    saved_for_forward = property(lambda ctx: ctx.saved_for_forward)
    requires_grad = property(lambda ctx: any(ctx.needs_input_grad))
    name = FunctionNode.name
    register_hook = FunctionNode.register_hook
    register_prehook = FunctionNode.register_prehook

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you "
                      "should "
                      "invoke them on the class itself.", DeprecationWarning, stacklevel=2)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("Legacy autograd function with non-static forward method is deprecated. Please use "
                           "new-style autograd "
                           "function with static forward method.")

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs from the inputs."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> Any:
        """Fill ``ctx`` after ``forward(*args)``."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """One gradient (or None) per argument of ``forward``, from one per output."""
        raise NotImplementedError("You must implement either the backward or vjp method for your custom "
                                  "autograd.Function to use it "
                                  "with backward mode AD.")

    @staticmethod
    def vjp(ctx: Any, *grad_outputs: Any) -> Any:
        """Another name for ``backward``."""
        raise NotImplementedError("vjp is not implemented")

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """One tangent per output, from one (or None) per argument."""
        raise NotImplementedError("You must implement the jvp function for custom autograd.Function to use it with "
                                  "forward mode AD.")

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """The batched function: (outputs, out_dims)."""
        raise NotImplementedError("To use autograd.Function with vmap, you must either override the vmap staticmethod "
                                  "or set "
                                  "generate_vmap_rule=True.")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` and record the call."""
        special = [
            a for a in args if isinstance(a, Tensor) and not a._type.plain and hasattr(a, "__flowtorch_function__")
        ]
        if special:
            return max(special, key=lambda t: t.level).__flowtorch_function__(cls, args, kwargs)
        if overrides.state.modes and overrides.has_torch_function(args):
            return overrides.handle_torch_function(cls.apply, args, *args, **kwargs)
        node = _new(cls._node_class)
        tensors = [(i, a) for i, a in enumerate(args) if isinstance(a, Tensor)]
        needs = {i: grad_mode.enabled and a.requires_grad for i, a in tensors}
        node.needs_input_grad = tuple(needs.get(i, False) for i in range(len(args)))
        recording = any(needs.values())
        edges = tuple([edge(a) if recording else None for _, a in tensors])
        with no_grad():
            if cls.setup_context is Function.setup_context:
                output = cls.forward(node, *args, **kwargs)
            else:
                output = cls.forward(*args, **kwargs)
                cls.setup_context(node, args, output)
        return _finish(cls, node, args, tensors, edges, recording, output)


def _finish(cls: type, node: Any, args: tuple, tensors: list, edges: tuple, recording: bool, output: Any) -> Any:
    """Wire the outputs of a Function call to its node."""
    single = isinstance(output, Tensor) or not isinstance(output, (tuple, list))
    outputs = (output,) if single else tuple(output)
    for o in outputs:
        if single and not isinstance(o, Tensor) and o is not None:
            raise TypeError(f"{cls.__name__}.forward: expected to return Tensor, tuple of Tensors, or None; got "
                            f"{type(o).__name__}")
    dirty = {id(t) for t in node.dirty_tensors}
    for t in node.dirty_tensors:
        if recording and t._requires_grad and t._node is None and t._view is None and any(t is a for _, a in tensors):
            raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
    wired: list[Any] = []
    given = {id(a) for _, a in tensors}
    for o in outputs:
        if isinstance(o, Tensor) and id(o) in given and id(o) not in dirty and recording:
            alias = wrap(o._array, o._type) if o._type.plain else o.detach()  # an input returned as it is: a view of it
            make_view(o, alias, (lambda t: t, ()), "custom")
            o = alias
        wired.append(o)
    if recording:
        node.seq = next_seq()
        node.edges = edges
        node.hooks = None
        node.saved = ()
        node.input_count = len(args)
        node.tensor_positions = tuple(i for i, _ in tensors)
        shapes = tuple(o._array.shape if isinstance(o, Tensor) else () for o in wired)
        types = tuple(o._type if isinstance(o, Tensor) else None for o in wired)
        node.shape, node.type = (shapes[0], types[0]) if single else (shapes, types)
        skip = {id(t) for t in node.non_differentiable}
        for k, (o, original) in enumerate(zip(wired, outputs, strict=True)):
            if not isinstance(o, Tensor) or id(original) in skip or o._type.dtype.rank < 2:
                continue
            e = node if single else Output(node, k)
            if id(original) in dirty:
                original._bump_version()
                if original._view is not None:
                    _rebase(original, node)
                    continue
            if o._view is not None:                      # made in forward: changing it would pass this node by
                o._view = (o._view[0], "custom", *o._view[2:])
            o._node = e
            o._requires_grad = True
        node.keep(tuple(outputs))
    else:
        for t in node.dirty_tensors:
            t._bump_version()
    if single:
        return wired[0]
    return type(output)(wired) if type(output) in (tuple, list) else tuple(wired)


def _rebase(target: Tensor, node: Any) -> None:
    from flowtorch.autograd.copy_slices import rebase_view

    rebase_view(target, node)


class _OnceDifferentiableError(Node):
    """Stands behind the gradients of a once-differentiable backward."""

    __slots__ = ()

    def apply(self, g: Any) -> tuple:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")


def once_differentiable(fn: Callable) -> Callable:
    """Decorate a ``backward`` whose own derivative is not defined: differentiating it raises an error."""
    @functools.wraps(fn)
    def wrapped(ctx: Any, *args: Any) -> Any:
        with no_grad():
            outputs = fn(ctx, *args)
        if not grad_mode.enabled or not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            return outputs
        result = outputs if isinstance(outputs, tuple) else (outputs,)
        final = []
        for o in result:
            if isinstance(o, Tensor):
                node = _new(_OnceDifferentiableError)
                node.seq, node.edges, node.hooks, node.saved = next_seq(), (None,), None, ()
                node.shape, node.type = o._array.shape, o._type
                o = o.detach()                                           # type: ignore[attr-defined]
                o._node, o._requires_grad = node, True
            final.append(o)
        return tuple(final) if isinstance(outputs, tuple) else final[0]
    return wrapped


class InplaceFunction(Function):
    """A Function with an ``inplace`` flag (kept for old code)."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


class NestedIOFunction(Function):
    """Not supported: pass flat tensors to ``Function.apply``."""

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("NestedIOFunction is not supported; flatten the arguments and use autograd.Function")


