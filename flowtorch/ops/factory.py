"""New tensors: from Python data, from numpy, filled, ranges."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import devices, dtypes
from flowtorch.array.place import new as new_memory
from flowtorch.array.place import on_host, placed, store
from flowtorch.array.tensortype import tensor_type
from flowtorch.autograd.mode import grad_mode
from flowtorch.dtypes import preserve_format
from flowtorch.native import calls
from flowtorch.ops import dispatch
from flowtorch.ops.arguments import need_number
from flowtorch.ops.families import convert_array
from flowtorch.ops.op import composite
from flowtorch.ops.view import sizes
from flowtorch.tensor import Size, Tensor, default_type, wrap


def finish(array: np.ndarray, type_: Any, requires_grad: bool, pin_memory: bool = False) -> Tensor:
    """A new leaf around ``array``."""
    t = wrap(array if type_.device.type != "cuda" else placed(array, type_.device), type_)
    if pin_memory:
        t = _pinned(t)
    if requires_grad:
        t.requires_grad = True
    return t


def _pinned(t: Tensor) -> Tensor:
    from flowtorch import cuda

    if not cuda.is_available():
        raise RuntimeError("pin_memory=True requires a CUDA or other accelerator backend; there is none here")
    return t.pin_memory()                                                # type: ignore[attr-defined]


def _shape(size: tuple, name: str) -> tuple:
    shape = sizes(size, name)
    for n in shape:
        if n < 0:
            raise RuntimeError("zeros: Dimension size must be non-negative." if name == "zeros" else
                               f"Trying to create tensor with negative dimension {n}: {list(shape)}")
    return shape


def _check_options(name: str, dtype: Any, layout: Any) -> Any:
    dtype = dtypes.as_dtype(dtype)
    if dtype is not None and not isinstance(dtype, dtypes.dtype):
        raise TypeError(f"{name}(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")
    if layout is not None and layout is not dtypes.strided:
        raise NotImplementedError(f"{name}(): layout {layout!r} is not supported; only torch.strided is")
    return dtype


def _sparse(name: str, layout: Any, shape: tuple, dtype: Any, device: Any, requires_grad: bool) -> Any:
    """``zeros`` or ``empty`` in a sparse layout: a tensor without entries."""
    dtype = dtypes.as_dtype(dtype)
    if layout in (dtypes.LAYOUTS["sparse_csr"], dtypes.LAYOUTS["sparse_csc"]):
        from flowtorch.sparse import compressed

        t = compressed.empty(layout, shape, dtype or dtypes.get_default_dtype(), device)
        return t.requires_grad_(requires_grad)                          # type: ignore[attr-defined]
    if layout is not dtypes.LAYOUTS["sparse_coo"]:
        dtype = _check_options(name, dtype, layout)
    from flowtorch.sparse.tensor import empty

    return empty(shape, len(shape), dtype or dtypes.get_default_dtype(), requires_grad, device)


def new_array(shape: tuple, numpy_dtype: np.dtype, device: Any, fill: Any = None) -> np.ndarray:
    """Memory for a tensor of this shape: uninitialised, or filled with one value."""
    if device.type == "meta":
        from flowtorch.array.meta import meta_array

        return meta_array(shape, numpy_dtype)
    if device.type == "cuda":
        array = new_memory(shape, numpy_dtype, device)
        if fill is not None:
            store(array, np.asarray(fill, numpy_dtype))
        return array
    if fill is None:
        return np.empty(shape, numpy_dtype)
    if fill.__class__ is int and fill == 0:
        return np.zeros(shape, numpy_dtype)
    return np.full(shape, fill, numpy_dtype)


def _filled_plainly(fill: Any, sizes: tuple, type_: Any) -> Tensor | None:
    """A tensor of these sizes in ordinary memory; None where the complete path has more to look at."""
    if type(sizes[0]) is not int or not type_.simple:
        return None
    try:
        array = np.zeros(sizes, type_.numpy) if fill == 0 else np.empty(sizes, type_.numpy)
    except (TypeError, ValueError):         # the complete path does it again, and says what is wrong
        return None
    if fill:
        array.fill(fill)
    return wrap(array, type_)


def _filled(name: str, fill: Any, doc: str) -> Any:
    quick: Any = getattr(calls.module, "filled", None) or _filled_plainly           # for plain sizes

    def make(
        *sizes: Any,
        size: Any = None,
        out: Any = None,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
        memory_format: Any = None,
        names: Any = None,
    ) -> Tensor:
        if (layout is size is out is memory_format is None and sizes
                and not (requires_grad or pin_memory) and (dtype is None or dtype.__class__ is dtypes.dtype)):
            made = quick(fill, sizes, default_type(dtype, device))
            if made is not None:
                return made
        if layout is not None and layout is not dtypes.strided:
            if fill == 1:
                raise RuntimeError("full(...) is not implemented for sparse layout")
            return _sparse(name, layout, _shape(sizes if size is None else (size,), name), dtype, device, requires_grad)
        dtype = _check_options(name, dtype, layout)
        shape = _shape(sizes if size is None else (size,), name)
        t = default_type(dtype, device) if out is None or dtype is not None else out._type
        array = new_array(shape, t.numpy, t.device, fill)
        if memory_format is not None and memory_format not in (dtypes.contiguous_format, preserve_format):
            from flowtorch.ops.copy import laid_out

            array = laid_out(array, memory_format)
        if out is not None:
            return dispatch.write_out(dispatch.OutRule(name), out, wrap(array, t))
        return finish(array, t, requires_grad, pin_memory)
    make.__name__ = make.__qualname__ = make.name = name                    # type: ignore[attr-defined]
    make.__doc__ = doc
    return composite(make)


empty = _filled("empty", None, """A tensor of the given size whose memory is not initialised: its values may be
    anything.

    >>> torch.empty(2, 0, 3).shape
    torch.Size([2, 0, 3])
    """)
zeros = _filled("zeros", 0, """A tensor of the given size, filled with 0. Without ``dtype`` it has the default
    floating-point dtype.

    >>> torch.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """)
ones = _filled("ones", 1, """A tensor of the given size, filled with 1. Without ``dtype`` it has the default
    floating-point dtype.

    >>> torch.ones(2, dtype=torch.int64)
    tensor([1, 1])
    """)


@composite
def full(size, fill_value, *, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False,
         names=None):
    """A tensor of the given size filled with the number ``fill_value``. Without ``dtype``, the kind of number
    decides: bool, int64, the default floating-point dtype or its complex partner.

    >>> torch.full((2, 2), 7)
    tensor([[7, 7],
            [7, 7]])
    """
    dtype = _check_options("full", dtype, layout)
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    need_number("full", "fill_value", 2, fill_value)
    if dtype is None:
        dtype = dtypes.scalar_dtype(fill_value) if out is None else out.dtype
    shape = _shape((size,) if isinstance(size, (tuple, list)) else (tuple(size),), "full")
    t = default_type(dtype, device)
    array = new_array(shape, t.numpy, t.device, t.scalar(fill_value).astype(t.numpy))
    if out is not None:
        return dispatch.write_out(dispatch.OutRule("full"), out, wrap(array, t))
    return finish(array, t, requires_grad, pin_memory)


def _like(name: str, fill: Any, doc: str) -> Any:
    quick: Any = getattr(calls.module, "filled", None)

    def make(
        input: Any,
        *args: Any,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
        memory_format: Any = preserve_format,
    ) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
        dtype = _check_options(name, dtype, layout)
        if not input._type.plain:
            special = _like_special(make, input, args, dtype=dtype, device=device, requires_grad=requires_grad,
                                    memory_format=memory_format)
            if special is not NotImplemented:
                return special
        t = input._type
        target = tensor_type(t.dtype if dtype is None else dtype,
                             t.device if device is None else devices.resolve(device), True, grad_mode.inference)
        if (quick is not None and not args and not (requires_grad or pin_memory) and memory_format is preserve_format
                and input._type.simple and input._array.flags.c_contiguous):
            made = quick(fill, input._array.shape, target)
            if made is not None:
                return made
        value = args[0] if args else fill
        if args:
            value = target.scalar(value.item() if isinstance(value, Tensor) else value).astype(target.numpy)
        source = input._array
        if target.device.type == "meta":
            from flowtorch.ops import meta

            return finish(meta.copied(source, target.numpy, memory_format), target, requires_grad)
        if source.flags.c_contiguous:
            array = new_array(source.shape, target.numpy, target.device, value)
        else:
            array = _empty_like(source, target, memory_format)
            if value is not None:
                store(array, np.asarray(value, target.numpy))
        if memory_format in (dtypes.channels_last, dtypes.channels_last_3d):
            from flowtorch.ops.copy import laid_out

            array = laid_out(array, memory_format)
        return finish(array, target, requires_grad, pin_memory)
    make.__name__ = make.__qualname__ = name
    make.__doc__ = doc
    return composite(make) if fill is not None or name == "empty_like" else make


def _empty_like(source: Any, target: Any, memory_format: Any) -> Any:
    """Memory of ``source``'s shape; preserve_format keeps the order of dimensions of dense arrays."""
    from flowtorch.ops.overlap import is_dense

    if memory_format is preserve_format:
        if target.device.type == "cpu" and on_host(source) and is_dense(source):
            return np.empty_like(source, dtype=target.numpy, order="K")
        order = sorted(range(source.ndim), key=lambda d: (-source.strides[d], d))
        if 0 not in source.strides:
            block = new_memory(tuple(source.shape[d] for d in order), target.numpy, target.device)
            return block.transpose(tuple(np.argsort(order).tolist()))
    return new_memory(source.shape, target.numpy, target.device)


