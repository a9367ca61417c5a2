"""Random tensors: in-place draws, factories, and draws whose parameters are tensors.

The numbers come from ``flowtorch.streams``; here stand the public signatures, autograd and ``out=``. Gradients do not
flow through a draw: the derivatives are zero, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch import devices, dtypes, random
from flowtorch.autograd.mode import grad_mode
from flowtorch.dtypes import preserve_format
from flowtorch.ops import dispatch, factory
from flowtorch.ops.op import Family, Op, composite
from flowtorch.random import Generator
from flowtorch.streams import integers
from flowtorch.streams import normal as normals
from flowtorch.streams import uniform as uniforms
from flowtorch.tensor import Tensor, default_type, wrap

active = dispatch.active
under_vmap: list = []       # the stacks of vmaps (func/randomness.py), on whichever thread; empty in the common case


def generator_for(name: str, generator: Any, device: devices.device) -> Generator | None:
    """The generator that a call on ``device`` draws from: the given one or the default; None on ``meta``."""
    if generator is not None and not isinstance(generator, Generator):
        raise TypeError(f"{name}(): argument 'generator' must be torch.Generator, not {type(generator).__name__}")
    if under_vmap and under_vmap[0].stack:
        under_vmap[0].check_draw()
    if device.type == "cpu":
        if generator is not None and generator.on_device:
            raise RuntimeError("Expected a 'cpu' device type for generator but found 'cuda'")
        return random.default_generator if generator is None else generator
    if device.type == "meta":
        return None
    from flowtorch.array import philox

    if generator is not None and not generator.on_device:
        raise RuntimeError(f"Expected a '{device.type}' device type for generator but found '{generator.device.type}'")
    return philox.default_generator(device.index or 0) if generator is None else generator


def as_float(name: str, argument: str, position: int, value: Any) -> float:
    """A number given as such or as a one-element tensor."""
    if type(value) is float:
        return value
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, Tensor) and value.numel() == 1 and not value.requires_grad:
        return float(value)
    kind = type(value).__name__
    raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be float, not {kind}")


def as_int(name: str, argument: str, position: int, value: Any) -> int:
    """An integer of 64 bits, given as such or as a one-element tensor."""
    if isinstance(value, (bool, float)) or not hasattr(value, "__index__"):
        kind = type(value).__name__
        raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be int, not {kind}")
    value = value.__index__()
    if not -(2**63) <= value < 2**63:
        raise ValueError("Overflow when unpacking long long")
    return value


# ---------------------------------------------------------------- in place


class Fill(Family):
    """An op that overwrites its first argument with random numbers, in the order of its memory.

    The body takes the array to fill, the parameters as the caller gave them and the generator.
    """

    name = "random"

    def compute(self, op: Op, values: list) -> Any:
        target = values[0]
        if not isinstance(target, Tensor):
            raise TypeError(f"{op.name}(): argument 'self' must be Tensor, not {type(target).__name__}")
        gen = generator_for(op.name, values[-1], target._type.device)
        if gen is not None:
            op.body(target._array, *values[1:-1], generator=gen)
        return wrap(target._array, target._type)

    def fast(self, op: Op) -> Callable:
        body, name = op.body, op.name
        has_from = "from_" in op.names
        # With one argument ``random_`` takes it for its upper bound.
        upper_alone = op.defaults.get("from_", 0) is None
        required = any(n not in op.defaults for n in op.params)

        def call(self: Any, *args: Any, generator: Any = None, **kwargs: Any) -> Any:
            if has_from:
                if "from" in kwargs:
                    kwargs["from_"] = kwargs.pop("from")
                elif upper_alone and len(args) == 1 and not kwargs:
                    args = (0, args[0])
            try:
                kind = self._type
                array = self._array
                simple = not active and kind.fast and array.flags.c_contiguous
                simple = simple and not (self.requires_grad and grad_mode.enabled)
            except AttributeError:
                simple = False
            if not simple:
                return dispatch.interpret_inplace(op, (self, *args), {**kwargs, "generator": generator})
            if args or kwargs or required:
                args = op.bind((self, *args), kwargs)[1:-1]
            gen = generator_for(name, generator, kind.device)
            if gen is not None:
                body(array, *args, generator=gen)
            self._bump_version()
            return self

        dispatch.name_function(call, op)
        dispatch.attach_signature(call, op)
        return call


_family = Fill()


def fills(node: str) -> Callable:
    """Define an in-place draw, the method of the body's name; ``node`` is its name in the tape."""

    def define(body: Callable) -> Callable:
        options: dict[str, Any] = {"out": False, "namespace": "Tensor", "node": node}
        record = Op(body.__name__, _family, body, tensors=("self",), vjp=factory.zeros_like, **options)
        record.jvp_rule = _no_tangent
        record.public = record.public_inplace = _family.fast(record)
        return record.public

    return define


