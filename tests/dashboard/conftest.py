"""What the tests of the dashboard share: an empty database of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskqueue import QueueService
from taskqueue.storage.transaction import Transaction
from tests.contract.conftest import _EMPTIED
from tests.servers import ALL_DATABASES

MakeService = Callable[..., QueueService]


@pytest.fixture(params=ALL_DATABASES)
def url(request: pytest.FixtureRequest, shared_database: Callable[..., str]) -> str:
    """The URL of a database without queues."""
    return shared_database(request.param, "dashboard")


@pytest.fixture
def make_service(url: str) -> Iterator[MakeService]:
    """Makes services on it, each as another process would."""
    made: list[QueueService] = []

    def make(**settings: Any) -> QueueService:
        made.append(QueueService(url, **settings))
        return made[-1]

    yield make

    def clear(tx: Transaction) -> None:
        for table in _EMPTIED:
            tx.change(f"DELETE FROM {{{table}}}")

    make().database.transaction(clear)
    for service in made:
        service.close()


@pytest.fixture
def service(make_service: MakeService) -> QueueService:
    """One of them."""
    return make_service()
