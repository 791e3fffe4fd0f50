"""The program that copies what changes meanwhile."""

from __future__ import annotations

import mmap
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lightervisor.errors import Failure, HostError
from lightervisor.kernel import moments, tree_copy
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.moments import Copied


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree with what is hard to keep."""
    root = tmp_path / "source"
    for name in ("etc", "deep/er/est", "empty"):
        (root / name).mkdir(parents=True)
    (root / "etc/one").write_text("one")
    os.link(root / "etc/one", root / "deep/same")
    (root / "etc/link").symlink_to("/etc/shadow")
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(b"middle")
    (root / "etc/one").chmod(0o640)
    os.setxattr(root / "etc/one", "user.note", b"kept")
    os.utime(root / "deep/er", ns=(1, 2))
    if os.geteuid() == 0:
        (root / "tool").write_text("x")
        os.chown(root / "tool", 5, 6)
        (root / "tool").chmod(0o4755)
        os.chown(root / "dangling", 7, 8, follow_symlinks=False)
        os.mknod(root / "whiteout", 0o020000, 0)
    return root


def listing(root: Path) -> str:
    """All that is to be kept of a tree, as find(1) has it, and its contents."""
    words = ["find", ".", "-printf", "%p %y %m %U %G %n %T@ %l %s\n"]
    found = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True).stdout
    sums = "find . -type f ! -name sparse -exec md5sum {} +; getfattr -h -R -d -m - ."
    content = subprocess.run(["sh", "-c", sums], cwd=root, capture_output=True, text=True, check=True).stdout
    return "\n".join(sorted(found.splitlines()) + sorted(content.splitlines()))


def test_a_copy_has_everything(source: Path, tmp_path: Path) -> None:
    held: list[str] = []

    @contextmanager
    def still() -> Iterator[None]:
        held.append("held")
        yield
        held.append("let go")

    moments.copy_trees([Copied(source, tmp_path / "copy")], still)
    assert listing(tmp_path / "copy") == listing(source)
    assert (tmp_path / "copy/sparse").stat().st_blocks <= 64
    assert (tmp_path / "copy/etc/one").samefile(tmp_path / "copy/deep/same")
    assert held == ["held", "let go"]


def test_what_changes_before_the_moment_is_in_it_and_nothing_after(source: Path, tmp_path: Path) -> None:
    moment: list[str] = []

    @contextmanager
    def still() -> Iterator[None]:
        # The first passes are over: every kind of change is left to the last.
        (source / "etc/one").write_text("two")
        (source / "etc/new").write_text("new")
        os.link(source / "etc/one", source / "etc/third")
        (source / "etc/link").unlink()
        (source / "etc/link").mkdir()
        (source / "etc/link/in").write_text("in")
        (source / "deep/er").rename(source / "empty/er")
        (source / "pipe").unlink()
        (source / "pipe").write_text("a file now")
        (source / "dangling").unlink()
        os.removexattr(source / "etc/one", "user.note")
        os.setxattr(source / "empty", "user.more", b"1")
        (source / "etc").chmod(0o700)
        moment.append(listing(source))
        yield
        moment.append(listing(tmp_path / "copy"))
        (source / "etc/one").write_text("three")

    moments.copy_trees([Copied(source, tmp_path / "copy")], still)
    assert moment[0] == moment[1] == listing(tmp_path / "copy")


def test_a_tree_that_changes_all_the_time(source: Path, tmp_path: Path) -> None:
    ends, failures = threading.Event(), list[BaseException]()

    def busy() -> None:
        number = 0
        try:
            while not ends.is_set():
                number += 1
                place = source / f"etc/n{number % 50}"
                place.write_text(str(number))
                place.rename(source / f"deep/m{number % 40}")
                (source / "swap").mkdir()
                (source / "swap/x").write_text("x")
                (source / "swap/x").unlink()
                (source / "swap").rmdir()
                (source / "swap").symlink_to("/etc")
                (source / "swap").unlink()
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    writer = threading.Thread(target=busy)
    writer.start()
    moment: list[str] = []

    @contextmanager
    def still() -> Iterator[None]:
        ends.set()
        writer.join()
        moment.append(listing(source))
        yield

    moments.copy_trees([Copied(source, tmp_path / "copy")], still)
    assert not failures
    assert listing(tmp_path / "copy") == moment[0]
    assert not (tmp_path / "copy/swap/passwd").exists()


def test_several_trees_have_one_moment(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()

    @contextmanager
    def still() -> Iterator[None]:
        (other / "f").write_text("f")
        (source / "g").write_text("g")
        yield

    moments.copy_trees([Copied(source, tmp_path / "a"), Copied(other, tmp_path / "b")], still)
    assert (tmp_path / "a/g").read_text() == "g"
    assert (tmp_path / "b/f").read_text() == "f"


def test_where_the_program_fails_all_is_copied_while_held(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(moments, "_START", "import sys; sys.exit('copying failed: Too many open files')")
    held: list[bool] = []

    @contextmanager
    def still() -> Iterator[None]:
        held.append(True)
        assert not (tmp_path / "copy").exists()
        yield

    moments.copy_trees([Copied(source, tmp_path / "copy")], still)
    assert held == [True]
    assert "Too many open files" in caplog.text
    assert listing(tmp_path / "copy") == listing(source)


def test_what_fails_at_the_moment_is_told(source: Path, tmp_path: Path) -> None:
    @contextmanager
    def still() -> Iterator[None]:
        (tmp_path / "copy").rename(tmp_path / "away")
        (source / "late").write_text("x")
        for place in (tmp_path / "away", tmp_path / "away/etc"):
            subprocess.run(["chattr", "+i", place], check=False)
        yield

    if subprocess.run(["chattr", "+i", source / "empty"], check=False, capture_output=True).returncode:
        pytest.skip("needs root and a file system with chattr")
    subprocess.run(["chattr", "-i", source / "empty"], check=True)
    try:
        with pytest.raises(HostError, match="not permitted"):
            moments.copy_trees([Copied(source, tmp_path / "copy")], still)
    finally:
        subprocess.run(["chattr", "-R", "-i", tmp_path / "away"], check=False, capture_output=True)


def test_who_waits_may_cancel_it(source: Path, tmp_path: Path) -> None:
    watch = Watch()

    @contextmanager
    def still() -> Iterator[None]:
        watch.cancel()
        yield

    with pytest.raises(Failure, match="cancelled"):
        moments.copy_trees([Copied(source, tmp_path / "copy")], still, watch)
    with pytest.raises(Failure, match="cancelled"):
        moments.copy_trees([Copied(source, tmp_path / "copy")], None, watch)


@pytest.fixture(params=["disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system that writes out, and on one that does not."""
    if request.param == "disk":
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


