"""Images per second through a DataLoader over the digits of examples/data, flowtorch against torch.

Run it with
    python benchmarks/dataloader.py [--epochs N] [--workers N] [--json FILE]

The two libraries take turns, epoch by epoch. A pass begins when the loader is asked for an iterator (so that workers
which do not persist are started within it) and ends with the last batch; the sums of the batches are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).resolve().parent.parent / "examples" / "data" / "mnist_3k.npz"


def dataset(t: Any, kind: str) -> Any:
    """The digits as one tensor, or one by one as arrays that are turned, cropped and scaled in Python."""
    with np.load(DATA) as file:
        images, labels = file["train_images"], file["train_labels"].astype(np.int64)
    if kind == "tensors":
        return t.utils.data.TensorDataset(t.from_numpy(images.astype(np.float32) / 255), t.from_numpy(labels))

    class Digits(t.utils.data.Dataset):
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, i: int) -> tuple:
            image = np.pad(images[i].reshape(28, 28), 2)[i % 4 : i % 4 + 28, (i // 4) % 4 : (i // 4) % 4 + 28]
            image = image[:, ::-1] if i % 2 else image
            return t.from_numpy(np.ascontiguousarray(image, dtype=np.float32)) / 255, int(labels[i])

    return Digits()


CASES = {
    "tensors, no workers": ("tensors", {"num_workers": 0}),
    "tensors, workers": ("tensors", {}),
    "images, no workers": ("images", {"num_workers": 0}),
    "images, workers": ("images", {}),
    "images, workers that persist": ("images", {"persistent_workers": True}),
    "images, workers, pinned": ("images", {"pin_memory": True, "persistent_workers": True}),
}


def passes(t: Any, kind: str, batch: int, options: dict) -> Callable[[], float]:
    """A function that reads one epoch and returns the sum of all it has read."""
    loader = t.utils.data.DataLoader(dataset(t, kind), batch_size=batch, **options)

    def run() -> float:
        total = 0.0
        for images, labels in loader:
            total += float(images.sum()) + float(labels.sum())
        return total

    return run


def measure(case: str, epochs: int, workers: int, batch: int) -> dict:
    """Images per second of both sides: the median over the epochs."""
    import torch

    import flowtorch

    kind, options = CASES[case]
    options = {"num_workers": workers, **options}
    sides = {"ours": passes(flowtorch, kind, batch, options), "theirs": passes(torch, kind, batch, options)}
    sums = {name: run() for name, run in sides.items()}  # also starts what persists
    if abs(sums["ours"] - sums["theirs"]) > 1e-4 * abs(sums["theirs"]):
        raise AssertionError(f"{case}: the epochs differ: {sums}")
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(epochs):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    with np.load(DATA) as file:
        count = len(file["train_labels"])
    row = {"case": case, **{name: count / statistics.median(t) for name, t in times.items()}}
    row["ratio"] = row["ours"] / row["theirs"]
    return row


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--epochs", type=int, default=7)
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--json", type=Path)
    args = p.parse_args()
    rows = []
    print(f"{'images per second':32} {'flowtorch':>12} {'torch':>12} {'ratio':>8}")
    for case in CASES:
        row = measure(case, args.epochs, args.workers, args.batch)
        rows.append(row)
        print(f"{case:32} {row['ours']:12,.0f} {row['theirs']:12,.0f} {row['ratio']:8.2f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"workers": args.workers, "batch": args.batch, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
