"""Operations that call or defer others, and calls in transactions of tasks: part of them, or refused; never stuck."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import NotSupported, QueueService, Runner
from taskqueue.operations import CallNotFound, OperationFailed, Operations
from tests.operations.conftest import contacts, drain, metadata, names
from tests.operations.crowd import Count


@pytest.fixture
def done() -> Count:
    """What was executed."""
    return Count()


@pytest.fixture
def ops(service: QueueService, done: Count) -> Operations:
    """Two operations that write a name; "no" then says no."""
    made = Operations(service)

    @made.operation("write", queueable=True, idempotent=True)
    def write(ctx: Any, data: str) -> str:
        done.add(data)
        ctx.session.execute(contacts.insert().values(name=data))
        if data == "no":
            raise OperationFailed("no")
        return data.upper()

    return made


def run(ops: Operations, function: Any, *, deferred: bool) -> Any:
    """Let the function be an operation, and have it executed."""
    ops.operation("outer", queueable=True, retry=1)(function)
    if not deferred:
        return ops.call("outer")
    call = ops.defer("outer")
    drain(ops)
    return ops.result(call.id)


either_way = pytest.mark.parametrize("deferred", [False, True])


@either_way
@pytest.mark.parametrize("session_first", [False, True])
def test_an_operation_that_calls_another_has_done_it_in_its_own_transaction(
    ops: Operations, service: QueueService, deferred: bool, session_first: bool
) -> None:
    def outer(ctx: Any, data: Any) -> list[str]:
        if session_first:
            ctx.session.execute(contacts.insert().values(name="outer"))
        first = ops.call("write", "a")
        ctx.session.execute(contacts.insert().values(name="between"))
        return [first, ops.call("write", "b")]

    assert run(ops, outer, deferred=deferred) == ["A", "B"]
    assert names(service) == [*(["outer"] if session_first else []), "a", "between", "b"]


@either_way
def test_what_a_called_operation_has_written_goes_with_the_one_that_called_it(
    ops: Operations, service: QueueService, deferred: bool
) -> None:
    def outer(ctx: Any, data: Any) -> None:
        ops.call("write", "a")
        raise OperationFailed("after all")

    with pytest.raises(OperationFailed, match="after all"):
        run(ops, outer, deferred=deferred)
    assert names(service) == []


@either_way
def test_a_called_operation_that_says_no_takes_only_its_own_writes_back(
    ops: Operations, service: QueueService, deferred: bool
) -> None:
    def outer(ctx: Any, data: Any) -> str:
        ctx.session.execute(contacts.insert().values(name="outer"))
        with pytest.raises(OperationFailed, match=r"^no$"):
            ops.call("write", "no")
        return "went on"

    assert run(ops, outer, deferred=deferred) == "went on"
    assert names(service) == ["outer"]


@either_way
@pytest.mark.parametrize("fails", [False, True])
def test_what_an_operation_defers_is_committed_with_it_or_never_was(
    ops: Operations, service: QueueService, done: Count, deferred: bool, fails: bool
) -> None:
    ids = []

    def outer(ctx: Any, data: Any) -> None:
        ctx.session.execute(contacts.insert().values(name="outer"))
        ids.append(ops.defer("write", "a").id)
        ids.append(ops.defer("write", "b", session=ctx.session).id)
        if fails:
            raise OperationFailed("after all")

    if fails:
        with pytest.raises(OperationFailed):
            run(ops, outer, deferred=deferred)
    else:
        run(ops, outer, deferred=deferred)
    drain(ops)
    assert names(service) == ([] if fails else ["outer", "a", "b"])
    for tracking_id in ids:
        if fails:
            with pytest.raises(CallNotFound):
                ops.get(tracking_id)
        else:
            assert ops.get(tracking_id).state == "succeeded"


@either_way
def test_a_key_inside_an_open_transaction_is_refused_before_anything_is_done(
    ops: Operations, service: QueueService, done: Count, deferred: bool
) -> None:
    def outer(ctx: Any, data: Any) -> str:
        ctx.session.execute(contacts.insert().values(name="outer"))
        with pytest.raises(NotSupported, match=r"make it before ctx\.session is used"):
            ops.call("write", "a", key="k")
        return "went on"

    assert run(ops, outer, deferred=deferred) == "went on"
    assert (names(service), done.done) == (["outer"], [])


@either_way
def test_a_key_before_the_transaction_is_a_call_of_its_own(
    ops: Operations, service: QueueService, done: Count, deferred: bool
) -> None:
    def outer(ctx: Any, data: Any) -> None:
        assert ops.call("write", "a", key="k") == "A"
        ctx.session.execute(contacts.insert().values(name="outer"))
        raise OperationFailed("after all")

    with pytest.raises(OperationFailed, match="after all"):
        run(ops, outer, deferred=deferred)
    assert (names(service), ops.call("write", "a", key="k"), done.done) == (["a"], "A", ["a"])


def test_a_transaction_of_a_task_takes_calls_in(service: QueueService, done: Count, ops: Operations) -> None:
    refused: list[Exception] = []

    @service.handler("nightly")
    def nightly(ctx: Any, data: str) -> None:
        with ctx.transaction() as session:
            session.execute(contacts.insert().values(name="task"))
            ops.call("write", data)
            try:
                ops.call("write", "x", key="k")
            except NotSupported as error:
                refused.append(error)
            if data == "b":
                raise ValueError

    queue = service.create("Sql", "nightly", payload="nightly", error="delete")
    queue.create_items(["a", "b"])
    Runner(queue).run_all()
    assert names(service) == ["task", "a"]
    assert (len(refused), done.done) == (2, ["a", "b"])


def test_all_tables_are_made_in_the_transaction_that_has_them_first(tmp_path: Path) -> None:
    """On SQLite, whose one writer is the application."""
    service = QueueService(f"sqlite:///{tmp_path / 'new.db'}")
    try:
        metadata.create_all(service.engine)
        ops = Operations(service)
        ops.operation("note", queueable=True, idempotent=True)(lambda ctx, data: "ok")
        for is_kept in (False, True):
            with Session(service.engine) as session:
                session.execute(contacts.insert().values(name="x"))
                calls = [ops.defer("note", key="k", session=session).id for _ in range(2)]
                assert len(set(calls)) == 1
                if is_kept:
                    session.commit()
        drain(ops)
        assert (ops.result(calls[0]), names(service)) == ("ok", ["x"])
    finally:
        service.close()


@pytest.mark.parametrize("what", ["session", "transaction"])
def test_a_look_inside_a_transaction_raises_nothing(
    ops: Operations, service: QueueService, session: Session, what: str
) -> None:
    """Also where that is the one writer: what was taken from the queue is then written down by the next one."""
    call = ops.defer("write", "a")
    service.load("operations").reset()
    if what == "session":
        session.execute(contacts.insert().values(name="x"))
        ops.defer("write", "b", session=session)
        assert ops.get(call.id).state == "cancelled"
        session.rollback()
    else:
        with service.database.session_scope():
            assert ops.get(call.id).state == "cancelled"
    assert ops.get(call.id).state == "cancelled"
