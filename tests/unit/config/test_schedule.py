"""Schedules: what cron and LXD's aliases mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lightervisor.config import schedule
from lightervisor.errors import Invalid

MONDAY = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "* * * * *",
        "30 14 * * *",
        "*/10 * * * *",
        "0/15 14 23 11 1",
        "25-35/5 * * NOV MON",
        "30 14 1 * 1",
        "30 14 23 * 0",
        "1,30 2,14 * * *",
        "0 0 1 1 *, 30 * * * *",
        "30 14 ? * ?",
    ],
)
def test_it_is_due(value: str) -> None:
    schedule.check(value)
    assert schedule.is_due(value, MONDAY, "c1")


@pytest.mark.parametrize(
    "value", ["31 * * * *", "30 13 * * *", "30 14 22 * *", "30 14 * * 0", "@startup", "@never", ""]
)
def test_it_is_not_due(value: str) -> None:
    schedule.check(value)
    assert not schedule.is_due(value, MONDAY, "c1")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("x", schedule.FORM),
        ("1 2 3", schedule.FORM),
        ("@reboot", schedule.FORM),
        ("@hourly, @foo", schedule.FORM),
        ("61 * * * *", "end of range (61) above maximum (59): 61"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("a * * * *", "failed to parse number 'a'"),
        ("٣ * * * *", "failed to parse '٣'"),
        ("1- * * * *", "failed to parse '1-'"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
    ],
)
def test_what_is_none_is_refused(value: str, complaint: str) -> None:
    with pytest.raises(Invalid) as caught:
        schedule.check(value)
    assert caught.value.sentence() in (complaint, f"Error parsing schedule: {complaint}")


@pytest.mark.parametrize(
    ("alias", "times"), [("@hourly", 31 * 24), ("@daily", 31), ("@midnight", 31), ("@weekly", 4), ("@monthly", 1)]
)
def test_an_alias_is_due_as_often_as_it_says_at_a_time_of_its_owner(alias: str, times: int) -> None:
    def moments(owner: str) -> list[datetime]:
        minutes = (datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=number) for number in range(31 * 24 * 60))
        return [moment for moment in minutes if schedule.is_due(alias, moment, owner)]

    one = moments("c1")
    assert len(one) == times
    assert one != moments("c2")


def test_never_overrules_the_others_and_startup_is_no_time() -> None:
    assert not schedule.is_due("* * * * *, @never", MONDAY, "c1")
    assert schedule.is_at_start("@daily,@startup")
    assert not schedule.is_at_start("@daily, @startup, @never")
    assert not schedule.is_at_start("@daily")
