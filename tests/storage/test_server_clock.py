"""An item that comes in alone bears a moment by the server's clock that was not asked for: the server compares it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, event

from taskqueue import QueueService, clock
from taskqueue.queues.sql_base import SqlBase
from taskqueue.storage import server_clock
from taskqueue.storage.server_clock import ServerClock
from taskqueue.storage.transaction import Transaction

HOUR = 3_600_000
each_type = pytest.mark.parametrize("type_name", ["Sql", "SqlParallel"])
on_mariadb = pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
#: How far two looks at one clock may lie apart (ms) on a machine that is busy.
BUSY = 2000


@pytest.fixture
def insertions(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each item that was stored alone, whether its INSERT brings its rows back; on a slow machine, too."""
    monkeypatch.setattr(server_clock, "_AT_MOST", 10.0)
    monkeypatch.setattr(server_clock, "_KNOWN_FOR", 60.0)
    seen: list[bool] = []
    rows, insert = Transaction.rows, Transaction.insert

    def watched_rows(tx: Transaction, statement: str, *given: Any, **values: Any) -> Any:
        if statement.startswith("INSERT INTO {item}"):
            seen.append(True)
        return rows(tx, statement, *given, **values)

    def watched_insert(tx: Transaction, statement: str, **values: Any) -> int:
        if statement.startswith("INSERT INTO {item}"):
            seen.append(False)
        return insert(tx, statement, **values)

    monkeypatch.setattr(Transaction, "rows", watched_rows)
    monkeypatch.setattr(Transaction, "insert", watched_insert)
    return seen


@pytest.fixture
def queue(database_url: str, type_name: str) -> Iterator[SqlBase]:
    service = QueueService(database_url)
    yield service.create(type_name, "mail")  # type: ignore[misc]
    service.close()


def stored(queue: SqlBase, item_id: int) -> int:
    select = "SELECT submit_time FROM {item} WHERE id = :id"
    return int(queue.database.statement(lambda tx: tx.row(select, id=item_id), write=False)[0])


def servers_time(queue: SqlBase) -> int:
    return int(queue.database.statement(lambda tx: tx.row("SELECT {now}"), write=False)[0])


@on_mariadb
@each_type
def test_given_items_one_after_the_other_when_stored_then_most_are_not_read_back_and_bear_what_is_stored(
    queue: SqlBase, insertions: list[bool]
) -> None:
    items = [queue.create_item(number) for number in range(20)]

    assert insertions[0]
    assert insertions.count(False) >= 10
    assert [queue.fetch_item(item.id) for item in items] == items
    assert [clock.moment_ms(item.submit_time) for item in items] == [stored(queue, item.id) for item in items]
    assert abs(servers_time(queue) - stored(queue, items[-1].id)) < BUSY


@on_mariadb
@each_type
@pytest.mark.parametrize("off", [-24 * HOUR, -200, 200, 24 * HOUR])
@pytest.mark.parametrize("mode", ["", "STRICT_ALL_TABLES"])
def test_given_a_clock_that_is_wrong_by_now_when_an_item_is_stored_then_it_is_there_once_with_the_servers_time(
    queue: SqlBase, insertions: list[bool], off: int, mode: str
) -> None:
    # given
    queue.create_item("first")
    queue.rows._clock._offset += off
    insertions.clear()
    before = servers_time(queue)
    # when
    with queue.database.hold():
        queue.database.statement(lambda tx: tx.change(f"SET SESSION sql_mode = '{mode}'"))
        item = queue.create_item("second")
    # then
    assert insertions == [False, True]
    assert [found.data for found in queue.items()] == ["first", "second"]
    assert clock.moment_ms(item.submit_time) == stored(queue, item.id)
    assert before <= stored(queue, item.id) <= servers_time(queue)
    # and
    queue.create_item("third")
    assert insertions == [False, True, False]


@on_mariadb
@each_type
def test_given_what_waits_or_has_a_key_when_stored_then_the_server_says_what_it_has_made_of_it(
    queue: SqlBase, insertions: list[bool]
) -> None:
    queue.create_item("first")
    insertions.clear()

    later = queue.create_item("later", delay=60)
    queue.create_item("keyed", dedup_key="key")

    assert later.release_time is not None
    assert (later.release_time - later.submit_time).total_seconds() == 60
    assert insertions[0]
    assert queue.create_item("again", dedup_key="key").data == "keyed"


@on_mariadb
@each_type
def test_given_a_session_of_the_application_when_an_item_joins_it_then_no_statement_of_it_fails(
    database_url: str, type_name: str, insertions: list[bool]
) -> None:
    engine = create_engine(database_url)
    service = QueueService(engine)
    queue: SqlBase = service.create(type_name, "mail")  # type: ignore[assignment]
    queue.create_item("first")
    errors: list[Any] = []
    event.listen(engine, "handle_error", lambda context: errors.append(context.original_exception))
    queue.rows._clock._offset += HOUR
    with engine.begin() as connection:
        queue.create_item("second", session=connection)
    assert [item.data for item in queue.items()] == ["first", "second"]
    assert errors == []
    assert insertions[-1]
    service.close()
    engine.dispose()


@on_mariadb
@each_type
def test_given_an_error_that_is_no_wrong_clock_when_an_item_is_stored_then_it_is_raised(
    queue: SqlBase, insertions: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.create_item("first")
    monkeypatch.setattr(Transaction, "insert", lambda *_given, **_values: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        queue.create_item("second")
    assert insertions == [True]
    assert queue.number_of_items() == 1


def test_given_an_answer_when_read_then_the_clock_goes_on_from_there_and_travels() -> None:
    watch = ServerClock()
    assert watch.read() is None
    watch.told(5_000_000, time.monotonic())
    read = watch.read()
    assert read is not None
    assert 0 <= read - 5_000_000 < 1000
    with clock.travel(60):
        travelled = watch.read()
        assert travelled is not None
        assert 60_000 <= travelled - 5_000_000 < 61_000


@pytest.mark.parametrize(("ago", "is_known"), [(0.0, True), (0.015, True), (0.03, False), (10.0, False)])
def test_given_an_answer_that_took_long_when_told_then_it_says_nothing(ago: float, is_known: bool) -> None:
    watch = ServerClock()
    watch.told(5_000_000, time.monotonic() - ago)
    assert (watch.read() is not None) == is_known


def test_given_an_answer_of_some_time_ago_when_read_then_the_server_has_to_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch, now = ServerClock(), time.monotonic()
    watch.told(5_000_000, now)
    monkeypatch.setattr(time, "monotonic", lambda: now + 2)
    assert watch.read() is None
