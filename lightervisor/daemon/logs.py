"""The daemon's log: to standard error (the journal), to a file when asked, and to event listeners."""

import logging
import sys
from pathlib import Path

from lightervisor.events.stream import Events

LEVELS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error"}


def configure(*, debug: bool, verbose: bool, logfile: Path | None) -> None:
    """Set up logging once, at start. Raises OSError when the file cannot be written."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if logfile is not None:
        handlers.append(logging.FileHandler(logfile))
    level = logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING
    for handler in handlers:
        handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=handlers)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class PlainFormatter(logging.Formatter):
    """Shows what controls a terminal or begins a line as `repr` does: messages may quote strangers."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # logging's name
        """The record's own line; a traceback follows it as it is."""
        line = super().formatMessage(record)
        return line if line.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


class EventHandler(logging.Handler):
    """Publishes log records as `logging` events."""

    def __init__(self, events: Events) -> None:
        super().__init__()
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        """Publish one record."""
        level = LEVELS.get(record.levelno, "info")
        self._events.logging(level, record.getMessage(), {"logger": record.name})
