"""Words drawn by vectors are those of numpy's twister, and leave it where numpy would.

Run: python -m pytest tests/native/test_twister.py   (needs a C compiler and Python's headers)
"""

import threading

import numpy as np
import pytest

from flowtorch.streams import integers, uniform, words


def plain(function):
    return getattr(function, "__wrapped__", function)


def declined(*args):
    return "numpy"


def twins():
    first, second = np.random.MT19937(3), np.random.MT19937(3)
    return first, second


@pytest.mark.parametrize("kind", ["words", "units"])
def test_the_stream_goes_on_as_with_numpy(kernels, kind):
    dtype = {"words": np.uint32, "units": np.float32}[kind]
    numpy_fill = plain({"words": words.fill_words, "units": uniform.fill_units}[kind])
    fill = kernels.kernel(f"fill_{kind}", declined)
    ours, theirs = twins()
    for size in (1, 2, 623, 624, 625, 0, 5000, 1, 1247, 3):
        got, expected = np.empty(size, dtype), np.empty(size, dtype)
        assert fill(ours, got) is None
        numpy_fill(theirs, expected)
        np.testing.assert_array_equal(got, expected)
        assert ours.state["state"]["pos"] == theirs.state["state"]["pos"]
        np.testing.assert_array_equal(ours.state["state"]["key"], theirs.state["state"]["key"])
        assert ours.random_raw() == theirs.random_raw()


def test_other_sources_and_arrays_are_left_to_numpy(kernels):
    fill = kernels.kernel("fill_words", declined)
    assert fill(np.random.PCG64(0), np.empty(3, np.uint32)) == "numpy"
    assert fill(np.random.MT19937(0), np.empty(3, np.uint64)) == "numpy"
    assert fill(np.random.MT19937(0), np.empty(6, np.uint32)[::2]) == "numpy"
    assert fill(None, np.empty(3, np.uint32)) == "numpy"


def test_a_draw_waits_for_another_thread(kernels):
    fill = kernels.kernel("fill_words", declined)
    bits = np.random.MT19937(0)
    out = np.empty(4, np.uint32)
    thread = threading.Thread(target=fill, args=(bits, out))
    before = bits.state["state"]["pos"]
    with bits.lock:
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
    thread.join()
    assert before != bits.state["state"]["pos"]


@pytest.mark.parametrize("n", [2, 3, 800, 5000])
def test_places_are_swapped_as_with_numpy(kernels, n):
    drawn = np.random.default_rng(n).integers(0, 2**32, n - 1, dtype=np.uint32)
    got, expected = np.empty(n, np.int64), np.empty(n, np.int64)
    assert kernels.kernel("swap_places", declined)(drawn.copy(), got) is None
    plain(integers.swap_places)(drawn.copy(), expected)
    np.testing.assert_array_equal(got, expected)
    assert kernels.kernel("swap_places", declined)(drawn, got.astype(np.float32)) == "numpy"
