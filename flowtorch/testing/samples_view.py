"""Samples of views, of functions that shape, join, split and repeat, and of copies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .samples import ALL, Maker, Named, Sample, samples


def calls(*names: str, shapes: Any, given: Any = ((),), **options: Any) -> None:
    """Functions of one tensor: every shape with every tuple of further arguments."""

    @samples(*names, **{"family": "view", **options})
    def _(make: Maker) -> Iterator[Sample]:
        for shape in shapes:
            for rest in given:
                positional = rest[:-1] if rest and isinstance(rest[-1], dict) else rest
                yield make.call(make(*shape), *positional, **(rest[-1] if len(positional) < len(rest) else {}))


calls(
    "transpose", "swapaxes", "swapdims", "transpose_copy", shapes=[(2, 3, 4)], given=[(0, 1), (-1, 0), (1, 1), (0, 3)]
)
calls("t", "t_copy", shapes=[(), (3,), (2, 3), (2, 3, 4)])
calls("permute", "permute_copy", shapes=[(2, 3, 4)], given=[((2, 0, 1),), ((-1, 0, 1),), ((0, 1),), ((0, 0, 1),)])
calls("expand_copy", shapes=[(3, 1)], given=[((3, 4),), ((2, -1, 4),), ((2, 4),)])
calls("Tensor.expand", shapes=[(3, 1)], given=[(3, 4), ((2, 3, 4),), (-1, 4), (4, 4), (2,)])
calls("broadcast_to", shapes=[(3, 1), (1,)], given=[((3, 4),), ((2, 3, 4),)])
calls("unsqueeze", "unsqueeze_copy", shapes=[(2, 3), ()], given=[(0,), (-1,), (2,)])
calls("squeeze", "squeeze_copy", shapes=[(1, 3, 1), (2, 3)], given=[(), (0,), (-1,), ((0, 2),), (5,)])
calls("select", "select_copy", shapes=[(2, 3, 4)], given=[(0, 1), (-1, -2), (1, 3), (3, 0)])
calls("slice_copy", shapes=[(4, 3)], given=[(0, 1, 3), (1,), (0, 0, 9, 2), (0, -2)])
calls("narrow", "narrow_copy", shapes=[(4, 3)], given=[(0, 1, 2), (1, 0, 3), (0, -2, 1), (0, 3, 2)])
calls(
    "as_strided",
    "as_strided_copy",
    "Tensor.as_strided_",
    shapes=[(4, 3)],
    given=[((2, 2), (3, 1)), ((2, 3), (1, 2), 1), ((3, 3), (0, 1)), ((9, 9), (9, 9))],
)
calls("diagonal", "diagonal_copy", shapes=[(3, 4), (2, 3, 4)], given=[(), (1,), (-1,), (0, -2, -1), (0, 0, 0)])
calls("unbind", "unbind_copy", shapes=[(2, 3), (0, 2)], given=[(), (1,), (-1,), (2,)])
calls("Tensor.unfold", "unfold_copy", shapes=[(7, 3)], given=[(0, 3, 2), (1, 2, 1), (0, 8, 1)])
calls(
    "split_with_sizes",
    "split_with_sizes_copy",
    "unsafe_split_with_sizes",
    shapes=[(5, 4)],
    given=[([2, 3],), ([1, 3], 1), ([2, 2],)],
)
calls("split", "Tensor.split", shapes=[(5, 4)], given=[(2,), ([2, 3],), (3, 1), (5, -1), ([1], 0)])
calls("split_copy", "unsafe_split", shapes=[(5, 4)], given=[(2,), (3, 1)])
calls("chunk", "unsafe_chunk", shapes=[(5, 4)], given=[(2,), (3, 1), (9,), (0,)])
calls("tensor_split", shapes=[(5, 4)], given=[(2,), (3, 1), ((1, 3),), ([2], 1)])
calls("hsplit", shapes=[(4,), (3, 4)], given=[(2,), ((1, 3),), (3,)])
calls("vsplit", shapes=[(4, 2), (4,)], given=[(2,), ((1, 3),)])
calls("dsplit", shapes=[(2, 2, 4), (4,)], given=[(2,), ((1, 3),)])
calls("view_copy", shapes=[(2, 6)], given=[((3, 4),), ((-1,),), ((2, 3, -1),), ((5, -1),), ((-1, -1),)])
calls("reshape", shapes=[(2, 6)], given=[((3, 4),), ((-1,),), ((5, 2),)])
calls("flatten", shapes=[(2, 3, 4), ()], given=[(), (1,), (0, 1), (2, 1)])
calls("ravel", "adjoint", "Tensor.detach_", "alias_copy", "detach_copy", shapes=[(2, 3), (3,), (), (2, 2, 2)])
calls("unflatten", shapes=[(2, 6)], given=[(1, (2, 3)), (-1, (3, -1)), (0, (2,)), (1, (4, 2))])
calls("movedim", "moveaxis", shapes=[(2, 3, 4)], given=[(0, 2), (-1, 0), ((0, 1), (1, 2)), (0, 5)])
calls("real", shapes=[(3,), ()], dtypes=ALL)
calls("imag", shapes=[(3,), ()], dtypes=ALL)
calls("view_as_real", "view_as_real_copy", shapes=[(3,), (2, 2)], dtypes=("complex64", "complex128", "float32"))
calls(
    "view_as_complex", "view_as_complex_copy", shapes=[(3, 2), (2,), (3, 3)], dtypes=("float64", "float32", "int64")
)
calls("fliplr", "flipud", shapes=[(2, 3), (3,)])
calls("flip", shapes=[(2, 3, 4)], given=[((0,),), ((0, -1),), ((1, 1),), ([2],)])
calls("roll", shapes=[(2, 3)], given=[(1,), (2, 1), ((1, -1), (0, 1)), (-4, 0), ((1, 2), (0,))])
calls("rot90", shapes=[(2, 3)], given=[(), (2,), (-1, (1, 0)), (1, (0, 0))])
calls("tile", shapes=[(2, 3), ()], given=[((2,),), ((2, 1, 2),), ((),)])
calls("Tensor.repeat", shapes=[(2, 3)], given=[(2, 1), ((2, 1, 3),), (0, 1), (2,)])
calls("diag", "diagflat", shapes=[(3,), (3, 4)], given=[(), (1,), (-1,)])
calls("diag_embed", shapes=[(2, 3)], given=[(), (1,), (-1,), (0, 0, 2)])
calls("tril", "triu", shapes=[(3, 4), (2, 3, 3)], given=[(), (1,), (-1,)], dtypes=ALL)
calls("atleast_1d", "atleast_2d", "atleast_3d", shapes=[(), (3,), (2, 3), (2, 3, 4)])
calls("Tensor.squeeze_", shapes=[(1, 3, 1)], given=[(), (0,), (1,)])
calls("Tensor.unsqueeze_", shapes=[(2, 3)], given=[(0,), (-1,)])
calls("Tensor.transpose_", "Tensor.swapaxes_", "Tensor.swapdims_", shapes=[(2, 3)], given=[(0, 1), (-1, -1), (0, 2)])
calls("Tensor.t_", shapes=[(2, 3), (3,)])
# What a tensor gains by growing is not written, so calls that grow it (as broken ones may) cannot be compared.
GROWS = {"gradient": False, "layouts": False, "errors": False}
calls("Tensor.resize_", shapes=[(2, 3)], given=[(3, 2), ((2,),), (1, 6)], **GROWS)
calls("Tensor.fill_diagonal_", shapes=[(3, 4), (5, 2)], given=[(2,), (1.5, True)])
calls("Tensor.zero_", "zero_", shapes=[(2, 3), ()], dtypes=ALL)
calls("Tensor.fill_", "fill", "fill_", shapes=[(2, 3), ()], given=[(2,), (1.5,), (True,)], dtypes=ALL)
for name in (
    "float",
    "double",
    "half",
    "bfloat16",
    "int",
    "long",
    "short",
    "char",
    "byte",
    "bool",
    "chalf",
    "cfloat",
    "cdouble",
):
    calls(f"Tensor.{name}", shapes=[(2, 3), ()], dtypes=ALL, double=False)


@samples("Tensor.to", dtypes=ALL)
def _to(make: Maker) -> Iterator[Sample]:
    for dtype in ALL:
        yield make.call(make(2, 3), Named(dtype))
    yield make.call(make(3), "cpu")
    yield make.call(make(3), dtype=Named("float64"), copy=True)
    yield make.call(make(3), make(1, dtype="float64"))


@samples("Tensor.view", dtypes=("float64", "float32", "int64", "uint8"), layouts=False)
def _view(make: Maker) -> Iterator[Sample]:
    for size in ((3, 4), ((2, 3, -1),), (-1,), (5, -1), ((-1, -1),)):
        yield make.call(make(2, 6), *size)
    for dtype in ("int32", "int64", "uint8", "float64"):
        yield make.call(make(2, 8), Named(dtype))


@samples("Tensor.type")
def _type(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3), Named("float64"))
    yield make.call(make(2, 3), Named("int64"))


@samples("Tensor.expand_as", "Tensor.type_as")
def _expand_as(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 1), make(2, 3, 4))
    yield make.call(make(3, 1), make(2, 3, 4, dtype="float64"))


@samples("Tensor.resize_as_", "resize_as_", **GROWS)
@samples("Tensor.view_as", "Tensor.reshape_as", layouts=False, gradient=False)
def _view_as(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 6), make(3, 4))
    yield make.call(make(2, 6), make(12))


@samples("Tensor.copy_", dtypes=ALL)
def _copy_(make: Maker) -> Iterator[Sample]:
    for dtype in ALL:
        yield make.call(make(2, 3), make(2, 3, dtype=dtype))
    yield make.call(make(2, 3), make(3))
    yield make.call(make(2, 3), make())
    yield make.call(make(2, 3), make(2))


@samples("Tensor.cpu", "Tensor.is_pinned", "Tensor.is_shared", "Tensor.is_nonzero", dtypes=("float32",))
def _cpu(make: Maker) -> Iterator[Sample]:
    yield make.call(make(1))


@samples("broadcast_tensors", "meshgrid", "cartesian_prod", "block_diag")
def _tensors(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3), make(3))
    yield make.call(make(3), make(1), make(3))
    yield make.call(make(2))


@samples("broadcast_shapes", dtypes=("float32",))
def _broadcast_shapes(make: Maker) -> Iterator[Sample]:
    yield make.call((3, 1), (4,))
    yield make.call((3,), (4,))
    yield make.call()


@samples("cat", "concat", "concatenate", dtypes=ALL)
def _cat(make: Maker) -> Iterator[Sample]:
    yield make.call([make(2, 3), make(1, 3)])
    yield make.call((make(2, 3), make(2, 1), make(2, 2)), 1)
    yield make.call([make(2, 3), make(2, 3)], dim=-1)
    yield make.call([make(2, 3), make(0)])
    yield make.call([make(2, 3), make(2, 3, dtype="float64")])
    yield make.call([make(2), make(2, dtype="int64")])
    yield make.call([make(2, 3), make(2, 2)])
    yield make.call([])


@samples("stack", dtypes=ALL)
def _stack(make: Maker) -> Iterator[Sample]:
    yield make.call([make(2, 3), make(2, 3)])
    yield make.call((make(2, 3), make(2, 3)), -1)
    yield make.call([make(), make()])
    yield make.call([make(2), make(2, dtype="float64")])
    yield make.call([make(2), make(3)])
    yield make.call([])


@samples("hstack", "vstack", "dstack", "row_stack", "column_stack")
def _stacks(make: Maker) -> Iterator[Sample]:
    yield make.call([make(3), make(3)])
    yield make.call((make(2, 3), make(2, 3)))
    yield make.call([make(), make()])
    yield make.call([make(2), make(3)])


@samples("repeat_interleave")
def _repeat_interleave(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3), 2)
    yield make.call(make(2, 3), 3, 1)
    yield make.call(make(2, 3), make.given([1, 2], "int64"), 0)
    yield make.call(make(2, 3), make.given([1, 0, 2], "int64"), dim=1, output_size=3)
    yield make.call(make(2, 3), make.given([1, 0], "int64"), dim=1)


@samples("combinations")
def _combinations(make: Maker) -> Iterator[Sample]:
    yield make.call(make(4))
    yield make.call(make(3), 3)
    yield make.call(make(3), 2, True)


@samples("vander", factor=4)
def _vander(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3))
    yield make.call(make(3), 2, True)
    yield make.call(make(2, 3))


@samples("unravel_index", dtypes=("int64", "int32", "float32"))
def _unravel_index(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, low=0, high=5), (3, 4))
    yield make.call(make(3, low=0, high=5), 12)


@samples("select_scatter", dtypes=ALL)
def _select_scatter(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(4), 0, 1)
    yield make.call(make(3, 4), make(3), -1, -1)
    yield make.call(make(3, 4), make(3), 0, 0)


@samples("slice_scatter", dtypes=ALL)
def _slice_scatter(make: Maker) -> Iterator[Sample]:
    yield make.call(make(4, 3), make(2, 3), 0, 1, 3)
    yield make.call(make(4, 3), make(4, 2), 1, 0, 3, 2)
    yield make.call(make(4, 3), make(4, 3))


@samples("diagonal_scatter", dtypes=ALL)
def _diagonal_scatter(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3))
    yield make.call(make(3, 4), make(3), 1)
    yield make.call(make(3, 4), make(4))


@samples("as_strided_scatter")
def _as_strided_scatter(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(2, 2), (2, 2), (4, 1))
    yield make.call(make(3, 4), make(2), (2,), (1,), 3)


@samples("get_device", "Tensor.dim_order", gradient=False, family="view", errors=False)
def _asked(make: Maker) -> Iterator[Sample]:
    for shape in ((2, 3), (2, 3, 4), (5,), ()):
        yield make.call(make(*shape))


@samples("Tensor.new_empty_strided", gradient=False, undefined=True)
def _new_empty_strided(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2), (2, 3), (3, 1))
    yield make.call(make(2), (2, 3), (1, 4))
    yield make.call(make(2), (2, 3), (3, 1), dtype=Named("int64"))
