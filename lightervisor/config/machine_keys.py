"""Keys of virtual machines: profiles shared with servers that run some may hold them, containers ignore them.

Source: LXD 5.0, instance configuration, condition "virtual machine".
"""

from lightervisor.config.key import MACHINE, key
from lightervisor.config.types import Blob, Bool

for _name, _type, _default, _help in (
    ("agent.nic_config", Bool, "false", "Let the agent name the network interfaces"),
    ("limits.memory.hugepages", Bool, "false", "Keep the machine's memory in huge pages"),
    ("raw.qemu", Blob, "", "Arguments added to QEMU's command line"),
    ("raw.qemu.conf", Blob, "", "Sections added to QEMU's configuration"),
    ("security.agent.metrics", Bool, "true", "Ask the agent for metrics"),
    ("security.secureboot", Bool, "true", "Start only what is signed"),
):
    key(_name, _type, scope=MACHINE, default=_default, group="virtual machine", help=_help)
