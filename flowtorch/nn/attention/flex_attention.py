"""Attention whose scores and masks are Python functions, and masks that know which blocks are empty."""

from __future__ import annotations

import inspect
import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, Self, TypedDict

import flowtorch as torch

from ...tensor import Tensor

__all__ = [
    "AuxOutput",
    "AuxRequest",
    "BlockMask",
    "FlexKernelOptions",
    "and_masks",
    "create_block_mask",
    "create_mask",
    "flex_attention",
    "noop_mask",
    "or_masks",
]

_DEFAULT_SPARSE_BLOCK_SIZE = 128
_LARGE_SPARSE_BLOCK_SIZE = 1 << 30

# (score, batch, head, query position, key position) -> score, and the same without the score -> bool.
_score_mod_signature = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
_mask_mod_signature = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class FlexKernelOptions(TypedDict, total=False):
    """Options of generated GPU kernels; they change no result, and ours has none of them."""

    num_warps: int
    num_stages: int
    BLOCK_M: int
    BLOCK_N: int
    BACKEND: str


class AuxRequest(NamedTuple):
    """What ``flex_attention`` should return beside the output."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What ``flex_attention`` returned beside the output: (B, H, Q) each, None if not asked for."""

    lse: Any = None
    max_scores: Any = None


def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """The mask that lets every query see every key."""
    return batch.new_ones(size=(), dtype=torch.bool, device=batch.device)


def or_masks(*mask_mods: _mask_mod_signature) -> _mask_mod_signature:
    """Return the mask that lets through what any of the masks lets through."""
    return _combined("or_mask", mask_mods, lambda first, second: first | second, False)


def and_masks(*mask_mods: _mask_mod_signature) -> _mask_mod_signature:
    """Return the mask that lets through what all of the masks let through."""
    return _combined("and_mask", mask_mods, lambda first, second: first & second, True)


def _combined(
    name: str, mask_mods: tuple[Any, ...], join: Callable[[Any, Any], Any], start: bool
) -> _mask_mod_signature:
    if not all(map(callable, mask_mods)):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        result = b.new_full((), start, dtype=torch.bool)
        for mask_mod in mask_mods:
            result = join(result, mask_mod(b, h, q_idx, kv_idx))
        return result

    mask.__name__ = name
    return mask


def _positions(shape: tuple[int, ...], device: Any) -> tuple[Tensor, ...]:
    """The indices along each of four dimensions, shaped so that they broadcast to ``shape``."""
    indices = (torch.arange(size, device=device) for size in shape)
    return tuple(index.view([-1 if d == i else 1 for d in range(4)]) for i, index in enumerate(indices))


def _takes_scores(mod: Callable[..., Any]) -> bool:
    """Whether a function modifies scores (5 arguments) or makes a mask (4)."""
    parameters = inspect.signature(mod).parameters.values()
    count = sum(parameter.default is inspect.Parameter.empty for parameter in parameters)
    if count not in (4, 5):
        raise AssertionError(f"Expected 4 or 5 positional args, got {count}")
    return count == 5


def create_mask(
    mod_fn: Callable[..., Tensor], B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None
) -> Tensor:
    """Return the mask (B, H, Q, KV) that a function stands for: True where a score counts.

    A function of scores masks what it makes minus infinity. ``B`` and ``H`` may be None, which means one.
    """
    shape = (B or 1, H or 1, Q_LEN, KV_LEN)
    positions = _positions(shape, device or "cpu")
    if _takes_scores(mod_fn):
        return ~torch.isneginf(mod_fn(torch.zeros(shape, device=device or "cpu"), *positions).expand(shape))
    return mod_fn(*positions).expand(shape).contiguous()


