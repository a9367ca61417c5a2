"""The classes of the operators in ``torch.ops``, under the module where programs look for them."""

from __future__ import annotations

from typing import Any

from flowtorch.ops_namespace import OpOverload as OpOverload
from flowtorch.ops_namespace import OpOverloadPacket as OpOverloadPacket
from flowtorch.ops_namespace import _OpNamespace as _OpNamespace
from flowtorch.ops_namespace import ops as ops

__all__: list[str] = []


class OperatorBase:
    """The base class of what is called as an operator."""


class HigherOrderOperator(OperatorBase):
    """An operator whose arguments are functions; subclasses say in ``__call__`` what it does."""

    def __init__(self, name: str, *, cacheable: bool = False) -> None:
        self._name = self.__name__ = name
        self.namespace = "higher_order"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f"{self._name}: flowtorch does not dispatch on functions; override __call__ in the subclass"
        )

    def name(self) -> str:
        """The name it was made with."""
        return self._name

    def __str__(self) -> str:
        return self._name
