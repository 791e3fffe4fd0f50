"""Names of networks."""

import pytest

from lightervisor.errors import Invalid
from lightervisor.networks.managed import check_name


@pytest.mark.parametrize("name", ["br0", "lxdbr0", "a.b_c-d", "x" * 15])
def test_a_good_name_passes(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(("name", "text"), [("a/b", 'Cannot contain "/"'), ("..", "invalid"), ("x" * 64, "invalid")])
def test_what_is_no_interface_may_have_a_longer_name(name: str, text: str) -> None:
    for good in ("a", "x" * 63, "lo"):
        check_name(good, is_interface=False)
    with pytest.raises(Invalid, match=text):
        check_name(name, is_interface=False)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "No name provided"), ("a", "too short"), ("x" * 16, "too long"), ("a/b", "invalid characters"),
        ("..", "invalid characters"), ("a b", "invalid characters"), ("br\n", "invalid characters"), ("lo", "reserved"),
        ("all", "reserved"), ("default", "reserved"),
    ],
)  # fmt: skip
def test_a_bad_name_is_refused(name: str, text: str) -> None:
    with pytest.raises(Invalid, match=text):
        check_name(name)
