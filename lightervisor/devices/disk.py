"""Disks: a directory, file or block device of the host shown inside, and the root disk.

The source is first mounted in a directory of ours that the container's root can reach (it could not walk through
/root, say), and liblxc binds that. Source: LXD, device type disk; lxc.container.conf(5), lxc.mount.entry.
"""

import contextlib
import os
import posixpath
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightervisor.config.key import key
from lightervisor.config.types import Bool, Size, Text, integer, is_true, matching, one_of
from lightervisor.devices.device import Device, DeviceStart, Options, Slot, device_scope
from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import guest_mounts, mounts, process, syscalls
from lightervisor.kernel.guests import Guest

SCOPE = device_scope("disk")
PROPAGATIONS = {
    "private": syscalls.MS_PRIVATE, "shared": syscalls.MS_SHARED, "slave": syscalls.MS_SLAVE,
    "unbindable": syscalls.MS_UNBINDABLE,
}  # fmt: skip
Propagation = one_of(*PROPAGATIONS, *(f"r{one}" for one in PROPAGATIONS))
DiskLimit = matching("bytes or iops per second", r"\d+ *(iops|[kMGTPE]?i?B)?", "Invalid limit {value!r}")
NOT_YET = ("limits.read", "limits.write", "limits.max", "size.state", "ceph.cluster_name", "ceph.user_name")


@dataclass(frozen=True, kw_only=True)
class MountedSource:
    """The resource of a disk with `pool`: where the volume is mounted on the host."""

    path: Path
    idmapped: bool = False


