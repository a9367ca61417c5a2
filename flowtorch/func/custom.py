"""``autograd.Function`` under transforms: recorded at a tracking level, mapped by vmap, pushed forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flowtorch.autograd.function import Function, _finish
from flowtorch.autograd.levels import Level, levels, new_level
from flowtorch.autograd.mode import grad_mode, no_grad
from flowtorch.autograd.node import edge
from flowtorch.func.batched import batch, is_batched
from flowtorch.func.randomness import outside, randomness_at, randomness_of
from flowtorch.func.tracked import below_mode, is_tracked, strip, track
from flowtorch.tensor import Tensor
from flowtorch.utils._pytree import tree_map

_new = object.__new__
_MORE = "For more details, please see https://pytorch.org/docs/main/notes/extending.func.html"


class VmapInfo(NamedTuple):
    """What a Function's ``vmap`` is told about the map."""

    batch_size: int
    randomness: str


def check_setup_context(cls: Any) -> None:
    if cls.setup_context is Function.setup_context:
        raise RuntimeError(
            "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), "
            "it must "
            f"override the setup_context staticmethod. {_MORE}"
        )


# ---------------------------------------------------------------- grad and vjp


def track_function(number: int, cls: Any, args: tuple, kwargs: dict) -> Any:
    """Apply the Function one level down and record the call on the wrappers."""
    check_setup_context(cls)
    level = levels.open.get(number)
    inner = [strip(a, number) for a in args]
    with below_mode(level):
        output = cls.apply(*inner, **kwargs)
    if level is None:
        return output
    own = {id(v): a for v, a in zip(inner, args, strict=True) if isinstance(v, Tensor)}
    wrapped = tree_map(lambda o: own.get(id(o)) or track(o, level) if isinstance(o, Tensor) else o, output)
    node = _new(cls._node_class)
    tensors = [
        (i, a if is_tracked(a, number) else track(a, level))
        for i, a in enumerate(args)
        if isinstance(a, Tensor)
    ]
    lifted = dict(tensors)
    needs = {i: grad_mode.enabled and a.requires_grad for i, a in tensors}
    node.needs_input_grad = tuple(needs.get(i, False) for i in range(len(args)))
    recording = any(needs.values())
    edges = tuple([edge(a) if recording else None for _, a in tensors])
    with no_grad():
        cls.setup_context(node, tuple(lifted.get(i, a) for i, a in enumerate(args)), wrapped)
    return _finish(cls, node, args, tensors, edges, recording, wrapped)


# ---------------------------------------------------------------- forward mode


def push_function(number: int, cls: Any, args: tuple, kwargs: dict) -> Any:
    """Apply the Function one level down; its ``jvp`` gives the tangents."""
    from flowtorch.autograd.forward_ad import is_dual, make
    from flowtorch.autograd.forward_ad import strip as primal_of
    from flowtorch.ops.factory import zeros_like

    primals = [primal_of(a, number) for a in args]
    output = cls.apply(*primals, **kwargs)
    level = levels.open.get(number)
    if level is None:
        return output
    ctx = _new(cls._node_class)
    ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in primals)
    with no_grad():
        if cls.setup_context is Function.setup_context:
            cls.forward(ctx, *primals, **kwargs)
        else:
            cls.setup_context(ctx, tuple(primals), output)
    if hasattr(ctx, "saved_for_forward"):
        ctx.to_save = ctx.saved_for_forward
    tangents = [
        a.tangent
        if is_dual(a, number)
        else zeros_like(a)
        if isinstance(a, Tensor) and ctx.materialize_grads
        else None
        for a in args
    ]
    slopes = cls.jvp(ctx, *tangents)
    single = isinstance(output, Tensor)
    outputs, slopes = ((output,), (slopes,)) if single else (tuple(output), tuple(slopes))
    made = tuple(
        [
            o if t is None or not isinstance(o, Tensor) else make(o, t, number, level.depth)
            for o, t in zip(outputs, slopes, strict=True)
        ]
    )
    return made[0] if single else made


# ---------------------------------------------------------------- vmap


def batch_function(number: int, cls: Any, args: tuple, kwargs: dict) -> Any:
    """Apply a Function to batches: by its own ``vmap``, or by mapping its static methods."""
    check_setup_context(cls)
    own = cls.vmap is not Function.vmap
    if own and cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and an "
            f"overridden vmap "
            "staticmethod. Please set generate_vmap_rule=False or delete the overridden vmap staticmethod to "
            "avoid "
            f"ambiguity. {_MORE}"
        )
    if not own and not cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it does not have vmap support. Please override and "
            f"implement the vmap staticmethod or set generate_vmap_rule=True. {_MORE}"
        )
    found: list = []

    def unwrap(x: Any) -> Any:
        if is_batched(x, number):
            found.append(x)
            return x.value
        return x

    dims = tree_map(lambda x: 0 if is_batched(x, number) else None, args)
    inner = tree_map(unwrap, args)
    size, depth = found[0].value.shape[0], found[0].depth
    mode = randomness_at(number)
    with outside(number):
        if own:
            output, out_dims = cls.vmap(VmapInfo(size, mode), dims, *inner, **kwargs)
            return _wrap_mapped(output, out_dims, number, depth)
        output = _mapped(cls, [d == 0 for d in dims], size, mode).apply(*inner, **kwargs)
    return tree_map(lambda o: batch(o, number, depth) if isinstance(o, Tensor) else o, output)


