"""Row numbers to row bounds and back, as PyTorch converts the indices of its sparse layouts."""

import pytest
import torch

import flowtorch as ft


def _same(found, expected):
    assert found.tolist() == expected.tolist()
    assert str(found.dtype) == str(expected.dtype)
    assert tuple(found.shape) == tuple(expected.shape)


@pytest.mark.parametrize("rows", [[0, 0, 2], [], [3, 3], 1, [0, 1, 2, 3]])
@pytest.mark.parametrize("dtype", ["int64", "int32"])
@pytest.mark.parametrize("small", [False, True])
def test_rows_to_bounds(rows, dtype, small):
    both = [
        m._convert_indices_from_coo_to_csr(m.tensor(rows, dtype=getattr(m, dtype)), 4, out_int32=small)
        for m in (ft, torch)
    ]
    _same(*both)


@pytest.mark.parametrize(
    ("bounds", "columns"),
    [
        ([0, 2, 2, 3], [1, 2, 0]),
        ([[0, 1, 1], [0, 0, 1]], [[1], [0]]),
        ([[[0, 1, 3], [0, 2, 3]]], [[[1, 0, 1], [0, 1, 0]]]),
        ([0, 0], []),
    ],
)
@pytest.mark.parametrize("options", [{}, {"out_int32": True}, {"transpose": True}])
def test_bounds_to_coordinates(bounds, columns, options):
    both = [
        m._convert_indices_from_csr_to_coo(m.tensor(bounds), m.tensor(columns, dtype=m.int64), **options)
        for m in (ft, torch)
    ]
    _same(*both)


@pytest.mark.parametrize(("rows", "error"), [([1.0], NotImplementedError), ([[1, 2]], RuntimeError)])
def test_what_cannot_be_rows(rows, error):
    for m in (torch, ft):
        with pytest.raises(error, match=r"convert_indices_from_coo_to_csr|supposed to be a vector"):
            m._convert_indices_from_coo_to_csr(m.tensor(rows), 3)


@pytest.mark.parametrize("size", [1.5, "text", -3])
def test_sizes_that_are_none(size):
    errors = []
    for m in (torch, ft):
        with pytest.raises((TypeError, RuntimeError)) as error:
            m._convert_indices_from_coo_to_csr(m.tensor([0, 1]), size)
        errors.append((error.type, str(error.value).split("\n")[0][:60]))
    assert errors[0] == errors[1]


def test_results_are_written_into_their_own_dtype_only():
    for m in (torch, ft):
        out = m.empty(4, dtype=m.int32)
        assert m._convert_indices_from_coo_to_csr(m.tensor([0, 2]), 3, out_int32=True, out=out) is out
        assert out.tolist() == [0, 1, 1, 2]
        with pytest.raises(RuntimeError, match="Expected out tensor to have dtype"):
            m._convert_indices_from_coo_to_csr(m.tensor([0, 2]), 3, out=out)
        with pytest.raises(RuntimeError, match="Expected out tensor to have dtype"):
            m._convert_indices_from_csr_to_coo(m.tensor([0, 1]), m.tensor([0]), out=m.empty(2, 1))
