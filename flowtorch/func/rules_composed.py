"""Batching rules of ops that other ops can stand for: the op is composed of them on the batches themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch.func.batched import Call, is_batched, rule
from flowtorch.func.rules_indexing import dynamic, positions
from flowtorch.func.rules_linalg import leading
from flowtorch.func.rules_nn import fold, unfold
from flowtorch.ops.op import REGISTRY
from flowtorch.tensor import Tensor

rule("_solve", "_pinv", "_cdist")(leading)
rule("_interleave_index", "bincount")(dynamic)


def public(name: str) -> Callable:
    return REGISTRY[name].public


def composed(*names: str) -> Callable:
    """Decorator: the op is ``f(*arguments)``, a function of public ops, on the caller's tensors of this level."""

    def define(f: Callable) -> Callable:
        def run(call: Call) -> Any:
            result = f(*call.logical)
            if isinstance(result, Tensor):
                return lowered(call, result)
            return tuple(lowered(call, r) for r in result)

        rule(*names)(run)
        return f

    return define


def lowered(call: Call, result: Any) -> Any:
    """A result of this level as the batch that it is; one that does not depend on a batch is the same for all."""
    if is_batched(result, call.level):
        return result.value
    return result.expand(call.size, *result.shape)


@rule("_lstsq")
def lstsq(call: Call) -> Any:
    """Results that a driver does not give are empty for every example."""
    results = leading(call)
    return tuple(r.new_empty((call.size, 0)) if r.dim() == 1 and not r.numel() else r for r in results)


@rule("_in_columns")
def same(call: Call) -> Any:
    return call.run()


# ---------------------------------------------------------------- writing


@rule("as_strided_scatter")
def as_strided_scatter(call: Call) -> Any:
    _input, _src, size, stride, offset = call.values
    input, src = call.full(0).contiguous(), call.full(1)
    return call.run([input, src, (call.size, *size), (input.stride(0), *stride), offset])


@composed("_masked_scatter")
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """The k-th true place gets the k-th value of ``source``."""
    flat = mask.expand(input.shape).reshape(-1)
    place = (flat.cumsum(0) - 1).clamp(0, max(source.numel() - 1, 0))
    chosen = source.reshape(-1).gather(0, place).reshape(input.shape)
    return chosen.where(mask.expand(input.shape), input)


# ---------------------------------------------------------------- searching and counting


@rule("_searchsorted")
def searchsorted(call: Call) -> Any:
    values = list(call.values)
    edges, sorter = call.full(0), None if values[2] is None else call.full(2)
    if not call.flags[0] and sorter is values[2] is None and call.rank(0) == 1:
        return call.run()
    input = call.full(1)
    shape = input.shape
    if call.rank(0) == 1:  # one row of edges for each example
        input = input.reshape(call.size, -1)
    return call.run([edges, input, sorter, *values[3:]]).reshape(shape)


@rule("_isin")
def isin(call: Call) -> Any:
    elements, tested, _unique, invert = call.values
    if not call.flags[1]:
        return call.run()
    shape = call.full(0).shape
    equal = call.full(0).reshape(call.size, -1, 1) == tested.reshape(call.size, 1, -1)
    return (equal.any(-1) != bool(invert)).reshape(shape)


@composed("_histc")
def histc(input: Any, bins: int, low: float, high: float) -> Any:
    flat = input.reshape(-1)
    inside = (flat >= low) & (flat <= high)
    place = ((flat - low) * bins / (high - low)).where(inside, 0.0).long().clamp(0, bins - 1)
    return input.new_zeros(bins).scatter_add(0, place, inside.to(input.dtype))


@composed("_histogramdd_counts")
def histogram(input: Any, weight: Any, edges: list, density: bool = False) -> Any:
    inside: Any = input[:, 0] == input[:, 0]
    flat: Any = inside.long() * 0
    for d, e in enumerate(edges):
        x, count = input[:, d].contiguous(), e.shape[0] - 1
        inside = inside & (x >= e[0]) & (x <= e[-1])
        flat = flat * count + (public("_searchsorted")(e, x, None, True) - 1).clamp(0, count - 1)
    sizes = [e.shape[0] - 1 for e in edges]
    total = 1
    for n in sizes:
        total *= n
    weights = inside.to(input.dtype)
    if weight.numel():
        weights = weights * weight.reshape(-1)
    counts = input.new_zeros(total).scatter_add(0, flat, weights).reshape(sizes)
    if density:
        counts = counts / counts.sum()
        for d, e in enumerate(edges):
            counts = counts / (e[1:] - e[:-1]).reshape([-1 if k == d else 1 for k in range(len(sizes))])
    return counts


# ---------------------------------------------------------------- layers and losses


