"""Names that libraries take from ``torch._dynamo.external_utils``."""

from __future__ import annotations

from flowtorch.compiler import is_compiling as is_compiling
