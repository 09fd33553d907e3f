"""Items that are cancelled while, or before, somebody executes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from taskqueue import BatchQueue, Later, Outcome, Retry, Runner, TaskContext, signals, travel
from tests.contract import tasks
from tests.contract.backends import Backend, once_per_database
from tests.contract.conftest import MakeQueue, MakeService
from tests.contract.records import begin, counted, counters, drive_to_the_end


def ask_to_stop(ctx: TaskContext) -> None:
    """What an admin does meanwhile."""
    assert ctx.item is not None
    assert ctx.queue.cancel_item(ctx.item.id) == "stopping"


def cancelled_and(end: Callable[[], Any]) -> Callable[[TaskContext], Any]:
    def work(ctx: TaskContext) -> Any:
        tasks.effects.append("begun")
        ask_to_stop(ctx)
        return end()

    return work


def fail(error: BaseException) -> Callable[[], Any]:
    def end() -> None:
        raise error

    return end


@pytest.mark.parametrize(
    "end",
    [fail(ValueError("stopped")), fail(Retry()), fail(Later(60)), lambda: False],
    ids=["error", "retry", "later", "false"],
)
@pytest.mark.parametrize("error", ["abort", "dead"])
def test_a_task_that_does_not_finish_is_cancelled(
    make_queue: MakeQueue, end: Callable[[], Any], error: str, effects: list[Any]
) -> None:
    queue = make_queue(retry_limit=3, error=error)
    item = queue.create_item(tasks.step(cancelled_and(end)))
    asked: list[Outcome] = []

    with signals.task_error.connected_to(lambda sender, outcome, **facts: asked.append(outcome), queue):
        result = Runner(queue).run_all()

    assert (bool(result), result.failed, result.skipped) == (True, 0, 1)
    assert (queue.outcome_of(item.id), queue.status, queue.statistics()["dead"]) == ("cancelled", "active", 0)
    assert (effects, asked) == (["begun"], [])


def test_a_task_that_finishes_all_the_same_is_ok(queue: BatchQueue) -> None:
    item = queue.create_item(tasks.step(cancelled_and(lambda: None)))

    result = Runner(queue).run_all()

    assert (result.completed, result.skipped, queue.outcome_of(item.id)) == (1, 0, "ok")


def test_an_item_that_was_cancelled_in_other_hands_is_never_executed(queue: BatchQueue, effects: list[Any]) -> None:
    item = queue.enqueue(tasks.note, "never")
    assert queue.claim_item(1) is not None
    assert queue.cancel_item(item.id) == "stopping"

    with travel(2):
        Runner(queue).run_all()

    assert (effects, queue.outcome_of(item.id)) == ([], "cancelled")


@pytest.fixture
def quick(make_service: MakeService, backend: Backend) -> BatchQueue:
    """A queue whose holders look every few milliseconds."""
    return make_service(lease_slice=5, heartbeat=0.02).create(backend.type, "jobs", retry_limit=3)


def test_the_task_sees_that_it_should_stop(quick: BatchQueue, effects: list[Any]) -> None:
    def work(ctx: TaskContext) -> bool:
        assert not ctx.should_stop
        ask_to_stop(ctx)
        tasks.effects.append(tasks.until(lambda: ctx.should_stop))
        return False

    item = quick.create_item(tasks.step(work))

    Runner(quick).run_all()

    assert (effects, quick.outcome_of(item.id)) == ([True], "cancelled")


def test_a_coroutine_is_cancelled(quick: BatchQueue, effects: list[Any]) -> None:
    async def work(ctx: TaskContext) -> None:
        ask_to_stop(ctx)
        try:
            await asyncio.sleep(60)
        finally:
            tasks.effects.append("cleaned up")

    item = quick.create_item(tasks.step(lambda ctx: work(ctx)))

    Runner(quick).run_all()

    assert (effects, quick.outcome_of(item.id)) == (["cleaned up"], "cancelled")


@once_per_database
def test_the_record_of_a_run_counts_it_as_skipped(queue: BatchQueue) -> None:
    queue.create_item(tasks.step(cancelled_and(fail(ValueError("stopped")))))
    queue.enqueue(tasks.note)

    run = drive_to_the_end(queue, begin(queue))

    assert run.status == "completed"
    assert counters(run) == counted(2, done=1, skipped=1)
