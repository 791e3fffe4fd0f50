"""What cloud-init is to read is checked as LXD 5.0.2 checks it; the texts are its."""

from __future__ import annotations

import time

import pytest

from lightervisor.config.cloud_config import NetworkConfig, UserData
from lightervisor.errors import Invalid

MAPPINGS = [
    "version: 2\nethernets: {}",
    "a: 1\na: 2",
    "a:\tb",
    "null",
    "#c",
    "",
    "a: &x [1]\nb: *x",
    "a: 1\n---\n[",
    "{}",
]
MISTAKES = {
    "x": "yaml: unmarshal errors:\n  line 1: cannot unmarshal !!str `x` into struct {}",
    "more than ten": "yaml: unmarshal errors:\n  line 1: cannot unmarshal !!str `more th...` into struct {}",
    "5": "yaml: unmarshal errors:\n  line 1: cannot unmarshal !!int `5` into struct {}",
    "[1,2]": "yaml: unmarshal errors:\n  line 1: cannot unmarshal !!seq into struct {}",
    "- a\n- b": "yaml: unmarshal errors:\n  line 1: cannot unmarshal !!seq into struct {}",
    "a: b\n c: d\n": "yaml: line 2: mapping values are not allowed in this context",
    "\ta: b": "yaml: found character that cannot start any token",
    "a: &x [1]\nb: *x\nc: *y": "yaml: unknown anchor 'y' referenced",
    "%foo": "yaml: found unknown directive name",
    'a: "x': "yaml: found unexpected end of stream",
    "a: [1": "did not find expected ',' or ']'",
    "a: {": "did not find expected node content",
}


@pytest.mark.parametrize("text", MAPPINGS)
def test_mappings_are_taken(text: str) -> None:
    NetworkConfig.check(text)
    UserData.check(f"#cloud-config\n{text}")


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_told_in_lxds_words(text: str) -> None:
    for check, value in ((NetworkConfig.check, text), (UserData.check, f"#cloud-config\n{text}")):
        with pytest.raises(Invalid) as refused:
            check(value)
        assert MISTAKES[text] in refused.value.sentence()


@pytest.mark.parametrize(
    "text", ["x", "#!/bin/sh\n[", "#cloud-config", "#cloud-config \na: {", "MIME-Version: 1.0\n\n["]
)
def test_other_formats_of_user_data_are_left_alone(text: str) -> None:
    UserData.check(text)


def test_what_is_deep_or_refers_to_itself_is_no_burden() -> None:
    bomb = "a: &a [x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{f'*{chr(97 + n)},' * 9}]\n" for n in range(20))
    NetworkConfig.check(bomb)
    begun = time.process_time()
    with pytest.raises(Invalid, match="exceeded max depth"):
        NetworkConfig.check("a: " + "[" * 1_000_000)
    NetworkConfig.check("a: 1\n" * 1_000_000)
    assert time.process_time() - begun < 5
