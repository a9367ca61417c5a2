"""``x.view(dtype)`` of tensors without elements, which numpy gives strides of zero."""

import pytest
import torch

import flowtorch


@pytest.mark.parametrize("shape", [(0,), (0, 4), (3, 0), (2, 0, 8), (0, 3)])
@pytest.mark.parametrize("source", ["uint8", "float32", "int64"])
@pytest.mark.parametrize("target", ["uint8", "float32", "bfloat16", "complex128"])
def test_bytes_of_no_elements(shape, source, target):
    results = []
    for library in (flowtorch, torch):
        x = library.zeros(shape, dtype=getattr(library, source))
        try:
            y = x.view(getattr(library, target))
            results.append((tuple(y.shape), str(y.dtype)))
        except RuntimeError as error:
            results.append(str(error)[:20])
    ours, theirs = results
    if shape[-1] == 0 and isinstance(theirs, str) and len(shape) > 1:
        # PyTorch asks that the strides of dimensions without elements divide, too.
        assert ours == (shape, f"torch.{target}")
    else:
        assert ours == theirs


def test_a_slice_without_elements():
    x = flowtorch.arange(8, dtype=flowtorch.uint8)
    assert x[4:4].view(flowtorch.float32).shape == (0,)
    with pytest.raises(RuntimeError, match=r"stride\(-1\) must be 1"):
        x[::2].view(flowtorch.int16)
