"""Archives that mean harm, each by one trick: refused with one clear message, or harmless; nothing outside is touched.

What is known under a number is named by it. Each archive is imported and an instance made of it, since what a
compressed archive holds behind its metadata.yaml is only seen when it is unpacked.
"""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.crafted import Build, archive, compressed, folder, hard_link, link, member, raw, squashed
from tests.harness.daemon import Daemon
from tests.harness.left_in_pools import leftovers
from tests.harness.processes import eventually

ROOT = folder("rootfs")
UP = "../" * 12
FORMATS = ["tar", "gz", "xz", "squashfs"]
Attempt = Callable[[bytes], str]


@pytest.fixture
def victim() -> Iterator[Path]:
    """A directory of the host with a file in it, which must be afterwards what it was before."""
    place = Path(tempfile.mkdtemp(prefix="lv-victim-", dir="/var/tmp"))
    (place / "file").write_text("the host's")
    place.chmod(0o777)
    (place / "file").chmod(0o666)
    before = _looks(place)
    yield place
    after = _looks(place)
    (place / "file").unlink()
    for other in place.iterdir():
        other.unlink()
    place.rmdir()
    assert after == before


def _looks(place: Path) -> list[object]:
    found = [place, *sorted(place.iterdir())]
    stats = [(str(path), path.stat().st_mode, path.stat().st_uid, path.stat().st_nlink) for path in found]
    return [*stats, (place / "file").read_text(), sorted(os.listxattr(place / "file"))]


@pytest.fixture
def attempt(daemon: Daemon, name: str) -> Iterator[Attempt]:
    """Imports an archive and makes the instance `name`; the error of the first that fails, empty when both work.

    Afterwards the image store and the pools hold what they held before.
    """
    before = leftovers(daemon)
    made: list[str] = []

    def attempt(data: bytes) -> str:
        answer = daemon.request("POST", "/1.0/images", data)
        if answer.status != 202:
            assert answer.status == 400, answer.body
            return answer.error
        finished = daemon.request("GET", f"{answer.envelope['operation']}/wait").metadata
        if finished["status"] != "Success":
            return finished["err"]
        made.append(finished["metadata"]["fingerprint"])
        source = {"type": "image", "fingerprint": made[-1]}
        created = daemon.operation("POST", "/1.0/instances", {"name": name, "source": source})
        if created["status"] != "Success":
            assert name not in daemon.instance_names()
            return created["err"]
        return ""

    yield attempt
    if name in daemon.instance_names():
        daemon.operation("PUT", f"/1.0/instances/{name}/state", {"action": "stop", "force": True, "timeout": 30})
        assert daemon.operation("DELETE", f"/1.0/instances/{name}")["status"] == "Success"
    for fingerprint in made:
        assert daemon.operation("DELETE", f"/1.0/images/{fingerprint}")["status"] == "Success"
    eventually(lambda: leftovers(daemon) == before, what="all of it to be gone")


def in_format(plain: bytes, suffix: str, tmp_path: Path) -> bytes:
    return squashed(plain, tmp_path / "squashed") if suffix == "squashfs" else compressed(plain, suffix)


@pytest.mark.parametrize("suffix", FORMATS)
def test_cve_2026_48749_a_rootfs_that_is_a_link(attempt: Attempt, victim: Path, tmp_path: Path, suffix: str) -> None:
    error = attempt(in_format(archive(link("rootfs", str(victim))), suffix, tmp_path))
    assert "its rootfs is not a directory" in error


@pytest.mark.parametrize("target", ["{0}", "../../../../../..{0}", "/proc/self/root{0}"])
def test_cve_2026_48749_a_rootfs_that_is_a_link_and_is_filled(attempt: Attempt, victim: Path, target: str) -> None:
    build = (link("rootfs", target.format(victim)), member("rootfs/file", data=b"harm"))
    assert "its rootfs is not a directory" in attempt(archive(*build))
    assert "unpacked" in attempt(compressed(archive(*build), "xz"))


def test_cve_2026_48749_a_directory_that_becomes_a_link_later(attempt: Attempt, victim: Path) -> None:
    build = (ROOT, link("rootfs", str(victim)), member("rootfs/file", data=b"harm"))
    assert attempt(compressed(archive(*build), "xz"))


@pytest.mark.parametrize("kind", [tarfile.BLKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.REGTYPE])
def test_a_rootfs_that_is_no_directory(attempt: Attempt, kind: bytes) -> None:
    for suffix in ("tar", "xz"):
        error = attempt(compressed(archive(member("rootfs", kind)), suffix))
        assert "its rootfs is not a directory" in error


