"""repr, str and format of tensors, compared with torch's character for character."""

import random

import numpy as np
import pytest
import torch

import flowtorch as ft
from flowtorch import printing
from flowtorch.tensor import wrap

BITS = {
    "bfloat16": torch.int16,
    "float8_e4m3fn": torch.uint8,
    "float8_e5m2": torch.uint8,
    "float8_e4m3fnuz": torch.uint8,
    "float8_e5m2fnuz": torch.uint8,
    "float8_e8m0fnu": torch.uint8,
}
DTYPES = [
    "float32", "float64", "float16", "int64", "int8", "uint8", "int16", "int32", "bool", "complex64", "complex128",
    "uint16", "uint32", "uint64", *BITS,
]  # fmt: skip


@pytest.fixture(autouse=True)
def _default_options():
    yield
    for library in (torch, ft):
        library.set_printoptions(profile="default")
        library.set_default_dtype(library.float32)


def twin(t):
    """The same bits in the same layout as a flowtorch tensor."""
    name = str(t.dtype).removeprefix("torch.")
    if name not in BITS:
        return wrap(t.detach().numpy())
    return wrap(t.detach().view(BITS[name]).numpy().view(getattr(ft, name).numpy))


def same(t, **options):
    for library in (torch, ft):
        library.set_printoptions(profile="default")
        library.set_printoptions(**options)
    assert repr(twin(t)) == repr(t), (t.dtype, tuple(t.shape), options)


def random_values(rng, shape):
    values = torch.randn(shape, dtype=torch.float64)
    kind = rng.randrange(6)
    if kind == 1:
        return (values * 50).round()
    if kind == 2:
        return values * 10.0 ** rng.randint(-9, 9)
    if kind == 3:
        return values * 10.0 ** (torch.randn(shape) * 3)
    if kind == 4:
        special = float(rng.choice(["nan", "inf", "-inf", "-0.0", "0"]))
        return torch.where(values > 0.5, special, values.round())
    return torch.zeros(shape) * float(rng.choice(["nan", "1", "-1"])) if kind == 5 else values


def random_tensor(rng, name):
    dims = rng.randint(0, 4)
    sizes = [0, 1, 2, 3, 5, 7, 12] if dims > 2 else [0, 1, 2, 3, 7, 12, 40, 300, 1200]
    shape = [rng.choice(sizes) for _ in range(dims)]
    if np.prod(shape) > 30_000:
        shape = shape[:1]
    values = random_values(rng, shape)
    dtype = getattr(torch, name)
    if dtype.is_complex:
        t = torch.complex(values.double(), values.double() * rng.choice([0, 1, -3, 1e-5])).to(dtype)
    elif dtype.is_floating_point:
        t = values.to(dtype)
    else:
        t = (values.nan_to_num(0, 5, -5) * 3).clamp(-1e18, 1e18).to(torch.int64).to(dtype)
    return t.transpose(0, 1) if t.dim() >= 2 and rng.random() < 0.3 else t


def random_options(rng):
    choices = {
        "profile": ["short", "full", "default"],
        "precision": [0, 1, 2, 6, 9],
        "threshold": [0, 1, 5, 50, 1e9, float("inf")],
        "edgeitems": [0, 1, 2, 5],
        "linewidth": [1, 20, 40, 120, 200],
        "sci_mode": [True, False],
    }
    return {name: rng.choice(values) for name, values in choices.items() if rng.random() < 0.3}


@pytest.mark.parametrize("name", DTYPES)
def test_random_tensors_print_alike(name):
    rng = random.Random(name)
    torch.manual_seed(7)
    for _ in range(120):
        same(random_tensor(rng, name), **random_options(rng))


@pytest.mark.parametrize("default", ["float64", "float16"])
def test_dtype_is_named_unless_it_is_the_default(default):
    for library in (torch, ft):
        library.set_default_dtype(getattr(library, default))
    for name in ("float16", "float32", "float64", "complex64", "complex128", "int64", "bool"):
        same(torch.ones(2, dtype=getattr(torch, name)))
        same(torch.empty(0, dtype=getattr(torch, name)))


def test_suffixes():
    for library in (torch, ft):
        x = library.ones(2, 2, requires_grad=True)
        library.texts = [repr(x), repr(x * 2), str(x.sum()), f"{x.detach().sum()}", repr(x.detach())]
        library.texts += [repr(library.nn.Parameter(library.ones(2))), f"{library.tensor(2.5):.3f}"]
        library.texts += [repr(library.empty(2, device="meta")), repr(library.zeros(2, 0, dtype=library.int64))]
        library.texts.append(repr(library.full((3, 12), 1.5, dtype=library.float64, requires_grad=True) * 3.25))
    assert ft.texts == torch.texts


def test_subclasses_show_their_name():
    class Named(ft.Tensor):
        pass

    class Twin(torch.Tensor):
        pass

    Twin.__name__ = "Named"
    ours, theirs = ft.ones(2).as_subclass(Named), torch.ones(2).as_subclass(Twin)
    assert repr(ours) == repr(theirs)


def test_options_are_kept_and_restored():
    before = printing.get_printoptions()
    with printing.printoptions(precision=2, sci_mode=True):
        assert repr(ft.tensor([1.5])) == "tensor([1.50e+00])"
    assert printing.get_printoptions() == before
    ft.set_printoptions(sci_mode=True)
    ft.set_printoptions(precision=3)
    assert printing.get_printoptions()["sci_mode"] is None  # each call decides anew


def test_an_impossible_precision_is_an_error_when_printing():
    ft.set_printoptions(precision=-1)
    with pytest.raises(ValueError, match="recision"):
        repr(ft.tensor([1.5]))


def test_a_large_tensor_is_summarised_before_it_is_formatted(monkeypatch):
    seen = []
    words = printing._words
    monkeypatch.setattr(printing, "_words", lambda values: seen.append(values.size) or words(values))
    text = repr(ft.zeros(500, 4000))
    assert seen == [36]
    assert text == repr(torch.zeros(500, 4000))


def test_wrapped_tensors():
    forward_ad = ft.autograd.forward_ad
    with forward_ad.dual_level():
        x = forward_ad.make_dual(ft.ones(2), ft.tensor([2.0, 3.0]))
        assert repr(x) == "tensor([1., 1.], tangent=tensor([2., 3.]))"
        assert repr(x * 2) == "tensor([2., 2.], tangent=tensor([4., 6.]))"
        assert repr(forward_ad.unpack_dual(x).primal) == "tensor([1., 1.])"
    seen = []

    def look(x):
        seen.append(repr(x))
        return x * 2

    ft.func.jvp(look, (ft.ones(2),), (ft.ones(2),))
    ft.func.vmap(look)(ft.arange(2))
    assert seen == [
        "GradTrackingTensor(lvl=1, value=\n    tensor([1., 1.])\n)",
        "BatchedTensor(lvl=1, bdim=0, value=\n    tensor([0, 1])\n)",
    ]
