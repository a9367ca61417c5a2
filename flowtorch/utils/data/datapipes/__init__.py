"""Data pipes: small datasets that are chained by method calls, such as ``pipe.shuffle().batch(8)``."""

from flowtorch.utils.data.datapipes import iter, map

__all__ = ["iter", "map"]
