"""Several hosts of one database, on servers that are no cluster: one is away, one is only a copy, one dies."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.engine import make_url

from taskqueue import QueueService, Runner, Task, TaskContext, Worker
from taskqueue.cli import main
from taskqueue.errors import ConfigurationError, DatabaseUnavailable
from tests.servers import SERVER_DATABASES, MariaDBServer, PostgreSQLServer, Server
from tests.storage.conftest import MakeService
from tests.storage.standby import Standby

#: What tasks may do with servers.
acts: dict[str, Any] = {}
done: list[int] = []


def note(ctx: TaskContext, number: int) -> None:
    """Be done."""
    done.append(number)


def note_and_act(ctx: TaskContext, number: int) -> None:
    """The same, after something has happened to a server."""
    acts["now"]()
    done.append(number)


@pytest.fixture(autouse=True)
def nothing_done() -> Iterator[None]:
    done.clear()
    yield
    acts.clear()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens: bound, so that nobody else takes it meanwhile."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def other(database_url: str) -> Iterator[MariaDBServer]:
    """A second MariaDB server, which is a copy for reading as far as it says."""
    with MariaDBServer() as server:
        server.create_database(str(make_url(database_url).database))
        server.execute("SET GLOBAL read_only = ON")
        yield server


@pytest.fixture(scope="module")
def primary(postgresql_server: PostgreSQLServer) -> Iterator[PostgreSQLServer]:
    """A PostgreSQL server of its own: it is killed, and another one takes its place."""
    with PostgreSQLServer() as server:
        yield server


@pytest.fixture
def standby(primary: PostgreSQLServer) -> Iterator[Standby]:
    """A server that follows it."""
    primary.start()
    primary.drop_database("shop")
    primary.create_database("shop")
    with Standby(primary) as server:
        yield server


def on(*ports: int) -> list[str]:
    return [f"127.0.0.1:{port}" for port in ports]


def in_url(url: str, *ports: int) -> str:
    """The URL that names the hosts itself."""
    bare = make_url(url).set(host=None, port=None)
    return str(bare.update_query_dict({"host": on(*ports)}, append=True).render_as_string(hide_password=False))


@pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)
@pytest.mark.parametrize("is_in_url", [True, False], ids=["url", "argument"])
def test_given_a_first_host_that_is_away_then_all_works_on_the_second(
    make_service: MakeService, server: Server, database_url: str, closed_port: int, is_in_url: bool
) -> None:
    ports = closed_port, server.port
    if is_in_url:
        service = make_service(in_url(database_url, *ports), allow=[__name__])
    else:
        service = make_service(database_url, hosts=on(*ports), allow=[__name__])
    queue = service.create("SqlParallel", "mail")
    queue.enqueue(note, 1)
    with service.engine.begin() as connection:
        queue.create_item(Task(note, (2,)), session=connection)

    assert Runner(queue).run_all()

    assert done == [1, 2]
    assert str(service.database.host) == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)
def test_given_hosts_in_the_url_then_the_command_line_follows_them(
    server: Server, database_url: str, closed_port: int
) -> None:
    url = in_url(database_url, closed_port, server.port)

    answers = [CliRunner().invoke(main, ["--database", url, *words]) for words in (["db", "upgrade"], ["list"])]

    assert [answer.exit_code for answer in answers] == [0, 0], [answer.output for answer in answers]
    assert "Created the tables" in answers[0].output


@pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)
def test_given_hosts_that_are_all_away_then_one_sentence_names_each(
    make_service: MakeService, database_url: str, closed_port: int
) -> None:
    service = make_service(database_url, hosts=[f"127.0.0.1:{closed_port}", f"localhost:{closed_port}"])

    with pytest.raises(DatabaseUnavailable, match="no host can be written to") as caught:
        service.create("Sql", "mail")

    assert f"127.0.0.1:{closed_port} (" in str(caught.value)
    assert f"localhost:{closed_port} (" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_an_engine_of_the_application_takes_no_hosts(service: QueueService) -> None:
    with pytest.raises(ConfigurationError, match="hosts= goes with a URL: an Engine connects by itself"):
        QueueService(service.engine, hosts=["a", "b"]).queues()


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_given_a_second_host_that_is_a_copy_when_the_first_dies_then_the_run_waits_for_it(
    make_service: MakeService, server: Server, other: MariaDBServer, database_url: str
) -> None:
    # given
    service = make_service(database_url, hosts=on(server.port, other.port), allow=[__name__])
    queue = service.create("Sql", "mail")
    for number in (1, 3):
        queue.enqueue(note, number, weight=number)
    queue.enqueue(note_and_act, 2, weight=2)

    def die() -> None:
        server.kill()
        threading.Thread(target=server.start).start()

    acts["now"] = die
    # when
    result = Runner(queue).run_all()
    # then
    assert result and done == [1, 2, 3]
    assert str(service.database.host) == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_given_a_second_host_that_is_a_copy_when_the_first_stays_away_then_the_sentence_says_why(
    make_service: MakeService, server: Server, other: MariaDBServer, database_url: str
) -> None:
    service = make_service(database_url, hosts=on(server.port, other.port))
    queue = service.create("Sql", "mail")
    service.database._patience = 0.3
    server.kill()

    with pytest.raises(DatabaseUnavailable, match=rf"127.0.0.1:{other.port} \(read_only is ON\)"):
        queue.number_of_items()


def test_given_a_standby_when_the_primary_dies_in_a_run_then_the_run_goes_on_where_it_was_promoted(
    make_service: MakeService, primary: PostgreSQLServer, standby: Standby
) -> None:
    # given
    service = make_service(primary.url("shop"), hosts=on(primary.port, standby.port), allow=[__name__])
    queue = service.create("Sql", "mail")
    for number in (1, 3):
        queue.enqueue(note, number, weight=number)
    queue.enqueue(note_and_act, 2, weight=2)

    def fail_over() -> None:
        standby.catch_up()
        primary.kill()
        standby.promote()

    acts["now"] = fail_over
    # when
    result = Runner(queue).run_all()
    # then
    assert result and done == [1, 2, 3]
    assert queue.number_of_items() == 0
    assert str(service.database.host) == f"127.0.0.1:{standby.port}"


def test_given_a_worker_that_listens_when_the_primary_dies_then_it_listens_on_the_one_that_was_promoted(
    make_service: MakeService, primary: PostgreSQLServer, standby: Standby
) -> None:
    # given
    service = make_service(primary.url("shop"), hosts=on(primary.port, standby.port), allow=[__name__])
    queue = service.create("SqlParallel", "mail", agent="server", error="dead")
    worker = Worker(service, threads=1)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        wait_for_listener(primary)
        # when
        standby.catch_up()
        primary.kill()
        standby.promote()
        queue.enqueue(note, 1)
        # then
        wait_for_listener(standby)
        wait_until(lambda: done == [1])
    finally:
        worker.stop()
        thread.join(30)


def wait_for_listener(server: Server) -> None:
    listening = "SELECT 1 FROM pg_stat_activity WHERE datname = 'shop' AND query LIKE 'LISTEN%'"
    wait_until(lambda: server.execute(listening) != [])


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_server_that_is_no_cluster_is_asked_once_and_each_connection_costs_two_statements(
    service: QueueService, server: Server
) -> None:
    # given
    service.queues()
    dialect = service.database.dialect
    # when
    fresh = type(dialect)(service.database.tables.names)
    seen = [_statements_of(service, fresh) for _ in range(3)]
    # then
    setup = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
    (show,) = (sql for sql in seen[0] if sql.startswith("SHOW VARIABLES"))
    origin = "SELECT host FROM information_schema.processlist WHERE id = CONNECTION_ID()"
    assert seen == [[show, setup, origin], [setup, origin], [setup, origin]]
    assert not dialect.is_cluster


def _statements_of(service: QueueService, dialect: Any) -> list[str]:
    with service.engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        seen: list[str] = []

        class Counting:
            def cursor(self) -> Any:
                cursor = raw.cursor()
                send = cursor.execute
                cursor.execute = lambda sql, *rest: (seen.append(sql), send(sql, *rest))[1]
                return cursor

        dialect.prepare(Counting())
        assert connection.execute(text("SELECT 1")).scalar() == 1
    return seen


def wait_until(condition: Any) -> None:
    end = threading.Event()
    for _ in range(3000):
        if condition():
            return
        end.wait(0.01)
    raise AssertionError("did not happen within 30 s")


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_given_a_connection_when_its_host_becomes_a_copy_then_work_goes_on_at_the_next(
    make_service: MakeService, server: Server, other: MariaDBServer, database_url: str
) -> None:
    # given: two servers with the same tables, and an account that may not write on a copy, as root may
    other.execute("SET GLOBAL read_only = OFF")
    for one in (server, other):
        one.execute("CREATE OR REPLACE USER clerk@'127.0.0.1'")
        one.execute("GRANT ALL ON `%`.* TO clerk@'127.0.0.1'")
    url = make_url(database_url).set(username="clerk")
    heir = make_service(str(url.set(port=other.port)))
    heir.create("SqlParallel", "mail")
    service = make_service(str(url), hosts=on(server.port, other.port))
    queue = service.create("SqlParallel", "mail")
    queue.create_item("before")
    # when
    server.execute("SET GLOBAL read_only = ON")
    try:
        queue.create_item("after")
    finally:
        server.execute("SET GLOBAL read_only = OFF")
        server.execute("DROP USER clerk@'127.0.0.1'")
    # then
    assert str(service.database.host) == f"127.0.0.1:{other.port}"
    assert heir.load("mail").number_of_items() == 1
