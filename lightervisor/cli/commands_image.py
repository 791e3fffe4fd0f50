"""Declares the commands of `image`."""

from lightervisor.cli.table import Command, Flag

_IMAGE = """Manage images

Instances are made from images, and images are made from instances, imported
from files or fetched from an image server. What a launch fetched is kept for
the next one, and removed when it was not used for long.

An image is named by one of its aliases, or by its fingerprint or the
beginning of it: the sha256 of the file, or of both files of a split image."""
_LIST = """List images

A filter is a part of an alias or of the fingerprint, or <key>=<value>: a
property or field of the image, the value a regular expression for all of it.
An image is shown when every filter matches. "build:" lists the images that
the server can make itself.

The letters of --columns, commas between them allowed:

    l - Shortest alias, and how many others there are
    L - All aliases, one per line
    f - Fingerprint (12 characters)
    F - Fingerprint (whole)
    p - Whether everybody may have it
    d - Description
    a - Architecture
    t - Type
    s - Size
    u - Upload date"""
_ALIAS_LIST = """List image aliases

A filter is a part of the alias or of the image's fingerprint."""
_COPY = """Copy images between servers

With --auto-update the target keeps the image up to date; the source must be
an alias then, and public."""
_EXPORT = """Export and download images

The target is a directory (the working directory unless told) or a file name.
A split image becomes two files: <name> and <name>.root."""
_IMPORT = """Import images into the image store

A directory is packed first and needs root, as its owners are kept. A URL is
fetched by the server, and must be https."""
_PUBLISH = """Publish instances as images

The instance must be stopped, or else one of its snapshots published; --force
stops it, and starts it again. An alias that an image has already is moved to
the new one. The properties are the instance's own unless others are given;
public=true among them makes the image public."""
_EDIT_EXAMPLES = """lxc image edit <image>
    Open the properties in an editor

lxc image edit <image> < image.yaml
    Take them from a file"""

COMMANDS = (
    Command("image", summary="Manage images", long=_IMAGE),
    Command("image alias", summary="Manage image aliases"),
    Command(
        "image alias create",
        "[<remote>:]<alias> <fingerprint>",
        "image_alias:create",
        "Create aliases for existing images",
        least=2,
        most=2,
    ),
    Command(
        "image alias delete",
        "[<remote>:]<alias>",
        "image_alias:delete",
        "Delete image aliases",
        least=1,
        most=1,
        aliases=("rm",),
    ),
    Command(
        "image alias list",
        "[<remote>:] [<filters>...]",
        "image_alias:listing",
        "List image aliases",
        long=_ALIAS_LIST,
        most=None,
        aliases=("ls",),
        flags=(Flag("format", "f", "text", default="table", help="Format (csv|json|table|yaml|compact)"),),
    ),
    Command(
        "image alias rename",
        "[<remote>:]<alias> <new-name>",
        "image_alias:rename",
        "Rename aliases",
        least=2,
        most=2,
        aliases=("mv",),
    ),
    Command(
        "image copy",
        "[<remote>:]<image> <remote>:",
        "image_copy:copy",
        "Copy images between servers",
        long=_COPY,
        least=2,
        most=2,
        aliases=("cp",),
        flags=(
            Flag("alias", "", "many", help="New aliases to add to the image"),
            Flag("auto-update", help="Keep the image up to date after initial copy"),
            Flag("copy-aliases", help="Copy aliases from source"),
            Flag("mode", "", "text", default="pull", help="Transfer mode. One of pull (default), push or relay"),
            Flag("public", help="Make image public"),
            Flag("target-project", "", "text", help="Copy to a project different from the source"),
            Flag("vm", help="Copy virtual machine images"),
        ),
    ),
    Command(
        "image delete",
        "[<remote>:]<image> [[<remote>:]<image>...]",
        "image:delete",
        "Delete images",
        least=1,
        most=None,
        aliases=("rm",),
    ),
    Command(
        "image edit",
        "[<remote>:]<image>",
        "image_edit:edit",
        "Edit image properties",
        least=1,
        most=1,
        examples=_EDIT_EXAMPLES,
    ),
    Command(
        "image export",
        "[<remote>:]<image> [<target>]",
        "image_export:export",
        "Export and download images",
        long=_EXPORT,
        least=1,
        most=2,
        flags=(Flag("vm", help="Query virtual machine images"),),
    ),
    Command(
        "image get-property",
        "[<remote>:]<image> <key>",
        "image_edit:get_property",
        "Get image properties",
        least=2,
        most=2,
    ),
    Command(
        "image import",
        "<tarball>|<directory>|<URL> [<rootfs tarball>] [<remote>:] [key=value...]",
        "image_import:import_",
        "Import images into the image store",
        long=_IMPORT,
        least=1,
        most=None,
        flags=(
            Flag("alias", "", "many", help="New aliases to add to the image"),
            Flag("public", help="Make image public"),
        ),
    ),
    Command(
        "image info",
        "[<remote>:]<image>",
        "image:info",
        "Show useful information about images",
        least=1,
        most=1,
        flags=(Flag("vm", help="Query virtual machine images"),),
    ),
    Command(
        "image list",
        "[<remote>:] [<filter>...]",
        "image_list:listing",
        "List images",
        long=_LIST,
        most=None,
        aliases=("ls",),
        flags=(
            Flag("columns", "c", "text", default="lfpdatsu", help="Columns"),
            Flag("format", "f", "text", default="table", help="Format (csv|json|table|yaml|compact)"),
        ),
    ),
    Command(
        "image refresh",
        "[<remote>:]<image> [[<remote>:]<image>...]",
        "image:refresh",
        "Refresh images",
        least=1,
        most=None,
    ),
    Command(
        "image set-property",
        "[<remote>:]<image> <key> <value>",
        "image_edit:set_property",
        "Set image properties",
        least=3,
        most=3,
    ),
    Command(
        "image show",
        "[<remote>:]<image>",
        "image:show",
        "Show image properties",
        least=1,
        most=1,
        flags=(Flag("vm", help="Query virtual machine images"),),
    ),
    Command(
        "image unset-property",
        "[<remote>:]<image> <key>",
        "image_edit:unset_property",
        "Unset image properties",
        least=2,
        most=2,
    ),
    Command(
        "publish",
        "[<remote>:]<instance>[/<snapshot>] [<remote>:] [flags] [key=value...]",
        "publish:run",
        "Publish instances as images",
        long=_PUBLISH,
        least=1,
        most=None,
        flags=(
            Flag("alias", "", "many", help="New alias to define at target"),
            Flag("compression", "", "text", value="none", help="Compression algorithm to use (none for uncompressed)"),
            Flag("expire", "", "text", help="Image expiration date (format: rfc3339)"),
            Flag("force", "f", help="Stop the instance if currently running"),
            Flag("public", help="Make the image public"),
            Flag("reuse", help="Delete the image that had the alias so far, if no other alias is left to it"),
        ),
    ),
)
