"""Fixtures of the tests with real containers."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

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
