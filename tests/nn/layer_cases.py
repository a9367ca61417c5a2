"""The layers under test: constructor arguments and the kinds of input that go with them."""

from dataclasses import dataclass, field

import numpy as np


class Weight:
    """A constructor argument that is a tensor: each library gets its own copy."""

    def __init__(self, *shape):
        self.array = np.random.default_rng(len(shape)).random(shape).astype(np.float32)

    def __repr__(self):
        return f"Weight{self.array.shape}"


@dataclass
class Case:
    """One layer, ``name(*args, **kwargs)``, called on inputs made by ``inputs`` from a random generator."""

    name: str
    args: tuple
    inputs: tuple
    kwargs: dict = field(default_factory=dict)

    def __str__(self):
        options = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.kwargs.items()]
        return f"{self.name}({', '.join(options)})"


def normal(*shape):
    """Standard normal floats."""
    return lambda rng: rng.standard_normal(shape).astype(np.float32)


def unit(*shape):
    """Floats between 0 and 1."""
    return lambda rng: rng.random(shape).astype(np.float32)


def index(high, *shape):
    """Integers below ``high``."""
    return lambda rng: rng.integers(0, high, shape)


def sign(*shape):
    """Ones and minus ones; they need no gradient."""
    return lambda rng: rng.integers(0, 2, shape) * 2 - 1


def fixed(values):
    """The same integers every time."""
    return lambda rng: np.array(values)


def log_probabilities(*shape):
    """Logarithms of probabilities over the last dimension."""

    def make(rng):
        x = rng.standard_normal(shape)
        return (x - np.log(np.exp(x).sum(-1, keepdims=True))).astype(np.float32)

    return make


CASES: list[Case] = []


def add(name, *args, on, **kwargs):
    CASES.append(Case(name, args, tuple(on), kwargs))


# ---- linear

add("Linear", 4, 3, on=[normal(2, 4)])
add("Linear", 4, 3, False, on=[normal(2, 5, 4)])
add("Linear", 4, 3, on=[normal(4)])
add("Bilinear", 3, 4, 5, on=[normal(2, 3), normal(2, 4)])
add("Bilinear", 3, 4, 5, bias=False, on=[normal(2, 2, 3), normal(2, 2, 4)])
add("LazyLinear", 5, on=[normal(3, 4)])
add("Identity", 3, unused=1, on=[normal(2)])

# ---- what exists in one, two and three dimensions

for d in (1, 2, 3):
    s = (6, 7, 5)[:d]
    on = [normal(2, 4, *s)]
    add(f"Conv{d}d", 4, 6, 3, on=on)
    add(f"Conv{d}d", 4, 6, 3, 2, 1, 1, 2, False, on=[normal(4, *s)])
    add(f"Conv{d}d", 4, 6, 3, padding="same", dilation=2, on=on)
    for mode in ("reflect", "replicate", "circular"):
        add(f"Conv{d}d", 4, 6, 3, padding=2, padding_mode=mode, on=on)
        add(f"Conv{d}d", 4, 6, (2, 3, 2)[:d], padding="same", padding_mode=mode, on=on)
    add(f"ConvTranspose{d}d", 4, 6, 3, 2, 1, 1, 2, on=on)
    add(f"ConvTranspose{d}d", 4, 6, 3, on=[normal(4, *s)])
    add(f"LazyConv{d}d", 6, 3, on=on)
    add(f"LazyConvTranspose{d}d", 6, 3, 2, on=on)
    on = [normal(3, 4, *s)]
    add(f"BatchNorm{d}d", 4, on=on)
    add(f"BatchNorm{d}d", 4, momentum=None, affine=False, on=on)
    add(f"BatchNorm{d}d", 4, track_running_stats=False, bias=False, on=on)
    add(f"LazyBatchNorm{d}d", on=on)
    add(f"InstanceNorm{d}d", 4, on=on)
    add(f"InstanceNorm{d}d", 4, affine=True, track_running_stats=True, on=[normal(4, *s)])
    add(f"LazyInstanceNorm{d}d", affine=True, on=on)
    on = [normal(2, 3, *s)]
    for kind in ("Constant", "Zero", "Reflection", "Replication", "Circular"):
        value = (2.5,) if kind == "Constant" else ()
        add(f"{kind}Pad{d}d", 2, *value, on=on)
        add(f"{kind}Pad{d}d", (1, 2, 0, 3, 2, 1)[: 2 * d], *value, on=[normal(3, *s)])
    add(f"MaxPool{d}d", 2, on=on)
    add(f"MaxPool{d}d", 3, 2, 1, ceil_mode=True, return_indices=True, on=on)
    add(f"AvgPool{d}d", 2, 1, on=on)
    add(f"AvgPool{d}d", 3, 2, 1, True, False, on=on)
    add(f"LPPool{d}d", 2, 2, on=on)
    add(f"LPPool{d}d", 2, 3, 1, True, on=on)
    add(f"AdaptiveAvgPool{d}d", 3, on=on)
    add(f"AdaptiveMaxPool{d}d", 2, on=on)
    add(f"Dropout{d}d", 0.4, on=[normal(2, 8, *s)])

