"""Activation functions and losses of single elements: pointwise ops with derivatives of their own.

Each derivative is the one that PyTorch takes at corners, at infinities and for NaN. ``nn.functional`` gives them
their public signatures.
"""

from __future__ import annotations

import math

import numpy as np

from flowtorch.array.blocks import fill
from flowtorch.array.select import select
from flowtorch.array.tensortype import tensor_type
from flowtorch.array.vectors import one_plus_exp
from flowtorch.dtypes import float32
from flowtorch.native import calls
from flowtorch.ops import erf_blocks
from flowtorch.ops.arguments import need_number
from flowtorch.ops.erf import FEW, gelu_slope
from flowtorch.ops.erf import gelu as gelu_of
from flowtorch.ops.families import pointwise
from flowtorch.ops.order import in_order
from flowtorch.ops.second_order import by_hand, linked
from flowtorch.ops.single import in_single
from flowtorch.overrides import active
from flowtorch.tensor import wrap

NOT_REAL = ("integer", "bool", "complex")
_SINGLE = tensor_type(float32)


def _inner(body=None, **options):
    """A pointwise op that is neither a method nor a name of ``torch``."""
    return pointwise(body, namespace="_nn", method=False, **options)


@pointwise(
    expr="where(input <= threshold, value, input)",
    rejects=("bool", "complex"),
    tensors=("input",),
    method=False,
    vjp=(lambda g, input, threshold: linked(g.masked_fill(input <= threshold, 0), input),),
)
def threshold(input, threshold, value):
    """Keep elements above ``threshold``, replace the others by ``value``."""
    need_number("threshold", "threshold", 2, threshold)
    need_number("threshold", "value", 3, value)
    return select(input <= threshold, np.asarray(value, input.dtype), input)


@_inner(
    expr="where(input > 0, input, input * negative_slope)",
    rejects=NOT_REAL,
    vjp=(lambda g, input, negative_slope: linked(g.where(input > 0, g * negative_slope), input),),
)
def leaky_relu(input, negative_slope=0.01):
    """``input`` where positive, else ``negative_slope * input``."""
    scaled = input * negative_slope
    return np.maximum(input, scaled) if 0 <= negative_slope <= 1 else select(input > 0, input, scaled)


@_inner(
    expr="where(input > 0, input, weight * input)",
    rejects=NOT_REAL,
    node="PreluKernelBackward0",
    vjp=(
        lambda g, input, weight: g.where(input > 0, g * weight),
        lambda g, input: (g * input).masked_fill(input > 0, 0),
    ),
)
def _prelu_kernel(input, weight):
    """``input`` where positive, else ``weight * input``."""
    return select(input > 0, input, weight * input)


@in_single
def _elu_gradient(g, input, alpha, scale, input_scale):
    # The clamp keeps the exponential finite where it is not chosen: its own derivative would be 0 * inf there.
    decay = (input.clamp_max(0) * input_scale).exp()
    return (g * scale).where(input > 0, g * (alpha * scale * input_scale) * decay)


@_inner(
    expr="where(input > 0, scale * input, alpha * scale * expm1(input * input_scale))",
    rejects=NOT_REAL,
    vjp=(_elu_gradient,),
)
def elu(input, alpha=1.0, scale=1.0, input_scale=1.0):
    """``scale * input`` where positive, else ``alpha * scale * (exp(input_scale * input) - 1)``."""
    below = np.minimum(np.zeros((), input.dtype), input)        # in this order: a zero keeps its sign
    if input_scale != 1:
        below = below * input_scale
    below = np.expm1(below, np.empty_like(below), dtype=np.float64, casting="same_kind")
    below *= alpha * scale
    return select(input > 0, input if scale == 1 else input * scale, below)


@_inner(
    expr="minimum(maximum(input, min_val), max_val)",
    rejects=("bool", "complex"),
    vjp=(
        lambda g, input, min_val, max_val: linked(
            g.masked_fill((input <= min_val) | (input >= max_val), 0), input),
    ),
)
def hardtanh(input, min_val=-1.0, max_val=1.0):
    """Clamp to ``[min_val, max_val]``; the derivative at both ends is zero."""
    return np.clip(input, np.asarray(min_val).astype(input.dtype), np.asarray(max_val).astype(input.dtype))


@_inner(
    expr="where(input * beta > threshold, input, log1p(exp(input * beta)) / beta)",
    rejects=NOT_REAL,
    vjp=(in_single(
        lambda g, input, beta, threshold: g.where(input * beta > threshold, g * (input * beta).sigmoid())),),
)
def softplus(input, beta=1.0, threshold=20.0):
    """``log(1 + exp(beta * input)) / beta``, linear where ``beta * input`` exceeds ``threshold``."""
    scaled = input * beta
    smooth = np.log1p(np.exp(np.minimum(scaled, threshold)))
    return select(scaled > threshold, input, smooth / beta)


