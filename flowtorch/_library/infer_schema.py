"""``infer_schema`` under the name by which libraries import it."""

from flowtorch.library_schema import infer_schema as infer_schema

__all__ = ["infer_schema"]
