"""Operations with a tracking id, the subscriptions of channels, and locks that clusters notice."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mariadb_engine": "InnoDB"}


def upgrade() -> None:
    """Create what a first use of this release, or an upgrade that was interrupted, has not created already."""
    keyed, is_open = sa.text("client_key IS NOT NULL"), sa.text("end_time = 0")
    _create(
        "operation",
        sa.Column("id", _name(32), primary_key=True),
        sa.Column("name", _name(), nullable=False),
        sa.Column("owner", _key(), nullable=False),
        sa.Column("queue_name", _name(), nullable=False),
        _number("item_id"),
        sa.Column("client_key", _key()),
        sa.Column("fingerprint", _name(64), nullable=False),
        sa.Column("is_direct", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("state", _name(16), nullable=False, server_default=""),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        *map(_number, ("due_time", "deadline", "end_time")),
        sa.Column("lasting", sa.BigInteger(), nullable=False),
        _number("expire_time"),
        sa.Column("is_emptied", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("request", _long_text(), nullable=False),
        sa.Column("error", _long_text()),
        sa.Column("result", _long_text()),
    )
    _index("operation", "key", "owner", "name", "client_key", unique=True, postgresql_where=keyed, sqlite_where=keyed)
    _index("operation", "owner", "owner", "is_emptied", "create_time", "id")
    _index("operation", "time", "is_emptied", "create_time", "id")
    _index("operation", "rate", "owner", "name", "create_time")
    _index("operation", "open", "end_time", "create_time", "id", postgresql_where=is_open, sqlite_where=is_open)
    _index("operation", "pending", "owner", "name", "end_time", "create_time", postgresql_where=is_open,
           sqlite_where=is_open)  # fmt: skip
    _index("operation", "expire", "is_emptied", "expire_time")
    _create(
        "subscription",
        *(sa.Column(name, _name(), primary_key=True) for name in ("channel", "consumer", "producer", "callback")),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
    )
    _add("lock", _number("turn"))


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")


def _long_text() -> Any:
    return sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")


def _name(length: int = 128) -> Any:
    ascii_bin = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return sa.String(length).with_variant(ascii_bin, "mysql", "mariadb")


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
