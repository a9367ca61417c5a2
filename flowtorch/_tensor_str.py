"""Printing, under the name that PyTorch's module has."""

from flowtorch.printing import (
    PRINT_OPTS,
    _str,
    _tensor_str,
    get_printoptions,
    printoptions,
    set_printoptions,
)

__all__ = ["PRINT_OPTS", "_str", "_tensor_str", "get_printoptions", "printoptions", "set_printoptions"]
