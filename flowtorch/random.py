"""Generators and seeds: PyTorch's CPU random stream, word for word."""

from __future__ import annotations

import contextlib
import operator
import secrets
from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = [
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
    "thread_safe_generator",
]

_DEFAULT_SEED = 67280421310721
_WORDS = 624
# PyTorch's state blob: the C struct of its older generators, then the float32 half of a normal pair (never used on CPU).
_STATE = np.dtype(
    [
        ("seed", "<u8"), ("left", "<i4"), ("seeded", "<i4"), ("next", "<u8"), ("words", "<u8", (_WORDS,)),
        ("normal_x", "<f8"), ("normal_y", "<f8"), ("normal_rho", "<f8"), ("normal_is_valid", "<i4"), ("pad", "<i4"),
        ("next_float_normal", "<f4"), ("next_float_normal_is_valid", "<i4"),
    ]
)  # fmt: skip


class Generator:
    """A source of random numbers on the CPU: a Mersenne twister with PyTorch's seeding and state."""

    __slots__ = ("__weakref__", "_bits", "_bits_current", "_device", "_draw", "_next_normal", "_seed")

    def __init__(self, device: Any = "cpu") -> None:
        self._device = _cpu_device(device)
        self._bits: Any = None
        self._restart(_DEFAULT_SEED)

    @property
    def device(self) -> Any:
        """The device whose random numbers this generator produces."""
        return self._device

    def manual_seed(self, seed: int, /) -> Generator:
        """Restart the stream from ``seed`` (any integer of 64 bits, signed or not) and return the generator."""
        if not _is_plain_integer(seed):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        self._restart(_unsigned64(seed))
        return self

    def seed(self) -> int:
        """Restart the stream from a seed drawn from the operating system and return that seed."""
        self._restart(secrets.randbits(64))
        return self._seed

    def initial_seed(self) -> int:
        """Return the seed the stream was last started from."""
        return self._seed

    def get_state(self) -> Any:
        """Return the state as a uint8 tensor of 5056 elements, laid out as PyTorch lays it out."""
        from flowtorch.tensor import wrap

        return wrap(self._state_bytes())

    def set_state(self, new_state: Any, /) -> Generator:
        """Continue from a state that ``get_state`` returned, here or in PyTorch."""
        from flowtorch.tensor import Tensor

        if not isinstance(new_state, Tensor):
            raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
        array = new_state.detach().cpu()._array
        if array.dtype != np.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        self._load_state_bytes(array)
        return self

    def clone_state(self) -> Generator:
        """Return a new generator that continues from where this one stands."""
        twin = Generator(self._device)
        twin._load_state_bytes(self._state_bytes())
        return twin

    def graphsafe_get_state(self) -> Generator:
        """Refuse: sharing a state between generators is for CUDA graphs."""
        raise NotImplementedError("graphsafe_get_state is not supported in this Generator")

    def graphsafe_set_state(self, state: Generator) -> None:
        """Refuse: sharing a state between generators is for CUDA graphs."""
        raise NotImplementedError("graphsafe_set_state is not supported in this Generator")

    def get_offset(self) -> int:
        """Refuse: only counter-based generators have an offset."""
        raise RuntimeError("CPU Generator does not use offset")

    def set_offset(self, offset: int) -> None:
        """Refuse: only counter-based generators have an offset."""
        raise RuntimeError("CPU Generator does not use offset")

    def __reduce__(self) -> Any:
        return Generator, (self._device,), (self._seed, None, self.get_state())

    def __setstate__(self, state: Any) -> None:
        self.manual_seed(state[0])
        self.set_state(state[2])

    # The words. numpy's twister is the same one; it is made at the first draw, because importing numpy.random costs a
    # tenth of the whole import budget and many programs never draw. ``_draw`` is None until then: PyTorch's state bytes
    # tell a twister that nothing was drawn from since it was seeded.

    def _raw(self, count: int) -> np.ndarray:
        """Draw ``count`` 32-bit words, as an array of uint64."""
        return (self._draw or self._begin())(count)

    def _word(self) -> int:
        """Draw one 32-bit word."""
        return int((self._draw or self._begin())())

    def _word64(self) -> int:
        """Draw one 64-bit word: two 32-bit words, high half first."""
        draw = self._draw or self._begin()
        high = int(draw())
        return high << 32 | int(draw())

    def _begin(self) -> Any:
        self._draw = self._twister().random_raw
        return self._draw

    def _twister(self) -> Any:
        if self._bits is None:
            from numpy.random import MT19937

            self._bits = MT19937(0)
        if not self._bits_current:
            self._bits._legacy_seeding(self._seed & 0xFFFFFFFF)
            self._bits_current = True
        return self._bits

    def _restart(self, seed: int) -> None:
        self._seed = seed
        self._next_normal: float | None = None
        self._draw: Any = None
        self._bits_current = False

    def _mark(self) -> Any:
        """A place in the stream, for ``_rewind``."""
        return self._twister().state

    def _rewind(self, mark: Any) -> None:
        self._twister().state = mark

    # The state as bytes.

    def _state_bytes(self) -> np.ndarray:
        twister = self._twister().state["state"]
        fresh = self._draw is None
        state = np.zeros((), _STATE)
        state["seed"] = self._seed
        state["seeded"] = 1
        state["next"] = 0 if fresh else twister["pos"]
        state["left"] = 1 if fresh else _WORDS + 1 - twister["pos"]
        state["words"] = twister["key"]
        if self._next_normal is not None:
            state["normal_y"] = self._next_normal
            state["normal_is_valid"] = 1
        return np.frombuffer(bytearray(state.tobytes()), np.uint8)

    def _load_state_bytes(self, blob: np.ndarray) -> None:
        if blob.size != _STATE.itemsize:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {_STATE.itemsize} but found the input RNG state size to be "
                f"{blob.size}"
            )
        state = np.frombuffer(blob.tobytes(), _STATE)[0]
        left, position = int(state["left"]), int(state["next"])
        if state["seeded"] != 1 or not 0 < left <= _WORDS or position > _WORDS:
            raise RuntimeError("Invalid mt19937 state")
        bits = self._twister()
        bits.state = {
            "bit_generator": "MT19937",
            "state": {"key": state["words"].astype(np.uint32), "pos": _WORDS if left == 1 else position},
        }
        self._seed = int(state["seed"])
        self._draw = None if left == 1 and position == 0 else bits.random_raw
        self._next_normal = float(state["normal_y"]) if state["normal_is_valid"] else None


def _cpu_device(device: Any) -> Any:
    return device


def _is_plain_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _unsigned64(seed: Any) -> int:
    seed = operator.index(seed)
    if not -(2**63) <= seed < 2**64:
        raise ValueError("Overflow when unpacking long long")
    return seed & 0xFFFFFFFFFFFFFFFF


default_generator = Generator()