_DENSITY = 1 / math.sqrt(2 * math.pi)


def _adjoint(body=None, **options):
    """The gradient of an activation as one op: ``grad`` times the derivative."""
    return _inner(body, inplace=False, out=False, numbers=(), **options)


@_adjoint(
    expr="grad * (0.5 * erfc(input * -0.7071067811865476)"
    " + input * (0.3989422804014327 * exp(-0.5 * (input * input))))",
    node="GeluBackwardBackward0",
    rejects=NOT_REAL,
    vjp=(
        lambda g, input: _gelu_backward(g, input),
        lambda g, grad, input: g * grad * (-0.5 * (input * input)).exp() * _DENSITY * (2 - input * input),
    ),
)
def _gelu_backward(grad, input):
    """``grad`` times the derivative of ``gelu``."""
    return gelu_slope(input) * grad


def _gelu_gradient(g, input, out):
    """``_gelu_backward``, from the result where nothing else comes of it: that takes half the time."""
    if (input._type is _SINGLE and g._type is _SINGLE and out._type is _SINGLE and by_hand(g, input, out)
            and not active and input._array.size >= FEW and g._array.shape == input._array.shape):
        x = input._array
        return wrap(in_order(erf_blocks.gelu_slope(x, out._array, g._array), x, g._array), g._type)
    return _gelu_backward(g, input)


# The C kernel has no use for the result.
@_inner(expr="0.5 * input * erfc(input * -0.7071067811865476)", rejects=NOT_REAL,
        vjp=((lambda g, input: _gelu_backward(g, input)) if calls.module is not None else _gelu_gradient,))
def gelu(input):
    """``input`` times the normal distribution function of ``input``."""
    return gelu_of(input)


TANH_SCALE = math.sqrt(2 / math.pi)
TANH_CUBE = 0.044715


@in_single
def _gelu_tanh_gradient(g, input):
    square = input * input
    t = (TANH_SCALE * input * (1 + TANH_CUBE * square)).tanh()
    slope = TANH_SCALE * (1 + 3 * TANH_CUBE * square)
    return g * (0.5 * (1 + t) + 0.5 * input * (1 - t * t) * slope)


@_inner(
    expr="0.5 * input * (1 + tanh(0.7978845608028654 * input * (1 + 0.044715 * (input * input))))",
    rejects=NOT_REAL,
    node="GeluBackward0",
    vjp=(_gelu_tanh_gradient,),
)
def gelu_tanh(input):
    """The tanh approximation of ``gelu``."""
    return fill(_gelu_tanh_block, input)


def _gelu_tanh_block(part: np.ndarray, out: np.ndarray) -> None:
    np.multiply(part, part, out)
    out *= TANH_CUBE
    out += 1
    out *= part
    out *= TANH_SCALE
    np.tanh(out, out)
    out += 1
    out *= part
    out *= 0.5


@_adjoint(
    expr="grad * (1 / (1 + exp(-input)) * (1 + input * (1 - 1 / (1 + exp(-input)))))",
    node="SiluBackwardBackward0",
    rejects=("integer", "bool"),
    vjp=(
        lambda g, input: _silu_backward(g, input),
        lambda g, grad, input: g * grad * _silu_curvature(input, input.sigmoid()),
    ),
)
def _silu_backward(grad, input):
    """``grad`` times the derivative of ``silu``."""
    return fill(_silu_slope, input, grad, rooms=(input.dtype,))


def _silu_slope(part: np.ndarray, grad: np.ndarray, out: np.ndarray, s: np.ndarray) -> None:
    np.negative(part, s)
    np.exp(s, s)                                      # expm1 errs too much where what is left of one counts
    s += 1
    np.reciprocal(s, s)
    np.subtract(1, s, out)
    out *= part
    out += 1
    out *= s
    out *= grad


def _silu_curvature(input, s):
    return s * (1 - s) * (2 + input * (1 - 2 * s))


def _silu_gradient(g, input):
    if not input.is_complex():
        return _silu_backward(g, input)
    s = input.sigmoid()
    return g * (s * (1 + input * (1 - s))).conj()


@_inner(expr="input / (1 + exp(-input))", rejects=("integer", "bool"), vjp=(_silu_gradient,))
def silu(input):
    """``input * sigmoid(input)``."""
    return fill(_silu_block, input, rooms=(input.dtype,))


def _silu_block(part: np.ndarray, out: np.ndarray, room: np.ndarray) -> None:
    np.negative(part, room)
    one_plus_exp(room, room)
    np.divide(part, room, out)


