"""How often an item is executed, and what becomes of it then."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue import (
    BatchQueue,
    ErrorMode,
    Outcome,
    QueueItem,
    Runner,
    Task,
    TaskContext,
    TaskTimeout,
    signals,
    travel,
)
from tests.contract import tasks
from tests.contract.backends import Backend, only_memory
from tests.contract.conftest import MakeQueue, MakeService


class Outcomes:
    """Collects how the attempts ended."""

    def __init__(self, queue: BatchQueue) -> None:
        self.seen: list[Outcome] = []
        self._connection = signals.item_finished.connected_to(self._listen, queue)

    def __enter__(self) -> list[Outcome]:
        self._connection.__enter__()
        return self.seen

    def __exit__(self, *error: Any) -> None:
        self._connection.__exit__(*error)

    def _listen(self, sender: BatchQueue, item: QueueItem, outcome: Outcome, exception: object, **facts: Any) -> None:
        self.seen.append(outcome)


def lose_worker(queue: BatchQueue, times: int) -> None:
    """Let so many holders of the head go away without a word."""
    for number in range(times):
        with travel(10 * (number + 1)):
            assert queue.claim_item(5) is not None


@pytest.mark.parametrize("error", ["delete", "abort", "dead"])
@pytest.mark.parametrize("retry_limit", [0, 2])
def test_an_item_is_executed_until_it_has_failed_once_more_than_is_forgiven(
    make_queue: MakeQueue, error: str, retry_limit: int, effects: list[str]
) -> None:
    queue = make_queue(error=error, retry_limit=retry_limit)
    queue.enqueue(tasks.fail)

    with Outcomes(queue) as outcomes:
        result = Runner(queue).run_all()

    assert effects == [f"attempt {number + 1}" for number in range(retry_limit + 1)]
    assert outcomes == ["retry"] * retry_limit + [error]
    assert result.failed == 1
    assert queue.number_of_items() == (error == "abort")
    assert queue.is_active() == (error != "abort")


@pytest.mark.parametrize("mode", ErrorMode)
def test_retries_are_made_in_every_mode(make_queue: MakeQueue, mode: ErrorMode, effects: list[str]) -> None:
    queue = make_queue(retry_limit=2)
    queue.create_item(tasks.step(lambda ctx: tasks.effects.append(ctx.attempt) or ctx.attempt == 3))

    result = Runner(queue, error_mode=mode).run_all()

    assert effects == [1, 2, 3]
    assert (result.completed, result.failed) == (1, 0)
    assert result


def test_a_failed_item_is_hidden_until_its_retry(make_queue: MakeQueue) -> None:
    queue = make_queue(retry_limit=2, retry_interval=4)
    queue.create_item(tasks.step(lambda ctx: True))
    queue.create_item(tasks.step(lambda ctx: ctx.attempt == 2))
    runner = Runner(queue)
    runner.run_next()

    runner.run_next()

    assert queue.statistics()["delayed"] == 1
    with travel(3):
        assert queue.claim_item() is None
    with travel(4.1):
        assert runner.run_next()


def test_each_pause_is_longer_with_a_backoff(make_queue: MakeQueue) -> None:
    queue = make_queue(retry_limit=9, retry_interval=10, retry_backoff=3)
    queue.create_item(tasks.step(lambda ctx: False))
    pauses, moment = [], 0.0

    for _ in range(3):
        with travel(moment):
            Runner(queue).run_next()
            wait = queue.wait()
            assert wait is not None
            pauses.append(wait.seconds)
            moment += wait.seconds + 0.2

    for pause, expected in zip(pauses, (10, 30, 90), strict=True):
        assert expected * 0.95 <= pause <= expected * 1.11


def test_a_lost_worker_is_no_failure(make_queue: MakeQueue, effects: list[str]) -> None:
    queue = make_queue(error="delete", retry_limit=0)
    queue.create_item(tasks.step(lambda ctx: tasks.effects.append(ctx.attempt)))
    lose_worker(queue, 2)

    with travel(60):
        result = Runner(queue).run_all()

    assert result.completed == 1
    assert effects == [1]


@pytest.mark.parametrize("error", ["delete", "abort", "dead"])
def test_an_item_that_lost_three_workers_has_failed(make_queue: MakeQueue, error: str, effects: list[str]) -> None:
    queue = make_queue(error=error)
    queue.enqueue(tasks.note, "executed")
    lose_worker(queue, 3)

    with travel(60), Outcomes(queue) as outcomes:
        result = Runner(queue).run_all()

    assert effects == []
    assert outcomes == [error]
    assert str(result.exception) == "worker lost 3 times"
    if error == "dead":
        assert [dead.error for dead in queue.dead_items()] == ["worker lost 3 times"]


def test_lost_workers_are_a_failure_that_can_be_retried(make_queue: MakeQueue, effects: list[str]) -> None:
    queue = make_queue(error="delete", retry_limit=1)
    queue.enqueue(tasks.note, "executed")
    lose_worker(queue, 3)

    with travel(60), Outcomes(queue) as outcomes:
        Runner(queue).run_all()

    assert outcomes == ["retry", "ok"]
    assert effects == ["executed"]


def test_how_many_lost_workers_are_a_failure_is_a_setting(make_service: MakeService, backend: Backend) -> None:
    queue = make_service(interrupt_limit=1).create(backend.type, "jobs", error="dead")
    queue.enqueue(tasks.note)
    lose_worker(queue, 1)

    with travel(60):
        Runner(queue).run_all()

    assert [dead.error for dead in queue.dead_items()] == ["worker lost 1 times"]


def test_a_relinquished_or_released_item_was_not_interrupted(queue: BatchQueue) -> None:
    queue.enqueue(tasks.note)
    for give_back in (queue.relinquish_items, queue.release_items) * 3:
        item = queue.claim_item()
        assert item is not None
        give_back([item])

    assert Runner(queue).run_all().completed == 1


def test_resuming_an_aborted_queue_forgets_lost_workers(queue: BatchQueue, effects: list[str]) -> None:
    queue.enqueue(tasks.note, "executed")
    lose_worker(queue, 3)
    with travel(60):
        assert not Runner(queue).run_all()

        assert Runner(queue).run_all()

    assert effects == ["executed"]


def test_the_latest_error_stands_on_the_item(make_queue: MakeQueue) -> None:
    queue = make_queue(retry_limit=3)
    item = queue.enqueue(tasks.fail, "no paper")

    Runner(queue).run_next()

    found = queue.fetch_item(item.id)
    assert found is not None
    assert found.last_error == "ValueError: no paper"
    assert (found.failures, found.run_count) == (1, 1)


def test_a_task_that_does_not_report_in_time_has_failed(make_queue: MakeQueue) -> None:
    queue = make_queue(lease_time=0.05)
    queue.create_item(tasks.step(lambda ctx: tasks.last(0.1)))

    result = Runner(queue).run_all()

    assert isinstance(result.exception, TaskTimeout)
    assert result.number_of_items == 1


@pytest.mark.parametrize("error", ["abort", "delete"])
def test_a_task_that_outlived_its_lease_has_failed_if_nobody_took_its_item(
    make_service: MakeService, backend: Backend, error: str, effects: list[int]
) -> None:
    service = make_service(lease_slice=0.1, heartbeat=0.04)
    queue = service.create(backend.type, "jobs", lease_time=0.05, error=error)
    queue.create_item(tasks.step(lambda ctx: (tasks.effects.append(ctx.attempt), tasks.last(0.25))))

    result = Runner(queue).run_all()

    assert effects == [1]
    assert isinstance(result.exception, TaskTimeout)
    assert (result.failed, queue.is_active()) == (1, error == "delete")


@only_memory  # it takes long, and no database is involved
def test_a_task_that_reports_may_take_longer(make_queue: MakeQueue) -> None:
    queue = make_queue(lease_time=0.4)

    def work(ctx: TaskContext) -> None:
        for done in range(5):
            tasks.last(0.1)
            ctx.report(done, 5)

    queue.create_item(tasks.step(work))

    assert Runner(queue).run_all()


def test_a_task_is_called_with_its_arguments(queue: BatchQueue, effects: list[Any]) -> None:
    queue.create_item(Task(tasks.keywords, (1, "b"), kwargs={"size": (2, 3), "deep": {"x": None}}))
    queue.create_item(Task("tests.contract.tasks:Holder.static", ("s",)))
    queue.create_item(Task(("tests.contract.tasks.Holder", "of_class"), ("c",)))

    assert Runner(queue).run_all()
    assert effects == [((1, "b"), {"size": (2, 3), "deep": {"x": None}}), "s", ("Holder", "c")]


def test_a_call_that_does_not_fit_its_function_is_a_failure(queue: BatchQueue) -> None:
    queue.create_item(Task(tasks.note, kwargs={"nonsense": 1}))

    result = Runner(queue).run_all()

    assert isinstance(result.exception, TypeError)
    assert result.number_of_items == 1


def test_the_children_of_a_failed_task_stay(queue: BatchQueue, effects: list[str]) -> None:
    def add_and_fail(ctx: TaskContext) -> bool:
        ctx.queue.enqueue(tasks.note, "child", weight=-1)
        return False

    queue.create_item(tasks.step(add_and_fail))

    result = Runner(queue, error_mode=ErrorMode.CONTINUE).run_all()

    assert effects == ["child"]
    assert (result.completed, result.failed) == (1, 1)


def test_a_task_knows_its_item_queue_and_attempt(make_queue: MakeQueue, caplog: pytest.LogCaptureFixture) -> None:
    queue = make_queue(retry_limit=1)
    seen: list[Any] = []

    def look(ctx: TaskContext) -> bool:
        assert ctx.item is not None
        seen.append((ctx.queue, ctx.item.id, ctx.attempt))
        ctx.log.warning("looked")
        return ctx.attempt == 2

    item = queue.create_item(tasks.step(look))

    Runner(queue).run_all()

    assert seen == [(queue, item.id, 1), (queue, item.id, 2)]
    assert f"[jobs #{item.id} attempt 2] looked" in caplog.messages
