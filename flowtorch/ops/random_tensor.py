"""Draws whose parameters are tensors. Gradients do not flow through them: the derivatives are zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import devices, dtypes
from flowtorch.errors import broadcast_error
from flowtorch.ops import factory
from flowtorch.ops.families import op
from flowtorch.ops.op import composite
from flowtorch.ops.random import as_float, as_int, draw_new, draw_out, generator_for, no_match
from flowtorch.random import Generator
from flowtorch.streams import categorical, samplers
from flowtorch.streams import normal as normals
from flowtorch.streams import uniform as uniforms
from flowtorch.tensor import Tensor


def source(name: str, generator: Any) -> Generator:
    """The generator that a kernel on the CPU draws from."""
    gen = generator_for(name, generator, devices.cpu)
    assert gen is not None
    return gen


@op(tensors=("input",), vjp=factory.zeros_like, low="keep", method=False, out=False, node="BernoulliBackward0")
def _bernoulli(input, p, generator):
    result = np.empty(input.shape, input.dtype)
    return uniforms.bernoulli_(source("bernoulli", generator), result, input if p is None else p)


@composite(method=True)
def bernoulli(input, p=None, *, generator=None, out=None):
    """Ones with the probabilities in ``input``, or with probability ``p`` in its shape and dtype; zeros elsewhere."""
    if not isinstance(input, Tensor):
        kind = type(input).__name__
        raise TypeError(f"bernoulli(): argument 'input' (position 1) must be Tensor, not {kind}")
    p = None if p is None else as_float("bernoulli", "p", 2, p)
    if out is not None and p is not None:
        raise TypeError("bernoulli() received an invalid combination of arguments - got (Tensor, float, out=Tensor)")
    if out is None:
        return _bernoulli(input, p, generator)

    def draw(array: np.ndarray, gen: Generator) -> None:
        uniforms.bernoulli_(gen, array, input._array)

    return draw_out("bernoulli", out, tuple(input.shape), draw, generator, None)


@op(tensors=("input",), vjp=factory.zeros_like, low="keep", method=False, out=False)
def poisson(input, generator=None):
    """Counts from Poisson distributions whose rates are in ``input``."""
    return samplers.poisson(source("poisson", generator), input)


@op(tensors=("input",), low="keep", method=False, out=False)
def _multinomial(input, num_samples, replacement, generator):
    return categorical.multinomial(source("multinomial", generator), input, num_samples, replacement)


@composite(method=True)
def multinomial(input, num_samples, replacement=False, *, generator=None, out=None):
    """Draw ``num_samples`` indices with the weights along the last dimension of ``input``: (n) or (m, n), any sum.

    RuntimeError for negative, infinite or all-zero weights, and without ``replacement`` for more draws than
    categories.

    >>> torch.multinomial(torch.tensor([0.0, 3.0, 0.0]), 2, replacement=True)
    tensor([1, 1])
    """
    num_samples = as_int("multinomial", "num_samples", 2, num_samples)
    if not isinstance(replacement, bool):
        kind = type(replacement).__name__
        raise TypeError(f"multinomial(): argument 'replacement' (position 3) must be bool, not {kind}")
    if out is None:
        return _multinomial(input, num_samples, replacement, generator)
    if not isinstance(out, Tensor) or out.dtype is not dtypes.int64:
        label = out.dtype.label if isinstance(out, Tensor) else type(out).__name__
        raise RuntimeError(f"multinomial expects Long tensor out, got: {label}")
    result = _multinomial(input, num_samples, replacement, generator)
    if out.shape != result.shape:
        out.resize_(result.shape)
    return out.copy_(result)


def _check_spread(std: np.ndarray) -> None:
    if std.dtype.kind == "c":
        raise RuntimeError("normal expects standard deviation to be non-complex")
    if std.size and not std.min() >= 0:
        raise RuntimeError("normal expects all elements of std >= 0.0")


def shifted(mean: Tensor, std: Any) -> Any:
    """A function that draws into an array of any dtype: standard normal numbers, then scaled and moved."""
    def draw(array: np.ndarray, gen: Generator) -> None:
        if isinstance(std, Tensor):
            normals.normal_(gen, array)
            np.multiply(array, std._array, out=array, casting="unsafe")
        else:
            normals.normal_(gen, array, 0.0, std)
        np.add(array, mean._array, out=array, casting="unsafe")
    return draw


@op(tensors=("mean", "std"), vjp=(factory.zeros_like,) * 2, low="keep", method=False, out=False, node="NormalBackward3")
def _normal(mean, std=None, *, scale=1.0, generator=None):
    gen = source("normal", generator)
    if std is None:
        result = normals.normal_(gen, np.empty(mean.shape, mean.dtype), 0.0, scale)
    else:
        _check_spread(std)
        shape = np.broadcast_shapes(mean.shape, std.shape)
        result = normals.normal_(gen, np.empty(shape, mean.dtype))
        result = (result * std).astype(mean.dtype)
    result += mean
    return result


@composite
def normal(
    mean=0.0,
    std=1.0,
    size=None,
    *,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
):
    """Normal numbers of the given means and standard deviations (tensors or numbers; two numbers need a ``size``)."""
    if size is not None and not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        mean, std = as_float("normal", "mean", 1, mean), as_float("normal", "std", 2, std)
        shape = factory._shape((size,) if isinstance(size, (tuple, list)) else tuple(size), "normal")
        dtype = factory._check_options("normal", dtype, layout)

        def draw(array: np.ndarray, gen: Generator) -> None:
            normals.normal_(gen, array, mean, std)

        return draw_new("normal", shape, draw, generator, out, dtype, device, requires_grad)
    if size is not None or not (isinstance(mean, Tensor) or isinstance(std, Tensor)):
        given = {} if size is None else {"size": size}
        forms = (
            "(Tensor mean, Tensor std) (Tensor mean, float std) (float mean, Tensor std) (float mean, float std, size)"
        )
        raise no_match("normal", (mean, std), given, forms)
    if isinstance(std, Tensor):
        if not isinstance(mean, Tensor):
            mean = factory.full((), as_float("normal", "mean", 1, mean), dtype=std.dtype, device=std.device)
        if out is not None:
            _check_spread(std._array)
            shape = np.broadcast_shapes(mean.shape, std.shape)
            return draw_out("normal", out, shape, shifted(mean, std), generator, None)
        result = _normal(mean, std, generator=generator)
    else:
        std = as_float("normal", "std", 2, std)
        if out is not None:                                  # which is not resized
            if fault := broadcast_error([tuple(out.shape), tuple(mean.shape)]):
                raise RuntimeError(fault)
            return draw_out("normal", out, tuple(out.shape), shifted(mean, std), generator, None)
        result = _normal(mean, scale=std, generator=generator)
    return result


def _no_derivative(g: Tensor) -> Tensor:
    raise RuntimeError("derivative for aten::binomial is not implemented")


@op(tensors=("count", "prob"), vjp=(_no_derivative,) * 2, low="keep", method=False, out=False)
def _binomial(count, prob, generator):
    return samplers.binomial(source("binomial", generator), count, prob)


@composite
def binomial(count, prob, generator=None):
    """Numbers of successes in ``count`` trials that succeed with probability ``prob`` (two tensors of one dtype)."""
    for i, (name, t) in enumerate((("count", count), ("prob", prob)), 1):
        if not isinstance(t, Tensor):
            kind = type(t).__name__
            raise TypeError(f"binomial(): argument '{name}' (position {i}) must be Tensor, not {kind}")
        if not t.dtype.is_floating_point:
            raise ValueError(f"binomial only supports floating-point dtypes for {name}, got: {t.dtype.label}")
    if prob.dtype is not count.dtype:
        raise RuntimeError(f"Found dtype {prob.dtype.label} but expected {count.dtype.label}")
    return _binomial(count, prob, generator)
