"""Schedules of services: one of a name at a time; the next run counts from the end of the last."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import QueueService, Schedule, Unrecoverable, Worker, clock, travel
from taskqueue.outbox import MessageContext, Outbox, handles, queued, schedule, unschedule
from taskqueue.periodic import tick
from taskqueue.storage import periodic
from tests.contract import processes
from tests.contract.scheduled import at
from tests.outbox.conftest import bookings
from tests.outbox.series.stage import DEADLINE, Flights, booked, die

DAY, HOUR, SOON = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
AWAY = ValueError("the partner is away")


def only(service: QueueService) -> Schedule:
    """The one schedule that there is."""
    [found] = service.schedules()
    return found


def standing(service: QueueService) -> int:
    return service.load("outbox").number_of_items()


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


# --- the caller's transaction ---


def test_given_a_session_when_it_is_rolled_back_then_nothing_was_scheduled_or_unscheduled(
    service: QueueService, outbox: Outbox, flights: Flights, session: Session
) -> None:
    schedule(flights, session).replicate("Airports").every("1h").as_("first")
    session.rollback()
    assert service.schedules() == []
    schedule(flights, session).replicate("Airports").every("1h").as_("first")
    session.commit()
    tick(service)

    unschedule(flights, "first", session)
    schedule(flights, session).replicate("Airlines").as_("second")
    session.rollback()

    assert only(service).name == "outbox:flights:first"
    assert (outbox.flush(), flights.made) == (1, ["Airports"])


def test_given_a_session_when_it_commits_then_schedules_and_the_runs_that_wait_are_gone(
    service: QueueService, outbox: Outbox, flights: Flights, session: Session
) -> None:
    schedule(flights).replicate("Airports").every("1h").as_("replicate")
    schedule(flights).replicate("Airlines").as_("once")
    tick(service)
    assert standing(service) == 2

    assert unschedule(flights, "replicate", session)
    assert outbox.unschedule(flights, "once", session)
    session.commit()

    assert (standing(service), service.schedules()) == (0, [])


# --- many workers, and killed ones ---


def test_given_two_workers_that_see_it_due_together_then_there_is_one_run(
    service: QueueService, outbox: Outbox, flights: Flights, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule(flights).replicate("Airports").as_("once")
    schedule(flights).replicate("Airlines").every("1h").as_("again")
    barrier, due = Barrier(2), periodic.due

    def see_together(tx: Any) -> Any:
        rows = due(tx)
        barrier.wait(DEADLINE)
        return rows

    others = [QueueService(url), QueueService(url)]  # which know nothing of the outbox
    with monkeypatch.context() as patched, ThreadPoolExecutor(2) as pool:
        patched.setattr(periodic, "due", see_together)
        list(pool.map(tick, others))

    assert (standing(service), outbox.flush()) == (2, 2)
    for other in others:
        other.close()


@pytest.mark.parametrize("comes", ["once", "again"])
def test_given_a_run_that_a_worker_did_not_see_yet_when_it_puts_the_next_then_that_stays_due(
    service: QueueService, outbox: Outbox, flights: Flights, monkeypatch: pytest.MonkeyPatch, comes: str
) -> None:
    def say(entity: str) -> Any:
        plan = schedule(flights).replicate(entity, holds=True)
        return (plan.every("1h") if comes == "again" else plan).as_("replicate")

    say("Airports")
    flights.begin(outbox)
    due = say("Airlines").next_time
    monkeypatch.setattr("taskqueue.periodic._is_standing", lambda _queue, _new: False)

    assert tick(service) == pytest.approx(1)
    assert (only(service).next_time, only(service).data["args"], standing(service)) == (due, ["Airlines"], 1)
    flights.end()


@pytest.mark.parametrize("inserted", [False, True])
def test_given_a_worker_killed_while_it_puts_it_on_the_queue_then_it_comes_once(
    service: QueueService, outbox: Outbox, flights: Flights, url: str, inserted: bool
) -> None:
    schedule(flights).replicate("Airports").as_("once")
    _killed(processes.tick_and_die, url, 1.0, inserted=inserted)

    assert (outbox.flush(), outbox.flush()) == (1, 0)


@pytest.mark.parametrize("where", ["before", "inside", "commit"])
def test_given_a_worker_killed_at_a_run_when_another_comes_then_it_is_made_once_and_the_series_goes_on(
    service: QueueService, outbox: Outbox, flights: Flights, url: str, session: Session, where: str
) -> None:
    schedule(flights).book("first").every("1h").as_("book")
    _killed(die, url, where, 1.0)

    for passed in (SOON, HOUR + 2 * SOON):
        with travel(passed):
            outbox.flush()

    assert booked(session) == ["first", "first"]
    assert standing(service) == 0


def _killed(target: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    child = multiprocessing.get_context("spawn").Process(target=target, args=args, kwargs=kwargs)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL


def test_given_a_worker_that_does_not_know_the_service_then_the_run_waits_for_one_that_does(
    service: QueueService, outbox: Outbox, flights: Flights, url: str
) -> None:
    schedule(flights).replicate("Airports").as_("once")
    stranger = QueueService(url)
    Worker(stranger).run_once()
    stranger.close()
    assert flights.made == []

    Worker(service).run_once()

    assert flights.made == ["Airports"]


def test_given_two_applications_on_one_database_then_each_has_its_own_of_a_name(
    service: QueueService, url: str
) -> None:
    travels, trains = Outbox(service, app_id="travel"), Outbox(other := QueueService(url), app_id="rail")
    by_plane, by_train = travels.register("trips", Flights()), trains.register("trips", Flights())
    schedule(by_plane).replicate("Airports").as_("replicate")
    schedule(by_train).replicate("Stations").as_("replicate")
    assert [found.name for found in service.schedules()] == [
        "outbox:rail:trips:replicate", "outbox:travel:trips:replicate",
    ]  # fmt: skip

    unschedule(by_train, "replicate")
    trains.flush()
    travels.flush()

    assert (by_plane.made, by_train.made) == (["Airports"], [])
    other.close()
