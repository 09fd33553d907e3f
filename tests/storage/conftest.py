"""Services that are closed at the end, and the server behind a test's database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from taskqueue import QueueService
from tests.servers import Server

MakeService = Callable[..., QueueService]


@pytest.fixture
def make_service() -> Iterator[MakeService]:
    """Makes services, which are closed after the test."""
    made: list[QueueService] = []

    def make(url: str, **options: Any) -> QueueService:
        made.append(QueueService(url, **options))
        return made[-1]

    yield make
    for service in made:
        service.close()


@pytest.fixture
def service(make_service: MakeService, database_url: str) -> QueueService:
    """A service on the test's database."""
    return make_service(database_url)


@pytest.fixture
def server(request: pytest.FixtureRequest, database_url: str) -> Server:
    """The server of the test's database."""
    return cast(Server, request.getfixturevalue(f"{request.node.callspec.params['database_url']}_server"))
