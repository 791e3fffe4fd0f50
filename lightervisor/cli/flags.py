"""The flags that one command line gave, as handlers read them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    class Declared(Protocol):
        """A flag's declaration, as far as it matters here."""

        @property
        def default(self) -> str:
            """What is taken when the flag was not given."""
            ...


_TRUE = ("1", "t", "T", "true", "TRUE", "True")


class Flags:
    """The flags of one command line; what was not given has its declared default."""

    def __init__(self, declared: Mapping[str, Declared], given: dict[str, list[str]]) -> None:
        self._declared, self._given = declared, given

    def given(self, name: str) -> bool:
        """Whether the flag was typed at all."""
        return name in self._given

    def text(self, name: str) -> str:
        """The value of a flag; the last one typed counts."""
        return self._given[name][-1] if name in self._given else self._declared[name].default

    def on(self, name: str) -> bool:
        """Whether a switch is on."""
        return name in self._given and self._given[name][-1] in _TRUE

    def number(self, name: str) -> int:
        """The value of a number flag."""
        return int(self.text(name) or 0)

    def many(self, name: str) -> list[str]:
        """Every value of a repeatable flag, in order."""
        return list(self._given.get(name, ()))
