"""What holds a container in, brought to where the kernel and liblxc find it: system calls and their interception.

`runtime/settings/` says what it is; here it is put in place before a start, changed while a container runs, and taken
away.
"""

from collections.abc import Mapping
from pathlib import Path

from lightervisor.runtime.interceptor import Interceptor
from lightervisor.runtime.settings import seccomp
from lightervisor.runtime.spec import ContainerSpec

PERMITS = "intercept"


class Confinement:
    """The confinement of all containers. `state` is the daemon's directory; to be made on the running loop."""

    def __init__(self, state: Path) -> None:
        self._security = state / "security"
        self._interceptor = Interceptor(state / "seccomp.socket", self._security / PERMITS)

    @property
    def notify_socket(self) -> Path:
        """Where monitors take intercepted calls to."""
        return self._interceptor.socket_path

    async def prepare(self, spec: ContainerSpec) -> None:
        """Before a start. Raises Invalid and Unsupported for what this host cannot hold, OSError."""
        seccomp.write(spec)
        self._interceptor.prepare(spec.name, spec.config)

    def find(self) -> None:
        """The daemon starts: go on for those that run."""
        self._interceptor.find()

    def change(self, name: str, config: Mapping[str, str]) -> None:
        """A running container has another configuration: follow as far as that can be done live."""
        self._interceptor.change(name, config)

    def ended(self, name: str) -> None:
        """A container has stopped."""
        self._interceptor.forget(name)

    def forget(self, name: str) -> None:
        """A container is deleted: nothing of it is left."""
        (self._security / "seccomp" / name).unlink(missing_ok=True)
        self._interceptor.forget(name)

    def close(self) -> None:
        """The daemon ends; what runs goes on."""
        self._interceptor.close()
