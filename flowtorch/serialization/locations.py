"""Where storages come from and go to: location tags in checkpoints, and ``map_location``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowtorch import devices
from flowtorch.storage import UntypedStorage

Tagger = Callable[[Any], str | None]
Restorer = Callable[[Any, str], Any]
_package_registry: list[tuple[int, Tagger, Restorer]] = []


def register_package(priority: int, tagger: Tagger, deserializer: Restorer) -> None:
    """Teach save and load about a kind of location.

    ``tagger(storage)`` names where a storage is, or returns None; ``deserializer(storage, tag)`` puts one
    there, or returns None. They are asked in the order of ``priority``, smallest first.
    """
    _package_registry.append((priority, tagger, deserializer))
    _package_registry.sort(key=lambda entry: entry[0])


def location_tag(storage: Any) -> str:
    """The name of the place that a storage is in."""
    for _, tagger, _ in _package_registry:
        tag = tagger(storage)
        if tag:
            return tag
    raise RuntimeError(f"don't know how to determine data location of {_typename(storage)}")


def default_restore_location(storage: Any, location: str) -> Any:
    """The storage, moved to the place that ``location`` names."""
    for _, _, restore in _package_registry:
        result = restore(storage, location)
        if result is not None:
            return result
    raise RuntimeError(f"don't know how to restore data location of {_typename(storage)} (tagged with {location})")


def restorer(map_location: Any) -> Restorer:
    """The function of (storage, location) that a ``map_location`` argument of ``load`` stands for."""
    if map_location is None:
        return default_restore_location
    if isinstance(map_location, dict):
        return lambda storage, location: default_restore_location(storage, map_location.get(location, location))
    if isinstance(map_location, (str, bytes, devices.device)):
        target = map_location.decode() if isinstance(map_location, bytes) else str(map_location)
        return lambda storage, location: default_restore_location(storage, target)

    def restore(storage: Any, location: str) -> Any:
        result = map_location(storage, location)
        return default_restore_location(storage, location) if result is None else result

    return restore


def validate_cuda_device(location: str) -> int:
    """The index of the GPU that a location names; RuntimeError where there is no such GPU."""
    import flowtorch

    cuda = getattr(flowtorch, "cuda", None)
    if cuda is None or not cuda.is_available():
        raise RuntimeError(
            "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. "
            "If you are running on a CPU-only machine, please use torch.load with "
            "map_location=torch.device('cpu') "
            "to map your storages to the CPU."
        )
    index = devices.device(location).index or 0
    if index >= cuda.device_count():
        raise RuntimeError(
            f"Attempting to deserialize object on CUDA device {index} but torch.cuda.device_count() is "
            f"{cuda.device_count()}. Please use torch.load with map_location to map your storages to an "
            f"existing device."
        )
    return index


def validate_hpu_device(location: str) -> int:
    """Refuse: there are no such devices here."""
    raise RuntimeError(
        "The HPU device module is not registered. If you are running on a CPU-only machine, please use torch.load "
        "with map_location=torch.device('cpu') to map your storages to the CPU."
    )


def normalize_storage_type(storage_type: Any) -> Any:
    """The public storage class of a storage class's name."""
    import flowtorch

    return getattr(flowtorch, storage_type.__name__)


def storage_to_tensor_type(storage: Any) -> Any:
    """The tensor type of the same name as a storage's type."""
    import flowtorch

    return getattr(flowtorch, type(storage).__name__.replace("Storage", "Tensor"))


def _typename(storage: Any) -> str:
    return f"torch.storage.{type(storage).__name__}"


def _tag(storage: Any) -> str | None:
    return str(storage.device) if storage.device.type in ("cpu", "cuda", "meta") else None


def _restore(storage: Any, location: str) -> Any:
    if location == "cpu":
        return storage
    if location == "meta":
        return UntypedStorage(storage.nbytes(), device="meta")
    if location == "cuda" or location.startswith("cuda:"):
        return storage.to(device=devices.device("cuda", validate_cuda_device(location)))
    return None


register_package(10, _tag, _restore)
