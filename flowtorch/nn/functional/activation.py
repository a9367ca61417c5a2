"""Activation functions under their public signatures, with the option to overwrite the input."""

from __future__ import annotations

import warnings

import flowtorch as torch

from ... import functional_nn
from ...ops import activation as ops
from ...ops.op import composite
from ...ops.single import in_single

__all__ = [
    "celu",
    "celu_",
    "elu",
    "elu_",
    "gelu",
    "glu",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rrelu",
    "rrelu_",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
]

_leaky_relu_ = ops.leaky_relu.op.public_inplace
_elu_ = ops.elu.op.public_inplace
_hardtanh_ = ops.hardtanh.op.public_inplace
_silu_ = ops.silu.op.public_inplace
_mish_ = ops.mish.op.public_inplace
_hardsigmoid_ = ops.hardsigmoid.op.public_inplace
_hardswish_ = ops.hardswish.op.public_inplace

celu_ = functional_nn.celu_
prelu = functional_nn.prelu
rrelu_ = functional_nn.rrelu_
selu_ = functional_nn.selu_
hardshrink = ops.hardshrink
logsigmoid = ops.logsigmoid
threshold_ = ops.threshold.op.public_inplace


def relu_(input):
    """``relu`` that overwrites its input."""
    return input.relu_()


def relu(input, inplace: bool = False):
    """Replace negative elements by zero; nan stays nan. ``inplace=True`` overwrites ``input``.

    >>> torch.nn.functional.relu(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return input.relu_() if inplace else torch.relu(input)


@composite(namespace="nn.functional")
def threshold(input, threshold: float, value: float, inplace: bool = False):
    """Keep elements above ``threshold``, replace the others by ``value``."""
    return (threshold_ if inplace else ops.threshold)(input, threshold, value)


@composite(namespace="nn.functional")
def leaky_relu(input, negative_slope: float = 0.01, inplace: bool = False):
    """``input`` where positive, else ``negative_slope * input``."""
    return (_leaky_relu_ if inplace else ops.leaky_relu)(input, negative_slope)


def leaky_relu_(input, negative_slope: float = 0.01):
    """``leaky_relu`` that overwrites its input."""
    return _leaky_relu_(input, negative_slope)


@composite(namespace="nn.functional")
def elu(input, alpha: float = 1.0, inplace: bool = False):
    """``input`` where positive, else ``alpha * (exp(input) - 1)``."""
    return elu_(input, alpha) if inplace else ops.elu(input, alpha)


def elu_(input, alpha: float = 1.0):
    """``elu`` that overwrites its input."""
    return _elu_(input, alpha)


def selu(input, inplace: bool = False):
    """``elu`` with the scales that keep zero mean and unit variance."""
    return functional_nn.selu_(input) if inplace else functional_nn.selu(input)


def celu(input, alpha: float = 1.0, inplace: bool = False):
    """``input`` where positive, else ``alpha * (exp(input / alpha) - 1)``."""
    return functional_nn.celu_(input, alpha) if inplace else functional_nn.celu(input, alpha)


@composite(namespace="nn.functional")
def hardtanh(input, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False):
    """Clamp to ``[min_val, max_val]``."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    _check_clamp(input, min_val, max_val)
    return (_hardtanh_ if inplace else ops.hardtanh)(input, min_val, max_val)


def _check_clamp(input, min_val, max_val) -> None:
    if input.dtype == torch.bool:
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if input.dtype == torch.uint8 and (min_val < 0 or max_val < 0):
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")


def hardtanh_(input, min_val: float = -1.0, max_val: float = 1.0):
    """``hardtanh`` that overwrites its input."""
    return hardtanh(input, min_val, max_val, True)


@composite(namespace="nn.functional")
def relu6(input, inplace: bool = False):
    """Clamp to ``[0, 6]``."""
    return hardtanh(input, 0, 6, inplace)


@composite(namespace="nn.functional", out=True)
def softplus(input, beta: float = 1, threshold: float = 20):
    """``log(1 + exp(beta * input)) / beta``, a smooth relu; ``input`` itself where ``beta * input`` exceeds
    ``threshold``.

    >>> torch.nn.functional.softplus(torch.tensor([0.0, 30.0]))
    tensor([ 0.6931, 30.0000])
    """
    return ops.softplus(input, beta, threshold)


@composite(namespace="nn.functional", out=True)
def gelu(input, *, approximate: str = "none"):
    """``input`` times the normal distribution function of ``input``, or its tanh approximation."""
    if approximate == "none":
        return ops.gelu(input)
    if approximate == "tanh":
        return ops.gelu_tanh(input)
    raise RuntimeError("approximate argument must be either none or tanh.")


@composite(namespace="nn.functional")
def silu(input, inplace: bool = False):
    """``input * sigmoid(input)``."""
    return _silu_(input) if inplace else ops.silu(input)


