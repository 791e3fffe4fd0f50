"""What holds a container in, where the kernel and liblxc find it: system calls, their interception, AppArmor.

`runtime/settings/` says what it is; here it is checked before it is stored, put in place before a start, changed while
a container runs, and taken away.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from lightervisor.errors import Invalid
from lightervisor.kernel.threads import in_thread
from lightervisor.runtime import apparmor
from lightervisor.runtime.interceptor import Interceptor
from lightervisor.runtime.settings import raw_lxc, seccomp
from lightervisor.runtime.spawner import Spawner
from lightervisor.runtime.spec import ContainerSpec

PERMITS = "intercept"
APPARMOR_KEYS = ("raw.apparmor", "security.nesting", "security.privileged")


class Confinement:
    """The confinement of all containers. `state` is the daemon's directory; to be made on the running loop."""

    def __init__(self, spawner: Spawner, state: Path, *, has_apparmor: bool) -> None:
        self._spawner, self._security = spawner, state / "security"
        self._interceptor = Interceptor(state / "seccomp.socket", self._security / PERMITS)
        self._profiles = apparmor.Profiles(self._security) if has_apparmor else None

    @property
    def notify_socket(self) -> Path:
        """Where monitors take intercepted calls to."""
        return self._interceptor.socket_path

    async def check(self, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """Have liblxc and apparmor_parser look at raw keys that have changed. Raises Invalid with what they say."""
        raw = raw_lxc.text(after)
        if raw and raw != raw_lxc.text(before):
            complaint = (await self._spawner.request("check", raw)).value
            if complaint:
                text = f"Invalid config: raw.lxc: Failed to load config file: {complaint}"
                raise Invalid("config", text=text, remedy="see man lxc.container.conf")
        rules = after.get("raw.apparmor", "")
        if rules and rules != before.get("raw.apparmor", "") and shutil.which(apparmor.PARSER):
            await in_thread(apparmor.check, after)

    async def prepare(self, spec: ContainerSpec) -> None:
        """Before a start. Raises Invalid, Unsupported and HostError for what this host cannot hold, OSError."""
        seccomp.write(spec)
        self._interceptor.prepare(spec.name, spec.config)
        if self._profiles is not None:
            await in_thread(self._profiles.load, spec.name, spec.config)

    def find(self) -> None:
        """The daemon starts: go on for those that run."""
        self._interceptor.find()

    async def change(self, name: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """A running container has another configuration: follow as far as that can be done live. Raises HostError."""
        self._interceptor.change(name, after)
        if self._profiles is not None and any(before.get(key) != after.get(key) for key in APPARMOR_KEYS):
            # What it is started with decides what it may mount; it runs under the same name.
            await in_thread(self._profiles.load, name, {**after, **_fixed(before)})

    async def ended(self, name: str) -> None:
        """A container has stopped."""
        self._interceptor.forget(name)
        if self._profiles is not None:
            await in_thread(self._profiles.unload, name)

    async def forget(self, name: str) -> None:
        """A container is deleted: nothing of it is left."""
        (self._security / "seccomp" / name).unlink(missing_ok=True)
        self._interceptor.forget(name)
        if self._profiles is not None:
            await in_thread(self._profiles.forget, name)

    def close(self) -> None:
        """The daemon ends; what runs goes on."""
        self._interceptor.close()


def _fixed(config: Mapping[str, str]) -> dict[str, str]:
    """What a change takes effect with at the next start only."""
    return {"security.privileged": config.get("security.privileged", "")}
