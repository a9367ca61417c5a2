"""Functions that PyTorch's operator library offers beside the ones that networks call: ``convolution``, ..."""

from __future__ import annotations

import flowtorch as torch
from flowtorch import dtypes
from flowtorch.ops import fused
from flowtorch.ops.arguments import need_bool, need_int, need_ints
from flowtorch.ops.op import composite


@composite
def convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups):
    """The convolution of 1 to 3 dimensions that ``weight`` says, or its transpose: what ``conv2d`` and its like call.

    >>> import flowtorch as torch
    >>> x, w = torch.ones(1, 1, 4), torch.ones(1, 1, 2)
    >>> torch.convolution(x, w, None, [1], [0], [1], False, [0], 1)
    tensor([[[2., 2., 2.]]])
    """
    n = weight.dim() - 2
    if input.dim() != weight.dim():
        raise RuntimeError(
            f"Expected {weight.dim()}-dimensional input for {weight.dim()}-dimensional weight {list(weight.shape)}, "
            f"but got {input.dim()}-dimensional input of size {list(input.shape)} instead"
        )
    if not 1 <= n <= 3:
        raise RuntimeError(f"convolution(): weight should have at least three dimensions, got {weight.dim()}")
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "output_padding": output_padding}
    for position, (name, value) in enumerate(settings.items(), 4):
        settings[name] = _spread(name, position, value, n)
    need_bool("convolution", "transposed", 7, transposed)
    need_int("convolution", "groups", 9, groups)
    if transposed:
        return getattr(torch, f"conv_transpose{n}d")(input, weight, bias, groups=groups, **settings)
    del settings["output_padding"]
    return getattr(torch, f"conv{n}d")(input, weight, bias, groups=groups, **settings)


def _spread(name: str, position: int, value, n: int) -> tuple[int, ...]:
    """One number per dimension; a sequence of one number stands for all."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(
            f"convolution(): argument '{name}' (position {position}) must be tuple of ints, not {type(value).__name__}"
        )
    need_ints("convolution", name, position, value)
    if len(value) not in (1, n):
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {n} values to match the convolution "
            f"dimensions, but got {name}={list(value)}"
        )
    return tuple(value) if len(value) == n else tuple(value) * n


@composite
def native_dropout(input, p: float, train: bool | None):
    """(``dropout`` of ``input``, the mask of what it kept); ``train=None`` counts as True.

    >>> import flowtorch as torch
    >>> torch.native_dropout(torch.ones(2), 0.5, False)
    (tensor([1., 1.]), tensor([True, True]))
    """
    if train is not None:
        need_bool("native_dropout", "train", 3, train)
    if input.numel() == 0:
        return input, torch.empty_like(input)
    if train is False:
        return input.clone(), torch.ones_like(input, dtype=torch.bool)
    if not input.is_floating_point():
        raise RuntimeError(f"result type Float can't be cast to the desired output type {input.dtype.label}")
    if 0 < p < 1 and fused.on_device(input):
        return fused.dropout(input, p)
    with torch.no_grad():
        mask = torch.empty_like(input, requires_grad=False).bernoulli_(1 - p)
    return input * mask * (0.0 if p == 1 else 1 / (1 - p)), mask.to(torch.bool)


@composite
def native_norm(input, p=2, dim=None, keepdim=False, dtype=None):
    """The p-norm of all elements of a sparse tensor; other tensors have ``torch.linalg.vector_norm``."""
    if input.layout is not dtypes.LAYOUTS["sparse_coo"]:
        raise NotImplementedError(
            "Could not run 'aten::native_norm' with arguments from the 'CPU' backend: it is defined for sparse "
            "tensors alone; use torch.linalg.vector_norm"
        )
    dims = tuple(range(input.dim())) if not dim else tuple(d % input.dim() for d in dim)
    if len(set(dims)) != input.dim():
        raise RuntimeError(
            "norm_sparse currently only supports full reductions, so 'dim' must either be empty or contain all "
            "dimensions of the input"
        )
    values = input.coalesce().values().flatten()
    norm = torch.linalg.vector_norm(values, 2 if p is None else p, dtype=dtype)
    return norm.reshape((1,) * input.dim()) if keepdim else norm


@composite
def batch_norm_update_stats(input, running_mean, running_var, momentum: float):
    """(mean, variance) of each channel of (N, C, *); running statistics move towards them by ``momentum``.

    The variance that is returned is that of the batch itself, the one that joins ``running_var`` is unbiased.
    """
    if not input.is_floating_point():
        raise NotImplementedError(f"\"batch_norm_update_stats_cpu\" not implemented for '{input.dtype.label}'")
    dims = (0, *range(2, input.dim()))
    with torch.no_grad():
        # Half precision is averaged in float32, as every sum of it.
        x = input.float() if input.dtype.itemsize < 4 else input
        var, mean = torch.var_mean(x, dims, correction=0)
        count = input.numel() // input.shape[1]
        for running, value in ((running_mean, mean), (running_var, var * (count / max(count - 1, 1)))):
            if running is not None:
                running.lerp_(value.to(running.dtype), momentum)
        return mean.to(input.dtype), var.to(input.dtype)
