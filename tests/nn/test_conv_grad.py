"""Gradients of convolutions by hand."""

import pytest
from both import program


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_gradients_of_convolutions(dims):
    @program
    def gradients(torch):
        grad, functional = torch.nn.grad, torch.nn.functional
        for options in ({}, {"stride": 2, "padding": 1}, {"groups": 2, "dilation": (2,) * dims}):
            groups = options.get("groups", 1)
            x = torch.arange(2.0 * 4 * 7**dims).reshape(2, 4, *(7,) * dims).remainder(5).requires_grad_()
            w = torch.arange(2.0 * 4 // groups * 3**dims).reshape(2, 4 // groups, *(3,) * dims).remainder(3)
            w.requires_grad_()
            out = getattr(functional, f"conv{dims}d")(x, w, **options)
            out.backward(out.detach())
            by_input = getattr(grad, f"conv{dims}d_input")(x.shape, w, out.detach(), **options)
            by_weight = getattr(grad, f"conv{dims}d_weight")(x, w.shape, out.detach(), **options)
            yield by_input, by_weight, bool((by_input == x.grad).all()), bool((by_weight == w.grad).all())

    gradients()
