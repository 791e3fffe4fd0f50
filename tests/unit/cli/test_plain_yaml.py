"""The small YAML reader agrees with the library on everything it accepts."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.cli import plain_yaml, yaml_writer

WORDS = st.text(st.sampled_from("abyz~ -_:/.#'\"{}[]&*!%@0129\\,|>né\t"), min_size=0, max_size=8)
LINES = st.builds(lambda indent, key, value: f"{' ' * indent}{key}: {value}", st.integers(0, 4), WORDS, WORDS)


@given(st.lists(LINES, max_size=6))
def test_what_is_accepted_means_what_the_library_says(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    try:
        found = plain_yaml.read(text)
    except plain_yaml.NotPlain:
        return
    assert found == (yaml.safe_load(text) or {})


@pytest.mark.parametrize("text", ["a: 1\n", "a: [x]\n", "a: |\n  x\n", "- a\n", "a: b # c\n", "a: 'b'\n", "a:\nb: c\n"])
def test_more_than_plain_words_is_left_to_the_library(text: str) -> None:
    with pytest.raises(plain_yaml.NotPlain):
        plain_yaml.read(text)


def test_the_clients_own_file_is_plain() -> None:
    data = {"default-remote": "local", "remotes": {"r": {"addr": "https://h:8443", "public": False}}, "aliases": {}}
    assert plain_yaml.read(yaml_writer.dump(data)) == data
