"""`lxc image info`, `show`, `delete` and `refresh`."""

from __future__ import annotations

from lightervisor.cli import formats, image_list, image_lookup, units
from lightervisor.cli.session import require
from lightervisor.client.light import url
from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

WRITABLE = ("auto_update", "properties", "public", "expires_at", "profiles")


def info(session: Session, arguments: list[str], flags: Flags) -> None:
    """Tell what an image is."""
    session.write(described(image_lookup.find(session, arguments[0], vm=flags.on("vm"))))


def described(image: dict[str, Any]) -> str:
    """The text of `lxc image info`."""
    lines = [
        f"Fingerprint: {image['fingerprint']}",
        f"Size: {image_list.size(int(image.get('size', 0)))}".rstrip(),
        f"Architecture: {image.get('architecture', '')}",
        f"Type: {image.get('type') or 'container'}",
        f"Public: {'yes' if image.get('public') else 'no'}",
        "Timestamps:",
    ]
    if units.is_set(image.get("created_at")):
        lines.append(f"    Created: {units.time(image.get('created_at'))}")
    lines += [
        f"    Uploaded: {units.time(image.get('uploaded_at'), 'never')}",
        f"    Expires: {units.time(image.get('expires_at'), 'never')}",
        f"    Last used: {units.time(image.get('last_used_at'), 'never')}",
        "Properties:",
        *(f"    {key}: {value}" for key, value in sorted(as_map(image.get("properties")).items())),
        "Aliases:",
        *(_alias(alias) for alias in as_list(image.get("aliases"))),
        f"Cached: {'yes' if image.get('cached') else 'no'}",
        f"Auto update: {'enabled' if image.get('auto_update') else 'disabled'}",
    ]
    source: dict[str, str] = as_map(image.get("update_source"))
    if source:
        lines.append("Source:")
        lines += [f"    {name}: {source.get(name.lower(), '')}" for name in ("Server", "Protocol", "Alias")]
    profiles = as_list(image.get("profiles"))
    lines.append("Profiles:" if profiles else "Profiles: []")
    lines += [f"    - {profile}" for profile in profiles]
    return "\n".join(lines) + "\n"


def _alias(alias: dict[str, str]) -> str:
    described = alias.get("description")
    return f"    - {alias['name']} ({described})" if described else f"    - {alias['name']}"


def show(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print what of an image can be changed, as YAML."""
    session.write(formats.yaml(writable(image_lookup.find(session, arguments[0], vm=flags.on("vm")))))


def writable(image: dict[str, Any]) -> dict[str, Any]:
    """The fields of an image that can be changed, in LXD's order."""
    return {field: image.get(field) for field in WRITABLE}


def delete(session: Session, arguments: list[str], flags: Flags) -> None:
    """Delete images, one after the other."""
    _ = flags
    for argument in arguments:
        found = image_lookup.stored(session, argument)
        session.run(found.server, found.server.delete(found.path))


def refresh(session: Session, arguments: list[str], flags: Flags) -> None:
    """Look for a newer version of images where they came from."""
    _ = flags
    for argument in arguments:
        found = image_lookup.stored(session, argument)
        require(found.server, "image_force_refresh")
        path = url("images", str(found.image["fingerprint"]), "refresh")
        operation = session.run(found.server, found.server.post(path, {}), "Refreshing the image")
        is_new = as_map(operation.get("metadata")).get("refreshed")
        session.say("Image refreshed successfully!" if is_new else "Image already up to date.")
