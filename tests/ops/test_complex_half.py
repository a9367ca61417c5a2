"""complex32: two half-precision parts, computed with in complex64 and rounded once."""

import io

import numpy as np
import pytest
import torch

import flowtorch

HALVES = torch.tensor([1.5, -2.25, 3.1], dtype=torch.float64)


def made(library):
    """The same complex numbers of half precision in either library."""
    parts = library.tensor(HALVES.tolist()).half()
    return library.complex(parts, parts * 2)


@pytest.mark.parametrize("expression", [
    "c", "c.real", "c.imag", "torch.view_as_real(c)", "torch.view_as_complex(torch.arange(6).reshape(3, 2).half())",
    "c + c", "c * c", "-c", "c.abs()", "c * 2j", "c + c.real.float()", "torch.cat([c, c])", "c.sgn()",
    "torch.full((2,), 1 + 2j, dtype=torch.chalf)", "c.expand(2, 3)", "c.unfold(0, 2, 1)", "c == c",
    "torch.tensor([1j], dtype=torch.complex128).chalf()", "torch.arange(3).chalf()", "c.cfloat()", "c.half()",
    "torch.zeros(3).copy_(c)", "c.to('meta').shape", "c.tolist()", "c[0].item()", "c.untyped_storage().nbytes()",
])  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_same_as_torch(expression):
    ours = eval(expression, {"torch": flowtorch, "c": made(flowtorch)})
    theirs = eval(expression, {"torch": torch, "c": made(torch)})
    assert str(ours).replace("flowtorch.", "torch.") == str(theirs)
    assert getattr(ours, "stride", tuple)() == getattr(theirs, "stride", tuple)()


def test_parts_are_views():
    c = made(flowtorch)
    c.imag[1] = 7
    flowtorch.view_as_real(c)[0, 0] = 4
    assert c.tolist() == [4 + 3j, -2.25 + 7j, complex(np.float16(3.1), np.float16(3.1) * 2)]


def test_gradients_come_back_in_the_dtype_of_the_input():
    x = flowtorch.randn(3, dtype=flowtorch.float64, requires_grad=True)
    (g,) = flowtorch.autograd.grad(x.chalf(), x, made(flowtorch))
    assert g.dtype is flowtorch.float64 and g.tolist() == made(flowtorch).real.tolist()


def test_saved_and_loaded():
    file = io.BytesIO()
    flowtorch.save(made(flowtorch), file)
    file.seek(0)
    assert torch.equal(torch.load(file).cfloat(), made(torch).cfloat())
