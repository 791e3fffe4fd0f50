"""LXD's client configuration: `config.yml`, its remotes and aliases, and what `remote:name` means.

The same file, places and environment variables as LXD's own client, so both can share them. `build:` is a remote of our
own: its images do not exist yet, the local daemon builds them when they are asked for.
"""

from __future__ import annotations

from lightervisor.cli import plain_yaml
from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

LOCAL_SOCKET = "/var/lib/lxd/unix.socket"
STATIC = ("local", "ubuntu", "ubuntu-daily", "build")
# The order in which LXD writes a remote's settings.
_SETTINGS = ("addr", "auth_type", "domain", "project", "protocol", "public")


def static_remotes() -> dict[str, dict[str, Any]]:
    """The remotes that are always there and cannot be changed."""
    simplestreams = {"protocol": "simplestreams", "public": True}
    return {
        "local": {"addr": "unix://", "public": False},
        "ubuntu": {"addr": "https://cloud-images.ubuntu.com/releases", **simplestreams},
        "ubuntu-daily": {"addr": "https://cloud-images.ubuntu.com/daily", **simplestreams},
        "build": {"addr": "build:", "protocol": "build", "public": True},
    }


def later_remotes() -> dict[str, dict[str, Any]]:
    """Remotes that later versions of LXD have as static ones; who has one of that name keeps it."""
    simplestreams = {"protocol": "simplestreams", "public": True}
    return {
        "ubuntu-minimal": {"addr": "https://cloud-images.ubuntu.com/minimal/releases", **simplestreams},
        "ubuntu-minimal-daily": {"addr": "https://cloud-images.ubuntu.com/minimal/daily", **simplestreams},
    }


def first_remotes() -> dict[str, dict[str, Any]]:
    """The remotes of a user who has no configuration yet."""
    return {"images": {"addr": "https://images.linuxcontainers.org", "protocol": "simplestreams", "public": True}}


class Config:
    """The client's configuration as one object; `save` writes it back in LXD's form."""

    def __init__(
        self, folder: str, data: dict[str, Any], global_data: dict[str, Any], environ: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.aliases: dict[str, str] = dict(data.get("aliases") or {})
        self.stored_default: str = data.get("default-remote") or "local"
        self.default_remote: str = environ.get("LXD_REMOTE") or self.stored_default
        self.own_remotes: dict[str, dict[str, Any]] = dict(data.get("remotes") or {})
        self.global_remotes: dict[str, dict[str, Any]] = dict(global_data.get("remotes") or {})
        self.is_first_run = False

    @property
    def remotes(self) -> dict[str, dict[str, Any]]:
        """Every remote: the system's, over them the user's, over them the static ones."""
        remotes = {**later_remotes(), **self.global_remotes, **self.own_remotes}
        for name, settings in static_remotes().items():
            remotes[name] = {**settings, **_project_of(self.own_remotes.get(name))}
        return remotes

    def is_global(self, name: str) -> bool:
        """Whether a remote is the system administrator's."""
        return name in self.global_remotes and name not in self.own_remotes and name not in STATIC

    def is_static(self, name: str) -> bool:
        """Whether a remote is always there and cannot be changed."""
        is_own = name in self.own_remotes or name in self.global_remotes
        return name in STATIC or (name in later_remotes() and not is_own)

    def parse(self, raw: str) -> tuple[str, str]:
        """`remote:name` as (remote, name); without a colon the remote is the default one."""
        remote, colon, name = raw.partition(":")
        if not colon:
            return self.default_remote, raw
        if remote in self.remotes:
            return remote, name
        if "/" in remote:  # a snapshot's name may contain a colon
            return self.default_remote, raw
        raise CommandError(f'The remote "{remote}" doesn\'t exist')

    def remote(self, name: str) -> dict[str, Any]:
        """The settings of a remote: addr, protocol, public, auth_type, project."""
        remotes = self.remotes
        if name not in remotes:
            raise CommandError(f'The remote "{name}" doesn\'t exist')
        return remotes[name]

    def project(self, remote: str) -> str:
        """The project the user switched this remote to."""
        return str(self.remotes.get(remote, {}).get("project") or "")

    def path(self, *names: str) -> str:
        """A file in the configuration's folder."""
        return "/".join((self.folder, *names))

    def save(self) -> None:
        """Write config.yml; it is there whole or not at all."""
        import os

        from lightervisor.cli import yaml_writer

        os.makedirs(self.folder, mode=0o750, exist_ok=True)  # noqa: PTH103 - pathlib is too slow to import here
        # A static remote is written for its project only, and `local` always, as LXD does.
        kept = (name for name, own in self.own_remotes.items() if name not in STATIC or own.get("project"))
        remotes = {name: _in_order(self.remotes[name]) for name in sorted({"local", *kept})}
        data = {"default-remote": self.stored_default, "remotes": remotes, "aliases": self.aliases}
        temporary = self.path(f".config.yml.{os.getpid()}")
        with open(temporary, "w", encoding="utf-8") as file:  # noqa: PTH123 - as above
            file.write(yaml_writer.dump(data))
        os.replace(temporary, self.path("config.yml"))  # noqa: PTH105 - as above


def folder(environ: Mapping[str, str]) -> str:
    """Where the client keeps its configuration: $LXD_CONF or ~/.config/lxc."""
    return environ.get("LXD_CONF") or environ.get("HOME", "/root") + "/.config/lxc"


def load(environ: Mapping[str, str]) -> Config:
    """Read the configuration; missing files are an empty one."""
    own_folder = folder(environ)
    own = _read(own_folder + "/config.yml")
    shared = _read((environ.get("LXD_GLOBAL_CONF") or "/etc/lxc") + "/config.yml")
    config = Config(own_folder, {"remotes": first_remotes()} if own is None else own, shared or {}, environ)
    config.is_first_run = own is None
    return config


def socket_path(address: str, environ: Mapping[str, str]) -> str:
    """The socket of a `unix:` address: its own path, else $LXD_SOCKET, $LXD_DIR or the system's."""
    path = address.removeprefix("unix:").removeprefix("//")
    if path:
        return path
    if environ.get("LXD_SOCKET"):
        return environ["LXD_SOCKET"]
    return environ["LXD_DIR"] + "/unix.socket" if environ.get("LXD_DIR") else LOCAL_SOCKET


def _in_order(remote: dict[str, Any]) -> dict[str, Any]:
    known = {name: remote[name] for name in _SETTINGS if name in remote}
    return {**known, **{name: value for name, value in remote.items() if name not in known}}


def _project_of(remote: dict[str, Any] | None) -> dict[str, Any]:
    return {"project": remote["project"]} if remote and remote.get("project") else {}


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is too slow to import here
            text = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CommandError(f"Unable to read the configuration file: {error.strerror} ({path})") from error
    try:
        return plain_yaml.read(text)
    except plain_yaml.NotPlain:
        from lightervisor.cli import yaml_reader

        data = yaml_reader.load(text)
    if data is not None and not isinstance(data, dict):
        raise CommandError(f"Unable to decode the configuration: {path} is not a mapping")
    return data or {}  # pyright: ignore[reportUnknownVariableType]
