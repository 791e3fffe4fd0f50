"""A running instance to another server, with a short stop: LXD's `lxc move --stateless`, done in two passes.

Its files are copied while it runs; then it is frozen, what has changed since is copied, and it starts anew over there.
Only when it runs there it is deleted here; whatever goes wrong before that lets it go on where it is. It never runs at
both places: where nobody can say whether it runs there, it stays frozen here.
"""

from __future__ import annotations

import time

from lightervisor.cli.copy_between import Transfer
from lightervisor.cli.errors import CommandError
from lightervisor.cli.move_lease import Frozen
from lightervisor.client.light import ApiError, url
from lightervisor.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

_STOP = {"action": "stop", "force": True, "timeout": -1}
_START = {"action": "start", "timeout": -1}


def run(session: Session, here: Server, name: str, transfer: Transfer, mode: str, wishes: dict[str, Any]) -> None:
    """Move it. Raises what fails, after the instance goes on here."""
    there, new = transfer.there, transfer.name
    transfer.run(mode, {**wishes, "refresh": False, "live": False})
    begun = time.monotonic()
    try:
        frozen = Frozen(session, here, name)
        try:
            transfer.run(mode, {**wishes, "refresh": True, "live": False})
            frozen.keep()  # who is killed after this must not have it run at both places
        except BaseException:
            frozen.let_go()
            raise
    except BaseException:
        _take_back(session, there, new)
        raise
    try:
        _set_state(session, there, new, _START)
    except BaseException as failure:
        if not _runs_there(session, here, name, there, new, failure):
            frozen.let_go()
            raise
    session.say(f"{name} was stopped for {time.monotonic() - begun:.1f} s")
    _set_state(session, here, name, _STOP)
    _delete(session, here, name)


def _set_state(session: Session, server: Server, name: str, state: dict[str, Any]) -> None:
    session.run(server, server.put(url("instances", name, "state"), state))


def _delete(session: Session, server: Server, name: str) -> None:
    """Delete it; an ephemeral one has gone when it stopped."""
    try:
        session.run(server, server.delete(url("instances", name)))
    except ApiError:
        if server.exists(url("instances", name)):
            raise


def _take_back(session: Session, there: Server, name: str) -> None:
    """Delete what has arrived; what cannot be is told."""
    try:
        _delete(session, there, name)
    except (Failure, OSError) as error:
        session.warn(f"What has arrived on {there.name} stays: {error}")


def _runs_there(session: Session, here: Server, name: str, there: Server, new: str, failure: BaseException) -> bool:
    """Whether it started over there although that was not told; if it did not, it is deleted there first.

    Raises CommandError when the other server says nothing.
    """
    there.close()
    try:
        try:
            _delete(session, there, new)  # which waits for a start that is under way, and is refused to what runs
        except ApiError as error:
            if there.get(url("instances", new))["status"] != "Stopped":
                return True
            session.warn(f"What has arrived on {there.name} stays: {error}")
    except (Failure, OSError) as error:
        raise CommandError(
            f"{there.name} does not say whether {new} has started there ({error}); it stays frozen on {here.name}",
            f"if it does not run there: lxc start {here.name}:{name}",
        ) from failure
    return False
