"""torchdiffeq: every solver, dense and adjoint gradients, events."""

import torch
from common import fixed, report
from torchdiffeq import odeint, odeint_adjoint, odeint_event

torch.manual_seed(0)
matrix = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]], dtype=torch.float64)
start = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
times = torch.linspace(0.0, 3.0, 7, dtype=torch.float64)


class Cubic(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0
        self.net = fixed(torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)).double())

    def forward(self, t, y):
        self.calls += 1
        return y**3 @ matrix.T * 0.1 + 0.1 * self.net(y)


results = {}
for method in (
    "dopri8", "dopri5", "bosh3", "fehlberg2", "adaptive_heun", "euler", "midpoint", "rk4", "heun3", "explicit_adams",
    "implicit_adams", "scipy_solver",
):  # fmt: skip
    func = Cubic()
    options = {"solver": "RK45"} if method == "scipy_solver" else None
    y = odeint(func, start, times, method=method, options=options)
    results[method] = {"y": y[:, 0].tolist(), "calls": func.calls}
for name, solve in (("direct", odeint), ("adjoint", odeint_adjoint)):
    func = Cubic()
    y0 = start.clone().requires_grad_()
    loss = solve(func, y0, times, rtol=1e-7, atol=1e-9).square().mean()
    loss.backward()
    results[name] = {
        "loss": loss.item(), "y0": y0.grad.tolist(), "weights": [p.grad.norm().item() for p in func.parameters()],
    }  # fmt: skip
y = odeint(lambda t, s: (s[1], -s[0]), (start[0, :1], start[0, 1:]), times)
results["tuple"] = [part.tolist() for part in y]
height = torch.tensor([10.0, 0.0], dtype=torch.float64, requires_grad=True)
at, state = odeint_event(
    lambda t, s: torch.stack([s[1], torch.full_like(s[1], -9.8)]), height, torch.tensor(0.0, dtype=torch.float64),
    event_fn=lambda t, s: s[0], reverse_time=False, odeint_interface=odeint, atol=1e-8, rtol=1e-8,
)  # fmt: skip
at.backward()
results["event"] = {"t": at.item(), "speed": state[-1, 1].item(), "gradient": height.grad.tolist()}
report(**results)
