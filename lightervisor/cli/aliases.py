"""The user's own commands (`aliases:` in the client's configuration) and the built-in `shell`."""

from __future__ import annotations

from lightervisor.cli import table
from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BUILT_IN = {"shell": "exec @ARGS@ -- su -l"}


def expand(words: Sequence[str], aliases: Mapping[str, str]) -> list[str] | None:
    """The words with the longest matching alias replaced, or None when none matches.

    `@ARGS@` is all that follows the alias, `@ARG1@` the first word of it and so on; without a marker the rest is
    appended. An alias cannot hide a command. Raises CommandError for a marker of a word that was not typed.
    """
    for name, target in sorted({**BUILT_IN, **aliases}.items(), key=lambda item: -len(item[0].split())):
        key = name.split()
        if key and list(words[: len(key)]) == key and not is_command(key):
            return _fill(name, _split(target), list(words[len(key) :]))
    return None


def _fill(name: str, target: list[str], rest: list[str]) -> list[str]:
    used: set[int] = set()
    result: list[str] = []
    takes_all = False
    for word in target:
        number = word[4:-1] if word.startswith("@ARG") and word.endswith("@") else ""
        if word == "@ARGS@":
            takes_all = True
            result.append(word)
        elif number.isdecimal():
            if not 0 < int(number) <= len(rest):
                raise CommandError(f'Found alias "{name}" references an argument outside the given number')
            used.add(int(number) - 1)
            result.append(rest[int(number) - 1])
        else:
            result.append(word)
    left = [word for index, word in enumerate(rest) if index not in used]
    if not takes_all:
        return result + left
    return [out for word in result for out in (left if word == "@ARGS@" else [word])]


def _split(target: str) -> list[str]:
    """The target's words; quotes keep blanks together."""
    if "'" in target or '"' in target or "\\" in target:
        import shlex

        try:
            return shlex.split(target)
        except ValueError:
            return target.split(" ")
    return target.split()


def is_command(key: list[str]) -> bool:
    """Whether these words name a command, which no alias can hide."""
    if not key:
        return False
    for command in table.commands(table.nouns(key[0])):
        is_beside = len(command.words) == len(key) and command.words[:-1] == tuple(key[:-1])
        if is_beside and key[-1] in (command.words[-1], *command.aliases):
            return True
    return False
