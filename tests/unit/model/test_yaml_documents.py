"""YAML that is written: the same bytes whether or not a part of it was written before."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import yaml

from lightervisor.model import yaml_documents
from lightervisor.model.times import ZERO_TIME


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One of many."""

    name: str
    config: dict[str, str] = {}
    at: datetime = ZERO_TIME


class Described(msgspec.Struct, frozen=True, kw_only=True, rename={"is_on": "on"}):
    """What has a field of each form."""

    items: list[Item] = []
    is_on: list[str] = []
    config: dict[str, dict[str, str]] = {}
    best: Item | None = None


EAST = timezone(timedelta(hours=2))
ITEMS = [
    Item(
        name="null", config={"yes": "on", "text": "two\nlines: \"'\t", "é": " ü "}, at=datetime(2026, 1, 2, tzinfo=UTC)
    ),
    Item(name="2026-01-02", at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=EAST)),
    Item(name="", config={"a": "", "b": "0x1f"}),
]


def test_what_is_written_in_parts_is_what_is_written_at_once() -> None:
    described = Described(items=ITEMS, is_on=["no", "1", "x"], config={"y": {"n": "~"}}, best=ITEMS[1])
    plain = msgspec.to_builtins(described, builtin_types=(datetime,))
    for _ in range(2):  # the second time it is remembered
        assert yaml_documents.dump(described) == yaml_documents.dump(plain)
    assert yaml.safe_load(yaml_documents.dump(described))["on"] == ["no", "1", "x"]


def test_a_change_is_seen() -> None:
    one = yaml_documents.dump(Described(items=ITEMS))
    other = yaml_documents.dump(Described(items=[*ITEMS[:1], Item(name="new"), *ITEMS[2:]]))
    assert one != other
    assert "new" in other
    assert yaml_documents.dump(Described()) == "items: []\n'on': []\nconfig: {}\nbest: null\n"


def test_moments_are_in_utc_and_bare() -> None:
    text = yaml_documents.dump(Described(items=ITEMS))
    assert "at: 2026-01-02T01:04:05.000678Z\n" in text
    assert "at: 0001-01-01T00:00:00Z\n" in text
