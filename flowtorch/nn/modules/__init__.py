"""The modules under the paths where PyTorch keeps them, such as ``nn.modules.linear.Linear``.

The files lie one level higher, one per family; each is entered here under every name it has in PyTorch.
Classes say that they belong here, so that what is pickled by name can be read on both sides.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

# PyTorch's file -> ours, in the order in which PyTorch's package imports them.
_FILES = {
    "module": "module",
    "linear": "linear",
    "activation": "activation",
    "adaptive": "adaptive",
    "batchnorm": "batchnorm",
    "channelshuffle": "channelshuffle",
    "container": "container",
    "conv": "conv",
    "distance": "distance",
    "dropout": "dropout",
    "flatten": "flatten",
    "fold": "fold",
    "instancenorm": "instancenorm",
    "lazy": "lazy",
    "linear_cross_entropy_options": "linear_cross_entropy",
    "loss": "loss",
    "normalization": "normalization",
    "padding": "padding",
    "pixelshuffle": "pixelshuffle",
    "pooling": "pooling",
    "rnn": "rnn",
    "sparse": "embedding",
    "transformer": "transformer",
    "upsampling": "upsampling",
    "utils": "sizes",
}
# Classes that PyTorch keeps in another file than we do.
_MOVED = {"multihead": "activation"}

__all__: list[str] = []


def _enter(name: str, home: ModuleType) -> None:
    """Make ``home`` known as this package's ``name``, and take over its public names."""
    path = f"{__name__}.{name}"
    sys.modules[path] = home
    globals()[name] = home
    for public in getattr(home, "__all__", ()):
        value = getattr(home, public)
        if isinstance(value, type):
            if value.__module__.partition(".")[2] == home.__name__.partition(".")[2]:
                value.__module__ = path
            globals()[public] = value
            if public not in __all__:
                __all__.append(public)


for _name, _file in _FILES.items():
    _enter(_name, importlib.import_module(f"..{_file}", __name__))

for _file, _name in _MOVED.items():
    _home = importlib.import_module(f"..{_file}", __name__)
    for _public in _home.__all__:
        _value = getattr(_home, _public)
        _value.__module__ = f"{__name__}.{_name}"
        setattr(sys.modules[_value.__module__], _public, _value)
        globals()[_public] = _value
        __all__.append(_public)
