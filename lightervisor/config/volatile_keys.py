"""What the daemon notes in an instance's configuration. Source: LXD 5.0, volatile configuration."""

from collections.abc import Mapping

from lightervisor.config.key import INSTANCE, REGISTRY, key
from lightervisor.config.types import Text, matching

# Of Ethernet, and of InfiniBand's longer ones.
HardwareAddress = matching("MAC address", r"(?i)[0-9a-f]{2}(:[0-9a-f]{2}){5,19}", 'Invalid MAC address "{value}"')
Uuid = matching("UUID", r"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "Invalid UUID")
TYPES = {"uuid": Uuid, "*.hwaddr": HardwareAddress}
HANDED_OVER = "volatile.last_state.handed_over"
POSSIBLY, SURELY = "possibly", "surely"
_OF_A_HOST = ("volatile.idmap.", "volatile.last_state.")
_OF_A_RUN = (".host_name", ".last_state.created", ".last_state.mtu", ".last_state.hwaddr", ".last_state.ip_addresses")

for _name, _help in (
    ("apply_nvram", "For virtual machines"),
    ("apply_template", "The template trigger that is due at the next start"),
    ("base_image", "Fingerprint of the image that the instance was made from"),
    ("cloud-init.instance-id", "What cloud-init knows the instance by"),
    ("evacuate.origin", "The cluster member that the instance was evacuated from"),
    ("idmap.base", "First id of the instance's own part of the host's range"),
    ("idmap.current", "The id map that is in use"),
    ("idmap.next", "The id map that the next start uses"),
    ("last_state.idmap", "The id map of the files on disk; empty when they are mapped at mount"),
    ("last_state.ready", "Whether the guest has said that it is ready"),
    (
        "last_state.handed_over",
        "Whether it `possibly` or `surely` runs on the server that it was being moved to; it is not started unasked",
    ),
    ("last_state.power", "Whether it ran when the daemon last knew"),
    ("uuid", "The instance's own identity"),
    ("vsock_id", "Number of a virtual machine on the host"),
    ("apply_quota", "Older: a quota that is due at the next start"),
    ("*.apply_quota", "A quota that is due at the next start"),
    ("*.ceph_rbd", "Device of a Ceph volume"),
    ("*.driver", "The driver that a physical card had on the host"),
    ("*.host_name", "The host's end of the cable"),
    ("*.hwaddr", "The card's address, when none was given"),
    ("*.name", "The card's name inside, when none was given"),
    ("*.uuid", "Identity of a device on the host"),
    ("*.last_state.created", "Whether the daemon made the host's interface"),
    ("*.last_state.mtu", "The MTU that a physical card had on the host"),
    ("*.last_state.hwaddr", "The address that a physical card had on the host"),
    ("*.last_state.vf.id", "Number of the virtual function"),
    ("*.last_state.vf.hwaddr", "The address that the virtual function had"),
    ("*.last_state.vf.vlan", "The VLAN that the virtual function had"),
    ("*.last_state.vf.spoofcheck", "The spoof check that the virtual function had"),
    ("*.last_state.vf.parent", "The card that the virtual function is of"),
):
    key(f"volatile.{_name}", TYPES.get(_name, Text), scope=INSTANCE, group="volatile", help=_help)


def known(config: Mapping[str, str]) -> dict[str, str]:
    """A configuration from elsewhere without what another server has noted for itself."""
    return {
        key: value
        for key, value in config.items()
        if not key.startswith("volatile.") or REGISTRY.lookup(INSTANCE, key) is not None
    }


def of_no_host(config: Mapping[str, str]) -> dict[str, str]:
    """A configuration from elsewhere without what holds on the host, or for the run, that it was noted on.

    What is stopped or deleted takes back what was done to the interfaces that these keys name: here they are others'.
    """
    return {
        key: value
        for key, value in config.items()
        if not key.startswith(_OF_A_HOST) and not (key.startswith("volatile.") and key.endswith(_OF_A_RUN))
    }
