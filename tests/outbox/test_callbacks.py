"""Who asked for it is told what became of a message: durably, and in the transaction in which the message ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import LeaseLost, QueueService, Unrecoverable
from taskqueue.outbox import MessageContext, Outbox, RetryPolicy, after, handles, queued
from tests.outbox.conftest import book, dead_letters, flush, names, waiting
from tests.outbox.services import Scripted, Told

DAY = 86_400.0


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def outbox(make_outbox: Callable[..., Outbox], told: Told) -> Outbox:
    outbox = make_outbox()
    outbox.register("told", told, max_attempts=3)
    return outbox


def record(told: Told, session: Session, value: Any = None, **options: Any) -> None:
    queued(told, session, **options).work(value)
    session.commit()


def test_after_failures_and_a_success_there_is_one_succeeded_and_no_failed(
    service: QueueService, outbox: Outbox, told: Told, session: Session
) -> None:
    told.steps = [ValueError("1"), ValueError("2"), {"seats": [1, 2]}]
    record(told, session)

    for hour in range(3):
        flush(outbox, hour * 3600)

    assert told.news == [("succeeded", {"seats": [1, 2]}), ("done", {"seats": [1, 2]})]
    assert (waiting(service), dead_letters(service)) == (0, [])


def test_given_all_attempts_failed_when_revived_then_it_runs_again_and_when_deleted_it_is_gone(
    service: QueueService, outbox: Outbox, told: Told, session: Session
) -> None:
    told.steps = [ValueError(str(number)) for number in range(1, 8)]
    record(told, session)

    for hour in range(5):
        flush(outbox, hour * 3600)
    assert told.news == [(outcome, {"type": "ValueError", "message": "3"}) for outcome in ("failed", "done")]
    assert len(told.calls) == 3, "a dead message is not selected any more"
    (letter,) = dead_letters(service)

    service.load("outbox").revive_item(letter.id)
    for hour in range(5, 10):
        flush(outbox, hour * 3600)
    assert len(told.calls) == 6, "it has all its attempts again"
    assert len(told.news) == 4

    service.load("outbox").delete_dead_items([letter.id])
    flush(outbox, DAY)
    assert (len(told.calls), dead_letters(service)) == (6, [])


def test_an_unrecoverable_failure_is_told_at_once(outbox: Outbox, told: Told, session: Session) -> None:
    told.steps = [Unrecoverable("no such flight")]
    record(told, session)

    outbox.flush()

    assert told.news[0] == ("failed", {"type": "Unrecoverable", "message": "no such flight"})


def test_a_callback_that_fails_is_tried_again_and_the_message_is_not(
    service: QueueService, outbox: Outbox, told: Told, session: Session
) -> None:
    told.callback_steps = [ValueError("once"), ValueError("of the other")]
    record(told, session)

    for hour in range(3):
        flush(outbox, hour * 3600)

    assert len(told.calls) == 1
    assert sorted(outcome for outcome, _result in told.news) == ["done", "done", "succeeded", "succeeded"]
    assert waiting(service) == 0


def test_a_callback_that_fails_for_good_is_dead_and_has_no_callbacks_of_its_own(
    service: QueueService, outbox: Outbox, told: Told, session: Session
) -> None:
    told.callback_steps = [Unrecoverable("no"), Unrecoverable("no")]
    record(told, session)

    outbox.flush()

    assert [outcome for outcome, _result in told.news] == ["succeeded", "done"]
    assert [letter.data["outcome"] for letter in dead_letters(service)] == ["succeeded", "done"]
    assert waiting(service) == 0


def test_what_a_callback_writes_is_there_once(
    service: QueueService, outbox: Outbox, told: Told, session: Session
) -> None:
    def write_and_fail(ctx: MessageContext) -> None:
        book(ctx.session, "phantom")
        raise ValueError("after the write")

    told.callback_steps = [write_and_fail, None, lambda ctx: book(ctx.session, "real")]
    record(told, session)

    for hour in range(3):
        flush(outbox, hour * 3600)

    assert names(service.engine) == ["real"]


def test_callbacks_know_the_user_the_headers_and_the_message(outbox: Outbox, told: Told, session: Session) -> None:
    record(told, session, user="alice", claims={"role": "agent"}, locale="de", headers={"trace": "7"})

    outbox.flush()

    context = told.contexts[0]
    assert (context.user, context.claims, context.locale) == ("alice", {"role": "agent"}, "de")
    assert context.headers == {"trace": "7"}
    assert context.message.parent
    assert context.message_id != context.message.parent
    assert told.contexts[1].message.parent == context.message.parent


def test_wildcards_get_events_and_no_callbacks(outbox: Outbox, told: Told, session: Session) -> None:
    record(told, session)
    queued(told, session).emit("booked", 1)
    session.commit()

    outbox.flush()

    assert told.events == ["booked"]


def test_where_nobody_asked_no_callback_is_stored(
    service: QueueService, make_outbox: Callable[..., Outbox], session: Session
) -> None:
    outbox, scripted = make_outbox(), Scripted("result", Unrecoverable("no"))
    outbox.register("scripted", scripted)
    queued(scripted, session).work()
    queued(scripted, session).work()
    session.commit()

    assert outbox.flush() == 2
    assert waiting(service) == 0


def test_events_have_callbacks_too(make_outbox: Callable[..., Outbox], session: Session) -> None:
    class Listener(Told):
        @after("booked", "done")
        def booked(self, ctx: MessageContext, what: Any) -> None:
            self.news.append(("booked", what))

    outbox, listener = make_outbox(), Listener()
    outbox.register("listener", listener)
    queued(listener, session).emit("booked", 1)
    session.commit()

    outbox.flush()

    assert (listener.events, listener.news) == (["booked"], [("booked", None)])


def test_a_result_that_cannot_be_stored_for_a_callback_is_a_failure_with_a_clear_sentence(
    service: QueueService, outbox: Outbox, told: Told, session: Session
) -> None:
    def answer(ctx: MessageContext) -> object:
        book(ctx.session, "phantom")
        return {"socket": object()}

    told.steps = [answer]
    record(told, session)

    outbox.flush()

    (letter,) = dead_letters(service)
    assert letter.error.startswith("what the handler of told.work returned cannot be stored:")
    assert "socket" in letter.error
    assert [outcome for outcome, _error in told.news] == ["failed", "done"]
    assert (len(told.calls), names(service.engine)) == (1, [])


def test_given_a_lost_lease_at_the_commit_then_neither_writes_nor_callbacks_are_there(
    service: QueueService, outbox: Outbox, told: Told, session: Session
) -> None:
    """Success, removal and callbacks are one transaction: all of them, or none."""

    def lose(ctx: MessageContext) -> None:
        with service.engine.connect() as connection:  # another connection sees that nothing has left the queue yet
            assert connection.exec_driver_sql("SELECT count(*) FROM taskqueue_item").scalar() == 1
        book(ctx.session, "phantom")
        ctx.session.connection().exec_driver_sql("UPDATE taskqueue_item SET fence = fence + 1")

    told.steps = [lose, lambda ctx: book(ctx.session, "real")]
    record(told, session)

    outbox.flush(wait=False)
    assert (names(service.engine), told.news, waiting(service)) == ([], [], 1)
    flush(outbox, 3600)

    assert names(service.engine) == ["real"]
    assert [outcome for outcome, _result in told.news] == ["succeeded", "done"]


@pytest.mark.parametrize("uses_session", [True, False])
def test_callbacks_and_the_end_of_the_message_are_seen_together(
    service: QueueService, outbox: Outbox, told: Told, session: Session, monkeypatch: pytest.MonkeyPatch,
    uses_session: bool,
) -> None:  # fmt: skip
    """What is stored for the callbacks goes, when the removal of the message fails."""
    told.steps = [(lambda ctx: book(ctx.session, "phantom")) if uses_session else None]
    record(told, session)
    queue = service.load("outbox")
    delete = type(queue.rows).delete  # type: ignore[attr-defined]
    failures = [LeaseLost("staged")]

    def fail_once(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return delete(*args)

    monkeypatch.setattr(type(queue.rows), "delete", fail_once)  # type: ignore[attr-defined]
    flush(outbox)

    assert waiting(service) == 1
    assert (names(service.engine), told.news) == ([], [])


def test_a_failed_callback_and_the_burial_are_one_transaction(
    service: QueueService, outbox: Outbox, told: Told, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.steps = [Unrecoverable("no"), Unrecoverable("no")]
    record(told, session)
    queue = service.load("outbox")
    insert = type(queue.rows).insert  # type: ignore[attr-defined]
    failures = [RuntimeError("staged")]

    def fail_once(*args: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return insert(*args, **options)

    monkeypatch.setattr(type(queue.rows), "insert", fail_once)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="staged"):
        outbox.flush()
    assert (dead_letters(service), waiting(service)) == ([], 1)
    flush(outbox, 3600)

    assert len(dead_letters(service)) == 1
    assert [outcome for outcome, _error in told.news] == ["failed", "done"]


def test_what_is_cancelled_has_not_failed(service: QueueService, outbox: Outbox, told: Told, session: Session) -> None:
    def cancel_and_fail(ctx: MessageContext) -> None:
        assert ref.cancel() == "stopping"
        raise ValueError("too late")

    ref = queued(told, session).work()
    session.commit()
    told.steps = [cancel_and_fail]

    outbox.flush()

    assert (ref.state, told.news, waiting(service)) == ("cancelled", [], 0)


def test_a_callback_may_record_further_messages(outbox: Outbox, told: Told, session: Session) -> None:
    told.callback_steps = [lambda ctx: queued(told).work("next")]
    record(told, session, "first")

    outbox.flush()

    assert told.calls == ["first", "next"]


def test_policies_of_handlers_are_not_those_of_callbacks(
    service: QueueService, make_outbox: Callable[..., Outbox], session: Session
) -> None:
    class Once(Told):
        @handles("once", retry=RetryPolicy(attempts=1))
        def try_once(self, ctx: MessageContext) -> None:
            """Succeeds."""

        @after("once", "succeeded")
        def told_of_once(self, ctx: MessageContext, result: Any) -> None:
            raise ValueError("again, please")

    outbox, once = make_outbox(), Once()
    outbox.register("once", once)
    queued(once, session).try_once()
    session.commit()

    outbox.flush()

    assert (dead_letters(service), waiting(service)) == ([], 1)
