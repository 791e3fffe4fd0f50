"""The image store beside a pool: what is deleted stays nowhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lightervisor.db.database import Database
from lightervisor.db.images import ImageRows
from lightervisor.errors import NotFound
from lightervisor.events.stream import Events
from lightervisor.images.meter import Limits
from lightervisor.images.store import Images
from lightervisor.images.upload import Received
from lightervisor.model.image import Image, ImagePut
from lightervisor.storage.driver import Volume
from lightervisor.storage.drivers.dir import Dir
from tests.harness import images as samples


@pytest.fixture
async def images(tmp_path: Path) -> AsyncIterator[Images]:
    """An empty store."""
    database, events = Database(tmp_path / "database"), Events()
    database.open()
    store = Images(ImageRows(database), tmp_path / "images", events, Limits(reserve=0, reserve_inodes=0))
    store.start()
    yield store
    events.close()
    database.close()


@pytest.fixture
def pool(tmp_path: Path) -> Dir:
    driver = Dir(tmp_path / "pool", {})
    driver.create()
    return driver


async def test_what_a_pool_has_of_deleted_images_goes_at_the_next_start(images: Images, pool: Dir) -> None:
    pool.create_image("abc", lambda target: (target / "rootfs").mkdir())
    await images.forget_deleted([pool])
    assert pool.images() == []


async def added(images: Images, folder: Path) -> Image:
    """A small image in the store, the same of the same folder."""
    source = folder / "image.tar.gz"
    if not source.exists():
        samples.unified(source)

    async def blocks() -> AsyncIterator[bytes]:
        yield source.read_bytes()

    return await images.add(Received(await images.receive(blocks()), None), ImagePut())


@pytest.mark.skipif(os.geteuid() != 0, reason="unpacking needs root")
async def test_what_is_unpacked_of_an_image_stays_while_it_is_held(images: Images, pool: Dir, tmp_path: Path) -> None:
    image = await added(images, tmp_path)
    with images.held(image.fingerprint):
        deleting = asyncio.create_task(images.delete(image.fingerprint, [pool]))
        while images.list():  # noqa: ASYNC110 - the row goes with the next turn of the writer
            await asyncio.sleep(0)
        with pytest.raises(NotFound), images.held(image.fingerprint):
            pytest.fail("it is there no longer for others")
        await images.ensure_unpacked(image.fingerprint, pool, lambda _text: None)
        pool.create_volume(Volume("containers", "c1"), image.fingerprint)
        assert not deleting.done()
    await deleting
    assert pool.images() == []
    assert (pool.volume_path(Volume("containers", "c1")) / "rootfs").is_dir()


async def test_bytes_brought_again_while_a_deleted_image_is_held_stay(images: Images, tmp_path: Path) -> None:
    image = await added(images, tmp_path)
    with images.held(image.fingerprint):
        deleting = asyncio.create_task(images.delete(image.fingerprint, []))
        while images.list():  # noqa: ASYNC110 - the row goes with the next turn of the writer
            await asyncio.sleep(0)
        assert (await added(images, tmp_path)).fingerprint == image.fingerprint
    await deleting
    assert [file.path.stat().st_size for file in images.files(image.fingerprint)] == [image.size]


@pytest.mark.skipif(os.geteuid() != 0, reason="unpacking needs root")
async def test_an_image_deleted_while_it_is_unpacked_stays_in_no_pool(
    images: Images, pool: Dir, tmp_path: Path
) -> None:
    image = await added(images, tmp_path)
    await images.ensure_unpacked(image.fingerprint, pool, lambda _text: None)
    assert pool.images() == [image.fingerprint]
    pool.delete_image(image.fingerprint)
    await images.rows.delete(image.fingerprint)  # as deleting does first; its files are still there for a moment
    with pytest.raises(NotFound):
        await images.ensure_unpacked(image.fingerprint, pool, lambda _text: None)
    assert pool.images() == []


async def test_an_image_deleted_before_it_is_unpacked_is_not_found(images: Images, pool: Dir, tmp_path: Path) -> None:
    image = await added(images, tmp_path)
    await images.delete(image.fingerprint, [])
    with pytest.raises(NotFound):
        await images.ensure_unpacked(image.fingerprint, pool, lambda _text: None)
    assert pool.images() == []
