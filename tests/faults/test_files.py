"""Every effect of a push, one after the other: what if it fails, or is the daemon's last?

A file is as it was or as it is to be, and nothing else is there; the same push succeeds afterwards.
"""

from __future__ import annotations

import contextlib
import http.client

from lightervisor.client import sftp_packets as packets
from lightervisor.client.light_errors import ApiError
from lightervisor.client.sftp_packets import string, u64
from tests.faults.strikes import Part, Strikes, told
from tests.faults.work import Outcome, Work
from tests.harness import leaks, sftp
from tests.harness.processes import eventually

OLD, NEW = b"before " * 10_000, b"after " * 10_000
PATHS = ("/root/old", "/root/new")
LEAST = 3


def url(name: str, path: str) -> str:
    return f"/1.0/instances/{name}/files?path={path}"


def prepare(work: Work, name: str) -> list[Outcome]:
    """A stopped instance with one of the files."""
    body = {"name": name, "source": {"type": "image", "fingerprint": work.image}, "devices": {"eth0": {"type": "none"}}}
    done = work.do(("POST", "/1.0/instances", body))
    assert work.daemon.request("POST", url(name, "/root/old"), OLD).status == 200
    return done


def push(work: Work, name: str) -> list[Outcome]:
    """Both files, each by a request."""
    for path in PATHS:
        answer = work.daemon.request("POST", url(name, path), NEW)
        if answer.status != 200:
            return [{"status": "Failure", "err": answer.error}]
    return [{"status": "Success", "err": ""}]


def push_by_stream(work: Work, name: str) -> list[Outcome]:
    """Both files by one session."""
    try:
        with sftp.session(work.daemon, name) as session:
            for path in PATHS:
                handle = sftp.begun_whole(session, path)
                half = len(NEW) // 2
                sftp.ask(session, packets.WRITE, handle, u64(0), string(NEW[:half]))
                sftp.ask(session, packets.WRITE, handle, u64(half), string(NEW[half:]))
                assert sftp.ask(session, packets.CLOSE, handle).code == packets.OK
    except ApiError as error:
        return [{"status": "Failure", "err": error.sentence()}]
    return [{"status": "Success", "err": ""}]


def and_die(part: Part) -> Part:
    """The same on a daemon that dies meanwhile."""

    def dying(work: Work, name: str) -> list[Outcome]:
        with contextlib.suppress(OSError, http.client.HTTPException, ApiError):
            part(work, name)
        work.daemon.bury()
        work.faults.disarm()
        work.revive(name)
        return []

    return dying


def settle(work: Work, name: str) -> None:
    """Files are whole, nothing else is there, and the same push succeeds and leaves nothing else.

    A daemon that is killed between two system calls may leave a whole file beside, which the same push takes away.
    """
    names = work.daemon.request("GET", url(name, "/root")).metadata
    found = sorted(one for one in names if not one.startswith(".lightervisor-"))
    assert (found in (["old"], ["new", "old"]), len(names) - len(found) <= 1) == (True, True), names
    for one in names:
        content = work.daemon.request("GET", url(name, f"/root/{one}")).body
        assert content in ((NEW, OLD) if one == "old" else (NEW,)), f"{one}: {content[:40]!r} {len(content)}"
    assert push(work, name) == push_by_stream(work, name) == [{"status": "Success", "err": ""}]
    for path in PATHS:
        assert work.daemon.request("GET", url(name, path)).body == NEW
    assert sorted(work.daemon.request("GET", url(name, "/root")).metadata) == ["new", "old"]
    unmounted(work, name)
    work.make_whole(name)


def unmounted(work: Work, name: str) -> None:
    """The instance's root is unmounted a moment after the answer."""
    eventually(lambda: not leaks.of_stopped(work.daemon, name), what="the root to be unmounted")


def effects(work: Work, part: Part) -> list[str]:
    """What a push does to the world when nothing disturbs it."""
    name = work.new_name()
    prepare(work, name)
    work.rest()
    found = work.faults.of(name, lambda: part(work, name))
    settle(work, name)
    return found


def test_a_push_that_fails_leaves_whole_files(crew: list[Work]) -> None:
    def check(work: Work, name: str, done: list[Outcome]) -> None:
        told(done)
        settle(work, name)

    Strikes("fail", push, check, prepare).strike(crew, effects(crew[0], push), least=LEAST)


def test_a_daemon_killed_in_a_push_leaves_whole_files(crew: list[Work]) -> None:
    def check(work: Work, name: str, _done: list[Outcome]) -> None:
        unmounted(work, name)
        settle(work, name)

    Strikes("kill", and_die(push), check, prepare).strike(crew, effects(crew[0], push), least=LEAST)


def test_a_stream_that_fails_leaves_whole_files(crew: list[Work]) -> None:
    def check(work: Work, name: str, _done: list[Outcome]) -> None:
        settle(work, name)

    Strikes("fail", push_by_stream, check, prepare).strike(crew, effects(crew[0], push_by_stream), least=LEAST)


def test_a_daemon_killed_in_a_stream_leaves_whole_files(crew: list[Work]) -> None:
    def check(work: Work, name: str, _done: list[Outcome]) -> None:
        unmounted(work, name)
        settle(work, name)

    part = and_die(push_by_stream)
    Strikes("kill", part, check, prepare).strike(crew, effects(crew[0], push_by_stream), least=LEAST)
