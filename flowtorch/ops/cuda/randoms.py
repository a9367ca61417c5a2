"""Draws on the device: Philox words by element, turned into the distributions that the CPU's streams offer.

Called by ``PhiloxGenerator.draw`` with the generator, after the streams have checked the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowtorch import devices
from flowtorch.array.cuda import element_strides, empty, kernel_module
from flowtorch.array.philox import CapturedSeed
from flowtorch.codegen import triton_kernel
from flowtorch.codegen.triton_map import grid_map, run
from flowtorch.ops.cuda.base import INT64, cast, copy_into, dense, formula, full, kernel, parts
from flowtorch.ops.cuda.scans import cumsum, order, state_type
from flowtorch.ops.op import REGISTRY
from flowtorch.ops.random import generator_for
from flowtorch.streams import categorical, samplers

_WORDS = (
    "r0, r1, r2, r3 = tl.philox(seed, i.to(tl.int64).to(tl.uint32), (i.to(tl.int64) >> 32).to(tl.uint32), "
    "offset_low.to(tl.uint32) + tl.zeros_like(i).to(tl.uint32), "
    "offset_high.to(tl.uint32) + tl.zeros_like(i).to(tl.uint32))"
)
_SINGLE = (
    "u = (r0 >> 8).to(tl.float32) * 5.9604644775390625e-08",
    "w = ((r1 >> 8).to(tl.float32) + 1) * 5.9604644775390625e-08",
)
_DOUBLE = (
    "u = ((r0.to(tl.uint64) << 32 | r1.to(tl.uint64)) >> 11).to(tl.float64) * 1.1102230246251565e-16",
    "w = (((r2.to(tl.uint64) << 32 | r3.to(tl.uint64)) >> 11).to(tl.float64) + 1) * 1.1102230246251565e-16",
)


def _long(value: int) -> Any:
    """A word as an argument of 64 bits, whatever its value: each would be a kernel of its own else.

    Of a seed in a captured graph, the array in which kernels find seed and offset.
    """
    return value.state if isinstance(value, CapturedSeed) else np.int64(_signed(value))


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _draw(
    name: str,
    gen: Any,
    out: Any,
    lines: Sequence[str],
    scalars: Mapping[str, float] | None = None,
    double: bool = False,
    inputs: Mapping[str, Any] | None = None,
    numbers: Mapping[str, int] | None = None,
) -> Any:
    """Fill ``out`` by ``lines``, which see u in [0, 1), w in (0, 1] and the words r0 to r3."""
    start, tables, counters, seed = stream(gen)
    double = double or out.dtype == np.float64
    kind = "float64" if double else "float32"
    text = [*start, _WORDS, *(_DOUBLE if double else _SINGLE), *lines]
    given = seed | {k: (float(v), kind) for k, v in (scalars or {}).items()}
    grid_map(name, out.shape, text, inputs or {}, {"y": out}, tables, counters | dict(numbers or {}), given)
    return out


def stream(gen: Any) -> tuple[list[str], dict[str, Any], dict[str, int], dict[str, tuple[int, str]]]:
    """Lines, tables, numbers and scalars that make ``seed`` and the offset of one call known to a kernel.

    In a captured graph arguments are the same at every replay, so that seed and offset are read from memory.
    """
    seed, offset = gen.advance()
    if not isinstance(seed, CapturedSeed):
        counters = {"offset_low": offset & 0x7FFFFFFF, "offset_high": offset >> 31}
        return [], {}, counters, {"seed": (_signed(seed), "int64")}
    lines = [
        "seed = tl.load(state_ptr)", "offset = tl.load(state_ptr + 1) + call",
        "offset_low = offset & 0x7FFFFFFF", "offset_high = offset >> 31",
    ]  # fmt: skip
    return lines, {"state": seed.state}, {"call": offset}, {}


def uniform_(gen: Any, out: Any, low: float = 0.0, high: float = 1.0) -> Any:
    if out.dtype.kind == "c":
        for part in parts(out):
            uniform_(gen, part, low, high)
        return out
    rounded = f".to(tl.{out.dtype.name})"
    lines = ["y = u * (high - low) + low"]
    # what rounds up to the excluded bound becomes the lower one
    lines.append(f"y = tl.where(y{rounded} == high{rounded}, low, y)")
    return _draw("uniform", gen, out, lines, {"low": low, "high": high})


_NORMAL = "z = tl.sqrt(-2 * libdevice.log(w)) * scalar.cosine_of_half_turns(2 * u)"


def normal_(gen: Any, out: Any, mean: float = 0.0, std: float = 1.0) -> Any:
    if out.dtype.kind == "c":
        for part in parts(out):
            normal_(gen, part, mean, std / math.sqrt(2))
        return out
    return _draw("normal", gen, out, [_NORMAL, "y = z * std + mean"], {"mean": mean, "std": std})


def log_normal_(gen: Any, out: Any, mean: float, std: float) -> Any:
    return _draw("log_normal", gen, out, [_NORMAL, "y = libdevice.exp(z * std + mean)"], {"mean": mean, "std": std})


def exponential_(gen: Any, out: Any, rate: float) -> Any:
    return _draw("exponential", gen, out, ["y = -libdevice.log(w) / rate"], {"rate": rate})


def cauchy_(gen: Any, out: Any, median: float, sigma: float) -> Any:
    turned = "scalar.cosine_of_half_turns(u - {})"
    line = f"y = median + sigma * scalar.divide({turned.format(1)}, {turned.format(0.5)})"
    return _draw("cauchy", gen, out, [line], {"median": median, "sigma": sigma}, double=True)


def geometric_(gen: Any, out: Any, p: float) -> Any:
    line = "y = tl.maximum(tl.ceil(libdevice.log(w) / scale), 1)"
    return _draw("geometric", gen, out, [line], {"scale": math.log1p(-p)}, double=True)


def bernoulli_(gen: Any, out: Any, p: Any) -> Any:
    target = out if out.dtype.kind != "c" else parts(out)[0]
    if target is not out:
        copy_into(out, full((), out.dtype, 0))
    if isinstance(p, float):
        if not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
        _draw("bernoulli", gen, target, ["y = (u < p).to(tl.int32)"], {"p": p})
    else:
        _draw("bernoulli", gen, target, ["y = (u < p).to(tl.int32)"], None, p.dtype == np.float64, {"p": p})
    return out


def integers_(gen: Any, out: Any, low: int, count: int) -> Any:
    """Integers in [low, low + count); a count of 2 ** 64 takes every word."""
    lines = ["r = r0.to(tl.uint64) << 32 | r1.to(tl.uint64)"]
    if count < 2**64:
        lines.append("r = r % count.to(tl.uint64)")
    lines.append("y = (r + low.to(tl.uint64)).to(tl.int64)")
    return _draw("integers", gen, out, lines, numbers={"low": low, "count": _signed(count % 2**64)})


def randperm(gen: Any, out: Any) -> Any:
    words = empty((1, out.size), INT64)
    integers_(gen, words, 0, 2**64)
    copy_into(out, order(words, False)[0])
    return out


# ---------------------------------------------------------------- draws by rejection

# a fresh uniform number in (0, 1] for each round of a loop
_AGAIN = (
    "q0, q1, q2, q3 = tl.philox(seed, i.to(tl.int64).to(tl.uint32), turn.to(tl.uint32) + tl.zeros_like(r0), "
    "offset_low.to(tl.uint32) + tl.zeros_like(r0), (offset_high + 1).to(tl.uint32) + tl.zeros_like(r0))"
)
_FRESH = tuple(f"f{k} = ((q{k} >> 8).to(tl.float32) + 1) * 5.9604644775390625e-08" for k in range(4))
_LOOP = (
    "turn = tl.full((), 0, tl.int32)",
    "go = m",
    "while tl.max(go.to(tl.int32), 0) > 0:",
    f"    {_AGAIN}",
    *(f"    {line}" for line in _FRESH),
)


def poisson(gen: Any, rate: Any) -> Any:
    """Counts: uniform factors until the product falls to exp(-rate), in pieces of rate 16 so that it stays above 0."""
    lines = [
        "left = rate.to(tl.float32)",
        "y = tl.zeros_like(left)",
        "product = tl.full((BLOCK,), 1.0, tl.float32)",
        *_LOOP,
        "    go = go & (rate > 0)",
        "    small = left < 16",
        "    product = product * tl.where(go, f0, 1.0)",
        "    low = (product < 0.01) & (small == 0) & go",
        "    product = tl.where(low, product * 54.598150033144236, product)",
        "    left = tl.where(low, left - 4, left)",
        "    done = (left < 16) & (product <= libdevice.exp(-left))",
        "    y += (go & (done == 0)).to(tl.float32)",
        "    go = go & (done == 0)",
        "    turn += 1",
    ]
    return _draw("poisson", gen, empty(rate.shape, rate.dtype), lines, inputs={"rate": rate})


def gamma(gen: Any, alpha: Any) -> Any:
    """Marsaglia and Tsang's rejection; a shape below one is drawn one higher and scaled by a power."""
    lines = [
        "a = alpha.to(tl.float32)",
        "d = tl.where(a < 1, a + 1, a) - 0.3333333333333333",
        "c = 1 / tl.sqrt(9 * d)",
        "y = tl.zeros_like(a)",
        *_LOOP,
        "    z = tl.sqrt(-2 * libdevice.log(f0)) * scalar.cosine_of_half_turns(2 * f1)",
        "    v = 1 + c * z",
        "    v = v * v * v",
        "    fits = (v > 0) & (libdevice.log(f2) < 0.5 * z * z + d - d * v + d * libdevice.log(tl.maximum(v, 1e-30)))",
        "    y = tl.where(go & fits, d * v, y)",
        "    go = go & (fits == 0)",
        "    turn += 1",
        "y = tl.where(a < 1, y * libdevice.exp(libdevice.log(w) / a), y)",
        "y = tl.maximum(y, 1.1754943508222875e-38)",
    ]
    return _draw("gamma", gen, empty(alpha.shape, alpha.dtype), lines, inputs={"alpha": alpha})


