"""Profiles: named configuration and devices that instances share. Source: LXD, /1.0/profiles.

A change takes effect on every running instance that uses the profile, or on none and is not stored.
"""

import asyncio
from collections.abc import Awaitable, Callable

from lightervisor.config import names
from lightervisor.config.merge import without_empty
from lightervisor.db.instances import InstanceRows
from lightervisor.db.profiles import ProfileRow, ProfileRows
from lightervisor.errors import Forbidden, Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.instances.checks import InstanceChecks
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.profile import Profile, ProfilePut, ProfilesPost

Store = Callable[[ProfileRow], Awaitable[None]]
Follow = Callable[[ProfileRow, ProfileRow, Store], Awaitable[None]]


class Profiles:
    """The profiles of every project.

    `follow(old, new, store)` stores a changed profile and makes its users follow; it raises when one cannot.
    """

    def __init__(
        self, rows: ProfileRows, instances: InstanceRows, checks: InstanceChecks, events: Events, follow: Follow
    ) -> None:
        self._rows, self._instances, self._checks = rows, instances, checks
        self._events, self._follow = events, follow
        self._lock = asyncio.Lock()

    def get(self, project: str, name: str) -> Profile:
        """One profile. Raises NotFound."""
        return _view(self._rows.get(project, name), self._users(project).get(name, []))

    async def create(self, project: str, post: ProfilesPost, requestor: EventLifecycleRequestor | None = None) -> None:
        """Create a profile. Raises Invalid for a bad name, key or device, and LXD's failure for a duplicate."""
        names.check_profile(post.name)
        self._checks.check_profile(post.config, post.devices)
        await self._rows.add(_row(project, post.name, post))
        self._events.happened("profile", "created", post.name, project, requestor)

    async def replace(
        self, project: str, name: str, put: ProfilePut, requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """Replace description, config and devices, live in every instance that uses it, or change nothing."""
        async with self._lock:
            await self._replace(self._rows.get(project, name), put)
        self._events.happened("profile", "updated", name, project, requestor)

    async def merge(
        self, project: str, name: str, put: ProfilePut, requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """PATCH: merge config keys and devices over what is there."""
        async with self._lock:
            old = self._rows.get(project, name)
            merged = ProfilePut(
                description=put.description or old.description,
                config={**old.config, **put.config},
                devices={**old.devices, **put.devices},
            )
            await self._replace(old, merged)
        self._events.happened("profile", "updated", name, project, requestor)

    async def _replace(self, old: ProfileRow, put: ProfilePut) -> None:
        self._checks.check_profile(put.config, put.devices)
        await self._follow(old, _row(old.project, old.name, put), self._rows.replace)

    async def rename(
        self, project: str, name: str, new_name: str, requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """Rename a profile. Raises Forbidden for `default` and Conflict when the name is taken."""
        names.check_profile(new_name)
        if name == "default":
            raise Forbidden("profile", name, text='The "default" profile cannot be renamed')
        async with self._lock:
            self._rows.get(project, name)
            await self._rows.rename(project, name, new_name)
        self._events.happened("profile", "renamed", new_name, project, requestor, {"old_name": name})

    async def delete(self, project: str, name: str, requestor: EventLifecycleRequestor | None = None) -> None:
        """Delete a profile that nobody uses. Raises Invalid with LXD's texts otherwise."""
        if name == "default":
            raise Forbidden("profile", name, text='The "default" profile cannot be deleted')
        async with self._lock:
            if self._rows.find(project, name) is None:
                raise NotFound("profile", name, text="Profile not found")
            if self._users(project).get(name):
                raise Invalid("profile", name, text="Profile is currently in use")
            await self._rows.delete(project, name)
        self._events.happened("profile", "deleted", name, project, requestor)

    def _users(self, project: str) -> dict[str, list[str]]:
        users: dict[str, list[str]] = {}
        for instance in self._instances.list(project):
            for profile in instance.profiles:
                users.setdefault(profile, []).append(f"/1.0/instances/{instance.name}")
        return users

    def list(self, project: str) -> list[Profile]:
        """All profiles of a project, by name."""
        users = self._users(project)
        return [_view(row, users.get(row.name, [])) for row in self._rows.list(project)]


def _row(project: str, name: str, put: ProfilePut) -> ProfileRow:
    """What is stored: an empty value is LXD's way to remove a key."""
    return ProfileRow(
        project=project,
        name=name,
        description=put.description,
        config=without_empty(put.config),
        devices={device: without_empty(options) for device, options in put.devices.items()},
    )


def _view(row: ProfileRow, users: list[str]) -> Profile:
    return Profile(name=row.name, description=row.description, config=row.config, devices=row.devices, used_by=users)
