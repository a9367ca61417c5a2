"""Run the same function with torch and with flowtorch and compare what comes out, errors included."""

import collections
import warnings

import numpy as np
import torch

import flowtorch


def plain(value):
    """A value with the tensors in it as (dtype, shape, numbers)."""
    if isinstance(value, (torch.Tensor, flowtorch.Tensor)):
        return str(value.dtype), tuple(value.shape), value.tolist()
    if isinstance(value, np.ndarray):
        return "ndarray", value.dtype, value.tolist()
    if isinstance(value, collections.abc.Mapping):
        return type(value).__name__, [(key, plain(item)) for key, item in value.items()]
    if isinstance(value, collections.abc.Sequence) and not isinstance(value, (str, bytes)):
        return type(value).__name__, [plain(item) for item in value]
    return value


class Words(str):
    """What an error says. flowtorch may say more than torch, after the same words."""

    __slots__ = ()

    def __eq__(self, other):
        return self.startswith(str(other))

    __hash__ = str.__hash__


def outcome(function, library):
    """The result or the error of a function, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = plain(function(library, library.utils.data))
        except Exception as error:
            result = type(error).__name__, Words(error)
    return result, [str(w.message) for w in caught]


def same(function):
    """Assert that both libraries do the same."""
    expected, actual = outcome(function, torch), outcome(function, flowtorch)
    assert actual == expected, f"flowtorch: {actual}\ntorch: {expected}"
    return actual
