"""The variables that commands get."""

from __future__ import annotations

from lightervisor.runtime.settings.environment import of_commands


def test_a_command_has_the_variables_of_raw_lxc_and_over_them_those_of_keys() -> None:
    raw = "# lxc.environment = NO=1\nlxc.environment = A=1=2\nlxc.environment=B=x\nlxc.environment = HOST\n"
    found = of_commands({"raw.lxc": raw, "environment.B": "y", "user.c": "z"})
    assert found == {"A": "1=2", "B": "y"}
