"""PyTorch's names of nodes where they follow from more than the function's name.

A node's class is named after its op. PyTorch has several nodes for one function, chosen by the arguments, and one node
for some functions that are several ops here. The first kind is told apart when somebody looks at a node (``shown``),
so that recording costs nothing; the second is named when the function returns (``COMPOSITES``).
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowtorch.autograd.node import Node, Output
from flowtorch.tensor import Tensor

_variants: dict[tuple[type, str], type] = {}


def variant(cls: type, name: str) -> type:
    """A class of nodes that differs from ``cls`` only in its name."""
    found = _variants.get((cls, name))
    if found is None:
        found = _variants[cls, name] = type(name, (cls,), {"__slots__": (), "__module__": cls.__module__})
    return found


def shown(node: Any) -> Any:
    """``node`` under the name that PyTorch gives it."""
    rule = _RULES.get(type(node).__name__)
    if rule is not None:
        try:
            name = rule(node)
        except (AttributeError, IndexError, KeyError, TypeError):
            return node                                          # it was released, and knows no more
        if name is not None and name != type(node).__name__:
            node.__class__ = variant(type(node), name)
    return node


def recorded_as(result: Any, name: str | Callable) -> Any:
    """Name the node that made ``result`` (a tensor or several); ``name`` may be a function of the result."""
    if type(result) is Tensor:
        if result._node is not None:
            _rename(result, name)
    elif isinstance(result, (tuple, list)):
        for t in result:
            recorded_as(t, name)
    return result


def _rename(t: Tensor, name: str | Callable) -> None:
    node: Any = t._node.node if type(t._node) is Output else t._node
    cls = type(node)
    wanted = name if isinstance(name, str) else name(t)
    found = _variants.get((cls, wanted))
    if found is None:
        if cls.__name__ == wanted or not isinstance(node, Node) or "Backward" not in cls.__name__:
            return
        found = variant(cls, wanted)
    node.__class__ = found


def _param(node: Any, name: str) -> Any:
    """A parameter of the call that made ``node``; compiled recorders keep them in the order of the signature."""
    params = node.params
    return params[name] if isinstance(params, dict) else params[0]


def _by_dim(kind: str) -> Callable:
    return lambda node: f"{kind}Backward{int(_param(node, 'dim') is not None)}"


def _squeeze(node: Any) -> str:
    dim = _param(node, "dim")
    return f"SqueezeBackward{0 if dim is None else 1 if isinstance(dim, int) else 2}"


def _pow(node: Any) -> str | None:
    base, exponent = node.saved if len(node.saved) == 2 else (None, None)
    if base is not None and not isinstance(base, Tensor):
        return "PowBackward2"
    return "PowBackward1" if isinstance(exponent, Tensor) else None


def _div(node: Any) -> str | None:
    return "MulBackward0" if len(node.saved) == 2 and isinstance(node.saved[0], (int, float)) else None   # 1 / x


def _sub(node: Any) -> str | None:
    return "RsubBackward1" if node.saved and isinstance(node.saved[0], (int, float)) else None            # 1 - x


def _beside_tensor(kind: str) -> Callable:
    return lambda node: None if isinstance(node.saved[1], (int, float)) else f"{kind}Backward1"


def _clamp(node: Any) -> str | None:
    return None if any(isinstance(bound, Tensor) for bound in node.saved[1:]) else "ClampBackward1"


def _lerp(node: Any) -> str | None:
    return "LerpBackward1" if node.saved and isinstance(node.saved[-1], Tensor) else None


def _pool(kind: str, suffix: str = "") -> Callable:
    def rule(node: Any) -> str:
        shape = node.shape[0] if isinstance(node.shape[0], tuple) else node.shape
        n = len(shape) - 2
        return "SqueezeBackward1" if n == 1 else f"{kind}{n}D{suffix}Backward0"
    return rule


def _nll(node: Any) -> str | None:
    return "NllLoss2DBackward0" if node.saved[0].dim() > 2 else None


_RULES: dict[str, Callable] = {
    "SumBackward0": _by_dim("Sum"), "MeanBackward0": _by_dim("Mean"), "ProdBackward0": _by_dim("Prod"),
    "MedianBackward0": _by_dim("Median"), "NanmedianBackward0": _by_dim("Nanmedian"),
    "FmodBackward0": _beside_tensor("Fmod"), "RemainderBackward0": _beside_tensor("Remainder"),
    "SqueezeBackward0": _squeeze, "PowBackward0": _pow, "DivBackward0": _div, "SubBackward0": _sub,
    "ClampBackward0": _clamp,
    "LerpBackward0": _lerp, "AvgPoolBackward0": _pool("AvgPool"),
    "MaxPoolWithIndicesBackward0": _pool("MaxPool", "WithIndices"),
    "AdaptiveAvgPoolBackward0": _pool("AdaptiveAvgPool"), "AdaptiveMaxPoolBackward0": _pool("AdaptiveMaxPool"),
    "NllLossBackward0": _nll,
    "SortBackward0": lambda node: f"SortBackward{int(_param(node, 'stable') is not None)}",
}  # fmt: skip


def _spatial(pattern: str) -> Callable:
    return lambda t: pattern.format(t.dim() - 2)


# function -> the name of its one node in PyTorch
COMPOSITES: dict[str, str | Callable] = {
    "nn.functional.binary_cross_entropy": "BinaryCrossEntropyBackward0",
    "nn.functional.binary_cross_entropy_with_logits": "BinaryCrossEntropyWithLogitsBackward0",
    "nn.functional.huber_loss": "HuberLossBackward0",
    "nn.functional.smooth_l1_loss": "SmoothL1LossBackward0",
    "nn.functional.soft_margin_loss": "SoftMarginLossBackward0",
    "nn.functional.multi_margin_loss": "MultiMarginLossBackward0",
    "nn.functional.multilabel_margin_loss": "MultilabelMarginLossBackward0",
    "nn.functional.celu": "CeluBackward0", "celu": "CeluBackward0",
    "nn.functional.glu": "GluBackward0",
    "nn.functional.rrelu": "RreluWithNoiseBackward0", "rrelu": "RreluWithNoiseBackward0",
    "nn.functional.batch_norm": "NativeBatchNormBackward0", "batch_norm": "NativeBatchNormBackward0",
    "nn.functional.group_norm": "NativeGroupNormBackward0", "group_norm": "NativeGroupNormBackward0",
    "nn.functional.instance_norm": "ViewBackward0", "instance_norm": "ViewBackward0",
    "nn.functional.pixel_shuffle": "PixelShuffleBackward0", "pixel_shuffle": "PixelShuffleBackward0",
    "nn.functional.pixel_unshuffle": "PixelUnshuffleBackward0", "pixel_unshuffle": "PixelUnshuffleBackward0",
    "nn.functional.channel_shuffle": "ChannelShuffleBackward0", "channel_shuffle": "ChannelShuffleBackward0",
    "nn.functional.grid_sample": _spatial("GridSampler{}DBackward0"),
    "nn.functional.affine_grid": "AffineGridGeneratorBackward0",
    "nn.functional.embedding_bag": "EmbeddingBagBackward0",
    "addr": "AddrBackward0", "block_diag": "BlockDiagBackward0", "dist": "DistBackward0", "renorm": "RenormBackward0",
    "rot90": "Rot90Backward0", "trace": "TraceBackward0", "polar": "PolarBackward0", "kron": "ViewBackward0",
    "nansum": "NansumBackward0", "aminmax": "AminmaxBackward0", "ldexp": "LdexpBackward0",
    "std_mean": "StdMeanBackward0", "var_mean": "VarMeanBackward0",
    "rsub": "RsubBackward1", "clamp_min": "ClampMinBackward0", "clamp_max": "ClampMaxBackward0",
}  # fmt: skip
