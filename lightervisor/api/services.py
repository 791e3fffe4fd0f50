"""The services that handlers call, as wiring hands them over."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from lightervisor.events.stream import Events
from lightervisor.images.built import BuiltImages
from lightervisor.images.store import Images
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.create import Creation
from lightervisor.instances.delete import Removal
from lightervisor.instances.exec import Execution
from lightervisor.instances.power import Power
from lightervisor.instances.state import States
from lightervisor.instances.update import Update
from lightervisor.model.server import ServerEnvironment
from lightervisor.networks.managed import Networks
from lightervisor.operations.operations import Operations
from lightervisor.profiles.profiles import Profiles
from lightervisor.storage.pools import Pools


@dataclass(frozen=True, kw_only=True)
class Services:
    """One of each."""

    operations: Operations
    events: Events
    catalog: Catalog
    creation: Creation
    power: Power
    removal: Removal
    update: Update
    states: States
    exec: Execution
    images: Images
    built: BuiltImages
    profiles: Profiles
    pools: Pools
    networks: Networks
    environment: Callable[[], ServerEnvironment]
    server_config: Callable[[], dict[str, str]]
    shut_down: Callable[[], None]


SERVICES = web.AppKey("services", Services)


def services(request: web.Request) -> Services:
    """The services of the application a request came to."""
    return request.app[SERVICES]
