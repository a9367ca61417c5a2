"""Forward-mode AD: dual tensors carry a tangent beside the value, and every op maps tangents along with values.

An op's tangent rule is derived: a linear op is applied to the tangents, a real pointwise op uses its derivative
formulas (its Jacobian is diagonal), any other op transposes its own ``vjp`` (J v is the vector-Jacobian product of
the linear map u -> J^T u). So whatever differentiates twice backward also differentiates forward.
"""
from __future__ import annotations

import threading
from typing import Any, NamedTuple

from flowtorch.autograd.levels import Level, Wrapped, become, levels, make_wrapper
from flowtorch.autograd.mode import enable_grad, grad_mode
from flowtorch.ops.dispatch import interpret, interpret_inplace
from flowtorch.ops.families import Pointwise, Views
from flowtorch.ops.op import Op
from flowtorch.tensor import Tensor, view_of


class _Levels(threading.local):
    """The levels that ``enter_dual_level`` opened on the running thread."""

    def __init__(self) -> None:
        self.alive: list[Level] = []


_levels = _Levels()


class Dual(Wrapped):
    """A tensor with a tangent at one level of forward differentiation."""

    __slots__ = ()

    tangent: Tensor | None

    @property
    def primal(self) -> Tensor:
        return self.value

    def __flowtorch_interpret__(self, op: Op, values: list, out: Any, inplace: bool = False) -> Any:
        return propagate(self.level, op, values, out, inplace)

    def __flowtorch_detach__(self) -> Tensor:
        return self.value.detach()                                      # type: ignore[attr-defined]

    def __flowtorch_saved__(self) -> Any:
        return SavedDual(self)

    def __flowtorch_like__(self, make: Any, args: tuple, options: dict) -> Tensor:
        return make(self.primal, *[strip(a, self.level) for a in args], **options)

    def __flowtorch_new__(self, make: Any, shape: tuple, options: dict) -> Tensor:
        return make(self.primal, *shape, **options)

    def __flowtorch_function__(self, cls: Any, args: tuple, kwargs: dict) -> Any:
        from flowtorch.func.custom import push_function

        return push_function(self.level, cls, args, kwargs)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        if all(level.number != self.level for level in _levels.alive):      # made by a transform, not by make_dual
            inner = "\n".join("    " + line for line in repr(self.value).splitlines())
            return f"GradTrackingTensor(lvl={self.depth}, value=\n{inner}\n)"
        from flowtorch import printing

        return printing.tensor_repr(self.value, tensor_contents, self.tangent)


class SavedDual:
    """A result kept by a node: primal and tangent, without the history of the dual itself."""

    __slots__ = ("depth", "level", "primal", "tangent")

    def __init__(self, t: Any) -> None:
        self.primal, self.tangent, self.level, self.depth = t.value, t.tangent, t.level, t.depth

    @property
    def shape(self) -> tuple:
        return self.primal._array.shape

    def get(self) -> Any:
        return make(self.primal, self.tangent, self.level, self.depth)


def make(primal: Tensor, tangent: Tensor | None, level: int, depth: int = 0) -> Dual:
    """A dual tensor with the value and history of ``primal``."""
    t = make_wrapper(Dual, primal, level, primal._array, depth)
    t._requires_grad, t._node = primal._requires_grad, primal._node
    t.__dict__["tangent"] = tangent
    return t


def is_dual(t: Any, level: int) -> bool:
    return type(t) is Dual and t.level == level


def strip(v: Any, level: int) -> Any:
    """The primal of duals of this level, also inside lists; everything else unchanged."""
    if is_dual(v, level):
        return v.primal
    if isinstance(v, (list, tuple)) and any(is_dual(t, level) for t in v):
        return [strip(t, level) for t in v]
    return v


