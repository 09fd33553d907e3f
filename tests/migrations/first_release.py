"""A database as the first release made it, with work in it; and how one is looked at after its upgrade."""

from __future__ import annotations

from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from taskqueue.storage.database import Database
from taskqueue.storage.migrations import configuration

#: As the first release wrote them: a queue, an item that waits, a dead letter, and how an earlier item ended.
WRITTEN = (
    "INSERT INTO taskqueue_queue (name, type, status, options, create_time) "
    """VALUES ('kept', 'SqlParallel', 'active', '{"retry_limit": 2, "error": "dead"}', 1)""",
    "INSERT INTO taskqueue_item (queue_name, uid, weight, submit_time, run_count, fence, failures, data) "
    """VALUES ('kept', 'aa', 3, 1000, 4, 9, 1, '{"v": 1, "data": "precious"}')""",
    "INSERT INTO taskqueue_item (queue_name, uid, weight, submit_time, state, release_time, data) "
    """VALUES ('kept', 'bb', 0, 1000, 2, 99999999999999, '{"v": 1, "data": "later"}')""",
    "INSERT INTO taskqueue_dead (id, queue_name, uid, weight, submit_time, failures, data, error, dead_time) "
    """VALUES (5, 'kept', 'cc', 0, 1000, 3, '{"v": 1, "data": "dead"}', 'no', 2000)""",
    "INSERT INTO taskqueue_ending (queue_name, item_id, outcome, attempt, error, data, end_time) "
    "VALUES ('kept', 4, 'delete', 1, 'no', 'x', 2000)",
)


def make_first_release(database: Database) -> None:
    """Make it, in an empty database."""
    with database.engine.begin() as connection:
        command.upgrade(configuration(database, connection), "0001")
        for statement in WRITTEN:
            connection.execute(text(statement.replace(":", r"\:")))


def structure(connection: Connection) -> dict[str, Any]:
    """Tables with columns, keys and indexes, in no order; without the one that Alembic makes for itself."""
    found = inspect(connection)
    return {
        name: (
            sorted((column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(name)),
            found.get_pk_constraint(name)["constrained_columns"],
            sorted((str(index["name"]), index["column_names"], index["unique"]) for index in found.get_indexes(name)),
        )
        for name in found.get_table_names()
        if not name.endswith("version")
    }


def differences(database: Database) -> list[Any]:
    """What its tables have too much or too little."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, database.tables.metadata))
