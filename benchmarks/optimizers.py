"""A step of every optimiser over ten million parameters, against each way in which torch can make it.

Run it with
    python benchmarks/optimizers.py [--filter REGEX] [--rounds N] [--threads N] [--json FILE]

The four (ours, torch's default, ``foreach=True``, ``fused=True``) take turns on the same numbers; what a step does to
the parameters is compared first. Muon orthogonalises and LBFGS evaluates a closure; they and SparseAdam get fewer
parameters.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from suite import Suite, chosen, difference, figures
from timing import Comparison, take_turns

GROUPS = {"default": "against torch's default", "foreach": "against torch foreach", "fused": "against torch fused"}
SIZES = ((1000, 4000), (2048, 1024), (1024, 2048), (1_000_000,), *((1000,),) * 40, (800_000,))


@dataclass
class Optimizer:
    """One optimiser: its options, the shapes of its parameters, and what else torch can be asked for."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    shapes: tuple[tuple[int, ...], ...] = SIZES
    ways: tuple[str, ...] = ("foreach",)
    label: str = ""
    sparse: bool = False
    closure: bool = False


EVERY = (
    Optimizer("SGD", {"lr": 1e-6}, ways=("foreach", "fused")),
    Optimizer("SGD", {"lr": 1e-6, "momentum": 0.9}, ways=("foreach", "fused"), label="SGD, momentum"),
    Optimizer("Adam", {"lr": 1e-6}, ways=("foreach", "fused")),
    Optimizer("AdamW", {"lr": 1e-6}, ways=("foreach", "fused")),
    Optimizer("Adagrad", {"lr": 1e-6}, ways=("foreach", "fused")),
    Optimizer("RMSprop", {"lr": 1e-6}),
    Optimizer("Adadelta", {"lr": 1e-6}),
    Optimizer("Adamax", {"lr": 1e-6}),
    Optimizer("NAdam", {"lr": 1e-6}),
    Optimizer("RAdam", {"lr": 1e-6}),
    Optimizer("ASGD", {"lr": 1e-6}),
    Optimizer("Rprop", {"lr": 1e-6}),
    Optimizer("Adafactor", {"lr": 1e-6}),
    Optimizer("Muon", {"lr": 1e-6}, shapes=((256, 256),) * 4, ways=()),
    Optimizer("SparseAdam", {"lr": 1e-6}, shapes=((50_000, 64),), ways=(), sparse=True),
    Optimizer("LBFGS", {"lr": 1e-3, "max_iter": 2, "history_size": 5}, shapes=((1_000_000,),), ways=(), closure=True),
)  # fmt: skip


def build(t: Any, entry: Optimizer, way: str) -> tuple[Callable[[], Any], list[Any]]:
    """Return a step, and the parameters that it changes."""
    import numpy as np

    rng = np.random.default_rng(0)
    parameters = []
    for shape in entry.shapes:
        p = t.from_numpy(rng.standard_normal(shape, dtype=np.float32)).requires_grad_()
        p.grad = t.from_numpy(rng.standard_normal(shape, dtype=np.float32))
        if entry.sparse:
            rows = np.sort(rng.choice(shape[0], 5000, replace=False))[None]
            p.grad = t.sparse_coo_tensor(t.from_numpy(rows), p.grad[:5000], shape, check_invariants=False).coalesce()
        parameters.append(p)
    options = entry.options if way == "default" else entry.options | {way: True}
    optimizer = getattr(t.optim, entry.name)(parameters, **options)
    if not entry.closure:
        return optimizer.step, parameters

    def closure() -> Any:
        optimizer.zero_grad()
        loss = sum((p * p).sum() for p in parameters)
        loss.backward()
        return loss

    return lambda: optimizer.step(closure), parameters


def rows_of(entry: Optimizer, ours: Any, theirs: Any, args: Any) -> Iterator[dict[str, Any]]:
    """Compare the results of a step, then time all ways in turn."""
    ways = ("default", *entry.ways)
    heads = [{"name": entry.label or entry.name, "group": GROUPS[way], "limit": None} for way in ways]
    step, parameters = build(ours, entry, "default")
    others = [build(theirs, entry, way) for way in ways]
    for f in (step, *(f for f, _ in others)):
        f()
    for head, (_, expected) in zip(heads, others, strict=True):
        if fault := difference(parameters, expected, 1e-5):
            yield head | {"status": "wrong", "why": fault}
            return
    step()
    for thread in threading.enumerate():  # machine code for the update is built in the background
        if thread.name == "flowtorch-optim-build":
            thread.join()
    samples = take_turns([step, *(f for f, _ in others)], args.rounds, 0.0, args.threads == 1, args.budget)
    for head, theirs in zip(heads, samples[1:], strict=True):
        yield head | {"status": "ok"} | figures(Comparison.of(samples[0], theirs))


class Optimizers(Suite):
    """The suite of optimisers: each gives a row for every way that torch has."""

    def rows(self, ours: Any, theirs: Any, args: Any) -> Iterator[dict[str, Any]]:
        """Run the optimisers that are asked for."""
        found: list[dict[str, Any]] = []
        for entry in EVERY:
            if chosen(f"optimisers/{entry.label or entry.name}", args):
                found += rows_of(entry, ours, theirs, args)
        for group in GROUPS.values():
            yield from (row for row in found if row["group"] == group)


SUITE = Optimizers("optimisers' steps over ten million parameters", rounds_of_each=9, budget=3.0)

if __name__ == "__main__":
    sys.exit(SUITE.main())
