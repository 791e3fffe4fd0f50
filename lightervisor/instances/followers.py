"""The instances that use a profile follow a change of it, all of them or none. Source: LXD, PUT /1.0/profiles/<name>.

Every user is locked and checked before anything is stored, so that most refusals leave no trace at all; when the
kernel or a device refuses later, those that had followed already are put back.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from lightervisor.config.merge import Expanded, expand
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.db.profiles import ProfileRow
from lightervisor.errors import Failure
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.checks import InstanceChecks
from lightervisor.instances.descriptions import FILE
from lightervisor.instances.live import LiveChanges
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel.threads import finished
from lightervisor.operations.locks import Locks, instance_lock

log = logging.getLogger(__name__)
AT_A_TIME = 8
Store = Callable[[ProfileRow], Awaitable[None]]


class Followers:
    """Carries a profile's change to its users."""

    def __init__(
        self,
        rows: InstanceRows,
        catalog: Catalog,
        checks: InstanceChecks,
        live: LiveChanges,
        volumes: InstanceVolumes,
        locks: Locks,
    ) -> None:
        self._rows, self._catalog, self._checks = rows, catalog, checks
        self._live, self._volumes, self._locks = live, volumes, locks

    async def follow(self, old: ProfileRow, new: ProfileRow, store: Store) -> None:
        """Store the new profile and make all users follow, in order of names. Raises what the first refusal says."""
        while True:
            users = self._users(old)
            async with self._locks.hold(instance_lock(*user) for user in users):
                if self._users(old) != users:  # somebody was faster: it has to be locked, too
                    continue
                await self._follow(users, old, new, store)
                return

    def _users(self, profile: ProfileRow) -> list[tuple[str, str]]:
        rows = self._rows.list(profile.project)
        return [(row.project, row.name) for row in rows if profile.name in row.profiles]

    async def _follow(self, users: list[tuple[str, str]], old: ProfileRow, new: ProfileRow, store: Store) -> None:
        for user in users:
            row = self._rows.get(*user)
            before, after = self._expanded(row, old), self._expanded(row, new)
            self._checks.check_expanded(after.config, after.devices)
            self._volumes.check_root_change(before.devices, after.devices)
        await store(new)
        done: list[tuple[str, str]] = []
        async with self._live.together():
            try:
                await self._change(users, old, new, done)
            except BaseException:
                await finished(self._put_back(done, old, new, store))
                raise
        await self._describe(users)

    async def _describe(self, users: list[tuple[str, str]]) -> None:
        """Have the pools tell of the new profile, too: `lxd recover` knows no other. What fails is told in the log."""

        async def describe(user: tuple[str, str]) -> None:
            row = self._rows.get(*user)
            try:
                await self._volumes.write_description(row, self._volumes.pool_of(self._catalog.expand(row).devices))
            except (Failure, OSError) as error:
                log.warning("%s of instance %s is as it was: %s", FILE, row.name, error)

        for start in range(0, len(users), AT_A_TIME):
            await asyncio.gather(*map(describe, users[start : start + AT_A_TIME]))

    async def _change(
        self, users: list[tuple[str, str]], old: ProfileRow, new: ProfileRow, done: list[tuple[str, str]]
    ) -> None:
        """Change several at a time; after the first failure none is begun. Those that follow are added to `done`."""
        left = list(reversed(users))

        async def work() -> None:
            while left:
                user = left.pop()
                try:
                    row = self._rows.get(*user)
                    await self._live.apply(row, self._expanded(row, old), self._expanded(row, new))
                except BaseException:
                    left.clear()
                    raise
                done.append(user)

        tasks = [asyncio.ensure_future(work()) for _ in range(min(AT_A_TIME, len(users)))]
        try:
            for outcome in await finished(asyncio.gather(*tasks, return_exceptions=True)):
                if outcome is not None:
                    raise outcome
        finally:
            left.clear()

    async def _put_back(self, done: list[tuple[str, str]], old: ProfileRow, new: ProfileRow, store: Store) -> None:
        await store(old)
        for user in done:
            row = self._rows.get(*user)
            try:
                await self._live.apply(row, self._expanded(row, new), self._expanded(row, old))
            except Failure as failure:
                log.error("instance %s does not follow its profile %s: %s", row.name, old.name, failure.message())

    def _expanded(self, row: InstanceRow, replacement: ProfileRow) -> Expanded:
        layers = self._catalog.known_profiles(row.project, row.profiles)
        replaced = [replacement if layer.name == replacement.name else layer for layer in layers]
        return expand(replaced, row.config, row.devices)