def binomial(gen: Any, count: Any, prob: Any) -> Any:
    """Successes by waiting times between them: geometric gaps until the trials are used up."""
    lines = [
        "p = prob.to(tl.float32)",
        "flipped = p > 0.5",
        "p = tl.where(flipped, 1 - p, p)",
        "trials = count.to(tl.float32)",
        "used = tl.zeros_like(p)",
        "y = tl.zeros_like(p)",
        "scale = libdevice.log1p(-p)",
        *_LOOP,
        "    go = go & (p > 0) & (trials > 0)",
        "    used += tl.where(go, tl.maximum(tl.ceil(libdevice.log(f0) / scale), 1.0), 0.0)",
        "    go = go & (used <= trials)",
        "    y += go.to(tl.float32)",
        "    turn += 1",
        "y = tl.where(flipped, trials - y, y)",
    ]
    shape = np.broadcast_shapes(count.shape, prob.shape)
    return _draw("binomial", gen, empty(shape, count.dtype), lines, inputs={"count": count, "prob": prob})


# ---------------------------------------------------------------- ops whose parameters are tensors

def _generator(name: str, given: Any, array: Any) -> Any:
    return generator_for(name, given, devices.device("cuda", 0))


@kernel("_bernoulli")
def bernoulli(input: Any, p: Any, generator: Any) -> Any:
    return bernoulli_(_generator("bernoulli", generator, input), empty(input.shape, input.dtype),
                      input if p is None else p)


