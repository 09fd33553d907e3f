"""Completions in groups: fewer commits, nothing lost, and what fails is settled as ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from taskqueue import BatchQueue, Outcome, QueueService, TaskContext, Worker, signals
from taskqueue.execution import group
from taskqueue.execution.attempt import Execution
from taskqueue.execution.holding import Holding
from tests.contract import tasks
from tests.contract.backends import only_sql
from tests.contract.conftest import MakeQueue
from tests.contract.workers import TIMEOUT, in_thread, wait_for_threads


@pytest.fixture
def finished() -> Iterator[list[tuple[int, Outcome]]]:
    """(id, outcome) of each attempt whose outcome was stored."""
    seen: list[tuple[int, Outcome]] = []

    def note(queue: BatchQueue, item: Any, outcome: Outcome, **_facts: Any) -> None:
        seen.append((item.id, outcome))

    signals.item_finished.connect(note)
    yield seen
    signals.item_finished.disconnect(note)


def refuse(ctx: TaskContext) -> None:
    """Fails."""
    raise ValueError("no")


def test_everything_is_executed_once_and_gone(
    service: QueueService, make_queue: MakeQueue, effects: list[Any], finished: list[Any]
) -> None:
    queue = make_queue(error="delete")
    ids = [queue.enqueue(tasks.note, number).id for number in range(250)]

    report = Worker(service, [queue.name], grouped=True).drain()

    assert sorted(effects) == list(range(250))
    assert (report.executed, queue.number_of_items()) == (250, 0)
    assert sorted(finished) == [(item_id, Outcome.OK) for item_id in ids]


def test_what_fails_among_them_is_settled_as_ever(
    service: QueueService, make_queue: MakeQueue, effects: list[Any]
) -> None:
    queue = make_queue(error="dead", retry_limit=1)
    queue.enqueue(tasks.note, 1)
    bad = queue.enqueue(refuse)
    queue.enqueue(tasks.note, 2)

    Worker(service, [queue.name], grouped=True).drain()

    assert effects == [1, 2]
    assert [(dead.id, dead.failures) for dead in queue.dead_items()] == [(bad.id, 2)]
    assert queue.number_of_items() == 0


def test_a_completion_is_stored_although_the_next_task_takes_long(service: QueueService, make_queue: MakeQueue) -> None:
    queue = make_queue()
    stored = threading.Event()

    @signals.item_finished.connect
    def see(queue: BatchQueue, outcome: Outcome, **_facts: Any) -> None:
        stored.set()

    quick = queue.enqueue(tasks.note, "quick")
    waited: list[bool] = []
    queue.create_item(tasks.step(lambda ctx: waited.append(stored.wait(10))))
    try:
        Worker(service, [queue.name], grouped=True).drain()
    finally:
        signals.item_finished.disconnect(see)

    assert waited == [True]
    assert queue.fetch_item(quick.id) is None


def test_what_is_finished_is_not_given_back_with_what_outlasts_the_grace(
    service: QueueService, make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "_PATIENCE", 600)  # a stop may come before it is time
    begun, gate = threading.Event(), threading.Event()

    def hold(ctx: TaskContext) -> None:
        begun.set()
        gate.wait(TIMEOUT)

    queue = make_queue()
    for number in range(3):
        queue.enqueue(tasks.note, number)
    held = queue.create_item(tasks.step(hold))
    worker = Worker(service, [queue.name], grouped=True, grace=0)
    try:
        with in_thread(worker.run) as report:
            assert begun.wait(TIMEOUT)
            worker.stop()
            report.result(TIMEOUT)
        assert [item.id for item in queue.items()] == [held.id]
        assert queue.get_statistic("ready") == 1
    finally:
        gate.set()
        wait_for_threads()


@only_sql
def test_one_whose_lease_was_lost_meanwhile_changes_nothing(
    queue: BatchQueue, other: BatchQueue, finished: list[tuple[int, Outcome]]
) -> None:
    mine, stolen = queue.enqueue(tasks.note, 1), queue.enqueue(tasks.note, 2)
    with Holding(queue) as holding:
        execution = Execution(holding, grouped=True)
        for item in holding.lease(2):
            execution.run(item)
        assert queue.number_of_items() == 2
        fetched = other.fetch_item(stolen.id)
        assert fetched is not None
        other.release_item(fetched)  # as whoever took it over and let it go again

        execution.flush()

    assert sorted(finished) == [(mine.id, Outcome.OK), (stolen.id, Outcome.LEASE_LOST)]
    assert [item.id for item in queue.items()] == [stolen.id]


@only_sql
def test_what_cannot_be_stored_stays_collected(queue: BatchQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.enqueue(tasks.note, 1)
    with Holding(queue) as holding:
        execution = Execution(holding, grouped=True)
        execution.run(holding.lease(1)[0])
        with monkeypatch.context() as patch:
            patch.setattr(queue, "settle", fail)
            with pytest.raises(ConnectionError):
                execution.flush()

        execution.flush()

    assert queue.number_of_items() == 0


def fail(*_arguments: Any) -> None:
    """As a database that is away."""
    raise ConnectionError("away")
