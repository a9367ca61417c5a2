"""The names of classes and functions in checkpoints: PyTorch's on disk, flowtorch's in memory."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from flowtorch import dtypes

# PyTorch's modules name the file that defines a layer: a checkpoint of a whole module holds these paths.
NN_FILES = """
activation: CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax
    Mish MultiheadAttention PReLU RReLU ReLU ReLU6 SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus
    Softshrink Softsign Tanh Tanhshrink Threshold
adaptive: AdaptiveLogSoftmaxWithLoss
batchnorm: BatchNorm1d BatchNorm2d BatchNorm3d LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d
    SyncBatchNorm
channelshuffle: ChannelShuffle
container: Container ModuleDict ModuleList ParameterDict ParameterList Sequential
conv: Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d LazyConv2d
    LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d
distance: CosineSimilarity PairwiseDistance
dropout: AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout
flatten: Flatten Unflatten
fold: Fold Unfold
instancenorm: InstanceNorm1d InstanceNorm2d InstanceNorm3d LazyInstanceNorm1d LazyInstanceNorm2d
    LazyInstanceNorm3d
linear: Bilinear Identity LazyLinear Linear
loss: BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss CrossEntropyLoss GaussianNLLLoss
    HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss LinearCrossEntropyLoss MSELoss MarginRankingLoss
    MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss NLLLoss2d PoissonNLLLoss
    SmoothL1Loss SoftMarginLoss TripletMarginLoss TripletMarginWithDistanceLoss
module: Module
normalization: CrossMapLRN2d GroupNorm LayerNorm LocalResponseNorm RMSNorm
padding: CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d
    ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d
    ZeroPad1d ZeroPad2d ZeroPad3d
pixelshuffle: PixelShuffle PixelUnshuffle
pooling: AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d
    AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d FractionalMaxPool3d LPPool1d
    LPPool2d LPPool3d MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d
rnn: GRU GRUCell LSTM LSTMCell RNN RNNBase RNNCell RNNCellBase
sparse: Embedding EmbeddingBag
transformer: Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder
    TransformerEncoderLayer
upsampling: Upsample UpsamplingBilinear2d UpsamplingNearest2d
"""


def _nn_modules() -> dict[str, str]:
    modules, file = {}, ""
    for word in NN_FILES.split():
        if word.endswith(":"):
            file = word[:-1]
        else:
            modules[word] = f"torch.nn.modules.{file}"
    return modules


NN_MODULES = _nn_modules()
REBUILDERS = "flowtorch.serialization.tensors"
FROM_TYPE = ("_rebuild_from_type", "_rebuild_from_type_v2")


def torch_name(obj: Any) -> tuple[str, str] | None:
    """The module and name under which PyTorch knows one of flowtorch's objects; None for anybody else's."""
    if isinstance(obj, (dtypes.dtype, dtypes.memory_format)):
        return "torch", obj.name
    module = getattr(obj, "__module__", None)
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    if is_torch(module) and sys.modules.get("torch") is sys.modules["flowtorch"]:  # labelled by shim.labels
        module = module.replace("torch", "flowtorch", 1)
    if module.partition(".")[0] != "flowtorch":
        return None
    if name.startswith("_rebuild_"):
        return ("torch._tensor" if name in FROM_TYPE else "torch._utils"), name
    if module.startswith("flowtorch.nn.") and name in NN_MODULES:
        return NN_MODULES[name], name
    if module in ("flowtorch.nn.parameter", "flowtorch.storage"):
        return module.replace("flowtorch", "torch", 1), name
    # Prefer the shortest path that leads to the object: files are arranged differently, public names are the
    # same.
    path = module.split(".")
    for end in range(1, len(path)):
        package = sys.modules.get(".".join(path[:end]))
        if package is not None and package.__dict__.get(name) is obj:
            path = path[:end]
            break
    return ".".join(["torch", *path[1:]]), name


def is_torch(module: str) -> bool:
    """Whether a module named in a checkpoint is PyTorch's."""
    return module == "torch" or module.startswith("torch.")


def find_torch(module: str, name: str, load: bool = True) -> Any:
    """The counterpart of ``module.name`` of PyTorch; AttributeError where there is none.

    The name is looked for in the module of the same path and then in the packages around it. ``load=False``
    looks only at what has been imported, so that a file cannot cause imports.
    """
    if name.startswith("_rebuild_"):
        module = REBUILDERS.replace("flowtorch", "torch", 1)
    path = ["flowtorch", *module.split(".")[1:]]
    while path:
        found = _attribute(_module(".".join(path), load), name)
        if found is not None:
            return found
        path.pop()
    raise AttributeError(f"Can't get attribute '{name}' of '{module}': flowtorch has no counterpart of it")


def _module(path: str, load: bool) -> Any:
    if path in sys.modules or not load:
        return sys.modules.get(path)
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not path.startswith(error.name):
            raise
        return None


def _attribute(module: Any, dotted: str) -> Any:
    found = module
    for part in dotted.split("."):
        found = getattr(found, part, None)
        if found is None:
            break
    return found
