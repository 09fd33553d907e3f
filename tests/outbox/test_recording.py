"""A queued call is recorded in the caller's transaction, and made after its commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import ConfigurationError, QueueService, SpecError
from taskqueue.outbox import MessageContext, MessageRef, Outbox, handles, on, queued, unqueued
from tests.outbox.conftest import bookings, waiting

Made = list[Any]


class Flights:
    def __init__(self) -> None:
        self.made: Made = []

    @handles
    def reserve_seats(self, ctx: MessageContext, *, flight: str, seats: int = 1) -> str:
        self.made.append((flight, seats, ctx.user, dict(ctx.headers)))
        return f"{flight}-{seats}"

    @on("booked")
    def tell_partner(self, ctx: MessageContext, data: Any) -> None:
        self.made.append(("partner", data))

    @on("booked")
    def tell_crew(self, ctx: MessageContext, data: Any) -> None:
        self.made.append(("crew", data))

    def plain(self, number: int, *, twice: bool = False) -> int:
        self.made.append(number)
        return number


@pytest.fixture
def flights() -> Flights:
    return Flights()


@pytest.fixture
def outbox(make_outbox: Callable[..., Outbox], flights: Flights) -> Outbox:
    outbox = make_outbox()
    outbox.register("flights", flights)
    return outbox


def test_given_a_rollback_when_calls_were_recorded_then_nothing_is_ever_made(
    service: QueueService, outbox: Outbox, flights: Flights, session: Session
) -> None:
    session.execute(bookings.insert().values(name="first"))
    ref = queued(flights, session).reserve_seats(flight="LH1")
    session.rollback()

    outbox.flush()

    assert (flights.made, waiting(service)) == ([], 0)
    assert ref.state in ("gone", "unknown")


def test_given_a_commit_when_flushed_then_the_call_is_made_once_and_its_row_is_gone(
    service: QueueService, outbox: Outbox, flights: Flights, session: Session
) -> None:
    session.execute(bookings.insert().values(name="first"))
    ref = queued(flights, session, user="alice", headers={"trace": "7"}).reserve_seats(flight="LH1", seats=2)
    assert flights.made == []
    session.commit()
    assert (waiting(service), ref.state) == (1, "waiting")

    assert outbox.flush() == 1
    assert outbox.flush() == 0

    assert flights.made == [("LH1", 2, "alice", {"trace": "7"})]
    assert (waiting(service), ref.state) == (0, "gone")


def test_given_a_savepoint_that_is_rolled_back_when_the_rest_commits_then_its_calls_are_not_made(
    outbox: Outbox, flights: Flights, session: Session
) -> None:
    queued(flights, session).plain(1)
    savepoint = session.begin_nested()
    queued(flights, session).plain(2)
    savepoint.rollback()
    queued(flights, session).plain(3)
    session.commit()

    outbox.flush()

    assert flights.made == [1, 3]


def test_given_send_and_emit_when_delivered_then_the_handler_or_all_handlers_are_called(
    outbox: Outbox, flights: Flights, session: Session
) -> None:
    form = queued(flights, session)
    form.send("reserve_seats", {"flight": "LH2"}, headers={"a": 1})
    form.emit("booked", {"id": 4})
    session.commit()

    outbox.flush()

    assert flights.made == [("LH2", 1, None, {"a": 1}), ("partner", {"id": 4}), ("crew", {"id": 4})]


def test_the_queued_form_is_the_same_when_asked_twice(outbox: Outbox, flights: Flights, session: Session) -> None:
    form = queued(flights)

    assert queued(flights) is form
    assert queued(form) is form
    assert unqueued(form) is flights
    assert unqueued(flights) is flights
    assert queued(flights, session) is queued(flights, session) is not form
    assert isinstance(queued(flights, session).plain(1), MessageRef)


def test_a_service_that_is_not_queued_is_called_at_once_and_leaves_no_row(
    service: QueueService, outbox: Outbox, flights: Flights
) -> None:
    assert outbox.connect("flights").plain(5) == 5
    assert flights.made == [5]
    assert waiting(service) == 0


def test_given_other_options_when_queued_again_then_they_are_refused(outbox: Outbox, flights: Flights) -> None:
    queued(flights, max_attempts=5)
    queued(flights, max_attempts=5)

    with pytest.raises(ConfigurationError, match="attempts=5"):
        queued(flights, max_attempts=6)


@pytest.mark.parametrize("wrong", ["reserve_seat", "_private", "made"])
def test_a_call_that_nothing_can_handle_is_refused_when_it_is_recorded(
    outbox: Outbox, flights: Flights, session: Session, wrong: str
) -> None:
    with pytest.raises(SpecError, match="no method or handler"):
        queued(flights, session).send(wrong)
    with pytest.raises(SpecError, match=f"no handler of the event '{wrong}'"):
        queued(flights, session).emit(wrong)
    with pytest.raises(AttributeError):
        getattr(queued(flights, session), wrong)
