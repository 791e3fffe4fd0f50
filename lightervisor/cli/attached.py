"""What `attach` and `detach` of networks and of volumes share: a device of an instance or a profile more, or less."""

from __future__ import annotations

from lightervisor.cli.config_device import Owner
from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.cli.table import Handler

    Device = dict[str, str]


class Attached:
    """Something that can be a device. Its name takes so many `words`; the owner's follows, then the device's.

    `device` makes the name and the device from all arguments, for "instances" or "profiles"; `matcher` says which
    devices are that something. `what` and `whole` name it in errors.
    """

    def __init__(
        self,
        *,
        words: int,
        what: str,
        whole: str,
        device: Callable[[Session, list[str], str], tuple[str, Device]],
        matcher: Callable[[Session, list[str]], Callable[[Device], bool]],
    ) -> None:
        self._words, self._what, self._whole = words, what, whole
        self._device, self._matcher = device, matcher

    def handlers(self) -> tuple[Handler, Handler, Handler, Handler]:
        """Of attach, attach-profile, detach and detach-profile."""
        return (
            self._handler(self._attach, "instances"),
            self._handler(self._attach, "profiles"),
            self._handler(self._detach, "instances"),
            self._handler(self._detach, "profiles"),
        )

    @staticmethod
    def _handler(act: Callable[[Session, str, list[str]], None], owners: str) -> Handler:
        def handle(session: Session, arguments: list[str], flags: Flags) -> None:
            _ = flags
            act(session, owners, arguments)

        return handle

    def _attach(self, session: Session, owners: str, arguments: list[str]) -> None:
        name, device = self._device(session, arguments, owners)
        owner = self._owner(session, owners, arguments)
        if name in owner.devices:
            raise CommandError(f"Device already exists: {name}")
        owner.devices[name] = device
        owner.save()

    def _detach(self, session: Session, owners: str, arguments: list[str]) -> None:
        matches = self._matcher(session, arguments)
        owner = self._owner(session, owners, arguments)
        if len(arguments) > self._words + 1:
            name = arguments[self._words + 1]
            if name not in owner.devices:
                raise CommandError("The specified device doesn't exist")
            if not matches(owner.devices[name]):
                raise CommandError(f"The specified device doesn't match the {self._what}")
        else:
            found = [name for name, device in owner.devices.items() if matches(device)]
            if not found:
                raise CommandError(f"No device found for this {self._whole}")
            if len(found) > 1:
                raise CommandError("More than one device matches, specify the device name")
            name = found[0]
        del owner.devices[name]
        owner.save()

    def _owner(self, session: Session, kind: str, arguments: list[str]) -> Owner:
        """The instance or profile, on the server of what is attached."""
        remote, _ = session.parse(arguments[0])
        return Owner(session, kind, f"{remote}:{arguments[self._words]}")
