"""The mount entries of disks."""

from hypothesis import given
from hypothesis import strategies as st

from lightervisor.devices.disk import mount_entry
from lightervisor.errors import Invalid


def unescaped(field: str) -> str:
    return field.replace("\\040", " ").replace("\\043", "#").replace("\\134", "\\")


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_any_path_stays_one_field(source: str, target: str) -> None:
    try:
        entry = mount_entry(source, target, ["bind"])
    except Invalid:
        return
    fields = entry.split(" ")
    assert len(fields) == 6
    assert [unescaped(field) for field in fields[:2]] == [source, target]
    assert fields[2:] == ["none", "bind", "0", "0"]


def test_a_space_is_escaped_as_fstab_does() -> None:
    assert mount_entry("/a b", "mnt/c d", ["bind", "ro"]) == "/a\\040b mnt/c\\040d none bind,ro 0 0"
