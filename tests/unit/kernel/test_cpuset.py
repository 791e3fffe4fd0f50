"""Lists of CPUs, and moving a set of CPUs with those below it; a fake tree refuses what the kernel would."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightervisor.kernel import cgroup, cpuset


@pytest.mark.parametrize(("text", "expected"), [("", set()), ("0-2,5\n", {0, 1, 2, 5}), ("3", {3}), ("x", set())])
def test_lists_are_read(text: str, expected: set[int]) -> None:
    assert cpuset.parse(text) == expected


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cpuset with two levels below it; every write is checked as cgroup v1 does."""

    def put(target: Path, value: str) -> None:
        target, wanted = target.parent.resolve() / target.name, cpuset.parse(value)
        below = [
            cpuset.parse((child / "cpuset.cpus").read_text()) for child in target.parent.iterdir() if child.is_dir()
        ]
        above = target.parent.parent / "cpuset.cpus"
        assert all(child <= wanted for child in below), "a child has more than its parent"
        assert not above.exists() or wanted <= cpuset.parse(above.read_text()), "it has more than its parent"
        target.write_text(value)

    monkeypatch.setattr(cgroup, "put", put)
    for path, cpus in (("c1", "0-3"), ("c1/all", "0-3"), ("c1/all/some", "1-2"), ("c1/last", "3"), ("c1/none", "")):
        (tmp_path / path).mkdir()
        (tmp_path / path / "cpuset.cpus").write_text(cpus)
    return tmp_path / "c1"


def _sets(group: Path) -> dict[str, str]:
    return {file.parent.name: file.read_text() for file in group.rglob("cpuset.cpus")}


def test_children_follow_their_parent(group: Path) -> None:
    cpuset.pin(group, "0-1")
    assert _sets(group) == {"c1": "0,1", "all": "0,1", "some": "1", "last": "0,1", "none": ""}
    cpuset.pin(group, "0-3")
    assert _sets(group) == {"c1": "0,1,2,3", "all": "0,1,2,3", "some": "1", "last": "0,1,2,3", "none": ""}
    cpuset.pin(group, "3")
    assert _sets(group) == {"c1": "3", "all": "3", "some": "3", "last": "3", "none": ""}


def test_isolated_cpus_and_those_of_others_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "devices/system/cpu"
    root.mkdir(parents=True)
    (root / "online").write_text("0-7\n")
    (root / "isolated").write_text("7\n")
    monkeypatch.setattr(cgroup, "directories", lambda _pid: {"cpuset": tmp_path})
    assert cpuset.usable(tmp_path) == set(range(7))
    (tmp_path / "cpuset.effective_cpus").write_text("4-7\n")
    assert cpuset.usable(tmp_path) == {4, 5, 6}
