"""Calls at the edges, held against PyTorch: nothing to compute, nan, wrong sizes, in-place calls on parts."""

import math

import pytest
import torch

import flowtorch

NAN, INF = math.nan, math.inf


def both(call):
    """What a call gives in both libraries: nested lists of values, or the name of what it raises."""
    found = []
    for library in (torch, flowtorch):
        try:
            result = call(library)
        except Exception as error:
            found.append(type(error).__name__)
        else:
            parts = result if isinstance(result, (tuple, list)) else [result]
            found.append([str(p.tolist()) if hasattr(p, "tolist") else p for p in parts])
    return found


def of(library, values, dtype="float64"):
    return library.tensor(values, dtype=getattr(library, dtype))


CALLS = {
    "matrix norm of nothing": lambda t: [t.linalg.matrix_norm(t.ones(3, 0), o) for o in (1, 2, INF)],
    "least norm of nothing": lambda t: t.linalg.matrix_norm(t.ones(0, 0), -1),
    "rank without right sides": lambda t: t.linalg.lstsq(t.eye(3), t.ones(3, 0)).rank,
    "rank of no square": lambda t: t.linalg.matrix_rank(t.ones(3, 4), hermitian=True),
    "search in nothing": lambda t: t.searchsorted(t.ones(2, 0), t.ones(2, 2)),
    "no batch of attention": lambda t: t.nn.functional.scaled_dot_product_attention(
        t.ones(0, 3, 4, 5), t.ones(0, 3, 6, 5), t.ones(0, 3, 6, 5)).shape,
    "no batch": lambda t: t.nn.functional.adaptive_max_pool2d(t.ones(0, 3, 4, 5), 2).shape,
    "no outputs": lambda t: t.bilinear(t.ones(2, 3), t.ones(2, 4), t.ones(0, 3, 4)).shape,
    "empty tensors are not set to each other": lambda t: t.empty(0, 3).is_set_to(t.empty(0, 3)),
    "a tensor is set to itself": lambda t: (lambda x: x.is_set_to(x[:]))(t.ones(3)),
    "repeats that do not add up": lambda t: t.repeat_interleave(t.ones(3), t.tensor([1, 2, 3]), output_size=5),
    "repeats that add up": lambda t: t.repeat_interleave(t.ones(3), t.tensor([1, 2, 3]), output_size=6),
    "target wider than input": lambda t: t.nn.functional.soft_margin_loss(t.ones(1), t.ones(4)),
    "mask wider than scores": lambda t: t.nn.functional.scaled_dot_product_attention(
        t.ones(2, 1, 5), t.ones(2, 4, 5), t.ones(2, 4, 5), attn_mask=t.ones(4, 4)),
    "shapes that do not broadcast": lambda t: t.take_along_dim(t.ones(0, 4), t.zeros(3, 2, dtype=t.int64), 1),
    "a table of three dimensions": lambda t: t.embedding_renorm_(t.ones(2, 2, 2), t.tensor([0]), 1.0, 2.0),
    "no margin": lambda t: t.triplet_margin_loss(of(t, [[1.0, 2]]), of(t, [[1.0, 3]]), of(t, [[2.0, 2]]), 0.0),
    "no margin in nn": lambda t: t.nn.functional.triplet_margin_loss(t.ones(1, 2), t.ones(1, 2), t.ones(1, 2), 0.0),
    "ranks of other dimensions": lambda t: t.margin_ranking_loss(t.ones(1, 4), t.ones(1, 4), t.ones(1), 0.2, 0),
    "nan at a distance": lambda t: t.pdist(of(t, [[0, NAN], [1, 2], [1, 3]]), 0.0),
    "target nan": lambda t: t.nn.functional.binary_cross_entropy(of(t, [0.5]), of(t, [NAN])),
    "last nan of a window": lambda t: t.nn.functional.adaptive_max_pool1d_with_indices(
        of(t, [[1, NAN, NAN, 0, 5, 2]]), 2),
    "next after zeros": lambda t: t.nextafter(of(t, [0.0, -0.0], "float16"), of(t, [-0.0, 0.0], "float16")),
    "no vectors": lambda t: [p.stride() for p in t.svd(t.eye(3), compute_uv=False)],
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_edges(name):
    expected, got = both(CALLS[name])
    assert got == expected


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_places_that_are_nan_harm_no_other(mode, padding):
    def sample(t):
        grid = of(t, [[[[0.1, -0.3], [NAN, 0.2], [0.5, 0.9]]]])
        return t.nn.functional.grid_sample(t.arange(1.0, 7).double().view(1, 1, 2, 3), grid, mode, padding, False)

    theirs, ours = (sample(t)[..., ::2].flatten().tolist() for t in (torch, flowtorch))
    assert ours == pytest.approx(theirs)


@pytest.mark.parametrize("name", ["logit_", "clamp_min_", "clamp_max_", "sin_", "renorm_", "float_power_"])
@pytest.mark.parametrize("part", [True, False])
def test_composites_in_place_keep_what_they_need(name, part):
    given = {"clamp_min_": (0.25,), "clamp_max_": (0.35,), "renorm_": (2, 0, 0.5), "float_power_": (2.5,)}.get(name, ())

    def call(t):
        leaf = of(t, [[0.2, 0.3, 0.4], [0.5, 0.6, 0.7]]).requires_grad_()
        x = leaf * 1
        getattr(x[:1] if part else x, name)(*given)
        return t.autograd.grad((x * x).sum(), leaf)[0].flatten().tolist()

    assert call(flowtorch) == pytest.approx(call(torch), rel=1e-12)


@pytest.mark.parametrize("function", ["sign", "floor", "round", "ceil", "trunc"])
def test_what_does_not_depend_on_an_input_stops_nan_and_inf(function):
    def call(t):
        x = of(t, [0.5, -1.5, 2.5]).requires_grad_()
        return t.autograd.grad(getattr(x, function)(), x, of(t, [NAN, INF, 1.0]))[0]

    assert call(flowtorch).tolist() == call(torch).tolist() == [0, 0, 0]


def test_nothing_depends_on_what_is_overwritten():
    def call(t):
        x = of(t, [1.0, 2.0]).requires_grad_()
        y = of(t, [3.0, 4.0]).requires_grad_()
        return t.autograd.grad((x * 1).copy_(y), (x, y), of(t, [NAN, INF]))

    assert str([g.tolist() for g in call(flowtorch)]) == str([g.tolist() for g in call(torch)])


def test_pooling_of_zeros_has_a_gradient():
    def call(t):
        x = of(t, [[[0.0, 0, 1, -1, 2]]]).requires_grad_()
        return t.autograd.grad(t.nn.functional.lp_pool1d(x, 3.0, 2, 1).sum(), x)[0].flatten().tolist()

    assert call(flowtorch) == pytest.approx(call(torch))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_transposed_convolutions_round_once(dtype):
    torch.manual_seed(0)
    x, w, b = torch.randn(2, 3, 6, dtype=torch.float64), torch.randn(3, 4, 2, dtype=torch.float64), torch.randn(4)
    low = [t.to(getattr(torch, dtype)) for t in (x, w, b)]
    exact = torch.conv_transpose1d(*(t.double() for t in low))
    ours = flowtorch.conv_transpose1d(*(of(flowtorch, t.tolist(), dtype) for t in low))
    assert torch.equal(torch.tensor(ours.tolist()), exact.to(getattr(torch, dtype)).float())


def test_imaginary_parts_that_a_dtype_drops_have_no_influence():
    x = of(flowtorch, [[1 + 5j, 2 - 3j, 3j + 3]], "complex128").requires_grad_()
    (g,) = flowtorch.autograd.grad(x.cumprod(1, dtype=flowtorch.float64).sum(), x)
    assert g.tolist() == [[9, 4, 2]]


def test_a_convolution_without_channels_is_its_bias():
    out = flowtorch.conv1d(flowtorch.ones(2, 0, 6), flowtorch.ones(4, 0, 2), flowtorch.arange(4.0))
    assert out.tolist() == [[[float(c)] * 5 for c in range(4)]] * 2