@composite(namespace="nn.functional")
def mish(input, inplace: bool = False):
    """``input * tanh(softplus(input))``."""
    return _mish_(input) if inplace else ops.mish(input)


@composite(namespace="nn.functional")
def hardsigmoid(input, inplace: bool = False):
    """``clamp(input + 3, 0, 6) / 6``."""
    return _hardsigmoid_(input) if inplace else ops.hardsigmoid(input)


@composite(namespace="nn.functional")
def hardswish(input, inplace: bool = False):
    """``input * clamp(input + 3, 0, 6) / 6``."""
    return _hardswish_(input) if inplace else ops.hardswish(input)


@composite(namespace="nn.functional", out=True)
def softshrink(input, lambd: float = 0.5):
    """Move every element ``lambd`` towards zero, stopping there."""
    if lambd < 0:
        limit = torch.finfo(input.dtype).max
        raise RuntimeError(
            f"lambda must be in range [0, {limit:g}] for input dtype {input.dtype.label}, but found {lambd:g}"
        )
    return ops.softshrink(input, lambd)


def rrelu(
    input, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
):
    """Leaky ReLU with a slope per element from ``[lower, upper]`` in training, their mean in evaluation."""
    function = functional_nn.rrelu_ if inplace else functional_nn.rrelu
    return function(input, lower, upper, training)


@composite(namespace="nn.functional")
def glu(input, dim: int = -1):
    """Split ``dim`` in halves; multiply the first by the sigmoid of the second."""
    if input.dim() == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    if input.size(dim) % 2 != 0:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {dim % input.dim()} is size {input.size(dim)}"
        )
    return _gated(*input.chunk(2, dim))


@in_single
def _gated(a, b):
    return a * torch.sigmoid(b)


@composite(namespace="nn.functional")
def softsign(input):
    """``input / (1 + |input|)``."""
    return input / (input.abs() + 1)


@composite(namespace="nn.functional")
def tanhshrink(input):
    """``input - tanh(input)``, near zero without losing the digits that cancel."""
    if input.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return input - input.tanh()
    wide = input.double()
    near = wide * wide
    return torch.where(near < 1e-6, wide * near * (1 / 3 - near * (2 / 15)) + 0.0, wide - wide.tanh()).to(input.dtype)


@composite(namespace="nn.functional")
def tanh(input):
    """The hyperbolic tangent."""
    return input.tanh()


@composite(namespace="nn.functional")
def sigmoid(input):
    """``1 / (1 + exp(-input))``."""
    return input.sigmoid()


def _implicit_dim(name: str, ndim: int, stacklevel: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. "
        "Change the call to include dim=X as an argument.",
        stacklevel=stacklevel,
    )
    return 0 if ndim in (0, 1, 3) else 1


@composite(namespace="nn.functional")
def softmax(input, dim: int | None = None, _stacklevel: int = 3, dtype=None):
    """``exp(input)`` divided by its sum along ``dim``: every slice is positive and sums to one.

    ``dtype`` is the type to compute and return. A ``dim`` that is left out is guessed, with a warning.

    >>> torch.nn.functional.softmax(torch.tensor([0.0, 1.0]), dim=0)
    tensor([0.2689, 0.7311])
    """
    if dim is None:
        dim = _implicit_dim("softmax", input.dim(), _stacklevel)
    return input.softmax(dim) if dtype is None else input.softmax(dim, dtype=dtype)


@composite(namespace="nn.functional")
def softmin(input, dim: int | None = None, _stacklevel: int = 3, dtype=None):
    """``softmax`` of the negated input."""
    if dim is None:
        dim = _implicit_dim("softmin", input.dim(), _stacklevel)
    return torch.softmax(-input, dim) if dtype is None else torch.softmax(-input, dim, dtype=dtype)


@composite(namespace="nn.functional")
def log_softmax(input, dim: int | None = None, _stacklevel: int = 3, dtype=None):
    """The logarithm of ``softmax`` along ``dim``, computed without overflow and without the logarithm of zero.

    >>> torch.nn.functional.log_softmax(torch.tensor([0.0, 1000.0]), dim=0)
    tensor([-1000.,     0.])
    """
    if dim is None:
        dim = _implicit_dim("log_softmax", input.dim(), _stacklevel)
    return input.log_softmax(dim) if dtype is None else input.log_softmax(dim, dtype=dtype)


@composite(namespace="nn.functional")
def gumbel_softmax(logits, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1):
    """Draw from the relaxed categorical distribution; ``hard`` gives one-hot values with the soft gradient."""
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    noise = -torch.empty_like(logits, memory_format=torch.contiguous_format).exponential_().log()
    soft = torch.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.argmax(dim, keepdim=True)
    hot = torch.zeros_like(logits, memory_format=torch.contiguous_format)
    return hot.scatter_(dim, index, 1.0) - soft.detach() + soft
