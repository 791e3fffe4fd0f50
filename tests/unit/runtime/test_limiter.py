"""CPUs of the host that come and go are shared out again among the containers that run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lightervisor.kernel import cgroup, cpuset
from lightervisor.runtime.limiter import Limiter


class Running:
    """What a limiter sees of a running container, on cgroup v1 ("cpuset") or v2 ("")."""

    ending = False

    def __init__(self, group: Path, cpus: str, limit: str = "", controller: str = "cpuset") -> None:
        group.mkdir()
        self.file = group / "cpuset.cpus"
        self.file.write_text(cpus)
        self.name, self.controller = group.name, controller
        self.config = {"limits.cpu": limit} if limit else {}
        self.cpus = cpuset.parse(cpus) if limit else None

    def payload(self) -> dict[str, Path]:
        return {self.controller: self.file.parent}

    def try_write(self, one: Any) -> bool:
        cgroup.put(self.file, one.files[3])
        return True

    @property
    def has(self) -> str:
        return self.file.read_text()


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The CPUs that are online."""
    cpus = {0, 1}
    monkeypatch.setattr(cpuset, "usable", lambda: set(cpus))
    return cpus


def limiter(*containers: Running) -> Limiter:
    anything: Any = {one.name: one for one in containers}
    return Limiter(anything, anything)


@pytest.mark.parametrize("controller", ["cpuset", ""])
def test_those_with_a_number_of_cpus_share_them_again(tmp_path: Path, online: set[int], controller: str) -> None:
    first, second = (Running(tmp_path / name, cpus, "1", controller) for name, cpus in (("c1", "0"), ("c2", "1")))
    containers = limiter(first, second)
    online.discard(1)
    containers.host_has_other_cpus()
    assert (first.has, second.has) == ("0", "0")
    online.update({1, 2})
    containers.host_has_other_cpus()
    assert (first.has, second.has) == ("0", "1")


def test_those_without_a_limit_get_back_what_the_kernel_took(tmp_path: Path, online: set[int]) -> None:
    """Of v1 only: on v2 such a cgroup follows the one above it."""
    old, new = Running(tmp_path / "v1", "0"), Running(tmp_path / "v2", "", controller="")
    limiter(old, new).host_has_other_cpus()
    assert (old.has, new.has) == ("0,1", "")
