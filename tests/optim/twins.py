"""The same parameters, gradients and optimisers in flowtorch and in torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import flowtorch as ft

SHAPES = [(), (1,), (7,), (4, 5), (3, 1, 2), (0,), (2, 3, 2, 2)]


def arrays(shapes: Sequence[tuple[int, ...]], dtype: str, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "c":
        return [np.asarray(rng.standard_normal(s) + 1j * rng.standard_normal(s), kind) for s in shapes]
    return [np.asarray(rng.standard_normal(s), kind) for s in shapes]


class Twins:
    """One optimiser on each side over equal parameters; ``step`` gives both equal gradients."""

    def __init__(self, name: str, shapes: Sequence[tuple[int, ...]] = tuple(SHAPES), dtype: str = "float64",
                 groups: Any = None, layout: Any = None, **options: Any) -> None:
        self.shapes, self.dtype, self.count = shapes, dtype, 0
        self.layout = layout or (lambda x: x)
        values = arrays(shapes, dtype, 0)
        self.ours = [ft.nn.Parameter(self.layout(ft.from_numpy(v.copy()))) for v in values]
        self.theirs = [torch.nn.Parameter(self.layout(torch.from_numpy(v.copy()))) for v in values]
        self.opt = self.make(ft, name, self.ours, groups, options)
        self.reference = self.make(torch, name, self.theirs, groups, options)

    @staticmethod
    def make(lib: Any, name: str, params: list[Any], groups: Any, options: dict[str, Any]) -> Any:
        options = {key: value(lib) if callable(value) else value for key, value in options.items()}
        chosen = params if groups is None else [
            {"params": [params[i] for i in rows], **extra} for rows, extra in groups]
        return getattr(lib.optim, name)(chosen, **options)

    def step(self, skip: Sequence[int] = (), scale: float = 1.0) -> None:
        self.count += 1
        for i, g in enumerate(arrays(self.shapes, self.dtype, self.count)):
            g = g * g.dtype.type(scale)
            missing = i in skip
            self.ours[i].grad = None if missing else self.layout(ft.from_numpy(np.array(g)))
            self.theirs[i].grad = None if missing else self.layout(torch.from_numpy(np.array(g)))
        self.opt.step()
        self.reference.step()

    def check(self, **tolerance: float) -> None:
        for i, (a, b) in enumerate(zip(self.ours, self.theirs, strict=True)):
            close(a, b, f"parameter {i}", **tolerance)
        for a, b in zip(self.ours, self.theirs, strict=True):
            mine, theirs = self.opt.state.get(a, {}), self.reference.state.get(b, {})
            assert list(mine) == list(theirs)
            for key in theirs:
                same_state(mine[key], theirs[key], key, **tolerance)


def same_state(mine: Any, theirs: Any, key: str, **tolerance: float) -> None:
    if isinstance(theirs, torch.Tensor):
        assert str(mine.dtype) == str(theirs.dtype), key
        close(mine, theirs, key, **tolerance)
    elif isinstance(theirs, (list, tuple)):
        assert len(mine) == len(theirs), key
        for a, b in zip(mine, theirs, strict=True):
            same_state(a, b, key, **tolerance)
    else:
        assert mine == theirs or np.isclose(mine, theirs, **(tolerance or {"rtol": 1e-12})), key


def close(mine: Any, theirs: Any, what: str = "", rtol: float = 1e-12, atol: float = 1e-14) -> None:
    a, b = mine.detach().numpy(), theirs.detach().numpy()
    assert a.shape == b.shape, what
    assert a.dtype == b.dtype, what
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=what)