def test_an_image_without_a_rootfs(attempt: Attempt) -> None:
    assert "it has no rootfs" in attempt(archive())


@pytest.mark.parametrize("suffix", FORMATS)
def test_cve_2026_48752_templates_that_are_a_link(attempt: Attempt, victim: Path, tmp_path: Path, suffix: str) -> None:
    error = attempt(in_format(archive(ROOT, link("templates", str(victim))), suffix, tmp_path))
    assert "its templates is not a directory" in error


METADATA_IS = {
    "a link": link("metadata.yaml", "/etc/shadow"),
    "a link of dot dots": link("metadata.yaml", f"{UP}etc/shadow"),
    "a pipe": member("metadata.yaml", tarfile.FIFOTYPE),
    "a device": member("metadata.yaml", tarfile.CHRTYPE, device=(1, 5)),
    "a directory": folder("metadata.yaml"),
}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kind", METADATA_IS)
def test_cve_2026_63343_a_metadata_yaml_that_is_no_file(
    attempt: Attempt, tmp_path: Path, kind: str, suffix: str
) -> None:
    error = attempt(in_format(archive(METADATA_IS[kind], ROOT, metadata=""), suffix, tmp_path))
    assert "its metadata.yaml is not a plain file" in error


@pytest.mark.parametrize("suffix", ["tar", "xz"])
@pytest.mark.parametrize("kind", METADATA_IS)
def test_cve_2026_63343_a_second_metadata_yaml(attempt: Attempt, kind: str, suffix: str) -> None:
    """The one that was looked at is good; unpacked is the last."""
    assert attempt(compressed(archive(ROOT, METADATA_IS[kind]), suffix))


def test_a_second_metadata_yaml_that_is_nonsense(attempt: Attempt) -> None:
    assert "metadata.yaml" in attempt(archive(ROOT, member("metadata.yaml", data=b"[")))


@pytest.mark.parametrize("suffix", ["tar", "squashfs"])
def test_cve_2026_63125_a_backup_yaml_that_is_a_link(
    daemon: Daemon, attempt: Attempt, name: str, victim: Path, tmp_path: Path, suffix: str
) -> None:
    assert attempt(in_format(archive(ROOT, link("backup.yaml", f"{victim}/file")), suffix, tmp_path)) == ""
    assert daemon.request("PATCH", f"/1.0/instances/{name}", {"description": "written anew"}).status == 200
    volume = next(daemon.state.glob(f"storage-pools/*/containers/{name}"))
    assert stat.S_ISREG((volume / "backup.yaml").lstat().st_mode)


def test_cve_2026_48750_and_33711_logs_that_are_links(
    daemon: Daemon, attempt: Attempt, name: str, victim: Path, tmp_path: Path
) -> None:
    names = ("exec-output", "console.log", "lxc.log", "lxc.conf", "logs", "volume.json", "top")
    data = images.unified(tmp_path / "image.tar").read_bytes()
    links = archive(*(link(one, f"{victim}/file") for one in names), metadata="")
    assert attempt(_joined(data, links)) == ""
    started = daemon.operation("PUT", f"/1.0/instances/{name}/state", {"action": "start", "timeout": 30})
    assert started["status"] == "Success", started
    body = {"command": ["echo", "recorded"], "wait-for-websocket": False, "record-output": True}
    ran = daemon.operation("POST", f"/1.0/instances/{name}/exec", body)
    assert ran["metadata"]["return"] == 0
    assert daemon.request("GET", ran["metadata"]["output"]["1"]).body == b"recorded\n"


def _joined(first: bytes, second: bytes) -> bytes:
    """Two archives as one: the end of the first is left out."""
    end = len(first)
    while first[end - 512 : end] == bytes(512):
        end -= 512
    return first[:end] + second


OUTWARD: dict[str, Callable[[str], list[Build]]] = {
    "dot dot": lambda at: [member(f"rootfs/{UP}{at}/file", data=b"harm")],
    "dot dot at the beginning": lambda at: [member(f"{UP}{at}/file", data=b"harm")],
    "a long name of dot dots": lambda at: [member(f"rootfs/{'x/../' * 60}{UP}{at}/file", data=b"harm")],
    "a hard link": lambda at: [hard_link("rootfs/held", f"{at}/file")],
    "a hard link by dot dot": lambda at: [hard_link("rootfs/held", f"{UP}{at}/file")],
    "a hard link to one of the host's programs": lambda _: [hard_link("rootfs/held", "/usr/bin/env")],
    "a hard link through a link": lambda at: [link("rootfs/o", at), hard_link("rootfs/held", "rootfs/o/file")],
    "a file through a link": lambda at: [link("rootfs/o", at), member("rootfs/o/file", data=b"harm")],
    "a file through a link of dot dots": lambda at: [
        link("rootfs/o", f"{UP}{at}"), member("rootfs/o/file", data=b"harm"),
    ],
    "a file through two links": lambda at: [
        link("rootfs/one", "two"), link("rootfs/two", at), member("rootfs/one/file", data=b"harm"),
    ],
    "a file through a magic link": lambda at: [
        link("rootfs/o", f"/proc/self/root{at}"), member("rootfs/o/file", data=b"harm"),
    ],
    "a directory through a link": lambda at: [link("rootfs/o", at), folder("rootfs/o"), folder("rootfs/o/made")],
}  # fmt: skip


