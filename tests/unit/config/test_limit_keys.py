"""Limits are refused with the texts that LXD 5.0.2 has for them, recorded from it; what it takes is taken."""

from __future__ import annotations

import pytest

from lightervisor.config.instance_keys import SCOPE
from lightervisor.config.key import REGISTRY
from lightervisor.config.limit_keys import RLIMITS
from lightervisor.errors import Invalid


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("limits.cpu", "x", "Invalid CPU limit syntax"),
        ("limits.cpu", "-1", "Invalid CPU limit syntax"),
        ("limits.cpu", "1,,2", "Invalid CPU limit syntax"),
        ("limits.cpu.allowance", "50", "Invalid allowance: 50"),
        ("limits.cpu.allowance", "25ms", "Invalid allowance: 25ms"),
        ("limits.cpu.priority", "11", 'Invalid value for a limit "11". Must be between 0 and 10'),
        ("limits.cpu.priority", "-1", 'Invalid value for a limit "-1". Must be between 0 and 10'),
        ("limits.disk.priority", "x", 'Invalid value for an integer "x"'),
        ("limits.network.priority", "11", 'Invalid value for a limit "11". Must be between 0 and 10'),
        ("limits.memory", "0", "Memory limit can't be 0"),
        ("limits.memory", "0%", "Memory limit can't be 0%"),
        ("limits.memory", "1xB", "Invalid value: 1xB"),
        ("limits.memory", "1.5GB", "Invalid value: 1.5GB"),
        ("limits.memory", "99999999999EB", "Overflow multiplying 99999999999 with 1000000000000000000"),
        ("limits.memory.enforce", "medium", 'Invalid value "medium" (not one of [soft hard])'),
        ("limits.memory.swap", "1GB", 'Invalid value for a boolean "1GB"'),
        ("limits.processes", "x", 'Invalid value for an integer "x"'),
        ("limits.hugepages.2MB", "x", "Invalid value: x"),
        ("limits.hugepages.3MB", "4MB", "Unknown configuration key: limits.hugepages.3MB"),
        ("limits.kernel.", "3", "Unknown configuration key: limits.kernel."),
        ("cluster.evacuate", "maybe", 'Invalid value "maybe" (not one of [auto migrate live-migrate stop])'),
        (
            "migration.incremental.memory.goal",
            "x",
            'Invalid value for uint32 "x": strconv.ParseUint: parsing "x": invalid syntax',
        ),
    ],
)
def test_refused_with_the_text_of_lxd(name: str, value: str, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        REGISTRY.check(SCOPE, name, value)
    assert refused.value.sentence() == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limits.cpu", "0"),
        ("limits.cpu", "1-1"),
        ("limits.cpu", "99-100"),
        ("limits.cpu.allowance", "200%"),
        ("limits.cpu.allowance", "25/100"),
        ("limits.memory", "101%"),
        ("limits.memory", "50"),
        ("limits.processes", "-1"),
        ("limits.kernel.nofile", "1:2"),
        ("limits.kernel.nofile", "unlimited"),
        ("limits.kernel.memlock", "1024:unlimited"),
    ],
)
def test_taken_as_lxd_takes_it(name: str, value: str) -> None:
    REGISTRY.check(SCOPE, name, value)


@pytest.mark.parametrize(
    "value",
    [
        "-1",
        "1e309",
        "1e3",
        "nan",
        "inf",
        "\u0663GB",
        "\uff11GB",
        "3_0MB",
        "0x10",
        "1.5",
        "5%%",
        "-5%",
        "9" * 40,
        "²",
    ],
)
def test_20_a_number_is_one_in_ascii_that_can_be_had(value: str) -> None:
    for name in ("limits.memory", "limits.cpu", "limits.disk.priority", "limits.hugepages.2MB", "limits.cpu.priority"):
        with pytest.raises(Invalid):
            REGISTRY.check(SCOPE, name, value)


@pytest.mark.parametrize(
    "value", ["0-99999", "99999999999", "0-", "-0", "0,0-x", "1-0", "0..3", "\u0660-\u0663", "0;1", "0 1"]
)
def test_20_a_set_of_cpus_is_short_and_in_order(value: str) -> None:
    with pytest.raises(Invalid):
        REGISTRY.check(SCOPE, "limits.cpu", value)


@pytest.mark.parametrize("value", ["x", "5:2", "unlimited:5", "1:2:3", ":", "1:", "-1"])
def test_a_resource_limit_that_no_start_could_set_is_refused_at_once(value: str) -> None:
    for name in RLIMITS:
        with pytest.raises(Invalid):
            REGISTRY.check(SCOPE, f"limits.kernel.{name}", value)
