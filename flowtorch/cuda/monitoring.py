"""What NVIDIA's management library tells of a device: clock, power, temperature, processes (package ``pynvml``)."""

from __future__ import annotations

from typing import Any


def _library() -> Any:
    try:
        import pynvml  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed or it can't be imported.") from error
    pynvml.nvmlInit()
    return pynvml


def _handle(library: Any, device: Any) -> Any:
    index = device if isinstance(device, int) else getattr(device, "index", None) or 0
    return library.nvmlDeviceGetHandleByIndex(index)


def memory_usage(device: Any = None) -> int:
    """The percentage of the last sample period in which memory was read or written."""
    library = _library()
    return library.nvmlDeviceGetUtilizationRates(_handle(library, device)).memory


def utilization(device: Any = None) -> int:
    """The percentage of the last sample period in which kernels ran."""
    library = _library()
    return library.nvmlDeviceGetUtilizationRates(_handle(library, device)).gpu


def device_memory_used(device: Any = None) -> int:
    """The bytes in use on the device, by whatever process."""
    library = _library()
    return library.nvmlDeviceGetMemoryInfo(_handle(library, device)).used


def temperature(device: Any = None) -> int:
    """The device's temperature in degrees Celsius."""
    library = _library()
    return library.nvmlDeviceGetTemperature(_handle(library, device), 0)


def power_draw(device: Any = None) -> int:
    """The power that the device draws, in milliwatts."""
    library = _library()
    return library.nvmlDeviceGetPowerUsage(_handle(library, device))


def clock_rate(device: Any = None) -> int:
    """The clock of the multiprocessors in MHz."""
    library = _library()
    return library.nvmlDeviceGetClockInfo(_handle(library, device), 1)


def list_gpu_processes(device: Any = None) -> str:
    """The processes that use the device and their memory, as text."""
    try:
        library = _library()
    except ModuleNotFoundError:
        return "pynvml module not found, please install nvidia-ml-py"
    found = library.nvmlDeviceGetComputeRunningProcesses(_handle(library, device))
    if not found:
        return "no processes are running"
    return "\n".join(f"process {p.pid:>10d} uses {p.usedGpuMemory / 2**20:>12.3f} MB GPU memory" for p in found)
