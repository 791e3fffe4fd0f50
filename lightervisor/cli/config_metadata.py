"""`lxc config metadata`: an instance's metadata.yaml."""

from __future__ import annotations

from lightervisor.cli import editor, formats
from lightervisor.client.light import url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

_HELP = """\
### This is a YAML representation of the instance metadata.
### Any line starting with a '# will be ignored.
###
### A sample configuration looks like:
###
### architecture: x86_64
### creation_date: 1477146654
### expiry_date: 0
### properties:
###   architecture: x86_64
###   description: BusyBox x86_64
###   name: busybox-x86_64
###   os: BusyBox
### templates:
###   /template:
###     when:
###     - ""
###     create_only: false
###     template: template.tpl
###     properties: {}

"""


def show(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print the metadata as YAML."""
    _ = flags
    server, name = session.resolve_name(arguments[0])
    session.write(formats.yaml(server.get(url("instances", name, "metadata"))))


def edit(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change the metadata as YAML."""
    _ = flags
    server, name = session.resolve_name(arguments[0])
    path, etag, text = url("instances", name, "metadata"), "", ""
    if session.has_terminal():
        metadata, etag = server.fetch(path)
        text = _HELP + formats.yaml(metadata)

    def apply(content: str) -> None:
        from lightervisor.cli import yaml_reader

        server.put(path, yaml_reader.load_mapping(content), etag)

    editor.edit(session, text, apply)
