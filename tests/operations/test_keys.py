"""Idempotency keys."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue import QueueService, travel
from taskqueue.operations import CallGone, KeyReused, NotIdempotent, OperationFailed, Operations, StillRunning
from tests.operations.conftest import ALICE, BOB, drain


def test_the_same_key_gives_the_same_call(ops: Operations) -> None:
    done = []
    ops.operation("note", queueable=True, idempotent=True)(lambda ctx, data: done.append(data) or "ok")
    first, again = (ops.defer("note", 1, user=ALICE, key="k") for _ in range(2))
    other = ops.defer("note", 1, user=BOB, key="k")
    assert first.id == again.id != other.id
    drain(ops)
    assert done == [1, 1]
    assert ops.call("note", 1, user=ALICE, key="k") == "ok"
    assert done == [1, 1]
    with pytest.raises(KeyReused):
        ops.defer("note", 2, user=ALICE, key="k")


def test_a_direct_call_with_a_key_is_made_once(ops: Operations) -> None:
    done = []
    ops.operation("note", idempotent=True)(lambda ctx, data: done.append(data) or len(done))
    assert [ops.call("note", 1, key="k") for _ in range(3)] == [1, 1, 1]
    assert ops.call("note", 1, key="other") == 2


def test_a_direct_call_that_has_failed_is_answered_alike(ops: Operations) -> None:
    done = []

    @ops.operation("note", idempotent=True)
    def note(ctx: Any, data: Any) -> None:
        done.append(data)
        raise OperationFailed("no")

    for _ in range(2):
        with pytest.raises(OperationFailed, match=r"^no$"):
            ops.call("note", key="k")
    assert done == [None]


def test_while_the_first_call_waits_a_direct_one_is_told_so(ops: Operations) -> None:
    ops.operation("note", queueable=True, idempotent=True)(lambda ctx, data: None)
    call = ops.defer("note", key="k")
    with pytest.raises(StillRunning) as caught:
        ops.call("note", key="k")
    assert caught.value.tracking_id == call.id


def test_a_key_needs_an_operation_that_takes_one(ops: Operations) -> None:
    ops.operation("note", queueable=True)(lambda ctx, data: None)
    for make in (ops.call, ops.defer):
        with pytest.raises(NotIdempotent):
            make("note", key="k")


def test_reading_a_result_once_does_not_free_its_key(ops: Operations, service: QueueService) -> None:
    done: list[int] = []
    ops.operation("note", queueable=True, idempotent=True)(lambda ctx, data: done.append(data) or "ok")
    first = ops.defer("note", 1, key="k")
    drain(ops)
    assert ops.result(first.id, consume=True) == "ok"
    for sweep in (False, True):
        if sweep:
            service.prune(0)
            ops.sweep()
        with pytest.raises(CallGone):
            ops.call("note", 1, key="k")
    assert done == [1]


def test_a_key_is_free_again_when_its_result_was_to_be_kept_no_longer(ops: Operations) -> None:
    done: list[int] = []
    ops.operation("note", idempotent=True, result_ttl=60)(lambda ctx, data: done.append(data) or len(done))
    assert ops.call("note", 1, key="k") == 1
    with travel(61):
        assert ops.call("note", 1, key="k") == 2