def propagate(level: int, op: Op, values: list, out: Any, inplace: bool) -> Any:
    """Run ``op`` on the primals and give the result its tangent."""
    primals = [strip(v, level) for v in values]
    alive = level in levels.open
    duals = [t for i in op.tensor_index for t in _flat(values[i]) if is_dual(t, level) and t.tangent is not None]
    if out is not None:
        raise RuntimeError(f"{op.name}(): out=... is not supported for tensors with forward gradients")
    if inplace:
        target = values[op.tensor_index[0]]
        if alive and duals and not is_dual(target, level) and target._type.dtype.rank >= 2:
            _become_dual(target, levels.open[level])
            return propagate(level, op, values, out, True)
        tangent = tangents(op, values, primals, level) if alive and duals else None
        result = interpret_inplace(op, tuple(primals[:op.positional]),
                                   dict(zip(op.names[op.positional:], primals[op.positional:], strict=True)))
        if is_dual(target, level):
            if tangent is not None and target.tangent is not None:
                target.tangent.copy_(tangent[0])                        # views of the dual see the new tangent
            elif tangent is not None:
                target.tangent = tangent[0]
            target._requires_grad, target._node = result._requires_grad, result._node
            return target
        return result
    result = interpret(op, tuple(primals[:op.positional]),
                       dict(zip(op.names[op.positional:], primals[op.positional:], strict=True)))
    if not alive or not duals or (not op.differentiable and not isinstance(op.family, Views)):
        return result
    if all(r._type.dtype.rank < 2 for r in _flat(result)):
        return result
    found = tangents(op, values, primals, level)
    if isinstance(result, Tensor):
        return result if found[0] is None else _recorded(op, values, make(result, found[0], level))
    pairs = [r if t is None or r._type.dtype.rank < 2 else make(r, t, level)
             for r, t in zip(result, found, strict=True)]
    return _recorded(op, values, type(result)(pairs))


def _recorded(op: Op, values: list, made: Any) -> Any:
    """Results whose primals are on the tape get nodes that keep duals: gradients then have tangents themselves."""
    first = made if isinstance(made, Tensor) else next((t for t in made if type(t) is Dual), None)
    if first is not None and first._node is not None and first.value._type.plain and grad_mode.enabled:
        from flowtorch.ops.dispatch import record

        nodes = [t._node for t in _flat(made)]
        if op.differentiable and record(op, values, made) is None:
            for t, node in zip(_flat(made), nodes, strict=True):
                t._node = node
    return made


def _become_dual(target: Tensor, level: Level) -> None:
    """A tensor without tangent into which one with a tangent is written gets a tangent of zeros, as do its views."""
    view = target._view
    become(target, Dual, level)
    for t in (target,) if view is None else (view[0], target):
        if "tangent" not in t.__dict__:
            t.__dict__["tangent"] = _zeros_like(t.value)                 # type: ignore[attr-defined]
    if view is not None:
        moved = view[0].tangent
        for function, args in view_of(target).steps:                    # type: ignore[union-attr]
            moved = function(moved, *args)
        target.__dict__["tangent"] = moved


def _flat(v: Any) -> Any:
    return v if isinstance(v, (list, tuple)) else (v,)


def tangents(op: Op, values: list, primals: list, level: int) -> list:
    """The tangent of every output (None where there is none)."""
    if isinstance(op.family, Views) and op.name != "as_strided":        # whose offset counts from the storage's start
        moved = op.public(values[0].tangent, *primals[1:])
        return list(moved) if isinstance(moved, tuple) else [moved]
    if op.jvp_rule is not None:
        given = [_tangent(v, level) for v in (values[i] for i in op.tensor_index)]
        result = op.jvp_rule(given, *primals)
        return list(result) if isinstance(result, tuple) else [result]
    dual_names = [n for n, i in zip(op.tensors, op.tensor_index, strict=True)
                  if any(is_dual(t, level) and t.tangent is not None for t in _flat(values[i]))]
    if op.linear and all(n in op.linear for n in dual_names):
        return [_linear(op, values, primals, level)]
    real = all(not t.dtype.is_complex for i in op.tensor_index for t in _flat(values[i]) if isinstance(t, Tensor))
    if isinstance(op.family, Pointwise) and real and op.joint is None:
        return [_diagonal(op, values, primals, level)]
    return _transposed(op, values, primals, level)


def _tangent(v: Any, level: int) -> Any:
    if isinstance(v, (list, tuple)):
        return [_tangent(t, level) for t in v]
    return v.tangent if is_dual(v, level) else None


def _linear(op: Op, values: list, primals: list, level: int) -> Any:
    """A linear op applied to the tangents, zero where an input has none."""
    args = list(primals)
    for n, i in zip(op.tensors, op.tensor_index, strict=True):
        if n not in op.linear:
            continue
        v = values[i]
        if isinstance(v, (list, tuple)):
            args[i] = [_or_zero(t, level) for t in v]
        elif isinstance(v, Tensor):
            args[i] = _or_zero(v, level)
        elif v is not None:
            args[i] = 0
    return op.public(*args[:op.positional], **dict(zip(op.names[op.positional:], args[op.positional:], strict=True)))


