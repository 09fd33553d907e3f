"""Changes of our tables from release to release, by Alembic, with a version table of our own.

An application that uses Alembic itself keeps our tables out of its autogenerate with :func:`leave_out`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect

from ...errors import SchemaError
from ..database import Database
from ..faults import Fault, classify, is_driver_error, masked, translate
from ..first_use import ADVISORY_LOCK
from ..schema import REVISION
from .whole import make_whole, missing

#: So often an upgrade is begun that others get in the way of.
_ATTEMPTS = 30


def upgrade(database: Database) -> str:
    """Bring the tables to this release, creating what is missing; return a sentence about what was done.

    Of several at the same moment one does it, and the others find it done. SQLite and PostgreSQL let one in after the
    other. MariaDB ends a transaction at each change of a table, and its locks do not reach the other nodes of a
    cluster: there whoever was not the first looks again.

    Raises :class:`DatabaseError` (or one of its kind) when the database refuses.
    """
    attempts = 1 if database.dialect.single_writer else _ATTEMPTS
    while True:
        attempts -= 1
        try:
            with database.engine.begin() as connection:
                return _upgrade(database, connection)
        except Exception as error:
            if not attempts or not _comes_of_others(error):
                _explain(database, error)
                raise
        time.sleep(random.uniform(0.05, 0.5))  # noqa: S311  (jitter, not a secret)


def _upgrade(database: Database, connection: Connection) -> str:
    if database.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
    where, config = masked(database.url), configuration(database, connection)
    before = _revision(database, connection)
    if before is not None and before not in _known(config):
        raise SchemaError(
            f"the tables in {where} are of revision {before}, which this release does not know: "
            "upgrade taskqueue-runner here"
        )
    lacking = missing(database.tables, connection)
    if before is not None:  # else two at the same moment would note two revisions
        command.upgrade(config, "head")
    make_whole(database.tables, connection)
    if before is None:
        return f"created the tables in {where} (revision {REVISION})"
    if before == REVISION and lacking:
        return f"created what was missing in {where}: {', '.join(lacking)} (revision {REVISION})"
    if before == REVISION:
        return f"the tables in {where} were up to date (revision {REVISION})"
    return f"upgraded the tables in {where} from revision {before} to {REVISION}"


def _comes_of_others(error: Exception) -> bool:
    """Whether others who change the same tables may be the reason."""
    if isinstance(error, CommandError):
        return True  # they have moved the revision
    return is_driver_error(error) and classify(error) in (Fault.CONFLICT, Fault.SCHEMA, Fault.OTHER)


def _explain(database: Database, error: Exception) -> None:
    """Raise an error with a sentence, where this one has none."""
    if isinstance(error, CommandError):
        raise SchemaError(
            f"the tables in {masked(database.url)} are being changed by others ({error}): try again"
        ) from error
    if is_driver_error(error):
        raise translate(error, database.url) from error


def _known(config: Config) -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}


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


def _revision(database: Database, connection: Connection) -> str | None:
    version = database.tables.version
    if not inspect(connection).has_table(version.name, schema=version.schema):
        return None
    return connection.execute(version.select()).scalar()
