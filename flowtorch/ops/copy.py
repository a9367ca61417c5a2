"""Copies: clone, contiguous, copy_, dtype and device conversion, detach."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import devices, dtypes
from flowtorch.array import copies
from flowtorch.array.memory_format import is_channels_last
from flowtorch.array.place import broadcast, moved, placed, store
from flowtorch.array.place import contiguous as gathered
from flowtorch.array.tensortype import tensor_type
from flowtorch.autograd.mode import grad_mode
from flowtorch.dtypes import channels_last, channels_last_3d, contiguous_format, preserve_format
from flowtorch.ops import dispatch, overlap
from flowtorch.ops.families import Family, convert_array, op, view
from flowtorch.ops.op import Op, composite
from flowtorch.ops.order import in_order
from flowtorch.ops.pointwise import nothing
from flowtorch.tensor import Tensor, shared_counter, wrap


def laid_out(array: np.ndarray, memory_format: Any) -> np.ndarray:
    """A copy of ``array`` in the given memory format; preserve_format keeps the strides of dense arrays."""
    if not isinstance(array, np.ndarray):
        from flowtorch.ops.cuda.copies import clone as device_clone

        return device_clone(array, memory_format=memory_format)
    if memory_format is preserve_format or memory_format is None:
        return copies.duplicate(array) if overlap.is_dense(array) else in_order(np.array(array, order="C"), array)
    if memory_format in (channels_last, channels_last_3d):
        n = 4 if memory_format is channels_last else 5
        if array.ndim != n:
            raise RuntimeError(f"required rank {n} tensor to use {memory_format.name} format")
        order = (0, *range(2, n), 1)
        copy = np.ascontiguousarray(array.transpose(order))
        if np.shares_memory(copy, array):
            copy = copy.copy()
        return copy.transpose(tuple(np.argsort(order)))
    return np.array(array, order="C", copy=True)


@op(linear=True, out=False, vjp=(lambda g: g,), low="keep")
def clone(input, *, memory_format=preserve_format):
    """A copy with memory of its own; gradients flow through it. ``detach().clone()`` copies the values alone.

    >>> x = torch.ones(2)
    >>> y = x.clone()
    >>> y[0] = 5
    >>> x
    tensor([1., 1.])
    """
    return laid_out(input, memory_format)


class Conversion(Family):
    """Change of dtype or device: one input, one output of the type that the ``type`` parameter says."""

    name = "conversion"

    def compute(self, op: Op, values: list) -> Any:
        input, target, memory_format = values[:3]
        array = input._array
        if target.device.type == "meta":
            from flowtorch.ops import meta

            return wrap(meta.copied(array, target.numpy, memory_format), target)
        check_readable(input)
        if target.device.type != input._type.device.type:
            array = moved(array, target.device)
        if memory_format is not preserve_format:
            array = laid_out(array, memory_format)
        if target.dtype is not input._type.dtype:
            array = convert_array(gathered(array) if 0 in array.strides else array, target.dtype)
        elif array is input._array:
            array = laid_out(array, preserve_format)
        return wrap(array, target)

    def fast(self, op: Op) -> Any:
        return dispatch.general(op)


def check_readable(t: Tensor) -> None:
    """Refuse to read the elements of a meta tensor: there are none."""
    if t._type.device.type == "meta":
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")


def _convert_body(input, target, memory_format=preserve_format, source=None):
    """Copy to another dtype or device."""


_convert = Op("_to_copy", Conversion(), _convert_body, tensors=("input",), linear=True, method=False, out=False,
              node="ToCopyBackward0", vjp=(lambda g, source: g if source is None else g.to(source),))
_convert.public = convert = _convert.family.fast(_convert)


def to_type(t: Tensor, target: Any, copy: bool = False, memory_format: Any = preserve_format) -> Tensor:
    """``t`` as a tensor of TensorType ``target``: itself if nothing changes and no copy is asked for."""
    same = target.dtype is t.dtype and target.device == t.device
    if same and not copy and (memory_format is preserve_format or t.is_contiguous(memory_format)):
        return t
    return convert(t, target, memory_format, None if target.device == t.device else t.device)


@composite(namespace="Tensor", method=True)
def to(self, *args, **kwargs):
    """Convert dtype and/or device: ``to(dtype)``, ``to(device)``, ``to(device, dtype)``, ``to(other)``.

    Returns ``self`` when nothing changes, unless ``copy=True``; otherwise a copy through which gradients flow.
    ``memory_format`` lays the result out (``torch.channels_last``); ``non_blocking`` is accepted and has no effect on
    the CPU.

    >>> x = torch.tensor([1, 2])
    >>> x.to(torch.float64)
    tensor([1., 2.], dtype=torch.float64)
    >>> x.to(torch.int64) is x
    True
    """
    dtype = dtypes.as_dtype(kwargs.pop("dtype", None))
    device = kwargs.pop("device", None)
    non_blocking = kwargs.pop("non_blocking", False)
    copy = kwargs.pop("copy", False)
    memory_format = kwargs.pop("memory_format", preserve_format)
    other = kwargs.pop("other", None)
    if kwargs:
        raise TypeError(f"to() received an invalid keyword argument: {next(iter(kwargs))!r}")
    rest = [dtypes.as_dtype(a) for a in args] if type in map(type, args) else list(args)
    if rest and isinstance(rest[0], Tensor):
        other = rest.pop(0)
    elif rest and (rest[0] is None or isinstance(rest[0], (str, devices.device)) or type(rest[0]) is int):
        device = rest.pop(0)
        if rest and (rest[0] is None or isinstance(rest[0], dtypes.dtype)):
            dtype = rest.pop(0)
    elif rest and isinstance(rest[0], dtypes.dtype):
        dtype = rest.pop(0)
    if rest and isinstance(rest[0], bool):
        non_blocking = rest.pop(0)
    if rest and isinstance(rest[0], bool):
        copy = rest.pop(0)
    if rest:
        raise TypeError("to() received an invalid combination of arguments - got "
                        f"({', '.join(type(a).__name__ for a in args)}), but expected one of: (torch.dtype), "
                        "(torch.device), (torch.device, torch.dtype), (Tensor)")
    if other is not None:
        device, dtype = other.device, other.dtype
    if dtype is not None and not isinstance(dtype, dtypes.dtype):
        raise TypeError(f"to(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")
    t = self._type
    target_device = t.device if device is None else devices.resolve(device)
    target = tensor_type(t.dtype if dtype is None else dtype, target_device)
    # what is on its way to the host cannot be converted there yet
    if non_blocking and (target_device.type == "cuda" or (
            t.device.type == "cuda" and target.dtype is t.dtype and memory_format is preserve_format)):
        from flowtorch.array.pinned import asynchronous

        with asynchronous():
            return to_type(self, target, copy, memory_format)
    return to_type(self, target, copy, memory_format)


def _cast_method(name, d):
    def cast(self, memory_format=preserve_format):
        return to_type(self, tensor_type(d, self._type.device), False, memory_format)
    cast.__name__ = cast.__qualname__ = name
    cast.__doc__ = f"""This tensor converted to {d!r}, or itself if it has that dtype already.

    >>> torch.tensor([0, 1]).{name}().dtype
    {d!r}
    """
    return composite(cast, namespace="Tensor", method=True)


for _name, _dtype in (
    ("float", dtypes.float32), ("double", dtypes.float64), ("half", dtypes.float16), ("bfloat16", dtypes.bfloat16),
    ("int", dtypes.int32), ("long", dtypes.int64), ("short", dtypes.int16), ("char", dtypes.int8),
    ("byte", dtypes.uint8), ("bool", dtypes.bool_),
    ("chalf", dtypes.complex32), ("cfloat", dtypes.complex64), ("cdouble", dtypes.complex128)):
    _cast_method(_name, _dtype)


@composite(namespace="Tensor", method=True)
def contiguous(self, memory_format=contiguous_format):
    """This tensor if its elements already lie in the order of ``memory_format`` (row by row, by default), else a copy
    that does.

    >>> x = torch.zeros(2, 3).t()
    >>> x.is_contiguous(), x.contiguous().is_contiguous()
    (False, True)
    """
    return self if self.is_contiguous(memory_format) else clone(self, memory_format=memory_format)


def format_of(input: Tensor) -> Any:
    """The memory format of results that follow ``input``: channels-last, or that of contiguous tensors."""
    if input.dim() not in (4, 5) or not input._type.plain or not is_channels_last(input._array):
        return contiguous_format
    return channels_last if input.dim() == 4 else channels_last_3d


def like_channels(result: Tensor, input: Tensor) -> Tensor:
    """``result`` with its channels last in memory if those of ``input`` are."""
    wanted = format_of(input)
    return result if wanted is contiguous_format else result.contiguous(memory_format=wanted)   # type: ignore[attr-defined]


@view(method=False, vjp=(lambda g: g,), linear=True)
def alias(input):
    """A view of the whole tensor."""
    return input.view()


@composite(method=True)
def detach(input):
    """The same memory, cut off from the graph: the result needs no gradient.

    Writing into one of the two is seen by the other, and by the version check of backward.

    >>> x = torch.ones(2, requires_grad=True)
    >>> x.detach()
    tensor([1., 1.])
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"detach(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if not input._type.plain:
        return _detach_special(input)
    t = wrap(input._array, input._type)
    t._counter = shared_counter(input)
    return t


