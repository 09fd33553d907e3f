"""Schedules in transactions of the application, also with repeatable reads, as MariaDB begins them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from taskqueue import QueueService, travel
from taskqueue.outbox import Outbox, queued, schedule, unschedule
from taskqueue.periodic import tick
from tests.outbox.conftest import bookings
from tests.outbox.series.stage import Flights, only, standing
from tests.servers import SERVER_DATABASES

on_servers = pytest.mark.parametrize("url", SERVER_DATABASES, indirect=True)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The application's own engine, which leaves everything as the database has it; locks are not waited for."""
    setting = "SET SESSION innodb_lock_wait_timeout = 2" if url.startswith("mysql") else "SET lock_timeout = '2s'"
    made = create_engine(url)
    with made.connect() as first, made.connect() as second:
        for connection in (first, second):
            connection.exec_driver_sql(setting)
            connection.commit()
    yield made
    made.dispose()


@on_servers
@pytest.mark.parametrize("comes", ["once", "again"])
def test_given_a_run_that_the_transaction_cannot_see_when_unscheduled_then_it_is_taken_back_all_the_same(
    service: QueueService, outbox: Outbox, flights: Flights, engine: Engine, comes: str
) -> None:
    plan = schedule(flights).replicate("Airports").after("1s")
    (plan.every("1h") if comes == "again" else plan).as_("replicate")
    with Session(engine) as session:
        session.execute(bookings.select()).all()  # from here on it reads the state of now
        with travel(5):
            tick(service)
        assert service.load("outbox").number_of_items() == 1

        assert unschedule(flights, "replicate", session)
        session.commit()

    assert service.load("outbox").number_of_items() == 0


@on_servers
@pytest.mark.parametrize("stand_already", [False, True])
def test_given_two_transactions_when_both_schedule_and_record_then_neither_waits_for_the_other(
    outbox: Outbox, flights: Flights, engine: Engine, stand_already: bool
) -> None:
    outbox.prepare()
    if stand_already:
        for name in ("a", "b"):
            schedule(flights).replicate("old").every("1h").as_(name)
        outbox.flush()
        flights.made.clear()
    with Session(engine) as one, Session(engine) as other:
        for session in (one, other):
            session.execute(bookings.select()).all()
        for session, name in ((one, "a"), (other, "b")):
            schedule(flights, session).replicate(name).after("1s").as_(name)
            assert not unschedule(flights, f"never-{name}", session)
        for session, name in ((one, "a"), (other, "b")):
            queued(flights, session).replicate(f"recorded-{name}")
        one.commit()
        other.commit()

    with travel(5):
        outbox.flush()
    assert sorted(flights.made) == ["a", "b", "recorded-a", "recorded-b"]


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
