"""Interfaces beside one of the host's. Source: LXD, network type macvlan."""

from lightervisor.config.types import Bool
from lightervisor.networks import uplink
from lightervisor.networks.uplink import Uplink


class Macvlan(Uplink, name="macvlan"):
    """A parent for nics of the kind macvlan."""

    KEYS = uplink.declare("macvlan", [("gvrp", Bool, "false", "Register the VLAN by GVRP")])
