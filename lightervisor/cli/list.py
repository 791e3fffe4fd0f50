"""`lxc list`."""

from __future__ import annotations

from lightervisor.cli import formats, list_columns
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

DEFAULT_COLUMNS, FAST_COLUMNS = "ns46tSL", "nsacPt"


def run(session: Session, arguments: list[str], flags: Flags) -> None:
    """List instances that satisfy every filter."""
    form = flags.text("format")
    formats.check(form)
    layout, is_default = _layout(flags)
    remote, filters = "", list(arguments)
    if filters and ":" in filters[0] and "=" not in filters[0].partition(":")[0]:
        remote, first = session.parse(filters[0])
        filters[:1] = [first] if first else []
    server = session.server(remote)
    columns = list_columns.parse(layout)
    is_full = form in ("json", "yaml") or any(column.needs_state for column in columns)
    instances = _fetch(server, is_full=is_full, is_everywhere=flags.on("all-projects"))
    if filters:
        from lightervisor.cli import list_filters

        instances = [instance for instance in instances if list_filters.matches_all(instance, filters)]
    if any(column.letter == "L" for column in columns) and not _is_clustered(server, instances):
        if not is_default:
            raise CommandError("Can't specify column L when not clustered")
        columns = [column for column in columns if column.letter != "L"]
    if form in ("json", "yaml"):
        session.write(formats.render(form, (), (), instances))
        return
    rows = formats.sort_rows([[column.cell(instance) for column in columns] for instance in instances])
    session.write(formats.render(form, [column.header for column in columns], rows, instances))


def _layout(flags: Flags) -> tuple[str, bool]:
    layout = flags.text("columns")
    is_default = layout == DEFAULT_COLUMNS
    if flags.on("fast"):
        if not is_default:
            raise CommandError("Can't specify --fast with --columns")
        return FAST_COLUMNS, False
    if is_default and flags.on("all-projects"):
        return "e" + layout, True
    return layout, is_default


def _fetch(server: Server, *, is_full: bool, is_everywhere: bool) -> list[dict[str, Any]]:
    everywhere = "true" if is_everywhere else ""
    return server.get(url("instances", recursion=2 if is_full else 1, all_projects=everywhere)) or []


def _is_clustered(server: Server, instances: list[dict[str, Any]]) -> bool:
    """Whether LOCATION means something; a single server calls the location of its instances `none`."""
    if instances:
        return instances[0].get("location", "none") not in ("", "none")
    return server.is_clustered()
