"""Three clients behind one small interface, so that a test of behaviour is written once and runs with each.

`lxc` is ours, `stock-lxc` is Debian's LXD 5.0.2 client unmodified, `pylxd` is LXD's Python library. The interface has
the words that all three can say; a test of one client's own output takes that client's fixture.
"""

from __future__ import annotations

import os
import shutil
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.harness import processes
from tests.harness.processes import REPOSITORY, Done

OURS = REPOSITORY / "bin/lxc"
STOCK = Path("/usr/bin/lxc")


@dataclass(frozen=True)
class Ran:
    """What a command in a container gave back."""

    status: int
    stdout: str
    stderr: str


class ClientFailure(Exception):
    """A client's request was refused; the text is what its user reads."""


class Client(ABC):
    """What a test asks of a daemon. Every method raises ClientFailure when the daemon refuses."""

    @abstractmethod
    def launch(
        self, image: str, name: str, *, config: Mapping[str, str] | None = None, ephemeral: bool = False
    ) -> None:
        """Create an instance from a local image's alias and start it."""

    @abstractmethod
    def create(self, image: str, name: str) -> None:
        """Create an instance and leave it stopped."""

    @abstractmethod
    def change_state(self, name: str, action: str, *, force: bool = False) -> None:
        """start, stop, restart, freeze or unfreeze."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete a stopped instance."""

    @abstractmethod
    def rename(self, name: str, new: str) -> None:
        """Rename a stopped instance."""

    @abstractmethod
    def statuses(self) -> dict[str, str]:
        """The status word of every instance, by name."""

    @abstractmethod
    def run(self, name: str, *argv: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Ran:
        """Run a command in the instance."""

    @abstractmethod
    def push(self, name: str, path: str, data: bytes) -> None:
        """Write a file in the instance."""

    @abstractmethod
    def pull(self, name: str, path: str) -> bytes:
        """Read a file of the instance."""

    @abstractmethod
    def set_config(self, name: str, key: str, value: str) -> None:
        """Set one key of the instance."""

    @abstractmethod
    def config(self, name: str) -> dict[str, str]:
        """The instance's own configuration."""

    @abstractmethod
    def import_image(self, *files: Path, alias: str) -> str:
        """Upload an image, unified or split; its fingerprint."""

    @abstractmethod
    def export_image(self, alias: str, folder: Path) -> list[Path]:
        """Download an image; its files, the metadata first."""

    @abstractmethod
    def images(self) -> dict[str, list[str]]:
        """The aliases of every image, by fingerprint."""

    @abstractmethod
    def delete_image(self, fingerprint: str) -> None:
        """Delete an image."""

    @abstractmethod
    def create_profile(self, name: str, config: Mapping[str, str]) -> None:
        """Create a profile."""

    @abstractmethod
    def profiles(self) -> list[str]:
        """The names of all profiles."""

    @abstractmethod
    def delete_profile(self, name: str) -> None:
        """Delete a profile."""

    @abstractmethod
    def create_network(self, name: str, config: Mapping[str, str]) -> None:
        """Create a bridge."""

    @abstractmethod
    def networks(self) -> list[str]:
        """The names of all networks."""

    @abstractmethod
    def delete_network(self, name: str) -> None:
        """Delete a network."""

    @abstractmethod
    def create_pool(self, name: str, driver: str) -> None:
        """Create a storage pool."""

    @abstractmethod
    def pools(self) -> dict[str, str]:
        """The driver of every storage pool, by name."""

    @abstractmethod
    def delete_pool(self, name: str) -> None:
        """Delete a storage pool."""


class Lxc(Client):
    """An `lxc` program, ours or the stock one."""

    def __init__(self, program: Path, env: Mapping[str, str], home: Path) -> None:
        self.program = program
        self._env = {**env, "LXD_CONF": str(home), "HOME": str(home), "LANG": "C.UTF-8", "TERM": "xterm"}

    def __call__(
        self, *words: str | Path, stdin: str = "", env: Mapping[str, str] | None = None, timeout_s: float = 120
    ) -> Done:
        """Run the program, whatever comes of it."""
        return processes.run([self.program, *words], env={**self._env, **(env or {})}, stdin=stdin, timeout_s=timeout_s)

    @property
    def env(self) -> dict[str, str]:
        """The environment that the program is given."""
        return dict(self._env)

    def say(self, *words: str | Path, stdin: str = "") -> str:
        """Run the program; what it printed, or ClientFailure with its error."""
        done = self(*words, stdin=stdin)
        if done.status != 0:
            raise ClientFailure(done.stderr.strip())
        return done.stdout

    def read(self, path: str) -> Any:
        """The metadata of one GET, through `lxc query`."""
        return yaml.safe_load(self.say("query", path))

    def launch(
        self, image: str, name: str, *, config: Mapping[str, str] | None = None, ephemeral: bool = False
    ) -> None:
        """Create and start."""
        flags = [word for key, value in (config or {}).items() for word in ("-c", f"{key}={value}")]
        self.say("launch", image, name, *flags, *(["--ephemeral"] if ephemeral else []))

    def create(self, image: str, name: str) -> None:
        """Create."""
        self.say("init", image, name)

    def change_state(self, name: str, action: str, *, force: bool = False) -> None:
        """Start, stop, restart, freeze, unfreeze."""
        verb = {"freeze": "pause", "unfreeze": "start"}.get(action, action)
        self.say(verb, name, *(["--force"] if force else []))

    def delete(self, name: str) -> None:
        """Delete."""
        self.say("delete", name)

    def rename(self, name: str, new: str) -> None:
        """Rename."""
        self.say("rename", name, new)

    def statuses(self) -> dict[str, str]:
        """The table's STATE column, spelt as the API spells it."""
        rows = [line.split(",") for line in self.say("list", "-c", "ns", "-f", "csv").splitlines()]
        return {name: state.capitalize() for name, state in rows}

    def run(self, name: str, *argv: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Ran:
        """Exec without a terminal."""
        flags = [f"--env={key}={value}" for key, value in (env or {}).items()]
        done = self("exec", name, *flags, "--", *argv, stdin=stdin)
        return Ran(done.status, done.stdout, done.stderr)

    def push(self, name: str, path: str, data: bytes) -> None:
        """Push from a local file."""
        with self._local(name) as local:
            local.write_bytes(data)
            self.say("file", "push", local, f"{name}{path}")

    def pull(self, name: str, path: str) -> bytes:
        """Pull to a local file."""
        with self._local(name) as local:
            self.say("file", "pull", f"{name}{path}", local)
            return local.read_bytes()

    @contextmanager
    def _local(self, name: str) -> Iterator[Path]:
        local = Path(self._env["HOME"]) / f"blob-{name}"
        try:
            yield local
        finally:
            local.unlink(missing_ok=True)

    def set_config(self, name: str, key: str, value: str) -> None:
        """Config set."""
        self.say("config", "set", name, f"{key}={value}")

    def config(self, name: str) -> dict[str, str]:
        """Config show."""
        return yaml.safe_load(self.say("config", "show", name))["config"]

    def import_image(self, *files: Path, alias: str) -> str:
        """Image import."""
        return self.say("image", "import", *files, "--alias", alias).rsplit(maxsplit=1)[-1]

    def export_image(self, alias: str, folder: Path) -> list[Path]:
        """Image export into a folder."""
        self.say("image", "export", alias, folder)
        return sorted(folder.iterdir(), key=lambda path: not path.name.startswith("meta-"))

    def images(self) -> dict[str, list[str]]:
        """Image list."""
        listing = yaml.safe_load(self.say("image", "list", "-f", "json"))
        return {image["fingerprint"]: [alias["name"] for alias in image["aliases"] or []] for image in listing}

    def delete_image(self, fingerprint: str) -> None:
        """Image delete."""
        self.say("image", "delete", fingerprint)

    def create_profile(self, name: str, config: Mapping[str, str]) -> None:
        """Profile create and set."""
        self.say("profile", "create", name)
        for key, value in config.items():
            self.say("profile", "set", name, key, value)

    def profiles(self) -> list[str]:
        """Profile list."""
        return _first_column(self.say("profile", "list", "-f", "csv"))

    def delete_profile(self, name: str) -> None:
        """Profile delete."""
        self.say("profile", "delete", name)

    def create_network(self, name: str, config: Mapping[str, str]) -> None:
        """Network create."""
        self.say("network", "create", name, *(f"{key}={value}" for key, value in config.items()))

    def networks(self) -> list[str]:
        """Network list."""
        return _first_column(self.say("network", "list", "-f", "csv"))

    def delete_network(self, name: str) -> None:
        """Network delete."""
        self.say("network", "delete", name)

    def create_pool(self, name: str, driver: str) -> None:
        """Storage create."""
        self.say("storage", "create", name, driver)

    def pools(self) -> dict[str, str]:
        """Storage list."""
        listing = yaml.safe_load(self.say("storage", "list", "-f", "json"))
        return {pool["name"]: pool["driver"] for pool in listing}

    def delete_pool(self, name: str) -> None:
        """Storage delete."""
        self.say("storage", "delete", name)


def _first_column(table: str) -> list[str]:
    return [line.partition(",")[0] for line in table.splitlines()]


class Pylxd(Client):
    """LXD's Python library."""

    def __init__(self, state: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pylxd
            from pylxd import exceptions
        self._failures = (exceptions.LXDAPIException, exceptions.ClientConnectionFailed)
        os.environ.setdefault("PYLXD_WARNINGS", "none")
        with self._refusals():
            self.client: Any = pylxd.Client(endpoint=f"http+unix://{str(state / 'unix.socket').replace('/', '%2F')}")

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except self._failures as failure:
            raise ClientFailure(str(failure)) from failure

    def _instance(self, name: str) -> Any:
        return self.client.instances.get(name)

    def launch(
        self, image: str, name: str, *, config: Mapping[str, str] | None = None, ephemeral: bool = False
    ) -> None:
        """Create, then start."""
        self._create(image, name, dict(config or {}), ephemeral=ephemeral)
        self.change_state(name, "start")

    def create(self, image: str, name: str) -> None:
        """Create."""
        self._create(image, name, {}, ephemeral=False)

    def _create(self, image: str, name: str, config: dict[str, str], *, ephemeral: bool) -> None:
        source = {"type": "image", "alias": image}
        body = {"name": name, "source": source, "config": config, "ephemeral": ephemeral, "type": "container"}
        with self._refusals():
            self.client.instances.create(body, wait=True)

    def change_state(self, name: str, action: str, *, force: bool = False) -> None:
        """Start, stop, restart, freeze, unfreeze."""
        with self._refusals():
            instance = self._instance(name)
            arguments = {"force": force, "timeout": 60} if action in ("stop", "restart") else {}
            getattr(instance, action)(wait=True, **arguments)

    def delete(self, name: str) -> None:
        """Delete."""
        with self._refusals():
            self._instance(name).delete(wait=True)

    def rename(self, name: str, new: str) -> None:
        """Rename."""
        with self._refusals():
            self._instance(name).rename(new, wait=True)

    def statuses(self) -> dict[str, str]:
        """The status of each instance."""
        with self._refusals():
            return {instance.name: instance.status for instance in self.client.instances.all(recursion=1)}

    def run(self, name: str, *argv: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Ran:
        """Execute over websockets."""
        with self._refusals():
            payload = stdin.encode() if stdin else None
            done = self._instance(name).execute(list(argv), environment=dict(env or {}), stdin_payload=payload)
        return Ran(done.exit_code, done.stdout, done.stderr)

    def push(self, name: str, path: str, data: bytes) -> None:
        """Files put."""
        with self._refusals():
            self._instance(name).files.put(path, data)

    def pull(self, name: str, path: str) -> bytes:
        """Files get."""
        with self._refusals():
            return self._instance(name).files.get(path)

    def set_config(self, name: str, key: str, value: str) -> None:
        """Save with one key changed."""
        with self._refusals():
            instance = self._instance(name)
            instance.config[key] = value
            instance.save(wait=True)

    def config(self, name: str) -> dict[str, str]:
        """The instance's own configuration."""
        with self._refusals():
            return self._instance(name).config

    def import_image(self, *files: Path, alias: str) -> str:
        """Upload; one file is a unified image, two are metadata and root file system."""
        first, *rest = [file.read_bytes() for file in files]
        with self._refusals():
            image = (
                self.client.images.create(rest[0], metadata=first, wait=True)
                if rest
                else self.client.images.create(first, wait=True)
            )
            image.add_alias(alias, "")
        return image.fingerprint

    def export_image(self, alias: str, folder: Path) -> list[Path]:
        """Download; pylxd hands out unified images only."""
        with self._refusals(), self.client.images.get_by_alias(alias).export() as stream:
            target = folder / "image"
            with target.open("wb") as out:
                shutil.copyfileobj(stream, out)
        return [target]

    def images(self) -> dict[str, list[str]]:
        """All images."""
        with self._refusals():
            return {i.fingerprint: [alias["name"] for alias in i.aliases] for i in self.client.images.all()}

    def delete_image(self, fingerprint: str) -> None:
        """Delete."""
        with self._refusals():
            self.client.images.get(fingerprint).delete(wait=True)

    def create_profile(self, name: str, config: Mapping[str, str]) -> None:
        """Create."""
        with self._refusals():
            self.client.profiles.create(name, config=dict(config))

    def profiles(self) -> list[str]:
        """All profiles."""
        with self._refusals():
            return [profile.name for profile in self.client.profiles.all()]

    def delete_profile(self, name: str) -> None:
        """Delete."""
        with self._refusals():
            self.client.profiles.get(name).delete()

    def create_network(self, name: str, config: Mapping[str, str]) -> None:
        """Create."""
        with self._refusals():
            self.client.networks.create(name, type="bridge", config=dict(config))

    def networks(self) -> list[str]:
        """All networks."""
        with self._refusals():
            return [network.name for network in self.client.networks.all()]

    def delete_network(self, name: str) -> None:
        """Delete."""
        with self._refusals():
            self.client.networks.get(name).delete()

    def create_pool(self, name: str, driver: str) -> None:
        """Create."""
        with self._refusals():
            self.client.storage_pools.create({"name": name, "driver": driver, "config": {}})

    def pools(self) -> dict[str, str]:
        """All pools."""
        with self._refusals():
            return {pool.name: pool.driver for pool in self.client.storage_pools.all()}

    def delete_pool(self, name: str) -> None:
        """Delete."""
        with self._refusals():
            self.client.storage_pools.get(name).delete()


def available() -> Sequence[str]:
    """The clients that this machine has; the stock one is missing where the distribution does not package it."""
    return ["lxc", *(["stock-lxc"] if STOCK.exists() else []), "pylxd"]