@kernel("poisson")
def poisson_op(input: Any, generator: Any = None) -> Any:
    return poisson(_generator("poisson", generator, input), input)


@kernel("_gamma")
def gamma_op(input: Any, generator: Any) -> Any:
    if input.dtype.name not in ("float64", "float32"):
        raise samplers.not_implemented("gamma_cuda", input.dtype)
    return gamma(_generator("_standard_gamma", generator, input), input)


@kernel("_binomial")
def binomial_op(count: Any, prob: Any, generator: Any) -> Any:
    return binomial(_generator("binomial", generator, count), count, prob)


@kernel("_dirichlet")
def dirichlet(input: Any, generator: Any) -> Any:
    drawn = gamma_op(input, generator)
    name = input.dtype.name
    total = triton_kernel.reduce("sum", drawn, (input.ndim - 1,), name)[..., None] if input.ndim else drawn
    return formula("x / t", (("x", name), ("t", name)), (), name)(drawn, total)


@kernel("_normal")
def normal(mean: Any, std: Any = None, *, scale: float = 1.0, generator: Any = None) -> Any:
    gen = _generator("normal", generator, mean)
    shape = mean.shape if std is None else np.broadcast_shapes(mean.shape, std.shape)
    drawn = normal_(gen, empty(shape, mean.dtype), 0.0, scale)
    name = mean.dtype.name
    if std is None:
        return formula("z + m", (("z", name), ("m", name)), (), name)(drawn, mean)
    types = (("z", name), ("s", std.dtype.name), ("m", name))
    return formula("z * s + m", types, (), name)(drawn, std, mean)


