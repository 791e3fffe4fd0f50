"""Help pages in cobra's layout, from the command table."""

from __future__ import annotations

from lightervisor.cli import table
from lightervisor.cli.table import GLOBAL_FLAGS, ROOT_FLAG, Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

ROOT_LONG = """Command line client for LXD

All of LXD's features can be driven through the various commands below.
For help with any of those, simply call them with --help."""
_RARE = frozenset(("init", "manpage", "monitor", "pause", "query", "completion"))


def run(session: Session, arguments: list[str], flags: Flags) -> int:
    """`lxc help [command]`: the page of a command, or of `lxc` itself."""
    from lightervisor.cli import parse

    command, rest = parse.find(arguments)
    if command is None and rest:
        session.warn("Unknown help topic [" + " ".join(f"`{word}`" for word in rest) + "]")
    session.write(page(command, with_rare=flags.on("all"), with_sub_commands=flags.on("sub-commands")))
    return 0


def page(command: Command | None, *, with_rare: bool = False, with_sub_commands: bool = False) -> str:
    """The help of one command, of a group, or of `lxc` itself."""
    path = command.path if command else "lxc"
    below = children(command, with_rare)
    long = (command.long or command.summary) if command else ROOT_LONG
    parts = ["Description:\n" + _indent(long), "Usage:\n" + _indent("\n".join(usage(command)))]
    if command and command.aliases:
        parts.append("Aliases:\n  " + ", ".join((command.words[-1], *command.aliases)))
    if command and command.examples:
        parts.append("Examples:\n" + _indent(command.examples))
    if below:
        parts.append("Available Commands:\n" + _commands(below, with_sub_commands))
    if command is None:
        parts.append("Flags:\n" + flag_lines((*GLOBAL_FLAGS, ROOT_FLAG)))
    else:
        if command.flags:
            parts.append("Flags:\n" + flag_lines(command.flags))
        parts.append("Global Flags:\n" + flag_lines(GLOBAL_FLAGS))
    if below:
        parts.append(f'Use "{path} [command] --help" for more information about a command.')
    return "\n\n".join(parts) + "\n"


def _family(command: Command | None) -> list[Command]:
    """The commands of the same first word; all of them for `lxc` itself."""
    return list(table.commands(table.nouns(command.words[0]))) if command else table.all_commands()


def children(command: Command | None, with_rare: bool = False) -> list[Command]:
    """The commands right below a group, sorted by name."""
    if command is not None and command.handler:
        return []
    words = command.words if command else ()
    below = [c for c in _family(command) if c.words[:-1] == words and not c.hidden]
    if command is None and not with_rare:
        below = [c for c in below if c.words[0] not in _RARE]
    return sorted(below, key=lambda c: c.words)


def usage(command: Command | None) -> list[str]:
    """The usage lines."""
    if command is None:
        return ["lxc [command]"]
    if children(command):
        return [f"{command.path} [flags]", f"{command.path} [command]"]
    flags = "" if "[flags]" in command.usage else "[flags]"
    return [" ".join(filter(None, (command.path, command.usage, flags)))]


def _commands(below: list[Command], with_sub_commands: bool, indent: str = "  ") -> str:
    width = max(11, *(len(command.words[-1]) for command in below))
    gap = "  " if with_sub_commands else " "
    lines: list[str] = []
    for command in below:
        lines.append(f"{indent}{command.words[-1]:<{width}}{gap}{command.summary}")
        inner = children(command) if with_sub_commands else []
        if inner:
            lines.append(_commands(inner, True, indent + "  "))
    return "\n".join(lines)


def flag_lines(flags: tuple[Flag, ...]) -> str:
    """The flags as pflag aligns them."""
    heads: list[str] = []
    for flag in sorted(flags, key=lambda f: f.name):
        head = f"  -{flag.short}, --{flag.name}" if flag.short else f"      --{flag.name}"
        if flag.value:
            head += f" {flag.value}"
        if flag.bare:
            head += f'[="{flag.bare}"]'
        heads.append(head)
    width = max(len(head) for head in heads) + 3
    lines: list[str] = []
    for head, flag in zip(heads, sorted(flags, key=lambda f: f.name), strict=True):
        default = ""
        if flag.default not in ("", "0") and flag.kind != "bool":
            default = f" (default {flag.default})" if flag.kind == "number" else f' (default "{flag.default}")'
        lines.append(f"{head:<{width}}{flag.help}{default}")
    return "\n".join(lines)


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())
