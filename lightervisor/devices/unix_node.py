"""Character and block devices of the host, shown inside as nodes of their own with an owner and a mode.

A container in a user namespace cannot make nodes, nor may it see the host's with the host's owners: the node is made
in our own directory and bound where it is wanted. Source: LXD, device types unix-char and unix-block; mknod(2).
"""

import contextlib
import os
import stat
from pathlib import Path
from typing import ClassVar, Literal

from lightervisor.config.device_rules import is_open, rule
from lightervisor.config.key import Key, key
from lightervisor.config.types import Bool, Text, UnixId, integer, is_true, matching
from lightervisor.devices.device import Device, DeviceStart, Options, Refreshed, Slot, device_scope
from lightervisor.devices.disk import mount_entry
from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import cgroup, guest_mounts, syscalls
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.sources import open_source

Mode = matching("octal file mode", r"0?[0-7]{1,4}", "Invalid value for an octal file mode")


def _keys(kind: str) -> tuple[Key, ...]:
    return tuple(
        key(name, value, scope=device_scope(kind), default=default, group="unix", help=text)
        for name, value, default, text in (
            ("source", Text, "", "Path of the device on the host"),
            ("path", Text, "", "Path inside, the same as the source unless it is given"),
            ("major", integer(0, 0xFFF), "", "Major number, read from the source unless it is given"),
            ("minor", integer(0, 0xFFFFF), "", "Minor number, read from the source unless it is given"),
            ("uid", UnixId, "0", "Owner inside"),
            ("gid", UnixId, "0", "Group inside"),
            ("mode", Mode, "0660", "Permissions inside"),
            ("required", Bool, "true", "Fail to start when the source is missing"),
        )
    )