@kernel("_multinomial")
def multinomial(input: Any, num_samples: int, replacement: bool, generator: Any) -> Any:
    """With replacement: where a uniform number falls into the running sum. Without: whose clock is first."""
    categorical._check_multinomial(input, num_samples, replacement)
    gen = _generator("multinomial", generator, input)
    rows = dense(input).reshape(-1, input.shape[-1])
    if replacement:
        result = empty((len(rows), num_samples), INT64)
        lines = [
            "low = i * 0",
            "high = low + (length - 1)",
            "goal = u * tl.load(e_ptr + c0 * length + length - 1, mask=m, other=0)",
            "for step in range(STEPS):",
            "    middle = (low + high) // 2",
            "    edge = tl.load(e_ptr + c0 * length + middle, mask=m, other=0)",
            "    right = (low < high) & (edge <= goal)",
            "    high = tl.where((low < high) & (right == 0), middle, high)",
            "    low = tl.where(right, middle + 1, low)",
            "y = low",
        ]
        edges = cumsum(cast(rows, np.float32), 1)
        start, tables, counters, seed = stream(gen)
        grid_map("multinomial", result.shape, [*start, _WORDS, *_SINGLE, *lines], {}, {"y": result},
                 {"e": edges, **tables}, {"length": rows.shape[1], **counters}, seed,
                 {"STEPS": rows.shape[1].bit_length()})  # fmt: skip
    else:
        scores = empty(rows.shape, np.dtype(np.float32))
        _draw("race", gen, scores, ["y = p.to(tl.float32) / -libdevice.log(w)"], inputs={"p": rows})
        result = cast(dense(order(scores, True)[:, :num_samples]), INT64)
    return result.reshape(*input.shape[:-1], num_samples)


# ---------------------------------------------------------------- dropout

def _dense_memory(array: Any) -> bool:
    """Whether the elements fill a block of memory, in whatever order of dimensions."""
    expected = 1
    for step, size in sorted(zip(element_strides(array), array.shape, strict=True)):
        if size != 1:
            if step != expected:
                return False
            expected *= size
    return True


@kernel("_dropout")
def dropout(input: Any, p: float, seed: int, offset: int) -> tuple:
    import triton

    source = input if _dense_memory(input) else dense(input)
    result, mask = (empty(source.shape, dtype, element_strides(source)) for dtype in (source.dtype, np.dtype(bool)))
    if source.size:
        module = kernel_module("dropout")
        most = 65536 if kernel_module("compile").INTERPRET else 2048
        block = max(4, min(most, triton.next_power_of_2(source.size)))
        counters = (np.int64(offset & 0x7FFFFFFF), np.int64(offset >> 31))
        run(module.dropout, (-(-source.size // block),), source, result, mask, source.size, _long(seed), *counters,
            float(p), float(1 / (1 - p)), STATE=state_type(source.dtype.name), BLOCK=block)  # fmt: skip
    return result, mask


@kernel("_masked_scale")
def masked_scale(input: Any, condition: Any, scale: float) -> Any:
    name = input.dtype.name
    types = (("x", name), ("m", "bool"))
    return formula("where(m, x * s, x * 0)", types, ("s",), name)(input, condition, float(scale))


# The bodies of the in-place draws check their parameters and reach these kernels through the generator.
for _name in ("uniform_", "normal_", "random_", "bernoulli_", "exponential_", "geometric_", "cauchy_", "log_normal_"):
    kernel(_name)(REGISTRY[_name].body)
