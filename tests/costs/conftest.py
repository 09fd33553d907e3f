"""A service and the meter of its database; and queues of several sizes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import make_url

from taskqueue import QueueService
from tests.costs.meters import MariaDBMeter, Meter, PostgreSQLMeter, SQLiteMeter
from tests.costs.stands import Stands, fill
from tests.servers import ALL_DATABASES


@pytest.fixture
def meter(request: pytest.FixtureRequest, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meter]:
    """Counts what comes to the test's database."""
    url = make_url(database_url)
    made: Meter
    if url.drivername.startswith("sqlite"):
        made = SQLiteMeter(database_url, monkeypatch)
    elif url.drivername.startswith("mysql"):
        made = MariaDBMeter(request.getfixturevalue("mariadb_server"))
    else:
        made = PostgreSQLMeter(request.getfixturevalue("postgresql_server"), str(url.database))
    with closing(made):
        yield made


@pytest.fixture
def service(database_url: str, meter: Meter) -> Iterator[QueueService]:
    """A service whose connections are all seen by the meter."""
    service = QueueService(database_url)
    yield service
    service.close()


@pytest.fixture(scope="package", params=ALL_DATABASES)
def stands(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stands]:
    """Small queues and big ones, from which tests may take a few items."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('costs') / 'costs.db'}"
    else:
        server = request.getfixturevalue(f"{request.param}_server")
        server.drop_database("costs")
        server.create_database("costs")
        url = server.url("costs")
    service = QueueService(url)
    yield fill(service)
    service.close()