def _like_special(make, input, args, **options):
    from flowtorch import overrides

    if hasattr(input, "__flowtorch_like__"):
        return input.__flowtorch_like__(make, args, options)
    if overrides.has_torch_function((input,)):
        return overrides.handle_torch_function(make, (input,), input, *args,
                                               **{k: v for k, v in options.items() if v is not None})
    return NotImplemented


empty_like = _like("empty_like", None, """A tensor with the shape, dtype and device of ``input``, whose memory is not
    initialised.

    >>> torch.empty_like(torch.zeros(2, 3)).shape
    torch.Size([2, 3])
    """)
zeros_like = _like("zeros_like", 0, """A tensor of zeros with the shape, dtype and device of ``input``, unless told
    otherwise.

    >>> torch.zeros_like(torch.tensor([1, 2]))
    tensor([0, 0])
    """)
ones_like = _like("ones_like", 1, """A tensor of ones with the shape, dtype and device of ``input``, unless told
    otherwise.

    >>> torch.ones_like(torch.tensor([1, 2]), dtype=torch.float32)
    tensor([1., 1.])
    """)
_full_like = _like("full_like", None, "")


@composite
def full_like(input, fill_value, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False,
              memory_format=preserve_format):
    """A tensor with the shape, dtype and device of ``input``, filled with the number ``fill_value``.

    >>> torch.full_like(torch.zeros(2), 7)
    tensor([7., 7.])
    """
    need_number("full_like", "fill_value", 2, fill_value)
    return _full_like(input, fill_value, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad,
                      memory_format=memory_format)


