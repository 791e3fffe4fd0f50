"""A thin binding of liblxc.so.1 by ctypes. Source: lxc/lxccontainer.h (append-only since 1.0).

Imported by the spawner alone, which runs without site-packages: standard library only.
"""

import ctypes as c
import errno
import os
from collections.abc import Sequence

Flag, Number, Text, Pointer, Call = c.c_bool, c.c_int, c.c_char_p, c.c_void_p, c.CFUNCTYPE
ATTACH_DEFAULT = 0x1FF
CLEAR_ENVIRONMENT = 1
WITH_LABEL = 0x100000  # LXC_ATTACH_LSM_LABEL
_OWN_DESCRIPTORS = 32  # more than liblxc opens while it attaches
DUMP, RESTORE = 1, 2  # MIGRATE_DUMP, MIGRATE_RESTORE
LARGEST_GHOST = 1 << 28  # bytes of a deleted file that a process has open, which travels with its memory


class Library(Exception):  # says what is missing
    """liblxc is missing or too old."""


class Groups(c.Structure):
    """lxc_groups_t."""

    _fields_ = (("size", c.c_size_t), ("list", Pointer))


class AttachOptions(c.Structure):
    """lxc_attach_options_t."""

    _fields_ = (
        ("attach_flags", Number),
        ("namespaces", Number),
        ("personality", c.c_long),
        ("initial_cwd", Text),
        ("uid", c.c_uint32),
        ("gid", c.c_uint32),
        ("env_policy", Number),
        ("extra_env_vars", c.POINTER(Text)),
        ("extra_keep_env", c.POINTER(Text)),
        ("stdin_fd", Number),
        ("stdout_fd", Number),
        ("stderr_fd", Number),
        ("log_fd", Number),
        ("lsm_label", Pointer),
        ("groups", Groups),
    )


class AttachCommand(c.Structure):
    """lxc_attach_command_t."""

    _fields_ = (("program", Text), ("argv", c.POINTER(Text)))


class MigrateOptions(c.Structure):
    """struct migrate_opts."""

    _fields_ = (
        ("directory", Text),
        ("verbose", Flag),
        ("stop", Flag),
        ("predump_dir", Text),
        ("pageserver_address", Text),
        ("pageserver_port", Text),
        ("preserves_inodes", Flag),
        ("action_script", Text),
        ("disable_skip_in_flight", Flag),
        ("ghost_limit", c.c_uint64),
        ("features_to_check", c.c_uint64),
    )


class ContainerStruct(c.Structure):
    """struct lxc_container."""


Self = c.POINTER(ContainerStruct)
_DATA = (
    ("name", Text), ("configfile", Text), ("pidfile", Text), ("slock", Pointer), ("privlock", Pointer),
    ("numthreads", Number), ("lxc_conf", Pointer), ("error_string", Text), ("error_num", Number),
    ("daemonize", Flag), ("config_path", Text),
)  # fmt: skip
# In the header's order; a plain Pointer stands for a function that is not called from here.
_FUNCTIONS = (
    ("is_defined", Call(Flag, Self)), ("state", Call(Text, Self)), ("is_running", Call(Flag, Self)),
    ("freeze", Pointer), ("unfreeze", Pointer), ("init_pid", Call(Number, Self)),
    ("load_config", Call(Flag, Self, Text)), ("start", Call(Flag, Self, Number, c.POINTER(Text))),
    ("startl", Pointer), ("stop", Call(Flag, Self)), ("want_daemonize", Call(Flag, Self, Flag)),
    ("want_close_all_fds", Call(Flag, Self, Flag)), ("config_file_name", Pointer), ("wait", Pointer),
    ("set_config_item", Call(Flag, Self, Text, Text)), ("destroy", Pointer), ("save_config", Pointer),
    ("create", Pointer), ("createl", Pointer), ("rename", Pointer), ("reboot", Pointer), ("shutdown", Pointer),
    ("clear_config", Pointer), ("clear_config_item", Pointer), ("get_config_item", Pointer),
    ("get_running_config_item", Call(Text, Self, Text)), ("get_keys", Pointer), ("get_interfaces", Pointer),
    ("get_ips", Pointer), ("get_cgroup_item", Pointer), ("set_cgroup_item", Call(Flag, Self, Text, Text)),
    ("get_config_path", Pointer), ("set_config_path", Pointer), ("clone", Pointer),
    ("console_getfd", Call(Number, Self, c.POINTER(Number), c.POINTER(Number))), ("console", Pointer),
    ("attach", Call(Number, Self, Pointer, Pointer, c.POINTER(AttachOptions), c.POINTER(Number), use_errno=True)),
    ("attach_run_wait", Pointer), ("attach_run_waitl", Pointer), ("snapshot", Pointer), ("snapshot_list", Pointer),
    ("snapshot_restore", Pointer), ("snapshot_destroy", Pointer), ("may_control", Pointer),
    ("add_device_node", Pointer), ("remove_device_node", Pointer), ("attach_interface", Pointer),
    ("detach_interface", Pointer), ("checkpoint", Pointer), ("restore", Pointer),
    ("destroy_with_snapshots", Pointer), ("snapshot_destroy_all", Pointer),
    ("migrate", Call(Number, Self, c.c_uint, c.POINTER(MigrateOptions), c.c_uint)),
    ("console_log", Pointer), ("reboot2", Pointer), ("mount", Pointer),
    ("umount", Pointer), ("seccomp_notify_fd", Call(Number, Self)), ("seccomp_notify_fd_active", Pointer),
    ("init_pidfd", Call(Number, Self)), ("devpts_fd", Call(Number, Self)),
)  # fmt: skip
ContainerStruct._fields_ = _DATA + _FUNCTIONS  # pyright: ignore[reportAttributeAccessIssue]  # completes itself


