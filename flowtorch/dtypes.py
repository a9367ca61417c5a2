"""Data types: the dtype objects, their numpy counterparts, type promotion, the default dtype, finfo and iinfo."""
from __future__ import annotations

from typing import Any

import numpy as np

_ML_DTYPES = {"bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu",
              "complex32"}


class dtype:
    """The type of a tensor's elements. There is one object per type; compare with ``is`` or ``==``.

    >>> torch.float32.itemsize, torch.int64.is_floating_point
    (4, False)
    """

    __slots__ = ("_numpy", "is_complex", "is_floating_point", "is_signed", "itemsize", "label", "name", "rank")

    def __init__(self, name: str, label: str, kind: str, itemsize: int, rank: int, numpy_name: str | None) -> None:
        self.name = name
        self.label = label              # the name that PyTorch's error messages use ("Float", "Long", ...)
        self.is_floating_point = kind == "f"
        self.is_complex = kind == "c"
        self.is_signed = kind in "fci" and name != "float8_e8m0fnu"
        self.itemsize = itemsize
        self.rank = rank                # 0 bool, 1 integer, 2 floating point, 3 complex
        self._numpy = np.dtype(numpy_name) if numpy_name and name not in _ML_DTYPES else None

    @property
    def numpy(self) -> np.dtype:
        """The numpy dtype that holds the elements; bfloat16, float8 and complex32 come from ml_dtypes, on first use."""
        if self._numpy is None:
            if self.name not in _ML_DTYPES:
                raise RuntimeError(f"tensors of dtype {self!r} are not supported: numpy has no such type")
            import ml_dtypes

            if not hasattr(ml_dtypes, self.name):
                raise RuntimeError(f"tensors of dtype {self!r} need ml_dtypes 0.6 or newer; "
                                   f"installed is {ml_dtypes.__version__}")
            self._numpy = np.dtype(getattr(ml_dtypes, self.name))
            _from_numpy[self._numpy] = self
        return self._numpy

    @property
    def abbr(self) -> str:
        """The short name that graphs are printed with: ``f32``."""
        kind = {"bool": "b", "int": "i", "uint": "u", "float": "f", "bfloat": "bf", "complex": "c"}.get(
            self.name.rstrip("0123456789"))
        if self.name.startswith("float8") or self.name.startswith("float4"):
            return "f" + self.name.removeprefix("float").replace("_", "")
        if self.name.startswith("bits"):
            return {"bits8": "b8x1", "bits16": "b16x1"}.get(self.name, self.name.replace("its", ""))
        if kind is None or self.name in _SMALL:
            return self.name
        return f"{kind}{self.itemsize * 8}"

    def to_complex(self) -> dtype:
        """The complex type whose parts have this type."""
        try:
            return {"float16": complex32, "bfloat16": complex64, "float32": complex64, "float64": complex128,
                    "complex32": complex32, "complex64": complex64, "complex128": complex128}[self.name]
        except KeyError:
            return complex64 if self.rank < 2 else complex128

    def to_real(self) -> dtype:
        """The type of the real and imaginary parts."""
        return {"complex32": float16, "complex64": float32, "complex128": float64}.get(self.name, self)

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name                # pickled by reference, like a module-level name


dtype.__module__ = "flowtorch"

_from_numpy: dict[np.dtype, dtype] = {}


def _define(name: str, label: str, kind: str, itemsize: int, numpy_name: str | None = None) -> dtype:
    rank = {"b": 0, "i": 1, "u": 1, "q": 1, "f": 2, "c": 3}[kind]
    d = dtype(name, label, kind, itemsize, rank, numpy_name)
    if d._numpy is not None:
        _from_numpy[d._numpy] = d
    return d


