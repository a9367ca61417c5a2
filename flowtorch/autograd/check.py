"""gradcheck: derivatives from autograd against finite differences."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import flowtorch as torch
from flowtorch.autograd.engine import grad as _grad
from flowtorch.tensor import Tensor


class GradcheckError(RuntimeError):
    """A derivative and the finite difference disagree."""


def _tuple(x: Any) -> tuple:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _outputs(func: Any, inputs: tuple) -> tuple:
    return tuple(o for o in _tuple(func(*inputs)) if isinstance(o, Tensor) and (
        o.dtype.is_floating_point or o.dtype.is_complex) and o.requires_grad)


def _flat(t: Tensor) -> np.ndarray:
    return t.detach().cpu().contiguous().numpy().reshape(-1)             # type: ignore[attr-defined]


def _numerical(func: Any, inputs: tuple, which: int, count: int, eps: float) -> list[np.ndarray]:
    """For every output the matrix of d output / d input by central differences (complex: in both directions)."""
    x = inputs[which]
    n = x.numel()
    columns: list[list] = [[] for _ in range(count)]
    base = _flat(x).copy()

    def run(values: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            x.data.copy_(torch.from_numpy(values.reshape(tuple(x.shape))))   # type: ignore[attr-defined]
        return [_flat(o).copy() for o in _outputs_of(func, inputs)]
    steps = (eps, eps * 1j) if x.dtype.is_complex else (eps,)
    for j in range(n):
        parts: list[list] = [[] for _ in range(count)]
        for step in steps:
            up, down = base.copy(), base.copy()
            up[j] += step
            down[j] -= step
            for k, (a, b) in enumerate(zip(run(up), run(down), strict=True)):
                parts[k].append((a - b) / (2 * eps))
        for k in range(count):
            columns[k].append(parts[k])
    run(base)
    return [np.array(c) for c in columns]                                # (inputs, directions, outputs)


def _outputs_of(func: Any, inputs: tuple) -> tuple:
    return tuple(o for o in _tuple(func(*inputs)) if isinstance(o, Tensor) and (
        o.dtype.is_floating_point or o.dtype.is_complex))


def _analytical(output: Tensor, x: Tensor) -> np.ndarray:
    """Rows of vector-Jacobian products: for every output element (complex: for 1 and i) the gradient of the input."""
    rows = []
    weights = (1.0, 1j) if output.dtype.is_complex else (1.0,)
    for i in range(output.numel()):
        parts = []
        for w in weights:
            g = torch.zeros(output.numel(), dtype=output.dtype, device=output.device)
            g[i] = w
            (got,) = _grad(output, x, g.view(output.shape), retain_graph=True, allow_unused=True)
            if got is None:
                got = torch.zeros_like(x)
            if got.shape != x.shape:
                raise GradcheckError(f"analytical gradient has incorrect size: {got.shape} instead of {x.shape}")
            if got.dtype is not x.dtype:
                raise GradcheckError("Gradient is None or has a wrong dtype")
            parts.append(_flat(got).copy())
        rows.append(parts)
    return np.array(rows)                                                # (outputs, weights, inputs)


def _expected(numeric: np.ndarray, complex_in: bool, complex_out: bool) -> np.ndarray:
    """What the products should be, from real differentials: Re(conj(w) dy) for every direction of x."""
    weights = (1.0, 1j) if complex_out else (1.0,)
    n, _, m = numeric.shape
    result = np.zeros((m, len(weights), n), np.complex128 if complex_in else np.float64)
    for k, w in enumerate(weights):
        real = (np.conj(w) * numeric[:, 0, :]).real
        if complex_in:
            result[:, k, :] = (real + 1j * (np.conj(w) * numeric[:, 1, :]).real).T
        else:
            result[:, k, :] = real.T
    return result


def gradcheck(
    func: Any,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: Any = None,
) -> bool:
    """Compare the derivatives that autograd gives for ``func`` at ``inputs`` with central finite differences.

    Inputs that require gradients should be float64 or complex128. Raises GradcheckError (or returns False with
    ``raise_exception=False``) when any entry differs by more than ``atol + rtol * |expected|``, when a second
    backward gives
    other values (``nondet_tol``), and, on request, when forward mode disagrees.
    """
    if not (check_backward_ad or check_forward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    try:
        given = _tuple(inputs)
        compare = _check_fast if fast_mode else _check
        compare(func, given, eps, atol, rtol, nondet_tol, check_forward_ad, check_backward_ad, check_undefined_grad)
        if check_batched_grad or check_batched_forward_grad:
            _check_batched(func, given, check_batched_grad, check_batched_forward_grad)
        return True
    except GradcheckError:
        if raise_exception:
            raise
        return False


def _check_fast(
    func: Any,
    inputs: tuple,
    eps: float,
    atol: float,
    rtol: float,
    nondet_tol: float,
    forward: bool,
    backward: bool,
    undefined: bool,
) -> None:
    """The matrices along random directions; where that fails the whole matrices say where."""
    from flowtorch.autograd.check_fast import Directions

    watched = _watched(inputs)
    candidates = _outputs_of(func, inputs)
    if not candidates or not _outputs(func, inputs):
        _check_constant(func, inputs, watched, eps, atol)
        return
    directions = Directions(lambda *args: _outputs_of(func, args), inputs, eps)
    for i in watched:
        for k in range(len(candidates)):
            for how in ("backward",) * backward + ("forward",) * forward:
                wrong = directions.check(i, k, how, atol, rtol)
                if wrong is not None:
                    _explain_fast(func, inputs, i, k, wrong, eps)
    if undefined and backward:
        _check_undefined(func, inputs, watched)


def _explain_fast(func: Any, inputs: tuple, i: int, k: int, wrong: tuple, eps: float) -> None:
    out = _outputs_of(func, inputs)[k]
    numeric = _expected(_numerical(func, inputs, i, len(_outputs_of(func, inputs)), eps)[k],
                        inputs[i].dtype.is_complex, out.dtype.is_complex)
    analytic = _analytical(out, inputs[i]) if out.requires_grad else np.zeros_like(numeric)
    raise GradcheckError(
        f"Jacobian mismatch for output {k} with respect to input {i},\nnumerical:{wrong[0]}\nanalytical:{wrong[1]}\n\n"
        "These are derivatives along random directions (fast mode). The whole matrices:\n\n"
        f"Numerical:\n {numeric.squeeze()}\nAnalytical:\n{analytic.squeeze()}\n\n"
        f"The max per-element difference (slow mode) is: {np.abs(numeric - analytic).max(initial=0)}."
    )


def _check_batched(func: Any, inputs: tuple, backward: bool, forward: bool) -> None:
    from flowtorch.autograd import check_fast

    def outputs_of(*args: Any) -> tuple:
        return _outputs_of(func, args)

    for wanted, check in ((backward, check_fast.batched_gradients), (forward, check_fast.batched_forward)):
        problem = check(outputs_of, inputs, _watched(inputs)) if wanted else None
        if problem is not None:
            raise GradcheckError(problem)


def _steps(t: Tensor) -> tuple:
    return t.stride() if t.layout is torch.strided else (1,) * t.dim()   # type: ignore[attr-defined]


def _watched(inputs: tuple) -> list[int]:
    watched = [i for i, t in enumerate(inputs) if isinstance(t, Tensor) and t.requires_grad]
    if not watched:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of the them have "
                         "requires_grad=True.")
    return watched


def _check(
    func: Any,
    inputs: tuple,
    eps: float,
    atol: float,
    rtol: float,
    nondet_tol: float,
    forward: bool,
    backward: bool,
    undefined: bool,
) -> bool:
    watched = _watched(inputs)
    for i in watched:
        t = inputs[i]
        if t.dtype not in (torch.float64, torch.complex128):
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or complex. "
                "This check will "
                "likely fail if all the inputs are not of double precision floating point or complex.",
                stacklevel=3,
            )
        if any(step == 0 and n > 1 for step, n in zip(_steps(t), t.shape, strict=True)):
            raise RuntimeError(f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs that "
                               "are non-overlapping to be able to compute the numerical gradients correctly. "
                               "You should call .contiguous on the input before passing it to gradcheck.")
        if not t.is_leaf:
            t.retain_grad()
    outputs = _outputs(func, inputs)
    candidates = _outputs_of(func, inputs)
    if not candidates:                               # whole numbers have no derivative that could be wrong
        return True
    if not outputs:
        return _check_constant(func, inputs, watched, eps, atol)
    for i in watched:
        numeric = _numerical(func, inputs, i, len(candidates), eps)
        position = [k for k, c in enumerate(candidates) if c.requires_grad]
        for k, out in zip(position, outputs, strict=True):
            expected = _expected(numeric[k], inputs[i].dtype.is_complex, out.dtype.is_complex)
            if backward:
                actual = _analytical(out, inputs[i])
                _compare(actual, expected, atol, rtol, f"Jacobian mismatch for output {k} with respect to input {i},")
                again = _analytical(out, inputs[i])
                if np.abs(actual - again).max(initial=0) > nondet_tol:
                    raise GradcheckError("Backward is not reentrant, i.e., running backward with same input and "
                                         "grad_output "
                                         "multiple times gives different values, although analytical gradient matches "
                                         "numerical "
                                         f"gradient. The tolerance for nondeterminism was {nondet_tol}.")
            if forward:
                _check_forward(func, inputs, i, k, numeric[k], atol, rtol)
    if undefined and backward:
        _check_undefined(func, inputs, watched)
    return True


def _compare(actual: np.ndarray, expected: np.ndarray, atol: float, rtol: float, what: str) -> None:
    if not np.allclose(actual, expected, rtol, atol):
        raise GradcheckError(
            f"{what}\nnumerical:{expected.squeeze(1) if expected.ndim > 2 and expected.shape[1] == 1 else expected}\n"
            f"analytical:{actual.squeeze(1) if actual.ndim > 2 and actual.shape[1] == 1 else actual}\n"
        )


def _check_constant(func: Any, inputs: tuple, watched: list[int], eps: float, atol: float) -> bool:
    """No output requires a gradient: then no output may depend on the inputs."""
    n = len(_outputs_of(func, inputs))
    for i in watched:
        for j in _numerical(func, inputs, i, n, eps):
            if np.abs(j).max(initial=0) > atol:
                raise GradcheckError("Numerical gradient for function expected to be zero")
    return True


def _check_undefined(func: Any, inputs: tuple, watched: list[int]) -> None:
    """A missing gradient of an output must count as zero."""
    outputs = _outputs(func, inputs)
    if len(outputs) < 2:
        return
    for k in range(len(outputs)):
        outputs = _outputs(func, inputs)
        try:
            _grad([o for j, o in enumerate(outputs) if j != k], [inputs[i] for i in watched],
                  [torch.ones_like(o) for j, o in enumerate(outputs) if j != k], allow_unused=True)
        except RuntimeError as error:
            raise GradcheckError("Expected backward function to handle undefined output grads. Please look at \"Notes "
                                 "about undefined "
                                 f"output gradients\" ({error})") from error


def _check_forward(func: Any, inputs: tuple, i: int, k: int, numeric: np.ndarray, atol: float, rtol: float) -> None:
    from flowtorch.autograd import forward_ad

    x = inputs[i]
    n = x.numel()
    directions = (1.0, 1j) if x.dtype.is_complex else (1.0,)
    actual = np.zeros_like(numeric)
    for j in range(n):
        for d, step in enumerate(directions):
            tangent = torch.zeros_like(x.detach()).view(-1)
            tangent[j] = step
            with forward_ad.dual_level():
                args = list(inputs)
                args[i] = forward_ad.make_dual(x.detach(), tangent.view(x.shape))
                out = [o for o in _tuple(func(*args)) if isinstance(o, Tensor) and (
                    o.dtype.is_floating_point or o.dtype.is_complex)][k]
                t = forward_ad.unpack_dual(out).tangent
                if t is not None:
                    actual[j, d] = _flat(t)
    _compare(actual, numeric, atol, rtol, f"Jacobian computed with forward mode mismatch for output {k} with respect "
                                          f"to input {i},")


def gradgradcheck(
    func: Any,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """``gradcheck`` of the gradient: second derivatives in the inputs and in ``grad_outputs`` (random by default)."""
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    if check_undefined_grad and not check_rev_over_rev:
        raise AssertionError("Setting check_undefined_grad=True requires check_rev_over_rev to be True")
    if check_batched_grad and not check_rev_over_rev:
        raise AssertionError("Setting check_batched_grad=True requires check_rev_over_rev to be True")
    inputs = _tuple(inputs)
    outputs = _outputs(func, inputs)
    if grad_outputs is None:
        drawn = np.random.default_rng(0)

        def like(o: Any) -> Any:
            values = drawn.standard_normal(tuple(o.shape))
            if o.dtype.is_complex:
                values = values + 1j * drawn.standard_normal(tuple(o.shape))
            return torch.tensor(values).to(o.device, o.dtype).requires_grad_()  # type: ignore[operator]
        weights = tuple(like(o) for o in outputs)
    else:
        weights = _tuple(grad_outputs)
    n = len(inputs)

    def gradients(*args: Any) -> tuple:
        ins, ws = args[:n], args[n:]
        watched = tuple(t for t in ins if isinstance(t, Tensor) and t.requires_grad)
        outs = _outputs(func, ins)
        return tuple(g for g in _grad(outs, watched, ws, create_graph=True, allow_unused=True) if g is not None)
    return gradcheck(gradients, inputs + weights, eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
                     nondet_tol=nondet_tol, check_undefined_grad=False, check_forward_ad=check_fwd_over_rev,
                     check_backward_ad=check_rev_over_rev, check_batched_grad=check_batched_grad,
                     fast_mode=fast_mode)