def load() -> c.CDLL:
    """The library. Raises Library, saying what to install, when it is missing."""
    try:
        library = c.CDLL("liblxc.so.1", use_errno=True)
    except OSError as error:
        raise Library(f"it cannot be loaded: {error} (apt install liblxc1)") from error
    library.lxc_container_new.restype = Self
    library.lxc_container_new.argtypes = [Text, Text]
    library.lxc_container_put.argtypes = [Self]
    library.lxc_get_version.restype = Text
    library.lxc_has_api_extension.restype = c.c_bool
    library.lxc_has_api_extension.argtypes = [Text]
    return library


def strings(values: Sequence[bytes]) -> "c.Array[c.c_char_p]":
    """A C array of strings, ended by NULL."""
    return (Text * (len(values) + 1))(*values, None)


def _own_label(library: c.CDLL) -> int | None:
    """The label to attach with: one of no meaning where processes have none, else None for the container's.

    Two processes of liblxc's attach write to the same socket: one tells the pid of the program, the other is to become
    the program and sends the listener of its filter, when calls are intercepted. Nothing but a label orders them, for
    which the second one waits. Where the host has none the listener may be first; liblxc then says that it could not
    attach, while the program runs, unknown to everybody. Source: liblxc 5.0, attach.c, lxc_attach and do_attach.
    """
    try:
        with open("/proc/self/attr/current", "rb") as label:  # noqa: PTH123 - pathlib is too large for this
            if label.read(1):
                return None
    except OSError:
        pass  # no security module that gives labels
    library.strdup.restype = Pointer  # liblxc frees it
    return library.strdup(b"none")


def _alone(library: c.CDLL) -> c.c_void_p:
    """lxc_attach_run_command, for a process that has closed all descriptors but its standard streams before.

    While a program takes a process over, the kernel shows the container's root what that process has open, for the
    moment between the change of its memory and the closing of what does not outlast that; a socket of ours could be
    taken by it. Source: CVE-2024-21626; Linux, fs/exec.c, begin_new_exec; pidfd_getfd(2). It calls nothing but close,
    which every filter of system calls permits.
    """
    close, run = c.CDLL(None).close, library.lxc_attach_run_command
    run.argtypes = [Pointer]
    end = max(int(name) for name in os.listdir("/proc/self/fd")) + _OWN_DESCRIPTORS  # noqa: PTH208 - pathlib is too large for this

    def last(command: int) -> int:
        for descriptor in range(3, end):
            close(descriptor)
        return run(command)

    return c.cast(Call(Number, Pointer)(last), c.c_void_p)  # which keeps the function alive


def complaint(library: c.CDLL, text: str) -> str:
    """What the library has against these lines of configuration; empty when it accepts them."""
    log, file = os.memfd_create("log"), os.memfd_create("configuration")
    os.write(file, f"lxc.log.file = /proc/self/fd/{log}\nlxc.log.level = ERROR\n{text}".encode())
    pointer = library.lxc_container_new(b"check", b"/nonexistent")
    if pointer.contents.load_config(pointer, f"/proc/self/fd/{file}".encode()):
        return ""
    said = os.pread(log, 1 << 16, 0).decode(errors="replace")
    errors = [line.split(" - ", 2)[-1] for line in said.splitlines() if " ERROR " in line]
    return errors[0] if errors else "loading config file for the container failed"


