"""All batching rules: importing this module fills the table."""

from flowtorch.func import (
    rules_composed,
    rules_indexing,
    rules_linalg,
    rules_linear,
    rules_nn,
    rules_pointwise,
    rules_view,
)

__all__ = [
    "rules_composed",
    "rules_indexing",
    "rules_linalg",
    "rules_linear",
    "rules_nn",
    "rules_pointwise",
    "rules_view",
]
