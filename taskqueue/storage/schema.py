"""Our tables, and their creation at first use.

``item`` is the hot one; what ends leaves it at once, so that it stays as small as the work that waits.
The columns of an item's place in the queue:

========  ============  =================================================================
state     release_time  meaning
========  ============  =================================================================
READY     0             may be claimed
LEASED    > 0           held by somebody until then
DELAYED   > 0           hidden until then: scheduled, or waiting for its retry
========  ============  =================================================================

"Ready" is thus an equality on both columns, and one index serves the claim, the promotion of what is due, and
the counts. Times are milliseconds since 1970 (UTC), by the database's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.types import TypeEngine

READY, LEASED, DELAYED = 0, 1, 2
#: "Is delayed", spelt so that no planner takes the index on it for any other question than the one it is there for.
IS_DELAYED = f"state + 0 = {DELAYED}"
#: The revision of the migrations to which this module corresponds.
REVISION = "0001"
VERSION_TABLE = "version"

_BIG_ID = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
_LONG_TEXT = Text().with_variant(mysql.LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")


def _name(length: int = 128) -> TypeEngine[Any]:
    """ASCII, compared byte by byte: no database may take ``Mail`` for ``mail``."""
    ascii_bin = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return String(length).with_variant(ascii_bin, "mysql", "mariadb")


def _key() -> TypeEngine[Any]:
    binary = mysql.VARCHAR(191, charset="utf8mb4", collation="utf8mb4_bin")
    return String(191).with_variant(binary, "mysql", "mariadb")


@dataclass(frozen=True)
class Tables:
    """The tables under one prefix and schema."""

    metadata: MetaData
    queue: Table
    item: Table
    dead: Table
    ending: Table
    lock: Table
    version: Table

    @property
    def names(self) -> dict[str, str]:
        """What the statements fill in: for each table its full name, and ``prefix`` and ``schema`` themselves."""
        tables = (self.queue, self.item, self.dead, self.ending, self.lock, self.version)
        prefix = len(self.prefix)
        schema = f"'{self.metadata.schema}'" if self.metadata.schema else "DATABASE()"
        names = {table.name[prefix:]: table.fullname for table in tables}
        return {**names, "prefix": self.prefix, "schema": schema}

    @property
    def prefix(self) -> str:
        """What all names begin with."""
        return str(self.metadata.info["prefix"])


def define_tables(prefix: str = "taskqueue_", schema: str | None = None) -> Tables:
    """The tables as SQLAlchemy objects, for creation, migrations and reading."""
    metadata = MetaData(schema=schema, info={"prefix": prefix})
    options: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mariadb_engine": "InnoDB"}
    return Tables(
        metadata=metadata,
        queue=_queue_table(metadata, prefix, options),
        item=_item_table(metadata, prefix, options),
        dead=_dead_table(metadata, prefix, options),
        ending=_ending_table(metadata, prefix, options),
        lock=Table(f"{prefix}lock", metadata, Column("queue_name", _name(), primary_key=True), **options),
        version=Table(
            f"{prefix}{VERSION_TABLE}", metadata, Column("version_num", _name(32), primary_key=True), **options
        ),
    )


def _queue_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    return Table(
        f"{prefix}queue",
        metadata,
        Column("name", _name(), primary_key=True),
        Column("type", _name(64), nullable=False),
        Column("status", _name(16), nullable=False),
        Column("options", _LONG_TEXT, nullable=False),  # JSON: see spec.QueueSpec
        Column("create_time", BigInteger, nullable=False),
        **options,
    )


def _identity_of_an_item() -> list[Column[Any]]:
    return [
        Column("queue_name", _name(), nullable=False),
        Column("uid", _name(32), nullable=False),
        Column("weight", Integer, nullable=False),
        Column("submit_time", BigInteger, nullable=False),
        Column("run_count", Integer, nullable=False, server_default="0"),
        Column("fence", BigInteger, nullable=False, server_default="0"),
        Column("failures", Integer, nullable=False, server_default="0"),
        Column("dedup_key", _key()),
        Column("data", _LONG_TEXT, nullable=False),
    ]


def _item_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    table = Table(
        f"{prefix}item",
        metadata,
        Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        *_identity_of_an_item(),
        Column("state", SmallInteger, nullable=False, server_default="0"),
        Column("release_time", BigInteger, nullable=False, server_default="0"),
        Column("interruptions", Integer, nullable=False, server_default="0"),
        Column("holder", _name(64), nullable=False, server_default=""),
        Column("last_error", _LONG_TEXT),
        # An id must never come back: leases, outcomes and pages refer to it.
        sqlite_autoincrement=True,
        **options,
    )
    columns = table.c
    Index(f"{prefix}item_claim", columns.queue_name, columns.state, columns.release_time, columns.weight, columns.id)
    keyed = columns.dedup_key.is_not(None)
    Index(
        f"{prefix}item_dedup",
        columns.queue_name,
        columns.dedup_key,
        unique=True,
        postgresql_where=keyed,
        sqlite_where=keyed,
    )
    # "Does a delayed item stand before the head of a sequential queue?" A partial index, so that no planner can
    # prefer it for the claim; MySQL has none, there the claim forces its own index.
    delayed = text(IS_DELAYED)
    Index(
        f"{prefix}item_order", columns.queue_name, columns.weight, columns.id,
        postgresql_where=delayed, sqlite_where=delayed,
    )  # fmt: skip
    return table


def _dead_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    table = Table(
        f"{prefix}dead",
        metadata,
        Column("id", BigInteger, primary_key=True, autoincrement=False),  # the id that the item had
        *_identity_of_an_item(),
        Column("error", _LONG_TEXT, nullable=False),
        Column("dead_time", BigInteger, nullable=False),
        **options,
    )
    Index(f"{prefix}dead_queue", table.c.queue_name, table.c.id)
    return table


def _ending_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """Every attempt or item that ended otherwise than ok (see design: nothing is lost silently)."""
    table = Table(
        f"{prefix}ending",
        metadata,
        Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        Column("queue_name", _name(), nullable=False),
        Column("item_id", BigInteger, nullable=False),
        Column("outcome", _name(16), nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("error", _LONG_TEXT),
        Column("data", _LONG_TEXT),
        Column("end_time", BigInteger, nullable=False),
        **options,
    )
    Index(f"{prefix}ending_item", table.c.queue_name, table.c.item_id, table.c.id)
    return table


def create_tables(tables: Tables, connection: Connection) -> None:
    """Create what is missing and stamp the revision last, so that whoever is interrupted is completed by the next."""
    for table in tables.metadata.sorted_tables:
        table.create(connection, checkfirst=True)
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    if connection.execute(tables.version.select()).first() is None:
        connection.execute(tables.version.insert().values(version_num=REVISION))
