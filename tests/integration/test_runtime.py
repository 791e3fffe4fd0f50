"""The life of a container in the runtime engine: start, stop, reboot, and what a daemon finds again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import signal
from pathlib import Path

import pytest

from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import cgroup, pidfd
from lightervisor.kernel.idmap import host_ranges
from lightervisor.runtime import console_log
from lightervisor.runtime.attached import Attached
from lightervisor.runtime.spawner import Spawner
from tests.harness.processes import eventually, signals
from tests.harness.runtime_host import Host, proc

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")


async def test_starts_runs_programs_and_stops(host: Host) -> None:
    pid = await host.start()
    assert host.containers.state(host.name) == "Running"
    assert proc(pid, "uid_map").split()[:2] == ["0", str(host_ranges().host_root)]
    assert await host.run("cat", "/proc/1/comm") == (0, "init\n")
    assert await host.run("hostname") == (0, f"{host.name}\n")
    assert await host.run("sh", "-c", 'echo "$WORD $container"; pwd; id -u', cwd="/etc", ids=(7, 8)) == (
        0,
        "of mouth lxc\n/etc\n7\n",
    )
    await host.containers.kill(host.name)
    assert host.containers.state(host.name) == "Stopped"
    assert host.exits == [(host.name, "stop")]
    assert not _is_alive(pid)


async def test_exit_statuses_are_those_of_a_shell(host: Host) -> None:
    await host.start()
    assert (await host.run("sh", "-c", "exit 7"))[0] == 7
    assert (await host.run("sh", "-c", "kill -9 $$"))[0] == 137
    assert (await host.run("/no/such/program"))[0] == 127
    assert (await host.run("/etc/passwd"))[0] == 126


async def test_a_program_inside_gets_no_descriptor_of_ours(host: Host) -> None:
    await host.start()
    status, listing = await host.run("sh", "-c", "ls /proc/self/fd; ls /proc/1/fd | tail -n 1")
    assert status == 0
    # The fourth is the directory that ls reads.
    assert listing.split() == ["0", "1", "2", "3", "10"] or int(listing.split()[-1]) <= 10
    assert listing.split()[:4] == ["0", "1", "2", "3"]


async def test_descriptors_of_the_monitor_lead_nowhere_near_the_daemon(host: Host) -> None:
    pid = await host.start()
    monitor = pidfd.parent(pid)
    assert monitor is not None
    sockets = {target for target in _targets("self") if target.startswith(("socket:", "pipe:"))}
    assert not sockets & (_targets(monitor) | _targets(pid))


def _targets(pid: int | str) -> set[str]:
    found: set[str] = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(entry.readlink()))
    return found


def _is_alive(pid: int) -> bool:
    # A zombie waits only for the machine's own init.
    return pidfd.status(pid).get("State", "Z")[0] != "Z"


async def test_a_clean_stop_lets_init_end(host: Host) -> None:
    pid = await host.start()
    # The kernel drops what an init has set no trap for, and it runs for a moment before it has.
    await asyncio.to_thread(eventually, lambda: _catches(pid, signal.SIGPWR), what="init to set its trap")
    await host.containers.shut_down(host.name, 5)
    assert host.exits == [(host.name, "stop")]


def _catches(pid: int, number: int) -> bool:
    return bool(int(pidfd.status(pid).get("SigCgt", "0"), 16) & 1 << number - 1)


async def test_an_init_that_will_not_stop_is_told(host: Host) -> None:
    host.write("sbin/init", "#!/bin/sh\ntrap '' PWR\nwhile :; do sleep 3600; done\n", 0o755)
    await host.start()
    with pytest.raises(TimeoutError):
        await host.containers.shut_down(host.name, 0.2)
    assert host.containers.state(host.name) == "Running"


async def test_the_signal_of_a_clean_stop_can_be_chosen(host: Host) -> None:
    host.write("sbin/init", "#!/bin/sh\ntrap 'exit 0' USR1\nwhile :; do sleep 3600 & wait $!; done\n", 0o755)
    await host.start({"raw.lxc": "lxc.signal.halt = SIGUSR1"})
    await host.run("sleep", "0.1")  # until init has set its trap
    await host.containers.shut_down(host.name, 5)


async def test_a_guest_that_reboots_is_followed(host: Host) -> None:
    first = await host.start()
    await host.run("/bin/busybox", "reboot", "-f")
    assert await host.next_exit() == "reboot"
    second = host.containers.init_pid(host.name)
    assert host.containers.state(host.name) == "Running" and second not in (None, first)
    assert await host.run("true") == (0, "")
    await host.containers.kill(host.name)
    assert host.exits == [(host.name, "reboot"), (host.name, "stop")]


async def test_a_stop_wins_over_a_reboot(host: Host) -> None:
    await host.start()
    null = os.open(os.devnull, os.O_RDWR)
    program = await host.containers.attach(host.name, ["/bin/busybox", "reboot", "-f"], fds=(null, null, null))
    os.close(null)
    await host.containers.kill(host.name)
    assert host.containers.state(host.name) == "Stopped"
    await program.wait()


async def test_a_frozen_container_can_be_thawed_and_killed(host: Host) -> None:
    await host.start()
    await host.containers.freeze(host.name)
    assert host.containers.state(host.name) == "Frozen"
    with pytest.raises(Invalid, match="frozen"):
        await host.run("true")
    await host.containers.unfreeze(host.name)
    assert await host.run("true") == (0, "")
    await host.containers.freeze(host.name)
    await host.containers.kill(host.name)
    assert host.containers.state(host.name) == "Stopped"


async def test_what_was_frozen_behind_our_back_runs_nothing_and_can_be_killed(host: Host) -> None:
    cgroup.set_frozen(cgroup.payload(await host.start(), host.name), frozen=True)
    assert host.containers.state(host.name) == "Frozen"
    with pytest.raises(Invalid, match="frozen"):
        await host.run("true")
    await host.containers.unfreeze(host.name)
    assert host.containers.state(host.name) == "Running"
    assert (await host.run("true"))[0] == 0
    cgroup.set_frozen(cgroup.payload(host.containers.init_pid(host.name) or 0, host.name), frozen=True)
    async with asyncio.timeout(60):
        await host.containers.kill(host.name)
    assert host.containers.state(host.name) == "Stopped"


async def test_an_attach_that_hangs_holds_nobody_up(host: Host) -> None:
    groups = cgroup.payload(await host.start(), host.name)
    cgroup.set_frozen(groups, frozen=True)
    null = os.open(os.devnull, os.O_RDWR)
    arguments = (host.name, str(host.folder / "containers"), [b"true"], [b"PATH=/bin"], b"/", (0, 0), False)
    hanging = asyncio.create_task(host.spawner.follow("attach", *arguments, fds=[null] * 3))
    async with asyncio.timeout(60):
        await asyncio.to_thread(eventually, lambda: _entered(groups) > 1, what="the attach to come there")
        await host.spawner.request("version", [])
        assert not hanging.done()
        cgroup.set_frozen(groups, frozen=False)
        assert await Attached(await hanging).wait() == 0
    os.close(null)


def _entered(groups: dict[str, Path]) -> int:
    """How many processes are in a container's freezer."""
    return len(cgroup.processes([groups.get("freezer") or groups[""]]))


