"""The inbox: a broker's message is stored once, however often it is delivered, and handled by the outbox's workers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from taskqueue import NotSupported, QueueService, SerializationError, SpecError, travel
from taskqueue.outbox import Inbox, MessageContext, Outbox, on
from tests.outbox.conftest import bookings

DAY = 86_400


class Flights:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    @on("landed")
    def note(self, ctx: MessageContext, data: Any) -> None:
        self.heard.append((data, dict(ctx.headers)))

    @on("*")
    def count(self, ctx: MessageContext, data: Any) -> None:
        self.heard.append(ctx.event)


@pytest.fixture
def flights() -> Flights:
    return Flights()


@pytest.fixture
def outbox(make_outbox: Callable[..., Outbox], flights: Flights) -> Outbox:
    outbox = make_outbox()
    outbox.register("flights", flights)
    outbox.register("hotels", Flights())
    outbox.prepare()
    return outbox


@pytest.fixture
def inbox(outbox: Outbox) -> Inbox:
    return outbox.inbox("flights")


def test_a_message_is_stored_then_handled_by_all_handlers(inbox: Inbox, outbox: Outbox, flights: Flights) -> None:
    assert inbox.receive("m1", "landed", {"flight": "LH1"}, headers={"trace": "7"}) is True
    assert flights.heard == []

    outbox.flush()

    assert flights.heard == [({"flight": "LH1"}, {"trace": "7"}), "landed"]


def test_a_duplicate_is_known_before_and_long_after_the_first_was_handled(
    service: QueueService, inbox: Inbox, outbox: Outbox, flights: Flights
) -> None:
    assert inbox.receive("m1", "landed", 1)
    assert not inbox.receive("m1", "landed", 1)
    outbox.flush()
    assert not inbox.receive("m1", "landed", 1)
    with travel(10 * DAY):
        service.prune(60)
        assert not inbox.receive("m1", "landed", 1)
        assert inbox.receive("m2", "landed", 2)

    outbox.flush()

    assert [each for each in flights.heard if each != "landed"] == [(1, {}), (2, {})]


def test_keys_are_pruned_after_their_time(service: QueueService, inbox: Inbox) -> None:
    for number in range(5):
        inbox.receive(f"m{number}", "landed")
    with travel(15 * DAY):
        inbox.receive("late", "landed")
        assert service.prune(30 * DAY).received == 0
        assert service.prune(60, dry_run=True).received == 5
        assert service.prune(60).received == 5
        assert service.prune(60).received == 0
        assert inbox.receive("m1", "landed")
        assert not inbox.receive("late", "landed")


def test_it_joins_the_transaction_of_the_caller(
    inbox: Inbox, outbox: Outbox, flights: Flights, session: Session
) -> None:
    assert inbox.receive("m1", "landed", 1, session=session)
    session.execute(bookings.insert().values(name="first"))
    session.rollback()
    assert (outbox.flush(), flights.heard) == (0, [])

    assert inbox.receive("m1", "landed", 1, session=session)
    assert not inbox.receive("m1", "landed", 1, session=session)
    session.execute(bookings.insert().values(name="first"))
    session.commit()
    assert (outbox.flush(), flights.heard[0]) == (1, (1, {}))


def test_what_cannot_be_stored_is_not_taken_for_received(inbox: Inbox, outbox: Outbox) -> None:
    with pytest.raises(SerializationError):
        inbox.receive("m1", "landed", object())
    with pytest.raises(SpecError, match="carries a secret"):
        inbox.receive("m1", "landed", headers={"Authorization": "x"})

    assert inbox.receive("m1", "landed")
    assert outbox.queues.standing()[0].number_of_items() == 1


def test_two_that_get_the_same_message_at_once_store_it_once(inbox: Inbox, outbox: Outbox) -> None:
    barrier, answers = threading.Barrier(4), []

    def receive() -> None:
        barrier.wait(30)
        answers.append(inbox.receive("m1", "landed"))

    threads = [threading.Thread(target=receive) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(answers) == [False, False, False, True]
    assert outbox.queues.standing()[0].number_of_items() == 1


ODD = [
    "a",
    "A",
    "a ",
    " a",
    "ä",
    "a\x00",
    "a\n",
    "\ud800",
    "x" * 191,
    "x" * 192,
    "x" * 5000,
    "x" * 5001,
    "'; --",
    "%",
    "💥",
]


def test_any_two_ids_are_told_apart(inbox: Inbox, outbox: Outbox) -> None:
    assert [inbox.receive(each, "landed") for each in ODD] == [True] * len(ODD)
    assert [inbox.receive(each, "landed") for each in ODD] == [False] * len(ODD)
    assert all(outbox.inbox("hotels").receive(each, "landed") for each in ODD[:3])  # it shares the queue


@pytest.mark.parametrize("wrong", ["", None, 7, b"m1"])
def test_an_id_is_text(inbox: Inbox, wrong: Any) -> None:
    with pytest.raises(SpecError, match="message_id is the text"):
        inbox.receive(wrong, "landed")


def test_who_has_no_inbox(service: QueueService, outbox: Outbox) -> None:
    with pytest.raises(SpecError, match="no service 'flight'"):
        outbox.inbox("flight")
    other = QueueService(service.engine)
    off = Outbox(other, kind="off")
    off.register("flights", Flights())
    with pytest.raises(NotSupported, match="needs an Outbox of kind='persistent'"):
        off.inbox("flights")


def test_a_reset_forgets_what_was_received(inbox: Inbox, outbox: Outbox, session: Session) -> None:
    (queue,) = outbox.queues.standing()
    inbox.receive("m1", "landed")
    queue.reset()

    assert inbox.receive("m1", "landed")
    keys = queue.database.tables.received  # type: ignore[attr-defined]
    assert session.scalar(select(func.count()).select_from(keys)) == 1


def test_given_names_that_are_alike_with_their_ids_when_both_receive_then_neither_is_taken_for_the_other(
    outbox: Outbox,
) -> None:
    outbox.register("a", Flights())
    outbox.register("a:b", Flights())

    assert outbox.inbox("a").receive("b:c", "landed", 1)
    assert outbox.inbox("a:b").receive("c", "landed", 1)
    assert not outbox.inbox("a:b").receive("c", "landed", 1)
