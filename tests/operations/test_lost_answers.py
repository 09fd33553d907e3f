"""A lost answer is not a failure: what was sent, and may have been done, is neither lost nor done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pymysql
import pytest
from sqlalchemy.orm import Session

from taskqueue import QueueService, travel
from taskqueue.operations import CallGone, CallNotFound, OperationFailed, Operations
from tests.operations.conftest import clear, contacts, drain, metadata, names
from tests.operations.crowd import Count
from tests.servers import SERVER_DATABASES
from tests.storage.tapped import tap
from tests.storage.test_lost_answers import Line

pytestmark = [
    pytest.mark.parametrize("kind", SERVER_DATABASES),
    pytest.mark.parametrize("was_done", [True, False], ids=["answer-lost", "request-lost"]),
]


@pytest.fixture
def error(kind: str) -> Exception:
    """What a driver says when its server has gone."""
    if kind == "mariadb":
        return pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")
    return psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly")


@pytest.fixture
def line(was_done: bool, error: Exception, monkeypatch: pytest.MonkeyPatch) -> Line:
    """The line to the database, whole until armed."""
    line = Line(was_done, error)
    tap(monkeypatch, line)
    return line


@pytest.fixture
def service(kind: str, shared_database: Callable[..., str], line: Line) -> Iterator[QueueService]:
    made = QueueService(shared_database(kind, "operations"))
    clear(made)
    metadata.create_all(made.engine)
    yield made
    clear(made)
    made.close()


@pytest.fixture
def done() -> Count:
    """What was executed."""
    return Count()


@pytest.fixture
def ops(service: QueueService, done: Count) -> Operations:
    """An operation that fails when it is executed for the first time, as it is told."""
    made = Operations(service)

    @made.operation("note", queueable=True, idempotent=True, retry=1)
    def note(ctx: Any, data: str) -> int:
        ctx.session.execute(contacts.insert().values(name=data))
        number = done.add(data)
        if number == 1 and data == "failed":
            raise OperationFailed("no")
        if number == 1 and data == "dead":
            raise ValueError
        return number

    made.defer("note", "warm")  # the queue is there
    drain(made)
    done.done.clear()
    with service.engine.begin() as connection:
        connection.execute(contacts.delete())
    return made


@pytest.mark.parametrize("key", [None, "k"])
def test_a_call_is_stored_once(ops: Operations, line: Line, done: Count, key: str | None) -> None:
    line.arm()
    call = ops.defer("note", "x", key=key)

    assert line.has_broken
    assert drain(ops) == 1
    assert (ops.get(call.id).state, done.done, len(ops.calls())) == ("succeeded", ["x"], 2)


def test_a_direct_call_is_executed_once(ops: Operations, line: Line, done: Count) -> None:
    line.arm()
    assert ops.call("note", "x", key="k") == 1

    assert line.has_broken
    assert (drain(ops), done.done, len(ops.calls())) == (0, ["x"], 2)


def test_a_direct_call_that_takes_over_is_executed_once(ops: Operations, line: Line, done: Count) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Operations, "_execute", _die)
        with pytest.raises(_Death):
            ops.call("note", "x", key="k")
    with travel(60):
        ops.service.load("operations").wait()
        line.arm()
        assert ops.call("note", "x", key="k") == 1

        assert line.has_broken
        assert (drain(ops, 60), done.done) == (0, ["x"])


class _Death(BaseException):
    """The client is gone."""


def _die(*_: Any) -> None:
    raise _Death


def test_a_call_is_cancelled(ops: Operations, line: Line, done: Count) -> None:
    call = ops.defer("note", "x")
    line.arm()
    assert ops.cancel(call.id).state == "cancelled"

    assert line.has_broken
    assert (drain(ops), ops.get(call.id).state, done.done) == (0, "cancelled", [])


@pytest.mark.parametrize("state", ["dead", "failed"])
def test_a_call_is_tried_again_once(ops: Operations, line: Line, done: Count, state: str) -> None:
    call = ops.defer("note", state)
    drain(ops)
    line.arm()
    assert ops.retry(call.id).state == "queued"

    assert line.has_broken
    assert drain(ops) == 1
    assert (ops.get(call.id).state, len(done.done)) == ("succeeded", 2)


@pytest.mark.parametrize("state", ["dead", "failed", "succeeded"])
def test_a_call_is_forgotten(ops: Operations, line: Line, state: str) -> None:
    call = ops.defer("note", state)
    drain(ops)
    line.arm()
    ops.forget(call.id)

    assert line.has_broken
    with pytest.raises(CallNotFound):
        ops.get(call.id)
    assert ops.service.load("operations").dead_items() == []


def test_a_result_is_given_once(ops: Operations, line: Line) -> None:
    call = ops.defer("note", "x")
    drain(ops)
    line.arm()
    assert ops.result(call.id, consume=True) == 1

    assert line.has_broken
    with pytest.raises(CallGone):
        ops.result(call.id, consume=True)


def test_a_call_that_cannot_be_begun_in_time_has_expired(ops: Operations, line: Line) -> None:
    call = ops.defer("note", "x", expires=5)
    with travel(6):
        line.arm()
        assert ops.get(call.id).state == "expired"
        assert line.has_broken
        assert (drain(ops, 6), ops.get(call.id).state) == (0, "expired")


@pytest.mark.parametrize("data", ["x", "failed"])
def test_the_end_of_a_call_is_written_once(
    ops: Operations, service: QueueService, done: Count, was_done: bool, error: Exception, data: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """At the commit of the transaction in which it writes; when nobody knows whether it took place, the item tells."""
    call = ops.defer("note", data)
    commit, broken = Session.commit, []

    def breaking(session: Session) -> None:
        if not broken:
            broken.append(1)
            if was_done:
                commit(session)
            raise error
        commit(session)

    monkeypatch.setattr(Session, "commit", breaking)
    drain(ops)

    assert broken
    times = 1 if was_done else 2
    # Executed again, it does not say no.
    state = "failed" if data == "failed" and was_done else "succeeded"
    assert (ops.get(call.id).state, len(done.done)) == (state, times)
    assert names(service) == ([] if state == "failed" else [data])
    assert ops.get(call.id).attempts == times
