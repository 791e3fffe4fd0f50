"""What pyproject.toml asks for is what the code imports, no more and no less."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def normal(name: str) -> str:
    """A distribution's name as package indexes compare it. Source: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(folder: str) -> set[str]:
    """The top-level modules that the files below a folder import, at whatever place, without Python's own and ours."""
    found: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"lightervisor", "tests", "scripts", "__main__"}


def declared() -> set[str]:
    """The distributions that the programs need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {normal(re.split(r"[<>=!~\[; ]", line)[0]) for line in project["dependencies"]}


def locked(file: str) -> set[str]:
    """The distributions of a lock file."""
    return {normal(name) for name in re.findall(r"^([\w.-]+)==", (ROOT / file).read_text(), re.MULTILINE)}


def test_what_the_programs_import_is_declared_and_what_is_declared_is_imported() -> None:
    owners = packages_distributions()
    assert {normal(owner) for module in imported("lightervisor") for owner in owners[module]} == declared()


def test_what_is_declared_is_locked() -> None:
    assert declared() <= locked("requirements.lock") <= locked("requirements-dev.lock")


@pytest.mark.parametrize(
    "module",
    [
        "lightervisor.devices.forwarder.process",
        "lightervisor.kernel.tree_copy",
        "lightervisor.runtime.interception.process",
        "lightervisor.runtime.spawner_process",
        "lightervisor.sftp.process",
    ],
)
def test_processes_that_have_the_standard_library_alone_import_nothing_else(module: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {module}"
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
