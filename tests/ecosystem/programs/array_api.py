"""The array API standard through array-api-compat: every function of the namespace that takes one or two arrays."""

import array_api_strict
import torch
from array_api_compat import array_namespace, device, is_torch_array, size, to_device
from common import report

x = torch.linspace(0.1, 0.9, 6, dtype=torch.float64).reshape(2, 3)
xp = array_namespace(x)
arguments = {
    "float": (x, x.flip(0)), "int": (torch.arange(6).reshape(2, 3), torch.tensor([[2, 1, 1], [1, 2, 2]])),
    "bool": (x > 0.5, x < 0.7),
}  # fmt: skip


def plain(value):
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), list(value.shape), [float(v) for v in value.to(torch.float64).reshape(-1)]]
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return repr(value) if not isinstance(value, (int, float, bool)) else float(value)


results = {"absent": sorted(n for n in array_api_strict.__all__ if not hasattr(xp, n))}
skipped = {"empty", "empty_like", "from_dlpack", "set_array_api_strict_flags", "reset_array_api_strict_flags"}
for name in sorted(set(array_api_strict.__all__) - set(results["absent"]) - skipped):
    function = getattr(xp, name)
    if (
        not callable(function)
        or isinstance(function, type)
        or name.startswith(("__", "get_array", "reset", "Array"))
    ):
        continue
    for kind, (a, b) in arguments.items():
        if name not in ("iinfo", "finfo"):
            for count, given in ((1, (a,)), (2, (a, b))):
                try:
                    found = plain(function(*given))
                except Exception:
                    continue  # what PyTorch refuses may work elsewhere
                results[f"{name}/{kind}/{count}"] = found
for name, call in {
    "sum": lambda: xp.sum(x, axis=0, keepdims=True), "std": lambda: xp.std(x, axis=1, correction=1),
    "take": lambda: xp.take(x, xp.asarray([1, 0]), axis=1), "concat": lambda: xp.concat([x, x], axis=None),
    "tensordot": lambda: xp.tensordot(x, xp.permute_dims(x, (1, 0)), axes=1), "clip": lambda: xp.clip(x, 0.2, 0.5),
    "searchsorted": lambda: xp.searchsorted(xp.asarray([1, 2, 3]), xp.asarray([2, 5])),
    "sort": lambda: xp.sort(x, descending=True, axis=0), "norm": lambda: xp.linalg.matrix_norm(x, ord="nuc"),
    "svd": lambda: xp.linalg.svdvals(x), "fft": lambda: xp.abs(xp.fft.fft(x)), "astype": lambda: xp.astype(x, xp.int32),
    "info": lambda: sorted(xp.__array_namespace_info__().dtypes()), "size": lambda: size(x),
    "device": lambda: str(device(to_device(x, "cpu"))), "is": lambda: bool(is_torch_array(x)),
    "unique": lambda: list(xp.unique_counts(xp.asarray([2, 1, 2]))), "repeat": lambda: xp.repeat(x, 2, axis=1),
}.items():  # fmt: skip
    results[f"with options/{name}"] = plain(call())
report(**results)
