"""The kernel's messages of devices, read and sent."""

from __future__ import annotations

import select
import subprocess
import sys
from pathlib import Path

import pytest

from lightervisor.errors import HostError
from lightervisor.kernel import uevents
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.uevents import Listener, Uevent
from tests.harness.processes import REPOSITORY

MESSAGE = b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0DEVNAME=/dev/bus/usb/001/002\0A=b=c\0SEQNUM=7\0"


def test_a_message_has_an_action_and_fields() -> None:
    event = uevents.parse(MESSAGE)
    assert event is not None
    assert (event.action, event.node, event.fields["A"]) == ("add", "bus/usb/001/002", "b=c")


@pytest.mark.parametrize("message", [b"", b"libudev\0\xfe\xed\xca\xfe", b"\xff\xff", b"nothing"])
def test_what_is_no_message_is_none(message: bytes) -> None:
    assert uevents.parse(message) is None


def test_the_kernel_is_heard() -> None:
    listener = Listener()
    try:
        Path("/sys/class/mem/null/uevent").write_text("change")
        found: list[Uevent] = []
        while not any((one.action, one.node) == ("change", "null") for one in found):
            assert select.select([listener.fileno()], [], [], 30)[0], "nothing was heard"
            found += listener.read() or []
        assert listener.read() == []
    finally:
        listener.close()


def test_lost_messages_are_told() -> None:
    listener = Listener()
    try:
        listener._socket.setsockopt(1, 33, 1)  # SO_RCVBUFFORCE: the least there is
        for _ in range(100):
            Path("/sys/class/mem/null/uevent").write_text("change")
        assert listener.read() is None
        assert listener.read() == []
    finally:
        listener.close()


def test_a_container_that_has_ended_is_told_nothing() -> None:
    event = uevents.parse(MESSAGE)
    assert event is not None
    ended = subprocess.Popen(["true"])
    ended.wait()
    with pytest.raises(HostError, match="the container cannot be told"):
        uevents.send(Guest(ended.pid), event)


def test_a_daemon_in_a_container_may_listen() -> None:
    code = "from lightervisor.kernel.uevents import Listener; Listener().close()"
    words = ["unshare", "--user", "--map-root-user", "--net", "--", sys.executable, "-c", code]
    subprocess.run(words, cwd=REPOSITORY, check=True)
