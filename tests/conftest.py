"""Fixtures that every test may use: the private database servers and fresh databases."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests import galera
from tests.servers import SERVERS, MariaDBServer, PostgreSQLServer, Server

_numbers = itertools.count(1)
#: Each asks for more, or for longer, than is usual.
LONG_FORMS = (
    "HOSTILE_REQUESTS", "INTERLEAVINGS", "KILL_STRIDE", "LOST_ANSWERS", "NETWORK_SECONDS", "OPERATIONS_API_EXAMPLES",
    "POLLERS", "POLL_SECONDS", "POWER_CUTS", "SOAK_SECONDS", "TASKQUEUE_MODEL_RUNS", "XSS_STRINGS",
)  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """A long form has no time limit, unless one is given on the command line; the usual one stands in setup.cfg."""
    if config.option.timeout is None and any(name in os.environ for name in LONG_FORMS):
        config.option.timeout = 0


def pytest_report_header() -> list[str]:
    """Say at the top which servers the tests will have to do without."""
    reasons = [server.missing() for server in SERVERS.values()]
    return [f"!!! {reason}" for reason in dict.fromkeys([*reasons, galera.missing()]) if reason]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    """What was printed and logged has to be UTF-8 when a worker of pytest-xdist sends it; some texts are not."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """A private MariaDB server, started when first asked for."""
    require(MariaDBServer)
    with MariaDBServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQLServer]:
    """A private PostgreSQL server, started when first asked for."""
    require(PostgreSQLServer)
    with PostgreSQLServer() as server:
        yield server


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, empty database.

    To be parametrized indirectly with names out of ``ALL_DATABASES``; SQLite without.
    """
    name = getattr(request, "param", "sqlite")
    if name == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    server: Server = request.getfixturevalue(f"{name}_server")
    # A test that killed the server and failed before starting it again must not fail all others.
    server.start()
    database = f"t_{next(_numbers)}"
    server.create_database(database)
    yield server.url(database)
    server.start()
    server.drop_database(database)


@pytest.fixture(scope="session")
def shared_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Gives the URL of one database of each kind for all tests that leave nothing behind in it.

    Those that leave something behind, which only others would mind, share one under another name.
    """

    @cache
    def url(kind: str, name: str = "shared") -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp(name) / name}.db"
        server: Server = request.getfixturevalue(f"{kind}_server")
        server.create_database(name)
        return server.url(name)

    return url


def require(server: type[Server]) -> None:
    """At home a test without its server is skipped; in CI that would hide that it never ran."""
    reason = server.missing()
    if not reason:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; under CI that is a failure", pytrace=False)
    pytest.skip(f"{reason}; `make test` installs it where it may")
