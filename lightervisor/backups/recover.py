"""`lxd recover`: what lies in pools is stored again after the database was lost. Source: LXD, /internal/recover.

Nothing in a pool is changed: pools, volumes and instances get rows again, all that was asked for or none, and undoing
forgets rows and never removes a file.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from lightervisor.backups.adopt import Adoption
from lightervisor.backups.records import Place
from lightervisor.backups.scan import Found, LostInstance, scan
from lightervisor.backups.volume_records import snapshot_rows, volume_row
from lightervisor.config.names import VolumePlace, check_profile
from lightervisor.db.networks import NetworkRows
from lightervisor.db.profiles import ProfileRow, ProfileRows
from lightervisor.errors import Conflict, Failure, NotFound
from lightervisor.instances.checks import InstanceChecks
from lightervisor.model.network import NetworksPost
from lightervisor.model.profile import Profile
from lightervisor.model.recover import RecoverFound, RecoverPost, UnknownVolume
from lightervisor.model.storage_pool import StoragePoolsPost
from lightervisor.networks.managed import Networks
from lightervisor.operations.operations import FAILURE, Operations, Run
from lightervisor.storage.pools import Pools
from lightervisor.storage.volumes import Volumes

UNDO = "forget what was being recovered"


class Known(NamedTuple):
    """What instances need to be there before them."""

    profiles: ProfileRows
    checks: InstanceChecks
    network_rows: NetworkRows
    networks: Networks


class Recovery:
    """Finds and stores what the database does not know."""

    def __init__(
        self, pools: Pools, volumes: Volumes, adoption: Adoption, known: Known, operations: Operations
    ) -> None:
        self._pools, self._volumes, self._adoption = pools, volumes, adoption
        self._known, self._operations = known, operations

    async def validate(self, post: RecoverPost) -> RecoverFound:
        """What could be recovered, and what is missing for it. Raises Invalid, NotFound for pools that are none."""
        found = await self._scan(post)
        unknown = [
            UnknownVolume(
                name=lost.name,
                type="volume",
                project=lost.project,
                pool=pool,
                snapshot_count=len(lost.config.volume_snapshots),
            )
            for pool, one in found.items()
            for lost in one.volumes
        ]
        unknown += [
            UnknownVolume(
                name=lost.name, type="container", snapshot_count=len(lost.config.snapshots), project=lost.project,
                pool=pool,
            )
            for pool, one in found.items()
            for lost in one.instances
        ]  # fmt: skip
        return RecoverFound(
            unknown_volumes=unknown,
            dependency_errors=sorted(self._missing(found, restores=post.restores)),
            unusable=[sentence for one in found.values() for sentence in one.unusable],
        )

    async def import_(self, post: RecoverPost) -> None:
        """Store all of it. Raises what keeps any of it from being stored; nothing is stored then."""
        found = await self._scan(post)
        if missing := sorted(self._missing(found, restores=post.restores)):
            raise Conflict("recovery", cause=f"missing: {', '.join(missing)}", remedy="create these first")

        async def work(run: Run) -> None:
            for pool in post.pools:
                if not self._has_pool(pool.name):
                    told = self._described(pool, found)
                    await _noted(run, "pool", pool.name, lambda told=told: self._pools.adopt(told))
            if post.restores:
                await self._restore(run, found)
            for pool, one in found.items():
                await self._store(run, pool, one)

        started = self._operations.start("Restoring backup", work)
        done = await self._operations.wait(started.id, None)
        if done.status_code >= FAILURE:
            raise Failure("recovery", text=done.err)

    async def _store(self, run: Run, pool: str, found: Found) -> None:
        for lost in found.volumes:
            place = VolumePlace(pool, lost.project, lost.name)
            row = volume_row(self._volumes, place, lost.config, is_here=True)
            adopting = functools.partial(self._volumes.adopt, row, snapshot_rows(place, lost.config))
            await _noted(run, "volume", lost.name, adopting, project=lost.project, pool=pool)
        for lost in found.instances:
            place = Place(project=lost.project, name=lost.name, pool=pool, is_here=True)
            recording = functools.partial(self._adoption.record, lost.config, place)
            await _noted(run, "instance", lost.name, recording, project=lost.project)

    async def undo(self, arguments: Mapping[str, str]) -> None:
        """Forget one thing that was being recovered; may be called twice."""
        kind, name = arguments["kind"], arguments["name"]
        with suppress(NotFound):
            if kind == "pool":
                await self._pools.forget(name)
            elif kind == "volume":
                await self._volumes.forget(arguments["pool"], arguments["project"], name)
            elif kind == "instance":
                await self._adoption.forget(arguments["project"], name)
            elif kind == "profile" and arguments["was"]:
                await self._known.profiles.replace(ProfileRow(project="default", name=name))
            elif kind == "profile":
                await self._known.profiles.delete("default", name)
            elif kind == "network":
                await self._known.networks.delete(name)

    def _has_pool(self, name: str) -> bool:
        with suppress(NotFound):
            self._pools.row(name)
            return True
        return False

    async def _scan(self, post: RecoverPost) -> dict[str, Found]:
        found: dict[str, Found] = {}
        for pool in post.pools:
            name = pool.name
            if self._has_pool(name):
                driver = self._pools.driver(name)
            else:
                driver = await asyncio.to_thread(self._pools.unadopted, pool)
            found[name] = await asyncio.to_thread(scan, driver, self._adoption.names(), self._volumes.names(name))
        return found

    def _missing(self, found: Mapping[str, Found], *, restores: bool) -> set[str]:
        """LXD's words for what instances need and is not there, or told of when all that is told of is made again."""
        missing: set[str] = set()
        for lost in self._instances(found):
            told = {one.name for one in lost.config.profiles} if restores else set[str]()
            for name in lost.profiles():
                if name not in told and self._known.profiles.find("default", name) is None:
                    missing.add(f'Profile "{name}" in project "default"')
            told = {one.name for one in lost.config.networks} if restores else set[str]()
            for name in lost.networks():
                if name not in told and self._known.network_rows.find(name) is None:
                    missing.add(f'Network "{name}" in project "default"')
            if lost.project != "default":
                missing.add(f'Project "{lost.project}"')
        return missing

    @staticmethod
    def _instances(found: Mapping[str, Found]) -> list[LostInstance]:
        return [lost for one in found.values() for lost in one.instances]

    @staticmethod
    def _described(pool: StoragePoolsPost, found: Mapping[str, Found]) -> StoragePoolsPost:
        """A pool with what its instances tell of it, its source too if that is there, where nothing was given."""
        for config in [lost.config for lost in (*found[pool.name].instances, *found[pool.name].volumes)]:
            told = config.pool
            if told is not None and told.name == pool.name and told.driver == pool.driver:
                kept = {**told.config, **pool.config}
                source = Path(kept.get("source", "/"))
                if source.is_absolute() and not source.exists():
                    del kept["source"]
                return msgspec.structs.replace(pool, config=kept, description=pool.description or told.description)
        return pool

    async def _restore(self, run: Run, found: Mapping[str, Found]) -> None:
        """Make networks and profiles that instances need and tell of; the default profile, if it is empty."""
        for lost in self._instances(found):
            for network in lost.config.networks:
                if network.name in lost.networks() and self._known.network_rows.find(network.name) is None:
                    post = NetworksPost(
                        name=network.name, type=network.type, description=network.description, config=network.config
                    )
                    creating = functools.partial(self._known.networks.create, post)
                    await _noted(run, "network", network.name, creating)
        for lost in self._instances(found):
            for profile in lost.config.profiles:
                if profile.name in lost.profiles():
                    await self._restore_profile(run, profile)

    async def _restore_profile(self, run: Run, profile: Profile) -> None:
        check_profile(profile.name)
        old = self._known.profiles.find("default", profile.name)
        if old is not None and (profile.name != "default" or old.config or old.devices):
            return
        self._known.checks.check_profile(profile.config, profile.devices)
        row = ProfileRow(
            project="default",
            name=profile.name,
            description=profile.description,
            config=profile.config,
            devices=profile.devices,
        )
        storing = functools.partial(self._known.profiles.replace if old else self._known.profiles.add, row)
        await _noted(run, "profile", profile.name, storing, was="empty" if old else "")


async def _noted(run: Run, kind: str, name: str, work: Callable[[], Awaitable[None]], **more: str) -> None:
    """One step, whose undo forgets this thing."""
    await run.step(work, undo=UNDO, arguments={"kind": kind, "name": name, **more})
