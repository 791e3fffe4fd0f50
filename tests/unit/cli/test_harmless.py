"""Attack 33: what a guest may put on its console or into a name does not steer the terminal of who looks at it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.cli import formats, harmless

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain\nlines\r\nand\ttabs", "plain\nlines\nand\ttabs"),
        ("\x1b[0;32m  OK  \x1b[0m Started é", "\x1b[0;32m  OK  \x1b[0m Started é"),
        ("\x1b]0;title\x07here", "here"),
        ("\x1b]52;c;cm0gLXJm\x1b\\here", "here"),
        ('\x1bP$q"p\x1b\\here', "here"),
        ("a\x1b[2J\x1b[1;1Hb\x1b[K", "ab"),
        ("\x1b[6n\x1b[c\x1b#8\x1bc", ""),
        ("a\rb\bc\x07", "a\nb\\x08c\\x07"),
        ("\x9b31m\x9d0;t\x9c", "\\x9b31m\\x9d0;t\\x9c"),
        ("cut off \x1b", "cut off \\x1b"),
        ("\x1b]0;no end", ""),
        ("\x1b]0;no end\nnext line", "\nnext line"),
    ],
)
def test_33_a_console_shows_lines_and_colours(written: str, shown: str) -> None:
    assert harmless.log(written) == shown


@given(st.text(alphabet="\x1b[]0;1mPK\x07\\\n\r\x9b\x7fa") | st.text())
def test_33_nothing_but_colours_is_left(text: str) -> None:
    shown = harmless.log(text)
    assert not CONTROL.search(re.sub(r"\x1b\[[0-9;]*m", "", shown))
    assert not CONTROL.search(harmless.line(text))


def test_33_a_table_spells_out_what_a_name_holds() -> None:
    shown = formats.table(["IPV4"], [["10.0.0.1 (\x1b]0;x\x07)\n10.0.0.2 (eth1)"]])
    assert "10.0.0.1 (\\x1b]0;x\\x07)" in shown and "10.0.0.2 (eth1)" in shown
    assert len({len(line) for line in shown.splitlines()}) == 1
