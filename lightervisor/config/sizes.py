"""Sizes as LXD spells them: "10GiB", "512MB", "100Mbit"."""

from lightervisor.errors import Invalid

DECIMAL = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
BYTE_UNITS = (
    {"": 1, "B": 1, "bytes": 1}
    | {f"{p}B": 1000**n for p, n in DECIMAL.items() if p}
    | {f"{p}iB": 1024**n for p, n in zip("KMGTPE", range(1, 7), strict=True)}
)
BIT_UNITS = (
    {"": 1, "bit": 1}
    | {f"{p}bit": 1000**n for p, n in DECIMAL.items() if p}
    | {f"{p}ibit": 1024**n for p, n in zip("KMGTPE", range(1, 7), strict=True)}
)
MOST = 2**63 - 1


def parse(text: str) -> int:
    """Bytes in "10GiB" (1024) or "10GB" (1000); a bare number is bytes. Raises Invalid."""
    return _parse(text, BYTE_UNITS)


def parse_bits(text: str) -> int:
    """Bits per second in "100Mbit" or "1Gibit". Raises Invalid."""
    return _parse(text, BIT_UNITS)


def _parse(text: str, units: dict[str, int]) -> int:
    value = text.strip()
    digits = len(value) - len(value.lstrip("0123456789"))
    suffix = value[digits:].strip()
    if not digits or len(value) > 32 or suffix not in units:
        raise Invalid("value", text, text=f"Invalid value: {text}")
    count, unit = int(value[:digits]), units[suffix]
    if count * unit > MOST:
        raise Invalid("value", text, text=f"Overflow multiplying {count} with {unit}")
    return count * unit


def human(count: float) -> str:
    """A size for people, as LXD's clients print it: "12.34MB" (powers of 1000)."""
    if count < 1000:
        return f"{int(count)}B"
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        count /= 1000
        if count < 1000:
            return f"{count:.2f}{unit}"
    return f"{count / 1000:.2f}EB"
