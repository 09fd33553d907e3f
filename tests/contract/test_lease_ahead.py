"""A runner that has leased ahead keeps the order of the queue, and lets go of what it may not run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from taskqueue import BatchQueue, Outcome, QueueItem, Runner, TaskContext, signals, travel
from tests.contract import tasks
from tests.contract.backends import only_sequential
from tests.contract.conftest import MakeQueue


def fill(queue: BatchQueue, count: int = 5) -> None:
    """Short tasks, so that the runner leases ahead from the second one on."""
    for number in range(count):
        queue.enqueue(tasks.note, number)


def test_what_a_task_adds_with_a_lower_weight_goes_next(queue: BatchQueue, effects: list[object]) -> None:
    fill(queue, 2)
    queue.create_item(tasks.step(lambda ctx: ctx.queue.enqueue(tasks.note, "added", weight=-1)))
    fill(queue, 2)

    assert Runner(queue).run_all()
    assert effects == [0, 1, "added", 0, 1]


def test_what_a_task_adds_in_bulk_with_a_lower_weight_goes_next(queue: BatchQueue, effects: list[object]) -> None:
    def add(ctx: TaskContext) -> None:
        ctx.queue.create_items([tasks.step(lambda ctx: tasks.effects.append("added"))], weight=-1)

    fill(queue, 2)
    queue.create_item(tasks.step(add))
    fill(queue, 2)

    assert Runner(queue).run_all()
    assert effects == [0, 1, "added", 0, 1]


@only_sequential
def test_what_another_process_adds_with_a_lower_weight_goes_next_within_100_ms(
    queue: BatchQueue, other: BatchQueue, effects: list[object]
) -> None:
    def meanwhile(ctx: TaskContext) -> None:
        other.enqueue(tasks.note, "added", weight=-1)
        tasks.last(0.1)

    fill(queue, 2)
    queue.create_item(tasks.step(meanwhile))
    fill(queue, 3)

    assert Runner(queue).run_all()
    assert effects == [0, 1, "added", 0, 1, 2]


def test_what_is_cancelled_after_it_was_leased_ahead_does_not_begin(
    queue: BatchQueue, other: BatchQueue, effects: list[object]
) -> None:
    def meanwhile(ctx: TaskContext) -> None:
        assert other.cancel_item(second.id) == "stopping"  # leased, and not ours
        tasks.last(0.1)

    fill(queue, 2)
    queue.create_item(tasks.step(meanwhile))
    queue.enqueue(tasks.note, "first")
    second = queue.enqueue(tasks.note, "second")
    queue.enqueue(tasks.note, "third")

    assert Runner(queue).run_all()
    assert effects == [0, 1, "first", "third"]
    assert queue.outcome_of(second.id) == "cancelled"


@only_sequential
def test_what_waits_with_a_lower_weight_blocks_the_rest(
    queue: BatchQueue, other: BatchQueue, effects: list[object]
) -> None:
    def meanwhile(ctx: TaskContext) -> None:
        other.enqueue(tasks.note, "later", weight=-1, delay=60)
        tasks.last(0.1)

    fill(queue, 2)
    queue.create_item(tasks.step(meanwhile))
    fill(queue, 3)

    result = Runner(queue).run_all(wait=0)

    assert effects == [0, 1]
    assert result.number_of_items == 4


@only_sequential
@pytest.mark.parametrize("retry_interval", [None, 60.0], ids=["at once", "after a pause"])
def test_an_item_that_is_retried_goes_before_those_behind_it(
    make_queue: MakeQueue, retry_interval: float | None, effects: list[object]
) -> None:
    queue = make_queue(retry_limit=2, retry_interval=retry_interval)
    fill(queue, 2)
    queue.create_item(tasks.step(lambda ctx: tasks.effects.append("middle") or ctx.attempt > 1))
    fill(queue, 2)

    result = Runner(queue).run_all(wait=0)

    if retry_interval is None:
        assert effects == [0, 1, "middle", "middle", 0, 1]
    else:
        assert effects == [0, 1, "middle"]
        assert result.number_of_items == 3


@only_sequential
def test_a_thief_stops_a_runner_that_has_leased_ahead(
    queue: BatchQueue, other: BatchQueue, effects: list[object]
) -> None:
    fill(queue, 2)
    queue.create_item(tasks.step(lambda ctx: other.steal_item()))
    fill(queue, 3)

    result = Runner(queue).run_all(wait=0)

    assert effects == [0, 1]
    assert result.number_of_items == 4
    assert queue.statistics()["leased"] == 1


def test_nothing_runs_after_a_reset(queue: BatchQueue, effects: list[object]) -> None:
    fill(queue, 2)
    queue.create_item(tasks.step(lambda ctx: ctx.queue.reset()))
    fill(queue, 3)

    assert Runner(queue).run_all()
    assert effects == [0, 1]


def test_an_interrupted_item_is_claimed_alone(queue: BatchQueue, effects: list[object]) -> None:
    fill(queue, 2)
    poison = queue.create_item(tasks.step(lambda ctx: tasks.effects.append(held(ctx.queue))))
    fill(queue, 2)
    interrupt(queue, poison)

    with travel(60):
        assert Runner(queue).run_all()

    assert effects == [0, 1, 1, 0, 1]


def held(queue: BatchQueue) -> int:
    """How many items are leased at this moment."""
    return queue.statistics()["leased"]


def interrupt(queue: BatchQueue, item: QueueItem) -> None:
    """Let the holder of this item go away, and put the ones before it back."""
    queue.update(batch_limit=10)
    items = queue.claim_items(10, 5)
    queue.relinquish_items([one for one in items if one.id != item.id])
    with travel(10):
        assert queue.statistics()["leased"] == 0


def test_a_failure_that_aborts_gives_back_what_was_leased_ahead(queue: BatchQueue, effects: list[object]) -> None:
    fill(queue, 3)
    queue.enqueue(tasks.fail)
    fill(queue, 3)

    Runner(queue).run_all()

    counts = queue.statistics()
    assert (counts["ready"], counts["blocked"]) == (4, 0)
    assert effects == [0, 1, 2, "attempt 1"]
    assert [item.run_count for item in queue.items()] == [1, 0, 0, 0]


def test_each_item_is_executed_once(
    queue: BatchQueue, other_of: Callable[[BatchQueue], BatchQueue], effects: list[object]
) -> None:
    seen: list[Outcome] = []

    def listen(sender: BatchQueue, item: QueueItem, outcome: Outcome, exception: object, **facts: Any) -> None:
        seen.append(outcome)

    fill(queue, 300)

    with signals.item_finished.connected_to(listen, queue):
        assert Runner(queue).run_all()

    assert effects == list(range(300))
    assert seen == [Outcome.OK] * 300
