"""Other people's libraries on flowtorch: pytest -m ecosystem tests/ecosystem (minutes, and the package index)."""

import os

import pytest
from run import one
from targets import TARGETS


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ecosystem")


@pytest.mark.ecosystem
@pytest.mark.parametrize("name", TARGETS)
def test_target(name, folder):
    problems = one(name, TARGETS[name], folder, os.environ.get("ECOSYSTEM_PYTHON"), record=False)
    if problems == ["the packages could not be installed"]:
        pytest.skip(problems[0])
    assert not problems, "\n".join(problems)
