"""When a window is open, by the clock on a wall and the calendar beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, time, timedelta, timezone
from typing import Any

import pytest

from taskqueue import ConfigurationError, PayloadError, PayloadTooNew, SpecError
from taskqueue.channels import Window
from tests.channels.conftest import NOON

#: Zones whose clocks are changed at night, at midnight, by half an hour, the other way round, or not at all.
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Beirut", "Australia/Lord_Howe", "Africa/Casablanca",
         "Asia/Kathmandu", "Pacific/Auckland"]  # fmt: skip


def local(window: Window, text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=window._zone, fold=fold)


def is_open(window: Window, text: str, fold: int = 0) -> bool:
    return window.is_open(local(window, text, fold).astimezone(timezone.utc))


def opening(window: Window, text: str) -> str:
    found = window.opening(local(window, text))
    assert found.utcoffset() == timedelta(0)
    return found.astimezone(window._zone).isoformat(" ", "seconds")


def test_it_is_open_from_its_start_to_its_end() -> None:
    window = Window("08:00", "17:30")

    for text, expected in [("07:59:59.999", False), ("08:00", True), ("17:29:59.999", True), ("17:30", False)]:
        assert is_open(window, f"2030-01-16 {text}") is expected, text
    assert opening(window, "2030-01-16 07:00") == "2030-01-16 08:00:00+00:00"
    assert opening(window, "2030-01-16 12:00") == "2030-01-16 12:00:00+00:00"
    assert opening(window, "2030-01-16 17:30") == "2030-01-17 08:00:00+00:00"


def test_it_spans_midnight() -> None:
    window = Window("22:00", "06:00", timezone="Europe/Berlin")

    for text, expected in [("21:59", False), ("22:00", True), ("23:59:59", True), ("00:00", True), ("05:59", True),
                           ("06:00", False)]:  # fmt: skip
        assert is_open(window, f"2030-01-16 {text}") is expected, text
    assert opening(window, "2030-01-16 12:00") == "2030-01-16 22:00:00+01:00"
    assert window.is_open(datetime(2030, 1, 16, 21, 30, tzinfo=timezone.utc))  # half past ten in Berlin


@pytest.mark.parametrize("window", [Window(), Window("00:00", "00:00"), Window("15:00", "15:00")], ids=repr)
def test_it_may_be_all_of_the_day(window: Window) -> None:
    assert all(window.is_open(NOON + timedelta(hours=hour)) for hour in range(24))


def test_the_night_that_began_on_friday_ends_at_midnight() -> None:
    window = Window("22:00", "06:00", timezone="Europe/Berlin", saturday=False)

    assert is_open(window, "2030-01-18 23:59:59")  # Friday
    assert not is_open(window, "2030-01-19 00:00")
    assert not is_open(window, "2030-01-19 23:59")
    assert is_open(window, "2030-01-20 00:00")  # what of the night of Saturday lies on Sunday
    assert opening(window, "2030-01-19 01:00") == "2030-01-20 00:00:00+01:00"


def test_the_night_that_begins_on_sunday_is_open_from_monday_on() -> None:
    window = Window("22:00", "06:00", saturday=False, sunday=False)

    assert opening(window, "2030-01-19 00:00") == "2030-01-21 00:00:00+00:00"
    assert opening(window, "2030-01-21 07:00") == "2030-01-21 22:00:00+00:00"


def test_a_weekend_is_that_of_the_zone() -> None:
    window = Window(timezone="Pacific/Auckland", saturday=False, sunday=False)

    assert window.opening(datetime(2030, 1, 18, 12, tzinfo=timezone.utc)) == datetime(
        2030, 1, 20, 11, tzinfo=timezone.utc
    )


def test_an_hour_that_is_left_out() -> None:  # In Berlin on that day 03:00 follows 02:00.
    window = Window("02:30", "03:30", timezone="Europe/Berlin")
    assert opening(window, "2030-03-31 01:00") == "2030-03-31 03:00:00+02:00"

    within = Window("02:10", "02:50", timezone="Europe/Berlin")
    assert opening(within, "2030-03-31 01:00") == "2030-04-01 02:10:00+02:00"

    until = Window("22:00", "02:30", timezone="Europe/Berlin")
    assert is_open(until, "2030-03-31 01:59")
    assert not is_open(until, "2030-03-31 03:00")


def test_an_hour_that_comes_twice() -> None:  # In Berlin on that day 02:00 comes again at 03:00.
    window = Window("02:00", "02:30", timezone="Europe/Berlin")

    assert is_open(window, "2030-10-27 02:15")
    assert is_open(window, "2030-10-27 02:15", fold=1)
    assert opening(window, "2030-10-27 01:00") == "2030-10-27 02:00:00+02:00"
    assert opening(window, "2030-10-27 02:40") == "2030-10-27 02:00:00+01:00"


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("hours", [("22:00", "06:00"), ("00:00", "01:00"), ("01:45", "02:15"), ("23:30", "00:30")])
def test_an_opening_is_the_first_moment_that_is_open(zone: str, hours: tuple[str, str]) -> None:
    window = Window(*hours, timezone=zone, saturday=False)

    for moment in _around_changes(window):
        found = window.opening(moment)
        assert window.is_open(found)
        quarter = timedelta(minutes=15)  # all windows and changes above are at quarters of an hour
        steps = moment
        while steps < found:
            assert not window.is_open(steps), f"from {moment} on it is open at {steps}, before {found}"
            steps += quarter


def _around_changes(window: Window) -> Iterator[datetime]:
    """Moments on the days on which the clocks are changed in a year, and on some others."""
    day = datetime(2030, 1, 1, tzinfo=timezone.utc)
    for _ in range(365):
        following = day + timedelta(days=1)
        if window._offset(day) != window._offset(following) or day.day == 1:
            yield from (day + timedelta(hours=hour) for hour in range(-12, 36, 3))
        day = following


def test_what_is_stored_comes_back() -> None:
    for window in (Window("22:00", time(6, 0, 30), "Europe/Berlin", False, False), Window()):
        assert Window.of(window.to_data()) == window
    assert Window(time(8), time(0)) == Window("08:00:00", "00:00")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": "25:00"}, "start of a window must be a time of day such as '22:00', in whole seconds, not '25:00'"),
        ({"start": "24:00"}, "start of a window must be a time of day"),
        ({"end": "24:01"}, "end of a window must be a time of day"),
        ({"start": "8:00"}, "start of a window must be a time of day"),
        ({"end": "08:60"}, "end of a window must be a time of day"),
        ({"end": 22}, "end of a window must be a time of day such as '22:00', in whole seconds, not 22"),
        ({"end": time(1, 2, 3, 4)}, "in whole seconds, not '01:02:03.000004'"),
        ({"end": time(1, tzinfo=timezone.utc)}, "not '01:00:00+00:00'"),
        ({"saturday": 0}, "saturday of a window must be True or False, not 0"),
        ({"timezone": "Europe/Berlln"}, "unknown time zone 'Europe/Berlln'"),
        ({"timezone": None}, "unknown time zone None"),
    ],
    ids=repr,
)  # fmt: skip
def test_mistakes_are_told(options: Any, said: str) -> None:
    with pytest.raises((SpecError, ConfigurationError), match=re.escape(said)):
        Window(**options)


@pytest.mark.parametrize(
    "data", [None, {}, {**Window().to_data(), "more": 1}, {**Window().to_data(), "end": 5}], ids=repr
)
def test_damage_is_told(data: Any) -> None:
    with pytest.raises(PayloadError, match="the stored message is damaged"):
        Window.of(data)


def test_a_zone_that_only_others_know_is_left_to_them() -> None:
    with pytest.raises(PayloadTooNew, match="Mars/Olympus"):
        Window.of({**Window().to_data(), "timezone": "Mars/Olympus"})