def _wrap_mapped(output: Any, out_dims: Any, number: int, depth: int) -> Any:
    def one(o: Any, dim: Any) -> Any:
        if dim is None or not isinstance(o, Tensor):
            return o
        return batch(o.movedim(dim, 0) if dim else o, number, depth)  # type: ignore[attr-defined]

    if isinstance(output, (tuple, list)):
        dims = out_dims if isinstance(out_dims, (tuple, list)) else (out_dims,) * len(output)
        return type(output)([one(o, d) for o, d in zip(output, dims, strict=True)])
    return one(output, out_dims[0] if isinstance(out_dims, (tuple, list)) else out_dims)


class _Context:
    """A ``ctx`` inside the map: saves batches as what they wrap, and gives them back as batches."""

    def __init__(self, ctx: Any, level: Level) -> None:
        self.__dict__.update(_ctx=ctx, _level=level)

    def save_for_backward(self, *tensors: Any) -> None:
        self._ctx.batched = tuple(is_batched(t, self._level.number) for t in tensors)
        self._ctx.save_for_backward(*[_lower(t, self._level) for t in tensors])

    def save_for_forward(self, *tensors: Any) -> None:
        self._ctx.batched = tuple(is_batched(t, self._level.number) for t in tensors)
        self._ctx.save_for_forward(*[_lower(t, self._level) for t in tensors])

    @property
    def saved_tensors(self) -> tuple:
        return tuple(
            batch(t, self._level) if f else t
            for t, f in zip(self._ctx.saved_tensors, self._ctx.batched, strict=True)
        )

    def mark_non_differentiable(self, *tensors: Any) -> None:
        self._ctx.mark_non_differentiable(*[_lower(t, self._level) for t in tensors])

    def mark_dirty(self, *tensors: Any) -> None:
        self._ctx.mark_dirty(*[_lower(t, self._level) for t in tensors])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._ctx, name, value)


def _lower(t: Any, level: Level) -> Any:
    return t.value if is_batched(t, level.number) else t


def _mapped(cls: Any, flags: list, size: int, mode: str) -> Any:
    """A Function on whole batches made of ``cls``'s methods on their examples."""

    def inside(f: Callable) -> Any:
        with new_level() as level, randomness_of(level, mode, size):
            return f(level)

    def full(t: Any, level: Level) -> Any:
        if not isinstance(t, Tensor):
            return t
        return t.value if is_batched(t, level.number) else t.expand(size, *t.shape)  # type: ignore[attr-defined]

    def wrapped(args: Any, level: Level) -> list:
        return [
            batch(a, level) if f and isinstance(a, Tensor) else a for a, f in zip(args, flags, strict=True)
        ]

    def forward(*args: Any) -> Any:
        def run(level: Level) -> Any:
            return tree_map(lambda o: full(o, level), cls.forward(*wrapped(args, level)))

        return inside(run)

    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        def run(level: Level) -> None:
            outputs = tree_map(lambda o: batch(o, level) if isinstance(o, Tensor) else o, output)
            cls.setup_context(_Context(ctx, level), tuple(wrapped(inputs, level)), outputs)

        inside(run)

    def backward(ctx: Any, *grads: Any) -> Any:
        def run(level: Level) -> Any:
            given = [batch(g, level) if isinstance(g, Tensor) else g for g in grads]
            result = cls.backward(_Context(ctx, level), *given)
            result = result if isinstance(result, tuple) else (result,)
            # An input that is no batch serves all examples: their gradients add up.
            return tuple(
                [
                    full(g, level) if f or g is None else full(g, level).sum(0)
                    for g, f in zip(result, flags, strict=True)
                ]
            )

        return inside(run)

    def jvp(ctx: Any, *tangents: Any) -> Any:
        def run(level: Level) -> Any:
            return tree_map(
                lambda o: full(o, level), cls.jvp(_Context(ctx, level), *wrapped(tangents, level))
            )

        return inside(run)

    methods = {f.__name__: staticmethod(f) for f in (forward, setup_context, backward, jvp)}
    return type(f"Vmapped{cls.__name__}", (Function,), {**methods, "generate_vmap_rule": True})
