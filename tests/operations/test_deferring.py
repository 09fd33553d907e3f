"""A deferred call: an id now, its state and result later."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import QueueService, SpecError
from taskqueue.operations import (
    CallGone,
    CallNotFound,
    File,
    NotFinished,
    NotPossible,
    NotQueueable,
    OperationError,
    OperationFailed,
    Operations,
    UnknownOperation,
    User,
)
from tests.operations.conftest import ALICE, BOB, contacts, drain, names


def test_an_id_comes_at_once_and_nothing_is_executed(ops: Operations) -> None:
    done = []
    ops.operation("note", queueable=True)(lambda ctx, data: done.append(data))
    call = ops.defer("note", {"text": "Ä"}, user="alice")
    assert (len(call.id), call.state, done) == (32, "queued", [])
    assert call.id != ops.defer("note", {"text": "Ä"}, user="alice").id
    assert drain(ops) == 2
    assert done == [{"text": "Ä"}] * 2
    assert ops.get(call.id).state == "succeeded"


def test_the_result_is_there_after_the_end_and_stays(ops: Operations) -> None:
    @ops.operation("double", queueable=True)
    def double(ctx: Any, data: int) -> int:
        return data * 2

    call = ops.defer("double", 21)
    with pytest.raises(NotFinished, match="it is queued"):
        ops.result(call.id)
    drain(ops)
    assert [ops.result(call.id), ops.result(call.id)] == [42, 42]
    assert ops.result(call.id, consume=True) == 42
    with pytest.raises(CallGone):
        ops.result(call.id)


@pytest.mark.parametrize("value", [None, "", "äöü €😀 \u2028", [], {}, {"$bytes": "x"}, "x" * 10_000_000, 10**30],
                         ids=lambda value: str(value)[:10])  # fmt: skip
def test_results_round_trip(ops: Operations, value: Any) -> None:
    ops.operation("give", queueable=True)(lambda ctx, data: value)
    call = ops.defer("give")
    drain(ops)
    assert ops.result(call.id) == value


@pytest.mark.parametrize("content", [b"", bytes(range(256)), b"\xff" * 10_000_000], ids=len)
def test_binary_results_round_trip(ops: Operations, content: bytes) -> None:
    ops.operation("give", queueable=True)(lambda ctx, data: File(content, "application/pdf", "ä.pdf"))
    call = ops.defer("give")
    drain(ops)
    assert ops.result(call.id) == File(content, "application/pdf", "ä.pdf")


def test_a_delay_is_respected(ops: Operations) -> None:
    ops.operation("note", queueable=True)(lambda ctx, data: None)
    call = ops.defer("note", delay=60)
    assert (drain(ops), ops.get(call.id).state) == (0, "scheduled")
    assert call.due is not None
    assert round((call.due - call.created).total_seconds()) == 60
    assert drain(ops, 61) == 1
    assert ops.get(call.id).state == "succeeded"


def test_what_an_operation_says_no_to_has_failed_and_its_writes_are_gone(
    ops: Operations, service: QueueService
) -> None:
    @ops.operation("create", queueable=True)
    def create(ctx: Any, data: Any) -> None:
        ctx.session.execute(contacts.insert().values(name="Ann"))
        raise OperationFailed("there is an Ann already", code="duplicate", details={"name": "Ann"})

    call = ops.defer("create")
    assert drain(ops) == 1
    found = ops.get(call.id)
    assert (found.state, found.attempts) == ("failed", 1)
    assert found.error == {"code": "duplicate", "message": "there is an Ann already", "details": {"name": "Ann"}}
    assert names(service) == []
    with pytest.raises(OperationFailed, match="an Ann already"):
        ops.result(call.id)


def test_an_exception_is_tried_again_and_dead_at_last(ops: Operations) -> None:
    @ops.operation("create", queueable=True, retry=2)
    def create(ctx: Any, data: Any) -> None:
        raise ValueError("secret of the program")

    call = ops.defer("create")
    assert (drain(ops), ops.get(call.id).state) == (1, "retrying")
    assert drain(ops, 30) == 1
    found = ops.get(call.id)
    assert (found.state, found.attempts, (found.error or {})["code"]) == ("dead", 2, "internal_error")
    assert "secret" not in str(found.error)
    with pytest.raises(OperationError, match="could not be executed"):
        ops.result(call.id)


def test_writes_result_and_end_are_one(ops: Operations, service: QueueService) -> None:
    @ops.operation("create", queueable=True)
    def create(ctx: Any, data: Any) -> str:
        ctx.session.execute(contacts.insert().values(name=data))
        return "made"

    call = ops.defer("create", "Ann")
    drain(ops)
    assert (names(service), ops.result(call.id)) == (["Ann"], "made")


def test_a_call_is_part_of_the_callers_transaction(ops: Operations, session: Session) -> None:
    ops.operation("note", queueable=True)(lambda ctx, data: None)
    lost = ops.defer("note", session=session)
    session.rollback()
    kept = ops.defer("note", session=session)
    session.commit()
    assert drain(ops) == 1
    assert ops.get(kept.id).state == "succeeded"
    with pytest.raises(CallNotFound):
        ops.get(lost.id)


def test_strangers_are_told_that_there_is_nothing(ops: Operations) -> None:
    ops.operation("note", queueable=True)(lambda ctx, data: None)
    call = ops.defer("note", user=ALICE)
    for tracking_id in (call.id, "0" * 32, "", "' OR 1=1", call.id.upper(), 7):
        with pytest.raises(CallNotFound, match=r"^there is no such call, or it is not yours to see$"):
            ops.get(tracking_id, user=BOB)  # type: ignore[arg-type]
    assert ops.get(call.id, user=ALICE).id == ops.get(call.id, user=User("root", is_admin=True)).id
    assert ([one.id for one in ops.calls(user=ALICE)], ops.calls(user=BOB)) == ([call.id], [])


def test_what_cannot_be_deferred_is_refused_and_not_executed(ops: Operations) -> None:
    done = []
    ops.operation("note")(lambda ctx, data: done.append(data))
    with pytest.raises(NotQueueable):
        ops.defer("note")
    with pytest.raises(UnknownOperation, match="did you mean 'note'"):
        ops.defer("nota")
    with pytest.raises(SpecError, match="already"):
        ops.operation("note")(lambda ctx, data: None)
    assert done == []


def test_a_waiting_call_is_cancelled(ops: Operations) -> None:
    ops.operation("note", queueable=True)(lambda ctx, data: None)
    call = ops.defer("note")
    assert ops.cancel(call.id).state == "cancelled"
    assert drain(ops) == 0
    with pytest.raises(NotPossible, match="it is cancelled"):
        ops.cancel(call.id)


@pytest.mark.parametrize("state", ["dead", "failed"])
def test_a_call_is_tried_once_more(ops: Operations, state: str) -> None:
    errors = [ValueError() if state == "dead" else OperationFailed("no")]
    ops.operation("note", queueable=True, retry=1)(lambda ctx, data: _raised(errors.pop()) if errors else "ok")
    call = ops.defer("note")
    drain(ops)
    assert ops.get(call.id).state == state
    assert ops.retry(call.id).state == "queued"
    drain(ops)
    assert ops.result(call.id) == "ok"


def test_what_was_taken_from_the_queue_counts_as_cancelled(ops: Operations, service: QueueService) -> None:
    ops.operation("note", queueable=True)(lambda ctx, data: None)
    call = ops.defer("note")
    service.load("operations").reset()
    assert ops.get(call.id).state == "cancelled"


def test_an_operation_that_nobody_knows_ends_dead(ops: Operations) -> None:
    ops.operation("note", queueable=True)(lambda ctx, data: None)
    call = ops.defer("note")
    ops._operations.clear()
    drain(ops)
    assert ops.get(call.id).state == "dead"


def test_one_that_is_not_begun_in_time_expires(ops: Operations) -> None:
    ops.operation("note", queueable=True)(lambda ctx, data: None)
    call = ops.defer("note", expires=10)
    drain(ops, 11)
    assert ops.get(call.id).state == "expired"


def _raised(error: Exception) -> None:
    raise error
