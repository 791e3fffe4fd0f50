"""`lxd-simplestreams`: keeps an image server's folder, the working directory. Source: incus-simplestreams(1)."""

import argparse
import io
import lzma
import sys
import tarfile
import time
from pathlib import Path

import yaml

from lightervisor.cli import formats
from lightervisor.client.light_json import as_map
from lightervisor.config import architectures
from lightervisor.errors import Failure, Invalid
from lightervisor.simplestreams.tree import Tree, Wishes

_ADD = """Add an image to the folder: one file with metadata.yaml and rootfs/, or a metadata tarball and a root file
system (squashfs or .tar.xz) or disk (qcow2). metadata.yaml names os, release, variant and architecture; the
product and the alias os/release/variant are made of these unless told otherwise."""
_HEADER = ("FINGERPRINT", "DESCRIPTION", "OS", "RELEASE", "VARIANT", "ARCHITECTURE", "TYPE", "CREATED")


def main() -> int:
    """Run `lxd-simplestreams` with the process's arguments; the exit status."""
    options = parser().parse_args()
    try:
        return run(options, Tree(Path()))
    except Failure as failure:
        sys.stderr.write(f"Error: {failure.message()}\n")
    except OSError as error:
        sys.stderr.write(f"Error: open {error.filename}: {(error.strerror or str(error)).lower()}\n")
    except KeyboardInterrupt:
        return 130
    return 1


def parser() -> argparse.ArgumentParser:
    """All commands and flags."""
    about = "Keep a folder that any static web server makes an image server of: the working directory."
    top = argparse.ArgumentParser(prog="lxd-simplestreams", description=about)
    top.add_argument("--version", action="version", version="5.0.2")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    add = commands.add_parser("add", aliases=["import"], help="add an image", description=_ADD)
    add.add_argument("metadata", type=Path, help="metadata tarball, or a whole image")
    add.add_argument("data", type=Path, nargs="?", help="root file system or disk")
    add.add_argument("--alias", action="append", default=[], help="add an alias; may be given several times")
    add.add_argument("--no-default-alias", action="store_true", help="do not add the alias os/release/variant")
    add.add_argument("--product-name", default="", help="instead of os:release:variant:architecture")
    listing = commands.add_parser("list", help="list all images")
    listing.add_argument("-f", "--format", default="table", help="csv, json, table, yaml or compact")
    prune = commands.add_parser("prune", help="remove old versions, and files that are not listed")
    prune.add_argument("-d", "--dry-run", action="store_true", help="only tell what would be removed")
    prune.add_argument("-r", "--retention", type=_count, default=2, help="how many older versions stay, 2 unless given")
    prune.add_argument("-v", "--verbose", action="store_true", help="tell what is removed")
    remove = commands.add_parser("remove", help="remove an image")
    remove.add_argument("fingerprint", help="the fingerprint, or its beginning")
    commands.add_parser("verify", help="read every file and compare it with what is listed")
    generate = commands.add_parser("generate-metadata", help="make a metadata tarball by answering questions")
    generate.add_argument("path", type=Path, help="where to write it")
    return top


def _count(text: str) -> int:
    """A number that is not negative. Raises ValueError."""
    count = int(text)
    if count < 0:
        raise ValueError
    return count


def run(options: argparse.Namespace, tree: Tree) -> int:
    """Carry a command out; the exit status. Raises Failure, OSError."""
    match options.command:
        case "list":
            sys.stdout.write(listed(tree, options.format))
        case "prune":
            removed = tree.prune(options.retention, is_trial=options.dry_run)
            if options.verbose or options.dry_run:
                sys.stdout.write("".join(f"{line}\n" for line in removed))
        case "remove":
            tree.remove(options.fingerprint)
        case "verify":
            problems = tree.problems()
            sys.stderr.write("".join(f"Error: {problem}\n" for problem in problems))
            return 1 if problems else 0
        case "generate-metadata":
            generate(options.path)
        case _:
            wishes = Wishes(options.alias, not options.no_default_alias, options.product_name)
            fingerprint = tree.add(options.metadata, options.data, wishes)
            sys.stdout.write(f"Image added with fingerprint: {fingerprint}\n")
    return 0


def listed(tree: Tree, form: str) -> str:
    """The images in one of the formats of `lxc image list`."""
    images = tree.images()
    rows: list[list[str]] = []
    for image in images:
        properties = as_map(image["properties"])
        facts = [str(properties.get(key, "")) for key in ("description", "os", "release", "variant")]
        created = str(image["created_at"])[:16].replace("-", "/").replace("T", " ") + " UTC"
        rows.append([str(image["fingerprint"]), *facts, str(image["architecture"]), str(image["type"]), created])
    raw = [{key: value for key, value in image.items() if key != "files"} for image in images]
    return formats.render(form, _HEADER, formats.sort_rows(rows), raw)


def generate(path: Path) -> None:
    """Ask for what metadata.yaml says and write a tarball with it. Raises Invalid."""
    now = int(time.time())
    system, release = _ask("Operating system name: "), _ask("Release name: ")
    variant = _ask('Variant name [default="default"]: ', "default")
    word = _ask("Architecture name: ")
    architecture = architectures.name_of(word)
    serial = time.strftime("%Y%m%d%H%M", time.gmtime(now))
    default = f"{system} {release} ({variant}) ({word}) ({serial})"
    properties = {"os": system, "release": release, "variant": variant, "architecture": word}
    properties["description"] = _ask(f'Description [default="{default}"]: ', default)
    content = {"architecture": architecture, "creation_date": now, "properties": properties}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode()
    member = tarfile.TarInfo("metadata.yaml")
    member.size, member.mtime, member.mode, member.uname, member.gname = len(text), now, 0o644, "root", "root"
    packed = io.BytesIO()
    with lzma.open(packed, "wb") as compressed, tarfile.open(fileobj=compressed, mode="w") as archive:
        archive.addfile(member, io.BytesIO(text))
    path.write_bytes(packed.getvalue())


def _ask(question: str, default: str = "") -> str:
    """An answer, or the default for an empty one. Raises Invalid when there is neither."""
    sys.stdout.write(question)
    sys.stdout.flush()
    line = sys.stdin.readline()
    answer = line.strip() or default
    if not answer:
        raise Invalid("answer", cause="it is empty", remedy=f"asked was {question.strip()!r}")
    return answer