@pytest.mark.parametrize("kind", OUTWARD)
def test_a_member_that_leads_out(daemon: Daemon, attempt: Attempt, name: str, victim: Path, kind: str) -> None:
    links = Path("/usr/bin/env").stat().st_nlink
    error = attempt(archive(ROOT, *OUTWARD[kind](str(victim))))
    if not error:
        assert b"the host's" not in daemon.request("GET", f"/1.0/instances/{name}/files?path=/held").body
    assert Path("/usr/bin/env").stat().st_nlink == links


def test_a_file_in_the_place_of_a_link_does_not_follow_it(
    daemon: Daemon, attempt: Attempt, name: str, victim: Path
) -> None:
    build = (link("rootfs/twice", f"{victim}/file"), member("rootfs/twice", data=b"harm"))
    assert attempt(archive(ROOT, *build)) == ""
    assert b"the host's" not in daemon.request("GET", f"/1.0/instances/{name}/files?path=/twice").body


def test_of_members_with_one_name_the_last_counts(daemon: Daemon, attempt: Attempt, name: str) -> None:
    build = (member("rootfs/twice", data=b"first"), folder("rootfs/d"), member("rootfs/twice", data=b"second"))
    assert attempt(archive(ROOT, *build)) == ""
    assert daemon.request("GET", f"/1.0/instances/{name}/files?path=/twice").body == b"second"


def test_absolute_names_land_inside(daemon: Daemon, attempt: Attempt, name: str, victim: Path) -> None:
    build = (member("/rootfs/inside", data=b"x"), member(f"{victim}/file", data=b"harm"))
    assert attempt(archive(ROOT, *build)) == ""
    assert daemon.request("GET", f"/1.0/instances/{name}/files?path=/inside").body == b"x"


def test_a_device_node_opens_nothing_of_the_host(daemon: Daemon, attempt: Attempt, name: str, tmp_path: Path) -> None:
    root = Path("/").stat().st_dev
    nodes = [member("rootfs/dev/rooted", tarfile.BLKTYPE, device=(os.major(root), os.minor(root)))]
    nodes += [member("rootfs/mem", tarfile.CHRTYPE, device=(1, 1))]
    nodes += [member("rootfs/kmsg", tarfile.CHRTYPE, device=(1, 11))]
    nodes += [member("rootfs/rooted", tarfile.BLKTYPE, device=(os.major(root), os.minor(root)))]
    data = images.unified(tmp_path / "image.tar").read_bytes()
    assert attempt(_joined(data, archive(*nodes, metadata=""))) == ""
    started = daemon.operation("PUT", f"/1.0/instances/{name}/state", {"action": "start", "timeout": 30})
    assert started["status"] == "Success", started
    for path in ("/rooted", "/mem", "/kmsg"):
        body = {"command": ["dd", f"if={path}", "of=/dev/null", "count=1"], "wait-for-websocket": False}
        assert daemon.operation("POST", f"/1.0/instances/{name}/exec", body)["metadata"]["return"] == 1
        assert daemon.request("GET", f"/1.0/instances/{name}/files?path={path}").body == b""


def test_cve_2025_64507_a_setuid_program_is_out_of_the_hosts_users_reach(
    daemon: Daemon, attempt: Attempt, name: str
) -> None:
    def setuid(made: tarfile.TarFile) -> None:
        info = tarfile.TarInfo("rootfs/become-root")
        info.mode = 0o4755
        made.addfile(info)

    assert attempt(archive(ROOT, setuid)) == ""
    found = list(daemon.state.glob("storage-pools/*/*/*/**/become-root"))
    assert found
    for path in found:
        reached = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "cat", path], capture_output=True)
        assert b"Permission denied" in reached.stderr


