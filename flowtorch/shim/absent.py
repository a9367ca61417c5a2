"""Names of PyTorch that flowtorch lacks: truthful when a program asks for them, forgiving when it only imports them.

``hasattr``, ``getattr``, ``find_spec`` and an import inside ``try`` learn that a name is not there. An unguarded
``from torch.x import Name`` while a module loads, which would only end the program, gives a stand-in instead: a class
of which nothing is an instance, whose use raises ``NotSupported``, with the place of the import and what to do.
"""

from __future__ import annotations

import dis
import importlib.machinery
import sys
import types
from collections.abc import Iterator
from importlib.abc import Loader
from typing import Any, NoReturn

# What to do instead, for the longest prefix that fits.
INSTEAD = {
    "torch.distributed": "one process only: guard with torch.distributed.is_available(), which is False",
    "torch.distributed.checkpoint": "torch.save and torch.load",
    "torch.jit": "call the function or module itself: nothing is compiled",
    "torch.onnx": "export with PyTorch from the state_dict saved by torch.save",
    "torch.export": "call the module itself, or save its state_dict with torch.save",
    "torch.fx": "symbolic_trace, Graph, Interpreter, replace_pattern and passes.shape_prop are there; see docs/fx.md",
    "torch.ao": "float dtypes: Tensor.half(), Tensor.bfloat16(), torch.amp.autocast",
    "torch.quantization": "float dtypes: Tensor.half(), Tensor.bfloat16(), torch.amp.autocast",
    "torch.utils.cpp_extension": "torch.autograd.Function or torch.library.custom_op with a numpy or Triton kernel",
    "torch.utils.tensorboard": "the package tensorboardX writes the same files",
    "torch.package": "torch.save, and the sources as an ordinary package",
    "torch._inductor": "torch.compile runs the callable as it is",
    "torch.cuda": "torch.cuda.is_available() tells whether there is a device",
}


# What was imported though it is absent, and what of it was then used: (name, "file:line" of the import, how).
met: list[tuple[str, str, str]] = []


class NotSupported(NotImplementedError, AttributeError):
    """A name that PyTorch has and flowtorch has not was used."""


def advice(name: str) -> str:
    """Say what to use in place of a name, or nothing."""
    fits = [prefix for prefix in INSTEAD if f"{name}.".startswith(f"{prefix}.")]
    return f" Nearest supported: {INSTEAD[max(fits, key=len)]}." if fits else ""


def attribute(module: str, name: str, listed: bool = True) -> Any:
    """End a module's ``__getattr__``: a stand-in for an unguarded import from PyTorch's names, else AttributeError.

    Of modules that are absent as a whole, any name is taken for one of PyTorch's (``listed=False``).
    """
    public = module.replace("flowtorch", "torch", 1)
    if not name.startswith("__"):
        site = import_site(sys._getframe(2), dis.opmap["IMPORT_FROM"])
        if site is not None and (not listed or known(public, name)):
            return stand_in(f"{public}.{name}", site)
    raise AttributeError(
        f"module {public!r} has no attribute {name!r} (flowtorch does not provide it).{advice(f'{public}.{name}')}",
        name=name,
        obj=sys.modules.get(module),
    )


def known(module: str, name: str) -> bool:
    """Say whether PyTorch 2.13 has a public name; of a module that is not listed, any name is taken as its."""
    from flowtorch.shim import names

    listed = names.public().get(module)
    return listed is None or name in listed or f"{module}.{name}" in names.modules()


def import_site(frame: types.FrameType | None, opcode: int) -> str | None:
    """Return "file:line" of an unguarded import that ``frame`` is executing, or None.

    Guarded is an import that stands in ``try``, or below an import statement of the same package that does. What
    another package guards is whether that package is installed.
    """
    if frame is None or frame.f_code.co_code[frame.f_lasti] != opcode:
        return None
    package = _package(frame)
    for below in _stack(frame):
        at_import = below is frame or below.f_code.co_code[below.f_lasti] == dis.opmap["IMPORT_NAME"]
        if at_import and _package(below) == package and _in_try(below):
            return None
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _stack(frame: types.FrameType | None) -> Iterator[types.FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _package(frame: types.FrameType) -> str:
    return frame.f_globals.get("__name__", "").partition(".")[0]


def _in_try(frame: types.FrameType) -> bool:
    code = frame.f_code
    entries = dis._parse_exception_table(code)  # type: ignore[attr-defined]
    return any(entry.start <= frame.f_lasti < entry.end for entry in entries)


class _StandIn(type):
    """The class of stand-ins: whatever is done with one, except asking, raises."""

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        cls._refuse("called")

    def __getattr__(cls, name: str) -> NoReturn:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        cls._refuse(f"asked for .{name}")

    def __getitem__(cls, item: Any) -> Any:
        return types.GenericAlias(cls, item)  # in annotations

    def __iter__(cls) -> NoReturn:
        cls._refuse("iterated over")

    def __repr__(cls) -> str:
        return f"<{type.__getattribute__(cls, '_name')}: not provided by flowtorch>"

    def _refuse(cls, how: str) -> NoReturn:
        name, site = type.__getattribute__(cls, "_name"), type.__getattribute__(cls, "_site")
        met.append((name, site, how))
        raise NotSupported(
            f"{name} was {how}, but flowtorch does not provide it (imported at {site}).{advice(name)}"
        )


def stand_in(name: str, site: str) -> Any:
    """Return what an unguarded import of a name gets that flowtorch lacks."""
    module, _, last = name.rpartition(".")
    met.append((name, site, "imported"))
    return _StandIn(last, (), {"_name": name, "_site": site, "__module__": module})


class AbsentLoader(Loader):
    """Makes an empty module for one of PyTorch's that flowtorch lacks."""

    def __init__(self, site: str):
        self.site = site

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = types.ModuleType(spec.name, f"Stands for {spec.name}, which flowtorch does not provide.")
        name = spec.name
        module.__getattr__ = lambda attr: attribute(name, attr, listed=False)  # type: ignore[method-assign]
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """There is nothing to run."""


def probing(frame: types.FrameType | None) -> bool:
    """Say whether ``importlib.util.find_spec`` is asking."""
    while frame is not None and "importlib" in frame.f_code.co_filename:
        if frame.f_code.co_filename.endswith("util>") or frame.f_code.co_filename.endswith("util.py"):
            return True
        frame = frame.f_back
    return False


def module_spec(name: str, frame: types.FrameType | None) -> importlib.machinery.ModuleSpec | None:
    """Return the spec of an empty module if an unguarded import statement asks for one of PyTorch's modules."""
    from flowtorch.shim import names

    if probing(frame):
        return None
    while frame is not None and "importlib" in frame.f_code.co_filename:
        if frame.f_code.co_name == "import_module":
            return None  # a program that asks by name looks at the answer
        frame = frame.f_back
    site = import_site(frame, dis.opmap["IMPORT_NAME"])
    if site is None or name not in names.modules():
        return None
    met.append((name, site, "imported"))
    return importlib.machinery.ModuleSpec(name, AbsentLoader(site), is_package=True)
