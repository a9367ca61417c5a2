"""Recording a running program: every public call with the values that went in and came out, gradients, optimizer steps.

Works the same in PyTorch and in flowtorch: a ``TorchFunctionMode`` sees the calls, tensor hooks the gradients. A value
is known by the digest of its bits, shape and dtype, so two recordings can be compared by what flows through them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..outcome import numbers

# Calls that tell about a tensor, or hand it on, and compute nothing.
NOT_RECORDED = frozenset(
    """
    size dim stride numel is_contiguous data_ptr backward _backward register_hook requires_grad_ retain_grad item
    tolist numpy storage_offset element_size is_floating_point is_complex is_same_size type nelement ndimension
    __len__ __bool__ __float__ __int__ __index__ __repr__ __str__ __format__ __hash__ __iter__ __contains__
    __reduce_ex__ __setstate__ __deepcopy__ get_device is_shared is_pinned untyped_storage grad detach_ _is_view
    __array__ __get__ __set__ __delete__ manual_seed set_grad_enabled is_tensor register_post_accumulate_grad_hook
    typename set_default_dtype get_default_dtype _set_grad_enabled is_inference is_leaf is_nonzero
    empty empty_like new_empty empty_strided empty_permuted new_empty_strided
    """.split()  # noqa: SIM905
)
ALIASES = {
    "true_divide": "div", "divide": "div", "multiply": "mul", "subtract": "sub", "absolute": "abs", "neg": "neg",
    "negative": "neg", "truediv": "div", "rtruediv": "rdiv", "concat": "cat", "concatenate": "cat", "arctan": "atan",
    "_getitem": "getitem", "floordiv": "floor_divide", "mod": "remainder", "invert": "bitwise_not", "T": "t",
    "swapaxes": "transpose", "swapdims": "transpose", "movedim": "moveaxis", "greater": "gt", "less": "lt",
    "greater_equal": "ge", "less_equal": "le", "not_equal": "ne", "clip": "clamp", "isub": "sub_", "iadd": "add_",
    "imul": "mul_", "itruediv": "div_", "ipow": "pow_", "radd": "add", "rmul": "mul", "setitem": "setitem_",
}  # fmt: skip
RANDOM = frozenset(
    """
    rand randn randint randperm rand_like randn_like randint_like bernoulli bernoulli_ multinomial normal normal_
    uniform_ random_ dropout dropout_ dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout exponential_
    geometric_ log_normal_ cauchy_ trunc_normal_ xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_
    poisson rrelu gumbel_softmax
    """.split()  # noqa: SIM905
)
LARGE = 1 << 24  # bytes of a value beyond which only its digest is kept


class Event:
    """One call, one arriving gradient, or one optimizer step."""

    FIELDS = ("phase", "name", "inputs", "outputs", "line", "file", "text", "module", "of", "grads", "names")

    def __init__(self, phase: str, name: str, inputs: list, outputs: list, where: tuple, module: str) -> None:
        self.phase, self.name, self.inputs, self.outputs = phase, name, inputs, outputs
        self.file, self.line, self.text = where
        self.module = module
        # What a gradient is of: [[number of an event, which output], ...]; -1 - k is its input k, which is a leaf.
        self.of: list = []
        self.grads: dict[int, str] = {}  # the same numbers -> digest of the gradient that arrived
        self.names: list[str] = []  # an optimizer's inputs
        self.call: Any = None  # (function, args, kwargs) with ``Slot``s for tensors: not written to files

    @property
    def where(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}" if self.file else "?"

    def as_json(self) -> dict:
        return {f: getattr(self, f) for f in self.FIELDS}


class Slot:
    """Stands for tensor number ``index`` of a call's inputs."""

    def __init__(self, index: int, grad: bool) -> None:
        self.index, self.grad = index, grad


