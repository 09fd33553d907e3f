"""Changes of our tables from release to release, by Alembic, with a version table of our own.

An application that uses Alembic itself keeps our tables out of its autogenerate with :func:`leave_out`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, inspect

from ...errors import SchemaError
from ..database import Database
from ..faults import is_driver_error, masked, translate
from ..schema import REVISION, create_tables


def upgrade(database: Database) -> str:
    """Bring the tables to this release, creating what is missing; return a sentence about what was done.

    Raises :class:`DatabaseError` (or one of its kind) when the database refuses.
    """
    before: str | None = None
    try:
        with database.engine.begin() as connection:
            before = _revision(database, connection)
            missing = _missing(database, connection)
            command.upgrade(configuration(database, connection), "head")
            create_tables(database.tables, connection)
    except CommandError as error:
        raise SchemaError(
            f"the tables in {masked(database.url)} are of revision {before}, which this release does not know: "
            "upgrade taskqueue-runner here"
        ) from error
    except Exception as error:
        if not is_driver_error(error):
            raise
        raise translate(error, database.url) from error
    where = masked(database.url)
    if before is None:
        return f"created the tables in {where} (revision {REVISION})"
    if before == REVISION and missing:
        return f"created what was missing in {where}: {', '.join(missing)} (revision {REVISION})"
    if before == REVISION:
        return f"the tables in {where} were up to date (revision {REVISION})"
    return f"upgraded the tables in {where} from revision {before} to {REVISION}"


def configuration(database: Database, connection: Connection) -> Config:
    """Alembic's configuration for our tables, on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    tables = database.tables
    config.attributes.update(
        connection=connection,
        prefix=tables.prefix,
        schema=tables.metadata.schema,
        version_table=tables.version.name,
        metadata=tables.metadata,
    )
    return config


def leave_out(prefix: str = "taskqueue_") -> Callable[[str | None, str, Any], bool]:
    """An ``include_name`` for an application's own ``env.py``: its autogenerate then does not see our tables."""

    def include_name(name: str | None, type_: str, parent_names: Any) -> bool:
        return not (type_ == "table" and name is not None and name.startswith(prefix))

    return include_name


def _missing(database: Database, connection: Connection) -> list[str]:
    there = inspect(connection)
    missing = []
    for table in database.tables.metadata.sorted_tables:
        if not there.has_table(table.name, schema=table.schema):
            missing.append(table.name)
            continue
        indexes = {index["name"] for index in there.get_indexes(table.name, schema=table.schema)}
        missing += [str(index.name) for index in table.indexes if index.name not in indexes]
    return missing


def _revision(database: Database, connection: Connection) -> str | None:
    version = database.tables.version
    if not inspect(connection).has_table(version.name, schema=version.schema):
        return None
    return connection.execute(version.select()).scalar()
