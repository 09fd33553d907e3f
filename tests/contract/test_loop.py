"""Executing what was claimed, and the loop with limits."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from taskqueue import (
    BatchQueue,
    ConfigurationError,
    Later,
    Outcome,
    SpecError,
    Task,
    TaskContext,
    run_items,
    run_loop,
    signals,
    travel,
)
from tests.contract import tasks
from tests.contract.backends import only_parallel, only_sequential
from tests.contract.conftest import MakeQueue


def outcomes(queue: BatchQueue, items: Any) -> list[Outcome]:
    return [attempt.outcome for attempt in run_items(queue, items)]


# --- run_items ---


def test_claimed_items_are_executed_in_order(make_queue: MakeQueue, effects: list[Any]) -> None:
    queue = make_queue(batch_limit=3)
    for value in "abcd":
        queue.enqueue(tasks.note, value)

    attempts = run_items(queue, queue.claim_items(3))

    assert [attempt.outcome for attempt in attempts] == ["ok"] * 3
    assert effects == ["a", "b", "c"]
    assert queue.number_of_items() == 1


def test_nothing_claimed_is_nothing_done(queue: BatchQueue) -> None:
    assert run_items(queue, []) == []


def test_an_item_that_is_not_held_any_more_is_not_executed(
    make_queue: MakeQueue, other_of: Any, effects: list[Any]
) -> None:
    queue = make_queue()
    queue.enqueue(tasks.note, "a")
    item = queue.claim_item()
    stolen = other_of(queue).steal_item()

    assert outcomes(queue, [item]) == ["lease_lost"]
    assert effects == []
    assert outcomes(queue, [stolen]) == ["ok"]


def test_an_item_whose_lease_has_ended_is_not_executed(queue: BatchQueue, effects: list[Any]) -> None:
    queue.enqueue(tasks.note, "a")
    item = queue.claim_item(1)

    with travel(2):
        assert outcomes(queue, [item]) == ["lease_lost"]
    assert effects == []


def test_an_abort_gives_the_rest_back(make_queue: MakeQueue, effects: list[Any]) -> None:
    queue = make_queue(batch_limit=4)
    for task in (Task(tasks.note, ("a",)), Task(tasks.fail), Task(tasks.note, ("c",)), Task(tasks.note, ("d",))):
        queue.create_item(task)

    assert outcomes(queue, queue.claim_items(4)) == ["ok", "abort", "relinquish", "relinquish"]
    assert effects == ["a", "attempt 1"]
    assert [item.run_count for item in queue.items()] == [1, 0, 0]
    assert (queue.status, queue.statistics()["ready"]) == ("aborted", 3)


@pytest.mark.parametrize("first", ["retry", "later", "weight"])
@only_sequential
def test_on_a_sequential_queue_the_rest_waits_for_what_goes_before(
    make_queue: MakeQueue, effects: list[Any], first: str
) -> None:
    queue = make_queue(batch_limit=3, retry_limit=1)

    def come_before(ctx: TaskContext) -> bool:
        if first == "later":
            raise Later(60)
        if first == "weight":
            ctx.queue.enqueue(tasks.note, "before", weight=-1)
        return first == "weight"

    queue.create_item(tasks.step(come_before))
    queue.enqueue(tasks.note, "behind")

    assert outcomes(queue, queue.claim_items(3))[1:] == ["relinquish"]
    assert effects == []


@only_parallel
def test_on_a_parallel_queue_a_retry_holds_nobody_up(make_queue: MakeQueue, effects: list[Any]) -> None:
    queue = make_queue(batch_limit=3, retry_limit=1)
    queue.enqueue(tasks.fail)
    queue.enqueue(tasks.note, "behind")

    assert outcomes(queue, queue.claim_items(3)) == ["retry", "ok"]


def test_items_of_others_are_refused(make_queue: MakeQueue) -> None:
    queue, stranger = make_queue(), make_queue("other")
    stranger.enqueue(tasks.note)
    item = stranger.claim_item()

    for given in (item, "a"):
        with pytest.raises(SpecError, match="claimed from queue 'jobs'"):
            run_items(queue, [given])  # type: ignore[list-item]
    assert stranger.statistics()["leased"] == 1


def test_a_payload_that_nobody_handles_is_left_alone(make_queue: MakeQueue) -> None:
    queue = make_queue(payload="thumb")
    queue.create_item(1)

    with pytest.raises(ConfigurationError, match="no handler"):
        run_loop(queue)
    assert queue.statistics()["ready"] == 1


# --- run_loop ---


def test_a_duration_ends_it(queue: BatchQueue, effects: list[Any]) -> None:
    for value in "ab":
        queue.enqueue(tasks.note, value)

    report = run_loop(queue, max_duration=0)

    assert (report.loop_requests, report.exit_message) == (0, "reached the duration limit (0 s)")
    assert effects == []


@pytest.mark.parametrize("limit", [None, -1])
def test_limits_may_be_left_out(queue: BatchQueue, limit: int | None) -> None:
    queue.create_items([Task(tasks.note)] * 12)

    report = run_loop(queue, limit, limit)

    assert (report.item_successes, report.loop_requests) == (12, 13)
    assert report.loop_duration > 0


def test_an_item_that_is_put_off_counts_as_nothing(queue: BatchQueue) -> None:
    def later(ctx: TaskContext) -> None:
        raise Later(60)

    queue.create_item(tasks.step(later))

    report = run_loop(queue)

    assert (report.item_successes, report.item_errors, report.queue_blocked) == (0, 0, 1)
    assert report.exit_message == "no item can be claimed"


def test_a_retry_counts_as_an_error_and_is_tried_again(make_queue: MakeQueue) -> None:
    queue = make_queue(retry_limit=1, error="delete")
    queue.enqueue(tasks.fail)

    report = run_loop(queue)

    assert (report.item_errors, report.queue_total) == (2, 0)


def test_a_stop_ends_it_after_the_item_in_hand(make_queue: MakeQueue, effects: list[Any]) -> None:
    queue, stop = make_queue(batch_limit=3), threading.Event()
    queue.create_item(tasks.step(lambda ctx: (stop.set(), tasks.effects.append(ctx.should_stop))))
    queue.enqueue(tasks.note, "behind")

    report = run_loop(queue, stop=stop)

    assert (effects, report.exit_message) == ([True], "stopped")
    assert queue.statistics()["ready"] == 1


@pytest.mark.parametrize("status", ["paused", "draft", "completed"])
def test_a_queue_that_is_not_active_is_left_alone(queue: BatchQueue, status: str, effects: list[Any]) -> None:
    queue.enqueue(tasks.note)
    queue.set_status(status)

    report = run_loop(queue)

    assert (report.loop_requests, report.exit_message) == (0, f"the queue is not active ({status})")
    assert (report.queue_total, effects) == (1, [])


def test_a_queue_that_is_held_back_is_left_alone(queue: BatchQueue) -> None:
    queue.enqueue(tasks.note)

    with signals.queue_active.connected_to(lambda sender: False, queue):
        report = run_loop(queue)

    assert "held back by a queue_active receiver" in report.exit_message


def test_an_item_that_was_interrupted_is_executed_alone(make_queue: MakeQueue, effects: list[Any]) -> None:
    queue = make_queue(batch_limit=3)
    queue.create_item(tasks.step(lambda ctx: tasks.effects.append(queue.statistics()["leased"])))
    queue.create_item(tasks.step(lambda ctx: tasks.effects.append(queue.statistics()["leased"])))
    assert queue.claim_item(1) is not None

    with travel(2):
        report = run_loop(queue)

    assert report.item_successes == 2
    assert effects == [1, 1]


@pytest.mark.parametrize("limits", [("many", 1), (1, "long"), (True, 1)], ids=str)
def test_limits_that_are_none_are_refused(queue: BatchQueue, limits: Any) -> None:
    with pytest.raises(SpecError, match="must be a number or None"):
        run_loop(queue, *limits)


def test_item_finished_tells_how_long_it_took_and_waited(queue: BatchQueue) -> None:
    heard: list[Any] = []
    queue.create_item(tasks.step(lambda ctx: tasks.last(0.05)))
    queue.create_item(tasks.step(lambda ctx: ctx.attempt == 2))

    def listen(sender: BatchQueue, seconds: float, waited: float | None, **facts: Any) -> None:
        heard.append((seconds, waited))

    queue.update(retry_limit=1)
    with signals.item_finished.connected_to(listen, queue), travel(100):
        run_loop(queue)

    (first, waited), (second, waited_too), (_third, never) = heard
    assert 0.05 <= first < 5 and second < 0.05
    assert 100 <= waited < 110 and waited < waited_too < 110
    assert never is None
