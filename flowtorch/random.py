"""Generators and seeds: PyTorch's CPU random stream, word for word."""

from __future__ import annotations

import contextlib
import operator
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from flowtorch import devices

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
# PyTorch's state blob: the C struct of its older generators, then the float32 half of a normal pair (never
# used on CPU).
_STATE = np.dtype(
    [
        ("seed", "<u8"), ("left", "<i4"), ("seeded", "<i4"), ("next", "<u8"), ("words", "<u8", (_WORDS,)),
        ("normal_x", "<f8"), ("normal_y", "<f8"), ("normal_rho", "<f8"), ("normal_is_valid", "<i4"), ("pad",
        "<i4"),
        ("next_float_normal", "<f4"), ("next_float_normal_is_valid", "<i4"),
    ]
)  # fmt: skip


class Generator:
    """A source of random numbers on the CPU: a Mersenne twister with PyTorch's seeding and state.

    >>> g = torch.Generator().manual_seed(0)
    >>> torch.rand(2, generator=g)
    tensor([0.4963, 0.7682])
    """

    __slots__ = ("__weakref__", "_bits", "_bits_current", "_device", "_draw", "_next_normal", "_seed")

    _bits: Any  # numpy's twister, made at the first draw
    _bits_current: bool  # whether it was seeded since the last manual_seed
    _draw: Any  # its method that draws words; None before the first draw
    _next_normal: float | None  # the second of a pair of normal numbers, kept for the next call

    on_device = False
    """Whether kernels on a device draw the numbers; ``draw`` runs them."""
    draw: Callable

    def __new__(cls, device: Any = "cpu") -> Generator:
        if cls is Generator and device is not None and device != "cpu" and devices.device(device).type == "cuda":
            from flowtorch.array.philox import PhiloxGenerator

            return PhiloxGenerator.__new__(PhiloxGenerator)
        return object.__new__(cls)

    def __init__(self, device: Any = "cpu") -> None:
        self._device = _cpu_device(device)
        self._bits = None
        self._restart(_DEFAULT_SEED)

    @property
    def device(self) -> Any:
        """The device whose random numbers this generator produces."""
        return self._device

    def manual_seed(self, seed: int, /) -> Generator:
        """Restart the stream from ``seed``, an integer of 64 bits, signed or not; return the generator."""
        if not _is_plain_integer(seed):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        self._restart(_unsigned64(seed))
        return self

    def seed(self) -> int:
        """Restart the stream from a seed drawn from the operating system and return that seed."""
        self._restart(int.from_bytes(os.urandom(8), "little"))
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

    # The words. numpy's twister is the same one; it is made at the first draw, because importing numpy.random
    # costs a tenth of the whole import budget and many programs never draw. ``_draw`` is None until then:
    # PyTorch's state bytes tell a twister that nothing was drawn from since it was seeded.

    def _word(self) -> int:
        """Draw one 32-bit word."""
        return int((self._draw or self._begin())())

    def _word64(self) -> int:
        """Draw one 64-bit word: two 32-bit words, high half first."""
        draw = self._draw or self._begin()
        high = int(draw())
        return high << 32 | int(draw())

    def _source(self) -> Any:
        """numpy's twister, for a draw by a function that takes it."""
        if self._draw is None:
            self._begin()
        return self._bits

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
        self._next_normal = None
        self._draw = None
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
                f"Expected a CPUGeneratorImplState of size {_STATE.itemsize} but found the input RNG state "
                f"size to be "
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


def _cpu_device(device: Any) -> devices.device:
    found = devices.cpu if device is None else devices.device(device)
    if found.type == "meta":
        raise RuntimeError("META device type not an accelerator.")
    if found.type != "cpu":
        raise NotImplementedError(f"flowtorch has random generators on the CPU alone, not on {found.type!r}")
    return found


def _is_plain_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _unsigned64(seed: Any) -> int:
    seed = operator.index(seed)
    if not -(2**63) <= seed < 2**64:
        raise ValueError("Overflow when unpacking long long")
    return seed & 0xFFFFFFFFFFFFFFFF


default_generator = Generator()
# Called with every seed given to all devices at once; generators of other devices add themselves.
seed_listeners: list[Callable[[int], Any]] = []


def manual_seed(seed: Any) -> Generator:
    """Seed the generators of all devices and return the CPU's. ``seed`` is anything that ``int`` takes.

    >>> _ = torch.manual_seed(3)
    >>> torch.randint(100, (3,))
    tensor([86, 48, 37])
    """
    seed = int(seed)
    default_generator.manual_seed(seed)
    for listener in seed_listeners:
        listener(seed)
    return default_generator


def seed() -> int:
    """Seed the generators of all devices with a number from the operating system and return it."""
    number = default_generator.seed()
    for listener in seed_listeners:
        listener(number)
    return number


def initial_seed() -> int:
    """Return the seed that the CPU's default generator was last started from."""
    return default_generator.initial_seed()


def get_rng_state() -> Any:
    """Return the state of the CPU's default generator as a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(new_state: Any) -> None:
    """Set the CPU's default generator to a state from ``get_rng_state``, here or in PyTorch."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(
    devices: Any = None,
    enabled: bool = True,
    _caller: str = "fork_rng",
    _devices_kw: str = "devices",
    device_type: str | None = None,
) -> Iterator[None]:
    """Context after which the random streams stand where they stood before it.

    The CPU's always, and those of ``devices``, which by default are all of ``device_type``.
    """
    if not enabled or device_type == "meta":
        yield
        return
    module = sys.modules.get(f"flowtorch.{device_type or 'cuda'}")
    if devices is None:
        devices = range(module.device_count()) if module else ()
    elif module is None and devices:
        module = __import__(f"flowtorch.{device_type or 'cuda'}", fromlist=["get_rng_state"])
    devices = list(devices)
    state = default_generator._state_bytes()
    others = [module.get_rng_state(device) for device in devices] if module else []
    try:
        yield
    finally:
        default_generator._load_state_bytes(state)
        for device, other in zip(devices, others, strict=False):
            module.set_rng_state(other, device)  # type: ignore[union-attr]


def thread_safe_generator() -> Generator | None:
    """Return the generator of a DataLoader worker that is a thread, or None anywhere else."""
    data = sys.modules.get("flowtorch.utils.data")
    info = data.get_worker_info() if data else None
    rng = info.rng if info is not None and getattr(info, "worker_method", None) == "thread" else None
    return None if rng is None else rng.torch_generator
