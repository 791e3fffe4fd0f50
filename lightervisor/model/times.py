"""Points in time as LXD writes them: RFC 3339 in UTC; year 1 stands for "never set"."""

from datetime import UTC, datetime

from lightervisor.errors import Invalid

ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_S, _LAST_S = int(ZERO_TIME.timestamp()), int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


def in_utc(moment: datetime) -> datetime:
    """A client's point in time, which has a zone of its own. Raises Invalid without one, and before year 1."""
    if moment.tzinfo is None:
        raise Invalid("time", moment.isoformat(), cause="it has no time zone", remedy="write Z at its end for UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise Invalid("time", moment.isoformat(), cause="it lies before the year 1 or after 9999") from error


def of_file(modified_ns: int) -> datetime:
    """A file's time, in nanoseconds since the epoch, as the nearest one that can be written.

    A guest may give its files any 64-bit time, hundreds of thousands of years from now.
    """
    return datetime.fromtimestamp(min(max(modified_ns // 10**9, _FIRST_S), _LAST_S), UTC)
