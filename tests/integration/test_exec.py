"""Running commands in a container."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.client import Client
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import signals
from tests.harness.terminal import Terminal


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_exit_status_comes_back(client: Client, running: str, status: int) -> None:
    assert client.run(running, "sh", "-c", f"exit {status}").status == status


def test_output_and_errors_stay_apart(client: Client, running: str) -> None:
    ran = client.run(running, "sh", "-c", "echo out; echo err >&2")
    assert (ran.stdout, ran.stderr) == ("out\n", "err\n")


def test_standard_input_arrives_and_ends(client: Client, running: str) -> None:
    text = "line\n" * 20000
    assert client.run(running, "wc", "-c", stdin=text).stdout.strip() == str(len(text))


def test_the_environment_is_passed(client: Client, running: str) -> None:
    ran = client.run(running, "sh", "-c", 'echo "$WORD $HOME"', env={"WORD": "with space=and = signs"})
    assert ran.stdout == "with space=and = signs /root\n"


def test_much_output_is_whole(client: Client, running: str) -> None:
    ran = client.run(running, "sh", "-c", "seq 1 200000")
    assert ran.stdout.splitlines()[-1] == "200000"
    assert len(ran.stdout) == len("".join(f"{i}\n" for i in range(1, 200001)))


def test_an_unknown_command_ends_with_127(either: Lxc, running: str) -> None:
    assert either("exec", running, "--", "no-such-command").status == 127


def test_a_file_that_is_no_program_ends_with_126(either: Lxc, running: str) -> None:
    assert either("exec", running, "--", "/etc/passwd").status == 126


def test_a_command_killed_by_a_signal_ends_with_128_plus_its_number(either: Lxc, running: str) -> None:
    assert either("exec", running, "--", "sh", "-c", "kill -KILL $$").status == 137


def test_user_group_and_folder_are_as_asked(either: Lxc, running: str) -> None:
    done = either(
        "exec", running, "--user", "1000", "--group", "1000", "--cwd", "/tmp", "--", "sh", "-c", "id -u; id -g; pwd"
    ).ok()
    assert done.stdout.split() == ["1000", "1000", "/tmp"]


def test_a_stopped_instance_runs_nothing(either: Lxc, image: str, name: str) -> None:
    either.create(image, name)
    either("exec", name, "--", "true").failed("Instance is not running")


def test_twenty_commands_at_once_all_answer(either: Lxc, running: str) -> None:
    with ThreadPoolExecutor(10) as pool:
        ran = list(pool.map(lambda i: either("exec", running, "--", "echo", str(i)).ok().stdout, range(20)))
    assert ran == [f"{i}\n" for i in range(20)]


def test_a_command_sees_no_descriptor_of_the_daemon(either: Lxc, running: str) -> None:
    found = either("exec", running, "--", "sh", "-c", "ls /proc/self/fd").ok().stdout.split()
    # 3 is ls reading the folder.
    assert set(found) <= {"0", "1", "2", "3"}


def test_a_command_ignores_no_signal(lxc: Lxc, running: str) -> None:
    """Else a pipeline would go on after its reader has gone, whatever the daemon itself ignores."""
    own = lxc("exec", running, "--", "grep", "SigIgn", "/proc/self/status").ok().stdout.split()
    assert signals(own[1]) == 0
    # Busybox' init ignores SIGQUIT of its own accord.
    init = lxc("exec", running, "--", "grep", "SigIgn", "/proc/1/status").ok().stdout.split()
    assert signals(init[1]) & ~(1 << signal.SIGQUIT - 1) == 0


def test_a_loop_of_links_where_programs_are_looked_for_harms_nothing(lxc: Lxc, running: str) -> None:
    lxc("exec", running, "--", "ln", "-s", "snap", "/snap").ok()
    try:
        assert lxc("exec", running, "--", "sh", "-c", "echo $PATH").ok().stdout.strip().endswith(":/bin")
    finally:
        lxc("exec", running, "--", "rm", "/snap").ok()


def test_an_interactive_shell_has_a_terminal_and_gives_its_status(either: Lxc, running: str) -> None:
    terminal = Terminal([str(either.program), "exec", running, "--", "sh"], either.env)
    terminal.expect("# ")
    terminal.type("test -t 0 && echo 'on a 'terminal\n")
    terminal.expect("on a terminal")
    terminal.type("exit 5\n")
    assert terminal.end() == 5


def test_control_c_reaches_the_command(either: Lxc, running: str) -> None:
    # Not one long sleep: a shell that is interrupted between forking and executing it would wait for its end.
    script = "trap 'exit 42' INT; echo rea''dy; while :; do sleep 0.1; done"
    terminal = Terminal([str(either.program), "exec", running, "--", "sh", "-c", script], either.env)
    terminal.expect("ready")
    terminal.type("\x03")
    assert terminal.end() == 42


def test_a_signal_to_the_client_reaches_the_command(either: Lxc, running: str) -> None:
    script = "trap 'exit 43' TERM; echo ready; while :; do sleep 0.1; done"
    with subprocess.Popen(
        [either.program, "exec", "-T", running, "--", "sh", "-c", script],
        env={**os.environ, **either.env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 43


def test_recorded_output_can_be_fetched(daemon: Daemon, running: str) -> None:
    body = {"command": ["sh", "-c", "echo kept; exit 3"], "record-output": True, "interactive": False}
    finished = daemon.operation("POST", f"/1.0/instances/{running}/exec", body)
    assert finished["metadata"]["return"] == 3
    path = finished["metadata"]["output"]["1"]
    assert daemon.request("GET", path).body == b"kept\n"
    assert daemon.request("DELETE", path).status == 200


def test_a_variable_without_a_value_is_empty(either: Lxc, running: str) -> None:
    done = either("exec", running, "--env", "A=b=c", "--env", "C", "--", "sh", "-c", 'echo "<$A> <${C-unset}>"').ok()
    assert done.stdout == "<b=c> <>\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_not_taken_by_sockets(lxc: Lxc, running: str, closed: str) -> None:
    done = processes.run(
        ["sh", "-c", f"'{lxc.program}' exec {running} -- sh -c 'cat; echo out; echo err >&2; exit 6' {closed}"],
        env=lxc.env,
        timeout_s=60,
    )
    assert done.status == 6
    assert done.stdout == ("" if ">&- 2" in closed or closed == ">&-" else "out\n")
    assert done.stderr == ("" if "2>&-" in closed else "err\n")


def test_a_daemon_that_dies_ends_the_clients_wait(fresh_daemon: Daemon, fresh_image: str, lxc: Lxc) -> None:
    own = Lxc(lxc.program, {**lxc.env, **fresh_daemon.env}, Path(lxc.env["LXD_CONF"]))
    own.launch(fresh_image, "lonely")
    with subprocess.Popen(
        [own.program, "exec", "lonely", "--", "sh", "-c", "echo ready; sleep 1000"],
        env=own.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        fresh_daemon.kill()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.startswith(b"Error: ")


def test_commands_during_a_restart_run_or_hear_that_nothing_runs(daemon: Daemon, running: str) -> None:
    path = f"/1.0/instances/{running}"
    body = {"command": ["true"], "interactive": False}
    is_over = threading.Event()

    def outcomes() -> set[str]:
        heard: set[str] = set()
        while not is_over.is_set():
            answer = daemon.request("POST", f"{path}/exec", body)
            if answer.status != 202:
                heard.add(str(answer.error))
                continue
            url = answer.envelope["operation"]
            heard.add(str(daemon.request("GET", f"{url}/wait", timeout_s=60).metadata["err"]))
        return heard

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(outcomes) for _ in range(4)]
        try:
            for _ in range(3):
                ended = daemon.operation("PUT", f"{path}/state", {"action": "restart", "force": True})
                assert ended["status_code"] == 200
        finally:
            is_over.set()
        heard = {text.partition(" (lxc start")[0] for one in asked for text in one.result()}
    # A command that runs when its container ends is killed with it, which is no error of the daemon's.
    assert heard <= {"", "Instance is not running", "Instance is frozen"}
    assert "" in heard
