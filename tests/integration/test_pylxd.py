"""Keys, devices, limits and profiles as pylxd's objects change them; what the programs do is tested beside theirs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from lightervisor.kernel import cgroup
from tests.harness.client_lxc import Lxc
from tests.harness.client_pylxd import Pylxd
from tests.harness.daemon import Daemon


@pytest.fixture
def pylxd(daemon: Daemon) -> Iterator[Any]:
    yield Pylxd(daemon.state).client
    gc.collect()  # it leaves its sockets to the garbage collector


def test_pylxd_plugs_and_unplugs_devices(pylxd: Any, lxc: Lxc, daemon: Daemon, running: str) -> None:
    folder = daemon.state / f"shared-{running}"
    folder.mkdir()
    (folder / "note").write_text("of the host\n")
    instance = pylxd.instances.get(running)
    instance.devices["d"] = {"type": "disk", "source": str(folder), "path": "/mnt", "readonly": "true"}
    instance.devices["nil"] = {"type": "unix-char", "source": "/dev/null", "path": "/dev/nil"}
    instance.save(wait=True)
    assert lxc.run(running, "cat", "/mnt/note").stdout == "of the host\n"
    assert lxc.run(running, "sh", "-c", "echo x >/mnt/note").status != 0
    assert lxc.run(running, "stat", "-c", "%t:%T", "/dev/nil").stdout == "1:3\n"
    instance.sync()
    assert set(instance.devices) == {"d", "nil"} and "root" in instance.expanded_devices
    del instance.devices["d"]
    instance.devices["eth0"] = {"type": "none"}
    instance.save(wait=True)
    assert lxc.run(running, "ls", "/mnt").stdout == ""
    assert lxc.run(running, "ip", "link", "show", "eth0").status != 0
    (folder / "note").unlink()
    folder.rmdir()


def test_pylxd_hears_why_a_device_is_refused(pylxd: Any, running: str) -> None:
    instance = pylxd.instances.get(running)
    instance.devices["bad"] = {"type": "disk", "source": "/nosuch", "path": "/mnt"}
    with pytest.raises(Exception, match="Missing source path"):
        instance.save(wait=True)
    assert "bad" not in pylxd.instances.get(running).devices


def test_pylxd_changes_limits_and_takes_them_back(pylxd: Any, running: str) -> None:
    instance = pylxd.instances.get(running)
    instance.config |= {"limits.memory": "96MiB", "limits.cpu": "1", "limits.processes": "200"}
    instance.save(wait=True)
    said = instance.execute(["sh", "-c", "grep MemTotal /proc/meminfo; nproc"]).stdout.split()
    assert said[1] == str(96 * 1024) and said[-1] == "1"
    groups = cgroup.payload(instance.state().pid, running)
    processes = groups.get("pids", groups.get("")) / "pids.max"  # type: ignore[operator]
    assert processes.read_text() == "200\n"
    for key in ("limits.memory", "limits.cpu", "limits.processes"):
        del instance.config[key]
    instance.save(wait=True)
    assert processes.read_text() == "max\n"


def test_pylxd_changes_a_profile_for_all_its_users(pylxd: Any, running: str, name: str) -> None:
    profile = pylxd.profiles.create(f"p-{name}", config={"environment.WHO": "one"}, devices={})
    try:
        instance = pylxd.instances.get(running)
        instance.profiles = ["default", profile.name]
        instance.save(wait=True)
        assert instance.execute(["sh", "-c", "echo $WHO"]).stdout == "one\n"
        profile = pylxd.profiles.get(profile.name)
        assert profile.used_by == [f"/1.0/instances/{running}"]
        profile.config["environment.WHO"] = "two"
        profile.devices["nil"] = {"type": "unix-char", "source": "/dev/null", "path": "/dev/nil"}
        profile.save(wait=True)
        assert instance.execute(["sh", "-c", "echo $WHO; stat -c %t:%T /dev/nil"]).stdout == "two\n1:3\n"
        profile.config["limits.memori"] = "1GiB"
        with pytest.raises(Exception, match=r"Unknown configuration key: limits\.memori"):
            profile.save(wait=True)
        instance.profiles = ["default"]
        instance.save(wait=True)
        assert instance.execute(["test", "-c", "/dev/nil"]).exit_code != 0
    finally:
        pylxd.instances.get(running).put({"profiles": ["default"], "config": {}}, wait=True)
        pylxd.profiles.get(f"p-{name}").delete()
