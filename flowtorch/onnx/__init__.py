"""Names of ``torch.onnx`` that modules ask while they run; nothing is exported."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["OnnxExporterError", "export", "is_in_onnx_export", "register_custom_op_symbolic",
           "unregister_custom_op_symbolic"]  # fmt: skip


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


def register_custom_op_symbolic(symbolic_name: str, symbolic_fn: Any, opset_version: int) -> None:
    """Say how an operator would be written as ONNX: nothing is exported, so nothing is kept."""


def unregister_custom_op_symbolic(symbolic_name: str, opset_version: int) -> None:
    """Undo ``register_custom_op_symbolic``."""


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)
