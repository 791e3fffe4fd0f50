"""What a disk can be, whose its files are inside, and what a guest cannot make of it."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon

USER = 12345


@pytest.fixture(params=["lxc", "stock-lxc"])
def lxc(request: pytest.FixtureRequest, lxc: Lxc) -> Lxc:
    """Each `lxc` program in turn."""
    return lxc if request.param == "lxc" else request.getfixturevalue("stock")


@pytest.fixture
def folder(daemon: Daemon, name: str) -> Iterator[Path]:
    """A directory of the host that belongs to a user."""
    place = daemon.state / f"of-{name}"
    place.mkdir(mode=0o700)
    (place / "note").write_text("theirs")
    (place / "note").chmod(0o600)
    for one in (place, place / "note"):
        os.chown(one, USER, USER)
    yield place
    processes.run(["rm", "-rf", place]).ok()


@pytest.fixture
def block(daemon: Daemon, name: str) -> Iterator[Path]:
    """A block device of the host with a file system in it."""
    image = daemon.state / f"{name}.img"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    processes.run(["mkfs.ext4", "-q", "-E", "root_owner=0:0", image]).ok()
    device = Path(processes.run(["losetup", "--find", "--show", image]).ok().stdout.strip())
    yield device
    processes.run(["losetup", "--detach", device]).ok()
    image.unlink()


Again = Callable[[], None]


@pytest.fixture(params=["plugged", "started"])
def again(request: pytest.FixtureRequest, lxc: Lxc, running: str) -> Again:
    """Nothing, or a restart: what is plugged and what is there from the start looks the same."""

    def restart() -> None:
        if request.param == "started":
            lxc("restart", "--force", running).ok()

    return restart


def add(lxc: Lxc, name: str, *words: str | Path) -> None:
    lxc("config", "device", "add", name, "d", "disk", *words).ok()


def as_user(lxc: Lxc, name: str, script: str) -> str:
    return lxc("exec", name, f"--user={USER}", f"--group={USER}", "--", "sh", "-c", script).ok().stdout


# Owners


def test_a_users_folder_works_for_the_same_user_inside(lxc: Lxc, running: str, folder: Path, again: Again) -> None:
    add(lxc, running, f"source={folder}", "path=/home/me")
    again()
    assert as_user(lxc, running, "cat /home/me/note && echo more >/home/me/new") == "theirs"
    assert (folder / "new").stat().st_uid == USER
    # Root's files on the host are not made from inside.
    assert lxc.run(running, "sh", "-c", "cp /bin/busybox /home/me/su; chmod 4755 /home/me/su").status != 0
    assert not [one for one in folder.iterdir() if one.stat().st_uid == 0]


def test_shift_shows_all_owners_and_false_none(lxc: Lxc, running: str, folder: Path, again: Again) -> None:
    add(lxc, running, f"source={folder}", "path=/mnt", "shift=true")
    again()
    lxc("exec", running, "--", "touch", "/mnt/roots").ok()
    assert (folder / "roots").stat().st_uid == 0
    lxc("config", "device", "set", running, "d", "shift=false").ok()
    again()
    assert lxc.run(running, "stat", "-c", "%u", "/mnt").stdout == "65534\n"
    assert lxc.run(running, "cat", "/mnt/note").status != 0


def test_what_cannot_be_shifted_is_told_with_the_line_to_type(lxc: Lxc, running: str, daemon: Daemon) -> None:
    tree = daemon.state / f"ov-{running}"
    for part in ("lower", "upper", "work", "merged"):
        (tree / part).mkdir(parents=True)
    os.chown(tree / "upper", USER, USER)
    layers = f"lowerdir={tree}/lower,upperdir={tree}/upper,workdir={tree}/work"
    processes.run(["mount", "-t", "overlay", "-o", layers, "o", tree / "merged"]).ok()
    try:
        words = [running, "d", "disk", f"source={tree}/merged", "path=/mnt"]
        done = lxc("config", "device", "add", *words, "shift=true")
        done.failed(f"the file system of {tree}/merged cannot show other owners")
        assert f'lxc config set {running} raw.idmap "both {USER} {USER}"' in done.stderr
        assert lxc.run(running, "ls", "-A", "/mnt").stdout == ""
        assert lxc("config", "device", "list", running).stdout.strip() == ""
        lxc("config", "device", "add", *words).ok()
        assert lxc.run(running, "stat", "-c", "%u", "/mnt").stdout == "65534\n"
        lxc("config", "device", "remove", running, "d").ok()
    finally:
        processes.run(["umount", tree / "merged"]).ok()
        processes.run(["rm", "-rf", tree]).ok()


# What a disk can be


def test_a_block_device_is_mounted(lxc: Lxc, running: str, block: Path, again: Again) -> None:
    add(lxc, running, f"source={block}", "path=data", "shift=true", "raw.mount.options=noatime,nodev")
    again()
    lxc("exec", running, "--", "sh", "-c", "echo text >/data/file").ok()
    shown = lxc.run(running, "grep", " /data ", "/proc/mounts").stdout
    assert "ext4" in shown
    assert {"noatime", "nodev"} <= set(shown.split()[3].split(","))
    lxc("config", "device", "remove", running, "d").ok()
    assert lxc.run(running, "cat", "/data/file").status != 0


def test_memory(lxc: Lxc, running: str, again: Again) -> None:
    add(lxc, running, "source=tmpfs:", "path=/fast", "size=1MiB", "raw.mount.options=noexec")
    again()
    lxc("exec", running, "--", "touch", "/fast/file").ok()
    assert lxc.run(running, "stat", "-c", "%u:%g", "/fast/file").stdout == "0:0\n"
    assert lxc.run(running, "dd", "if=/dev/zero", "of=/fast/big", "bs=1M", "count=2").status != 0
    shown = lxc.run(running, "grep", " /fast ", "/proc/mounts").stdout
    assert "tmpfs" in shown
    assert "noexec" in shown


def test_a_device_node_and_a_file_are_shown_as_such(lxc: Lxc, running: str, folder: Path, again: Again) -> None:
    lxc("config", "device", "add", running, "node", "disk", "source=/dev/fuse", "path=/opt/fuse").ok()
    add(lxc, running, f"source={folder}/note", "path=etc/note")
    again()
    assert lxc.run(running, "stat", "-c", "%F", "/opt/fuse").stdout == "character special file\n"
    assert as_user(lxc, running, "cat /etc/note") == "theirs"


def test_options_of_a_mount(lxc: Lxc, running: str, folder: Path, again: Again) -> None:
    add(lxc, running, f"source={folder}", "path=/mnt", "raw.mount.options=nosuid,nodev,noexec,noatime")
    again()
    shown = lxc.run(running, "grep", " /mnt ", "/proc/mounts").stdout
    assert {"nosuid", "nodev", "noexec", "noatime"} <= set(shown.split()[3].split(","))
    done = lxc("config", "device", "set", running, "d", "raw.mount.options=size=5")
    done.failed("Invalid mount option 'size=5' for a bind mount")
    assert lxc.run(running, "grep", " /mnt ", "/proc/mounts").stdout == shown


@pytest.mark.parametrize("word", ["required=false", "optional=true"])
def test_a_disk_may_lack_its_source(lxc: Lxc, running: str, word: str) -> None:
    add(lxc, running, "source=/nosuch", "path=/mnt", word)
    lxc("restart", "--force", running).ok()
    assert lxc.statuses()[running] == "Running"
    done = lxc("config", "device", "add", running, "e", "disk", "source=/no", "path=/e", word, "required=false")
    if word.startswith("optional"):
        done.failed('Cannot use both "required" and deprecated "optional" properties at the same time')


# What a guest cannot do


@pytest.mark.parametrize(
    ("words", "remount"),
    [(["readonly=true"], "rw"), (["raw.mount.options=nosuid,nodev"], "suid,dev"), (["raw.mount.options=ro"], "rw")],
)
def test_a_guest_cannot_lift_restrictions(
    lxc: Lxc, running: str, folder: Path, again: Again, words: list[str], remount: str
) -> None:
    add(lxc, running, f"source={folder}", "path=/mnt", "shift=true", *words)
    again()
    before = lxc.run(running, "grep", " /mnt ", "/proc/mounts").stdout
    assert lxc.run(running, "mount", "-o", f"remount,bind,{remount}", "/mnt").status != 0
    assert lxc.run(running, "grep", " /mnt ", "/proc/mounts").stdout == before
    lxc.run(running, "mkdir", "/elsewhere")
    lxc.run(running, "mount", "--bind", "/mnt", "/elsewhere")
    assert lxc.run(running, "mount", "-o", f"remount,bind,{remount}", "/elsewhere").status != 0


def test_a_link_that_a_guest_made_leads_nowhere(lxc: Lxc, running: str, folder: Path) -> None:
    add(lxc, running, f"source={folder}", "path=/home/me")
    secret = folder.with_name(f"{folder.name}-secret")
    secret.mkdir()
    try:
        (folder / "real").mkdir()
        os.chown(folder / "real", USER, USER)
        for target, status in ((f"{secret}", False), ("../../../..", False), ("real", True)):
            as_user(lxc, running, f"ln -sfn {target} /home/me/sub")
            done = lxc("config", "device", "add", running, "e", "disk", f"source={folder}/sub", "path=/inner")
            if status:
                done.ok()
                continue
            done.failed(f"a link of user {USER} leads to what belongs to user 0")
            assert lxc.run(running, "ls", "/inner").status != 0
        # Swapped between two starts.
        as_user(lxc, running, f"ln -sfn {secret} /home/me/sub")
        lxc("restart", "--force", running).failed(f"a link of user {USER} leads to what belongs to user 0")
    finally:
        secret.rmdir()


@pytest.mark.parametrize("path", ["/", "/../..", "//", "a/../.."])
def test_a_disk_cannot_cover_the_root(lxc: Lxc, running: str, folder: Path, path: str) -> None:
    assert lxc("config", "device", "add", running, "d", "disk", f"source={folder}", f"path={path}").status != 0
    assert lxc("config", "device", "list", running).stdout.strip() == ""


def test_a_user_of_the_host_cannot_reach_what_is_shown(
    lxc: Lxc, daemon: Daemon, running: str, folder: Path, again: Again
) -> None:
    add(lxc, running, f"source={folder}", "path=/mnt", "shift=true")
    again()
    lxc("exec", running, "--", "sh", "-c", "cp /bin/busybox /mnt/su; chmod 6755 /mnt /mnt/su").ok()
    (stage,) = (daemon.state / "devices" / running).iterdir()
    assert (stage / "su").exists()
    stranger = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "--"]
    assert processes.run([*stranger, "ls", stage]).status != 0
    assert processes.run([*stranger, stage / "su", "id"]).status != 0


def test_a_source_that_is_swapped_all_the_time_shows_nothing_else(lxc: Lxc, running: str, folder: Path) -> None:
    """What was looked at is what is mounted: a directory and a link to a secret change places all the time."""
    secret = folder.with_name(f"{folder.name}-secret")
    secret.mkdir()
    (secret / "secret").touch()
    place, spare = folder / "place", folder / "spare"
    place.mkdir()
    spare.symlink_to(secret)
    os.chown(place, USER, USER)
    os.chown(spare, USER, USER, follow_symlinks=False)
    script = (
        "import ctypes, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "a, b = (word.encode() for word in sys.argv[1:])\n"
        "while True:\n"
        "    libc.renameat2(-100, a, -100, b, 2)\n"
    )
    swapper = subprocess.Popen([sys.executable, "-c", script, str(place), str(spare)])
    shown = refused = 0
    try:
        for _ in range(60):
            done = lxc("config", "device", "add", running, "d", "disk", f"source={place}", "path=/mnt")
            if done.status != 0:
                assert f"a link of user {USER} leads to what belongs to user 0" in done.stderr
                refused += 1
                continue
            shown += 1
            assert lxc.run(running, "ls", "/mnt").stdout == ""
            lxc("config", "device", "remove", running, "d").ok()
    finally:
        swapper.kill()
        swapper.wait()
        processes.run(["rm", "-rf", secret]).ok()
    assert shown + refused == 60


def test_a_disk_is_plugged_in_fifty_milliseconds(daemon: Daemon, running: str, folder: Path) -> None:
    url = f"/1.0/instances/{running}"
    taken: list[float] = []
    for devices in [{"d": {"type": "disk", "source": str(folder), "path": "/mnt"}}, {}] * 10:
        body = daemon.request("GET", url).metadata
        began = time.monotonic()
        finished = daemon.operation("PUT", url, {**body, "devices": devices})
        taken.append(time.monotonic() - began)
        assert finished["status"] == "Success", finished
    # Of the whole request, with two connections; the median, as others use this machine too.
    assert statistics.median(taken[::2]) < 0.05, taken
    assert statistics.median(taken[1::2]) < 0.05, taken


def test_two_disks_cannot_have_one_path(lxc: Lxc, running: str, folder: Path) -> None:
    add(lxc, running, f"source={folder}", "path=/mnt")
    done = lxc("config", "device", "add", running, "e", "disk", f"source={folder}", "path=mnt/")
    done.failed(
        'Invalid devices: Device validation failed for "d": More than one disk device uses the same path "mnt/"'
    )
    assert lxc("config", "device", "list", running).stdout.split() == ["d"]
