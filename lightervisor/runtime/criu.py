"""criu, which liblxc calls to write down what processes have in memory and to bring them back. Source: criu(8).

liblxc finds it on PATH and gives it nearly all of its arguments; what it does not say is said in a file that criu reads
as well. A script that criu calls at certain moments asks the daemon whether to go on. It reads the answer from a pipe
that only the daemon writes to, so that a daemon that dies has said no: then the processes go on where they were.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from lightervisor.errors import HostError, Unsupported
from lightervisor.kernel import files, process
from lightervisor.runtime import failures

VARIABLE = "LIGHTERVISOR_CRIU"
PATIENCE_S = 30.0
# criu's own lock of the network needs iptables, or nftables, which is here anyway.
SETTINGS = "network-lock nftables\n"
SCRIPT = """\
#!/bin/sh
# criu calls this.
case "$CRTOOLS_SCRIPT_ACTION" in
post-dump | setup-namespaces | post-restore) ;;
*) exit 0 ;;
esac
exec {python} -IS {program} "$LIGHTERVISOR_PIPES" 8 9 "$CRTOOLS_SCRIPT_ACTION" "${{CRTOOLS_INIT_PID:-0}}"
"""

# Restored processes come into the cgroup of v2 that they were in, maybe by another name: liblxc says where they belong
# on v1 alone. Without a name of a controller that is said of all others.
CALLED = """\
#!/bin/sh
# liblxc calls this.
root= before=
[ "$1" != restore ] || for word; do
    [ "$before" != --cgroup-root ] || root=${{word#*:}}
    before=$word
done
[ -z "$root" ] || set -- "$@" --cgroup-root "$root"
exec {program} "$@"
"""


def program() -> Path | None:
    """The program: what the environment variable names, else that of the distribution."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    found = shutil.which("criu", path=process.ENVIRONMENT["PATH"])
    return Path(found) if found else None


def check() -> None:
    """Raise Unsupported or HostError when this server has no criu, or one that this kernel is not enough for."""
    found = program()
    if found is None:
        raise Unsupported("criu", cause="it is not installed on this server", remedy="apt install criu")
    try:
        process.run([found, "check"], timeout_s=PATIENCE_S)
    except HostError as error:
        cause = f"it says that this kernel does not do: {error.cause}"
        raise Unsupported("criu", cause=cause, remedy=f"see the output of {found} check") from error


def prepare(directory: Path) -> Path:
    """Write the script, the settings, and what is called in criu's place into a directory; the script."""
    script, settings = directory / "criu-script", directory / "criu.conf"
    words = {"python": sys.executable, "program": Path(__file__).with_name("criu_script.py")}
    text = SCRIPT.format(**{key: shlex.quote(str(word)) for key, word in words.items()})
    files.write_whole(script, text, 0o700)
    files.write_whole(settings, SETTINGS, 0o600)
    called = _called(script)
    called.parent.mkdir(exist_ok=True)
    files.write_whole(called, CALLED.format(program=shlex.quote(str(program() or "criu"))), 0o700)
    return script


def _called(script: Path) -> Path:
    return script.with_name("criu") / "criu"


def environment(script: Path) -> Mapping[str, str]:
    """What liblxc's caller must have in its environment."""
    path = f"{_called(script).parent}:{process.ENVIRONMENT['PATH']}"
    return {"PATH": path, "CRIU_CONFIG_FILE": str(script.with_name("criu.conf"))}


def reason(directory: Path, action: Literal["dump", "restore"], liblxc_log: Path) -> str:
    """Why it failed, from the log of a dump or restore that is there, else from liblxc's: it did not come to criu."""
    try:
        text = (directory / f"{action}.log").read_text(errors="replace")
    except OSError:
        return f"liblxc did not begin: {failures.telling(liblxc_log)}"
    errors = [line for line in text.splitlines() if "Error (" in line and not any(one in line for one in HARMLESS)]
    last = [line for line in errors if "FAILED" not in line][-3:] or errors[-1:]
    return "; ".join(line.partition("): ")[2].strip() or line for line in last) or "criu gave no reason"


HARMLESS = ("RLIMIT_NOFILE", "execvp(", "-save -V failed", "exited, status=")
