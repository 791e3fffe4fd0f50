"""limits.kernel.*: resource limits of init, inherited by all. Source: setrlimit(2), lxc.container.conf(5)."""

from collections.abc import Mapping

from lightervisor.runtime.spec import Lines

PREFIX = "limits.kernel."


def lines(config: Mapping[str, str]) -> Lines:
    """One line for each; liblxc reads "soft:hard" as LXD spells it."""
    return [(f"lxc.prlimit.{key.removeprefix(PREFIX)}", value) for key, value in _sorted(config)]


def _sorted(config: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted((key, value) for key, value in config.items() if key.startswith(PREFIX) and value)
