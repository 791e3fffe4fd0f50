"""A server over real rows, operations and events; what needs a kernel or an image is not there."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import ClientSession, UnixConnector

from lightervisor.api.server import Server
from lightervisor.api.services import Services
from lightervisor.auth.authority import Authority
from lightervisor.auth.store import TrustStore
from lightervisor.auth.tokens import JoinTokens
from lightervisor.auth.trust import Trust
from lightervisor.daemon.server_config import ServerConfig
from lightervisor.db.certificates import CertificateRows
from lightervisor.db.database import Database
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.db.profiles import ProfileRow, ProfileRows
from lightervisor.db.server_config import ServerConfigRows
from lightervisor.db.warnings import WarningRows
from lightervisor.events.stream import Events
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.checks import InstanceChecks
from lightervisor.model.resources import Resources
from lightervisor.model.server import ServerEnvironment
from lightervisor.model.times import EPOCH
from lightervisor.operations.journal import Journal
from lightervisor.operations.locks import Locks
from lightervisor.operations.operations import Operations
from lightervisor.profiles.profiles import Profiles, Store

ABSENT = cast(Any, None)
Client = ClientSession


async def _only_stored(_old: ProfileRow, new: ProfileRow, store: Store) -> None:
    """No instance runs here, so none has to follow its profile."""
    await store(new)


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    """Services over a database in which instance c1 uses profile default."""
    database = Database(tmp_path / "database")
    database.open()
    events = Events()
    instances, profiles = InstanceRows(database), ProfileRows(database)
    if profiles.find("default", "default") is None:
        await profiles.add(ProfileRow(project="default", name="default", config={"limits.cpu": "1"}))
    await instances.add(
        InstanceRow(
            project="default",
            name="c1",
            architecture="x86_64",
            created_at=EPOCH,
            last_used_at=EPOCH,
            config={"user.note": "<&>", "image.os": "Debian"},
            profiles=["default"],
        )
    )
    checks = InstanceChecks(lambda _name, _device: None)
    operations, settings = Operations(events, Journal(database), Locks()), ServerConfigRows(database)
    store = TrustStore(CertificateRows(database), Authority(tmp_path), events, settings.all)
    yield Services(
        operations=operations,
        trust=Trust(store, JoinTokens(operations, settings.all), settings.all),
        events=events,
        catalog=Catalog(instances, profiles, lambda _project, _name: "Stopped"),
        profiles=Profiles(profiles, instances, checks, events, _only_stored),
        server_config=ServerConfig(settings, events),
        warnings=WarningRows(database),
        environment=lambda: ServerEnvironment(server="lxd"),
        resources=Resources,
        shut_down=lambda _force: None,
        creation=ABSENT,
        copying=ABSENT,
        moving=ABSENT,
        power=ABSENT,
        removal=ABSENT,
        update=ABSENT,
        states=ABSENT,
        metrics=ABSENT,
        snapshots=ABSENT,
        snapshot_taking=ABSENT,
        rebuilding=ABSENT,
        snapshot_restoring=ABSENT,
        sending=ABSENT,
        receiving=ABSENT,
        exec=ABSENT,
        images=ABSENT,
        downloads=ABSENT,
        images_out=ABSENT,
        publication=ABSENT,
        upkeep=ABSENT,
        pools=ABSENT,
        frozen_while=ABSENT,
        volumes=ABSENT,
        volume_snapshots=ABSENT,
        volume_copying=ABSENT,
        volume_moving=ABSENT,
        networks=ABSENT,
    )
    events.close()
    database.close()


@pytest.fixture
def server(services: Services) -> Server:
    """The server, not ready yet."""
    return Server(services)


@asynccontextmanager
async def on_socket(server: Server, path: Path) -> AsyncGenerator[Client, None]:
    """A client on a unix socket of the server, which makes it an administrator."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    async with server.serving(listener), ClientSession("http://unix.socket", connector=UnixConnector(str(path))) as one:
        yield one


@pytest.fixture
async def client(server: Server, tmp_path: Path) -> AsyncIterator[Client]:
    """A client of the server once it is ready."""
    server.ready()
    async with on_socket(server, tmp_path / "socket") as connected:
        yield connected
