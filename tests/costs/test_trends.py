"""What numbers over time cost: nothing for a task but a moment, and a transaction every few seconds."""

from __future__ import annotations

import time

import pytest

from taskqueue import QueueService, Runner, Task, travel
from taskqueue.outcome import Outcome
from taskqueue.storage.recorder import TrendRecorder
from tests.costs.meters import Meter
from tests.costs.tasks import nothing
from tests.servers import ALL_DATABASES

each_database = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)

TASKS = 2_000
#: BEGIN, the database's clock, all rows, a look for what is too old by each resolution, COMMIT. Where the driver sends
#: each row alone, as many statements as rows: two of the queue and two of all together.
STATEMENTS, ROWS = 5, 4
#: MariaDB stores statistics by itself, of tables that had changed much before.
OWN_WRITES = 2
#: Seconds of computing that counting one attempt may take; it is less than one.
A_MOMENT = 5e-6


@each_database
def test_given_many_tasks_when_a_runner_executes_them_then_their_numbers_are_stored_once_or_twice(
    service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, trends = service.create("SqlParallel", "many"), service.database.trends
    queue.create_items(Task(nothing) for _ in range(TASKS))
    stored, transact, began = [], trends._transact, time.monotonic()
    monkeypatch.setattr(trends, "_transact", lambda work: stored.append(1) or transact(work))

    assert Runner(queue).run_all().completed == TASKS

    assert 1 <= len(stored) <= 1 + (time.monotonic() - began) / 5


@each_database
def test_given_numbers_when_they_are_stored_then_it_is_one_commit(service: QueueService, meter: Meter) -> None:
    trends = _stored_before(service)
    for _ in range(TASKS):
        trends.count("many", Outcome.OK, 0.01)

    before = meter.read()
    trends.flush()
    counted = meter.read() - before

    assert 1 <= counted.commits <= 1 + OWN_WRITES
    assert counted.statements <= STATEMENTS + ROWS


@each_database
def test_given_nothing_was_done_or_it_is_not_time_then_nothing_is_asked(service: QueueService, meter: Meter) -> None:
    trends = _stored_before(service)
    before = meter.read()

    trends.flush()
    trends.count("many", Outcome.RELINQUISH, 0.01)
    trends.flush()
    with travel(60):
        trends.flush_if_due()
    trends.count("many", Outcome.OK, 0.01)
    trends.flush_if_due()

    assert (meter.read() - before).statements == 0


def test_given_a_task_that_has_ended_when_it_is_counted_then_that_takes_a_moment(service: QueueService) -> None:
    queue, number, best = service.create("Sql", "many"), 20_000, float("inf")
    for _ in range(5):
        began = time.thread_time()
        for _number in range(number):
            queue.count_attempt(Outcome.OK, 0.003)
        best = min(best, time.thread_time() - began)
    assert best / number < A_MOMENT


def _stored_before(service: QueueService) -> TrendRecorder:
    """What is done once was done before."""
    trends = service.database.trends
    trends.count("many", Outcome.OK, 0.01)
    trends.flush()
    return trends
