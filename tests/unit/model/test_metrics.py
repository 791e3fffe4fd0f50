"""Metrics as text: Go's numbers, quoted labels, what Prometheus' own parser makes of it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from lightervisor.model.metrics import Samples, labels, merged, number

prometheus: Any = pytest.importorskip("prometheus_client.parser")


# As Go 1.19 prints them with %g.
@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"), (4, "4"), (0.012, "0.012"), (249856, "249856"), (999999, "999999"), (1000000, "1e+06"),
        (1234567, "1.234567e+06"), (76475932672, "7.6475932672e+10"), (0.0001, "0.0001"), (0.00001, "1e-05"),
        (1.5e-7, "1.5e-07"), (123456.75, "123456.75"), (-20000000, "-2e+07"), (0.0, "0"), (1e100, "1e+100"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_go_writes_them(value: float, written: str) -> None:
    assert number(value) == written


@given(some.one_of(some.floats(allow_nan=False, allow_infinity=False), some.integers(-(1 << 62), 1 << 62)))
def test_no_number_changes(value: float) -> None:
    assert float(number(value)) == float(value) or math.isclose(float(number(value)), value, rel_tol=1e-15)


@given(some.text(), some.text())
def test_any_text_can_be_a_label(name: str, value: str) -> None:
    samples = Samples()
    samples.add("lxd_procs_total", labels({"name": name, "device": value}), 1)
    (family,) = prometheus.text_string_to_metric_families(samples.text())
    assert family.samples[0].labels == {"name": name, "device": value}


def test_families_are_told_once_and_empty_ones_are_not() -> None:
    first, second = Samples(), Samples()
    first.add("lxd_procs_total", labels({"name": "a"}), 1)
    second.add("lxd_procs_total", labels({"name": "b"}), 2)
    second.add("lxd_cpu_seconds_total", "", 0.5)
    assert merged([first, second]).text() == (
        "# HELP lxd_cpu_seconds_total The total number of CPU time used in seconds.\n"
        "# TYPE lxd_cpu_seconds_total counter\nlxd_cpu_seconds_total 0.5\n"
        "# HELP lxd_procs_total The number of running processes.\n# TYPE lxd_procs_total gauge\n"
        'lxd_procs_total{name="a"} 1\nlxd_procs_total{name="b"} 2\n# EOF\n'
    )
