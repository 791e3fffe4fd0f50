"""The scripts around the program: setting up, running from a checkout that nobody may write, installing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import watched
from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import REPOSITORY, Done, run

SETUP = REPOSITORY / "scripts/setup"
INSTALL = REPOSITORY / "scripts/install"


def in_a_mount_namespace(script: str) -> Done:
    """Run a shell script whose mounts nobody else sees."""
    return run(["unshare", "--mount", "--propagation=private", "sh", "-eu", "-c", script])


@pytest.fixture
def read_only_daemon(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A daemon for which all the host is read-only but /run and its own state directory."""
    if request.config.getoption("--against"):
        pytest.skip("starts a daemon of its own")
    program = tmp_path / "lxd"
    program.write_text(
        "#!/bin/sh -eu\n"
        'if [ "$1" != --group ]; then exec ' + shlex.quote(str(REPOSITORY / "bin/lxd")) + ' "$@"; fi\n'
        "exec unshare --mount --propagation=private sh -euc '\n"
        'for place in "$LXD_DIR" /run; do mount --bind "$place" "$place"; done\n'
        "mount -o remount,bind,ro /\n"
        'program=$1; shift; exec "$program" "$@"\n'
        "' sh " + shlex.quote(str(REPOSITORY / "bin/lxd")) + ' "$@"\n'
    )
    program.chmod(0o755)
    yield from watched(lambda daemon: daemon.start().initialise(), Daemon(program=program))


def test_it_writes_below_its_state_directory_and_run_only(read_only_daemon: Daemon, tmp_path: Path) -> None:
    root = Path(f"/proc/{read_only_daemon.pid}/root")
    with pytest.raises(OSError, match="Read-only file system"):
        (root / REPOSITORY.relative_to("/") / "bin/written").touch()
    lxc = Lxc(OURS, read_only_daemon.env, tmp_path)
    lxc("launch", "build:busybox", "c1").ok()
    assert lxc.run("c1", "hostname").stdout == "c1\n"
    lxc("file", "push", str(SETUP), "c1/root/setup").ok()
    assert lxc("file", "pull", "c1/root/setup", "-").ok().stdout == SETUP.read_text()
    lxc("stop", "c1").ok()
    lxc("start", "c1").ok()
    lxc("delete", "--force", "c1").ok()


def test_setup_replaces_an_lxcfs_that_has_died() -> None:
    done = in_a_mount_namespace(f"""
        umount --lazy /var/lib/lxcfs 2>/dev/null || true
        mount -t tmpfs none /run; mount -t tmpfs none /var/log
        lxcfs -p /run/first.pid /var/lib/lxcfs >/dev/null 2>&1 & first=$!
        until cat /var/lib/lxcfs/proc/meminfo >/dev/null 2>&1; do kill -0 $first; sleep 0.05; done
        kill -KILL $first; wait $first || true
        ! cat /var/lib/lxcfs/proc/meminfo 2>&1
        grep -q '^lxcfs /var/lib/lxcfs ' /proc/mounts
        {SETUP}; {SETUP}
        grep -c '^lxcfs /var/lib/lxcfs ' /proc/mounts
        grep '^MemTotal:' /var/lib/lxcfs/proc/meminfo
        second=$(cat /run/lxcfs.pid); echo "pid $second parent $(ps -o ppid= -p "$second" | tr -d ' ')"
        umount --lazy /var/lib/lxcfs; kill "$second"
    """).ok()
    assert "Transport endpoint is not connected" in done.stdout
    assert done.stdout.count("setup: starting lxcfs") == 1
    assert re.search(r"^1\nMemTotal: +\d+ kB\npid \d+ parent 1$", done.stdout, re.MULTILINE), done.stdout


def install(stage: Path, *options: str) -> Done:
    """Run scripts/install below a directory."""
    return run([INSTALL, *options], env={"DESTDIR": str(stage), "PREFIX": "/opt/lv"}, timeout_s=240)


def files_in(folder: Path) -> set[str]:
    """All that is no directory."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}


def test_what_belongs_to_another_lxd_is_not_overwritten(tmp_path: Path) -> None:
    foreign = tmp_path / "opt/lv/bin/lxc"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("another")
    install(tmp_path).failed(f"{foreign} is there and not ours")
    assert "nothing of ours" in install(tmp_path, "--remove").ok().stdout
    assert files_in(tmp_path) == {"opt/lv/bin/lxc"}


def test_it_runs_where_it_was_installed_and_goes_without_a_trace(tmp_path: Path) -> None:
    install(tmp_path).ok()
    prefix = tmp_path / "opt/lv"
    stale = prefix / "lib/lightervisor/lightervisor/stale.py"
    stale.touch()
    install(tmp_path).ok()
    assert not stale.exists()
    outside = {name for name in files_in(prefix) if not name.startswith("lib/lightervisor/")}
    assert outside == {
        "bin/lxc",
        "bin/lxd",
        "bin/lxd-simplestreams",
        "lib/systemd/system/lxd-containers.service",
        "lib/systemd/system/lxd.service",
        "lib/systemd/system/lxd.socket",
        "share/bash-completion/completions/lxc",
        "share/fish/vendor_completions.d/lxc.fish",
        "share/zsh/site-functions/_lxc",
    }
    done = in_a_mount_namespace(f"""
        mount -t tmpfs none /opt; mkdir /opt/lv; mount --bind {prefix} /opt/lv
        mount -t tmpfs none {REPOSITORY}
        export LXD_DIR={tmp_path}/state
        /opt/lv/bin/lxd --group root & daemon=$!
        trap "kill $daemon || true" EXIT
        /opt/lv/bin/lxd waitready --timeout=30
        LXD_CONF=$LXD_DIR /opt/lv/bin/lxc list
        /opt/lv/bin/lxd shutdown --timeout=30; wait $daemon
        bash -c 'source /opt/lv/share/bash-completion/completions/lxc && complete -p lxc'
        systemd-analyze verify /opt/lv/lib/systemd/system/lxd*
    """).ok()
    assert "| NAME | STATE |" in done.stdout
    assert "complete " in done.stdout
    install(tmp_path, "--remove").ok()
    assert not files_in(prefix)
