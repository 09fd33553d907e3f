"""Schedules: what is due comes once for each period, however many workers look, and whoever is killed."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest

from taskqueue import (
    BatchQueue,
    QueueService,
    Runner,
    Schedule,
    Task,
)
from taskqueue.periodic import _complain, tick
from taskqueue.storage import periodic
from tests.contract import processes as jobs
from tests.contract import tasks
from tests.contract.backends import Backend, once_per_database, only_sql
from tests.contract.conftest import MakeQueue, MakeService
from tests.contract.scheduled import NOTE, UTC, at, standing


def tamper(service: QueueService, assignment: str, **values: Any) -> None:
    """Change all schedules as somebody with access to the tables could."""
    service.database.transaction(lambda tx: tx.change(f"UPDATE {{periodic}} SET {assignment}", **values))


@pytest.fixture(autouse=True)
def forget_complaints() -> None:
    """What was said in another test is said again."""
    _complain.cache_clear()


@pytest.fixture
def hourly(service: QueueService, queue: BatchQueue) -> Schedule:
    """A schedule that comes at each full hour."""
    return service.schedule("hourly", "0 * * * *", NOTE, queue="jobs", weight=3)


@only_sql
def test_what_is_due_is_put_on_the_queue_once(
    service: QueueService, queue: BatchQueue, hourly: Schedule, effects: list[Any]
) -> None:
    with at(hourly.next_time, later=-60):
        assert tick(service) == pytest.approx(60, abs=5)
        assert queue.number_of_items() == 0
    with at(hourly.next_time):
        for _ in range(2):
            assert tick(service) == pytest.approx(3600, abs=10)
        [item] = queue.items()
        assert (item.data, item.weight) == (NOTE, 3)
        assert item.submit_time >= hourly.next_time
        Runner(queue).run_all()
        assert standing(service).next_time == hourly.next_time + timedelta(hours=1)
        assert standing(service).last_time is not None
    assert effects == ["noted"]


@once_per_database
def test_without_schedules_there_is_nothing_to_wait_for(service: QueueService, queue: BatchQueue) -> None:
    assert tick(service) is None
    service.schedule("hourly", "0 * * * *", NOTE, queue="jobs")
    service.pause_schedule("hourly")
    assert tick(service) is None


@once_per_database
def test_periods_that_were_missed_put_one_item_together(
    service: QueueService, queue: BatchQueue, hourly: Schedule
) -> None:
    with at(hourly.next_time + timedelta(hours=5)):
        assert tick(service) == pytest.approx(3600, abs=10)
        assert queue.number_of_items() == 1


@once_per_database
def test_several_that_are_due_all_come(service: QueueService, queue: BatchQueue, hourly: Schedule) -> None:
    daily = service.schedule("daily", "0 0 * * *", Task(tasks.note, ("daily",)), queue="jobs")
    with at(daily.next_time):
        assert tick(service) == pytest.approx(3600, abs=10)
        assert sorted(item.data.args for item in queue.items()) == [("daily",), ("noted",)]


# --- many workers, and killed ones -----------------------------------------------------------------


@only_sql
def test_of_two_workers_that_see_it_due_one_puts_it_on_the_queue(
    queue: BatchQueue, hourly: Schedule, make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    barrier, due = Barrier(2), periodic.due

    def see_together(tx: Any) -> Any:
        rows = due(tx)
        barrier.wait(20)
        return rows

    monkeypatch.setattr(periodic, "due", see_together)
    services = [make_service(), make_service()]
    with at(hourly.next_time), ThreadPoolExecutor(2) as pool:
        waits = list(pool.map(tick, services))
    assert queue.number_of_items() == 1
    assert waits == [pytest.approx(3600, abs=10)] * 2


@once_per_database
@pytest.mark.parametrize("inserted", [False, True])
def test_what_a_killed_worker_began_is_neither_lost_nor_doubled(
    service: QueueService, queue: BatchQueue, hourly: Schedule, backend: Backend, inserted: bool
) -> None:
    seconds = (hourly.next_time - datetime.now(UTC)).total_seconds() + 1
    child = multiprocessing.get_context("spawn").Process(
        target=jobs.tick_and_die, args=(backend.url, seconds), kwargs={"inserted": inserted}
    )
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    with at(hourly.next_time):
        for _ in range(2):
            tick(service)
        assert queue.number_of_items() == 1


@once_per_database
def test_a_schedule_that_is_changed_in_between_keeps_its_new_task(
    service: QueueService,
    queue: BatchQueue,
    hourly: Schedule,
    make_service: MakeService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new, due = Task(tasks.note, ("new",)), periodic.due

    def change_meanwhile(tx: Any) -> Any:
        rows = due(tx)
        monkeypatch.setattr(periodic, "due", due)
        make_service().schedule("hourly", "0 * * * *", new, queue="jobs")
        return rows

    with at(hourly.next_time):
        monkeypatch.setattr(periodic, "due", change_meanwhile)
        assert tick(service) == 0
        tick(service)
        assert [item.data for item in queue.items()] == [new]


# --- the days on which the clock is changed --------------------------------------------------------


@once_per_database
def test_in_spring_what_falls_into_the_missing_hour_comes_at_its_end(service: QueueService, queue: BatchQueue) -> None:
    with at(datetime(2027, 3, 27, 12, tzinfo=UTC)):
        service.schedule("nightly", "30 2 * * *", NOTE, queue="jobs", timezone="Europe/Berlin")
    with at(datetime(2027, 3, 28, 1, tzinfo=UTC)):  # 03:00 there; one hour before it was 01:00
        tick(service)
        assert standing(service, "nightly").next_time == datetime(2027, 3, 29, 0, 30, tzinfo=UTC)
        assert queue.number_of_items() == 1


@once_per_database
def test_in_autumn_what_falls_into_the_doubled_hour_comes_once(service: QueueService, queue: BatchQueue) -> None:
    with at(datetime(2027, 10, 30, 12, tzinfo=UTC)):
        service.schedule("nightly", "30 2 * * *", NOTE, queue="jobs", timezone="Europe/Berlin")
        service.schedule("often", "*/30 * * * *", Task(tasks.note, ("often",)), queue="jobs", timezone="Europe/Berlin")
    for hour, minute in ((0, 0), (0, 30), (1, 0), (1, 30), (2, 0)):  # 02:00, 02:30, 02:00, 02:30, 03:00 there
        with at(datetime(2027, 10, 31, hour, minute, tzinfo=UTC)):
            tick(service)
    assert [item.data.args[0] for item in queue.items()].count("noted") == 1
    assert [item.data.args[0] for item in queue.items()].count("often") == 5
    assert standing(service, "nightly").next_time == datetime(2027, 11, 1, 1, 30, tzinfo=UTC)


# --- queues that cannot take it --------------------------------------------------------------------


@once_per_database
@pytest.mark.parametrize(
    ("obstacle", "said"),
    [
        (lambda service: service.load("jobs").set_status("paused"), "is paused"),
        (lambda service: service.load("jobs").set_status("aborted"), "is aborted"),
        (lambda service: service.delete("jobs"), "does not exist"),
    ],
    ids=["paused", "aborted", "deleted"],
)
def test_a_queue_that_takes_nothing_misses_its_period(
    service: QueueService, queue: BatchQueue, hourly: Schedule, caplog: pytest.LogCaptureFixture,
    obstacle: Any, said: str,
) -> None:  # fmt: skip
    obstacle(service)
    with at(hourly.next_time), caplog.at_level(logging.WARNING, "taskqueue.periodic"):
        for _ in range(2):
            assert tick(service) == pytest.approx(3600, abs=10)
    assert [record.getMessage() for record in caplog.records] == [
        f"schedule 'hourly' was due, but queue 'jobs' {said}: this time is left out"
    ]
    assert queue.number_of_items() == 0
    assert standing(service).last_time is None


@once_per_database
def test_a_queue_that_is_active_again_is_served_again(
    service: QueueService, queue: BatchQueue, hourly: Schedule
) -> None:
    queue.set_status("paused")
    with at(hourly.next_time):
        tick(service)
    queue.set_status("active")
    with at(hourly.next_time + timedelta(hours=1)):
        tick(service)
        assert queue.number_of_items() == 1


# --- what others may have written ------------------------------------------------------------------


@once_per_database
def test_a_callback_that_was_written_into_the_table_is_not_trusted(
    service: QueueService, queue: BatchQueue, hourly: Schedule
) -> None:
    tamper(service, "data = :data", data='{"v":1,"callback":"os:getcwd","args":[]}')
    queue.update(error="delete")
    with at(hourly.next_time):
        tick(service)
        Runner(queue).run_all()
    [dead] = queue.dead_items()
    assert "'os:getcwd' may not run here" in dead.error


@once_per_database
@pytest.mark.parametrize("assignment", ["data = 'nonsense'", "queue_name = 'other'", "name = 'renamed'", "uid = 'x'"])
def test_a_signed_schedule_that_was_altered_is_left_alone(
    make_service: MakeService, make_queue: MakeQueue, caplog: pytest.LogCaptureFixture, assignment: str
) -> None:
    queues = make_queue("jobs"), make_queue("other")
    signing = make_service(secret_key="k" * 32)
    hourly = signing.schedule("hourly", "0 * * * *", NOTE, queue="jobs")
    tamper(signing, assignment)
    with at(hourly.next_time), caplog.at_level(logging.ERROR, "taskqueue.periodic"):
        for _ in range(2):
            assert tick(signing) == 60
    [record] = caplog.records
    assert "is due and left to other processes: the " in record.getMessage()
    assert [queue.number_of_items() for queue in queues] == [0, 0]


@once_per_database
def test_one_that_cannot_be_read_here_does_not_hold_up_the_others(
    service: QueueService, queue: BatchQueue, hourly: Schedule, caplog: pytest.LogCaptureFixture
) -> None:
    tamper(service, "timezone = 'Mars/Phobos'")
    service.schedule("every-minute", "* * * * *", NOTE, queue="jobs")
    with at(hourly.next_time), caplog.at_level(logging.ERROR, "taskqueue.periodic"):
        assert tick(service) == pytest.approx(59, abs=2)
        assert queue.number_of_items() == 1
        assert "unknown time zone 'Mars/Phobos'" in caplog.text
        assert standing(service).next_time == hourly.next_time  # for those who know that zone
