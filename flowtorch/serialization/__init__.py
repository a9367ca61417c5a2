"""Checkpoints: ``save`` and ``load`` in PyTorch's formats, and how tensors are pickled and copied."""

from flowtorch.serialization.files import (
    DEFAULT_PROTOCOL,
    FILE_LIKE,
    MAP_LOCATION,
    get_unsafe_globals_in_checkpoint,
    load,
    save,
)
from flowtorch.serialization.locations import (
    default_restore_location,
    location_tag,
    normalize_storage_type,
    register_package,
    storage_to_tensor_type,
    validate_cuda_device,
    validate_hpu_device,
)
from flowtorch.serialization.options import (
    LoadEndianness,
    SourceChangeWarning,
    check_module_version_greater_or_equal,
    get_crc32_options,
    get_default_load_endianness,
    get_default_mmap_options,
    mkdtemp,
    set_crc32_options,
    set_default_load_endianness,
    set_default_mmap_options,
    skip_data,
)
from flowtorch.serialization.pickling import StorageType, _get_layout
from flowtorch.serialization.safe import add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals
from flowtorch.serialization.scripted import script_state_dict
from flowtorch.serialization.tensors import deepcopy_tensor, reduce_tensor

__all__ = [
    "DEFAULT_PROTOCOL",
    "FILE_LIKE",
    "MAP_LOCATION",
    "LoadEndianness",
    "SourceChangeWarning",
    "StorageType",
    "_get_layout",
    "add_safe_globals",
    "check_module_version_greater_or_equal",
    "clear_safe_globals",
    "deepcopy_tensor",
    "default_restore_location",
    "get_crc32_options",
    "get_default_load_endianness",
    "get_default_mmap_options",
    "get_safe_globals",
    "get_unsafe_globals_in_checkpoint",
    "load",
    "location_tag",
    "mkdtemp",
    "normalize_storage_type",
    "reduce_tensor",
    "register_package",
    "safe_globals",
    "save",
    "script_state_dict",
    "set_crc32_options",
    "set_default_load_endianness",
    "set_default_mmap_options",
    "skip_data",
    "storage_to_tensor_type",
    "validate_cuda_device",
    "validate_hpu_device",
]