def _header(name: str, size: bytes, kind: bytes = tarfile.REGTYPE, **more: bytes) -> bytes:
    """A header that says `size`, eleven digits or GNU's binary number, with its checksum made right."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    block[156:157], block[124:136] = kind, size.ljust(12, b"\0")
    for place, content in more.items():
        at = int(place.removeprefix("at_"))
        block[at : at + len(content)] = content
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:]))
    return bytes(block)


def _binary(number: int) -> bytes:
    return b"\x80" + number.to_bytes(11, "big") if number >= 0 else b"\xff" + number.to_bytes(11, "big", signed=True)


def _sparse(real: int) -> bytes:
    """A sparse file in GNU's old way, to be so large: one byte at its end."""
    place = _binary(real - 1) + _binary(1) if real > 0 else bytes(24)
    return _header("rootfs/sparse", b"%011o" % 1, b"S", at_386=place, at_483=_binary(real)) + b"x".ljust(512, b"\0")


HEADERS = {
    "a sparse file of 8 EiB": _sparse((1 << 63) - 1),
    "a sparse file of a negative size": _sparse(-1),
    "a file of 4 EiB": _header("rootfs/x", _binary(1 << 62)),
    "a file of 2^88 bytes": _header("rootfs/x", b"\x80" + b"\xff" * 11),
    "a negative size": _header("rootfs/x", _binary(-512)),
    "a negative size in digits": _header("rootfs/x", b"-0000000777"),
    "a size that is no number": _header("rootfs/x", b"size?"),
    "a long name of 6 GiB": _header("././@LongLink", _binary(6 << 30), b"L"),
    "an extended header of 1 TiB": _header("x", _binary(1 << 40), b"x"),
    "an extended header that lies": _header("x", b"%011o" % 9, b"x") + b"99999 a=b".ljust(512, b"\0"),
    "a wrong checksum": bytes(148) + b"12345\0 \0" + bytes(356),
    "noise": os.urandom(1024),
}


@pytest.mark.parametrize("suffix", ["tar", "xz"])
@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_that_lies(attempt: Attempt, kind: str, suffix: str) -> None:
    error = attempt(compressed(archive(ROOT, raw(HEADERS[kind])), suffix))
    ignored = error == "" and (kind, suffix) == ("an extended header that lies", "xz")  # by tar, with what follows
    assert ignored or "damaged" in error or "cannot be unpacked" in error


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_as_long_and_odd_as_they_may_be(daemon: Daemon, attempt: Attempt, name: str, kind: int) -> None:
    """15 directories of 250 letters are a long name; bytes that are no text are one too."""
    out = io.BytesIO()
    path = "rootfs/" + "/".join(letter * 250 for letter in "abcdefghijklmno")
    with tarfile.open(fileobj=out, mode="w", format=kind, encoding="utf-8", errors="surrogateescape") as made:
        images.add_file(made, "metadata.yaml", images.METADATA.encode())
        images.add_file(made, f"{path}/file", b"deep")
        images.add_file(made, os.fsdecode(b"rootfs/\xe9t\xe9 \xff\x01\n"), b"odd")
    assert attempt(out.getvalue()) == ""
    assert daemon.request("GET", f"/1.0/instances/{name}/files?path=/{path[7:]}/file").body == b"deep"
    assert len(daemon.request("GET", f"/1.0/instances/{name}/files?path=/").metadata) >= 2


def test_a_name_longer_than_the_kernel_takes(attempt: Attempt) -> None:
    error = attempt(archive(ROOT, member("rootfs/" + "x" * 5000, data=b"x")))
    assert "File name too long" in error


def test_very_many_empty_files(daemon: Daemon, attempt: Attempt) -> None:
    entries = _header("rootfs/x", b"%011o" % 0) * 100_000
    before = daemon.most_memory_kib()
    assert attempt(compressed(archive(ROOT, raw(entries)), "gz")) == ""
    assert daemon.most_memory_kib() - before < 32 << 10


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst", "lz4", "lzma"])
def test_garbage_behind_an_archive(attempt: Attempt, suffix: str) -> None:
    error = attempt(compressed(archive(ROOT), suffix) + b"garbage behind it")
    assert error == "" or "damaged" in error or "cannot be unpacked" in error


@pytest.mark.parametrize("suffix", ["tar", "gz", "xz"])
def test_of_two_archives_in_one_file_the_first_counts(
    daemon: Daemon, attempt: Attempt, name: str, victim: Path, suffix: str
) -> None:
    first = archive(ROOT, member("rootfs/first", data=b"x"))
    second = archive(link("rootfs", str(victim)), member("rootfs/file", data=b"harm"), metadata="")
    assert attempt(compressed(first, suffix) + compressed(second, suffix)) == ""
    assert daemon.request("GET", f"/1.0/instances/{name}/files?path=/").metadata[-1:] == ["first"]
