"""What a recorded run consists of: its events in order, and the values that flowed between them, by digest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 2


class Event:
    """One call, one gradient that arrived or was added to another, one step of an optimizer or of a schedule."""

    FIELDS = ("phase", "name", "inputs", "outputs", "line", "file", "text", "module", "of", "sweep", "names",
              "settings", "drawn", "autocast", "sources")  # fmt: skip

    def __init__(self, phase: str, name: str, inputs: list, outputs: list, where: tuple, module: str = "") -> None:
        self.phase, self.name, self.inputs, self.outputs = phase, name, inputs, outputs
        self.file, self.line, self.text = where
        self.module = module
        # What a gradient is of: [[number of an event, which output], ...]; -1 - k is its input k, which is a leaf.
        self.of: list = []
        self.sweep = 0  # the number of the backward pass that brought a gradient
        self.grads: dict[tuple[int, int], str] = {}  # (sweep, which output) -> digest of the gradient that arrived
        self.names: list[list[str]] = [[], []]  # of an optimizer's inputs and outputs
        self.drawn = ""  # digest of the generator's state before the call, if it drew random numbers
        self.sources: list[list[int]] = []  # of each input: [event, which output] that made that very tensor
        self.autocast = ""  # the dtype that autocast computed it in
        self.settings: list[dict] = []  # an optimizer's hyperparameters, group by group
        self.call: Any = None  # (function, args, kwargs) with ``Slot``s for tensors: not written to files

    @property
    def where(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}" if self.file else "?"

    def as_json(self) -> dict:
        fields = {f: getattr(self, f) for f in self.FIELDS}
        return {**fields, "grads": [[*at, digest] for at, digest in self.grads.items()]}

    @classmethod
    def from_json(cls, fields: dict) -> Event:
        where = fields["file"], fields["line"], fields["text"]
        e = cls(fields["phase"], fields["name"], fields["inputs"], fields["outputs"], where, fields["module"])
        for name in ("of", "sweep", "names", "settings", "drawn", "autocast", "sources"):
            setattr(e, name, fields[name])
        e.grads = {(sweep, k): digest for sweep, k, digest in fields["grads"]}
        return e


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
        self.failure = ""  # what ended the program before its end
        self.size = 0  # bytes of all values
        self.recorded_sweeps: list[int] = []  # backward passes with create_graph=True: later ones run through them too

    def keep(self, digest: str, values: np.ndarray, dtype: str, largest: int = 1 << 62) -> None:
        """Remember a value, but only its digest if it is too large."""
        if digest not in self.dtypes:
            self.dtypes[digest] = dtype
            if values.nbytes <= largest:
                self.values[digest] = values
                self.size += values.nbytes

    def save(self, folder: Path) -> None:
        """Write ``events.json`` and ``values.npz``."""
        folder.mkdir(parents=True, exist_ok=True)
        head: dict[str, Any] = {"format": FORMAT, "library": self.library, "dtypes": self.dtypes}
        head |= {"recorded_sweeps": self.recorded_sweeps, "events": [e.as_json() for e in self.events]}
        (folder / "events.json").write_text(json.dumps(head))
        np.savez(folder / "values.npz", **self.values)  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path) -> Trace:
        """What ``save`` wrote."""
        head = json.loads((folder / "events.json").read_text())
        if head["format"] != FORMAT:
            raise ValueError(f"{folder}: a recording of format {head['format']}, not {FORMAT}: record it again")
        trace = cls(head["library"])
        trace.dtypes, trace.recorded_sweeps = head["dtypes"], head["recorded_sweeps"]
        with np.load(folder / "values.npz") as stored:
            trace.values = {k: stored[k] for k in stored.files}
        trace.events = [Event.from_json(fields) for fields in head["events"]]
        return trace
