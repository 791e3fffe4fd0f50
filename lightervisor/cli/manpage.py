"""`lxc manpage`: a page for each command, as man pages, Markdown, reStructuredText or YAML.

The pages have no dates: the same program writes the same files.
"""

from __future__ import annotations

from lightervisor.cli import help as pages
from lightervisor.cli import table, yaml_writer
from lightervisor.cli.errors import CommandError
from lightervisor.cli.table import GLOBAL_FLAGS, ROOT_FLAG, Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

_ROOT_SUMMARY = "Command line client for LXD"


class Page:
    """What all the formats tell of one command, or of `lxc` itself."""

    def __init__(self, command: Command | None) -> None:
        self.command = command
        self.words = ("lxc", *(command.words if command else ()))
        self.name = " ".join(self.words)
        self.summary = command.summary if command else _ROOT_SUMMARY
        self.long = (command.long or command.summary) if command else pages.ROOT_LONG
        self.usage = pages.usage(command)
        self.own_flags = command.flags if command else (*GLOBAL_FLAGS, ROOT_FLAG)
        self.global_flags = GLOBAL_FLAGS if command else ()
        self.examples = command.examples if command else ""
        self.below = pages.children(command, with_rare=True)
        # What is above and what is below.
        self.near = [self.words[:-1]] if command else []
        self.near += [("lxc", *child.words) for child in self.below]


def run(session: Session, arguments: list[str], flags: Flags) -> None:
    """Write the pages into a directory."""
    from pathlib import Path

    form = flags.text("format")
    if form not in _FORMATS:
        raise CommandError(f'Invalid format "{form}"', "it is man, md, rest or yaml")
    between, ending, _ = _FORMATS[form]
    target = Path(arguments[0])
    for command in [None, *(one for one in table.all_commands() if not one.hidden)]:
        name = between.join(("lxc", *(command.words if command else ())))
        (target / f"{name}{ending}").write_text(draw(command, form))


def draw(command: Command | None, form: str) -> str:
    """The page of one command, or of `lxc` itself."""
    return _FORMATS[form][2](Page(command))


def _man(page: Page) -> str:
    lines = [f'.TH "{"-".join(page.words).upper()}" "1" "" "LXD 5.0" "LXD"', ".nh", ".SH NAME"]
    lines.append(f"{_roff('-'.join(page.words))} \\- {_roff(page.summary)}")
    lines.append(".SH SYNOPSIS")
    for usage in page.usage:
        words = usage.removeprefix(page.name)
        lines += [f"\\fB{_roff(page.name)}\\fR{_roff(words)}", ".br"]
    lines += [".SH DESCRIPTION", *_as_typed(page.long)]
    if page.below:
        lines.append(".SH COMMANDS")
        for child in page.below:
            lines += [".TP", f"\\fB{_roff(child.words[-1])}\\fR", _roff(child.summary)]
    lines += _man_flags("OPTIONS", page.own_flags) + _man_flags("GLOBAL OPTIONS", page.global_flags)
    if page.examples:
        lines += [".SH EXAMPLES", *_as_typed(page.examples)]
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{_roff('-'.join(words))}\\fR(1)" for words in page.near) or "lxd(1)"]
    return "\n".join(lines) + "\n"


def _man_flags(title: str, flags: tuple[Flag, ...]) -> list[str]:
    lines = [f".SH {title}"] if flags else []
    for flag in sorted(flags, key=lambda flag: flag.name):
        short = f"\\fB\\-{flag.short}\\fR, " if flag.short else ""
        value = "" if flag.kind == "bool" else "=\\fI\\,value\\/\\fR"
        default = f" (default {flag.default})" if flag.default and flag.kind != "bool" else ""
        lines += [".TP", f"{short}\\fB{_roff('--' + flag.name)}\\fR{value}", _roff(flag.help + default)]
    return lines


def _as_typed(text: str) -> list[str]:
    """A text whose lines and indents stay as they are."""
    return [".nf", *(_roff(line) for line in text.splitlines()), ".fi"]


def _roff(text: str) -> str:
    """A text that means nothing to roff."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped[:1] in (".", "'") else escaped


def _markdown(page: Page) -> str:
    parts = [f"# {page.name}", page.summary.rstrip(".") + ".", f"```\n{pages.page(page.command, with_rare=True)}```"]
    if page.near:
        links = [f"- [{' '.join(words)}]({'_'.join(words)}.md)" for words in page.near]
        parts.append("## See also\n\n" + "\n".join(links))
    return "\n\n".join(parts) + "\n"


def _rest(page: Page) -> str:
    body = "".join(f"  {line}".rstrip() + "\n" for line in pages.page(page.command, with_rare=True).splitlines())
    parts = [
        f".. _{'_'.join(page.words)}:",
        f"{page.name}\n{'=' * len(page.name)}",
        page.summary.rstrip(".") + ".",
        f"::\n\n{body}",
    ]
    if page.near:
        links = [f"* :ref:`{' '.join(words)} <{'_'.join(words)}>`" for words in page.near]
        parts.append("See also\n--------\n\n" + "\n".join(links) + "\n")
    return "\n\n".join(parts)


def _yaml(page: Page) -> str:
    document: dict[str, Any] = {"name": page.name, "synopsis": page.summary, "description": page.long}
    document["usage"] = page.usage[0]
    for key, flags in (("options", page.own_flags), ("inherited_options", page.global_flags)):
        if flags:
            document[key] = [_flag_facts(flag) for flag in sorted(flags, key=lambda flag: flag.name)]
    if page.examples:
        document["example"] = page.examples
    if page.near:
        document["see_also"] = [" ".join(words) for words in page.near]
    return yaml_writer.dump(document)


def _flag_facts(flag: Flag) -> dict[str, str]:
    facts = {"name": flag.name, "shorthand": flag.short}
    facts["default_value"] = "false" if flag.kind == "bool" else flag.default
    facts["usage"] = flag.help
    return {key: value for key, value in facts.items() if value}


_FORMATS: dict[str, tuple[str, str, Callable[[Page], str]]] = {
    "man": (".", ".1", _man),
    "md": ("_", ".md", _markdown),
    "rest": ("_", ".rst", _rest),
    "yaml": ("_", ".yaml", _yaml),
}