bool_ = _define("bool", "Bool", "b", 1, "bool")
uint8 = _define("uint8", "Byte", "u", 1, "uint8")
int8 = _define("int8", "Char", "i", 1, "int8")
int16 = _define("int16", "Short", "i", 2, "int16")
int32 = _define("int32", "Int", "i", 4, "int32")
int64 = _define("int64", "Long", "i", 8, "int64")
uint16 = _define("uint16", "UInt16", "u", 2, "uint16")
uint32 = _define("uint32", "UInt32", "u", 4, "uint32")
uint64 = _define("uint64", "UInt64", "u", 8, "uint64")
float16 = _define("float16", "Half", "f", 2, "float16")
bfloat16 = _define("bfloat16", "BFloat16", "f", 2, "bfloat16")
float32 = _define("float32", "Float", "f", 4, "float32")
float64 = _define("float64", "Double", "f", 8, "float64")
complex32 = _define("complex32", "ComplexHalf", "c", 4, "complex32")
complex64 = _define("complex64", "ComplexFloat", "c", 8, "complex64")
complex128 = _define("complex128", "ComplexDouble", "c", 16, "complex128")
float8_e4m3fn = _define("float8_e4m3fn", "Float8_e4m3fn", "f", 1, "float8_e4m3fn")
float8_e5m2 = _define("float8_e5m2", "Float8_e5m2", "f", 1, "float8_e5m2")
float8_e4m3fnuz = _define("float8_e4m3fnuz", "Float8_e4m3fnuz", "f", 1, "float8_e4m3fnuz")
float8_e5m2fnuz = _define("float8_e5m2fnuz", "Float8_e5m2fnuz", "f", 1, "float8_e5m2fnuz")
float8_e8m0fnu = _define("float8_e8m0fnu", "Float8_e8m0fnu", "f", 1, "float8_e8m0fnu")
# Names that programs probe for; tensors of these types are refused with a clear error.
float4_e2m1fn_x2 = _define("float4_e2m1fn_x2", "Float4_e2m1fn_x2", "f", 1)
qint8 = _define("qint8", "QInt8", "q", 1)
quint8 = _define("quint8", "QUInt8", "q", 1)
qint32 = _define("qint32", "QInt32", "q", 4)
quint4x2 = _define("quint4x2", "QUInt4x2", "q", 1)
quint2x4 = _define("quint2x4", "QUInt2x4", "q", 1)
_SMALL = {f"{sign}int{n}": _define(f"{sign}int{n}", f"{sign.upper()}Int{n}", sign[:1] or "i", 1)
          for sign in ("u", "") for n in range(1, 8)}
_BITS = {name: _define(name, name.capitalize(), "u", 2 if name == "bits16" else 1)
         for name in ("bits1x8", "bits2x4", "bits4x2", "bits8", "bits16")}

NUMBERED = (bool_, uint8, int8, int16, int32, int64, uint16, uint32, uint64, float16, bfloat16, float32, float64,
            complex32, complex64, complex128, float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz,
            float8_e8m0fnu, float4_e2m1fn_x2, qint8, quint8, qint32, quint4x2, quint2x4, *_SMALL.values(),
            *_BITS.values())
ALIASES = {"half": float16, "float": float32, "double": float64, "short": int16, "int": int32, "long": int64,
           "chalf": complex32, "cfloat": complex64, "cdouble": complex128, "bit": _SMALL["uint1"]}
PUBLIC: dict[str, dtype] = {d.name: d for d in NUMBERED} | ALIASES

_WIDE_UNSIGNED = frozenset((uint16, uint32, uint64))
_FLOAT8 = frozenset((float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz, float8_e8m0fnu, float4_e2m1fn_x2))
LOW_PRECISION = frozenset((float16, bfloat16, complex32)) | _FLOAT8


def compute_dtype(d: dtype) -> dtype:
    """What arithmetic on ``d`` computes in before its result is rounded once."""
    return d if d not in LOW_PRECISION else complex64 if d is complex32 else float32