class Container:
    """One container's handle; `close()` gives it back."""

    def __init__(self, library: c.CDLL, name: str, lxcpath: str) -> None:
        self._library = library
        self._pointer = library.lxc_container_new(name.encode(), lxcpath.encode())
        if not self._pointer:
            raise Library(f"liblxc cannot open container {name}")
        self._struct = self._pointer.contents

    def close(self) -> None:
        """Give the handle back."""
        self._library.lxc_container_put(self._pointer)

    def state(self) -> str:
        """RUNNING, STOPPED, FROZEN, …"""
        return (self._struct.state(self._pointer) or b"STOPPED").decode()

    def init_pid(self) -> int:
        """The host's pid of init, or a negative number."""
        return int(self._struct.init_pid(self._pointer))

    def set_devices(self, verb: str, rule: str) -> None:
        """Let a running container open devices ("allow") or no longer ("deny"), on v1 and v2 alike. Raises Library."""
        if not self._struct.set_cgroup_item(self._pointer, f"devices.{verb}".encode(), rule.encode()):
            raise Library(f"liblxc could not {verb} the container device {rule}")

    def start(self, config_file: str) -> int:
        """Load a configuration file and start, as a daemon of its own, with all descriptors closed.

        0 when the container runs, 2 when the file was not accepted, 1 for all else; the log tells why.
        """
        if not self._struct.load_config(self._pointer, config_file.encode()):
            return 2
        self._struct.want_daemonize(self._pointer, True)
        self._struct.want_close_all_fds(self._pointer, True)
        return 0 if self._struct.start(self._pointer, 0, None) else 1

    def migrate(self, command: int, config_file: str, directory: str, script: str) -> int:
        """Have criu write what the processes have in memory to a directory, or bring them back from there.

        `command` is DUMP, which ends them, or RESTORE; criu calls `script` in between. 0 when that was done, 2 when the
        file was not accepted, 1 for all else.
        """
        if not self._struct.load_config(self._pointer, config_file.encode()):
            return 2
        options = MigrateOptions(
            directory.encode(), True, command == DUMP, None, None, None, False, script.encode(),
            False, LARGEST_GHOST, 0,
        )  # fmt: skip
        return 1 if self._struct.migrate(self._pointer, command, c.byref(options), c.sizeof(options)) else 0

    def attach(
        self, argv: Sequence[bytes], env: Sequence[bytes], cwd: bytes, ids: tuple[int, int], fds: Sequence[int]
    ) -> int:
        """Run a program inside with these three descriptors; its host pid, a child of the caller. Raises Library."""
        self._take_limits()
        label = _own_label(self._library)
        flags = ATTACH_DEFAULT if label is None else ATTACH_DEFAULT | WITH_LABEL
        options = AttachOptions(
            flags, -1, -1, cwd, ids[0] & 0xFFFFFFFF, ids[1] & 0xFFFFFFFF, CLEAR_ENVIRONMENT,
            strings(env), None, fds[0], fds[1], fds[2], -9, label, Groups(0, None),
        )  # fmt: skip
        arguments = strings(argv)
        command, pid = AttachCommand(arguments[0], arguments), Number(-1)
        runner = _alone(self._library)
        status = self._struct.attach(self._pointer, runner, c.addressof(command), c.byref(options), c.byref(pid))
        if status != 0 or pid.value <= 0:
            code = c.get_errno()
            # EMSGSIZE is what liblxc sets before each command that it sends: it tells nothing.
            reason = "no reason given" if code in (0, errno.EMSGSIZE) else os.strerror(code)
            raise Library(f"liblxc could not attach to the container ({reason})")
        return pid.value

    def _take_limits(self) -> None:
        """Give what is attached the resource limits that init was started with, as its monitor knows them."""
        self._struct.load_config(self._pointer, os.devnull.encode())  # a handle without any configuration asks nobody
        said = self._struct.get_running_config_item(self._pointer, b"lxc.prlimit") or b""
        for line in said.splitlines():
            key, _, value = line.partition(b" = ")
            if not self._struct.set_config_item(self._pointer, key, value):
                raise Library(f"liblxc did not take {os.fsdecode(line)}")

    def devpts(self) -> int:
        """A descriptor of the container's devpts, or negative."""
        return int(self._struct.devpts_fd(self._pointer))

    def console(self) -> tuple[int, int]:
        """Two descriptors: the terminal (to be kept open while it is used) and its other end, to read and write."""
        number, master = Number(0), Number(-1)
        terminal = int(self._struct.console_getfd(self._pointer, c.byref(number), c.byref(master)))
        return terminal, master.value
