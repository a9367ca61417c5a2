"""torch.autograd.graph, functional, Node and Function in their corners: the same program in both libraries."""

import warnings

import numpy as np
import pytest
import torch

import flowtorch
import flowtorch.func


def save_on_cpu(T):
    x = T.ones(3, requires_grad=True)
    with T.autograd.graph.save_on_cpu():
        y = (x * x).exp()
    y.sum().backward()
    return x.grad


def saved_tensors_hooks(T):
    seen = []

    def pack(t):
        seen.append(("pack", tuple(t.shape)))
        return t * 2

    def unpack(t):
        seen.append(("unpack", tuple(t.shape)))
        return t / 2

    x = T.ones(3, requires_grad=True)
    with T.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = x * x.exp()
    y.sum().backward()
    return seen, x.grad


def raw_saved_hooks(T):
    x = T.ones(2, requires_grad=True)
    with T.autograd.graph.disable_saved_tensors_hooks("not here"):
        try:
            with T.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
                x.exp()
        except RuntimeError as error:
            return str(error)


def multi_hook_all(T):
    calls = []
    x, y, z = (T.ones(2, requires_grad=True) for _ in range(3))
    a, b = x * 2, y * 3
    T.autograd.graph.register_multi_grad_hook(
        (a, b, z), lambda g: calls.append([None if t is None else t.tolist() for t in g])
    )
    (a + b).sum().backward(retain_graph=True)
    (a * b).sum().backward()
    return calls


def multi_hook_any(T):
    calls = []
    x = T.ones(2, requires_grad=True)
    a, b = x * 2, x * 3
    handle = T.autograd.graph.register_multi_grad_hook((a, b), lambda g: calls.append(g.tolist()), mode="any")
    (a + b).sum().backward(retain_graph=True)
    (a * 5).sum().backward(retain_graph=True)
    handle.remove()
    (a * 5).sum().backward()
    return calls


def allow_mutation(T):
    with T.autograd.graph.allow_mutation_on_saved_tensors():
        a = T.ones(2, 3, requires_grad=True)
        b = a.clone()
        out = (b**2).sum()
        b.sin_()
        c = b.exp()
        c.mul_(2)
        (out + c.sum()).backward()
    return a.grad


def mutation_refused(T):
    a = T.ones(2, requires_grad=True)
    b = a.clone()
    out = (b**2).sum()
    b.sin_()
    out.backward()


def node_hooks(T):
    calls = []
    x = T.ones(2, requires_grad=True)
    y = x * 3
    node = y.grad_fn
    node.register_prehook(lambda g: (calls.append("before"), (g[0] * 2,))[1])
    node.register_hook(lambda gi, go: (calls.append(("after", go[0].tolist())), (gi[0] * 10, gi[1]))[1])
    y.sum().backward()
    return calls, x.grad


def node_walk(T):
    x = T.ones(2, requires_grad=True)
    y = (x * 2 + x.exp()).sum()
    names, stack = [], [y.grad_fn]
    while stack:
        n = stack.pop(0)
        names.append(n.name())
        stack.extend(m for m, _ in n.next_functions if m is not None)
    return names, isinstance(y.grad_fn, T.autograd.graph.Node), y.grad_fn.metadata


def leaf_node(T):
    x = T.ones(2, requires_grad=True)
    acc = (x * 1).grad_fn.next_functions[0][0]
    return acc.name(), acc.variable is x


def gradient_edge(T):
    x = T.ones(2, requires_grad=True)
    y = x.exp()
    edge = T.autograd.graph.get_gradient_edge(y)
    z = (y * y).sum()
    return edge.output_nr, T.autograd.grad(z, [edge], retain_graph=True)[0], T.autograd.grad(z, x)[0]


def accumulate_hook(T):
    calls = []
    x = T.ones(2, requires_grad=True)
    x.register_post_accumulate_grad_hook(lambda p: calls.append(p.grad.tolist()))
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    return calls


