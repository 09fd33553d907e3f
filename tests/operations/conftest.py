"""What the tests of operations share: an empty database of each kind, a registry, a table of the application's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, select
from sqlalchemy.orm import Session

from taskqueue import QueueService, travel
from taskqueue.operations import Operations, User
from tests.servers import ALL_DATABASES

metadata = MetaData()
contacts = Table(
    "contacts", metadata, Column("id", Integer, primary_key=True), Column("name", String(100), nullable=False)
)
ALICE, BOB = User("alice", frozenset({"sales"})), User("bob")


@pytest.fixture(params=ALL_DATABASES)
def url(request: pytest.FixtureRequest, shared_database: Callable[..., str]) -> str:
    """The URL of a database without queues."""
    return shared_database(request.param, "operations")


@pytest.fixture
def service(url: str) -> Iterator[QueueService]:
    """A service on a database without queues and calls."""
    made = QueueService(url)
    clear(made)
    metadata.create_all(made.engine)
    yield made
    clear(made)
    made.close()


def clear(service: QueueService) -> None:
    """Leave nothing of earlier tests."""
    for queue in service.queues():
        queue.delete()
    service.database.transaction(lambda tx: tx.change("DELETE FROM {operation}"))
    metadata.drop_all(service.engine)


@pytest.fixture
def ops(service: QueueService) -> Operations:
    """The operations of the service."""
    return Operations(service)


@pytest.fixture
def session(service: QueueService) -> Iterator[Session]:
    """The application's own transaction."""
    with Session(service.engine) as opened:
        yield opened


def drain(ops: Operations, ahead: float = 0.0) -> int:
    """Execute what is due, or will be after so many seconds; the number of attempts."""
    with travel(ahead):
        return ops.drain()


def names(service: QueueService) -> list[Any]:
    """What stands in the table of the application."""
    with service.engine.connect() as connection:
        return list(connection.scalars(select(contacts.c.name).order_by(contacts.c.id)))
