"""What the tests of the outbox share: an empty database of each kind, an outbox, a table of the application's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table
from sqlalchemy.orm import Session

from taskqueue import QueueService, Runner, travel
from taskqueue.outbox import Outbox
from taskqueue.queues.batch import BatchQueue
from tests.servers import ALL_DATABASES

metadata = MetaData()
bookings = Table(
    "bookings", metadata, Column("id", Integer, primary_key=True), Column("name", String(100), nullable=False)
)


@pytest.fixture(params=ALL_DATABASES)
def url(request: pytest.FixtureRequest, shared_database: Callable[[str], str]) -> str:
    """The URL of a database that other tests have left empty, or nearly so."""
    return shared_database(request.param)


@pytest.fixture
def service(url: str) -> Iterator[QueueService]:
    """A service on a database without queues."""
    made = QueueService(url)
    for queue in made.queues():
        queue.delete()
    metadata.drop_all(made.engine)
    metadata.create_all(made.engine)
    yield made
    for queue in made.queues():
        queue.delete()
    metadata.drop_all(made.engine)
    made.close()


@pytest.fixture
def make_outbox(service: QueueService) -> Callable[..., Outbox]:
    """Makes the outbox of the service."""
    return lambda **options: Outbox(service, **options)


@pytest.fixture
def session(service: QueueService) -> Iterator[Session]:
    """The application's own transaction."""
    with Session(service.engine) as opened:
        yield opened


def deliver(queue: BatchQueue, ahead: float = 0.0) -> int:
    """Deliver what is due, or will be after so many seconds; the number of attempts."""
    with travel(ahead):
        result = Runner(queue).run_all(wait=0)
    return result.completed + result.failed


def names(session: Session) -> list[Any]:
    """What the application has stored."""
    return list(session.execute(bookings.select().order_by(bookings.c.id)).scalars())
