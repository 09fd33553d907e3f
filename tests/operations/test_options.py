"""The options of a deferred call, and waiting for its end."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from taskqueue import QueueService, SpecError, TaskQueueError, travel
from taskqueue.operations import CallGone, CallNotFound, NotIdempotent, Operations
from taskqueue.storage import operations as stored
from tests.operations.conftest import drain

SOON = datetime(2040, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def note(ops: Operations) -> list[Any]:
    """What was executed of the operation "note"."""
    done: list[Any] = []

    @ops.operation("note", queueable=True, idempotent=True, result_ttl="1h")
    def note(ctx: Any, data: Any) -> int:
        done.append(data)
        return len(done)

    return done


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"delay": 5, "release_time": SOON}, "give delay or release_time, not both"),
        ({"delay": -5}, "delay must be seconds"),
        ({"delay": "soon"}, "delay must be seconds, a timedelta, or a text"),
        ({"delay": float("nan")}, "delay must be seconds"),
        ({"delay": float("inf")}, "delay"),
        ({"delay": True}, "delay must be seconds"),
        ({"delay": []}, "delay must be seconds"),
        ({"release_time": datetime(2030, 1, 1)}, "release_time must be a datetime with a time zone"),
        ({"release_time": "2030-01-01T00:00:00Z"}, "release_time must be a datetime with a time zone"),
        ({"expires": datetime(2030, 1, 1)}, "expires must be a datetime with a time zone"),
        ({"expires": "never"}, "expires must be seconds"),
        ({"expires": -1}, "expires must be seconds"),
        ({"delay": 5, "expires": 1}, "expires must be later than delay or release_time: both count from now"),
        ({"delay": "1m", "expires": 60}, "the call would expire before it is due"),
        ({"release_time": SOON, "expires": SOON}, "expires must be later than delay or release_time"),
        ({"key": ""}, "an idempotency key is a text of 1 to 190 printable characters"),
        ({"key": " k"}, "without blanks around it"),
        ({"key": "x" * 191}, "of 1 to 190"),
        ({"key": "a\0b"}, "printable"),
        ({"key": "\ud800"}, "printable"),
        ({"key": 7}, "an idempotency key is a text"),
        ({"user": 1.5}, "the id of a user is a text or a number"),
    ],
    ids=ascii,
)
def test_bad_options_are_refused_and_nothing_is_executed_or_recorded(
    ops: Operations, note: list[Any], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(SpecError, match=told):
        ops.defer("note", **options)
    assert (ops.calls(), drain(ops), note) == ([], 0, [])


def test_unknown_options_are_refused(ops: Operations, note: list[Any]) -> None:
    with pytest.raises(TypeError):
        ops.defer("note", priority=5)  # type: ignore[call-arg]
    assert note == []


def test_moments_in_other_time_zones_are_moments(ops: Operations, note: list[Any]) -> None:
    zone = timezone(timedelta(hours=-7))
    moment = (datetime.now(timezone.utc) + timedelta(hours=1)).astimezone(zone)
    call = ops.defer("note", release_time=moment, expires=moment + timedelta(hours=1))
    assert call.due is not None
    assert abs(call.due - moment) < timedelta(milliseconds=1)
    assert call.deadline == call.due + timedelta(hours=1)
    assert (call.state, drain(ops), drain(ops, 3601)) == ("scheduled", 0, 1)


def test_a_moment_that_is_over_is_now(ops: Operations, note: list[Any]) -> None:
    ops.defer("note", release_time=datetime(2001, 1, 1, tzinfo=timezone.utc))
    ops.defer("note", delay=0)
    ops.defer("note", delay=timedelta(seconds=-5))
    assert drain(ops) == 3


# --- keys ---


def test_a_key_is_known_as_long_as_the_result(ops: Operations, note: list[Any]) -> None:
    first = ops.defer("note", key="k")
    drain(ops)
    assert ops.defer("note", key="k").id == first.id
    with travel(3601):
        second = ops.defer("note", key="k")
        assert second.id != first.id
        assert drain(ops) == 1
        assert ops.call("note", key="k") == 2
        with pytest.raises(CallGone):
            ops.get(first.id)


@pytest.mark.parametrize("key", ["a", "A", "ä😀", "x" * 190, "%", "a b"])
def test_keys_are_compared_exactly(ops: Operations, note: list[Any], key: str) -> None:
    mine = ops.defer("note", key=key)
    assert ops.defer("note", key=key).id == mine.id
    others = {"a", "A", "á", "ä😀", "ä", "_", "a b", "a_b"} - {key}
    assert mine.id not in {ops.defer("note", key=other).id for other in others}


def test_a_key_may_go_from_a_deferred_call_to_a_direct_one_and_back(ops: Operations, note: list[Any]) -> None:
    call = ops.defer("note", "a", key="k")
    drain(ops)
    assert ops.call("note", "a", key="k") == 1
    assert ops.call("note", "b", key="other") == 2
    direct = ops.defer("note", "b", key="other")
    assert (direct.state, ops.result(direct.id)) == ("succeeded", 2)
    assert len(ops.calls()) == 2
    assert call.id != direct.id


def test_the_order_of_the_data_is_no_other_request(ops: Operations, note: list[Any]) -> None:
    call = ops.defer("note", {"a": 1, "b": [2]}, key="k")
    assert ops.defer("note", {"b": [2], "a": 1}, key="k").id == call.id


def test_a_key_for_what_takes_none_executes_nothing(ops: Operations) -> None:
    done = []
    ops.operation("once", queueable=True)(lambda ctx, data: done.append(data))
    for make in (ops.call, ops.defer):
        with pytest.raises(NotIdempotent):
            make("once", key="k")
    assert (done, ops.calls()) == ([], [])


# --- waiting ---


def test_waiting_ends_with_the_call(ops: Operations, service: QueueService) -> None:
    begin, looked = threading.Event(), threading.Event()
    ops.operation("work", queueable=True)(lambda ctx, data: begin.wait(30))
    call = ops.defer("work")
    assert ops.wait(call.id, 0).state == "queued"
    worker = threading.Thread(target=ops.drain)
    worker.start()
    found: list[str] = []

    def wait() -> None:
        looked.set()
        found.append(ops.wait(call.id, "30s").state)

    waiting = threading.Thread(target=wait)
    waiting.start()
    looked.wait(30)
    begin.set()
    waiting.join()
    worker.join()
    assert found == ["succeeded"]


def test_only_the_owner_waits(ops: Operations, note: list[Any]) -> None:
    call = ops.defer("note", user="ann")
    with pytest.raises(CallNotFound):
        ops.wait(call.id, 0, user="bob")
    assert ops.wait(call.id, 0, user="ann").id == call.id


# --- what is stored ---


def test_of_a_request_only_what_is_needed_is_stored(ops: Operations, service: QueueService, note: list[Any]) -> None:
    call = ops.defer("note", {"name": "Ä"}, user="ann")
    row = service.database.statement(lambda tx: stored.request(tx, call.id), write=False)
    assert row is not None
    assert service.settings.codec.unpack(row.request, "operations", call.id) == {
        "data": {"name": "Ä"}, "user": "ann", "roles": [], "claims": {}, "locale": None, "admin": False,
    }  # fmt: skip
    [item] = service.load("operations").items()
    assert item.data == {"operation": "note"}


def test_under_a_tracking_id_there_are_calls_and_nothing_else(
    ops: Operations, service: QueueService, note: list[Any]
) -> None:
    queue = service.create("SqlParallel", "other", payload="other", agent="server", error="dead")
    item = queue.create_item({"secret": 1})
    ops.defer("note")
    for name in (str(item.id), "operations", "note", "0" * 32, "g" * 32, "%" * 32, "0" * 31 + "\n", "", "' OR '1'='1"):
        for look in (ops.get, ops.result, ops.cancel, ops.forget, ops.retry):
            with pytest.raises(CallNotFound):
                look(name)  # type: ignore[operator]


def test_ids_cannot_be_guessed(ops: Operations, note: list[Any]) -> None:
    ids = {ops.defer("note").id for _ in range(50)}
    assert len(ids) == 50
    assert all(len(one) == 32 and set(one) <= set("0123456789abcdef") for one in ids)
    assert len({one[:8] for one in ids}) == 50


def test_a_request_that_was_altered_is_not_executed(url: str, service: QueueService) -> None:
    signed = QueueService(url, secret_key="a long secret of the tests")
    ops, done = Operations(signed), []
    ops.operation("note", queueable=True)(lambda ctx, data: done.append(data))
    call = ops.defer("note", "ours")
    other = ops.defer("note", "other")
    change = "UPDATE {operation} SET request = :request WHERE id = :id"
    row = signed.database.statement(lambda tx: stored.request(tx, other.id), write=False)
    assert row is not None
    for text in (row.request.replace("other", "evil"), row.request, "", "{}"):
        signed.database.transaction(lambda tx, text=text: tx.change(change, request=text, id=call.id))
        drain(ops)
        assert ops.get(call.id).state == "dead"
        ops.retry(call.id)
    assert done == ["other"]
    with pytest.raises(TaskQueueError):
        ops.result(call.id)
    signed.close()
