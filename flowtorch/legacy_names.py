"""Names that PyTorch keeps for old programs: those that still work, and those that say what came in their place."""

from __future__ import annotations

import math
import warnings
from typing import Any, NoReturn

from flowtorch.tensor import Tensor


def _removed(use: str) -> NoReturn:
    raise RuntimeError(f"This function was deprecated since version 1.9 and is now removed. Use {use}")


def solve(input: Tensor, A: Tensor, *, out: Any = None) -> NoReturn:
    """Removed from PyTorch; see ``torch.linalg.solve``."""
    _removed("torch.linalg.solve(A, B), whose arguments come in the other order; torch.linalg.lu_factor factors A")


def symeig(input: Tensor, eigenvectors: bool = False, upper: bool = True, *, out: Any = None) -> NoReturn:
    """Removed from PyTorch; see ``torch.linalg.eigh``."""
    _removed("torch.linalg.eigh(A, UPLO='U' if upper else 'L'), or torch.linalg.eigvalsh for eigenvalues alone")


def lstsq(input: Tensor, A: Tensor, *, out: Any = None) -> NoReturn:
    """Removed from PyTorch; see ``torch.linalg.lstsq``."""
    _removed("torch.linalg.lstsq(A, B).solution, whose arguments come in the other order")


def eig(self: Tensor, eigenvectors: bool = False, *, e: Any = None, v: Any = None) -> NoReturn:
    """Removed from PyTorch; see ``torch.linalg.eig``."""
    _removed("torch.linalg.eig, which gives complex tensors, or torch.linalg.eigvals for eigenvalues alone")


def matrix_rank(input: Tensor, tol: Any = None, symmetric: bool = False, *, out: Any = None) -> NoReturn:
    """Removed from PyTorch; see ``torch.linalg.matrix_rank``."""
    _removed("torch.linalg.matrix_rank, where 'symmetric' is called 'hermitian'")


def _solve_method(self: Tensor, other: Tensor) -> NoReturn:
    """Removed from PyTorch; see ``torch.linalg.solve``."""
    solve(self, other)


def _lstsq_method(self: Tensor, other: Tensor) -> NoReturn:
    """Removed from PyTorch; see ``torch.linalg.lstsq``."""
    lstsq(self, other)


def _eig_method(self: Tensor, eigenvectors: bool = False) -> NoReturn:
    """Removed from PyTorch; see ``torch.linalg.eig``."""
    eig(self, eigenvectors)


def _symeig_method(self: Tensor, eigenvectors: bool = False) -> NoReturn:
    """Removed from PyTorch; see ``torch.linalg.eigh``."""
    symeig(self, eigenvectors)


def reinforce(self: Tensor, reward: Any) -> NoReturn:
    """Removed from PyTorch; see ``torch.distributions``."""
    raise RuntimeError(
        "reinforce() was removed.\nUse torch.distributions instead: sample an action from a distribution and "
        "minimise -distribution.log_prob(action) * reward"
    )


def _resize_method(self: Tensor, *sizes: Any) -> Tensor:
    """The elements in another shape (deprecated: use ``reshape``, or ``resize_`` for another number of them)."""
    warnings.warn("non-inplace resize is deprecated", stacklevel=2)
    return _reshaped(self, sizes)


def _resize_as_method(self: Tensor, tensor: Tensor) -> Tensor:
    """The elements in the shape of ``tensor`` (deprecated: use ``view_as``)."""
    warnings.warn("non-inplace resize_as is deprecated", stacklevel=2)
    return _reshaped(self, tuple(tensor.shape))


def _reshaped(tensor: Tensor, sizes: tuple) -> Tensor:
    count = math.prod(sizes)
    if tensor.numel() != count:
        raise RuntimeError(
            f"requested resize to {'x'.join(map(str, sizes))} ({count} elements in total), but the given tensor has "
            f"a size of {'x'.join(map(str, tensor.shape))} ({tensor.numel()} elements). autograd's resize can only "
            "change the shape of a given tensor, while preserving the number of elements."
        )
    return tensor.reshape(sizes)  # type: ignore[attr-defined]


def is_distributed(self: Tensor) -> bool:
    """Whether the elements are spread over several processes: never."""
    return False


def _index_method(self: Tensor, positions: Any, dims: Any) -> NoReturn:
    """Bind dimensions to first-class dimension objects, which flowtorch does not have."""
    raise NotImplementedError(
        "Tensor.index binds dimensions to first-class dimensions (functorch.dim), which flowtorch does not provide; "
        "select elements with tensor[...] or torch.index_select, map over dimensions with torch.vmap"
    )


def _volatile(self: Tensor) -> bool:
    """Always False: ``torch.no_grad()`` took its place."""
    warnings.warn("volatile was removed (Variable.volatile is always False)", stacklevel=2)
    return False


def _set_volatile(self: Tensor, value: Any) -> None:
    warnings.warn("volatile was removed and now has no effect. Use `with torch.no_grad():` instead.", stacklevel=2)


def attach() -> None:
    """Give Tensor these methods; called once by the package."""
    methods: dict[str, Any] = {
        "solve": _solve_method, "symeig": _symeig_method, "lstsq": _lstsq_method, "eig": _eig_method,
        "reinforce": reinforce, "resize": _resize_method, "resize_as": _resize_as_method,
        "is_distributed": is_distributed, "index": _index_method, "volatile": property(_volatile, _set_volatile),
    }  # fmt: skip
    for name, method in methods.items():
        if not isinstance(method, property):
            method.__name__, method.__qualname__ = name, f"Tensor.{name}"
        setattr(Tensor, name, method)
    # Python 2's protocol.
    Tensor.__long__, Tensor.__nonzero__ = Tensor.__int__, Tensor.__bool__  # type: ignore[attr-defined]
