"""Limits become files of cgroups on v1, v2 and hosts with both; fake trees stand for the kernel's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from lightervisor.errors import HostError
from lightervisor.kernel import cgroup
from lightervisor.kernel.cgroup import Offered
from lightervisor.runtime.limiter import Limiter, Wanted
from lightervisor.runtime.running import Running
from lightervisor.runtime.settings import cpu, limits
from lightervisor.runtime.spec import HostFacts, Throttle

V1 = {
    "memory": ("limit_in_bytes", "soft_limit_in_bytes", "memsw.limit_in_bytes", "swappiness"),
    "cpu": ("shares", "cfs_quota_us", "cfs_period_us"),
    "cpuset": ("cpus",),
    "pids": ("max",),
    "blkio": (
        "bfq.weight", "throttle.read_bps_device", "throttle.write_bps_device", "throttle.read_iops_device",
        "throttle.write_iops_device",
    ),
}  # fmt: skip
V2 = (
    "memory.max", "memory.high", "memory.swap.max", "cpu.max", "cpu.weight", "cpuset.cpus", "pids.max", "io.weight",
    "io.max", "hugetlb.2MB.max", "hugetlb.1GB.max",
)  # fmt: skip
UNLIMITED = "9223372036854771712"


class Tree(Running):
    """A container whose cgroups are directories of a test."""

    def __init__(self, folder: Path, version: int, without: str = "") -> None:
        super().__init__("c1", 0, -1, 0, -1, [])
        names = [(c, f"{c}.{name}") for c, files in V1.items() for name in files] if version == 1 else []
        names = names or [("", name) for name in V2]
        self.paths = {controller: folder / (controller or "unified") for controller, _ in names}
        for controller, name in names:
            if name != without:
                self.paths[controller].mkdir(exist_ok=True)
                (self.paths[controller] / name).touch()
        files = frozenset(name for _, name in names if name != without)
        controllers = frozenset() if version == 1 else frozenset(name.partition(".")[0] for name in files)
        offered = Offered(files, controllers) if version == 1 else Offered(frozenset(), controllers, files)
        self.host = HostFacts(has_apparmor=False, lxcfs=None, cpu_count=4, memory_bytes=1 << 30, cgroups=offered)
        self.config = {}

    def payload(self) -> dict[str, Path]:
        """The directories, by controller."""
        return self.paths

    def apply(self, config: Mapping[str, str], *throttles: Throttle) -> dict[str, str]:
        """Make it follow these limits; the files that have something in them."""
        Limiter({"c1": self}, self.host).apply(self, Wanted(config, throttles))
        return self.files()

    def files(self) -> dict[str, str]:
        """What stands in the files of the tree."""
        found = {file.name: file.read_text() for path in self.paths.values() for file in path.iterdir()}
        return {name: text for name, text in found.items() if text}


@pytest.fixture(autouse=True)
def _four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightervisor.kernel.cpuset.usable", lambda: {0, 1, 2, 3})


MIB = 1 << 20


@pytest.mark.parametrize(
    ("config", "v1", "v2"),
    [
        (
            {"limits.memory": "64MiB"},
            {"memory.limit_in_bytes": 64 * MIB, "memory.memsw.limit_in_bytes": 64 * MIB,
             "memory.soft_limit_in_bytes": 64 * MIB * 9 // 10},
            {"memory.max": 64 * MIB, "memory.swap.max": 64 * MIB, "memory.high": "max"},
        ),
        (
            {"limits.memory": "25%", "limits.memory.enforce": "soft"},
            {"memory.limit_in_bytes": UNLIMITED, "memory.soft_limit_in_bytes": 256 * MIB},
            {"memory.max": "max", "memory.high": 256 * MIB, "memory.swap.max": "max"},
        ),
        (
            {"limits.memory": "64MiB", "limits.memory.swap": "false"},
            {"memory.limit_in_bytes": 64 * MIB, "memory.memsw.limit_in_bytes": UNLIMITED, "memory.swappiness": 0},
            {"memory.max": 64 * MIB, "memory.swap.max": 0},
        ),
        ({"limits.memory.swap.priority": "3"}, {"memory.swappiness": 67}, {}),
        (
            {"limits.cpu.allowance": "25ms/100ms", "limits.cpu.priority": "3"},
            {"cpu.cfs_quota_us": 25000, "cpu.cfs_period_us": 100000, "cpu.shares": 1017},
            {"cpu.max": "25000 100000", "cpu.weight": 93},
        ),
        (
            {"limits.cpu.allowance": "50%"},
            {"cpu.cfs_quota_us": -1, "cpu.shares": 512},
            {"cpu.max": "max 100000", "cpu.weight": 50},
        ),
        ({"limits.cpu": "2"}, {"cpuset.cpus": "0,1"}, {"cpuset.cpus": "0,1"}),
        ({"limits.cpu": "1-2"}, {"cpuset.cpus": "1,2"}, {"cpuset.cpus": "1,2"}),
        ({"limits.processes": "100"}, {"pids.max": 100}, {"pids.max": 100}),
        ({"limits.processes": "-1"}, {"pids.max": "max"}, {"pids.max": "max"}),
        ({"limits.disk.priority": "3"}, {"blkio.bfq.weight": 300}, {"io.weight": 300}),
        ({"limits.disk.priority": "0"}, {"blkio.bfq.weight": 10}, {"io.weight": 10}),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)  # fmt: skip
def test_each_limit_and_its_end(
    tmp_path: Path, config: dict[str, str], v1: dict[str, object], v2: dict[str, object]
) -> None:
    for version, expected in ((1, v1), (2, v2)):
        (tmp_path / str(version)).mkdir()
        tree = Tree(tmp_path / str(version), version)
        found = tree.apply(config)
        assert {name: found.get(name) for name in expected} == {name: str(value) for name, value in expected.items()}
        for name, text in tree.apply({}).items():
            assert text in (UNLIMITED, "max", "-1", "max 100000", "1024", "100", "60", "0,1,2,3", "100000"), name


def test_huge_pages_on_v2(tmp_path: Path) -> None:
    tree = Tree(tmp_path, 2)
    assert tree.apply({"limits.hugepages.2MB": "4MiB"})["hugetlb.2MB.max"] == str(4 * MIB)
    assert tree.apply({})["hugetlb.2MB.max"] == "max"
    with pytest.raises(HostError, match="missing in this host's cgroups"):
        tree.apply({"limits.hugepages.64KB": "4MiB"})


def test_disks_on_both(tmp_path: Path) -> None:
    throttle = Throttle("254:0", read_bytes=1000, write_requests=7)
    for version, read, lifted in (
        (1, {"blkio.throttle.read_bps_device": "254:0 1000", "blkio.throttle.write_iops_device": "254:0 7"}, "254:0 0"),
        (2, {"io.max": "254:0 rbps=1000 wbps=max riops=max wiops=7"}, "254:0 rbps=max wbps=max riops=max wiops=max"),
    ):
        (tmp_path / str(version)).mkdir()
        tree = Tree(tmp_path / str(version), version)
        found = tree.apply({}, throttle)
        assert {name: found[name] for name in read} == read
        assert all(tree.apply({})[name] == lifted for name in read)


def test_a_limit_that_the_host_cannot_follow_is_refused_and_the_others_are_put_back(tmp_path: Path) -> None:
    tree = Tree(tmp_path, 1, without="blkio.bfq.weight")
    before = tree.apply({"limits.memory": "64MiB"})
    with pytest.raises(HostError, match=r"blkio\.weight is missing in this host's cgroups"):
        tree.apply({"limits.memory": "32MiB", "limits.disk.priority": "1"})
    after = tree.files()
    assert {name: after[name] for name in before} == before
    assert tree.config == {"limits.memory": "64MiB"}


def test_what_only_goes_with_a_limit_may_be_missing(tmp_path: Path) -> None:
    tree = Tree(tmp_path, 1, without="memory.memsw.limit_in_bytes")
    assert tree.apply({"limits.memory": "64MiB"})["memory.limit_in_bytes"] == str(64 * MIB)


def test_lines_for_a_start_have_what_the_host_offers(tmp_path: Path) -> None:
    config = {"limits.memory": "64MiB", "limits.processes": "5", "limits.hugepages.2MB": "4MiB"}
    for version, prefix in ((1, "lxc.cgroup."), (2, "lxc.cgroup2.")):
        (tmp_path / str(version)).mkdir()
        lines = dict(limits.lines(config, Tree(tmp_path / str(version), version).host, {0, 2}))
        assert lines[f"{prefix}pids.max"] == "5"
        assert lines[f"{prefix}cpuset.cpus"] == "0,2"
        assert (f"{prefix}hugetlb.2MB.max" in lines) == (version == 2)


def test_a_hybrid_host_has_each_controller_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "pids").mkdir()
    (tmp_path / "unified").mkdir()
    groups = {"pids": tmp_path / "pids", "": tmp_path / "unified"}
    for name in ("pids.max", "memory.max"):
        for path in groups.values():
            (path / name).touch()
    cgroup.write(groups, ("pids.max", "pids.max", "5", "6"))
    cgroup.write(groups, ("memory.limit_in_bytes", "memory.max", "1", "2"))
    assert (tmp_path / "pids/pids.max").read_text() == "5"
    assert (tmp_path / "unified/memory.max").read_text() == "2"
    assert (tmp_path / "unified/pids.max").read_text() == ""


@pytest.mark.parametrize(
    ("wanted", "shares"),
    [
        ({"a": "1", "b": "1", "c": "1", "d": "1"}, {"a": {0}, "b": {1}, "c": {2}, "d": {3}}),
        ({"a": "0-1", "b": "2"}, {"a": {0, 1}, "b": {2, 3}}),
        ({"a": "3", "b": "2", "c": "1"}, {"a": {0, 1, 2}, "b": {0, 3}, "c": {1}}),
        ({"a": "0", "b": "99"}, {"a": {0, 1, 2, 3}, "b": {0, 1, 2, 3}}),
        ({"a": "3-9", "b": "7"}, {"a": {3}, "b": {0, 1, 2, 3}}),
        ({"a": "7-9"}, {"a": {0, 1, 2, 3}}),
    ],
)
def test_a_number_of_cpus_gets_those_that_fewest_others_have(
    wanted: dict[str, str], shares: dict[str, set[int]]
) -> None:
    assert cpu.share_out(wanted, range(4)) == shares
