"""What the pages name exists: the pages they link to, the files, the commands with their flags, the make targets."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lightervisor.cli import aliases, parse
from lightervisor.cli.errors import CommandError
from lightervisor.daemon import options
from tests.harness import markdown
from tests.harness.markdown import Named
from tests.harness.processes import REPOSITORY

PAGES = [str(page.relative_to(REPOSITORY)) for page in markdown.pages()]
GENERATED = "docs/reference/"
FILE = re.compile(r"\.?[\w*-]+(/[\w.*-]+)*(/|\.(py|md|sh|sql|txt|ini|toml|lock))")
TARGETS = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
every_page = pytest.mark.parametrize("page", PAGES)
written_page = pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith(GENERATED)])


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text()


def complaint(named: Named) -> str:
    """What is wrong with a command that a page names; empty when it can be typed so."""
    program, *words = named.words
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        try:
            match program:
                case "lxc":
                    return _complaint_of_lxc(words, is_inline=named.is_inline)
                case "lxd":
                    options.parser().parse_args(words)
                case _:
                    unknown = [word for word in words if "=" not in word and word not in TARGETS]
                    return f"make has no target {unknown[0]}" if unknown else ""
        except CommandError as error:
            return str(error)
        except SystemExit as end:
            return said.getvalue() if end.code else ""
    return ""


def _complaint_of_lxc(words: list[str], *, is_inline: bool) -> str:
    """Running text may name a group, or a command without its arguments; a block shows what can be typed."""
    parsed = parse.parse(aliases.expand(words, {}) or words)
    command, count = parsed.command, len(parsed.arguments)
    if parsed.asks_help or command is None:
        return ""
    if not command.handler:
        return "" if is_inline else f"{command.path} is a group of commands"
    command.load()
    if is_inline and not count:
        return ""
    if count < command.least or (command.most is not None and count > command.most):
        return f"{command.path} takes {command.usage or 'no arguments'}"
    return ""


@every_page
def test_every_link_leads_to_something(page: str) -> None:
    broken: list[str] = []
    for line, target in markdown.links(text_of(page)):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        if not there.exists() or (anchor and anchor not in markdown.anchors(there.read_text())):
            broken.append(f"{page}:{line}: {target}")
    assert not broken


@written_page
def test_every_command_can_be_typed_as_it_is_written(page: str) -> None:
    later = markdown.said_to_come(text_of(page))
    found = [(named, complaint(named)) for named in markdown.commands(text_of(page)) if named.words not in later]
    assert not [f"{page}:{named.line}: {' '.join(named.words)}: {wrong}" for named, wrong in found if wrong]


@written_page
def test_what_is_said_not_to_be_offered_yet_is_not(page: str) -> None:
    for words in markdown.said_to_come(text_of(page)):
        assert complaint(Named(words, 0, True)).endswith("is not offered yet"), f"{page}: {' '.join(words)} is offered"


@written_page
def test_every_file_of_ours_that_is_named_exists(page: str) -> None:
    """Names are relative to the repository, to the package or to the page's own folder."""
    roots = (REPOSITORY, REPOSITORY / "lightervisor", (REPOSITORY / page).parent)
    named = [(line, span) for line, span in markdown.spans(text_of(page)) if FILE.fullmatch(span)]
    assert not [f"{page}:{line}: {span}" for line, span in named if not any(list(root.glob(span)) for root in roots)]


def run_reference(*words: str | Path) -> subprocess.CompletedProcess[str]:
    program = REPOSITORY / "scripts/reference.py"
    return subprocess.run([sys.executable, program, *words], capture_output=True, text=True, check=False)


def test_the_reference_is_what_the_code_declares() -> None:
    checked = run_reference("--check")
    assert checked.returncode == 0, checked.stdout


def test_a_reference_page_that_was_changed_by_hand_is_noticed_and_written_anew(tmp_path: Path) -> None:
    assert run_reference("--target", tmp_path).returncode == 0
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written.keys() == {path.name for path in (REPOSITORY / GENERATED).iterdir()}
    (tmp_path / "keys.md").write_text(written["keys.md"].replace("limits.memory", "limits.storage"))
    checked = run_reference("--check", "--target", tmp_path)
    assert (checked.returncode, checked.stdout.count("out of date")) == (1, 1)
    assert "keys.md" in checked.stdout
    assert run_reference("--target", tmp_path).returncode == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == written


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("lxc launch build:busybox c1", ""),
        ("lxc list", ""),
        ("lxc lunch build:busybox c1", "unknown command"),
        ("lxc list --colums n", "unknown flag: --colums"),
        ("lxc profile", "is a group"),
        ("lxc config device add c1", "lxc config device add takes"),
        ("lxc shell c1", ""),
        ("lxc list | grep x && make tset # make nonsense", "make has no target tset"),
        ("sudo LXD_DIR=/x bin/lxd waitready --timeout=1 >log", ""),
        ("lxd wait-ready", "invalid choice"),
        ("cat >here <<EOF\nlxc nonsense\nEOF", ""),
    ],
)
def test_the_checks_find_what_cannot_be_typed(line: str, wrong: str) -> None:
    found = [complaint(named) for named in markdown.commands(f"```sh\n{line}\n```\n")]
    assert [text for text in found if text] == [] if not wrong else any(wrong in text for text in found)


def test_every_decision_is_in_the_list_under_its_own_title() -> None:
    folder = REPOSITORY / "docs/adr"
    listed = re.findall(r"^(\d+)\. \[(.*)\]\((.*)\)$", (folder / "README.md").read_text(), re.MULTILINE)
    pages = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    titles = [re.match(r"# (\d+)\. (.*)", path.read_text()) for path in pages]
    assert [(title[1], title[2], page.name) for title, page in zip(titles, pages, strict=True) if title] == listed
    assert [int(page.name[:4]) for page in pages] == [int(number) for number, _, _ in listed]
