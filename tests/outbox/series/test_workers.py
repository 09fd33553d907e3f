"""Schedules and workers: many, killed ones, and those of others."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import QueueService, Worker, travel
from taskqueue.outbox import Outbox, schedule, unschedule
from taskqueue.periodic import tick
from taskqueue.storage import periodic
from tests.contract import processes
from tests.outbox.series.stage import DEADLINE, HOUR, SOON, Flights, booked, die, only, standing


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
