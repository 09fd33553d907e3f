"""What the tests of the outbox share: an empty database of each kind, an outbox, a table of the application's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, select
from sqlalchemy.orm import Session

from taskqueue import DeadItem, QueueService, travel
from taskqueue.outbox import Outbox
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


def flush(outbox: Outbox, ahead: float = 0.0) -> int:
    """Deliver what is due, or will be after so many seconds; the number of attempts."""
    with travel(ahead):
        return outbox.flush()


def names(engine: Engine) -> list[str]:
    """What the application has stored."""
    with engine.connect() as connection:
        return list(connection.execute(select(bookings.c.name).order_by(bookings.c.id)).scalars())


def waiting(service: QueueService) -> int:
    """How many messages stand on queues."""
    return sum(queue.number_of_items() for queue in service.queues())


def book(session: Session, name: str) -> None:
    """What an application does in its transaction."""
    session.execute(bookings.insert().values(name=name))


def dead_letters(service: QueueService) -> list[DeadItem]:
    """Those of the common queue."""
    return service.load("outbox").dead_items()
