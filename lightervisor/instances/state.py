"""The state of an instance now: processes, memory, CPU, network. Source: LXD, GET /1.0/instances/<name>/state.

Cheap on purpose, for `lxc list` asks it of every instance: cgroup files, and a netlink socket for the moment. Nothing
is kept of an instance, so nothing has to be taken back when it stops, is renamed or deleted.
"""

from contextlib import closing

from lightervisor.config.merge import Devices
from lightervisor.config.names import volume_name
from lightervisor.errors import Failure
from lightervisor.instances.views import STATUS_CODES
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel.netlink import NamespaceLinks
from lightervisor.model.instance_state import (
    InstanceState,
    InstanceStateCPU,
    InstanceStateDisk,
    InstanceStateMemory,
    InstanceStateNetwork,
)
from lightervisor.networks.state import instance_networks
from lightervisor.runtime.containers import Containers


class States:
    """The states of all instances."""

    def __init__(self, containers: Containers, volumes: InstanceVolumes) -> None:
        self._containers, self._volumes = containers, volumes

    def get(self, project: str, name: str, devices: Devices, *, is_ready: bool = False) -> InstanceState:
        """The state of one instance, with all its devices; it may have said that it is ready.

        Blocking, a fraction of a millisecond.
        """
        taken = self._volumes.taken(project, name, devices)
        disk = {device: InstanceStateDisk(usage=used) for device, used in taken.items()}
        container = volume_name(project, name)
        status, pid = self._containers.state(container), self._containers.init_pid(container)
        if pid is None:
            return InstanceState(status=status, status_code=STATUS_CODES[status], processes=-1, disk=disk)
        if is_ready and status == "Running":
            status = "Ready"
        try:
            usage = self._containers.usage(container)
        except Failure:
            return InstanceState(status="Stopped", status_code=STATUS_CODES["Stopped"], processes=-1, disk=disk)
        return InstanceState(
            status=status,
            status_code=STATUS_CODES[status],
            pid=pid,
            processes=usage.processes,
            cpu=InstanceStateCPU(usage=usage.cpu_ns),
            memory=InstanceStateMemory(
                usage=usage.memory,
                usage_peak=usage.memory_peak,
                swap_usage=usage.swap,
                swap_usage_peak=usage.swap_peak,
            ),
            network=_network(pid),
            disk=disk,
        )


def _network(pid: int) -> dict[str, InstanceStateNetwork]:
    try:
        with closing(NamespaceLinks(pid)) as links:
            return instance_networks(links)
    except (Failure, OSError):
        return {}
