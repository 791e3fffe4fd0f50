"""The same bytes on both kinds of server, in every compression and shape, and what the others make read by us."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import images, processes
from tests.harness.client_lxc import Lxc
from tests.harness.peers import INCUS, Peer
from tests.peers.conftest import Site, marked

# All that both read; lz4 is for us alone.
COMPRESSIONS = {
    "": [],
    ".gz": ["gzip"],
    ".bz2": ["bzip2"],
    ".xz": ["xz", "-0"],
    ".lzma": ["lzma", "-0"],
    ".zst": ["zstd", "-q", "--rm"],
    ".squashfs": [],
}
ALGORITHMS = ["none", "gzip", "bzip2", "xz", "lzma", "zstd", "squashfs"]
# Incus reads and writes with LXD's code: there these stand for the others.
FOR_INCUS = (".zst", ".squashfs", "zstd", "squashfs")

NO_METADATA = ("unified", ".squashfs")  # LXD looks into tarballs only


def compressed(tar: Path, suffix: str) -> Path:
    """The archive, compressed by the program of that name."""
    if COMPRESSIONS[suffix]:
        processes.run([*COMPRESSIONS[suffix], tar]).ok()
    return tar.with_name(tar.name + suffix)


def files(folder: Path, shape: str, suffix: str) -> list[Path]:
    """An image's files."""
    folder.mkdir()
    if shape == "unified":
        return [compressed(images.unified(folder / "image.tar", metadata=marked()), suffix)]
    meta, rootfs = images.split(folder, metadata=marked())
    processes.run(["xz", "-d", meta]).ok()
    processes.run(["gzip", "-d", rootfs]).ok()
    if suffix != ".squashfs":
        return [compressed(folder / "metadata.tar", suffix), compressed(folder / "rootfs.tar", suffix)]
    squashfs = folder / "root.squashfs"
    tree = folder / "tree"
    tree.mkdir()
    processes.run(["tar", "-xf", folder / "rootfs.tar", "-C", tree]).ok()
    processes.run(["mksquashfs", tree, squashfs, "-quiet", "-no-progress", "-noappend"]).ok()
    return [folder / "metadata.tar", squashfs]


@pytest.mark.parametrize(
    ("shape", "suffix"),
    [(shape, suffix) for shape in ("unified", "split") for suffix in COMPRESSIONS if (shape, suffix) != NO_METADATA],
)
def test_an_image_goes_there_and_back(
    lxc: Lxc, native: Lxc, peer: Peer, ours: Site, theirs: Site, tmp_path: Path, shape: str, suffix: str
) -> None:
    if peer.kind is INCUS and suffix not in FOR_INCUS:
        pytest.skip("tried with LXD, whose code it is")
    made = files(tmp_path / "made", shape, suffix)
    lxc("image", "import", *made, "ours:", "--alias", "box").ok()
    there = lxc.export_image("ours:box", folder(tmp_path / "there"))
    native("image", "import", *there, "theirs:", "--alias", "box").ok()
    native("init", "theirs:box", "theirs:c1").ok()
    assert theirs.status("c1") == "Stopped"
    back = native.export_image("theirs:box", folder(tmp_path / "back"))
    assert [file.read_bytes() for file in back] == [file.read_bytes() for file in made]
    fingerprint = ours.image("box")["fingerprint"]
    assert theirs.image("box")["fingerprint"] == fingerprint
    lxc("image", "delete", "ours:box").ok()
    lxc("image", "import", *back, "ours:", "--alias", "box").ok()
    assert ours.image("box")["fingerprint"] == fingerprint
    lxc("init", "ours:box", "ours:c1").ok()
    assert [path.name for path in back] == [path.name for path in there]


def folder(path: Path) -> Path:
    """A new folder."""
    path.mkdir()
    return path


def test_what_they_publish_runs_here(
    lxc: Lxc, native: Lxc, peer: Peer, ours: Site, theirs: Site, unified: Path
) -> None:
    algorithms = [one for one in ALGORITHMS if peer.kind is not INCUS or one in FOR_INCUS]
    theirs.add(unified, alias="box")
    native("launch", "theirs:box", "theirs:c1").ok()
    change = "echo ours >/root/mark; mkfifo /root/pipe; ln /root/mark /root/link"
    native("exec", "theirs:c1", "--", "sh", "-c", change).ok()
    native("stop", "theirs:c1", "--force").ok()
    for algorithm in algorithms:
        native("publish", "theirs:c1", "theirs:", "--alias", algorithm, "--compression", algorithm).ok()
        lxc("image", "copy", f"theirs:{algorithm}", "ours:", "--alias", algorithm).ok()
        lxc("init", f"ours:{algorithm}", f"ours:of-{algorithm}").ok()
        assert lxc("file", "pull", f"ours:of-{algorithm}/root/link", "-").ok().stdout == "ours\n"
    lxc("start", "ours:of-zstd").ok()
    look = "test -p /root/pipe && cat /root/mark"
    assert lxc("exec", "ours:of-zstd", "--", "sh", "-c", look).ok().stdout == "ours\n"


def test_what_we_publish_runs_there(
    lxc: Lxc, native: Lxc, peer: Peer, ours: Site, theirs: Site, unified: Path, tmp_path: Path
) -> None:
    algorithms = [one for one in (*ALGORITHMS, "gzip -1") if peer.kind is not INCUS or one in FOR_INCUS]
    ours.add(unified, alias="box")
    lxc("launch", "ours:box", "ours:c1").ok()
    change = "echo theirs >/root/mark; mkfifo /root/pipe; ln /root/mark /root/link; chown 7:8 /root/mark; rm /etc/group"
    lxc("exec", "ours:c1", "--", "sh", "-c", change).ok()
    lxc("snapshot", "ours:c1", "snap0").ok()
    lxc("stop", "ours:c1", "--force").ok()
    for number, algorithm in enumerate([*algorithms, ""]):
        words = ["--compression", algorithm] if algorithm else []
        source = "ours:c1" if algorithm else "ours:c1/snap0"
        lxc("publish", source, "ours:", "--alias", f"published-{number}", *words, f"packed={algorithm}").ok()
        files = lxc.export_image(f"ours:published-{number}", folder(tmp_path / str(number)))
        if algorithm != "squashfs":  # LXD looks for metadata in tarballs only
            native("image", "import", *files, "theirs:", "--alias", f"published-{number}").ok()
            native("launch", f"theirs:published-{number}", f"theirs:c{number}").ok()
            look = "test -p /root/pipe && ! test -e /etc/group && cat /root/link && stat -c %u:%g:%h /root/mark"
            said = native("exec", f"theirs:c{number}", "--", "sh", "-c", look).ok().stdout
            assert said == "theirs\n7:8:2\n", algorithm


def test_an_image_is_published_on_another_server(lxc: Lxc, ours: Site, theirs: Site, unified: Path) -> None:
    ours.add(unified, alias="box")
    lxc("init", "ours:box", "ours:c1").ok()
    before = ours.fingerprints()
    lxc("publish", "ours:c1", "theirs:", "--alias", "there", "--public", "note=far").ok()
    image = theirs.image("there")
    assert (image["public"], image["properties"]) == (True, {"note": "far"})
    assert ours.fingerprints() == before
