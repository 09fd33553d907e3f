"""What the tests of the API share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from taskqueue import QueueService
from taskqueue.operations import Operations
from tests.operations.conftest import clear, metadata
from tests.operations_api.app import Client, create_app
from tests.servers import ALL_DATABASES


@pytest.fixture(params=ALL_DATABASES)
def url(request: pytest.FixtureRequest, shared_database: Callable[..., str]) -> str:
    """The URL of a database without queues."""
    return shared_database(request.param, "operations_api")


@pytest.fixture
def service(url: str) -> Iterator[QueueService]:
    """A service on a database without queues and calls."""
    made = QueueService(url)
    clear(made)
    metadata.create_all(made.engine)
    yield made
    clear(made)
    made.close()


@pytest.fixture
def app(service: QueueService) -> Flask:
    """The application."""
    return create_app(service)


@pytest.fixture
def ops(app: Flask) -> Operations:
    """Its operations."""
    found: Operations = app.extensions["tests"]
    return found


@pytest.fixture
def alice(app: Flask) -> Client:
    """Who may do all that users may."""
    return Client(app)


@pytest.fixture
def bob(app: Flask) -> Client:
    """Somebody else."""
    return Client(app, "bob")


@pytest.fixture
def admin(app: Flask) -> Client:
    """Who may see the calls of all."""
    return Client(app, "admin")
