"""Messages are delivered while their window is open, and become deliverable by themselves when it opens."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from taskqueue import QueueService
from taskqueue.channels import Channels, Window
from taskqueue.storage.schema import DELAYED, READY
from tests.channels.conftest import NOON, at, get, got, rows, send, waits

#: From 13:00 to 14:00 on a day that begins at noon.
AFTER_LUNCH = Window("13:00", "14:00")


def hours(number: float) -> datetime:
    return NOON + timedelta(hours=number)


def test_before_within_and_after(channels: Channels) -> None:
    with at(NOON):
        send(channels, "one", window=AFTER_LUNCH)
        send(channels, "two", window=AFTER_LUNCH)
        assert [(one.ready, one.later) for one in channels.overview()] == [(0, 2)]
        assert get(channels) is None
        assert not waits(channels)
    with at(hours(1.5)):
        assert waits(channels)
        first = get(channels)
        assert first is not None
        assert (first.data, first.window) == ("one", AFTER_LUNCH)
    with at(hours(2.5)):
        assert not waits(channels)
        assert get(channels) is None
    with at(hours(24 + 1.5)):
        assert got(channels) == ["two"]


def test_what_waits_for_its_window_holds_nothing_up(channels: Channels) -> None:
    with at(NOON):
        send(channels, "closed", sequence=-1, window=AFTER_LUNCH)
        send(channels, "open", window=Window("11:00", "23:00"))
        send(channels, "always")
        assert got(channels) == ["open", "always"]


def test_what_was_not_got_in_its_window_holds_nothing_up_either(channels: Channels, service: QueueService) -> None:
    with at(hours(1.5)):
        for number in range(100):
            send(channels, number, window=AFTER_LUNCH)
        send(channels, "always", sequence=1)
    with at(hours(3)):
        assert got(channels) == ["always"]
        assert _states(service) == {DELAYED: 100}  # nobody has to look past them again
    with at(hours(24 + 1.5)):
        assert got(channels) == list(range(100))


def test_a_look_at_closed_ones_puts_them_aside_as_well(channels: Channels, service: QueueService) -> None:
    with at(hours(1.5)):
        send(channels, "closed", window=AFTER_LUNCH)
    with at(hours(3)):
        assert not waits(channels)
        assert _states(service) == {DELAYED: 1}


def test_a_delay_ends_outside_of_the_window(channels: Channels) -> None:
    with at(hours(1.5)):
        send(channels, "late", delay="1h", window=AFTER_LUNCH)
    with at(hours(2.6)):
        assert get(channels) is None
    with at(hours(24 + 1.1)):
        assert got(channels) == ["late"]


def test_a_night_in_another_zone(channels: Channels) -> None:
    night = Window("22:00", "06:00", timezone="Asia/Kathmandu")  # UTC+5:45
    with at(NOON):
        send(channels, "by night", window=night)
    with at(datetime(2030, 1, 16, 16, 10, tzinfo=timezone.utc)):
        assert get(channels) is None
    with at(datetime(2030, 1, 16, 19, tzinfo=timezone.utc)):  # 00:45 on the next day
        assert got(channels) == ["by night"]


def test_not_on_weekends(channels: Channels) -> None:
    workdays = Window("22:00", "06:00", saturday=False, sunday=False)
    friday = datetime(2030, 1, 18, 23, tzinfo=timezone.utc)
    with at(friday - timedelta(hours=5)):
        send(channels, "one", window=workdays)
        send(channels, "two", window=workdays)
    with at(friday):
        first = get(channels)
        assert first is not None
        assert first.data == "one"
    for later in (2, 20, 26, 44):
        with at(friday + timedelta(hours=later)):
            assert get(channels) is None, later
    with at(friday + timedelta(hours=50)):  # Monday, one o'clock
        assert got(channels) == ["two"]


def test_the_night_on_which_the_clock_is_changed(channels: Channels) -> None:
    window = Window("02:30", "03:30", timezone="Europe/Berlin")
    change = datetime(2030, 3, 31, 1, tzinfo=timezone.utc)  # 02:00 there, and 03:00
    with at(change - timedelta(minutes=10)):
        send(channels, "early", window=window)
        assert get(channels) is None
    with at(change + timedelta(minutes=1)):
        assert got(channels) == ["early"]


def test_a_producer_in_its_window_is_found_behind_others(channels: Channels) -> None:
    with at(NOON):
        send(channels, "closed", window=AFTER_LUNCH)
        send(channels, "of the web", producer="web")
        assert got(channels, producer="shop") == []
        assert rows(channels.queue_service) == 2
        assert got(channels, producer="web") == ["of the web"]


def _states(service: QueueService) -> dict[int, int]:
    """How many items are in which state."""
    found = service.database.statement(
        lambda tx: tx.rows("SELECT state, COUNT(*) FROM {item} GROUP BY state"), write=False
    )
    assert {row[0] for row in found} <= {READY, DELAYED}
    return {row[0]: row[1] for row in found}
