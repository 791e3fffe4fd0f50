"""`lxd-simplestreams`: what it writes is what clients read, and what it is told to forget is gone."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightervisor.client import simplestreams
from tests.harness import images
from tests.harness.processes import REPOSITORY, Done
from tests.harness.processes import run as run_program

PROGRAM = REPOSITORY / "bin/lxd-simplestreams"
PRODUCTS = "streams/v1/images.json"
DAY = 1_767_312_000  # 2026-01-02


class Server:
    """A folder of images and the program that keeps it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.inputs = folder / "server", folder / "inputs"
        self.folder.mkdir()
        self.inputs.mkdir()

    def __call__(self, *words: str | Path, stdin: str = "") -> Done:
        script = f"cd '{self.folder}' && exec '{PROGRAM}' \"$@\""
        return run_program(["sh", "-c", script, "sh", *words], stdin=stdin)

    def add(self, *words: str | Path) -> str:
        """Add an image; its fingerprint."""
        return self("add", *words).ok().stdout.removeprefix("Image added with fingerprint: ").strip()

    def metadata(self, name: str = "meta.tar.xz", *, created: int = DAY, **properties: str | None) -> Path:
        """A metadata tarball; a property that is None is left out."""
        known = {
            "os": "Busybox",
            "release": "1",
            "architecture": "amd64",
            "variant": "default",
            "description": "A test",
        }
        told = {key: value for key, value in {**known, **properties}.items() if value is not None}
        text = yaml.safe_dump({"architecture": "x86_64", "creation_date": created, "properties": told}).encode()
        path = self.inputs / name
        with tarfile.open(path, "w:xz") as archive:
            images.add_file(archive, "metadata.yaml", text)
        return path

    def root(self, name: str = "root.tar.xz", content: bytes = b"busybox\n") -> Path:
        """A root file system with one file."""
        path = self.inputs / name
        with tarfile.open(path, "w:xz") as archive:
            images.add_file(archive, "etc/hostname", content)
        return path

    def listed(self) -> list[dict[str, Any]]:
        """What a client on an amd64 machine finds."""
        index = (self.folder / simplestreams.INDEX).read_bytes()
        documents = [(self.folder / path).read_bytes() for path in simplestreams.product_paths(index)]
        return simplestreams.images(documents, architecture="x86_64")

    def files(self) -> list[str]:
        """Every file of the folder."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def sha256(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def aliases(image: dict[str, Any]) -> list[str]:
    return [alias["name"] for alias in image["aliases"]]


def test_a_split_image_is_found_whole(server: Server) -> None:
    metadata, root = server.metadata(), server.root()
    assert server.add(metadata, root, "--alias", "bb", "--alias", "busybox") == sha256(metadata, root)
    (image,) = server.listed()
    assert image["fingerprint"] == sha256(metadata, root)
    assert aliases(image)[::2] == ["Busybox/1/default", "bb", "busybox"]
    assert (image["created_at"], image["properties"]["serial"]) == ("2026-01-02T00:00:00Z", "202601020000")
    for file, source in zip(image["files"], (metadata, root), strict=True):
        copy = server.folder / file["path"]
        assert copy.read_bytes() == source.read_bytes()
        assert copy.stat().st_mode & 0o777 == 0o644
    assert len(server.files()) == 4
    server("verify").ok()


def test_another_root_file_system_of_the_same_version_shares_its_metadata(server: Server, tmp_path: Path) -> None:
    metadata, root = server.metadata(), server.root()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/hostname").write_text("busybox\n")
    packed = server.inputs / "root.squashfs"
    subprocess.run(["mksquashfs", tmp_path / "tree", packed, "-quiet", "-no-progress"], check=True, capture_output=True)
    server.add(metadata, root)
    server.add(metadata, packed)
    assert [(image["properties"]["type"], aliases(image) != []) for image in server.listed()] == [
        ("squashfs", True),
        ("root.tar.xz", False),
    ]
    assert len(server.files()) == 5
    server("verify").ok()
    server("remove", sha256(metadata, root)[:10]).ok()
    assert [image["fingerprint"] for image in server.listed()] == [sha256(metadata, packed)]
    server("verify").ok()
    server("remove", sha256(metadata, packed)).ok()
    assert server.files() == [PRODUCTS, simplestreams.INDEX]
    assert server.listed() == []


@pytest.mark.parametrize("program", ["cat", "gzip", "xz", "bzip2", "zstd"])
def test_a_unified_image(server: Server, program: str) -> None:
    plain, image = server.inputs / "image.tar", server.inputs / "image"
    text = images.METADATA.replace("os: busybox", "os: Unified").encode()
    with tarfile.open(plain, "w") as archive:
        images.add_file(archive, "metadata.yaml", text)
        images.add_folder(archive, "rootfs")
    with plain.open("rb") as source, image.open("wb") as target:
        subprocess.run([program], stdin=source, stdout=target, check=True)
    assert server.add(image) == sha256(image)
    (found,) = server.listed()
    assert (found["fingerprint"], found["size"]) == (sha256(image), image.stat().st_size)
    server("verify").ok()
    server("remove", sha256(image)).ok()
    assert server.files() == [PRODUCTS, simplestreams.INDEX]


def test_the_newest_version_has_the_aliases_and_they_can_move(server: Server) -> None:
    old = server.add(server.metadata(), server.root(), "--alias", "lts")
    new = server.add(server.metadata(created=DAY + 86_400), server.root("new.tar.xz", b"new\n"))
    assert [(image["fingerprint"], "lts" in aliases(image)) for image in server.listed()] == [(new, True), (old, False)]
    other = server.add(server.metadata("m2", release="2"), server.root("r2", b"2\n"), "--alias", "lts")
    assert [image["fingerprint"] for image in server.listed() if "lts" in aliases(image)] == [other]
    arm = server.metadata("m3", architecture="arm64")
    server.add(arm, server.root("r3", b"3\n"), "--alias", "lts")
    assert sorted(image["architecture"] for image in server.listed() if "lts/arm64" in aliases(image)) == ["aarch64"]
    assert [image["fingerprint"] for image in server.listed() if "lts" in aliases(image)] == [other]


def test_names_can_be_chosen(server: Server) -> None:
    server.add(server.metadata(), server.root(), "--no-default-alias", "--product-name", "mine", "--alias", "a")
    assert aliases(server.listed()[0]) == ["a", "a/amd64"]
    assert list(json.loads((server.folder / PRODUCTS).read_bytes())["products"]) == ["mine"]


def test_what_is_there_already_or_is_no_image_changes_nothing(server: Server) -> None:
    metadata, root = server.metadata(), server.root()
    server.add(metadata, root)
    before = {name: (server.folder / name).read_bytes() for name in server.files()}
    not_xz = server.inputs / "root.tar"
    with tarfile.open(not_xz, "w") as archive:
        images.add_file(archive, "a", b"")
    for words, text in (
        ((metadata, root), "Image with same fingerprint already exists"),
        ((metadata, server.root("other", b"other\n")), 'Already have a "root.tar.xz" file for this image'),
        (
            (server.metadata("m2", description="else"), server.root("o2", b"o2\n")),
            "is there already with other metadata",
        ),
        ((metadata, not_xz), 'Unsupported data type ".tar" (pack it as squashfs (mksquashfs) or .tar.xz)'),
        ((root, root), "metadata.yaml"),
        ((metadata,), "has metadata, but no rootfs (name the file with the root file system as well"),
        ((server.inputs / "nothing", root), "no such file or directory"),
        ((server.metadata("m3", os=None), root), 'Missing property "os" in metadata.yaml'),
        ((server.metadata("m4", os="a,b"), root), "cannot be a part of an alias"),
        ((server.metadata("m5", architecture="vax"), root), "Architecture isn't supported: vax"),
        ((server.metadata("m6", created=0), root), "Missing creation date"),
        ((server.metadata("m7", release="7"), server.root("o7", b"7\n"), "--alias", "a b"), "Alias 'a b'"),
    ):
        done = server("add", *words)
        done.failed(text)
        assert "Traceback" not in done.stderr
    assert {name: (server.folder / name).read_bytes() for name in server.files()} == before


def test_verify_tells_every_damage(server: Server) -> None:
    fingerprint = server.add(server.metadata(), server.root())
    paths = [server.folder / file["path"] for file in server.listed()[0]["files"]]
    metadata, root = paths[0].read_bytes(), paths[1].read_bytes()
    paths[0].write_bytes(metadata[:-1] + b"x")
    paths[1].write_bytes(root + b"x")
    told = server("verify").failed("different SHA256 hash").stderr
    assert f'File "images/{paths[1].name}" has a different size than listed in the index' in told
    paths[0].write_bytes(metadata)
    paths[1].unlink()
    server("verify").failed(f'Missing image file "images/{paths[1].name}"')
    paths[1].write_bytes(root)
    server("verify").ok()
    listed = (server.folder / PRODUCTS).read_text()
    (server.folder / PRODUCTS).write_text(listed.replace(fingerprint, "0" * 64))
    server("verify").failed("are not the image listed in the index")
    (server.folder / PRODUCTS).write_text(listed.replace("images/", "../images/"))
    server("verify").failed('"../images/')
    (server.folder / PRODUCTS).write_text(listed)
    (server.folder / simplestreams.INDEX).unlink()
    server("verify").failed("does not list")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"products": {"a": 7}}', '{"products": {"a": {"versions": []}}}'])
def test_a_list_that_is_none_is_not_overwritten(server: Server, content: str) -> None:
    (server.folder / "streams/v1").mkdir(parents=True)
    (server.folder / PRODUCTS).write_text(content)
    server("add", server.metadata(), server.root()).failed(f"{PRODUCTS} is not a list of products")
    assert server.files() == [PRODUCTS]
    assert (server.folder / PRODUCTS).read_text() == content


def test_what_others_wrote_is_kept(server: Server) -> None:
    server.add(server.metadata(), server.root())
    document = json.loads((server.folder / PRODUCTS).read_bytes())
    document["license"] = "free"
    document["products"]["Busybox:1:default:amd64"]["note"] = {"a": [1]}
    (server.folder / PRODUCTS).write_text(json.dumps(document))
    server.add(server.metadata("m2", release="2"), server.root("r2", b"2\n"))
    after = json.loads((server.folder / PRODUCTS).read_bytes())
    assert after["license"] == "free"
    assert after["products"]["Busybox:1:default:amd64"]["note"] == {"a": [1]}


def test_list(server: Server) -> None:
    fingerprint = server.add(server.metadata(), server.root())
    row = f"{fingerprint},Busybox 1 amd64 (202601020000),Busybox,1,default,x86_64,container,2026/01/02 00:00 UTC\n"
    assert server("list", "-f", "csv").ok().stdout == row
    assert "FINGERPRINT" in server("list").ok().stdout
    assert json.loads(server("list", "--format=json").ok().stdout)[0]["fingerprint"] == fingerprint
    server("list", "-f", "xml").failed('Invalid format "xml"')
    server("remove", "ffff").failed("Image not found")


def test_metadata_is_made_by_answering_questions(server: Server) -> None:
    path = server.inputs / "made.tar.xz"
    done = server("generate-metadata", path, stdin="Alpine\n3.20\n\narm64\n\n").ok()
    assert done.stdout.startswith('Operating system name: Release name: Variant name [default="default"]: ')
    server.add(path, server.root())
    (image,) = server.listed()
    assert (image["architecture"], image["properties"]["os"]) == ("aarch64", "Alpine")
    assert aliases(image) == ["Alpine/3.20/default/arm64"]
    server("generate-metadata", path, stdin="Alpine\n3.20\n\nvax\n\n").failed("Architecture isn't supported: vax")
    server("generate-metadata", path, stdin="").failed("it is empty")


def test_prune_keeps_the_newest_versions_and_what_is_listed(server: Server) -> None:
    days = [DAY + 86_400 * day for day in range(4)]
    added = [server.add(server.metadata(created=day), server.root(f"r{day}", b"%d" % day)) for day in days]
    (server.folder / "images/.partial").write_bytes(b"left by a killed add")
    (server.folder / "images/orphan.tar.xz").write_bytes(b"not listed")
    before = server.files()
    trial = server("prune", "--dry-run", "--retention=1").ok().stdout.splitlines()
    assert trial[:2] == ["Busybox:1:default:amd64:202601030000", "Busybox:1:default:amd64:202601020000"]
    assert len(trial) == 2 + 4 + 2
    assert server.files() == before
    assert server("prune", "-v", "-r", "1").ok().stdout.splitlines() == trial
    assert [image["fingerprint"] for image in server.listed()] == added[:1:-1]
    assert len(server.files()) == 2 + 4
    server("verify").ok()
    assert server("prune").ok().stdout == ""
    assert server("prune", "-r", "-1").status != 0


def test_prune_forgets_files_that_are_missing(server: Server) -> None:
    server.add(server.metadata(), server.root())
    kept = server.add(server.metadata("m2", release="2"), server.root("r2", b"2\n"))
    gone = next(image for image in server.listed() if image["fingerprint"] != kept)
    (server.folder / gone["files"][1]["path"]).unlink()
    server("verify").failed("Missing image file")
    server("prune").ok()
    assert [image["fingerprint"] for image in server.listed()] == [kept]
    assert len(server.files()) == 4
    server("verify").ok()


def test_two_at_once_lose_nothing(server: Server) -> None:
    words = [(server.metadata(f"m{n}", release=f"{n}"), server.root(f"r{n}", b"%d" % n)) for n in range(4)]
    running = [
        subprocess.Popen([PROGRAM, "add", *files], cwd=server.folder, stdout=subprocess.DEVNULL) for files in words
    ]
    assert [process.wait(timeout=60) for process in running] == [0] * 4
    assert sorted(image["properties"]["release"] for image in server.listed()) == ["0", "1", "2", "3"]


def test_no_root_is_needed(server: Server) -> None:
    if os.geteuid() != 0:
        pytest.skip("all the other tests have shown it")
    metadata, root = server.metadata(), server.root()
    for path in (server.folder, server.inputs, *server.inputs.iterdir()):
        os.chown(path, 65534, 65534)
    parents = [folder for folder in server.folder.parents if str(folder).startswith("/tmp/pytest")]
    for folder in parents:
        folder.chmod(folder.stat().st_mode | 0o055)
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(PROGRAM), "add", metadata, root]
    done = subprocess.run(words, cwd=server.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(server.listed()) == 1
