"""The user's own commands."""

import pytest

from lightervisor.cli import aliases
from lightervisor.cli.errors import CommandError

OWN = {
    "ll": "list -c n",
    "first": "exec @ARG1@ -- echo @ARGS@",
    "list": "delete",
    "config ll": "config show",
    "say": "exec @ARGS@ -- sh -c 'echo hi'",
}


@pytest.mark.parametrize(
    ("words", "expanded"),
    [
        (["shell", "c1"], ["exec", "c1", "--", "su", "-l"]),
        (["ll", "-f", "csv"], ["list", "-c", "n", "-f", "csv"]),
        (["first", "c1", "a", "b"], ["exec", "c1", "--", "echo", "a", "b"]),
        (["say", "c1"], ["exec", "c1", "--", "sh", "-c", "echo hi"]),
        (["config", "ll", "c1"], ["config", "show", "c1"]),
        (["list"], None),
        (["info", "ll"], None),
        ([], None),
    ],
)
def test_an_alias_is_replaced(words: list[str], expanded: list[str] | None) -> None:
    assert aliases.expand(words, OWN) == expanded


def test_the_user_can_replace_the_built_in_one() -> None:
    assert aliases.expand(["shell", "c1"], {"shell": "exec @ARGS@ -- bash"}) == ["exec", "c1", "--", "bash"]


def test_a_word_that_an_alias_needs_and_nobody_typed_is_missed() -> None:
    with pytest.raises(CommandError, match='Found alias "first" references an argument outside the given number'):
        aliases.expand(["first"], OWN)
