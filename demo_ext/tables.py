"""The application's own tables, in the same database as the queues."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Double,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.schema import CreateColumn

metadata = MetaData()
# The tables are kept in a character set that holds every name, whatever the default of the database is.
_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _queue() -> Column[str]:
    """Which import a row belongs to: each has a queue of its own."""
    return Column("queue", String(128), nullable=False, server_default="demo-import")


#: The imports that run or have run: that of the command line, and those that were begun in a browser.
demo_import = Table(
    "demo_import",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sources", JSON, nullable=False),
    Column("started", DateTime, nullable=False),
    Column("finished", DateTime),
    Column("summary", JSON),
    _queue(),
    #: The browser that began it, what it calls it, and the address of its progress page; "" at the command line.
    Column("owner", String(64), nullable=False, server_default=""),
    Column("title", String(200), nullable=False, server_default=""),
    Column("page", String(200), nullable=False, server_default=""),
    **_MYSQL,
)

demo_file = Table(
    "demo_file",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    Column("encoding", String(20), nullable=False),
    _queue(),
    #: Into how many batches it was cut, and how many of them were imported: what is missing at the end was skipped.
    Column("batches", Integer, nullable=False, server_default="0"),
    Column("imported", Integer, nullable=False, server_default="0"),
    **_MYSQL,
)

demo_row = Table(
    "demo_row",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("file_id", ForeignKey(demo_file.c.id), nullable=False),
    Column("line", Integer, nullable=False),
    Column("name", String(200), nullable=False),
    Column("country", String(100)),
    Column("population", BigInteger),
    Column("latitude", Double),
    Column("longitude", Double),
    #: The columns that the table does not know, by their own names.
    Column("extra", JSON, nullable=False),
    # Not needed for an import that does everything once; here to prove that it does.
    UniqueConstraint("file_id", "line", name="demo_row_once"),
    **_MYSQL,
)

demo_bad_row = Table(
    "demo_bad_row",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    #: 0: the whole file could not be read.
    Column("line", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    _queue(),
    **_MYSQL,
)

#: The orders of the other demonstration.
demo_order = Table(
    "demo_order",
    metadata,
    Column("id", Integer, primary_key=True),
    #: Made with the form: the same form sent twice is one order.
    Column("key", String(12), nullable=False, unique=True),
    #: The browser that it came from.
    Column("owner", String(64), nullable=False),
    Column("thing", String(100), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("booked", DateTime, nullable=False),
    #: The message that tells the warehouse, and what that answered.
    Column("message", String(32), nullable=False),
    Column("receipt", String(20)),
    **_MYSQL,
)

#: The forms that have called an operation which takes no idempotency key.
demo_sent = Table(
    "demo_sent",
    metadata,
    #: Made with the form: the same form sent twice is one call.
    Column("key", String(12), primary_key=True),
    Column("owner", String(190), nullable=False),
    #: Of what was asked for.
    Column("fingerprint", String(64), nullable=False),
    #: The call that was deferred.
    Column("call", String(32)),
    **_MYSQL,
)


def make_tables(engine: Engine) -> None:
    """Make the tables, and the columns that those of an earlier version lack."""
    metadata.create_all(engine)
    found = inspect(engine)
    for table in metadata.sorted_tables:
        present = {column["name"] for column in found.get_columns(table.name)}
        missing = [column for column in table.columns if column.name not in present]
        if missing:
            with engine.begin() as connection:
                for column in missing:
                    definition = CreateColumn(column).compile(dialect=engine.dialect)
                    connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {definition}"))
