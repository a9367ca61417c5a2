"""Optimisers, schedules and modules as functions of arrays, so that they are held against a reference like any other.

An optimiser takes some steps and gives parameters and state; a schedule gives its rates; a module gives results,
gradients, what it holds and how it prints, in training and in evaluation.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from ..samples import Array, Sample, Spec, find
from .circumstances import libraries

# Options that choose among implementations of the same step.
SAME = ("foreach", "fused", "capturable", "differentiable")
OPTIMISERS = ("SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop", "Rprop", "ASGD",
              "Adafactor", "SparseAdam", "LBFGS", "Muon")  # fmt: skip
SCHEDULES: dict[str, dict] = {
    "StepLR": {"step_size": 3, "gamma": 0.5}, "MultiStepLR": {"milestones": [2, 5]}, "ExponentialLR": {"gamma": 0.9},
    "ConstantLR": {"total_iters": 3}, "LinearLR": {"total_iters": 4}, "PolynomialLR": {"total_iters": 5, "power": 2.0},
    "CosineAnnealingLR": {"T_max": 4}, "CosineAnnealingWarmRestarts": {"T_0": 2, "T_mult": 2},
    "OneCycleLR": {"max_lr": 1.0, "total_steps": 9}, "CyclicLR": {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 2},
}  # fmt: skip
# module -> (arguments, shapes of what goes in): (n, "int", ...) of whole numbers below n, (0, "unit", ...) of ones
# between zero and one.
MODULES: dict[str, list[tuple[tuple, dict, tuple]]] = {
    "Linear": [((5, 3), {}, ((4, 5),)), ((5, 3), {"bias": False}, ((2, 4, 5),))],
    "Bilinear": [((3, 4, 2), {}, ((5, 3), (5, 4)))],
    "Embedding": [((7, 3), {}, ((7, "int", 2, 4),)), ((7, 3), {"padding_idx": 2, "max_norm": 1.0}, ((7, "int", 9),))],
    "EmbeddingBag": [((7, 3), {"mode": "sum"}, ((7, "int", 2, 4),))],
    "Conv1d": [((2, 4, 3), {"padding": 1, "padding_mode": "circular"}, ((2, 2, 7),))],
    "Conv2d": [
        ((4, 4, 3), {"groups": 2, "stride": 2}, ((2, 4, 7, 6),)),
        ((2, 3, 2), {"padding": "same"}, ((2, 5, 5),)),
    ],
    "Conv3d": [((1, 2, 2), {}, ((1, 1, 3, 4, 3),))],
    "ConvTranspose1d": [((2, 3, 3), {"stride": 2, "output_padding": 1}, ((2, 2, 5),))],
    "ConvTranspose2d": [((2, 3, 3), {"dilation": 2}, ((1, 2, 4, 4),))],
    "BatchNorm1d": [((3,), {}, ((6, 3),)), ((3,), {"momentum": None}, ((4, 3, 5),))],
    "BatchNorm2d": [
        ((3,), {"affine": False}, ((4, 3, 2, 2),)),
        ((3,), {"track_running_stats": False}, ((4, 3, 2, 2),)),
    ],
    "InstanceNorm1d": [((3,), {"affine": True, "track_running_stats": True}, ((4, 3, 5),))],
    "GroupNorm": [((2, 4), {}, ((3, 4, 5),))],
    "LayerNorm": [((5,), {}, ((3, 5),)), (([3, 5],), {"bias": False}, ((2, 3, 5),))],
    "RMSNorm": [((5,), {"eps": 1e-3}, ((3, 5),))],
    "LocalResponseNorm": [((2,), {}, ((2, 4, 5),))],
    "RNN": [((3, 4), {"nonlinearity": "relu"}, ((5, 2, 3),))],
    "LSTM": [((3, 4, 2), {"bidirectional": True}, ((5, 2, 3),)), ((3, 4), {"proj_size": 2}, ((5, 2, 3),))],
    "GRU": [((3, 4), {"batch_first": True, "bias": False}, ((2, 5, 3),))],
    "LSTMCell": [((3, 4), {}, ((2, 3),))],
    "GRUCell": [((3, 4), {}, ((2, 3),))],
    "RNNCell": [((3, 4), {}, ((2, 3),))],
    "MultiheadAttention": [((6, 2), {"batch_first": True}, ((2, 4, 6), (2, 4, 6), (2, 4, 6)))],
    "TransformerEncoderLayer": [((6, 2, 8), {"dropout": 0.0, "norm_first": True}, ((3, 2, 6),))],
    "TransformerDecoderLayer": [((6, 2, 8), {"dropout": 0.0}, ((3, 2, 6), (4, 2, 6)))],
    "MaxPool1d": [((2,), {"return_indices": True}, ((2, 3, 7),))],
    "MaxPool2d": [((3,), {"stride": 2, "padding": 1, "ceil_mode": True}, ((2, 3, 7, 6),))],
    "AvgPool2d": [((2,), {"count_include_pad": False, "padding": 1}, ((1, 2, 5, 5),))],
    "AdaptiveAvgPool2d": [(((2, None),), {}, ((1, 2, 5, 4),))],
    "LPPool1d": [((2, 3), {}, ((1, 2, 7),))],
    "Dropout": [((0.4,), {}, ((5, 6),))], "AlphaDropout": [((0.4,), {}, ((5, 6),))],
    "Dropout2d": [((0.4,), {}, ((3, 4, 2, 2),))],
    "PReLU": [((3,), {}, ((2, 3, 4),))], "GELU": [((), {"approximate": "tanh"}, ((3, 4),))],
    "Softmax": [((0,), {}, ((3, 4),))], "Softplus": [((2.0, 3.0), {}, ((3, 4),))], "RReLU": [((), {}, ((3, 4),))],
    "Threshold": [((0.3, 2.0), {}, ((3, 4),))], "GLU": [((0,), {}, ((4, 3),))], "CELU": [((0.7,), {}, ((3, 4),))],
    "Flatten": [((2,), {}, ((2, 3, 4, 5),))], "Unflatten": [((1, (2, 3)), {}, ((4, 6),))],
    "PixelShuffle": [((2,), {}, ((1, 4, 3, 2),))], "ChannelShuffle": [((2,), {}, ((1, 4, 3),))],
    "Upsample": [((), {"scale_factor": 2, "mode": "bilinear"}, ((1, 2, 3, 4),))],
    "Fold": [(((4, 5), 2), {}, ((1, 8, 12),))], "Unfold": [((2,), {"dilation": 2}, ((1, 2, 4, 5),))],
    "ReflectionPad1d": [((2,), {}, ((1, 2, 5),))], "ZeroPad2d": [(((1, 0, 2, 1),), {}, ((1, 2, 3, 3),))],
    "CosineSimilarity": [((), {"dim": 0}, ((4, 3), (4, 3)))], "PairwiseDistance": [((1.5,), {}, ((4, 3), (4, 3)))],
    "MSELoss": [((), {"reduction": "sum"}, ((4, 3), (4, 3)))], "HuberLoss": [((), {"delta": 0.4}, ((4, 3), (4, 3)))],
    "CrossEntropyLoss": [((), {"label_smoothing": 0.1, "ignore_index": 1}, ((6, 4), (4, "int", 6)))],
    "NLLLoss": [((), {}, ((6, 4), (4, "int", 6)))], "SoftMarginLoss": [((), {}, ((4, 3), (4, 3)))],
    "TripletMarginLoss": [((), {"swap": True, "margin": 0.5}, ((4, 3), (4, 3), (4, 3)))],
    "CrossMapLRN2d": [((3, 1e-2, 0.6, 2.0), {}, ((1, 4, 3, 2),))],
    "BatchNorm3d": [((2,), {"eps": 0.1}, ((2, 2, 2, 2, 2),))],
    "InstanceNorm2d": [((2,), {"track_running_stats": True}, ((2, 2, 3, 2),))],
    "InstanceNorm3d": [((2,), {"affine": True}, ((2, 2, 2, 2, 2),))],
    "ConvTranspose3d": [((1, 2, 2), {"bias": False}, ((1, 1, 2, 3, 2),))],
    "AdaptiveAvgPool1d": [((3,), {}, ((1, 2, 7),))], "AdaptiveAvgPool3d": [((2,), {}, ((1, 2, 3, 4, 3),))],
    "AdaptiveMaxPool1d": [((3,), {"return_indices": True}, ((1, 2, 7),))],
    "AdaptiveMaxPool2d": [(((2, 3),), {}, ((1, 2, 5, 4),))], "AdaptiveMaxPool3d": [((2,), {}, ((1, 1, 3, 4, 3),))],
    "AvgPool1d": [((3, 2), {"padding": 1}, ((1, 2, 7),))],
    "AvgPool3d": [((2,), {"divisor_override": 3}, ((1, 1, 3, 4, 3),))],
    "MaxPool3d": [((2,), {"dilation": 2}, ((1, 1, 4, 4, 3),))], "LPPool2d": [((3.0, 2), {}, ((1, 2, 4, 5),))],
    "LPPool3d": [((1.0, 2), {}, ((1, 1, 2, 4, 3),))],
    "BCELoss": [((), {"reduction": "none"}, ((0, "unit", 4, 3), (0, "unit", 4, 3)))],
    "BCEWithLogitsLoss": [((), {}, ((4, 3), (0, "unit", 4, 3)))], "L1Loss": [((), {}, ((4, 3), (4, 3)))],
    "SmoothL1Loss": [((), {"beta": 0.3}, ((4, 3), (4, 3)))],
    "KLDivLoss": [((), {"log_target": True}, ((4, 3), (4, 3)))],
    "PoissonNLLLoss": [((), {"full": True}, ((4, 3), (0, "unit", 4, 3)))],
    "GaussianNLLLoss": [((), {"full": True}, ((4, 3), (4, 3), (0, "unit", 4, 3)))],
    "MultiLabelSoftMarginLoss": [((), {}, ((4, 3), (0, "unit", 4, 3)))],
    "MultiMarginLoss": [((), {"p": 2, "margin": 0.7}, ((6, 4), (4, "int", 6)))],
    "Dropout1d": [((0.4,), {}, ((3, 4, 2),))], "Dropout3d": [((0.4,), {}, ((3, 4, 2, 1, 2),))],
    "FeatureAlphaDropout": [((0.4,), {}, ((3, 4, 2),))], "ELU": [((0.6,), {}, ((3, 4),))],
    "Hardshrink": [((0.3,), {}, ((3, 4),))], "Hardtanh": [((-0.5, 0.7), {}, ((3, 4),))],
    "Softshrink": [((0.3,), {}, ((3, 4),))], "LeakyReLU": [((0.2,), {}, ((3, 4),))],
    "LogSoftmax": [((0,), {}, ((3, 4),))], "Softmin": [((0,), {}, ((3, 4),))], "Softmax2d": [((), {}, ((1, 3, 2, 2),))],
    **{n: [((), {}, ((3, 4),))] for n in ("Hardsigmoid", "Hardswish", "Identity", "LogSigmoid", "Mish", "ReLU", "ReLU6",
                                          "SELU", "SiLU", "Sigmoid", "Softsign", "Tanh", "Tanhshrink")},
    **{f"{kind}Pad1d": [((2,), {}, ((1, 2, 5),))] for kind in ("Circular", "Replication", "Zero")},
    **{f"{kind}Pad2d": [(((1, 2, 0, 1),), {}, ((1, 2, 4, 3),))] for kind in ("Circular", "Replication", "Reflection")},
    **{f"{kind}Pad3d": [((1,), {}, ((1, 1, 2, 3, 2),))] for kind in ("Circular", "Replication", "Reflection", "Zero")},
    **{f"ConstantPad{n}d": [((1, 2.5), {}, ((1, 2, *[3] * n),))] for n in (1, 2, 3)},
    "PixelUnshuffle": [((2,), {}, ((1, 1, 4, 6),))],
    "UpsamplingNearest2d": [((), {"scale_factor": 2}, ((1, 2, 3, 2),))],
    "UpsamplingBilinear2d": [(((5, 4),), {}, ((1, 2, 3, 2),))],
    "Transformer": [((6, 2, 1, 1, 8), {"dropout": 0.0}, ((3, 2, 6), (4, 2, 6)))],
}  # fmt: skip
CLASSES = {"optim": OPTIMISERS, "optim.lr_scheduler": SCHEDULES, "nn": MODULES}


def load() -> dict[str, Spec]:
    """The classes, under their public names."""
    made = {}
    for place, names in CLASSES.items():
        factor = 32 if place == "nn" else 8  # as gradients of functions have it: they are among a module's results
        for name in names:
            full = f"{place}.{name}"
            made[full] = Spec(full, Samples(place, name), family=place, dtypes=("float32",), factor=factor)
    return made


class Samples:
    """The calls of one class; options of optimisers come from the signature."""

    def __init__(self, place: str, name: str) -> None:
        self.place, self.name = place, name

    def __call__(self, make: Any) -> Iterator[Sample]:
        if self.place == "optim":
            return self.steps(make)
        if self.place == "nn":
            return self.modules(make)
        return iter([Sample((), SCHEDULES[self.name])])

    def steps(self, make: Any) -> Iterator[Sample]:
        import flowtorch

        tensors = [make(3, 4) for _ in range(4)]
        yield Sample(tuple(tensors), {})
        for p in inspect.signature(getattr(flowtorch.optim, self.name).__init__).parameters.values():
            other = another(p.default)
            if p.name not in SAME and other is not None:
                yield Sample(tuple(tensors), {p.name: other})

    def modules(self, make: Any) -> Iterator[Sample]:
        for args, kwargs, shapes in MODULES[self.name]:
            yield Sample((args, *(tensor(make, s) for s in shapes)), kwargs)


def tensor(make: Any, shape: tuple) -> Array:
    """What goes into a module, of one of the three kinds."""
    if "int" in shape:
        return make.index(*shape[2:], below=shape[0])
    return make(*shape[2:], low=0.1, high=0.9) if "unit" in shape else make(*shape)


def another(given: Any) -> Any:
    """A value that an option does not have by itself."""
    if isinstance(given, bool):
        return not given
    if isinstance(given, (int, float)):
        return 0.1 if given == 0 else type(given)(given * 0.5)
    if isinstance(given, tuple) and all(isinstance(x, float) for x in given):
        return tuple(x * 0.9 for x in given)
    return None


def objects(pair: Any, spec: Spec) -> Iterator[str]:
    """The class on both sides, as functions."""
    functions = tuple(driven(spec, library) for library in libraries(pair))
    for sample in spec.samples("float32") if functions else ():
        yield from pair.compare(functions, spec, sample, "")


def driven(spec: Spec, library: Any) -> Callable:
    """The class as a function of arrays."""
    drive = {"optim": steps, "optim.lr_scheduler": rates, "nn": passes}[spec.family]
    return drive(find(library, spec.name), library)


def steps(cls: Any, library: Any) -> Callable:
    """Some steps from equal parameters and gradients: two groups, one of them without a gradient once."""

    def call(p: Any, q: Any, g: Any, h: Any, **options: Any) -> Any:
        params = [p.clone().requires_grad_(), q.clone().requires_grad_()]
        alone = cls.__name__ == "LBFGS"
        optimizer = cls(params if alone else [{"params": params[:1]}, {"params": params[1:], "lr": 0.05}], **options)
        for k in range(4):

            def closure() -> Any:
                optimizer.zero_grad()
                loss = ((params[0] - g) ** 2).sum() + ((params[1] - h) ** 4).sum()
                loss.backward()
                return loss

            grads = [g * (1 - 0.4 * k), h.clone()]
            if cls.__name__ == "SparseAdam":
                grads = [x.to_sparse() for x in grads]
            params[0].grad, params[1].grad = grads[0], None if k == 1 else grads[1]
            optimizer.step(*([closure] if alone else []))
        # what LBFGS has left when it is done is what rounding leaves of zero
        state = [] if alone else [optimizer.state[x] for x in params]
        held = [(k, s[k]) for s in state for k in sorted(s)]
        return [x.detach() for x in params], held, sorted(optimizer.param_groups[0])

    return call


def rates(cls: Any, library: Any) -> Callable:
    """The learning rates of nine steps, what the schedule says of itself, and what it does from its state."""

    def call(**options: Any) -> list:
        made = []
        for _ in range(2):
            params = [library.zeros(1, requires_grad=True) for _ in range(2)]
            groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.2}]
            optimizer = library.optim.SGD(groups, lr=0.5, momentum=0.9)
            made.append((optimizer, cls(optimizer, **options)))
        (optimizer, schedule), (other, again) = made
        seen: list = [settings(optimizer)]
        for k in range(8):
            optimizer.step()
            schedule.step()
            seen.append([*settings(optimizer), [float(x) for x in schedule.get_last_lr()]])
            if k == 3:
                again.load_state_dict(schedule.state_dict())
                other.load_state_dict(optimizer.state_dict())
        for _ in range(3):
            other.step()
            again.step()
        return [seen, settings(other), again.last_epoch]

    return call


def settings(optimizer: Any) -> list[tuple[float, float]]:
    """What schedules may change."""
    return [(float(g["lr"]), float(g["momentum"])) for g in optimizer.param_groups]


def passes(cls: Any, library: Any) -> Callable:
    """Results and gradients in training and evaluation, the tensors that the module holds, and its text."""

    def call(args: tuple, *inputs: Any, **options: Any) -> Any:
        library.manual_seed(5)
        module = cls(*args, **options)
        shown = [str(module), [*module.state_dict()], [p.requires_grad for p in module.parameters()]]
        for training in (True, False):
            module.train(training)
            given = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
            made = module(*given)
            tensors = [t for t in flat(made, library) if t.is_floating_point()]
            weighted = [(t * library.arange(1.0, t.numel() + 1).cos().reshape(t.shape)).sum() for t in tensors]
            leaves = [x for x in [*given, *module.parameters()] if x.requires_grad]
            grads = library.autograd.grad(sum(weighted), leaves, allow_unused=True)
            shown += [made, [g if g is None else g.clone(memory_format=library.contiguous_format) for g in grads]]
        return [*shown, list(module.state_dict().values())]

    return call


def flat(value: Any, library: Any) -> Iterator[Any]:
    if isinstance(value, library.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for v in value:
            yield from flat(v, library)
