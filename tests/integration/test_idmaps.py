"""Id maps as they are seen inside: isolated, with holes, privileged, and changed between starts."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.kernel.idmap import SMALLEST, host_ranges
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon

SHARED = host_ranges().host_root
ISOLATED = ("-c", "security.idmap.isolated=true")


@pytest.fixture(params=["lxc", "stock-lxc"])
def lxc(request: pytest.FixtureRequest, lxc: Lxc) -> Lxc:
    """Each `lxc` program in turn."""
    return lxc if request.param == "lxc" else request.getfixturevalue("stock")


@pytest.fixture
def pair(lxc: Lxc, image: str, name: str) -> Iterator[tuple[str, str]]:
    """Two isolated instances that run."""
    names = f"{name}-a", f"{name}-b"
    for one in names:
        lxc("launch", image, one, *ISOLATED).ok()
    yield names
    for one in names:
        lxc("delete", "--force", one).ok()


@pytest.fixture
def instance(lxc: Lxc, image: str, name: str) -> str:
    """One that does not run."""
    lxc("init", image, name).ok()
    return name


def uid_map(lxc: Lxc, name: str, kind: str = "uid") -> list[list[int]]:
    text = lxc.run(name, "cat", f"/proc/self/{kind}_map").stdout
    return [[int(word) for word in line.split()] for line in text.splitlines()]


def volatile(lxc: Lxc, name: str, key: str) -> str:
    return lxc.config(name).get(f"volatile.{key}", "")


def test_isolated_maps_do_not_overlap(lxc: Lxc, pair: tuple[str, str]) -> None:
    (first,), (second,) = (uid_map(lxc, one) for one in pair)
    assert first[0] == second[0] == 0
    assert first[2] == second[2] == SMALLEST
    assert first[1] >= SHARED + SMALLEST
    assert abs(first[1] - second[1]) >= SMALLEST
    assert volatile(lxc, pair[0], "idmap.base") == str(first[1])
    for key in ("current", "next"):
        wanted = [
            {"Isuid": kind == "uid", "Isgid": kind == "gid", "Hostid": first[1], "Nsid": 0, "Maprange": SMALLEST}
            for kind in ("uid", "gid")
        ]
        assert json.loads(volatile(lxc, pair[0], f"idmap.{key}")) == wanted
    assert volatile(lxc, pair[0], "last_state.idmap") == "[]"


def test_an_isolated_instance_keeps_its_range(lxc: Lxc, pair: tuple[str, str]) -> None:
    before = uid_map(lxc, pair[1])
    lxc("stop", "--force", pair[0]).ok()
    lxc("restart", "--force", pair[1]).ok()
    assert uid_map(lxc, pair[1]) == before
    lxc("config", "set", pair[1], "user.other", "x").ok()
    lxc("restart", "--force", pair[1]).ok()
    assert uid_map(lxc, pair[1]) == before


def test_what_runs_on_a_range_keeps_it_from_others(lxc: Lxc, pair: tuple[str, str]) -> None:
    mine = uid_map(lxc, pair[0])[0][1]
    lxc("config", "set", pair[0], "security.idmap.isolated=false").ok()
    assert volatile(lxc, pair[0], "idmap.base") == "0"
    done = lxc("config", "set", pair[1], f"security.idmap.base={mine}")
    done.failed(f"The host ids {mine}-{mine + SMALLEST - 1} of security.idmap.base belong to the instance {pair[0]}")
    lxc("restart", "--force", pair[0]).ok()
    assert uid_map(lxc, pair[0])[0][1] == SHARED
    lxc("config", "set", pair[1], f"security.idmap.base={mine}").ok()
    lxc("restart", "--force", pair[1]).ok()
    assert uid_map(lxc, pair[1])[0][1] == mine


def test_a_base_that_others_have_is_refused(lxc: Lxc, pair: tuple[str, str], image: str, name: str) -> None:
    other = int(volatile(lxc, pair[1], "idmap.base"))
    for base in (other, other - 1, other + SMALLEST - 1):
        assert lxc("config", "set", pair[0], f"security.idmap.base={base}").status != 0
    assert "security.idmap.base" not in lxc.config(pair[0])
    done = lxc("config", "set", pair[0], f"security.idmap.base={SHARED}")
    done.failed(f"The host ids {SHARED}-{SHARED + SMALLEST - 1} of security.idmap.base are shared")
    done = lxc("config", "set", pair[0], "security.idmap.base=0")
    done.failed("The host ids 0-65535 of security.idmap.base belong to the host itself")
    done = lxc("init", image, f"{name}-c", *ISOLATED, "-c", f"security.idmap.base={other}")
    done.failed(f"belong to the instance {pair[1]}")
    assert f"{name}-c" not in lxc.statuses()


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("security.idmap.size", "x", 'Invalid config: Invalid value for uint32 "x"'),
        ("security.idmap.size", "0", "must be a number between 1"),
        ("security.idmap.size", "4294967296", "must be a number between 1"),
        ("security.idmap.size", "4294967294", "Not enough uid/gid available for the container"),
        ("security.idmap.base", "-1", "must be a number between 0"),
        ("security.idmap.base", "4294967294", "are more than there are"),
        ("raw.idmap", "both 1", 'Invalid ID map line "both 1"'),
        ("raw.idmap", "both 0 0", "0 is root of the host"),
        ("raw.idmap", f"both {SHARED} 5", "Host ID is in the range of subids"),
        ("raw.idmap", f"both {SHARED + SMALLEST} 5", "Host ID is in the range of subids"),
    ],
)
def test_bad_maps_change_nothing(lxc: Lxc, instance: str, key: str, value: str, text: str) -> None:
    lxc("config", "set", instance, "security.idmap.isolated=true").ok()
    before = lxc.config(instance)
    lxc("config", "set", instance, f"{key}={value}").failed(text)
    assert lxc.config(instance) == before


def test_instances_made_at_once_get_maps_of_their_own(lxc: Lxc, daemon: Daemon, image: str, name: str) -> None:
    body = {"source": {"type": "image", "alias": image}, "config": {"security.idmap.isolated": "true"}}
    started = [daemon.request("POST", "/1.0/instances", {**body, "name": f"{name}-{n}"}) for n in range(12)]
    for answer in started:
        finished = daemon.request("GET", f"{answer.envelope['operation']}/wait").metadata
        assert finished["status"] == "Success", finished
    bases = sorted(int(volatile(lxc, f"{name}-{n}", "idmap.base")) for n in range(12))
    assert all(after - before >= SMALLEST for before, after in itertools.pairwise(bases))


def test_a_size_of_its_own(lxc: Lxc, instance: str) -> None:
    lxc("config", "set", instance, "security.idmap.isolated=true", "security.idmap.size=200000").ok()
    lxc("start", instance).ok()
    ((guest, host, count),) = uid_map(lxc, instance)
    assert (guest, count) == (0, 200000)
    assert host >= SHARED + SMALLEST


def other_ids() -> int:
    """A host id that root may use but that is in no instance's map."""
    for line in Path("/etc/subuid").read_text().splitlines():
        user, start, count = line.split(":")
        if user in ("root", "0") and int(start) > 0 and line in Path("/etc/subgid").read_text() and int(count) >= 10:
            shared = host_ranges().ranges[0]
            if int(start) >= shared.host + shared.count or int(start) + 10 <= shared.host:
                return int(start)
    pytest.skip("/etc/subuid gives root one range only")


