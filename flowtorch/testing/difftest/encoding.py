"""Samples as JSON: for the failure database, packs and recorded runs. Arrays keep every bit."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from ..samples import Array, Named, Sample


def encode(value: Any) -> Any:
    """A nested argument as what ``json`` can write."""
    if isinstance(value, Array):
        return {
            "array": value.dtype,
            "shape": list(value.values.shape),
            "stored": str(value.values.dtype),
            "data": base64.b64encode(np.ascontiguousarray(value.values).tobytes()).decode(),
            **({"layout": value.layout} if value.layout != "contiguous" else {}),
            **({"grad": True} if value.grad else {}),
        }
    if isinstance(value, Named):
        return {"named": value.name}
    if isinstance(value, Sample):
        return {"args": encode(list(value.args)), "kwargs": encode(value.kwargs)}
    if isinstance(value, (tuple, list)):
        return {"tuple" if isinstance(value, tuple) else "list": [encode(v) for v in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(k), encode(v)] for k, v in value.items()]}
    if isinstance(value, slice):
        return {"slice": [encode(value.start), encode(value.stop), encode(value.step)]}
    if isinstance(value, complex):
        return {"complex": [value.real.hex(), value.imag.hex()]}
    if isinstance(value, float):
        return {"float": value.hex()}
    if value is Ellipsis:
        return {"ellipsis": True}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, np.generic):
        return encode(value.item())
    raise TypeError(f"a sample cannot hold {type(value).__name__}")


def decode(value: Any) -> Any:
    """What ``encode`` was given."""
    if not isinstance(value, dict):
        return value
    if "array" in value:
        data = np.frombuffer(base64.b64decode(value["data"]), np.dtype(value["stored"])).reshape(value["shape"])
        return Array(data.copy(), value["array"], value.get("grad", False), value.get("layout", "contiguous"))
    if "args" in value:
        return Sample(tuple(decode(value["args"])), decode(value["kwargs"]))
    kind = next(iter(value))
    content = value[kind]
    makers: dict[str, Any] = {
        "named": Named,
        "tuple": lambda c: tuple(map(decode, c)),
        "list": lambda c: list(map(decode, c)),
        "dict": lambda c: {decode(k): decode(v) for k, v in c},
        "slice": lambda c: slice(*map(decode, c)),
        "complex": lambda c: complex(float.fromhex(c[0]), float.fromhex(c[1])),
        "float": float.fromhex,
        "ellipsis": lambda c: Ellipsis,
    }
    return makers[kind](content)