# ---- normalisation

add("BatchNorm1d", 4, on=[normal(5, 4)])
add("SyncBatchNorm", 4, on=[normal(5, 4)])
add("LayerNorm", 4, on=[normal(2, 3, 4)])
add("LayerNorm", (3, 4), 1e-3, bias=False, on=[normal(2, 3, 4)])
add("LayerNorm", 4, elementwise_affine=False, on=[normal(2, 3, 4)])
add("GroupNorm", 2, 4, on=[normal(2, 4, 5)])
add("GroupNorm", 2, 4, bias=False, on=[normal(2, 4, 5)])
add("RMSNorm", 4, on=[normal(2, 4)])
add("RMSNorm", (3, 4), 1e-3, False, on=[normal(2, 3, 4)])
add("LocalResponseNorm", 3, on=[normal(2, 6, 5)])
add("LocalResponseNorm", 2, on=[normal(2, 6, 5, 3)])
add("CrossMapLRN2d", 5, on=[normal(2, 9, 3, 2)])

# ---- activations and dropout

for name in [
    "ReLU",
    "Hardtanh",
    "ReLU6",
    "Sigmoid",
    "Hardsigmoid",
    "Tanh",
    "SiLU",
    "Mish",
    "Hardswish",
    "ELU",
    "CELU",
    "SELU",
    "GLU",
    "GELU",
    "Hardshrink",
    "LeakyReLU",
    "LogSigmoid",
    "Softplus",
    "Softshrink",
    "PReLU",
    "Softsign",
    "Tanhshrink",
    "Softmin",
    "Softmax",
    "LogSoftmax",
    "RReLU",
]:
    add(name, on=[normal(4, 6)])
for name in ("ReLU", "ELU", "SiLU", "Hardtanh", "LeakyReLU", "CELU", "RReLU"):
    add(name, inplace=True, on=[normal(4, 6)])
add("Threshold", 0.1, 0.5, on=[normal(3, 3)])
add("PReLU", 4, 0.1, on=[normal(2, 4, 3)])
add("Softmax2d", on=[normal(2, 3, 4, 4)])
add("Softmax", 0, on=[normal(3, 4)])
add("GELU", "tanh", on=[normal(3)])
add("Hardtanh", -2.0, 0.5, on=[normal(9)])
add("CELU", 0.4, on=[normal(9)])
add("ELU", 0.4, on=[normal(9)])
add("Dropout", 0.4, on=[normal(20)])
add("AlphaDropout", 0.4, on=[normal(20)])
add("FeatureAlphaDropout", 0.4, on=[normal(3, 8, 4)])

# ---- tables, shapes, images

