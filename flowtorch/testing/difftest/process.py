"""An implementation in another process: calls go there by pipe, outcomes come back.

The worker is ``python -m flowtorch.testing.difftest.process LIBRARY [DEVICE]``; messages are pickles with their length
in front. A worker that dies takes only its call with it: the next call starts another.
"""

from __future__ import annotations

import builtins
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

from ..outcome import Outcome
from ..samples import Sample
from .implementations import Implementation

ROOT = Path(__file__).resolve().parents[3]


def _send(pipe: BinaryIO, value: Any) -> None:
    data = pickle.dumps(value)
    pipe.write(struct.pack("<Q", len(data)) + data)
    pipe.flush()


def _receive(pipe: BinaryIO) -> Any:
    head = pipe.read(8)
    if len(head) < 8:
        raise EOFError
    return pickle.loads(pipe.read(struct.unpack("<Q", head)[0]))


class Process(Implementation):
    """``library`` in a Python of its own, with an environment of its own."""

    def __init__(
        self, name: str, command: list[str], library: str, environment: dict[str, str], device: str = "cpu"
    ) -> None:
        super().__init__(name)
        self.command = [*command, "-m", __name__, library, device]
        self.environment = {"PYTHONPATH": str(ROOT), **environment}
        self.faithful = device == "cpu"
        self.worker: Any = None

    def ask(self, *message: Any) -> Any:
        if self.worker is None or self.worker.poll() is not None:
            self.worker = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **self.environment},
            )
        try:
            _send(self.worker.stdin, message)
            return _receive(self.worker.stdout)
        except (EOFError, BrokenPipeError):
            status = self.worker.wait()
            self.worker = None
            return Outcome(RuntimeError(f"the process of {self.name} died with status {status}"))

    def find(self, name: str) -> Any:
        return name if self.ask("find", name) is True else None

    def run(self, what: Any, sample: Sample, random: bool = False) -> Outcome:
        return revived(self.ask("run", what, sample, random))

    def gradients(self, what: Any, sample: Sample, random: bool = False, double: bool = False) -> Outcome:
        return revived(self.ask("gradients", what, sample, random, double))

    def close(self) -> None:
        if self.worker is not None:
            self.worker.stdin.close()
            self.worker.stdout.close()
            self.worker.wait()
            self.worker = None


def portable(result: Outcome) -> Outcome:
    """The outcome with its error as (type's name, text): exceptions of another library do not travel."""
    if result.error is not None:
        return Outcome((type(result.error).__name__, str(result.error)))  # type: ignore[arg-type]
    return result


def revived(result: Outcome) -> Outcome:
    """The outcome with an exception again, of the built-in type of that name if there is one."""
    if isinstance(result.error, tuple):
        name, text = result.error
        known = getattr(builtins, name, None)
        kind = known if isinstance(known, type) and issubclass(known, Exception) else type(name, (Exception,), {})
        result.error = kind(text)
    return result


def serve(library: str, device: str) -> None:
    """Answer on stdin and stdout until stdin closes."""
    from .implementations import Library, OnDevice, _flowtorch, make

    receive, answer = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not end up among the answers
    if library != "flowtorch":
        here = make(library)
    else:
        here = Library(_flowtorch()) if device == "cpu" else OnDevice(_flowtorch(), library, device)
    while True:
        try:
            verb, what, *rest = _receive(receive)
        except EOFError:
            return
        if verb == "find":
            _send(answer, here.find(what) is not None)
            continue
        function = here.find(what) if isinstance(what, str) else what
        try:
            _send(answer, portable(getattr(here, verb)(function, *rest)))
        except Exception as error:
            _send(answer, portable(Outcome(error)))


if __name__ == "__main__":
    serve(*sys.argv[1:])
