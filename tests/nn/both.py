"""Run one program on flowtorch and on torch and compare everything it yields."""

import functools
import re
import warnings

import numpy as np
import torch as real

import flowtorch


def program(function):
    """Make a test of a generator ``function(torch)``: what it yields must be the same with either library.

    Numbers must agree to a few units of the dtype's precision, all else must be equal. Warnings count as
    well.
    """

    @functools.wraps(function)
    def test():
        expected, got = (run(function, library) for library in (real, flowtorch))
        compare(expected, got, "")

    del test.__wrapped__  # pytest would take the argument for a fixture
    return test


def run(function, library):
    """Return what the program yields, in plain values, and the warnings it causes."""
    library.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yielded = [plain(value, library) for value in function(library)]
    # numpy's own warnings are filtered out by the library, and let in again by the line above
    caught = [w for w in caught if w.category is not RuntimeWarning]
    return yielded, [(w.category.__name__, text(w.message).split(". ")[0].rstrip(".")) for w in caught]


def error(call, *args, **kwargs):
    """Return the type and the message of the exception that a call raises."""
    try:
        call(*args, **kwargs)
    except Exception as exception:
        # flowtorch names the op and its operands besides
        return type(exception).__name__, re.sub(r" \(\w+: \w+ .*\)$", "", text(exception))
    return "no error"


def text(value):
    """Return ``str(value)`` with the name of the library and memory addresses made alike."""
    value = re.sub(r"0x[0-9a-f]+", "0x", str(value)).replace("flowtorch", "torch")
    return re.sub(r"<locals>\.|both\.|[a-z_]*program\.|test_\w+\.", "", value)


def plain(value, library):
    """Return a value without anything of the library in it."""
    if isinstance(value, library.Tensor):
        kind = f"{type(value).__name__} {text(value.dtype)} {value.requires_grad}"
        shown = value.detach()
        if shown.dtype is library.bfloat16:
            shown = shown.float()
        return kind, tuple(value.shape), shown.numpy().copy()
    if isinstance(value, (list, tuple)):
        return tuple(plain(item, library) for item in value)
    if isinstance(value, dict):
        return tuple((key, plain(item, library)) for key, item in value.items())
    if value is None or isinstance(value, (bool, int, float, complex, np.ndarray)):
        return value
    return text(value)


def compare(expected, got, where):
    """Assert that two plain values agree."""
    if isinstance(expected, np.ndarray) and isinstance(got, np.ndarray):
        assert expected.shape == got.shape, where
        tolerance = 1e-5 if expected.dtype.itemsize <= 4 or expected.dtype == np.complex64 else 1e-10
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance, err_msg=where)
    elif isinstance(expected, (tuple, list)) and isinstance(got, (tuple, list)):
        assert len(expected) == len(got), f"{where}: {expected} != {got}"
        for i, pair in enumerate(zip(expected, got, strict=True)):
            compare(*pair, f"{where}[{i}]")
    elif isinstance(expected, float):
        assert got == expected or abs(got - expected) <= 1e-6 * abs(expected), f"{where}: {expected} != {got}"
    else:
        assert type(expected) is type(got), f"{where}: {expected!r} != {got!r}"
        assert expected == got, f"{where}: {expected!r} != {got!r}"
