"""Candidates for a command's arguments and flags: what stands in its usage line says what fits."""

from __future__ import annotations

from lightervisor.cli.complete_names import Names
from lightervisor.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lightervisor.cli.session import Session
    from lightervisor.cli.table import Command, Flag

    Found = list[tuple[str, str]]
    Finder = Callable[[Names, str], Found]

FILES, NO_FILES = 0, 4
FILE_KINDS = frozenset(
    (
        *("<source path>", "<target path>", "<path>", "<cert>", "<cert.crt>", "<cert.key>", "<backup file>"),
        *("<tarball>|<directory>|<URL>", "<rootfs tarball>", "target", "<target>"),
    )
)
# Arguments that name what does not exist yet: by command, the argument's position.
_NEW = {
    "alias add": 0,
    "cluster group create": 0,
    "config template create": 1,
    "image alias create": 0,
    "network acl create": 0,
    "network create": 0,
    "network forward create": 1,
    "network peer create": 1,
    "network zone create": 0,
    "network zone record create": 1,
    "profile copy": 1,
    "profile create": 0,
    "project create": 0,
    "rename": 1,
    "storage create": 0,
    "storage volume create": 1,
    "move": 1,
    "storage volume copy": 1,
    "storage volume move": 1,
}
# A command works on instances that are in such a state.
_STATES = {
    "start": ("Stopped", "Frozen"),
    "stop": ("Running", "Ready", "Frozen", "Error"),
    "restart": ("Running", "Ready"),
    "pause": ("Running", "Ready"),
    "exec": ("Running", "Ready"),
    "console": ("Running", "Ready"),
}
KINDS: dict[str, Finder] = {
    "": lambda names, word: names.remotes(word),
    "<remote>:": lambda names, word: names.remotes(word),
    "<destination>": lambda names, word: names.remotes(word),
    "<remote>": lambda names, _: names.remote_names(),
    "<instance>": lambda names, _: names.instances(_STATES.get(names.command, ())),
    "<instance>/<snapshot>": lambda names, word: names.instances_and_snapshots(word),
    "<source>/<snapshot>": lambda names, word: names.instances_and_snapshots(word),
    "<instance>/<path>": lambda names, word: names.guest_paths(word),
    "<snapshot>": lambda names, _: names.snapshots(),
    "<image>": lambda names, word: names.images(word),
    "<profile>": lambda names, _: names.of("profiles"),
    "<profiles>": lambda names, word: names.list_of("profiles", word),
    "<network>": lambda names, _: names.of("networks"),
    "<pool>": lambda names, _: names.of("storage-pools"),
    "<pool>/<volume>": lambda names, word: names.pools_and_volumes(word),
    "<pool>/<volume>/<snapshot>": lambda names, word: names.pools_and_volumes(word),
    "<volume>": lambda names, _: names.volumes(),
    "<volume>/<snapshot>": lambda names, _: names.volumes(),
    "<project>": lambda names, _: names.of("projects"),
    "<operation>": lambda names, _: names.operations(),
    "<warning-uuid>": lambda names, _: names.warnings(),
    "<API path>": lambda names, word: names.api_paths(word),
    "<ACL>": lambda names, _: names.of("network-acls"),
    "<Zone>": lambda names, _: names.of("network-zones"),
    "<zone>": lambda names, _: names.of("network-zones"),
    "<record>": lambda names, _: names.below("network-zones", "records"),
    "<listen_address>": lambda names, _: names.below("networks", "forwards"),
    "<peer_name>": lambda names, _: names.below("networks", "peers"),
    "<peer name>": lambda names, _: names.below("networks", "peers"),
    "<member>": lambda names, _: names.of("cluster", "members"),
    "<cluster member>": lambda names, _: names.of("cluster", "members"),
    "<group>": lambda names, _: names.of("cluster", "groups"),
    "<driver>": lambda names, _: names.drivers(),
    "<direction>": lambda _names, _: [("ingress", ""), ("egress", "")],
    "<protocol>": lambda _names, _: [("tcp", ""), ("udp", "")],
    "<alias>": lambda names, _: names.aliases(),
    "<old alias>": lambda names, _: names.aliases(),
    "<fingerprint>": lambda names, _: names.fingerprints(),
    "<device>": lambda names, _: names.devices(),
    "<device name>": lambda names, _: names.devices() if names.command.endswith(("detach", "detach-profile")) else [],
    "<name>": lambda names, _: names.devices() if names.command.endswith("device remove") else [],
    "<template>": lambda names, _: names.templates(),
    "<type>": lambda names, _: names.device_types(),
    "<key>": lambda names, _: names.keys(),
    "<key>=<value>": lambda names, word: names.settings(word),
    "<key><value>": lambda names, word: names.settings(word),
    "key=value": lambda names, word: names.settings(word),
    "<shell>": lambda _names, _: [("bash", ""), ("fish", ""), ("zsh", "")],
}
_REMOTES = frozenset(("", "<remote>:", "<destination>"))
_FLAG_KINDS = {
    "project": "<project>",
    "target-project": "<project>",
    "profile": "<profile>",
    "network": "<network>",
    "storage": "<pool>",
    "target": "<member>",
    "destination-target": "<member>",
}
_FLAG_VALUES = {
    "compression": ("bzip2", "gzip", "lz4", "lzma", "none", "xz", "zstd"),
    "console": ("console", "vga"),
    "loglevel": ("debug", "error", "info", "trace", "warn"),
    "protocol": ("lxd", "simplestreams"),
    "request": ("DELETE", "GET", "PATCH", "POST", "PUT"),
    "auth-type": ("candid", "tls"),
    "wait": ("cloud-init", "ip", "ipv4", "ipv6", "ready", "tcp:"),
    "for": ("cloud-init", "ip", "ipv4", "ipv6", "ready", "running", "stopped", "tcp:"),
}
_TYPES = {
    "monitor": ("lifecycle", "logging", "operation"),
    "config trust add": ("client", "metrics"),
    "storage volume create": ("block", "filesystem"),
    "network create": ("bridge", "macvlan", "ovn", "physical", "sriov"),
    "console": ("console", "vga"),
}
_MODES = {"exec": ("auto", "interactive", "non-interactive")}
_TRANSFER = ("pull", "push", "relay")


