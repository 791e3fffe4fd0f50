"""Names for completion, asked of the server: few, small requests, nothing that changes anything."""

from __future__ import annotations

from lightervisor.client.light import url
from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from lightervisor.cli.session import Session
    from lightervisor.cli.table import Command
    from lightervisor.client.light import Server

    Found = list[tuple[str, str]]

_SHORT = 12
# Where the objects of a command's family are.
_OWNERS = {
    "config": ("instances",),
    "profile": ("profiles",),
    "network": ("networks",),
    "network acl": ("network-acls",),
    "network zone": ("network-zones",),
    "project": ("projects",),
    "storage": ("storage-pools",),
    "image": ("images",),
}
_ROOTS = (
    *("certificates", "cluster", "events", "images", "instances", "metadata", "network-acls", "network-zones"),
    *("networks", "operations", "profiles", "projects", "resources", "storage-pools", "warnings"),
)


class Names:
    """What a server has, seen from one argument of a command; `arguments` are those before it."""

    def __init__(
        self, session: Session, command: Command | None, arguments: list[str], *, remote: str | None = None
    ) -> None:
        self._session, self._arguments = session, arguments
        words = command.words if command else ()
        self.command, self._group = " ".join(words), words[:-1]
        self._remote = remote if remote is not None else self._parsed(0)[0]

    def _parsed(self, index: int) -> tuple[str, str]:
        """The remote and the name of an argument before this one."""
        if index >= len(self._arguments):
            return self._session.config.default_remote, ""
        return self._session.parse(self._arguments[index])

    @property
    def _server(self) -> Server:
        return self._session.server(self._remote, for_images=True)

    def of(self, *collection: str) -> Found:
        """The names in a collection."""
        return [(last_of(path), "") for path in as_list(self._server.get(url(*collection)))]

    def below(self, collection: str, inner: str) -> Found:
        """The names in a collection of the object that the first argument names."""
        return self.of(collection, self._parsed(0)[1], inner)

    def list_of(self, collection: str, word: str) -> Found:
        """The names that can stand at the end of a list with commas."""
        head, comma, _ = word.rpartition(",")
        taken = head.split(",")
        return [(head + comma + name, text) for name, text in self.of(collection) if name not in taken]

    def remotes(self, word: str, *, for_images: bool = False) -> Found:
        """Remotes with their colon: servers, or all of them where an image is wanted.

        The default one is left out unless it is being typed: it goes without saying.
        """
        config = self._session.config
        usable = [n for n, s in config.remotes.items() if for_images or s.get("protocol", "lxd") == "lxd"]
        shown = [name for name in sorted(usable) if word or name != config.default_remote]
        return [(f"{name}:", str(config.remotes[name].get("addr", ""))) for name in shown]

    def remote_names(self) -> Found:
        """Every remote."""
        remotes = self._session.config.remotes
        return [(name, str(remotes[name].get("addr", ""))) for name in sorted(remotes)]

    def aliases(self) -> Found:
        """The user's own commands, or the aliases of images."""
        if self._group == ("alias",):
            return sorted(self._session.config.aliases.items())
        return [(last_of(path), "") for path in as_list(self._server.get(url("images", "aliases")))]

    def instances(self, states: Sequence[str]) -> Found:
        """Instances, of some states where that matters."""
        if not states:
            return self.of("instances")
        instances = as_list(self._server.get(url("instances", recursion=1)))
        return [(str(one["name"]), str(one["status"])) for one in instances if one["status"] in states]

    def instances_and_snapshots(self, word: str) -> Found:
        """Instances; behind a slash the snapshots of one."""
        name, slash, _ = word.partition("/")
        if not slash:
            return self.of("instances")
        return [(f"{name}/{snapshot}", text) for snapshot, text in self.of("instances", name, "snapshots")]

    def snapshots(self) -> Found:
        """The snapshots of the instance (or of the volume) that is named before."""
        if self._group == ("storage", "volume"):
            return self.of("storage-pools", self._parsed(0)[1], "volumes", "custom", self._arguments[1], "snapshots")
        return self.below("instances", "snapshots")

    def guest_paths(self, word: str) -> Found:
        """Files of an instance."""
        name, slash, path = word.partition("/")
        if not slash:
            return [(f"{one}/", "") for one, _ in self.of("instances")]
        folder = path.rpartition("/")[0]
        entries = as_list(self._server.get(url("instances", name, "files", path=f"/{folder}")))
        head = f"{name}/{folder}/" if folder else f"{name}/"
        return [(head + str(entry), "") for entry in entries]

    def images(self, word: str) -> Found:
        """Aliases of images, and fingerprints to who begins to type one; of image servers what was read before."""
        from lightervisor.cli import image_lookup

        if self._session.config.remote(self._remote).get("protocol") == image_lookup.STREAMS:
            images = image_lookup.image_server(self._session, self._remote).remembered()
        else:
            images = image_lookup.images(self._session, self._remote)
        found: Found = []
        for image in images:
            text = str(as_map(image.get("properties")).get("description", ""))
            names = image_lookup.aliases(image)
            found += [(name, text) for name in names]
            if word or not names:
                found.append((str(image["fingerprint"])[:_SHORT], text))
        return found

    def fingerprints(self) -> Found:
        """Certificates, or images where an alias gets one."""
        if self._group == ("config", "trust"):
            certificates = as_list(self._server.get(url("certificates", recursion=1)))
            return [(str(one["fingerprint"])[:_SHORT], str(one.get("name", ""))) for one in certificates]
        return [(last_of(path)[:_SHORT], "") for path in as_list(self._server.get(url("images")))]

    def volumes(self) -> Found:
        """The custom volumes of the pool that is named before."""
        return self.of("storage-pools", self._parsed(0)[1], "volumes", "custom")

    def pools_and_volumes(self, word: str) -> Found:
        """`pool/volume`."""
        pool, slash, _ = word.partition("/")
        if not slash:
            return [(f"{name}/", "") for name, _ in self.of("storage-pools")]
        return [(f"{pool}/{name}", "") for name, _ in self.of("storage-pools", pool, "volumes", "custom")]

    def operations(self) -> Found:
        """What runs."""
        by_status = as_map(self._server.get(url("operations", recursion=1)))
        return [(str(one["id"]), str(one["description"])) for found in by_status.values() for one in found]

    def warnings(self) -> Found:
        """Warnings, whatever their status."""
        return [(str(one["uuid"]), str(one["type"])) for one in as_list(self._server.get(url("warnings", recursion=1)))]

    def api_paths(self, word: str) -> Found:
        """What the API lists below the path so far."""
        folder = word.rpartition("/")[0]
        if folder in ("", "/1.0"):
            return [(f"/1.0/{root}", "") for root in _ROOTS]
        listed: Any = self._server.get(folder)
        return [(str(path).partition("?")[0], "") for path in listed if str(path).startswith("/")]

    def drivers(self) -> Found:
        """The storage drivers that this server can use."""
        environment = as_map(self._server.info().get("environment"))
        return [(str(one["Name"]), "") for one in as_list(environment.get("storage_supported_drivers"))]

    def devices(self) -> Found:
        """The devices of the instance or profile that is named."""
        devices = as_map(self._device_owner().get("devices"))
        return [(name, str(device.get("type", ""))) for name, device in sorted(devices.items())]

    def _device_owner(self) -> dict[str, Any]:
        place = {"network": 1, "storage volume": 2}.get(" ".join(self._group), 0)
        name = self._parsed(place)[1]
        is_profile = self._group[:1] == ("profile",) or self.command.endswith("-profile")
        return self._server.get(url("profiles" if is_profile else "instances", name))

    def templates(self) -> Found:
        """The templates of an instance."""
        paths = as_list(self._server.get(url("instances", self._parsed(0)[1], "metadata", "templates")))
        return [(last_of(path), "") for path in paths]

    def device_types(self) -> Found:
        """The types of devices that the server describes."""
        sections = as_map(self._described()).keys()
        types = {name.removeprefix("device-").partition(".")[0] for name in sections if name.startswith("device-")}
        return [(name, "") for name in sorted({*types, "none"})]

    def keys(self) -> Found:
        """The keys that the object has."""
        if self._group[-1:] == ("device",):
            device = as_map(as_map(self._device_owner().get("devices")).get(self._arguments[1]))
            return [(key, "") for key in sorted(device)]
        owner = self._owner()
        config = owner.get("properties" if self._group == ("image",) else "config")
        return [(key, "") for key in sorted(as_map(config))]

    def settings(self, word: str) -> Found:
        """`key=` for each key the object can have; behind a switch's `=` its two values."""
        return self.key_settings(self._section(), word)

    def server_keys(self) -> Found:
        """The keys that the server has."""
        return [(key, "") for key in sorted(as_map(self._server.get("/1.0").get("config")))]

    def server_settings(self, word: str) -> Found:
        """`key=` for each key of the server."""
        return self.key_settings("server", word)

    def key_settings(self, section: str, word: str) -> Found:
        """`key=` for each key of the sections whose name begins so."""
        found: dict[str, dict[str, str]] = {}
        for name, groups in self._described().items():
            if section and (name == section or name.startswith(f"{section}.")):
                for group in groups.values():
                    for entry in group["keys"]:
                        found.update(entry)
        key, equals, _ = word.partition("=")
        if equals:
            return [(f"{key}={value}", "") for value in ("true", "false")] if _is_switch(found.get(key)) else []
        return [(f"{name}=", str(found[name].get("shortdesc", ""))) for name in sorted(found)]

    def _section(self) -> str:
        """Where the server describes the keys of what this command configures."""
        if self._group[-1:] == ("device",):
            return self._device_section()
        group = " ".join(self._group)
        fixed = {"config": "instance", "profile": "instance"}.get(group)
        if fixed is None and self.command.endswith("create"):
            fixed = {"storage": f"storage-{self._arguments[-1]}", "network": "network-bridge"}.get(group)
        if fixed is None and group in ("storage", "network"):
            fixed = f"{group}-{self._owner()['driver' if group == 'storage' else 'type']}"
        return fixed or group.replace(" ", "-")

    def _device_section(self) -> str:
        if self.command.endswith("add"):
            return f"device-{self._arguments[2]}"
        owner = self._device_owner()
        devices = {**as_map(owner.get("expanded_devices")), **as_map(owner.get("devices"))}
        return f"device-{devices[self._arguments[1]]['type']}"

    def _owner(self) -> dict[str, Any]:
        collection = _OWNERS[" ".join(self._group)]
        return self._server.get(url(*collection, self._parsed(0)[1]))

    def _described(self) -> dict[str, Any]:
        return as_map(as_map(self._server.get(url("metadata", "configuration"))).get("configs"))


def _is_switch(described: dict[str, str] | None) -> bool:
    return described is not None and described.get("type") == "bool"


def last_of(path: object) -> str:
    """The name at the end of an API path."""
    return unquote(str(path).partition("?")[0].rpartition("/")[2])


def unquote(text: str) -> str:
    """Percent-decoded text."""
    if "%" not in text:
        return text
    head, *parts = text.encode().split(b"%")
    out = head
    for part in parts:
        out += bytes((int(part[:2], 16),)) + part[2:]
    return out.decode(errors="replace")