class Disk(Device, type="disk"):
    """Takes a MountedSource as its resource when `pool` is set and the path is not "/"."""

    ORDER = 1
    KEYS = tuple(
        key(name, kind, scope=SCOPE, live=name in ("size", "limits.read", "limits.write", "limits.max"),
            default=default, group="disk", help=text)
        for name, kind, default, text in (
            ("path", Text, "", "Where it is shown inside"),
            ("source", Text, "", "Directory, file or block device of the host, or a volume of `pool`"),
            ("pool", Text, "", "Storage pool of the volume"),
            ("size", Size, "", "Most bytes of the root disk"),
            ("size.state", Size, "", "For virtual machines"),
            ("readonly", Bool, "false", "Refuse writing"),
            ("recursive", Bool, "false", "Show what is mounted below the source, too"),
            ("required", Bool, "true", "Fail to start when the source is missing"),
            ("optional", Bool, "", "Older name for the contrary of `required`"),
            ("propagation", Propagation, "private", "Whether later mounts are seen on the other side"),
            ("raw.mount.options", Text, "", "More options for the mount"),
            ("shift", Bool, "false", "Show the source's owners as the container's own"),
            ("limits.read", DiskLimit, "", "Most bytes or requests per second"),
            ("limits.write", DiskLimit, "", "Most bytes or requests per second"),
            ("limits.max", DiskLimit, "", "Both limits at once"),
            ("boot.priority", integer(0), "", "For virtual machines"),
            ("ceph.cluster_name", Text, "ceph", "Ceph cluster"),
            ("ceph.user_name", Text, "admin", "Ceph user"),
        )
    )  # fmt: skip

    @classmethod
    def validate(cls, name: str, options: Options) -> None:
        """Raise Invalid for options that exclude each other or are missing."""
        path = options.get("path", "")
        complaint = _root_complaint(options) if path == "/" else _complaint(path, options.get("source", ""), options)
        if complaint:
            raise Invalid("device", name, text=complaint)

    def check_host(self) -> None:
        """Raise Invalid when a required source is not there."""
        source = self._source()
        if source is not None and not source.exists() and self._is_required():
            remedy = "create it, or set required=false"
            text = f'Missing source path "{source}" for disk "{self.name}"'
            raise Invalid("device", self.name, text=text, remedy=remedy)

    def start(self, slot: Slot) -> DeviceStart:
        """Mount the source where the container can reach it; the root disk needs nothing here."""
        stage = self._staged()
        if stage is None:
            return DeviceStart()
        return DeviceStart(lines=(("lxc.mount.entry", self._entry(stage, is_file=not stage.is_dir())),))

    def plug(self, slot: Slot, guest: Guest) -> DeviceStart:
        """Mount the source where a start would show it."""
        stage = self._staged()
        if stage is None:
            return DeviceStart()
        try:
            tree = syscalls.open_tree(stage, recursive=is_true(self.options.get("recursive")))
            try:
                self._dress(tree, guest)
                guest_mounts.attach(guest, tree, self._inside(), is_file=not stage.is_dir())
            finally:
                os.close(tree)
        except OSError as error:
            self.stop()
            raise HostError("disk", self.name, cause=f"cannot mount at /{self._inside()}: {error.strerror}") from error
        return DeviceStart()

    def unplug(self, guest: Guest) -> None:
        """Unmount it inside, for those who use it too."""
        if self.options.get("path") == "/":
            return
        try:
            guest_mounts.detach(guest, self._inside())
        except OSError as error:
            cause = f"cannot unmount /{self._inside()}: {error.strerror}"
            raise HostError("disk", self.name, cause=cause) from error

    def _dress(self, tree: int, guest: Guest) -> None:
        """Give the detached mount what _entry says in liblxc's words."""
        wanted = self.options.get("propagation") or "private"
        recursive = wanted.startswith("r") or is_true(self.options.get("recursive"))
        if wanted.endswith("shared") and not self.instance.privileged:
            # As liblxc's mounts in a user namespace: what the guest does there must not reach the host.
            syscalls.mount_setattr(tree, propagation=syscalls.MS_SLAVE, recursive=recursive)
        syscalls.mount_setattr(tree, propagation=PROPAGATIONS[wanted.removeprefix("r")], recursive=recursive)
        if self._is_to_be_shifted():
            namespace = os.open(f"/proc/{guest.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            try:
                syscalls.mount_setattr(tree, set=syscalls.MOUNT_ATTR_IDMAP, namespace=namespace, recursive=recursive)
            finally:
                os.close(namespace)

    def _staged(self) -> Path | None:
        """The source mounted in our own directory, where the container can reach it; None without a source."""
        source = self._source()
        if source is None or not source.exists():
            return None
        stage = self._stage()
        self.stop()
        stage.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        mode = source.stat().st_mode
        is_file = not (stat.S_ISDIR(mode) or stat.S_ISBLK(mode))
        try:
            stage.touch() if is_file else stage.mkdir()
            self._mount(source, stage, is_block=stat.S_ISBLK(mode))
        except OSError as error:
            self.stop()
            raise HostError("disk", self.name, cause=f"cannot mount {source}: {error.strerror}") from error
        except HostError:
            self.stop()
            raise
        return stage

    def stop(self) -> None:
        """Unmount and remove the place of the mount."""
        stage = self._stage()
        with contextlib.suppress(FileNotFoundError):
            mounts.umount_alone(stage)
            stage.rmdir() if stage.is_dir() else stage.unlink()
            with contextlib.suppress(OSError):  # others may be in there
                stage.parent.rmdir()

    def _mount(self, source: Path, stage: Path, *, is_block: bool) -> None:
        readonly = is_true(self.options.get("readonly"))
        if is_block:
            wanted = [part for part in ("ro" if readonly else "", self.options.get("raw.mount.options", "")) if part]
            flags = ["-o", ",".join(wanted)] if wanted else []
            process.run(["mount", *flags, "--", source, stage], timeout_s=60)
            return
        mounts.bind(source, stage, recursive=is_true(self.options.get("recursive")), readonly=readonly)

    def _entry(self, stage: Path, *, is_file: bool) -> str:
        words = [
            "rbind" if is_true(self.options.get("recursive")) else "bind",
            f"create={'file' if is_file else 'dir'}",
        ]
        if is_true(self.options.get("readonly")):
            words.append("ro")
        if self.options.get("propagation"):
            words.append(self.options["propagation"])
        if self._is_to_be_shifted():
            words.append("idmap=container")
        return mount_entry(str(stage), self._inside(), words)

    def _inside(self) -> str:
        return posixpath.normpath(f"/{self.options.get('path', '')}").strip("/")

    def _is_to_be_shifted(self) -> bool:
        is_shifted = isinstance(self.resource, MountedSource) and self.resource.idmapped
        return is_true(self.options.get("shift")) and not self.instance.privileged and not is_shifted

    def _is_required(self) -> bool:
        if self.options.get("optional"):
            return not is_true(self.options["optional"])
        return is_true(self.options.get("required") or "true")

    def _source(self) -> Path | None:
        if self.options.get("path") == "/":
            return None
        if isinstance(self.resource, MountedSource):
            return self.resource.path
        if self.options.get("pool"):
            raise Invalid("device", self.name, text="Custom storage volumes are not supported by this server yet")
        return Path(self.options["source"])

    def _stage(self) -> Path:
        return self.host_side("disk", self._inside())


def mount_entry(source: str, target: str, options: Sequence[str]) -> str:
    """The serializer of fstab's format, as lxc.mount.entry reads it. Raises Invalid for control characters."""
    fields = [source, target, "none", ",".join(options)]
    if any(not character.isprintable() and character != " " for field in fields for character in field):
        raise Invalid("mount entry", target, cause="control characters are not allowed")
    return " ".join(_escaped(field) for field in fields) + " 0 0"


def _escaped(field: str) -> str:
    return field.replace("\\", "\\134").replace(" ", "\\040").replace("#", "\\043")


def _complaint(path: str, source: str, options: Options) -> str:
    both_words = options.get("required") and options.get("optional")
    deep_readonly = is_true(options.get("recursive")) and is_true(options.get("readonly"))
    rules = (
        (both_words, 'Cannot use both "required" and deprecated "optional" properties at the same time'),
        (not path or not source, 'Disk entry is missing the required "source" or "path" property'),
        (options.get("size"), "Only the root disk may have a size quota"),
        (deep_readonly, "Recursive read-only bind-mounts aren't currently supported by the kernel"),
        (posixpath.normpath(f"/{path}") == "/", f"Invalid path {path!r}"),
        (options.get("pool") and source.startswith("/"), "Storage volumes cannot be specified as absolute paths"),
        (source.startswith(("ceph:", "cephfs:")), f'Invalid source "{source}": Ceph is not supported by this server'),
        (not options.get("pool") and not source.startswith("/"), "Source path must be absolute for local sources"),
        *((options.get(one), f'The option "{one}" is not supported by this server yet') for one in NOT_YET),
    )
    return next((complaint for applies, complaint in rules if applies), "")


def _root_complaint(options: Options) -> str:
    if options.get("source"):
        return 'Root disk entry may not have a "source" property set'
    if not options.get("pool"):
        return 'Root disk entry must have a "pool" property set'
    limits = ("limits.read", "limits.write", "limits.max")
    return next((f'The option "{one}" is not supported by this server yet' for one in limits if options.get(one)), "")