class Trace:
    """The events of a run, and the values by digest."""

    def __init__(self, library: str = "") -> None:
        self.library = library
        self.events: list[Event] = []
        self.values: dict[str, np.ndarray] = {}
        self.dtypes: dict[str, str] = {}

    def save(self, folder: Path) -> None:
        """Write ``events.json`` and ``values.npz``."""
        folder.mkdir(parents=True, exist_ok=True)
        head = {"format": 1, "library": self.library, "dtypes": self.dtypes}
        head["events"] = [e.as_json() for e in self.events]  # type: ignore[assignment]
        (folder / "events.json").write_text(json.dumps(head))
        np.savez(folder / "values.npz", **self.values)  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path) -> Trace:
        """What ``save`` wrote."""
        head = json.loads((folder / "events.json").read_text())
        trace = cls(head["library"])
        trace.dtypes = head["dtypes"]
        with np.load(folder / "values.npz") as stored:
            trace.values = {k: stored[k] for k in stored.files}
        for fields in head["events"]:
            e = Event(
                fields["phase"], fields["name"], fields["inputs"], fields["outputs"], ("", 0, ""), fields["module"]
            )
            e.file, e.line, e.text, e.of = fields["file"], fields["line"], fields["text"], fields["of"]
            e.grads = {int(k): v for k, v in fields["grads"].items()}
            e.names = fields["names"]
            trace.events.append(e)
        return trace