def tensor_hook_order(T):
    calls = []
    x = T.ones(2, requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: (calls.append("first"), g * 2)[1])
    handle = y.register_hook(lambda g: calls.append("second"))
    y.register_hook(lambda g: (calls.append("third"), g + 1)[1])
    y.retain_grad()
    y.sum().backward(retain_graph=True)
    handle.remove()
    y.sum().backward()
    return calls, y.grad, x.grad


def increment_version(T):
    x = T.ones(2)
    before = x._version
    T.autograd.graph.increment_version(x)
    return x._version - before


def unused_inputs(T):
    x, y = T.ones(2, requires_grad=True), T.ones(2, requires_grad=True)
    out = (x * 2).sum()
    return T.autograd.grad(out, [x, y], allow_unused=True, retain_graph=True), T.autograd.grad(
        out, [x, y], materialize_grads=True
    )


def batched(T):
    x = T.arange(3.0, requires_grad=True)
    return T.autograd.grad(x**2, x, T.eye(3), is_grads_batched=True)


def backward_inputs(T):
    x, y = T.ones(2, requires_grad=True), T.ones(2, requires_grad=True)
    z = x * y
    z.sum().backward(inputs=[x])
    return x.grad, y.grad


def functional_jacobian(T):
    f = lambda x, y: (x.exp() * y.sum(), x @ y)  # noqa: E731
    x, y = T.arange(3.0), T.arange(3.0) + 1
    A = T.autograd.functional
    results = [A.jacobian(f, (x, y), vectorize=v) for v in (False, True)]
    results.append(A.jacobian(f, (x, y), vectorize=True, strategy="forward-mode"))
    return results


def functional_hessian(T):
    f = lambda x, y: (x**3).sum() * (y**2).sum()  # noqa: E731
    x, y = T.arange(2.0), T.arange(2.0) + 1
    A = T.autograd.functional
    results = [A.hessian(f, (x, y), vectorize=v) for v in (False, True)]
    results.append(A.hessian(f, (x, y), vectorize=True, outer_jacobian_strategy="forward-mode"))
    return results


def functional_products(T):
    f = lambda x: (x**3).sum() + x.prod()  # noqa: E731
    g = lambda x: x.exp() * x.sum()  # noqa: E731
    x, v = T.arange(3.0) + 1, T.ones(3)
    A = T.autograd.functional
    return A.hvp(f, x, v), A.vhp(f, x, v), A.vjp(g, x, v), A.jvp(g, x, v)


def functional_create_graph(T):
    x = T.arange(3.0, requires_grad=True)
    j = T.autograd.functional.jacobian(lambda x: x**3, x, create_graph=True)
    return T.autograd.grad(j.sum(), x)[0]


def functional_strict(T):
    T.autograd.functional.jacobian(lambda x: T.ones(2), T.ones(2), strict=True)


def function_marks(T):
    class F(T.autograd.Function):
        @staticmethod
        def forward(ctx, x, flag):
            ctx.set_materialize_grads(False)
            out, order = x.sort()
            ctx.mark_non_differentiable(order)
            ctx.save_for_backward(order)
            ctx.flag = flag
            return out, order, x * 2

        @staticmethod
        def backward(ctx, g, g_order, g_twice):
            (order,) = ctx.saved_tensors
            seen.append((g is None, g_order is None, g_twice is None, ctx.needs_input_grad))
            return T.zeros(3).scatter(0, order, g), None

    seen = []
    x = T.tensor([3.0, 1.0, 2.0], requires_grad=True)
    out, order, twice = F.apply(x, "flag")
    (out * T.arange(3.0)).sum().backward()
    return seen, x.grad, order.requires_grad, out.grad_fn.name(), twice.requires_grad


