"""The names of snapshots of instances: what may be one. Which one comes next says `config/numbering.py`."""

from lightervisor.errors import Invalid

LONGEST = 255
HIDDEN = "moment "
"""How the names begin of snapshots that the daemon takes to read what runs; nobody sees them, and with this blank they
are no user's. After a crash they may lie in a pool until the next start."""


def check(name: str) -> None:
    """Raise Invalid, with LXD's texts, for what cannot be the name of a snapshot and of its directory."""
    complaint = ""
    if not name:
        complaint = "No name provided"
    elif "/" in name:
        complaint = 'Invalid snapshot name: Cannot contain "/"'
    elif any(character.isspace() for character in name):
        complaint = "Invalid instance snapshot name: Cannot contain space or / characters"
    elif name in (".", "..") or not name.isprintable():
        complaint = f"Invalid instance snapshot name: {name!r} cannot be the name of a directory"
    elif len(name.encode(errors="surrogateescape")) > LONGEST:
        complaint = f"Invalid instance snapshot name: Longer than {LONGEST} bytes"
    if complaint:
        raise Invalid("snapshot", name, text=complaint, remedy="use letters, digits, dots, dashes and underscores")
