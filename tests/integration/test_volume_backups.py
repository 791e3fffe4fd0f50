"""Custom volumes as files and back: with both clients, kept on the server or not, and what strangers send."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon

V = ("storage", "volume")
URL = "/1.0/storage-pools/default/volumes/custom"
INDEX = """\
name: {name}
backend: dir
pool: default
snapshots: [{snapshots}]
type: {type}
config:
  volume: {{name: v, type: custom, config: {{user.a: b, zfs.blocksize: 4KiB{more}}}}}
  volume_snapshots: [{described}]
"""


@pytest.fixture
def source(daemon: Daemon, lxc: Lxc, name: str) -> Iterator[str]:
    """A volume of the default pool with a snapshot; afterwards all volumes go."""
    chosen = f"v-{name}"
    lxc(*V, "create", "default", chosen, "user.a=b").ok()
    (root(daemon, chosen) / "file").write_text("s1")
    lxc(*V, "snapshot", "default", chosen, "s1").ok()
    (root(daemon, chosen) / "file").write_text("now")
    yield chosen
    for url in daemon.request("GET", URL).metadata:
        if "/snapshots/" not in url:
            assert daemon.request("DELETE", url).status == 200
    assert not list((daemon.state / "backups/custom").iterdir())


def root(daemon: Daemon, volume: str, snapshot: str = "") -> Path:
    folder = f"custom-snapshots/default_{volume}/{snapshot}" if snapshot else f"custom/default_{volume}"
    return daemon.state / "storage-pools/default" / folder / "rootfs"


def test_export_and_import(either: Lxc, daemon: Daemon, source: str, tmp_path: Path) -> None:
    file, alone = tmp_path / "v.tar.gz", tmp_path / "alone.tar"
    assert either(*V, "export", "default", source, str(file)).ok().stdout.endswith("Backup exported successfully!\n")
    either(*V, "export", "default", source, str(alone), "--volume-only", "--compression=none").ok()
    either(*V, "export", "default", source, str(file), "--compression=bogus").failed('"bogus"')
    with tarfile.open(file) as archive:
        names = archive.getnames()
        index = archive.extractfile("backup/index.yaml")
        assert index is not None and b"type: custom\n" in index.read()
    assert names[0] == "backup/index.yaml" and "backup/volume/file" in names
    assert "backup/volume-snapshots/s1/file" in names
    either(*V, "import", "default", str(file)).failed("Volume by that name already exists")
    either(*V, "import", "default", str(file), f"{source}-2").ok()
    either(*V, "import", "default", str(alone), f"{source}-3").ok()
    assert (root(daemon, f"{source}-2") / "file").read_text() == "now"
    assert (root(daemon, f"{source}-2", "s1") / "file").read_text() == "s1"
    assert either(*V, "get", "default", f"{source}-2", "user.a").ok().stdout == "b\n"
    assert either(*V, "show", "default", f"{source}-2/s1").ok().stdout.count("user.a: b") == 1
    assert daemon.request("GET", f"{URL}/{source}-3/snapshots").metadata == []
    either(*V, "import", "nosuch", str(file)).failed("Storage pool not found")
    either(*V, "import", "default", "/etc/passwd", "x").failed("Unsupported compression")


def test_backups_that_the_server_keeps(daemon: Daemon, source: str) -> None:
    backups = f"{URL}/{source}/backups"
    assert daemon.operation("POST", backups, {})["status"] == "Success"
    ended = {"name": "b1", "volume_only": True, "expires_at": "2031-01-01T00:00:00Z"}
    assert daemon.operation("POST", backups, ended)["status"] == "Success"
    assert daemon.request("POST", backups, {"name": "b1"}).status == 409
    assert daemon.request("POST", backups, {"name": "a/b"}).error == "Backup names may not contain slashes"
    found = {one["name"]: one for one in daemon.request("GET", f"{backups}?recursion=1").metadata}
    assert set(found) == {"backup0", "b1"} and found["b1"]["volume_only"] and not found["backup0"]["volume_only"]
    assert found["b1"]["expires_at"] == "2031-01-01T00:00:00Z"
    assert daemon.operation("POST", f"{backups}/b1", {"name": "b2"})["status"] == "Success"
    assert daemon.request("GET", backups).metadata == [f"{backups}/backup0", f"{backups}/b2"]
    sent = daemon.request("GET", f"{backups}/b2/export")
    headers = {"Content-Type": "application/octet-stream", "X-LXD-name": f"{source}-2"}
    started = daemon.request("POST", URL, sent.body, headers=headers)
    assert daemon.request("GET", f"{started.envelope['operation']}/wait").metadata["err"] == ""
    assert daemon.operation("DELETE", f"{backups}/b2", None)["status"] == "Success"
    assert daemon.request("GET", f"{backups}/b2").status == 404
    assert len(list((daemon.state / "backups/custom").iterdir())) == 1  # which goes with the volume


def packed(members: dict[str, bytes | str | None]) -> bytes:
    """A tar of files (bytes), links (text) and directories (None)."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return made.getvalue()


def index(
    name: str = "made", snapshots: str = "", described: str = "", type: str = "custom", more: str = ""
) -> dict[str, bytes | str | None]:
    text = INDEX.format(name=name, snapshots=snapshots, described=described, type=type, more=more)
    return {"backup/index.yaml": text.encode()}


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"backup/volume": None}, "Backup is missing index.yaml"),
        ({**index(type="container"), "backup/volume": None}, "not of a custom volume"),
        ({**index(name="a/b"), "backup/volume": None}, "may not contain slashes"),
        ({**index(snapshots="s1"), "backup/volume": None}, "describes other snapshots"),
        ({**index(snapshots="../x", described="{name: ../x}"), "backup/volume": None}, 'cannot contain "/"'),
        ({**index(more=", bogus: x"), "backup/volume": None}, "Invalid option for volume"),
        (index(), "it has no backup/volume"),
        ({**index(), "backup/volume": "/etc"}, "is not a directory"),
        ({**index(), "backup/volume": None, "backup/volume-snapshots/x/f": b"x"}, "disagree about the snapshot"),
        (
            {
                **index(snapshots="s1", described="{name: s1}"),
                "backup/volume": None,
                "backup/volume-snapshots": None,
                "backup/volume-snapshots/s1": "/etc",
            },
            "is not a directory",
        ),
    ],
)
def test_what_strangers_send_leaves_nothing(
    daemon: Daemon, lxc: Lxc, tmp_path: Path, members: dict[str, bytes | str | None], text: str
) -> None:
    file = tmp_path / "evil.tar"
    file.write_bytes(packed(members))
    before = daemon.request("GET", URL).metadata
    lxc(*V, "import", "default", str(file)).failed(text)
    assert daemon.request("GET", URL).metadata == before
    for folder in ("custom", "custom-snapshots"):
        assert not list((daemon.state / "storage-pools/default" / folder).glob("default_made*"))
    assert not list((daemon.state / "backups/.incoming").iterdir())


def test_what_other_drivers_note_is_left_out(daemon: Daemon, lxc: Lxc, source: str, tmp_path: Path) -> None:
    file = tmp_path / "good.tar"
    file.write_bytes(packed({**index(), "backup/volume": None, "backup/volume/f": b"x"}))
    lxc(*V, "import", "default", str(file)).ok()
    assert daemon.request("GET", f"{URL}/made").metadata["config"] == {"user.a": "b"}
    assert (root(daemon, "made") / "f").read_text() == "x" and source
