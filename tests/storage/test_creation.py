"""The tables come into being at first use, whoever and however many are the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, inspect

from taskqueue import QueueService
from taskqueue.outcome import Outcome
from taskqueue.storage import trends
from taskqueue.storage.schema import define_tables
from taskqueue.storage.transaction import Transaction
from tests.servers import ALL_DATABASES, MariaDBServer, PostgreSQLServer
from tests.storage.conftest import MakeService
from tests.storage.programs import in_processes, in_threads, use_first

each_database = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
TABLES = {
    f"taskqueue_{name}"
    for name in ("queue", "item", "dead", "ending", "lock", "run", "run_log", "run_request", "holder", "activity",
                 "result", "batch", "periodic", "received", "operation", "subscription", "claimed", "trend", "audit",
                 "version")
}  # fmt: skip


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def tables_of(url: str, schema: str | None = None) -> set[str]:
    with connected(url) as connection:
        return set(inspect(connection).get_table_names(schema))


@each_database
@pytest.mark.parametrize("at_once", [in_threads, in_processes])
def test_given_an_empty_database_when_many_use_it_first_at_once_then_all_find_the_same_tables(
    service: QueueService, database_url: str, at_once: Callable[..., list[int]]
) -> None:
    numbers = at_once(use_first, database_url)

    assert tables_of(database_url) == TABLES
    assert sorted(item.data for item in service.load("shared").items()) == sorted(numbers)


@each_database
@pytest.mark.parametrize("made", range(len(TABLES) + 1))
def test_given_a_creation_that_was_interrupted_when_used_next_then_it_is_completed(
    service: QueueService, database_url: str, made: int
) -> None:
    # given: so many tables, the last of them without its indexes, and no revision stamped
    tables = define_tables()
    with connected(database_url) as connection:
        for table in tables.metadata.sorted_tables[:made]:
            indexes = set(table.indexes)
            table.indexes.clear()
            table.create(connection)
            table.indexes.update(indexes)
    # when
    service.create("Sql", "first").create_item("x")
    # then
    with connected(database_url) as connection:
        found = inspect(connection)
        assert set(found.get_table_names()) == TABLES
        for table in define_tables().metadata.sorted_tables:
            assert {str(index.name) for index in table.indexes} <= {
                str(index["name"]) for index in found.get_indexes(table.name)
            }


@each_database
def test_given_two_prefixes_when_both_are_used_in_one_database_then_they_do_not_see_each_other(
    make_service: MakeService, database_url: str
) -> None:
    one, two = (make_service(database_url, prefix=prefix) for prefix in ("one_", "two_"))

    one.create("SqlParallel", "mail").create_item("of one")
    two.create("Sql", "mail", lease_time=7)

    assert tables_of(database_url) == {name.replace("taskqueue_", p) for name in TABLES for p in ("one_", "two_")}
    assert [queue.number_of_items() for queue in (*one.queues(), *two.queues())] == [1, 0]
    _use(one)


def test_given_a_schema_when_a_postgresql_service_names_it_then_the_tables_are_there_and_nowhere_else(
    make_service: MakeService, postgresql_server: PostgreSQLServer
) -> None:
    with _database(postgresql_server, "with_schema") as url:
        postgresql_server.execute("CREATE SCHEMA jobs", database="with_schema")
        service = make_service(url, schema="jobs")

        _use(service)

        assert tables_of(url, "jobs") == TABLES
        assert tables_of(url, "public") == set()
        service.close()


def test_given_another_database_when_a_mariadb_service_names_it_as_schema_then_the_tables_are_there(
    make_service: MakeService, mariadb_server: MariaDBServer
) -> None:
    with _database(mariadb_server, "application") as url, _database(mariadb_server, "jobs"):
        service = make_service(url, schema="jobs")

        _use(service)

        assert tables_of(url, "jobs") == TABLES
        assert tables_of(url) == set()
        service.close()


@contextmanager
def _database(server: Any, name: str) -> Iterator[str]:
    server.create_database(name)
    try:
        yield server.url(name)
    finally:
        server.drop_database(name)


def _use(service: QueueService) -> None:
    """Every kind of statement, among them those that name indexes, sequences and the schema."""
    for type_name in ("Sql", "SqlParallel"):
        queue = service.create(type_name, f"of.{type_name}", batch_limit=5)
        queue.create_items(range(3))
        last = queue.create_item("x", delay=1000, dedup_key="k")
        items = queue.claim_items(2)
        queue.extend_lease(items[0])
        queue.delete_items(items)
        assert queue.wait() is not None
        assert queue.steal_item() is not None
        assert queue.outcome_of(items[0].id) == "ok"
        assert queue.outcome_of(last.id) == "waiting"
        assert [item.data for item in queue.items()] == [2, "x"]
        service.database.trends.count(queue.name, Outcome.OK, 0.1)
        service.database.trends.flush()
        service.database.trends.count(queue.name, Outcome.OK, 0.1)
        service.database.trends.flush()  # to a row that is there
        assert sum(service.database.transaction(partial(_done, queue.name))) == 2


def _done(name: str, tx: Transaction) -> list[int]:
    return [row.done for row in trends.read(tx, name, trends.HOUR, 0)]
