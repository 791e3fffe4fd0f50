"""Overlay mounts in both ways the kernel offers, and what is said when it refuses. Needs root."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lightervisor.errors import HostError, Unsupported
from lightervisor.kernel import mounts, overlay
from lightervisor.kernel.idmap import IdMap, IdRange
from lightervisor.storage.driver import storage_driver

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
MAP = IdMap((IdRange("both", 1_000_000, 0, 65536),))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    for name in ("one", "two", "top/upper", "top/work", "target", "scratch"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "one/file").write_text("one")
    (tmp_path / "two/file").write_text("two")
    (tmp_path / "two/only").write_text("two")
    yield tmp_path
    mounts.umount(tmp_path / "target", lazy=True)


def refuse_descriptors(*_: object) -> None:
    raise overlay.ByPathOnly


@pytest.mark.parametrize("old_kernel", [False, True])
@pytest.mark.parametrize("idmap", [MAP, None])
def test_layers_lie_in_order_and_can_be_written(
    place: Path, monkeypatch: pytest.MonkeyPatch, idmap: IdMap | None, *, old_kernel: bool
) -> None:
    if old_kernel:  # what a kernel before 6.13 answers cannot be had here
        monkeypatch.setattr(overlay, "configure", refuse_descriptors)
    target = place / "target"
    layers = overlay.Layers(lowers=[place / "one", place / "two"], top=place / "top")
    overlay.mount(layers, target, idmap, scratch=place / "scratch")
    assert (target / "file").read_text() == "one"
    assert (target / "only").stat().st_uid == (1_000_000 if idmap else 0)
    owner = 1_000_000 if idmap else 0
    overlay.run_as(owner, owner, lambda: write(target / "new"))
    assert (place / "top/upper/new").stat().st_uid == 0
    assert list((place / "scratch").iterdir()) == []
    mounted = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(place) in line]
    assert len(mounted) == 1


def write(path: Path) -> None:
    path.write_text("x")


def test_a_refusal_quotes_the_kernel_and_leaves_nothing(place: Path) -> None:
    (place / "top/work").rmdir()
    with pytest.raises(HostError, match="Overlay mount"):
        overlay.mount(overlay.Layers(lowers=[place / "one"], top=place / "top"), place / "target", MAP, scratch=place)
    assert not mounts.is_mountpoint(place / "target")


def test_an_overlay_that_the_kernel_made_read_only_is_refused(place: Path) -> None:
    mounts.bind(place / "top", place / "top")
    mounts.mount("none", place / "top", flags=4096 | 32 | 1)
    try:
        with pytest.raises(HostError, match=r"(?i)read-only"):
            overlay.mount(
                overlay.Layers(lowers=[place / "one"], top=place / "top"), place / "target", MAP, scratch=place
            )
    finally:
        mounts.umount(place / "top")
    assert not mounts.is_mountpoint(place / "target")


def test_another_identity_is_the_threads_alone() -> None:
    seen: list[str] = []

    def look() -> None:
        seen.append(Path(f"/proc/self/task/{threading.get_native_id()}/status").read_text())

    overlay.run_as(1234, 1235, look)
    assert "Uid:\t0\t0\t0\t1234" in seen[0]
    assert "Gid:\t0\t0\t0\t1235" in seen[0]
    assert "Uid:\t0\t0\t0\t0" in Path("/proc/self/status").read_text()
    here = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    assert here in seen[0]


def test_what_the_work_raises_is_raised() -> None:
    work: Callable[[], None] = lambda: (_ for _ in ()).throw(ValueError("mine"))  # noqa: E731
    with pytest.raises(ValueError, match="mine"):
        overlay.run_as(1, 1, work)


def test_overlay_on_overlay_is_refused_with_the_way_out(place: Path) -> None:
    layers = overlay.Layers(lowers=[place / "one"], top=place / "top")
    overlay.mount(layers, place / "target", None, scratch=place / "scratch")
    with pytest.raises(Unsupported, match="overlayfs") as caught:
        storage_driver("overlay").probe(place / "target/pool")
    assert "dir" in caught.value.remedy


def test_a_file_system_without_id_mapped_mounts_is_refused(tmp_path: Path) -> None:
    for name in ("overlay", "dir"):
        with pytest.raises(Unsupported):
            storage_driver(name).probe(Path("/proc"))
