"""Ops whose fast paths begin at some size: elementwise functions in several shapes, resized images."""

import pytest
from both import program


@pytest.mark.parametrize("name", ["gelu", "erf"])
@pytest.mark.parametrize("shape", [(16, 64), (3, 100, 50), (8192,), (2, 8193)], ids=str)
def test_error_function(name, shape):
    @program
    def compare(torch):
        count = 1
        for n in shape:
            count *= n
        x = (torch.arange(count, dtype=torch.float64) * (12 / count) - 6).float().reshape(shape)
        # torch's GELU of infinity is NaN
        special = torch.tensor([float("nan")] if name == "gelu" else [float("inf"), -float("inf"), float("nan")])
        function = torch.nn.functional.gelu if name == "gelu" else torch.erf
        for given in (x, x.transpose(0, -1), x.double(), torch.cat([x.flatten(), special])):
            given = given.detach().requires_grad_()
            out = function(given)
            out.sum().backward()
            yield out.detach(), given.grad

    compare()


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "area"])
@pytest.mark.parametrize("size", [(40, 60), (13, 9), (5, 80), (40, 20), (1, 1)], ids=str)
def test_resized_images(mode, size):
    @program
    def compare(torch):
        x = torch.arange(2 * 20 * 20, dtype=torch.float64).reshape(1, 2, 20, 20).sin().requires_grad_()
        out = torch.nn.functional.interpolate(x, size, mode=mode)
        (out**2).sum().backward()
        yield out.detach(), x.grad

    compare()
