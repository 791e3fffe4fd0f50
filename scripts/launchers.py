"""Write the programs (lxd, lxc, lxd-simplestreams) for a tree that holds the package and its virtual environment.

The client's interpreter is the base one with -IS: no site, no environment, no working directory in the path. That
halves the start of `lxc`; what a command needs beyond the standard library is found through SITE_PACKAGES, which
the client appends to its path when it first needs it.
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
from pathlib import Path

CLIENT = """\
#!{python} -IS
import sys

sys.path.insert(0, {root!r})
SITE_PACKAGES = {site!r}

if __name__ == "__main__":
    from lightervisor.cli.main import main

    sys.exit(main())
"""
SERVER = """\
#!{python} -I
import sys

sys.path.insert(0, {root!r})

if __name__ == "__main__":
    from lightervisor.{module} import main

    sys.exit(main())
"""
SERVERS = {"lxd": "daemon.main", "lxd-simplestreams": "simplestreams.command"}


def replace(path: Path, text: str) -> None:
    """Put an executable script in place, whole, unless it is there already: programs may be running from it."""
    if path.exists() and path.read_text() == text:
        return
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.chmod(0o755)
    fresh.replace(path)


def main() -> None:
    """Read the arguments, write the programs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="where the package and .venv will be found")
    parser.add_argument("--to", type=Path, required=True, help="the folder that gets them")
    arguments = parser.parse_args()
    root = str(arguments.root)
    venv = Path(root) / ".venv"
    site = sysconfig.get_path("purelib", vars={"base": str(venv), "platbase": str(venv)})
    base = str(Path(sys.executable).resolve())
    replace(arguments.to / "lxc", CLIENT.format(python=base, root=root, site=site))
    for name, module in SERVERS.items():
        replace(arguments.to / name, SERVER.format(python=venv / "bin/python", root=root, module=module))


main()
