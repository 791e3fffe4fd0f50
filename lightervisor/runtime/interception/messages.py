"""What liblxc's monitor sends for each intercepted call, and what it wants back.

One SEQPACKET message is struct seccomp_notify_proxy_msg (32 bytes), struct seccomp_notif, struct seccomp_notif_resp
and the cookie; beside it come descriptors of /proc/<pid>, /proc/<pid>/mem and the listener of the filter. The answer is
the same without the cookie. Standard library only.
Source: liblxc, seccomp.c; linux/seccomp.h; seccomp_unotify(2).
"""

import contextlib
import errno
import fcntl
import os
import socket
import struct
from typing import NamedTuple

HEADER, NOTIFICATION, RESPONSE = struct.Struct("=QiiHHHxxQ"), struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
ADD_FD = struct.Struct("=QIIII")
LONGEST = 4096
SEND, IS_VALID, ADD = 0xC0182101, 0x40082102, 0x40182103
CONTINUE = 1
DESCRIPTORS = 3


class Outcome(NamedTuple):
    """What a call gives: a value, an error number, or leave to be made by the kernel as if nobody had looked."""

    value: int = 0
    error: int = 0
    goes_on: bool = False


GOES_ON = Outcome(goes_on=True)


def failed(number: int) -> Outcome:
    """The outcome of a call that fails with this error number."""
    return Outcome(error=number)


class Call:
    """One intercepted call. Its descriptors are closed by `close`."""

    def __init__(self, message: bytes, descriptors: "list[int]") -> None:
        (_, self.monitor_pid, self.init_pid, size, answer_size, _, cookie) = HEADER.unpack_from(message)
        if size < NOTIFICATION.size or answer_size < RESPONSE.size or len(descriptors) < DESCRIPTORS:
            raise ValueError("liblxc sent a message that is too short")
        self._size, self._answer_size, self._head = size, answer_size, message[: HEADER.size + size]
        self.id, self.pid, _, self.number, self.architecture, _, *arguments = NOTIFICATION.unpack_from(
            message, HEADER.size
        )
        self.arguments: list[int] = arguments
        start = HEADER.size + size + answer_size
        self.container = message[start : start + cookie].rstrip(b"\0").decode()
        self.process, self.memory, self.listener = descriptors[:DESCRIPTORS]

    @classmethod
    def receive(cls, line: socket.socket) -> "Call | None":
        """The next call of a monitor, None when it has gone. Raises ValueError for what liblxc would not send."""
        message, descriptors, _, _ = socket.recv_fds(line, LONGEST, 8, socket.MSG_CMSG_CLOEXEC)
        try:
            if not message:
                return None
            if len(message) < HEADER.size + NOTIFICATION.size:
                raise ValueError("liblxc sent a message that is too short")
            call = cls(message, descriptors)
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        for descriptor in descriptors[DESCRIPTORS:]:
            os.close(descriptor)
        return call

    def integer(self, index: int) -> int:
        """An argument that is an int."""
        return struct.unpack("=i", struct.pack("=I", self.arguments[index] & 0xFFFFFFFF))[0]

    def check(self) -> None:
        """Raise ProcessLookupError unless the caller still waits for this very call: what was read is its own."""
        try:
            fcntl.ioctl(self.listener, IS_VALID, struct.pack("=Q", self.id))
        except OSError as error:
            raise ProcessLookupError(errno.ESRCH, "the caller has gone") from error

    def read(self, address: int, length: int) -> bytes:
        """So many bytes of the caller's memory. Raises OSError with EFAULT when they are not all there."""
        found = self._read(address, length)
        if len(found) != length:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        return found

    def string(self, address: int, limit: int = 4096) -> bytes:
        """A string of the caller's memory. Raises OSError as the kernel does for one that is too long or not there."""
        text, end, _ = self._read(address, limit).partition(b"\0")
        if not end:
            number = errno.ENAMETOOLONG if len(text) == limit else errno.EFAULT
            raise OSError(number, os.strerror(number))
        return text

    def _read(self, address: int, length: int) -> bytes:
        try:
            found = os.pread(self.memory, length, address)
        except (OSError, OverflowError) as error:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT)) from error
        self.check()
        return found

    def write(self, address: int, data: bytes) -> None:
        """Write into the caller's memory. Raises OSError with EFAULT."""
        self.check()
        try:
            written = os.pwrite(self.memory, data, address)
        except (OSError, OverflowError):
            written = -1
        if written != len(data):
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))

    def give(self, descriptor: int) -> int:
        """Put a copy of a descriptor into the caller; its number there. Raises OSError."""
        wanted = bytearray(ADD_FD.pack(self.id, 0, descriptor, 0, os.O_CLOEXEC))
        return fcntl.ioctl(self.listener, ADD, wanted, True)

    def _response(self, outcome: Outcome) -> bytes:
        flags = CONTINUE if outcome.goes_on else 0
        return RESPONSE.pack(self.id, outcome.value, -outcome.error, flags).ljust(self._answer_size, b"\0")

    def answer(self, line: socket.socket, outcome: Outcome) -> None:
        """Have the monitor give the outcome to the caller. Raises OSError when it has gone."""
        line.send(self._head + self._response(outcome), socket.MSG_NOSIGNAL)

    def release(self, line: socket.socket) -> None:
        """Let the monitor go, which waits: it gets an answer that the kernel refuses, so the call stays with us."""
        line.send(self._head + RESPONSE.pack(self.id, 0, -1, CONTINUE).ljust(self._answer_size, b"\0"))

    def deliver(self, outcome: Outcome) -> None:
        """Give the outcome to the caller ourselves, after `release`; one that has gone needs none."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.listener, SEND, self._response(outcome)[: RESPONSE.size])

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in (self.process, self.memory, self.listener):
            os.close(descriptor)
