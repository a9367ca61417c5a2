"""The page docs/accuracy.md from measured errors."""

from __future__ import annotations

LIMIT = 4.0

# Why a function is beyond the limit, or behind torch.
_NEAR_ZERO = "relative to a result near one of the function's zeros"
_CEPHES = "Cephes' Chebyshev series, as in torch"
_LIBM = "torch calls the C library element by element; this is scipy's vector function"
REASONS: dict[str, str] = {
    "tanh": "two divisions in float32, within two units",
    "erf": _LIBM, "erfc": _LIBM, "erfinv": _LIBM, "lgamma": "libm's",
    "logit": "x / (1 - x) rounds once before the logarithm", "digamma": _NEAR_ZERO, "sinc": _NEAR_ZERO,
    "i0": _CEPHES, "special.i0e": _CEPHES, "special.i1": _CEPHES, "special.i1e": _CEPHES,
    "special.bessel_j0": _NEAR_ZERO, "special.bessel_j1": _NEAR_ZERO, "special.bessel_y0": _NEAR_ZERO,
    "special.bessel_y1": _NEAR_ZERO, "special.erfcx": "scipy's table, exact to a few units",
    "nn.functional.gelu": "the tail's last normal results come from smaller factors",
    "nn.functional.silu": "exp(-x) overflows before the result underflows, as in torch",
    "nn.functional.mish": "the last normal results come from exponentials below the smallest normal number",
    "nn.functional.tanhshrink": "x - tanh(x) cancels near 0: torch's formula",
    "nn.functional.hardsigmoid": _NEAR_ZERO + " at -3",
    "nn.functional.logsigmoid": "two roundings", "nn.functional.softplus": "two roundings",
    "logaddexp": "results near 0 cancel, as in torch", "logaddexp2": "results near 0 cancel, as in torch",
    "polygamma(2)": "zeta times a factorial, as in torch",
    "polygamma(3)": "zeta times a factorial, as in torch",
    "igamma": "small results in the tails; torch's are far off there", "igammac": "small results in the tails",
    "special.ndtr": "three factors, each rounded", "special.log_ndtr": "three terms, each rounded",
    "xlogy": "the logarithm near 1, times a number", "special.ndtri": "the argument near 1 decides",
}

# What the tables, measured with the C kernels, do not show.
WITHOUT_COMPILER = (
    "The tables are those of the C kernels. Without a compiler numpy's loops compute, and these float32 functions "
    "differ. `log` is log2 times the logarithm of 2, on processors with AVX-512 to 2.4 units (1.2 at the 99.9th "
    "percentile). `sigmoid` and `silu` err by up to 3.1 units. `erf` of 256 numbers or more is a tanh, to 2.8 units "
    "(1.7), torch's to 1.0. `gelu` of 256 numbers or more errs as PyTorch's formula does, in units of its argument: "
    "over -10 to 10 by at most 7.4e-7, where PyTorch's largest error is 1.3e-6, and its derivative by 2.5e-7 "
    "(2.9e-7). That is 3 units of the result down to -0.5, 20 at -2; relative to the result it is 1e-5 at -3.5 and "
    "6e-5 from -5 to -9, where PyTorch's error is between a hundredth and all of it."
)


def number(x: float) -> str:
    return "inf" if x == float("inf") else f"{x:.2f}" if x < 100 else f"{x:.1e}"


def verdict(row: dict) -> str:
    """"" where the function is within its bounds, else what is wrong."""
    ours, theirs = row["ours"], row["theirs"]
    wrong = []
    if ours["max"] > LIMIT:
        wrong.append(f"over {LIMIT:.0f} units")
    if ours["p99.9"] > 2 * max(theirs["p99.9"], 0.5):
        wrong.append("behind torch")
    return ", ".join(wrong)


def page(results: dict) -> str:
    """The whole page as Markdown."""
    rows, totals = results["functions"], results["reductions"]
    good = sum(not verdict(r) for r in rows)
    lines = [
        "# Accuracy",
        "",
        "Made by `python benchmarks/accuracy.py --write`; figures as JSON in `benchmarks/results/accuracy.json`.",
        "",
        f"Errors are in units of the last place of the exact result, for flowtorch and for torch {results['torch']} on "
        "the same inputs: magnitudes even in the logarithm over the whole domain, numbers even over its middle, and "
        f"the edges. float64 is held against mpmath on {results['points']} points, float32 on {results['points'] * 50} "
        "against flowtorch's float64. Results below the smallest normal number are left out. *Special* counts the "
        "special inputs (zeros, infinities, nan, the largest and the smallest number) at which one side is nan, "
        "infinite or a zero of a sign and the other is not.",
        "",
        f"{good} of {len(rows)} rows are within {LIMIT:.0f} units everywhere and not above twice torch's 99.9th "
        "percentile (or one unit). The others carry their reason.",
        "",
        "## Functions",
        "",
        "| function | dtype | max | p99.9 | torch max | torch p99.9 | special | |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for r in rows:
        wrong = verdict(r)
        reason = REASONS.get(r["name"], "")
        text = f"{wrong}: {reason}" if wrong and reason else wrong
        lines.append(f"| `{r['name']}` | {r['dtype']} | {number(r['ours']['max'])} | {number(r['ours']['p99.9'])} | "
                     f"{number(r['theirs']['max'])} | {number(r['theirs']['p99.9'])} | {len(r['special'])} | {text} |")
    differing = [(r, s) for r in rows for s in r["special"]]
    if differing:
        lines += ["", "### Differences at special inputs", ""]
        lines += [f"- `{r['name']}` {r['dtype']} {s}" for r, s in differing[:80]]
    if totals:
        lines += ["", "## Reductions", "",
                  "Errors over 20 draws in units of the last place of the result (of the sum of absolute values for "
                  "sums, which cancel where the signs are mixed).", "",
                  "| reduction | dtype | n | input | max | rms | torch max | torch rms |",
                  "|---|---|---:|---|---:|---:|---:|---:|"]
        lines += [f"| {r['name']} | {r['dtype']} | {r['n']} | {r['input']} | {number(r['ours']['max'])} | "
                  f"{number(r['ours']['rms'])} | {number(r['theirs']['max'])} | {number(r['theirs']['rms'])} |"
                  for r in totals]
    lines += ["", "## Without a compiler", "", WITHOUT_COMPILER]
    return "\n".join(lines) + "\n"
