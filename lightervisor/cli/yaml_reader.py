"""YAML read with the library.

LXD reads a document into typed structs: where it wants a text, `release: 22.10` and `limits.cpu: 2` are the texts they
look like. Here the keys below which only texts stand are named, and nothing ever becomes a date or a fraction.
"""

from __future__ import annotations

from lightervisor.cli import libraries
from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAPS = frozenset(("config", "properties", "devices"))
# Fields that are texts although their values often look like numbers.
_FIELDS = frozenset(("description", "name", "listen_port", "target_port", "source_port", "destination_port", "value"))
_TAG = "tag:yaml.org,2002:"
_NEVER = frozenset((_TAG + "timestamp", _TAG + "float"))


def load(text: str) -> Any:
    """The document, with safe types only; raises CommandError with the position of what is wrong."""
    libraries.reach()
    import yaml

    kind: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = kind(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _make_texts(node, set(), is_text=False)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        from yaml.scanner import ScannerError

        line = error.problem_mark.line if error.problem_mark else 0
        # As Go says it: no line for the first one, else counted from 0 for grammar and from 1 for characters.
        where = f"line {line + isinstance(error, ScannerError)}: " if line else ""
        raise CommandError(f"yaml: {where}{error.problem}") from error
    except yaml.YAMLError as error:
        raise CommandError(f"yaml: {error}") from error
    finally:
        loader.dispose()


def _make_texts(node: Any, seen: set[tuple[int, bool]], *, is_text: bool) -> None:
    """Make strings of the scalars that LXD reads as such; every node is visited once, however often it is aliased."""
    if (id(node), is_text) in seen:
        return
    seen.add((id(node), is_text))
    if node.id == "mapping":
        for key, value in node.value:
            if key.id == "scalar" and key.tag != _TAG + "merge":
                key.tag = _TAG + "str"
            name = key.value if key.id == "scalar" else ""
            if name not in _MAPS or value.tag != _TAG + "null":  # a map that is null stays so
                _make_texts(value, seen, is_text=is_text or name in _MAPS or name in _FIELDS)
    elif node.id == "sequence":
        for item in node.value:
            _make_texts(item, seen, is_text=is_text)
    elif is_text and node.tag == _TAG + "null":
        node.tag, node.value = _TAG + "str", ""
    elif is_text or node.tag in _NEVER:
        node.tag = _TAG + "str"


def load_mapping(text: str) -> dict[str, Any]:
    """As `load`, for documents that must be a mapping; an empty document is an empty one."""
    data = load(text)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise CommandError("yaml: the document is not a mapping")
    return data  # pyright: ignore[reportUnknownVariableType]