def from_numpy_dtype(d: np.dtype) -> dtype:
    """The dtype of arrays of numpy type ``d``; TypeError where there is none."""
    try:
        return _from_numpy[d]
    except KeyError:
        if d.name in _ML_DTYPES:
            PUBLIC[d.name].numpy          # loads ml_dtypes and fills the table  # noqa: B018
            return _from_numpy[d]
        native = _from_numpy.get(d.newbyteorder("=")) if d.kind in "biufc" else None
        if native is not None and d.isnative:
            return native                 # 'longlong' and other spellings of a native type
        hint = ("given numpy array has byte order different from the native byte order. "
                "Conversion between byte orders is currently not supported.") if native is not None else (
               f"can't convert np.ndarray of type {d.type.__module__}.{d.type.__name__}. The only supported types "
               "are: float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, "
               "uint16, uint8, and bool.")
        raise (ValueError if native is not None else TypeError)(hint) from None


def _promote_integers(a: dtype, b: dtype) -> dtype:
    if a.is_signed == b.is_signed:
        return a if a.itemsize >= b.itemsize else b
    signed, unsigned = (a, b) if a.is_signed else (b, a)
    return signed if signed.itemsize > unsigned.itemsize else int16      # the only unsigned type here is uint8


def _promote(a: dtype, b: dtype) -> dtype:
    if a is b:
        return a
    pair = (a, b)
    if a in _FLOAT8 or b in _FLOAT8:
        raise RuntimeError(f"Promotion for Float8 Types is not supported, attempted to promote {a.label} and {b.label}")
    wide = [d for d in pair if d in _WIDE_UNSIGNED]
    if wide and not any(d.rank >= 2 for d in pair):
        raise RuntimeError("Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
                           f"{a.label} and {b.label}")
    low, high = sorted(pair, key=lambda d: d.rank)
    if high.rank == 3:
        if low.rank < 2:
            return high
        if low.rank == 2:
            low = low.to_complex()
        return low if low.itemsize >= high.itemsize else high
    if low.rank < high.rank:
        return high
    if high.rank == 1:
        return _promote_integers(a, b)
    if {a, b} == {float16, bfloat16}:
        return float32
    return a if a.itemsize >= b.itemsize else b


_promotions: dict[tuple[dtype, dtype], dtype] = {}


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest type that both types convert to without a change of kind.

    >>> import flowtorch as torch
    >>> torch.promote_types(torch.int32, torch.float16)
    torch.float16
    """
    try:
        return _promotions[type1, type2]
    except KeyError:
        type1, type2 = as_dtype(type1), as_dtype(type2)
        for d in (type1, type2):
            if type(d) is not dtype:
                raise TypeError(f"promote_types(): arguments must be torch.dtype, not {type(d).__name__}") from None
        result = _promotions[type1, type2] = _promote(type1, type2)
        return result


def as_dtype(value: Any) -> Any:
    """The dtype that Python's ``bool``, ``int``, ``float`` or ``complex`` stands for; anything else as it is."""
    return _PYTHON_TYPES.get(value, value) if type(value) is type else value


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether a result of type ``from_`` may be stored into ``to``: no step down from complex, float or integer."""
    from_, to = as_dtype(from_), as_dtype(to)
    if from_.is_complex and not to.is_complex:
        return False
    if from_.is_floating_point and to.rank < 2:
        return False
    return not (from_.rank > 0 and to.rank == 0)


_PYTHON_TYPES = {bool: bool_, int: int64, float: float64, complex: complex128}
_default = float32


def get_default_dtype() -> dtype:
    """The dtype of new floating-point tensors made without one (float32 unless set).

    >>> torch.get_default_dtype()
    torch.float32
    """
    return _default


_on_default_change: list[Any] = []       # dispatch registers here: its cached plans depend on the default


def set_default_dtype(d: dtype, /) -> None:
    """Set the dtype of new floating-point tensors made without one."""
    global _default
    if type(d) is not dtype:
        raise TypeError(f"invalid dtype object: {d!r}")
    if not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {d!r}")
    _default = d
    for forget in _on_default_change:
        forget()


def default_complex() -> dtype:
    return {"float16": complex32, "float64": complex128}.get(_default.name, complex64)


def scalar_dtype(value: Any) -> dtype:
    """The dtype that a Python number has on its own: int64, the default float, its complex type, or bool."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    if isinstance(value, (float, np.floating)):
        return _default
    return default_complex()


