"""The very first call, in a transaction that has written already: on SQLite nobody else can write then."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from taskqueue import QueueService
from taskqueue.outbox import Outbox, queued
from tests.outbox.conftest import book, metadata, names
from tests.outbox.services import Scripted
from tests.servers import ALL_DATABASES

pytestmark = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)


@pytest.fixture(params=["one engine", "two engines"])
def engine(request: pytest.FixtureRequest, database_url: str) -> Iterator[Engine]:
    """Where the application's session comes from; its own table is there, ours are not."""
    engine = create_engine(database_url)
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def make(database_url: str, engine: Engine, request: pytest.FixtureRequest) -> Iterator[Callable[[], Outbox]]:
    """Makes what a process makes at its start."""
    services: list[QueueService] = []

    def start() -> Outbox:
        is_one = request.node.callspec.params["engine"] == "one engine"
        services.append(QueueService(engine if is_one else database_url))
        return Outbox(services[-1])

    yield start
    for service in services:
        service.close()


@pytest.mark.parametrize("commits", [True, False])
def test_on_an_empty_database(make: Callable[[], Outbox], engine: Engine, commits: bool) -> None:
    outbox, scripted = make(), Scripted()
    outbox.register("scripted", scripted)
    with Session(engine) as session:
        book(session, "first")
        queued(scripted, session).work(1)
        queued(scripted, session).work(2)
        if commits:
            session.commit()

    outbox.flush()
    assert (scripted.calls, names(engine)) == (([1, 2], ["first"]) if commits else ([], []))

    with Session(engine) as session:
        queued(scripted, session).work(3)
        session.commit()
    outbox.flush()
    assert scripted.calls[-1] == 3


def test_in_a_process_that_has_looked_at_nothing_yet(make: Callable[[], Outbox], engine: Engine) -> None:
    make().prepare()  # of another process
    outbox, scripted = make(), Scripted()
    outbox.register("scripted", scripted)

    with Session(engine) as session:
        book(session, "first")
        queued(scripted, session).work(1)
        session.commit()

    assert outbox.flush() == 1


def test_given_a_queue_of_other_options_then_those_stay(make: Callable[[], Outbox], engine: Engine) -> None:
    before = make()
    before.register("scripted", Scripted(), parallel=False)
    before.prepare()
    outbox, scripted = make(), Scripted()
    outbox.register("scripted", scripted, parallel=False)

    with Session(engine) as session:
        book(session, "first")
        queued(scripted, session).work(1)
        session.commit()

    assert outbox.flush() == 1
    assert outbox.queues.standing()[0].spec.type == "Sql"
