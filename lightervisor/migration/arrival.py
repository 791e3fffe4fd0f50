"""The files of one volume or snapshot while they arrive.

They come into a place of the pool that nobody sees, and take the place of what was there at once, when all is well.
rsync writes to a directory that has nothing but what another server may say: `rootfs`, which is that place's own root,
`metadata.yaml` and `templates`, and `state` of a stateful snapshot. Whatever else was sent (descriptions of volumes,
links in the place of directories) goes with that directory.
"""

import stat
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from lightervisor.errors import Invalid
from lightervisor.instances import memory_files
from lightervisor.instances.memory_files import STATE
from lightervisor.kernel import owners, paths
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.threads import entered, in_thread
from lightervisor.migration.rsync import TARGET, TWINS
from lightervisor.storage.driver import Filling, Snapshot, StorageDriver, Volume
from lightervisor.storage.layout import BESIDE


class Arrival:
    """A place that rsync may write to, as often as needed."""

    def __init__(self, driver: StorageDriver, filling: Filling, beside: Path, alike: Sequence[Path]) -> None:
        self._driver, self._filling, self._beside = driver, filling, beside
        twins = zip(alike, TWINS, strict=False)
        self.twins: Mapping[Path, str] = {one / "rootfs": f"{twin}/rootfs" for one, twin in twins}
        """Roots of files that need not be sent where they are the same."""
        self.has_memory = False
        """Whether memory of a snapshot has come with it."""

    @property
    def directory(self) -> Path:
        """The directory that becomes the volume's or snapshot's."""
        return self._filling.directory

    @property
    def writable(self) -> Mapping[Path, str]:
        """What rsync writes to, and where it sees it."""
        return {self._beside: TARGET, self._filling.directory / "rootfs": f"{TARGET}/rootfs"}

    def settle(self, idmap: IdMap | None) -> None:
        """All has come: give it its plain owners, and what lies beside its root. Blocking.

        Raises Invalid when it `has_memory`, which did not come.
        """
        if idmap is not None:
            owners.make_plain(self._filling.directory / "rootfs", idmap)
        for name in BESIDE:
            paths.remove_tree(self._filling.directory / name)
        self._driver.layout.copy_beside(self._beside, self._filling.directory)
        if self.has_memory:
            self._settle_memory(self._beside / STATE, self._filling.directory / STATE)

    @staticmethod
    def _settle_memory(came: Path, target: Path) -> None:
        """Put the regular files that came, and nothing else, where a snapshot has its memory."""
        if came.is_symlink() or not came.is_dir():
            raise Invalid("migration", cause="the other server has not sent the memory of a snapshot")
        memory_files.make_empty(target)
        for entry in came.iterdir():
            if stat.S_ISREG(entry.lstat().st_mode):
                entry.rename(target / entry.name)


@asynccontextmanager
async def arriving(
    driver: StorageDriver, target: Volume | Snapshot, alike: Sequence[Volume | Snapshot], idmap: IdMap | None
) -> AsyncGenerator[Arrival, None]:
    """A place for the files of a volume or snapshot, with those in it of the first that it is like.

    Where the driver cannot do that, they are to be had from all of these. When it ends well the target is there, or is
    replaced. `idmap` is that of the owners that are sent, None when they are plain. What a killed daemon leaves goes
    when the pool starts.
    """
    async with AsyncExitStack() as stack:
        filling = await stack.enter_async_context(entered(driver.filling(target, alike[0] if alike else None)))
        twins: list[Path] = []
        if not any((filling.directory / "rootfs").iterdir()):
            twins = [await stack.enter_async_context(entered(driver.opened(like))) for like in alike]
        beside = await in_thread(driver.layout.trash.new)
        try:
            (beside / "rootfs").mkdir()
            arrival = Arrival(driver, filling, beside, twins)
            yield arrival
            await in_thread(arrival.settle, idmap)
        finally:
            await in_thread(driver.layout.trash.remove, beside)