async def test_a_freeze_waits_for_what_is_being_attached(host: Host) -> None:
    await host.start()
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(10):
        attempts = [
            asyncio.create_task(host.containers.attach(host.name, ["true"], fds=(null, null, null))) for _ in range(4)
        ]
        for _ in range(number):
            await asyncio.sleep(0)
        async with asyncio.timeout(60):
            await host.containers.freeze(host.name)
            attached = await asyncio.gather(*attempts, return_exceptions=True)
            assert all(isinstance(one, Attached) or "frozen" in str(one) for one in attached), attached
            await host.containers.unfreeze(host.name)
            for one in attached:
                if isinstance(one, Attached):
                    await one.wait()
    os.close(null)


async def test_many_commands_at_once_and_an_odd_parent_harm_nothing(host: Host) -> None:
    many = 300
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    former = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    resource.setrlimit(resource.RLIMIT_NOFILE, (many, limit[1]))
    try:
        host.spawner.close()
        host.spawner = Spawner.launch()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit[0], 4 * many), limit[1]))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
        signal.signal(signal.SIGUSR1, former)
    host.spawner.connect()
    host.containers.close()
    host.containers = host.engine()
    await host.start()
    assert await host.run("sh", "-c", "ulimit -n") == (0, f"{many}\n")
    for one in ("self", "1"):
        masks = (await host.run("grep", "-E", "Sig(Blk|Ign)", f"/proc/{one}/status"))[1].split()[1::2]
        own = 1 << signal.SIGQUIT - 1 if one == "1" else 0  # busybox' init ignores it of its own accord
        assert [signals(mask) & ~own for mask in masks] == [0, 0], (one, masks)
    null = os.open(os.devnull, os.O_RDWR)
    programs = [
        await host.containers.attach(host.name, ["sleep", "600"], fds=(null, null, null)) for _ in range(many + 20)
    ]
    os.close(null)
    async with asyncio.timeout(60):
        await host.containers.kill(host.name)
        assert {await program.wait() for program in programs} == {137}
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)


