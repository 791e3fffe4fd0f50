"""`lxc`: expand aliases, find the command, run its handler, turn failures into `Error: …` and an exit status."""

from __future__ import annotations

import gc
import posix
import sys

from lightervisor.cli import aliases, config, parse
from lightervisor.cli.errors import WrongArguments
from lightervisor.cli.session import Session
from lightervisor.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from lightervisor.cli.parse import Parsed

_WELCOME = """\
If this is your first time running LXD on this machine, you should also run: lxd init
To start your first container, try: lxc launch ubuntu:22.04
Or for a virtual machine: lxc launch ubuntu:22.04 --vm

"""
# These talk to no server, and may run where there is no user (packages are built with them).
_WITHOUT_WELCOME = frozenset(("completion", "help", "manpage"))


def main() -> NoReturn:
    """The program: run the words it was started with and leave at once, without taking the interpreter down."""
    # A command lives for milliseconds; collecting cycles would only cost it time.
    gc.set_threshold(100_000)
    _open_standard_streams()
    try:
        status = run(sys.argv[1:], _environment())
    except KeyboardInterrupt:
        status = _die_of_interrupt()
    sys.stderr.flush()
    # Public only in `os`, which is not imported here.
    posix._exit(status)  # pyright: ignore[reportPrivateUsage]


def _open_standard_streams() -> None:
    """Give what the caller closed (`lxc list >&-`) a place to go; Python has None for such a stream."""
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]  # typeshed does not know
        sys.stdin = open("/dev/null", encoding="utf-8")  # noqa: PTH123, SIM115  # pathlib costs milliseconds
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open("/dev/null", "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def _flush() -> OSError | None:
    """Write out what was printed; what cannot be written is dropped, and the reason returned."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Nothing may fail again when the rest is flushed at the end.
        posix.dup2(posix.open("/dev/null", posix.O_WRONLY), 1)
        return error
    return None


def _die_of_interrupt() -> int:
    """End as a program that does not know of Ctrl-C: a shell's loop around it stops then, which no status brings."""
    from lightervisor.cli.signals import signal

    _flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    posix.kill(posix.getpid(), signal.SIGINT)
    return 130  # not reached unless the signal is blocked


def run(words: list[str], environ: Mapping[str, str]) -> int:
    """Run `lxc` with these words and return its exit status; all output is flushed. Ctrl-C is KeyboardInterrupt."""
    try:
        status = _run(words, environ)
    except Failure as failure:
        _flush()
        print(f"Error: {failure.message()}", file=sys.stderr)
        return 1
    except BrokenPipeError as error:
        return _lost(_flush() or error)
    except OSError as error:
        if lost := _flush():
            return _lost(lost)
        reason = (error.strerror or str(error)).lower()
        print(f"Error: open {error.filename}: {reason}" if error.filename else f"Error: {reason}", file=sys.stderr)
        return 1
    lost = _flush()
    return _lost(lost) if lost else status


def _lost(error: OSError) -> int:
    """The exit status after output that nobody took; a reader that has gone (lxc list | head) is no error to tell."""
    if isinstance(error, BrokenPipeError):
        return 141
    print(f"Error: write /dev/stdout: {str(error.strerror).lower()}", file=sys.stderr)
    return 1


def _environment() -> dict[str, str]:
    """The environment as text; importing `os` for it would cost a millisecond."""
    return {
        key.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
        for key, value in posix.environ.items()
    }


def _run(words: list[str], environ: Mapping[str, str]) -> int:
    configuration = config.load(environ)
    if words[:1] == ["__complete"]:
        from lightervisor.cli import complete

        return complete.run(words[1:], configuration, environ)
    expanded = None if environ.get("LXC_ALIASES") == "1" else aliases.expand(words, configuration.aliases)
    parsed = parse.parse(words if expanded is None else expanded)
    session = Session(configuration, environ)
    session.apply(parsed.flags)
    if parsed.flags.on("version"):
        return _print_version()
    if parsed.asks_help or parsed.command is None or not parsed.command.handler:
        return _print_help(parsed)
    count, command = len(parsed.arguments), parsed.command
    try:
        if count < command.least or (command.most is not None and count > command.most):
            raise WrongArguments
        if configuration.is_first_run and command.words[0] not in _WITHOUT_WELCOME:
            _welcome(session)
        return command.load()(session, parsed.arguments, parsed.flags) or 0
    except WrongArguments:
        _print_help(parsed)
        if count == 0:
            return 0
        raise


def _welcome(session: Session) -> None:
    """The first run: LXD's hint, and the configuration file that tells the next run it is not the first."""
    try:
        session.config.save()
    except OSError:
        return  # a home that cannot be written (a system user's) stays without; nothing else needs the file
    sys.stderr.write(_WELCOME)


def _print_help(parsed: Parsed) -> int:
    from lightervisor.cli import help as pages

    flags = parsed.flags
    with_rare = parsed.command is None and flags.on("all")
    sys.stdout.write(pages.page(parsed.command, with_rare=with_rare, with_sub_commands=flags.on("sub-commands")))
    return 0


def _print_version() -> int:
    from lightervisor.cli import version

    print(version.CLIENT)
    return 0
