"""Archives that are broken or mean harm: one clear error, and nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.crafted import Build, archive, compressed, folder, member
from tests.harness.daemon import Daemon
from tests.harness.left_in_pools import leftovers
from tests.harness.processes import eventually

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)


def gzipped(*build: Build, metadata: str = images.METADATA) -> bytes:
    """A gzipped image of these members and a root file system."""
    root = (folder("rootfs"), member("rootfs/hello", data=b"x"))
    return compressed(archive(*build, *root, metadata=metadata), "gz")


REFUSED_AT_IMPORT = {
    "empty": b"",
    "noise": os.urandom(4096),
    "truncated": gzipped()[:-40],
    "mislabelled": b"\xfd7zXZ\x00" + gzipped()[6:],
    "no metadata": gzipped(metadata=""),
    "no architecture": gzipped(metadata="creation_date: 1\n"),
    "unknown architecture": gzipped(metadata="architecture: pdp11\ncreation_date: 1\n"),
    "an expiry that is no date": gzipped(metadata=images.METADATA + "expiry_date: 9000000000000000000\n"),
    "a creation that is no date": gzipped(metadata=f"architecture: x86_64\ncreation_date: {1 << 70}\n"),
    "no creation date": gzipped(metadata="architecture: x86_64\n"),
    "yaml bomb": gzipped(metadata=images.METADATA + BOMB),
    "yaml of a python object": gzipped(metadata=images.METADATA + "x: !!python/object/apply:os.getcwd []\n"),
}


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
    eventually(lambda: leftovers(daemon) == before, what="the trash to be emptied")


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


@pytest.mark.parametrize("header", ["X-LXD-filename", "X-LXD-properties", "X-LXD-fingerprint", "X-LXD-profiles"])
def test_a_header_that_is_no_text_is_shown_replaced_or_refused(daemon: Daemon, header: str) -> None:
    answer = daemon.request("POST", "/1.0/images", gzipped(), headers={header: b"a=\xff\xfe".decode("latin-1")})
    assert answer.status == 202, answer.body
    finished = daemon.request("GET", f"{answer.envelope['operation']}/wait").metadata
    if finished["status"] == "Success":
        url = f"/1.0/images/{finished['metadata']['fingerprint']}"
        shown = daemon.request("GET", url).metadata
        assert daemon.operation("DELETE", url)["status"] == "Success"
        assert header == "X-LXD-profiles" or "?" in shown["filename"] + shown["properties"].get("a", "")
    else:
        assert "Internal" not in finished["err"]


COMMANDS = [
    "bash -c 'touch {0}'", "gzip; touch {0}", "gzip --rsyncable", "gzip -9 -k", "zstd -19 -o {0}", "-", "/bin/gzip",
    "../bin/gzip", "gzip\n", "gzip\ntouch {0}", "$(touch {0})", "gzip -9\0", "xz -T0", "zstd --patch-from=/etc/shadow",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_cve_2026_28384_and_48755_a_compression_algorithm_is_no_command(
    daemon: Daemon, tmp_path: Path, command: str
) -> None:
    wanted, key = command.format(tmp_path / "ran"), "images.compression_algorithm"
    before = daemon.request("GET", "/1.0").metadata["config"].get(key)
    posted = {"source": {"type": "instance", "name": "c1"}, "compression_algorithm": wanted}
    for answer in (
        daemon.request("PATCH", "/1.0", {"config": {key: wanted}}),
        daemon.request("POST", "/1.0/images", posted),
    ):
        is_told = (
            "Invalid compression algorithm" in answer.error or "control characters are not allowed" in answer.error
        )
        assert (answer.status, is_told) == (400, True), answer.error
    assert daemon.request("GET", "/1.0").metadata["config"].get(key) == before
    assert not (tmp_path / "ran").exists()


NO_FINGERPRINTS = [
    "%25",
    "_",
    "____________",
    "..%2f..%2fx",
    "%2e%2e",
    "f%00",
    "'%20or%20'1'='1",
    "x" * 63,
    "*",
    "g" * 64,
]


@pytest.mark.parametrize("wanted", NO_FINGERPRINTS)
@pytest.mark.parametrize("suffix", ["", "/export", "/secret", "/refresh"])
def test_ghsa_p3x5_a_fingerprint_is_no_pattern(daemon: Daemon, image: str, wanted: str, suffix: str) -> None:
    """The image exists, and nothing that is no beginning of its fingerprint finds it."""
    method = "GET" if suffix in ("", "/export") else "POST"
    answer = daemon.request(method, f"/1.0/images/{wanted}{suffix}", {} if method == "POST" else None)
    assert answer.status in (400, 404), answer.body
    assert b"Internal" not in answer.body
    assert daemon.request("DELETE", f"/1.0/images/{wanted}").status in (400, 404)


WRONG_HASHES = ["0" * 64, "../../x", "%", "A" * 64, "f" * 63, "' or 1=1", "f" * 5000]


@pytest.mark.parametrize("expected", WRONG_HASHES)
def test_cve_2026_33542_an_upload_that_is_not_what_was_announced(daemon: Daemon, expected: str) -> None:
    before = leftovers(daemon)
    answer = daemon.request("POST", "/1.0/images", gzipped(), headers={"X-LXD-fingerprint": expected})
    finished = daemon.request("GET", f"{answer.envelope['operation']}/wait").metadata
    assert finished["status"] == "Failure"
    assert "Image fingerprint doesn't match" in finished["err"]
    assert leftovers(daemon) == before
