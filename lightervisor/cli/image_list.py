"""`lxc image list`: its columns and filters."""

from __future__ import annotations

from lightervisor.cli import formats, image_lookup, list_filters, units
from lightervisor.cli.errors import CommandError
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

    Image = dict[str, Any]

_SHORT = 12


def listing(session: Session, arguments: list[str], flags: Flags) -> None:
    """List the images of a remote that satisfy every filter."""
    form = flags.text("format")
    formats.check(form)
    chosen = columns(flags.text("columns"))
    remote, filters = place(session, arguments)
    images = [image for image in image_lookup.images(session, remote) if matches_all(image, filters)]
    rows = formats.sort_rows([[cell(image) for _, cell in chosen] for image in images])
    session.write(formats.render(form, [header for header, _ in chosen], rows, images))


def place(session: Session, arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The remote and the filters of `[remote:] [filter…]`; `remote:text` is both."""
    filters = list(arguments)
    if not filters or ":" not in filters[0] or "=" in filters[0].partition(":")[0]:
        return session.config.default_remote, filters
    remote, first = session.parse(filters[0])
    return remote, [first, *filters[1:]] if first else filters[1:]


def columns(layout: str) -> list[tuple[str, Callable[[Image], str]]]:
    """Header and cell of each letter of `-c`; commas between letters are allowed. Raises CommandError."""
    chosen: list[tuple[str, Callable[[Image], str]]] = []
    for entry in layout.split(","):
        if not entry:
            raise CommandError(f"Empty column entry (redundant, leading or trailing command) in '{layout}'")
        for letter in entry:
            if letter not in _COLUMNS:
                raise CommandError(f"Unknown column shorthand char '{letter}' in '{entry}'")
            chosen.append(_COLUMNS[letter])
    return chosen


def matches_all(image: Image, filters: Sequence[str]) -> bool:
    """Whether an image satisfies every filter."""
    return all(_matches(image, text) for text in filters)


def _matches(image: Image, text: str) -> bool:
    """`key=value` on the properties or the fields; else a part of an alias or of the fingerprint."""
    key, equals, value = text.partition("=")
    if not equals:
        return any(text in name for name in (*image_lookup.aliases(image), str(image["fingerprint"])))
    properties: dict[str, str] = as_map(image.get("properties"))
    if any(
        list_filters.is_abbreviation(key, name) and list_filters.matches_pattern(value, held)
        for name, held in properties.items()
    ):
        return True
    field = image.get(key)
    if isinstance(field, bool):
        return value.lower() in (("true", "yes") if field else ("false", "no"))
    return isinstance(field, (str, int)) and list_filters.matches_pattern(value, str(field))


def size(size_bytes: int) -> str:
    """LXD counts in MiB and calls them MB; what is not built yet has no size."""
    return f"{size_bytes / 1024 / 1024:.2f}MB" if size_bytes else ""


def _shortest_alias(image: Image) -> str:
    names = image_lookup.aliases(image)
    if not names:
        return ""
    shortest = min(names, key=len)
    return shortest if len(names) == 1 else f"{shortest} ({len(names) - 1} more)"


_COLUMNS: dict[str, tuple[str, Callable[[Image], str]]] = {
    "a": ("ARCHITECTURE", lambda i: str(i.get("architecture", ""))),
    "d": ("DESCRIPTION", lambda i: str(as_map(i.get("properties")).get("description", ""))),
    "f": ("FINGERPRINT", lambda i: str(i["fingerprint"])[:_SHORT]),
    "F": ("FINGERPRINT", lambda i: str(i["fingerprint"])),
    "l": ("ALIAS", _shortest_alias),
    "L": ("ALIASES", lambda i: "\n".join(sorted(image_lookup.aliases(i)))),
    "p": ("PUBLIC", lambda i: "yes" if i.get("public") else "no"),
    "s": ("SIZE", lambda i: size(int(i.get("size", 0)))),
    "t": ("TYPE", lambda i: str(i.get("type") or "container").upper()),
    "u": ("UPLOAD DATE", lambda i: units.moment(str(i.get("uploaded_at")))),
}
