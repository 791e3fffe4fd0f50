"""The authorization matrix: who may send which request. One table, enforced in one place (`api/server.py`).

A request that is not in the table is for administrators only, so that a forgotten row locks a door and opens none. What
depends on the object (a public image, an operation's project, one's own certificate) is decided where the object is
known, by `Caller`. Rows of endpoints that are still to come are here already. Source: LXD REST API, endpoint table.
"""

import enum

from lightervisor.auth.caller import Caller, Level, refused


class Access(enum.Enum):
    """What a caller needs to be for a request."""

    GUEST = "anybody; the handler shows guests less"
    METRICS = "a metrics certificate, or trusted"
    TRUSTED = "trusted; the handler shows restricted callers less"
    PROJECT = "trusted, and restricted callers in their projects only"
    PROJECTS = "as PROJECT; asked for all projects, the handler shows restricted callers theirs"
    ADMIN = "not restricted"
    LOCAL = "on the unix socket"


_G, _T, _P, _A, _L = Access.GUEST, Access.TRUSTED, Access.PROJECT, Access.ADMIN, Access.LOCAL
_OWN = {"GET": _P, "POST": _P, "PUT": _P, "PATCH": _P, "DELETE": _P}  # all that is in a project
_READ = {"GET": _T, "POST": _A, "PUT": _A, "PATCH": _A, "DELETE": _A}  # the server's, shown to all its users
_INSTANCE = "/1.0/instances/{name}"
_VOLUME = "/1.0/storage-pools/{pool}/volumes/{type}/{name}"

