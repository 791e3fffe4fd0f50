"""Proxies: connections from the host into the instance, or the other way, by a process or by NAT.

The process is small, one for each device, holds the listening sockets and outlives the daemon; see docs/adr/0015.
Source: LXD, device type proxy.
"""

import contextlib
import errno
import marshal
import os
import select
import socket
import stat
import sys
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from lightervisor.config.key import key
from lightervisor.config.types import Bool, Checked, UnixId, ValueType, is_true, refuse
from lightervisor.devices import nic_ports
from lightervisor.devices.device import Device, DeviceStart, Options, Slot, device_scope
from lightervisor.devices.proxy_address import Endpoint, Side, parse
from lightervisor.devices.unix_node import Mode
from lightervisor.errors import HostError, Invalid
from lightervisor.firewall import nft, proxy_rules
from lightervisor.kernel import guests, paths, pidfd, process
from lightervisor.kernel.guests import Guest

SCOPE = device_scope("proxy")
PACKAGE = Path(__file__).parent.parent.parent
# Not runpy, nor a module by -m: they import much that the process does not need.
START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from lightervisor.devices.forwarder.process import main; main()"
)
START_S = 60.0
BINDS = {"host": "host", "instance": "instance", "guest": "instance", "container": "instance"}


def _check_bind(value: str) -> None:
    """The two sides, in this version's words and the older ones'."""
    if value not in BINDS:
        raise refuse('Invalid binding side given. Must be "host" or "instance"')


TABLE: tuple[tuple[str, ValueType, str, str], ...] = (
    ("listen", Side, "", "Where connections are taken: tcp:ADDRESS:PORTS, udp:ADDRESS:PORTS, unix:PATH, unix:@NAME"),
    ("connect", Side, "", "Where they go to, written likewise: one port, or as many as are listened at"),
    ("bind", Checked("one of host, instance", _check_bind), "host", "Which side listens"),
    ("mode", Mode, "0644", "Permissions of the unix socket that listens"),
    ("uid", UnixId, "0", "Owner of the unix socket that listens"),
    ("gid", UnixId, "0", "Group of the unix socket that listens"),
    ("security.uid", UnixId, "0", "Who connects, as the other side sees it"),
    ("security.gid", UnixId, "0", "With which group"),
    ("nat", Bool, "false", "Do it by NAT; needs an address of the host and a static one of the instance"),
    ("proxy_protocol", Bool, "false", "Tell who connected by the PROXY protocol"),
)


