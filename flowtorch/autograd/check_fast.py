"""Parts of gradcheck beside the full matrices: random directions (fast mode), gradients of several weights at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import flowtorch as torch
from flowtorch.autograd.engine import grad
from flowtorch.tensor import Tensor

_ADVICE = (
    "\n\ngradcheck or gradgradcheck failed while testing batched {what} computation: {how} does not agree with one "
    "computation after the other. Functions that look at values (.item(), .numpy(), control flow) cannot be batched; "
    "check them with {flag}=False."
)


def drawn(t: Any, seed: int) -> Any:
    """Random numbers shaped like ``t``, of length about 1."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(tuple(t.shape))
    if t.dtype.is_complex:
        values = values + 1j * rng.standard_normal(tuple(t.shape))
    values = values / max(float(np.linalg.norm(values)), 1e-12)
    return torch.from_numpy(np.asarray(values)).to(t.dtype)  # type: ignore[attr-defined]


def _array(t: Any) -> np.ndarray:
    return t.detach().contiguous().numpy()


def _dot(a: Any, b: Any) -> float:
    """The real inner product."""
    return float(np.sum(np.conj(_array(a)) * _array(b)).real)


class Directions:
    """One random direction for each input and output, and the derivative along them."""

    def __init__(self, outputs_of: Callable, inputs: tuple, eps: float) -> None:
        self.outputs_of, self.inputs, self.eps = outputs_of, inputs, eps

    def numerical(self, i: int, k: int, u: Any, v: Any) -> float:
        """By differences: the change of output ``k`` along ``v`` as input ``i`` moves along ``u``."""
        x = self.inputs[i]
        base = x.detach().clone()

        def value(step: float) -> np.ndarray:
            with torch.no_grad():
                x.data.copy_(base + step * u)
            return _array(self.outputs_of(*self.inputs)[k]).copy()

        try:
            change = (value(self.eps) - value(-self.eps)) / (2 * self.eps)
        finally:
            with torch.no_grad():
                x.data.copy_(base)
        return float(np.sum(np.conj(_array(v)) * change).real)

    def backward(self, i: int, k: int, u: Any, v: Any) -> float:
        output = self.outputs_of(*self.inputs)[k]
        if not output.requires_grad:
            return 0.0
        (got,) = grad(output, self.inputs[i], v, allow_unused=True)
        return 0.0 if got is None else _dot(got, u)

    def forward(self, i: int, k: int, u: Any, v: Any) -> float:
        from flowtorch.autograd import forward_ad

        with forward_ad.dual_level():
            args = list(self.inputs)
            args[i] = forward_ad.make_dual(args[i].detach(), u)
            tangent = forward_ad.unpack_dual(self.outputs_of(*args)[k]).tangent
        return 0.0 if tangent is None else _dot(v, tangent)

    def check(self, i: int, k: int, how: str, atol: float, rtol: float) -> tuple[float, float] | None:
        """(numerical, analytical) where they differ by more than the entries of the matrix may."""
        output = self.outputs_of(*self.inputs)[k]
        u, v = drawn(self.inputs[i], 7 * i + k), drawn(output, 11 * k + i)
        expected = self.numerical(i, k, u, v)
        got = self.backward(i, k, u, v) if how == "backward" else self.forward(i, k, u, v)
        spread = float(np.abs(_array(u)).sum() * np.abs(_array(v)).sum())
        return None if np.isclose(got, expected, rtol, atol * max(spread, 1.0)) else (expected, got)


def batched_gradients(outputs_of: Callable, inputs: tuple, watched: list[int]) -> str | None:
    """What is wrong with gradients for several weights at once, or None."""
    tensors = [inputs[i] for i in watched]
    for k, output in enumerate(outputs_of(*inputs)):
        if not output.requires_grad:
            continue
        weights = [drawn(output, 100 + b) for b in range(2)]
        expected = [grad(output, tensors, w, retain_graph=True, allow_unused=True) for w in weights]
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="There is a performance drop")
                got = torch.vmap(  # type: ignore[attr-defined]
                    lambda w, output=output: tuple(
                        torch.zeros_like(t) if g is None else g
                        for t, g in zip(
                            tensors, grad(output, tensors, w, retain_graph=True, allow_unused=True), strict=True
                        )
                    )
                )(torch.stack(weights))  # type: ignore[attr-defined]
        except RuntimeError as error:
            return f"While computing batched gradients, got: {error}" + _ADVICE.format(
                what="gradient", how="vmap over backward", flag="check_batched_grad"
            )
        for j, g in enumerate(got):
            want = np.stack([np.zeros(tuple(tensors[j].shape)) if e[j] is None else _array(e[j]) for e in expected])
            if not np.allclose(_array(g), want, 1e-5, 1e-8):
                return f"For output {k} and input {watched[j]}:\nexpected:\n{want}\ngot:\n{_array(g)}" + _ADVICE.format(
                    what="gradient", how="vmap over backward", flag="check_batched_grad"
                )
    return None


def batched_forward(outputs_of: Callable, inputs: tuple, watched: list[int]) -> str | None:
    """What is wrong with directional derivatives along several tangents at once, or None."""
    from flowtorch.func import jvp

    for i in watched:
        x = inputs[i].detach()

        def push(u: Any, i: int = i, x: Tensor = x) -> tuple:
            def f(x: Any) -> tuple:
                return tuple(outputs_of(*inputs[:i], x, *inputs[i + 1 :]))

            return jvp(f, (x,), (u,))[1]

        tangents = [drawn(x, 200 + b) for b in range(2)]
        expected = [push(u) for u in tangents]
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="There is a performance drop")
                got = torch.vmap(push)(torch.stack(tangents))  # type: ignore[attr-defined]
        except RuntimeError as error:
            return f"While computing batched gradients, got: {error}" + _ADVICE.format(
                what="forward gradient", how="vmap over jvp", flag="check_batched_forward_grad"
            )
        for k, t in enumerate(got):
            want = np.stack([_array(e[k]) for e in expected])
            if not np.allclose(_array(t), want, 1e-5, 1e-8):
                return f"For input {i} and output {k}:\nexpected:\n{want}\ngot:\n{_array(t)}" + _ADVICE.format(
                    what="forward gradient", how="vmap over jvp", flag="check_batched_forward_grad"
                )
    return None
