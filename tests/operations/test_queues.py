"""What administrators do to the queues of calls, and what becomes of those calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskqueue import ConfigurationError, QueueService, travel
from taskqueue.operations import NotPossible, OperationFailed, Operations
from tests.operations.conftest import clear, drain
from tests.operations.crowd import Count


@pytest.fixture
def done() -> Count:
    """What was executed."""
    return Count()


@pytest.fixture
def ops(service: QueueService, done: Count) -> Operations:
    return declare(Operations(service), done)


def declare(ops: Operations, done: Count) -> Operations:
    """An operation that says no until it was asked twice."""

    @ops.operation("note", queueable=True, idempotent=True, retry=1)
    def note(ctx: object, data: str) -> str:
        number = done.add(data)
        if data == "no" and number == 1:
            raise OperationFailed("no")
        if data == "die" and number == 1:
            raise ValueError
        return "ok"

    return ops


def test_a_paused_queue_keeps_its_calls_and_a_direct_one_is_made(ops: Operations, service: QueueService) -> None:
    call = ops.defer("note", "a")
    service.load("operations").set_status("paused")
    assert (drain(ops), ops.get(call.id).state) == (0, "queued")
    assert ops.call("note", "b", key="k") == "ok"
    service.load("operations").set_status("active")
    assert (drain(ops), ops.get(call.id).state) == (1, "succeeded")


@pytest.mark.parametrize("how", ["reset", "delete"])
def test_calls_that_were_thrown_away_are_cancelled_and_new_ones_are_executed(
    ops: Operations, service: QueueService, done: Count, how: str
) -> None:
    lost = ops.defer("note", "lost", key="k")
    queue = service.load("operations")
    if how == "reset":
        queue.reset()
    else:
        service.delete("operations")
    assert ops.get(lost.id).state == "cancelled"
    ops._queues._known = None  # as after a few seconds
    new = ops.defer("note", "new")
    drain(ops)
    assert (ops.get(lost.id).state, ops.get(new.id).state, done.done) == ("cancelled", "succeeded", ["new"])
    with pytest.raises(NotPossible):
        ops.cancel(lost.id)


def test_looking_at_a_call_does_not_make_its_deleted_queue_anew(ops: Operations, service: QueueService) -> None:
    call = ops.defer("note", "a")
    service.delete("operations")
    ops._queues._known = None
    assert ops.get(call.id).state == "cancelled"
    ops.forget(call.id)
    assert not service.exists("operations")


def test_a_queue_of_another_kind_under_the_name_is_refused(ops: Operations, service: QueueService) -> None:
    service.create("Sql", "operations")
    with pytest.raises(ConfigurationError, match="give Operations another queue="):
        ops.defer("note", "a")


@pytest.fixture
def renamed(url: str, ops: Operations, done: Count) -> Iterator[Operations]:
    """The same operations after a deployment, whose calls stand on a queue of another name."""
    made = QueueService(url, secret_key="a key of the tests, no secret")
    ops.service.settings.codec = made.settings.codec
    yield declare(Operations(made, queue="renamed", former_queues=["operations"]), done)
    clear(made)
    made.close()


def test_calls_on_the_queue_of_an_earlier_name_are_executed_cancelled_and_retried(
    ops: Operations, renamed: Operations, done: Count
) -> None:
    failed = ops.defer("note", "no")
    drain(ops)
    old, waiting = ops.defer("note", "old"), ops.defer("note", "waiting", delay=60)
    new = renamed.defer("note", "new")
    assert renamed.cancel(waiting.id).state == "cancelled"
    assert renamed.retry(failed.id).state == "queued"
    drain(renamed)
    assert {renamed.get(call.id).state for call in (failed, old, new)} == {"succeeded"}
    assert {queue.name for queue in renamed._queues.standing()} == {"operations", "renamed"}
    assert len(done.done) == 4


@pytest.mark.parametrize("remade", [False, True])
def test_a_call_whose_queue_is_gone_is_tried_again_on_the_present_one(
    ops: Operations, renamed: Operations, done: Count, remade: bool
) -> None:
    failed = ops.defer("note", "no")
    drain(ops)
    renamed.service.delete("operations")
    if remade:  # as something else
        renamed.service.create("Sql", "operations")
    assert renamed.retry(failed.id).state == "queued"
    drain(renamed)
    assert (renamed.result(failed.id), done.done) == ("ok", ["no", "no"])


def test_a_key_stays_that_of_the_call_on_the_queue_of_an_earlier_name(ops: Operations, renamed: Operations) -> None:
    first = ops.defer("note", "a", key="k")
    assert renamed.defer("note", "a", key="k").id == first.id
    drain(renamed)
    assert renamed.call("note", "a", key="k") == "ok"


def test_a_dead_call_that_is_tried_again_late_may_be_begun_all_the_same(ops: Operations) -> None:
    call = ops.defer("note", "die", expires=60)
    drain(ops)
    assert ops.get(call.id).state == "dead"
    with travel(61):
        assert ops.retry(call.id).state == "queued"
        drain(ops, 61)
        assert ops.get(call.id).state == "succeeded"
