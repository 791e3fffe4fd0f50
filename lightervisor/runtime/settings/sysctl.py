"""linux.sysctl.*: kernel settings of the container's namespaces. Source: lxc.container.conf(5), lxc.sysctl."""

from collections.abc import Mapping

from lightervisor.runtime.spec import Lines

PREFIX = "linux.sysctl."


def lines(config: Mapping[str, str]) -> Lines:
    """One line for each."""
    return [
        (f"lxc.sysctl.{key.removeprefix(PREFIX)}", value)
        for key, value in sorted(config.items())
        if key.startswith(PREFIX) and value
    ]
