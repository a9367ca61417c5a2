"""numpy's names of parameters: ``axis`` for ``dim``, ``keepdims`` for ``keepdim``."""

import pytest
import torch

import flowtorch

OPTIONS = {
    "topk": {"k": 1}, "chunk": {"chunks": 2}, "index_select": {"index": [0]}, "gather": {"index": [[0, 0, 0]]},
    "quantile": {"q": 0.5}, "kthvalue": {"k": 2}, "select": {"index": 0}, "narrow": {"start": 0, "length": 1},
    "repeat_interleave": {"repeats": 2}, "roll": {"shifts": 1},
}  # fmt: skip
NAMES = [
    "sum", "mean", "prod", "all", "any", "argmax", "argmin", "amax", "amin", "max", "min", "std", "var", "median",
    "logsumexp", "softmax", "log_softmax", "cumsum", "cumprod", "sort", "argsort", "squeeze", "unsqueeze", "unbind",
    "nansum", "count_nonzero", "mode", "cummax", "diff", "aminmax", "concat", "stack", *OPTIONS,
]  # fmt: skip


def call(lib, name, axis):
    x = lib.tensor([[0.5, 2.0, 1.0], [0.1, 0.2, 3.0]], dtype=lib.float64)
    options = {k: lib.tensor(v) if isinstance(v, list) else v for k, v in OPTIONS.get(name, {}).items()}
    if name in ("roll",):
        return lib.roll(x, dims=0, **options)
    return getattr(lib, name)([x, x] if name in ("concat", "stack") else x, axis=axis, **options)


def listed(result):
    parts = result if isinstance(result, (tuple, list)) else [result]
    return [v for t in parts for v in [*t.shape, *t.reshape(-1).tolist()]]


@pytest.mark.parametrize("name", NAMES)
def test_axis_is_dim(name):
    assert listed(call(flowtorch, name, 1)) == pytest.approx(listed(call(torch, name, 1)))


@pytest.mark.parametrize("name", ["sum", "mean", "all", "amax", "argmax", "max", "std", "median", "logsumexp"])
def test_keepdims_is_keepdim(name):
    mine, theirs = (getattr(lib, name)(lib.ones(2, 3), axis=1, keepdims=True) for lib in (flowtorch, torch))
    shapes = [t.shape for t in mine] if isinstance(mine, tuple) else mine.shape
    assert shapes == ([t.shape for t in theirs] if isinstance(theirs, tuple) else theirs.shape)


def test_what_is_missing_or_given_twice_is_still_said():
    x = flowtorch.ones(2, 3)
    with pytest.raises(TypeError, match='missing'):
        flowtorch.gather(x)
    with pytest.raises(TypeError):
        flowtorch.unsqueeze(x)
    with pytest.raises(TypeError):
        flowtorch.exp(x, axis=1)
    with pytest.raises(TypeError):
        flowtorch.sum(x, axes=1)


def test_views_take_their_sizes_by_name():
    for lib in (flowtorch, torch):
        x = lib.arange(6, dtype=lib.float32)
        assert x.view(size=(2, 3)).shape == (2, 3)
        assert x.view(dtype=lib.int32).dtype == lib.int32
        assert x.view(2, 3).permute(dims=(1, 0)).shape == (3, 2)
        assert x.expand(size=(4, 6)).shape == (4, 6)
