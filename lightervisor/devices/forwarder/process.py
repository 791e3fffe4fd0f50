"""The process of one proxy device: listens on one side, connects on the other, and ends with the instance.

It outlives the daemon. Before it serves it goes where it connects to and gives up every privilege it can: a proxy into
an instance is a process of that instance's user namespace, without capabilities. See docs/adr/0015.
"""

import marshal
import os
import resource
import select
import signal
import socket
import sys
from typing import Any, cast

from lightervisor.devices.forwarder.relay import Datagrams, Loop, Streams
from lightervisor.devices.forwarder.sockets import Address, Namespaces, Owner, Refused, become, listen
from lightervisor.kernel import syscalls


def main() -> None:
    """Read the settings from standard input; say "ok" or what went wrong on standard output; serve."""
    settings: dict[str, Any] = cast("dict[str, Any]", marshal.load(sys.stdin.buffer))  # noqa: S302 - the daemon's own
    if os.fork():
        os._exit(0)  # a child of the host's init from here on: the daemon need not wait for it
    _note_pid(settings["pid_file"])
    try:
        loop = _prepared(settings)
    except (OSError, Refused) as error:
        os.write(1, f"{error}\n".encode())
        sys.exit(1)
    os.write(1, b"ok\n")  # with nobody there to read it the daemon has died: this ends, too
    _let_go()
    loop.run()


def _note_pid(path: str) -> None:
    beside = f"{path}.new"
    with open(beside, "w") as file:  # noqa: PTH123 - pathlib is too large for this
        file.write(f"{os.getpid()}\n")
    os.replace(beside, path)  # noqa: PTH105 - as above


def _prepared(settings: "dict[str, Any]") -> Loop:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    source, target = Address(*settings["listen"]), Address(*settings["connect"])
    owner, inside = Owner(*settings["owner"]), settings["bind"] == "instance"
    spaces = Namespaces(*settings["namespaces"])
    listeners = spaces.listen(source, owner) if inside else listen(source, owner)
    if not inside:
        spaces.enter(files=target.is_path)
    become(*settings["identity"])
    may_open_any = target.is_path and settings["identity"][0] == 0
    kept = (syscalls.CAP_DAC_OVERRIDE, syscalls.CAP_DAC_READ_SEARCH) if may_open_any else ()
    syscalls.keep_capabilities(*kept)
    spaces.close()
    loop = Loop()
    loop.watch(settings["init"], select.EPOLLIN, loop.stop)
    _serve(loop, listeners, target, greets=settings["proxy_protocol"])
    return loop


def _serve(loop: Loop, listeners: "list[socket.socket]", target: Address, *, greets: bool) -> None:
    is_datagram = listeners[0].type == socket.SOCK_DGRAM
    service = Datagrams(loop, target) if is_datagram else Streams(loop, target, greets=greets)
    for index, listener in enumerate(listeners):
        service.serve(listener, index)


def _let_go() -> None:
    """Of the daemon's pipes and directory, and of signals that are not for it."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    nowhere = os.open("/", os.O_PATH | os.O_CLOEXEC)
    os.fchdir(nowhere)
    os.close(nowhere)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
