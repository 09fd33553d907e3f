"""What our tables lack, and adding it: whatever an upgrade that was interrupted or overtaken has left."""

from __future__ import annotations

from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Column, Connection, Table, inspect

from ..schema import Tables, create_tables


def missing(tables: Tables, connection: Connection) -> list[str]:
    """The names of tables, columns and indexes that are not there."""
    there = inspect(connection)
    found = []
    for table in tables.metadata.sorted_tables:
        if not there.has_table(table.name, schema=table.schema):
            found.append(table.name)
            continue
        found += [f"{table.name}.{column.name}" for column in _missing_columns(table, connection)]
        indexes = {index["name"] for index in there.get_indexes(table.name, schema=table.schema)}
        found += [str(index.name) for index in table.indexes if index.name not in indexes]
    return found


def make_whole(tables: Tables, connection: Connection) -> None:
    """Create what is missing, and stamp the revision where there is none.

    Who comes through this without an error leaves nothing to be made: what others create after that is there already.
    """
    operations = Operations(MigrationContext.configure(connection))
    for table in tables.metadata.sorted_tables:
        if inspect(connection).has_table(table.name, schema=table.schema):
            for column in _missing_columns(table, connection):
                operations.add_column(table.name, column._copy(), schema=table.schema)
    create_tables(tables, connection)


def _missing_columns(table: Table, connection: Connection) -> list[Column[Any]]:
    there = {column["name"] for column in inspect(connection).get_columns(table.name, schema=table.schema)}
    return [column for column in table.columns if column.name not in there]
