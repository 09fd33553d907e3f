"""What may be said about one call, and what its reference tells."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import ItemNotFound, QueueService, SerializationError, SpecError, Unrecoverable, travel
from taskqueue.outbox import MessageContext, Outbox, queued
from tests.outbox.conftest import book, dead_letters, flush, waiting
from tests.outbox.services import Scripted


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def outbox(make_outbox: Callable[..., Outbox], scripted: Scripted) -> Outbox:
    outbox = make_outbox()
    outbox.register("scripted", scripted)
    return outbox


@pytest.mark.parametrize("delay", ["10m", 600, timedelta(minutes=10), "release_time"])
def test_a_delayed_message_waits(outbox: Outbox, scripted: Scripted, session: Session, delay: Any) -> None:
    moment = datetime.now(timezone.utc) + timedelta(minutes=10)
    options = {"release_time": moment} if delay == "release_time" else {"delay": delay}
    queued(scripted, session, **options).work()
    session.commit()

    assert flush(outbox) == 0
    assert flush(outbox, 570) == 0
    assert flush(outbox, 630) == 1


def test_a_delay_of_more_than_25_days_does_not_end_at_once(
    outbox: Outbox, scripted: Scripted, session: Session
) -> None:
    queued(scripted, session, delay="60d").work()
    session.commit()

    assert flush(outbox) == 0
    assert flush(outbox, 59 * 86_400) == 0
    assert flush(outbox, 60 * 86_400 + 60) == 1


def test_a_lower_weight_goes_first(outbox: Outbox, scripted: Scripted, session: Session) -> None:
    for weight in (0, 5, -5):
        queued(scripted, session, weight=weight).work(weight)
    session.commit()

    outbox.flush()

    assert scripted.calls == [-5, 0, 5]


def test_a_second_message_with_the_same_key_is_the_first(
    service: QueueService, outbox: Outbox, scripted: Scripted, session: Session
) -> None:
    first = queued(scripted, session, dedup_key="k").work(1)
    second = queued(scripted, session, dedup_key="k").work(2)
    session.commit()
    assert (second.id, waiting(service)) == (first.id, 1)

    outbox.flush()
    queued(scripted, session, dedup_key="k").work(3)
    session.commit()
    outbox.flush()

    assert scripted.calls == [1, 3]


def test_messages_with_one_order_key_keep_their_order_also_after_a_failure(
    outbox: Outbox, scripted: Scripted, session: Session
) -> None:
    scripted.steps = [ValueError("the first attempt at 1")]
    for number in range(1, 4):
        queued(scripted, session, order_key="a").work(number)
    queued(scripted, session, order_key="b").work("other key")
    queued(scripted, session).work("no key")
    session.commit()

    flush(outbox)
    assert scripted.calls == [1, "other key", "no key"]
    flush(outbox, 3600)

    assert scripted.calls == [1, "other key", "no key", 1, 2, 3]


def test_without_parallel_messages_keep_their_order_also_after_a_failure(
    make_outbox: Callable[..., Outbox], session: Session
) -> None:
    outbox, scripted = make_outbox(defaults={"parallel": False}), Scripted(ValueError("the first attempt at 1"))
    outbox.register("scripted", scripted)
    for number in range(1, 4):
        queued(scripted, session).work(number)
    session.commit()

    flush(outbox)
    flush(outbox, 3600)

    assert scripted.calls == [1, 1, 2, 3]


@pytest.mark.parametrize(
    "value",
    [{"when": datetime(2026, 1, 2, tzinfo=timezone.utc), "raw": b"\0", "nested": (1, [2, {"x": None}])}, None, "ß"],
)
def test_arguments_come_as_they_were_given(outbox: Outbox, scripted: Scripted, session: Session, value: Any) -> None:
    queued(scripted, session).work(value)
    session.commit()

    outbox.flush()

    assert scripted.calls == [value]


def test_what_cannot_be_stored_is_refused_when_it_is_recorded(
    outbox: Outbox, scripted: Scripted, session: Session
) -> None:
    with pytest.raises(SerializationError, match=r'\["x"\]'):
        queued(scripted, session).work({"x": object()})


def test_the_message_id_is_the_same_at_each_attempt(outbox: Outbox, scripted: Scripted, session: Session) -> None:
    seen: list[Any] = []

    def look(ctx: MessageContext) -> None:
        seen.append((ctx.message_id, ctx.attempt))
        raise ValueError("again")

    scripted.steps = [look, look]
    ref = queued(scripted, session).work()
    session.commit()

    flush(outbox)
    flush(outbox, 3600)

    assert seen == [(ref.id, 1), (ref.id, 2)]


# --- references ---


def test_a_message_can_be_taken_back(
    service: QueueService, outbox: Outbox, scripted: Scripted, session: Session
) -> None:
    ref = queued(scripted, session).work()
    session.commit()

    assert ref.cancel() == "cancelled"

    assert (outbox.flush(), ref.state, waiting(service)) == (0, "cancelled", 0)
    with pytest.raises(ItemNotFound):
        ref.cancel()


@pytest.mark.parametrize("commits", [True, False])
def test_a_message_is_taken_back_in_the_transaction_of_a_session(
    outbox: Outbox, scripted: Scripted, session: Session, commits: bool
) -> None:
    ref = queued(scripted, session).work()
    session.commit()
    book(session, "first")  # of this database it is now the one writer, where there is only one

    assert ref.cancel(session) == "cancelled"
    with pytest.raises(ItemNotFound):
        ref.cancel(session)
    session.commit() if commits else session.rollback()

    assert (ref.state, outbox.flush()) == (("cancelled", 0) if commits else ("waiting", 1))


def test_a_message_is_taken_back_before_it_is_committed(outbox: Outbox, scripted: Scripted, session: Session) -> None:
    form = queued(scripted, session, order_key="one")
    taken = form.work(1)
    form.work(2)

    assert taken.cancel(session) == "cancelled"
    session.commit()

    assert (outbox.flush(), scripted.calls) == (1, [2])


def test_a_message_in_delivery_is_asked_to_stop_with_the_commit(
    outbox: Outbox, scripted: Scripted, session: Session, service: QueueService
) -> None:
    answers: list[str] = []

    def look(ctx: MessageContext) -> None:
        with Session(service.engine) as other:
            answers.append(ref.cancel(other))
            other.commit()
        raise ValueError("again")

    scripted.steps = [look]
    ref = queued(scripted, session).work()
    session.commit()

    assert (flush(outbox), flush(outbox, 3600), answers, ref.state) == (1, 0, ["stopping"], "cancelled")


def test_a_reference_says_what_became_of_the_message(
    service: QueueService, make_outbox: Callable[..., Outbox], session: Session
) -> None:
    outbox, scripted = make_outbox(), Scripted({"seat": "7A"}, Unrecoverable("no"))
    outbox.register("scripted", scripted, keep="7d")
    good, bad, deleted = (queued(scripted, session).work() for _ in range(3))
    session.commit()
    service.load("outbox").delete_item(_claimed(service, deleted.item_id))
    assert [ref.state for ref in (good, bad)] == ["waiting", "waiting"]

    outbox.flush()

    assert (good.state, good.result) == ("succeeded", {"seat": "7A"})
    assert (bad.state, bad.result) == ("dead", None)
    with travel(8 * 86_400):
        assert good.state == "gone"


def _claimed(service: QueueService, item_id: int) -> Any:
    items = service.load("outbox").claim_items(10)
    service.load("outbox").release_items([item for item in items if item.id != item_id], delay=0)
    return next(item for item in items if item.id == item_id)


def test_a_result_is_kept_whether_or_not_the_handler_used_the_session(
    make_outbox: Callable[..., Outbox], session: Session
) -> None:
    outbox, scripted = make_outbox(), Scripted(lambda ctx: bool(ctx.session), lambda ctx: 7)
    outbox.register("scripted", scripted, keep=3600)
    refs = [queued(scripted, session).work() for _ in range(2)]
    session.commit()

    outbox.flush()

    assert [ref.result for ref in refs] == [True, 7]


def test_a_result_that_cannot_be_kept_is_a_failure(
    service: QueueService, make_outbox: Callable[..., Outbox], session: Session
) -> None:
    outbox, scripted = make_outbox(), Scripted(lambda ctx: object())
    outbox.register("scripted", scripted, keep=3600)
    queued(scripted, session).work()
    session.commit()

    outbox.flush()

    assert "cannot be stored" in dead_letters(service)[0].error


@pytest.mark.parametrize("option", ["ordr_key", "header", "dely"])
def test_an_unknown_option_is_refused_with_the_nearest_known_one(
    outbox: Outbox, scripted: Scripted, session: Session, option: str
) -> None:
    with pytest.raises(SpecError, match=f"unknown option '{option}'.*(order_key|headers|delay)"):
        queued(scripted, session, **{option: 1})
