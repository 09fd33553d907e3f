"""Messages that cannot be delivered are dead with their reason, and stop no others."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import QueueService, SpecError, travel
from taskqueue.outbox import Outbox, queued
from tests.outbox.conftest import dead_letters, flush, waiting
from tests.outbox.services import Scripted, Told


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def outbox(make_outbox: Callable[..., Outbox], told: Told) -> Outbox:
    outbox = make_outbox(version=3)
    outbox.register("told", told)
    outbox.prepare()
    return outbox


def reasons(service: QueueService, told: Told) -> list[str]:
    """Why messages are dead, after those before and behind them were delivered."""
    assert told.calls == ["before", "behind"]
    assert waiting(service) == 0
    return [letter.error for letter in dead_letters(service)]


@pytest.fixture
def between(outbox: Outbox, told: Told, session: Session) -> Callable[[Callable[[], Any]], None]:
    """Delivers what is put between two ordinary messages."""

    def deliver(put: Callable[[], Any]) -> None:
        for value, act in (("before", put), ("behind", lambda: None)):
            queued(told, session).work(value)
            session.commit()
            act()
        outbox.flush()

    return deliver


Between = Callable[[Callable[[], Any]], None]


def test_a_message_for_an_unknown_service(service: QueueService, told: Told, between: Between) -> None:
    data = {"service": "hotels", "event": "book", "kind": "call"}
    between(lambda: service.load("outbox").create_item(data))

    assert reasons(service, told) == ["no service 'hotels' is registered here: register it, then revive"]


@pytest.mark.parametrize("kind", ["call", "send"])
def test_a_message_for_an_unknown_method(service: QueueService, told: Told, between: Between, kind: str) -> None:
    data = {"service": "told", "event": "gone", "kind": kind}
    between(lambda: service.load("outbox").create_item(data))

    assert reasons(service, told) == ["service 'told' has no method or handler 'gone'"]


def test_a_message_for_an_event_without_handler(service: QueueService, outbox: Outbox, session: Session) -> None:
    """As a worker of an older version meets it: the newer one has the handler, and may revive it."""
    scripted = outbox.register("older", Scripted())
    data = {"service": "older", "event": "booked", "args": [1]}
    service.load("outbox").create_item({**data, "kind": "emit"})
    service.load("outbox").create_item({**data, "kind": "callback", "outcome": "failed"})

    outbox.flush()

    assert scripted.calls == []
    assert [letter.error for letter in dead_letters(service)] == [
        "service 'older' has no handler of the event 'booked': mark one with @on('booked')",
        "service 'older' has no handler of 'booked' marked with @after('booked', 'failed')",
    ]


@pytest.mark.parametrize("event", ["__init__", "_told", "calls", "next_step.__globals__"])
def test_a_row_reaches_nothing_private(service: QueueService, told: Told, between: Between, event: str) -> None:
    data = {"service": "told", "event": event, "kind": "call"}
    between(lambda: service.load("outbox").create_item(data))

    assert "has no method or handler" in reasons(service, told)[0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("text", "no message of an outbox"),
        ({"service": 7}, "no message of an outbox"),
        ({"service": "told", "event": "work", "kind": "shout"}, "none of the known ways"),
        ({"service": "told", "event": "work", "kind": ["call"]}, "none of the known ways"),
        ({"service": "told", "kind": "call"}, "names no event"),
        ({"service": "told", "event": "work", "kind": "call", "args": "abc"}, "damaged: args"),
        ({"service": "told", "event": "work", "kind": "call", "expires": "soon"}, "damaged: expires"),
    ],
)
def test_what_is_no_message(service: QueueService, told: Told, between: Between, data: Any, reason: str) -> None:
    between(lambda: service.load("outbox").create_item(data))

    assert reason in reasons(service, told)[0]


@pytest.mark.parametrize("text", ["{", "[1]", '{"v": 1, "data": {"$": "pickle"}}', "\xff"])
def test_a_corrupt_row(service: QueueService, told: Told, between: Between, text: str) -> None:
    def damage() -> None:
        item = service.load("outbox").create_item("intact")
        with service.engine.begin() as connection:
            style = "?" if service.engine.dialect.name == "sqlite" else "%s"
            connection.exec_driver_sql(f"UPDATE taskqueue_item SET data = {style} WHERE id = {style}", (text, item.id))

    between(damage)

    assert len(reasons(service, told)) == 1


@pytest.mark.parametrize("arguments", [{"args": [1, 2, 3]}, {"kwargs": {"nobody": 1}}])
def test_arguments_that_the_handler_does_not_take_are_a_failure(
    service: QueueService, outbox: Outbox, told: Told, session: Session, arguments: dict[str, Any]
) -> None:
    outbox.register("once", Scripted(), max_attempts=1)
    queued(told, session).work("before")
    session.commit()
    service.load("outbox").create_item({"service": "once", "event": "work", "kind": "call", **arguments})

    outbox.flush()

    assert dead_letters(service)[0].error.startswith("TypeError: ")


def test_signed_messages_cannot_be_forged(url: str, service: QueueService) -> None:
    signing = QueueService(url, secret_key="k" * 32)
    outbox, told = Outbox(signing), Told()
    outbox.register("told", told)
    queued(told).work("signed")
    service.load("outbox").create_item({"service": "told", "event": "work", "kind": "call", "args": ["forged"]})

    outbox.flush()

    assert told.calls == ["signed"]
    assert told.news == [("succeeded", None), ("done", None)]
    assert "signature" in dead_letters(service)[0].error
    signing.close()


# --- expiry ---


@pytest.mark.parametrize("expires", ["90s", timedelta(seconds=90), 90, "moment"])
def test_an_expired_message_is_dead_and_its_failure_told(
    service: QueueService, outbox: Outbox, told: Told, session: Session, expires: Any
) -> None:
    moment = datetime.now(timezone.utc) + timedelta(seconds=90)
    queued(told, session, expires=moment if expires == "moment" else expires).work("late")
    session.commit()

    flush(outbox, 91)

    assert told.calls == []
    assert [letter.error for letter in dead_letters(service)] == ["expired before it could be delivered"]
    assert told.news[0] == ("failed", {"type": "Unrecoverable", "message": "expired before it could be delivered"})


def test_a_message_is_delivered_until_it_expires(outbox: Outbox, told: Told, session: Session) -> None:
    queued(told, session, expires="10h").work("in time")
    session.commit()

    flush(outbox, 9 * 3600)

    assert told.calls == ["in time"]


@pytest.mark.parametrize("wrong", [datetime(2026, 1, 1), "tomorrow", -1])
def test_an_expiry_that_is_none_is_refused(outbox: Outbox, told: Told, session: Session, wrong: Any) -> None:
    with pytest.raises(SpecError, match="expires must"):
        queued(told, session, expires=wrong).work()


# --- versions ---


def test_a_message_for_a_newer_version_is_left_for_its_workers(
    service: QueueService, outbox: Outbox, told: Told, session: Session, url: str
) -> None:
    queued(told, session, min_version=4).work("new")
    queued(told, session, min_version=3).work("old")
    session.commit()

    outbox.flush()
    assert (told.calls, waiting(service), dead_letters(service)) == (["old"], 1, [])

    newer = QueueService(url)
    updated = Outbox(newer, version=4)
    later = updated.register("told", Told())
    with travel(3600):
        updated.flush()
    newer.close()
    assert (told.calls, later.calls) == (["old"], ["new"])


def test_an_application_without_versions_takes_all(make_outbox: Callable[..., Outbox], session: Session) -> None:
    outbox, scripted = make_outbox(), Scripted()
    outbox.register("scripted", scripted)
    queued(scripted, session, min_version=4).work("new")
    session.commit()

    outbox.flush()

    assert scripted.calls == ["new"]


@pytest.mark.parametrize("wrong", ["4", 4.0, True])
def test_a_version_is_a_whole_number(outbox: Outbox, told: Told, session: Session, wrong: Any) -> None:
    with pytest.raises(SpecError, match="min_version must be a whole number"):
        queued(told, session, min_version=wrong).work()


class Borrowing:
    """Has what it did not write itself."""

    shell = staticmethod(subprocess.getoutput)
    shout = str.upper

    def __init__(self) -> None:
        self.looked = False
        self.imported = subprocess.getoutput

    @property
    def found(self) -> Any:
        self.looked = True
        return subprocess.getoutput

    def _hidden(self) -> None:
        raise AssertionError

    def own(self) -> str:
        return "own"


@pytest.mark.parametrize("event", ["shell", "shout", "imported", "found", "_hidden", "__class__", "__init__"])
def test_given_a_row_that_names_what_the_service_did_not_write_when_delivered_then_it_is_dead(
    service: QueueService, make_outbox: Callable[..., Outbox], tmp_path: Path, event: str
) -> None:
    outbox, thing = make_outbox(), Borrowing()
    outbox.register("borrowing", thing)
    outbox.prepare()
    trace = tmp_path / "trace"
    service.load("outbox").create_item(
        {"service": "borrowing", "event": event, "kind": "call", "args": [f"touch {trace}"]}
    )

    outbox.flush()

    assert not trace.exists()
    assert not thing.looked
    (dead,) = outbox.dead.list()
    assert "no method or handler" in dead.error
