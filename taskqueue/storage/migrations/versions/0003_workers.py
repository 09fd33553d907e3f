"""What workers need: results, batches, periodic tasks, tracebacks, cancelled items."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql, sqlite

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
_LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")
_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mariadb_engine": "InnoDB"}


def upgrade() -> None:
    """Create what a first use of this release, or an upgrade that was interrupted, has not created already."""
    _add("queue", _small("is_begun"))
    _add("item", _small("is_cancelled"), _small("until_start"), sa.Column("batch_id", sa.BigInteger()))
    _add("dead", sa.Column("traceback", _LONG_TEXT))
    _add("ending", sa.Column("traceback", _LONG_TEXT))
    _add("holder", sa.Column("worker", _LONG_TEXT))
    _index("dead", "time", "queue_name", "dead_time")
    _index("ending", "time", "queue_name", "end_time")
    _create(
        "result",
        _column("item_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        _column("queue_name", _name()),
        _column("uid", _name(32)),
        _column("data", _LONG_TEXT),
        _column("end_time", sa.BigInteger()),
        _column("expire_time", sa.BigInteger()),
    )
    _index("result", "expire", "queue_name", "expire_time")
    _create(
        "batch",
        sa.Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        _column("queue_name", _name()),
        _column("uid", _name(32)),
        _column("data", _LONG_TEXT),
        _column("weight", sa.Integer(), server_default="0"),
        *(_zero(name) for name in ("total", "pending", "failed")),
        _column("create_time", sa.BigInteger()),
        sqlite_autoincrement=True,
    )
    _create(
        "periodic",
        _column("name", _name(), primary_key=True),
        _column("queue_name", _name()),
        _column("cron", _key()),
        _column("timezone", _key()),
        _column("uid", _name(32)),
        _column("data", _LONG_TEXT),
        _column("weight", sa.Integer(), server_default="0"),
        _small("is_paused"),
        _column("next_time", sa.BigInteger()),
        _zero("last_time"),
        _column("create_time", sa.BigInteger()),
    )
    _index("periodic", "next", "is_paused", "next_time")


def _name(length: int = 128) -> Any:
    ascii_bin = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return sa.String(length).with_variant(ascii_bin, "mysql", "mariadb")


def _key() -> Any:
    binary = mysql.VARCHAR(191, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(191).with_variant(binary, "mysql", "mariadb")


def _column(name: str, kind: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **options)


def _zero(name: str) -> sa.Column[Any]:
    return _column(name, sa.BigInteger(), server_default="0")


def _small(name: str) -> sa.Column[Any]:
    return _column(name, sa.SmallInteger(), server_default="0")


def _full(table: str) -> tuple[str, str | None]:
    attributes = context.config.attributes
    return f"{attributes['prefix']}{table}", attributes["schema"]


def _add(table: str, *columns: sa.Column[Any]) -> None:
    name, schema = _full(table)
    there = sa.inspect(op.get_bind())
    if not there.has_table(name, schema=schema):
        return  # an earlier upgrade was interrupted; what is missing is made whole at the end of this one
    known = {column["name"] for column in there.get_columns(name, schema=schema)}
    for column in columns:
        if column.name not in known:
            op.add_column(name, column, schema=schema)


def _create(table: str, *columns: Any, **options: Any) -> None:
    name, schema = _full(table)
    if not sa.inspect(op.get_bind()).has_table(name, schema=schema):
        op.create_table(name, *columns, schema=schema, **_OPTIONS, **options)


def _index(table: str, suffix: str, *columns: str) -> None:
    name, schema = _full(table)
    known = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(name, schema=schema)}
    if f"{name}_{suffix}" not in known:
        op.create_index(f"{name}_{suffix}", name, list(columns), schema=schema)
