"""DLPack with numpy and PyTorch, both ways and without copies, for numbers that numpy does not know too."""

import numpy as np
import pytest
import torch

import flowtorch as ft

DTYPES = [
    "float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool", "complex64", "complex128",
]  # fmt: skip


def values(t):
    return t.to(ft.float32 if isinstance(t, ft.Tensor) else torch.float32).tolist()


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize(("here", "there"), [(ft, torch), (torch, ft)])
def test_memory_is_shared_with_strides_and_dtype(here, there, name):
    source = here.arange(6).reshape(2, 3).to(getattr(here, name)).t()[1:]
    taken = there.from_dlpack(source)
    assert str(taken.dtype) == f"torch.{name}" and tuple(taken.shape) == (2, 2)
    assert (taken.stride(), taken.data_ptr()) == (source.stride(), source.data_ptr())
    if not name.startswith("complex"):
        assert values(taken) == values(source)
    source[0, 0] = 0
    assert taken[0, 0].item() == 0
    again = there.utils.dlpack.from_dlpack(here.utils.dlpack.to_dlpack(source))
    assert again.data_ptr() == source.data_ptr() and str(again.dtype) == f"torch.{name}"


@pytest.mark.parametrize("name", ["bfloat16", "float32"])
def test_copies_and_capsules_that_were_used(name):
    source = torch.ones(3, dtype=getattr(torch, name))
    copied = ft.from_dlpack(source, copy=True)
    assert copied.data_ptr() != source.data_ptr() and values(copied) == [1, 1, 1]
    capsule = ft.utils.dlpack.to_dlpack(ft.ones(3, dtype=getattr(ft, name)))
    torch.from_dlpack(capsule)
    with pytest.raises(RuntimeError, match="invalid capsule"):
        ft.from_dlpack(capsule)


def test_memory_outlives_its_first_owner():
    taken = [ft.from_dlpack(torch.full((500,), float(n), dtype=torch.bfloat16)) for n in range(50)]
    assert [t.float().mean().item() for t in taken] == list(range(50))
    given = [torch.from_dlpack(ft.full((500,), float(n), dtype=ft.bfloat16)) for n in range(50)]
    assert [t.float().mean().item() for t in given] == list(range(50))


def test_what_cannot_be_shown_is_said():
    assert np.from_dlpack(ft.ones(2, dtype=ft.float16)).dtype == np.float16
    with pytest.raises(BufferError, match="sparse_coo"):
        ft.eye(2).to_sparse().__dlpack__()
    with pytest.raises(BufferError, match="require gradient"):
        ft.ones(2, requires_grad=True).__dlpack__()
    with pytest.raises((RuntimeError, BufferError), match="dtype"):
        np.from_dlpack(ft.ones(2, dtype=ft.bfloat16))
