"""The first use of a database: is it there, is it new enough, are our tables there and of this release?"""

from __future__ import annotations

import random
import time

from sqlalchemy import Connection, Engine, text

from ..errors import DatabaseUnavailable, SchemaError, TaskQueueError
from .dialects import Dialect
from .faults import Fault, classify, is_driver_error, masked, translate
from .schema import REVISION, Tables, create_tables

#: Held on PostgreSQL by whoever creates or changes our tables.
ADVISORY_LOCK = 0x7461736B71  # any number that nobody else is likely to use


def make_ready(engine: Engine, reader: Engine, dialect: Dialect, tables: Tables, patience: float) -> None:
    """Create our tables where they are missing.

    Arguments:
        reader: for looking, which must not wait for others who write.

    Raises :class:`DatabaseUnavailable`, :class:`SchemaError` (tables of another release) or another
    :class:`DatabaseError`.
    """
    try:
        _check_server(reader, dialect)
        if _revision(reader, dialect) is None:
            _create(engine, dialect, tables, patience)
        _compare(_revision(reader, dialect), masked(engine.url))
    except Exception as error:
        if not is_driver_error(error):
            raise
        raise translate(error, engine.url) from error


def has_tables(reader: Engine, dialect: Dialect) -> bool:
    """Whether there is nothing to create, as far as others can see. Raises :class:`DatabaseError`."""
    try:
        return _revision(reader, dialect) is not None
    except Exception as error:
        if not is_driver_error(error):
            raise
        raise translate(error, reader.url) from error


def make_ready_within(connection: Connection, dialect: Dialect, tables: Tables) -> None:
    """:func:`make_ready` in the caller's own transaction, with which new tables come and go."""
    try:
        _check(connection, dialect)
        if _revision_seen_by(connection, dialect) is None:
            create_tables(tables, connection)
        _compare(_revision_seen_by(connection, dialect), masked(connection.engine.url))
    except Exception as error:
        if not is_driver_error(error):
            raise
        raise translate(error, connection.engine.url) from error


def _check_server(engine: Engine, dialect: Dialect) -> None:
    try:
        with engine.connect() as connection:
            _check(connection, dialect)
    except Exception as error:
        if not is_driver_error(error):
            raise
        raise _unreachable(error, engine) from error


def _check(connection: Connection, dialect: Dialect) -> None:
    dialect.check_cluster(lambda sql: list(connection.exec_driver_sql(sql)))
    dialect.check_version(str(connection.exec_driver_sql(dialect.version).scalar()))
    if dialect.charset:
        dialect.check_charset(str(connection.exec_driver_sql(dialect.charset).scalar()))


def _unreachable(error: Exception, engine: Engine) -> TaskQueueError:
    translated = translate(error, engine.url)
    if classify(error, connecting=True) is Fault.UNREACHABLE and not isinstance(translated, DatabaseUnavailable):
        return DatabaseUnavailable(f"cannot reach the database {masked(engine.url)}: {error}")
    return translated


def _revision(engine: Engine, dialect: Dialect) -> str | None:
    with engine.connect() as connection:
        return _revision_seen_by(connection, dialect)


def _revision_seen_by(connection: Connection, dialect: Dialect) -> str | None:
    try:
        return connection.execute(text(dialect.render("SELECT version_num FROM {version}"))).scalar()
    except Exception as error:
        if is_driver_error(error) and classify(error) is Fault.SCHEMA:
            return None
        raise


def _create(engine: Engine, dialect: Dialect, tables: Tables, patience: float) -> None:
    give_up = time.monotonic() + patience
    while True:
        try:
            with engine.begin() as connection:
                if dialect.name == "postgresql":
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
                create_tables(tables, connection)
            return
        except Exception as error:
            # Others may be creating the same tables at this moment; then they exist already.
            others = is_driver_error(error) and classify(error) in (Fault.OTHER, Fault.CONFLICT)
            if not others or time.monotonic() > give_up:
                raise
        time.sleep(random.uniform(0.02, 0.1))  # noqa: S311  (jitter, not a secret)


def _compare(found: str | None, where: str) -> None:
    if found is None or found < REVISION:
        raise SchemaError(f"the tables in {where} are of an older release ({found}): run 'taskqueue db upgrade'")
    if found > REVISION:
        raise SchemaError(f"the tables in {where} are of a newer release ({found}): upgrade taskqueue-runner here")
