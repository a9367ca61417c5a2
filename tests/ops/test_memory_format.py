"""The strides of results, gradients and optimiser states for channels-last inputs, against torch."""

import numpy as np
import pytest
import torch

import flowtorch
import flowtorch.nn.functional

BOTH = (flowtorch, torch)
VALUES = np.random.default_rng(3).standard_normal((2, 8, 4, 5, 6)).astype(np.float32)

# how the images lie in memory
INPUTS = {
    "last": lambda t, x: x.contiguous(memory_format=t.channels_last),
    "part": lambda t, x: t.cat([x, x], 1).contiguous(memory_format=t.channels_last)[:, : x.shape[1]],
    "rows": lambda t, x: x.contiguous(memory_format=t.channels_last)[:, :, ::2],
    "one": lambda t, x: x[:, :, :1, :1].contiguous(memory_format=t.channels_last),
    "contiguous": lambda t, x: x,
}
CALLS = {
    "conv": lambda t, F, x: F.conv2d(x, weight(t, 4, x.shape[1], 1, 1)),
    "conv padded": lambda t, F, x: F.conv2d(x, weight(t, 4, x.shape[1], 3, 3), padding=1),
    "conv by groups": lambda t, F, x: F.conv2d(x, weight(t, x.shape[1], 1, 1, 1), groups=x.shape[1]),
    "conv transposed": lambda t, F, x: F.conv_transpose2d(x, weight(t, x.shape[1], 4, 2, 2)),
    "conv with a weight so": lambda t, F, x: F.conv2d(
        x, weight(t, 4, x.shape[1], 3, 3).contiguous(memory_format=t.channels_last), padding=1
    ),
    "avg_pool": lambda t, F, x: F.avg_pool2d(x, 1),
    "max_pool": lambda t, F, x: F.max_pool2d(x, 2, 1, 1, return_indices=True),
    "adaptive_avg_pool": lambda t, F, x: F.adaptive_avg_pool2d(x, 2),
    "adaptive_avg_pool of all": lambda t, F, x: F.adaptive_avg_pool2d(x, 1),
    "adaptive_max_pool": lambda t, F, x: F.adaptive_max_pool2d(x, 2),
    "lp_pool": lambda t, F, x: F.lp_pool2d(x, 2, 1),
    "nearest": lambda t, F, x: F.interpolate(x, scale_factor=2),
    "bilinear": lambda t, F, x: F.interpolate(x, size=(7, 9), mode="bilinear"),
    "bicubic": lambda t, F, x: F.interpolate(x, size=(7, 9), mode="bicubic"),
    "area": lambda t, F, x: F.interpolate(x, size=(2, 3), mode="area"),
    "pad": lambda t, F, x: F.pad(x, (1, 2)),
    "replicate": lambda t, F, x: F.pad(x, (1, 1, 1, 1), mode="replicate"),
    "circular": lambda t, F, x: F.pad(x, (1, 1, 1, 1), mode="circular"),
    "batch_norm": lambda t, F, x: F.batch_norm(x, None, None, training=True),
    "batch_norm in evaluation": lambda t, F, x: F.batch_norm(x, t.zeros(x.shape[1]), t.ones(x.shape[1])),
    "group_norm": lambda t, F, x: F.group_norm(x, 2),
    "layer_norm": lambda t, F, x: F.layer_norm(x, x.shape[-1:]),
    "rms_norm": lambda t, F, x: F.rms_norm(x, x.shape[-1:]),
    "pixel_shuffle": lambda t, F, x: F.pixel_shuffle(x, 2),
    "channel_shuffle": lambda t, F, x: F.channel_shuffle(x, 2),
    "roll": lambda t, F, x: t.roll(x, (1, 1), (1, 0)),
    "roll of all": lambda t, F, x: t.roll(x, 1),
    "flip": lambda t, F, x: t.flip(x, (1,)),
    "cat": lambda t, F, x: t.cat([x, x], 1),
    "cat with rows": lambda t, F, x: t.cat([x, x.contiguous()], 1),
    "stack in front": lambda t, F, x: t.stack([x, x], 0),
    "stack by channels": lambda t, F, x: t.stack([x, x], 1),
    "stack at the end": lambda t, F, x: t.stack([x, x], -1),
    "relu": lambda t, F, x: F.relu(x),
    "gelu": lambda t, F, x: F.gelu(x),
    "softmax": lambda t, F, x: F.softmax(x, 1),
    "where": lambda t, F, x: t.where(x > 0, x, 0.0),
    "add": lambda t, F, x: x + weight(t, x.shape[1], 1, 1),
    "clone": lambda t, F, x: x.clone(),
    "to": lambda t, F, x: x.double(),
    "empty_like": lambda t, F, x: t.empty_like(x),
    "dropout": lambda t, F, x: (t.manual_seed(1), F.dropout(x, 0.5))[1],
    "dropout of channels": lambda t, F, x: (t.manual_seed(1), F.dropout2d(x, 0.5))[1],
    "rrelu": lambda t, F, x: (t.manual_seed(1), F.rrelu(x, training=True))[1],
    "sum of channels": lambda t, F, x: x.sum(1, keepdim=True),
    "largest channel": lambda t, F, x: x.amax(1, keepdim=True),
    "norm": lambda t, F, x: t.linalg.vector_norm(x, dim=1),
    "mean": lambda t, F, x: x.mean((2, 3), keepdim=True),
}
UNDEFINED = {"empty_like"}


def weight(t, *shape):
    return t.from_numpy(np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32))


