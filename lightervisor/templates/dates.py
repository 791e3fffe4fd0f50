"""Times written by Go's layouts, in which the moment 2006-01-02 15:04:05 shows how. Source: Go, package time."""

import re
from datetime import UTC, datetime

_LAYOUT = {
    "2006": "%Y", "06": "%y", "January": "%B", "Jan": "%b", "01": "%m", "Monday": "%A", "Mon": "%a", "02": "%d",
    "15": "%H", "03": "%I", "04": "%M", "05": "%S", "PM": "%p", "MST": "%Z", "-0700": "%z",
}  # fmt: skip
_PARTS = re.compile("|".join(sorted(map(re.escape, _LAYOUT), key=len, reverse=True)))


def format_time(seconds: float, layout: str) -> str:
    """A time since the epoch, in UTC, by a layout."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return ""
    return _PARTS.sub(lambda found: moment.strftime(_LAYOUT[found[0]]), layout)
