"""Disks: a directory, file or block device of the host shown inside, and the root disk.

The source is first mounted in a directory of ours that the container's root can reach (it could not walk through
/root, say), and liblxc binds that. Source: LXD, device type disk; lxc.container.conf(5), lxc.mount.entry.
"""

import errno
import logging
import os
import posixpath
import stat
from collections.abc import Sequence
from pathlib import Path

from lightervisor.config import sizes
from lightervisor.config.key import key
from lightervisor.config.types import Bool, Size, Text, any_of, integer, is_true, matching, one_of
from lightervisor.devices import disk_owners
from lightervisor.devices.device import Device, DeviceStart, Options, Slot, device_scope
from lightervisor.devices.disk_owners import VolumeSource
from lightervisor.devices.disk_stage import Looks, Stage
from lightervisor.errors import Failure, HostError, Invalid
from lightervisor.kernel import guest_mounts, locked_mounts, syscalls
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.sources import open_source
from lightervisor.kernel.userns import namespace_of

log = logging.getLogger(__name__)
SCOPE = device_scope("disk")
MEMORY, NOTHING = "tmpfs:", "/dev/null"
PROPAGATIONS = {
    "private": syscalls.MS_PRIVATE, "shared": syscalls.MS_SHARED, "slave": syscalls.MS_SLAVE,
    "unbindable": syscalls.MS_UNBINDABLE,
}  # fmt: skip
Propagation = one_of(*PROPAGATIONS, *(f"r{one}" for one in PROPAGATIONS))
DiskLimit = any_of("bytes or iops per second", matching("iops", r"\d{1,9}iops", ""), Size)
NOT_YET = ("size.state", "ceph.cluster_name", "ceph.user_name")


