"""Virtual functions of a network card. Source: LXD, network type sriov.

This server gives none out (see `devices/nic_sriov`), so that such a network is refused where it is made, and not by
the first instance that wants to use it.
"""

from collections.abc import Mapping, Sequence

from lightervisor.devices import nic_sriov
from lightervisor.networks import uplink
from lightervisor.networks.driver import Subnet
from lightervisor.networks.uplink import Uplink


class Sriov(Uplink, name="sriov"):
    """Known by its options alone."""

    KEYS = uplink.declare("sriov", [])

    @classmethod
    def check(cls, name: str, config: Mapping[str, str], taken: Sequence[Subnet]) -> None:
        """Refuse it, and say whether the card or this server is what lacks it."""
        super().check(name, config, taken)
        nic_sriov.refuse("network", name, config["parent"])
