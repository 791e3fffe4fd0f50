"""The `lxc` programs behind the tests' interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.harness import processes
from tests.harness.client import Client, ClientFailure, Ran
from tests.harness.processes import REPOSITORY, Done

OURS = REPOSITORY / "bin/lxc"
STOCK = Path("/usr/bin/lxc")


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

    def copy(self, source: str, name: str) -> None:
        """Copy."""
        self.say("copy", source, name)

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

    def snapshot(self, name: str, snapshot: str = "") -> None:
        """Snapshot."""
        self.say("snapshot", name, *([snapshot] if snapshot else []))

    def snapshots(self, name: str) -> list[str]:
        """What `list` shows of the instance."""
        (found,) = yaml.safe_load(self.say("list", f"^{name}$", "-f", "json"))
        return [one["name"] for one in found["snapshots"] or []]

    def restore(self, name: str, snapshot: str) -> None:
        """Restore."""
        self.say("restore", name, snapshot)

    def rename_snapshot(self, name: str, snapshot: str, new: str) -> None:
        """Rename, as a snapshot's."""
        self.say("rename", f"{name}/{snapshot}", f"{name}/{new}")

    def delete_snapshot(self, name: str, snapshot: str) -> None:
        """Delete."""
        self.say("delete", f"{name}/{snapshot}")

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
