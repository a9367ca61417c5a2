"""L-BFGS, with a strong-Wolfe line search."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flowtorch as ft
from flowtorch.autograd.mode import enable_grad, no_grad
from flowtorch.tensor import Tensor

from .optimizer import Optimizer, ParamsT
from .options import check_lr, to_scalar

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Limited-memory BFGS: one step runs up to ``max_iter`` quasi-Newton iterations and needs a closure.

    Takes a single parameter group. ``line_search_fn`` is None (every iteration steps by ``lr``) or
    "strong_wolfe". Keeps ``history_size`` pairs of vectors as long as all parameters together.
    """

    def __init__(self, params: ParamsT, lr: float | Tensor = 1, max_iter: int = 20,
                 max_eval: int | None = None, tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9,
                 history_size: int = 100, line_search_fn: str | None = None) -> None:
        check_lr(lr)
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        super().__init__(params, {"lr": lr, "max_iter": max_iter, "max_eval": max_eval,
                                  "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change,
                                  "history_size": history_size, "line_search_fn": line_search_fn})
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self) -> list[Tensor]:
        return self.param_groups[0]["params"]

    @no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:      # type: ignore[override]
        """Run up to ``max_iter`` iterations; ``closure`` reevaluates the model and returns the loss."""
        group = self.param_groups[0]
        lr, tolerance = to_scalar(group["lr"]), group["tolerance_change"]
        evaluate = enable_grad()(closure)
        # All state is kept under the first parameter, as one entry is saved per parameter.
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        first_loss = evaluate()
        loss, grad = float(first_loss), self._gather_flat_grad()
        evals = 1
        state["func_evals"] += 1
        converged = bool(grad.abs().max() <= group["tolerance_grad"])
        iteration = 0
        while not converged and iteration < group["max_iter"]:
            iteration += 1
            state["n_iter"] += 1
            direction = state["d"] = self._direction(state, grad, group["history_size"])
            self._remember(state, loss, grad)
            t = lr if state["n_iter"] > 1 else min(1.0, 1.0 / grad.abs().sum()) * lr
            slope = grad.dot(direction)
            if slope > -tolerance:
                state["t"] = t
                break
            before = loss
            loss, grad, t, used = self._advance(evaluate, direction, t, _Point(0, loss, grad, slope),
                                                group, group["max_eval"] - evals,
                                                iteration == group["max_iter"])
            state["t"] = t
            evals += used
            state["func_evals"] += used
            converged = (evals >= group["max_eval"] or bool(grad.abs().max() <= group["tolerance_grad"])
                         or bool(direction.mul(t).abs().max() <= tolerance) or abs(loss - before) < tolerance)
        return first_loss

    def _direction(self, state: dict[str, Any], grad: Tensor, history_size: int) -> Tensor:
        """The quasi-Newton direction: the two-loop recursion over the remembered changes of point and
        gradient."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return grad.neg()
        changes, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
        y, s = grad.sub(state["prev_flat_grad"]), state["d"].mul(state["t"])
        ys = y.dot(s)
        if ys > 1e-10:                  # keeps the approximation positive definite
            if len(changes) == history_size:
                for past in (changes, steps, ro):
                    past.pop(0)
            changes.append(y)
            steps.append(s)
            ro.append(1.0 / ys)
            state["H_diag"] = ys / y.dot(y)
        al = state.setdefault("al", [None] * history_size)
        q = grad.neg()
        for i in reversed(range(len(changes))):
            al[i] = steps[i].dot(q) * ro[i]
            q.add_(changes[i], alpha=-al[i])
        r = q.mul(state["H_diag"])
        for i in range(len(changes)):
            r.add_(steps[i], alpha=al[i] - changes[i].dot(r) * ro[i])
        return r

    @staticmethod
    def _remember(state: dict[str, Any], loss: float, grad: Tensor) -> None:
        state["prev_loss"] = loss
        if state.get("prev_flat_grad") is None:
            state["prev_flat_grad"] = grad.clone(memory_format=ft.contiguous_format)
        else:
            state["prev_flat_grad"].copy_(grad)

    def _advance(self, evaluate: Callable[[], Any], direction: Tensor, t: Any, start: _Point,
                 group: dict[str, Any], evals_left: int, last: bool) -> tuple[float, Tensor, Any, int]:
        """Move the parameters along the direction; returns loss, gradient, step length and evaluations
        used."""
        if group["line_search_fn"] is None:
            self._add_grad(t, direction)
            if last:                    # nobody will look at the loss of the final point
                return start.loss, start.grad, t, 0
            return float(evaluate()), self._gather_flat_grad(), t, 1
        if group["line_search_fn"] != "strong_wolfe":
            raise RuntimeError("only 'strong_wolfe' is supported")
        origin = [param.clone(memory_format=ft.contiguous_format) for param in self._params]

        def probe(t: Any) -> _Point:
            self._add_grad(t, direction)
            loss, grad = float(evaluate()), self._gather_flat_grad()
            for param, value in zip(self._params, origin, strict=True):
                param.copy_(value)
            return _Point(t, loss, grad, grad.dot(direction))

        found, used = _search_line(probe, start, t, direction.abs().max(), evals_left)
        self._add_grad(found.t, direction)
        return found.loss, found.grad, found.t, used

    def _gather_flat_grad(self) -> Tensor:
        parts = []
        for param in self._params:
            grad = param.grad
            if grad is None:
                part = param.new_zeros(param.numel())
            else:
                part = (grad.to_dense() if grad.is_sparse else grad).reshape(-1)
            parts.append(ft.view_as_real(part).view(-1) if part.is_complex() else part)
        return ft.cat(parts, 0)

    def _add_grad(self, step_size: Any, update: Tensor) -> None:
        offset = 0
        for param in self._params:
            if param.is_complex():
                param = ft.view_as_real(param)
            n = param.numel()
            param.add_(update[offset:offset + n].view_as(param), alpha=step_size)
            offset += n


class _Point(NamedTuple):
    """A point on the line of search: step length, loss, gradient, and the loss's slope along the
    direction."""

    t: Any
    loss: float
    grad: Tensor
    slope: Any


def _lowest_of_cubic(a: _Point, b: _Point, bounds: tuple[Any, Any] | None = None) -> Any:
    """The minimum of the cubic through two points with their slopes, within bounds (Nocedal and Wright, eq.
    3.59)."""
    low, high = bounds or ((a.t, b.t) if a.t <= b.t else (b.t, a.t))
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 ** 2 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    d2 = square.sqrt()
    left, right = (a, b) if a.t <= b.t else (b, a)
    best = right.t - (right.t - left.t) * ((right.slope + d2 - d1) / (right.slope - left.slope + 2 * d2))
    return min(max(best, low), high)


def _search_line(probe: Callable[[Any], _Point], start: _Point, t: Any, longest: Tensor, limit: int,
                 c1: float = 1e-4, c2: float = 0.9, tolerance: float = 1e-9) -> tuple[_Point, int]:
    """A point that satisfies the strong Wolfe conditions, or the best found, and how often ``probe`` was
    called."""
    def too_high(point: _Point) -> bool:
        return bool(point.loss > start.loss + c1 * point.t * start.slope)

    def flat_enough(point: _Point) -> bool:
        return bool(abs(point.slope) <= -c2 * start.slope)

    previous, point, rounds = start, probe(t), 0
    while rounds < limit:
        if too_high(point) or (rounds > 1 and point.loss >= previous.loss):
            break
        if flat_enough(point):
            return point, rounds + 1
        if point.slope >= 0:
            break
        bounds = point.t + 0.01 * (point.t - previous.t), point.t * 10
        t = _lowest_of_cubic(previous, point, bounds)
        previous, point = point, probe(t)
        rounds += 1
    else:
        previous = start
    bracket = [previous, point]
    best = 0 if previous.loss <= point.loss else 1
    stalled = False
    while rounds < limit and not abs(bracket[1].t - bracket[0].t) * longest < tolerance:
        t, stalled = _within(bracket, _lowest_of_cubic(bracket[0], bracket[1]), stalled)
        point = probe(t)
        rounds += 1
        if too_high(point) or point.loss >= bracket[best].loss:
            bracket[1 - best] = point
            best = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        done = flat_enough(point)
        if not done and point.slope * (bracket[1 - best].t - bracket[best].t) >= 0:
            bracket[1 - best] = bracket[best]
        bracket[best] = point
        if done:
            break
    return bracket[best], rounds + 1


def _within(bracket: list[_Point], t: Any, stalled: bool) -> tuple[Any, bool]:
    """Move a trial step that keeps falling next to an end of the bracket a tenth of its width inwards."""
    low, high = min(bracket[0].t, bracket[1].t), max(bracket[0].t, bracket[1].t)
    margin = 0.1 * (high - low)
    if not min(high - t, t - low) < margin:
        return t, False
    if not stalled and low < t < high:
        return t, True
    return (high - margin if abs(t - high) < abs(t - low) else low + margin), False


# ---------------------------------------------------------------- by PyTorch's names, for other libraries

def _cubic_interpolate(x1: Any, f1: Any, g1: Any, x2: Any, f2: Any, g2: Any, bounds: Any = None) -> Any:
    """The minimum of the cubic through two points, with losses and slopes, within bounds."""
    return _lowest_of_cubic(_Point(x1, f1, g1, g1), _Point(x2, f2, g2, g2), bounds)


def _strong_wolfe(obj_func: Callable, x: Any, t: Any, d: Tensor, f: Any, g: Tensor, gtd: Any, c1: float = 1e-4,
                  c2: float = 0.9, tolerance_change: float = 1e-9, max_ls: int = 25) -> tuple[Any, Tensor, Any, int]:
    """Search along ``d``: ``obj_func(x, t, d)`` gives loss and gradient. Loss, gradient, step, and calls made."""
    def probe(t: Any) -> _Point:
        loss, grad = obj_func(x, t, d)
        return _Point(t, loss, grad.clone(), grad.dot(d))

    start = _Point(0, f, g.clone(), gtd)
    found, used = _search_line(probe, start, t, d.abs().max(), max_ls, c1, c2, tolerance_change)
    return found.loss, found.grad, found.t, used