@in_single
def _mish_gradient(g, input):
    t = input.exp().log1p().tanh()
    # Above 20 the derivative is 1 in every dtype, and the exponential of it would overflow in its own derivative.
    return g.where(input > 20, g * (t + input * input.sigmoid() * (1 - t * t)))


@_inner(expr="input * (exp(minimum(input, 20)) * (exp(minimum(input, 20)) + 2)"
             " / (exp(minimum(input, 20)) * (exp(minimum(input, 20)) + 2) + 2))",
        rejects=NOT_REAL, vjp=(_mish_gradient,))
def mish(input):
    """``input * tanh(softplus(input))``."""
    power = np.exp(np.minimum(input, 20))             # beyond, the factor is one
    power *= power + 2
    return power / (power + 2) * input                # tanh(log1p(w)) with fewer roundings


@_inner(
    expr="minimum(maximum(input + 3, 0), 6) / 6",
    rejects=NOT_REAL,
    vjp=(lambda g, input: (g / 6).masked_fill(((input > -3) & (input < 3)).logical_not(), 0),),
)
def hardsigmoid(input):
    """``clamp(input + 3, 0, 6) / 6``."""
    return np.clip(input + 3, 0, 6) / 6


@_inner(
    expr="input * (minimum(maximum(input + 3, 0), 6) / 6)",
    rejects=NOT_REAL,
    vjp=(in_single(lambda g, input: (g * (input / 3 + 0.5)).where(input < 3, g).masked_fill(input <= -3, 0)),),
)
def hardswish(input):
    """``input * clamp(input + 3, 0, 6) / 6``."""
    return np.clip(input + 3, 0, 6) / 6 * input       # in this order nothing overflows


@_inner(
    expr="minimum(input, 0) - log1p(exp(-abs(input)))",
    rejects=NOT_REAL,
    name="log_sigmoid",
    vjp=(in_single(lambda g, input: g * (-input).sigmoid()),),
)
def logsigmoid(input):
    """``log(sigmoid(input))``."""
    return np.minimum(input, 0) - np.log1p(np.exp(-np.abs(input)))


@pointwise(
    expr="where(abs(input) <= lambd, 0, input)",
    rejects=NOT_REAL,
    vjp=(lambda g, input, lambd: linked(g.masked_fill(input.abs() <= lambd, 0), input),),
)
def hardshrink(input, lambd=0.5):
    """Zero the elements within ``[-lambd, lambd]``."""
    return select(np.abs(input) <= lambd, np.zeros((), input.dtype), input)


@_inner(
    expr="where(input > lambd, input - lambd, where(input < -lambd, input + lambd, input * 0))",
    rejects=NOT_REAL,
    vjp=(lambda g, input, lambd: linked(g.masked_fill(input.abs() <= lambd, 0), input),),
)
def softshrink(input, lambd=0.5):
    """Move every element ``lambd`` towards zero, stopping there."""
    return input - np.clip(input, -lambd, lambd) if lambd != math.inf else input * 0


# ---------------------------------------------------------------- losses of single elements


@_inner(
    expr="where(abs(input) < delta, 0.5 * input * input, delta * (abs(input) - 0.5 * delta))",
    rejects=NOT_REAL,
    vjp=(lambda g, input, delta: g * input.clamp(-delta, delta),),
)
def huber(input, delta=1.0):
    """Half the square of an error; linear with the same slope where it exceeds ``delta``."""
    size = np.abs(input)
    return select(size < delta, size * size * 0.5, delta * (size - 0.5 * delta))


LEAST_LOG = -100.0
LEAST_PRODUCT = float(np.float32(1e-12))  # single precision in PyTorch, whatever the dtype


@_inner(
    expr="(target - 1) * maximum(log1p(-input), -100) - target * maximum(log(input), -100)",
    rejects=NOT_REAL,
    node="BinaryCrossEntropyBackward0",
    vjp=(
        lambda g, input, target: g * (input - target) / ((1 - input) * input).clamp_min(LEAST_PRODUCT),
        lambda g, input: g * ((-input).log1p() - input.log()),
    ),
)
def binary_entropy(input, target):
    """The cross entropy of a probability and a target in [0, 1]; logarithms are held above -100."""
    if input.size and not (input.min() >= 0 and input.max() <= 1):
        raise RuntimeError("all elements of input should be between 0 and 1")
    if target.size and not (target.min() >= 0 and target.max() <= 1):
        raise RuntimeError("all elements of target should be between 0 and 1")
    return (target - 1) * np.maximum(np.log1p(-input), LEAST_LOG) - target * np.maximum(np.log(input), LEAST_LOG)
