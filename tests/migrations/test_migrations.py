"""The migrations lead to the tables that the package works with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from taskqueue import QueueService, SchemaError
from taskqueue.storage.database import Database
from taskqueue.storage.migrations import leave_out, upgrade
from taskqueue.storage.schema import REVISION
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
    assert REVISION == "0001"
