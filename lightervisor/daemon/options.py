"""The command line of `lxd`."""

import argparse
import os
from pathlib import Path
from typing import NamedTuple

VERSION = "5.0.2"
INIT_FLAGS = {
    "auto": "no questions",
    "minimal": "no questions, the least",
    "preseed": "read YAML from standard input",
    "dump": "print the present configuration",
}
INIT_WISHES = {
    "network-address": "address of the HTTPS API",
    "network-port": "port of the HTTPS API, 8443 when not given",
    "storage-backend": "storage driver to use",
    "storage-create-device": "block device to make the pool on",
    "storage-create-loop": "GiB of the file to make the pool in",
    "storage-pool": "what the pool is made on or from",
    "trust-password": "password with which clients become trusted",
}


class Paths(NamedTuple):
    """Where the daemon keeps its state and its logs."""

    state: Path
    logs: Path

    @property
    def socket(self) -> Path:
        """The unix socket of the API."""
        return self.state / "unix.socket"


def paths() -> Paths:
    """$LXD_DIR and $LXD_LOGDIR, or LXD's own places; with LXD_DIR set, logs go below it."""
    directory = os.environ.get("LXD_DIR", "")
    state = Path(directory or "/var/lib/lxd").absolute()
    logs = os.environ.get("LXD_LOGDIR") or (str(state / "logs") if directory else "/var/log/lxd")
    return Paths(state, Path(logs).absolute())


def parser() -> argparse.ArgumentParser:
    """All commands and flags of `lxd`."""
    top = argparse.ArgumentParser(prog="lxd", description="The container manager's daemon; without a command it runs.")
    _logging(top)
    top.add_argument("--group", help="group that may use the socket")
    top.add_argument("--logfile", type=Path, help="write the log to this file too")
    top.add_argument("--syslog", action="store_true", help="accepted for LXD's sake; the journal has the log")
    top.add_argument("--version", action="version", version=VERSION)
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    init = commands.add_parser("init", help="configure the daemon")
    for flag, text in INIT_FLAGS.items():
        init.add_argument(f"--{flag}", action="store_true", help=text)
    for flag, text in INIT_WISHES.items():
        init.add_argument(f"--{flag}", default="", metavar="VALUE", help=f"{text} (with --auto)")
    waitready = commands.add_parser("waitready", help="wait until the daemon is ready")
    waitready.add_argument("-t", "--timeout", type=float, default=0, help="seconds to wait, 0 for ever")
    shutdown = commands.add_parser("shutdown", help="stop all instances, then the daemon")
    shutdown.add_argument("-t", "--timeout", type=float, default=0, help="seconds to wait, 0 for ever")
    shutdown.add_argument("-f", "--force", action="store_true", help="do not wait for running operations")
    commands.add_parser("activateifneeded", help="start the daemon when an instance needs it")
    recover = commands.add_parser("recover", help="find instances and volumes in pools that the database does not know")
    recover.add_argument("--auto", action="store_true", help="no questions; profiles and networks come back too")
    commands.add_parser("version", help="print the version")
    for command in commands.choices.values():
        _logging(command)
    return top


def _logging(command: argparse.ArgumentParser) -> None:
    command.add_argument("-d", "--debug", action="store_true", help="log requests and details")
    command.add_argument("-v", "--verbose", action="store_true", help="log what is done")
