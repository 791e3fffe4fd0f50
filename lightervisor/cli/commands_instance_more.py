"""Declares the commands about instances that LXD 5.0 does not have: rebuild and wait."""

from lightervisor.cli.table import Command, Flag

_REBUILD = """\
Rebuild instances

The files of a stopped instance are replaced by those of an image, or by none (--empty <instance>). Its configuration,
its devices and its snapshots stay."""
_WAIT = """\
Wait for instances

What is waited for (--for) is one or several of these, with commas between them:
  ip, ipv4, ipv6  it has an address that others reach
  tcp:PORT        something in it listens there, not only for itself
  cloud-init      cloud-init is done; that it ended with errors is an error
  ready           the instance says that it is ready, through /dev/lxd/sock
  running         it runs
  stopped         it does not

The exit status is 0 when all of it came true, 124 when the time was over and 1 when it cannot come true, for example as
the instance has stopped. What is missing is told with the last lines of its console."""
_WAIT_EXAMPLES = """\
lxc wait web --for=tcp:80 --timeout=60
lxc launch ubuntu:24.04 web --wait=cloud-init,ip"""

COMMANDS = (
    Command(
        "rebuild",
        "[<remote>:]<image> [<remote>:]<instance>",
        "rebuild:run",
        "Rebuild instances",
        least=1,
        most=2,
        long=_REBUILD,
        flags=(
            Flag("empty", help="Rebuild as an empty instance"),
            Flag("force", "f", help="If an instance is running, stop it and then rebuild it"),
        ),
    ),
    Command(
        "wait",
        "[<remote>:]<instance>",
        "wait:run",
        "Wait for instances",
        least=1,
        most=1,
        long=_WAIT,
        examples=_WAIT_EXAMPLES,
        flags=(
            Flag("for", "", "text", default="ip", help="What to wait for, several with commas between them"),
            Flag("timeout", "", "number", default="300", help="Seconds to wait (-1 for no limit)"),
        ),
    ),
)
