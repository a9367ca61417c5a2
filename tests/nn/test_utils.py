"""Functions on parameters: clipping, flattening, fusion, weight and spectral norms, stateless calls."""

import pytest
from both import error, program


def with_grads(torch, *values):
    params = [torch.nn.Parameter(torch.zeros(2, dtype=dtype)) for dtype in (torch.float32, torch.float64)]
    for param, value in zip(params, values, strict=True):
        param.grad = torch.tensor([value, -2 * value], dtype=param.dtype)
    return [*params, torch.nn.Parameter(torch.zeros(1))]


@program
def test_clipping_norms(torch):
    utils = torch.nn.utils
    for order in (2.0, 1, float("inf"), 3, 0):
        for bound in (0.5, 1, 100):
            params = with_grads(torch, 3.0, 1.0)
            yield utils.clip_grad_norm_(params, bound, order), [p.grad for p in params]
    params = with_grads(torch, 3.0, 1.0)
    yield utils.get_total_norm([p.grad for p in params[:2]]), utils.get_total_norm(params[0].grad, 1)
    utils.clip_grads_with_norm_(params, 1.0, torch.tensor(10.0))
    yield [p.grad for p in params], utils.clip_grad_norm_(params[0], 0.1), params[0].grad
    yield utils.clip_grad_norm_([], 1.0), utils.clip_grad_norm_(params[2:], 1.0), utils.get_total_norm([])
    yield utils.clip_grad_norm_((p for p in []), 1.0), utils.clip_grad_norm(params, 1.0)
    broken = with_grads(torch, float("nan"), 1.0)
    yield utils.clip_grad_norm_(broken, 1.0), [p.grad for p in broken]
    yield error(utils.clip_grad_norm_, broken, 1.0, error_if_nonfinite=True)


@program
def test_clipping_values(torch):
    params = with_grads(torch, 3.0, 0.2)
    torch.nn.utils.clip_grad_value_(params, 0.5)
    torch.nn.utils.clip_grad_value_(iter(params), 0.45)
    yield [p.grad for p in params]
    torch.nn.utils.clip_grad_value_(params[0], 0.1)
    yield params[0].grad


@program
def test_vectors_of_parameters(torch):
    utils = torch.nn.utils
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    vector = utils.parameters_to_vector(net.parameters())
    yield vector, vector.grad_fn is not None
    flat = torch.arange(float(vector.numel()))
    utils.vector_to_parameters(flat, net.parameters())
    flat[0] = 50.0
    yield list(net.parameters()), error(utils.vector_to_parameters, [1], net.parameters())
    yield (
        error(utils.parameters_to_vector, [])[0],
        error(utils.parameters_to_vector, [torch.ones(2, 3).t()])[0],
    )


@program
def test_fusion(torch):
    utils, nn = torch.nn.utils.fusion, torch.nn

    def trained(norm):
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
        return norm.eval()

    conv, x = nn.Conv2d(2, 4, 3, bias=False).eval(), torch.randn(1, 2, 5, 5)
    norm = trained(nn.BatchNorm2d(4))
    fused = utils.fuse_conv_bn_eval(conv, norm)
    yield fused(x), norm(conv(x)), fused.weight, fused.bias, fused is not conv
    turned = nn.ConvTranspose1d(2, 4, 3).eval()
    plain = trained(nn.BatchNorm1d(4, affine=False))
    x = torch.randn(1, 2, 5)
    yield utils.fuse_conv_bn_eval(turned, plain, transpose=True)(x), plain(turned(x))
    linear, norm = nn.Linear(3, 4).eval(), trained(nn.BatchNorm1d(4))
    x = torch.randn(5, 3)
    yield utils.fuse_linear_bn_eval(linear, norm)(x), norm(linear(x))
    yield error(utils.fuse_linear_bn_eval, linear, trained(nn.BatchNorm1d(5)))
    yield (
        error(utils.fuse_conv_bn_eval, conv.train(), norm),
        error(utils.fuse_linear_bn_eval, linear, norm.train()),
    )
    bare = nn.BatchNorm1d(4, track_running_stats=False).eval()
    yield error(utils.fuse_linear_bn_eval, linear, bare)


@program
def test_skipping_initialisation(torch):
    made = torch.nn.utils.skip_init(torch.nn.Linear, 5, 1, dtype=torch.float64)
    yield made.weight.shape, made.weight.dtype, made.weight.device, made.weight.requires_grad
    yield error(torch.nn.utils.skip_init, list), error(torch.nn.utils.skip_init, torch.nn.Module)


