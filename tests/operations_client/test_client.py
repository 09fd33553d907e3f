"""The client and the API on real databases: calls, results, ends, and what becomes of them when connections break."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from taskqueue import QueueService, Worker, travel
from taskqueue.operations import (
    CallGone,
    CallNotFound,
    Client,
    File,
    KeyReused,
    NoAnswer,
    NotFinished,
    NotIdempotent,
    NotPossible,
    NotQueueable,
    OperationError,
    OperationFailed,
    Operations,
    Progress,
    TooManyCalls,
    UnknownOperation,
)
from tests.demo.browser import wait_for
from tests.operations.conftest import drain, names
from tests.operations_client.conftest import ServerProcess, client_of
from tests.operations_client.registry import ROOT
from tests.web.toolkit.proxy import FaultyProxy

NOTE = r"/ops/note$"


@pytest.fixture
def proxy(address: tuple[str, int]) -> Iterator[FaultyProxy]:
    """What stands between the client and the application."""
    made = FaultyProxy(address)
    yield made
    made.close()


@pytest.fixture
def through(proxy: FaultyProxy) -> Client:
    """A client of Ann that goes through the proxy."""
    return client_of(proxy.url)


# --- as if the operations were here ---


def test_a_call_is_executed_now(client: Client, service: QueueService) -> None:
    assert client.call("note", "Ä€😀") == {"noted": "Ä€😀", "by": "ann"}
    assert client.call("jot", 1, key="k") == client.call("note", 1, key="k")
    assert client.call("file") == File(bytes(range(256)) * 100, "application/pdf", "Grüße.pdf")
    assert names(service) == ["Ä€😀", "1"]


def test_a_call_is_deferred_and_its_result_read(client: Client, ops: Operations) -> None:
    call = client.defer("note", ["x", None, 1.5])
    assert (call.operation, call.state, call.attempts) == ("note", "queued", 0)
    assert client.get(call.id) == call
    with pytest.raises(NotFinished) as caught:
        client.result(call.id)
    assert caught.value.retry_after == 1
    drain(ops)
    done = client.wait(call.id)
    assert (done.state, done.is_final, done.finished is not None) == ("succeeded", True, True)
    assert client.result(call.id) == client.result(call.id) == {"noted": ["x", None, 1.5], "by": "ann"}
    assert client.result(call.id, consume=True) == {"noted": ["x", None, 1.5], "by": "ann"}
    with pytest.raises(CallGone):
        client.result(call.id)


def test_a_file_is_read(client: Client, ops: Operations) -> None:
    call = client.defer("file")
    drain(ops)
    assert client.result(call.id) == File(bytes(range(256)) * 100, "application/pdf", "Grüße.pdf")


def test_options_arrive(client: Client, ops: Operations) -> None:
    moment = datetime.now(timezone.utc).replace(microsecond=123000) + timedelta(hours=1)
    last = moment + timedelta(minutes=1)
    delayed, due = client.defer("note", 1, delay="1m"), client.defer("note", 2, release_time=moment, expires=last)
    assert (delayed.state, due.state, due.due, due.deadline) == ("scheduled", "scheduled", moment, last)
    with pytest.raises(OperationError, match="expires must be later than delay") as refused:
        client.defer("note", 3, delay=5, expires=1)
    assert (refused.value.code, refused.value.status) == ("invalid_request", 422)
    assert delayed.due is not None and round((delayed.due - delayed.created).total_seconds()) == 60
    lasting = client.defer("note", 3, expires=30)
    assert lasting.deadline is not None and round((lasting.deadline - lasting.created).total_seconds()) == 30
    assert drain(ops, 40) == 1
    assert client.get(lasting.id).state == "expired"
    with pytest.raises(OperationError) as caught:
        client.result(lasting.id)
    assert (type(caught.value), caught.value.code, caught.value.status) == (OperationError, "expired", 409)


def test_ends_are_told_as_the_operations_tell_them(client: Client, ops: Operations) -> None:
    failed, dead = client.defer("refuse"), client.defer("broken")
    drain(ops)
    errors = []
    for call in (failed, dead):
        for result in (client.result, ops.result):
            with pytest.raises(OperationError) as caught:
                result(call.id)
            errors.append((type(caught.value), caught.value.facts()))
    assert errors[0] == errors[1] == (
        OperationFailed, {"code": "DUPLICATE", "message": "there is one already", "details": {"id": 7}}
    )  # fmt: skip
    assert errors[2] == errors[3] and "secret" not in str(errors)
    with pytest.raises(OperationFailed, match="one already"):
        client.call("refuse")
    with pytest.raises(OperationError) as caught:
        client.call("broken")
    assert (caught.value.status, caught.value.code) == (500, "internal_error")


def test_refusals_are_told_as_the_operations_tell_them(client: Client, service: QueueService) -> None:
    with pytest.raises(NotQueueable):
        client.defer("direct")
    with pytest.raises(UnknownOperation):
        client.defer("nothing")
    with pytest.raises(NotIdempotent):
        client.defer("plain", key="k")
    client.defer("note", 1, key="k")
    with pytest.raises(KeyReused):
        client.defer("note", 2, key="k")
    client.defer("limited")
    with pytest.raises(TooManyCalls) as caught:
        client.defer("limited")
    assert caught.value.retry_after == 5
    with pytest.raises(OperationError) as refused:
        list(client.calls(limit=0))
    assert (type(refused.value), refused.value.code) == (OperationError, "invalid_request")
    assert names(service) == []


@pytest.mark.parametrize("user", ["bob", "nobody"])
def test_others_learn_nothing(address: tuple[str, int], client: Client, user: str) -> None:
    call = client.defer("note")
    other = client_of(f"http://{address[0]}:{address[1]}", user)
    for ask in (other.get, other.wait, other.result, other.cancel, other.retry, other.forget):
        with pytest.raises(CallNotFound):
            ask(call.id)
    assert list(other.calls()) == []
    assert [one.id for one in client_of(f"http://{address[0]}:{address[1]}", ROOT).calls()] == [call.id]
    assert client.get(call.id).state == "queued"
    with pytest.raises(OperationError) as caught:
        Client(f"http://{address[0]}:{address[1]}/ops").get(call.id)
    assert caught.value.status == 401


def test_the_operations_are_listed(client: Client) -> None:
    found = {one["name"]: one for one in client.operations()}
    assert found["note"]["aliases"] == ["jot"] and found["note"]["idempotent"] and not found["direct"]["queueable"]
    assert [one["name"] for one in client.operations(queueable=False)] == ["direct"]


def test_calls_come_page_by_page_and_may_be_forgotten_meanwhile(client: Client, ops: Operations) -> None:
    made = [client.defer("note", number).id for number in range(7)]
    drain(ops)
    seen = []
    for call in client.calls(limit=2, state="succeeded", operation="jot"):
        client.forget(call.id)
        seen.append(call.id)
    assert (sorted(seen), list(client.calls())) == (sorted(made), [])


def test_calls_are_ended(client: Client, ops: Operations, service: QueueService) -> None:
    waiting, dead = client.defer("note"), client.defer("broken")
    assert client.cancel(waiting.id).state == "cancelled"
    with pytest.raises(NotPossible):
        client.cancel(waiting.id)
    with pytest.raises(NotPossible):
        client.retry(waiting.id)
    drain(ops)
    with pytest.raises(NotPossible):
        client.cancel(dead.id)
    assert client.retry(dead.id).state == "queued"
    with pytest.raises(NotPossible):
        client.forget(dead.id)
    drain(ops)
    for call in (waiting, dead):
        client.forget(call.id)
        with pytest.raises(CallNotFound):
            client.get(call.id)
    assert names(service) == []


def test_a_running_call_is_seen_and_asked_to_stop(client: Client, service: QueueService, tmp_path: Path) -> None:
    call = client.defer("hold", str(tmp_path / "gate"))
    with working(service):
        wait_for(lambda: client.get(call.id).progress, "it has reported")
        seen = client.get(call.id)
        assert (seen.state, seen.progress) == ("running", Progress(1, 2, "half"))
        assert client.cancel(call.id).state == "running"
        # Answered as soon as it has ended.
        assert client.wait(call.id, timeout=60).is_final


@contextmanager
def working(service: QueueService) -> Iterator[None]:
    """A worker in a thread, for as long as the context is open."""
    worker = Worker(service, grace=5)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


# --- connections that break ---


def test_a_deferral_whose_answer_is_lost_is_made_once(
    through: Client, proxy: FaultyProxy, ops: Operations, service: QueueService
) -> None:
    lost = proxy.swallow(NOTE, times=2)
    call = through.defer("note", "Ann")
    assert len(lost.hits) == 2 and len(proxy.seen(NOTE)) == 3
    assert len({seen.headers["Idempotency-Key"] for seen in proxy.seen(NOTE)}) == 1
    assert [one.id for one in through.calls()] == [call.id]
    assert drain(ops) == 1
    assert names(service) == ["Ann"]


def test_a_deferral_that_never_arrives_is_made_again(
    through: Client, proxy: FaultyProxy, ops: Operations, service: QueueService
) -> None:
    proxy.cut(NOTE, times=1)
    proxy.bad_gateway(NOTE, status=503, times=1)
    through.defer("note", "Ann")
    drain(ops)
    assert names(service) == ["Ann"]


@pytest.mark.parametrize("is_lost", [True, False], ids=["answer lost", "never arrived"])
def test_without_idempotency_the_client_does_not_guess(
    through: Client, proxy: FaultyProxy, ops: Operations, service: QueueService, is_lost: bool
) -> None:
    plain = r"/ops/plain$"
    fault = proxy.swallow(plain) if is_lost else proxy.cut(plain, times=1)
    with pytest.raises(NoAnswer, match="it was not sent again: whether plain was deferred is not known"):
        through.defer("plain", "Ann")
    assert len(fault.hits) == len(proxy.seen(plain)) == 1
    # As the sentence says: look for it.
    assert len(list(through.calls(operation="plain"))) == is_lost
    drain(ops)
    assert names(service) == ["Ann"] * is_lost


def test_a_direct_call_whose_answer_is_lost_is_executed_once(
    through: Client, proxy: FaultyProxy, service: QueueService
) -> None:
    proxy.swallow(NOTE)
    assert through.call("note", "Ann", key="k") == {"noted": "Ann", "by": "ann"}
    proxy.swallow(NOTE)
    with pytest.raises(NoAnswer, match="whether note was executed is not known"):
        through.call("note", "Bob")
    assert names(service) == ["Ann", "Bob"]


def test_a_direct_call_is_waited_for_when_it_goes_on_behind_a_lost_answer(
    through: Client, proxy: FaultyProxy, service: QueueService, tmp_path: Path
) -> None:
    gate, is_busy = tmp_path / "gate", threading.Event()
    # The gateway loses its patience; what the client does then instead of sleeping is to look, and later to open.
    proxy.timeout(0.05, r"/ops/hold$", times=1)

    def sleep(_seconds: float) -> None:
        if is_busy.is_set():
            gate.touch()
        wait_for(lambda: gate.exists() or [one.state for one in through.calls()] == ["running"], "it is executed")
        is_busy.set()

    through._transport.sleep = sleep
    assert through.call("hold", str(gate), key="k") is False
    assert {409, 504} <= {seen.status for seen in proxy.seen(r"/ops/hold$")}
    assert names(service) == ["held"]


def test_a_cancellation_whose_answer_is_lost_forgets_nothing(
    through: Client, proxy: FaultyProxy, ops: Operations
) -> None:
    call = through.defer("note")
    proxy.swallow(rf"/ops/runs/{call.id}$", method="DELETE")
    assert through.cancel(call.id).state == "cancelled"
    assert ops.get(call.id).state == "cancelled"
    proxy.swallow(rf"/ops/runs/{call.id}$", method="DELETE")
    through.forget(call.id)
    with pytest.raises(CallNotFound):
        ops.get(call.id)


def test_a_result_that_was_consumed_on_the_way_is_not_asked_for_again(
    through: Client, proxy: FaultyProxy, ops: Operations
) -> None:
    call = through.defer("note", 1)
    drain(ops)
    lost = proxy.swallow(r"/result$", method="GET")
    with pytest.raises(NoAnswer, match="may have been consumed"):
        through.result(call.id, consume=True)
    assert len(proxy.seen(r"/result$")) == len(lost.hits) == 1
    with pytest.raises(CallGone):
        through.result(call.id)


@pytest.mark.chaos
def test_a_server_that_is_killed_and_started_again_is_waited_for(process: ServerProcess, service: QueueService) -> None:
    process.start(with_worker=False)
    client = client_of(process.url)
    call = client.defer("note", "Ann")
    was_away = threading.Event()
    sleep = client._transport.sleep
    client._transport.sleep = lambda seconds: (was_away.set(), sleep(min(seconds, 0.2)))[1]  # type: ignore[func-returns-value]
    with ThreadPoolExecutor() as pool:
        # One waits for an answer when the server dies, another begins to wait only then.
        early = pool.submit(client.wait, call.id, 60)
        process.kill()
        late = pool.submit(client.wait, call.id, 60)
        assert was_away.wait(60)
        process.start(with_worker=True)
        assert {early.result().state, late.result().state} == {"succeeded"}
    assert client.result(call.id) == {"noted": "Ann", "by": "ann"}
    assert names(service) == ["Ann"]


@pytest.mark.chaos
def test_a_server_that_is_killed_and_started_again_gets_a_deferral(
    process: ServerProcess, service: QueueService
) -> None:
    process.start(with_worker=True)
    client = client_of(process.url)
    client.operations()
    process.kill()
    was_away = threading.Event()
    sleep = client._transport.sleep
    client._transport.sleep = lambda seconds: (was_away.set(), sleep(min(seconds, 0.2)))[1]  # type: ignore[func-returns-value]
    with ThreadPoolExecutor() as pool:
        deferring = pool.submit(client.defer, "plain", "Ann")  # without a key: it was surely not sent
        assert was_away.wait(60)
        process.start(with_worker=True)
        call = deferring.result()
    assert client.wait(call.id, 60).state == "succeeded"
    assert names(service) == ["Ann"]


def test_a_result_goes_after_its_time(client: Client, ops: Operations) -> None:
    call = client.defer("note")
    drain(ops)
    with travel(8 * 86_400), pytest.raises(CallGone):
        client.get(call.id)
