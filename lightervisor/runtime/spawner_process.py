"""The spawner: a small process that holds liblxc and forks on demand. Run as `python -IS`, standard library only.

Why a process of its own: liblxc moves the caller of start() into the container's monitor cgroup and forks a
monitor that keeps the caller's memory, so the caller must be small and every start a short-lived child.
Attach has a child of its own too: it may take as long as a guest likes (a frozen one, a directory that does not
answer), and no other container is to wait for that. That child stays to reap the program at once, as an unreaped one
would keep the pid namespace.

One request is one SEQPACKET message: marshal of (id, operation, arguments), descriptors beside it. Answers are
(id, value), descriptors beside them; start and attach answer twice, with a pid and with its exit.
"""

import errno
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

from lightervisor.kernel import inheritance, native_calls, unwritable
from lightervisor.runtime import liblxc

TIOCSPTLCK, TIOCGPTPEER = 0x40045431, 0x5441
LARGEST = 1 << 20
CHECK_S = 5
SCRIPT_WRITES, SCRIPT_READS = 8, 9  # descriptors of criu's script (criu.py)
LAST_WORDS = 0  # the number of an answer that nobody asked for: why there is no spawner


class Spawner:
    """The loop: requests in, answers out, children reaped. What it starts may have so many `open_files` at first."""

    def __init__(self, channel: socket.socket, open_files: int) -> None:
        channel.set_inheritable(False)  # else every program in every container could speak as the daemon
        self._channel, self._library, self._open_files = channel, liblxc.load(), open_files
        self._children: dict[int, tuple[int, int, int]] = {}
        self._helpers: dict[int, tuple[socket.socket, int, int]] = {}
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)

    def run(self) -> None:
        """Serve until the daemon has gone; attached programs and containers go on."""
        gc.collect()
        gc.freeze()
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._children:
                    self._reap(descriptor)
                elif descriptor in self._helpers:
                    self._pass_on(descriptor)
                elif not self._serve():
                    return

    def _serve(self) -> bool:
        message, fds, flags, _ = socket.recv_fds(self._channel, LARGEST, 8, socket.MSG_CMSG_CLOEXEC)
        if not message:
            return False
        number, operation, arguments = marshal.loads(message)
        try:
            if flags & socket.MSG_CTRUNC:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
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
        text = os.read(told, LARGEST // 4).decode()
        os.close(told)
        self._answer(number, ("exit", os.waitstatus_to_exitcode(status), text))

    def _watch(self, number: int, pid: int, told: int) -> int:
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = (number, pid, told)
        self._poll.register(pidfd, select.POLLIN)
        return pidfd

    def do_version(self, number: int, _fds: "list[int]", extensions: "list[str]") -> None:
        """liblxc's version, and for each of these API extensions whether it has it."""
        has = self._library.lxc_has_api_extension
        known = {name: bool(has(name.encode())) for name in extensions}
        self._answer(number, (self._library.lxc_get_version().decode(), known))

    def do_start(
        self, number: int, _fds: "list[int]", name: str, lxcpath: str, config_file: str, native_only: bool
    ) -> None:
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
                    inheritance.limit_open_files(self._open_files)
                    if native_only:
                        native_calls.refuse_others()
                    status = liblxc.Container(self._library, name, lxcpath).start(config_file)
                    with open("/proc/self/cgroup", "rb") as groups:  # noqa: PTH123 - pathlib is too large for this
                        os.write(tell, groups.read())
            finally:
                os._exit(status)
        os.close(ready)
        os.close(tell)
        try:
            self._answer(number, ("started", pid), [os.dup(self._watch(number, pid, told)), go])
        except OSError:
            os.close(go)  # it ends
            raise

    def do_migrate(
        self,
        number: int,
        _fds: "list[int]",
        name: str,
        lxcpath: str,
        config_file: str,
        criu: "dict[str, str]",
        migration: "tuple[int, str, str]",
    ) -> None:
        """Dump or restore a container with the arguments of `Container.migrate`, in a child as for a start.

        Answers with ("started", pid) and three descriptors: the child's pidfd, the pipe that it waits at before it
        begins, from which criu's script reads later, and the one that this script writes to. Later with ("exit",
        status, its /proc/self/cgroup). It leads a process group. `criu` is added to its environment.
        """
        (ready, go), (said, say) = os.pipe(), os.pipe()
        told, tell = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                tell = fcntl.fcntl(tell, fcntl.F_DUPFD_CLOEXEC, SCRIPT_READS + 1)
                ready, say = (fcntl.fcntl(one, fcntl.F_DUPFD, tell + 1) for one in (ready, say))
                os.dup2(ready, SCRIPT_READS)
                os.dup2(say, SCRIPT_WRITES)
                # Nothing else is left: what is restored is kept by a process that has all that this one has.
                os.closerange(3, SCRIPT_WRITES)
                os.closerange(SCRIPT_READS + 1, tell)
                os.closerange(tell + 1, os.sysconf("SC_OPEN_MAX"))
                os.setpgid(0, 0)
                if os.read(SCRIPT_READS, 1):
                    os.environ.update(criu, LIGHTERVISOR_PIPES=str(os.getpid()))
                    status = liblxc.Container(self._library, name, lxcpath).migrate(
                        migration[0], config_file, *migration[1:]
                    )
                    with open("/proc/self/cgroup", "rb") as groups:  # noqa: PTH123 - pathlib is too large for this
                        os.write(tell, groups.read())
            finally:
                os._exit(status)
        for one in (ready, say, tell):
            os.close(one)
        try:
            self._answer(number, ("started", pid), [os.dup(self._watch(number, pid, told)), go, said])
        except OSError:
            os.close(go)  # it ends
            os.close(said)
            raise

    def do_check(self, number: int, _fds: "list[int]", text: str) -> None:
        """What liblxc has against lines of configuration; empty when it accepts them.

        In a child, as a file may include others that take long to read.
        """
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(CHECK_S)  # it ends the child
                for line in (self._channel, *(one for one, _, _ in self._helpers.values())):
                    line.close()
                os.write(tell, liblxc.complaint(self._library, text).encode()[: select.PIPE_BUF])
            finally:
                os._exit(0)
        os.close(tell)
        with os.fdopen(told) as answer:
            said = answer.read()
        _, status = os.waitpid(child, 0)
        self._answer(number, said if status == 0 else f"it took liblxc longer than {CHECK_S} s to read it")

    def do_state(self, number: int, _fds: "list[int]", name: str, lxcpath: str) -> None:
        """State and init's pid, from the monitor's command socket."""
        container = liblxc.Container(self._library, name, lxcpath)
        self._answer(number, (container.state(), container.init_pid()))
        container.close()

    def do_devices(self, number: int, _fds: "list[int]", name: str, lxcpath: str, verb: str, rule: str) -> None:
        """Let a running container open devices ("allow") or not ("deny"); on v2 its monitor keeps the list."""
        container = liblxc.Container(self._library, name, lxcpath)
        try:
            container.set_devices(verb, rule)
        finally:
            container.close()
        self._answer(number, None)

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
        native_only: bool,
    ) -> None:
        """Run a program inside; answers with ("started", pid), later with ("exit", status)."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            helper = os.fork()
            if helper == 0:
                try:
                    inheritance.limit_open_files(self._open_files)
                    # So that the daemon and the other children see the spawner's end.
                    for line in (self._channel, ours, *(one for one, _, _ in self._helpers.values())):
                        line.close()
                    if native_only:
                        native_calls.refuse_others()
                    container = liblxc.Container(self._library, name, lxcpath)
                    unwritable.hide()
                    _accompany(theirs, container.attach(argv, env, cwd, ids, fds), fds)
                except (OSError, liblxc.Library) as error:
                    _tell(theirs, ("error", str(error)))
                finally:
                    os._exit(0)
        self._helpers[ours.fileno()] = (ours, number, helper)
        self._poll.register(ours, select.POLLIN)

    def _pass_on(self, descriptor: int) -> None:
        """What a child that attaches has to say, or its end."""
        line, number, helper = self._helpers[descriptor]
        message, fds, flags, _ = socket.recv_fds(line, LARGEST, 1, socket.MSG_CMSG_CLOEXEC)
        value = marshal.loads(message) if message else ("error", "liblxc could not attach to the container")
        if flags & socket.MSG_CTRUNC:  # no room for its descriptor
            os.kill(int(value[1]), signal.SIGKILL)
            value = ("error", os.strerror(errno.EMFILE))
        if value[0] == "started":
            self._answer(number, value, fds)
            return
        del self._helpers[descriptor]
        self._poll.unregister(line)
        line.close()
        if message:  # who asked waits for this, not for the end of the child
            self._answer(number, value, fds)
            os.waitpid(helper, 0)
            return
        _, status = os.waitpid(helper, 0)
        if os.WIFSIGNALED(status):
            value = ("error", f"the process that attaches was ended by signal {os.WTERMSIG(status)}")
        self._answer(number, value, fds)

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


def _tell(line: socket.socket, value: object, fds: "list[int] | None" = None) -> None:
    socket.send_fds(line, [marshal.dumps(value)], fds or [], socket.MSG_NOSIGNAL)  # pyright: ignore[reportArgumentType]


def _accompany(line: socket.socket, pid: int, fds: "list[int]") -> None:
    """Tell of a program that was attached, and reap it. It goes on alone when the spawner ends meanwhile."""
    for descriptor in fds:
        os.close(descriptor)
    pidfd = os.pidfd_open(pid)
    try:
        _tell(line, ("started", pid), [pidfd])
    except OSError:
        os.kill(pid, signal.SIGKILL)  # nobody would ever know of it
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(line, 0)  # its end is always told
    if any(descriptor == pidfd for descriptor, _ in poll.poll()):
        _, status = os.waitpid(pid, 0)
        _tell(line, ("exit", os.waitstatus_to_exitcode(status)))


def main() -> int:
    """Serve the daemon at the other end of the socket whose descriptor is the first argument.

    The second one is the soft limit of open files for all that is started; two descriptors for `unwritable` follow.
    """
    inheritance.reset_signals()
    for number in (signal.SIGINT, signal.SIGQUIT):  # a handler ends with exec, being ignored does not
        signal.signal(number, lambda _number, _frame: None)
    inheritance.limit_open_files()
    channel = socket.socket(fileno=int(sys.argv[1]))
    try:
        spawner = Spawner(channel, int(sys.argv[2]))
    except liblxc.Library as error:
        channel.send(marshal.dumps((LAST_WORDS, str(error))))
        return 1
    unwritable.settle(int(sys.argv[3]), int(sys.argv[4]))
    spawner.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
