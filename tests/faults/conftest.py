"""Daemons whose effects can be made to fail, which share the work of a module's tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import STRUCK
from tests.faults.strikes import ALL, struck
from tests.faults.work import Work
from tests.harness import images, leaks
from tests.harness.faults import Faults
from tests.harness.nursery import Nursery

SIZE = 3
_LONGEST_S = 3600  # of a test that strikes all effects, on a machine that has other work


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All effects take longer than any other test may."""
    for item in items if ALL else ():
        if item.nodeid.startswith("tests/faults/"):
            item.add_marker(pytest.mark.timeout(_LONGEST_S))


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Work]]:
    """Daemons, each with a small image in its store and in its pool; at the end they must have left nothing behind."""
    folder = tmp_path_factory.mktemp("faults")
    yield from at_work(images.unified(folder / "image.tar.gz").read_bytes(), [folder / str(n) for n in range(SIZE)])


def at_work(
    image: bytes, folders: list[Path], env: Mapping[str, str] | None = None, *, driver: str = "overlay"
) -> Iterator[list[Work]]:
    """Such daemons, with this image, this in their environments and pools of this driver."""
    before = leaks.take()
    nursery = Nursery()
    crew = [Work(Faults(nursery, folder, env=env), driver=driver) for folder in folders]
    try:
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda work: work.prepare(image), crew))
        yield crew
    finally:
        with ThreadPoolExecutor() as threads:
            list(threads.map(Work.forget, crew))
        nursery.close()
        left = leaks.find(before, [work.daemon for work in crew])
        for work in crew:
            work.daemon.remove()
        assert not left, "left behind:\n" + "\n".join(left)


@pytest.fixture
def work(crew: list[Work]) -> Iterator[Work]:
    """One of them, for a test that leaves it without instances."""
    yield crew[0]
    crew[0].faults.disarm()
    if crew[0].daemon.process is None:
        crew[0].daemon.start()
    for name in crew[0].daemon.instance_names():
        crew[0].delete(name)


@pytest.fixture(autouse=True)
def counted(request: pytest.FixtureRequest) -> Iterator[None]:
    """Note how many effects the test has struck, for the summary."""
    before = struck[0]
    yield
    if struck[0] > before:
        request.node.user_properties.append((STRUCK, struck[0] - before))
