"""The command table: what a command and a flag are, and which file declares which first word.

A command is declared once, in its noun's `commands_<noun>.py`; parsing, help, completion and the reference page come
from the declaration. Only the files of the typed word are imported, and the handler's file only when it runs, so that
`lxc list` pays for `list` alone.
"""

from __future__ import annotations

from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

    Handler = Callable[[Session, list[str], Flags], int | None]


class Flag:
    """One flag. Kinds: `bool`, `text`, `many` (repeatable), `number`, `each` (repeatable, comma separated).

    `bare` is the value of the flag given without one (`--console` is `--console=console`); such a flag takes its value
    after `=` only. `value` is the type shown in help.
    """

    __slots__ = ("bare", "default", "help", "kind", "name", "short", "value")

    def __init__(  # noqa: PLR0913 - a declaration: each argument is one of its facts
        self,
        name: str,
        short: str = "",
        kind: str = "bool",
        *,
        default: str = "",
        bare: str = "",
        value: str = "",
        help: str = "",
    ) -> None:
        self.name, self.short, self.kind = name, short, kind
        self.default, self.bare, self.value, self.help = default, bare, value, help


class Command:
    """One command or, without a handler, one group.

    `words` is the path ("config device add"), `usage` the arguments as help shows them, `handler` is
    "module:function" below `lightervisor.cli`, `least` and `most` count the arguments (None: any number).
    """

    __slots__ = (
        "aliases",
        "examples",
        "flags",
        "handler",
        "hidden",
        "least",
        "long",
        "most",
        "summary",
        "usage",
        "words",
    )

    def __init__(  # noqa: PLR0913 - as above
        self,
        words: str,
        usage: str = "",
        handler: str = "",
        summary: str = "",
        *,
        least: int = 0,
        most: int | None = 0,
        aliases: tuple[str, ...] = (),
        flags: tuple[Flag, ...] = (),
        long: str = "",
        examples: str = "",
        hidden: bool = False,
    ) -> None:
        self.words, self.usage, self.handler, self.summary = tuple(words.split()), usage, handler, summary
        self.least, self.most, self.aliases, self.flags = least, most, aliases, flags
        self.long, self.examples, self.hidden = long, examples, hidden

    @property
    def path(self) -> str:
        """How help and errors name it: `lxc config device`."""
        return " ".join(("lxc", *self.words))

    def load(self) -> Handler:
        """Import the handler; raises CommandError for a command that is declared but not written yet."""
        module, _, function = self.handler.partition(":")
        try:
            return getattr(load_module(module), function)
        except (ModuleNotFoundError, AttributeError) as error:
            # Only what this line itself did not find: a handler's own mistake is not a missing handler.
            if error.name not in (f"lightervisor.cli.{module}", function):
                raise
            raise CommandError(f'"{self.path}" is not offered yet') from error


GLOBAL_FLAGS = (
    Flag("debug", help="Show all debug messages"),
    Flag("force-local", help="Force using the local unix socket"),
    Flag("help", "h", help="Print help"),
    Flag("project", "", "text", help="Override the source project"),
    Flag("quiet", "q", help="Don't show progress information"),
    Flag("sub-commands", help="Use with help or --help to view sub-commands"),
    Flag("verbose", "v", help="Show all information messages"),
    Flag("version", help="Print version number"),
)
ROOT_FLAG = Flag("all", help="Show less common commands")

# The first word, under each of its names, and the files (commands_<noun>.py) that declare what can follow.
_NOUNS = {
    "instance": "launch init list ls info start stop restart pause freeze delete rm exec console snapshot restore",
    "instance_more": "rebuild wait",
    "transfer": "copy cp move mv rename",
    "file": "file",
    "config config_more trust": "config",
    "image": "image publish",
    "profile": "profile",
    "project": "project",
    "storage storage_volume": "storage",
    "network network_more network_zone": "network",
    "cluster": "cluster",
    "remote": "remote",
    "backup": "export import",
    "server": "alias operation monitor query version warning manpage completion",
    "help": "help",
}


def also_one_key(summary: str, form: str) -> str:
    """The long help of a `set` command, which still takes one key and its value as in LXD 2.0."""
    return f"{summary}\n\nLXD 2.0's form with one key still works:\n    {form} <key> <value>"


def nouns(word: str) -> list[str]:
    """The files that declare commands beginning with `word`; empty for an unknown word."""
    return [noun for files, words in _NOUNS.items() if word in words.split() for noun in files.split()]


def all_nouns() -> list[str]:
    """Every declaring file."""
    return [noun for files in _NOUNS for noun in files.split()]


def load_module(name: str) -> Any:
    """Import `lightervisor.cli.<name>`."""
    full = f"lightervisor.cli.{name}"
    return __import__(full, fromlist=["_"])


def commands(files: list[str]) -> Iterator[Command]:
    """The commands these files declare."""
    for noun in files:
        yield from load_module(f"commands_{noun}").COMMANDS


def all_commands() -> list[Command]:
    """The whole table, for help, completion and the reference page."""
    return list(commands(all_nouns()))
