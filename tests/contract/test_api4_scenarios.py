"""The scenarios of the queue API that this package takes after, played with its own rules.

Where the rules differ, the docstring says how: attempts count failures, a worker that died did not fail, and nothing
is lost without a record.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from taskqueue import BatchQueue, Task, TaskContext, run_items, run_loop, signals, travel
from tests.contract import tasks
from tests.contract.backends import Backend, only_parallel, only_sequential, only_sql
from tests.contract.conftest import MakeQueue, MakeService


def poll(queue: BatchQueue) -> list[str]:
    """Claim one item as an agent does that lives outside, and execute it."""
    item = queue.claim_item()
    return [attempt.outcome.value for attempt in run_items(queue, [item])] if item is not None else []


def counts(queue: BatchQueue) -> tuple[int, int, int]:
    found = queue.statistics()
    return found["total"], found["ready"], found["blocked"]


@only_sequential
def test_basic_linear_polling(make_queue: MakeQueue, effects: list[Any]) -> None:
    queue = make_queue(retry_limit=2, retry_interval=4)
    queue.enqueue(tasks.note, "a")
    queue.create_item(tasks.step(lambda ctx: ctx.attempt > 1))

    first = queue.claim_item()
    assert first is not None
    assert queue.claim_item() is None
    assert run_items(queue, [first])[0].outcome == "ok"
    assert poll(queue) == ["retry"]
    assert poll(queue) == []
    with travel(3.5):
        assert poll(queue) == []
    with travel(4.1):
        assert poll(queue) == ["ok"]
    assert counts(queue) == (0, 0, 0)


@only_parallel
def test_basic_parallel_polling(queue: BatchQueue, effects: list[Any]) -> None:
    for value in "ab":
        queue.enqueue(tasks.note, value)

    first, second = queue.claim_item(), queue.claim_item()

    assert first is not None
    assert second is not None
    assert run_items(queue, [second])[0].outcome == "ok"
    assert run_items(queue, [first])[0].outcome == "ok"
    assert effects == ["b", "a"]


@only_parallel
@pytest.mark.parametrize("is_batch", [False, True], ids=["basic handler", "batch handler"])
def test_batch_parallel_polling(
    make_service: MakeService, backend: Backend, effects: list[Any], is_batch: bool
) -> None:
    service = make_service()

    @service.handler("batches", batch=is_batch)
    def handle(context: Any, data: Any) -> None:
        tasks.effects.append(data)

    queue = service.create(backend.type, "jobs", payload="batches", batch_limit=3)
    queue.create_items(range(7))

    for expected in ((4, 4, 0), (1, 1, 0), (0, 0, 0)):
        attempts = run_items(queue, queue.claim_items(3))
        assert {attempt.outcome for attempt in attempts} == {"ok"}
        assert counts(queue) == expected

    assert effects == ([[0, 1, 2], [3, 4, 5], [6]] if is_batch else list(range(7)))


def test_reset(queue: BatchQueue) -> None:
    queue.create_items([Task(tasks.note)] * 20)

    assert queue.reset() == 20
    assert counts(queue) == (0, 0, 0)


def test_run_loop(make_queue: MakeQueue, effects: list[Any]) -> None:
    queue = make_queue(batch_limit=4)
    queue.create_items(Task(tasks.note, (value,)) for value in range(20))

    first = run_loop(queue, max_requests=3)
    assert (first.item_successes, first.item_errors, first.loop_requests) == (12, 0, 3)
    assert first.exit_message == "reached the request limit (3)"
    assert (first.queue_ready, first.queue_blocked, first.queue_total) == (8, 0, 8)

    second = run_loop(queue, max_requests=10)
    assert (second.item_successes, second.item_errors, second.loop_requests) == (8, 0, 3)
    assert second.exit_message == "no item can be claimed"
    assert (second.queue_ready, second.queue_total) == (0, 0)
    assert effects == list(range(20))


def test_run_loop_abort(make_queue: MakeQueue, effects: list[Any]) -> None:
    queue = make_queue(error="abort")
    for task in (*[Task(tasks.note, ("ok",))] * 3, Task(tasks.fail), Task(tasks.note, ("ok",))):
        queue.create_item(task)

    report = run_loop(queue)

    assert (report.item_successes, report.item_errors, report.loop_requests) == (3, 1, 4)
    assert report.exit_message == "the queue is not active (aborted)"
    assert (report.queue_ready, report.queue_blocked, report.queue_total) == (2, 0, 2)


def test_empty_poll(queue: BatchQueue) -> None:
    assert queue.claim_item() is None
    assert queue.claim_items(3) == []
    assert run_loop(queue).loop_requests == 1


def test_an_agent_sees_who_a_task_is_to_run_as(queue: BatchQueue) -> None:
    queue.create_item(Task(tasks.note, run_as={"contact_id": 7, "domain_id": 1}))

    item = queue.claim_item()

    assert item is not None
    assert item.data.run_as == {"contact_id": 7, "domain_id": 1}


def test_delayed_start(queue: BatchQueue) -> None:
    queue.create_item(Task(tasks.note), release_time=datetime.now(timezone.utc) + timedelta(seconds=60))

    assert counts(queue) == (1, 0, 1)
    assert poll(queue) == []
    with travel(50):
        assert poll(queue) == []
    with travel(70):
        assert poll(queue) == ["ok"]


@pytest.mark.parametrize("error", ["delete", "abort", "dead"])
def test_retry_with_polite_exhaustion(make_queue: MakeQueue, error: str, effects: list[Any]) -> None:
    queue = make_queue(retry_limit=2, error=error)
    queue.enqueue(tasks.fail)

    assert [poll(queue)[0] for _ in range(3)] == ["retry", "retry", error]
    assert len(effects) == 3
    assert queue.is_active() == (error != "abort")


def test_retry_with_delinquency_and_success(make_queue: MakeQueue, effects: list[Any]) -> None:
    """Claims that nobody reports on are no attempts: the next one executes, whatever the retry_limit."""
    queue = make_queue(retry_limit=0)
    queue.enqueue(tasks.note, "a")
    for seconds in (0, 2):
        with travel(seconds):
            assert queue.claim_item(1) is not None

    with travel(4):
        assert poll(queue) == ["ok"]
    assert effects == ["a"]


@pytest.mark.parametrize("error, total", [("delete", 0), ("abort", 1), ("dead", 0)])
def test_retry_with_eventual_failure(make_queue: MakeQueue, error: str, total: int) -> None:
    """Claims that nobody reports on count apart from failures: three of them are one failure, without a call."""
    queue = make_queue(retry_limit=1, error=error)
    queue.enqueue(tasks.fail)

    assert poll(queue) == ["retry"]
    for number in range(3):
        with travel(2 * number):
            assert queue.claim_item(1) is not None
    with travel(6):
        assert poll(queue) == [error]
        assert (queue.number_of_items(), queue.is_active()) == (total, error != "abort")


def test_a_resumed_queue_goes_on_with_its_head(make_queue: MakeQueue, effects: list[Any]) -> None:
    """The head of an aborted queue has fresh attempts; nobody has to mend a counter by hand."""
    queue = make_queue(retry_limit=1, error="abort")
    queue.create_item(tasks.step(lambda ctx: tasks.effects.append(ctx.attempt) or len(tasks.effects) > 2))

    assert [poll(queue), poll(queue)] == [["retry"], ["abort"]]
    queue.set_status("active")

    assert poll(queue) == ["ok"]
    assert effects == [1, 2, 1]


def test_a_service_queue_never_completes(queue: BatchQueue) -> None:
    heard: list[str] = []
    queue.enqueue(tasks.note)

    with signals.queue_status.connected_to(lambda sender, status: heard.append(status), queue):
        run_loop(queue)

    assert (queue.status, heard) == ("active", [])


@only_sql
def test_a_queue_that_asked_for_it_is_completed(make_queue: MakeQueue) -> None:
    heard: list[str] = []
    queue = make_queue(complete_when_empty=True)
    for _ in range(2):
        queue.enqueue(tasks.note)

    with signals.queue_status.connected_to(lambda sender, status: heard.append(status), queue):
        run_loop(queue, max_requests=1)
        assert (queue.status, heard) == ("active", [])
        assert run_loop(queue).exit_message == "no item can be claimed"
        run_loop(queue)

    assert (queue.status, heard) == ("completed", ["completed"])


def test_a_stranger_cannot_write_into_an_item(queue: BatchQueue, other_of: Callable[[BatchQueue], BatchQueue]) -> None:
    """An item as it was read is a copy: what an agent does to it changes nothing of what is executed."""
    queue.create_item({"limit": 1})
    item = queue.claim_item()
    assert item is not None
    item.data["limit"] = 2

    standing = other_of(queue).fetch_item(item.id)

    assert standing is not None
    assert standing.data == {"limit": 1}


def test_what_was_claimed_is_fetched_by_its_fence(queue: BatchQueue, effects: list[Any]) -> None:
    """A handle that was used once is worth nothing any more, so that no item is executed twice by it."""

    def work(ctx: TaskContext) -> None:
        tasks.effects.append("once")

    queue.create_item(tasks.step(work))
    item = queue.claim_item()
    assert item is not None

    assert [run_items(queue, [item])[0].outcome for _ in range(2)] == ["ok", "lease_lost"]
    assert effects == ["once"]
