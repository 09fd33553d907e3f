"""``complete_when_empty``: exactly one signal, whoever works, is killed or resets the queue; and who is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from taskqueue import BatchQueue, QueueService, Worker, signals
from taskqueue.worker import roster
from tests.contract.backends import once_per_database, only_sql
from tests.contract.conftest import MakeQueue, MakeService
from tests.contract.tasks import note, step
from tests.contract.workers import at_work, is_served, wait_for


@pytest.fixture
def completions(queue: BatchQueue) -> Iterator[list[str]]:
    """The statuses that were signalled, by any service of this process."""
    heard: list[str] = []

    def hear(_queue: BatchQueue, *, status: str) -> None:
        heard.append(status)

    with signals.queue_status.connected_to(hear):
        yield heard


@pytest.fixture
def queue(make_queue: MakeQueue) -> BatchQueue:
    """A queue that completes."""
    return make_queue("jobs", complete_when_empty=True, agent="server", error="abort")


@only_sql
def test_two_workers_complete_a_queue_exactly_once_each_time(
    service: QueueService, queue: BatchQueue, make_service: MakeService, completions: list[str], effects: list[Any]
) -> None:
    with at_work(service, threads=2), at_work(make_service(), threads=2):
        for time in (1, 2, 3):
            # when
            queue.create_items(step(lambda ctx: note(ctx, "x")) for _ in range(15))
            queue.set_status("active")
            wait_for(lambda: queue.status == "completed", "the queue is completed")
            # then
            assert len(effects) == 15 * time
    assert completions.count("completed") == 3


@only_sql
def test_an_empty_queue_that_nobody_has_worked_on_is_not_completed(
    service: QueueService, queue: BatchQueue, completions: list[str]
) -> None:
    Worker(service).drain()
    assert (queue.status, completions) == ("active", [])


@only_sql
def test_a_reset_does_not_complete(
    service: QueueService, queue: BatchQueue, other: BatchQueue, completions: list[str], effects: list[Any]
) -> None:
    # given: work has begun, and something is left
    queue.enqueue(note, "x")
    queue.enqueue(note, "later", delay=600)
    Worker(service).drain()
    # when
    other.reset()
    Worker(service).drain()
    # then
    assert (effects, queue.status, completions) == (["x"], "active", [])


@only_sql
def test_what_comes_after_the_reset_of_another_process_completes_the_queue(
    service: QueueService, queue: BatchQueue, other: BatchQueue, completions: list[str]
) -> None:
    # given: this process has begun the queue, another one resets it
    def reset(ctx: Any) -> None:
        other.reset()
        other.enqueue(note, "after")

    queue.create_item(step(reset))
    # when
    Worker(service).drain()
    # then
    assert (queue.status, completions) == ("completed", ["completed"])


@only_sql
def test_a_worker_completes_what_another_one_could_not_because_it_was_killed(
    service: QueueService, queue: BatchQueue, other: BatchQueue, completions: list[str]
) -> None:
    # given: a worker that has seen the queue empty
    with at_work(service):
        wait_for(lambda: is_served(service, "jobs"), "it is there")
        # when another one takes an item that nobody else could see, finishes it, and is no more
        other.create_item("x", delay=600)
        item = other.steal_item()
        assert item is not None
        other.begin()
        other.delete_item(item)
        # then
        wait_for(lambda: queue.status == "completed", "the queue is completed")
    assert completions == ["completed"]


@only_sql
def test_what_is_delayed_or_held_keeps_a_queue_open(
    service: QueueService, queue: BatchQueue, other: BatchQueue, completions: list[str], effects: list[Any]
) -> None:
    # given
    queue.enqueue(note, "x")
    queue.enqueue(note, "later", delay=600)
    # when
    Worker(service).drain()
    # then
    assert (effects, queue.status, completions) == (["x"], "active", [])


@once_per_database
def test_the_list_of_workers_tells_who_serves_until_it_ends(service: QueueService, queue: BatchQueue) -> None:
    # given
    assert roster.workers(service) == []
    with at_work(service, threads=3):
        # when
        wait_for(lambda: is_served(service, "jobs"), "it is listed")
        (info,) = roster.workers(service)
        # then
        assert (info.queues, info.threads, info.state, info.items) == (("jobs",), 3, "serving", ())
        assert roster.serving(service, "jobs") == [info]
        # and when it says nothing any more
        service.database.statement(lambda tx: tx.change("UPDATE {holder} SET beat_time = beat_time - 60000"))
        # then it is back with its next sign of life
        wait_for(lambda: roster.serving(service, "jobs"), "it is alive")
    assert roster.workers(service) == []


@once_per_database
def test_a_worker_that_died_is_silent_and_then_forgotten(service: QueueService, queue: BatchQueue) -> None:
    # given
    roster.sign_of_life(service, ["jobs"], 1, "serving")
    age = "UPDATE {holder} SET beat_time = {now} - :age, token = 'dead-dead-dead-d'"
    service.database.statement(lambda tx: tx.change(age, age=15_000))
    # then
    assert [info.state for info in roster.workers(service)] == ["silent"]
    assert roster.serving(service, "jobs") == []
    # and when a day has passed, and another one starts
    service.database.statement(lambda tx: tx.change(age, age=90_000_000))
    with at_work(service):
        wait_for(lambda: roster.serving(service, "jobs"), "it is there")
        # then
        assert len(roster.workers(service)) == 1
