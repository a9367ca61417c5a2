"""Tensors of a differentiating level (grad, vjp): ops run on what they wrap and are recorded on the wrappers."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from flowtorch.autograd.levels import Level, Wrapped, become, levels, make_wrapper
from flowtorch.autograd.mode import grad_mode, no_grad
from flowtorch.autograd.node import edge, make_view
from flowtorch.ops import dispatch
from flowtorch.ops.dispatch import check_inplace, flat_inputs, interpret, interpret_inplace, make_node, record
from flowtorch.ops.families import Views
from flowtorch.ops.op import Op
from flowtorch.tensor import Tensor


class Tracked(Wrapped):
    """A tensor with a history of its own at one level."""

    __slots__ = ()

    def __flowtorch_interpret__(self, op: Op, values: list, out: Any, inplace: bool = False) -> Any:
        level = levels.open.get(self.level)
        if out is not None:
            return _into(op, values, out)
        if inplace:
            return _write(self.level, level, op, values)
        result = below(op, values, self.level, level)
        return result if level is None else _record(level, op, values, result)

    def __flowtorch_detach__(self) -> Tensor:
        return track(self.value.detach(), self.level, self.depth)  # type: ignore[attr-defined]

    def __flowtorch_like__(self, make: Any, args: tuple, options: dict) -> Tensor:
        return make(self.value, *[strip(a, self.level) for a in args], **options)

    def __flowtorch_new__(self, make: Any, shape: tuple, options: dict) -> Tensor:
        return make(self.value, *shape, **options)

    def __flowtorch_saved__(self) -> Any:
        return SavedWrapper(self)

    def __flowtorch_function__(self, cls: Any, args: tuple, kwargs: dict) -> Any:
        from flowtorch.func.custom import track_function

        return track_function(self.level, cls, args, kwargs)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        inner = "\n".join("    " + line for line in repr(self.value).splitlines())
        return f"GradTrackingTensor(lvl={self.depth}, value=\n{inner}\n)"


class SavedWrapper:
    """A saved result of a node: what it wraps, so that the tensor does not refer to the node and back."""

    __slots__ = ("depth", "level", "value")

    def __init__(self, t: Any) -> None:
        self.value, self.level, self.depth = t.value, t.level, t.depth

    @property
    def shape(self) -> tuple:
        return self.value._array.shape

    def get(self) -> Any:
        return track(self.value, self.level, self.depth)


def track(value: Tensor, level: Any, depth: int = 0) -> Tracked:
    """``value`` as a tensor of the level without history."""
    return make_wrapper(Tracked, value, level, value._array, depth)


def is_tracked(t: Any, level: int) -> bool:
    return type(t) is Tracked and t.level == level


def strip(v: Any, level: int) -> Any:
    """What tensors of this level wrap, also inside lists; everything else unchanged."""
    if is_tracked(v, level):
        return v.value
    if isinstance(v, (list, tuple)) and any(is_tracked(t, level) for t in v):
        return [strip(t, level) for t in v]
    return v


def _lift(v: Any, level: Level) -> Any:
    """Every tensor as one of this level, for the record: those from outside have no edges here."""
    if isinstance(v, Tensor):
        return v if is_tracked(v, level.number) else track(v, level)
    if isinstance(v, (list, tuple)):
        return [_lift(t, level) for t in v]
    return v


def below_mode(level: Level | None) -> Any:
    """Grad mode one level down: off where the transform was called with it off, whatever the function does."""
    return nullcontext() if level is None or level.grad_outside or not grad_mode.enabled else no_grad()


def as_arguments(op: Op, values: list) -> tuple[tuple, dict]:
    n = op.positional
    return tuple(values[:n]), dict(zip(op.names[n:], values[n:], strict=True))


def below(op: Op, values: list, number: int, level: Level | None) -> Any:
    """The op one level down."""
    args, kwargs = as_arguments(op, [strip(v, number) for v in values])
    with below_mode(level):
        return interpret(op, args, kwargs)


def _record(level: Level, op: Op, values: list, result: Any) -> Any:
    """Results as tensors of the level, with a node behind them and, from views, the knowledge of their base."""
    single = isinstance(result, Tensor)
    wrapped = [track(r, level) for r in ((result,) if single else result)]
    lifted = [_lift(v, level) if i in op.tensor_index else v for i, v in enumerate(values)]
    if isinstance(op.family, Views):
        _mark_views(op, lifted, wrapped, single)
    final = wrapped[0] if single else type(result)(wrapped)
    if grad_mode.enabled and op.differentiable:
        record(op, lifted, final)
    return final


def _mark_views(op: Op, values: list, wrapped: list, single: bool) -> None:
    base, args = values[0], tuple(values[1:])
    origin = None if grad_mode.enabled else "no_grad"
    for k, t in enumerate(wrapped):
        if t._counter is base._counter:
            step = (op.public, args) if single else ((lambda t, *p, k=k: op.public(t, *p)[k]), args)
            make_view(base, t, step, origin if single else "multi_output")


def _into(op: Op, values: list, out: Any) -> Any:
    args, kwargs = as_arguments(op, values)
    result = interpret(op, args, kwargs)
    targets, results = ((out,), (result,)) if isinstance(out, Tensor) else (out, result)
    for target, r in zip(targets, results, strict=True):
        if grad_mode.enabled and (target.requires_grad or r.requires_grad):
            raise RuntimeError(
                f"{op.name}(): functions with out=... arguments don't support automatic differentiation, "
                "but one of the arguments requires grad."
            )
        if target.shape != r.shape:
            target.resize_(r.shape)
        target.copy_(r)
    return out


def _write(number: int, level: Level | None, op: Op, values: list) -> Any:
    """An in-place op: written one level down, recorded here."""
    target = values[op.tensor_index[0]]
    if level is not None and not is_tracked(target, number):
        become(target, Tracked, level)
    recording = (
        level is not None
        and grad_mode.enabled
        and any(
            isinstance(t, Tensor) and is_tracked(t, number) and t.requires_grad
            for t in flat_inputs(op, values)
        )
    )
    if recording:
        check_inplace(target, True)
    lifted = (
        [_lift(v, level) if i in op.tensor_index else v for i, v in enumerate(values)]
        if level is not None
        else values
    )
    node = None
    if recording and target._type.dtype.rank >= 2 and op.differentiable:
        inputs = flat_inputs(op, lifted)
        edges = tuple([edge(t) if isinstance(t, Tensor) else None for t in inputs])
        copy = None
        if op.savers and op.savers[0]:  # the derivative wants the value from before
            copy = track(target.value.clone(), level)
            copy._node, copy._requires_grad = target._node, target._requires_grad
        node = make_node(op, lifted, inputs, edges, copy)
        node.shape, node.type = target._array.shape, target._type
    args, kwargs = as_arguments(op, [strip(v, number) for v in values])
    inner = target.value if is_tracked(target, number) else target
    with below_mode(level):
        interpret_inplace(op, args, kwargs)
    if is_tracked(target, number) and inner is target.value:
        target._array = inner._array
    if node is not None:
        if op.wants_out:
            dispatch.save_output(node, target)
        dispatch.rebase_history(target, node)
    elif recording and not op.differentiable and target._type.dtype.rank >= 2:
        from flowtorch.autograd.copy_slices import cut_history

        cut_history(target)
    return target
