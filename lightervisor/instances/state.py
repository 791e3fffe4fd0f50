"""The state of an instance now: processes, memory, CPU, network. Source: LXD, GET /1.0/instances/<name>/state.

Cheap on purpose, for `lxc list` asks it of every instance: cgroup files and one netlink socket that stays open in
each running container's network namespace.
"""

import threading

from lightervisor.config.names import volume_name
from lightervisor.errors import Failure
from lightervisor.instances.catalog import STATUS_CODES
from lightervisor.kernel.netlink import NamespaceLinks
from lightervisor.model.instance_state import InstanceState, InstanceStateCPU, InstanceStateMemory, InstanceStateNetwork
from lightervisor.networks.state import instance_networks
from lightervisor.runtime.containers import Containers


class States:
    """The states of all instances."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self._links: dict[str, tuple[int, NamespaceLinks]] = {}
        self._lock = threading.Lock()

    def get(self, project: str, name: str) -> InstanceState:
        """The state of one instance; blocking, a fraction of a millisecond."""
        container = volume_name(project, name)
        status, pid = self._containers.state(container), self._containers.init_pid(container)
        if pid is None:
            self._forget(container)
            return InstanceState(status=status, status_code=STATUS_CODES[status], processes=-1)
        try:
            usage = self._containers.usage(container)
        except Failure:
            return InstanceState(status="Stopped", status_code=STATUS_CODES["Stopped"], processes=-1)
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
            network=self._network(container, pid),
            disk={},
        )

    def _network(self, container: str, pid: int) -> dict[str, InstanceStateNetwork]:
        with self._lock:
            known = self._links.get(container)
            if known is None or known[0] != pid:
                self._drop(container)
                try:
                    self._links[container] = (pid, NamespaceLinks(pid))
                except (Failure, OSError):
                    return {}
            return instance_networks(self._links[container][1])

    def _forget(self, container: str) -> None:
        with self._lock:
            self._drop(container)

    def _drop(self, container: str) -> None:
        known = self._links.pop(container, None)
        if known is not None:
            known[1].close()
