"""Write the list of PyTorch's public names that support tables and ``doctor`` go by. Needs PyTorch itself.

python tests/ecosystem/record_names.py > flowtorch/shim/torch_names.txt
"""

import importlib
import inspect
import os
import pkgutil
import sys
import types
import warnings

import torch

CLASSES = [
    "torch.Tensor", "torch.nn.Module", "torch.optim.Optimizer", "torch.Generator", "torch.autograd.Function",
    "torch.Size", "torch.device", "torch.dtype", "torch.finfo", "torch.iinfo", "torch.distributions.Distribution",
    "torch.utils.data.DataLoader", "torch.nn.Parameter", "torch.UntypedStorage",
]  # fmt: skip
# Neither documented nor meant for programs; and what only PyTorch's own tests use.
SKIP = ("torch.testing._internal", "torch.utils.benchmark.examples", "torch.utils.hipify", "torch.fx.experimental")
HEADER = f"""\
# Public names of PyTorch {torch.__version__.split("+")[0]}, a module or class a line (some modules have none of their
# own). Written by tests/ecosystem/record_names.py.
"""


def main():
    warnings.simplefilter("ignore")
    modules = sorted(found(torch.__path__, "torch."))
    print(HEADER, end="")
    for name in ["torch", *modules]:
        public = not any(part.startswith("_") for part in name.split("."))
        listed = names(name) if public else []
        print(" ".join([f"{name}:", *listed]))
    for name in CLASSES:
        owner = eval(name, {"torch": torch})
        listed = [n for n in dir(owner) if (not n.startswith("_") and n not in dir(type(owner))) or hidden(owner, n)]
        print(" ".join([f"{name}:", *listed]))


def hidden(owner, name):
    return not name.startswith("_") and name in vars(owner)


def found(path, prefix):
    """Yield the modules below a package, by file, without importing them."""
    for info in pkgutil.iter_modules(path, prefix):
        if info.name.startswith(SKIP) or info.name.rpartition(".")[2] == "__main__":
            continue
        yield info.name
        if info.ispkg:
            finder = info.module_finder
            yield from found([os.path.join(finder.path, info.name.rpartition(".")[2])], info.name + ".")


def names(name):
    """Return the public names of a module: what it declares, or what it holds and torch defines."""
    try:
        module = importlib.import_module(name)
    except BaseException as error:
        print(f"{name}: {error}", file=sys.stderr)
        return []
    declared = set(getattr(module, "__all__", ()))
    own = {n for n, value in vars(module).items() if not n.startswith("_") and belongs(value, module)}
    listed = declared | own if name in ("torch", "torch.cuda", "torch.jit") else declared or own
    return sorted(listed - {"TYPE_CHECKING"})


def belongs(value, module):
    if isinstance(value, types.ModuleType):
        return False
    if inspect.isbuiltin(value):
        return module.__name__ in ("torch", "torch.nn.functional", "torch.special", "torch.linalg", "torch.fft")
    home = getattr(value, "__module__", None)
    if home is None:
        return not isinstance(value, (int, float, str, bool)) or module is torch
    if module is torch:
        return (isinstance(home, str) and home.startswith("torch")) or inspect.isbuiltin(value)
    return isinstance(home, str) and f"{home}.".startswith((f"{module.__name__}.", "torch._C."))


if __name__ == "__main__":
    main()
