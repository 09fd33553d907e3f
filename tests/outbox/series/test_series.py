"""Schedules of services: once, or again and again; the next run counts from the end of the last."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskqueue import QueueService, Unrecoverable, clock, travel
from taskqueue.outbox import Outbox, queued, schedule
from taskqueue.periodic import tick
from tests.contract.scheduled import at
from tests.outbox.series.stage import AWAY, DAY, HOUR, SOON, Flights, only, standing

# --- once ---


def test_given_a_delay_of_more_than_25_days_when_time_passes_then_it_comes_once_and_not_early(
    service: QueueService, outbox: Outbox, flights: Flights
) -> None:
    made = schedule(flights).replicate("Airports").after("26d").as_()
    queued(flights, delay="26d").replicate("Airlines")

    for days, expected in ((0, []), (25, []), (26.01, ["Airlines", "Airports"]), (60, ["Airlines", "Airports"])):
        with travel(timedelta(days=days)):
            outbox.flush()
            assert sorted(flights.made) == expected

    assert (made.name, made.cron) == ("outbox:flights:replicate", "once after 26d")
    assert service.schedules() == []


def test_given_one_that_comes_once_when_it_fails_then_it_is_tried_again_like_any_message(
    service: QueueService, outbox: Outbox, flights: Flights
) -> None:
    schedule(flights).replicate("Airports").as_("now")
    flights.problem = AWAY
    outbox.flush()

    flights.problem = None
    with travel(HOUR):
        outbox.flush()

    assert flights.made == ["Airports", "Airports"]
    assert (service.schedules(), standing(service)) == ([], 0)


def test_given_a_queue_that_is_paused_when_it_is_due_then_it_is_not_lost(
    service: QueueService, outbox: Outbox, flights: Flights
) -> None:
    schedule(flights).replicate("Airports").as_("now")
    service.load("outbox").set_status("paused")
    tick(service)

    service.load("outbox").set_status("active")
    outbox.flush()

    assert flights.made == ["Airports"]


# --- again and again ---


def test_given_an_interval_when_a_run_ends_then_the_next_is_counted_from_its_end_and_none_overlaps(
    service: QueueService, outbox: Outbox, flights: Flights
) -> None:
    made = schedule(flights).replicate("Airports", holds=True).after("10m").every("1h").as_("replicate-airports")
    assert (made.cron, outbox.flush()) == ("every 1h after 10m", 0)

    with at(made.next_time):
        flights.begin(outbox)
    ended = made.next_time + 3 * HOUR
    with at(ended):
        assert tick(service) == pytest.approx(1)
        assert standing(service) == 1
        flights.end()

    following = only(service).next_time
    assert abs(following - ended - HOUR) < SOON
    with at(following, later=-1):
        assert outbox.flush() == 0
    with at(following):
        flights.begin(outbox)
        flights.end()
    assert flights.made == ["Airports"] * 2


def test_given_an_interval_when_it_is_first_said_then_it_comes_without_delay(outbox: Outbox, flights: Flights) -> None:
    schedule(flights).replicate("Airports").every("1h").as_()

    assert (outbox.flush(), outbox.flush()) == (1, 0)


def test_given_a_run_that_waits_for_its_retry_when_the_next_is_due_then_it_does_not_overlap(
    service: QueueService, outbox: Outbox, flights: Flights
) -> None:
    schedule(flights).replicate("Airports").every("10s").as_()
    flights.problem = AWAY
    for minutes in range(0, 120, 20):
        with travel(timedelta(minutes=minutes)):
            outbox.flush()
            assert standing(service) == 1

    flights.problem = None
    with travel(3 * HOUR):
        outbox.flush()
        assert standing(service) == 0
        assert abs(only(service).next_time - clock.from_ms(clock.now_ms()) - timedelta(seconds=10)) < SOON


def test_given_a_run_that_dies_when_the_next_is_due_then_the_series_goes_on(
    service: QueueService, outbox: Outbox, flights: Flights
) -> None:
    schedule(flights).replicate("Airports").every("1h").as_()
    flights.problem = Unrecoverable("no such entity")
    outbox.flush()
    assert len(service.load("outbox").dead_items()) == 1
    assert outbox.flush() == 0

    schedule(flights).replicate("Airports").every("1h").as_()  # as at the next start of the application
    flights.problem = None
    for passed in (HOUR + SOON, 2 * HOUR + 2 * SOON):
        with travel(passed):
            outbox.flush()

    assert flights.made == ["Airports"] * 3


def test_given_a_cron_expression_when_runs_take_longer_than_its_period_then_what_passed_is_left_out(
    service: QueueService, outbox: Outbox, flights: Flights
) -> None:
    made = schedule(flights).replicate("Airports", holds=True).every("0 * * * *").as_()
    with at(made.next_time):
        flights.begin(outbox)
    with at(made.next_time + 2.5 * HOUR):
        tick(service)
        flights.end()

        assert (standing(service), outbox.flush()) == (0, 0)
        assert only(service).next_time == made.next_time + 3 * HOUR


@pytest.mark.parametrize(
    ("cron", "timezone", "shown"),
    [
        ("0 3 * * *", "Europe/Berlin", ("01:00:00", "02:00:00")),  # in summer and in winter
        ("0 3 * * *", "UTC", ("03:00:00",)),
        ("15 30 6 * * *", "UTC", ("06:30:15",)),
    ],
)
def test_a_cron_expression_means_the_clock_of_its_time_zone(
    outbox: Outbox, flights: Flights, cron: str, timezone: str, shown: tuple[str, ...]
) -> None:
    made = schedule(flights).replicate("Airports").every(cron, timezone=timezone).as_()
    assert (made.cron, made.timezone) == (cron, timezone)
    assert f"{made.next_time:%H:%M:%S}" in shown


def test_a_cron_expression_with_day_of_month_and_weekday_means_either(outbox: Outbox, flights: Flights) -> None:
    times = []
    form = schedule(flights)
    for days in range(28):
        with travel(timedelta(days=days)):
            times.append(form.replicate("Airports").every("0 3 13 * FRI").as_("lucky").next_time)
            form.replicate("Airports").as_("lucky")  # another rhythm, so that the next is counted from then
    assert {moment.weekday() == 4 or moment.day == 13 for moment in times} == {True}
    assert len(set(times)) >= 4  # not only on a Friday the 13th


def test_a_cron_expression_after_a_delay_comes_not_before_that(outbox: Outbox, flights: Flights) -> None:
    soon = schedule(flights).replicate("Airports").every("0 3 * * *").as_("soon")
    later = schedule(flights).replicate("Airports").after("10d").every("0 3 * * *").as_("later")

    assert later.cron == "0 3 * * * after 10d"
    assert later.next_time - soon.next_time == 10 * DAY
