"""``OptimizedModule``: what ``torch.compile`` returns for a module."""

from __future__ import annotations

from typing import Any

from flowtorch.nn.module import Module


def is_dynamo_supported() -> bool:
    """Whether this platform has the compiler: no."""
    return False


def is_inductor_supported() -> bool:
    """Whether this platform has the compiler: no."""
    return False


class OptimizedModule(Module):
    """A module around the one that was compiled, ``_orig_mod``: whatever it lacks itself it takes from that one."""

    _orig_mod: Module

    def __init__(self, mod: Module, dynamo_ctx: Any) -> None:
        super().__init__()
        self._orig_mod = mod
        self.__dict__["dynamo_ctx"] = dynamo_ctx

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module, its hooks included."""
        return self._orig_mod(*args, **kwargs)

    @property
    def training(self) -> bool:
        """Whether the module is in training mode."""
        return self._orig_mod.training

    @training.setter
    def training(self, value: bool) -> None:
        mod = self._modules.get("_orig_mod")
        if mod is not None:  # else Module.__init__ is setting its default
            mod.training = value

    def __len__(self) -> int:
        return len(self._orig_mod)  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        return True  # whatever the length, if there is one

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            try:
                return self.__dict__["_modules"][name]
            except KeyError:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None
        return getattr(self._orig_mod, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_orig_mod" or name in self.__dict__ or hasattr(type(self), name) or "_modules" not in self.__dict__:
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self.__dict__:
            super().__delattr__(name)
        else:
            delattr(self._orig_mod, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._orig_mod)})

    def __reduce__(self) -> tuple:
        return type(self), (self._orig_mod, self.dynamo_ctx)
