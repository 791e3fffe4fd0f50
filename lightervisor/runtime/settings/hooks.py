"""How a container tells whether it stopped or reboots, and the pid of each init.

liblxc runs these lines with its own shell call, so they must cost nothing: one built-in `printf` into a fifo
of the daemon. `1<>` opens it for reading too, which never blocks: with no daemon there the word is lost, and a
daemon that starts asks the monitors anyway. Source: lxc.container.conf(5), lxc.hook.version 1; fifo(7).
"""

import shlex
from pathlib import Path

from lightervisor.runtime.spec import Lines


def lines(fifo: Path | None) -> Lines:
    """The hooks that write "NAME stop", "NAME reboot" or "NAME PID" to a fifo."""
    if fifo is None:
        return []
    place = shlex.quote(str(fifo))
    return [
        ("lxc.hook.version", "1"),
        ("lxc.hook.start-host", f'printf "%s %s\\n" "$LXC_NAME" "$LXC_PID" 1<>{place}'),
        ("lxc.hook.stop", f'printf "%s %s\\n" "$LXC_NAME" "$LXC_TARGET" 1<>{place}'),
    ]
