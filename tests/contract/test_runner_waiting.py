"""A run whose items are held by others, delayed, or waiting for their retry."""

from __future__ import annotations

import threading
import time

import pytest

from taskqueue import BatchQueue, Progress, Runner, TaskContext
from tests.contract import tasks
from tests.contract.backends import only_sequential
from tests.contract.conftest import MakeQueue


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiting run looks at the queue more often than usual, to save the time of the tests."""
    monkeypatch.setattr("taskqueue.drive._LOOK_EVERY", 0.03)


@pytest.mark.parametrize("head", ["leased", "delayed"])
def test_a_run_that_must_not_wait_returns_at_once(queue: BatchQueue, head: str, effects: list[str]) -> None:
    queue.create_item(tasks.step(lambda ctx: tasks.effects.append("head")), delay=60 if head == "delayed" else None)
    held = queue.claim_item(60) if head == "leased" else None

    began = time.monotonic()
    result = Runner(queue, on_end=tasks.finish).run_all(wait=0)

    assert time.monotonic() - began < 5
    assert not result
    assert (result.is_error, result.is_continue, result.number_of_items, result.completed) == (False, True, 1, 0)
    assert effects == []
    if held is not None:
        queue.delete_item(held)  # nothing was changed about it


@only_sequential
def test_a_run_that_must_not_wait_passes_nothing_by_on_a_sequential_queue(
    queue: BatchQueue, effects: list[str]
) -> None:
    queue.enqueue(tasks.note, "before")
    queue.enqueue(tasks.note, "later", delay=60)
    queue.enqueue(tasks.note, "behind")

    result = Runner(queue).run_all(wait=0)

    assert effects == ["before"]
    assert result.number_of_items == 2


def test_a_run_waits_for_a_delayed_item(queue: BatchQueue, effects: list[str]) -> None:
    queue.enqueue(tasks.note, "later", delay=0.15)

    result = Runner(queue).run_all(wait=20)

    assert result
    assert effects == ["later"]
    assert result.elapsed >= 0.1


def test_a_run_waits_for_an_item_whose_holder_went_away(queue: BatchQueue, effects: list[str]) -> None:
    queue.enqueue(tasks.note, "orphan")
    queue.claim_item(0.15)

    assert Runner(queue).run_all(wait=20)
    assert effects == ["orphan"]


def test_a_run_waits_for_a_holder_to_finish(queue: BatchQueue, other: BatchQueue, effects: list[str]) -> None:
    queue.enqueue(tasks.note, "held")
    held = other.claim_item(600)
    assert held is not None
    seen: list[tuple[bool, bool]] = []

    def finish_it(progress: Progress) -> None:
        if progress.waiting is not None and not seen:
            seen.append((progress.waiting.is_leased, progress.waiting.seconds > 500))
            other.delete_item(held)

    result = Runner(queue).run_all(wait=20, progress=finish_it)

    assert result
    assert seen == [(True, True)]
    assert (result.completed, effects) == (0, [])


def test_a_run_gives_up_when_the_wait_is_over(queue: BatchQueue) -> None:
    queue.enqueue(tasks.note, delay=600)
    shown: list[Progress] = []

    result = Runner(queue).run_all(wait=0.1, progress=shown.append)

    assert not result
    assert 0.1 <= result.elapsed < 10
    assert any(progress.waiting is not None and not progress.waiting.is_leased for progress in shown)


def test_a_run_waits_for_a_retry(make_queue: MakeQueue, effects: list[float]) -> None:
    queue = make_queue(retry_limit=1, retry_interval=0.1, error="delete")

    def fail_at_first(ctx: TaskContext) -> bool:
        tasks.effects.append(time.monotonic())
        return ctx.attempt > 1

    queue.create_item(tasks.step(fail_at_first))

    assert Runner(queue).run_all().completed == 1
    first, second = effects
    assert second - first >= 0.09


def test_a_waiting_run_sees_what_is_added(queue: BatchQueue, other: BatchQueue, effects: list[str]) -> None:
    queue.enqueue(tasks.note, "later", weight=5, delay=600)

    runner = Runner(queue)

    def add(progress: Progress) -> None:
        if progress.waiting is not None and "now" not in effects:
            other.enqueue(tasks.note, "now")
        elif "now" in effects:
            runner.stop()

    result = runner.run_all(wait=20, progress=add)

    assert effects == ["now"]
    assert result.number_of_items == 1


def test_a_waiting_run_can_be_stopped(queue: BatchQueue) -> None:
    queue.enqueue(tasks.note, delay=600)
    runner = Runner(queue)
    waiting = threading.Event()

    def watch(progress: Progress) -> None:
        if progress.waiting is not None:
            waiting.set()

    thread = threading.Thread(target=lambda: waiting.wait(20) and runner.stop())
    thread.start()
    result = runner.run_all(wait=20, progress=watch)
    thread.join()

    assert not result.is_error
    assert result.number_of_items == 1


def test_a_waiting_run_stops_when_the_queue_is_paused(queue: BatchQueue, other: BatchQueue) -> None:
    queue.enqueue(tasks.note, delay=600)

    def pause(progress: Progress) -> None:
        if progress.waiting is not None:
            other.set_status("paused")

    result = Runner(queue).run_all(wait=20, progress=pause)

    assert result.is_error
    assert "paused" in str(result.exception)
