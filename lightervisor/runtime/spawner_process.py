"""The spawner: a small process that holds liblxc and forks on demand. Run as `python -IS`, standard library only.

Why a process of its own: liblxc moves the caller of start() into the container's monitor cgroup and forks a
monitor that keeps the caller's memory, so the caller must be small and every start a short-lived child.
Attach is called here directly. Its children are reaped at once: an unreaped one would keep the pid namespace.

One request is one SEQPACKET message: marshal of (id, operation, arguments), descriptors beside it. Answers are
(id, value), descriptors beside them; start and attach answer twice, with a pid and with its exit.
"""

import fcntl
import gc
import marshal
import os
import select
import signal
import socket
import struct
import sys
import termios

from lightervisor.runtime import liblxc

TIOCSPTLCK, TIOCGPTPEER = 0x40045431, 0x5441
LARGEST = 1 << 20
LAST_WORDS = 0  # the number of an answer that nobody asked for: why there is no spawner


class Spawner:
    """The loop: requests in, answers out, children reaped."""

    def __init__(self, channel: socket.socket) -> None:
        channel.set_inheritable(False)  # else every program in every container could speak as the daemon
        self._channel, self._library = channel, liblxc.load()
        self._children: dict[int, tuple[int, int, int]] = {}
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)

    def run(self) -> None:
        """Serve until the daemon has gone; attached programs and containers go on."""
        gc.collect()
        gc.freeze()
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != self._channel.fileno():
                    self._reap(descriptor)
                elif not self._serve():
                    return

    def _serve(self) -> bool:
        message, fds, _, _ = socket.recv_fds(self._channel, LARGEST, 8, socket.MSG_CMSG_CLOEXEC)
        if not message:
            return False
        number, operation, arguments = marshal.loads(message)
        try:
            getattr(self, f"do_{operation}")(number, fds, *arguments)
        except (OSError, liblxc.Library) as error:
            self._answer(number, ("error", str(error)))
        finally:
            for descriptor in fds:
                os.close(descriptor)
        return True

    def _answer(self, number: int, value: object, fds: "list[int] | None" = None) -> None:
        message = marshal.dumps((number, value))  # pyright: ignore[reportArgumentType]  # only plain values are given
        socket.send_fds(self._channel, [message], fds or [], socket.MSG_NOSIGNAL)
        for descriptor in fds or ():
            os.close(descriptor)

    def _reap(self, pidfd: int) -> None:
        number, pid, told = self._children.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        text = ""
        if told >= 0:
            text = os.read(told, LARGEST // 4).decode()
            os.close(told)
        self._answer(number, ("exit", os.waitstatus_to_exitcode(status), text))

    def _watch(self, number: int, pid: int, told: int = -1) -> int:
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = (number, pid, told)
        self._poll.register(pidfd, select.POLLIN)
        return pidfd

    def do_version(self, number: int, _fds: "list[int]", extensions: "list[str]") -> None:
        """liblxc's version, and for each of these API extensions whether it has it."""
        has = self._library.lxc_has_api_extension
        known = {name: bool(has(name.encode())) for name in extensions}
        self._answer(number, (self._library.lxc_get_version().decode(), known))

    def do_start(self, number: int, _fds: "list[int]", name: str, lxcpath: str, config_file: str) -> None:
        """Start a container from a configuration file, in a child that waits for a byte in a pipe before it begins.

        Answers with ("started", pid), the child's pidfd and the pipe; later with ("exit", status, its
        /proc/self/cgroup). So the daemon knows the child before anything is done, nothing is done for a daemon that has
        died, and what liblxc leaves can be removed: the caller of start() is in the monitor's cgroups until it ends,
        and a monitor that ends before it cannot remove them.
        """
        ready, go = os.pipe()
        told, tell = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(go)
                if os.read(ready, 1):
                    status = liblxc.Container(self._library, name, lxcpath).start(config_file)
                    with open("/proc/self/cgroup", "rb") as groups:  # noqa: PTH123 - pathlib is too large for this
                        os.write(tell, groups.read())
            finally:
                os._exit(status)
        os.close(ready)
        os.close(tell)
        self._answer(number, ("started", pid), [os.dup(self._watch(number, pid, told)), go])

    def do_state(self, number: int, _fds: "list[int]", name: str, lxcpath: str) -> None:
        """State and init's pid, from the monitor's command socket."""
        container = liblxc.Container(self._library, name, lxcpath)
        self._answer(number, (container.state(), container.init_pid()))
        container.close()

    def do_attach(
        self,
        number: int,
        fds: "list[int]",
        name: str,
        lxcpath: str,
        argv: "list[bytes]",
        env: "list[bytes]",
        cwd: bytes,
        ids: "tuple[int, int]",
    ) -> None:
        """Run a program inside; answers with ("started", pid), later with ("exit", status)."""
        container = liblxc.Container(self._library, name, lxcpath)
        pid = container.attach(argv, env, cwd, ids, fds)
        container.close()
        if pid <= 0:
            self._answer(number, ("error", "liblxc could not attach to the container"))
            return
        self._answer(number, ("started", pid), [os.dup(self._watch(number, pid))])

    def do_pty(
        self, number: int, _fds: "list[int]", name: str, lxcpath: str, owner: "tuple[int, int]", size: "tuple[int, int]"
    ) -> None:
        """A terminal of the container's own devpts: its master and its slave."""
        container = liblxc.Container(self._library, name, lxcpath)
        devpts = container.devpts()
        container.close()
        if devpts < 0:
            raise OSError("the container has no devpts")
        master = os.open("ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=devpts)
        os.close(devpts)
        fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
        slave = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        os.fchown(slave, *owner)
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self._answer(number, ("pty",), [master, slave])

    def do_console(self, number: int, _fds: "list[int]", name: str, lxcpath: str) -> None:
        """The container's console: the terminal, to be kept open, and the end to read and write."""
        container = liblxc.Container(self._library, name, lxcpath)
        terminal, master = container.console()
        container.close()
        if terminal < 0 or master < 0:
            raise OSError("the console is in use or not available")
        self._answer(number, ("console",), [terminal, master])


def _forget_signals() -> None:
    """What is ignored here would be ignored in every container: Python's own two, and whatever lxd was started with.

    Handlers end with exec, so keys at lxd's terminal are handled, by doing nothing.
    """
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda _number, _frame: None)


def main() -> int:
    """Serve the daemon at the other end of the socket whose descriptor is the first argument."""
    _forget_signals()
    channel = socket.socket(fileno=int(sys.argv[1]))
    try:
        spawner = Spawner(channel)
    except liblxc.Library as error:
        channel.send(marshal.dumps((LAST_WORDS, str(error))))
        return 1
    spawner.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
