"""A line that breaks at a commit: what was sent, and may have been done, is neither lost nor done twice."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

import psycopg
import pymysql
import pytest
from sqlalchemy.orm import Session

from taskqueue import travel
from taskqueue.channels import Channels, Window
from taskqueue.errors import OutcomeUnknown
from tests.channels.conftest import NOON, at, get, got, rows, send, waits
from tests.servers import SERVER_DATABASES
from tests.storage.tapped import tap

pytestmark = pytest.mark.parametrize("was_done", [True, False], ids=["answer-lost", "request-lost"])


class Line:
    """Breaks once, at the n-th statement from its arming on that makes something durable: after it was done or before.

    ``sign`` is a part of the statements, since the last commit, that count; ``then`` is called when it has broken.
    """

    then: Callable[[], object] | None = None

    def __init__(self, was_done: bool, error: Exception) -> None:
        self._was_done = was_done
        self._error = error
        self._sent: list[str] = []
        self._sign: str | None = None
        self.has_broken = False

    def arm(self, sign: str) -> None:
        self._sign = sign

    def __call__(self, sql: str, commits: bool, send: Callable[[], Any]) -> Any:
        self._sent.append(sql)
        if not commits:
            return send()
        sent, self._sent = "\n".join(self._sent), []
        if self._sign is None or self._sign not in sent:
            return send()
        self._sign, self.has_broken = None, True
        if self._was_done:
            send()
        if self.then is not None:
            self.then()
        raise self._error


@pytest.fixture(params=SERVER_DATABASES)
def url(request: pytest.FixtureRequest, shared_database: Callable[..., str]) -> str:
    """Those to which there is a line."""
    return shared_database(request.param, "channels")


@pytest.fixture
def line(url: str, was_done: bool, monkeypatch: pytest.MonkeyPatch) -> Line:
    """The line to the database, whole until armed."""
    if url.startswith("mysql"):
        error: Exception = pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")
    else:
        error = psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly")
    line = Line(was_done, error)
    tap(monkeypatch, line)
    return line


@pytest.mark.parametrize("window", [None, Window()])
def test_what_is_sent_is_there_once(line: Line, channels: Channels, window: Window | None) -> None:
    line.arm("INTO taskqueue_item")
    sent = send(channels, "x", window=window)

    assert line.has_broken
    assert channels.peek("orders", consumer="billing") == sent
    assert got(channels) == ["x"]


@pytest.mark.parametrize("way", ["get", "get-in-a-session", "receive"])
def test_what_is_sent_is_there_once_although_a_consumer_was_quicker(
    line: Line, channels: Channels, others: Channels, was_done: bool, way: str
) -> None:
    consumed: list[Any] = []

    def consume() -> None:
        if way == "receive":
            with others.receive("orders", consumer="billing") as message:
                consumed.extend([message.data] if message is not None else [])
        elif way == "get":
            consumed.extend(got(others))
        else:
            with Session(others.queue_service.engine) as session, session.begin():
                consumed.extend(got(others, session=session))

    assert got(others) == []  # the queue is there
    line.then = consume
    line.arm("INTO taskqueue_item")
    send(channels, "x")

    assert line.has_broken
    assert consumed == (["x"] if was_done else [])
    assert consumed + got(channels) == ["x"]


def test_what_is_rejected_is_on_the_invalid_channel_once_although_a_consumer_was_quicker(
    line: Line, channels: Channels, others: Channels
) -> None:
    send(channels, "x")
    message = channels.peek("orders", consumer="billing")
    assert message is not None
    consumed: list[Any] = []
    line.then = lambda: consumed.append(others.get("invalid", consumer="billing"))
    line.arm("INTO taskqueue_item")
    channels.reject(message, "bad")

    assert line.has_broken
    left = channels.get("invalid", consumer="billing")
    assert [one.data for one in (*consumed, left) if one is not None] == ["x"]


def test_what_is_sent_is_not_guessed_when_it_is_asked_for_too_late(
    line: Line, channels: Channels, others: Channels, was_done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskqueue.storage.claimed.ASKED_WITHIN", 50)
    line.then = lambda: (Event().wait(0.1), got(others))
    line.arm("INTO taskqueue_item")
    with pytest.raises(OutcomeUnknown, match="too late to tell"):
        send(channels, "x")
    assert got(channels) == []


def test_what_is_published_is_there_once_for_each(line: Line, channels: Channels) -> None:
    channels.subscribe("orders", consumer="billing")
    channels.subscribe("orders", consumer="stock")
    line.arm("INTO taskqueue_item")

    assert channels.publish("orders", "x", producer="shop") == 2
    assert line.has_broken
    assert [got(channels), got(channels, consumer="stock")] == [["x"], ["x"]]


@pytest.mark.parametrize("sign", ["run_count = run_count + 1", "DELETE FROM taskqueue_item"])
@pytest.mark.parametrize("way", ["get", "receive"])
def test_what_is_got_is_got_once(line: Line, channels: Channels, sign: str, way: str) -> None:
    send(channels, "one")
    send(channels, "two")
    line.arm(sign)
    if way == "get":
        message = get(channels)
    else:
        with channels.receive("orders", consumer="billing") as message:
            pass

    assert line.has_broken
    assert message is not None
    assert (message.data, message.attempts) == ("one", 1)
    assert got(channels) == ["two"]
    assert rows(channels.queue_service) == 0


@pytest.mark.parametrize("how", ["taken", "held", "seen"])
def test_what_is_rejected_is_on_the_invalid_channel_once(line: Line, channels: Channels, how: str) -> None:
    send(channels, "x")
    if how == "held":
        with channels.receive("orders", consumer="billing") as message:
            assert message is not None
            line.arm("INTO taskqueue_item")
            channels.reject(message, "bad")
    else:
        taken = get(channels) if how == "taken" else channels.peek("orders", consumer="billing")
        assert taken is not None
        line.arm("INTO taskqueue_item")
        channels.reject(taken, "bad")

    assert line.has_broken
    assert rows(channels.queue_service) == 1
    assert waits(channels, "invalid")


def test_what_expires_is_moved_and_counted_once(line: Line, channels: Channels) -> None:
    for number in range(3):
        send(channels, number, expires=5)
    line.arm("INTO taskqueue_item")
    with travel(6):
        assert channels.expire() == 3

    assert line.has_broken
    assert rows(channels.queue_service) == 3


def test_what_is_put_aside_comes_back_at_its_time(line: Line, channels: Channels) -> None:
    with at(NOON):
        send(channels, "x", window=Window("11:00", "13:00"))
    with at(NOON.replace(hour=14)):
        line.arm("SET state = 2")
        assert get(channels) is None
        assert line.has_broken
    with at(NOON.replace(day=17)):
        assert got(channels) == ["x"]


def test_a_subscription_is_made_and_taken_back(line: Line, channels: Channels) -> None:
    line.arm("INTO taskqueue_subscription")
    channels.subscribe("orders", consumer="billing")
    assert line.has_broken
    assert len(channels.subscriptions()) == 1

    line.has_broken = False
    line.arm("DELETE FROM taskqueue_subscription")
    channels.unsubscribe("orders", consumer="billing")
    assert line.has_broken
    assert channels.subscriptions() == []


def test_a_callback_is_called_once(line: Line, channels: Channels) -> None:
    called: list[object] = []
    channels.callback("call")(called.append)
    channels.subscribe("orders", consumer="billing", callback="call")
    send(channels)
    for sign in ("INTO taskqueue_item", "run_count = run_count + 1", "DELETE FROM taskqueue_item"):
        called.clear()
        line.has_broken = False
        line.arm(sign)
        assert channels.dispatch() == 1
        assert line.has_broken
        assert len(called) == 1
    assert rows(channels.queue_service) == 1
