"""Faults planted in whole programs: which call, at which line, a lockstep run has to name for each.

``python tests/difftest/program_faults.py [NAME ...]`` plants them one after the other and prints what was named.
"""

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
sys.path.insert(0, str(HERE))


def table():
    """name -> (program, what plants it, phase, call, a part of the line)."""
    import numpy as np
    import planting
    import torch
    from planting import array, changed_compute, doc, floats, replaced

    kinds = planting.Faults()
    made = {}

    def fault(name, program, phase, call, text):
        ((_, (_, _, planter)),) = kinds.items()
        kinds.clear()
        made[name] = program, planter, phase, call, text

    def after_step(change):
        def new(original):
            def step(self, *args, **kwargs):
                result = original(self, *args, **kwargs)
                with torch.no_grad():
                    for p, state in self.state.items():
                        change(p, state)
                return result

            return step

        return new

    kinds.out("-", "convolution_weight", doc("a little off", floats(lambda a, v: a * a.dtype.type(1.001))))
    fault("convolution: gradient of its weights", "cnn_batch_norm", "backward", "conv2d", "self.conv2(x)")
    kinds.elsewhere("-", "-", [], torch.optim.SGD, "step",
                    after_step(lambda p, s: s["momentum_buffer"].neg_() if "momentum_buffer" in s else None))  # fmt: skip
    fault("SGD: sign of the momentum kept", "cnn_batch_norm", "optimizer", "SGD", "optimizer.step()")
    kinds.elsewhere("-", "-", [], torch.optim.lr_scheduler.StepLR, "get_lr",
                    lambda original: lambda self: [g["lr"] * (self.gamma if self.last_epoch % 2 else 1)
                                                   for g in self.optimizer.param_groups])  # fmt: skip
    fault("StepLR: a step early", "cnn_batch_norm", "schedule", "StepLR", "scheduler.step()")
    kinds.out("-", "leaky_relu", doc("slope forgotten", floats(lambda a, v: np.maximum(a, 0))))
    fault("leaky_relu: slope forgotten", "cnn_batch_norm", "forward", "leaky_relu", "F.leaky_relu")
    kinds.gradient("-", "lstm_layer", lambda g: g * 1.01, "off")
    fault("lstm: gradients off", "sequence_lstm", "backward", "lstm_layer", "self.lstm(packed)")
    kinds.given("-", "_cross_entropy", lambda v: {"ignore_index": -100}, "ignore_index ignored")
    fault("cross_entropy: ignore_index ignored", "sequence_lstm", "forward", "cross_entropy", "cross_entropy(")
    kinds.elsewhere("-", "-", [], torch.optim.RMSprop, "step", after_step(lambda p, s: s["square_avg"].mul_(1.001)))
    fault("RMSprop: squares decay too slowly", "sequence_lstm", "optimizer", "RMSprop", "optimizer.step()")
    kinds.gradient("-", "softplus", lambda g: g * 1.001, "off")
    fault("softplus: gradient off", "variational", "backward", "softplus", "logits = decoder(z)")
    kinds.out("-", "_normal", doc("reversed", lambda a, v: a.ravel()[::-1].reshape(a.shape)))
    fault("randn_like: another order", "variational", "forward", "randn_like", "torch.randn_like(mean)")
    kinds.gradient("-", "sigmoid", lambda g: g * 1.01, "off")
    fault("softplus: second derivative off", "adversarial", "backward", "softplus", "torch.autograd.grad(critic")
    kinds.gradient("-", "_vector_norm", lambda g: -g, "sign")
    fault("norm: sign of its gradient", "adversarial", "backward", "norm", "slope.norm(dim=1)")
    kinds.gradient("-", "_softmax", lambda g: g * 1.002, "off")
    fault("softmax: gradient off", "vision_block", "backward", "softmax", "scores.softmax")
    kinds.elsewhere("-", "-", [], torch.optim.AdamW, "step", after_step(lambda p, s: p.mul_(1 - 1e-6)))
    fault("AdamW: decays ten units more", "vision_block", "optimizer", "AdamW", "optimizer.step()")
    kinds.out("-", "gelu", doc("tail", lambda a, v: np.where(array(v[0]) < -1, 0, a).astype(a.dtype)))
    fault("gelu: tail cut off", "vision_block", "forward", "gelu", "x + self.mlp")
    kinds.out("-", "round", doc("down", floats(lambda a, v: np.floor(array(v[0])))))
    fault("round: down", "custom_function", "forward", "StraightThrough", "StraightThrough.apply")
    kinds.gradient("-", "huber", lambda g: g * 0.999, "off")
    fault("smooth_l1_loss: gradient off", "custom_function", "backward", "smooth_l1_loss", "smooth_l1_loss(")
    kinds.gradient("-", "_layer_norm", lambda g: g * 1.2, "off")
    fault("layer_norm: gradient off in mixed precision", "mixed_precision", "backward", "layer_norm", "model(x)")
    kinds.elsewhere("-", "-", [], torch.optim.lr_scheduler.LambdaLR, "get_lr",
                    lambda original: lambda self: [b * f(self.last_epoch + 1)
                                                   for f, b in zip(self.lr_lambdas, self.base_lrs)])  # fmt: skip
    fault("LambdaLR: a step early", "mixed_precision", "schedule", "LambdaLR", "torch.optim.lr_scheduler.LambdaLR(")
    kinds.given("-", "attention", lambda v: {"scale": v["scale"] * 1.001}, "scale off")
    fault("attention: scale off", "tied_language_model", "forward", "", "self.attention(")
    kinds.out("-", "embedding_dense_backward", doc("clipped", floats(lambda a, v: np.clip(a, -0.01, 0.01))))
    fault("embedding: gradient clipped", "tied_language_model", "backward", "embedding", "self.embedding(tokens)")
    return made


