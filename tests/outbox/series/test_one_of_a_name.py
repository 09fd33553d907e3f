"""Schedules of services: one of a name at a time, said again, said differently, removed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import QueueService, Unrecoverable, travel
from taskqueue.outbox import MessageContext, Outbox, handles, schedule, unschedule
from taskqueue.periodic import tick
from tests.contract.scheduled import at
from tests.outbox.conftest import bookings
from tests.outbox.series.stage import AWAY, DAY, HOUR, SOON, Flights, booked, only, standing

# --- one of a name ---


def test_given_the_same_name_twice_then_there_is_one_with_the_latest_call_and_two_names_are_two(
    service: QueueService, outbox: Outbox, flights: Flights
) -> None:
    schedule(flights).replicate("Airports").after("1h").as_("replicate")
    schedule(flights).replicate("Airlines").after("2h").as_("replicate")
    assert only(service).data["args"] == ["Airlines"]
    schedule(flights).replicate("Connections").after("2h").as_("other")
    assert len(service.schedules()) == 2

    with travel(1.5 * HOUR):
        assert outbox.flush() == 0
    with travel(2 * HOUR + SOON):
        outbox.flush()

    assert sorted(flights.made) == ["Airlines", "Connections"]


def test_said_again_at_each_start_it_stays_as_it_is(service: QueueService, outbox: Outbox, flights: Flights) -> None:
    def say() -> Any:
        return schedule(flights).replicate("Airports").after("10m").every("1h").as_()

    made = say()
    with at(made.next_time, later=-60):
        assert say().next_time == made.next_time
    flights.problem = AWAY
    with at(made.next_time):
        outbox.flush()
        [item] = service.load("outbox").items()
        say()
        assert [found.id for found in service.load("outbox").items()] == [item.id]


@pytest.mark.parametrize("comes", ["once", "again"])
def test_given_a_run_that_waits_when_it_is_said_differently_then_the_new_call_is_made_in_its_place(
    service: QueueService, outbox: Outbox, flights: Flights, comes: str
) -> None:
    def say(entity: str) -> None:
        plan = schedule(flights).replicate(entity)
        (plan.every("1h") if comes == "again" else plan).as_("replicate")

    say("Airports")
    flights.problem = AWAY
    outbox.flush()
    assert standing(service) == 1

    say("Airlines")
    assert standing(service) == 0
    flights.problem = None
    outbox.flush()
    with travel(HOUR + SOON):
        outbox.flush()

    assert flights.made == ["Airports", *["Airlines"] * (2 if comes == "again" else 1)]


@pytest.mark.parametrize("problem", [None, AWAY], ids=["succeeds", "fails"])
@pytest.mark.parametrize("interval", ["1h", "2h"], ids=["same", "other"])
def test_given_a_run_under_way_when_it_is_said_differently_then_the_new_call_is_made_next_time(
    service: QueueService, outbox: Outbox, flights: Flights, interval: str, problem: Exception | None
) -> None:
    schedule(flights).replicate("Airports", holds=True).every("1h").as_("replicate")
    flights.begin(outbox)
    schedule(flights).replicate("Airlines").every(interval).as_("replicate")
    tick(service)
    flights.end(problem)

    assert flights.made[:1] == ["Airports"]
    for passed in (SOON, HOUR + SOON + SOON):
        with travel(passed):
            outbox.flush()

    # A run that succeeded puts the next one off by the interval, unless that is another one, which counts from now.
    times = 1 if (interval, problem) == ("1h", None) or interval == "2h" else 2
    assert flights.made == ["Airports", *["Airlines"] * times]
    assert standing(service) == 0
    assert only(service).cron == f"every {interval}"


def test_given_one_that_came_once_and_is_under_way_when_it_is_said_again_then_that_comes_after_it(
    service: QueueService, outbox: Outbox, flights: Flights
) -> None:
    schedule(flights).replicate("Airports", holds=True).as_("replicate")
    flights.begin(outbox)
    assert service.schedules() == []

    schedule(flights).replicate("Airlines").as_("replicate")
    tick(service)
    assert (flights.made, standing(service)) == (["Airports"], 1)
    flights.end()
    outbox.flush()

    assert flights.made == ["Airports", "Airlines"]
    assert service.schedules() == []


# --- unscheduled ---


def test_given_one_that_is_idle_when_unscheduled_then_it_is_gone(
    service: QueueService, outbox: Outbox, flights: Flights
) -> None:
    schedule(flights).replicate("Airports").after("1h").every("1h").as_("replicate")

    assert unschedule(flights, "replicate")
    assert not unschedule(flights, "replicate")
    assert not unschedule(flights, "never-heard-of")

    with travel(2 * HOUR):
        assert (service.schedules(), outbox.flush()) == ([], 0)


@pytest.mark.parametrize("comes", ["once", "again"])
def test_given_a_run_that_waits_when_unscheduled_then_it_is_taken_back(
    service: QueueService, outbox: Outbox, flights: Flights, comes: str
) -> None:
    plan = schedule(flights).replicate("Airports")
    (plan.every("1h") if comes == "again" else plan).as_("replicate")
    tick(service)
    [item] = service.load("outbox").items()

    assert unschedule(flights, "replicate")

    assert (outbox.flush(), flights.made) == (0, [])
    assert service.load("outbox").outcome_of(item.id) == "cancelled"


@pytest.mark.parametrize("problem", [None, AWAY, Unrecoverable("for good")], ids=["succeeds", "fails", "dies"])
@pytest.mark.parametrize("comes", ["once", "again"])
def test_given_a_run_under_way_when_unscheduled_then_it_ends_and_none_comes_after_it(
    service: QueueService, outbox: Outbox, flights: Flights, comes: str, problem: Exception | None
) -> None:
    plan = schedule(flights).replicate("Airports", holds=True)
    (plan.every("1h") if comes == "again" else plan).as_("replicate")
    flights.begin(outbox)
    [item] = service.load("outbox").items()

    assert unschedule(flights, "replicate")
    flights.end(problem)

    with travel(DAY):
        assert outbox.flush() == 0
    assert flights.made == ["Airports"]
    assert (service.schedules(), standing(service)) == ([], 0)
    assert service.load("outbox").outcome_of(item.id) == ("cancelled" if problem else "ok")


def test_given_a_coroutine_under_way_when_unscheduled_then_it_ends_all_the_same(
    service: QueueService, outbox: Outbox
) -> None:
    class Patient:
        made = 0

        @handles
        async def replicate(self, ctx: MessageContext) -> None:
            with Session(service.engine) as session:
                unschedule(self, "replicate", session)
                session.commit()
            while not ctx.should_stop:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)  # in which it would be ended, if anybody wanted that
            self.made += 1

    thing = outbox.register("patient", Patient())
    schedule(thing).replicate().every("1h").as_()
    service.settings.heartbeat = 0.05

    outbox.flush()

    with travel(DAY):
        assert outbox.flush() == 0
    assert (thing.made, service.schedules()) == (1, [])


def test_given_a_run_that_unschedules_itself_when_it_ends_then_its_writes_count_and_none_comes_after_it(
    service: QueueService, outbox: Outbox, session: Session
) -> None:
    class Once:
        @handles
        def book(self, ctx: MessageContext) -> None:
            ctx.session.execute(bookings.insert().values(name="booked"))
            unschedule(self, "book")

    thing = outbox.register("once", Once())
    schedule(thing).book().every("1h").as_()

    outbox.flush()

    with travel(DAY):
        assert outbox.flush() == 0
    assert (booked(session), service.schedules()) == (["booked"], [])