def _detach_special(input):
    from flowtorch import overrides

    if hasattr(input, "__flowtorch_interpret__"):
        return input.__flowtorch_detach__()
    if overrides.has_torch_function((input,)):
        return overrides.handle_torch_function(detach, (input,), input)
    t = wrap(input._array, tensor_type(input._type.dtype, input._type.device, True, input._type.inference))
    t._counter = shared_counter(input)
    return t


@composite(namespace="Tensor", method=True)
def detach_(self):
    """Cut this tensor from its history, in place."""
    if self._view is not None:
        raise RuntimeError("Can't detach views in-place. Use detach() instead. If you are using "
                           "DistributedDataParallel "
                           "(DDP) for training, and gradient_as_bucket_view is set as True, gradients are views of DDP "
                           "buckets, and hence detach_() cannot be called on these gradients. To fix this error, "
                           "please "
                           "refer to the Optimizer.zero_grad() function in torch/optim/optimizer.py as a solution.")
    self._node = None
    self._requires_grad = False
    return self


def _copy_body(input, src, non_blocking=False):
    """Fill with the elements of ``src``, converted and broadcast."""


class Copy(Family):
    """``copy_``: the result has the target's type, whatever the source's."""

    name = "copy"

    def compute(self, op: Op, values: list) -> Any:
        target, source = values[0], values[1]
        if not isinstance(source, Tensor):
            raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(source).__name__}")
        check_readable(source)
        array = source._array
        if array.dtype.kind == "c" and target._array.dtype.kind not in "cW":
            array = array.real
        try:
            array = broadcast(placed(array, target._type.device), target._array.shape)
        except ValueError:
            from flowtorch.errors import broadcast_error

            sentence = broadcast_error([target._array.shape, array.shape])
            if sentence is None:
                sentence = (f"output with shape {list(target._array.shape)} doesn't match the broadcast shape "
                            f"{list(np.broadcast_shapes(target._array.shape, array.shape))}")
            raise RuntimeError(sentence) from None
        return wrap(convert_array(array, target._type.dtype), target._type)

    def fast(self, op: Op) -> Any:
        return dispatch.general(op)


