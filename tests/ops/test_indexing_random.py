"""Random indices on random tensors: reading, assigning and their gradients against torch."""
from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
from against_torch import flowtorch, torch


class Writer:
    """Writes random tensors and the source of random indices for them."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)

    def shape(self) -> tuple:
        sizes = [0, 1, 2, 3, 4, 5] if self.r.random() < 0.3 else [1, 2, 3, 4]
        return tuple(self.r.choice(sizes) for _ in range(self.r.randint(0, 4)))

    def rearrangement(self, shape: tuple) -> str:
        if len(shape) > 1 and self.r.random() < 0.25:
            return ".transpose(0, 1)"
        return f".expand(2, *{shape!r})" if shape and self.r.random() < 0.1 else ""

    def bound(self, n: int) -> str:
        return self.r.choice(["", str(self.r.randint(-n - 1, n + 1))])

    def entry(self, n: int) -> str:
        """The source of one entry for a dimension of size ``n``; now and then out of range."""
        r = self.r
        inside = r.randint(-n, n - 1) if n else 0
        kind = r.random()
        if kind < 0.25:
            return str(r.randint(-n - 1, n) if r.random() < 0.1 else inside)
        if kind < 0.55:
            return f"{self.bound(n)}:{self.bound(n)}{r.choice(['', '', '', ':1', ':2', ':3'])}"
        if kind < 0.75:
            m = r.choice([1, 1, 2, 3])
            size = r.choice([(m,), (m,), (1,), (2, m), (m, 1)])
            values = [r.randint(-n, n - 1) if n else 0 for _ in range(int(np.prod(size)))]
            text = repr(np.array(values).reshape(size).tolist())
            return text if r.random() < 0.3 else f"torch.tensor({text})"
        if kind < 0.85:
            return f"torch.tensor({[r.random() < 0.5 for _ in range(n)]!r}, dtype=torch.bool)"
        return r.choice(["True", "False"]) if kind < 0.9 else f"torch.tensor({inside})"

    def index(self, shape: tuple) -> str:
        r, entries, d = self.r, [], 0
        n = r.randint(0, len(shape))
        if shape and r.random() < 0.1:
            d = r.randint(1, len(shape))
            mask = [r.random() < 0.5 for _ in range(int(np.prod(shape[:d])))]
            entries.append(f"torch.tensor({mask!r}, dtype=torch.bool).reshape({tuple(shape[:d])!r})")
        while d < max(n, d):
            if r.random() < 0.1:
                entries.append("None")
            elif r.random() < 0.1 and "..." not in entries:
                entries.append("...")
                d = max(len(shape) - r.randint(0, n - d), d)
            else:
                entries.append(self.entry(shape[d]))
                d += 1
        if r.random() < 0.1:
            entries.append(r.choice(["None", "None", "0"]))
        return ", ".join(entries) or r.choice(["...", ":", "None", "()", "True"])

    def value(self, shape: tuple) -> str:
        n = int(np.prod(shape))
        return self.r.choice([
            "2.5", "7", "torch.tensor(3.)", "torch.ones(1) * 4", f"torch.arange({shape[-1] if shape else 1}.) + 100",
            f"torch.arange({n}.).reshape({shape!r}) + 100", f"torch.arange({n}.).reshape({(1, *shape)!r}) + 100"])


def execute(source: str, module: Any) -> Any:
    names: dict[str, Any] = {"torch": module}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exec(source, names)
        except Exception as error:
            return error
    return names["result"]


def outline(value: Any) -> Any:
    if isinstance(value, Exception):
        return type(value).__name__
    strides = [s for s, n in zip(value.stride(), value.shape, strict=True) if n > 1] if value.numel() else None
    node = value.grad_fn.name() if value.grad_fn is not None else None
    return tuple(value.shape), strides, value._is_view(), value.detach().numpy().tolist(), node


def agree(source: str) -> Any:
    expected, got = execute(source, torch), execute(source, flowtorch)
    assert outline(got) == outline(expected), source
    return expected


WEIGHTED = """
(t * (torch.arange(t.numel(), dtype=torch.float32).reshape(t.shape) + 1)).sum().backward()
"""


@pytest.mark.parametrize("seed", range(40))
def test_random_indices(seed):
    writer = Writer(seed)
    for _ in range(25):
        shape = writer.shape()
        rearranged = writer.rearrangement(shape)
        n = int(np.prod(shape))
        index = writer.index(tuple(eval(f"torch.zeros({shape!r}){rearranged}.shape", {"torch": torch})))
        start = f"x = torch.arange({n}.).reshape({shape!r}).requires_grad_()\nz = x * 1\ny = z{rearranged}\n"
        read = agree(f"{start}result = y[{index}]")
        if isinstance(read, Exception):
            continue
        agree(f"{start}t = y[{index}]\n{WEIGHTED}\nresult = x.grad")
        value = writer.value(tuple(read.shape))
        assign = f"{start}v = {value}\nif isinstance(v, torch.Tensor): v.requires_grad_()\ny[{index}] = v\n"
        written = agree(f"{assign}result = z.detach()")
        if not isinstance(written, Exception) and not rearranged.startswith(".expand"):
            agree(f"{assign}t = z\n{WEIGHTED}\nresult = x.grad")
            agree(f"{assign}t = z\n{WEIGHTED}\nresult = v.grad if isinstance(v, torch.Tensor) and v.grad is not None "
                  "else torch.zeros(1)")
