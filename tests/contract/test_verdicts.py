"""What a task may say about its own end: again, never again, later."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue import (
    BatchQueue,
    Later,
    Outcome,
    Retry,
    Runner,
    Task,
    TaskContext,
    Unrecoverable,
    signals,
    travel,
)
from tests.contract import tasks
from tests.contract.backends import once_per_database, only_parallel, only_sequential
from tests.contract.conftest import MakeQueue
from tests.contract.records import begin, counted, counters, drive, run_of, sql, store


def raising(error: BaseException, times: int = 1_000_000) -> Task:
    """A task that raises ``error`` so many times, and is done then."""

    def work(ctx: TaskContext) -> None:
        tasks.effects.append(ctx.attempt)
        if len(tasks.effects) <= times:
            raise error

    return tasks.step(work)


class Gone(Exception):
    """An exception of the application that knows of no other attempt."""

    unrecoverable = True


# --- Retry ---


def test_retry_waits_as_long_as_it_says(make_queue: MakeQueue, effects: list[int]) -> None:
    queue = make_queue(retry_limit=1, retry_interval=1000, retry_backoff=10)
    queue.create_item(raising(Retry(after=60, reason="the server is busy"), times=1))

    result = Runner(queue).run_all(wait=0)

    assert result.is_continue
    assert not result.is_error
    assert queue.statistics()["delayed"] == 1
    with travel(59):
        assert queue.claim_item() is None
    with travel(61):
        item = queue.claim_item()
    assert item is not None
    assert (item.failures, item.last_error) == (1, "the server is busy")


def test_retry_without_a_time_waits_as_the_queue_says(make_queue: MakeQueue) -> None:
    queue = make_queue(retry_limit=1, retry_interval=60)
    queue.create_item(raising(Retry(), times=1))

    Runner(queue).run_all(wait=0)

    with travel(59):
        assert queue.claim_item() is None
    with travel(61):
        assert queue.claim_item() is not None


@pytest.mark.parametrize("error", ["delete", "abort", "dead"])
def test_retry_is_a_failure_like_others(make_queue: MakeQueue, error: str, effects: list[int]) -> None:
    queue = make_queue(retry_limit=2, error=error)
    queue.create_item(raising(Retry(after=0)))

    result = Runner(queue).run_all()

    assert effects == [1, 2, 3]
    assert result.failed == 1
    assert (queue.number_of_items(), queue.statistics()["dead"]) == (error == "abort", error == "dead")


# --- Unrecoverable ---


@pytest.mark.parametrize(
    "raised", [Unrecoverable("the file is gone"), Gone("the file is gone")], ids=["ours", "theirs"]
)
@pytest.mark.parametrize("error", ["delete", "abort", "dead"])
def test_what_is_unrecoverable_is_not_tried_again(
    make_queue: MakeQueue, error: str, raised: BaseException, effects: list[int]
) -> None:
    queue = make_queue(retry_limit=5, error=error)
    queue.create_item(raising(raised))

    result = Runner(queue).run_all()

    assert effects == [1]
    assert result.failed == 1
    assert (queue.number_of_items(), queue.statistics()["dead"]) == (error == "abort", error == "dead")


# --- Later ---


def test_later_counts_nothing(make_queue: MakeQueue, effects: list[int]) -> None:
    queue = make_queue(error="dead")
    queue.create_item(raising(Later(60, "not yet"), times=3))

    for minute in range(4):
        with travel(61 * minute):
            result = Runner(queue).run_all(wait=0)
            assert (result.failed, result.is_error, bool(result)) == (0, False, minute == 3)
            standing = next(queue.items(), None)
            if standing is not None:
                assert (standing.run_count, standing.failures, standing.interruptions) == (0, 0, 0)

    assert effects == [1, 1, 1, 1]
    assert queue.statistics()["dead"] == 0


def test_later_is_no_failure_for_hooks(make_queue: MakeQueue) -> None:
    queue = make_queue(error="delete")
    queue.create_item(raising(Later(60, "not yet")))
    asked: list[Outcome] = []
    heard: list[Any] = []

    def ask(sender: BatchQueue, outcome: Outcome, **facts: Any) -> None:
        asked.append(outcome)

    def listen(sender: BatchQueue, outcome: Outcome, exception: BaseException, **facts: Any) -> None:
        heard.append((outcome, str(exception)))

    with signals.task_error.connected_to(ask, queue), signals.item_finished.connected_to(listen, queue):
        Runner(queue).run_all(wait=0)

    assert (asked, heard) == ([], [("relinquish", "not yet")])


@only_sequential
def test_on_a_sequential_queue_the_others_wait_behind_it(queue: BatchQueue, effects: list[Any]) -> None:
    queue.create_items([Task(tasks.note, ("first",))] * 3)  # so that some are leased ahead
    queue.create_item(tasks.step(lambda ctx: "now" in tasks.effects or _raise(Later(60))))
    queue.enqueue(tasks.note, "behind")

    result = Runner(queue).run_all(wait=0)

    assert effects == ["first"] * 3
    assert result.is_continue
    assert (queue.statistics()["leased"], queue.number_of_items()) == (0, 2)
    with travel(61):
        effects.append("now")
        assert Runner(queue).run_all(wait=0)
    assert effects == ["first"] * 3 + ["now", "behind"]


@only_sequential
def test_a_run_waits_for_its_head_to_come_back(queue: BatchQueue, effects: list[Any]) -> None:
    queue.create_item(raising(Later(0.05), times=1))
    queue.enqueue(tasks.note, "behind")

    result = Runner(queue).run_all()

    assert result
    assert (result.completed, result.failed) == (2, 0)
    assert effects == [1, 1, "behind"]


@only_parallel
def test_on_a_parallel_queue_it_is_passed_by(queue: BatchQueue, effects: list[Any]) -> None:
    queue.create_item(tasks.step(lambda ctx: _raise(Later(60))))
    queue.enqueue(tasks.note, "behind")

    result = Runner(queue).run_all(wait=0)

    assert effects == ["behind"]
    assert (result.completed, result.failed, result.number_of_items) == (1, 0, 1)


@once_per_database
def test_the_record_of_a_run_says_nothing_of_later(queue: BatchQueue) -> None:
    queue.create_item(raising(Later(0.01), times=5))
    run = begin(queue)

    for _ in range(100):
        if run_of(queue).status == "completed":
            break
        drive(queue, run)

    assert run_of(queue).status == "completed"
    assert counters(run_of(queue)) == counted(1, done=1)
    assert {line.kind for line in store(queue).log(run.id)} <= {"created", "started", "done", "completed"}


# --- tracebacks ---


def helper_that_fails() -> None:
    raise KeyError("column 7")


def tracebacks(queue: BatchQueue) -> list[str | None]:
    """What was kept of the failures of a queue, oldest first."""
    database = sql(queue).database
    rows = database.transaction(lambda tx: tx.rows("SELECT traceback FROM {ending} ORDER BY id"))
    return [row[0] for row in rows]


@once_per_database
@pytest.mark.parametrize("error", ["delete", "abort", "dead"])
def test_the_traceback_shows_the_frames_of_the_task(make_queue: MakeQueue, error: str) -> None:
    queue = make_queue(retry_limit=1, error=error)
    queue.create_item(tasks.step(lambda ctx: helper_that_fails()))

    Runner(queue).run_all()

    kept = tracebacks(queue)
    assert len(kept) == 2  # the failure that was tried again as well
    for text in kept:
        assert text is not None
        assert "helper_that_fails" in text
        assert text.endswith("KeyError: 'column 7'")
        assert "taskqueue/execution" not in text


@once_per_database
def test_a_long_traceback_keeps_its_end(make_queue: MakeQueue) -> None:
    queue = make_queue(error="delete")
    queue.create_item(tasks.step(lambda ctx: _raise(ValueError("x" * 50_000 + " the end"))))

    Runner(queue).run_all()

    (text,) = tracebacks(queue)
    assert text is not None
    assert len(text) == 20_000
    assert text.endswith("the end")


@once_per_database
def test_what_was_refused_has_no_traceback(make_queue: MakeQueue) -> None:
    queue = make_queue(error="delete")
    queue.create_item("no task")
    queue.enqueue(tasks.refuse)

    Runner(queue).run_all()

    assert tracebacks(queue) == [None, None]


def _raise(error: BaseException) -> Any:
    raise error