add("Embedding", 7, 4, 2, on=[index(7, 3, 2)])
add("Embedding", 7, 4, -1, max_norm=0.5, scale_grad_by_freq=True, on=[index(7, 3, 2)])
add("EmbeddingBag", 7, 4, on=[index(7, 3, 2)])
add("EmbeddingBag", 7, 4, mode="sum", padding_idx=1, max_norm=1.0, on=[index(7, 3, 2)])
add("EmbeddingBag", 7, 4, mode="max", on=[index(7, 9), fixed([0, 2, 2, 6])])
add("Flatten", on=[normal(2, 3, 4)])
add("Flatten", 0, 1, on=[normal(2, 3, 4)])
add("Unflatten", 1, (2, 3), on=[normal(2, 6)])
add("Fold", (4, 5), 2, on=[normal(2, 12, 12)])
add("Unfold", 2, padding=1, on=[normal(2, 3, 4, 5)])
add("PixelShuffle", 2, on=[normal(2, 8, 3, 4)])
add("PixelUnshuffle", 2, on=[normal(2, 2, 6, 4)])
add("ChannelShuffle", 2, on=[normal(2, 6, 3)])
add("Upsample", scale_factor=2, on=[normal(1, 2, 3, 3)])
add("Upsample", size=7, mode="linear", on=[normal(1, 2, 3)])
add("UpsamplingNearest2d", size=5, on=[normal(1, 2, 3, 3)])
add("UpsamplingBilinear2d", scale_factor=(2, 3), on=[normal(1, 2, 3, 3)])
add("CosineSimilarity", on=[normal(3, 4), normal(3, 4)])
add("PairwiseDistance", keepdim=True, on=[normal(3, 4), normal(3, 4)])
add("PairwiseDistance", 1.0, on=[normal(3, 4), normal(4)])
add("AdaptiveLogSoftmaxWithLoss", 8, 10, [3, 6], on=[normal(5, 8), index(10, 5)])
add("AdaptiveLogSoftmaxWithLoss", 8, 10, [3, 6], div_value=2.0, head_bias=True, on=[normal(8), index(10)])

# ---- attention

query, memory = normal(3, 2, 8), normal(4, 2, 8)
add("MultiheadAttention", 8, 2, on=[query, memory, memory])
add("MultiheadAttention", 8, 2, on=[normal(3, 8), normal(4, 8), normal(4, 8)])
add(
    "MultiheadAttention", 8, 2, 0.3, bias=False, add_bias_kv=True, add_zero_attn=True, kdim=5, vdim=6,
    on=[query, normal(4, 2, 5), normal(4, 2, 6)],
)  # fmt: skip
add(
    "MultiheadAttention", 8, 2, add_bias_kv=True, add_zero_attn=True, batch_first=True,
    on=[query, normal(3, 4, 8), normal(3, 4, 8)],
)  # fmt: skip
add("TransformerEncoderLayer", 8, 2, 16, 0.1, on=[query])
add(
    "TransformerEncoderLayer", 8, 2, 16, 0.0, "gelu", norm_first=True, batch_first=True, bias=False, on=[query]
)  # fmt: skip
add("TransformerDecoderLayer", 8, 2, 16, 0.1, on=[query, memory])
add(
    "TransformerDecoderLayer", 8, 2, 16, 0.1, norm_first=True, batch_first=True,
    on=[normal(2, 3, 8), normal(2, 4, 8)],
)  # fmt: skip
add("Transformer", 8, 2, 1, 1, 16, on=[query, memory])

# ---- recurrent

for mode in ("RNN", "LSTM", "GRU"):
    add(mode, 4, 5, on=[normal(6, 2, 4)])
    add(mode, 4, 5, 2, batch_first=True, bidirectional=True, dropout=0.3, on=[normal(2, 6, 4)])
    add(mode, 4, 5, bias=False, on=[normal(6, 4)])
    add(f"{mode}Cell", 4, 5, on=[normal(2, 4)])
    add(f"{mode}Cell", 4, 5, False, on=[normal(4)])
add("RNN", 4, 5, 2, "relu", on=[normal(6, 2, 4)])
add("LSTM", 4, 5, 2, proj_size=3, bidirectional=True, on=[normal(6, 2, 4)])
add("LSTM", 4, 5, 1, False, proj_size=3, on=[normal(6, 2, 4)])
add("RNNCell", 4, 5, nonlinearity="relu", on=[normal(2, 4)])

