"""A piece of network behind an interface of the host: the other end of a cable, in a namespace of its own."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness import processes
from tests.harness.daemon import BRIDGE_PREFIX


class Lan:
    """`parent` is the interface of the host, `pid` a process in the network where its other end is "lan0"."""

    def __init__(self, parent: str, holder: subprocess.Popen[bytes]) -> None:
        self.parent, self._holder, self.pid = parent, holder, holder.pid

    def __call__(self, *words: str) -> processes.Done:
        """Run a program there."""
        return processes.run(["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *words])

    def sysctl(self, version: str, key: str, value: str) -> None:
        """Set a switch of the host's interface."""
        (Path("/proc/sys/net") / version / "conf" / self.parent / key).write_text(value)


@contextmanager
def lan(*addresses: str) -> Iterator[Lan]:
    """Another network with these addresses (with prefixes) at its end of the cable."""
    parent = f"{BRIDGE_PREFIX}{secrets.token_hex(3)}"
    holder = subprocess.Popen(["unshare", "--net", "--", "sh", "-c", "echo; read -r _"], stdin=-1, stdout=-1)
    assert holder.stdout is not None
    holder.stdout.read(1)
    found = Lan(parent, holder)
    try:
        peer = ["peer", "name", "lan0", "netns", str(holder.pid)]
        processes.run(["ip", "link", "add", parent, "type", "veth", *peer]).ok()
        processes.run(["ip", "link", "set", parent, "up"]).ok()
        found("ip", "link", "set", "lo", "up").ok()
        found("ip", "link", "set", "lan0", "up").ok()
        for one in addresses:
            found("ip", "address", "add", one, "dev", "lan0", *(["nodad"] if ":" in one else [])).ok()
        yield found
    finally:
        processes.run(["ip", "link", "delete", parent])
        holder.kill()
        holder.wait()
        assert holder.stdin is not None
        holder.stdin.close()
        holder.stdout.close()
