"""Other people's libraries on flowtorch: pytest -m ecosystem tests/ecosystem (minutes, and the package index)."""

import os

import pytest
from compare import differences
from run import Outcome, one, related
from table import page
from targets import TARGETS, Target


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ecosystem")


@pytest.mark.ecosystem
@pytest.mark.parametrize("name", TARGETS)
def test_target(name, folder):
    problems = one(name, folder, os.environ.get("ECOSYSTEM_PYTHON")).problems
    assert not problems, "\n".join(problems)


SUITE = {"counts": {"passed": 3}, "failed": ["a::known"]}


@pytest.mark.parametrize(
    ("expected", "found", "count"),
    [
        ({"x": [1.0, 2.0]}, {"x": [1.0, 2.0001]}, 0),
        ({"x": [1.0, 2.0]}, {"x": [1.0, 2.001]}, 1),
        ({"losses": [1.0, 2.0]}, {"losses": [1.0, 2.001]}, 0),
        ({"x": 1.0, "y": "text"}, {"y": "other"}, 2),
        ({"x": [1.0]}, {"x": [float("nan")]}, 1),
        (SUITE, SUITE, 0),
        (SUITE, {"counts": {"passed": 2}, "failed": ["a::known", "a::new"]}, 1),
        (SUITE, {"counts": {"passed": 2}, "failed": ["a::known", "a::allowed"]}, 0),
        (SUITE, {"counts": {"passed": 2}, "failed": ["a::known"]}, 1),
        (SUITE, {"counts": {"passed": 3}, "failed": []}, 0),
        ({"counts": {"subtests passed": 5}, "failed": []}, {"counts": {"subtests passed": 4}, "failed": []}, 1),
    ],
)
def test_comparison(expected, found, count):
    target = Target("", "", excepted={"allowed": "a reason"})
    assert len(differences(expected, found, "it", target)) == count


def test_names_are_related_by_whole_parts():
    assert related("torch.a", "torch.a.b")
    assert related("torch.a.b", "torch.a")
    assert not related("torch.a", "torch.ab")


def test_writing_the_page_keeps_the_part_by_hand():
    before = "# Old\n\nold rows\n\n## Other libraries tried\n\nby hand\n"
    after = page({"classics": Outcome([], {"x": [1.0, 2.0]})}, before)
    assert "agrees (2 numbers)" in after and "old rows" not in after
    assert after.endswith("1 of 1 targets agree.\n\n## Other libraries tried\n\nby hand\n")
