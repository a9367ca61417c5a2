"""``GraphModule.to_folder``: a package with the module's source, its state, and what has no source."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import flowtorch as torch
from flowtorch import nn
from flowtorch.nn.module import _addindent

from ._names import CUSTOM_BUILTINS

# Modules whose repr is the call that makes them.
_WRITTEN: tuple[type, ...] = tuple(
    getattr(nn, name) for name in ("Linear", "Conv1d", "Conv2d", "Conv3d", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d")
)


def write(module: Any, folder: Any, name: str) -> None:
    """Write ``module`` as the class ``name`` of the package ``folder``."""
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    torch.save(module.state_dict(), folder / "state_dict.pt")
    pickled: list[str] = []
    body = [*_children(module, folder, pickled), *_tensors(module)]
    body.append(f"self.load_state_dict(torch.load(r'{folder}/state_dict.pt'))")
    imports = "\n".join(dict.fromkeys(builtin.import_str for builtin in CUSTOM_BUILTINS.values()))
    lines = "".join(f"        {line}\n" for line in body)
    (folder / "module.py").write_text(
        f"{imports}\n\nfrom flowtorch.nn import *\n\n\nclass {name}(torch.nn.Module):\n    def __init__(self):\n"
        f"        super().__init__()\n{lines}{_addindent(module.code, 4)}\n"
    )
    (folder / "__init__.py").write_text("from .module import *")
    if pickled:
        warnings.warn(
            f"Was not able to save the following children modules as reprs -saved as pickled files instead: {pickled}",
            stacklevel=3,
        )


def _children(module: Any, folder: Path, pickled: list[str]) -> list[str]:
    lines = []
    for name, child in module.named_children():
        if type(child) in _WRITTEN:
            lines.append(f"setattr(self, '{name}', {child!r})")
            continue
        file = folder / f"{name}.pt"
        torch.save(child, file)
        pickled.append(name)
        shown = repr(child).replace("\r", " ").replace("\n", " ")
        lines.append(f"setattr(self, '{name}', torch.load(r'{file}', weights_only=False)) # {shown}")
    return lines


def _tensors(module: Any) -> list[str]:
    lines = []
    for name, buffer in module._buffers.items():
        if buffer is not None:
            empty = f"torch.empty({list(buffer.shape)}, dtype={buffer.dtype})"
            lines.append(f"self.register_buffer('{name}', {empty})")
    for name, parameter in module._parameters.items():
        if parameter is not None:
            empty = f"torch.empty({list(parameter.shape)}, dtype={parameter.dtype})"
            lines.append(f"setattr(self, '{name}', torch.nn.Parameter({empty}))")
    return lines