class finfo:
    """Numerical limits of a floating-point dtype: bits, eps, max, min, tiny, smallest_normal, resolution.

    >>> torch.finfo(torch.float32).eps
    1.1920928955078125e-07
    """

    __slots__ = ("_dtype", "bits", "eps", "max", "min", "resolution", "smallest_normal", "tiny")

    def __init__(self, type: dtype | None = None) -> None:
        d = _default if type is None else as_dtype(type)
        if not isinstance(d, dtype):
            raise TypeError(f"finfo(): argument 'type' must be torch.dtype, not {d.__class__.__name__}")
        if d.is_complex:
            d = d.to_real()
        if not d.is_floating_point:
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{d!r}'")
        if d in _FLOAT8 or d is bfloat16:
            import ml_dtypes

            info: Any = ml_dtypes.finfo(d.numpy)
        else:
            info = np.finfo(d.numpy)
        self._dtype = d
        self.bits = d.itemsize * 8
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.smallest_normal)
        self.resolution = float(info.resolution)

    @property
    def dtype(self) -> str:
        return self._dtype.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, finfo) and self._dtype is other._dtype

    def __hash__(self) -> int:
        return hash(("finfo", self._dtype))

    def __repr__(self) -> str:
        fields = ", ".join(f"{n}={getattr(self, n):g}" for n in
                           ("resolution", "min", "max", "eps", "smallest_normal", "tiny"))
        return f"finfo({fields}, dtype={self.dtype})"


class iinfo:
    """Numerical limits of an integer dtype: bits, max, min."""

    __slots__ = ("_dtype", "bits", "max", "min")

    def __init__(self, type: dtype) -> None:
        type = as_dtype(type)
        if not isinstance(type, dtype):
            raise TypeError(f"iinfo(): argument 'type' must be torch.dtype, not {type.__class__.__name__}")
        if type.rank != 1:
            if type is bool_:
                raise TypeError("torch.bool is not supported by torch.iinfo")
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type!r}'")
        info = np.iinfo(type.numpy)
        self._dtype, self.bits, self.max, self.min = type, type.itemsize * 8, int(info.max), int(info.min)

    @property
    def dtype(self) -> str:
        return self._dtype.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, iinfo) and self._dtype is other._dtype

    def __hash__(self) -> int:
        return hash(("iinfo", self._dtype))

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


class _Named:
    """A constant of the namespace that is known by its name: prints and pickles as such."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class layout(_Named):
    """How a tensor's elements lie in memory (``torch.strided``, ``torch.sparse_coo``, ...)."""

    __slots__ = ()


layout.__module__ = "flowtorch"
LAYOUTS = {n: layout(n) for n in ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc",
                                  "_mkldnn", "jagged")}
strided = LAYOUTS["strided"]


class qscheme(_Named):
    """How quantised numbers stand for real ones (``torch.per_tensor_affine``, ...)."""

    __slots__ = ()

    def __new__(cls, *args: Any) -> Any:
        raise TypeError("cannot create 'torch.qscheme' instances")


qscheme.__module__ = "flowtorch"


def _define_scheme(name: str) -> qscheme:
    scheme = object.__new__(qscheme)
    scheme.name = name
    return scheme


QSCHEMES = {name: _define_scheme(name) for name in (
    "per_tensor_affine", "per_channel_affine", "per_tensor_symmetric", "per_channel_symmetric",
    "per_channel_affine_float_qparams")}


class memory_format(_Named):
    """Order of the dimensions in memory (``torch.contiguous_format``, ``torch.channels_last``, ...)."""

    __slots__ = ()


memory_format.__module__ = "flowtorch"
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
