"""The rules of the house that a program can check."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "lightervisor"
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "manager"}


def layers() -> list[list[str]]:
    """The contract's layers, highest first; packages on one line do not know each other."""
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter")
    lines = contract["importlinter:contract:layers"]["layers"].split("\n")
    return [re.findall(r"\w+", line) for line in lines if line.strip()]


def sources() -> list[Path]:
    """Every Python file of the repository."""
    return [path for folder in ("lightervisor", "tests", "scripts") for path in (ROOT / folder).rglob("*.py")]


def test_no_file_outgrows_its_subject() -> None:
    counts = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert not {path: lines for path, lines in counts.items() if lines > 400}


def test_no_file_is_named_for_nothing() -> None:
    assert not [str(path.relative_to(ROOT)) for path in sources() if path.stem in FORBIDDEN]


def test_every_package_of_the_contract_exists_and_no_other() -> None:
    named = {package for line in layers() for package in line}
    existing = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} | {
        path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__"
    }
    assert existing == named


def test_the_architecture_page_shows_the_layers_of_the_contract() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    block = re.search(r"```layers\n(.*?)```", page, re.DOTALL)
    assert block, "docs/architecture.md has no ```layers block"
    shown = [re.findall(r"\w+", line) for line in block[1].splitlines() if line.strip()]
    assert shown == layers()


@pytest.mark.parametrize("kind", ["unit", "contracts", "integration", "faults", "seeds", "harness"])
def test_every_kind_of_test_has_its_folder(kind: str) -> None:
    assert (ROOT / "tests" / kind).is_dir()


def test_no_committed_file_names_a_machine() -> None:
    """No path of somebody's machine and no registry's address in what is committed."""
    pattern = re.compile(r"/work/(main|shared)\b|/root/\.pyenv|files\.pythonhosted|deb\.debian\.org")
    texts = [ROOT / "Makefile", ROOT / "README.md", *ROOT.glob("*.lock"), *ROOT.glob("docs/**/*.md"), *sources()]
    allowed = {Path(__file__)}
    # The builder of Debian images has to name Debian's archive.
    texts = [path for path in texts if path not in allowed and "builders" not in path.parts]
    assert not [str(path.relative_to(ROOT)) for path in texts if pattern.search(path.read_text())]