def test_ids_of_the_host_show_through_raw_idmap(lxc: Lxc, daemon: Daemon, instance: str, name: str) -> None:
    host = other_ids()
    shared = daemon.state / f"raw-{name}"
    shared.mkdir()
    try:
        (shared / "mine").touch()
        for place in (shared, shared / "mine"):
            place.chmod(0o755 if place.is_dir() else 0o600)
            os.chown(place, host, host + 1)
        lxc("config", "set", instance, "raw.idmap", f"uid {host} 1000\ngid {host + 1}-{host + 2} 1000-1001").ok()
        lxc("config", "device", "add", instance, "d", "disk", f"source={shared}", "path=/mnt").ok()
        lxc("start", instance).ok()
        assert [1000, host, 1] in uid_map(lxc, instance)
        assert [1000, host + 1, 2] in uid_map(lxc, instance, "gid")
        assert lxc.run(instance, "stat", "-c", "%u:%g", "/mnt/mine").stdout == "1000:1000\n"
        lxc("exec", instance, "--user=1000", "--group=1000", "--", "sh", "-c", "echo ours >/mnt/mine").ok()
        assert (shared / "mine").read_text() == "ours\n"
        lxc("file", "push", "--uid=1000", "--gid=1000", "/dev/stdin", f"{instance}/root/file", stdin="x").ok()
        lxc("config", "unset", instance, "raw.idmap").ok()
        lxc("restart", "--force", instance).ok()
        # On disk owners are those inside, whatever map the file was written with.
        assert lxc.run(instance, "stat", "-c", "%u:%g", "/root/file").stdout == "1000:1000\n"
        assert lxc.run(instance, "stat", "-c", "%u", "/mnt/mine").stdout != "1000\n"
    finally:
        lxc("stop", "--force", instance)
        (shared / "mine").unlink()
        shared.rmdir()


def test_ids_that_root_may_not_use_are_told_with_the_line_to_add(lxc: Lxc, instance: str) -> None:
    lxc("config", "set", instance, "raw.idmap", "both 54321 1000").ok()
    done = lxc("start", instance)
    done.failed("/etc/subgid and /etc/subuid do not give root all host ids of it")
    assert "echo root:54321:1 | tee -a /etc/subuid /etc/subgid" in done.stderr
    assert lxc.statuses()[instance] == "Stopped"


@pytest.mark.parametrize("driver", ["overlay", "dir"])
def test_maps_change_between_starts(lxc: Lxc, daemon: Daemon, image: str, name: str, driver: str) -> None:
    pool = f"{name}-{driver}"
    lxc("storage", "create", pool, driver).ok()
    try:
        lxc("launch", image, name, "--storage", pool).ok()
        lxc("exec", name, "--", "sh", "-c", "echo one >/root/file; chown 33:44 /root/file").ok()
        for settings, base in (
            (("security.idmap.isolated=true",), None),
            (("security.privileged=true",), 0),
            (("security.privileged=false", "security.idmap.isolated=false"), SHARED),
        ):
            lxc("config", "set", name, *settings).ok()
            lxc("restart", "--force", name).ok()
            found = uid_map(lxc, name)[0]
            assert base is None or found[1] == base
            assert lxc.run(name, "stat", "-c", "%u:%g", "/root/file").stdout == "33:44\n"
            assert lxc.run(name, "sh", "-c", "echo more >>/root/file").status == 0
            wanted = volatile(lxc, name, "idmap.current")
            assert wanted == volatile(lxc, name, "idmap.next")
            assert (wanted == "[]") == (base == 0)
    finally:
        lxc("delete", "--force", name)
        lxc("storage", "delete", pool).ok()
