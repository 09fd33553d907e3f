"""A service and the meter of its database; and queues of several sizes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import make_url

from taskqueue import QueueService
from tests.costs.meters import MariaDBMeter, Meter, PostgreSQLMeter, SQLiteMeter
from tests.costs.stands import Stands, fill
from tests.databases import fresh_database
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
    service = QueueService(fresh_database(request, tmp_path_factory, request.param, "costs"))
    yield fill(service)
    service.close()
