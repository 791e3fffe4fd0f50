"""/1.0/metadata/configuration: every configuration key, described. Source: LXD, metadata_configuration.

The answer is made from the declarations, so that what it tells and what the server checks are one thing. Its
shape is that of later LXD versions: configs -> object -> group -> keys -> a list of one-key maps.
"""

from typing import Any

from aiohttp import web

from lightervisor.api import envelope
from lightervisor.config.key import REGISTRY, Key


async def show(_request: web.Request) -> web.StreamResponse:
    """GET /1.0/metadata/configuration."""
    configs: dict[str, dict[str, dict[str, list[dict[str, Any]]]]] = {}
    for key in sorted(REGISTRY.keys(), key=lambda key: (key.scope, key.name)):
        keys = configs.setdefault(_object(key.scope), {}).setdefault(key.group or "other", {"keys": []})["keys"]
        keys.append({key.name: _described(key)})
    return envelope.sync({"configs": configs})


def _object(scope: str) -> str:
    """The object a scope belongs to, in LXD's spelling: pool.overlay -> storage-overlay."""
    kind, _, driver = scope.partition(".")
    return f"{'storage' if kind == 'pool' else kind}-{driver}" if driver else kind


def _described(key: Key) -> dict[str, str]:
    told = {
        "type": key.type.name,
        "shortdesc": key.help,
        "defaultdesc": key.default,
        "liveupdate": "yes" if key.live else "no",
        "extension": key.extension,
    }
    return {name: text for name, text in told.items() if text or name in ("type", "shortdesc")}


ROUTES = [web.get("/1.0/metadata/configuration", show)]
