"""Running one piece of source on torch and on flowtorch, and comparing what comes out."""
from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import torch

import flowtorch

# What flowtorch's messages end with besides PyTorch's words: the op and what it was called with.
OPERANDS = re.compile(r" \(\w+: \w+ .*\)$")


def run(source: str, module: Any, setup: str = "") -> Any:
    """The value of expression ``source`` (names from ``setup``), or the exception it raises."""
    names: dict[str, Any] = {"torch": module, "np": np, "F": module.nn.functional}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(setup, names)
        try:
            return eval(source, names)
        except Exception as error:
            return error


def outline(value: Any, *, message: bool = True) -> Any:
    """What must be the same on both sides: values, dtype, shape and strides; for errors the type and first line."""
    if isinstance(value, Exception):
        text = OPERANDS.sub("", str(value).split("\n")[0].split(" (Triggered")[0])
        return (type(value).__name__, text) if message else type(value).__name__
    if isinstance(value, (tuple, list)):
        return [outline(v) for v in value]
    if hasattr(value, "grad_fn"):
        plain = value.detach().resolve_conj()
        if str(plain.dtype).endswith("bfloat16"):
            plain = plain.float()
        array = np.round(plain.numpy().astype("c16" if plain.is_complex() else "f8"), 5)
        strides = tuple(value.stride()) if value.numel() else None
        return str(value.dtype).split(".")[1], tuple(value.shape), strides, array.tolist()
    return value


def same(source: str, setup: str = "", *, message: bool = True) -> None:
    """Assert that both libraries give the same for ``source``."""
    expected = outline(run(source, torch, setup), message=message)
    got = outline(run(source, flowtorch, setup), message=message)
    assert repr(got) == repr(expected)


def close(source: str, setup: str = "") -> None:
    """Assert the same structure, dtypes and shapes, and values that agree but for rounding; strides may differ."""
    compare_closely(run(source, torch, setup), run(source, flowtorch, setup))


def compare_closely(expected: Any, got: Any) -> None:
    if isinstance(expected, Exception):
        raise expected
    if isinstance(expected, (tuple, list)):
        assert len(got) == len(expected)
        for e, g in zip(expected, got, strict=True):
            compare_closely(e, g)
    elif hasattr(expected, "grad_fn"):
        assert str(got.dtype).split(".")[1] == str(expected.dtype).split(".")[1]
        single = expected.dtype not in (torch.float64, torch.complex128)
        low = str(expected.dtype).endswith(("float16", "bfloat16"))
        e, g = (t.detach().resolve_conj() for t in (expected, got))
        e, g = ((t.float() if low else t).numpy() for t in (e, g))
        np.testing.assert_allclose(
            g, e, rtol=1e-2 if low else 2e-5 if single else 1e-7, atol=1e-2 if low else 1e-5 if single else 1e-8
        )
        assert g.shape == e.shape
    else:
        assert got == expected


def gradients(source: str, module: Any, inputs: list[np.ndarray], second: bool) -> list:
    """Gradients of a weighted sum of ``source`` in ``a``, ``b``, ...; with ``second`` also those of their own sum."""
    tensors = [module.from_numpy(x.copy()).requires_grad_() for x in inputs]
    names: dict[str, Any] = {"torch": module, "F": module.nn.functional, "np": np}
    names.update(zip("abc", tensors, strict=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = eval(source, names)
        outs = [o for o in (out if isinstance(out, (tuple, list)) else (out,)) if o.requires_grad]
        total = sum(weighted(o, module) for o in outs)
        grads = module.autograd.grad(total, tensors, create_graph=second, allow_unused=True)
        results = [None if g is None else g.detach().resolve_conj().numpy().copy() for g in grads]
        if second:
            again = sum(weighted(g, module) for g in grads if g is not None and g.requires_grad)
            if not isinstance(again, int):
                more = module.autograd.grad(again, tensors, allow_unused=True)
                results += [None if g is None else g.detach().resolve_conj().numpy().copy() for g in more]
    return results


def weighted(t: Any, module: Any) -> Any:
    """A real number that depends on every element, on real and imaginary parts alike."""
    total = (t * weights(t.shape, module)).sum()
    return total.real + 0.5 * total.imag if total.is_complex() else total


def weights(shape: Any, module: Any) -> Any:
    n = int(np.prod(tuple(shape), dtype=int))
    return module.from_numpy(np.cos(np.arange(1.0, n + 1)).reshape(tuple(shape)))


def same_gradients(source: str, inputs: list[np.ndarray], second: bool = False) -> None:
    """Assert that both libraries give the same gradients of ``source``; None and zeros count as the same."""
    expected, got = (gradients(source, m, inputs, second) for m in (torch, flowtorch))
    for e, g in zip(expected, got, strict=False):
        zero = np.zeros(())
        np.testing.assert_allclose(zero if g is None else g, zero if e is None else e, rtol=1e-9, atol=1e-10)
