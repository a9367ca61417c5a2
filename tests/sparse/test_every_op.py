"""No op computes with a sparse tensor's missing memory: it gives what the dense tensor gives, or an error."""
from __future__ import annotations

import numpy as np
import pytest

import flowtorch as ft
from flowtorch.ops.op import COMPOSITES, REGISTRY

DENSE = np.array([[0.0, 0.0, 0.5], [0.25, 0.0, 0.75]])
EXTRA = ([], [0], [1], [2.0], ["dense"], ["sparse"], [0, 1], ["dense", "dense"], [0, "index"], [(0, 1)])
# Results that are unspecified, random, about the object and not its elements, or by design other than of the dense one.
APART = {
    "empty_like", "rand_like", "randn_like", "randint_like", "dropout", "feature_dropout", "alpha_dropout", "rrelu",
    "feature_alpha_dropout", "typename", "is_set_to", "is_same_size", "bernoulli", "normal", "type", "storage_type",
    "new_empty", "to_sparse", "empty", "seed", "data_ptr", "is_shared", "is_pinned", "zeros", "ones", "set_",
    "manual_seed", "zeros_like", "ones_like", "svd_lowrank", "pca_lowrank", "_to_copy",
}


def functions():
    for name, op in REGISTRY.items():
        yield name, op.public
    for name, record in COMPOSITES.items():
        if record.namespace == "Tensor":                # methods that sparse tensors have of their own
            yield name, lambda t, *args, _name=record.name: getattr(t, _name)(*args)
        else:
            yield name, record.public


@pytest.mark.parametrize("name,f", [pytest.param(n, f, id=n) for n, f in functions()
                                    if n.rpartition(".")[2].strip("_") not in {a.strip("_") for a in APART}])
def test_op(name, f):
    agreed = 0
    for extra in EXTRA:
        if extra and extra[0] in (0, "dense", "sparse") and "div" in name:
            continue                                    # 0 / 0 is computed for entries only, as in PyTorch
        results = []
        for sparse in (True, False):
            dense = ft.tensor(DENSE)
            other = ft.tensor(DENSE).to_sparse() if sparse else ft.tensor(DENSE)
            args = [{"dense": dense, "sparse": other, "index": ft.tensor([1, 0])}.get(a, a) if isinstance(a, str) else a
                    for a in extra]
            first = dense.to_sparse() if sparse else dense.clone()
            try:
                results.append(f(first, *args))
            except Exception:
                results.append(None)
        got, expected = results
        if got is None or expected is None:
            continue
        agreed += 1
        for a, b in zip(*(r if isinstance(r, (tuple, list)) else [r] for r in results), strict=True):
            if not isinstance(b, ft.Tensor):
                assert a == b or name.rpartition(".")[2] in ("is_tensor",), (name, extra)
                continue
            a = a.detach().to_dense()
            assert a.shape == b.shape, (name, extra, a.shape, b.shape)
            np.testing.assert_allclose(np.asarray(a.tolist()), np.asarray(b.detach().to_dense().tolist()), rtol=1e-6,
                                       err_msg=f"{name} {extra}")