class Disk(Device, type="disk"):
    """Takes a VolumeSource as its resource when `pool` is set and the path is not "/"."""

    ORDER = 1
    KEYS = tuple(
        key(name, kind, scope=SCOPE, live=name in ("size", "limits.read", "limits.write", "limits.max"),
            default=default, group="disk", help=text)
        for name, kind, default, text in (
            ("path", Text, "", "Where it is shown inside"),
            ("source", Text, "", "Path of the host, a volume of `pool`, or `tmpfs:` for memory"),
            ("pool", Text, "", "Storage pool of the volume"),
            ("size", Size, "", "Most bytes of the root disk, or of a disk in memory"),
            ("size.state", Size, "", "For virtual machines"),
            ("readonly", Bool, "false", "Refuse writing"),
            ("recursive", Bool, "false", "Show what is mounted below the source, too"),
            ("required", Bool, "true", "Fail to start when the source is missing"),
            ("optional", Bool, "", "Older name for the contrary of `required`"),
            ("propagation", Propagation, "private", "Whether later mounts are seen on the other side"),
            ("raw.mount.options", Text, "", "More options for the mount"),
            ("shift", Bool, "", "Show owners as the container's own; unset: of a user's files, all but root's"),
            ("limits.read", DiskLimit, "", "Most bytes or requests per second"),
            ("limits.write", DiskLimit, "", "Most bytes or requests per second"),
            ("limits.max", DiskLimit, "", "Both limits at once; counts when one of them is given too"),
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
        """Raise Invalid when a required source is not there, or is a link that must not be followed."""
        source = self._opened()
        if source is not None:
            os.close(source)

    def start(self, slot: Slot) -> DeviceStart:
        """Mount the source where the container can reach it; the root disk needs nothing here."""
        stage = self._staged()
        if stage is None:
            return DeviceStart()
        return DeviceStart(lines=(("lxc.mount.entry", self._entry(stage)),))

    def plug(self, slot: Slot, guest: Guest) -> DeviceStart:
        """Mount the source where a start would show it."""
        stage = self._staged()
        if stage is None:
            return DeviceStart()
        recursive = is_true(self.options.get("recursive"))
        try:
            if guest.idmap is None:
                tree = syscalls.open_tree(stage.path, recursive=recursive)
            else:
                tree = locked_mounts.clone(stage.path, recursive=recursive)
            try:
                self._dress(tree)
                guest_mounts.attach(guest, tree, self._inside(), is_file=stage.is_file)
            finally:
                os.close(tree)
        except OSError as error:
            self.stop()
            raise HostError("disk", self.name, cause=f"cannot mount at /{self._inside()}: {error.strerror}") from error
        except HostError:
            self.stop()
            raise
        return DeviceStart()

    def unplug(self, guest: Guest) -> None:
        """Unmount it inside, for those who use it too."""
        if self.options.get("path") == "/" or self._hides_nothing():
            return
        try:
            guest_mounts.detach(guest, self._inside())
        except OSError as error:
            cause = f"cannot unmount /{self._inside()}: {error.strerror}"
            raise HostError("disk", self.name, cause=cause) from error

    def mend(self, guest: Guest) -> None:
        """Mount it when it is not there: the daemon was killed while it was being added."""
        if self.options.get("path") == "/" or self._hides_nothing():
            return
        try:
            is_there = guest_mounts.is_mounted(guest, self._inside())
        except OSError as error:
            raise HostError("disk", self.name, cause=f"cannot look at /{self._inside()}: {error.strerror}") from error
        if not is_there:
            self.plug(Slot(), guest)

    def stop(self) -> None:
        """Unmount and remove the place of the mount."""
        self._stage().remove()

    def update(self, options: Options) -> bool:
        """Limits are the instance's as a whole, and told to the kernel there: nothing is mounted anew for them."""
        changed = {name for name in self.options.keys() | options.keys() if self.options.get(name) != options.get(name)}
        return changed <= {"limits.read", "limits.write", "limits.max"}

    def _dress(self, tree: int) -> None:
        """Give the detached mount what _entry says in liblxc's words."""
        wanted = self.options.get("propagation") or "private"
        recursive = wanted.startswith("r") or is_true(self.options.get("recursive"))
        if wanted.endswith("shared") and not self.instance.privileged:
            # As liblxc's mounts in a user namespace: what the guest does there must not reach the host.
            syscalls.mount_setattr(tree, propagation=syscalls.MS_SLAVE, recursive=recursive)
        syscalls.mount_setattr(tree, propagation=PROPAGATIONS[wanted.removeprefix("r")], recursive=recursive)

    def _staged(self) -> Stage | None:
        """The source mounted in our own directory, as it is to be seen; None without a source."""
        if self.options.get("path") == "/" or self._hides_nothing():
            return None
        stage = self._stage()
        stage.remove()
        source = None if self._is_memory() else self._opened()
        try:
            if source is None and not self._is_memory():
                return None
            self.make_directory()
            self._show(source, stage)
        except OSError as error:
            stage.remove()
            raise HostError("disk", self.name, cause=f"cannot mount {self._words()}: {error.strerror}") from error
        except Failure:
            stage.remove()
            raise
        finally:
            if source is not None:
                os.close(source)
        return stage

    def _show(self, source: int | None, stage: Stage) -> None:
        readonly = "ro" if is_true(self.options.get("readonly")) else ""
        options = (readonly, *self.options.get("raw.mount.options", "").split(","))
        looks = Looks(options, is_true(self.options.get("recursive")), None)
        if source is None:
            stage.mount_tmpfs(self._memory_options(), looks)
            return
        found = os.fstat(source)
        show = stage.mount_block if stat.S_ISBLK(found.st_mode) else stage.bind
        shift = disk_owners.wanted(self.options, self.instance.idmap, self.resource, found)
        if shift is None:
            show(source, looks)
            return
        try:
            show(source, looks._replace(namespace=namespace_of(shift.idmap)))
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EPERM):
                raise
            stage.remove()
            self.make_directory()
            if shift.is_asked:
                raise disk_owners.refusal(self.name, self.instance.name, self._words(), found) from error
            log.warning("disk %s of %s: its file system cannot show other owners", self.name, self.instance.name)
            show(source, looks)

    def _entry(self, stage: Stage) -> str:
        words = [
            "rbind" if is_true(self.options.get("recursive")) else "bind",
            f"create={'file' if stage.is_file else 'dir'}",
        ]
        if is_true(self.options.get("readonly")):
            words.append("ro")
        if self.options.get("propagation"):
            words.append(self.options["propagation"])
        return mount_entry(str(stage.path), self._inside(), words)

    def _inside(self) -> str:
        return _beneath(self.options.get("path", ""))

    def _hides_nothing(self) -> bool:
        """Whether it is to hide a file of the kernel's that this kernel does not have, where none can be made.

        As the device `aadisable` of articles about Docker does, on a kernel without AppArmor.
        """
        is_of_kernel = self._inside().startswith(("proc/", "sys/"))
        return is_of_kernel and self.options.get("source") == NOTHING and not Path("/", self._inside()).exists()

    def _is_required(self) -> bool:
        if self.options.get("optional"):
            return not is_true(self.options["optional"])
        return is_true(self.options.get("required") or "true")

    def _is_memory(self) -> bool:
        return self.options.get("source") == MEMORY

    def _memory_options(self) -> str:
        """An empty directory of the container's root, with half of the host's memory at most unless a size is given."""
        idmap = self.instance.idmap
        owner = (idmap.host_root, idmap.host_root_gid) if idmap else (0, 0)
        size = self.options.get("size")
        return f"mode=0755,uid={owner[0]},gid={owner[1]}" + (f",size={sizes.parse(size)}" if size else "")

    def _opened(self) -> int | None:
        """A descriptor of the source, None where there is none to be mounted. Raises Invalid."""
        if self.options.get("path") == "/" or self._is_memory():
            return None
        if isinstance(self.resource, VolumeSource):
            return self.resource.open()
        source = self.options["source"]
        try:
            return open_source(source)
        except (FileNotFoundError, NotADirectoryError) as error:
            if not self._is_required():
                return None
            remedy = "create it, or set required=false"
            text = f'Missing source path "{source}" for disk "{self.name}"'
            raise Invalid("device", self.name, text=text, remedy=remedy) from error
        except OSError as error:
            text = f'Cannot use source path "{source}" for disk "{self.name}": {error.strerror}'
            raise Invalid("device", self.name, text=text) from error

    def _words(self) -> str:
        pool = self.options.get("pool")
        return f"volume {self.options['source']} of pool {pool}" if pool else self.options["source"]

    def _stage(self) -> Stage:
        return Stage(self.host_side("disk", self._inside()))


def mount_entry(source: str, target: str, options: Sequence[str]) -> str:
    """The serializer of fstab's format, as lxc.mount.entry reads it. Raises Invalid for control characters."""
    fields = [source, target, "none", ",".join(options)]
    if any(not character.isprintable() and character != " " for field in fields for character in field):
        raise Invalid("mount entry", target, cause="control characters are not allowed")
    return " ".join(_escaped(field) for field in fields) + " 0 0"


def _escaped(field: str) -> str:
    return field.replace("\\", "\\134").replace(" ", "\\040").replace("#", "\\043")


def _beneath(path: str) -> str:
    """A path inside, relative to the root; "" for the root itself."""
    return posixpath.normpath("/" + path.lstrip("/")).strip("/")


def _complaint(path: str, source: str, options: Options) -> str:
    both_words = options.get("required") and options.get("optional")
    deep_readonly = is_true(options.get("recursive")) and is_true(options.get("readonly"))
    rules = (
        (both_words, 'Cannot use both "required" and deprecated "optional" properties at the same time'),
        (not path or not source, 'Disk entry is missing the required "source" or "path" property'),
        (options.get("size") and source != MEMORY, "Only the root disk may have a size quota"),
        (source == MEMORY and options.get("pool"), f'A disk in a pool cannot have the source "{MEMORY}"'),
        (deep_readonly, "Recursive read-only bind-mounts aren't currently supported by the kernel"),
        (not _beneath(path), f"Invalid path {path!r}"),
        (options.get("pool") and source.startswith("/"), "Storage volumes cannot be specified as absolute paths"),
        (source.startswith(("ceph:", "cephfs:")), f'Invalid source "{source}": Ceph is not supported by this server'),
        (
            not options.get("pool") and not source.startswith("/") and source != MEMORY,
            "Source path must be absolute for local sources",
        ),
        *((options.get(one), f'The option "{one}" is not supported by this server yet') for one in NOT_YET),
    )
    return next((complaint for applies, complaint in rules if applies), "")


def _root_complaint(options: Options) -> str:
    if options.get("source"):
        return 'Root disk entry may not have a "source" property set'
    if not options.get("pool"):
        return 'Root disk entry must have a "pool" property set'
    return ""
