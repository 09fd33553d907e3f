"""In which transaction a call is recorded, and a message delivered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from taskqueue import NotSupported, QueueService, Runner, SessionMismatch, TaskContext
from taskqueue.outbox import MessageContext, Outbox, current_message, handles, queued
from tests.contract.tasks import step
from tests.outbox.conftest import book, dead_letters, flush, names, waiting
from tests.outbox.services import Scripted


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def outbox(make_outbox: Callable[..., Outbox], scripted: Scripted) -> Outbox:
    outbox = make_outbox()
    outbox.register("scripted", scripted)
    return outbox


# --- recording ---


def test_many_calls_of_one_transaction_are_delivered_in_their_order(
    outbox: Outbox, scripted: Scripted, session: Session
) -> None:
    for number in range(50):
        queued(scripted, session).work(number)
    session.commit()

    outbox.flush()

    assert scripted.calls == list(range(50))


@pytest.mark.parametrize("commits", [True, False])
def test_a_session_in_a_with_block(service: QueueService, outbox: Outbox, scripted: Scripted, commits: bool) -> None:
    with Session(service.engine) as session:
        book(session, "first")
        queued(scripted, session).work()
        if commits:
            session.commit()

    assert (waiting(service), len(names(service.engine))) == ((1, 1) if commits else (0, 0))


@pytest.mark.parametrize("commits", [True, False])
def test_a_connection(service: QueueService, outbox: Outbox, scripted: Scripted, commits: bool) -> None:
    with service.engine.connect() as connection:
        form = queued(scripted, connection)
        form.work(1)
        queued(scripted, connection).work(2)
        connection.commit() if commits else connection.rollback()

    outbox.flush()

    assert scripted.calls == ([1, 2] if commits else [])


@pytest.mark.parametrize("is_given", [True, False], ids=["given", "of the outbox"])
@pytest.mark.parametrize("commits", [True, False])
def test_a_scoped_session(
    service: QueueService, make_outbox: Callable[..., Outbox], scripted: Scripted, commits: bool, is_given: bool
) -> None:
    scoped = scoped_session(sessionmaker(service.engine))
    outbox = make_outbox(session=None if is_given else scoped)
    outbox.register("scripted", scripted)

    queued(scripted, scoped if is_given else None).work(1)
    scoped.commit() if commits else scoped.rollback()
    queued(scripted, scoped if is_given else None).work(2)
    scoped.remove()  # as at the end of a request: it is not committed

    outbox.flush()
    assert scripted.calls == ([1] if commits else [])


def test_a_function_gives_the_session_of_the_moment(
    make_outbox: Callable[..., Outbox], scripted: Scripted, session: Session
) -> None:
    moment: list[Session | None] = [session]
    outbox = make_outbox(session=lambda: moment[0])
    outbox.register("scripted", scripted)

    queued(scripted).work("rolled back")
    session.rollback()
    moment[0] = None
    queued(scripted).work("in a transaction of its own")

    outbox.flush()
    assert scripted.calls == ["in a transaction of its own"]


def test_a_session_on_another_database_is_refused(outbox: Outbox, scripted: Scripted, tmp_path: Any) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    with Session(engine) as session, pytest.raises(SessionMismatch):
        queued(scripted, session).work()
    engine.dispose()


# --- in a handler ---


@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize("opens", [True, False], ids=["opened before", "not opened"])
def test_what_a_handler_records_is_part_of_its_transaction(
    service: QueueService, make_outbox: Callable[..., Outbox], scripted: Scripted, session: Session, fails: bool,
    opens: bool,
) -> None:  # fmt: skip
    # A session of the moment that nobody will commit, as those of requests are in a worker.
    abandoned = scoped_session(sessionmaker(service.engine))
    outbox = make_outbox(session=abandoned)
    outbox.register("scripted", scripted, max_attempts=1)

    def record(ctx: MessageContext) -> None:
        if opens:
            book(ctx.session, "before")
        queued(scripted).work("further")
        queued(scripted, ctx.session).work("more")
        book(ctx.session, "after")
        if fails:
            raise ValueError("after all")

    scripted.steps = [record]
    queued(scripted, session).work("first")
    session.commit()
    outbox.flush()
    abandoned.remove()

    assert scripted.calls == (["first"] if fails else ["first", "further", "more"])
    assert names(service.engine) == ([] if fails else ["before", "after"][not opens :])


def test_what_a_task_records_is_part_of_its_transaction(
    service: QueueService, outbox: Outbox, scripted: Scripted
) -> None:
    def write(ctx: TaskContext) -> None:
        with ctx.transaction() as session:
            queued(scripted).work(1)
            queued(scripted, session).work(2)
            raise ValueError("rolled back")

    queue = service.create("SqlParallel", "tasks", error="dead")
    queue.create_item(step(write))
    Runner(queue).run_all(wait=0)

    outbox.flush()
    assert scripted.calls == []


def test_a_handler_that_asks_for_no_session_opens_no_transaction(
    service: QueueService, outbox: Outbox, scripted: Scripted, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(service.database), "session_scope", lambda _self: pytest.fail("a transaction was opened"))
    queued(scripted, session).work()
    session.commit()

    assert outbox.flush() == 1
    assert (waiting(service), dead_letters(service)) == (0, [])


def test_the_session_is_opened_when_it_is_asked_for(
    service: QueueService, outbox: Outbox, scripted: Scripted, session: Session
) -> None:
    """So that slow work before it holds no lock: on SQLite, others can write meanwhile."""

    def work(ctx: MessageContext) -> None:
        assert service.database.current_session is None
        with Session(service.engine) as other, other.begin():
            book(other, "by others meanwhile")
        book(ctx.session, "by the handler")
        assert ctx.session is service.database.current_session

    scripted.steps = [work]
    queued(scripted, session).work()
    session.commit()

    outbox.flush()

    assert names(service.engine) == ["by others meanwhile", "by the handler"]


def test_an_async_handler_has_the_session_too(
    service: QueueService, make_outbox: Callable[..., Outbox], session: Session
) -> None:
    class Async:
        attempts = 0

        @handles
        async def work(self, ctx: MessageContext) -> None:
            self.attempts += 1
            await asyncio.sleep(0)
            book(ctx.session, f"attempt {self.attempts}")
            await asyncio.sleep(0)
            assert current_message() is ctx
            if self.attempts == 1:
                raise ValueError("the first one fails")

        async def plain(self) -> None:
            context = current_message()
            assert context is not None
            book(context.session, "plain")

    outbox, thing = make_outbox(), Async()
    outbox.register("async", thing)
    queued(thing, session).work()
    queued(thing, session).plain()
    session.commit()

    outbox.flush()
    flush(outbox, 3600)

    assert names(service.engine) == ["plain", "attempt 2"]


def test_an_async_handler_that_takes_longer_than_its_timeout_is_cancelled_and_has_failed(
    service: QueueService, make_outbox: Callable[..., Outbox], session: Session
) -> None:
    class Slow:
        @handles
        async def work(self, ctx: MessageContext) -> None:
            book(ctx.session, "phantom")
            await asyncio.sleep(3600)

    outbox, slow = make_outbox(), Slow()
    outbox.register("slow", slow, timeout=0.1)
    queued(slow, session).work()
    session.commit()

    assert outbox.flush() == 1

    (item,) = service.load("outbox").items()
    assert "took longer than its timeout" in (item.last_error or "")
    assert names(service.engine) == []


def test_the_session_belongs_to_the_thread_of_the_handler(outbox: Outbox, scripted: Scripted, session: Session) -> None:
    caught: list[BaseException] = []

    def elsewhere(ctx: MessageContext) -> None:
        def ask() -> None:
            try:
                _ = ctx.session
            except NotSupported as error:
                caught.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    scripted.steps = [elsewhere]
    queued(scripted, session).work()
    session.commit()

    outbox.flush()

    assert "belongs to the thread of the handler" in str(caught[0])


@pytest.mark.parametrize("how", ["commit", "rollback", "close"])
def test_a_handler_cannot_end_its_transaction_itself(
    service: QueueService, outbox: Outbox, scripted: Scripted, session: Session, how: str
) -> None:
    def end(ctx: MessageContext) -> None:
        book(ctx.session, "phantom")
        getattr(ctx.session, how)()

    scripted.steps = [end]
    queued(scripted, session).work()
    session.commit()

    outbox.flush()

    assert (names(service.engine), waiting(service)) == ([], 1)


def test_no_message_is_in_hand_outside_of_a_handler(outbox: Outbox, scripted: Scripted, session: Session) -> None:
    seen: list[Any] = []
    scripted.steps = [lambda ctx: seen.append(current_message() is ctx)]
    queued(scripted, session).work()
    session.commit()

    outbox.flush()

    assert (seen, current_message()) == ([True], None)
