"""A cable from the host to the instance, without a bridge: the host's end is the administrator's. Source: LXD, p2p."""

from lightervisor.devices import nic_keys
from lightervisor.devices.device import device_scope
from lightervisor.devices.nic_cable import CableNic


class P2pNic(CableNic, type="nic", variant="p2p"):
    """Routes and limits, and nothing else that the host does for it."""

    KEYS = nic_keys.declare(
        device_scope("nic", "p2p"), (*nic_keys.COMMON, *nic_keys.CABLE), live=(*nic_keys.LIMITS, *nic_keys.ROUTES)
    )
    HOST_SPEAKS_IPV6 = True
