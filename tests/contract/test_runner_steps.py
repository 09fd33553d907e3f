"""A run in single steps."""

from __future__ import annotations

from taskqueue import (
    BatchQueue,
    ErrorMode,
    NothingReady,
    Runner,
    Task,
)
from tests.contract import tasks
from tests.contract.tasks import enqueue_around


def test_a_step_runs_one_item(queue: BatchQueue, effects: list[str]) -> None:
    enqueue_around(queue, Task(tasks.note, ("b",)))
    runner = Runner(queue)

    first = runner.run_next()

    assert effects == ["a"]
    assert (first.is_continue, first.is_error, first.number_of_items, first.completed) == (True, False, 2, 1)
    assert first.last_task_title == "A"
    assert not first

    runner.run_next()
    last = runner.run_next()

    assert effects == ["a", "b", "c"]
    assert last
    assert (last.is_continue, last.number_of_items) == (False, 0)


def test_a_step_that_fails_keeps_its_item_when_the_run_aborts(queue: BatchQueue) -> None:
    queue.enqueue(tasks.fail)

    result = Runner(queue, error_mode=ErrorMode.ABORT).run_next()

    assert not result
    assert (result.is_error, result.is_continue, result.failed, result.number_of_items) == (True, False, 1, 1)


def test_a_step_on_an_empty_queue_finds_it_drained(queue: BatchQueue) -> None:
    assert Runner(queue).run_next()
    assert Runner(queue).skip_next()


def test_a_step_says_who_has_the_head(queue: BatchQueue) -> None:
    queue.enqueue(tasks.note, "a")
    assert queue.claim_item(60) is not None

    result = Runner(queue).run_next()

    assert result.is_error
    assert isinstance(result.exception, NothingReady)
    assert "somebody else holds it" in str(result.exception)


def test_a_step_may_steal(queue: BatchQueue, effects: list[str]) -> None:
    queue.enqueue(tasks.note, "a")
    held = queue.claim_item(60)
    assert held is not None

    assert Runner(queue).run_next(use_steal=True)

    assert effects == ["a"]
    assert queue.delete_items([held]) == [held]


def test_skipping_removes_the_next_item_without_running_it(queue: BatchQueue, effects: list[str]) -> None:
    enqueue_around(queue, Task(tasks.note, ("b",)))
    runner = Runner(queue)

    result = runner.skip_next()

    assert (result.skipped, result.completed, result.number_of_items) == (1, 0, 2)
    assert (result.last_task_title, result.is_continue) == ("A", True)
    assert effects == []
    runner.run_next()
    assert effects == ["b"]


def test_skipping_the_last_item_drains_the_queue(queue: BatchQueue) -> None:
    queue.enqueue(tasks.fail)

    assert Runner(queue).skip_next()


def test_a_failed_item_can_be_skipped_and_the_rest_run(queue: BatchQueue, effects: list[str]) -> None:
    enqueue_around(queue, Task(tasks.fail, (), "B"))
    runner = Runner(queue)
    assert not runner.run_all()

    skipped = runner.skip_next()

    assert skipped.last_task_title == "B"
    assert runner.run_all()
    assert effects == ["a", "attempt 1", "c"]


def test_a_held_item_can_be_skipped_by_stealing(queue: BatchQueue) -> None:
    queue.enqueue(tasks.note)
    held = queue.claim_item(60)
    assert held is not None

    assert Runner(queue).skip_next(use_steal=True).skipped == 1

    assert queue.delete_items([held]) == [held]
