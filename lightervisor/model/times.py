"""Points in time as LXD writes them: RFC 3339 in UTC; year 1 stands for "never set"."""

from datetime import UTC, datetime

ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_S, _LAST_S = int(ZERO_TIME.timestamp()), int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


def of_file(modified_ns: int) -> datetime:
    """A file's time, in nanoseconds since the epoch, as the nearest one that can be written.

    A guest may give its files any 64-bit time, hundreds of thousands of years from now.
    """
    return datetime.fromtimestamp(min(max(modified_ns // 10**9, _FIRST_S), _LAST_S), UTC)
