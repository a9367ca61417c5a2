"""Compare what a program gave with what was recorded from PyTorch."""

from __future__ import annotations

import math

from targets import Target

RELATIVE = 1e-4  # of a result; losses over steps may differ by ten times as much


def rounded(value: object) -> object:
    """Results with eight significant digits, to be kept."""
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


def differences(expected: object, found: object, path: str, target: Target) -> list[str]:
    """Return the places where results differ by more than they may."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if "failed" in expected:
            return _suites(expected, found, path, target)
        missing = [f"{path}/{k}: absent" for k in expected if k not in found]
        both = [k for k in expected if k in found]
        return missing + [p for k in both for p in differences(expected[k], found[k], f"{path}/{k}", target)]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        if expected and all(isinstance(v, float) for v in expected):
            return _numbers(expected, found, path)
        pairs = enumerate(zip(expected, found, strict=True))
        return [p for i, (a, b) in pairs for p in differences(a, b, f"{path}[{i}]", target)]
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return _numbers([expected], [found], path)
    return [] if expected == found else [f"{path}: {expected!r:.60} is expected, {found!r:.60} came"]


def _numbers(expected: list, found: list, path: str) -> list[str]:
    """Compare rows of numbers, relative to the largest of the row."""
    allowed = RELATIVE * (10 if "losses" in path else 1) * max(1e-3, *map(abs, expected))
    pairs = list(zip(expected, found, strict=True))
    worst = max((abs(a - b) if math.isfinite(a) else float(a != b and a == a)) for a, b in pairs)
    return [] if worst <= allowed else [f"{path}: off by {worst:.3g}, {allowed:.3g} is allowed"]


def excepted(target: Target, test: str) -> bool:
    """Say whether a test of a suite may fail where PyTorch's passes."""
    return any(name in test for name in target.excepted)


def _suites(expected: dict, found: dict, path: str, target: Target) -> list[str]:
    """Compare the outcome of a package's own tests: what passes with PyTorch has to pass, but for listed exceptions."""
    new = [t for t in found["failed"] if t not in expected["failed"] and not excepted(target, t)]
    problems = [f"{path}: {t} fails" for t in new]
    allowed = sum(excepted(target, t) for t in found["failed"] if t not in expected["failed"])
    for kind in ("passed", "subtests passed"):
        lacking = expected["counts"].get(kind, 0) - found["counts"].get(kind, 0) - allowed
        if lacking > 0 and not new:
            problems.append(f"{path}: {lacking} fewer: {kind}")
    return problems