def test_what_is_written_to_a_mapping_is_seen(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel changes the times of a file with the first write to a page of it only, until the page is on disk."""
    monkeypatch.setattr(tree_copy, "_QUIET_NS", 50_000_000)
    (place / "source").mkdir()
    with (place / "source/db").open("w+b") as file:
        file.truncate(mmap.PAGESIZE)
        with mmap.mmap(file.fileno(), mmap.PAGESIZE) as mapped:
            tree = tree_copy.Tree(os.fsencode(place / "source"), os.fsencode(place / "copy"))
            for word in (b"one", b"two", b"six", b"ten", b"all"):
                mapped[:3] = word
                time.sleep(0.1)  # what has just changed is copied again anyway
                tree.bring_up_to_date(is_still=False)
                assert (place / "copy/db").read_bytes()[:3] == word


@pytest.mark.parametrize("can", [True, False], ids=["slow", "cannot write out"])
def test_what_may_change_without_showing_it_is_copied_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can: bool
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/new").write_text("new")
    quiet_ns = 300_000_000 if can else 0
    copied: list[int] = []

    def slow(_source: int, _target: int, size: int) -> None:
        copied.append(size)
        time.sleep(quiet_ns / 1e9)  # it had changed just before, however long this takes

    monkeypatch.setattr(tree_copy, "_QUIET_NS", quiet_ns)
    monkeypatch.setattr(tree_copy, "_copy_content", slow)
    monkeypatch.setattr(tree_copy, "_write_out", lambda _: can)
    tree = tree_copy.Tree(os.fsencode(tmp_path / "source"), os.fsencode(tmp_path / "copy"))
    tree.bring_up_to_date(is_still=False)
    tree.bring_up_to_date(is_still=True)
    tree.bring_up_to_date(is_still=True)
    assert copied == [3, 3]
