"""Cron expressions: what they mean, also on the days on which the clock is changed, and which are refused."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue import ConfigurationError, clock
from taskqueue.cron import Cron

UTC = timezone.utc
BERLIN = "Europe/Berlin"


def following(cron: Cron, after: str, count: int = 3, form: str = "%a %d %H:%M %z") -> list[str]:
    """The next times after a local time, as local times with their offset."""
    zone = ZoneInfo(cron.timezone)
    moment = clock.moment_ms(datetime.fromisoformat(after).replace(tzinfo=zone))
    found = []
    for _ in range(count):
        moment = cron.following(moment)
        found.append(clock.from_ms(moment).astimezone(zone).strftime(form))
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 6 * * *", ["Tue 05 06:30 +0000", "Wed 06 06:30 +0000"]),
        ("*/20 * * * *", ["Mon 04 12:20 +0000", "Mon 04 12:40 +0000"]),
        ("0 0 1 * *", ["Mon 01 00:00 +0000", "Mon 01 00:00 +0000"]),
        ("0 9 * * MON-FRI", ["Tue 05 09:00 +0000", "Wed 06 09:00 +0000"]),
        ("0 9 L * *", ["Sun 31 09:00 +0000", "Sun 28 09:00 +0000"]),
        ("0 9 13 * FRI", ["Fri 08 09:00 +0000", "Wed 13 09:00 +0000"]),  # either of the two days
    ],
)
def test_the_fields_mean_what_cron_means(expression: str, expected: list[str]) -> None:
    assert following(Cron(expression), "2027-01-04T12:00", len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/25 * * * * *", ["12:00:25", "12:00:50", "12:01:00"]),
        ("30 6 * * * *", ["12:06:30", "13:06:30", "14:06:30"]),
        ("0 6 * * * *", ["12:06:00", "13:06:00", "14:06:00"]),
        ("6 * * * *", ["12:06:00", "13:06:00", "14:06:00"]),  # five fields: the second is 0
        ("58,59 59 23 * * *", ["23:59:58", "23:59:59", "23:59:58"]),
    ],
)
def test_the_first_of_six_fields_is_the_second(expression: str, expected: list[str]) -> None:
    assert following(Cron(expression), "2027-01-04T12:00", form="%H:%M:%S") == expected


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2027-03-27T12:00", ["Mon 29 02:30:05 +0200", "Tue 30 02:30:05 +0200"]),  # 02:30 is left out on the 28th
        ("2027-10-30T12:00", ["Sun 31 02:30:05 +0200", "Sun 31 02:30:05 +0100"]),  # and comes twice on the 31st
    ],
)
def test_with_six_fields_the_clock_is_taken_at_its_word_when_it_is_changed(day: str, expected: list[str]) -> None:
    assert following(Cron("5 30 2 * * *", BERLIN), day, 2, form="%a %d %H:%M:%S %z") == expected


def test_a_time_that_is_reached_is_not_meant_again() -> None:
    cron = Cron("0 12 * * *")
    noon = clock.moment_ms(datetime(2027, 1, 4, 12, tzinfo=UTC))
    assert cron.following(noon - 1) == noon
    assert cron.following(noon) == noon + 86_400_000


def test_an_hour_that_is_left_out_is_made_up_at_its_end() -> None:
    # 02:00 to 03:00 does not exist on Sunday the 28th.
    assert following(Cron("30 2 * * *", BERLIN), "2027-03-27T00:00") == [
        "Sat 27 02:30 +0100", "Sun 28 03:00 +0200", "Mon 29 02:30 +0200",
    ]  # fmt: skip


def test_an_hour_that_comes_twice_is_meant_once() -> None:
    # 02:00 to 03:00 comes twice on Sunday the 31st.
    assert following(Cron("30 2 * * *", BERLIN), "2027-10-30T12:00") == [
        "Sun 31 02:30 +0200", "Mon 01 02:30 +0100", "Tue 02 02:30 +0100",
    ]  # fmt: skip


def test_what_comes_every_few_minutes_keeps_its_distance_when_the_clock_is_changed() -> None:
    for change in ("2027-03-28T01:10", "2027-10-31T01:10"):
        moment = clock.moment_ms(datetime.fromisoformat(change).replace(tzinfo=ZoneInfo(BERLIN)))
        cron, distances = Cron("*/30 * * * *", BERLIN), set()
        first = cron.following(moment)
        for _ in range(8):
            first, before = cron.following(first), first
            distances.add(first - before)
        assert distances == {30 * 60_000}


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        (BERLIN, "2027-03-27"),
        (BERLIN, "2027-10-30"),
        ("Australia/Lord_Howe", "2027-04-03"),
        ("America/New_York", "2027-11-06"),
    ],
)
@pytest.mark.parametrize("expression", ["30 2 * * *", "15 1,2,3 * * *", "*/15 * * * *", "0 */2 * * *"])
def test_time_only_goes_forward_and_never_jumps_a_day(zone: str, day: str, expression: str) -> None:
    cron, moment = Cron(expression, zone), datetime.fromisoformat(day).replace(tzinfo=UTC)
    for _ in range(200):
        # Asked at any time in between, also within the hour that comes twice, the answer lies ahead.
        later = clock.from_ms(cron.following(clock.moment_ms(moment)))
        assert timedelta(0) < later - moment <= timedelta(hours=26)
        moment += timedelta(minutes=13)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "60 * * * * *",
        "61 * * * *",
        "a b c d e",
        "@daily",
        "* * * * * " + "1," * 200,
        "0 0 30 13 *",
        "0 0 32 2 *",
        None,
        5,
    ],
)
def test_an_expression_that_says_nothing_is_refused(expression: str) -> None:
    with pytest.raises(ConfigurationError, match="is no cron expression") as refusal:
        Cron(expression)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "15 0 0 30 2 *", "0 0 31 APR,JUN *", "0 0 */28 * MON#2"])
def test_an_expression_that_never_comes_is_refused_as_such(expression: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Cron(expression)
    assert str(refusal.value) == f"the cron expression '{expression}' never comes due: there is no such day"


@pytest.mark.parametrize(
    "zone", ["", "Europe", "Europe/Bärlin", "../etc/passwd", "/etc/passwd", "a\0b", "+01:00", None, 5]
)
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ConfigurationError, match="unknown time zone") as refusal:
        Cron("0 0 * * *", zone)
    assert "Europe/Berlin" in str(refusal.value)


_FIELD = st.text("0123456789*/,-#LW MONFRI", max_size=8)


@given(st.lists(_FIELD, min_size=5, max_size=6).map(" ".join))
def test_any_text_is_understood_or_refused_with_a_sentence(expression: str) -> None:
    try:
        cron = Cron(expression)
    except ConfigurationError:
        return
    assert cron.following(0) > 0
