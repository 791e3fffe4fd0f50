"""The contract of image builders: each makes one family of images out of what the host has.

A builder writes one unified image archive and tells its progress. It is found by its registered name; adding one
touches no other file. It may be cancelled at any point: it works in the directory it is given, nowhere else.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

BUILDERS: dict[str, type["Builder"]] = {}
Progress = Callable[[str], None]


class Product(Struct, frozen=True, kw_only=True):
    """One image that can be built."""

    alias: str
    description: str
    os: str
    release: str
    variant: str = "default"


class Builder(ABC):
    """One family of images."""

    name: ClassVar[str]

    def __init_subclass__(cls, *, name: str) -> None:
        if name in BUILDERS:
            raise ValueError(f"image builder {name} is registered twice")
        cls.name = name
        BUILDERS[name] = cls

    @abstractmethod
    def products(self) -> list[Product]:
        """What this builder can make."""

    @abstractmethod
    def build(self, product: Product, directory: Path, progress: Progress) -> Path:
        """Make the archive in an empty directory and return its path. Raises HostError."""
