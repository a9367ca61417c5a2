"""Names of ``torch.utils.cpp_extension``: code compiled against PyTorch cannot be used here."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["BuildExtension", "CUDAExtension", "CppExtension", "load", "load_inline"]

CUDA_HOME: str | None = None
ROCM_HOME: str | None = None


def _none(what: str) -> NoReturn:
    raise NotImplementedError(
        f"torch.utils.cpp_extension.{what}: extensions are compiled against PyTorch's C++ library, which is not "
        "here. Write the operator with torch.autograd.Function or torch.library.custom_op, its kernel with numpy "
        "or Triton."
    )


def load(name: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Compile an extension: not supported."""
    _none(f"load({name!r})")


def load_inline(name: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Compile an extension from text: not supported."""
    _none(f"load_inline({name!r})")


def CppExtension(name: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Describe an extension: not supported."""
    _none(f"CppExtension({name!r})")


def CUDAExtension(name: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Describe an extension: not supported."""
    _none(f"CUDAExtension({name!r})")


class BuildExtension:
    """The build step of extensions: not supported."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _none("BuildExtension")

    @classmethod
    def with_options(cls, **options: Any) -> type:
        """Return the class: nothing is built."""
        return cls


def is_ninja_available() -> bool:
    """Whether the build tool ninja is installed."""
    import shutil

    return shutil.which("ninja") is not None


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)
