"""What the pages of the documentation say: their links, their code, and the commands that they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.harness.processes import REPOSITORY

FENCE = re.compile(r"^```(\S*)\s*$")
OPERATORS = frozenset("();<>|&")
PROGRAMS = ("lxc", "lxd", "make")


class Block(NamedTuple):
    """One fenced block: its language, its text, the line it begins on and the line of prose right above it."""

    language: str
    text: str
    line: int
    above: str


class Named(NamedTuple):
    """A command that a page names: the words typed, the line, and whether it stands in running text."""

    words: list[str]
    line: int
    is_inline: bool


def pages() -> list[Path]:
    """Every page that somebody wrote or that is generated."""
    return [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page."""
    found: list[Block] = []
    language, begun, held, above = "", 0, list[str](), ""
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if fence and not begun:
            language, begun, held = fence[1], number, []
        elif fence:
            found.append(Block(language, "\n".join(held) + "\n", begun + 1, above))
            begun, above = 0, ""
        elif begun:
            held.append(line)
        elif line.strip():
            above = line
    assert not begun, f"the block of line {begun} does not end"
    return found


def prose(text: str) -> list[str]:
    """The lines of a page, those within fenced blocks empty."""
    lines, is_code = list[str](), False
    for line in text.splitlines():
        is_fence = FENCE.match(line) is not None
        lines.append("" if is_code or is_fence else line)
        is_code ^= is_fence
    return lines


def spans(text: str) -> Iterator[tuple[int, str]]:
    """The code within running text, with its line; a span may go over the end of a line."""
    whole = "\n".join(prose(text))
    for found in re.finditer(r"`([^`]+)`", whole):
        yield whole.count("\n", 0, found.start()) + 1, " ".join(found[1].split())


def links(text: str) -> Iterator[tuple[int, str]]:
    """The targets of the links in running text, with their line."""
    for number, line in enumerate(prose(text), 1):
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
            yield number, target


def anchors(text: str) -> set[str]:
    """What `#...` can lead to on a page: its headings as GitHub names them."""
    titles = [re.sub(r"^#+\s+", "", line) for line in prose(text) if re.match(r"#+\s", line)]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(text: str) -> Iterator[Named]:
    """Every command line of one of our programs that a page names, in its shell blocks and in its running text."""
    for block in blocks(text):
        if block.language == "sh":
            for number, line in _joined(block):
                yield from (Named(words, number, False) for words in _simple_commands(line))
    for number, span in spans(text):
        if span.partition(" ")[0] in PROGRAMS and " " in span:
            yield from (Named(words, number, True) for words in _simple_commands(span))


def said_to_come(text: str) -> list[list[str]]:
    """The commands of which a sentence of the page says that they are not offered yet."""
    sentences = re.findall(r"[^.|]*\bnot\s+offered\s+yet", "\n".join(prose(text)))
    return [named.words for sentence in sentences for named in commands(sentence)]


def _joined(block: Block) -> Iterator[tuple[int, str]]:
    """The lines of a shell block, continued ones as one, without the bodies of here-documents."""
    end, begun = "", ""
    for number, line in enumerate(block.text.splitlines(), block.line):
        if end:
            end = "" if line == end else end
            continue
        if line.endswith("\\"):
            begun += line[:-1]
            continue
        if heredoc := re.search(r"<<-?\s*'?(\w+)'?", line):
            end = heredoc[1]
        yield number, begun + line
        begun = ""


def _simple_commands(line: str) -> Iterator[list[str]]:
    """The commands of ours in one line of shell, without assignments, redirections and the comment at its end."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    is_target = False
    for token in [*lexer, ";"]:
        if is_target:
            is_target = False
        elif not set(token) <= OPERATORS or not token:
            words.append(token)
        elif "<" in token or ">" in token:
            is_target = True
        else:
            if ours := _of_ours(words):
                yield ours
            words = []


def _of_ours(words: list[str]) -> list[str]:
    """The words from our program on, with its bare name; empty for a command of somebody else's."""
    rest = list(words)
    while rest and (rest[0] == "sudo" or re.match(r"\w+=", rest[0])):
        del rest[0]
    if not rest or Path(rest[0]).name not in PROGRAMS:
        return []
    return [Path(rest[0]).name, *rest[1:]]
