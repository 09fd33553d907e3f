"""Connections that the server, or somebody in between, has ended while nobody used them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, nullcontext
from multiprocessing import get_context
from typing import Any

import pytest
from sqlalchemy import event, text

from taskqueue import QueueService
from tests.faults.history import wait_until
from tests.servers import ALL_DATABASES, SERVER_DATABASES, PostgreSQLServer
from tests.storage.conftest import MakeService


@pytest.mark.parametrize("kind", SERVER_DATABASES)
def test_given_a_closed_connection_in_the_pool_when_used_then_another_one_is_made(
    make_service: MakeService, shared_database: Callable[[str], str], kind: str
) -> None:
    service: QueueService = make_service(shared_database(kind))
    queue = service.create("SqlParallel", "closed", reset=True)
    service.database.lending.clear()
    engine = service.database._both_engines()[1]
    pooled = engine.raw_connection()
    driver: Any = pooled.driver_connection
    driver.close()
    pooled.close()

    queue.create_item("x")

    assert queue.number_of_items() == 1
    with engine.connect() as connection:
        assert connection.connection.driver_connection is not driver


def test_given_idle_sessions_that_postgresql_ends_when_used_again_then_nothing_is_noticed(
    make_service: MakeService, postgresql_server: PostgreSQLServer
) -> None:
    postgresql_server.create_database("idle_sessions")
    service = make_service(postgresql_server.url("idle_sessions"))
    queue = service.create("SqlParallel", "idle")
    service.close()
    postgresql_server.execute("ALTER DATABASE idle_sessions SET idle_session_timeout = '100ms'")
    sessions = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = 'idle_sessions'"
    for number in range(3):
        queue.create_item(number)
        wait_until(lambda: postgresql_server.execute(sessions) == [(0,)], "the server has ended them")
    assert queue.number_of_items() == 3


@pytest.mark.parametrize("kind", ALL_DATABASES)
@pytest.mark.parametrize("way", ["once", "held", "session", "connecting"])
def test_given_a_service_that_is_closed_while_it_is_used_then_no_connection_is_left_open(
    make_service: MakeService, shared_database: Callable[[str], str], kind: str, way: str
) -> None:
    # given
    service = make_service(shared_database(kind))
    database, connections = service.database, Connections()
    for engine in database._both_engines():
        event.listen(engine, "connect", connections.opened)
        event.listen(engine, "close", connections.closed)
    database.close()
    connections.numbers.clear()

    def look(*, closes: bool = False) -> None:
        database.statement(lambda tx: [tx.row("SELECT {now}"), closes and service.close()], write=False)

    # when
    if way == "session":
        with database.session_scope() as session:
            session.execute(text("SELECT 1"))
            service.close()
    elif way == "connecting":
        for engine in database._both_engines():
            event.listen(engine, "connect", lambda *_: service.close(), once=True)
        look()
        service.close()
    else:
        with database.hold() if way == "held" else nullcontext():
            look(closes=True)
            if way == "held":
                look()
    # then
    assert connections.numbers and set(connections.numbers.values()) == {0}
    assert not service.exists("nothing"), "the service stays usable"


@pytest.mark.parametrize("kind", SERVER_DATABASES)
def test_given_a_child_process_when_it_gives_back_what_its_parent_has_taken_then_that_stays_open(
    make_service: MakeService, shared_database: Callable[[str], str], kind: str
) -> None:
    service = make_service(shared_database(kind))
    service.exists("anything")
    pooled = service.database._both_engines()[1].raw_connection()
    child = get_context("fork").Process(target=pooled.close)
    child.start()
    child.join()
    assert child.exitcode == 0

    with closing(pooled.cursor()) as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchall()
    pooled.close()


class Connections:
    """Which connections of the driver are open."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self._all: list[Any] = []  # so that none gets the id of another one

    def opened(self, raw: Any, _record: Any) -> None:
        self._all.append(raw)
        self.numbers[id(raw)] = 1

    def closed(self, raw: Any, _record: Any) -> None:
        self.numbers[id(raw)] = 0
