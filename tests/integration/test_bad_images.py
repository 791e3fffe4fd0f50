"""Archives that are broken or mean harm: one clear error, and nothing left behind."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)


def archive(*build: Callable[[tarfile.TarFile], None], metadata: str = images.METADATA) -> bytes:
    """A gzipped image of these members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        if metadata:
            images.add_file(tar, "metadata.yaml", metadata.encode())
        for member in build:
            member(tar)
    return out.getvalue()


def rootfs(tar: tarfile.TarFile) -> None:
    images.add_folder(tar, "rootfs")
    images.add_file(tar, "rootfs/hello", b"x")


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Callable[[tarfile.TarFile], None]:
    return lambda tar: images.add_link(tar, name, target, kind)


def device(name: str, kind: bytes) -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.devmajor, info.devminor = kind, 1, 5
        tar.addfile(info)

    return add


def file(name: str) -> Callable[[tarfile.TarFile], None]:
    return lambda tar: images.add_file(tar, name, b"harm")


REFUSED_AT_IMPORT = {
    "empty": b"",
    "noise": os.urandom(4096),
    "truncated": archive(rootfs, file("rootfs/more"))[:-40],
    "mislabelled": b"\xfd7zXZ\x00" + archive(rootfs)[6:],
    "no metadata": archive(rootfs, metadata=""),
    "no architecture": archive(rootfs, metadata="creation_date: 1\n"),
    "unknown architecture": archive(rootfs, metadata="architecture: pdp11\ncreation_date: 1\n"),
    "no creation date": archive(rootfs, metadata="architecture: x86_64\n"),
    "metadata is a link": archive(link("metadata.yaml", "/etc/shadow"), rootfs, metadata=""),
    "metadata is a device": archive(device("metadata.yaml", tarfile.CHRTYPE), rootfs, metadata=""),
    "metadata is a fifo": archive(device("metadata.yaml", tarfile.FIFOTYPE), rootfs, metadata=""),
    "yaml bomb": archive(rootfs, metadata=images.METADATA + BOMB),
    "yaml of a python object": archive(rootfs, metadata=images.METADATA + "x: !!python/object/apply:os.getcwd []\n"),
}
HARMLESS_OR_REFUSED = {
    "rootfs is a link": archive(link("rootfs", "/")),
    "rootfs is a device": archive(device("rootfs", tarfile.CHRTYPE)),
    "templates is a link": archive(rootfs, link("templates", "/etc")),
    "dot dot": archive(rootfs, file("rootfs/../../../../../../../../var/tmp/lv-test-escaped")),
    "absolute": archive(rootfs, file("/var/tmp/lv-test-escaped")),
    "through a link": archive(rootfs, link("rootfs/out", "/var/tmp"), file("rootfs/out/lv-test-escaped")),
    "hard link to the host": archive(rootfs, link("rootfs/shadow", "/etc/shadow", tarfile.LNKTYPE)),
    "hard link through dot dot": archive(rootfs, link("rootfs/s", "../../../../etc/shadow", tarfile.LNKTYPE)),
}


def leftovers(daemon: Daemon) -> set[str]:
    """Every file of the image store and of the pools' images and containers, once the pools' trash is empty."""
    trash = list(daemon.state.glob("storage-pools/*/trash"))
    eventually(lambda: not any(any(place.iterdir()) for place in trash), what="the trash to be emptied")
    places = [daemon.state / "images", *daemon.state.glob("storage-pools/*/*")]
    return {str(entry) for place in places if place.is_dir() for entry in place.iterdir()}


@pytest.mark.parametrize("kind", REFUSED_AT_IMPORT)
def test_a_broken_image_is_refused_and_nothing_stays(daemon: Daemon, kind: str) -> None:
    before = leftovers(daemon)
    answer = daemon.request("POST", "/1.0/images", REFUSED_AT_IMPORT[kind])
    if answer.status == 202:
        url = answer.envelope["operation"]
        finished = daemon.request("GET", f"{url}/wait").metadata
        assert finished["status"] == "Failure", finished
        assert finished["err"]
    else:
        assert answer.status == 400, answer.body
        assert answer.error
    eventually(lambda: leftovers(daemon) == before, timeout_s=10, what="the trash to be emptied")


@pytest.mark.parametrize("kind", HARMLESS_OR_REFUSED)
def test_an_image_that_reaches_out_reaches_nothing(daemon: Daemon, name: str, kind: str) -> None:
    before = leftovers(daemon)
    escaped = Path("/var/tmp/lv-test-escaped")
    started = daemon.request("POST", "/1.0/images", HARMLESS_OR_REFUSED[kind])
    finished = {"status": "Failure", "metadata": None}
    if started.status == 202:
        finished = daemon.request("GET", f"{started.envelope['operation']}/wait").metadata
    if finished["status"] == "Success":
        fingerprint = finished["metadata"]["fingerprint"]
        source = {"type": "image", "fingerprint": fingerprint}
        made = daemon.operation("POST", "/1.0/instances", {"name": name, "source": source})
        if made["status"] == "Success":
            for path in ("shadow", "s", "hello"):
                read = daemon.request("GET", f"/1.0/instances/{name}/files?path=/{path}")
                assert b"root:" not in read.body
            daemon.operation("DELETE", f"/1.0/instances/{name}")
        daemon.operation("DELETE", f"/1.0/images/{fingerprint}")
    assert not escaped.exists()
    eventually(lambda: leftovers(daemon) == before, timeout_s=10, what="the trash to be emptied")


FORM = "multipart/form-data"
BROKEN_FORMS = {
    "no boundary": (FORM, b"x"),
    "another boundary": (f"{FORM}; boundary=q", b"x"),
    "cut off": (f"{FORM}; boundary=q", b'--q\r\nContent-Disposition: form-data; name="metadata"\r\n\r\nab'),
    "nothing in it": (f"{FORM}; boundary=q", b"--q--\r\n"),
    "an endless header": (f"{FORM}; boundary=q", b"--q\r\n" + b"A" * 70000 + b": x\r\n\r\nab\r\n--q--\r\n"),
}


@pytest.mark.parametrize("kind", BROKEN_FORMS)
def test_a_broken_form_is_the_clients_fault_and_nothing_stays(daemon: Daemon, kind: str) -> None:
    content_type, body = BROKEN_FORMS[kind]
    answer = daemon.request("POST", "/1.0/images", body, headers={"Content-Type": content_type})
    assert (answer.status, "Internal" in answer.error) == (400, False), answer.error
    assert not any((daemon.state / "images/.incoming").iterdir())


@pytest.mark.parametrize("path", ["/1.0/images", "/1.0/profiles"])
def test_a_body_that_is_not_compressed_as_it_says_is_the_clients_fault(daemon: Daemon, path: str) -> None:
    answer = daemon.request("POST", path, b"no gzip", headers={"Content-Encoding": "gzip"})
    assert (answer.status, "Internal" in answer.error) == (400, False), answer.error
