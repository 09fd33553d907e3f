"""The application's own tables, in the same database as the queues."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()
# The tables are kept in a character set that holds every name, whatever the default of the database is.
_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

#: The import that runs or has run; at most one row.
demo_import = Table(
    "demo_import",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sources", JSON, nullable=False),
    Column("started", DateTime, nullable=False),
    Column("finished", DateTime),
    Column("summary", JSON),
    **_MYSQL,
)

demo_file = Table(
    "demo_file",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    Column("encoding", String(20), nullable=False),
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
    **_MYSQL,
)