def images(t, kind):
    return INPUTS[kind](t, t.from_numpy(VALUES[:, :, 0].copy()))


def strides(result):
    return [(tuple(r.shape), r.stride()) for r in (result if isinstance(result, tuple) else (result,))]


def numbers(result):
    return [np.asarray(r.tolist()) for r in (result if isinstance(result, tuple) else (result,))]


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", CALLS)
def test_images(name, kind):
    ours, theirs = (CALLS[name](t, t.nn.functional, images(t, kind)) for t in BOTH)
    if kind == "one":  # where an image is one pixel, what can be seen is the order of the rest
        visible = [[[s for n, s in zip(*r, strict=True) if n > 1] for r in strides(v)] for v in (ours, theirs)]
        assert visible[0] == visible[1]
    else:
        assert strides(ours) == strides(theirs)
    if name not in UNDEFINED:
        for a, b in zip(numbers(ours), numbers(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


VOLUMES = {
    "conv": lambda t, F, x: F.conv3d(x, weight(t, 2, 8, 1, 2, 1)),
    "conv transposed": lambda t, F, x: F.conv_transpose3d(x, weight(t, 8, 2, 1, 2, 1)),
    "conv in double precision": lambda t, F, x: F.conv3d(x.double(), weight(t, 2, 8, 1, 2, 1).double()),
    "max_pool": lambda t, F, x: F.max_pool3d(x, 2),
    "avg_pool": lambda t, F, x: F.avg_pool3d(x, 2),
    "adaptive_avg_pool": lambda t, F, x: F.adaptive_avg_pool3d(x, 2),
    "nearest": lambda t, F, x: F.interpolate(x, scale_factor=2),
    "trilinear": lambda t, F, x: F.interpolate(x, scale_factor=2, mode="trilinear"),
    "area": lambda t, F, x: F.interpolate(x, size=(2, 2, 2), mode="area"),
    "pad": lambda t, F, x: F.pad(x, (1, 1)),
    "group_norm": lambda t, F, x: F.group_norm(x, 2),
    "cat": lambda t, F, x: t.cat([x, x], 1),
    "stack": lambda t, F, x: t.stack([x, x], 1),
    "relu": lambda t, F, x: F.relu(x),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes(name):
    calls = [
        VOLUMES[name](t, t.nn.functional, t.from_numpy(VALUES).contiguous(memory_format=t.channels_last_3d))
        for t in BOTH
    ]
    assert strides(calls[0]) == strides(calls[1])
    for a, b in zip(*map(numbers, calls), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("rows", ["input", "weight"])
def test_rows_of_one_dimension(rows):
    """A permuted signal counts as contiguous for a convolution, a permuted weight does not."""

    def call(t):
        x, w = weight(t, 2, 6, 3), weight(t, 4, 2, 3)
        x = x.mT if rows == "input" else x.mT.contiguous()
        w = w.mT if rows == "weight" else w.mT.contiguous()
        return t.nn.functional.conv1d(x, w), t.nn.functional.avg_pool1d(x, 2), t.nn.functional.max_pool1d(x, 2)

    assert strides(call(flowtorch)) == strides(call(torch))


def network(t):
    nn = t.nn
    layers = [nn.Conv2d(8, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(6, 4, 1), nn.GroupNorm(2, 4), nn.Upsample(scale_factor=2, mode="bilinear")]
    return nn.Sequential(*layers, nn.ConvTranspose2d(4, 3, 2), nn.AdaptiveAvgPool2d(2))


@pytest.mark.parametrize("optimizer", ["Adam", "SGD", "RMSprop"])
def test_training_a_network(optimizer):
    """Outputs, gradients of parameters and of the input, and the states of optimisers lie as in torch."""

    def train(t):
        t.manual_seed(0)
        net = network(t).to(memory_format=t.channels_last)
        x = images(t, "last").requires_grad_()
        options = {"lr": 0.01} | ({} if optimizer == "Adam" else {"momentum": 0.9})
        steps = getattr(t.optim, optimizer)(net.parameters(), **options)
        for _ in range(2):
            steps.zero_grad()
            out = net(x)
            out.square().mean().backward()
            steps.step()
        found = [out, x.grad, *net.parameters(), *(p.grad for p in net.parameters())]
        for p in net.parameters():
            found += [v for v in steps.state[p].values() if getattr(v, "ndim", 0)]
        return tuple(v.detach() for v in found)

    ours, theirs = train(flowtorch), train(torch)
    assert [s for s, n in zip(strides(ours), ours, strict=True) if n.dim() < 4 or 1 not in n.shape] == [
        s for s, n in zip(strides(theirs), theirs, strict=True) if n.dim() < 4 or 1 not in n.shape
    ]
    for a, b in zip(numbers(ours), numbers(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-5)


def test_contiguous_inputs_pass_the_rule_untouched():
    """The arrays of a call that is not channels-last reach the kernel as they are."""
    from flowtorch.array.memory_format import following, is_channels_last

    seen = []
    record = type("Record", (), {"names": ("input",), "body": None})
    kernel = following(record, lambda a: seen.append(a) or a, ("input",))
    for shape in ((2, 3, 4, 5), (2, 1, 4, 5), (2, 3, 1, 1), (1, 1, 1, 1), (2, 3, 4), (0, 3, 4, 5), (2, 3)):
        a = np.zeros(shape)
        assert not is_channels_last(a) if a.ndim > 2 else True
        assert kernel(a) is a is seen.pop()
