"""Where programs that read untrusted archives run: they see the host's programs and one directory, nothing else.

Whatever an archive tries (links, "..", absolute names), there is no other directory to reach: the rest of the host is
not in the mount namespace, and there is no network, no device and no process beside it. Source: bwrap(1), prlimit(1).
"""

from collections.abc import Sequence
from pathlib import Path

MEMORY = 4 << 30
"""Most address space of such a program: a header may claim any size."""
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP")
_FULL_MAP = 4294967295


def confined(argv: Sequence[str], *, archive: Path | None = None, target: Path | None = None) -> list[str | Path]:
    """A command line that runs `argv` confined: `archive` is read-only at /archive, `target` writable at /target."""
    words: list[str | Path] = ["prlimit", f"--as={MEMORY}", "--core=0", "bwrap", "--die-with-parent", "--new-session"]
    words += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL"]
    if target is not None:
        for capability in CAPABILITIES:
            words += ["--cap-add", f"CAP_{capability}"]
    words += ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"):
        words += ["--ro-bind-try", name, name]
    if archive is not None:
        words += ["--ro-bind", archive, "/archive"]
    if target is not None:
        words += ["--dev-bind", target, "/target"]
    return [*words, "--", *argv]


def makes_devices(uid_map: Path = Path("/proc/self/uid_map")) -> bool:
    """Whether this process may make device nodes: not in a user namespace other than the first."""
    return uid_map.read_text().split() == ["0", "0", str(_FULL_MAP)]
