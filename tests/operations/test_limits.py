"""How much one user may have recorded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import QueueService, SpecError, travel
from taskqueue.operations import Limits, OperationFailed, Operations, TooManyCalls, User
from tests.operations.conftest import ALICE, BOB, drain


def declare(ops: Operations, name: str = "note", **limits: Any) -> None:
    ops.operation(name, queueable=True, idempotent=True, retry=1, limits=Limits(**limits))(
        lambda ctx, data: data.upper()
    )


def test_so_many_calls_of_one_user_and_operation_may_wait(ops: Operations) -> None:
    declare(ops, pending=2)
    declare(ops, "other", pending=1)
    for data in "ab":
        ops.defer("note", data, user=ALICE)
    with pytest.raises(TooManyCalls, match="2 calls of note by this user wait or run already: try again") as caught:
        ops.defer("note", "c", user=ALICE)
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (429, "too_many_calls", 5.0)
    ops.defer("note", "d", user=BOB)
    ops.defer("note", "d")
    ops.defer("other", "d", user=ALICE)
    assert len(ops.calls()) == 5
    assert drain(ops) == 5
    ops.defer("note", "c", user=ALICE)


@pytest.mark.parametrize("data", ["a", 5, "scheduled"])
def test_calls_that_have_ended_do_not_count_as_waiting(ops: Operations, data: Any) -> None:
    declare(ops, pending=1)
    call = ops.defer("note", data, delay=100 if data == "scheduled" else None)
    with pytest.raises(TooManyCalls):
        ops.defer("note", "b")
    if data == "scheduled":
        ops.cancel(call.id)
    drain(ops)
    assert ops.get(call.id).state == {"a": "succeeded", 5: "dead", "scheduled": "cancelled"}[data]
    ops.defer("note", "b")


def test_a_call_that_is_tried_again_counts_as_waiting(ops: Operations) -> None:
    ops.operation("note", queueable=True, retry=5, limits=Limits(pending=1))(lambda ctx, data: 1 / 0)
    call = ops.defer("note")
    drain(ops)
    assert ops.get(call.id).state == "retrying"
    with pytest.raises(TooManyCalls):
        ops.defer("note")


def test_so_many_calls_may_be_made_in_a_time(ops: Operations) -> None:
    declare(ops, rate=2, per="1m")
    ops.defer("note", "a", user=ALICE)
    with travel(20):
        ops.defer("note", "b", user=ALICE)
        drain(ops)
    with travel(45):
        with pytest.raises(TooManyCalls, match="this user has made 2 calls of note within 60 s: try") as caught:
            ops.defer("note", "c", user=ALICE)
        assert caught.value.retry_after == pytest.approx(15, abs=5)  # until the first one is a minute old
        ops.defer("note", "c", user=BOB)
        ops.defer("note", "c")
    with travel(61):
        ops.defer("note", "c", user=ALICE)
        with pytest.raises(TooManyCalls) as caught:
            ops.defer("note", "d", user=ALICE)
        assert caught.value.retry_after == pytest.approx(19, abs=5)
    with travel(200):
        ops.defer("note", "e", user=ALICE)
        ops.defer("note", "f", user=ALICE)


def test_trying_again_when_told_is_soon_enough(ops: Operations) -> None:
    declare(ops, rate=1, per=60)
    ops.defer("note", "a")
    with pytest.raises(TooManyCalls) as caught:
        ops.defer("note", "b")
    assert caught.value.retry_after is not None
    with travel(caught.value.retry_after):
        ops.defer("note", "b")


def test_both_limits_hold(ops: Operations) -> None:
    declare(ops, pending=1, rate=2)
    ops.defer("note", "a")
    with pytest.raises(TooManyCalls, match="wait or run"):
        ops.defer("note", "b")
    drain(ops)
    ops.defer("note", "b")
    drain(ops)
    with pytest.raises(TooManyCalls, match="within 3600 s"):
        ops.defer("note", "c")


def test_a_key_that_is_repeated_is_never_too_many(ops: Operations) -> None:
    declare(ops, pending=1, rate=1)
    call = ops.defer("note", "a", key="k")
    assert ops.defer("note", "a", key="k").id == call.id
    with pytest.raises(TooManyCalls):
        ops.defer("note", "a", key="other")
    drain(ops)
    assert ops.call("note", "a", key="k") == "A"
    with pytest.raises(TooManyCalls):
        ops.call("note", "a", key="other")
    assert len(ops.calls()) == 1


def test_direct_calls_count_only_with_a_key(ops: Operations) -> None:
    declare(ops, rate=1)
    for _ in range(3):
        assert ops.call("note", "a") == "A"
    assert ops.call("note", "a", key="k") == "A"
    for make in (lambda: ops.call("note", "a", key="other"), lambda: ops.defer("note", "a")):
        with pytest.raises(TooManyCalls):
            make()
    assert ops.call("note", "a") == "A"


def test_a_direct_call_counts_while_it_is_made(ops: Operations) -> None:
    @ops.operation("nested", queueable=True, idempotent=True, limits=Limits(pending=1))
    def nested(ctx: Any, data: int) -> str:
        if data == 1:
            try:
                ops.defer("nested", 2)
            except TooManyCalls:
                raise OperationFailed("one is running", code="running") from None
        return "made"

    with pytest.raises(OperationFailed, match="one is running"):
        ops.call("nested", 1, key="k")


def test_nobody_in_particular_is_one_user(ops: Operations) -> None:
    declare(ops, pending=1)
    ops.defer("note", "a")
    with pytest.raises(TooManyCalls):
        ops.defer("note", "b")
    ops.defer("note", "c", user="")


def test_a_transaction_counts_its_own_calls_and_is_none_when_rolled_back(ops: Operations, session: Session) -> None:
    declare(ops, pending=2, rate=2)
    for data in "ab":
        ops.defer("note", data, session=session)
    with pytest.raises(TooManyCalls):
        ops.defer("note", "c", session=session)
    session.rollback()
    for data in "ab":
        ops.defer("note", data, session=session)
    session.commit()
    assert drain(ops) == 2


def test_what_was_refused_does_not_count(ops: Operations) -> None:
    declare(ops, rate=2)
    ops.defer("note", "a")
    for _ in range(3):
        with pytest.raises(SpecError, match="an idempotency key is"):
            ops.defer("note", "a", key=" ")
    ops.defer("note", "b")


def test_calls_that_were_forgotten_do_not_count(ops: Operations) -> None:
    declare(ops, rate=1)
    call = ops.defer("note", "a")
    drain(ops)
    ops.forget(call.id)
    ops.defer("note", "b")


def test_requests_at_the_same_moment_exceed_it_by_no_more_than_their_number(ops: Operations) -> None:
    declare(ops, pending=2)
    ops.defer("note", "a")
    barrier = Barrier(4)

    def make(number: int) -> bool:
        barrier.wait()
        try:
            ops.defer("note", str(number))
        except TooManyCalls:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        made = sum(pool.map(make, range(4)))
    assert 1 <= made <= 4
    assert len(ops.calls()) == 1 + made
    with pytest.raises(TooManyCalls):
        ops.defer("note", "b")


@pytest.mark.parametrize("is_moment", [False, True])
def test_one_that_is_due_after_its_deadline_counts_until_then(
    ops: Operations, service: QueueService, is_moment: bool
) -> None:
    ops.operation("note", queueable=True, limits=Limits(pending=1))(lambda ctx, data: data)
    due = datetime.now(timezone.utc) + timedelta(days=30)
    call = ops.defer("note", user="alice", expires="1h", **({"release_time": due} if is_moment else {"delay": "30d"}))
    assert call.state == "scheduled"
    with travel(7200):
        ops.drain()  # nobody has looked at it
        ends = service.database.statement(lambda tx: tx.rows("SELECT state FROM {operation} WHERE end_time > 0"))
        assert [tuple(row) for row in ends] == [("expired",)]
        ops.defer("note", user="alice")


def test_whoever_retries_is_held_to_what_may_wait_and_administrators_are_not(ops: Operations) -> None:
    @ops.operation("note", queueable=True, retry=1, limits=Limits(pending=1))
    def note(ctx: object, data: str) -> None:
        raise OperationFailed("no") if data == "no" else ValueError

    ended = []
    for data in ("no", "die", "no"):
        ended.append(ops.defer("note", data, user=ALICE).id)
        drain(ops)
    assert ops.retry(ended[0], user=ALICE).state == "queued"
    for call_id in ended[1:]:
        with pytest.raises(TooManyCalls):
            ops.retry(call_id, user=ALICE)
    assert ops.retry(ended[1]).state == "queued"
    assert ops.retry(ended[2], user=User("root", is_admin=True)).state == "queued"
