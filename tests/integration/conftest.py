"""Fixtures of the tests with real containers."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import discard, home, watched
from tests.harness import nesting
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.guest import Guest, Launch
from tests.harness.memory import linked
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


@pytest.fixture(
    params=[(driver, mode) for driver in ("overlay", "dir") for mode in ("unprivileged", "privileged")],
    ids=lambda each: "-".join(each),
)
def whatever_lies_below(
    request: pytest.FixtureRequest, daemon: Daemon, lxc: Lxc, image: str, name: str
) -> Iterator[str]:
    """A stopped instance whose owners are on disk in one of the ways that there are."""
    driver, mode = request.param
    pool, flags = f"t-{name}", ["-c", "security.privileged=true"] if mode == "privileged" else []
    lxc("storage", "create", pool, driver).ok()
    try:
        lxc("init", image, name, "-s", pool, *flags).ok()
        yield name
    finally:
        discard(daemon, name)
        lxc("storage", "delete", pool).ok()


@pytest.fixture
def vault(daemon: Daemon) -> Iterator[Path]:
    """A directory of the host's below $LXD_DIR, which every directory leads to and no guest may reach."""
    place = Path(tempfile.mkdtemp(prefix="vault-", dir=daemon.state))
    place.chmod(0o711)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def launch(daemon: Daemon, image: str) -> Iterator[Launch]:
    """Starts containers with some configuration; they are deleted at the end."""
    made: list[str] = []

    def start(config: dict[str, str] | None = None, **fields: Any) -> Guest:
        name = f"t-{secrets.token_hex(4)}"
        post = {"name": name, "source": {"type": "image", "alias": image}, "config": config or {}, **fields}
        assert daemon.operation("POST", "/1.0/instances", post)["err"] == ""
        made.append(name)
        state = {"action": "start", "timeout": 30}
        assert daemon.operation("PUT", f"/1.0/instances/{name}/state", state)["err"] == ""
        return Guest(daemon, name)

    yield start
    for name in made:
        discard(daemon, name)


@pytest.fixture(scope="module", params=["overlay", "dir"])
def pool(request: pytest.FixtureRequest, daemon: Daemon) -> Iterator[str]:
    """A pool of each driver in turn, with a name that no other file's has; it is gone when the file is done."""
    name = f"t-{request.param}-{secrets.token_hex(4)}"
    assert daemon.request("POST", "/1.0/storage-pools", {"name": name, "driver": request.param}).status == 201
    yield name
    assert daemon.request("DELETE", f"/1.0/storage-pools/{name}").status == 200


@pytest.fixture(scope="module")
def nesting_image(daemon: Daemon, module_lxc: Lxc) -> Iterator[str]:
    """The alias of a Debian with docker.io, podman and what this system needs."""
    with nesting.imported(daemon, module_lxc) as alias:
        yield alias


@pytest.fixture(scope="module", params=["overlay", "dir"])
def nesting_pool(request: pytest.FixtureRequest, module_lxc: Lxc) -> Iterator[str]:
    """The name of a pool of each driver."""
    if request.param == "overlay":
        yield "default"
        return
    name = f"nests-{secrets.token_hex(2)}"
    module_lxc("storage", "create", name, request.param).ok()
    yield name
    module_lxc("storage", "delete", name).ok()


@pytest.fixture(scope="module")
def other() -> Iterator[Daemon]:
    """Another daemon, whose pool is of plain directories."""
    yield from watched(lambda daemon: daemon.start().initialise(driver="dir"))


@pytest.fixture(scope="module")
def both(daemon: Daemon, other: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lxc]:
    """A client that knows the session's daemon as `here` and the other as `there`."""
    with linked(daemon, other, home(tmp_path_factory.mktemp("client"))) as client:
        yield client