def _no_tangent(tangents: Any, *values: Any) -> Tensor:
    return factory.zeros_like(values[0])


@fills("UniformBackward0")
def uniform_(self, from_=0.0, to=1.0, *, generator=None):
    """Fill with numbers drawn uniformly from [from, to)."""
    low = as_float("uniform_", "from", 1, from_)
    uniforms.uniform_(generator, self, low, as_float("uniform_", "to", 2, to))


@fills("NormalBackward0")
def normal_(self, mean=0.0, std=1.0, *, generator=None):
    """Fill with numbers from the normal distribution of this mean and standard deviation."""
    mean = as_float("normal_", "mean", 1, mean)
    normals.normal_(generator, self, mean, as_float("normal_", "std", 2, std))


@fills("RandomBackward0")
def random_(self, from_=None, to=None, *, generator=None):
    """Fill with integers: ``random_(to)`` below ``to``, ``random_(from, to)`` in [from, to).

    Without an upper bound they go as far as the dtype holds every integer.
    """
    low = None if from_ is None and to is None else as_int("random_", "from", 1, from_ or 0)
    integers.random_(generator, self, low, None if to is None else as_int("random_", "to", 2, to))


@fills("BernoulliBackward2")
def bernoulli_(self, p=0.5, *, generator=None):
    """Fill with ones of probability ``p``, a number or a tensor that broadcasts to this one, and zeros."""
    if isinstance(p, Tensor):
        _check_expansion(p, self.shape)
        uniforms.bernoulli_(generator, self, p._array)
    else:
        uniforms.bernoulli_(generator, self, as_float("bernoulli_", "p", 1, p))


def _check_expansion(p: Tensor, shape: tuple) -> None:
    given = tuple(p.shape)
    if len(given) > len(shape):
        raise RuntimeError(
            f"expand(torch.{p.dtype.label}Tensor{{{list(given)}}}, size={list(shape)}): the number of sizes provided "
            f"({len(shape)}) must be greater or equal to the number of dimensions in the tensor ({len(given)})"
        )
    for back in range(1, len(given) + 1):
        if given[-back] not in (1, shape[-back]):
            raise RuntimeError(
                f"The expanded size of the tensor ({shape[-back]}) must match the existing size ({given[-back]}) at "
                f"non-singleton dimension {len(shape) - back}.  Target sizes: {list(shape)}.  "
                f"Tensor sizes: {list(given)}"
            )


@fills("ExponentialBackward0")
def exponential_(self, lambd=1.0, *, generator=None):
    """Fill with numbers from the exponential distribution of rate ``lambd``."""
    uniforms.exponential_(generator, self, as_float("exponential_", "lambd", 1, lambd))


@fills("GeometricBackward0")
def geometric_(self, p, *, generator=None):
    """Fill with the number of trials up to the first success of probability ``p``."""
    uniforms.geometric_(generator, self, as_float("geometric_", "p", 1, p))


@fills("CauchyBackward0")
def cauchy_(self, median=0.0, sigma=1.0, *, generator=None):
    """Fill with numbers from the Cauchy distribution of this median and half width."""
    median = as_float("cauchy_", "median", 1, median)
    uniforms.cauchy_(generator, self, median, as_float("cauchy_", "sigma", 2, sigma))


@fills("LogNormalBackward0")
def log_normal_(self, mean=1.0, std=2.0, *, generator=None):
    """Fill with exponentials of normal numbers of this mean and standard deviation."""
    mean = as_float("log_normal_", "mean", 1, mean)
    normals.log_normal_(generator, self, mean, as_float("log_normal_", "std", 2, std))


# ---------------------------------------------------------------- factories


def _describe(args: tuple, kwargs: dict) -> str:
    shown = [type(a).__name__ for a in args] + [f"{k}={type(v).__name__}" for k, v in kwargs.items()]
    return ", ".join(shown)


def no_match(name: str, args: tuple, kwargs: dict, forms: str) -> TypeError:
    return TypeError(
        f"{name}() received an invalid combination of arguments - got ({_describe(args, kwargs)}), but expected one "
        f"of: {forms}"
    )


