"""A connection is cut while the server is still at work for it: who has sent that waits until it can be seen.

The server is held up by a lock of the test's, which lets others read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from tests.faults.history import DEADLINE, wait_until
from tests.faults.lines import Lines
from tests.servers import SERVER_DATABASES, Server

pytestmark = pytest.mark.chaos


@pytest.fixture
def lines(request: pytest.FixtureRequest, shared_database: Callable[..., str], kind: str) -> Iterator[Lines]:
    server: Server = request.getfixturevalue(f"{kind}_server")
    lines = Lines(server, shared_database(kind, "cut_at_work"))
    yield lines
    lines.close()


@pytest.fixture
def looked(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set as soon as somebody has seen that the server is still at work."""
    seen, dialect = threading.Event(), lines.bad.database.dialect
    ask = dialect.is_at_work

    def is_at_work(*args: Any) -> bool:
        if found := ask(*args):
            seen.set()
        return found

    monkeypatch.setattr(dialect, "is_at_work", is_at_work)
    return seen


@contextmanager
def held_up(lines: Lines, kind: str) -> Iterator[None]:
    """Inside, whoever writes to the items waits."""
    begin, end = ("FLUSH TABLES WITH READ LOCK", "UNLOCK TABLES")
    if kind == "postgresql":
        begin, end = ("LOCK TABLE taskqueue_item IN SHARE MODE", "SELECT 1")
    with lines.good.engine.begin() as connection:
        connection.execute(text(begin))
        try:
            yield
        finally:
            connection.execute(text(end))


def waiting(lines: Lines, kind: str, word: str) -> int:
    """How many statements that begin with a word wait in the server."""
    statement = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE :word"
    if kind == "postgresql":
        statement = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE :word"
    return int(lines.good.database.statement(lambda tx: tx.row(statement, word=f"{word}%")[0], write=False))


def do_and_cut(lines: Lines, kind: str, looked: threading.Event, word: str, work: Callable[[], Any]) -> Any:
    """What ``work`` returns whose connection is cut while its statement waits; that goes on when it has looked."""
    with ThreadPoolExecutor(1) as pool:
        with held_up(lines, kind):
            begun = pool.submit(work)
            wait_until(lambda: waiting(lines, kind, word) == 1, "it waits")
            assert lines.proxy.cut() == 1
            # Without a look it is sent again at once.
            wait_until(lambda: looked.is_set() or waiting(lines, kind, word) == 2, "it is connected again")
        result = begun.result(DEADLINE)
    wait_until(lambda: not waiting(lines, kind, word), "the server is through")
    return result


@pytest.mark.parametrize("kind", SERVER_DATABASES)
def test_given_an_enqueue_that_is_cut_while_the_server_stores_it_then_it_is_stored_once(
    lines: Lines, kind: str, looked: threading.Event
) -> None:
    queue = lines.create("SqlParallel")
    queue.number_of_items()  # it is connected
    item = do_and_cut(lines, kind, looked, "INSERT INTO", lambda: queue.create_item("x"))
    assert [one.id for one in lines.seen.items()] == [item.id]


@pytest.mark.parametrize("kind", ["postgresql"])
def test_given_a_claim_that_is_cut_while_the_server_leases_then_nothing_is_leased_to_nobody(
    lines: Lines, kind: str, looked: threading.Event
) -> None:
    queue = lines.create("SqlParallel")
    queue.create_items(["x", "y"])
    item = do_and_cut(lines, kind, looked, "WITH ready", queue.claim_item)
    assert item is not None and (item.data, item.fence) == ("x", 1)
    assert lines.seen.get_statistic("leased") == 1
