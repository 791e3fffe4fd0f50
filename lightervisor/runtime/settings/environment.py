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
