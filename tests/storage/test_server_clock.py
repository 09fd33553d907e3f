"""An item that comes in alone bears a moment by the server's clock that was not asked for: the server compares it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, event

from taskqueue import QueueService, clock
from taskqueue.queues.sql_base import SqlBase
from taskqueue.storage import items as items_module
from taskqueue.storage import server_clock
from taskqueue.storage.items import _JUST_NOW, _TOLERANCE
from taskqueue.storage.server_clock import ServerClock
from taskqueue.storage.transaction import Transaction

HOUR = 3_600_000
each_type = pytest.mark.parametrize("type_name", ["Sql", "SqlParallel"])
on_mariadb = pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
#: More than twice what lies between two looks at a clock (ms), on a machine that is busy, too.
BUSY = 20_000


@pytest.fixture
def insertions(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each item that was stored alone, whether its INSERT brings its rows back; on a slow machine, too."""
    monkeypatch.setattr(items_module, "_JUST_NOW", _JUST_NOW.replace(f" {_TOLERANCE} ", f" {BUSY} "))
    monkeypatch.setattr(server_clock, "_KNOWN_FOR", 60.0)
    monkeypatch.setattr(server_clock, "_EARLY", BUSY // 2)
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


def execute(queue: SqlBase, sql: str) -> None:
    queue.database.statement(lambda tx: tx.change(sql))


@on_mariadb
@each_type
def test_given_items_one_after_the_other_when_stored_then_only_the_first_is_read_back_and_all_bear_what_is_stored(
    queue: SqlBase, insertions: list[bool]
) -> None:
    items = [queue.create_item(number) for number in range(20)]

    assert insertions == [True] + [False] * 19
    assert [queue.fetch_item(item.id) for item in items] == items
    assert [clock.moment_ms(item.submit_time) for item in items] == [stored(queue, item.id) for item in items]
    assert 0 <= servers_time(queue) - stored(queue, items[-1].id) < BUSY


@on_mariadb
@each_type
@pytest.mark.parametrize("off", [-24 * HOUR, -BUSY, BUSY, 24 * HOUR])
@pytest.mark.parametrize("mode", ["", "STRICT_ALL_TABLES", "TRADITIONAL"])
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
        execute(queue, f"SET SESSION sql_mode = '{mode}'")
        item = queue.create_item("second")
    # then
    assert insertions == [False, True]
    assert [found.data for found in queue.items()] == ["first", "second"]
    assert clock.moment_ms(item.submit_time) == stored(queue, item.id)
    assert before <= stored(queue, item.id) <= servers_time(queue)
    # and
    queue.create_item("third")
    assert insertions == [False, True, True], "it does not guess again at once"


@on_mariadb
@each_type
@pytest.mark.parametrize(("behind", "is_taken"), [(-1, False), (0, True), (_TOLERANCE, True), (_TOLERANCE + 1, False)])
def test_given_a_moment_when_the_server_compares_it_then_only_one_that_has_just_been_is_taken(
    queue: SqlBase, monkeypatch: pytest.MonkeyPatch, behind: int, is_taken: bool
) -> None:
    now = 1_900_000_000
    monkeypatch.setattr(queue.rows._clock, "read", lambda: now * 1000 - behind)
    with queue.database.hold():
        execute(queue, f"SET SESSION timestamp = {now}")  # for this connection the server's clock stands still

        item = queue.create_item("x")

        assert stored(queue, item.id) == clock.moment_ms(item.submit_time) == now * 1000 - behind * is_taken


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
def test_given_a_transaction_of_ours_when_an_item_comes_in_then_it_is_not_before_what_was_read_there(
    queue: SqlBase, insertions: list[bool]
) -> None:
    queue.create_item("first")

    def work(tx: Transaction) -> tuple[int, int]:
        moment = int(tx.row("SELECT {now}")[0])
        return moment, clock.moment_ms(queue.insert_within(tx, queue._new_item("second", 0)).submit_time)

    moment, submitted = queue.database.transaction(work)

    assert moment <= submitted
    assert insertions == [True, True]


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


@pytest.fixture
def stand_still(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets our monotonic clock."""
    return lambda moment: monkeypatch.setattr(time, "monotonic", lambda: moment)


def test_given_an_answer_when_read_then_the_clock_goes_on_from_when_it_was_asked(stand_still: Any) -> None:
    watch = ServerClock()
    stand_still(100.0)
    assert watch.read() is None
    watch.told(5_000_000, 99.75)  # the answer took a quarter of a second
    assert watch.read() == 5_000_250 - 1
    stand_still(100.5)
    assert watch.read() == 5_000_750 - 1
    stand_still(100.75)
    assert watch.read() is None, "it has to be asked anew"


def test_given_fractions_of_a_millisecond_when_read_then_the_moment_is_rather_too_early(stand_still: Any) -> None:
    watch = ServerClock()
    watch.told(5_000_000, 99.9996)
    stand_still(100.0014)
    assert watch.read() == 5_000_000


def test_given_travels_when_told_inside_and_read_outside_then_it_is_the_servers_time(stand_still: Any) -> None:
    watch = ServerClock()
    stand_still(100.0)
    with clock.travel(60):
        watch.told(5_060_000, 100.0)
        assert watch.read() == 5_060_000 - 1
    assert watch.read() == 5_000_000 - 1


def test_given_a_refusal_when_told_soon_after_then_the_server_is_asked_for_a_second(stand_still: Any) -> None:
    watch = ServerClock()
    stand_still(100.0)
    watch.told(5_000_000, 100.0)
    watch.refused()
    assert watch.read() is None
    watch.told(5_000_000, 100.5)
    assert watch.read() is None
    stand_still(101.0)
    watch.told(5_000_000, 101.0)
    assert watch.read() is not None
