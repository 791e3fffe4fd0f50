"""How a container tells whether it stopped or reboots, and the pid of each init.

liblxc hands each line to a shell with `exec` before it, so they must cost nothing: `exec` with a redirection alone
keeps the shell, whose built-in `printf` writes into a fifo of the daemon. `1<>` opens it for reading too, which never
blocks: with no daemon there the word is lost, and a daemon that starts asks the monitors anyway.

A container whose configuration changed since its start must not be rebooted by its monitor, which only knows the old
one: when the last hook fails, liblxc lets it end, and the daemon starts it anew.
Source: lxc.container.conf(5), lxc.hook.version 1; fifo(7).
"""

import shlex
from pathlib import Path

from lightervisor.runtime.spec import Lines


def changed_mark(fifo: Path, name: str) -> Path:
    """The file that is there when a container's configuration changed since its start."""
    return fifo.with_name(f"{name}.changed")


def lines(fifo: Path | None, name: str) -> Lines:
    """The hooks that write "NAME stop", "NAME reboot" or "NAME PID" to a fifo."""
    if fifo is None:
        return []
    place, mark = shlex.quote(str(fifo)), shlex.quote(str(changed_mark(fifo, name)))
    tell = f'1<>{place}; printf "%s %s\\n" "$LXC_NAME"'
    return [
        ("lxc.hook.version", "1"),
        ("lxc.hook.start-host", f'{tell} "$LXC_PID"'),
        ("lxc.hook.post-stop", f'{tell} "$LXC_TARGET"; [ "$LXC_TARGET" != reboot ] || [ ! -e {mark} ]'),
    ]
