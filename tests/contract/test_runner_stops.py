"""A run that ends before its queue does gives back what it holds."""

from __future__ import annotations

import pytest

from taskqueue import (
    BatchQueue,
    QueueNotActive,
    Runner,
    TaskContext,
)
from tests.contract import tasks
from tests.contract.tasks import enqueue_around


def pause(ctx: TaskContext) -> None:
    ctx.queue.set_status("paused")


def assert_given_back(queue: BatchQueue, left: int) -> None:
    counts = queue.statistics()
    assert (counts["ready"], counts["blocked"]) == (left, 0)
    assert {item.run_count for item in queue.items()} == {0}


def test_a_queue_that_a_task_pauses_stops_after_it(queue: BatchQueue, effects: list[int]) -> None:
    for number in range(3):
        queue.enqueue(tasks.note, number)
    queue.create_item(tasks.step(pause))
    for number in range(3):
        queue.enqueue(tasks.note, number)

    result = Runner(queue).run_all()

    assert not result
    assert (result.completed, result.number_of_items) == (4, 3)
    assert isinstance(result.exception, QueueNotActive)
    assert effects == [0, 1, 2]
    assert_given_back(queue, 3)
    assert queue.status == "paused"


def test_a_queue_that_another_process_pauses_stops_after_the_item_in_hand(
    queue: BatchQueue, other: BatchQueue, effects: list[int]
) -> None:
    queue.enqueue(tasks.note, 0)
    queue.create_item(tasks.step(lambda ctx: (other.set_status("paused"), tasks.last(0.12))))
    for number in range(3):
        queue.enqueue(tasks.note, number)

    result = Runner(queue).run_all()

    assert not result
    assert effects == [0]
    assert_given_back(queue, 3)


def test_a_run_that_is_stopped_gives_back_what_it_holds(queue: BatchQueue) -> None:
    runner = Runner(queue)
    seen: list[bool] = []

    def stop(ctx: TaskContext) -> None:
        runner.stop()
        seen.append(ctx.should_stop)

    queue.enqueue(tasks.note)
    queue.create_item(tasks.step(stop))
    for number in range(3):
        queue.enqueue(tasks.note, number)

    result = runner.run_all()

    assert seen == [True]
    assert not result
    assert (result.is_error, result.is_continue, result.completed) == (False, True, 2)
    assert_given_back(queue, 3)


def test_an_interrupt_gives_back_what_the_run_holds(queue: BatchQueue) -> None:
    def interrupt(ctx: TaskContext) -> None:
        raise KeyboardInterrupt

    queue.enqueue(tasks.note)
    queue.create_item(tasks.step(interrupt))
    queue.enqueue(tasks.note)

    with pytest.raises(KeyboardInterrupt):
        Runner(queue).run_all()

    assert_given_back(queue, 2)


def test_a_queue_that_is_reset_in_mid_run_is_drained(queue: BatchQueue, effects: list[str]) -> None:
    enqueue_around(queue, tasks.step(lambda ctx: ctx.queue.reset()))

    result = Runner(queue).run_all()

    assert result
    assert effects == ["a"]
    assert result.completed == 1
