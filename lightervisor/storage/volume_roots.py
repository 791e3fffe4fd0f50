"""The roots of a volume and of its snapshots as they are at one moment, for those who read all of it.

Of a volume that nobody writes to it is the volume itself, and nobody starts who could; of one in use it is what the
pool's driver shows of one moment, for which those who write are held still. Either is there until it has been read.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from lightervisor.config.names import VolumePlace
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.threads import entered
from lightervisor.operations.operations import Run
from lightervisor.storage.volume_acts import VolumeActs, snapshot_of, volume_of


class Roots(NamedTuple):
    """Directories with plain owners, to be read."""

    volume: Path
    snapshots: Mapping[str, Path]


@asynccontextmanager
async def opened(
    acts: VolumeActs, run: Run, place: VolumePlace, snapshots: Sequence[str]
) -> AsyncGenerator[Roots, None]:
    """The roots, while the context lasts; the operation lets go of the volume's lock. Raises NotFound, HostError."""
    driver, found, watch = acts.keeper(place), dict[str, Path](), Watch()
    async with acts.reading(run, place) as still, AsyncExitStack() as stack:
        for name in snapshots:
            found[name] = await stack.enter_async_context(entered(driver.opened(snapshot_of(place, name)))) / "rootfs"
        opening = asyncio.ensure_future(
            stack.enter_async_context(entered(driver.opened(volume_of(place), still, watch)))
        )
        try:
            root = await asyncio.shield(opening)
        except asyncio.CancelledError:
            watch.cancel()
            await asyncio.wait([opening])
            raise
        yield Roots(root / "rootfs", found)
