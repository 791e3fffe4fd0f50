"""Images made from instances: what is in them, what they are called, and what is left when it does not come to that."""

from __future__ import annotations

import hashlib
import os
import signal
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import discard
from tests.harness import images, special_files
from tests.harness.client_lxc import Lxc
from tests.harness.client_pylxd import Pylxd
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

METADATA = (
    images.METADATA
    + """\
templates:
  /etc/note:
    when: [create]
    template: note.tpl
"""
)


@pytest.fixture
def tidy(daemon: Daemon) -> Iterator[None]:
    """Images that a test made are gone afterwards, and nothing else is left of them."""
    before = set(daemon.request("GET", "/1.0/images").metadata)
    yield
    for url in set(daemon.request("GET", "/1.0/images").metadata) - before:
        daemon.operation("DELETE", url)
    assert is_clean(daemon)


def is_clean(daemon: Daemon) -> bool:
    """Whether nothing half made lies in the store and no root is mounted of what does not run."""
    return not list((daemon.state / "images/.incoming").iterdir()) and not mounted(daemon)


def mounted(daemon: Daemon) -> list[str]:
    """The roots that are mounted of instances that do not run."""
    places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    roots = [place for place in places if place.startswith(f"{daemon.state}/storage-pools/")]
    instances = daemon.request("GET", "/1.0/instances?recursion=1").metadata
    running = {one["name"] for one in instances if one["status"] != "Stopped"}
    return [root for root in roots if root.split("/")[-2] not in running]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that boots, with a template and one of everything in its root."""
    root = tmp_path_factory.mktemp("tree")
    plain = images.unified(tmp_path_factory.mktemp("plain") / "image.tar", metadata=METADATA)
    subprocess.run(["tar", "-xpf", plain, "-C", root], check=True)
    (root / "templates").mkdir()
    (root / "templates/note.tpl").write_text("made for {{ instance.name }}\n")
    special_files.make(root / "rootfs")
    return root


@pytest.fixture
def stopped(pool: str, daemon: Daemon, lxc: Lxc, name: str, tree: Path, tmp_path: Path, tidy: None) -> Iterator[str]:
    """A stopped instance of each driver with one of everything in it, some of it made while it ran."""
    fingerprint = lxc.import_image(special_files.packed(tree, tmp_path, "tar"), alias=f"{name}-made-of")
    lxc("launch", fingerprint, name, "--storage", pool).ok()
    lxc.run(name, "sh", "-c", "rm /etc/group; mkdir -p /new/deep; echo hi >/new/deep/file; chown 7:8 /new/deep/file")
    # As root inside does it, so that the kernel stores attributes as it does for a guest.
    pid = daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]
    file = f"/proc/{pid}/root/new/deep/file"
    for words in (["setcap", "cap_net_raw=ep", file], ["setfacl", "-m", "u:9:rw", file]):
        subprocess.run(["nsenter", f"--target={pid}", "--user", "--setuid=0", "--setgid=0", *words], check=True)
    lxc("stop", "--force", name).ok()
    yield name
    discard(daemon, name)
    daemon.operation("DELETE", f"/1.0/images/{fingerprint}")


def shown(daemon: Daemon, fingerprint: str) -> dict[str, Any]:
    """What is stored about an image."""
    return daemon.request("GET", f"/1.0/images/{fingerprint}").metadata


def published(lxc: Lxc, *words: str) -> str:
    """Run `lxc publish`; the fingerprint that it tells."""
    said = lxc("publish", *words, "--quiet").ok().stdout.splitlines()[-1]  # which scripts read, as with LXD
    assert said.startswith("Instance published with fingerprint: ")
    return said.split()[-1]


def unpacked(daemon: Daemon, fingerprint: str, folder: Path) -> Path:
    """What is in a published image, as tar unpacks it."""
    archive, place = daemon.state / "images" / fingerprint, folder / "unpacked"
    place.mkdir()
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == fingerprint
    words = ["tar", "-xf", archive, "-C", place, "--numeric-owner", "--acls", "--xattrs", "--xattrs-include=*"]
    subprocess.run([*words, "--zstd"], check=True)
    return place


def test_all_of_it_is_in_the_image_as_it_is_seen_inside(
    daemon: Daemon, either: Lxc, stopped: str, tmp_path: Path
) -> None:
    fingerprint = published(either, stopped, "--alias", "t-published")
    place = unpacked(daemon, fingerprint, tmp_path)
    assert sorted(entry.name for entry in place.iterdir()) == ["metadata.yaml", "rootfs", "templates"]
    special_files.check(place / "rootfs")
    file = place / "rootfs/new/deep/file"
    assert (file.stat().st_uid, file.stat().st_gid, file.read_text()) == (7, 8, "hi\n")
    assert struct.unpack("<III", os.getxattr(file, "security.capability")[:12]) == (0x02000001, 1 << 13, 0)
    listed = subprocess.run(["getfacl", "-nc", file], capture_output=True, text=True, check=True).stdout
    assert "user:9:rw-" in listed
    assert not (place / "rootfs/etc/group").exists()
    assert not [name for name in os.listxattr(place / "rootfs/new") if "overlay" in name]
    assert (place / "templates/note.tpl").read_text() == "made for {{ instance.name }}\n"
    assert (place / "metadata.yaml").read_text() == METADATA
    image = shown(daemon, fingerprint)
    assert (image["public"], image["cached"], image["profiles"]) == (False, False, ["default"])
    assert image["properties"] == yaml.safe_load(METADATA)["properties"]
    assert [alias["name"] for alias in image["aliases"]] == ["t-published"]
    copy = f"{stopped}-copy"
    either.launch("t-published", copy)
    said = either.run(copy, "sh", "-c", "cat /new/deep/file /etc/note; ls /etc/group")
    assert said.stdout == f"hi\nmade for {copy}\n"


def test_the_same_instance_is_the_same_image(daemon: Daemon, lxc: Lxc, stopped: str) -> None:
    fingerprint = published(lxc, stopped)
    again = lxc("publish", stopped).failed()
    assert f"The image already exists: {fingerprint}" in again.stderr
    assert published(lxc, stopped, "--reuse", "--alias", "t-again") == fingerprint
    daemon.operation("DELETE", f"/1.0/images/{fingerprint}")
    assert published(lxc, stopped) == fingerprint


def test_flags_and_properties(daemon: Daemon, either: Lxc, stopped: str) -> None:
    words = ["--public", "--expire", "2031-02-03T04:05:06Z", "--alias", "t-one", "--alias", "t-two"]
    image = shown(daemon, published(either, stopped, *words, "os=mine", "note=a b"))
    assert (image["public"], image["expires_at"]) == (True, "2031-02-03T04:05:06Z")
    assert image["properties"] == {"os": "mine", "note": "a b"}
    assert {alias["name"] for alias in image["aliases"]} == {"t-one", "t-two"}
    meta = subprocess.run(
        ["tar", "--zstd", "-xOf", daemon.state / "images" / image["fingerprint"], "metadata.yaml"],
        capture_output=True,
        check=True,
    )
    written = yaml.safe_load(meta.stdout)
    assert (written["properties"], written["expiry_date"]) == (image["properties"], 1927857906)
    assert written["templates"]["/etc/note"]["template"] == "note.tpl"


def test_an_alias_is_moved_and_with_reuse_the_old_image_goes(daemon: Daemon, lxc: Lxc, stopped: str) -> None:
    first = published(lxc, stopped, "--alias", "t-mine", "n=1")
    second = published(lxc, stopped, "--alias", "t-mine", "n=2")
    assert [shown(daemon, one)["aliases"] for one in (first, second)] == [[], [{"name": "t-mine", "description": ""}]]
    third = published(lxc, stopped, "--alias", "t-mine", "--reuse", "n=3")
    assert {first, third} <= set(lxc.images()) and second not in lxc.images()


MAGIC = {"none": b"", "gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ", "zstd": b"\x28\xb5\x2f\xfd"}
MAGIC |= {"lzma": b"\x5d\0\0", "lz4": b"\x04\x22\x4d\x18", "squashfs": b"hsqs", "gzip -1": b"\x1f\x8b"}


@pytest.mark.parametrize("algorithm", MAGIC)
def test_every_compression(daemon: Daemon, lxc: Lxc, running: str, tidy: None, algorithm: str) -> None:
    lxc("stop", "--force", running).ok()
    fingerprint = published(lxc, running, "--compression", algorithm, f"packed={algorithm}")
    with (daemon.state / "images" / fingerprint).open("rb") as file:
        assert file.read(8).startswith(MAGIC[algorithm])
    lxc("launch", fingerprint, f"{running}-copy").ok()
    assert lxc.run(f"{running}-copy", "hostname").stdout == f"{running}-copy\n"


def test_the_servers_key_chooses(daemon: Daemon, lxc: Lxc, running: str, tidy: None) -> None:
    lxc("stop", "--force", running).ok()
    lxc("config", "set", "images.compression_algorithm=gzip -2").ok()
    try:
        fingerprint = published(lxc, running)
    finally:
        lxc("config", "unset", "images.compression_algorithm").ok()
    assert (daemon.state / "images" / fingerprint).read_bytes().startswith(MAGIC["gzip"])


def test_a_running_one_is_refused_or_stopped_and_started_again(
    daemon: Daemon, either: Lxc, running: str, tidy: None
) -> None:
    refused = either("publish", running).failed()
    assert "The instance is currently running. Use --force to have it stopped and restarted" in refused.stderr
    body = {"source": {"type": "instance", "name": running}}
    failed = daemon.operation("POST", "/1.0/images", body)
    assert failed["err"].startswith("Cannot export a running instance as an image")
    before = daemon.request("GET", f"/1.0/instances/{running}/state").metadata["pid"]
    published(either, running, "--force")
    after = daemon.request("GET", f"/1.0/instances/{running}/state").metadata["pid"]
    assert before != after > 0


def test_an_ephemeral_one_survives(daemon: Daemon, either: Lxc, image: str, name: str, tidy: None) -> None:
    either.launch(image, name, ephemeral=True)
    published(either, name, "--force")
    found = daemon.request("GET", f"/1.0/instances/{name}").metadata
    assert (found["status"], found["ephemeral"]) == ("Running", True)


def test_pylxd_publishes(daemon: Daemon, running: str, tidy: None) -> None:
    instance = Pylxd(daemon.state).client.instances.get(running)
    instance.stop(force=True, wait=True)
    image = instance.publish(public=True, wait=True)
    assert shown(daemon, image.fingerprint)["public"] is True


REFUSED = {
    '{"source": {"type": "instance"}}': "No source provided",
    '{"source": {"type": "instance", "name": "nope"}}': "Instance not found",
    '{"source": {"type": "instance", "name": "NAME/snap0"}}': "This is a snapshot",
    '{"source": {"type": "snapshot", "name": "NAME"}}': "Not a snapshot",
    '{"source": {"type": "instance", "name": "NAME"}, "compression_algorithm": "foo"}': (
        'Invalid compression algorithm "foo"'
    ),
    '{"source": {"type": "instance", "name": "NAME"}, "aliases": [{"name": "IMAGE"}]}': 'Alias "IMAGE" already exists',
}


@pytest.mark.parametrize("body", REFUSED)
def test_what_cannot_be_published(daemon: Daemon, image: str, running: str, tidy: None, body: str) -> None:
    before = daemon.request("GET", "/1.0/images").metadata
    text = body.replace("NAME", running).replace("IMAGE", image)
    answer = daemon.request("POST", "/1.0/images", text.encode(), headers={"Content-Type": "application/json"})
    assert REFUSED[body].replace("IMAGE", image) in answer.error
    assert daemon.request("GET", "/1.0/images").metadata == before


@pytest.mark.parametrize("how", ["--expire=tomorrow", "--expire=2031-02-03", "nonsense"])
def test_what_the_client_refuses(lxc: Lxc, stock: Lxc, running: str, how: str) -> None:
    lxc("stop", "--force", running).ok()
    mine, theirs = (one("publish", running, how).failed().stderr for one in (lxc, stock))
    assert mine.split(":")[:2] == theirs.split(":")[:2] or mine.split(".")[0] == theirs.split(".")[0]


def test_cancelling_leaves_nothing(daemon: Daemon, running: str, lxc: Lxc, tidy: None) -> None:
    lxc.run(running, "dd", "if=/dev/urandom", "of=/root/big", "bs=1M", "count=48")
    lxc("stop", "--force", running).ok()
    before = daemon.request("GET", "/1.0/images").metadata
    body = {"source": {"type": "instance", "name": running}, "compression_algorithm": "xz -9"}
    started = daemon.request("POST", "/1.0/images", body).envelope["operation"]
    eventually(lambda: "create_image" in str(daemon.request("GET", started).metadata["metadata"]), what="progress")
    assert daemon.request("DELETE", started).status == 200
    assert daemon.request("GET", f"{started}/wait").metadata["status"] == "Cancelled"
    assert daemon.request("GET", "/1.0/images").metadata == before
    assert is_clean(daemon)
    lxc("start", running).ok()


def test_ctrl_c_cancels(daemon: Daemon, running: str, either: Lxc, tidy: None) -> None:
    either.run(running, "dd", "if=/dev/urandom", "of=/root/big", "bs=1M", "count=48")
    either("stop", "--force", running).ok()
    before = daemon.request("GET", "/1.0/images").metadata
    words = [either.program, "publish", running, "--compression", "xz -9"]
    client = subprocess.Popen(words, env={**os.environ, **either.env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    eventually(lambda: bool(list((daemon.state / "images/.incoming").iterdir())), what="the archive to be begun")
    eventually(lambda: bool(packing(daemon)), what="the operation")
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=60)
    assert client.returncode != 0
    eventually(lambda: not packing(daemon), what="its end")
    assert daemon.request("GET", "/1.0/images").metadata == before
    assert is_clean(daemon)


def packing(daemon: Daemon) -> list[str]:
    """The operations that make images now."""
    listed = daemon.request("GET", "/1.0/operations?recursion=1").metadata
    going = [*listed.get("running", []), *listed.get("cancelling", [])]
    return [one["id"] for one in going if one["description"] == "Downloading image"]


def test_a_killed_daemon_leaves_nothing(fresh_daemon: Daemon, fresh_image: str, name: str) -> None:
    daemon = fresh_daemon
    body = {"name": name, "source": {"type": "image", "alias": fresh_image}}
    assert daemon.operation("POST", "/1.0/instances", body)["err"] == ""
    daemon.request("POST", f"/1.0/instances/{name}/files?path=/root/big", os.urandom(24 << 20))
    before = daemon.request("GET", "/1.0/images").metadata
    body = {"source": {"type": "instance", "name": name}, "compression_algorithm": "xz -9"}
    started = daemon.request("POST", "/1.0/images", body).envelope["operation"]
    eventually(lambda: "create_image" in str(daemon.request("GET", started).metadata["metadata"]), what="progress")
    daemon.kill()
    daemon.start()
    assert daemon.request("GET", "/1.0/images").metadata == before
    assert not list((daemon.state / "images/.incoming").iterdir())
    assert daemon.operation("POST", "/1.0/images", {"source": {"type": "container", "name": name}})["err"] == ""
    assert is_clean(daemon)


def test_a_snapshot_is_published_while_its_instance_runs(daemon: Daemon, either: Lxc, stopped: str) -> None:
    either("start", stopped).ok()
    either.run(stopped, "sh", "-c", "echo then >/root/note")
    either("snapshot", stopped, "first").ok()
    either.run(stopped, "sh", "-c", "echo now >/root/note; rm /new/deep/file")
    fingerprint = published(either, f"{stopped}/first", "--alias", "t-snapshot", "public=true")
    image = shown(daemon, fingerprint)
    assert (image["public"], image["properties"]) == (True, yaml.safe_load(METADATA)["properties"])
    either.launch("t-snapshot", f"{stopped}-copy")
    assert either.run(f"{stopped}-copy", "cat", "/root/note", "/new/deep/file").stdout == "then\nhi\n"
    missing = either("publish", f"{stopped}/nope").failed()
    assert "not found" in missing.stderr


def test_what_nested_containers_keep_is_published_too(
    daemon: Daemon, lxc: Lxc, image: str, name: str, tidy: None
) -> None:
    lxc.launch(image, name, config={"security.nesting": "true"})
    lxc.run(name, "sh", "-c", "echo in >/var/lib/docker/file; chown 3:4 /var/lib/docker/file")
    lxc("snapshot", name, "kept").ok()
    lxc("stop", "--force", name).ok()
    for number, source in enumerate((name, f"{name}/kept")):
        fingerprint = published(lxc, source, f"number={number}")
        lxc.launch(fingerprint, f"{name}-{number}")
        said = lxc.run(f"{name}-{number}", "sh", "-c", "stat -c %u:%g /var/lib/docker/file; cat /var/lib/docker/file")
        assert said.stdout == "3:4\nin\n", source
