"""environment.*: variables of init; commands get them when they are run, so a change needs no restart for those."""

from collections.abc import Mapping

from lightervisor.runtime.spec import Lines

PREFIX = "environment."


def lines(config: Mapping[str, str]) -> Lines:
    """One line for each variable."""
    return [
        ("lxc.environment", f"{key.removeprefix(PREFIX)}={value}")
        for key, value in sorted(config.items())
        if key.startswith(PREFIX)
    ]


def of_commands(config: Mapping[str, str]) -> dict[str, str]:
    """The variables of a command: those of raw.lxc, which its init has too, and over them environment.*"""
    raw = [line.partition("=") for line in config.get("raw.lxc", "").splitlines()]
    given = [value.strip().partition("=") for key, _, value in raw if key.strip() == "lxc.environment"]
    found = {name: value for name, equals, value in given if equals}  # without it: the host's, which nobody gets
    return found | {key.removeprefix(PREFIX): value for key, value in config.items() if key.startswith(PREFIX)}
