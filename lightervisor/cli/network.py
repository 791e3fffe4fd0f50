"""`lxc network`: managed networks and the host's interfaces. Attaching them is in `network_attach`."""

from __future__ import annotations

from lightervisor.cli import configured, formats, pairs
from lightervisor.cli.configured import Configured, Kind
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import url
from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

_HINT = """\
### This is a YAML representation of the network.
### Any line starting with a '# will be ignored.
###
### A network consists of a set of configuration items.
###
### An example would look like:
### name: lxdbr0
### config:
###   ipv4.address: 10.62.42.1/24
###   ipv4.nat: true
###   ipv6.address: fd00:56ad:9f7a:9800::1/64
###   ipv6.nat: true
### managed: true
### type: bridge
###
### Note that only the configuration can be changed.
"""
_HEADER = ("NAME", "TYPE", "MANAGED", "IPV4", "IPV6", "DESCRIPTION", "USED BY", "STATE")
_LEASES_HEADER = ("HOSTNAME", "MAC ADDRESS", "IP ADDRESS", "TYPE")
# Interfaces that no instance can be attached to are not listed.
_NOT_LISTED = ("loopback", "unknown")


class Networks(Kind):
    """Networks; an interface that LXD does not manage has no configuration."""

    def check(self, found: dict[str, Any]) -> None:
        """Refuse to change an interface of the host."""
        if not found.get("managed"):
            raise CommandError("Only managed networks can be modified")


KIND = Networks("networks", "network", ("config", "description"), _HINT)


def listing(session: Session, arguments: list[str], flags: Flags) -> None:
    """List the networks and interfaces of a server."""
    form = flags.text("format")
    formats.check(form)
    server, _ = session.resolve(arguments[0] if arguments else "")
    found: list[dict[str, Any]] = server.get(url("networks", recursion=1))
    rows = formats.sort_rows([_row(network) for network in found if network["type"] not in _NOT_LISTED])
    session.write(formats.render(form, _HEADER, rows, found))


def _row(network: dict[str, Any]) -> list[str]:
    config = as_map(network.get("config"))
    return [
        network["name"],
        network["type"],
        "YES" if network.get("managed") else "NO",
        config.get("ipv4.address", ""),
        config.get("ipv6.address", ""),
        network.get("description", ""),
        str(len(as_list(network.get("used_by")))),
        str(network.get("status", "")).upper(),
    ]


def list_leases(session: Session, arguments: list[str], flags: Flags) -> None:
    """List the addresses that a network's DHCP server has given away, and those that are reserved."""
    form = flags.text("format")
    formats.check(form)
    server, name = KIND.place(session, arguments[0])
    found: list[dict[str, Any]] = server.get(url("networks", name, "leases"))
    rows = [[lease["hostname"], lease["hwaddr"], lease["address"], str(lease["type"]).upper()] for lease in found]
    header = _LEASES_HEADER
    if server.is_clustered():
        header = (*header, "LOCATION")
        rows = [[*row, lease.get("location", "")] for row, lease in zip(rows, found, strict=True)]
    session.write(formats.render(form, header, formats.sort_rows(rows), found))


def create(session: Session, arguments: list[str], flags: Flags) -> None:
    """Create a network."""
    member = flags.text("target")
    server, name = session.resolve(arguments[0], member=member)
    config = pairs.parse(arguments[1:], "Bad key/value pair: {}")
    request = {"name": name, "type": flags.text("type"), "description": "", "config": config}
    session.run(server, server.post(url("networks"), request))
    session.say(f"Network {name} pending on member {member}" if member else f"Network {name} created")


def delete(session: Session, arguments: list[str], flags: Flags) -> None:
    """Delete a network that nobody uses."""
    _ = flags
    server, name = KIND.place(session, arguments[0])
    session.run(server, server.delete(url("networks", name)))
    session.say(f"Network {name} deleted")


def rename(session: Session, arguments: list[str], flags: Flags) -> None:
    """Give a network another name."""
    _ = flags
    server, name = KIND.place(session, arguments[0])
    session.run(server, server.post(url("networks", name), {"name": arguments[1]}))
    session.say(f"Network {name} renamed to {arguments[1]}")


def show(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print a network as YAML."""
    session.write(formats.yaml(Configured(session, KIND, arguments[0], flags.text("target")).found))


def get(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print the value of a key, and nothing for an unset one."""
    Configured(session, KIND, arguments[0], flags.text("target")).write(arguments[1])


def set_(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change keys."""
    Configured(session, KIND, arguments[0], flags.text("target")).set(arguments[1:])


def unset(session: Session, arguments: list[str], flags: Flags) -> None:
    """Remove a key."""
    Configured(session, KIND, arguments[0], flags.text("target")).unset(arguments[1])


def edit(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change a network as YAML."""
    _ = flags
    configured.edit(session, KIND, arguments[0])


def info(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print the state of a network's interface, or of any interface of the host."""
    from lightervisor.cli import network_report

    server, name = KIND.place(session, arguments[0], configured.member(session, arguments[0], flags))
    session.write(network_report.report(name, server.get(url("networks", name, "state"))))
