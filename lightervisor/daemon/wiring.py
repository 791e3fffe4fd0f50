"""The composition root: every part made once and handed to those that use it."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from lightervisor.api.door import Door
from lightervisor.api.metrics import PATHS
from lightervisor.api.network import Network
from lightervisor.api.server import Server
from lightervisor.api.services import Services
from lightervisor.api.tls import Context
from lightervisor.auth.authority import Authority
from lightervisor.auth.caller import Level
from lightervisor.auth.store import TrustStore
from lightervisor.auth.tokens import JoinTokens
from lightervisor.auth.trust import Trust
from lightervisor.backups.adopt import Adoption
from lightervisor.backups.recover import Known
from lightervisor.client import proxies
from lightervisor.client.https import Outgoing
from lightervisor.config import architectures
from lightervisor.config.key import REGISTRY
from lightervisor.daemon import (
    backup_wiring,
    birth_wiring,
    environment,
    interrupted,
    logs,
    migration_wiring,
    resources,
    server_certificate,
    snapshot_wiring,
    volume_wiring,
)
from lightervisor.daemon.backup_wiring import Lost, Reading
from lightervisor.daemon.environment import Liblxc
from lightervisor.daemon.network_api import METRICS_KEY, METRICS_PORT, NetworkApi, trusted_proxies
from lightervisor.daemon.options import VERSION, Paths
from lightervisor.daemon.parts import Parts
from lightervisor.daemon.runtime_parts import containers_of, memory_of
from lightervisor.daemon.server_certificate import ServerCertificate
from lightervisor.daemon.server_config import ServerConfig
from lightervisor.db.certificates import CertificateRows
from lightervisor.db.database import Database
from lightervisor.db.images import ImageRows
from lightervisor.db.instance_backups import BackupRows
from lightervisor.db.instance_snapshots import SnapshotRows
from lightervisor.db.instances import InstanceRows
from lightervisor.db.networks import NetworkRows
from lightervisor.db.profiles import ProfileRows
from lightervisor.db.server_config import ServerConfigRows
from lightervisor.db.storage_volumes import VolumeRows
from lightervisor.db.volume_backups import VolumeBackupRows
from lightervisor.db.warnings import WarningRows
from lightervisor.devices.device import check_device
from lightervisor.devlxd.server import GuestServer
from lightervisor.events.stream import Events
from lightervisor.images.downloads import Downloads
from lightervisor.images.outward import Outward
from lightervisor.images.partial import Partials
from lightervisor.images.secrets import Secrets
from lightervisor.images.sources.source import Tools
from lightervisor.images.store import Images
from lightervisor.images.upkeep import Upkeep
from lightervisor.instances.autostart import Autostart
from lightervisor.instances.births import BirthActs
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.checks import InstanceChecks
from lightervisor.instances.console import Consoles
from lightervisor.instances.delete import Removal
from lightervisor.instances.descriptions import Descriptions
from lightervisor.instances.devices import InstanceDevices
from lightervisor.instances.exec import Execution
from lightervisor.instances.files import Files
from lightervisor.instances.followers import Followers
from lightervisor.instances.frozen_while import FrozenWhile
from lightervisor.instances.guest_api import GuestApi
from lightervisor.instances.guest_events import GuestEvents
from lightervisor.instances.guest_roots import GuestRoots
from lightervisor.instances.guest_sockets import GuestSockets
from lightervisor.instances.guests import Guests
from lightervisor.instances.hotplug import Hotplug
from lightervisor.instances.idmaps import IdMaps
from lightervisor.instances.image_choice import ImageChoice
from lightervisor.instances.live import LiveChanges
from lightervisor.instances.logs import Logs
from lightervisor.instances.metadata import Metadata
from lightervisor.instances.metrics import InstanceMetrics
from lightervisor.instances.power import Power
from lightervisor.instances.publish import Publication
from lightervisor.instances.rebuild import Rebuilding
from lightervisor.instances.run_keys import Places
from lightervisor.instances.sftp import Sftp
from lightervisor.instances.snapshot_acts import SnapshotActs
from lightervisor.instances.snapshot_restore import SnapshotRestoring
from lightervisor.instances.snapshot_take import SnapshotTaking
from lightervisor.instances.snapshots import Snapshots
from lightervisor.instances.state import States
from lightervisor.instances.stateful import Stateful
from lightervisor.instances.templates import Templates
from lightervisor.instances.update import Update
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.migration.volume_source import VolumeSending
from lightervisor.migration.volume_target import VolumeReceiving
from lightervisor.networks.managed import Networks
from lightervisor.networks.users import NetworkUsers
from lightervisor.operations.journal import Journal
from lightervisor.operations.locks import Locks
from lightervisor.operations.operations import Operations
from lightervisor.profiles.profiles import Profiles
from lightervisor.runtime.spawner import Spawner
from lightervisor.storage.pools import Pools
from lightervisor.storage.users import PoolUsers
from lightervisor.templates.renderer import Renderer

log = logging.getLogger(__name__)


@asynccontextmanager
async def wire(paths: Paths, spawner: Spawner, shut_down: Callable[[bool], None]) -> AsyncGenerator[Parts, None]:
    """Make all parts; at the end close what holds something open."""
    spawner.connect()
    database = Database(paths.state / "database" / "lightervisor.db")
    database.open()
    try:
        version, features = (await spawner.request("version", environment.LIBLXC_FEATURES)).value
        yield _parts(paths, spawner, database, Liblxc(version, features), shut_down)
    finally:
        database.close()
        spawner.close()


def _parts(
    paths: Paths, spawner: Spawner, database: Database, liblxc: Liblxc, shut_down: Callable[[bool], None]
) -> Parts:
    events, journal, locks = Events(), Journal(database), Locks()
    logging.getLogger().addHandler(logs.EventHandler(events))
    operations = Operations(events, journal, locks)
    instances, profile_rows, warnings = InstanceRows(database), ProfileRows(database), WarningRows(database)
    server_config, snapshot_rows = ServerConfigRows(database), SnapshotRows(database)
    boot_status: list[Boot] = []
    stored = volume_wiring.together(
        database,
        paths.state / "storage-pools",
        PoolUsers(instances, profile_rows, VolumeRows(database)),
        volume_wiring.guests(lambda: volume_wiring.Instances(boot_status[0], catalog, volumes)),
        volume_wiring.Machinery(operations, events, journal, renderer := Renderer()),
    )
    networks = Networks(
        NetworkRows(database), NetworkUsers(instances, profile_rows), events, warnings, paths.state / "networks"
    )
    images, settings = Images(ImageRows(database), paths.state / "images", events), _settings(server_config)
    outgoing, downloads = _downloads(images, stored.pools, server_config, settings)
    upkeep = Upkeep(images, downloads, stored.pools.usable, settings, operations)
    checks = InstanceChecks(lambda name, device: check_device(name, device, network_type=networks.network_type(device)))
    volumes = InstanceVolumes(
        stored.pools, descriptions := Descriptions(stored.pools, snapshot_rows, profile_rows, NetworkRows(database))
    )
    catalog = Catalog(instances, profile_rows, lambda project, name: boot_status[0].status(project, name))
    devices = InstanceDevices(networks, stored.volumes, paths.state / "devices")
    places = Places(paths.logs, paths.state / "security")
    idmaps, templates = IdMaps(instances, catalog.expand), Templates(volumes, renderer)
    guest_api = GuestApi(GuestSockets(paths.state / "devlxd"), GuestEvents())
    boot = Boot(instances, catalog, volumes, devices, places, idmaps, templates, guest_api, events)
    boot_status.append(boot)
    boot.use(containers := containers_of(spawner, paths.state, boot))
    devices.use(containers.set_devices)
    stateful = memory_of(journal, Stateful(instances, catalog, boot, devices, volumes))
    power = Power(instances, catalog, boot, stateful, operations, events)
    boot.restart_with(power.start_again)
    removal = Removal(instances, catalog, boot, volumes, operations, events)
    live = LiveChanges(instances, devices, volumes, idmaps, guest_api, containers)
    update = Update(instances, catalog, checks, live, volumes, operations)
    kept = snapshot_wiring.together(
        snapshot_rows,
        catalog,
        operations,
        Snapshots(snapshot_rows, catalog, volumes, acts := SnapshotActs(catalog, volumes, operations, events)),
        SnapshotTaking(snapshot_rows, catalog, stateful, volumes, renderer, acts),
        SnapshotRestoring(snapshot_rows, catalog, update, volumes, power, acts),
    )
    born = birth_wiring.together(
        birth_wiring.Stock(instances, snapshot_rows, catalog, checks, boot, volumes, operations, events),
        choice := ImageChoice(images, downloads),
        kept.snapshots,
        acts,
    )
    power.precede_starts(kept.schedule.at_start)
    guest_roots = GuestRoots(catalog, boot, volumes, locks)
    saved = backup_wiring.together(
        Reading(catalog, boot, volumes, locks, snapshot_rows, descriptions, guest_roots),
        BackupRows(database),
        Adoption(instances, catalog, born.births),
        Lost(stored, VolumeBackupRows(database), Known(profile_rows, checks, NetworkRows(database), networks)),
        operations,
        events,
        paths.state / "backups",
        settings,
    )
    removal.precede_end(saved.backups.forget)
    interrupted.register(
        journal,
        born,
        removal,
        rebuilding := Rebuilding(catalog, choice, boot, update, volumes, operations),
        kept,
        saved,
    )
    certificate = server_certificate.ensure(paths.state)
    store = TrustStore(CertificateRows(database), Authority(paths.state), events, server_config.all)
    trust = Trust(store, JoinTokens(operations, server_config.all), server_config.all)
    doors, network_api, metrics_api = _listening(certificate, trust, server_config)
    services = Services(
        operations=operations,
        events=events,
        trust=trust,
        catalog=catalog,
        creation=born.creation,
        copying=born.copying,
        moving=born.moving,
        power=power,
        frozen_while=FrozenWhile(catalog, power, operations, journal),
        removal=removal,
        rebuilding=rebuilding,
        update=update,
        states=States(containers, volumes),
        metrics=InstanceMetrics(catalog, containers, volumes),
        snapshots=kept.snapshots,
        snapshot_taking=kept.taking,
        snapshot_restoring=kept.restoring,
        sending=(
            migration := migration_wiring.together(
                migration_wiring.Stock(
                    instances,
                    snapshot_rows,
                    kept.snapshots,
                    acts,
                    born.arrivals,
                    catalog,
                    boot,
                    volumes,
                    saved.roots,
                    images,
                    stateful,
                ),
                born.births,
                BirthActs(operations, events),
                outgoing,
                operations,
                journal,
            )
        ).sending,
        receiving=migration.receiving,
        exec=Execution(catalog, boot, operations, events),
        images=images,
        downloads=downloads,
        images_out=Outward(images, outgoing, Secrets(operations)),
        publication=Publication(
            catalog,
            saved.still_roots,
            saved.snapshot_roots,
            images,
            operations,
            settings,
        ),
        upkeep=upkeep,
        profiles=Profiles(
            profile_rows,
            instances,
            checks,
            events,
            Followers(instances, catalog, checks, live, volumes, operations.locks).follow,
        ),
        pools=stored.pools,
        volumes=stored.volumes,
        volume_snapshots=stored.snapshots,
        volume_copying=stored.copying,
        volume_moving=stored.moving,
        networks=networks,
        environment=environment.reader(stored.pools, liblxc, certificate, network_api.addresses),
        server_config=(
            server_keys := ServerConfig(server_config, events, [network_api.applying, metrics_api.applying])
        ),
        warnings=warnings,
        resources=resources.read,
        consoles=Consoles(catalog, boot, operations, events),
        files=Files(guest_roots, saved.snapshot_roots, events),
        sftp=(sftp := Sftp(guest_roots, saved.snapshot_roots, volumes)),
        logs=(instance_logs := Logs(catalog, boot, events)),
        metadata=Metadata(catalog, volumes, events),
        backups=saved.backups,
        restoring=saved.restoring,
        recovery=saved.recovery,
        volume_backups=saved.volume_backups,
        volume_restoring=saved.volume_restoring,
        volume_sending=VolumeSending(stored.acts, outgoing, operations),
        volume_receiving=VolumeReceiving(
            stored.acts, stored.volumes, stored.snapshots, stored.arrivals, outgoing, operations
        ),
        shut_down=shut_down,
    )
    return Parts(
        server=Server(services, doors),
        boot=boot,
        guest_roots=guest_roots,
        sftp=sftp,
        power=power,
        operations=operations,
        journal=journal,
        pools=stored.pools,
        volumes=stored.volumes,
        networks=networks,
        images=images,
        downloads=downloads,
        upkeep=upkeep,
        snapshot_schedule=kept.schedule,
        volume_schedule=stored.schedule,
        hotplug=Hotplug(instances, catalog, devices, containers, locks, networks.interfaces_came),
        backups=saved.backups,
        volume_backups=saved.volume_backups,
        backup_expiry=saved.expiry,
        events=events,
        server_config=server_keys,
        warnings=warnings,
        logs=instance_logs,
        network_api=network_api,
        metrics_api=metrics_api,
        guest_server=GuestServer(guest_api.sockets, Guests(instances, catalog, events, guest_api.events), images),
        guest_sockets=guest_api.sockets,
        autostart=Autostart(catalog, power, warnings),
    )


def _downloads(
    images: Images, pools: Pools, config: ServerConfigRows, settings: Callable[[str], str]
) -> tuple[Outgoing, Downloads]:
    """What asks other servers, and what fetches images from them."""
    outgoing = Outgoing(
        user_agent=lambda: environment.user_agent(sorted({pool.driver for pool in pools.list()})),
        proxies=lambda: proxies.chosen(config.all()),
    )
    tools = Tools(
        outgoing=outgoing,
        partials=Partials(images.partials),
        incoming=images.incoming,
        version=VERSION,
        architecture=lambda: settings("images.default_architecture") or architectures.own(),
    )
    return outgoing, Downloads(images, tools, settings)


def _settings(rows: ServerConfigRows) -> Callable[[str], str]:
    """What a key of the server is now, its default when it is not set."""

    def read(name: str) -> str:
        declared = REGISTRY.lookup("server", name)
        return rows.all().get(name) or (declared.default if declared else "")

    return read


def _listening(
    certificate: ServerCertificate, trust: Trust, config: ServerConfigRows
) -> tuple[list[Door], NetworkApi, NetworkApi]:
    """The doors of the API and of the metrics, and what keeps their listeners where the configuration wants them."""
    context = Context(certificate.certificate, certificate.key)

    def door(paths: frozenset[str] | None) -> Door:
        return Door(
            context,
            is_trusted=lambda chain: trust.remote(chain, "").level is not Level.GUEST,
            trusted_proxies=lambda: trusted_proxies(config.all()),
            paths=paths,
        )

    api, metrics = door(None), door(PATHS)
    return [api, metrics], NetworkApi(Network(api)), NetworkApi(Network(metrics), METRICS_KEY, METRICS_PORT)
