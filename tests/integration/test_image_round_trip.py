"""Images from a publisher's archive to a running container and back to files, on every kind of pool."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import images, special_files
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon

ALIAS = "t-round"
SHAPES = ["unified tar", "unified xz", "unified squashfs", "split zst", "split squashfs"]


@pytest.fixture
def cleared(daemon: Daemon, pool: str, name: str) -> Iterator[None]:
    """Afterwards instance and image are deleted."""
    yield
    if name in daemon.instance_names():
        daemon.operation("PUT", f"/1.0/instances/{name}/state", {"action": "stop", "force": True, "timeout": 30})
        daemon.operation("DELETE", f"/1.0/instances/{name}")
    answer = daemon.request("GET", f"/1.0/images/aliases/{ALIAS}")
    if answer.status == 200:
        daemon.operation("DELETE", f"/1.0/images/{answer.metadata['target']}")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that boots, with one of everything in its root."""
    root = tmp_path_factory.mktemp("tree")
    plain = images.unified(tmp_path_factory.mktemp("plain") / "image.tar")
    subprocess.run(["tar", "-xpf", plain, "-C", root], check=True)
    (root / "templates").mkdir()
    special_files.make(root / "rootfs")
    return root


def files_of(tree: Path, shape: str, folder: Path) -> list[Path]:
    kind, suffix = shape.split()
    if kind == "unified":
        return [special_files.packed(tree, folder, suffix)]
    beside = folder / "beside"
    beside.mkdir()
    subprocess.run(["cp", "-a", tree / "metadata.yaml", tree / "templates", beside], check=True)
    places = [folder / "meta", folder / "root"]
    for place in places:
        place.mkdir()
    return [special_files.packed(beside, places[0], "xz"), special_files.packed(tree / "rootfs", places[1], suffix)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.usefixtures("cleared")
def test_everything_survives_to_the_container_and_back(
    daemon: Daemon, lxc: Lxc, pool: str, name: str, tree: Path, tmp_path: Path, shape: str
) -> None:
    files = files_of(tree, shape, tmp_path)
    expected = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    assert lxc.import_image(*files, alias=ALIAS) == expected
    for _ in range(2):
        lxc("launch", ALIAS, name, "--storage", pool).ok()
        pid = daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]
        base = int(Path(f"/proc/{pid}/uid_map").read_text().split()[1])
        special_files.check(Path(f"/proc/{pid}/root"), base=base, has_acl="squashfs" not in shape)
        assert lxc.run(name, "hostname").stdout == f"{name}\n"
        lxc("delete", "--force", name).ok()
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        out.mkdir()
        exported = lxc.export_image(ALIAS, out)
        assert [file.read_bytes() for file in exported] == [file.read_bytes() for file in files]
        lxc("image", "delete", ALIAS).ok()
        assert lxc.import_image(*exported, alias=ALIAS) == expected


@pytest.mark.usefixtures("cleared")
def test_a_directory_is_packed_with_all_that_is_in_it(
    daemon: Daemon, lxc: Lxc, pool: str, name: str, tree: Path
) -> None:
    lxc("image", "import", tree, "--alias", ALIAS).ok()
    lxc("launch", ALIAS, name, "--storage", pool).ok()
    pid = daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]
    base = int(Path(f"/proc/{pid}/uid_map").read_text().split()[1])
    special_files.check(Path(f"/proc/{pid}/root"), base=base)


@pytest.mark.parametrize(("written", "shown"), [("", "1970-01-01T00:00:00Z"), ("1800000000", "2027-01-15T08:00:00Z")])
@pytest.mark.usefixtures("cleared")
def test_metadata_tells_when_an_image_expires(
    daemon: Daemon, either: Lxc, tmp_path: Path, written: str, shown: str
) -> None:
    metadata = images.METADATA + (f"expiry_date: {written}\n" if written else "")
    file = images.unified(tmp_path / "image.tar.gz", metadata=metadata)
    found = daemon.request("GET", f"/1.0/images/{either.import_image(file, alias=ALIAS)}").metadata
    assert (found["expires_at"], found["created_at"]) == (shown, "2023-11-14T22:13:20Z")
