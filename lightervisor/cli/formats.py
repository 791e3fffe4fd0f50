"""The formats of every list: table and compact as LXD's table writer draws them, csv, json and yaml."""

from __future__ import annotations

from lightervisor.cli import harmless, units
from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

FORMATS = ("table", "csv", "json", "yaml", "compact")


def render(form: str, header: Sequence[str], rows: Sequence[Sequence[str]], raw: object) -> str:
    """The whole output. `raw` is what json and yaml show: the objects themselves, not the cells."""
    check(form)
    drawers: dict[str, Callable[[], str]] = {
        "table": lambda: table(header, rows),
        "compact": lambda: compact(header, rows),
        "csv": lambda: csv(rows),
        "json": lambda: json(raw),
        "yaml": lambda: yaml(raw),
    }
    return drawers[form]()


def check(form: str) -> None:
    """Refuse an unknown format, before anything is asked of a server."""
    if form not in FORMATS:
        raise CommandError(f'Invalid format "{form}"')


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """ASCII borders, a rule after every row, centred header."""
    titles, cells, widths = _measure(header, rows)
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+\n"
    out = [rule, "|" + "|".join(f" {_centre(t, w)} " for t, w in zip(titles, widths, strict=True)) + "|\n", rule]
    for row in cells:
        for line in _lines(row, widths):
            out.append("|" + "|".join(f" {text} " for text in line) + "|\n")
        out.append(rule)
    return "".join(out)


def compact(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table without borders and rules."""
    titles, cells, widths = _measure(header, rows)
    out = ["".join(f" {_centre(t, w)} " for t, w in zip(titles, widths, strict=True))]
    out += ["".join(f" {text} " for text in line) for row in cells for line in _lines(row, widths)]
    return "".join(f" {line} \n" for line in out)


def csv(rows: Sequence[Sequence[str]]) -> str:
    """RFC 4180 with Go's rules of quoting; no header."""
    return "".join(",".join(_csv_cell(cell) for cell in row) + "\n" for row in rows)


def json(value: object, *, sort: bool = False) -> str:
    """One line, as Go's encoder writes it: compact and HTML-escaped; with `sort` as it writes maps."""
    import json as library

    shown = value if sort else _with_short_times(value)
    text = library.dumps(shown, ensure_ascii=False, separators=(",", ":"), sort_keys=sort)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text + "\n"


def _with_short_times(value: Any) -> Any:
    """Go writes no zeros at the end of a second's fraction."""
    if isinstance(value, dict):
        pairs: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {
            key: units.shorten(one) if key in units.TIMES and isinstance(one, str) else _with_short_times(one)
            for key, one in pairs.items()
        }
    if isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [_with_short_times(one) for one in items]
    return value


def yaml(value: object, *, is_map: bool = False) -> str:
    """As LXD's client writes YAML; `is_map` says that the value is a map with keys to sort, not a struct."""
    from lightervisor.cli import yaml_writer

    return yaml_writer.dump(value, is_map=is_map)


def natural(text: str) -> tuple[tuple[int, int | str], ...]:
    """A key that sorts `c2` before `c10`."""
    parts: list[tuple[int, int | str]] = []
    digits = word = ""
    for char in text:
        if char in "0123456789":
            if word:
                parts.append((1, word))
            word, digits = "", digits + char
        else:
            if digits:
                parts.append((0, int(digits)))
            digits, word = "", word + char
    if digits:
        parts.append((0, int(digits)))
    if word:
        parts.append((1, word))
    return tuple(parts)


def sort_rows(rows: list[list[str]]) -> list[list[str]]:
    """LXD's order: by the columns from left to right, naturally, empty cells last."""
    return sorted(rows, key=lambda row: [(cell == "", natural(cell)) for cell in row])


def _measure(
    header: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[list[str]]], list[int]]:
    titles = [_title(text) for text in header]
    cells = [[harmless.line(cell).split("\n") for cell in row] for row in rows]
    widths = [width(title) for title in titles]
    for row in cells:
        for index, lines in enumerate(row):
            for line in lines:
                widths[index] = max(widths[index], width(line))
    return titles, cells, widths


def _lines(row: list[list[str]], widths: list[int]) -> list[list[str]]:
    height = max((len(lines) for lines in row), default=1)
    return [
        [_pad(lines[index] if index < len(lines) else "", w) for lines, w in zip(row, widths, strict=True)]
        for index in range(height)
    ]


def _title(text: str) -> str:
    """Upper case; `_` and the dots between words become blanks."""
    chars = list(text)
    for index, char in enumerate(chars):
        if char == "_":
            chars[index] = " "
        elif char == ".":
            before, after = text[index - 1 : index], text[index + 1 : index + 2]
            if (before and not _is_number_or_space(before)) or (after and not _is_number_or_space(after)):
                chars[index] = " "
    return ("".join(chars).strip() or (" " if text else "")).upper()


def _is_number_or_space(char: str) -> bool:
    return char in "0123456789 "


def width(text: str) -> int:
    """Columns a terminal uses for it."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _pad(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def _centre(text: str, columns: int) -> str:
    gap = columns - width(text)
    return " " * (gap // 2) + text + " " * (gap - gap // 2)


def _csv_cell(text: str) -> str:
    if text == "\\." or any(char in text for char in ',"\r\n') or text[:1].isspace():
        return '"' + text.replace('"', '""') + '"'
    return text
