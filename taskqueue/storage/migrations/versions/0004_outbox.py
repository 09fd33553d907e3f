"""Order keys of items, the keys of messages that were received, and when batches have ended."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mariadb_engine": "InnoDB"}


def upgrade() -> None:
    """Create what a first use of this release, or an upgrade that was interrupted, has not created already."""
    keyed = sa.text("order_key IS NOT NULL")
    for table in ("item", "dead"):
        _add(table, sa.Column("order_key", _key()))
    _add("periodic", sa.Column("is_single", sa.SmallInteger(), nullable=False, server_default="0"))
    _index(
        "item", "turn", "queue_name", "order_key", "state", "weight", "id", postgresql_where=keyed, sqlite_where=keyed
    )
    _index("dead", "uid", "uid")
    _create(
        "received",
        sa.Column("queue_name", _name(), primary_key=True),
        sa.Column("message_key", _key(), primary_key=True),
        sa.Column("receive_time", sa.BigInteger(), nullable=False),
    )
    _index("received", "time", "queue_name", "receive_time")
    _add("batch", sa.Column("end_time", sa.BigInteger(), nullable=False, server_default="0"))
    _index("batch", "end", "queue_name", "end_time")
    _date_ended_batches()


def _date_ended_batches() -> None:
    """Nobody knows when those ended that have; they are as old as they can be."""
    name, schema = _full("batch")
    batch = sa.table(name, *map(sa.column, ("pending", "create_time", "end_time")), schema=schema)
    ended = (batch.c.pending == 0) & (batch.c.end_time == 0)
    op.execute(batch.update().where(ended).values(end_time=batch.c.create_time))


def _name() -> Any:
    ascii_bin = mysql.VARCHAR(128, charset="ascii", collation="ascii_bin")
    return sa.String(128).with_variant(ascii_bin, "mysql", "mariadb")


def _key() -> Any:
    binary = mysql.VARCHAR(191, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(191).with_variant(binary, "mysql", "mariadb")


def _full(table: str) -> tuple[str, str | None]:
    attributes = context.config.attributes
    return f"{attributes['prefix']}{table}", attributes["schema"]


def _add(table: str, column: sa.Column[Any]) -> None:
    name, schema = _full(table)
    there = sa.inspect(op.get_bind())
    if not there.has_table(name, schema=schema):
        return  # an earlier upgrade was interrupted; what is missing is made whole at the end of this one
    if column.name not in {known["name"] for known in there.get_columns(name, schema=schema)}:
        op.add_column(name, column, schema=schema)


def _create(table: str, *columns: sa.Column[Any]) -> None:
    name, schema = _full(table)
    if not sa.inspect(op.get_bind()).has_table(name, schema=schema):
        op.create_table(name, *columns, schema=schema, **_OPTIONS)


def _index(table: str, suffix: str, *columns: str, **options: Any) -> None:
    name, schema = _full(table)
    known = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(name, schema=schema)}
    if f"{name}_{suffix}" not in known:
        op.create_index(f"{name}_{suffix}", name, list(columns), schema=schema, **options)