_copy = Op("copy", Copy(), _copy_body, tensors=("input", "src"), linear=("src",), method=False, out=False,
           node="CopyBackwards", vjp=(nothing, lambda g: g), inplace=True)
_copy.public = _copy.family.fast(_copy)


@composite(namespace="Tensor", method=True)
def copy_(self, other, non_blocking=False):
    """Copy ``other``, converted and broadcast, into this tensor and return it.

    >>> torch.zeros(2, 2).copy_(torch.tensor([1, 2]))
    tensor([[1., 2.],
            [1., 2.]])
    """
    if (isinstance(other, Tensor) and self._type.plain and other._type.plain and not dispatch.active
            and not ((self.requires_grad or other.requires_grad) and grad_mode.enabled)
            and not overlap.has_internal_overlap(self._array) and not overlap.shares(self._array, other._array)
            and other._type.device.type != "meta"):
        source = other._array
        try:
            if source.dtype.kind == "c" and self._array.dtype.kind not in "cW":
                source = source.real
            if non_blocking and self._type.device != other._type.device:
                from flowtorch.array.pinned import asynchronous

                with asynchronous():
                    store(self._array, source)
            else:
                store(self._array, source)
        except ValueError:
            pass                     # interpret_inplace says what does not fit
        else:
            self._bump_version()
            return self
    if self._type.device.type == "meta":
        return self                  # nothing to write
    return dispatch.interpret_inplace(_copy, (self, other, non_blocking), {})


_copy.public_inplace = copy_
