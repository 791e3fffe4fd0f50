"""A running instance to another server, with a short stop: LXD's `lxc move --stateless`, done in two passes.

Its files are copied while it runs; then it is frozen, what has changed since is copied, and it starts anew over there.
Only when it runs there it is deleted here; whatever goes wrong before that lets it go on where it is.
"""

from __future__ import annotations

import time

from lightervisor.cli.copy_between import Transfer
from lightervisor.client.light import ApiError, url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

_STOP = {"action": "stop", "force": True, "timeout": -1}


def run(session: Session, here: Server, name: str, transfer: Transfer, mode: str, wishes: dict[str, Any]) -> None:
    """Move it. Raises what fails, after the instance goes on here."""
    there, new = transfer.there, transfer.name
    transfer.run(mode, {**wishes, "refresh": False, "live": False})
    begun = time.monotonic()
    try:
        _set_state(session, here, name, {"action": "freeze", "timeout": -1})
        try:
            transfer.run(mode, {**wishes, "refresh": True, "live": False})
            _set_state(session, there, new, {"action": "start", "timeout": -1})
        except BaseException:
            _set_state(session, here, name, {"action": "unfreeze", "timeout": -1})
            raise
    except BaseException:
        _take_back(session, there, new)
        raise
    session.say(f"{name} was stopped for {time.monotonic() - begun:.1f} s")
    _set_state(session, here, name, _STOP)
    session.run(here, here.delete(url("instances", name)))


def _set_state(session: Session, server: Server, name: str, state: dict[str, Any]) -> None:
    session.run(server, server.put(url("instances", name, "state"), state))


def _take_back(session: Session, there: Server, name: str) -> None:
    """Delete what has arrived, unless it runs already; what cannot be is told."""
    try:
        session.run(there, there.delete(url("instances", name)))
    except (ApiError, OSError) as error:
        session.warn(f"What has arrived on {there.name} stays: {error}")
