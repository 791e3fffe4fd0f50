"""What is asked of the drivers of the pools that instances are in: owners that are protected, files that are kept."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lightervisor.errors import HostError, Invalid
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel import syscalls
from lightervisor.kernel.idmap import IdMap, IdRange
from lightervisor.storage.driver import MountedRoot
from lightervisor.storage.layout import PoolLayout

MAP = IdMap((IdRange("both", 1_000_000, 0, 65536),))


class Driver:
    """Changes owners or not, and says that it has mounted something."""

    def __init__(self, *, changes: bool) -> None:
        self._changes = changes

    def changes_owners(self) -> bool:
        return self._changes

    def mount(self, _volume: object, idmap: IdMap | None) -> MountedRoot:
        return MountedRoot(path=Path("/mounted"), idmapped=idmap is not None)


@pytest.mark.parametrize("changes", [True, False])
@pytest.mark.parametrize("is_protected", [True, False])
@pytest.mark.parametrize("idmap", [MAP, None], ids=["mapped", "privileged"])
async def test_owners_that_are_protected_stay(changes: bool, is_protected: bool, idmap: IdMap | None) -> None:
    pools = SimpleNamespace(driver=lambda _pool: Driver(changes=changes))
    volumes = InstanceVolumes(cast("Any", pools), cast("Any", None))
    if changes and is_protected and idmap is not None:
        with pytest.raises(Invalid, match="Container is protected against filesystem shifting"):
            await volumes.mount("pool", "default", "c1", idmap, is_protected=is_protected)
        return
    mounted = await volumes.mount("pool", "default", "c1", idmap, is_protected=is_protected)
    assert mounted.path == Path("/mounted")


async def test_a_pool_that_cannot_keep_what_it_has_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    layout = PoolLayout(tmp_path, {})
    volumes = InstanceVolumes(
        cast("Any", SimpleNamespace(driver=lambda _: SimpleNamespace(layout=layout))), cast("Any", None)
    )
    await volumes.keep("pool")
    monkeypatch.setattr(syscalls, "sync_file_system", full)
    with pytest.raises(HostError, match="Input/output error"):
        await volumes.keep("pool")
