"""Sizes and times as LXD's client prints them."""

from __future__ import annotations

_BINARY = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_DECIMAL = ("kB", "MB", "GB", "TB", "PB", "EB")
_FACTORS = {
    **{"": 1, "B": 1, "bytes": 1},
    **{unit: 1024**power for power, unit in enumerate(_BINARY, 1)},
    **{unit: 1000**power for power, unit in enumerate(_DECIMAL, 1)},
}
# Fields that are times in LXD's structs.
TIMES = frozenset(
    ("created_at", "last_used_at", "expires_at", "uploaded_at", "updated_at", "first_seen_at", "last_seen_at")
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def iec(size_bytes: int, precision: int = 2) -> str:
    """`1536` is `1.50KiB`."""
    if abs(size_bytes) < 1024:
        return f"{size_bytes}B"
    value = float(size_bytes)
    for unit in _BINARY:
        value /= 1024
        if abs(value) < 1024:
            return f"{value:.{precision}f}{unit}"
    return f"{value:.{precision}f}EiB"


def decimal(size_bytes: int, precision: int = 2) -> str:
    """`1500` is `1.50kB`."""
    if abs(size_bytes) < 1000:
        return f"{size_bytes}B"
    value = float(size_bytes)
    for unit in _DECIMAL:
        value /= 1000
        if abs(value) < 1000:
            return f"{value:.{precision}f}{unit}"
    return f"{value:.{precision}f}EB"


def parse(text: str) -> int:
    """Bytes of a size like `512MiB`; 0 when it is not one (a percentage, say)."""
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    factor = _FACTORS.get(text[len(digits) :])
    return int(digits) * factor if factor and digits.isdecimal() else 0


def is_set(stamp: str | None) -> bool:
    """Whether a time of the API is one: Go's zero and the epoch mean "never"."""
    return bool(stamp) and not str(stamp).startswith(("0001-01-01T00:00:00", "1970-01-01T00:00:00"))


def time(stamp: str | None, otherwise: str = "") -> str:
    """`2026-11-21T00:34:27.007Z` is `2026/11/21 00:34 UTC`."""
    if stamp is None or not is_set(stamp):
        return otherwise
    if not stamp.endswith("Z"):
        from datetime import UTC, datetime

        head, sign, zone = stamp[:19], stamp[-6], stamp[-5:]
        return datetime.fromisoformat(head + sign + zone).astimezone(UTC).strftime("%Y/%m/%d %H:%M UTC")
    return f"{stamp[:4]}/{stamp[5:7]}/{stamp[8:10]} {stamp[11:16]} UTC"


def moment(stamp: str) -> str:
    """`Nov 20, 2026 at 8:14pm (UTC)`; empty for a time that is not set."""
    text = time(stamp)
    if not text:
        return ""
    hour, minute = int(text[11:13]), text[14:16]
    day = f"{_MONTHS[int(text[5:7]) - 1]} {int(text[8:10])}, {text[:4]}"
    return f"{day} at {hour % 12 or 12}:{minute}{'am' if hour < 12 else 'pm'} (UTC)"


def shorten(stamp: str) -> str:
    """A stamp without the zeros at the end of its fraction, as Go writes it."""
    zone = stamp[19:].lstrip(".0123456789")
    fraction = stamp[19 : len(stamp) - len(zone)].rstrip("0")
    return stamp[:19] + (fraction if fraction != "." else "") + zone
