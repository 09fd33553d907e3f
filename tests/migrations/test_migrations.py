"""The migrations lead to the tables that the package works with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from taskqueue import Pruned, QueueService, Runner, SchemaError
from taskqueue.storage.database import Database
from taskqueue.storage.migrations import configuration, leave_out, upgrade
from taskqueue.storage.schema import REVISION
from tests.migrations.first_release import differences, make_first_release, structure
from tests.servers import ALL_DATABASES

pytestmark = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.close()


def test_an_upgrade_of_an_empty_database_gives_the_tables_of_the_schema(database: Database) -> None:
    assert upgrade(database).startswith("created the tables")
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, database.tables.metadata)
    assert differences == []


def test_an_upgrade_after_a_first_use_changes_nothing(database: Database, database_url: str) -> None:
    service = QueueService(database_url)
    service.create("Sql", "kept").create_item("precious")
    assert "up to date" in upgrade(database)
    assert service.load("kept").number_of_items() == 1
    service.close()


def test_an_upgrade_repairs_a_lost_table_and_index(database: Database) -> None:
    database.ensure_schema()
    table = database.tables.item
    with database.engine.begin() as connection:
        database.tables.dead.drop(connection)
        next(index for index in table.indexes if str(index.name).endswith("claim")).drop(connection)
    assert "created what was missing" in upgrade(database)
    with database.engine.connect() as connection:
        assert inspect(connection).has_table(database.tables.dead.name)
        assert any(str(index["name"]).endswith("claim") for index in inspect(connection).get_indexes(table.name))


def test_a_revision_that_nobody_knows_is_refused_with_a_sentence(database: Database) -> None:
    database.ensure_schema()
    with database.engine.begin() as connection:
        connection.execute(database.tables.version.update().values(version_num="9999"))
    with pytest.raises(SchemaError, match="9999, which this release does not know"):
        upgrade(database)


def test_an_applications_autogenerate_can_leave_our_tables_out(database: Database) -> None:
    database.ensure_schema()
    include_name = leave_out()
    with database.engine.connect() as connection:
        names = inspect(connection).get_table_names()
    assert names
    assert not [name for name in names if include_name(name, "table", {})]
    assert include_name("customer", "table", {})
    assert REVISION == "0008"


# --- from the first release ---


def done(ctx: Any) -> None:
    """A task."""


@pytest.fixture
def old(database: Database) -> Database:
    """A database of the first release, with work in it."""
    make_first_release(database)
    return database


def test_a_database_of_the_first_release_asks_to_be_upgraded(old: Database, database_url: str) -> None:
    service = QueueService(database_url)
    with pytest.raises(SchemaError, match=r"older release \(0001\): run 'taskqueue db upgrade'"):
        service.load("kept")
    service.close()


def test_a_database_of_the_first_release_is_upgraded_and_keeps_what_is_in_it(old: Database, database_url: str) -> None:
    assert upgrade(old).endswith(f"from revision 0001 to {REVISION}")
    assert "up to date" in upgrade(old)

    service = QueueService(database_url)
    queue = service.load("kept")
    assert (queue.spec.type, queue.spec.retry_limit, queue.spec.error) == ("SqlParallel", 2, "dead")
    later, precious = queue.items()
    assert [(later.id, later.data), (precious.id, precious.data)] == [(2, "later"), (1, "precious")]
    assert (precious.weight, precious.run_count, precious.fence, precious.failures) == (3, 4, 9, 1)
    assert later.release_time is not None
    assert [(letter.id, letter.data, letter.error) for letter in queue.dead_items()] == [(5, "dead", "no")]
    assert queue.outcome_of(4) == "delete"
    assert queue.revive_item(5).data == "dead"
    service.close()


def test_an_upgraded_database_works_and_gives_no_id_again(old: Database, database_url: str) -> None:
    upgrade(old)
    service = QueueService(database_url)
    queue = service.create("Sql", "new", error="delete")
    assert queue.enqueue(done).id > 2
    queue.create_item("no task")

    assert Runner(queue).run_all()
    service.close()


def test_an_upgraded_database_is_built_like_a_new_one(old: Database) -> None:
    upgrade(old)

    assert differences(old) == []
    with old.engine.begin() as connection:
        upgraded = structure(connection)
        old.tables.metadata.drop_all(connection)
    old.ensure_schema()
    with old.engine.connect() as connection:
        assert upgraded == structure(connection)


def test_batches_that_had_ended_by_then_can_be_pruned(database: Database, database_url: str) -> None:
    with database.engine.begin() as connection:
        command.upgrade(configuration(database, connection), "0003")
        for uid, pending in (("aa", 0), ("bb", 2)):
            connection.execute(text(
                "INSERT INTO taskqueue_batch (queue_name, uid, data, total, pending, create_time) "
                f"VALUES ('kept', '{uid}', '', 3, {pending}, 1000)"
            ))  # fmt: skip

    upgrade(database)

    service = QueueService(database_url)
    assert service.prune(3600) == Pruned(batches=1)
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT uid, end_time FROM taskqueue_batch")).all() == [("bb", 0)]
    service.close()


INTERRUPTED = {
    "after a column": ["ALTER TABLE taskqueue_ending ADD COLUMN uid {name}"],
    "after the columns": [
        "ALTER TABLE taskqueue_ending ADD COLUMN uid {name}",
        "ALTER TABLE taskqueue_ending ADD COLUMN weight INTEGER",
    ],
}


@pytest.mark.parametrize("tables", [0, 1, 3])
@pytest.mark.parametrize("when", INTERRUPTED)
def test_an_upgrade_that_was_interrupted_is_completed(old: Database, when: str, tables: int) -> None:
    if tables and when != "after the columns":
        pytest.skip("tables come after the columns")
    is_mariadb = old.engine.dialect.name in ("mysql", "mariadb")
    name = "VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin" if is_mariadb else "VARCHAR(32)"
    with old.engine.begin() as connection:
        for statement in INTERRUPTED[when]:
            connection.execute(text(statement.format(name=name)))
        made = (old.tables.run, old.tables.run_log, old.tables.run_request)
        for table in made[:tables]:
            indexes = set(table.indexes)
            if table is made[tables - 1]:
                table.indexes.clear()  # the last one was cut off before its indexes
            table.create(connection)
            table.indexes.update(indexes)

    upgrade(old)

    assert differences(old) == []
    assert "up to date" in upgrade(old)
