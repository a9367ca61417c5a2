"""Generators of random numbers on CUDA devices: Philox, whose words are a function of seed, call and element.

Each call takes the next offset; an element's words come from (seed, offset, the element's number), so that they depend
on the shape alone and not on how a kernel is launched.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from flowtorch import devices, random
from flowtorch.array.cuda import capture, write_words
from flowtorch.random import Generator

_STATE = np.dtype([("seed", "<u8"), ("offset", "<u8")])


class CapturedSeed(int):
    """The seed of a draw in a captured graph: ``state`` is where kernels find a replay's seed and offset."""

    state: Any


class PhiloxGenerator(Generator):
    """A source of random numbers on a CUDA device."""

    __slots__ = ("_offset", "captured")

    on_device = True

    def __init__(self, device: Any = "cuda") -> None:
        found = devices.device(device)
        self._device = found if found.index is not None else devices.device("cuda", 0)
        self._restart(random._DEFAULT_SEED)
        self.captured: Any = None
        """While a graph is captured that registered this generator: where seed and offset will be read at a replay."""

    def _restart(self, seed: int) -> None:
        self._seed, self._offset = seed, 0

    def seed(self) -> int:
        """Restart the stream from a seed drawn from the operating system and return that seed."""
        self._restart(int.from_bytes(os.urandom(7), "little"))
        return self._seed

    def get_offset(self) -> int:
        """Return how many calls have drawn since the stream was started, times four (words per element)."""
        return 4 * self._offset

    def set_offset(self, offset: int) -> None:
        """Continue after ``offset`` words per element, a multiple of four."""
        if offset % 4:
            raise RuntimeError("offset must be a multiple of 4")
        self._offset = offset // 4

    def get_state(self) -> Any:
        """Return the state as a uint8 tensor of 16 elements: seed and offset."""
        from flowtorch.tensor import wrap

        state = np.array([(self._seed, 4 * self._offset)], _STATE)
        return wrap(state.view(np.uint8))

    def set_state(self, new_state: Any, /) -> Generator:
        """Take over a state from ``get_state``."""
        blob = np.ascontiguousarray(new_state._array)
        if blob.dtype != np.uint8 or blob.size != _STATE.itemsize:
            raise RuntimeError("RNG state is wrong size")
        seed, offset = blob.view(_STATE)[0]
        self._seed, self._offset = int(seed), int(offset) // 4
        return self

    def clone_state(self) -> Generator:
        """Return a new generator in the same state."""
        other = PhiloxGenerator(self._device)
        other._seed, other._offset = self._seed, self._offset
        return other

    def __reduce__(self) -> Any:
        return PhiloxGenerator, (self._device,), (self._seed, None, self.get_state())

    def advance(self) -> tuple[int, int]:
        """The seed and the offset for one call, which no other call gets; in a graph, counted from its start."""
        if capture.active and self.captured is None:
            raise RuntimeError("a CUDA generator that is not registered with the graph draws while it is captured; see "
                               "torch.cuda.CUDAGraph.register_generator_state")
        offset = self._offset
        self._offset += 1
        if self.captured is None:
            return self._seed, offset
        seed = CapturedSeed(self._seed)
        seed.state = self.captured
        return seed, offset

    def begin_capture(self, state: Any) -> int:
        """Let draws take seed and offset from ``state``, two int64 there; returns what ``end_capture`` wants."""
        before, self.captured, self._offset = self._offset, state, 0
        return before

    def end_capture(self, before: int) -> int:
        """Go on as before the capture; returns by how much every replay moves the offset on."""
        count, self.captured, self._offset = self._offset, None, before
        return count

    def replay(self, state: Any, count: int) -> None:
        """Put seed and offset where a graph that makes ``count`` calls will read them, and count those."""
        seed = self._seed - 2**64 if self._seed >= 2**63 else self._seed
        write_words(state, [seed, self._offset])
        self._offset += count

    def draw(self, name: str, *arguments: Any) -> Any:
        """Run the device kernel of the draw ``name``."""
        return getattr(importlib.import_module("flowtorch.ops.cuda.randoms"), name)(self, *arguments)


_defaults: dict[int, PhiloxGenerator] = {}
_seed: int | None = None


def default_generator(index: int = 0) -> PhiloxGenerator:
    """The generator of the device ``index`` that calls without one draw from."""
    if index not in _defaults:
        _defaults[index] = PhiloxGenerator(devices.device("cuda", index))
        _defaults[index]._restart(random.default_generator.initial_seed() if _seed is None else _seed)
    return _defaults[index]


def seed_all(seed: int) -> None:
    """Seed the default generators of all devices, those not made yet included."""
    global _seed
    _seed = random._unsigned64(seed)
    for generator in _defaults.values():
        generator._restart(_seed)


random.seed_listeners.append(seed_all)