# ---- losses

for reduction in ("mean", "sum", "none"):
    r = {"reduction": reduction}
    x, y, p = normal(3, 4), normal(3, 4), unit(3, 4)
    for name in ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss"):
        add(name, on=[x, y], **r)
    add("SmoothL1Loss", beta=0.3, on=[x, y], **r)
    add("HuberLoss", delta=0.3, on=[x, y], **r)
    add("KLDivLoss", on=[x, p], **r)
    add("KLDivLoss", log_target=True, on=[x, y], **r)
    add("NLLLoss", on=[x, index(4, 3)], **r)
    add("NLLLoss", Weight(4), ignore_index=1, on=[normal(3, 4, 2), index(4, 3, 2)], **r)
    add("CrossEntropyLoss", on=[x, index(4, 3)], **r)
    add("CrossEntropyLoss", label_smoothing=0.1, on=[normal(4), index(4)], **r)
    add(
        "CrossEntropyLoss", Weight(4), ignore_index=1, label_smoothing=0.2,
        on=[normal(3, 4, 2), index(4, 3, 2)], **r,
    )  # fmt: skip
    add("CrossEntropyLoss", Weight(4), label_smoothing=0.2, on=[normal(3, 4, 2), unit(3, 4, 2)], **r)
    add("PoissonNLLLoss", full=True, on=[x, lambda rng: (rng.random((3, 4)) * 3).astype(np.float32)], **r)
    add("PoissonNLLLoss", log_input=False, on=[p, p], **r)
    add("GaussianNLLLoss", full=True, on=[x, y, p], **r)
    add("GaussianNLLLoss", on=[x, y, unit(3)], **r)
    add("GaussianNLLLoss", on=[x, y, unit(3, 1)], **r)
    add("BCELoss", on=[p, p], **r)
    add("BCELoss", Weight(4), on=[p, p], **r)
    add("BCEWithLogitsLoss", on=[x, p], **r)
    add("BCEWithLogitsLoss", Weight(3, 1), pos_weight=Weight(4), on=[x, p], **r)
    add("HingeEmbeddingLoss", 0.7, on=[x, sign(3, 4)], **r)
    add("SoftMarginLoss", on=[x, sign(3, 4)], **r)
    add("MarginRankingLoss", 0.3, on=[normal(4), normal(4), sign(4)], **r)
    add("CosineEmbeddingLoss", 0.2, on=[x, y, sign(3)], **r)
    add("CosineEmbeddingLoss", 0.2, on=[normal(4), normal(4), sign()], **r)
    add("MultiLabelSoftMarginLoss", Weight(4), on=[x, p], **r)
    add("MultiMarginLoss", on=[x, index(4, 3)], **r)
    add("MultiMarginLoss", 2, 0.5, Weight(4), on=[x, index(4, 3)], **r)
    add("MultiMarginLoss", on=[normal(4), index(4)], **r)
    add("MultiLabelMarginLoss", on=[x, fixed([[1, 2, -1, 0], [-1, 0, 1, 2], [3, 2, 1, 0]])], **r)
    add("MultiLabelMarginLoss", on=[normal(4), fixed([1, 2, -1, 0])], **r)
    add("TripletMarginLoss", swap=True, on=[x, y, normal(3, 4)], **r)
    add("TripletMarginLoss", p=1, on=[normal(4)] * 3, **r)
    add("TripletMarginWithDistanceLoss", on=[x, y, normal(3, 4)], **r)
    lengths = [fixed([8, 7]), fixed([3, 2])]
    add("CTCLoss", on=[log_probabilities(8, 2, 5), lambda rng: rng.integers(1, 5, (2, 3)), *lengths], **r)
    add("LinearCrossEntropyLoss", 4, 5, on=[x, index(5, 3)], **r)
    add("LinearCrossEntropyLoss", 4, 5, out_features=(2,), bias=True, on=[x, index(5, 3, 2)], **r)
add("L1Loss", size_average=False, on=[normal(3), normal(3)])
add("MSELoss", reduce=False, on=[normal(3), normal(3)])