async def test_a_restarted_daemon_finds_what_runs(host: Host) -> None:
    pid = await host.start()
    host.containers.close()
    host.containers = host.engine()
    assert host.containers.state(host.name) == "Stopped"
    assert await host.containers.find(host.name)
    assert host.containers.init_pid(host.name) == pid
    assert await host.run("true") == (0, "")
    os.kill(pid, signal.SIGKILL)
    assert await host.next_exit() == "stop"


async def test_containers_outlive_the_spawner(host: Host) -> None:
    pid = await host.start()
    host.containers.close()
    host.spawner.close()
    await asyncio.sleep(0.1)
    assert _is_alive(pid)
    host.spawner = Spawner.launch()
    host.spawner.connect()
    host.containers = host.engine()
    assert await host.containers.find(host.name)


async def test_a_container_whose_monitor_is_killed_ends(host: Host) -> None:
    pid = await host.start()
    monitor = pidfd.parent(pid)
    assert monitor is not None
    os.kill(monitor, signal.SIGKILL)
    assert await host.next_exit() == "stop"
    assert not _is_alive(pid)
    assert await host.start()


async def test_remains_of_a_monitor_killed_while_no_daemon_ran_are_removed(host: Host) -> None:
    pid = await host.start()
    host.containers.close()
    monitor = pidfd.parent(pid)
    assert monitor is not None
    os.kill(monitor, signal.SIGKILL)
    host.containers = host.engine()
    assert await host.containers.find(host.name) == "half"
    assert not _is_alive(pid)


async def test_a_terminal_is_the_containers_own(host: Host) -> None:
    await host.start()
    root = host_ranges().host_root
    master, slave = await host.containers.open_pty(host.name, (root, root), (132, 40))
    command = "tty; stty size; echo ready >/dev/tty; exit 3"
    program = await host.containers.attach(host.name, ["sh", "-c", command], fds=(slave, slave, slave))
    os.close(slave)
    assert await program.wait() == 3
    output = os.read(master, 65536).decode().replace("\r", "")
    os.close(master)
    assert re.fullmatch(r"/dev/pts/\d+\n40 132\nready\n", output)


async def test_the_console_can_be_attached_and_its_log_read_and_cleared(host: Host) -> None:
    await host.start()
    await host.run("sh", "-c", "echo hello from a program >/dev/console")
    logs = host.spec().log_dir
    await host.console_shows(b"hello from init")
    await host.console_shows(b"hello from a program")
    console_log.clear(logs)
    assert console_log.read(logs) == b""
    terminal, master = await host.containers.console(host.name)
    with pytest.raises(HostError, match="console"):
        await host.containers.console(host.name)
    await host.run("sh", "-c", "echo knock >/dev/console")
    assert b"knock" in os.read(master, 1000)
    await host.console_shows(b"knock")
    os.close(master)
    os.close(terminal)


@pytest.mark.parametrize(
    ("init", "mode", "reason"),
    [
        (None, 0, "the image has no init: /sbin/init does not exist"),
        ("#!/bin/sh\n", 0o644, "the image's init /sbin/init is not executable"),
        ("\x7fELF nonsense", 0o755, "the image's init /sbin/init is for another architecture"),
    ],
)
async def test_why_it_did_not_start_is_said(host: Host, init: str | None, mode: int, reason: str) -> None:
    (host.rootfs / "sbin/init").unlink()
    if init is not None:
        host.write("sbin/init", init, mode)
        host.own()
    with pytest.raises(HostError, match=reason):
        await host.start()
    assert host.containers.state(host.name) == "Stopped"


async def test_a_bad_raw_lxc_is_named(host: Host) -> None:
    with pytest.raises(HostError, match=r"liblxc does not accept raw\.lxc"):
        await host.start({"raw.lxc": "lxc.aa_profile = unconfined"})


async def test_an_init_that_ends_at_once_is_a_stop(host: Host) -> None:
    host.write("sbin/init", "#!/bin/sh\nexit 0\n", 0o755)
    try:
        await host.start()
    except HostError as error:
        assert "ended at once" in error.sentence()
    else:
        assert await host.next_exit() == "stop"
    assert host.containers.state(host.name) == "Stopped"


async def test_a_cancelled_start_leaves_nothing(host: Host) -> None:
    starting = asyncio.create_task(host.containers.start(host.spec()))
    await asyncio.sleep(0.005)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert host.containers.state(host.name) == "Stopped"
