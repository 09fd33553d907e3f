"""The messages as a mapped class that an application queries in its own session, and cannot change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from taskqueue import NotSupported, QueueService, travel
from taskqueue.outbox import MessageRef, Outbox, StoredMessage, queued

KEY = "k" * 32


class Flights:
    outbox_options = {"max_attempts": 2}  # noqa: RUF012  (as users write it)

    def reserve(self, flight: str, price: Any = None) -> None:
        raise ValueError(f"no such flight {flight}")


@pytest.fixture
def flights() -> Flights:
    return Flights()


@pytest.fixture(params=["", KEY], ids=["plain", "signed"])
def signing(request: pytest.FixtureRequest, service: QueueService) -> Iterator[QueueService]:
    """A service on the same database, that signs or does not."""
    made = QueueService(service.engine, secret_key=request.param or ())
    yield made
    made.close()


@pytest.fixture
def outbox(signing: QueueService, flights: Flights) -> Outbox:
    outbox = Outbox(signing)
    outbox.register("flights", flights)
    outbox.prepare()
    return outbox


@pytest.fixture
def refs(outbox: Outbox, flights: Flights, session: Session) -> dict[str, MessageRef]:
    """One that is dead, one that was tried once, one that nobody has tried, and one that is due tomorrow."""
    form = queued(flights, session, user="ann")
    made = {"dead": form.reserve("LH1"), "tried": form.reserve("LH2")}
    session.commit()
    outbox.flush()
    with travel(60):
        item = outbox.queues.standing()[0].claim_item()  # one of the two
        assert item is not None
        outbox.queues.standing()[0].release_item(item, 0)
    made["later"] = queued(flights, session, delay="1d").reserve("LH4")
    made["fresh"] = queued(flights, session, headers={"trace": "ö"}).reserve("LH3", price={"eur": 1.5})
    session.commit()
    return made


def of(session: Session, outbox: Outbox, ref: MessageRef) -> StoredMessage:
    return session.scalars(select(outbox.Message).where(outbox.Message.id == ref.id)).one()


def test_a_message_that_nobody_has_tried(outbox: Outbox, refs: dict[str, MessageRef], session: Session) -> None:
    message = of(session, outbox, refs["fresh"])

    assert (message.item_id, message.queue, message.target, message.event) == (
        refs["fresh"].item_id, "outbox", "flights", "reserve"
    )  # fmt: skip
    assert json.loads(message.msg) == {
        "service": "flights", "event": "reserve", "kind": "call", "args": ["LH3"], "kwargs": {"price": {"eur": 1.5}},
        "headers": {"trace": "ö"},
    }  # fmt: skip
    assert (message.attempts, message.last_error, message.last_attempt_timestamp) == (0, None, None)
    assert (message.is_dead, message.state) == (False, "ready")
    assert message.timestamp.utcoffset() == timedelta(0)
    assert abs(message.timestamp - datetime.now(timezone.utc)) < timedelta(minutes=1)
    assert of(session, outbox, refs["later"]).state == "delayed"


def test_failures_show(outbox: Outbox, refs: dict[str, MessageRef], session: Session) -> None:
    tried = of(session, outbox, refs["tried"])
    assert (tried.attempts, tried.is_dead) == (1, False)
    assert "no such flight LH2" in str(tried.last_error)
    first = tried.last_attempt_timestamp
    assert first is not None
    assert first >= tried.timestamp
    session.rollback()

    with travel(3600):
        outbox.flush()

    dead = of(session, outbox, refs["dead"])
    assert (dead.attempts, dead.is_dead, dead.state, dead.target) == (2, True, "dead", "flights")
    assert "no such flight LH1" in str(dead.last_error)
    assert json.loads(dead.msg)["user"] == "ann"
    letter = next(outbox.dead.list(refs["dead"]))
    assert dead.last_attempt_timestamp == letter.dead_time > first


def test_it_is_queried_as_any_other_class(outbox: Outbox, refs: dict[str, MessageRef], session: Session) -> None:
    Message = outbox.Message
    with travel(3600):
        outbox.flush()
    by_id = {ref.id: name for name, ref in refs.items()}
    hour = timedelta(hours=1)

    def found(*conditions: Any) -> list[str]:
        return sorted(by_id[each.id] for each in session.scalars(select(Message).where(*conditions)))

    assert found() == ["dead", "fresh", "later", "tried"]
    assert found(Message.is_dead) == ["dead", "tried"]
    assert found(~Message.is_dead, Message.target == "flights") == ["fresh", "later"]
    assert found(Message.target == "hotels") == []
    assert found(Message.state == "dead", Message.last_error.contains("LH2")) == ["tried"]
    assert found(Message.timestamp > datetime.now(timezone.utc) - hour) == ["dead", "fresh", "later", "tried"]
    assert found(Message.timestamp > datetime.now(timezone.utc) + hour) == []
    assert found(Message.msg.contains("LH4")) == ["later"]
    newest = select(Message).order_by(Message.timestamp.desc(), Message.item_id.desc()).limit(2)
    assert [by_id[each.id] for each in session.scalars(newest)] == ["fresh", "later"]
    second = session.scalars(newest.offset(1).limit(1)).one()
    assert session.get(Message, second.id) is second
    counted = select(Message.target, func.count()).where(Message.attempts > 1).group_by(Message.target)
    assert [tuple(row) for row in session.execute(counted)] == [("flights", 2)]
    with pytest.raises(SQLAlchemyError, match="time zone"):
        found(Message.timestamp > datetime(2020, 1, 1))


def test_it_cannot_be_changed(outbox: Outbox, refs: dict[str, MessageRef], session: Session) -> None:
    message = of(session, outbox, refs["fresh"])
    message.attempts = 7
    with pytest.raises(NotSupported, match="can only be looked at"):
        session.commit()
    session.rollback()

    session.delete(of(session, outbox, refs["fresh"]))
    with pytest.raises(NotSupported, match="can only be looked at"):
        session.flush()
    session.rollback()

    session.add(outbox.Message())
    with pytest.raises(NotSupported, match="can only be looked at"):
        session.flush()
    session.rollback()

    for statement in (delete, update):
        with pytest.raises(SQLAlchemyError, match="subject table"):
            statement(outbox.Message)
    assert of(session, outbox, refs["fresh"]).attempts == 0


def test_what_is_rolled_back_or_delivered_is_not_there(
    outbox: Outbox, flights: Flights, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "reserve", lambda flight: None)
    count = select(func.count()).select_from(outbox.Message)
    queued(flights, session).reserve("LH1")
    assert session.scalar(count) == 1
    session.rollback()
    assert session.scalar(count) == 0
    queued(flights, session).reserve("LH1")
    session.commit()
    outbox.flush()
    assert session.scalar(count) == 0


def test_only_messages_of_this_application_are_there(
    service: QueueService, make_outbox: Callable[..., Outbox], flights: Flights, session: Session
) -> None:
    twin = QueueService(service.engine)
    try:
        small, capital = make_outbox(app_id="shop"), Outbox(twin, app_id="Shop")
        small.register("flights", flights)
        capital.register("flights", Flights())
        third = QueueService(service.engine)
        plain = Outbox(third)
        plain.register("flights", Flights())
        for one in (small, capital, plain):
            one.prepare()
        service.create("Sql", "jobs", payload="other").create_item({"service": "flights", "event": "x"})
        refs = [
            one.queued(one.connect("flights"), session).reserve(f"LH{number}")
            for number, one in enumerate((small, capital, plain))
        ]
        session.commit()

        for one, ref in zip((small, capital, plain), refs, strict=True):
            assert [each.id for each in session.scalars(select(one.Message))] == [ref.id]
            session.expunge_all()
    finally:
        twin.close()


@pytest.mark.parametrize("text", ["", "{", '{"v":1,"data":7}', '{"v":1,"data":{"service":"', "[" * 5000, "ä"])
def test_what_cannot_be_read_is_shown_as_it_is_stored(outbox: Outbox, session: Session, text: str) -> None:
    queue = outbox.queues.standing()[0]
    queue.create_item({"service": "flights", "event": "x", "kind": "call"})
    table = queue.database.tables.item
    session.execute(update(table).values(data=text))
    session.commit()

    message = session.scalars(select(outbox.Message)).one()

    assert (message.target, message.event) in ((None, None), ("", None))
    assert message.msg in (text, "7")
