"""Whoever wants to know is told of each end of a call, in whatever way it has come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from taskqueue import QueueService, travel
from taskqueue.operations import Call, OperationFailed, Operations
from tests.operations.conftest import drain


class Listener:
    """Is told of ends; fails as often as it is said."""

    def __init__(self, ops: Operations, fails: int = 0) -> None:
        self.told: list[tuple[str, str]] = []
        self.fails = fails
        ops.finished(self.finished)

    def finished(self, call: Call) -> None:
        if self.fails:
            self.fails -= 1
            raise ValueError("busy")
        self.told.append((call.id, call.state))


@pytest.fixture
def ops(service: QueueService) -> Operations:
    made = Operations(service)

    @made.operation("do", queueable=True, retry=1)
    def do(ctx: Any, data: str) -> None:
        if data == "fail":
            raise OperationFailed("no")
        if data == "die":
            raise ValueError
        if data == "cancel":
            made.cancel(ctx.tracking_id)
            raise ValueError

    return made


@pytest.mark.parametrize(
    ("data", "state"), [("", "succeeded"), ("fail", "failed"), ("die", "dead"), ("cancel", "cancelled")]
)
def test_an_end_is_told(ops: Operations, data: str, state: str) -> None:
    listener = Listener(ops)
    call = ops.defer("do", data)
    drain(ops)
    drain(ops, 6)
    assert listener.told == [(call.id, state)]


def test_the_end_of_what_stops_only_later_is_told_once(ops: Operations) -> None:
    listener = Listener(ops)
    call = ops.defer("do", "")
    queue = ops.service.load("operations")
    item = queue.claim_item()
    assert item is not None
    for _ in range(2):
        assert ops.cancel(call.id).state == "running"
    with travel(6):
        assert ops.drain(wait=False) == 1
    assert listener.told == []
    queue.release_item(item)
    drain(ops, 12)
    assert listener.told == [(call.id, "cancelled")]


def test_what_succeeds_although_it_should_stop_is_told_of_once(ops: Operations) -> None:
    listener = Listener(ops)

    @ops.operation("persist", queueable=True)
    def persist(ctx: Any, data: Any) -> None:
        ops.cancel(ctx.tracking_id)

    call = ops.defer("persist")
    drain(ops)
    drain(ops, 6)
    assert listener.told == [(call.id, "succeeded")]


def test_the_end_of_what_was_never_begun_is_told(ops: Operations, service: QueueService) -> None:
    listener = Listener(ops)
    cancelled, expired, seen = (
        ops.defer("do", "", delay=60),
        ops.defer("do", "", expires=5),
        ops.defer("do", "", expires=5),
    )
    ops.cancel(cancelled.id)
    with travel(10):
        assert ops.get(seen.id).state == "expired"
    drain(ops, 10)
    assert sorted(listener.told) == sorted([(cancelled.id, "cancelled"), (expired.id, "expired"), (seen.id, "expired")])


def test_the_end_of_what_was_taken_from_the_queue_is_told(ops: Operations, service: QueueService) -> None:
    listener = Listener(ops)
    call, queue = ops.defer("do", "", delay=60), service.load("operations")
    queue.cancel_item(next(iter(queue.items())).id)
    drain(ops)
    assert listener.told == [(call.id, "cancelled")]


def test_the_end_that_pruning_finds_is_told_and_that_of_a_dead_one_not_again(
    ops: Operations, service: QueueService
) -> None:
    listener = Listener(ops)
    dead, taken = ops.defer("do", "die"), ops.defer("do", "", delay=60)
    drain(ops)
    queue = service.load("operations")
    queue.cancel_item(next(iter(queue.items())).id)
    with travel(1):
        service.prune(0, dead=True)
    drain(ops)
    assert listener.told == [(dead.id, "dead"), (taken.id, "cancelled")]
    assert ops.get(dead.id).state == "dead"


def test_the_end_of_a_call_whose_item_cannot_be_read_is_told(ops: Operations, service: QueueService) -> None:
    listener = Listener(ops)
    call = ops.defer("do", "")
    service.database.transaction(lambda tx: tx.change("UPDATE {item} SET data = 'damaged'"))
    drain(ops)
    assert listener.told == [(call.id, "dead")]


def test_who_fails_to_hear_is_told_again(ops: Operations) -> None:
    listener = Listener(ops, fails=2)
    call = ops.defer("do", "")
    for seconds in (0, 60, 120):
        drain(ops, seconds)
    assert listener.told == [(call.id, "succeeded")]


def test_one_who_never_hears_leaves_a_dead_letter_and_the_call_as_it_is(ops: Operations, service: QueueService) -> None:
    listener = Listener(ops, fails=100)
    call = ops.defer("do", "")
    for seconds in (0, 60, 120, 180):
        drain(ops, seconds)
    (letter,) = service.load("operations").dead_items()
    assert "busy" in letter.error and ops.get(call.id).state == "succeeded"
    listener.fails = 0
    service.load("operations").revive_item(letter.id)
    drain(ops)
    assert listener.told == [(call.id, "succeeded")]


def test_a_coroutine_is_told_too(ops: Operations) -> None:
    told = []

    @ops.finished
    async def finished(call: Call) -> None:
        await asyncio.sleep(0)
        told.append(call.state)

    ops.defer("do", "")
    drain(ops)
    assert told == ["succeeded"]


def test_of_one_that_has_begun_anew_only_the_new_end_is_told(ops: Operations, service: QueueService) -> None:
    listener = Listener(ops, fails=1)
    call = ops.defer("do", "fail")
    drain(ops)
    ops.retry(call.id)
    listener.fails = 0
    queue = service.load("operations")
    with travel(60):
        news = next(item for item in queue.items() if "finished" in item.data)
        assert queue.number_of_items() == 2
        queue.update(concurrency_limit=1)
        service.database.transaction(lambda tx: tx.change("UPDATE {item} SET weight = -1 WHERE id = :id", id=news.id))
        claimed = next(item for item in queue.items() if "operation" in item.data)
        service.database.transaction(lambda tx: tx.change("UPDATE {item} SET weight = 5 WHERE id = :id", id=claimed.id))
        drain(ops, 60)
    assert listener.told == [(call.id, "failed")], "the news of the first end came while there was none"