class Recorder:
    """Context that records what happens in it. ``library`` is the module that answers to ``torch``."""

    def __init__(self, library: Any, limit: int = 50_000) -> None:
        self.library, self.limit = library, limit
        self.trace = Trace(library.__name__)
        self.modules: list[str] = []
        self.roots: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
        self.known: dict[int, tuple[Any, int, str]] = {}
        self.leaves: dict[int, Any] = {}  # kept alive, so that no other tensor gets the id
        self.uses: dict[int, list] = {}  # where a leaf went in since its last gradient
        self.arriving: dict[int, tuple[Event, Any]] = {}
        self.inside = False
        self.undo: list[Any] = []

    # ---- values

    def digest(self, t: Any) -> str:
        """The name of a tensor's value, which is kept."""
        version = getattr(t, "_version", 0) if not getattr(t, "is_inference", lambda: False)() else 0
        big = t.numel() > 10_000
        if big and id(t) in self.known:
            seen, at, name = self.known[id(t)]
            if seen() is t and at == version:
                return name
        dtype = str(t.dtype).removeprefix("torch.")
        values = numbers(t, dtype)
        name = hashlib.blake2b(values.tobytes() + repr((values.shape, dtype)).encode(), digest_size=10).hexdigest()
        if name not in self.trace.dtypes:
            self.trace.dtypes[name] = dtype
            if values.nbytes <= LARGE:
                self.trace.values[name] = values
        if big:
            self.known[id(t)] = (weakref.ref(t), version, name)
        return name

    def tensors(self, value: Any) -> Iterator[Any]:
        if isinstance(value, self.library.Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            for v in value:
                yield from self.tensors(v)
        elif isinstance(value, dict):
            for v in value.values():
                yield from self.tensors(v)

    # ---- calls

    def __call__(self, function: Any, args: tuple, kwargs: dict) -> Any:
        """Run one public call, and note it."""
        name = name_of(function)
        if name in NOT_RECORDED or self.inside or len(self.trace.events) >= self.limit:
            return function(*args, **kwargs)
        self.inside = True
        try:
            given = list(self.tensors([args, kwargs]))
            inputs = [self.digest(t) for t in given]
            versions = [version_of(t) for t in given]
            call = (function, *self.template(args, kwargs))
        finally:
            self.inside = False
        result = function(*args, **kwargs)
        self.inside = True
        try:
            outputs = list(self.tensors(result))
            outputs += [t for t, v in zip(given, versions, strict=True) if version_of(t) != v and not among(t, outputs)]
            if not outputs:
                return result
            event = Event("forward", name, inputs, [self.digest(t) for t in outputs], source_line(), self.module())
            event.call = call
            self.watch_leaves(given)
            self.add(event, outputs)
        finally:
            self.inside = False
        return result

    def template(self, args: tuple, kwargs: dict) -> tuple[Any, Any]:
        count = iter(range(10**9))

        def put(value: Any) -> Any:
            if isinstance(value, self.library.Tensor):
                return Slot(next(count), bool(value.requires_grad))
            if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
                return type(value)(put(v) for v in value)
            if isinstance(value, dict):
                return {k: put(v) for k, v in value.items()}
            return value

        return put(args), put(kwargs)

    def add(self, event: Event, outputs: list) -> None:
        number = len(self.trace.events)
        self.trace.events.append(event)
        for k, t in enumerate(outputs):
            if t.requires_grad and not t.is_leaf:
                t.register_hook(lambda g, k=k: self.arrived(g, number, k))

    def watch_leaves(self, given: list) -> None:
        number = len(self.trace.events)
        for k, t in enumerate(given):
            if not t.requires_grad or not t.is_leaf:
                continue
            self.uses.setdefault(id(t), []).append([number, -1 - k])
            if id(t) not in self.leaves:
                self.leaves[id(t)] = t
                t.register_hook(lambda g, t=t: self.arrived_at_leaf(g, t))

    def arrived(self, g: Any, number: int, k: int) -> None:
        """A gradient has come for output ``k`` of an event."""
        if self.inside:
            return
        self.inside = True
        try:
            of = self.trace.events[number]
            name = self.digest(g)
            of.grads[k] = name
            event = Event("backward", of.name, [], [name], (of.file, of.line, of.text), of.module)
            event.of = [[number, k]]
            self.trace.events.append(event)
        finally:
            self.inside = False

    def arrived_at_leaf(self, g: Any, t: Any) -> None:
        if self.inside:
            return
        self.inside = True
        try:
            if id(t) in self.uses:
                event = Event("backward", "leaf", [], [], source_line(), "")
                event.of = self.uses.pop(id(t))
                self.trace.events.append(event)
            elif id(t) in self.arriving:  # a part of the same gradient, where a library hands it over in parts
                event, before = self.arriving[id(t)]
                g = g + before
            else:
                return
            name = self.digest(g)
            event.outputs = [name]
            self.arriving[id(t)] = event, g
            for number, k in event.of:
                self.trace.events[number].grads[k] = name
        finally:
            self.inside = False

    def module(self) -> str:
        return self.modules[-1] if self.modules else ""

    # ---- what is wrapped around the library

    def __enter__(self) -> Recorder:
        recorder = self
        base: Any = self.library.overrides.TorchFunctionMode

        class Mode(base):
            def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                return recorder(func, args, kwargs or {})

        self.wrap_modules()
        self.wrap_optimizers()
        self.mode = Mode()
        self.mode.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.mode.__exit__(*exc)
        for owner, name, original in reversed(self.undo):
            setattr(owner, name, original)

    def replace(self, owner: Any, name: str, new: Any) -> None:
        self.undo.append((owner, name, owner.__dict__[name] if isinstance(owner, type) else getattr(owner, name)))
        setattr(owner, name, new)

    def wrap_modules(self) -> None:
        recorder, cls = self, self.library.nn.Module
        call = cls.__call__

        def named_call(module: Any, *args: Any, **kwargs: Any) -> Any:
            if not recorder.modules:  # the outermost: its parts are known by their names in it
                for path, part in module.named_modules():
                    recorder.roots.setdefault(part, path or type(module).__name__)
            path = recorder.roots.get(module) or type(module).__name__
            recorder.modules.append(path)
            try:
                return call(module, *args, **kwargs)
            finally:
                recorder.modules.pop()

        self.replace(cls, "__call__", named_call)

    def wrap_optimizers(self) -> None:
        def classes(cls: type) -> Iterator[type]:
            yield cls
            below: Any = cls.__subclasses__()
            for c in below:
                yield from classes(c)

        for cls in set(classes(self.library.optim.Optimizer)):
            if "step" in cls.__dict__ and cls is not self.library.optim.Optimizer:
                self.replace(cls, "step", self.step(cls.__dict__["step"]))

    def step(self, original: Any) -> Any:
        recorder = self

        def step(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if args or kwargs or recorder.inside:  # with a closure: its calls are recorded as they come
                return original(optimizer, *args, **kwargs)
            recorder.inside = True
            try:
                names, tensors, groups = optimizer_inputs(optimizer)
                inputs = [recorder.digest(t) for t in tensors]
                result = original(optimizer)
                params = [p for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
                outputs = [recorder.digest(p) for p in params]
                name = type(optimizer).__name__
                event = Event("optimizer", name, inputs, outputs, source_line(), "")
                event.names, event.call = names, (type(optimizer), groups)
                recorder.trace.events.append(event)
            finally:
                recorder.inside = False
            return result

        return step


def optimizer_inputs(optimizer: Any) -> tuple[list[str], list, list[dict]]:
    """(names, tensors, hyperparameters of each group): parameters with a gradient, their gradients and their state."""
    names, tensors, groups = [], [], []
    count = 0
    for group in optimizer.param_groups:
        groups.append({k: v for k, v in group.items() if k not in ("params", "initial_lr", "param_names")})
        groups[-1]["count"] = 0
        for p in group["params"]:
            if p.grad is None:
                continue
            groups[-1]["count"] += 1
            entries = [("param", p), ("grad", p.grad)]
            state = optimizer.state.get(p, {})
            entries += [(k, state[k]) for k in sorted(state) if hasattr(state[k], "detach")]
            for what, t in entries:
                names.append(f"{count}.{what}")
                tensors.append(t)
            count += 1
    return names, tensors, groups


def among(t: Any, tensors: list) -> bool:
    return any(t is x for x in tensors)


def version_of(t: Any) -> int:
    try:
        return t._version
    except RuntimeError:  # inference tensors keep none
        return 0


def name_of(function: Any) -> str:
    """The bare name of a public call: ``add`` for ``torch.add``, ``Tensor.__add__`` and ``Tensor.__radd__``."""
    name = getattr(function, "__name__", "")
    if name.startswith("__") and name.endswith("__") and name not in NOT_RECORDED:
        name = name.strip("_")
    return ALIASES.get(name, name)


@functools.cache
def within_libraries(file: str) -> bool:
    """Whether a file is flowtorch's or torch's own, or no file at all."""
    if file.startswith("<"):
        return True
    packages = {os.path.dirname(m.__file__) for n in ("flowtorch", "torch") if (m := sys.modules.get(n)) and m.__file__}
    packages.add(str(Path(__file__).resolve().parents[2]))
    path = os.path.realpath(file)
    return any(path.startswith(os.path.realpath(p) + os.sep) for p in packages)


def source_line() -> tuple[str, int, str]:
    """(file, line, text) of the program's own line that made the call: the innermost outside what is installed.

    A program that is installed itself has the innermost of its lines.
    """
    frame: Any = sys._getframe(1)
    installed = None
    while frame is not None:
        file = frame.f_code.co_filename
        if not within_libraries(file):
            if "site-packages" not in file and "dist-packages" not in file:
                return line_at(frame)
            installed = installed or frame
        frame = frame.f_back
    return ("", 0, "") if installed is None else line_at(installed)


def line_at(frame: Any) -> tuple[str, int, str]:
    import linecache

    file = frame.f_code.co_filename
    return file, frame.f_lineno, linecache.getline(file, frame.f_lineno).strip()


# ---------------------------------------------------------------- a program in a process of its own


def install(library: str) -> Any:
    """The library that the program will get when it says ``import torch``."""
    if library == "flowtorch":
        from flowtorch.shim.finder import install as shim

        shim()
    import torch
    import torch.nn
    import torch.optim
    import torch.overrides

    return torch


def run_program(library: str, script: str, argv: list[str], preload: str = "", limit: int = 50_000) -> Trace:
    """Run a script with everything recorded; the script's own exit is not ours."""
    import runpy

    torch = install(library)
    sys.argv = [script, *argv]
    sys.path.insert(0, str(Path(script).resolve().parent))
    if preload:
        first_of_all(preload)
    recorder = Recorder(torch, limit)
    try:
        with recorder:
            runpy.run_path(script, run_name="__main__")
    except SystemExit as stop:
        if stop.code not in (None, 0):
            raise
    return recorder.trace


def first_of_all(path: str) -> None:
    """Run a file as a module that stays: what it has set up must last as long as the process."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("difftest_preload", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"--preload: {path} is no Python file")
    module = sys.modules["difftest_preload"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def main(argv: list[str]) -> int:
    """``python -m flowtorch.testing.difftest.recording LIBRARY FOLDER PRELOAD LIMIT SCRIPT [ARG ...]``."""
    library, folder, preload, limit, script, *rest = argv
    run_program(library, script, rest, preload, int(limit)).save(Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
