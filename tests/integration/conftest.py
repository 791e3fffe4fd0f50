"""Fixtures of the tests with real containers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.harness.daemon import Daemon
from tests.harness.runtime_host import Host


@pytest_asyncio.fixture
async def host() -> AsyncIterator[Host]:
    """A spawner, an engine and one container's parts, without a daemon."""
    # Not pytest's own directory: the container's root must be able to enter it.
    host = Host(Path(tempfile.mkdtemp(prefix="lv-rt-", dir="/var/tmp")))
    try:
        yield host
    finally:
        await host.close()


@pytest.fixture
def vault(daemon: Daemon) -> Iterator[Path]:
    """A directory of the host's below $LXD_DIR, which every directory leads to and no guest may reach."""
    place = Path(tempfile.mkdtemp(prefix="vault-", dir=daemon.state))
    place.chmod(0o711)
    yield place
    shutil.rmtree(place)
