"""The private servers hold what they promise: they keep data through a kill and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pymysql
import pytest
from sqlalchemy import create_engine, inspect, text

from tests import conftest
from tests.servers import ALL_DATABASES, SERVER_DATABASES, SERVERS, MariaDBServer, Server

each_server = pytest.mark.parametrize("kind", SERVER_DATABASES)


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: str) -> Iterator[Server]:
    """The shared server, and the certainty that it runs afterwards."""
    server: Server = request.getfixturevalue(f"{kind}_server")
    server.start()
    yield server
    server.start()


@each_server
def test_it_answers_on_loopback(server: Server) -> None:
    assert server.running
    assert server.execute("SELECT 1 + 1") == [(2,)]


@each_server
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_committed_row_survives(server: Server, how: str) -> None:
    server.create_database("kept")
    server.execute("CREATE TABLE word (word VARCHAR(20))", database="kept")
    server.execute("INSERT INTO word VALUES ('hello')", database="kept")
    port, pid = server.port, server.pid
    getattr(server, how)()
    assert not server.running
    with pytest.raises((psycopg.OperationalError, pymysql.OperationalError)):
        server.execute("SELECT 1")
    server.start()
    assert server.port == port
    assert server.pid != pid
    assert server.execute("SELECT word FROM word", database="kept") == [("hello",)]
    server.drop_database("kept")


@each_server
def test_a_database_in_use_is_dropped(server: Server) -> None:
    server.create_database("busy")
    engine = create_engine(server.url("busy"))
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE word (word VARCHAR(20))"))
        connection.commit()
        connection.execute(text("SELECT * FROM word"))
        server.drop_database("busy")
        connection.invalidate()
    engine.dispose()


@each_server
def test_nothing_survives_the_death_of_the_tests(kind: str, tmp_path: Path) -> None:
    conftest.require(SERVERS[kind])
    script = (
        "import sys, time; from tests.servers import SERVERS\n"
        f"server = SERVERS[{kind!r}](); server.start()\n"
        "print(server.pid, server._home, flush=True); time.sleep(60)\n"
    )
    root = Path(__file__).resolve().parent.parent
    tests = subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True)
    assert tests.stdout is not None
    pid, folder = tests.stdout.readline().split()
    assert Path(folder).is_dir()
    tests.send_signal(signal.SIGKILL)
    tests.communicate()
    deadline = time.monotonic() + 20
    while Path(folder).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(folder).exists()
    assert not _alive(int(pid))


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_an_empty_database(database_url: str, turn: int) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == []
        connection.execute(text("CREATE TABLE word (word VARCHAR(20))"))
    engine.dispose()


def test_a_missing_server_skips_at_home_and_fails_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MariaDBServer, "missing", classmethod(lambda cls: "there is none"))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="there is none"):
        conftest.require(MariaDBServer)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="there is none"):
        conftest.require(MariaDBServer)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
