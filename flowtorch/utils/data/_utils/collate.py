"""How samples become a batch: ``default_collate`` stacks them, ``default_convert`` leaves one as it is."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.tensor import Tensor

np_str_obj_array_pattern = re.compile(r"[SaUO]")  # the kinds of numpy arrays that become no tensors
CollateMap = dict[Any, Callable]
default_collate_err_msg_format = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def default_convert(data: Any) -> Any:
    """Turn the numpy arrays and numbers in a sample into tensors; leave everything else."""
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)) and type(data).__module__ == "numpy":
        return data if data.dtype.kind in "SaUO" else _as_tensor(data)
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple):
        items = [default_convert(item) for item in data]
        return type(data)(*items) if hasattr(data, "_fields") else items
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like_sequence(data, [default_convert(item) for item in data])
    return data


def default_collate(batch: Any) -> Any:
    """Put samples together: tensors, arrays and numbers are stacked, containers are collated item by item.

    Strings stay a list; anything else is a TypeError.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def collate(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    """Put samples together with the functions that ``collate_fn_map`` has for their types."""
    first = batch[0]
    function = _function_for(first, collate_fn_map or {})
    if function is not None:
        return function(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        parts = {key: collate([s[key] for s in batch], collate_fn_map=collate_fn_map) for key in first}
        return _like_mapping(first, parts)
    if not isinstance(first, Sequence):
        raise TypeError(default_collate_err_msg_format.format(type(first)))
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*_columns(batch, collate_fn_map))
    if any(len(sample) != len(first) for sample in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    columns = _columns(batch, collate_fn_map)
    return columns if isinstance(first, tuple) else _like_sequence(first, columns)


def _columns(batch: Any, collate_fn_map: CollateMap | None) -> list:
    return [collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch, strict=False)]


def _function_for(first: Any, collate_fn_map: CollateMap) -> Callable | None:
    if type(first) in collate_fn_map:
        return collate_fn_map[type(first)]
    return next((f for kind, f in collate_fn_map.items() if isinstance(first, kind)), None)


def _like_mapping(sample: Any, parts: dict) -> Any:
    """``parts`` in a mapping of the type of ``sample``; a dict where one cannot be made."""
    try:
        if isinstance(sample, MutableMapping):
            made = copy.copy(sample)
            made.update(parts)
            return made
        return type(sample)(parts)
    except TypeError:  # a class that cannot be built from parts: PyTorch gives these
        return parts


def _like_sequence(sample: Any, parts: list) -> Any:
    try:
        if isinstance(sample, MutableSequence):
            made = copy.copy(sample)
            for i, part in enumerate(parts):
                made[i] = part
            return made
        return type(sample)(parts)
    except TypeError:  # a class that cannot be built from parts: PyTorch gives these
        return parts


def _as_tensor(data: Any) -> Tensor:
    from flowtorch import as_tensor

    return as_tensor(data)


def collate_tensor_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """Stack tensors of one shape along a new first dimension."""
    from flowtorch import stack

    first = batch[0]
    if first.is_nested or first.layout is not dtypes.strided:
        kind = "nested" if first.is_nested else "sparse"
        raise RuntimeError(
            f"Batches of {kind} tensors are not currently supported by the default collate_fn; "
            "please provide a custom collate_fn to handle them appropriately."
        )
    return stack(list(batch), 0)


def collate_numpy_array_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    """Stack arrays of numbers as tensors."""
    if batch[0].dtype.kind in "SaUO":
        raise TypeError(default_collate_err_msg_format.format(batch[0].dtype))
    return collate([_as_tensor(array) for array in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """Make a tensor of numpy numbers."""
    return _as_tensor(np.array(batch))


def collate_float_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """Make a float64 tensor of Python floats."""
    import flowtorch

    return flowtorch.tensor(batch, dtype=dtypes.float64)  # type: ignore[operator]


def collate_int_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """Make a tensor of Python integers or booleans."""
    import flowtorch

    return flowtorch.tensor(batch)  # type: ignore[operator]


def collate_str_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    """Leave strings as they are."""
    return batch


default_collate_fn_map: CollateMap = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}