def _or_zero(t: Tensor, level: int) -> Tensor:
    if is_dual(t, level) and t.tangent is not None:                     # type: ignore[attr-defined]
        return t.tangent                                                # type: ignore[attr-defined]
    return _zeros_like(strip(t, level))


def _zeros_like(t: Tensor) -> Tensor:
    from flowtorch.ops.factory import zeros_like

    return zeros_like(t)


def _diagonal(op: Op, values: list, primals: list, level: int) -> Any:
    """Real pointwise ops: the derivative formulas applied to the tangents, summed over the inputs."""
    from flowtorch.ops.dispatch import flat_inputs

    named = dict(zip(op.names, primals, strict=True))
    result = None
    out = None
    for v, i in zip(op.vjps, op.tensor_index, strict=True):
        x = values[i]
        if v is None or not is_dual(x, level) or x.tangent is None:
            continue
        f, wants = v
        arguments = []
        for what, which in wants:
            if what == "out":
                out = _result(op, primals) if out is None else out
                arguments.append(out)
            elif what == "input":
                arguments.append(primals[op.tensor_index[which]])
            elif what == "param":
                arguments.append(named[which])
            elif what == "shape":
                arguments.append(tuple(flat_inputs(op, primals)[which].shape))
            elif what == "dtype":
                arguments.append(flat_inputs(op, primals)[which].dtype)
            else:
                arguments.append((True,) * len(op.tensors))
        t = f(x.tangent, *arguments)
        result = t if result is None else result + t
    shape = _shape(primals, op)
    if result is not None and tuple(result.shape) != shape:
        result = result.expand(shape)
    return result


def _result(op: Op, primals: list) -> Any:
    return op.public(
        *primals[: op.positional], **dict(zip(op.names[op.positional :], primals[op.positional :], strict=True))
    )


def _shape(primals: list, op: Op) -> tuple:
    import numpy as np

    return np.broadcast_shapes(*[tuple(primals[i].shape) for i in op.tensor_index if isinstance(primals[i], Tensor)])


def _transposed(op: Op, values: list, primals: list, level: int) -> list:
    """Any op: J v as the vector-Jacobian product of u -> J^T u."""
    from flowtorch.autograd.engine import grad
    from flowtorch.ops.copy import alias

    if not all(
        t._type.plain
        for i in op.tensor_index
        for p in (_flat(primals[i]), _tangents_in(values[i], level))
        for t in p
        if isinstance(t, Tensor)
    ):
        return _transposed_by_levels(op, values, primals, level)
    every = [t for i in op.tensor_index for p in (_flat(primals[i]), _tangents_in(values[i], level)) for t in p]
    outer = grad_mode.enabled and any(isinstance(t, Tensor) and t.requires_grad for t in every)
    with enable_grad():
        args = list(primals)
        inputs, given = [], []
        for i in op.tensor_index:
            v = values[i]
            if isinstance(v, (list, tuple)):
                args[i] = list(args[i])
                for k, t in enumerate(v):
                    if is_dual(t, level) and t.tangent is not None:
                        args[i][k] = _watched(t.primal, alias)
                        inputs.append(args[i][k])
                        given.append(t.tangent)
            elif is_dual(v, level) and v.tangent is not None:
                args[i] = _watched(v.primal, alias)
                inputs.append(args[i])
                given.append(v.tangent)
        result = interpret(op, tuple(args[:op.positional]),
                           dict(zip(op.names[op.positional:], args[op.positional:], strict=True)))
        results = list(result) if isinstance(result, (tuple, list)) else [result]
        differentiable = [r for r in results if r.requires_grad]
        if not differentiable:
            return [None] * len(results)
        from flowtorch.ops.factory import zeros_like

        probes = [zeros_like(r.detach()).requires_grad_() for r in differentiable]
        pulled = grad(differentiable, inputs, probes, create_graph=True, allow_unused=True)
        used = [(p, g) for p, g in zip(pulled, given, strict=True) if p is not None and p.requires_grad]
        if not used:
            return [zeros_like(r.detach()) if r.requires_grad else None for r in results]
        pushed = grad([p for p, _ in used], probes, [g.to(p.dtype) for p, g in used], create_graph=outer,
                      allow_unused=True)
    found = iter([zeros_like(r.detach()) if p is None else p for p, r in zip(pushed, differentiable, strict=True)])
    return [next(found) if r.requires_grad else None for r in results]


def _tangents_in(v: Any, level: int) -> list:
    return [t.tangent for t in _flat(v) if is_dual(t, level)]


