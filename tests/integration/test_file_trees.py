"""Trees and large files through one stream: what arrives, what is told, and what is left when it ends early."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually
from tests.harness.sftp import nameless_files
from tests.harness.terminal import Terminal

MIB = 1 << 20


def inside(lxc: Lxc, name: str, script: str) -> str:
    return lxc("exec", name, "--", "sh", "-c", script).ok().stdout


@pytest.fixture
def small_disk(lxc: Lxc, running: str) -> Iterator[str]:
    """A place in the instance that has 4 MiB."""
    inside(lxc, running, "mount -t tmpfs -o size=4m tmpfs /mnt")
    yield "/mnt"
    inside(lxc, running, "umount /mnt")


def test_many_files_of_all_kinds_arrive_as_they_are(lxc: Lxc, running: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "empty").mkdir(parents=True)
    for number in range(300):
        folder = tree / f"d{number % 7}" / f"e{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number}").write_bytes(os.urandom(number * 17))
        (folder / f"f{number}").chmod(0o600 + number % 8)
    (tree / "large").write_bytes(os.urandom(5 * MIB))
    (tree / "dangling").symlink_to("../nowhere")
    os.chown(tree / "dangling", 5, 6, follow_symlinks=False)
    (tree / os.fsdecode(b"latin-\xe4")).write_text("x")
    (tree / "d1").chmod(0o750)
    os.chown(tree / "d1", 11, 12)
    lxc("file", "push", "-r", tree, f"{running}/root").ok()
    listing = "export LC_ALL=C; find . | sort | tr '\\n' '\\0' | xargs -0 stat -c '%n %u %g %f %s'"
    there = inside(lxc, running, f"cd /root/tree; {listing} | grep -v ' 41'")
    here = subprocess.run(["sh", "-c", f"cd {tree}; {listing} | grep -v ' 41'"], capture_output=True, check=True)
    assert there == here.stdout.decode(errors="replace")
    assert inside(lxc, running, "stat -c '%u %g %a' /root/tree/d1") == "11 12 750\n"
    lxc("file", "pull", "-r", f"{running}/root/tree", tmp_path / "back").ok()
    back = tmp_path / "back/tree"
    subprocess.run(["diff", "-r", "--no-dereference", tree, back], check=True)
    assert {path.stat().st_mode for path in back.rglob("f*")} == {path.stat().st_mode for path in tree.rglob("f*")}
    assert not [path for path in back.rglob(".*")]


def test_pushing_again_changes_content_and_keeps_owners(lxc: Lxc, running: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("one")
    (tree / "link").symlink_to("file")
    lxc("file", "push", "-r", tree, f"{running}/root").ok()
    inside(lxc, running, "chown 5:6 /root/tree/file; chmod 640 /root/tree/file")
    (tree / "file").write_text("two")
    lxc("file", "push", "-r", tree, f"{running}/root").ok()
    shown = inside(lxc, running, "cd /root/tree; cat file; stat -c ' %u %g %a' file; ls -A")
    assert shown == "two 5 6 640\nfile\nlink\n"
    (tree / "link").unlink()
    (tree / "link").symlink_to("other")
    lxc("file", "push", "-r", tree, f"{running}/root").failed("file exists")
    lxc("file", "push", "-r", tree, f"{running}/root/no/where").failed("Not Found")
    lxc("file", "push", "-r", "-p", tree, f"{running}/root/no/where").ok()
    assert inside(lxc, running, "cat /root/no/where/tree/file") == "two"


def test_files_that_do_not_say_how_large_they_are_are_pushed_whole(lxc: Lxc, running: str) -> None:
    lxc("file", "push", "-r", "/proc/sys/kernel/random", f"{running}/root").ok()
    assert inside(lxc, running, "cat /root/random/boot_id") == Path("/proc/sys/kernel/random/boot_id").read_text()


def test_holes_stay_holes(lxc: Lxc, running: str, tmp_path: Path) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.seek(300 * MIB)
        file.write(b"end")
        file.truncate(512 * MIB)
    folder = tmp_path / "folder"
    folder.mkdir()
    os.link(sparse, folder / "sparse")
    lxc("file", "push", "--mode=0604", sparse, f"{running}/root/one").ok()
    lxc("file", "push", "-r", folder, f"{running}/root").ok()
    shown = inside(
        lxc, running, "cd /root; stat -c '%s %a' one; du -k one folder/sparse; tail -c +314572801 one | head -c 3"
    )
    size, one, other, end = shown.splitlines()
    assert (size, end) == (f"{512 * MIB} 604", "end")
    assert int(one.split()[0]) < 1024
    assert int(other.split()[0]) < 1024
    lxc("file", "pull", f"{running}/root/one", tmp_path / "back").ok()
    assert ((tmp_path / "back").stat().st_size, (tmp_path / "back").stat().st_blocks < 4096) == (512 * MIB, True)
    lxc("file", "pull", "-r", f"{running}/root/folder", tmp_path / "again").ok()
    again = (tmp_path / "again/folder/sparse").stat()
    assert (again.st_size, again.st_blocks < 4096) == (512 * MIB, True)


def test_a_full_disk_is_told_and_leaves_what_came_whole(
    lxc: Lxc, running: str, small_disk: str, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_text("whole")
    (tree / "b").write_bytes(bytes(1) + os.urandom(16 * MIB))
    lxc("file", "push", "-r", tree, f"{running}{small_disk}").failed("no space left on device")
    eventually(lambda: inside(lxc, running, f"cd {small_disk}/tree; ls -A; cat a") == "a\nwhole", what="b to be gone")


@pytest.mark.parametrize("words", [["-r"], []], ids=["tree", "file"])
def test_ctrl_c_leaves_no_half_a_file(lxc: Lxc, daemon: Daemon, running: str, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "tree").mkdir()
    large = tmp_path / "tree/large"
    with large.open("wb") as file:
        for _ in range(64):
            file.write(os.urandom(MIB) * 8)
    source, target = (large.parent, f"{running}/root") if words else (large, f"{running}/root/large")
    push = subprocess.Popen([OURS, "file", "push", *words, source, target], env={**os.environ, **lxc.env})
    eventually(lambda: nameless_files(daemon) > 0, what="the push to begin")
    push.send_signal(signal.SIGINT)
    assert push.wait(timeout=30) == -signal.SIGINT
    eventually(lambda: nameless_files(daemon) == 0, what="the push to end")
    assert inside(lxc, running, "find /root -type f") == ""


def test_a_pull_that_is_interrupted_leaves_no_half_a_file(lxc: Lxc, running: str, tmp_path: Path) -> None:
    inside(lxc, running, "head -c 500m /dev/zero | tr '\\0' x >/root/large")
    back = tmp_path / "back"
    back.mkdir()
    (back / "old").write_text("before")
    for words in (["-r", f"{running}/root", str(back)], [f"{running}/root/large", str(back / "old")]):
        pull = subprocess.Popen([OURS, "file", "pull", *words], env={**os.environ, **lxc.env})
        eventually(lambda: any(path.stat().st_size for path in back.rglob(".*")), what="the pull to begin")
        pull.send_signal(signal.SIGINT)
        assert pull.wait(timeout=30) == -signal.SIGINT
        assert [path.name for path in back.rglob("*") if path.is_file()] == ["old"]
    assert (back / "old").read_text() == "before"


def test_what_takes_long_tells_how_far_it_is(lxc: Lxc, running: str, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/large").write_bytes(os.urandom(200 * MIB))
    terminal = Terminal([str(OURS), "file", "push", "-r", str(tmp_path / "tree"), f"{running}/root"], lxc.env)
    terminal.expect("Pushing to /root: ")
    terminal.expect("%")
    assert terminal.end() == 0


def test_links_of_an_earlier_pull_are_not_followed(lxc: Lxc, running: str, tmp_path: Path) -> None:
    """The guest changes a link into a folder, so that the next pull would go where the link leads."""
    (tmp_path / "home").mkdir()
    inside(lxc, running, f"mkdir /root/t; ln -s {tmp_path}/home /root/t/x; ln -s {tmp_path}/home/file /root/t/y")
    lxc("file", "pull", "-r", f"{running}/root/t", tmp_path / "back").ok()
    inside(lxc, running, "cd /root/t; rm x y; mkdir x; echo evil >x/file; echo evil >y")
    lxc("file", "pull", "-r", f"{running}/root/t", tmp_path / "back").ok()
    assert list((tmp_path / "home").iterdir()) == []
    assert (tmp_path / "back/t/x/file").read_text() == "evil\n"
    assert (tmp_path / "back/t/y").read_text() == "evil\n"
