"""Looks at places that may hang for ever, such as a network file system whose server is away: each on its own thread.

A thread in such a call cannot be ended. So it is left behind, and its place is not looked at again until it returns.
"""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Lookout(Generic[Answer]):
    """Asks `look` of places, and remembers those that have not answered yet. For one caller at a time."""

    def __init__(self, look: Callable[[Path], Answer], patience_s: float) -> None:
        self._look, self._patience_s = look, patience_s
        self._asked: dict[Path, threading.Thread] = {}

    def look(self, places: Iterable[Path]) -> dict[Path, Answer]:
        """What each place says; those that hang or raise OSError are left out. Blocking, as long as the patience."""
        answers: dict[Path, Answer] = {}
        asked = {place: self._ask(place, answers) for place in set(places) if not self._hangs(place)}
        ends_at = time.monotonic() + self._patience_s
        for thread in asked.values():
            thread.join(max(0.0, ends_at - time.monotonic()))
        self._asked |= {place: thread for place, thread in asked.items() if thread.is_alive()}
        return dict(answers)

    def _ask(self, place: Path, answers: dict[Path, Answer]) -> threading.Thread:
        def run() -> None:
            try:
                answers[place] = self._look(place)
            except OSError:
                return

        thread = threading.Thread(target=run, name=f"look-{place}"[:15], daemon=True)
        thread.start()
        return thread

    def _hangs(self, place: Path) -> bool:
        if place in self._asked and not self._asked[place].is_alive():
            del self._asked[place]
        return place in self._asked
