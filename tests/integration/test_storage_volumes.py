"""Custom volumes: made, listed, changed, attached and deleted, with both clients."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Iterator

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.client_pylxd import Pylxd
from tests.harness.daemon import Daemon

POOL = "default"
URL = f"/1.0/storage-pools/{POOL}/volumes"


@pytest.fixture
def volume(daemon: Daemon, name: str) -> Iterator[str]:
    """The name of a volume that the test makes; what has this name, or it and a number, goes afterwards."""
    chosen = f"v-{name}"
    yield chosen
    # Instances that show it go first.
    for instance in daemon.request("GET", "/1.0/instances?recursion=1").metadata:
        for device, options in instance["devices"].items():
            if options.get("source", "").startswith(chosen):
                devices = {key: value for key, value in instance["devices"].items() if key != device}
                daemon.operation("PUT", f"/1.0/instances/{instance['name']}", {**instance, "devices": devices})
    for one in daemon.request("GET", f"{URL}/custom?recursion=1").metadata:
        if one["name"].startswith(chosen):
            assert daemon.request("DELETE", f"{URL}/custom/{one['name']}").status == 200


@pytest.fixture(params=["overlay", "dir"])
def pool(request: pytest.FixtureRequest, lxc: Lxc, name: str) -> Iterator[str]:
    """A pool of each driver."""
    chosen = f"p-{name}"
    lxc("storage", "create", chosen, request.param).ok()
    yield chosen
    for line in lxc("storage", "volume", "list", chosen, "-f", "csv", "-c", "tn").ok().stdout.splitlines():
        type, _, volume = line.partition(",")
        if type == "custom":
            lxc("storage", "volume", "delete", chosen, volume).ok()
    lxc("storage", "delete", chosen).ok()


def test_the_life_of_a_volume(either: Lxc, lxc: Lxc, volume: str) -> None:
    done = either("storage", "volume", "create", POOL, volume, "user.a=b", "snapshots.expiry=3d").ok()
    assert done.stdout == f"Storage volume {volume} created\n"
    either("storage", "volume", "create", POOL, volume).failed("Error: Volume by that name already exists")
    assert either("storage", "volume", "get", POOL, volume, "user.a").ok().stdout == "b\n"
    either("storage", "volume", "set", POOL, volume, "user.a=c").ok()
    either("storage", "volume", "unset", POOL, volume, "snapshots.expiry").ok()
    shown = either("storage", "volume", "show", POOL, volume).ok().stdout
    assert shown.startswith('config:\n  user.a: c\ndescription: ""\n')
    assert f"name: {volume}\ntype: custom\nused_by: []\nlocation: none\ncontent_type: filesystem\n" in shown
    listed = either("storage", "volume", "list", POOL, "-f", "csv").ok().stdout.splitlines()
    assert f"custom,{volume},,filesystem,0" in listed
    found = json.loads(either("storage", "volume", "list", POOL, "-f", "json").ok().stdout)
    assert [one["config"] for one in found if one["name"] == volume] == [{"user.a": "c"}]
    done = either("storage", "volume", "rename", POOL, volume, f"{volume}-2").ok()
    assert done.stdout == f'Renamed storage volume from "{volume}" to "{volume}-2"\n'
    info = lxc("storage", "volume", "info", POOL, f"{volume}-2").ok().stdout  # the stock one wants snapshots
    assert f"Name: {volume}-2\nType: custom\nContent type: filesystem\n" in info
    done = either("storage", "volume", "delete", POOL, f"{volume}-2").ok()
    assert done.stdout == f"Storage volume {volume}-2 deleted\n"
    either("storage", "volume", "delete", POOL, f"{volume}-2").failed("Error: Storage pool volume not found")


def test_both_clients_print_the_same_table(lxc: Lxc, stock: Lxc, volume: str, running: str) -> None:
    lxc("storage", "volume", "create", POOL, volume).ok()
    words = ("storage", "volume", "list", POOL)
    assert lxc(*words).ok().stdout == stock(*words).ok().stdout
    assert f"container | {running}" in lxc(*words).stdout
    assert lxc(*words, f"name={volume}", "-f", "csv").ok().stdout.count("\n") == 1
    for layout in ("tn", "tndcu", "etndcuL", "tnU"):
        for client in (lxc, stock):
            client(*words, "-c", layout).ok()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["a/b"], "Storage volume names may not contain slashes"),
        (["v", "foo=bar"], 'Invalid option for volume "default_v" option "foo"'),
        (["v", "volatile.x=1"], 'Invalid option for volume "default_v" option "volatile.x"'),
        (["v", "size=abc"], 'Invalid value for volume "default_v" option "size": Invalid value: abc'),
        (["v", "security.shifted=x"], 'option "security.shifted": Invalid value for a boolean "x"'),
        (["v", "--type=block"], "volumes of blocks are for virtual machines"),
        (["v", "--type=bogus"], "Invalid volume content type name"),
        (["n\nn"], "Invalid storage volume name"),
        (["x" * 300], "Invalid storage volume name"),
    ],
)
def test_bad_volumes_leave_nothing(either: Lxc, words: list[str], text: str) -> None:
    before = either("storage", "volume", "list", POOL).stdout
    either("storage", "volume", "create", POOL, *words).failed(text)
    assert either("storage", "volume", "list", POOL).stdout == before


def test_bad_addresses(daemon: Daemon, running: str) -> None:
    assert daemon.request("GET", f"{URL}/bogus").error.startswith("Invalid storage volume type name")
    assert daemon.request("GET", f"{URL}/custom/nosuch").status == 404
    assert daemon.request("POST", f"{URL}/custom", {"name": ""}).error.startswith("No name provided")
    assert "not allowed to create" in daemon.request("POST", URL, {"name": "x", "type": "image"}).error
    text = 'Storage volumes of type "container" cannot be deleted with the storage API'
    assert daemon.request("DELETE", f"{URL}/container/{running}").error.startswith(text)
    assert daemon.request("GET", f"{URL}/container/{running}/state").metadata["usage"]["used"] >= 0


def test_a_volume_is_shared_by_instances_with_maps_of_their_own(
    either: Lxc, lxc: Lxc, pool: str, image: str, name: str
) -> None:
    names = [f"{name}-{n}" for n in range(3)]
    settings = ([], ["-c", "security.idmap.isolated=true"], ["-c", "security.privileged=true"])
    lxc("storage", "volume", "create", pool, "data").ok()
    try:
        for one, words in zip(names, settings, strict=True):
            lxc("launch", image, one, *words).ok()
            either("storage", "volume", "attach", pool, "data", one, "shared", "/srv/data").ok()
            either("storage", "volume", "attach", pool, "data", one, "shared", "/x").failed("Device already exists")
            script = f"echo {one} >/srv/data/{one}; chown 33:44 /srv/data/{one}"
            lxc("exec", one, "--", "sh", "-c", script).ok()
        for again in (False, True):
            for one in names:
                if again:
                    lxc("restart", "--force", one).ok()
                for other in names:
                    seen = lxc.run(one, "stat", "-c", "%u:%g", f"/srv/data/{other}").stdout
                    assert seen == "33:44\n", (one, other)
        used = json.loads(lxc("storage", "volume", "list", pool, "-f", "json").ok().stdout)
        custom = next(volume for volume in used if volume["type"] == "custom")
        assert sorted(custom["used_by"]) == sorted(f"/1.0/instances/{one}" for one in names)
        either("storage", "volume", "delete", pool, "data").failed("The storage volume is still in use")
        either("storage", "volume", "rename", pool, "data", "x").failed("still in use by running instances")
        either("storage", "volume", "detach", pool, "data", names[0]).ok()
        assert lxc.run(names[0], "ls", "-A", "/srv/data").stdout == ""
        either("storage", "volume", "detach", pool, "data", names[0]).failed("No device found for this storage volume")
        lxc("stop", "--force", *names).ok()
        either("storage", "volume", "rename", pool, "data", "other").ok()
        assert lxc("config", "device", "get", names[1], "shared", "source").ok().stdout == "other\n"
        lxc("start", names[1]).ok()
        assert lxc.run(names[1], "cat", f"/srv/data/{names[2]}").stdout == f"{names[2]}\n"
        either("storage", "delete", pool).failed("The storage pool is currently in use")
    finally:
        for one in names:
            lxc("delete", "--force", one)


def test_a_volume_of_a_profile(either: Lxc, lxc: Lxc, daemon: Daemon, running: str, volume: str) -> None:
    lxc("storage", "volume", "create", POOL, volume).ok()
    either("storage", "volume", "attach-profile", POOL, volume, "default", "data", "/mnt").ok()
    try:
        lxc("exec", running, "--", "touch", "/mnt/file").ok()
        used = daemon.request("GET", f"{URL}/custom/{volume}").metadata["used_by"]
        assert set(used) >= {f"/1.0/instances/{running}", "/1.0/profiles/default"}
        either("storage", "volume", "delete", POOL, volume).failed("The storage volume is still in use")
    finally:
        either("storage", "volume", "detach-profile", POOL, volume, "default").ok()
    assert lxc.run(running, "ls", "/mnt/file").status != 0


def test_a_disk_of_no_volume_is_refused(lxc: Lxc, running: str, volume: str) -> None:
    add = ("config", "device", "add", running, "d", "disk", "path=/mnt")
    text = 'Failed add validation for device "d": '
    lxc(*add, f"pool={POOL}", "source=nosuch").failed(f"{text}Failed loading custom volume: Storage volume not found")
    lxc(*add, "pool=nosuch", "source=x").failed(f'{text}Failed to get storage pool "nosuch": Storage pool not found')
    assert lxc("config", "device", "list", running).stdout.strip() == ""
    lxc("storage", "volume", "create", POOL, volume, "security.unmapped=true").ok()
    lxc(*add, f"pool={POOL}", f"source={volume}", "readonly=true").ok()
    assert lxc.run(running, "stat", "-c", "%u", "/mnt").stdout == "65534\n"


def test_what_was_interrupted_is_finished_or_undone(fresh_daemon: Daemon) -> None:
    import sqlite3

    base = fresh_daemon.state / "storage-pools/default/custom"
    for name in ("made", "renamed", "gone"):
        assert fresh_daemon.request("POST", f"{URL}/custom", {"name": name}).status == 200
    fresh_daemon.kill()
    database = sqlite3.connect(fresh_daemon.state / "database/lightervisor.db")
    database.execute("update storage_volumes set state = 'pending' where name = 'gone'")
    database.execute("update storage_volumes set state = 'renaming other' where name = 'renamed'")
    database.commit()
    database.close()
    (base / "default_renamed").rename(base / "default_other")
    fresh_daemon.start()
    names = [one["name"] for one in fresh_daemon.request("GET", f"{URL}/custom?recursion=1").metadata]
    assert names == ["made", "renamed"]
    assert sorted(one.name for one in base.iterdir()) == ["default_made", "default_renamed"]
    for name in names:
        assert fresh_daemon.request("DELETE", f"{URL}/custom/{name}").status == 200


def test_files_that_are_nobodys_do_not_become_a_volume(daemon: Daemon, lxc: Lxc, volume: str) -> None:
    place = daemon.state / "storage-pools" / POOL / "custom" / f"default_{volume}"
    (place / "rootfs").mkdir(parents=True)
    (place / "rootfs/note").write_text("of an older database")
    try:
        lxc("storage", "volume", "create", POOL, volume).failed("that belong to no volume")
        assert (place / "rootfs/note").read_text() == "of an older database"
        assert lxc("storage", "volume", "show", POOL, volume).status != 0
    finally:
        shutil.rmtree(place)
    lxc("storage", "volume", "create", POOL, volume).ok()


def test_pylxd_makes_changes_renames_and_deletes_a_volume(daemon: Daemon, volume: str) -> None:
    pool = Pylxd(daemon.state).client.storage_pools.get(POOL)
    made = pool.volumes.create({"name": volume, "type": "custom", "config": {"user.a": "b"}})
    assert volume in [one.name for one in pool.volumes.all()]
    found = pool.volumes.get("custom", volume)
    assert (found.config, found.content_type, found.used_by) == ({"user.a": "b"}, "filesystem", [])
    found.config["user.a"] = "c"
    found.save()
    assert pool.volumes.get("custom", volume).config == {"user.a": "c"}
    made.rename({"name": f"{volume}-2", "pool": POOL})
    pool.volumes.get("custom", f"{volume}-2").delete()
    assert volume not in str([one.name for one in pool.volumes.all()])
    gc.collect()  # see pytest_collection_modifyitems


def test_a_size_that_cannot_be_kept_is_told_in_the_log(lxc: Lxc, daemon: Daemon, image: str, name: str) -> None:
    told = "storage pool default has no quotas: the size of instance "
    lxc("init", image, name, "-d", "root,size=1GiB").ok()
    assert f"{told}{name} is not kept" in daemon.log.read_text()
    lxc("config", "device", "set", name, "root", "size=2GiB").ok()
    assert daemon.log.read_text().count(f"{told}{name} is not kept") == 2