class Place:
    """One argument of a usage line: the kind of what fits, and whether a remote may stand before it."""

    __slots__ = ("has_remote", "is_repeated", "kind")

    def __init__(self, token: str) -> None:
        inner = token.replace("<remote:>", "<remote>:")
        self.is_repeated = inner.rstrip("]").endswith("...")
        plain = inner.replace("[", "").replace("]", "").replace("...", "")
        self.has_remote = plain.startswith("<remote>:") and "[<remote>:]" in inner
        self.kind = plain.removeprefix("<remote>:") if self.has_remote else plain


def places(usage: str) -> list[Place]:
    """The arguments of a usage line; what is in angle brackets may hold blanks."""
    tokens: list[str] = []
    depth, start = 0, True
    for char in usage:
        if char == " " and depth == 0:
            start = True
            continue
        depth += (char in "<[") - (char in ">]")
        if start:
            tokens.append("")
            start = False
        tokens[-1] += char
    return [Place(token) for token in tokens if token not in ("[flags]", "[--]") and not token.startswith("[--")]


def candidates(session: Session, command: Command, arguments: Sequence[str], word: str) -> tuple[Found, int]:
    """What fits at the cursor, and whether files do."""
    index, all_places = len(arguments), places(command.usage)
    if command.words[:1] == ("config",) and command.words[-1] in ("get", "set", "unset") and len(command.words) == 2:
        return _config_argument(session, command, arguments, word), NO_FILES
    hint = NO_FILES
    if len(all_places) > 1 and not all_places[0].kind:
        # A remote may be left out: its place is then the next one's.
        if index == 0 and all_places[1].kind in FILE_KINDS:
            hint = FILES
        elif index and not arguments[0].endswith(":"):
            index += 1
    place = _at(all_places, index)
    if place is None:
        return [], NO_FILES
    if place.kind in FILE_KINDS:
        return [], FILES
    return _fitting(session, command, arguments, word, place, is_new=_NEW.get(_name(command)) == index), hint


def _at(all_places: list[Place], index: int) -> Place | None:
    """The argument that stands there; one that repeats has no end."""
    if index < len(all_places):
        return all_places[index]
    return next((place for place in reversed(all_places) if place.is_repeated), None)


def _config_argument(session: Session, command: Command, arguments: Sequence[str], word: str) -> Found:
    """`config set [instance] key=value`: an instance or, in its place, a key of the server."""
    names = Names(session, command, list(arguments))
    if not arguments:
        keys = names.server_settings(word) if command.words[-1] == "set" else names.server_keys()
        instances = _fitting(session, command, arguments, word, Place("[<remote>:]<instance>"))
        return instances + [one for one in keys if one[0].startswith(word)]
    if arguments[0].endswith(":") or "." in arguments[0] or "=" in arguments[0]:
        keys = names.server_settings(word) if command.words[-1] == "set" else names.server_keys()
    else:
        keys = names.settings(word) if command.words[-1] == "set" else names.keys()
    return [one for one in keys if one[0].startswith(word)]


def _fitting(
    session: Session, command: Command, arguments: Sequence[str], word: str, place: Place, *, is_new: bool = False
) -> Found:
    remote, colon, rest = word.partition(":") if place.has_remote and not word.startswith("/") else ("", "", word)
    rest = rest if colon else word
    found: Found = []
    finder = None if is_new else KINDS.get(place.kind)
    if not colon and place.has_remote and place.kind not in _REMOTES:
        found += Names(session, command, []).remotes(word, for_images=place.kind == "<image>")
    if finder is not None and not (colon and place.kind in _REMOTES):
        head = f"{remote}:" if colon else ""
        try:
            names = Names(session, command, list(arguments), remote=remote if colon else None)
            found += [(head + text, description) for text, description in finder(names, rest)]
        except (Failure, OSError, LookupError):
            pass  # the remotes are known without the server
    taken = {argument for argument in arguments if place.is_repeated}
    return [one for one in found if one[0].startswith(word) and one[0] not in taken]


def flag_values(
    session: Session, command: Command | None, arguments: Sequence[str], flag: Flag, word: str
) -> tuple[Found, int]:
    """The values a flag can have."""
    name = _name(command) if command else ""
    fixed = _fixed(name, flag)
    if fixed:
        return [(value, "") for value in fixed if value.startswith(word)], NO_FILES
    names = Names(session, command, list(arguments))
    if flag.name == "config":
        return [one for one in names.key_settings("instance", word) if one[0].startswith(word)], NO_FILES
    kind = _FLAG_KINDS.get(flag.name)
    if kind is None:
        return [], NO_FILES
    return [one for one in KINDS[kind](names, word) if one[0].startswith(word)], NO_FILES


def _fixed(command: str, flag: Flag) -> tuple[str, ...]:
    if flag.name == "type":
        return _TYPES.get(command, ())
    if flag.name == "mode":
        return _MODES.get(command, () if command == "file push" else _TRANSFER)
    if flag.name == "format" and "(" in flag.help:
        return tuple(flag.help.partition("(")[2].partition(")")[0].split("|"))
    return _FLAG_VALUES.get(flag.name, ())


def _name(command: Command) -> str:
    return " ".join(command.words)
