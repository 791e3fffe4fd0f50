"""Instances as files, and back: what is in a backup, what comes back of it, and what the server keeps."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness import leaks
from tests.harness.client_lxc import Lxc
from tests.harness.client_pylxd import Pylxd
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually


def path(name: str, *more: str) -> str:
    return "/".join([f"/1.0/instances/{name}/backups", *more])


def post(daemon: Daemon, instance: str, **fields: object) -> dict[str, Any]:
    return daemon.operation("POST", path(instance), fields)


@pytest.fixture
def clean(daemon: Daemon) -> Iterator[None]:
    """Nothing is left of backups afterwards."""
    yield
    assert list((daemon.state / "backups/.incoming").iterdir()) == []
    for pool in (daemon.state / "storage-pools").iterdir():
        folders = [
            one for one in (pool / "containers-snapshots").iterdir() if any(" " in s.name for s in one.iterdir())
        ]
        assert folders == []


def prepared(lxc: Lxc, image: str, name: str, pool: str) -> None:
    """A running instance with a snapshot, whose files have something that is hard to keep."""
    lxc("launch", image, name, "--storage", pool, "-c", "user.note=one").ok()
    script = "cd /root; echo one >mark; chown 7:8 mark; chmod 4711 mark; ln mark link; mkfifo pipe; ln -s /etc/x sym"
    lxc.run(name, "sh", "-c", script)
    lxc("snapshot", name, "s1").ok()
    lxc("config", "set", name, "user.note=two").ok()
    lxc.run(name, "sh", "-c", "echo two >/root/mark; chmod 4711 /root/mark; rm /etc/group")
    lxc.run(name, "sh", "-c", "dd if=/dev/zero of=/root/hole bs=1 seek=50M count=1 2>/dev/null")


def look(lxc: Lxc, name: str) -> str:
    return lxc.run(
        name, "sh", "-c", "cd /root; cat link; stat -c %u:%g:%a:%h mark; test -p pipe && readlink sym"
    ).stdout


def index_of(file: Path) -> dict[str, Any]:
    """The index, which has to be the first member."""
    with tarfile.open(file) as archive:
        first = archive.next()
        assert first is not None
        assert first.name == "backup/index.yaml"
        member = archive.extractfile(first)
        assert member is not None
        return yaml.safe_load(member)


def names_in(file: Path) -> list[str]:
    with tarfile.open(file) as archive:
        return archive.getnames()


@pytest.mark.parametrize("runs", [True, False])
def test_an_instance_goes_out_and_comes_back(
    either: Lxc, lxc: Lxc, daemon: Daemon, image: str, name: str, pool: str, runs: bool, clean: None, tmp_path: Path
) -> None:
    prepared(lxc, image, name, pool)
    if not runs:
        lxc("stop", name, "--force").ok()
    file = tmp_path / "backup.tar.gz"
    assert either("export", name, file).ok().stdout.endswith("Backup exported successfully!\n")
    assert lxc("list", name, "-f", "csv", "-c", "s").ok().stdout == ("RUNNING\n" if runs else "STOPPED\n")
    assert daemon.request("GET", path(name)).metadata == []
    index = index_of(file)
    assert (index["name"], index["pool"], index["snapshots"], index["optimized"]) == (name, pool, ["s1"], False)
    if runs:
        lxc("stop", name, "--force").ok()
    lxc("delete", name).ok()
    either("import", file).ok()
    config = daemon.request("GET", f"/1.0/instances/{name}").metadata
    assert (config["status"], config["config"]["user.note"], config["profiles"]) == ("Stopped", "two", ["default"])
    assert config["expanded_devices"]["root"]["pool"] == pool
    lxc("start", name).ok()
    assert look(lxc, name) == "two\n7:8:4711:2\n/etc/x\n"
    assert lxc.run(name, "sh", "-c", "test -e /etc/group || stat -c %s /root/hole").stdout == "52428801\n"
    lxc("restore", name, "s1").ok()
    assert look(lxc, name) == "one\n7:8:4711:2\n/etc/x\n"
    assert daemon.request("GET", f"/1.0/instances/{name}").metadata["config"]["user.note"] == "one"


def test_a_hole_stays_one(
    lxc: Lxc, image: str, name: str, pool: str, clean: None, tmp_path: Path, daemon: Daemon
) -> None:
    prepared(lxc, image, name, pool)
    file = tmp_path / "b.tar"
    lxc("export", name, file, "--compression", "none", "--instance-only").ok()
    assert file.stat().st_size < 20 << 20
    lxc("import", file, f"{name}-2").ok()
    root = daemon.state / f"storage-pools/{pool}"
    found = [path for path in root.rglob("root/hole") if f"{name}-2" in str(path) or "layers" in str(path)]
    assert found
    assert all(one.stat().st_blocks < 1000 for one in found)


@pytest.mark.parametrize("algorithm", ["none", "bzip2", "lz4", "xz -0", "zstd -3", "gzip -9", "lzma -0"])
def test_every_compression_comes_back(
    lxc: Lxc, daemon: Daemon, image: str, name: str, algorithm: str, clean: None, tmp_path: Path
) -> None:
    lxc("init", image, name).ok()
    lxc("export", name, tmp_path / "b", "--compression", algorithm).ok()
    lxc("import", tmp_path / "b", f"{name}-2").ok()
    lxc("start", f"{name}-2").ok()


def test_a_copy_beside_its_origin_has_an_identity_of_its_own(
    lxc: Lxc, daemon: Daemon, image: str, name: str, clean: None, tmp_path: Path
) -> None:
    prepared(lxc, image, name, "default")
    lxc("export", name, tmp_path / "b").ok()
    refused = lxc("import", tmp_path / "b")
    assert refused.status == 1
    assert "Cannot restore volume, already exists on target" in refused.stderr
    lxc("import", tmp_path / "b", f"{name}-2").ok()
    lxc("start", f"{name}-2").ok()
    lxc("restore", f"{name}-2", "s1").ok()
    configs = [daemon.request("GET", f"/1.0/instances/{one}").metadata["config"] for one in (name, f"{name}-2")]
    for key in ("volatile.uuid", "volatile.eth0.hwaddr"):
        assert configs[0][key] != configs[1][key]


def test_what_comes_in_can_be_put_elsewhere(
    lxc: Lxc, daemon: Daemon, image: str, name: str, pool: str, clean: None, tmp_path: Path
) -> None:
    prepared(lxc, image, name, "default")
    lxc("export", name, tmp_path / "b").ok()
    lxc(
        "import",
        tmp_path / "b",
        f"{name}-2",
        "-s",
        pool,
        "-d",
        "eth0,name=lan",
        "-d",
        "tmp,type=disk,source=tmpfs:,path=/t",
    ).ok()
    found = daemon.request("GET", f"/1.0/instances/{name}-2").metadata
    assert found["devices"]["root"]["pool"] == pool
    assert found["devices"]["eth0"]["name"] == "lan"
    assert found["devices"]["tmp"]["path"] == "/t"
    lxc("start", f"{name}-2").ok()
    assert "lan" in lxc.run(f"{name}-2", "ls", "/sys/class/net").stdout
    lxc("restore", f"{name}-2", "s1").ok()
    assert look(lxc, f"{name}-2").startswith("one\n")
    missing = lxc("import", tmp_path / "b", f"{name}-3", "-s", "nowhere")
    assert "Storage pool not found" in missing.stderr


def test_snapshots_are_left_out_when_asked(lxc: Lxc, image: str, name: str, clean: None, tmp_path: Path) -> None:
    prepared(lxc, image, name, "default")
    lxc("export", name, tmp_path / "b", "--instance-only", "--optimized-storage").ok()
    assert index_of(tmp_path / "b")["snapshots"] == []
    assert not [one for one in names_in(tmp_path / "b") if one.startswith("backup/snapshots")]


def test_imported_snapshots_share_what_is_the_same(
    lxc: Lxc, daemon: Daemon, image: str, name: str, clean: None, tmp_path: Path
) -> None:
    """Dates and sizes say nothing: `mark` has the same ones each time."""
    lxc("launch", image, name).ok()
    lxc.run(name, "sh", "-c", "head -c 10000000 /dev/urandom >/root/large; echo 0 >/root/mark; touch -d @9 /root/mark")
    for number in range(1, 5):
        lxc("snapshot", name, f"s{number}").ok()
        lxc.run(name, "sh", "-c", f"echo {number} >/root/mark; touch -d @9 /root/mark; echo x >/root/new{number}")
    lxc("stop", name, "--force").ok()
    lxc("export", name, tmp_path / "backup").ok()
    lxc("delete", name).ok()
    pool = daemon.state / "storage-pools/default"
    eventually(lambda: list((pool / "trash").iterdir()) == [], what="the trash to be emptied")
    before = taken_by(pool)
    lxc("import", tmp_path / "backup").ok()
    eventually(lambda: list((pool / "trash").iterdir()) == [], what="the trash to be emptied")
    assert taken_by(pool) - before < 18_000_000  # one of five takes 12 MB
    for number in (4, 1, 3):
        lxc("restore", name, f"s{number}").ok()
        lxc("start", name).ok()
        said = lxc.run(name, "sh", "-c", "cat /root/mark; ls /root | grep -c new").stdout
        assert said == f"{number - 1}\n{number - 1}\n"
        lxc("stop", name, "--force").ok()


def taken_by(directory: Path) -> int:
    """Bytes of a directory."""
    words = ["du", "-sx", "--block-size=1", directory]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[0])


def test_files_go_through_pipes(lxc: Lxc, daemon: Daemon, image: str, name: str, clean: None) -> None:
    lxc("init", image, name).ok()
    words = [str(lxc.program), "export", name, "-"]
    packed = subprocess.run(words, env={**os.environ, **daemon.env}, capture_output=True, check=True).stdout
    words = [str(lxc.program), "import", "-", f"{name}-2"]
    subprocess.run(words, env={**os.environ, **daemon.env}, input=packed, capture_output=True, check=True)
    assert f"{name}-2" in daemon.instance_names()


def test_a_pipe_that_nobody_reads_any_more_is_no_error_of_the_server(
    lxc: Lxc, daemon: Daemon, image: str, name: str, clean: None
) -> None:
    lxc("init", image, name).ok()
    words = [str(lxc.program), "export", name, "-", "--compression", "none"]
    environ = {**os.environ, **daemon.env}
    with subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as done:
        assert done.stdout
        assert done.stderr
        assert done.stdout.read(10)
        done.stdout.close()
        assert b"Error" not in done.stderr.read()
    assert done.returncode == 141
    incoming = daemon.state / "backups/.incoming"
    eventually(lambda: not list(incoming.iterdir()), what="the server to notice")


def test_the_server_keeps_backups(daemon: Daemon, lxc: Lxc, image: str, name: str, clean: None, tmp_path: Path) -> None:
    lxc("init", image, name).ok()
    first = post(daemon, name)
    assert (first["status"], first["description"]) == ("Success", "Backing up instance")
    assert first["resources"]["backups"] == ["/1.0/backups/backup0"]
    assert post(daemon, name, name="mine", instance_only=True, expires_at="2040-01-02T03:04:05Z")["status"] == "Success"
    assert post(daemon, name)["resources"]["backups"] == ["/1.0/backups/backup1"]
    assert daemon.request("GET", path(name)).metadata == [path(name, one) for one in ("backup0", "mine", "backup1")]
    shown = daemon.request("GET", path(name, "mine")).metadata
    assert (shown["expires_at"], shown["instance_only"], shown["container_only"]) == (
        "2040-01-02T03:04:05Z",
        True,
        True,
    )
    listed = daemon.request("GET", f"{path(name)}?recursion=1").metadata
    assert [one["name"] for one in listed] == ["backup0", "mine", "backup1"]
    full = daemon.request("GET", f"/1.0/instances/{name}?recursion=1").metadata
    assert [one["name"] for one in full["backups"]] == ["backup0", "mine", "backup1"]
    taken = daemon.request("POST", path(name), {"name": "mine"})
    assert (taken.status, taken.error.partition(" (")[0]) == (
        409,
        f'Create backup: Backup "{name}/mine" already exists',
    )
    assert daemon.operation("POST", path(name, "mine"), {"name": "yours"})["status"] == "Success"
    missing = daemon.request("GET", path(name, "mine"))
    assert (missing.status, missing.error) == (404, "Load backup from database: Instance backup not found")
    file = tmp_path / "yours.tar.gz"
    file.write_bytes(daemon.request("GET", path(name, "yours", "export")).body)
    assert index_of(file)["name"] == name
    assert daemon.operation("DELETE", path(name, "yours"))["status"] == "Success"
    assert daemon.operation("POST", f"/1.0/instances/{name}", {"name": f"{name}-2"})["status"] == "Success"
    assert daemon.request("GET", path(f"{name}-2")).metadata == [path(f"{name}-2", f"backup{n}") for n in (0, 1)]
    lxc("delete", f"{name}-2").ok()
    assert not [one for one in (daemon.state / "backups/instances").iterdir() if name in one.name]


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"name": "a/b"}, 400, "Backup names may not contain slashes"),
        ({"name": "a b"}, 400, "Invalid backup name"),
        ({"compression_algorithm": "bash -c id"}, 400, "Invalid compression algorithm"),
        ({"expires_at": 5}, 400, "expires_at"),
    ],
)
def test_bad_requests_are_refused(
    daemon: Daemon, lxc: Lxc, image: str, name: str, fields: dict[str, object], status: int, text: str, clean: None
) -> None:
    lxc("init", image, name).ok()
    for headers in ({}, {"Accept": "application/octet-stream"}):
        if headers and "name" in fields:
            continue
        answer = daemon.request("POST", path(name), fields, headers=headers)
        assert answer.status == status
        assert text in answer.error
    assert daemon.request("POST", path(f"{name}-no"), {}).status == 404
    assert leaks.of_instance(daemon, f"{name}-no") == []


def test_a_backup_ends(fresh_daemon: Daemon, fresh_image: str) -> None:
    source = {"type": "image", "alias": fresh_image}
    assert fresh_daemon.operation("POST", "/1.0/instances", {"name": "c1", "source": source})["status"] == "Success"
    for name, ends in (
        ("old", "2020-01-01T00:00:00Z"),
        ("new", "2040-01-01T00:00:00Z"),
        ("ever", "0001-01-01T00:00:00Z"),
    ):
        assert post(fresh_daemon, "c1", name=name, expires_at=ends)["status"] == "Success"
    fresh_daemon.restart()
    wanted = [path("c1", "new"), path("c1", "ever")]
    eventually(lambda: fresh_daemon.request("GET", path("c1")).metadata == wanted, what="the old one to go")
    assert len(list((fresh_daemon.state / "backups/instances").iterdir())) == 2
    next(one for one in (fresh_daemon.state / "backups/instances").iterdir() if "_new_" in one.name).unlink()
    fresh_daemon.restart()
    assert fresh_daemon.request("GET", path("c1")).metadata == [path("c1", "ever")]


def test_pylxd_exports_and_imports(daemon: Daemon, lxc: Lxc, image: str, name: str, clean: None) -> None:
    lxc("init", image, name).ok()
    assert post(daemon, name, name="b1")["status"] == "Success"
    client = Pylxd(daemon.state).client
    packed = client.api.instances[name].backups["b1"].export.get().content
    headers = {"Content-Type": "application/octet-stream", "X-LXD-name": f"{name}-2"}
    started = client.api.instances.post(data=packed, headers=headers)
    assert daemon.request("GET", f"{started.json()['operation']}/wait").metadata["err"] == ""
    assert f"{name}-2" in daemon.instance_names()
