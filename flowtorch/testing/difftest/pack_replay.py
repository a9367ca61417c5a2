"""Plays a pack: ``python replay.py BACKEND.py``, where BACKEND.py has ``run(name, args, kwargs)``. Needs only numpy.

``run`` gets the public name ("nn.functional.gelu"), and arguments in which tensors are ``Typed`` (``.values`` a numpy
array, ``.dtype`` the name of its dtype; numpy takes them as they are) and dtypes are ``DType`` (``.name``). It returns
the resulting array, or several in a list, or raises: NotImplementedError for what it has not. Samples with "raises"
must raise.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

STORED_WIDER = ("float16", "bfloat16", "complex32")  # a backend may give them in any wider dtype, too


class Typed:
    """A tensor argument."""

    def __init__(self, values: np.ndarray, dtype: str) -> None:
        self.values, self.dtype = values, dtype

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype)


class DType:
    """A dtype argument."""

    def __init__(self, name: str) -> None:
        self.name = name


class Pack:
    """A folder with ``pack.json`` and ``arrays.npz``."""

    def __init__(self, folder: Path) -> None:
        if not (Path(folder) / "pack.json").exists():
            raise ValueError(f"{folder} is no pack: there is no pack.json in it ('difftest export' writes one)")
        head = json.loads((Path(folder) / "pack.json").read_text())
        if head["format"] != 1:
            raise ValueError("not a pack of format 1")
        self.reference, self.samples = head["reference"], head["samples"]
        with np.load(Path(folder) / "arrays.npz") as stored:
            self.arrays = {k: stored[k] for k in stored.files}

    def value(self, v: Any) -> Any:
        """What an argument in ``pack.json`` stands for."""
        if not isinstance(v, dict):
            return v
        if "array" in v:
            return Typed(self.arrays[v["array"]], v["dtype"])
        ((kind, content),) = v.items()
        if kind in ("tuple", "list"):
            return (tuple if kind == "tuple" else list)(self.value(x) for x in content)
        if kind == "slice":
            return slice(*content)
        if kind == "complex":
            return complex(*content)
        return DType(content) if kind == "dtype_named" else float(content)


def mapped(f: Callable, value: Any) -> Any:
    """``f`` of everything within nested arguments."""
    if isinstance(value, (list, tuple)):
        return type(value)(mapped(f, v) for v in value)
    if isinstance(value, dict):
        return {k: mapped(f, v) for k, v in value.items()}
    return f(value)


def judge(pack: Pack, result: dict, got: Any) -> str:
    """ "exact", "within", "wrong", "shape" or "dtype" for one resulting array."""
    expected = pack.arrays[result["expected"]["array"]]
    got = np.asarray(got)
    if got.shape != expected.shape:
        return "shape"
    declared = result["expected"]["dtype"]
    if declared not in STORED_WIDER and got.dtype.name != declared:
        return "dtype"
    if np.array_equal(got, expected, equal_nan=expected.dtype.kind in "fc"):
        return "exact"
    if "exact" not in result:
        return "wrong"
    exact, allowed = pack.arrays[result["exact"]["array"]], pack.arrays[result["allowed"]["array"]]
    with np.errstate(all="ignore"):
        near = (np.abs(got - exact) <= allowed) | (np.abs(got - expected) <= allowed)
        same = near | (got == expected) | (np.isnan(got) & np.isnan(expected))
    return "within" if same.all() else "wrong"


def play(pack: Pack, run: Callable, name: str, show: int = 20) -> int:
    """Play every sample; 1 if one differs."""
    counts: Counter[str] = Counter()
    for entry in pack.samples:
        args = [pack.value(a) for a in entry["args"]]
        kwargs = {k: pack.value(v) for k, v in entry["kwargs"].items()}
        try:
            got = run(entry["op"], args, kwargs)
        except NotImplementedError:
            counts["exact" if "raises" in entry else "unsupported"] += 1
            continue
        except Exception as error:
            found = "exact" if "raises" in entry else f"raised {type(error).__name__}: {error}"
        else:
            got = got if isinstance(got, (list, tuple)) else [got]
            found = "did not raise" if "raises" in entry else "shape"
            if "results" in entry and len(got) == len(entry["results"]):
                verdicts = [judge(pack, r, g) for r, g in zip(entry["results"], got, strict=True)]
                found = next((v for v in ("shape", "dtype", "wrong", "within") if v in verdicts), "exact")
        counts[found.split(" ")[0]] += 1
        if found not in ("exact", "within"):
            show -= 1
            if show >= 0:
                print(f"sample {entry['id']}, {entry['op']}: {found}")
    print(f"{name} against {pack.reference}: " + ", ".join(f"{n} {v}" for v, n in counts.most_common()))
    return 1 if set(counts) - {"exact", "within", "unsupported"} else 0


if __name__ == "__main__":
    import importlib.util

    if len(sys.argv) != 2:
        print(f"usage: python {sys.argv[0]} BACKEND.py\n\n{__doc__}", file=sys.stderr)
        sys.exit(2)
    spec = importlib.util.spec_from_file_location("backend", sys.argv[1])
    assert spec is not None and spec.loader is not None
    backend = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(backend)
    sys.exit(play(Pack(Path(__file__).parent), backend.run, sys.argv[1]))