def _transposed_by_levels(op: Op, values: list, primals: list, level: int) -> list:
    """``_transposed`` for tensors of other transforms, which the tape does not see: two nested levels of vjp."""
    from flowtorch.func.gradients import vjp

    places = [
        (i, k)
        for i in op.tensor_index
        for k, t in enumerate(_flat(values[i]))
        if is_dual(t, level) and t.tangent is not None
    ]
    duals = [_flat(values[i])[k] for i, k in places]
    outcome: list = []

    def run(*inputs: Any) -> tuple:
        args = [list(p) if isinstance(p, (list, tuple)) and i in op.tensor_index else p for i, p in enumerate(primals)]
        for (i, k), t in zip(places, inputs, strict=True):
            if isinstance(args[i], list):
                args[i][k] = t
            else:
                args[i] = t
        n = op.positional
        result = interpret(op, tuple(args[:n]), dict(zip(op.names[n:], args[n:], strict=True)))
        outcome[:] = [isinstance(r, Tensor) and r.requires_grad for r in _flat(result)]
        return tuple([r for r, has in zip(_flat(result), outcome, strict=True) if has]) or (inputs[0].sum(),)

    outputs, pull = vjp(run, *[t.primal for t in duals])
    if not any(outcome):
        return [None] * len(outcome)
    _, push = vjp(lambda *probes: pull(probes), *[_zeros_like(o) for o in outputs])
    pushed = iter(push(tuple([t.tangent.to(t.dtype) for t in duals])))
    return [next(pushed) if has else None for has in outcome]


def _watched(t: Tensor, alias: Any) -> Tensor:
    """``t`` as something to differentiate in: connected to its history if it has one, else a new leaf."""
    return alias(t) if t.requires_grad else t.detach().requires_grad_()  # type: ignore[attr-defined]


# ---------------------------------------------------------------- the public API

class UnpackedDualTensor(NamedTuple):
    """What ``unpack_dual`` returns."""

    primal: Any
    tangent: Any


def enter_dual_level() -> int:
    """Open a level of forward differentiation; only one may be open."""
    if _levels.alive:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    level = Level()
    levels.open[level.number] = level
    _levels.alive.append(level)
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Close the level: its duals act as their primals from now on."""
    if not _levels.alive:
        raise RuntimeError("Trying to exit a forward AD level but no level is currently active")
    _levels.alive.pop().close()


class dual_level:
    """Context in which ``make_dual`` may be used; tangents vanish at its end."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exc: object) -> None:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """``tensor`` with ``tangent``, which must have its shape and dtype."""
    if not _levels.alive:
        raise RuntimeError("Trying to create a dual Tensor for forward AD but no level exists, make sure to "
                           "enter_dual_level() "
                           "first.")
    check_tangent(tensor, tangent)
    if tangent.dtype is not tensor.dtype:
        raise RuntimeError(f"Trying to set a forward gradient of dtype {tangent.dtype} for a tensor of dtype "
                           f"{tensor.dtype}; "
                           "they have to be the same")
    level = _levels.alive[-1]
    if is_dual(tensor, level.number):
        tensor = tensor.primal                                          # type: ignore[attr-defined]
    from flowtorch.ops.copy import alias

    return make(alias(tensor), tangent, level.number, level.depth)


def check_tangent(primal: Tensor, tangent: Tensor) -> None:
    """Refuse what PyTorch refuses to make a dual tensor of."""
    if not (primal.is_floating_point() or primal.is_complex()):
        raise ValueError(f"Expected primal to be floating point or complex, but got: {primal.dtype}")
    if not (tangent.is_floating_point() or tangent.is_complex()):
        raise ValueError(f"Expected tangent to be floating point or complex, but got: {tangent.dtype}")
    if tangent.shape != primal.shape:
        raise RuntimeError("Trying to set a forward gradient that has a different size than that of the original "
                           "Tensor, this is "
                           f"not supported. Tensor is of size {list(primal.shape)} while the given forward gradient "
                           "is of size "
                           f"{list(tangent.shape)}.")


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """(primal, tangent); the tangent is None for a tensor that has none at the open level."""
    if not _levels.alive:
        return UnpackedDualTensor(tensor.primal if type(tensor) is Dual else tensor, None)
    if is_dual(tensor, _levels.alive[-1].number):
        return UnpackedDualTensor(tensor.primal, tensor.tangent)        # type: ignore[attr-defined]
    return UnpackedDualTensor(tensor, None)


