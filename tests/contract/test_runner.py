"""The runner: a queue processed to its end, step by step or at once."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue import (
    BatchQueue,
    ErrorMode,
    QueueNotActive,
    Runner,
    Task,
    TaskFailed,
    signals,
)
from tests.contract import tasks
from tests.contract.backends import Backend
from tests.contract.conftest import MakeQueue, MakeService
from tests.contract.tasks import enqueue_around

BAD = {
    "exception": Task(tasks.fail, (), "B"),
    "False": Task(tasks.refuse, (), "B"),
    "SystemExit": Task(tasks.leave, (), "B"),
}
bad_tasks = pytest.mark.parametrize("bad", BAD.values(), ids=BAD)


def test_all_tasks_run_in_order(queue: BatchQueue, effects: list[str]) -> None:
    enqueue_around(queue, Task(tasks.note, ("b",), "B"))

    result = Runner(queue).run_all()

    assert result
    assert effects == ["a", "b", "c"]
    assert (result.completed, result.failed, result.skipped, result.number_of_items) == (3, 0, 0, 0)
    assert (result.is_error, result.is_continue, result.exception) == (False, False, None)
    assert result.last_task_title == "C"
    assert result.elapsed > 0
    assert set(queue.statistics().values()) == {0}
    assert queue.status == "active"


def test_an_empty_queue_is_drained_at_once(queue: BatchQueue) -> None:
    result = Runner(queue).run_all()

    assert result
    assert (result.completed, result.last_task_title) == (0, "")


@pytest.mark.parametrize("value", [None, True, 0, "", [], 2], ids=repr)
def test_whatever_is_not_false_is_success(queue: BatchQueue, value: Any) -> None:
    queue.enqueue(tasks.answer, value)

    assert Runner(queue).run_all().completed == 1


def test_what_a_task_adds_with_a_lower_weight_goes_next(queue: BatchQueue, effects: list[str]) -> None:
    enqueue_around(queue, Task(tasks.add_three_first))

    assert Runner(queue).run_all()
    assert effects == ["a", "1", "2", "3", "c"]


@bad_tasks
def test_a_failure_is_passed_over_when_the_run_continues(make_queue: MakeQueue, bad: Task, effects: list[str]) -> None:
    queue = make_queue(error="delete")
    enqueue_around(queue, bad)

    result = Runner(queue, error_mode=ErrorMode.CONTINUE).run_all()

    assert result
    assert [effect for effect in effects if effect in ("a", "c")] == ["a", "c"]
    assert (result.completed, result.failed) == (2, 1)
    assert result.exception is not None
    assert queue.number_of_items() == 0


@bad_tasks
def test_a_failure_stops_the_run_and_stays_when_the_run_aborts(
    make_queue: MakeQueue, bad: Task, effects: list[str]
) -> None:
    queue = make_queue(error="delete")
    enqueue_around(queue, bad)

    result = Runner(queue, error_mode=ErrorMode.ABORT).run_all()

    assert not result
    assert (result.is_error, result.is_continue) == (True, False)
    assert "c" not in effects
    assert (result.completed, result.failed, result.number_of_items) == (1, 1, 2)
    assert result.last_task_title == "B"
    assert queue.statistics()["ready"] == 2
    assert queue.status == "aborted"
    head = next(queue.items())
    assert head.title == "B"
    assert head.last_error


def test_the_exception_of_the_task_is_handed_out(queue: BatchQueue) -> None:
    queue.enqueue(tasks.fail, "by its exception")
    assert str(Runner(queue).run_all().exception) == "by its exception"

    queue.reset()
    queue.enqueue(tasks.refuse)
    assert isinstance(Runner(queue).run_all().exception, TaskFailed)


@pytest.mark.parametrize(
    "error, mode, status, left, dead",
    [
        (None, None, "aborted", 1, 0),
        ("abort", None, "aborted", 1, 0),
        ("delete", None, "active", 0, 0),
        ("dead", None, "active", 0, 1),
        ("abort", ErrorMode.CONTINUE, "active", 0, 0),
        ("dead", ErrorMode.CONTINUE, "active", 0, 1),
        ("dead", ErrorMode.ABORT, "aborted", 1, 0),
        ("delete", Runner.ERROR_ABORT, "aborted", 1, 0),
        ("abort", Runner.ERROR_CONTINUE, "active", 0, 0),
    ],
)
def test_the_mode_of_the_run_wins_over_the_option_of_the_queue(
    make_queue: MakeQueue, error: str | None, mode: ErrorMode | None, status: str, left: int, dead: int
) -> None:
    queue = make_queue(error=error)
    queue.enqueue(tasks.fail)

    result = Runner(queue, error_mode=mode).run_all()

    assert bool(result) == (left == 0)
    assert (queue.status, queue.number_of_items(), queue.get_statistic("dead")) == (status, left, dead)


def test_an_aborted_queue_is_resumed_with_fresh_attempts(make_queue: MakeQueue, effects: list[str]) -> None:
    queue = make_queue(error="abort", retry_limit=1)
    enqueue_around(queue, Task(tasks.fail))
    assert not Runner(queue).run_all()
    assert queue.status == "aborted"

    result = Runner(queue).run_all()

    assert not result
    attempts = [effect for effect in effects if effect.startswith("attempt")]
    assert attempts == ["attempt 1", "attempt 2", "attempt 1", "attempt 2"]


def test_a_completed_queue_is_resumed(queue: BatchQueue, effects: list[str]) -> None:
    queue.enqueue(tasks.note, "a")
    queue.set_status("completed")

    assert Runner(queue).run_all()
    assert effects == ["a"]
    assert queue.status == "active"


@pytest.mark.parametrize("status", ["paused", "draft"])
@pytest.mark.parametrize("way", ["run_all", "run_next", "skip_next"])
def test_a_paused_queue_or_a_draft_is_refused(queue: BatchQueue, status: str, way: str) -> None:
    queue.enqueue(tasks.note, "a")
    queue.set_status(status)

    with pytest.raises(QueueNotActive, match=f"'jobs' is {status}: set it active"):
        getattr(Runner(queue), way)()

    item = queue.claim_item()
    assert item is not None
    assert item.run_count == 1
    assert queue.status == status


def test_a_queue_is_run_again_by_its_name(
    make_queue: MakeQueue, make_service: MakeService, backend: Backend, effects: list[str]
) -> None:
    for _ in range(2):
        queue = make_queue() if not backend.is_sql else make_service().create(backend.type, "jobs")
        enqueue_around(queue, Task(tasks.note, ("b",)))
        assert Runner(queue).run_all()

    assert effects == ["a", "b", "c"] * 2


def test_a_queue_that_asks_for_it_is_completed_by_a_run(make_queue: MakeQueue) -> None:
    queue = make_queue(complete_when_empty=True)
    seen: list[str] = []

    def note(queue: BatchQueue, status: str) -> None:
        seen.append(status)

    signals.queue_status.connect(note)
    try:
        assert Runner(queue).run_all()  # nothing was ever in it
        queue.enqueue(tasks.note, 1)
        assert Runner(queue).run_all()
    finally:
        signals.queue_status.disconnect(note)

    assert (seen, queue.status) == (["completed"], "completed")
