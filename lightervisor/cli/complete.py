"""What a shell asks on TAB: `lxc __complete WORD…`, the last word being the one under the cursor.

The answer is cobra's: a line `text<TAB>description` for each candidate, last `:4`, or `:0` where files fit as well.
Whatever goes wrong (no daemon, no such remote) is no candidates: a shell has no place for an error.
"""

from __future__ import annotations

import sys

from lightervisor.cli import aliases, parse, table
from lightervisor.cli.flags import Flags
from lightervisor.cli.help import children
from lightervisor.cli.session import Session
from lightervisor.cli.table import GLOBAL_FLAGS, ROOT_FLAG, Command, Flag
from lightervisor.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lightervisor.cli.config import Config

    Candidates = Iterable[tuple[str, str]]

PATIENCE_S = 2
FILES, NO_FILES = 0, 4


class Typed:
    """A line up to the cursor: the command, its arguments and flags so far, and the word to complete.

    `flag` is the value flag whose value that word is; `is_closed` says that `--` has ended the flags.
    """

    def __init__(self, words: Sequence[str], own: Mapping[str, str]) -> None:
        before, self.word = _expanded(list(words[:-1]), own), words[-1]
        self.asks_help = before[:1] == ["help"]
        self.command, rest = parse.find(before[1:] if self.asks_help else before)
        self.declared = (*GLOBAL_FLAGS, *(self.command.flags if self.command else (ROOT_FLAG,)))
        self.arguments: list[str] = []
        self.given: dict[str, list[str]] = {}
        self.flag: Flag | None = None
        self.is_closed = False
        for word in rest:
            self._read(word)

    def _read(self, word: str) -> None:
        if self.flag is not None:
            self.given.setdefault(self.flag.name, []).append(word)
            self.flag = None
        elif self.is_closed or not word.startswith("-") or word == "-":
            self.arguments.append(word)
        elif word == "--":
            self.is_closed = True
        else:
            name, equals, value = word.partition("=")
            flag = self.named(name)
            if flag is None:
                return
            if equals or flag.kind == "bool" or flag.bare:
                self.given.setdefault(flag.name, []).append(value if equals else "true")
            else:
                self.flag = flag

    def named(self, word: str) -> Flag | None:
        """The flag that `--name` or `-n` (also the last letter of a bundle) is."""
        if word.startswith("--"):
            return next((flag for flag in self.declared if flag.name == word[2:]), None)
        return next((flag for flag in self.declared if flag.short and flag.short == word[-1:]), None)

    @property
    def flags(self) -> Flags:
        """The flags so far, as handlers read them."""
        return Flags({flag.name: flag for flag in self.declared}, self.given)


def _expanded(words: list[str], own: Mapping[str, str]) -> list[str]:
    """The words of an alias up to its first marker, then what follows it."""
    for name, target in {**aliases.BUILT_IN, **own}.items():
        key = name.split()
        if key and words[: len(key)] == key and not aliases.is_command(key):
            head = target.partition("@ARG")[0].split()
            return [*head, *words[len(key) :]]
    return words


def run(words: Sequence[str], configuration: Config, environ: Mapping[str, str]) -> int:
    """Answer the shell."""
    found: list[tuple[str, str]] = []
    hint = NO_FILES
    try:
        _limit_time()
        candidates, hint = _answer(Typed(words or [""], configuration.aliases), configuration, environ)
        found = list(candidates)
    except (Failure, OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    for text, description in found:
        sys.stdout.write(f"{text}\t{description}\n" if description else f"{text}\n")
    sys.stdout.write(f":{hint}\n")
    return 0


def _limit_time() -> None:
    """A server that does not answer is as good as none."""
    from lightervisor.cli.signals import signal

    def give_up(_number: int, _frame: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)


def _answer(typed: Typed, configuration: Config, environ: Mapping[str, str]) -> tuple[Candidates, int]:
    command, word = typed.command, typed.word
    session = Session(configuration, environ)
    session.apply(typed.flags)
    if typed.asks_help and not word.startswith("-"):
        return ([], NO_FILES) if typed.arguments else (_commands(command, word, {}), NO_FILES)
    if typed.flag is not None:
        return _flag_values(session, typed, typed.flag, word, "")
    if word.startswith("-") and not typed.is_closed:
        name, equals, value = word.partition("=")
        flag = typed.named(name)
        if equals:
            return ([], NO_FILES) if flag is None else _flag_values(session, typed, flag, value, f"{name}=")
        return _flag_names(typed), NO_FILES
    if command is None or not command.handler:
        own = {**aliases.BUILT_IN, **configuration.aliases} if command is None else {}
        return ([] if typed.arguments else _commands(command, word, own)), NO_FILES
    from lightervisor.cli import complete_arguments

    return complete_arguments.candidates(session, command, typed.arguments, word)


def _commands(command: Command | None, word: str, own: Mapping[str, str]) -> Candidates:
    found = [(one.words[-1], one.summary) for one in children(command, with_rare=True)]
    found += [(name, f"alias of {target}") for name, target in sorted(own.items()) if " " not in name]
    if not any(name.startswith(word) for name, _ in found):
        # Other names are offered to who began to type one.
        beside = [one for one in table.commands(table.nouns(word)) if one.aliases] if command is None else []
        found += [(name, one.summary) for one in (beside or children(command)) for name in one.aliases]
    return [one for one in found if one[0].startswith(word)]


def _flag_names(typed: Typed) -> Candidates:
    word = typed.word
    repeatable = [flag for flag in typed.declared if flag.kind in ("many", "each")]
    shown = [flag for flag in typed.declared if flag.name not in typed.given or flag in repeatable]
    return [(f"--{flag.name}", flag.help) for flag in shown if f"--{flag.name}".startswith(word)]


def _flag_values(session: Session, typed: Typed, flag: Flag, word: str, prefix: str) -> tuple[Candidates, int]:
    from lightervisor.cli import complete_arguments

    found, hint = complete_arguments.flag_values(session, typed.command, typed.arguments, flag, word)
    return [(prefix + text, description) for text, description in found], hint
