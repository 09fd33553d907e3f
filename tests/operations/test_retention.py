"""How long is kept what a call was and came to, and what is never taken away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from taskqueue import Pruned, QueueService, Worker, travel
from taskqueue.operations import CallGone, CallNotFound, NotPossible, OperationFailed, Operations
from taskqueue.operations import sweeper as sweeping
from taskqueue.storage import expiry, rows
from tests.operations.conftest import ALICE, drain

DAY = 86_400.0
TEXTS = "SELECT request, result, error, client_key FROM {operation} WHERE id = :id"


@pytest.fixture(autouse=True)
def operations(ops: Operations, service: QueueService) -> None:
    """What the tests call: results are kept for an hour. Nothing is on record of the queues and runs of others."""
    with travel(60 * DAY):
        service.prune(0)

    @ops.operation("note", queueable=True, idempotent=True, result_ttl="1h", retry=1)
    def note(ctx: Any, data: Any) -> Any:
        if data == "no":
            raise OperationFailed("no")
        if data == "dies":
            raise ValueError("boom")
        return data


def texts(service: QueueService, call_id: str) -> list[Any] | None:
    """What is stored of a call; None: nothing."""
    row = service.database.statement(lambda tx: tx.row(TEXTS, id=call_id), write=False)
    return list(row) if row is not None else None


def number_of_rows(service: QueueService) -> int:
    return int(service.database.statement(lambda tx: tx.row("SELECT COUNT(*) FROM {operation}")[0], write=False))


@pytest.mark.parametrize("data", ["secret", "no"])
def test_when_the_time_of_a_result_is_over_its_texts_go_and_later_the_row(
    ops: Operations, service: QueueService, data: str
) -> None:
    call = ops.defer("note", data, user=ALICE, key="k")
    drain(ops)
    with travel(3500):
        assert service.prune(0) == Pruned()
        assert ops.get(call.id).is_final
    with travel(3700):
        assert service.prune(DAY, dry_run=True) == Pruned(results=1)
        assert (texts(service, call.id) or [""])[0] != ""

        assert service.prune(DAY) == Pruned(results=1)

        assert texts(service, call.id) == ["", None, None, None]
        with pytest.raises(CallGone):
            ops.get(call.id, user=ALICE)
        assert ops.calls() == []
        assert service.prune(DAY) == Pruned()
    with travel(3700 + DAY):
        assert service.prune(DAY, dry_run=True) == Pruned(calls=1)
        assert service.prune(DAY) == Pruned(calls=1)
        with pytest.raises(CallNotFound):
            ops.get(call.id)
    assert number_of_rows(service) == 0


def test_both_go_at_once_when_that_is_asked_for(ops: Operations, service: QueueService) -> None:
    ops.defer("note")
    drain(ops)
    with travel(4000):
        assert service.prune(0, dry_run=True) == service.prune(0) == Pruned(results=1, calls=1)
    assert number_of_rows(service) == 0


def test_what_was_consumed_goes(ops: Operations, service: QueueService) -> None:
    call = ops.defer("note", "secret")
    drain(ops)
    ops.result(call.id, consume=True)

    assert service.prune(DAY).results == 1
    assert texts(service, call.id) == ["", None, None, None]


def test_calls_that_wait_run_or_are_dead_are_never_touched(ops: Operations, service: QueueService) -> None:
    gate, running = threading.Event(), threading.Event()

    @ops.operation("wait", queueable=True, result_ttl=1)
    def wait(ctx: Any, data: Any) -> None:
        running.set()
        assert gate.wait(60)

    calls = {"dead": ops.defer("note", "dies"), "scheduled": ops.defer("note", delay=400 * DAY)}
    drain(ops)
    calls["held"] = ops.defer("note", "waits")
    service.load("operations").claim_item(400 * DAY)  # whoever holds it does not execute it
    calls["running"] = ops.defer("wait")
    before = {state: texts(service, call.id) for state, call in calls.items()}
    worker = Worker(service)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        assert running.wait(60)
        with travel(300 * DAY):
            assert service.prune(0)._replace(endings=0) == Pruned()
            assert not ops.sweep()
            assert {state: texts(service, call.id) for state, call in calls.items()} == before
    finally:
        gate.set()
        worker.stop()
        thread.join(60)
    assert ops.get(calls["running"].id).state == "succeeded"
    assert ops.get(calls["dead"].id).state == "dead"


def test_one_that_was_tried_once_more_is_kept_from_its_new_end_on(ops: Operations, service: QueueService) -> None:
    call = ops.defer("note", "no")
    drain(ops)
    with travel(3500):
        ops.retry(call.id)
        with travel(200):  # what would have been the end of its time
            assert service.prune(0)._replace(endings=0) == Pruned()
            assert ops.get(call.id).state == "queued"
            ops.drain()
            assert ops.get(call.id).state == "failed"
        with travel(3900):
            assert service.prune(DAY).results == 1


def test_what_is_over_in_the_moment_of_a_retry_is_not_tried_again(
    ops: Operations, service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ops.defer("note", "no")
    drain(ops)
    row = ops._calls.find(call.id)
    assert row is not None
    with travel(4000):
        service.prune(DAY)
        with pytest.raises(NotPossible, match="its time is over"):
            ops._ends.retry(row)
    assert service.load("operations").number_of_items() == 0


def test_what_began_anew_after_it_was_found_over_is_kept(ops: Operations, service: QueueService) -> None:
    call = ops.defer("note", "no")
    drain(ops)
    with travel(4000):
        found = service.database.statement(expiry.over, write=False)
        assert found == [call.id]
        with travel(-1000):
            ops.retry(call.id)
        assert service.database.transaction(lambda tx: expiry.empty(tx, found)) == 0
    assert (texts(service, call.id) or [""])[0] != ""


def test_the_key_of_a_call_that_is_over_is_free(ops: Operations, service: QueueService) -> None:
    first = ops.defer("note", 1, user=ALICE, key="k")
    drain(ops)
    with travel(4000):
        assert ops.sweep() is False
        second = ops.defer("note", 2, user=ALICE, key="k")
        assert second.id != first.id
        assert ops.defer("note", 2, user=ALICE, key="k").id == second.id


def test_the_end_of_what_was_taken_away_is_written_down(ops: Operations, service: QueueService) -> None:
    taken = ops.defer("note")
    service.load("operations").reset()
    waiting, dead = ops.defer("note", delay=60), ops.defer("note", "dies")
    executed = Worker(service).drain().executed
    assert executed == 1
    assert service.prune(DAY, dry_run=True) == Pruned()
    with travel(DAY):
        service.prune(DAY / 2, dead=True)
        states = {call.id: ops.get(call.id).state for call in (taken, waiting, dead)}
        assert states == {taken.id: "cancelled", waiting.id: "queued", dead.id: "dead"}
        for call in (taken, dead):
            expires = ops.get(call.id).expires
            assert expires is not None and (expires - call.created).total_seconds() > DAY


def test_a_drain_sweeps(ops: Operations, service: QueueService) -> None:
    call = ops.defer("note", "secret")
    drain(ops)
    assert drain(ops, 4000) == 0
    assert texts(service, call.id) == ["", None, None, None]


def test_a_worker_sweeps(ops: Operations, service: QueueService) -> None:
    call = ops.defer("note", "secret")
    drain(ops)
    with travel(4000):
        Worker(service).drain()
    assert texts(service, call.id) == ["", None, None, None]


def test_it_is_looked_once_a_minute_unless_there_is_more(
    ops: Operations, service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sweeping, rows):
        monkeypatch.setattr(module, "CHUNK", 2)
    monkeypatch.setattr(expiry.over, "__defaults__", (2,))
    looks: list[int] = []
    over: Callable[..., list[str]] = expiry.over
    monkeypatch.setattr(sweeping.expiry, "over", lambda *given: looks.append(1) or over(*given))
    for _ in range(3):
        ops.defer("note")
    drain(ops)
    looks.clear()
    with travel(4000):
        assert [ops.sweep() for _ in range(4)] == [True, False, False, False]
        assert len(looks) == 2
        assert service.prune(DAY) == Pruned()
        looks.clear()
        with travel(61):
            ops.sweep()
            assert len(looks) == 1


def test_many_go_in_chunks(ops: Operations, service: QueueService, monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (expiry.over, expiry.empty_some, expiry.remove_some):
        monkeypatch.setattr(function, "__defaults__", (2,))
    for _ in range(5):
        ops.defer("note")
    drain(ops)
    with travel(4000):
        assert service.prune(0) == Pruned(results=5, calls=5)
    assert number_of_rows(service) == 0
