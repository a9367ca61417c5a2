"""Samples of activations, convolution, pooling, normalisation and recurrent cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .samples import Maker, Sample, samples

TRIED = ("float64", "float32", "bfloat16", "int64")


def activation(*names: str, given: Any = ((),), **options: Any) -> None:
    """Functions of one tensor of ``nn.functional``."""

    @samples(*names, **{"family": "unary", "dtypes": TRIED, "factor": 2, "accuracy": True, **options})
    def _(make: Maker) -> Iterator[Sample]:
        for rest in given:
            yield make.call(make(3, 4), *rest)
        yield make.call(make(), *given[0])
        yield make.call(make(0, 3), *given[0])


def named(*names: str) -> tuple[str, ...]:
    return tuple(f"nn.functional.{n}" for n in names)


activation(
    *named(
        "relu",
        "relu6",
        "selu",
        "silu",
        "mish",
        "hardsigmoid",
        "hardswish",
        "softsign",
        "tanhshrink",
        "tanh",
        "sigmoid",
        "logsigmoid",
    )
)
activation(*named("leaky_relu"), given=[(), (0.2,)])
activation(*named("elu", "celu"), given=[(), (0.5,)])
activation("hardshrink", *named("softshrink", "hardshrink"), given=[(), (1.0,)])
activation(*named("hardtanh"), given=[(), (-0.5, 2.0)])
activation(*named("softplus"), given=[(), (2.0, 3.0)])
activation("threshold", *named("threshold"), given=[(0.5, 2.0), (0, -1)])
activation("selu_")
activation("celu_", given=[(), (0.5,)])


@samples(*named("gelu"), dtypes=TRIED, family="unary", factor=4)
def _gelu(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3, 4), approximate="tanh")
    yield make.call(make(3, 4), approximate="other")


@samples(*named("glu"), dtypes=TRIED, factor=2)
def _glu(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(4, 3), 0)
    yield make.call(make(3, 3))


@samples("prelu", *named("prelu"), dtypes=TRIED)
def _prelu(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(1))
    yield make.call(make(3, 4), make(4))
    yield make.call(make(2, 3, 2), make(3))
    yield make.call(make(3, 4), make(3))


def conv(name: str, space: tuple[int, ...], transposed: bool = False) -> None:
    @samples(name, *named(name), dtypes=("float64", "float32", "bfloat16"), factor=16, domain=(-1.0, 1.0))
    def _(make: Maker) -> Iterator[Sample]:
        k = (2,) * len(space)
        wide = (4, 3) if not transposed else (3, 4)
        yield make.call(make(2, 3, *space), make(*wide, *k))
        yield make.call(make(2, 3, *space), make(*wide, *k), make(4), 2, 1)
        yield make.call(make(3, *space), make(*wide, *k), make(4), stride=1, padding=1, dilation=2)
        yield make.call(make(2, 4, *space), make(4, 2 if not transposed else 1, *k), groups=2)
        yield make.call(make(2, 2, *space), make(*wide, *k))
        if not transposed:
            yield make.call(make(2, 3, *space), make(*wide, *k), padding="same")
        else:
            yield make.call(make(2, 3, *space), make(*wide, *k), stride=2, output_padding=1)


for _n, _space in ((1, (6,)), (2, (4, 5)), (3, (3, 4, 3))):
    conv(f"conv{_n}d", _space)
    conv(f"conv_transpose{_n}d", _space, transposed=True)


@samples("convolution", dtypes=("float64", "float32"), factor=16)
def _convolution(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 4, 5), make(3, 4, 2), None, [1], [0], [1], False, [0], 1)
    yield make.call(make(2, 4, 5), make(4, 3, 2), make(3), [2], [1], [1], True, [1], 1)
    yield make.call(make(1, 4, 5, 4), make(6, 2, 3, 2), make(6), [1, 2], [1], [2, 1], False, [0, 0], 2)
    yield make.call(make(1, 2, 3, 4, 3), make(2, 2, 2, 2, 2), None, [1], [0], [1], False, [0], 1)
    yield make.call(make(4, 5), make(3, 4, 2), None, [1], [0], [1], False, [0], 1)
    yield make.call(make(2, 4, 5), make(3, 4, 2), None, [1, 1], [0], [1], False, [0], 1)
    yield make.call(make(2, 4, 5), make(3, 4, 2), None, 1, [0], [1], False, [0], 1)


@samples("conv_tbc", dtypes=("float64", "float32"), factor=16)
def _conv_tbc(make: Maker) -> Iterator[Sample]:
    yield make.call(make(5, 2, 3), make(2, 3, 4), make(4), 1)


def pooling(n: int, space: tuple[int, ...]) -> None:
    names = [f"max_pool{n}d", f"max_pool{n}d_with_indices"]

    @samples(*named(*names), dtypes=("float64", "float32", "bfloat16"))
    def _max(make: Maker) -> Iterator[Sample]:
        yield make.call(make(2, 3, *space, distinct=True), 2)
        yield make.call(make(3, *space, distinct=True), 2, 1, 1)
        yield make.call(make(2, 3, *space, distinct=True), 3, stride=2, padding=1, ceil_mode=True)
        yield make.call(make(2, 3, *space, distinct=True), 2, 1, 0, 2)
        yield make.call(make(2, 3, *space, distinct=True), 2, 1, 2)

    @samples(*named(f"avg_pool{n}d"), dtypes=("float64", "float32", "bfloat16"), factor=4)
    def _avg(make: Maker) -> Iterator[Sample]:
        yield make.call(make(2, 3, *space), 2)
        yield make.call(make(3, *space), 2, 1, 1)
        yield make.call(make(2, 3, *space), 3, 2, 1, True, False)

    @samples(
        *named(f"adaptive_avg_pool{n}d", f"adaptive_max_pool{n}d", f"adaptive_max_pool{n}d_with_indices"),
        dtypes=("float64", "float32", "bfloat16"),
        factor=4,
    )
    def _adaptive(make: Maker) -> Iterator[Sample]:
        yield make.call(make(2, 3, *space, distinct=True), 2)
        yield make.call(make(3, *space, distinct=True), (2,) * n)
        yield make.call(make(2, 3, *space, distinct=True), 1)

    @samples(*named(f"max_unpool{n}d"), dtypes=("float64", "float32"))
    def _unpool(make: Maker) -> Iterator[Sample]:
        yield make.call(make(1, 2, *(2,) * n), make.given(_distinct_indices(2, n), "int64"), 2)

    @samples(*named(f"lp_pool{n}d"), dtypes=("float64", "float32"), factor=8, domain=(0.2, 3.0))
    def _lp(make: Maker) -> Iterator[Sample]:
        yield make.call(make(2, 3, *space), 2, 2)
        yield make.call(make(2, 3, *space), 3.0, 2, 1)


def _distinct_indices(channels: int, n: int) -> Any:
    import numpy as np

    one = (np.arange(2**n) * 2).reshape((2,) * n)
    return np.stack([one] * channels)[None]


for _n, _space in ((1, (6,)), (2, (4, 5)), (3, (4, 4, 4))):
    pooling(_n, _space)


@samples(
    *named("fractional_max_pool2d", "fractional_max_pool2d_with_indices"), dtypes=("float64", "float32"), random=True
)
def _fractional2(make: Maker) -> Iterator[Sample]:
    yield make.call(
        make(2, 3, 6, 6, distinct=True), 2, output_size=3, _random_samples=make(2, 3, 2, low=0, high=1, grad=False)
    )


@samples(
    *named("fractional_max_pool3d", "fractional_max_pool3d_with_indices"), dtypes=("float64", "float32"), random=True
)
def _fractional3(make: Maker) -> Iterator[Sample]:
    yield make.call(
        make(1, 2, 6, 6, 6, distinct=True), 2, output_size=3, _random_samples=make(1, 2, 3, low=0, high=1, grad=False)
    )


@samples(*named("pad"))
def _pad(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3), (1, 2))
    yield make.call(make(2, 3), (1, -1, 0, 2), "constant", 1.5)
    for mode in ("reflect", "replicate", "circular"):
        yield make.call(make(2, 3, 4), (1, 2), mode)
        yield make.call(make(2, 3, 4, 4), (1, 2, 2, 1), mode=mode)
    yield make.call(make(2, 3), (1,))
    yield make.call(make(2, 3, 4), (5, 5), "reflect")


@samples("constant_pad_nd")
def _constant_pad(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3), (1, 2))
    yield make.call(make(2, 3), (1, -1, 0, 2), 2)


@samples(*named("unfold"), dtypes=("float64", "float32"))
def _unfold(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, 4, 5), 2)
    yield make.call(make(2, 3, 4, 5), (2, 3), dilation=1, padding=1, stride=2)


@samples(*named("fold"), dtypes=("float64", "float32"))
def _fold(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 12, 12), (4, 5), 2)
    yield make.call(make(2, 12, 9), (4, 4), (2, 2))


@samples("layer_norm", *named("layer_norm"), dtypes=("float64", "float32", "bfloat16"), factor=32)
def _layer_norm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), (4,))
    yield make.call(make(2, 3, 4), (3, 4), make(3, 4), make(3, 4), 1e-3)
    yield make.call(make(2, 3, 4), (4,), make(4))
    yield make.call(make(3, 4), (3,))


@samples("rms_norm", *named("rms_norm"), dtypes=("float64", "float32", "bfloat16"), factor=32)
def _rms_norm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), (4,))
    yield make.call(make(3, 4), (4,), make(4), 1e-3)


@samples("group_norm", *named("group_norm"), dtypes=("float64", "float32", "bfloat16"), factor=32)
def _group_norm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 4, 3), 2)
    yield make.call(make(2, 4, 3), 4, make(4), make(4))
    yield make.call(make(2, 4, 3), 3)


@samples(*named("batch_norm"), dtypes=("float64", "float32"), factor=32)
def _f_batch_norm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(4, 3), make(3, grad=False), make(3, low=0.3, grad=False))
    yield make.call(make(4, 3, 2), make(3, grad=False), make(3, low=0.3, grad=False), make(3), make(3), True)
    yield make.call(make(4, 3), None, None, training=True)


@samples("batch_norm", dtypes=("float64", "float32"), factor=32, errors=False)
def _batch_norm(make: Maker) -> Iterator[Sample]:
    yield make.call(
        make(4, 3), make(3), make(3), make(3, grad=False), make(3, low=0.3, grad=False), False, 0.1, 1e-5, False
    )
    yield make.call(make(4, 3, 2), None, None, None, None, True, 0.1, 1e-5, False)


@samples("instance_norm", dtypes=("float64", "float32"), factor=32, errors=False)
def _instance_norm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, 4), make(3), make(3), None, None, True, 0.1, 1e-5, False)


@samples(*named("instance_norm"), dtypes=("float64", "float32"), factor=32)
def _f_instance_norm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, 4))
    yield make.call(make(2, 3, 4), None, None, make(3), make(3))


@samples("native_layer_norm", dtypes=("float64", "float32"), factor=32, gradient=False, errors=False)
def _native_layer_norm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, 4), (4,), make(4), make(4), 1e-5)


@samples("native_batch_norm", dtypes=("float64", "float32"), factor=32, gradient=False, errors=False)
def _native_batch_norm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(4, 3), make(3), make(3), make(3, grad=False), make(3, low=0.3, grad=False), True, 0.1, 1e-5)


@samples("batch_norm_update_stats", dtypes=("float64", "float32", "int64"), factor=32, gradient=False, errors=False)
def _batch_norm_update_stats(make: Maker) -> Iterator[Sample]:
    yield make.call(make(4, 3, 2), make(3, grad=False), make(3, low=0.3, grad=False), 0.1)
    yield make.call(make(4, 3), None, None, 0.1)


@samples("native_group_norm", dtypes=("float64", "float32"), factor=32, gradient=False, errors=False)
def _native_group_norm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 4, 3), make(4), make(4), 2, 4, 3, 2, 1e-5)
    yield make.call(make(2, 4, 3), None, None, 2, 4, 3, 4, 1e-5)


@samples(*named("local_response_norm"), dtypes=("float64", "float32"), factor=8)
def _lrn(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 4, 3), 2)
    yield make.call(make(2, 4, 3, 3), 3, 1e-2, 0.5, 2.0)


@samples("pixel_shuffle", *named("pixel_shuffle"))
def _pixel_shuffle(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 8, 3, 2), 2)
    yield make.call(make(2, 6, 3, 2), 2)


@samples("pixel_unshuffle", *named("pixel_unshuffle"))
def _pixel_unshuffle(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, 4, 6), 2)
    yield make.call(make(2, 3, 4, 5), 2)


@samples("channel_shuffle", *named("channel_shuffle"), "native_channel_shuffle")
def _channel_shuffle(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 4, 3, 2), 2)
    yield make.call(make(2, 5, 3, 2), 2)


@samples(*named("affine_grid"), dtypes=("float64", "float32"), factor=8)
def _affine_grid(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 2, 3), (2, 3, 4, 5), align_corners=False)
    yield make.call(make(2, 2, 3), (2, 3, 4, 5), align_corners=True)


@samples(*named("scaled_dot_product_attention"), dtypes=("float64", "float32"), factor=32, domain=(-1.0, 1.0))
def _attention(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, 4, 5), make(2, 3, 6, 5), make(2, 3, 6, 5))
    yield make.call(make(2, 4, 5), make(2, 4, 5), make(2, 4, 5), is_causal=True)
    yield make.call(make(2, 4, 5), make(2, 4, 5), make(2, 4, 5), attn_mask=make(4, 4, grad=False), scale=0.3)


@samples(*named("multi_head_attention_forward"), dtypes=("float64", "float32"), factor=32, domain=(-1.0, 1.0))
def _multi_head(make: Maker) -> Iterator[Sample]:
    x = make(3, 2, 4)
    yield make.call(x, x, x, 4, 2, make(12, 4), make(12), None, None, False, 0.0, make(4, 4), make(4), False)


def cells(name: str, gates: int) -> None:
    @samples(name, dtypes=("float64", "float32"), factor=16, domain=(-1.0, 1.0), errors=False)
    def _(make: Maker) -> Iterator[Sample]:
        hidden = (make(2, 4), make(2, 4)) if name == "lstm_cell" else make(2, 4)
        weights = make(gates * 4, 3), make(gates * 4, 4)
        yield make.call(make(2, 3), hidden, *weights, make(gates * 4), make(gates * 4))
        yield make.call(make(2, 3), hidden, *weights)


for _name, _gates in (("lstm_cell", 4), ("gru_cell", 3), ("rnn_tanh_cell", 1), ("rnn_relu_cell", 1)):
    cells(_name, _gates)


def layers(name: str, gates: int) -> None:
    @samples(name, dtypes=("float64", "float32"), factor=16, domain=(-1.0, 1.0), errors=False)
    def _(make: Maker) -> Iterator[Sample]:
        hidden = (make(1, 2, 4), make(1, 2, 4)) if name == "lstm" else make(1, 2, 4)
        weights = [make(gates * 4, 3), make(gates * 4, 4), make(gates * 4), make(gates * 4)]
        yield make.call(make(5, 2, 3), hidden, weights, True, 1, 0.0, False, False, False)
        yield make.call(make(2, 5, 3), hidden, weights, True, 1, 0.0, True, False, True)


for _name, _gates in (("lstm", 4), ("gru", 3), ("rnn_tanh", 1), ("rnn_relu", 1)):
    layers(_name, _gates)


@samples("affine_grid_generator", dtypes=("float64", "float32"), factor=8)
def _affine_grid_generator(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 2, 3), (2, 3, 4, 5), False)
    yield make.call(make(2, 3, 4), (2, 3, 4, 5, 2), True)


@samples(*named("grid_sample"), dtypes=("float64", "float32"), factor=16)
def _grid_sample(make: Maker) -> Iterator[Sample]:
    for mode in ("bilinear", "nearest", "bicubic"):
        for padding in ("zeros", "border", "reflection"):
            yield make.call(
                make(1, 2, 4, 5), make(1, 3, 3, 2, low=-1.2, high=1.2), mode, padding, align_corners=False
            )
    yield make.call(make(1, 2, 3, 4, 3), make(1, 2, 2, 2, 3, low=-1.2, high=1.2), align_corners=True)


@samples("grid_sampler", "grid_sampler_2d", dtypes=("float64", "float32"), factor=16, errors=False)
def _grid_sampler(make: Maker) -> Iterator[Sample]:
    yield make.call(make(1, 2, 4, 5), make(1, 3, 3, 2, low=-1.2, high=1.2), 0, 0, False)
    yield make.call(make(1, 2, 4, 5), make(1, 3, 3, 2, low=-1.2, high=1.2), 1, 1, True)


@samples("grid_sampler_3d", dtypes=("float64", "float32"), factor=16, errors=False)
def _grid_sampler_3d(make: Maker) -> Iterator[Sample]:
    yield make.call(make(1, 2, 3, 4, 3), make(1, 2, 2, 2, 3, low=-1.2, high=1.2), 0, 0, False)


@samples(*named("interpolate"), dtypes=("float64", "float32", "uint8"), factor=16)
def _interpolate(make: Maker) -> Iterator[Sample]:
    yield make.call(make(1, 2, 4, 5), scale_factor=2)
    yield make.call(make(1, 2, 4, 5), (3, 7))
    yield make.call(make(1, 2, 4), 7, mode="linear", align_corners=True)
    for mode in ("bilinear", "bicubic"):
        yield make.call(make(1, 2, 4, 5), (3, 7), mode=mode, align_corners=False)
        yield make.call(make(1, 2, 4, 5), (3, 3), mode=mode, antialias=True)
    yield make.call(make(1, 2, 4, 5), (3, 7), mode="nearest-exact")
    yield make.call(make(1, 2, 4, 5), (2, 3), mode="area")
    yield make.call(make(1, 1, 2, 3, 2), scale_factor=1.5, mode="trilinear")
    yield make.call(make(1, 2, 4, 5))
    yield make.call(make(1, 2, 4, 5), (3,), mode="bilinear")


@samples("max_pool1d", "max_pool1d_with_indices", "avg_pool1d", dtypes=("float64", "float32"), factor=4)
def _pool1d(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, 6, distinct=True), 2)
    yield make.call(make(3, 6, distinct=True), 2, 1, 1)


@samples("adaptive_avg_pool1d", "adaptive_max_pool1d", dtypes=("float64", "float32"), factor=4)
def _adaptive_pool1d(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, 6, distinct=True), 4)
    yield make.call(make(3, 5, distinct=True), (2,))


@samples("max_pool2d", dtypes=("float64", "float32"))
def _pool2d(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, 4, 5, distinct=True), 2)


@samples("max_pool3d", dtypes=("float64", "float32"))
def _pool3d(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, 4, 4, 4, distinct=True), 2)


@samples("fake_quantize_per_tensor_affine", dtypes=("float64", "float32", "bfloat16", "int64"))
def _fake_quantize(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), 0.1, 10, 0, 255)
    yield make.call(make(), 0.1, 0, -8, 7)
    yield make.call(make(0, 3), 0.1, 0, -8, 7)
    yield make.call(make(3, 4), 0.1, 10, 0, 5)
    yield make.call(make(3, 4), 0.1, 0, 6, 5)


@samples("fake_quantize_per_channel_affine", dtypes=("float64", "float32"))
def _fake_quantize_channels(make: Maker) -> Iterator[Sample]:
    scales = make.given([0.1, 0.2, 0.3], "float32", grad=False)
    points = make.given([0, 3, -2], "int32")
    yield make.call(make(3, 4), scales, points, 0, -8, 7)
    yield make.call(make(2, 3), scales, points, 1, -8, 7)
    yield make.call(make(2, 3), scales, points, 0, -8, 7)
    yield make.call(make(3, 4), scales, points, 0, 0, 7)