@program
def test_weight_norm_hook(torch):
    utils, nn = torch.nn.utils, torch.nn
    for dim in (0, 1, None, -1):
        net = utils.weight_norm(nn.Linear(3, 4), dim=dim)
        x = torch.randn(2, 3)
        yield list(net._parameters), net.weight_g, net.weight_v, type(net.weight).__name__
        net.weight_g.data.mul_(2)
        net(x).sum().backward()
        yield net(x), net.weight_g.grad, net.weight_v.grad, "weight" in net.__dict__, list(net.state_dict())
        yield error(utils.weight_norm, net, "weight")
        utils.remove_weight_norm(net)
        yield net(x), list(net._parameters), len(net._forward_pre_hooks), error(utils.remove_weight_norm, net)
    conv = utils.weight_norm(nn.Conv1d(2, 3, 3))
    yield conv.weight_g, conv(torch.randn(1, 2, 4))
    both = utils.weight_norm(utils.weight_norm(nn.Bilinear(2, 2, 2), "weight"), "bias")
    yield list(both._parameters), error(utils.weight_norm, both, "nothing")[0]
    yield error(utils.weight_norm, nn.LazyLinear(3))


@program
def test_spectral_norm_hook(torch):
    utils, nn = torch.nn.utils, torch.nn
    for net, shape in (
        (nn.Linear(3, 4), (2, 3)),
        (nn.Conv2d(2, 3, 2), (1, 2, 3, 3)),
        (nn.ConvTranspose1d(2, 3, 2), (1, 2, 3)),
    ):
        x = torch.randn(*shape)
        utils.spectral_norm(net, n_power_iterations=2)
        yield (
            list(net._parameters),
            list(net._buffers),
            list(net.state_dict()),
            dict(net.state_dict()._metadata),
        )
        net(x).sum().backward()
        yield net(x), net.weight_orig.grad, net.weight_u, net.weight_v
        net.eval()
        yield net(x), net(x), error(utils.spectral_norm, net, "weight")
        net.load_state_dict(net.state_dict())
        utils.remove_spectral_norm(net)
        yield net(x), list(net._parameters), list(net._buffers), error(utils.remove_spectral_norm, net)
    yield (
        error(utils.spectral_norm, nn.Linear(2, 2), n_power_iterations=0),
        error(utils.spectral_norm, nn.LazyLinear(2)),
    )


@program
def test_spectral_norm_hook_reads_the_older_form(torch):
    net = torch.nn.utils.spectral_norm(torch.nn.Linear(3, 4))
    net(torch.randn(2, 3))
    saved = net.state_dict()
    saved["weight"] = net.weight.detach().clone()
    del saved["weight_v"], saved._metadata[""]["spectral_norm"]
    net.load_state_dict(saved)
    yield net.weight_v, net.eval()(torch.ones(1, 3))
    del saved["weight"]
    yield error(net.load_state_dict, saved)


@program
def test_stateless_calls(torch):
    nn, call = torch.nn, torch.nn.utils.stateless.functional_call
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    x, weight = torch.randn(3, 2), torch.ones(2, 2, requires_grad=True)
    given = {"0.weight": weight, "1.running_mean": torch.full((2,), 5.0)}
    before = [p.clone() for p in net.parameters()]
    out = call(net, given, x)
    out.sum().backward()
    yield out, weight.grad, given["1.running_mean"], net[1].running_mean, net[0].weight.grad
    yield all(bool((a == b).all()) for a, b in zip(before, net.parameters(), strict=True))
    yield (
        type(net[0].weight).__name__,
        error(call, net, {"0.nothing": x}, x)[0],
        error(call, net, {"": x}, x)[0],
    )
    yield error(call, net, given, (x,), strict=True), error(call, net, {**given, "2.a": x}, x, strict=True)
    yield error(call, net, {"0.weight": torch.ones(5, 5)}, (x,))[0], net[0].weight.shape


@program
def test_stateless_calls_of_tied_parameters(torch):
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = torch.nn.Parameter(torch.ones(1))
            self.b = self.a

        def forward(self, x, scale=1):
            return (self.a + self.b) * x * scale

    net, call, x = Tied(), torch.nn.utils.stateless._functional_call, torch.ones(1)
    five, six = torch.full((1,), 5.0), torch.full((1,), 6.0)
    yield (
        call(net, {"a": five}, x),
        call(net, {"a": five}, x, tie_weights=False),
        call(net, {"b": five}, (x,), {"scale": 2}),
    )
    yield call(net, {"a": five, "b": five}, x), error(call, net, {"a": five, "b": six}, x)
    yield call(net, {"a": five, "b": six}, x, tie_weights=False), net.a, net.a is net.b


@pytest.mark.parametrize("dims", [2, 3])
def test_memory_formats(dims):
    @program
    def convert(torch):
        layout = {2: torch.channels_last, 3: torch.channels_last_3d}[dims]
        net = torch.nn.Sequential(getattr(torch.nn, f"Conv{dims}d")(4, 4, 2), torch.nn.Linear(2, 2))
        change = getattr(torch.nn.utils, f"convert_conv{dims}d_weight_memory_format")
        yield change(net, layout) is net, net[0].weight.is_contiguous(memory_format=layout), net[0].weight
        yield net.to(memory_format=torch.contiguous_format)[0].weight.is_contiguous()

    convert()
