"""Thinning out snapshots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.config import retention
from lightervisor.errors import Invalid

START = datetime(2026, 1, 1, tzinfo=UTC)
RULES = st.dictionaries(st.sampled_from("hdwmy"), st.integers(1, 40), min_size=1).map(
    lambda rules: ",".join(f"{count}{unit}" for unit, count in rules.items())
)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
MOMENTS = st.lists(st.integers(0, 800 * 24 * 60), unique=True, max_size=60)


def moments(minutes: list[int], zone: timezone) -> list[datetime]:
    return [(START + timedelta(minutes=one)).astimezone(zone) for one in minutes]


def kept(value: str, taken: list[datetime]) -> list[datetime]:
    gone = set(retention.superfluous(value, taken))
    return [moment for place, moment in enumerate(taken) if place not in gone]


def test_an_hourly_schedule_over_two_months() -> None:
    taken = [START + timedelta(hours=hour) for hour in range(60 * 24)]
    stay = kept("24h,7d,4w", taken)
    assert stay[-24:] == taken[-24:], "each of the last day's hours"
    days = [moment for moment in stay if moment.hour == 23]
    assert days[-7:] == [taken[-1] - timedelta(days=day) for day in range(6, -1, -1)]
    # 2026-03-01 is a Sunday: the week that ends with it and the three before, Sundays all.
    assert stay[:3] == [datetime(2026, 2, day, 23, tzinfo=UTC) for day in (8, 15, 22)]
    assert len(stay) == 24 + 6 + 3


@pytest.mark.parametrize(("unit", "step"), [("m", 31), ("y", 366)])
def test_months_and_years_are_those_of_the_calendar(unit: str, step: int) -> None:
    taken = [START + timedelta(days=day) for day in range(4 * step)]
    stay = kept(f"3{unit}", taken)
    following = [moment + timedelta(days=1) for moment in stay[:-1]]
    assert len(stay) == 3
    assert all(moment.day == 1 and (unit == "m" or moment.month == 1) for moment in following)


@given(RULES, MOMENTS, ZONES)
def test_the_youngest_stays_and_nothing_goes_by_asking_again(value: str, minutes: list[int], zone: timezone) -> None:
    taken = moments(minutes, zone)
    stay = kept(value, taken)
    assert bool(stay) == bool(taken)
    assert not taken or max(taken) in stay
    assert kept(value, stay) == stay
    assert len(stay) <= max(1, sum(retention.parse(value).values()))


@given(RULES, MOMENTS, ZONES)
def test_thinning_after_each_one_leaves_what_thinning_once_leaves(
    value: str, minutes: list[int], zone: timezone
) -> None:
    stay: list[datetime] = []
    for moment in moments(sorted(minutes), zone):
        stay = kept(value, [*stay, moment])
    assert stay == kept(value, moments(sorted(minutes), zone))


@given(st.integers(1, 40), MOMENTS, ZONES)
def test_one_of_each_day_stays(count: int, minutes: list[int], zone: timezone) -> None:
    taken = moments(minutes, zone)
    last = max((moment.toordinal() for moment in taken), default=0)
    wanted = {moment.date() for moment in taken if last - moment.toordinal() < count}
    stay = sorted(kept(f"{count}d", taken))
    assert [moment.date() for moment in stay] == sorted(wanted)
    for stays, following in pairwise([*stay, None]):
        assert stays is not None
        younger = [one for one in taken if one > stays and (following is None or one < following)]
        assert all(one.date() != stays.date() for one in younger)


@pytest.mark.parametrize("value", ["", "24", "h", "0h", "24H", "24h;7d", "24h,,7d", "1h,2h", "1M", "123456h", "-1d"])
def test_what_is_no_retention_is_refused(value: str) -> None:
    with pytest.raises(Invalid, match="Invalid retention"):
        retention.check(value)
