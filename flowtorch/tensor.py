"""Tensor: a strided device array plus autograd state. Only the protocol methods stand here; ops attach theirs."""
from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flowtorch import devices, dtypes, overrides
from flowtorch.array.place import moved
from flowtorch.array.size import Size, known_sizes, make_size, note_size
from flowtorch.array.tensortype import TensorType, tensor_type
from flowtorch.autograd.mode import grad_mode
from flowtorch.devices import device as Device
from flowtorch.dtypes import dtype as DType

if TYPE_CHECKING:
    from flowtorch._methods import Methods  # what the records attach: a stub derived from them
else:
    Methods = object

_new: Any = object.__new__
_StrideTrick: Any = type(np.lib.stride_tricks.as_strided(np.zeros(1), (1,)).base)    # what as_strided puts in between


class View(NamedTuple):
    """What a differentiable view knows: the tensor it looks into and how to make the same view again.

    ``Tensor._view`` holds the fields as a plain tuple in this order, since making one costs a third of an object;
    ``view_of`` gives them their names. ``function(parent, *args)`` made this view (``parent`` is the View tuple of the
    tensor it was made from, None where that was the base). ``version`` is the storage's version when the view's own
    ``_node`` was last right; an in-place change of the base or of another view makes it stale, and
    ``autograd.node.edge`` then replays the steps on the base's new history. ``origin`` says what forbids in-place
    changes ("no_grad", "multi_output", "custom", "inference") or is None.
    """

    base: Any
    origin: str | None
    version: int
    parent: Any
    function: Any
    args: tuple

    @property
    def steps(self) -> list[tuple]:
        """(function, arguments) pairs that lead from the base to this view."""
        steps = []
        view: Any = self
        while view is not None:
            view = View._make(view)
            steps.append((view.function, view.args))
            view = view.parent
        return steps[::-1]


_conjugated: dict[int, Any] = {}        # by id, weakly: results of conj(), which PyTorch tells apart from others


def mark_conjugated(t: Tensor) -> Tensor:
    """Let ``t.is_conj()`` be true."""
    key = id(t)
    _conjugated[key] = weakref.ref(t, lambda _: _conjugated.pop(key, None))
    return t