def function_dirty(T):
    class F(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = T.ones(2, requires_grad=True)
    y = x.clone()
    z = F.apply(y)
    z.sum().backward()
    return z is y, x.grad


def function_once(T):
    from importlib import import_module

    once = import_module(f"{T.__name__}.autograd.function").once_differentiable

    class F(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * x

        @staticmethod
        @once
        def backward(ctx, g):
            return g * 2

    x = T.ones(2, requires_grad=True)
    (g,) = T.autograd.grad(F.apply(x).sum(), x, create_graph=True)
    g.sum().backward()


def function_double(T):
    class Cube(T.autograd.Function):
        @staticmethod
        def forward(x):
            return x**3, x * 2

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g, h):
            (x,) = ctx.saved_tensors
            return g * 3 * x**2 + 2 * h

    x = T.arange(3.0, requires_grad=True)
    (g,) = T.autograd.grad(sum(t.sum() for t in Cube.apply(x)), x, create_graph=True)
    g.sum().backward()
    return g, x.grad


def function_not_enough(T):
    class F(T.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            return g

    F.apply(T.ones(2, requires_grad=True), T.ones(2)).sum().backward()


def dual_numbers(T):
    A = T.autograd.forward_ad
    with A.dual_level():
        d = A.make_dual(T.ones(2), T.tensor([1.0, 2.0]))
        out = (d * d).exp().sum()
        p, t = A.unpack_dual(out)
        ended = A.unpack_dual(d.detach()).tangent
    return p, t, ended


def nested_dual_levels(T):
    with T.autograd.forward_ad.dual_level(), T.autograd.forward_ad.dual_level():
        pass


def forward_over_backward(T):
    A = T.autograd.forward_ad
    x = T.tensor([1.0, 2.0], requires_grad=True)
    with A.dual_level():
        d = A.make_dual(x, T.tensor([1.0, 0.0]))
        (g,) = T.autograd.grad((d**3).sum(), d)
        return A.unpack_dual(g)


def second_backward(T):
    x = T.ones(2, requires_grad=True)
    y = x.exp().sum()
    y.backward()
    y.backward()


def complex_gradients(T):
    x = T.tensor([1 + 2j, 3 - 1j], requires_grad=True)
    (x * x.conj()).sum().real.backward()
    z = T.tensor([1.0, 2.0], requires_grad=True)
    (z * (1 + 1j)).sum().abs().backward()
    return x.grad.resolve_conj(), z.grad


def half_gradients(T):
    x = T.tensor([1.0, 2.0], dtype=T.float16, requires_grad=True)
    (x.float() * 3).sum().backward()
    y = T.tensor([1.0, 2.0], dtype=T.bfloat16, requires_grad=True)
    (y * y).sum().backward()
    return x.grad.dtype is T.float16, x.grad.float(), y.grad.float()


def integer_refused(T):
    T.ones(2, dtype=T.int64).requires_grad_()


def non_scalar(T):
    T.ones(2, requires_grad=True).exp().backward()


PROGRAMS = [f for n, f in list(globals().items()) if callable(f) and getattr(f, "__module__", "") == __name__]


def plain(value, T):
    if isinstance(value, T.Tensor):
        return np.asarray(value.detach().numpy())
    if isinstance(value, (tuple, list)):
        return [plain(v, T) for v in value]
    return value


def outcome(program, T):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return plain(program(T), T), None
        except Exception as error:
            return None, error


def same(a, b):
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.shape == b.shape and a.dtype == b.dtype and np.allclose(a, b, rtol=1e-5)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_program(program):
    (want, refused), (got, error) = (outcome(program, T) for T in (torch, flowtorch))
    if refused is None and error is not None:
        raise error
    if refused is not None:
        assert error is not None, f"{type(refused).__name__}: {refused}"
        assert isinstance(error, type(refused).__mro__[0]) or type(error).__name__ == type(refused).__name__
        head = str(refused).split(".")[0][:60]
        assert head in str(error), f"{error}\ninstead of\n{refused}"
    else:
        assert same(want, got), f"{got}\ninstead of\n{want}"
