"""A database that cannot be reached is named at once, in one sentence, and without the password."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from taskqueue.errors import DatabaseUnavailable
from tests.servers import MariaDBServer, PostgreSQLServer
from tests.storage.conftest import MakeService

SECRET = "s3cr3t"
QUICKLY = 5.0


@contextmanager
def refused_at_once(where: str) -> Iterator[None]:
    """Inside, a first use ends in time with an error that says where, and keeps the secret."""
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable) as caught:
        yield
    assert time.monotonic() - began < QUICKLY
    assert where in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens: bound, so that nobody else takes it meanwhile."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize("driver", ["mysql+pymysql", "postgresql+psycopg"])
def test_given_no_server_when_used_then_it_is_unavailable_at_once(
    make_service: MakeService, driver: str, closed_port: int
) -> None:
    with refused_at_once(f"127.0.0.1:{closed_port}"):
        make_service(f"{driver}://me:{SECRET}@127.0.0.1:{closed_port}/app").create("Sql", "mail")


def test_given_a_wrong_password_when_mariadb_is_used_then_it_is_unavailable(
    make_service: MakeService, mariadb_server: MariaDBServer
) -> None:
    mariadb_server.execute("CREATE OR REPLACE USER somebody@'127.0.0.1' IDENTIFIED BY 'another'")

    with refused_at_once("somebody"):
        make_service(mariadb_server.url("mysql").replace("root@", f"somebody:{SECRET}@")).queues()


def test_given_an_unknown_account_when_postgresql_is_used_then_it_is_unavailable(
    make_service: MakeService, postgresql_server: PostgreSQLServer
) -> None:
    with refused_at_once("somebody"):
        make_service(postgresql_server.url("postgres").replace("postgres@", f"somebody:{SECRET}@")).queues()


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_given_an_unknown_database_when_used_then_it_is_unavailable(
    make_service: MakeService, kind: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(f"{kind}_server").url("no_such_database")

    with refused_at_once("no_such_database"):
        make_service(url).create("Sql", "mail")


def test_given_a_path_in_a_missing_folder_when_used_then_it_is_unavailable(
    make_service: MakeService, tmp_path: Path
) -> None:
    with refused_at_once("missing"):
        make_service(f"sqlite:///{tmp_path}/missing/queue.db").create("Sql", "mail")


def test_given_a_file_that_is_no_database_when_used_then_it_is_unavailable_and_left_alone(
    make_service: MakeService, tmp_path: Path
) -> None:
    file = tmp_path / "letter.txt"
    text = "Dear all, this is no database. " * 100
    file.write_text(text)

    with refused_at_once("letter.txt"):
        make_service(f"sqlite:///{file}").create("Sql", "mail")

    assert file.read_text() == text
