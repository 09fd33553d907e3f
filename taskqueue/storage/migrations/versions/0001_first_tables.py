"""The tables of the first release."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql, sqlite

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
_LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")
_KEY = sa.String(191).with_variant(mysql.VARCHAR(191, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mariadb_engine": "InnoDB"}


def upgrade() -> None:
    """Create them, unless a first use has done so already."""
    prefix, schema = context.config.attributes["prefix"], context.config.attributes["schema"]
    if sa.inspect(op.get_bind()).has_table(f"{prefix}item", schema=schema):
        return
    _create(
        "queue",
        _column("name", _name(), primary_key=True),
        _column("type", _name(64)),
        _column("status", _name(16)),
        _column("options", _LONG_TEXT),
        _column("create_time", sa.BigInteger()),
    )
    _create(
        "item",
        sa.Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        *_identity_of_an_item(),
        _column("state", sa.SmallInteger(), server_default="0"),
        _column("release_time", sa.BigInteger(), server_default="0"),
        _column("interruptions", sa.Integer(), server_default="0"),
        _column("holder", _name(64), server_default=""),
        sa.Column("last_error", _LONG_TEXT),
        sqlite_autoincrement=True,
    )
    _index("item", "claim", "queue_name", "state", "release_time", "weight", "id")
    keyed = sa.text("dedup_key IS NOT NULL")
    _index("item", "dedup", "queue_name", "dedup_key", unique=True, postgresql_where=keyed, sqlite_where=keyed)
    delayed = sa.text("state + 0 = 2")
    _index("item", "order", "queue_name", "weight", "id", postgresql_where=delayed, sqlite_where=delayed)
    _create(
        "dead",
        sa.Column("id", sa.BigInteger(), primary_key=True, autoincrement=False),
        *_identity_of_an_item(),
        _column("error", _LONG_TEXT),
        _column("dead_time", sa.BigInteger()),
    )
    _index("dead", "queue", "queue_name", "id")
    _create(
        "ending",
        sa.Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        _column("queue_name", _name()),
        _column("item_id", sa.BigInteger()),
        _column("outcome", _name(16)),
        _column("attempt", sa.Integer()),
        sa.Column("error", _LONG_TEXT),
        sa.Column("data", _LONG_TEXT),
        _column("end_time", sa.BigInteger()),
    )
    _index("ending", "item", "queue_name", "item_id", "id")
    _create("lock", _column("queue_name", _name(), primary_key=True))


def _identity_of_an_item() -> list[sa.Column[Any]]:
    return [
        _column("queue_name", _name()),
        _column("uid", _name(32)),
        _column("weight", sa.Integer()),
        _column("submit_time", sa.BigInteger()),
        _column("run_count", sa.Integer(), server_default="0"),
        _column("fence", sa.BigInteger(), server_default="0"),
        _column("failures", sa.Integer(), server_default="0"),
        sa.Column("dedup_key", _KEY),
        _column("data", _LONG_TEXT),
    ]


def _name(length: int = 128) -> Any:
    ascii_bin = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return sa.String(length).with_variant(ascii_bin, "mysql", "mariadb")


def _column(name: str, kind: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **options)


def _create(name: str, *columns: Any, **options: Any) -> None:
    attributes = context.config.attributes
    op.create_table(f"{attributes['prefix']}{name}", *columns, schema=attributes["schema"], **_OPTIONS, **options)


def _index(table: str, name: str, *columns: str, **options: Any) -> None:
    attributes = context.config.attributes
    full = f"{attributes['prefix']}{table}"
    op.create_index(f"{full}_{name}", full, list(columns), schema=attributes["schema"], **options)
