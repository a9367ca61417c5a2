"""The tape: nodes, the backward engine, grad modes, user-defined functions and gradient checks (torch.autograd)."""