def draw_new(
    name: str,
    shape: tuple,
    draw: Callable[[np.ndarray, Generator], Any],
    generator: Any,
    out: Any,
    dtype: Any,
    device: Any,
    requires_grad: bool,
) -> Tensor:
    """A tensor of this shape filled by ``draw``: a new one, or ``out`` resized."""
    if out is not None:
        return draw_out(name, out, shape, draw, generator, dtype)
    if under_vmap and under_vmap[0].stack:
        return under_vmap[0].draw(
            lambda full: draw_new(name, full, draw, generator, None, dtype, device, requires_grad), shape
        )
    kind = default_type(dtype, device)
    gen = generator_for(name, generator, kind.device)
    array = factory.new_array(shape, kind.numpy, kind.device)
    if gen is not None:
        draw(array, gen)
    return factory.finish(array, kind, requires_grad)


def draw_out(name: str, out: Any, shape: tuple, draw: Callable, generator: Any, dtype: Any) -> Tensor:
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    if dtype is not None and dtype is not out.dtype:
        raise RuntimeError(f"dtype {dtype.label} does not match dtype of out parameter ({out.dtype.label})")
    if tuple(out.shape) != shape:
        out.resize_(shape)  # type: ignore[attr-defined]
    dispatch.check_inplace(out, out.requires_grad and grad_mode.enabled)
    gen = generator_for(name, generator, out.device)
    if gen is not None:
        draw(out._array, gen)
    out._bump_version()
    return out


def _size(name: str, args: tuple, size: Any, kwargs: dict) -> tuple:
    if (size is None) == (not args):
        given = {**kwargs, "size": size} if size is not None else kwargs
        raise no_match(name, args, given, "(tuple of ints size, *, torch.Generator generator, Tensor out, ...)")
    if size is None:
        if (
            len(args) == 1
            and not isinstance(args[0], (tuple, list))
            and (isinstance(args[0], (float, str, bool)) or not hasattr(args[0], "__index__"))
        ):
            kind = type(args[0]).__name__
            raise TypeError(f"{name}(): argument 'size' (position 1) must be tuple of ints, not {kind}")
        return factory._shape(args, name)
    return factory._shape((size,), name)


def _sized(name: str, draw: Callable[[np.ndarray, Generator], Any], doc: str) -> Callable:
    def make(
        *args: Any,
        size: Any = None,
        generator: Any = None,
        out: Any = None,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
        **unknown: Any,
    ) -> Tensor:
        if unknown:
            forms = "(tuple of ints size, *, torch.Generator generator, Tensor out, ...)"
            raise no_match(name, args, unknown, forms)
        dtype = factory._check_options(name, dtype, layout)
        shape = _size(name, args, size, unknown)
        return draw_new(name, shape, draw, generator, out, dtype, device, requires_grad)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = doc
    return composite(make)


rand = _sized("rand", lambda a, gen: uniforms.uniform_(gen, a), """Numbers drawn uniformly from [0, 1); on the CPU the
    same ones that PyTorch draws after the same seed.

    >>> _ = torch.manual_seed(0)
    >>> torch.rand(3)
    tensor([0.4963, 0.7682, 0.0885])
    """)
randn = _sized("randn", lambda a, gen: normals.normal_(gen, a), """Numbers from the standard normal distribution; on
    the CPU the same ones that PyTorch draws after the same seed.

    >>> _ = torch.manual_seed(0)
    >>> torch.randn(3)
    tensor([ 1.5410, -0.2934, -2.1788])
    """)


@composite
def randint(
    *args,
    low=None,
    high=None,
    size=None,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
):
    """Integers drawn uniformly from [0, high) or [low, high): ``randint(high, size)``, ``randint(low, high, size)``.

    The result is int64 unless ``dtype`` says otherwise. RuntimeError if the range is empty.

    >>> _ = torch.manual_seed(0)
    >>> torch.randint(10, (2, 3))
    tensor([[4, 9, 3],
            [0, 3, 9]])
    """
    given = {k: v for k, v in (("low", low), ("high", high), ("size", size)) if v is not None}
    names = ("low", "high", "size")
    if len(args) + len(given) == 2:
        names = names[1:]
    bound = dict(zip(names, args, strict=False)) | given
    if set(bound) != set(names) or len(args) + len(given) != len(names):
        forms = "(int high, tuple of ints size, ...) (int low, int high, tuple of ints size, ...)"
        raise no_match("randint", args, given, forms)
    at = names.index("size") + 1
    if not isinstance(bound["size"], (tuple, list)):
        kind = type(bound["size"]).__name__
        raise TypeError(f"randint(): argument 'size' (position {at}) must be tuple of ints, not {kind}")
    first = as_int("randint", "low", 1, bound.get("low", 0))
    last = as_int("randint", "high", at - 1, bound["high"])
    dtype = factory._check_options("randint", dtype, layout)
    if dtype is None and out is None:
        dtype = dtypes.int64

    def draw(array: np.ndarray, gen: Generator) -> None:
        integers.random_(gen, array, first, last)

    shape = factory._shape((bound["size"],), "randint")
    return draw_new("randint", shape, draw, generator, out, dtype, device, requires_grad)


