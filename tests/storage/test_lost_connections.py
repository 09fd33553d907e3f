"""Connections that the server has cut between two calls are opened again, and nobody notices."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier

import pymysql
import pytest

from taskqueue import QueueService
from taskqueue.queues.batch import BatchQueue
from tests.servers import SERVER_DATABASES, MariaDBServer, Server

pytestmark = pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)
POOLED = 5

ACTIONS: dict[str, Callable[[BatchQueue], object]] = {
    "create": lambda queue: queue.create_item("y"),
    "create-many": lambda queue: queue.create_items(range(3)),
    "claim": lambda queue: queue.claim_item(),
    "steal": lambda queue: queue.steal_item(),
    "statistics": lambda queue: queue.statistics(),
    "list": lambda queue: list(queue.items()),
    "status": lambda queue: queue.set_status("paused"),
}


@pytest.fixture(params=["Sql", "SqlParallel"])
def queue(request: pytest.FixtureRequest, service: QueueService) -> BatchQueue:
    """A queue of one item, on a service whose pool is full of idle connections."""
    queue = service.create(request.param, "mail")
    queue.create_item("x")
    barrier = Barrier(POOLED)
    with ThreadPoolExecutor(POOLED) as pool:
        for _ in range(POOLED):
            pool.submit(service.database.statement, lambda tx: barrier.wait(10), write=False)
    return queue


def cut_all(server: Server, database: str) -> int:
    """Let the server end all connections to a database; how many there were."""
    if not isinstance(server, MariaDBServer):
        backends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        return len(server.execute(f"{backends} WHERE datname = '{database}'"))
    users = server.execute(f"SELECT id FROM information_schema.processlist WHERE db = '{database}'")
    for (number,) in users:
        with suppress(pymysql.OperationalError):  # ended by itself meanwhile
            server.execute(f"KILL {number}")
    return len(users)


@pytest.mark.parametrize("action", ACTIONS)
def test_given_idle_connections_that_the_server_has_cut_when_called_then_the_call_works(
    queue: BatchQueue, server: Server, database_url: str, action: str
) -> None:
    database = database_url.rpartition("/")[2].partition("?")[0]
    assert cut_all(server, database) >= POOLED

    ACTIONS[action](queue)

    assert queue.number_of_items() == {"create": 2, "create-many": 4}.get(action, 1)


def test_given_a_held_item_when_the_connection_is_cut_before_it_is_finished_then_it_is_finished(
    queue: BatchQueue, server: Server, database_url: str
) -> None:
    item = queue.claim_item()
    assert item is not None
    cut_all(server, database_url.rpartition("/")[2].partition("?")[0])

    queue.delete_item(item)

    assert queue.outcome_of(item.id) == "ok"


@pytest.mark.chaos
def test_given_a_server_that_was_killed_and_started_again_when_called_then_nothing_is_lost(
    queue: BatchQueue, server: Server
) -> None:
    item = queue.claim_item()
    assert item is not None

    server.kill()
    server.start()

    queue.extend_lease(item)
    queue.create_item("y")
    queue.delete_item(item)
    assert [one.data for one in queue.items()] == ["y"]
