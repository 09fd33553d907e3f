"""Whoever wants to know is told of each end of a recorded call."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue import QueueService, travel
from taskqueue.operations import Call, OperationFailed, Operations
from tests.operations.conftest import contacts, drain, names


@pytest.fixture
def told(ops: Operations) -> list[Call]:
    """What was told, of calls of an operation that does as it is told."""
    calls: list[Call] = []
    ops.finished(lambda call: calls.append(call))

    @ops.operation("work", queueable=True, idempotent=True, retry=2)
    def work(ctx: Any, data: str) -> str:
        if data == "failed":
            raise OperationFailed("no")
        if data == "dead":
            raise ValueError
        if data == "cancelled":
            ops.cancel(ctx.tracking_id)
            raise InterruptedError
        return data

    return calls


@pytest.mark.parametrize("state", ["succeeded", "failed", "dead"])
def test_the_end_of_an_execution_is_told_once(ops: Operations, told: list[Call], state: str) -> None:
    call = ops.defer("work", state)
    for ahead in (0, 60, 120):
        drain(ops, ahead)
    assert [(one.id, one.state) for one in told] == [(call.id, state)]
    assert told[0].finished is not None
    assert told[0].facts() == ops.get(call.id).facts()


def test_one_that_was_not_begun_in_time_is_told(ops: Operations, told: list[Call]) -> None:
    call = ops.defer("work", "x", expires=10)
    drain(ops, 11)
    assert [(one.id, one.state) for one in told] == [(call.id, "expired")]


def test_a_direct_call_with_a_key_is_told_by_a_worker(ops: Operations, told: list[Call]) -> None:
    ops.call("work", "x")
    ops.call("work", "x", key="k")
    assert told == []
    drain(ops)
    assert [one.state for one in told] == ["succeeded"]


def test_a_call_that_is_tried_once_more_is_told_of_again(ops: Operations, told: list[Call]) -> None:
    call = ops.defer("work", "failed")
    drain(ops)
    ops.retry(call.id)
    drain(ops)
    assert [(one.id, one.state) for one in told] == [(call.id, "failed")] * 2


def test_whoever_fails_is_told_again_and_the_call_stays_as_it_ended(ops: Operations, told: list[Call]) -> None:
    troubles = [ValueError("not yet")]
    ops.finished(lambda call: _raised(troubles.pop()) if troubles else None)
    call = ops.defer("work", "x")
    drain(ops)
    assert (len(told), ops.get(call.id).state) == (1, "succeeded")
    drain(ops, 60)
    assert [(one.id, one.state) for one in told] == [(call.id, "succeeded")] * 2
    assert ops.get(call.id).attempts == 1


def test_what_was_rolled_back_is_not_told(ops: Operations, service: QueueService, told: list[Call]) -> None:
    @ops.operation("create", queueable=True, retry=2)
    def create(ctx: Any, data: Any) -> Any:
        ctx.session.execute(contacts.insert().values(name="Ann"))
        return object() if ctx.attempt == 1 and data == "object" else 1 / 0

    call = ops.defer("create", "object")
    drain(ops)
    assert [(one.id, one.state) for one in told] == [(call.id, "dead")]
    waiting = ops.defer("create")
    drain(ops)
    assert (ops.get(waiting.id).state, len(told), names(service)) == ("retrying", 1, [])


def test_a_call_that_was_forgotten_meanwhile_is_not_told(ops: Operations, told: list[Call]) -> None:
    call = ops.defer("work", "x")
    ops.cancel(call.id)
    ops.forget(call.id)
    assert drain(ops) in (0, 1)
    assert told == []


def test_without_anybody_who_wants_to_know_nothing_is_queued(ops: Operations, service: QueueService) -> None:
    ops.operation("work", queueable=True)(lambda ctx, data: None)
    call = ops.defer("work", delay=60)
    ops.defer("work")
    ops.cancel(call.id)
    assert drain(ops) == 1
    with travel(100):
        assert service.load("operations").number_of_items() == 0


def _raised(error: Exception) -> None:
    raise error


def test_one_that_was_cancelled_while_it_waited_is_told(ops: Operations, told: list[Call]) -> None:
    call = ops.defer("work", "x", delay=60)
    ops.cancel(call.id)
    drain(ops)
    assert [(one.id, one.state) for one in told] == [(call.id, "cancelled")]


@pytest.mark.parametrize("looked", [False, True])
def test_one_that_was_cancelled_while_it_ran_is_told(ops: Operations, told: list[Call], looked: bool) -> None:
    call = ops.defer("work", "cancelled")
    drain(ops)
    if looked:
        assert ops.get(call.id).state == "cancelled"
    drain(ops)
    assert [(one.id, one.state) for one in told] == [(call.id, "cancelled")]


@pytest.mark.parametrize("way", ["reset", "cancelled", "looked"])
def test_one_that_somebody_has_taken_from_the_queue_is_told(
    ops: Operations, service: QueueService, told: list[Call], way: str
) -> None:
    call, queue = ops.defer("work", "x"), service.load("operations")
    if way == "cancelled":
        queue.cancel_item(next(iter(queue.items())).id)
    else:
        queue.reset()
    if way == "looked":
        assert ops.get(call.id).state == "cancelled"
    drain(ops)
    assert [(one.id, one.state) for one in told] == [(call.id, "cancelled")]
