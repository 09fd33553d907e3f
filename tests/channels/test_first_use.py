"""The very first use of a database that has no tables of ours yet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from taskqueue import QueueService
from taskqueue.channels import Channels
from tests.channels.conftest import get, got, send
from tests.servers import ALL_DATABASES

pytestmark = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The application's, on a database with a table of its own alone."""
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE mine (n INTEGER)")
    yield engine
    engine.dispose()


@pytest.mark.parametrize("commits", [True, False])
def test_in_a_transaction_that_has_written(engine: Engine, commits: bool) -> None:
    channels = Channels(QueueService(engine))
    with Session(engine) as session:
        session.connection().exec_driver_sql("INSERT INTO mine VALUES (1)")
        assert get(channels, session=session) is None
        assert channels.publish("news", 1, producer="shop", session=session) == 0
        send(channels, 1, session=session)
        if commits:
            session.commit()

    assert got(channels) == ([1] if commits else [])
    send(channels, 2)
    assert channels.queue_service.exists("channel:orders:billing")
    assert got(channels) == [2]


def test_with_a_look(database_url: str) -> None:
    service = QueueService(database_url)
    channels = Channels(service)

    assert channels.wake_ups() == channels.overview() == channels.subscriptions() == []
    assert get(channels) is None
    assert channels.expire() == 0
    service.close()
