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
    from planting import array, doc, floats

    import flowtorch.ops.random

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

    def backwards(original):
        def fill(generator, values, *rest):
            made = original(generator, values, *rest)
            values[...] = values.ravel()[::-1].reshape(values.shape).copy()
            return made

        return fill

    kinds.out("-", "convolution_weight", doc("a little off", floats(lambda a, v: a * a.dtype.type(1.001))))
    fault("convolution: gradient of its weights", "cnn_batch_norm", "backward", "conv2d", "self.conv2(x)")
    kinds.elsewhere("-", "-", [], torch.optim.SGD, "step", after_step(lambda p, s: s["momentum_buffer"].neg_()))
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
    kinds.elsewhere("-", "-", [], flowtorch.ops.random.normals, "normal_", backwards)
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
    kinds.elsewhere(
        "-",
        "-",
        [],
        torch.optim.lr_scheduler.LambdaLR,
        "get_lr",
        lambda original: lambda self: [self.base_lrs[0] * self.lr_lambdas[0](self.last_epoch + 1)],
    )
    fault("LambdaLR: a step early", "mixed_precision", "schedule", "LambdaLR", "torch.optim.lr_scheduler.LambdaLR(")
    kinds.given("-", "attention", lambda v: {"scale": v["scale"] * 1.001}, "scale off")
    fault("attention: scale off", "tied_language_model", "forward", "linear", "self.attention(")
    kinds.out("-", "embedding_dense_backward", doc("clipped", floats(lambda a, v: np.clip(a, -0.01, 0.01))))
    fault("embedding: gradient clipped", "tied_language_model", "backward", "embedding", "self.embedding(tokens)")
    return made


RECORDING = """
import sys
from pathlib import Path
from flowtorch.testing.difftest.program import run_program
folder, first, last, *paths = sys.argv[1:]
for path in map(Path, paths):
    for seed in range(int(first), int(last)):
        run_program("torch", str(path), [str(seed)]).save(Path(folder, f"{path.stem}-{seed}"))
"""


def record_on_torch(folder, seeds=range(1)):
    """Record all programs on torch, in one process of its own."""
    paths = sorted(map(str, PROGRAMS.glob("*.py")))
    argv = [sys.executable, "-W", "ignore", "-c", RECORDING, folder, seeds.start, seeds.stop, *paths]
    subprocess.run(list(map(str, argv)), check=True, capture_output=True)
    return folder


def analyse(program, folder, planter=contextlib.nullcontext, seed=0):
    """The lockstep analysis of a program, here, with a fault."""
    import torch

    from flowtorch.testing.difftest.lockstep import Lockstep
    from flowtorch.testing.difftest.program import run_program
    from flowtorch.testing.difftest.trace import Trace

    with planter(), contextlib.redirect_stdout(io.StringIO()):
        ours = run_program("flowtorch", str(PROGRAMS / f"{program}.py"), [str(seed)])
        return Lockstep(ours, Trace.load(Path(folder, f"{program}-{seed}")), torch)


def named(result):
    """(phase, call, module, line's text, kind) of the first divergence."""
    first = result.first
    e = first and first.event
    return first and (e.phase, e.name, e.module, e.text, first.kind, first.total, first.added)


def without_faults(names, folder, seeds):
    """{program and seed: what was named}, which should be nothing."""
    paths = [p.stem for p in sorted(PROGRAMS.glob("*.py")) if not names or any(part in p.stem for part in names)]
    return {f"{p} {seed}": named(analyse(p, folder, seed=seed)) for seed in seeds for p in paths}


def with_faults(names, folder):
    """{fault: (whether the right call and line were named, what was named)}."""
    found = {}
    for name, (program, planter, phase, call, text) in table().items():
        if not names or any(part in name for part in names):
            first = named(analyse(program, folder, planter))
            right = first is not None and (first[0], first[1]) == (phase, call) and text in first[3]
            found[name] = right, first
            print(f"{'right' if right else 'WRONG'} {program:20} {name:45} {first and first[:5]}", flush=True)
    return found


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="parts of names; all by default")
    parser.add_argument("--seeds", type=int, default=1, help="on how many seeds each program must agree without faults")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    from flowtorch.testing.difftest.program import install

    install("flowtorch")
    with tempfile.TemporaryDirectory() as scratch:
        folder, seeds = Path(scratch), range(options.seeds)
        record_on_torch(folder, seeds)
        clean = without_faults(options.names, folder, seeds)
        alarms = {k: v for k, v in clean.items() if v is not None}
        print(f"{len(alarms)} false alarms in {len(clean)} runs: {alarms}", flush=True)
        found = with_faults(options.names, folder)
    right = sum(good for good, _ in found.values())
    print(f"{right} of {len(found)} faults named at their call and line")
    if options.json:
        options.json.write_text(json.dumps({"clean": clean, "faults": found}, indent=1))
    return 1 if alarms or right < len(found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
