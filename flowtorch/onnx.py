"""Names of ``torch.onnx`` that modules ask while they run; nothing is exported."""

from __future__ import annotations

from typing import Any, NoReturn

__path__: list[str] = []  # a package, as in PyTorch: imports below it are asked for by name
__all__ = ["OnnxExporterError", "export", "is_in_onnx_export"]


class OnnxExporterError(RuntimeError):
    """An export failed."""


def is_in_onnx_export() -> bool:
    """Whether this call is being exported: never."""
    return False


def export(*args: Any, **kwargs: Any) -> NoReturn:
    """Write a model as ONNX: not supported."""
    raise NotImplementedError(
        "torch.onnx.export: flowtorch records no graphs to export. Save the state_dict with torch.save; PyTorch can "
        "load and export it."
    )


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)
