"""The server's own configuration, as the API changes it. Source: LXD, PUT and PATCH /1.0.

Secrets are stored hashed and shown as `true`; who sends that back changes nothing.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from lightervisor.auth import password
from lightervisor.auth.trust import PASSWORD
from lightervisor.config import server_keys
from lightervisor.config.key import REGISTRY
from lightervisor.db.server_config import ServerConfigRows
from lightervisor.errors import Invalid
from lightervisor.events.stream import Events
from lightervisor.model.event import EventLifecycleRequestor

SCOPE = "server"
DECLARED = server_keys  # importing it declares the keys
SECRETS = {PASSWORD: password.hashed}
SHOWN = "true"
Applying = Callable[[Mapping[str, str]], AbstractAsyncContextManager[None]]
"""Brings a new configuration into effect while it is being stored; undoes that when storing fails."""


class ServerConfig:
    """Reads, checks and stores the keys of the server."""

    def __init__(self, rows: ServerConfigRows, events: Events, applying: Sequence[Applying] = ()) -> None:
        self._rows, self._events, self._applying = rows, events, applying
        self._changing = asyncio.Lock()

    def all(self) -> dict[str, str]:
        """Every key that is set, secrets hidden."""
        return {name: SHOWN if name in SECRETS else value for name, value in self._rows.all().items()}

    def shown(self) -> dict[str, str | bool]:
        """As `all`, as clients see it: a secret is the boolean true."""
        return {name: name in SECRETS or value for name, value in self.all().items()}

    async def replace(self, config: Mapping[str, Any], requestor: EventLifecycleRequestor | None = None) -> None:
        """Set exactly these keys; empty values unset. Raises Invalid for an unknown key or a bad value."""
        async with self._changing:
            await self._replace(config)
        self._events.lifecycle("config-updated", "/1.0", requestor=requestor)

    async def _stored(self, config: Mapping[str, str]) -> dict[str, str]:
        present, stored = self._rows.all(), dict(config)
        for name, hashed in SECRETS.items():
            if stored.get(name) == SHOWN:
                if name not in present:  # a dump of another server's configuration
                    text = f"cannot set '{name}' to '{SHOWN}': that is what stands for one that is hidden"
                    raise Invalid("configuration key", name, text=text, remedy="set the secret itself, or another one")
                stored[name] = present[name]
            elif name in stored:
                stored[name] = await asyncio.to_thread(hashed, stored[name])
        return stored

    async def merge(self, config: Mapping[str, Any], requestor: EventLifecycleRequestor | None = None) -> None:
        """Set these keys and leave the others. Raises Invalid."""
        async with self._changing:
            await self._replace({**self.all(), **config})
        self._events.lifecycle("config-updated", "/1.0", requestor=requestor)

    async def _replace(self, config: Mapping[str, Any]) -> None:
        texts = {name: _text(name, value) for name, value in config.items()}
        for name in sorted(texts):
            _check(name, texts[name])
        wanted = {name: text for name, text in texts.items() if text}
        async with AsyncExitStack() as stack:
            for apply in self._applying:
                await stack.enter_async_context(apply(wanted))
            await self._rows.replace(await self._stored(wanted))


def _check(name: str, value: str) -> None:
    """Raise Invalid with LXD's text for this place, which names key and value before the reason."""
    try:
        REGISTRY.check(SCOPE, name, value)
    except Invalid as refused:
        reason = refused.sentence() if REGISTRY.lookup(SCOPE, name) else "unknown key"
        text = f"cannot set '{name}' to '{value}': {reason}"
        raise Invalid("configuration key", name, text=text, remedy=refused.remedy) from refused


def _text(name: str, value: object) -> str:
    """A value as it is stored: clients send booleans and numbers too."""
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return str(value)
        case _:
            raise Invalid("configuration key", name, cause="its value is not a text, a number or a boolean")
