"""Arguments of `lxc image import`, names of `lxc image export`, packing a directory, progress."""

import io
import subprocess
from pathlib import Path

import pytest

from lightervisor.cli import image_export, image_import, image_pack, progress, transfer
from lightervisor.cli.errors import CommandError, WrongArguments

FILES = ("a.tar.gz", "b.tar.gz", "k=v.tar.gz", "c:")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ("a.tar.gz", ("", ["a.tar.gz"], [])),
        ("a.tar.gz b.tar.gz", ("", ["a.tar.gz", "b.tar.gz"], [])),
        ("a.tar.gz r1: os=x b.tar.gz release=y", ("r1:", ["a.tar.gz", "b.tar.gz"], ["os=x", "release=y"])),
        ("a.tar.gz k=v.tar.gz", ("", ["a.tar.gz", "k=v.tar.gz"], [])),
        ("missing.tar.gz", ("", ["missing.tar.gz"], [])),
        ("missing=file", ("", ["missing=file"], [])),
        ("https://host/?a=b r1:", ("r1:", ["https://host/?a=b"], [])),
        ("c:", ("", ["c:"], [])),
    ],
)
def test_arguments_are_told_apart(arguments: str, found: tuple[str, list[str], list[str]]) -> None:
    assert image_import.sorted_out(arguments.split(), FILES.__contains__) == found


@pytest.mark.parametrize("arguments", ["r1:", "a.tar.gz b.tar.gz missing"])
def test_one_or_two_files_are_wanted(arguments: str) -> None:
    with pytest.raises(WrongArguments):
        image_import.sorted_out(arguments.split(), FILES.__contains__)


@pytest.mark.parametrize(
    ("target", "name", "path"),
    [
        ("x", "abc.tar.gz", "x.tar.gz"),
        ("x", "ubuntu-22.04.tar.xz", "x.tar.xz"),
        ("x", "abc.squashfs", "x.squashfs"),
        ("x.1", "abc.tar", "x.1.tar"),
        ("x.tar.gz", "abc.tar.gz", "x.tar.gz"),
        ("x.tar.gz", "abc.tar.xz", "x.tar.gz"),
        ("x.tgz", "abc.tar.gz", "x.tgz"),
        ("x", "", "x"),
        (".", "abc.tar.gz", "abc.tar.gz"),
    ],
)
def test_a_unified_image_gets_its_extension_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, name: str, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert image_export.unified_path(Path(target), name) == Path(path)


def test_the_parts_of_a_split_image_have_two_names(tmp_path: Path) -> None:
    target = tmp_path / "x.tar.gz"
    assert image_export.split_path(target, "meta-abc.tar.xz", is_root=False) == target
    assert image_export.split_path(target, "abc.tar.gz", is_root=True) == tmp_path / "x.tar.gz.root"
    assert image_export.split_path(tmp_path, "meta-abc.tar.xz", is_root=False) == tmp_path / "meta-abc.tar.xz"
    assert image_export.split_path(tmp_path, "abc.tar.gz", is_root=True) == tmp_path / "abc.tar.gz"


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)


def image_folder(folder: Path) -> Path:
    (folder / "rootfs/etc").mkdir(parents=True)
    (folder / "rootfs/etc/hostname").write_text("c1\n")
    (folder / "metadata.yaml").write_text("architecture: x86_64\n")
    (folder / "other").write_text("not a part of the image")
    return folder


def packed(packer: image_pack.Packer) -> bytes:
    return b"".join(iter(lambda: packer.read(1 << 16), b""))


@pytest.mark.parametrize("with_templates", [True, False])
def test_a_directory_is_packed(as_root: None, tmp_path: Path, with_templates: bool) -> None:
    folder = image_folder(tmp_path / "busy")
    if with_templates:
        (folder / "templates").mkdir()
    with image_pack.Packer(folder) as packer:
        assert packer.name.startswith("busy.tar.")
        archive = tmp_path / packer.name
        archive.write_bytes(packed(packer))
    listed = subprocess.run(["tar", "-taf", archive], capture_output=True, text=True, check=True).stdout.split()
    wanted = ["metadata.yaml", "rootfs/", "rootfs/etc/", "rootfs/etc/hostname"]
    assert listed == wanted + (["templates/"] if with_templates else [])


def test_a_directory_without_metadata_is_no_image(as_root: None, tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "busy")
    (folder / "metadata.yaml").unlink()
    with pytest.raises(CommandError, match=r"has no metadata\.yaml"):
        image_pack.Packer(folder)


def test_only_root_can_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(CommandError, match="Must run as root"):
        image_pack.Packer(image_folder(tmp_path / "busy"))


def test_what_tar_complains_of_is_told_before_the_end(
    as_root: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar = tmp_path / "bin/tar"
    tar.parent.mkdir()
    tar.write_text("#!/bin/sh\necho half\necho 'tar: disk gone' >&2\nexit 2\n")
    tar.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tar.parent}:/usr/bin:/bin")
    with (
        image_pack.Packer(image_folder(tmp_path / "busy")) as packer,
        pytest.raises(CommandError, match="tar: disk gone"),
    ):
        packed(packer)


@pytest.mark.parametrize(
    ("count", "total", "seconds", "text"),
    [
        (50, 200, 1.0, "25% (50B/s)"),
        (300, 200, 1.0, "100% (300B/s)"),
        (12_340_000, 0, 2.0, "12.34MB (6.17MB/s)"),
        (1, 2, 0.0, "50% (0B/s)"),
    ],
)
def test_progress_is_a_share_or_a_count(count: int, total: int, seconds: float, text: str) -> None:
    assert transfer.told(count, total, seconds) == text


def test_reading_is_counted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    meter = transfer.Meter(progress.Line("Transferring image", is_shown=True), 8)
    file = transfer.Metered(io.BytesIO(b"12345678"), meter)
    assert [file.read(4), file.read(4), file.read(4)] == [b"1234", b"5678", b""]
    assert "Transferring image: 50% (4B/s)" in capsys.readouterr().out
