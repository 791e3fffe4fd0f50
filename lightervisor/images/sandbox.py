"""Where programs run that read untrusted archives or build images: they see the host's programs and one directory.

Whatever an archive tries (links, "..", absolute names), there is no other directory to reach: the rest of the host is
not in the mount namespace, and there is no device and no process beside it, nor a network where none is needed.
Source: bwrap(1), prlimit(1).
"""

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

MEMORY = 4 << 30
"""Most address space of such a program: a header may claim any size."""
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP")
OUTPUT = "/output"
SETTINGS = (
    "/etc/alternatives", "/etc/gai.conf", "/etc/group", "/etc/host.conf", "/etc/hosts", "/etc/ld.so.cache",
    "/etc/localtime", "/etc/nsswitch.conf", "/etc/passwd", "/etc/protocols", "/etc/resolv.conf", "/etc/services",
    "/etc/ssl",
)  # fmt: skip
"""What programs of the host that use the network read in /etc."""
_FULL_MAP = 4294967295


def confined(
    argv: Sequence[str],
    *,
    archive: Path | None = None,
    target: Path | None = None,
    tree: Mapping[Path, str] | None = None,
    output: Path | None = None,
    writable: Mapping[Path, str] | None = None,
    shown: Mapping[Path, str] | None = None,
) -> list[str | Path]:
    """A command line that runs `argv` confined: `archive` is read-only at /archive, `target` writable at /target.

    What is in `tree` is read-only at the place that is given, whoever owns it; attributes in the namespace trusted are
    not seen there, as they are orders to overlayfs and not an instance's own. `output` is a file, writable at OUTPUT.
    What is in `writable` can be written to as `target` can, each at its place. `shown` are files of the host that the
    program needs, read-only.
    """
    words: list[str | Path] = ["prlimit", f"--as={MEMORY}", "--core=0", "bwrap", "--die-with-parent", "--new-session"]
    words += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL"]
    for capability in CAPABILITIES if target is not None or writable else ("DAC_READ_SEARCH",) if tree else ():
        words += ["--cap-add", f"CAP_{capability}"]
    words += ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"):
        words += ["--ro-bind-try", name, name]
    if archive is not None:
        words += ["--ro-bind", archive, "/archive"]
    if target is not None:
        words += ["--bind", target, "/target"]  # devices can be made there, and not opened
    for path, place in {**(tree or {}), **(shown or {})}.items():
        words += ["--ro-bind", path, place]
    for path, place in (writable or {}).items():
        words += ["--bind", path, place]
    if output is not None:
        words += ["--bind", output, OUTPUT]
    return [*words, "--", *argv]


def end_orphans(state: Path) -> None:
    """Kill what a killed daemon's programs left that name something below its state directory.

    The daemon starts: none of them is its own. bwrap's inner process waits for ever when the outer one, which ends with
    the daemon, goes before it has let it begin.
    """
    wanted = os.fsencode(state) + b"/"
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            if words.startswith(b"bwrap\0") and wanted in words:
                os.kill(int(entry.name), signal.SIGKILL)


def makes_devices(uid_map: Path = Path("/proc/self/uid_map")) -> bool:
    """Whether this process may make device nodes: not in a user namespace other than the first."""
    return uid_map.read_text().split() == ["0", "0", str(_FULL_MAP)]


def workplace(
    argv: Sequence[str], directory: Path, shown: Mapping[Path, str], *, in_memory: int = 0
) -> list[str | Path]:
    """A command line that runs `argv` where images are built: the network, `directory` at /build, and no state of ours.

    `shown` are further paths of the host, each read-only at the place that is given. Temporary files lie in
    `directory`, or in so many bytes of memory. All that was started ends with the program, also when it is killed:
    nothing lives on in its process namespace.
    """
    words: list[str | Path] = ["prlimit", "--core=0", "bwrap", "--die-with-parent", "--new-session"]
    words += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--proc", "/proc", "--dev", "/dev"]
    words += ["--perms", "1777", "--dir", "/tmp", "--perms", "0755", "--dir", "/etc"]  # noqa: S108 -- its own
    words += ["--ro-bind", "/sys", "/sys", "--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/sbin", "/lib", "/lib64", *SETTINGS):
        words += ["--ro-bind-try", name, name]
    for path, place in shown.items():
        words += ["--ro-bind", path, place]
    words += ["--bind", directory, "/build", "--chdir", "/build", "--setenv", "TMPDIR", "/work"]
    words += (
        ["--perms", "0755", "--size", str(in_memory), "--tmpfs", "/work"]
        if in_memory
        else ["--bind", directory, "/work"]
    )
    return [*words, "--", *argv]
