"""How the tests are shared among workers, and what is said of one that leaves something behind."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.harness import workers
from tests.harness.processes import REPOSITORY, run

TESTS = """
import tempfile

def test_tidy():
    tempfile.TemporaryFile().close()

def test_untidy():
    tempfile.mkdtemp(prefix="forgotten-")
"""


def test_what_is_named_exists() -> None:
    for file in {*workers.HOST, *workers.LONG_S, workers.PEERS} - {"host"}:
        assert (REPOSITORY / file).exists(), file


@pytest.mark.parametrize(
    ("node", "unit"),
    [
        ("tests/unit/test_structure.py::test_x[a::b]", "tests/unit/test_structure.py"),
        ("tests/integration/test_demo.py::test_x", "host"),
        ("tests/integration/test_init.py::TestX::test_y", "host"),
        ("tests/peers/test_trust.py::test_x[lxd]", "tests/peers/"),
    ],
)
def test_a_file_stays_together_and_what_uses_the_host(node: str, unit: str) -> None:
    assert workers.unit_of(node) == unit


def test_a_temporary_file_that_stays_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(TESTS)
    (tmp_path / "test_b.py").write_text("def test_other(): pass\n")
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    words = [REPOSITORY / ".venv/bin/python", "-m", "pytest", "-p", "tests.harness.workers", "-p", "no:cacheprovider"]
    words += ["-c", REPOSITORY / "pyproject.toml", f"--rootdir={tmp_path}", "-n", "2", tmp_path]
    done = run(["env", "-i", *(f"{key}={value}" for key, value in env.items()), f"PYTHONPATH={REPOSITORY}", *words])
    assert done.status == 1, done.stderr
    assert re.search(r"^file: \S+/gw\d/forgotten-\w+$", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^=+ 3 passed, 1 error in ", done.stdout, re.MULTILINE), done.stdout