class UnixNode(Device):
    """What both kinds share."""

    IS_CHECKED_WHEN_ADDED: ClassVar[bool] = False
    LETTER: ClassVar[str]
    FORMAT: ClassVar[int]

    @classmethod
    def validate(cls, name: str, options: Options) -> None:
        """Raise Invalid unless something says which device it is, and for paths that lead elsewhere."""
        if not options.get("source") and not options.get("path"):
            raise Invalid("device", name, text='Unix device entry is missing the required "source" or "path" property')
        source = options.get("source") or options["path"]
        if not source.startswith("/"):
            text = "Source path must be absolute for local sources"
            raise Invalid("device", name, text=text)
        if ".." in options.get("path", "").split("/"):
            raise Invalid("device", name, text=f"Invalid path {options['path']!r}")
        if bool(options.get("major")) != bool(options.get("minor")):
            raise Invalid("device", name, text=f"Both major and minor must be supplied for device: {source}")

    def check_host(self) -> None:
        """Raise Invalid when a required device is not there."""
        if not self._is_required() or self._numbers() is not None:
            return
        if Path(self._source()).exists():
            raise Invalid("device", self.name, text=f"Path specified is not a {self.kind} device")
        text = "The required device path doesn't exist and the major and minor settings are not specified"
        raise Invalid("device", self.name, text=text, remedy="create it, or set required=false")

    def start(self, slot: Slot) -> DeviceStart:
        """Make the node; nothing is shown when it is missing and not required."""
        numbers = self._numbers()
        if numbers is None:
            return DeviceStart()
        node = self._made(numbers)
        lines = [("lxc.mount.entry", mount_entry(str(node), self.inside, ["bind", "create=file"]))]
        if self.instance.may_reach_nodes:
            version = "lxc.cgroup" if cgroup.offered().has("devices.allow", version=1) else "lxc.cgroup2"
            lines.append((f"{version}.devices.allow", rule(self.LETTER, *numbers)))
        return DeviceStart(lines=tuple(lines))

    def plug(self, slot: Slot, guest: Guest) -> DeviceStart:
        """Show the node inside a running container."""
        numbers = self._numbers()
        if numbers is None:
            return DeviceStart()
        if self.instance.may_reach_nodes:
            self._set_devices("allow", numbers)
        try:
            self._attach(self._made(numbers), guest)
        except BaseException:
            if self.instance.may_reach_nodes:
                with contextlib.suppress(HostError):  # what failed first is told
                    self._forbid(numbers)
            raise
        return DeviceStart()

    def _attach(self, node: Path, guest: Guest) -> None:
        try:
            tree = syscalls.open_tree(node)
            try:
                guest_mounts.attach(guest, tree, self.inside, is_file=True)
            finally:
                os.close(tree)
        except OSError as error:
            with contextlib.suppress(OSError):
                guest_mounts.detach(guest, self.inside, remove=True)
            self.stop()
            cause = f"cannot be shown at /{self.inside}: {error.strerror}"
            raise HostError(self.kind, self.name, cause=cause) from error

    def unplug(self, guest: Guest) -> None:
        """Take the node away inside."""
        try:
            guest_mounts.detach(guest, self.inside, remove=True)
        except OSError as error:
            cause = f"cannot unmount /{self.inside}: {error.strerror}"
            raise HostError(self.kind, self.name, cause=cause) from error
        if self.instance.may_reach_nodes and (numbers := self._staged_numbers()) is not None:
            self._forbid(numbers)

    def follows(self) -> frozenset[str] | None:
        """Its source, unless it must be there or is told by its numbers."""
        if self._is_required() or self.options.get("major"):
            return None
        return frozenset({self._source()})

    def refresh(self, guest: Guest) -> Refreshed:
        """Show the node if the source is there, as it is now."""
        wanted, shown = self._numbers(), self._staged_numbers()
        try:
            if wanted == shown and (shown is None or guest_mounts.is_mounted(guest, self.inside)):
                return Refreshed()
        except OSError as error:
            raise HostError(self.kind, self.name, cause=f"/{self.inside}: {error.strerror}") from error
        if shown is not None:
            self.take_away(guest)
        if wanted is not None:
            self.plug(Slot(), guest)
        return Refreshed(is_changed=True)

    def take_away(self, guest: Guest) -> None:
        """Show it no longer. Raises HostError: then the node on the host stays, which tells that it is to be done."""
        self.unplug(guest)
        self.stop()

    def _staged_numbers(self) -> tuple[int, int] | None:
        """Major and minor of the node that was made, None without."""
        device = _device_of(self._node())
        return device[1:] if device is not None else None

    def stop(self) -> None:
        """Remove the node."""
        node = self._node()
        with contextlib.suppress(FileNotFoundError):
            node.unlink()
            with contextlib.suppress(OSError):  # others may be in there
                node.parent.rmdir()

    def _numbers(self) -> tuple[int, int] | None:
        """Major and minor, as given or as the source has them; None when nothing of this kind is there.

        Raises Invalid for a link of a user's to what is not theirs, who could let it lead to any device.
        """
        if self.options.get("major"):
            return int(self.options["major"]), int(self.options["minor"])
        try:
            source = open_source(self._source())
        except PermissionError as error:
            text = f'Cannot use source path "{self._source()}" for device "{self.name}": {error.strerror}'
            raise Invalid("device", self.name, text=text) from error
        except OSError:
            return None
        found = os.fstat(source)
        os.close(source)
        if stat.S_IFMT(found.st_mode) != self.FORMAT:
            return None
        return os.major(found.st_rdev), os.minor(found.st_rdev)

    def _made(self, numbers: tuple[int, int]) -> Path:
        node = self._node()
        self.stop()
        uid, gid = int(self.options.get("uid") or 0), int(self.options.get("gid") or 0)
        if (idmap := self.instance.idmap) is not None:
            uid, gid = idmap.to_host(uid, "uid"), idmap.to_host(gid, "gid")
        try:
            self.make_directory()
            os.mknod(node, self.FORMAT, os.makedev(*numbers))
            os.chown(node, uid, gid, follow_symlinks=False)
            node.chmod(int(self.options.get("mode") or "0660", 8))
        except OSError as error:
            self.stop()
            raise HostError(self.kind, self.name, cause=f"cannot make the device node: {error.strerror}") from error
        return node

    def _forbid(self, numbers: tuple[int, int]) -> None:
        """Let the container not open it any more, unless it may for another reason."""
        own = self._node()
        others = (_device_of(one) for one in own.parent.glob("unix.*") if one != own)
        if not is_open(self.LETTER, *numbers) and (self.FORMAT, *numbers) not in others:
            self._set_devices("deny", numbers)

    def _set_devices(self, verb: Literal["allow", "deny"], numbers: tuple[int, int]) -> None:
        if self.instance.set_devices is not None:
            self.instance.set_devices(verb, rule(self.LETTER, *numbers))

    @property
    def inside(self) -> str:
        """Its place in the container, without the first /."""
        return (self.options.get("path") or self.options["source"]).strip("/")

    def _source(self) -> str:
        return self.options.get("source") or self.options["path"]

    def _is_required(self) -> bool:
        return is_true(self.options.get("required") or "true")

    def _node(self) -> Path:
        return self.host_side("unix", self.inside)


def _device_of(node: Path) -> tuple[int, int, int] | None:
    """Kind, major and minor: numbers alone are those of a block and of a character device."""
    try:
        found = node.stat()
    except OSError:
        return None
    return stat.S_IFMT(found.st_mode), os.major(found.st_rdev), os.minor(found.st_rdev)


class UnixChar(UnixNode, type="unix-char"):
    """A character device, as /dev/fuse."""

    KEYS = _keys("unix-char")
    LETTER, FORMAT = "c", stat.S_IFCHR


class UnixBlock(UnixNode, type="unix-block"):
    """A block device, as /dev/sdb."""

    KEYS = _keys("unix-block")
    LETTER, FORMAT = "b", stat.S_IFBLK
