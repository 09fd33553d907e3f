"""What is told of calls: their facts, and lists of them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from taskqueue import QueueService, SpecError, travel
from taskqueue.operations import FINAL, STATES, CallNotFound, OperationFailed, Operations, UnknownOperation
from tests.operations.conftest import ALICE, BOB, drain

TIMES = ["created", "due", "deadline", "finished", "expires"]
FACTS = ["id", "operation", "state", "stopping", "attempts", "progress", *TIMES, "error"]


@pytest.fixture
def all_states(ops: Operations, service: QueueService) -> dict[str, str]:
    """A call in each state that one comes to without anybody working on it at the moment; the id by the state."""

    @ops.operation("work", queueable=True, retry=2, aliases=["toil"])
    def work(ctx: Any, data: str) -> str:
        ctx.report(1, 2, "half of it")
        if data == "failed":
            raise OperationFailed("no")
        if data in ("dead", "retrying"):
            raise ValueError("secret of the program")
        return data

    found = {"dead": ops.defer("work", "dead", user=ALICE).id}
    drain(ops)
    drain(ops, 60)
    for state in ("failed", "succeeded", "retrying"):
        found[state] = ops.defer("toil", state, user=ALICE).id
    found["cancelled"] = ops.defer("work", "cancelled", user=ALICE).id
    ops.cancel(found["cancelled"])
    with travel(-120):
        found["expired"] = ops.defer("work", "expired", user=ALICE, delay=10, expires=60).id
    drain(ops)
    found["scheduled"] = ops.defer("work", "x", user=ALICE, delay=3600, expires=7200).id
    found["queued"] = ops.defer("work", "x", user=ALICE).id
    ops.defer("work", "x", user=BOB)
    return found


def test_calls_by_each_state(ops: Operations, all_states: dict[str, str]) -> None:
    assert {*all_states, "running"} == {*STATES}
    for state, call_id in all_states.items():
        assert [call.id for call in ops.calls(state=state, user=ALICE)] == [call_id], state
        assert ops.get(call_id).state == state
        assert ops.get(call_id).is_final is (state in FINAL)
    assert ops.calls(state="running") == []
    assert {call.state: call.id for call in ops.calls(user=ALICE)} == all_states


def test_facts_are_json_and_always_the_same_ones(ops: Operations, all_states: dict[str, str]) -> None:
    for state, call_id in all_states.items():
        facts = ops.get(call_id).facts()
        assert json.loads(json.dumps(facts)) == facts
        assert [*facts] == FACTS
        assert (facts["state"], facts["operation"], facts["id"]) == (state, "work", call_id)
        for name in TIMES:
            moment = facts[name]
            assert moment is None or (moment.endswith("Z") and datetime.fromisoformat(moment[:-1] + "+00:00"))
        assert (facts["finished"] is not None) is (state in FINAL), state
        assert (facts["due"] is not None) is (state in ("scheduled", "expired")), state
        assert (facts["deadline"] is not None) is (state in ("scheduled", "expired")), state
        assert (facts["error"] is not None) is (state in FINAL and state != "succeeded"), state
        assert "secret" not in str(facts)
        assert ALICE.id not in facts.values()


def test_the_attempts_are_those_that_were_begun(ops: Operations, all_states: dict[str, str]) -> None:
    assert {state: ops.get(call_id).attempts for state, call_id in all_states.items()} == {
        "queued": 0, "scheduled": 0, "expired": 0, "cancelled": 0, "retrying": 1, "failed": 1, "succeeded": 1,
        "dead": 2,
    }  # fmt: skip


def test_each_end_has_an_error_with_a_code(ops: Operations, all_states: dict[str, str]) -> None:
    codes = {"failed": "failed", "dead": "internal_error", "cancelled": "cancelled", "expired": "expired"}
    for state, code in codes.items():
        error = ops.get(all_states[state]).error
        assert error is not None
        assert error["code"] == code
        assert error["message"]


def test_times_are_in_order(ops: Operations) -> None:
    ops.operation("work", queueable=True, result_ttl="1h")(lambda ctx, data: None)
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    call = ops.defer("work", delay=20, expires="1m")
    assert call.due is not None
    assert call.deadline is not None
    assert before < call.created < call.due < call.deadline
    assert (call.due - call.created, call.deadline - call.created) == (timedelta(seconds=20), timedelta(seconds=60))
    with travel(30):
        drain(ops)
        found = ops.get(call.id)
        assert found.finished is not None
        assert found.expires is not None
        assert (found.created, found.due, found.deadline) == (call.created, call.due, call.deadline)
        assert found.due < found.finished  # type: ignore[operator]
        assert found.expires - found.finished == timedelta(hours=1)


def test_while_it_runs_it_says_how_far_it_is(ops: Operations) -> None:
    seen = []

    @ops.operation("work", queueable=True)
    def work(ctx: Any, data: Any) -> None:
        call = ops.get(ctx.tracking_id)
        seen.append((call.state, call.attempts, call.finished, call.error, ctx.attempt))
        assert [one.id for one in ops.calls(state="running")] == [ctx.tracking_id]

    ops.defer("work")
    drain(ops)
    assert seen == [("running", 1, None, None, 1)]


# --- lists ---


def test_calls_are_listed_the_newest_first_in_pages(ops: Operations, service: QueueService) -> None:
    ops.operation("work", queueable=True)(lambda ctx, data: None)
    ids = [ops.defer("work", user=ALICE).id for _ in range(7)]
    for equal in (False, True):
        if equal:  # all made in the same moment
            service.database.transaction(lambda tx: tx.change("UPDATE {operation} SET create_time = 1000"))
        found: list[str] = []
        while page := ops.calls(user=ALICE, limit=3, after=found[-1] if found else None):
            assert len(page) <= 3
            found += [call.id for call in page]
        assert found == sorted(found, reverse=True) if equal else sorted(found) == sorted(ids)
        assert len(found) == 7


def test_what_comes_in_between_pages_moves_none_of_them(ops: Operations) -> None:
    ops.operation("work", queueable=True)(lambda ctx, data: None)
    with travel(-60):
        ids = [ops.defer("work").id for _ in range(2)]
    first = ops.calls(limit=1)
    ops.defer("work")
    [second] = ops.calls(limit=2, after=first[0].id)
    assert {first[0].id, second.id} == {*ids}


def test_calls_by_operation_and_its_other_names(ops: Operations) -> None:
    ops.operation("work", queueable=True, aliases=["toil"])(lambda ctx, data: None)
    ops.operation("other", queueable=True)(lambda ctx, data: None)
    call = ops.defer("toil", user=ALICE)
    ops.defer("other", user=ALICE)
    for name in ("work", "toil"):
        assert [one.id for one in ops.calls(operation=name)] == [call.id]
        assert [one.id for one in ops.calls(operation=name, user=ALICE, state="queued")] == [call.id]
        assert ops.calls(operation=name, user=BOB) == []


def test_a_place_in_a_list_that_is_not_ones_own_is_none(ops: Operations) -> None:
    ops.operation("work", queueable=True)(lambda ctx, data: None)
    theirs, mine = ops.defer("work", user=BOB), ops.defer("work", user=ALICE)
    for after in (theirs.id, "0" * 32, "", "x"):
        with pytest.raises(CallNotFound):
            ops.calls(user=ALICE, after=after)
    assert ops.calls(user=ALICE, after=mine.id) == []
    assert [call.id for call in ops.calls(after=mine.id)] in ([theirs.id], [])


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"state": "done"}, SpecError, "they are queued, scheduled, running"),
        ({"state": "succeded"}, SpecError, "did you mean 'succeeded'"),
        ({"state": 5}, SpecError, "there is no state"),
        ({"limit": 0}, SpecError, "limit must be a whole number of at least 1, not 0"),
        ({"limit": True}, SpecError, "limit must be a whole number"),
        ({"limit": "5"}, SpecError, "limit must be a whole number"),
        ({"operation": "nothing"}, UnknownOperation, "there is no operation 'nothing'"),
    ],
    ids=str,
)
def test_a_list_of_something_that_cannot_be_is_refused(
    ops: Operations, arguments: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        ops.calls(**arguments)


def test_calls_whose_time_is_over_are_not_listed(ops: Operations) -> None:
    ops.operation("work", queueable=True, result_ttl=60)(lambda ctx, data: None)
    call = ops.defer("work")
    drain(ops)
    assert [one.id for one in ops.calls()] == [call.id]
    with travel(61):
        assert ops.calls() == []


def test_the_attempts_of_a_call_that_is_cancelled_before_its_second_one(
    ops: Operations, all_states: dict[str, str]
) -> None:
    ops.cancel(all_states["retrying"])
    found = ops.get(all_states["retrying"])
    assert (found.state, found.attempts) == ("cancelled", 1)


def test_what_was_taken_from_the_queue_is_listed_as_cancelled(ops: Operations, service: QueueService) -> None:
    ops.operation("work", queueable=True)(lambda ctx, data: None)
    call = ops.defer("work")
    service.load("operations").reset()
    assert [one.id for one in ops.calls(state="cancelled")] == [call.id]
    assert [one.state for one in ops.calls()] == ["cancelled"]
    assert ops.calls(state="queued") == []


def test_a_call_that_was_asked_to_stop_says_so_while_it_runs(ops: Operations) -> None:
    seen: list[Any] = []

    @ops.operation("work", queueable=True)
    def work(ctx: Any, data: Any) -> None:
        assert ctx.tracking_id is not None
        seen.append(ops.get(ctx.tracking_id).is_stopping)
        ops.cancel(ctx.tracking_id)
        found = ops.get(ctx.tracking_id)
        seen.append((found.state, found.is_stopping, found.facts()["stopping"]))

    call = ops.defer("work")
    drain(ops)
    assert seen == [False, ("running", True, True)]
    assert not ops.get(call.id).is_stopping


def test_whoever_consumes_what_is_listed_gets_the_next_page(ops: Operations) -> None:
    ops.operation("note", queueable=True)(lambda ctx, data: data)
    made = [ops.defer("note", number, user=ALICE).id for number in range(5)]
    drain(ops)
    seen: list[str] = []
    while page := ops.calls(user=ALICE, limit=2, after=seen[-1] if seen else None):
        found = [call.id for call in page]
        assert [ops.result(one, user=ALICE, consume=True) for one in found] == [made.index(one) for one in found]
        seen += found
    assert sorted(seen) == sorted(made)
    with pytest.raises(CallNotFound):
        ops.calls(user=BOB, after=seen[0])
