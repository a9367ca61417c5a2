"""Programs to trace, written once for both libraries: each maker gets the library and returns (root, inputs)."""

import math
import operator


def _net(torch):
    nn, F = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(4, 5)
            self.p = nn.Parameter(torch.ones(5))
            self.register_buffer("b", torch.ones(5))
            self.seq = nn.Sequential(nn.Linear(5, 5), nn.ReLU())

        def forward(self, x, y: int = 3):
            z = self.lin(x) + self.p
            z = torch.relu(F.relu(z)) * self.b
            z = self.b + self.seq(z)
            n = z.size(0)
            a, c = z.shape
            z = torch.cat([z.view(n, -1), z], dim=1)
            z = F.dropout(torch.flatten(z, 1), 0.1, False)
            z = F.gelu(z)[:, None, 1:3, ...]
            z = 2 / (1 - (-z) ** 2 + 3)
            z += 1
            return {"a": z.squeeze(1).contiguous(), "b": (n, c * a)}

    return Net(), [(3, 4)]


def _conv(torch):
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            out = self.relu(self.bn1(self.conv1(x)))
            out += x
            return self.relu(out)

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3, stride=2)
            self.layer1 = nn.Sequential(Block(4), Block(4))
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(4, 2)

        def forward(self, x):
            x = torch.nn.functional.max_pool2d(self.layer1(self.stem(x)), 2)
            return self.fc(torch.flatten(self.pool(x), 1))

    return ResNet().eval(), [(2, 3, 12, 12)]


def _attention(torch):
    nn, F = torch.nn, torch.nn.functional

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)
            self.norm = nn.LayerNorm(8)

        def forward(self, x):
            B, N, C = x.shape
            qkv = self.qkv(self.norm(x)).reshape(B, N, 3, 2, C // 2).permute(2, 0, 3, 1, 4)
            q, k, v = qkv.unbind(0)
            attn = F.softmax(q @ k.transpose(-2, -1) * 0.5, dim=-1)
            other = F.scaled_dot_product_attention(q, k, v)
            x = ((attn @ v) + other).transpose(1, 2).reshape(B, N, C)
            return self.proj(x)

    return Attention(), [(2, 3, 8)]


def _functions(torch):
    F = torch.nn.functional

    def f(x, w):
        a = torch.einsum("ij,jk->ik", x, w)
        b = torch.matmul(x, w).sum(dim=-1, keepdim=True).clamp(min=0.0)
        c = torch.where(a > 0, a, torch.zeros_like(a))
        d = F.layer_norm(c, (3,)) + torch.linalg.norm(b)
        e = torch.stack([c, d], dim=0).mean((0, 1))
        g = torch.split(x, 1, dim=0)[0]
        h = F.log_softmax(e, dim=0).exp().max()
        return F.mse_loss(a, c), h, g.pow(2).float(), torch.special.entr(e), F.cross_entropy(a, w.argmax(1)[:2])

    return f, [(2, 3), (3, 3)]


def _operators(torch):
    def f(x, y):
        z = (x + 1) * 2 - y / 3 // 1
        z = z @ y.t() % 4
        z = (-z).abs() + abs(+z)
        z = z * ((z > 0) | (z < -1) & (z != 2) ^ (z >= 5)).to(z.dtype)
        return operator.add(z, 1), z[0], z[..., -1], ~(z == 0)

    return f, [(3, 3), (3, 3)]


def _annotated(torch):
    def f(x: torch.Tensor, scale: float | None = None, *rest, flag: bool = True) -> torch.Tensor:
        return math.sqrt(x.shape[0]) * x.neg()

    return f, [(4,)]


def _nested_names(torch):
    nn = torch.nn

    class Camel(nn.Module):
        def __init__(self):
            super().__init__()
            self.myLayer = nn.ModuleDict({"1st": nn.Linear(2, 2), "two": nn.Sequential(nn.Tanh(), nn.Tanh())})
            self.shared = self.myLayer["1st"]
            self.const = torch.ones(2)

        def forward(self, input, sum):
            x = self.myLayer["1st"](input) + self.shared(sum)
            return self.myLayer["two"](x) + self.const, x.max(dim=0)[0], x.sum() + self.const

    return Camel(), [(2, 2), (2, 2)]


PROGRAMS = {
    f.__name__.strip("_"): f for f in (_net, _conv, _attention, _functions, _operators, _annotated, _nested_names)
}
