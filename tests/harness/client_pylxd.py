"""pylxd behind the tests' interface."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.harness.client import Client, ClientFailure, Ran


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

    def copy(self, source: str, name: str) -> None:
        """Create with a source; what pylxd calls a migration goes between servers only."""
        with self._refusals():
            made = {"name": name, "source": {"type": "copy", "source": source}}
            self.client.instances.create(made, wait=True)

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

    def snapshot(self, name: str, snapshot: str = "") -> None:
        """Of the instance's collection."""
        with self._refusals():
            if snapshot:
                self._instance(name).snapshots.create(snapshot, stateful=False, wait=True)
            else:  # pylxd wants a name
                answer = self.client.api.instances[name].snapshots.post(json={"stateful": False})
                self.client.operations.wait_for_operation(answer.json()["operation"])

    def snapshots(self, name: str) -> list[str]:
        """Of the instance's collection."""
        with self._refusals():
            return [one.name for one in self._instance(name).snapshots.all()]

    def restore(self, name: str, snapshot: str) -> None:
        """By the instance."""
        with self._refusals():
            self._instance(name).restore_snapshot(snapshot, wait=True)

    def rename_snapshot(self, name: str, snapshot: str, new: str) -> None:
        """By the snapshot."""
        with self._refusals():
            self._instance(name).snapshots.get(snapshot).rename(new, wait=True)

    def delete_snapshot(self, name: str, snapshot: str) -> None:
        """By the snapshot."""
        with self._refusals():
            self._instance(name).snapshots.get(snapshot).delete(wait=True)

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