def record_on_torch(folder):
    """Record all programs on torch, in one process of its own."""
    code = (
        "import sys; from pathlib import Path; from flowtorch.testing.difftest.program import run_program\n"
        "for path in map(Path, sys.argv[2:]): run_program('torch', str(path), []).save(Path(sys.argv[1], path.stem))"
    ).replace("sys.argv", "ARGV").replace("import sys;", "import sys; ARGV = list(sys.argv);")
    paths = sorted(map(str, PROGRAMS.glob("*.py")))
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(folder), *paths], check=True, capture_output=True)
    return folder


def analyse(program, folder, planter=contextlib.nullcontext):
    """The lockstep analysis of a program, here, with a fault."""
    import torch

    from flowtorch.testing.difftest.lockstep import Lockstep
    from flowtorch.testing.difftest.program import run_program
    from flowtorch.testing.difftest.trace import Trace

    with planter(), contextlib.redirect_stdout(io.StringIO()):
        ours = run_program("flowtorch", str(PROGRAMS / f"{program}.py"), [])
        return Lockstep(ours, Trace.load(Path(folder, program)), torch)


def named(result):
    """(phase, call, module, line's text, kind) of the first divergence."""
    first = result.first
    e = first and first.event
    return first and (e.phase, e.name, e.module, e.text, first.kind, first.total, first.added)


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="parts of names; all by default")
    parser.add_argument("--reference", type=Path, help="a folder of recordings on torch")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    from flowtorch.testing.difftest.program import install

    install("flowtorch")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.reference or record_on_torch(Path(scratch))
        found = {}
        for path in sorted(PROGRAMS.glob("*.py")):
            if not options.names or any(part in path.stem for part in options.names):
                found[path.stem] = named(analyse(path.stem, folder))
                print(f"{path.stem:20} no fault: {found[path.stem]}", flush=True)
        right = planted = 0
        for name, (program, planter, phase, call, text) in table().items():
            if options.names and not any(part in name for part in options.names):
                continue
            first = found[name] = named(analyse(program, folder, planter))
            good = first is not None and first[0] == phase and call in first[1] and text in first[3]
            right, planted = right + good, planted + 1
            print(f"{'right' if good else 'WRONG'} {program:20} {name:45} {first and first[:5]}", flush=True)
        print(f"{right} of {planted} named")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return 0 if right == planted else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