def create_block_mask(
    mask_mod: _mask_mod_signature,
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = None,
    BLOCK_SIZE: int | tuple[int, int] = _DEFAULT_SPARSE_BLOCK_SIZE,
    _compile: bool = False,
    separate_full_blocks: bool = True,
) -> BlockMask:
    """Return the mask that a function stands for, by blocks: which are empty, which full, which neither.

    ``B`` and ``H`` may be None where the mask does not depend on them.
    """
    if _takes_scores(mask_mod):
        raise AssertionError(f"create-block_mask requires a mask_mod function! Got {mask_mod}")
    sizes = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else BLOCK_SIZE
    mask = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)
    rows, columns = (-(-length // size) for length, size in zip((Q_LEN, KV_LEN), sizes, strict=True))
    padding = (0, columns * sizes[1] - KV_LEN, 0, rows * sizes[0] - Q_LEN)
    padded = torch.nn.functional.pad(mask, padding)
    counts = padded.view(*mask.shape[:2], rows, sizes[0], columns, sizes[1]).sum(dim=(3, 5))
    full = counts == sizes[0] * sizes[1]
    if separate_full_blocks:
        blocks: list[Any] = [*_to_ordered((counts > 0) & ~full), *_to_ordered(full)]
    else:
        blocks = [*_to_ordered(counts > 0), None, None]
    return BlockMask.from_kv_blocks(*blocks, sizes, mask_mod, (Q_LEN, KV_LEN))  # type: ignore[call-arg]


def _to_ordered(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """The number of blocks in each row, and the columns with those that have one first."""
    blocks = blocks.to(torch.int32)
    order = torch.argsort(blocks, dim=-1, descending=True, stable=True)
    return blocks.sum(dim=-1).to(torch.int32), order.to(torch.int32)


def _to_blocks(counts: Tensor, columns: Tensor, width: int) -> Tensor:
    """What ``_to_ordered`` made its numbers of: ones where there are blocks, (..., rows, width)."""
    present = torch.arange(columns.shape[-1], device=columns.device) < counts.unsqueeze(-1)
    blocks = columns.new_zeros((*columns.shape[:-1], width + 1))
    # What counts as absent is written into one more column, which is cut off.
    blocks.scatter_(-1, torch.where(present, columns, width).long(), 1)
    return blocks[..., :width].contiguous()


def _transposed(counts: Tensor | None, columns: Tensor | None) -> tuple[Any, Any]:
    if counts is None or columns is None:
        return None, None
    return _to_ordered(_to_blocks(counts, columns, columns.shape[-1]).transpose(-2, -1))


def _sliced_mask_mod_error(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Any:
    raise RuntimeError(
        "Cannot use mask_mod from a sliced BlockMask. When you slice a BlockMask using [], the mask_mod "
        "attribute "
        "is reset. You must set it from the original BlockMask's mask_mod."
    )


_TENSORS = ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices")
_TRANSPOSED = ("q_num_blocks", "q_indices", "full_q_num_blocks", "full_q_indices")


class BlockMask:
    """A mask of attention by blocks of ``BLOCK_SIZE`` (queries, keys).

    For each row of blocks, ``kv_num_blocks`` (B, H, rows) counts the blocks that are not empty and
    ``kv_indices`` (B, H, rows, columns) names their columns first. ``mask_mod`` masks inside these blocks.
    Blocks that are full may be listed apart, and nothing is masked in them. The ``q_`` tensors say the same
    by columns.
    """

    def __init__(
        self,
        seq_lengths: tuple[int, int],
        kv_num_blocks: Tensor,
        kv_indices: Tensor,
        full_kv_num_blocks: Tensor | None,
        full_kv_indices: Tensor | None,
        q_num_blocks: Tensor | None,
        q_indices: Tensor | None,
        full_q_num_blocks: Tensor | None,
        full_q_indices: Tensor | None,
        BLOCK_SIZE: tuple[int, int] = (_DEFAULT_SPARSE_BLOCK_SIZE, _DEFAULT_SPARSE_BLOCK_SIZE),
        mask_mod: _mask_mod_signature = noop_mask,
    ) -> None:
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        for side, pair in (("kv", (full_kv_num_blocks, full_kv_indices)), ("q", (full_q_num_blocks, full_q_indices))):
            if (pair[0] is None) != (pair[1] is None):
                raise AssertionError(f"full_{side}_num_blocks and full_{side}_indices must be both provided or omitted")
        self.seq_lengths = seq_lengths
        self.kv_num_blocks = kv_num_blocks
        self.kv_indices = kv_indices
        self.full_kv_num_blocks = full_kv_num_blocks
        self.full_kv_indices = full_kv_indices
        self.q_num_blocks = q_num_blocks
        self.q_indices = q_indices
        self.full_q_num_blocks = full_q_num_blocks
        self.full_q_indices = full_q_indices
        self.BLOCK_SIZE = BLOCK_SIZE
        self.mask_mod = mask_mod

    @classmethod
    def from_kv_blocks(
        cls,
        kv_num_blocks: Tensor,
        kv_indices: Tensor,
        full_kv_num_blocks: Tensor | None = None,
        full_kv_indices: Tensor | None = None,
        BLOCK_SIZE: int | tuple[int, int] = _DEFAULT_SPARSE_BLOCK_SIZE,
        mask_mod: _mask_mod_signature | None = None,
        seq_lengths: tuple[int, int] | None = None,
        compute_q_blocks: bool = True,
    ) -> Self:
        """Make a mask from its blocks by rows; those by columns follow from them."""
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        sizes = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else BLOCK_SIZE
        if seq_lengths is None:
            seq_lengths = (kv_indices.shape[-2] * sizes[0], kv_indices.shape[-1] * sizes[1])
        blocks: list[Any] = [kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices]
        if compute_q_blocks:
            blocks += (*_transposed(*blocks[:2]), *_transposed(*blocks[2:]))
        else:
            blocks += [None] * 4
        return cls(seq_lengths, *blocks, BLOCK_SIZE=sizes, mask_mod=mask_mod or noop_mask)  # type: ignore[misc]

    def as_tuple(self, flatten: bool = True) -> tuple[Any, ...]:
        """Return the lengths, all tensors, the block sizes and the mask function, in this order."""
        tensors = (getattr(self, name) for name in _TENSORS + _TRANSPOSED)
        if flatten:
            return (*self.seq_lengths, *tensors, *self.BLOCK_SIZE, self.mask_mod)
        return (self.seq_lengths, *tensors, self.BLOCK_SIZE, self.mask_mod)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the mask: (B, H, queries, keys)."""
        return (*self.kv_indices.shape[:-2], *self.seq_lengths)

    def numel(self) -> int:
        """Return the number of elements of the mask."""
        return math.prod(self.shape)

    def sparsity(self) -> float:
        """Return how many percent of the mask lie in empty blocks."""
        counts = [self.kv_num_blocks, self.full_kv_num_blocks]
        blocks = sum(int(count.sum()) for count in counts if count is not None)
        return 100 * (1 - blocks * self.BLOCK_SIZE[0] * self.BLOCK_SIZE[1] / self.numel())

    def to_dense(self) -> Tensor:
        """Return ones where there are blocks: (B, H, rows, columns)."""
        width = self.kv_indices.shape[-1]
        blocks = _to_blocks(self.kv_num_blocks, self.kv_indices, width)
        if self.full_kv_num_blocks is None or self.full_kv_indices is None:
            return blocks
        return blocks | _to_blocks(self.full_kv_num_blocks, self.full_kv_indices, self.full_kv_indices.shape[-1])

    def to(self, device: Any) -> BlockMask:
        """Return the mask on ``device``."""
        tensors = (getattr(self, name) for name in _TENSORS + _TRANSPOSED)
        moved: list[Any] = [None if tensor is None else tensor.to(device) for tensor in tensors]
        return BlockMask(self.seq_lengths, *moved, BLOCK_SIZE=self.BLOCK_SIZE, mask_mod=self.mask_mod)  # type: ignore[misc]

    def __getitem__(self, index: Any) -> Self:
        """Select batches, heads and rows of blocks; all dimensions stay. ``mask_mod`` must be set anew."""
        parts = index if isinstance(index, tuple) else (index,)
        parts = (*parts, slice(None), slice(None), slice(None))[:3]
        sizes = self.kv_num_blocks.shape[:3]
        where = tuple(
            slice(part % size, part % size + 1) if isinstance(part, int) and -size <= part < size else part
            for part, size in zip(parts, sizes, strict=True)
        )
        rows = (getattr(self, name) for name in _TENSORS)
        blocks: list[Any] = [None if tensor is None else tensor[where] for tensor in rows]
        by_columns = self.q_indices is not None
        return self.from_kv_blocks(*blocks, self.BLOCK_SIZE, _sliced_mask_mod_error, self.seq_lengths, by_columns)  # type: ignore[call-arg]

    def _adjust(self, new_q_len: int, new_kv_len: int) -> Self:
        """The upper left corner of the mask, for shorter sequences."""
        rows = -(-new_q_len // self.BLOCK_SIZE[0])
        columns = -(-new_kv_len // self.BLOCK_SIZE[1])

        def cut(counts: Tensor | None, indices: Tensor | None) -> tuple[Any, Any]:
            if counts is None or indices is None:
                return None, None
            blocks = _to_blocks(counts, indices, indices.shape[-1])
            return _to_ordered(blocks[..., :rows, :columns])

        blocks: list[Any] = [
            *cut(self.kv_num_blocks, self.kv_indices),
            *cut(self.full_kv_num_blocks, self.full_kv_indices),
        ]
        lengths, by_columns = (new_q_len, new_kv_len), self.q_indices is not None
        return self.from_kv_blocks(*blocks, self.BLOCK_SIZE, self.mask_mod, lengths, by_columns)  # type: ignore[call-arg]

    def __repr__(self) -> str:
        lines = []
        for name in _TENSORS + _TRANSPOSED:
            tensor = getattr(self, name)
            lines.append(f"    {name}={None if tensor is None else tensor.shape},")
        mask_mod = getattr(self.mask_mod, "__name__", self.mask_mod)
        return "\n".join(
            [
                "BlockMask(",
                *lines,
                f"    BLOCK_SIZE={self.BLOCK_SIZE},",
                f"    shape={self.shape},",
                f"    sparsity={self.sparsity():.2f}%,",
                f"    mask_mod={mask_mod}",
                ")",
            ]
        )

    def __str__(self) -> str:
        start = f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%, \n"
        return start + self.to_string().strip() + "\n)"

    def to_string(self, grid_size: int | tuple[int, int] = (20, 20), limit: int = 4) -> str:
        """Return a picture of the blocks of up to ``limit`` heads, on a grid of at most ``grid_size``."""
        blocks = self.to_dense()
        rows, columns = blocks.shape[-2:]
        grid = (grid_size, grid_size) if isinstance(grid_size, int) else grid_size
        steps = [max(1, -(-size // most)) for size, most in zip((rows, columns), grid, strict=True)]
        pictures = []
        for count, where in enumerate(itertools.product(*map(range, blocks.shape[:-2]))):
            if count == limit:
                pictures += [
                    "...",
                    "To print out more, set BlockMask.to_string(limit=N)",
                    "You can also index (BlockMask[batch, head]) to choose a specific batch or head",
                ]
                break
            lines = [str(where)]
            for r in range(0, rows, steps[0]):
                cells = (blocks[where][r : r + steps[0], c : c + steps[1]] for c in range(0, columns, steps[1]))
                lines.append("".join(_shade(cell) * 2 for cell in cells))
            pictures.append("\n".join(lines) + "\n")
        return "\n".join(pictures)


def _shade(cell: Tensor) -> str:
    filled = cell.float().mean().item()
    return "█" if filled == 1 else " " if filled == 0 else "░"


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: _score_mod_signature | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: FlexKernelOptions | None = None,
    *,
    return_aux: AuxRequest | None = None,
) -> Any:
    """Attention of queries (B, Hq, Q, E) to keys and values (B, Hkv, KV, E) with scores of one's own.

    ``score_mod(score, b, h, q_idx, kv_idx)`` gets all scores at once, with indices that broadcast to them.
    ``block_mask`` masks them. ``enable_gqa`` lets groups of query heads share a key head. ``return_aux`` asks
    for the logarithm of the sum of the exponentials and for the largest of each query's scores.
    """
    _check(query, key, value, block_mask, enable_gqa)
    if return_lse:
        if return_aux is not None:
            raise ValueError(
                "Cannot specify both return_lse and return_aux. return_lse is deprecated, please use "
                "return_aux=AuxRequest(lse=True) instead."
            )
        warnings.warn(
            "return_lse is deprecated and will be removed in v2.10. Please use "
            "return_aux=AuxRequest(lse=True) "
            "instead.",
            FutureWarning,
            stacklevel=2,
        )
    scores = _scores(query, key, score_mod, block_mask, scale)
    empty = (scores == -math.inf).all(dim=-1, keepdim=True)  # type: ignore[attr-defined]
    weights = torch.softmax(scores, dim=-1).masked_fill(empty, 0.0)  # a query without keys attends to nothing
    out = weights.to(query.dtype) @ _for_each_query_head(value, query).to(query.dtype)
    if not (return_lse or return_aux):
        return out
    lse = scores.logsumexp(dim=-1)
    if return_aux is None:
        return out, lse
    largest = scores.amax(dim=-1) if return_aux.max_scores else None
    return out, AuxOutput(lse if return_aux.lse else None, largest)


def _for_each_query_head(tensor: Tensor, query: Tensor) -> Tensor:
    """Keys or values with one head for each head of the queries, and one batch for each of theirs."""
    groups = query.size(1) // tensor.size(1)
    return torch.repeat_interleave(tensor, groups, dim=1).expand(query.size(0), -1, -1, -1)


def _scores(query: Tensor, key: Tensor, score_mod: Any, block_mask: Any, scale: float | None) -> Tensor:
    working = torch.float64 if query.dtype is torch.float64 else torch.float32
    key = _for_each_query_head(key, query)
    scores = query.to(working) @ key.to(working).transpose(-2, -1)
    scores = scores * (1.0 / math.sqrt(query.size(-1)) if scale is None else scale)
    shape = tuple(scores.shape)
    positions = _positions(shape, query.device)
    if score_mod is not None:
        scores = score_mod(scores, *positions).to(working).expand(shape)
    if block_mask is None:
        return scores
    mask = block_mask.mask_mod(*positions)
    if block_mask.mask_mod is noop_mask:
        blocks = block_mask.to_dense().bool()
        for dim, size in zip((-2, -1), block_mask.BLOCK_SIZE, strict=True):
            blocks = blocks.repeat_interleave(size, dim=dim)
        mask = blocks[..., : shape[-2], : shape[-1]]
    return torch.where(mask, scores, -math.inf)


def _check(query: Tensor, key: Tensor, value: Tensor, block_mask: BlockMask | None, enable_gqa: bool) -> None:
    if query.dim() != 4 or key.dim() != 4 or value.dim() != 4:
        raise NotImplementedError("NYI: query, key, and value must be 4D tensors")
    if query.size(-1) != key.size(-1):
        raise ValueError(
            "Expect query and key/value to have the same embedding dimension but got "
            f"E={query.size(-1)} and E={key.size(-1)}."
        )
    heads, key_heads = query.size(1), key.size(1)
    if not enable_gqa and heads != key_heads:
        raise ValueError(
            f"Expect query and key/value to have the same number of heads but got Hq={heads} and "
            f"Hkv={key_heads}. "
            "Try setting enable_gqa=True for GQA."
        )
    if heads % key_heads != 0:
        raise ValueError(
            f"Expect number of query heads to be a multiple of kv heads for GQA but got Hq={heads} and Hkv={key_heads}."
        )
    if block_mask is None:
        if query.size(0) != key.size(0):
            raise ValueError(
                "Expect query and key/value to have the same batch size, or non-none block_mask, but got "
                f"block_mask=None, Bq={query.size(0)}, and Bkv={key.size(0)}."
            )
        return
    if block_mask.mask_mod is _sliced_mask_mod_error:
        raise RuntimeError("Cannot use mask_mod from a sliced BlockMask")
    lengths, made_for = (query.size(-2), key.size(-2)), block_mask.shape[-2:]
    if lengths != made_for:
        longer = lengths[0] > made_for[0] or lengths[1] > made_for[1]
        raise ValueError(
            f"block_mask was created for block_mask.shape={block_mask.shape} but got q_len={lengths[0]} and "
            f"kv_len={lengths[1]}. "
            + (
                "As the block mask was created for a smaller length than you're using it for, you likely "
                "need to "
                "create a new block mask."
                if longer
                else "As the block mask was created for a larger length than you're using it for, you can "
                "either "
                "1. create a new block mask with the correct length, or 2. 'adjust' the existing block mask "
                "to the "
                "correct length by calling block_mask._adjust(q_len, kv_len)."
            )
        )
