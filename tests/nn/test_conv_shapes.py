"""Convolutions of shapes that take each of the numpy kernels' ways, with their gradients of both orders."""

import math

import pytest
from both import program

CASES = {  # (images, channels, size), (filters, channels of a group, kernel), options
    "rows": ((3, 9, 12, 13), (5, 9, 3, 2), {"padding": 1}),
    "rows far apart": ((2, 8, 20, 15), (3, 8, 3, 3), {"padding": (2, 3), "dilation": (2, 3)}),
    "rows, more padding than kernel": ((2, 8, 9, 9), (4, 8, 2, 3), {"padding": 4}),
    "rows in one dimension": ((3, 8, 100), (4, 8, 5), {"padding": 2}),
    "rows in three": ((2, 8, 6, 7, 5), (3, 8, 3, 2, 3), {"padding": (1, 0, 2)}),
    "strides": ((5, 8, 16, 15), (6, 8, 3, 3), {"stride": (2, 3), "padding": 1}),
    "strides that leave outputs out": ((2, 9, 10, 10), (4, 9, 3, 3), {"stride": 4, "dilation": 2}),
    "many small images": ((40, 3, 4, 5), (7, 3, 2, 2), {}),
    "groups": ((7, 12, 8, 8), (6, 4, 3, 3), {"groups": 3, "padding": 1}),
    "points": ((9, 10, 6, 6), (8, 10, 1, 1), {}),
    "points of large images": ((2, 4, 40, 40), (3, 4, 1, 1), {}),
    "points with stride": ((3, 4, 7, 7), (5, 4, 1, 1), {"stride": 2}),
    "depthwise": ((3, 6, 11, 10), (6, 1, 3, 4), {"groups": 6, "padding": (1, 2)}),
    "depthwise far apart": ((2, 5, 14, 12), (5, 1, 3, 3), {"groups": 5, "dilation": (2, 3), "padding": 1}),
    "depthwise with stride": ((2, 6, 9, 9), (6, 1, 3, 3), {"groups": 6, "stride": 2, "padding": 1}),
    "several filters a channel": ((2, 4, 9, 9), (12, 1, 3, 3), {"groups": 4, "padding": 1}),
    "depthwise in one dimension": ((3, 4, 30), (4, 1, 5), {"groups": 4, "padding": 4}),
    "no images": ((0, 8, 9, 9), (4, 8, 3, 3), {"padding": 1}),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name):
    @program
    def compare(torch):
        shape, weight, options = CASES[name]
        conv = getattr(torch.nn.functional, f"conv{len(shape) - 2}d")

        def numbers(step, *sizes):
            return (torch.arange(math.prod(sizes), dtype=torch.float64) * step).sin().reshape(sizes)

        x, w, b = numbers(0.7, *shape), numbers(1.3, *weight), numbers(0.2, weight[0])
        for dtype in (torch.float64, torch.float32):
            leaves = [t.to(dtype).requires_grad_() for t in (x, w, b)]
            out = conv(*leaves, **options)
            g = numbers(0.4, *out.shape).to(dtype).requires_grad_()
            first = torch.autograd.grad(out, leaves, g, create_graph=True)
            yield out.detach(), *[t.detach() for t in first]
            if dtype is torch.float64 and shape[0]:
                total = sum((t * t).sum() for t in first[:2])
                yield torch.autograd.grad(total, [*leaves[:2], g])

    compare()


def test_images_with_channels_last_and_repeated_ones():
    @program
    def compare(torch):
        x = (torch.arange(2 * 9 * 11 * 10, dtype=torch.float64) * 0.7).sin().reshape(2, 9, 11, 10)
        w = (torch.arange(4 * 9 * 3 * 3, dtype=torch.float64) * 1.3).sin().reshape(4, 9, 3, 3)
        for image in (x.to(memory_format=torch.channels_last), x[:1].expand(3, -1, -1, -1), x.transpose(2, 3)):
            leaf = w.clone().requires_grad_()
            out = torch.nn.functional.conv2d(image, leaf.transpose(2, 3), padding=1)
            out.square().sum().backward()
            yield out.detach(), leaf.grad

    compare()


def test_an_infinity_reaches_only_the_weights_that_meet_it():
    @program
    def compare(torch):
        x = torch.ones(2, 3, 6, 6)
        x[1, 2, 3, 5] = math.inf
        w = torch.ones(3, 1, 3, 3, requires_grad=True)
        g = torch.linspace(1, 2, 96).reshape(2, 3, 4, 4)
        torch.nn.functional.conv2d(x, w, groups=3).backward(g)
        yield w.grad

    compare()
