"""`lxc storage volume attach`, `detach` and the same for profiles: a custom volume among the disks of an owner."""

from __future__ import annotations

from lightervisor.cli.attached import Attached
from lightervisor.cli.errors import CommandError
from lightervisor.cli.storage_volume import place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lightervisor.cli.session import Session


def _device(session: Session, arguments: list[str], owners: str) -> tuple[str, dict[str, str]]:
    kind, raw = place(session, arguments[0], arguments[1])
    if kind.type != "custom":
        raise CommandError('Only "custom" volumes can be attached to instances')
    server, volume = kind.place(session, raw)
    name, path = volume, ""
    if len(arguments) == 4:
        path = arguments[3]
    elif len(arguments) > 4:
        name, path = arguments[3], arguments[4]
    if owners == "profiles":
        server.get(kind.path(volume))
    return name, {"type": "disk", "pool": kind.pool, "source": volume, **({"path": path} if path else {})}


def _shown(session: Session, arguments: list[str]) -> Callable[[dict[str, str]], bool]:
    kind, raw = place(session, arguments[0], arguments[1])
    wanted = ("disk", kind.pool, raw.partition(":")[2])
    return lambda device: (device.get("type"), device.get("pool"), device.get("source")) == wanted


attach, attach_profile, detach, detach_profile = Attached(
    words=2, what="volume", whole="storage volume", device=_device, matcher=_shown
).handlers()
