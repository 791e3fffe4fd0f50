"""What the kernel tells of devices that come and go, and telling a container the same.

The kernel multicasts to group 1; what udev says later, to group 2, is not needed: what is wanted to know of a device is
in sysfs by then. A container in a user namespace hears nothing of it in its own network namespace, but who may
administer that can send there what the kernel will pass on as its own. Sources: netlink(7), NETLINK_KOBJECT_UEVENT;
lib/kobject_uevent.c.
"""

import os
import socket
import struct
from collections.abc import Mapping
from typing import NamedTuple

from lightervisor.errors import HostError
from lightervisor.kernel import guests
from lightervisor.kernel.guests import Guest

PROTOCOL, KERNELS_GROUP = 15, 1
SEND, REQUEST, ACK, ERROR = 16, 0x1, 0x4, 2
ROOM, LARGEST = 4 << 20, 1 << 14
ANSWER_S = 5.0
_RCVBUFFORCE = 33


class Uevent(NamedTuple):
    """One message: "add", "remove", "change" …, and the fields by name (DEVPATH, SUBSYSTEM, MAJOR …)."""

    action: str
    fields: Mapping[str, str]

    @property
    def node(self) -> str:
        """The name of the device's node below /dev, "" when it has none."""
        return self.fields.get("DEVNAME", "").removeprefix("/dev/")

    @property
    def interface(self) -> str:
        """The name of the network interface that it is about, "" if it is about something else."""
        return self.fields.get("INTERFACE", "") if self.fields.get("SUBSYSTEM") == "net" else ""

    @property
    def is_of_cpu(self) -> bool:
        """Whether it is about one of the host's CPUs."""
        return self.fields.get("SUBSYSTEM") == "cpu"


class Listener:
    """A socket that hears of all devices of this host; to be read when it is readable."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, PROTOCOL)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, ROOM)
        except PermissionError:  # a daemon in a container: as much as everybody may have
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        self._socket.bind((0, KERNELS_GROUP))

    def fileno(self) -> int:
        """The descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of the socket; safe to call twice."""
        self._socket.close()

    def read(self) -> list[Uevent] | None:
        """What has been told since; None when some of it was lost because nobody read for too long."""
        found: list[Uevent] = []
        is_whole = True
        while True:
            try:
                message, (sender, _) = self._socket.recvfrom(LARGEST)
            except BlockingIOError:
                return found if is_whole else None
            except OSError:  # ENOBUFS; the next one is read
                is_whole = False
                continue
            if sender == 0 and (event := parse(message)) is not None:  # 0 is the kernel
                found.append(event)


def parse(message: bytes) -> Uevent | None:
    """A message "ACTION@DEVPATH", then "KEY=value" each; None for what is none."""
    head, *lines = message.decode(errors="replace").rstrip("\0").split("\0")
    action, at, _ = head.partition("@")
    if not at:
        return None
    return Uevent(action, dict(line.split("=", 1) for line in lines if "=" in line))


def send(guest: Guest, event: Uevent) -> None:
    """Tell a container of a device, with the kernel's voice: who listens inside takes it for a message of its kernel.

    Raises HostError.
    """
    pairs = [f"{name}={value}" for name, value in event.fields.items() if name != "SEQNUM"]  # the kernel counts anew
    body = "\0".join([f"{event.action}@{event.fields.get('DEVPATH', '')}", *pairs, ""]).encode()
    message = struct.pack("=IHHII", 16 + len(body), SEND, REQUEST | ACK, 1, 0) + body
    # Root of the container's user namespace, as receivers expect it of the kernel; by default it would be nobody.
    sender = [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("=iII", os.getpid(), guest.uid, guest.gid))]

    def work() -> None:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, PROTOCOL) as kernel:
            kernel.settimeout(ANSWER_S)
            kernel.sendmsg([message], sender, 0, (0, 0))
            answer = kernel.recv(LARGEST)
            _, kind = struct.unpack_from("=IH", answer)
            code = struct.unpack_from("=i", answer, 16)[0]
            if kind == ERROR and code < 0:
                raise OSError(-code, os.strerror(-code))

    try:
        guests.in_network(guest, work)
    except OSError as error:
        raise HostError("device event", event.node, cause=f"the container cannot be told: {error.strerror}") from error