@composite
def randperm(
    n,
    *,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
):
    """The integers from 0 to ``n - 1`` in random order, as int64.

    >>> torch.randperm(5).sort().values
    tensor([0, 1, 2, 3, 4])
    """
    n = as_int("randperm", "n", 1, n)
    dtype = factory._check_options("randperm", dtype, layout)
    if dtype is None and out is None:
        dtype = dtypes.int64

    def draw(array: np.ndarray, gen: Generator) -> None:
        for row in [array] if array.ndim == 1 else array.reshape(-1, n):        # a vmap asks for one per example
            integers.randperm(gen, row)

    shape = factory._shape((n,), "randperm")
    return draw_new("randperm", shape, draw, generator, out, dtype, device, requires_grad)


def _like(name: str, input: Any, draw: Callable, generator: Any, options: dict) -> Tensor:
    options["dtype"] = factory._check_options(name, options.get("dtype"), options.get("layout"))
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    requires_grad = options.pop("requires_grad", False)
    if not input._type.plain and under_vmap and under_vmap[0].stack:
        dtype = input.dtype if options["dtype"] is None else options["dtype"]
        device = input.device if options["device"] is None else options["device"]
        return draw_new(name, tuple(input.shape), draw, generator, None, dtype, device, requires_grad)
    if hasattr(input, "__flowtorch_drawn__"):
        return input.__flowtorch_drawn__(lambda values: _like(name, values, draw, generator, options))
    result = factory.empty_like(input, **options)
    gen = generator_for(name, generator, result._type.device)
    if gen is not None:
        draw(result._array, gen)
    if requires_grad:
        result.requires_grad = True
    return result


def _like_factory(name: str, draw: Callable, doc: str) -> Callable:
    def make(
        input: Any,
        *,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
        memory_format: Any = preserve_format,
        generator: Any = None,
    ) -> Tensor:
        options = {"dtype": dtype, "layout": layout, "device": device, "memory_format": memory_format}
        return _like(name, input, draw, generator, {**options, "requires_grad": requires_grad})

    make.__name__ = make.__qualname__ = name
    make.__doc__ = doc
    return composite(make)


rand_like = _like_factory(
    "rand_like", lambda a, gen: uniforms.uniform_(gen, a), "``rand`` with the shape, dtype and device of ``input``."
)
randn_like = _like_factory(
    "randn_like", lambda a, gen: normals.normal_(gen, a), """``randn`` with the shape, dtype and device of ``input``.

    >>> torch.randn_like(torch.zeros(2, 3)).shape
    torch.Size([2, 3])
    """
)


@composite
def randint_like(
    input,
    *args,
    low=None,
    high=None,
    dtype=None,
    layout=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
    memory_format=preserve_format,
    generator=None,
):
    """Integers below ``high``, or in [low, high), with the shape, dtype and device of ``input``."""
    given = {k: v for k, v in (("low", low), ("high", high)) if v is not None}
    names = ("high",) if len(args) + len(given) == 1 else ("low", "high")
    bound = dict(zip(names, args, strict=False)) | given
    if set(bound) != set(names) or len(args) + len(given) != len(names):
        forms = "(Tensor input, int high, ...) (Tensor input, int low, int high, ...)"
        raise no_match("randint_like", (input, *args), given, forms)
    first = as_int("randint_like", "low", 2, bound.get("low", 0))
    last = as_int("randint_like", "high", len(names) + 1, bound["high"])
    options = {"dtype": dtype, "layout": layout, "device": device, "memory_format": memory_format}

    def draw(array: np.ndarray, gen: Generator) -> None:
        integers.random_(gen, array, first, last)

    return _like("randint_like", input, draw, generator, {**options, "requires_grad": requires_grad})


# ---------------------------------------------------------------- seeds, which are functions of torch too

for _function in (
    random.manual_seed,
    random.seed,
    random.initial_seed,
    random.get_rng_state,
    random.set_rng_state,
    random.thread_safe_generator,
):
    composite(_function)
