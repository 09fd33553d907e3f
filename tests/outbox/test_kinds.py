"""The other kinds of outbox: in memory until the commit, and off."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from taskqueue import NotSupported, QueueService, SerializationError, TaskFailed
from taskqueue.outbox import MessageContext, Outbox, queued
from tests.outbox.conftest import book, names, waiting
from tests.outbox.services import Scripted, Told


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def memory(make_outbox: Callable[..., Outbox], told: Told) -> Outbox:
    outbox = make_outbox(kind="memory")
    outbox.register("told", told)
    return outbox


@pytest.fixture
def off(make_outbox: Callable[..., Outbox], told: Told) -> Outbox:
    outbox = make_outbox(kind="off")
    outbox.register("told", told)
    return outbox


# --- in memory ---


def test_in_memory_calls_are_made_once_after_the_commit_in_their_order(
    service: QueueService, memory: Outbox, told: Told, session: Session
) -> None:
    refs = [queued(told, session).work(number) for number in range(3)]
    book(session, "first")
    session.flush()
    assert ([ref.state for ref in refs], told.calls) == (["deferred"] * 3, [])

    session.commit()
    assert told.calls == [0, 1, 2]
    session.commit()
    book(session, "second")
    session.commit()

    assert told.calls == [0, 1, 2]
    assert (told.news, waiting(service)) == ([], 0)


@pytest.mark.parametrize("how", ["rollback", "close"])
def test_in_memory_nothing_is_made_without_a_commit(memory: Outbox, told: Told, session: Session, how: str) -> None:
    queued(told, session).work("phantom")
    book(session, "phantom")
    getattr(session, how)()

    queued(told, session).work("real")
    session.commit()

    assert told.calls == ["real"]


def test_in_memory_savepoints_mean_what_they_say(memory: Outbox, told: Told, session: Session) -> None:
    queued(told, session).work("before")
    with session.begin_nested():
        queued(told, session).work("released")
        assert told.calls == []
    assert told.calls == [], "the release of a savepoint is no commit"
    for nested in (False, True):
        savepoint = session.begin_nested()
        queued(told, session).work("phantom")
        if nested:
            with session.begin_nested():
                queued(told, session).work("phantom of a released savepoint inside")
        savepoint.rollback()
    queued(told, session).work("after")
    session.commit()

    assert told.calls == ["before", "released", "after"]


def test_in_memory_a_failure_is_logged_and_counted_and_never_repaired(
    memory: Outbox, told: Told, session: Session, service: QueueService, caplog: pytest.LogCaptureFixture
) -> None:
    def write_and_fail(ctx: MessageContext) -> None:
        book(ctx.session, "phantom")
        raise ValueError("no luck")

    told.steps = [None, write_and_fail, lambda ctx: book(ctx.session, "third")]
    for number in range(3):
        queued(told, session).work(number)

    session.commit()
    session.commit()

    assert (told.calls, memory.lost, names(service.engine)) == ([0, 1, 2], 1, ["third"])
    (record,) = (record for record in caplog.records if record.levelno >= logging.ERROR)
    assert record.getMessage() == (
        "told.work failed after the commit, and an outbox in memory does not try again: ValueError: no luck"
    )


def test_in_memory_the_text_of_an_error_is_not_logged_where_it_must_not_be_stored(
    make_outbox: Callable[..., Outbox], session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    outbox, scripted = make_outbox(kind="memory"), Scripted(ValueError("password=hunter2"))
    outbox.register("scripted", scripted, store_last_error=False)
    queued(scripted, session).work()

    session.commit()

    assert "does not try again: ValueError" in caplog.text
    assert "hunter2" not in caplog.text


def test_in_memory_a_handler_may_record_further_messages(
    memory: Outbox, told: Told, session: Session, service: QueueService
) -> None:
    def record(ctx: MessageContext) -> None:
        queued(told).work("next")
        book(ctx.session, "by the first")
        assert told.calls == ["first"]

    told.steps = [record]
    queued(told, session).work("first")
    session.commit()

    assert told.calls == ["first", "next"]
    assert names(service.engine) == ["by the first"]


def test_in_memory_a_call_outside_of_a_transaction_is_made_at_once(memory: Outbox, told: Told) -> None:
    assert queued(told).work(1).state == "delivered"
    assert told.calls == [1]


def test_in_memory_a_scoped_session_will_do_and_a_connection_will_not(
    memory: Outbox, told: Told, service: QueueService
) -> None:
    scoped = scoped_session(sessionmaker(service.engine))
    queued(told, scoped).work(1)
    scoped.commit()
    scoped.remove()
    with service.engine.connect() as connection, pytest.raises(NotSupported, match="not of a Connection"):
        queued(told, connection).work(2)

    assert told.calls == [1]


def test_in_memory_a_reference_says_what_became_of_its_message(memory: Outbox, told: Told, session: Session) -> None:
    told.steps = [None, ValueError("no luck")]
    refs = [queued(told, session).work(number) for number in range(2)]
    session.commit()
    phantom = queued(told, session).work("phantom")
    session.rollback()
    told.steps = [ValueError("no luck")]

    assert [ref.state for ref in (*refs, phantom)] == ["delivered", "lost", "deferred"]
    assert queued(told).work("at once").state == "lost"
    assert refs[0] in {refs[0]}
    assert refs[0] != refs[1]


# --- off ---


@pytest.mark.parametrize("kind", ["persistent", "memory", "off"])
def test_what_could_not_be_stored_is_refused_by_each_kind(
    make_outbox: Callable[..., Outbox], told: Told, session: Session, kind: str
) -> None:
    make_outbox(kind=kind).register("told", told)

    with pytest.raises(SerializationError, match=r'data\["kwargs"\]\["value"\]'):
        queued(told, session).work(value=object())
    session.commit()

    assert told.calls == []


def test_off_calls_are_made_at_once_in_the_transaction_of_the_caller(
    service: QueueService, off: Outbox, told: Told, session: Session
) -> None:
    told.steps = [lambda ctx: book(ctx.session, "by the handler")]
    ref = queued(told, session).work(1)
    assert (told.calls, ref.state, ref.result) == ([1], "delivered", None)
    session.rollback()
    assert names(service.engine) == []

    queued(told, session).emit("booked", 1)
    session.commit()

    assert (told.events, waiting(service)) == (["booked"], 0)


def test_off_a_failure_reaches_the_caller(off: Outbox, told: Told, session: Session) -> None:
    told.steps = [ValueError("no luck"), False]

    with pytest.raises(ValueError, match="no luck"):
        queued(told, session).work()
    with pytest.raises(TaskFailed, match="returned False"):
        queued(told, session).work()


@pytest.mark.parametrize("commits", [True, False])
def test_off_a_handler_writes_in_the_transaction_of_a_connection(
    service: QueueService, off: Outbox, told: Told, commits: bool
) -> None:
    told.steps = [lambda ctx: book(ctx.session, "by the handler")]
    with service.engine.connect() as connection:
        queued(told, connection).work()
        connection.commit() if commits else connection.rollback()

    assert names(service.engine) == (["by the handler"] if commits else [])


def test_off_without_a_session_a_handler_has_one_of_its_own(service: QueueService, off: Outbox, told: Told) -> None:
    def fail(ctx: MessageContext) -> None:
        book(ctx.session, "phantom")
        raise ValueError("no luck")

    told.steps = [lambda ctx: book(ctx.session, "real"), fail]
    queued(told).work()
    with pytest.raises(ValueError, match="no luck"):
        queued(told).work()

    assert names(service.engine) == ["real"]


def test_off_a_call_of_a_handler_is_made_in_its_transaction(
    service: QueueService, off: Outbox, told: Told, session: Session
) -> None:
    told.steps = [lambda ctx: queued(told).work("inner"), lambda ctx: book(ctx.session, "inner")]
    queued(told, session).work("outer")
    assert told.calls == ["outer", "inner"]
    session.rollback()

    assert names(service.engine) == []
