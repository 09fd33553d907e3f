"""Connections that the server, or somebody in between, has ended while nobody used them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from taskqueue import QueueService
from tests.faults.history import wait_until
from tests.servers import SERVER_DATABASES, PostgreSQLServer
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
