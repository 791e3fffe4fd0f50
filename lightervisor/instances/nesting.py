"""What an instance needs that has containers of its own inside."""

from collections.abc import Mapping

from lightervisor.config.types import is_true
from lightervisor.db.instances import InstanceRow
from lightervisor.devices.disk import mount_entry
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.runtime.spec import Lines

SHIFTED = ("bind", "create=dir", "idmap=container")


async def nesting_lines(volumes: InstanceVolumes, pool: str, row: InstanceRow, config: Mapping[str, str]) -> Lines:
    """Directories that the root file system cannot carry for containers inside this one."""
    if not is_true(config.get("security.nesting")):
        return []
    words = list(SHIFTED[:2] if is_true(config.get("security.privileged")) else SHIFTED)
    found = await volumes.plain_directories(pool, row.project, row.name)
    return [("lxc.mount.entry", mount_entry(str(one.host), one.guest, words)) for one in found]
