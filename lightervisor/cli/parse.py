"""From the typed words to a command, its arguments and its flags, with cobra's rules and error texts.

Flags may stand anywhere, also before the command; `--flag=value`, `--flag value`, `-f value`, `-fvalue`, bundles of
short flags; `--` ends them. Pure: nothing is printed or run here.
"""

from __future__ import annotations

from lightervisor.cli import table
from lightervisor.cli.errors import CommandError
from lightervisor.cli.flags import Flags
from lightervisor.cli.table import GLOBAL_FLAGS, ROOT_FLAG, Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
_SPLITS = ("many", "each")


class Parsed:
    """What was typed: `command` is None for plain `lxc`."""

    def __init__(self, command: Command | None, arguments: list[str], flags: Flags, asks_help: bool) -> None:
        self.command, self.arguments, self.flags, self.asks_help = command, arguments, flags, asks_help


def parse(words: Sequence[str]) -> Parsed:
    """Find the command and read its flags; raises CommandError with cobra's texts."""
    command, rest = find(words)
    declared = {flag.name: flag for flag in (GLOBAL_FLAGS + (command.flags if command else (ROOT_FLAG,)))}
    arguments, flags = read_flags(rest, declared)
    asks_help = flags.on("help")
    if arguments and not asks_help and (command is None or not command.handler):
        raise unknown_command(command, arguments[0])
    return Parsed(command, arguments, flags, asks_help)


def find(words: Sequence[str]) -> tuple[Command | None, list[str]]:
    """The deepest command the words name, and what is left of them."""
    rest, found = list(words), None
    first = _next_word(rest, ())
    candidates = list(table.commands(table.nouns(rest[first]))) if first is not None else []
    depth = 0
    while first is not None:
        below = [
            c for c in candidates if len(c.words) == depth + 1 and c.words[:depth] == (found.words if found else ())
        ]
        match = next((c for c in below if rest[first] == c.words[-1] or rest[first] in c.aliases), None)
        if match is None:
            break
        found, depth = match, depth + 1
        del rest[first]
        first = None if match.handler else _next_word(rest, ())
    return found, rest


def _next_word(words: Sequence[str], flags: tuple[Flag, ...]) -> int | None:
    """Where the next word stands that is neither a flag nor a flag's value."""
    takes_value = {f"--{flag.name}" for flag in GLOBAL_FLAGS + flags if flag.kind != "bool"}
    skip = False
    for index, word in enumerate(words):
        if skip:
            skip = False
        elif word == "--":
            return None
        elif not word.startswith("-") or word == "-":
            return index
        else:
            skip = word in takes_value
    return None


def read_flags(words: Sequence[str], declared: dict[str, Flag]) -> tuple[list[str], Flags]:
    """Separate arguments from flags."""
    shorts = {flag.short: flag for flag in declared.values() if flag.short}
    arguments: list[str] = []
    given: dict[str, list[str]] = {}
    rest = list(words)
    rest.reverse()
    while rest:
        word = rest.pop()
        if word == "--":
            arguments += reversed(rest)
            break
        if word.startswith("--"):
            _read_long(word, rest, declared, given)
        elif word.startswith("-") and word != "-":
            _read_short(word, rest, shorts, given)
        else:
            arguments.append(word)
    return arguments, Flags(declared, given)


def _read_long(word: str, rest: list[str], declared: dict[str, Flag], given: dict[str, list[str]]) -> None:
    name, equals, value = word[2:].partition("=")
    if not name:
        raise CommandError(f"bad flag syntax: {word}")
    flag = declared.get(name)
    if flag is None:
        raise CommandError(f"unknown flag: --{name}")
    if not equals:
        if flag.kind == "bool":
            value = "true"
        elif flag.bare:
            value = flag.bare
        elif rest:
            value = rest.pop()
        else:
            raise CommandError(f"flag needs an argument: --{name}")
    _store(flag, value, given)


def _read_short(word: str, rest: list[str], shorts: dict[str, Flag], given: dict[str, list[str]]) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = shorts.get(letter)
        if flag is None:
            raise CommandError(f"unknown shorthand flag: '{letter}' in {word}")
        if len(letters) > 1 and letters[0] == "=":
            value, letters = letters[1:], ""
        elif flag.kind == "bool":
            value = "true"
        elif flag.bare:
            value = flag.bare
        elif letters:
            value, letters = letters, ""
        elif rest:
            value = rest.pop()
        else:
            raise CommandError(f"flag needs an argument: '{letter}' in {word}")
        _store(flag, value, given)


def _store(flag: Flag, value: str, given: dict[str, list[str]]) -> None:
    shown = f"-{flag.short}, --{flag.name}" if flag.short else f"--{flag.name}"
    if flag.kind == "bool" and value not in _TRUE + _FALSE:
        text = f'invalid argument "{value}" for "{shown}" flag: strconv.ParseBool: parsing "{value}": invalid syntax'
        raise CommandError(text)
    if flag.kind == "number" and not _is_integer(value):
        text = f'invalid argument "{value}" for "{shown}" flag: strconv.ParseInt: parsing "{value}": invalid syntax'
        raise CommandError(text)
    values = given.setdefault(flag.name, [])
    if flag.kind == "each":
        values += value.split(",") if value else []
    else:
        values.append(value)


def _is_integer(value: str) -> bool:
    digits = value[1:] if value[:1] in ("-", "+") else value
    return digits.isascii() and digits.isdigit()


def unknown_command(parent: Command | None, word: str) -> CommandError:
    """Cobra's error for a word that is no command, with what may have been meant."""
    text = f'unknown command "{word}" for "{parent.path if parent else "lxc"}"'
    if parent is None:
        names = [command.words[0] for command in table.all_commands() if len(command.words) == 1]
        near = [name for name in names if _distance(word.lower(), name) <= 2 or name.startswith(word.lower())]
        if near:
            text += "\n\nDid you mean this?\n" + "".join(f"\t{name}\n" for name in near)
    return CommandError(text)


def _distance(one: str, other: str) -> int:
    """Levenshtein's distance."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]