def recurrent(name: str, kind: Callable, results: int) -> None:
    """A layer over batches: more rows where the weights are shared, its steps where each example has its own."""

    def run(call: Call) -> Any:
        from flowtorch.functional_recurrent import steps

        options = dict(zip(call.op.names, call.logical, strict=True))
        tensors = [options.pop(n) for n in call.op.tensors]
        label = kind(options)
        options.pop("relu", None)
        outputs = [lowered(call, r) for r in steps(label, *tensors, **options)]
        # The rest of the op's results only serve its own derivative, which goes by the steps here as well.
        return tuple(outputs + [outputs[0]] * (results - len(outputs)))

    rule(name)(run)


recurrent("lstm_layer", lambda options: "lstm", 6)
recurrent("gru_layer", lambda options: "gru", 4)
recurrent("rnn_layer", lambda options: "rnn_relu" if options["relu"] else "rnn_tanh", 2)


@rule("_ctc_loss", "_ctc_loss_backward")
def ctc_loss(call: Call) -> Any:
    """The examples of all samples, one after the other; targets and lengths are no tensors."""
    names, size = call.op.names, call.size
    values = list(call.values)
    at = names.index("log_probs")
    values[at] = fold(call.full(at), 1)
    if at:
        values[0] = fold(call.full(0), 0)
    for i in range(at + 1, at + 4):
        values[i] = np.concatenate([values[i]] * size)
    return unfold(call.run(values), at, size)


@rule("segment_sum", "segment_rows")
def segments(call: Call) -> Any:
    """The examples side by side as more columns."""
    values = list(call.values)
    rows = values[0].movedim(0, 1)
    values[0] = rows.flatten(1)
    return call.run(values).unflatten(1, (call.size, -1)).movedim(1, 0)


@rule("_segment_reduce")
def segment_reduce(call: Call) -> Any:
    """One after the other in the first dimension, where each example's stretches lie further on."""
    _input, _starts, _ends, *rest = call.values
    rows = call.logical[0].shape[0]
    first = positions(call, 1) * rows
    starts, ends = ((call.full(i) + first).reshape(-1) for i in (1, 2))
    return call.run([call.full(0).flatten(0, 1), starts, ends, *rest]).unflatten(0, (call.size, -1))


@composed("_rms_norm")
def rms_norm(input: Any, weight: Any = None, count: int = 1, eps: float = 1e-6) -> Any:
    rows = input.reshape(-1, count)
    out = rows * (rows.square().mean(1, True) + eps).rsqrt()
    return (out if weight is None else out * weight.reshape(-1)).reshape(input.shape)


@composed("_rms_norm_adjoint")
def rms_norm_adjoint(
    grad: Any, input: Any, weight: Any = None, count: int = 1, eps: float = 1e-6, affine: bool = True
) -> tuple:
    rows, x = grad.reshape(-1, count), input.reshape(-1, count)
    scale = (x.square().mean(1, True) + eps).rsqrt()
    normal = x * scale
    inner = rows if weight is None else rows * weight.reshape(-1)
    dx = scale * (inner - normal * (inner * normal).mean(1, True))
    return dx.reshape(input.shape), (rows * normal).sum(0) if affine else grad.new_zeros(0)


@composed("_masked_scale")
def masked_scale(input: Any, condition: Any, scale: float) -> Any:
    return input * condition * scale


@rule("_dropout")
def dropout(call: Call) -> Any:
    """Each example draws its own."""
    return call.run([call.full(0), *call.values[1:]])


@composed("_group_norm")
def group_norm(input: Any, weight: Any = None, bias: Any = None, groups: int = 1, eps: float = 1e-5) -> Any:
    return public("group_norm")(input, groups, weight, bias, eps)


@composed("_group_norm_adjoint")
def group_norm_adjoint(
    grad: Any, input: Any, weight: Any = None, groups: int = 1, eps: float = 1e-5, affine: bool = True
) -> tuple:
    from flowtorch.func.gradients import vjp

    one = input.new_ones(input.shape[1])
    given = (input, one if weight is None else weight, one * 0)
    dx, dw, db = vjp(lambda x, w, b: group_norm(x, w, b, groups, eps), *given)[1](grad)
    return dx, *((dw, db) if affine else (grad.new_zeros(0),) * 2)


@composed("linear_cross_entropy")
def linear_cross_entropy(
    input: Any,
    weight: Any,
    target: Any,
    bias: Any = None,
    class_weight: Any = None,
    ignore_index: int = -100,
    rows: int = 1,
) -> Any:
    logits = public("linear")(input, weight, bias)
    return public("_cross_entropy")(logits, target, class_weight, "none", ignore_index)
