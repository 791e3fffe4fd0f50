"""YAML read with the library.

The launcher starts Python without site-packages, and says in `SITE_PACKAGES` where they are for what needs them.
"""

from __future__ import annotations

import sys

from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def load(text: str) -> Any:
    """The document, with safe types only; raises CommandError with the position of what is wrong."""
    try:
        import yaml
    except ImportError:
        import __main__

        sys.path.append(getattr(__main__, "SITE_PACKAGES", ""))
        import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(text, loader)  # noqa: S506 - it is the safe loader
    except yaml.YAMLError as error:
        raise CommandError(f"yaml: {error}") from error


def load_mapping(text: str) -> dict[str, Any]:
    """As `load`, for documents that must be a mapping; an empty document is an empty one."""
    data = load(text)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise CommandError("yaml: the document is not a mapping")
    return data  # pyright: ignore[reportUnknownVariableType]