class Tensor(Methods):
    """A multi-dimensional array of one dtype on one device, with autograd.

    ``Tensor(2, 3)`` makes an uninitialised float tensor of that shape, ``Tensor([1, 2])`` a float tensor of those
    values; ``torch.tensor`` is the usual constructor.

    >>> x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    >>> (x ** 2).sum().backward()
    >>> x.grad
    tensor([[2., 4.]])
    """

    __slots__ = ("__dict__", "__weakref__", "_array", "_counter", "_grad", "_node", "_requires_grad", "_type", "_view")

    __array_priority__ = 1000
    __hash__ = object.__hash__
    _backward_hooks: Any = None
    _post_accumulate_grad_hooks: Any = None
    _is_param = False

    _array: np.ndarray
    _type: TensorType
    _requires_grad: bool
    _node: Any              # autograd Node, Output of a node, or None for leaves
    _grad: Tensor | None
    _counter: Any           # version: an int while this tensor alone knows its storage, a shared [int] afterwards
    _view: tuple | None     # the fields of a View

    def __new__(cls, *args: Any, device: Any = None, **kwargs: Any) -> Any:
        from flowtorch.ops import factory

        if cls is not Tensor and cls.__init__ is not object.__init__:
            args, kwargs = args[:1], {}
        return factory.legacy_constructor(cls, args, device=device, **kwargs)

    @staticmethod
    def _make_subclass(cls: type, data: Tensor, require_grad: bool = False, **_: Any) -> Any:
        """A ``cls`` instance that shares ``data``'s memory, without its history."""
        if not isinstance(data, Tensor):
            raise TypeError(f"_make_subclass(): argument 'data' must be Tensor, not {type(data).__name__}")
        t = _new(cls)
        t._array = data._array
        source = data._type
        t._type = tensor_type(source.dtype, source.device, is_plain(cls), source.inference)
        t._counter = shared_counter(data)
        t._node = t._grad = t._view = None
        t._requires_grad = False
        if require_grad:
            if source.dtype.rank < 2:
                raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
            t.requires_grad = True
        return t

    @staticmethod
    def _make_wrapper_subclass(cls: type, size: Any, *args: Any, **options: Any) -> Any:
        """A ``cls`` instance of this size without memory: its ``__torch_dispatch__`` computes everything."""
        from flowtorch.utils._python_dispatch import make_wrapper_subclass

        is_plain(cls)
        return make_wrapper_subclass(cls, size, *args, **options)

    def as_subclass(self, cls: type) -> Any:
        """The same data and history as an instance of ``cls``."""
        return overrides_alias(self, cls)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run ``func`` as for plain tensors and give its tensor results this class."""
        if not all(issubclass(cls, t) for t in types) or overrides.asked_by_stranger():
            return NotImplemented
        with overrides.DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
        return result if func in keeps_plain else convert(result, cls)

    # ---- what the array says
    @property
    def shape(self) -> Size:
        """The size of each dimension, as a ``torch.Size``.

        >>> torch.zeros(2, 3).shape
        torch.Size([2, 3])
        """
        shape = self._array.shape
        try:
            return known_sizes[shape]
        except KeyError:
            return note_size(shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of dimension ``dim``; IndexError if there is no such dimension.

        >>> torch.zeros(2, 3).size(), torch.zeros(2, 3).size(-1)
        (torch.Size([2, 3]), 3)
        """
        if dim is None:
            return make_size(self._array.shape)
        shape = self._array.shape
        n = len(shape)
        if not isinstance(dim, (int, np.integer)) and not hasattr(dim, "__index__"):
            raise TypeError(f"size(): argument 'dim' (position 1) must be int, not {type(dim).__name__}")
        if not -n <= dim < n:
            if n == 0:
                raise IndexError("Dimension specified as 0 but tensor has no dimensions")
            raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
        return shape[dim]

    @property
    def dtype(self) -> DType:
        """The type of the elements.

        >>> torch.ones(1).dtype
        torch.float32
        """
        return self._type.dtype

    @property
    def device(self) -> Device:
        """The device that holds the memory.

        >>> torch.ones(1).device
        device(type='cpu')
        """
        return self._type.device

    @property
    def layout(self) -> dtypes.layout:
        return dtypes.strided

    @property
    def ndim(self) -> int:
        """The number of dimensions.

        >>> torch.zeros(2, 3).ndim
        2
        """
        return self._array.ndim

    def dim(self) -> int:
        """The number of dimensions.

        >>> torch.zeros(2, 3).dim()
        2
        """
        return self._array.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements.

        >>> torch.zeros(2, 3).numel()
        6
        """
        return self._array.size

    nelement = numel

    @property
    def itemsize(self) -> int:
        return self._type.dtype.itemsize

    def element_size(self) -> int:
        """Bytes per element."""
        return self._type.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self._array.size * self._type.dtype.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Steps in memory, in elements, along each dimension or along ``dim``."""
        array = self._array
        width = array.itemsize
        if array.size:
            strides = tuple([s // width for s in array.strides])
        else:                           # numpy says 0 for empty arrays, PyTorch counts a size of 0 as 1
            strides = empty_strides(array)
        if dim is None:
            return strides
        n = array.ndim
        if not -n <= dim < n:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
                             if n else "Dimension specified as 0 but tensor has no dimensions")
        return strides[dim]

    def storage_offset(self) -> int:
        """Where the first element lies in the storage, in elements."""
        array = self._array
        owner = owner_of(array)
        if array.size == 0 and array.base is None:
            return 0
        return (address_of(array) - address_of(owner)) // array.itemsize

    def data_ptr(self) -> int:
        """The address of the first element; 0 for an empty tensor."""
        if self._type.device.type == "meta":
            return self.storage_offset() * self.itemsize
        return address_of(self._array) if self._array.size else 0

    def is_contiguous(self, memory_format: Any = dtypes.contiguous_format) -> bool:
        """Whether memory order is the order of the dimensions (or of ``memory_format``)."""
        if memory_format is dtypes.contiguous_format or memory_format is dtypes.preserve_format:
            return self._array.flags.c_contiguous
        order = (0, 2, 3, 1) if memory_format is dtypes.channels_last else (0, 2, 3, 4, 1)
        return self._array.ndim == len(order) and self._array.transpose(order).flags.c_contiguous

    is_cuda = property(lambda self: self._type.device.type == "cuda")
    is_cpu = property(lambda self: self._type.device.type == "cpu")
    is_meta = property(lambda self: self._type.device.type == "meta")
    is_sparse = is_sparse_csr = is_quantized = is_mkldnn = is_nested = is_mps = is_xpu = is_xla = is_ipu = False
    is_vulkan = is_maia = is_mtia = False
    name = None
    names = property(lambda self: (None,) * self._array.ndim)

    def get_device(self) -> int:
        """The index of the CUDA device, -1 for the CPU."""
        index = self._type.device.index
        return index if self._type.device.type == "cuda" and index is not None else -1

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating-point type (complex types are not).

        >>> torch.ones(1).is_floating_point()
        True
        """
        return self._type.dtype.is_floating_point

    def is_complex(self) -> bool:
        return self._type.dtype.is_complex

    def is_signed(self) -> bool:
        return self._type.dtype.is_signed

    def is_inference(self) -> bool:
        return self._type.inference

    def is_conj(self) -> bool:
        """Whether this is what ``conj()`` gave, or a view of it; the values are conjugated either way."""
        source = self if self._view is None else self._view[0]
        return id(source) in _conjugated and self._type.dtype.is_complex

    def is_neg(self) -> bool:
        return False

    # ---- autograd state
    @property
    def requires_grad(self) -> bool:
        """Whether gradients are computed for this tensor. Leaves may be told by assignment.

        >>> torch.ones(1, requires_grad=True).requires_grad
        True
        """
        if self._requires_grad:
            return True
        view = self._view                   # one made under no_grad says so too, though no gradient reaches its base
        return view is not None and view[0]._requires_grad and self._type.dtype.rank >= 2

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise RuntimeError("requires_grad must be a bool")
        if value == self._requires_grad or (value and self._node is None and not self.is_leaf):
            return
        if self._node is not None or (not value and self.requires_grad and not self.is_leaf):
            raise RuntimeError("you can only change requires_grad flags of leaf variables. If you want to use a "
                               "computed variable in a subgraph that doesn't require differentiation use "
                               "var_no_grad = var.detach().")
        if value and self._type.dtype.rank < 2:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        if value and self._type.inference and not grad_mode.inference:
            raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
        self._requires_grad = value

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set ``requires_grad``, in place, and return this tensor. RuntimeError for integers, and for False on a
        non-leaf.

        >>> torch.ones(2).requires_grad_()
        tensor([1., 1.], requires_grad=True)
        """
        if requires_grad and self._type.dtype.rank < 2:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether the user made this tensor (or it needs no gradient): its gradient lands in ``grad``."""
        return self._node is None and (self._requires_grad or self._view is None or self._view[1] is not None
                                       or not self.requires_grad)

    @property
    def _version(self) -> int:
        c = self._counter
        if self._type.inference:
            raise RuntimeError("Inference tensors do not track version counter.")
        return c if type(c) is int else c[0]

    def _bump_version(self) -> None:
        """Note that the memory was written: saved tensors that share it become stale."""
        c = self._counter
        if type(c) is int:
            self._counter = c + 1
        else:
            c[0] += 1

    @property
    def data(self) -> Any:
        """The same memory without history, and unseen by the version check of backward; ``detach()`` is the safer
        choice.

        >>> torch.ones(2, requires_grad=True).data
        tensor([1., 1.])
        """
        t = wrap(self._array, self._type)
        if type(self) is not Tensor and self._type.plain is False:
            return self._make_subclass(type(self), t)
        return t

    @data.setter
    def data(self, new: Tensor) -> None:
        if not isinstance(new, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(new).__name__}")
        if self._requires_grad and new._type.dtype.rank < 2:
            raise RuntimeError("data set to a tensor that requires gradients must be floating point or complex dtype")
        self._array = new._array
        self._type = tensor_type(new._type.dtype, new._type.device, self._type.plain, new._type.inference)

    @property
    def _cdata(self) -> int:
        """A number that tells this tensor from every other that lives."""
        return id(self)

    def _is_view(self) -> bool:
        return self._view is not None

    @property
    def _base(self) -> Tensor | None:
        return None if self._view is None else self._view[0]

    # ---- conversion to Python and numpy
    def item(self) -> Any:
        """The value of a one-element tensor as a Python number; RuntimeError for any other number of elements.

        >>> torch.tensor([2.5]).item()
        2.5
        """
        array = self._array
        if array.size != 1:
            raise RuntimeError(f"a Tensor with {array.size} elements cannot be converted to Scalar (its shape is "
                               f"{list(array.shape)}; tolist() takes any)")
        kind = self._type.device.type
        if kind != "cpu":
            if kind == "meta":
                raise RuntimeError("Tensor.item() cannot be called on meta tensors")
            if kind == "cuda":
                from flowtorch.array.cuda import to_host

                array = to_host(array)
        value = array.item()
        return value if type(value) in _python_numbers else float(value)      # ml_dtypes scalars

    def tolist(self) -> Any:
        """Nested lists of Python numbers (one number for a 0-d tensor).

        >>> torch.tensor([[1, 2], [3, 4]]).tolist()
        [[1, 2], [3, 4]]
        """
        if self._type.device.type == "meta":
            raise NotImplementedError("Cannot copy out of meta tensor; no data!")
        array = moved(self._array, devices.cpu)
        return (array if array.dtype.kind in "biufcW" else array.astype(np.float32)).tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """A numpy array over the same memory; ``force=True`` detaches and copies to the CPU first.

        RuntimeError for tensors that require a gradient, TypeError for those on a GPU: ``detach()`` or ``cpu()``
        first.

        >>> torch.ones(2).numpy()
        array([1., 1.], dtype=float32)
        """
        if not force:
            if self.requires_grad and grad_mode.enabled:
                raise RuntimeError("Can't call numpy() on Tensor that requires grad. "
                                   "Use tensor.detach().numpy() instead.")
            if self._type.device.type != "cpu":
                raise TypeError(f"can't convert {self._type.device} device type tensor to numpy. "
                                "Use Tensor.cpu() to copy the tensor to host memory first.")
        if self._array.dtype.kind == "V" or self._type.dtype.name in dtypes._ML_DTYPES:
            raise TypeError(f"Got unsupported ScalarType {self._type.dtype.label}")
        return self._array if not force else (self._array.copy() if self.is_cuda else self._array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self._type.dtype.name in dtypes._ML_DTYPES:
            self.numpy()
        array = self.numpy()
        if dtype is not None and np.dtype(dtype) != array.dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_wrap__(self, array: np.ndarray, context: Any = None, return_scalar: bool = False) -> Any:
        if array.dtype == bool:
            array = array.astype(np.uint8)
        from flowtorch.ops import factory

        return factory.from_numpy(np.asarray(array))

    def _scalar(self, kind: str) -> Any:
        if self._array.size != 1:
            if kind == "bool":
                if self._array.size == 0:
                    raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
                raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous (its shape is "
                                   f"{list(self._array.shape)}): use any() or all()")
            raise ValueError("only one element tensors can be converted to Python scalars, not one of shape "
                             f"{list(self._array.shape)}")
        return self.item()

    def __bool__(self) -> bool:
        return bool(self._scalar("bool"))

    def __int__(self) -> int:
        return int(self._scalar("int"))

    def __float__(self) -> float:
        value = self._scalar("float")
        if type(value) is complex:
            if value.imag:
                raise RuntimeError("value cannot be converted to type double without overflow")
            value = value.real
        return float(value)

    def __complex__(self) -> complex:
        return complex(self._scalar("complex"))

    def __index__(self) -> int:
        if self._array.size == 1 and self._type.dtype.rank <= 1:
            return int(self.item())
        raise TypeError("only integer tensors of a single element can be converted to an index")

    def __len__(self) -> int:
        if self._array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._array.shape[0]

    def __iter__(self) -> Iterator:
        if self._array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))          # type: ignore[attr-defined]

    def __contains__(self, element: Any) -> bool:
        if isinstance(element, (Tensor, int, float, complex, bool)):
            return bool((self == element).any().item())      # type: ignore[attr-defined,union-attr]
        raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        if overrides.active and overrides.has_torch_function((self,)):
            return overrides.handle_torch_function(Tensor.__repr__, (self,), self)
        from flowtorch import printing

        return printing._str(self, tensor_contents=tensor_contents)

    def __format__(self, spec: str) -> str:
        if self._array.ndim == 0 and not self.is_meta and type(self) is Tensor:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self)} - {"_array", "_counter", "_node", "_type", "_view"})

    def __reduce_ex__(self, protocol: Any) -> Any:
        from flowtorch import serialization

        return serialization.reduce_tensor(self, protocol)

    def __setstate__(self, state: Any) -> None:
        if not self.is_leaf:
            raise RuntimeError("__setstate__ can be only called on leaf Tensors")
        if isinstance(state, dict):
            self.__dict__.update(state)

    def __deepcopy__(self, memo: dict) -> Any:
        from flowtorch import serialization

        return serialization.deepcopy_tensor(self, memo)


Tensor.__module__ = "flowtorch"
overrides._exact_tensor_types.add(Tensor)
_python_numbers = frozenset((int, float, bool, complex))
_disabled = overrides._disabled_torch_function_impl
_plain_classes: dict[type, bool] = {Tensor: True}
keeps_plain: set = set()            # functions whose results stay plain tensors under subclasses


def is_plain(cls: type) -> bool:
    """Whether instances of ``cls`` may take the fast path: the plain Tensor and classes that switch overriding off."""
    try:
        return _plain_classes[cls]
    except KeyError:
        impl = cls.__dict__.get("__torch_function__") or getattr(cls, "__torch_function__", None)
        impl = getattr(impl, "__func__", impl)
        dispatched = overrides.note_class(cls, impl)
        plain = _plain_classes[cls] = impl is _disabled and not dispatched
        return plain


def address_of(array: np.ndarray) -> int:
    """The address of the array's first element."""
    if not isinstance(array, np.ndarray):
        from flowtorch.array.cuda import address

        return address(array)
    return array.__array_interface__["data"][0]


def owner_of(array: np.ndarray) -> np.ndarray:
    """The array that owns (or, for foreign memory, first described) the memory: the tensor's storage."""
    if not isinstance(array, np.ndarray):
        from flowtorch.array.cuda import whole_memory

        return whole_memory(array)
    base = array.base
    while base is not None:
        if isinstance(base, np.ndarray):
            array = base
        elif type(base) is not _StrideTrick:
            break
        base = base.base
    return array


def empty_strides(array: np.ndarray) -> tuple[int, ...]:
    """Element strides of an array without elements: the contiguous ones."""
    strides = []
    step = 1
    for n in reversed(array.shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def view_of(t: Tensor) -> View | None:
    """The View of a tensor that is one."""
    return None if t._view is None else View._make(t._view)


def shared_counter(t: Tensor) -> list:
    """``t``'s version as an object that another tensor of the same storage can share."""
    c = t._counter
    if type(c) is int:
        c = t._counter = [c]
    return c


def wrap(array: np.ndarray, type: TensorType | None = None) -> Tensor:
    """A new plain tensor around ``array`` (not copied), with no history."""
    t = _new(Tensor)
    t._array = array
    t._type = tensor_type(dtypes.from_numpy_dtype(array.dtype)) if type is None else type
    t._requires_grad = False
    t._node = None
    t._grad = None
    t._counter = 0
    t._view = None
    return t


def overrides_alias(t: Tensor, cls: type) -> Any:
    """``t`` as an instance of ``cls``: same memory, version, history and gradient flags."""
    out = _new(cls)
    out._array = t._array
    source = t._type
    out._type = tensor_type(source.dtype, source.device, is_plain(cls), source.inference)
    out._counter = shared_counter(t)
    out._requires_grad, out._node, out._grad, out._view = t._requires_grad, t._node, t._grad, t._view
    return out


def convert(result: Any, cls: type) -> Any:
    """Give the plain tensors in ``result`` (also inside tuples and lists) the class ``cls``."""
    if cls is Tensor:
        return result
    if isinstance(result, Tensor):
        return result if isinstance(result, cls) else overrides_alias(result, cls)
    if isinstance(result, (tuple, list)):
        items = [convert(r, cls) for r in result]
        with contextlib.suppress(TypeError):
            return type(result)(items)
        return type(result)(*items)
    return result


def default_type(dtype: DType | None = None, device: Any = None) -> TensorType:
    """The TensorType of a new tensor for the ``dtype=`` and ``device=`` arguments of a factory."""
    return tensor_type(dtypes._default if dtype is None else dtype, devices.resolve(device),
                       True, grad_mode.inference)
