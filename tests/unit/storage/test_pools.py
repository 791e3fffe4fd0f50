"""The pools service over a driver that only makes directories."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from lightervisor.db.database import Database
from lightervisor.db.storage_pools import PoolRow, PoolRows
from lightervisor.errors import Conflict, HostError, Invalid, NotFound, Unavailable, Unsupported
from lightervisor.events.stream import Events
from lightervisor.kernel.idmap import IdMap
from lightervisor.model.storage_pool import StoragePoolPut, StoragePoolsPost
from lightervisor.storage.driver import (
    MountedRoot,
    Snapshot,
    StorageDriver,
    Volume,
    storage_driver,
    storage_drivers,
)
from lightervisor.storage.pools import Pools


class Plain(StorageDriver, name="plain"):
    """A driver for tests: no mounts, no copies."""

    RANK = 1000
    broken: str = ""

    @classmethod
    def probe(cls, root: Path) -> None:
        if cls.broken == "probe":
            raise Unsupported("storage driver", "plain", cause="told so")

    def create(self) -> None:
        if self.broken == "create":
            raise HostError("storage pool", cause="told so")
        self.layout.prepare(None)

    def delete(self) -> None:
        self.layout.remove()

    def create_image(self, fingerprint: str, unpack: Callable[[Path], None]) -> None:
        self.layout.image_path(fingerprint).mkdir()

    def delete_image(self, fingerprint: str) -> None:
        self.layout.trash.discard(self.layout.image_path(fingerprint))

    def create_volume(self, volume: Volume, image: str | None) -> None:
        self.volume_path(volume).mkdir()

    def rebuild_volume(self, volume: Volume, image: str | None, mark: str) -> None:
        raise NotImplementedError

    def fill_volume(self, volume: Volume, fill: Callable[[Path], None]) -> None:
        fill(self.volume_path(volume))

    def fill_snapshot(self, snapshot: Snapshot, fill: Callable[[Path], None]) -> None:
        raise NotImplementedError

    def delete_volume(self, volume: Volume) -> None:
        self.layout.trash.discard(self.volume_path(volume))

    def rename_volume(self, volume: Volume, new: Volume) -> None:
        self.layout.rename(self.volume_path(volume), self.volume_path(new))

    def mount(self, volume: Volume, idmap: IdMap | None) -> MountedRoot:
        return MountedRoot(self.volume_path(volume), False)

    def unmount(self, volume: Volume) -> None:
        pass

    def size(self, volume: Volume) -> int:
        return 0


Plain.__abstractmethods__ = frozenset()  # what these tests do not use is missing


@pytest.fixture
async def rows(tmp_path: Path) -> AsyncIterator[PoolRows]:
    database = Database(tmp_path / "test.db")
    database.open()
    yield PoolRows(database)
    database.close()


@pytest.fixture
def users() -> dict[str, list[str]]:
    return {}


@pytest.fixture
def pools(rows: PoolRows, tmp_path: Path, users: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> Pools:
    monkeypatch.setattr(Plain, "broken", "")
    return Pools(rows, tmp_path / "storage-pools", Events(), lambda pool: users.get(pool, []))


def post(name: str = "p1", driver: str = "plain", **config: str) -> StoragePoolsPost:
    return StoragePoolsPost(name=name, driver=driver, config={key.replace("_", "."): v for key, v in config.items()})


async def test_a_pool_is_made_shown_and_deleted(pools: Pools, tmp_path: Path) -> None:
    await pools.create(post())
    found = pools.get("p1")
    assert (found.driver, found.status, found.locations, found.used_by) == ("plain", "Created", ["none"], [])
    assert found.config == {"source": str(tmp_path / "storage-pools/p1")}
    assert pools.list() == [found]
    assert pools.usage("p1").space is not msgspec.UNSET
    pools.driver("p1").create_image("abc", lambda _: None)
    assert pools.get("p1").used_by == ["/1.0/images/abc"]
    await pools.delete("p1")
    assert pools.list() == []
    assert not (tmp_path / "storage-pools/p1").exists()


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (post(name=""), "No name provided"),
        (post(name="a/b"), "Storage pool names may not contain slashes"),
        (post(name=".."), 'Invalid storage pool name ".."'),
        (post(name="with space"), "Storage name cannot contain white space"),
        (post(driver="floppy"), 'Unknown driver "floppy"'),
        (post(foo="bar"), 'Invalid option "foo"'),
        (
            post(rsync_compression="maybe"),
            'Invalid value for option "rsync.compression": Invalid value for a boolean "maybe"',
        ),
        (post(source="/nonexistent/x"), "Source path '/nonexistent/x' doesn't exist"),
        (post(source="/etc"), "Source path '/etc' isn't empty"),
    ],
)
async def test_bad_requests_get_the_texts_of_lxd(pools: Pools, wanted: StoragePoolsPost, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        await pools.create(wanted)
    assert caught.value.sentence() == text
    assert pools.list() == []


async def test_a_source_inside_our_own_directory_is_refused(pools: Pools, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(Invalid, match="within the LXD directory"):
        await pools.create(post(source=str(tmp_path / "images")))


async def test_a_name_is_given_once(pools: Pools) -> None:
    await pools.create(post())
    with pytest.raises(Conflict, match="The storage pool already exists"):
        await pools.create(post())


async def test_two_that_ask_for_one_name_get_one_pool(pools: Pools) -> None:
    answers = await asyncio.gather(*(pools.create(post()) for _ in range(4)), return_exceptions=True)
    assert [type(answer) for answer in answers].count(Conflict) == 3
    assert pools.get("p1").status == "Created"


async def test_a_pool_in_use_is_not_deleted(pools: Pools, users: dict[str, list[str]]) -> None:
    await pools.create(post())
    users["p1"] = ["/1.0/profiles/default"]
    with pytest.raises(Invalid, match="The storage pool is currently in use"):
        await pools.delete("p1")
    users.clear()
    pools.driver("p1").create_volume(Volume("containers", "forgotten"), None)
    with pytest.raises(Conflict, match="forgotten"):
        await pools.delete("p1")
    assert pools.get("p1").status == "Created"


async def test_an_unknown_pool_is_not_found(pools: Pools) -> None:
    for call in (pools.get, pools.usage, pools.driver):
        with pytest.raises(NotFound, match=r"^Storage pool not found$"):
            call("nope")
    with pytest.raises(NotFound):
        await pools.delete("nope")


async def test_updates_keep_the_source(pools: Pools) -> None:
    await pools.create(post())
    source = pools.get("p1").config["source"]
    await pools.replace("p1", StoragePoolPut(description="d", config={"user.a": "1"}))
    assert pools.get("p1").config == {"source": source, "user.a": "1"}
    await pools.merge("p1", StoragePoolPut(config={"user.b": "2", "user.a": ""}))
    assert pools.get("p1").config == {"source": source, "user.b": "2"}
    assert pools.get("p1").description == "d"
    assert pools.driver("p1").config["user.b"] == "2"
    with pytest.raises(Invalid, match="Pool source cannot be changed when not in pending state"):
        await pools.replace("p1", StoragePoolPut(config={"source": "/other"}))
    with pytest.raises(Invalid, match='Invalid option "foo"'):
        await pools.merge("p1", StoragePoolPut(config={"foo": "1"}))


async def test_what_fails_leaves_neither_row_nor_directory(
    pools: Pools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for broken, failure in (("probe", Unsupported), ("create", HostError)):
        monkeypatch.setattr(Plain, "broken", broken)
        with pytest.raises(failure, match="told so"):
            await pools.create(post())
        assert pools.list() == []
        assert not (tmp_path / "storage-pools/p1").exists()


async def test_a_start_removes_what_was_not_finished(pools: Pools, rows: PoolRows, tmp_path: Path) -> None:
    await rows.add(PoolRow(name="half", driver="plain"))
    (tmp_path / "storage-pools/half/containers").mkdir(parents=True)
    await pools.create(post())
    rubbish = tmp_path / "storage-pools/p1/trash/x"
    rubbish.mkdir()
    await pools.start()
    await pools.stop()
    assert [pool.name for pool in pools.list()] == ["p1"]
    assert not (tmp_path / "storage-pools/half").exists()
    assert not rubbish.exists()


async def test_a_pool_that_cannot_be_brought_up_is_unavailable(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    await pools.create(post())
    monkeypatch.setattr(Plain, "broken", "create")
    await pools.start()
    assert pools.get("p1").status == "Unavailable"
    with pytest.raises(Unavailable, match="told so"):
        pools.driver("p1")


def test_drivers_are_found_by_their_files() -> None:
    assert {"dir", "overlay"} <= set(storage_drivers())
    assert storage_driver("overlay").RANK < storage_driver("dir").RANK
    assert {key.name for key in storage_driver("dir").keys} >= {"source", "rsync.bwlimit", "volume.size", "user.*"}


def test_a_driver_is_not_declared_twice() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        type("Again", (Plain,), {}, name="plain")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b"])
def test_a_volume_is_one_directory(name: str) -> None:
    with pytest.raises(Invalid):
        Volume("containers", name)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"source": ""}, "Pool source cannot be changed when not in pending state"),
        ({"nope": ""}, 'Invalid option "nope"'),
    ],
)
async def test_an_empty_value_is_checked_before_it_removes_the_key(
    pools: Pools, config: dict[str, str], text: str
) -> None:
    await pools.create(post())
    with pytest.raises(Invalid) as caught:
        await pools.replace("p1", StoragePoolPut(config=config))
    assert caught.value.sentence() == text


@pytest.mark.skipif(os.geteuid() != 0, reason="a pool elsewhere is mounted")
async def test_two_that_ask_for_one_source_get_one_pool(pools: Pools, tmp_path_factory: pytest.TempPathFactory) -> None:
    source = tmp_path_factory.mktemp("elsewhere")
    wanted = [post(name=name, driver="dir", source=str(source)) for name in ("p1", "p2")]
    outcomes = await asyncio.gather(*(pools.create(one) for one in wanted), return_exceptions=True)
    made = [pool.name for pool in pools.list()]
    for name in made:
        await pools.delete(name)
    assert len(made) == 1
    assert sorted(str(outcome) for outcome in outcomes) == ["None", f"Source path '{source}' isn't empty"]