def _new(name: str, maker: Any) -> Any:
    def make(self: Any, *shape: Any, size: Any = None, dtype: Any = None, device: Any = None, layout: Any = None,
             pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
        if not self._type.plain and hasattr(self, "__flowtorch_new__"):
            return self.__flowtorch_new__(make, shape if size is None else (size,), {
                "dtype": dtype, "device": device, "requires_grad": requires_grad})
        return maker(*(shape if size is None else (size,)), dtype=self.dtype if dtype is None else dtype, layout=layout,
                     device=self.device if device is None else device, requires_grad=requires_grad)
    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"""``torch.{name[4:]}`` with this tensor's dtype and device.

    >>> torch.ones(1, dtype=torch.int32).{name}(2, 3).dtype
    torch.int32
    """
    return composite(make, namespace="Tensor", method=True)


new_empty, new_zeros, new_ones = _new("new_empty", empty), _new("new_zeros", zeros), _new("new_ones", ones)


@composite(namespace="Tensor", method=True)
def new_full(self, size, fill_value, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
    """``torch.full`` with this tensor's dtype and device."""
    if not self._type.plain and hasattr(self, "__flowtorch_new__"):
        return self.__flowtorch_new__(
            lambda t, *shape, **options: new_full(t, shape, fill_value, **options),
            tuple(size),
            {"dtype": dtype, "device": device, "requires_grad": requires_grad},
        )
    return full(size, fill_value, dtype=self.dtype if dtype is None else dtype,
                device=self.device if device is None else device, requires_grad=requires_grad)


@composite(namespace="Tensor", method=True)
def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
    """``torch.tensor`` with this tensor's dtype and device."""
    return tensor(data, dtype=self.dtype if dtype is None else dtype,
                  device=self.device if device is None else device, requires_grad=requires_grad)


@composite(namespace="Tensor", method=True)
def new(self, *args, device=None):
    """The old constructor with this tensor's dtype: from data, or uninitialised from sizes."""
    if len(args) == 1 and not isinstance(args[0], (int, Size)):
        given = args[0]
        if isinstance(given, Tensor):
            return given.detach() if given.dtype is self.dtype else given.to(self.dtype)
        return self.new_tensor(given, device=device)
    size = args[0] if len(args) == 1 and isinstance(args[0], Size) else args or (0,)
    return self.new_empty(tuple(size), device=device)


# ---------------------------------------------------------------- from data

def _infer_dtype(data: Any) -> dtypes.dtype:
    """The dtype of nested sequences of Python numbers, by the widest kind met."""
    rank = -1
    stack = [data]
    best = None
    while stack:
        x = stack.pop()
        if isinstance(x, (list, tuple)):
            stack.extend(x)
        elif isinstance(x, Tensor):
            best = x.dtype if best is None else dtypes.promote_types(best, x.dtype)
        elif isinstance(x, (np.ndarray, np.generic)) and not isinstance(x, (bool, int, float, complex)):
            d = dtypes.from_numpy_dtype(x.dtype)
            best = d if best is None else dtypes.promote_types(best, d)
        elif hasattr(x, "__len__") and hasattr(x, "__getitem__") and not isinstance(x, (str, bytes, dict)):
            stack.extend(x)
        else:
            r = (
                0
                if isinstance(x, bool)
                else 1
                if isinstance(x, int)
                else 2
                if isinstance(x, float)
                else (
                    3
                    if isinstance(x, complex)
                    else 1
                    if hasattr(x, "__index__")
                    else 2
                    if hasattr(x, "__float__")
                    else None
                )
            )
            if r is None or isinstance(x, (str, bytes)):
                if isinstance(x, (str, bytes)):
                    raise TypeError(f"new(): invalid data type '{type(x).__name__}'")
                raise RuntimeError(f"Could not infer dtype of {type(x).__name__}: tensors hold numbers")
            rank = max(rank, r)
    if rank >= 0:
        number = (dtypes.bool_, dtypes.int64, dtypes.get_default_dtype(), dtypes.default_complex())[rank]
        best = number if best is None else dtypes.promote_types(best, number)
    return dtypes.get_default_dtype() if best is None else best


def _nested_shape(data: Any) -> tuple:
    shape: list[int] = []
    x = data
    while True:
        if isinstance(x, Tensor):
            return (*shape, *x.shape)
        if isinstance(x, np.ndarray):
            return (*shape, *x.shape)
        if isinstance(x, (str, bytes, dict)) or not hasattr(x, "__len__") or not hasattr(x, "__getitem__"):
            return tuple(shape)
        shape.append(len(x))
        if len(x) == 0:
            return tuple(shape)
        x = x[0]


def _plain_data(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.detach().cpu().tolist() if x._type.plain else x.tolist()     # type: ignore[attr-defined]
    if isinstance(x, (list, tuple)):
        return [_plain_data(y) for y in x]
    if isinstance(x, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(x).__name__}'")
    if isinstance(x, (np.ndarray, bool, int, float, complex, np.generic)):
        return x
    if hasattr(x, "__len__") and hasattr(x, "__getitem__"):
        return [_plain_data(x[i]) for i in range(len(x))]
    return x.__index__() if hasattr(x, "__index__") else float(x)


def array_from(data: Any, dtype: dtypes.dtype | None) -> tuple[np.ndarray, dtypes.dtype]:
    """A new array holding ``data`` (numbers, nested sequences, arrays, tensors), and its dtype."""
    if type(data) in (int, float, bool, complex):
        d = dtypes.scalar_dtype(data) if dtype is None else dtype
        if d.rank < 2 and type(data) is float and (data != data or data in (float("inf"), float("-inf"))):
            raise RuntimeError(f"value cannot be converted to type {d.name} without overflow")
        if type(data) is complex and 0 < d.rank < 3:
            raise TypeError("must be real number, not complex" if d.rank == 2 else
                            "'complex' object cannot be interpreted as an integer")
        return convert_array(tensor_type(d).scalar(data), d), d
    if hasattr(data, "_untyped_storage") or type(data).__name__ == "UntypedStorage":
        return _storage_array(data, dtype)
    if hasattr(data, "__array__") and not isinstance(data, (list, tuple, Tensor)):
        a = np.asarray(data)
        d = dtypes.from_numpy_dtype(a.dtype) if dtype is None else dtype
        return np.array(a, dtype=d.numpy, order="C"), d
    d = _infer_dtype(data) if dtype is None else dtype
    shape = _nested_shape(data)
    try:
        a = np.array(_plain_data(data) if _needs_cleaning(data) else data, dtype=_staging(d))
    except OverflowError as error:
        raise RuntimeError(f"Overflow when unpacking long long: {error}") from None
    except (ValueError, TypeError) as error:
        raise _ragged(data, shape, error) from None
    return (a if a.dtype == d.numpy else convert_array(a, d)).reshape(shape), d


def _storage_array(storage: Any, dtype: dtypes.dtype | None) -> tuple[np.ndarray, dtypes.dtype]:
    """The memory of a storage, as elements of ``dtype``: of the storage's own, or int64 where it has none."""
    d = getattr(storage, "dtype", dtypes.int64) if dtype is None else dtype
    return empty(0, dtype=d).set_(storage.untyped())._array, d      # type: ignore[attr-defined]


def _staging(d: dtypes.dtype) -> Any:
    """The numpy type to read Python numbers into before the final conversion (which then wraps or rounds once)."""
    if d in dtypes.LOW_PRECISION or (d.itemsize == 1 and d.is_floating_point):
        return dtypes.compute_dtype(d).numpy if d.is_complex else np.float32
    return np.int64 if d.rank == 1 and d.itemsize < 8 else d.numpy


def _needs_cleaning(data: Any) -> bool:
    while isinstance(data, (list, tuple)) and data:
        if any(
            isinstance(x, Tensor) or not isinstance(x, (list, tuple, int, float, complex, np.generic)) for x in data
        ):
            return True
        if isinstance(data[0], (list, tuple)):
            return any(_needs_cleaning(x) for x in data)
        data = data[0]
    return not isinstance(data, (int, float, complex, list, tuple))


def _ragged(data: Any, shape: tuple, error: Exception) -> Exception:
    """PyTorch's sentence for sequences of unequal length, found by walking them."""
    def walk(x: Any, depth: int) -> Exception | None:
        if depth == len(shape):
            return TypeError("new(): data must be a number, not a sequence") if isinstance(x, (list, tuple)) else None
        if not hasattr(x, "__len__"):
            return TypeError(f"not a sequence of length {shape[depth]}")
        if len(x) != shape[depth]:
            return ValueError(f"expected sequence of length {shape[depth]} at dim {depth} (got {len(x)})")
        for y in x:
            if (found := walk(y, depth + 1)) is not None:
                return found
        return None
    return walk(data, 0) or error


@composite
def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """A new leaf tensor holding a copy of ``data`` (a number, nested sequences, a numpy array).

    >>> import flowtorch as torch
    >>> torch.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    dtype = dtypes.as_dtype(dtype)
    if dtype is not None and not isinstance(dtype, dtypes.dtype):
        raise TypeError(f"tensor(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")
    if isinstance(data, Tensor):
        import warnings

        warnings.warn("To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
                      "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
                      UserWarning, stacklevel=2)
        t = data.detach().clone()                                           # type: ignore[attr-defined]
        t = t.to(device=data.device if device is None else device, dtype=data.dtype if dtype is None else dtype)
        return t.requires_grad_(requires_grad)
    array, d = array_from(data, dtype)
    return finish(array, default_type(d, device), requires_grad, pin_memory)


@composite
def as_tensor(data, dtype=None, device=None):
    """``data`` as a tensor, sharing memory and history where dtype and device allow it.

    >>> x = torch.ones(2)
    >>> torch.as_tensor(x) is x
    True
    """
    if isinstance(data, Tensor):
        return data.to(device=data.device if device is None else device, dtype=data.dtype if dtype is None else dtype)   # type: ignore[attr-defined]
    if isinstance(data, np.ndarray):
        t = from_numpy(data)
        return t.to(device=devices.resolve(device), dtype=t.dtype if dtype is None else dtype)   # type: ignore[attr-defined]
    return tensor(data, dtype=dtype, device=device)


@composite
def from_numpy(ndarray):
    """A tensor over the same memory as a numpy array.

    TypeError for dtypes that tensors cannot have; ValueError for negative strides and foreign byte order.

    >>> import numpy
    >>> a = numpy.zeros(2)
    >>> torch.from_numpy(a).add_(1)
    tensor([1., 1.], dtype=torch.float64)
    >>> a
    array([1., 1.])
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    if type(ndarray) is not np.ndarray:
        ndarray = ndarray.view(np.ndarray)
    d = dtypes.from_numpy_dtype(ndarray.dtype)
    if any(s < 0 for s in ndarray.strides):
        raise ValueError("At least one stride in the given numpy array is negative, and tensors with negative strides "
                         "are "
                         "not currently supported. (You can probably work around this by making a copy of your array "
                         "with "
                         "array.copy().)")
    if ndarray.dtype is not d.numpy:
        ndarray = ndarray.view(d.numpy)             # 'longlong' is 'int64' under another name
    if any(s % ndarray.itemsize for s in ndarray.strides):
        raise ValueError("given numpy array strides not a multiple of the element byte size. Copy the numpy array to "
                         "reallocate the memory.")
    if not ndarray.flags.writeable:
        import warnings

        warnings.warn("The given NumPy array is not writable, and PyTorch does not support non-writable tensors. This "
                      "means "
                      "writing to this tensor will result in undefined behavior. You may want to copy the array to "
                      "protect "
                      "its data or make it writable before converting it to a tensor.", UserWarning, stacklevel=2)
        ndarray = ndarray.copy()
    return wrap(ndarray, tensor_type(d))


@composite
def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False):
    """A 1-d tensor over the memory of an object that has Python's buffer interface."""
    array = np.frombuffer(buffer, np.uint8)
    n = array.size
    if n == 0:
        raise ValueError(f"both buffer length ({n}) and count ({count}) must not be 0")
    if not 0 <= offset < n:
        raise ValueError(f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({n} bytes) "
                         "minus 1")
    width = dtype.itemsize
    if count < 0:
        if (n - offset) % width:
            raise ValueError(f"buffer length ({n - offset} bytes) after offset ({offset} bytes) must be a multiple of "
                             "element "
                             f"size ({width})")
        count = (n - offset) // width
    elif count == 0:
        raise ValueError(f"both buffer length ({n}) and count ({count}) must not be 0")
    elif offset + count * width > n:
        raise ValueError(f"requested buffer length ({count} * {width} bytes) after offset ({offset} bytes) must not "
                         "be greater "
                         f"than actual buffer length ({n} bytes)")
    return finish(np.frombuffer(buffer, dtype.numpy, count, offset), tensor_type(dtype), requires_grad)


def legacy_constructor(cls: type, args: tuple, device: Any = None, **kwargs: Any) -> Any:
    """``Tensor()``, ``Tensor(2, 3)``, ``Tensor([1.0, 2.0])``, ``Tensor(other)``: always the default dtype."""
    if len(args) == 1 and isinstance(args[0], Tensor):
        return args[0].as_subclass(cls) if cls is not Tensor else args[0].detach()      # type: ignore[attr-defined]
    if len(args) == 1 and not isinstance(args[0], int) and (
            hasattr(args[0], "__len__") or isinstance(args[0], np.ndarray)):

        t = empty(args[0]) if isinstance(args[0], Size) else tensor(args[0], dtype=dtypes.get_default_dtype())
    else:
        for a in args:
            if not hasattr(a, "__index__"):
                raise TypeError(f"new(): data must be a sequence (got {type(a).__name__})")
        t = empty(*args) if args else empty(0)
    if device is not None:
        t = t.to(device)                                                    # type: ignore[attr-defined]
    return t if cls is Tensor else Tensor._make_subclass(cls, t)


@composite
def arange(start=0, end=None, step=1, *, out=None, dtype=None, layout=None, device=None, pin_memory=False,
           requires_grad=False):
    """The values ``start``, ``start + step``, ... below ``end``: ``arange(end)``, ``arange(start, end[, step])``.

    Integers give int64, floats the default dtype. RuntimeError if ``step`` is zero or points away from ``end``.

    >>> torch.arange(4)
    tensor([0, 1, 2, 3])
    >>> torch.arange(1, 0, -0.25)
    tensor([1.0000, 0.7500, 0.5000, 0.2500])
    """
    dtype = _check_options("arange", dtype, layout)
    if end is None:
        start, end = 0, start
    start, end, step = (x.item() if isinstance(x, Tensor) else x for x in (start, end, step))
    if dtype is None:
        dtype = (
            (dtypes.get_default_dtype() if any(isinstance(x, float) for x in (start, end, step)) else dtypes.int64)
            if out is None
            else out.dtype
        )
    if dtype is dtypes.bool_ or dtype.is_complex:
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{dtype.label}'")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if any(isinstance(x, float) and not np.isfinite(x) for x in (start, end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    t = default_type(dtype, device)
    if dtype is dtypes.int64:
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise ValueError("step must be nonzero")
    if all(isinstance(x, int) for x in (start, end, step)):
        n = max(-(-(end - start) // step), 0)
    else:
        n = int(np.ceil((end - start) / step))
    if dtype.rank <= 1:
        values = int(start) + np.arange(n, dtype=np.int64) * int(step)
    else:
        values = float(start) + np.arange(n, dtype=np.float64) * float(step)
    array = values.astype(t.numpy)
    if out is not None:
        return dispatch.write_out(dispatch.OutRule("arange"), out, wrap(array, t))
    return finish(array, t, requires_grad)


