"""Options of the chunked ``linear_cross_entropy``."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LinearCrossEntropyOptions"]


@dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """How ``linear_cross_entropy`` cuts the batch into chunks, so that the logits never exist at once."""

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: object = None

    def __post_init__(self) -> None:
        if self.acc_policy not in ("auto", "accurate", "balanced", "compact"):
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        if self.chunking_method not in (None, "auto"):
            name, colon, factor = self.chunking_method.partition(":")
            valid = name == "aspect_ratio" and (not colon or (factor.isdigit() and int(factor) > 0))
            if not valid:
                raise ValueError(f"invalid chunking_method: {self.chunking_method!r}")
        size = self.batch_chunk_size
        if size is not None and not (isinstance(size, int) and size > 0):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {size!r}")
        if self.acc_dtype is not None and str(self.acc_dtype).split(".")[-1] not in (
            "float16",
            "bfloat16",
            "float32",
            "float64",
        ):
            raise ValueError(
                "acc_dtype must be one of {None, torch.float16, torch.bfloat16, torch.float32, "
                f"torch.float64}}, got {self.acc_dtype!r}. Pass acc_dtype=None to let the op pick "
                "automatically."
            )

    def rows(self, batch: int, in_features: int, num_classes: int) -> int:
        """The number of rows of one chunk of a batch."""
        method = self.chunking_method
        if method == "auto":
            method = "aspect_ratio" if self.batch_chunk_size is None else None
        if method is None:
            return max(1, min(self.batch_chunk_size or batch, batch))
        factor = int(method.partition(":")[2] or 1)
        # A chunk's logits then take about as much memory as the whole input.
        per_chunk = -(-batch // -(-num_classes // in_features))
        rows = min((1 << (per_chunk - 1).bit_length()) // factor, batch)
        if self.batch_chunk_size is not None and self.batch_chunk_size != rows:
            raise ValueError(
                f"batch_chunk_size (={self.batch_chunk_size}) and chunking_method ('{method}') give different "
                f"chunk sizes ({self.batch_chunk_size} vs {rows}); pass only one."
            )
        return max(1, rows)
