"""The end of a run, and who watches it."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue import (
    BatchQueue,
    ErrorMode,
    Progress,
    Runner,
    RunResult,
    Task,
    signals,
)
from tests.contract import tasks
from tests.contract.tasks import enqueue_around


@pytest.mark.parametrize("mode", ErrorMode)
def test_on_end_is_called_once_after_the_last_item(queue: BatchQueue, effects: list[str], mode: ErrorMode) -> None:
    enqueue_around(queue, Task(tasks.note, ("b",)))

    result = Runner(queue, error_mode=mode, on_end=tasks.finish, on_end_url="/done").run_all()

    assert result
    assert effects == ["a", "b", "c", "the end of jobs"]
    assert result.redirect_url == "/done"


def test_on_end_is_called_after_a_run_that_went_on_despite_failures(queue: BatchQueue, effects: list[str]) -> None:
    enqueue_around(queue, Task(tasks.fail))

    assert Runner(queue, error_mode=ErrorMode.CONTINUE, on_end=tasks.finish).run_all()
    assert effects[-1] == "the end of jobs"


def test_on_end_is_not_called_while_items_are_left(queue: BatchQueue, effects: list[str]) -> None:
    enqueue_around(queue, Task(tasks.fail))
    runner = Runner(queue, error_mode=ErrorMode.ABORT, on_end=tasks.finish, on_end_url="/done")

    result = runner.run_all()

    assert effects == ["a", "attempt 1"]
    assert result.redirect_url is None
    runner.skip_next()
    assert runner.run_all().redirect_url == "/done"
    assert effects == ["a", "attempt 1", "c", "the end of jobs"]


@pytest.mark.parametrize("on_end", [tasks.fail, tasks.refuse])
def test_a_run_whose_on_end_fails_is_not_complete(queue: BatchQueue, on_end: Any) -> None:
    queue.enqueue(tasks.note)

    result = Runner(queue, on_end=on_end, on_end_url="/done").run_all()

    assert not result
    assert (result.is_error, result.completed, result.number_of_items) == (True, 1, 0)
    assert result.exception is not None
    assert result.redirect_url is None


def test_the_end_can_be_handled_by_hand(queue: BatchQueue, effects: list[str]) -> None:
    assert Runner(queue, on_end=tasks.finish).handle_end()
    assert effects == ["the end of jobs"]


def test_progress_is_shown_before_and_after_each_item_and_when_a_task_reports(queue: BatchQueue) -> None:
    seen: list[Progress] = []
    queue.enqueue(tasks.note, title="A")
    queue.create_item(tasks.step(lambda ctx: ctx.report(3, 10, "rows"), "B"))

    Runner(queue).run_all(progress=seen.append)

    assert seen[0].remaining == 2
    assert [one.title for one in seen if one.title] == ["A", "B", "B"]
    assert (3, 10, "rows") in [(one.done, one.total, one.message) for one in seen if one.title == "B"]
    assert [one.completed for one in seen if not one.title] == [0, 1, 2]
    assert (seen[-1].completed, seen[-1].failed, seen[-1].remaining) == (2, 0, 0)


def test_a_watcher_that_fails_decides_nothing(queue: BatchQueue) -> None:
    queue.enqueue(tasks.note)
    queue.create_item(tasks.step(lambda ctx: ctx.report(1)))

    def fail(progress: Progress) -> None:
        raise OSError("the terminal is gone")

    assert Runner(queue).run_all(progress=fail).completed == 2


def test_the_beginning_and_the_end_of_a_run_are_announced(queue: BatchQueue) -> None:
    heard: list[Any] = []
    runner = Runner(queue)
    queue.enqueue(tasks.note)

    def finished(sender: Runner, result: RunResult) -> None:
        heard.append(result)

    with signals.run_started.connected_to(heard.append, runner), signals.run_finished.connected_to(finished, runner):
        result = runner.run_all()

    assert heard == [runner, result]