class Proxy(Device, type="proxy"):
    """Knows the options of the other devices by its instance: NAT goes to the static address of a nic."""

    KEYS = tuple(
        key(name, kind, scope=SCOPE, default=default, group="proxy", help=text) for name, kind, default, text in TABLE
    )

    @classmethod
    def validate(cls, name: str, options: Options) -> None:
        """Raise Invalid for options that exclude each other or are missing."""
        for option in ("connect", "listen"):
            if not options.get(option):
                text = f'Invalid value for device option "{option}": Unknown protocol type ""'
                raise Invalid("device", name, text=text, remedy=f"for example {option}=tcp:127.0.0.1:80")
        listen, connect = parse(options["listen"]), parse(options["connect"])
        complaint = _complaint(listen, connect, options)
        if not complaint and is_true(options.get("nat")):
            complaint = _nat_complaint(listen, connect, options)
        if complaint:
            raise Invalid("device", name, text=complaint)

    def check_host(self) -> None:
        """Raise Invalid when NAT has no static address to go to."""
        if self._is_nat:
            self._nic()

    def start(self, slot: Slot) -> DeviceStart:
        """Nothing can be done before there is an instance to connect to."""
        return DeviceStart(after_start=self._run)

    def plug(self, slot: Slot, guest: Guest) -> DeviceStart:
        """Begin to listen."""
        self._run(guest.pid)
        return DeviceStart()

    def unplug(self, guest: Guest) -> None:
        """Remove the socket inside, which nobody serves any more."""
        self._end()
        if self._listens_inside and self._listen.is_path:
            with contextlib.suppress(OSError):  # it is the guest's to remove, too
                guests.in_mounts(guest, self._remove_inside)

    def stop(self) -> None:
        """End the process, and remove the socket or the rules on the host."""
        if self._is_nat:
            nft.remove(proxy_rules.ruleset(self.label))
            return
        self._end()
        if self._listen.is_path and not self._listens_inside:
            _remove_abandoned(self._listen.host)

    def _remove_inside(self, root: int) -> None:
        if stat.S_ISSOCK(paths.stat(root, self._listen.host).st_mode):
            paths.unlink(root, self._listen.host)

    def mend(self, guest: Guest) -> None:
        """Listen for the instance as it runs now, unless that is so."""
        if not self._is_nat and (found := self._running()) is not None:
            os.close(found)
            return
        self._run(guest.pid)

    @property
    def _is_nat(self) -> bool:
        return is_true(self.options.get("nat"))

    @property
    def _listen(self) -> Endpoint:
        return parse(self.options["listen"])

    @property
    def _listens_inside(self) -> bool:
        return BINDS[self.options.get("bind") or "host"] == "instance"

    @property
    def _pid_file(self) -> Path:
        return self.host_side("proxy", "pid")

    def _run(self, pid: int) -> None:
        if self._is_nat:
            nft.replace(proxy_rules.ruleset(self.label, self._forward()))
            return
        self._end()
        try:
            self._spawn(pid)
        except OSError as error:
            cause = f"Error occurred when starting proxy device: {error.strerror}"
            raise HostError("proxy", self.name, text=cause) from error

    def _spawn(self, pid: int) -> None:
        self._pid_file.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:

            def opened(descriptor: int) -> int:
                stack.callback(os.close, descriptor)
                return descriptor

            init = opened(os.pidfd_open(pid))
            spaces = [opened(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)) for kind in ("net", "mnt")]
            user = None if self.instance.privileged else opened(os.open(f"/proc/{pid}/ns/user", os.O_RDONLY))
            settings = self._settings(init, (*spaces, user))
            child = process.spawn(
                [sys.executable, "-IS", "-c", START, PACKAGE, str(self._pid_file)],
                stdin=process.PIPE,
                stdout=process.PIPE,
                pass_fds=[init, *spaces, *([] if user is None else [user])],
                new_session=True,
            )
        said = _told(child, marshal.dumps(settings))
        if said != b"ok":
            self._end()
            reason = said.decode(errors="replace") or "its process has ended"
            raise HostError("proxy", self.name, text=f"Error occurred when starting proxy device: {reason}")

    def _settings(self, init: int, namespaces: tuple[int | None, ...]) -> Any:
        connect = parse(self.options["connect"])
        to_here = Endpoint(connect.kind, connect.host or "127.0.0.1", connect.ports)
        everywhere = "::" if Path("/proc/net/if_inet6").exists() else "0.0.0.0"  # noqa: S104
        listen = Endpoint(self._listen.kind, self._listen.host or everywhere, self._listen.ports)
        mode = int(self.options.get("mode") or "0644", 8)
        return {
            "pid_file": str(self._pid_file),
            "init": init,
            "namespaces": namespaces,
            "bind": "instance" if self._listens_inside else "host",
            "listen": (listen.kind, listen.host, list(listen.ports)),
            "connect": (to_here.kind, to_here.host, list(to_here.ports)),
            "owner": (self._id("uid"), self._id("gid"), mode),
            "identity": (self._id("security.uid"), self._id("security.gid")),
            "proxy_protocol": is_true(self.options.get("proxy_protocol")),
        }

    def _id(self, option: str) -> int:
        return int(self.options.get(option) or 0)

    def _running(self) -> int | None:
        return pidfd.of_program(self._pid_file, str(self._pid_file))

    def _end(self) -> None:
        """End the process if there is one, and forget it."""
        if (found := self._running()) is not None:
            pidfd.end(found)
            os.close(found)
        self._pid_file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others may be in there, or it is not there
            self._pid_file.parent.rmdir()

    # By NAT

    def _nic(self) -> tuple[str, str]:
        """The name and the address of the nic that NAT goes to. Raises Invalid with LXD's text."""
        connect = parse(self.options["connect"])
        option = f"ipv{self._listen.version}.address"
        nics = {name: options for name, options in self.instance.devices.items() if options.get("type") == "nic"}
        for name, options in sorted(nics.items()):
            for address in [
                one.strip() for one in options.get(option, "").split(",") if one.strip() not in ("", "none")
            ]:
                if connect.is_wildcard or ip_address(address) == ip_address(connect.host):
                    return name, address
        text = f'Connect IP "{connect.host}" must be one of the instance\'s static IPv{connect.version} addresses'
        remedy = f"give a nic of the instance {option}={connect.host}"
        raise Invalid("device", self.name, text=text, remedy=remedy)

    def _forward(self) -> proxy_rules.Forward:
        listen, connect = self._listen, parse(self.options["connect"])
        nic, address = self._nic()
        nic_ports.reflect(self.instance.config.get(f"volatile.{nic}.host_name", ""))
        return proxy_rules.Forward(listen.kind, listen.host, listen.ports, address, connect.ports)


def _told(child: process.Child, settings: bytes) -> bytes:
    """Give the child its settings; the first line it says. It has handed its work to another process then."""
    with child:
        if child.stdin is None or child.stdout is None:  # never: both were asked for
            return b""
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(settings)
            child.stdin.close()
        if not select.select([child.stdout], [], [], START_S)[0]:
            return f"no answer within {START_S:.0f} s".encode()
        return child.stdout.readline().rstrip()


def _complaint(listen: Endpoint, connect: Endpoint, options: Mapping[str, str]) -> str:
    owns = any(options.get(one) for one in ("uid", "gid", "mode"))
    count = max(len(listen.ports), 1)
    greets = is_true(options.get("proxy_protocol"))
    text = "Only proxy devices for non-abstract unix sockets can carry uid, gid, or mode properties"
    if owns and not listen.is_path:
        return text
    if greets and (connect.kind != "tcp" or listen.kind == "udp" or is_true(options.get("nat"))):
        return "The PROXY header can only be sent to tcp servers in non-nat mode"
    if len(connect.ports) not in (0, 1, count):
        return "Mismatch between listen port(s) and connect port(s) count"
    return ""


def _nat_complaint(listen: Endpoint, connect: Endpoint, options: Mapping[str, str]) -> str:
    if BINDS[options.get("bind") or "host"] != "host":
        return "Only host-bound proxies can use NAT"
    if listen.kind != connect.kind or listen.kind == "unix":
        return f"Proxying {listen.kind} <-> {connect.kind} is not supported when using NAT"
    if listen.is_wildcard:
        return f'Cannot listen on wildcard address "{listen.host}" when in nat mode'
    if ip_address(listen.host).is_loopback:
        return f'Cannot listen on loopback address "{listen.host}" when in nat mode'
    if connect.version not in (0, listen.version):
        return "Cannot mix IP versions between listen and connect in nat mode"
    return ""


def _remove_abandoned(path: str) -> None:
    """Remove a socket's file on the host unless somebody listens there: it may be somebody else's."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        if stat.S_ISSOCK(os.lstat(path).st_mode) and probe.connect_ex(path) == errno.ECONNREFUSED:
            Path(path).unlink()