# Paths as the routes spell them; /1.0/containers and /1.0/virtual-machines are as /1.0/instances.
TABLE: dict[str, dict[str, Access]] = {
    "/": {"GET": _G},
    "/1.0": {"GET": _G, "PUT": _A, "PATCH": _A},
    "/1.0/certificates": {"GET": _T, "POST": _G},
    "/1.0/certificates/{fingerprint}": {"GET": _T, "PUT": _T, "PATCH": _T, "DELETE": _T},
    "/1.0/cluster": {"GET": _T, "PUT": _A},
    "/1.0/cluster/certificate": {"PUT": _A},
    "/1.0/cluster/groups": _READ,
    "/1.0/cluster/groups/{name}": _READ,
    "/1.0/cluster/members": _READ,
    "/1.0/cluster/members/{name}": _READ,
    "/1.0/cluster/members/{name}/state": _READ,
    "/1.0/events": {"GET": _T},
    "/1.0/images": {"GET": _G, "POST": _G},
    "/1.0/images/build": {"GET": _T},
    "/1.0/images/aliases": {"GET": _P, "POST": _P},
    "/1.0/images/aliases/{name}": {**_OWN, "GET": _G},
    "/1.0/images/{fingerprint}": {**_OWN, "GET": _G},
    "/1.0/images/{fingerprint}/export": {"GET": _G, "HEAD": _G, "POST": _P},
    "/1.0/images/{fingerprint}/refresh": _OWN,
    "/1.0/images/{fingerprint}/secret": _OWN,
    "/1.0/instances": {**_OWN, "GET": Access.PROJECTS},
    _INSTANCE: _OWN,
    f"{_INSTANCE}/backups": _OWN,
    f"{_INSTANCE}/backups/{{backup}}": _OWN,
    f"{_INSTANCE}/backups/{{backup}}/export": _OWN,
    f"{_INSTANCE}/console": _OWN,
    f"{_INSTANCE}/exec": _OWN,
    f"{_INSTANCE}/files": {**_OWN, "HEAD": _P},
    f"{_INSTANCE}/logs": _OWN,
    f"{_INSTANCE}/logs/{{file}}": _OWN,
    f"{_INSTANCE}/metadata": _OWN,
    f"{_INSTANCE}/metadata/templates": _OWN,
    f"{_INSTANCE}/rebuild": _OWN,
    f"{_INSTANCE}/sftp": _OWN,
    f"{_INSTANCE}/snapshots": _OWN,
    f"{_INSTANCE}/snapshots/{{snapshot}}": _OWN,
    f"{_INSTANCE}/snapshots/{{snapshot}}/files": {"GET": _P, "HEAD": _P},
    f"{_INSTANCE}/snapshots/{{snapshot}}/sftp": {"GET": _P},
    f"{_INSTANCE}/state": _OWN,
    "/1.0/metadata/configuration": {"GET": _T},
    "/1.0/metrics": {"GET": Access.METRICS},
    "/1.0/network-acls": _OWN,
    "/1.0/network-acls/{name}": _OWN,
    "/1.0/network-acls/{name}/log": _OWN,
    "/1.0/network-zones": _OWN,
    "/1.0/network-zones/{name}": _OWN,
    "/1.0/network-zones/{name}/records": _OWN,
    "/1.0/network-zones/{name}/records/{record}": _OWN,
    "/1.0/networks": _OWN,
    "/1.0/networks/{name}": _OWN,
    "/1.0/networks/{name}/forwards": _OWN,
    "/1.0/networks/{name}/forwards/{address}": _OWN,
    "/1.0/networks/{name}/leases": _OWN,
    "/1.0/networks/{name}/peers": _OWN,
    "/1.0/networks/{name}/peers/{peer}": _OWN,
    "/1.0/networks/{name}/state": _OWN,
    "/1.0/operations": {"GET": _P},
    "/1.0/operations/{id}": {"GET": _T, "DELETE": _T},
    "/1.0/operations/{id}/wait": {"GET": _G},
    "/1.0/operations/{id}/websocket": {"GET": _G},
    "/1.0/profiles": _OWN,
    "/1.0/profiles/{name}": _OWN,
    "/1.0/projects": _READ,
    "/1.0/projects/{name}": _READ,
    "/1.0/projects/{name}/state": _READ,
    "/1.0/resources": {"GET": _T},
    "/1.0/storage-pools": _READ,
    "/1.0/storage-pools/{name}": _READ,
    "/1.0/storage-pools/{name}/resources": {"GET": _T},
    "/1.0/storage-pools/{pool}/volumes": {**_OWN, "GET": Access.PROJECTS},
    "/1.0/storage-pools/{pool}/volumes/{type}": {**_OWN, "GET": Access.PROJECTS},
    _VOLUME: _OWN,
    f"{_VOLUME}/backups": _OWN,
    f"{_VOLUME}/backups/{{backup}}": _OWN,
    f"{_VOLUME}/backups/{{backup}}/export": _OWN,
    f"{_VOLUME}/snapshots": _OWN,
    f"{_VOLUME}/snapshots/{{snapshot}}": _OWN,
    f"{_VOLUME}/state": _OWN,
    "/1.0/warnings": {"GET": _A},
    "/1.0/warnings/{id}": {"GET": _A, "PUT": _A, "PATCH": _A, "DELETE": _A},
    "/internal/ready": {"GET": _L},
    "/internal/recover/import": {"POST": _L},
    "/internal/recover/validate": {"POST": _L},
    "/internal/shutdown": {"PUT": _L},
}
_TREES = ("/1.0/containers", "/1.0/virtual-machines")


def access_to(method: str, path: str) -> Access:
    """What a request needs; `path` is the route's, with its names in braces."""
    for tree in _TREES:
        if path == tree or path.startswith(f"{tree}/"):
            path = "/1.0/instances" + path.removeprefix(tree)
    return TABLE.get(path, {}).get(method, _A)


def check(caller: Caller, access: Access, project: str, *, is_about_all: bool) -> None:
    """Refuse what the table does not allow. Raises Forbidden.

    `project` is the one asked for; `is_about_all` says that the request asks for all of them, which counts only where
    the table knows of such requests.
    """
    if access is Access.PROJECTS:
        access = Access.TRUSTED if is_about_all else Access.PROJECT
    if not _is_allowed(caller, access, project):
        raise refused()


def _is_allowed(caller: Caller, access: Access, project: str) -> bool:
    match access:
        case Access.GUEST:
            return True
        case Access.LOCAL:
            return caller.is_local
        case Access.METRICS:
            return caller.level is not Level.GUEST
        case Access.TRUSTED:
            return caller.is_trusted
        case Access.PROJECT | Access.PROJECTS:
            return caller.may_enter(project)
        case Access.ADMIN:
            return caller.is_admin
