"""The runtime engine with one container: no daemon, no pools, a busybox tree of its own."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lightervisor.kernel import cgroup
from lightervisor.kernel.idmap import IdMap, host_ranges
from lightervisor.runtime import console_log
from lightervisor.runtime.confinement import Confinement
from lightervisor.runtime.containers import Containers
from lightervisor.runtime.spawner import Spawner
from lightervisor.runtime.spec import ContainerSpec, HostFacts
from tests.harness.processes import PATIENCE_S

APPARMOR = Path("/sys/kernel/security/apparmor/profiles")
INIT = """#!/bin/sh
trap 'exit 0' PWR TERM
echo "hello from init" >/dev/console
[ -e /reboot-once ] && { rm /reboot-once; /bin/busybox reboot -f; }
while :; do sleep 3600 & wait $!; done
"""


def proc(pid: int, name: str) -> str:
    """A file of /proc about a process."""
    return Path(f"/proc/{pid}", name).read_text()


def spawner() -> int:
    """The pid of the spawner that this process has started last."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return max(int(pid) for pid in children if ".spawner_process\0" in proc(int(pid), "cmdline"))


class Host:
    """A spawner, an engine and one container's parts, in a directory of their own."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.folder, self.name = folder, f"rt-{secrets.token_hex(4)}"
        self.idmap: IdMap | None = host_ranges()
        self.exits: list[tuple[str, str]] = []
        self.told = asyncio.Event()
        self.spawner = Spawner.launch()
        self.spawner.connect()
        self.containers = self.engine()
        self.rootfs = folder / "rootfs"
        self._make_rootfs()

    def engine(self) -> Containers:
        """An engine as a daemon that starts makes one."""
        facts = HostFacts(
            has_apparmor=APPARMOR.exists(), lxcfs=None, cpu_count=os.cpu_count() or 1, memory_bytes=1 << 30
        )
        confinement = Confinement(self.spawner, self.folder, has_apparmor=facts.has_apparmor)
        return Containers(self.spawner, self.folder / "containers", facts, confinement, self._on_exit)

    async def _on_exit(self, name: str, target: str) -> None:
        self.exits.append((name, target))
        self.told.set()

    async def next_exit(self) -> str:
        """Wait to be told of an end: "stop" or "reboot"."""
        async with asyncio.timeout(PATIENCE_S):
            await self.told.wait()
        self.told.clear()
        return self.exits[-1][1]

    def _make_rootfs(self) -> None:
        for name in ("bin", "dev", "etc", "mnt", "proc", "root", "sbin", "sys", "tmp", "var"):
            (self.rootfs / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", self.rootfs / "bin/busybox")
        for applet in subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True).stdout.split():
            link = self.rootfs / "bin" / applet
            if not link.exists():
                link.symlink_to("/bin/busybox")
        self.write("sbin/init", INIT, 0o755)
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        self.own()

    def own(self) -> None:
        """Give the tree to the container's root."""
        root = self.idmap.host_root if self.idmap else 0
        subprocess.run(["chown", "-hR", f"{root}:{root}", self.rootfs], check=True)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file into the tree."""
        (self.rootfs / path).write_text(text)
        (self.rootfs / path).chmod(mode)

    def write_program(self, name: str, program: bytes) -> None:
        """Put a program into the tree, which /bin/NAME runs; also while the container does."""
        path = self.rootfs / "bin" / name
        path.unlink(missing_ok=True)
        path.write_bytes(program)
        path.chmod(0o755)

    def spec(self, config: Mapping[str, str] | None = None) -> ContainerSpec:
        """The container with this configuration."""
        return ContainerSpec(
            name=self.name,
            hostname=self.name,
            config=config or {},
            rootfs=self.rootfs,
            log_dir=self.folder / "logs",
            security_dir=self.folder / "security",
            idmap=self.idmap,
        )

    async def start(self, config: Mapping[str, str] | None = None) -> int:
        """Start it; the pid of its init."""
        await self.containers.start(self.spec(config))
        pid = self.containers.init_pid(self.name)
        assert pid is not None
        return pid

    async def run(self, *argv: str, cwd: str = "/", ids: tuple[int, int] = (0, 0)) -> tuple[int, str]:
        """Run a program inside; its status and what it printed."""
        read, write = os.pipe()
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            env = {"PATH": "/bin:/sbin", "WORD": "of mouth"}
            program = await self.containers.attach(self.name, argv, fds=(null, write, write), env=env, cwd=cwd, ids=ids)
        finally:
            os.close(write)
            os.close(null)
        try:
            async with asyncio.timeout(PATIENCE_S):
                status = await program.wait()
            return status, os.read(read, 65536).decode()
        finally:
            os.close(read)

    async def console_shows(self, text: bytes) -> None:
        """Wait until the console's log has a text."""
        async with asyncio.timeout(PATIENCE_S):
            while text not in console_log.read(self.spec().log_dir):  # noqa: ASYNC110  # liblxc tells nobody
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        """End everything and remove it; fails the test when a cgroup is left."""
        await self.containers.kill(self.name)
        self.containers.close()
        self.spawner.close()
        shutil.rmtree(self.folder)
        left = [str(path) for path in cgroup.ROOT.glob(f"*/lxc.*.{self.name}*")]
        assert not left, left


def interceptor(host: Host) -> int:
    """The pid of the process that answers intercepted calls of a host's container, 0 when there is none."""
    permits = str(host.folder / "security/intercept").encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes().split(b"\0")
        if words[0].endswith(b"python") and permits in words:
            return int(path.parent.name)
    return 0
