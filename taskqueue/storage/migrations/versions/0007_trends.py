"""Numbers over time, a record of what was done by hand, and the latest failures by an index."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql, sqlite

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mariadb_engine": "InnoDB"}


def upgrade() -> None:
    """Create what a first use of this release, or an upgrade that was interrupted, has not created already."""
    _create(
        "trend",
        sa.Column("queue_name", _name(), primary_key=True),
        sa.Column("resolution", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("start", sa.BigInteger(), primary_key=True, autoincrement=False),
        *map(_number, ("done", "failed", "dead", "run_time", *(f"ran_{number}" for number in range(21)))),
        sa.Column("depth", sa.BigInteger()),
    )
    _index("trend", "start", "resolution", "start")
    _create(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite"), primary_key=True,
                  autoincrement=True),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("actor", _key(), nullable=False),
        sa.Column("action", _name(32), nullable=False),
        sa.Column("queue_name", _name(), nullable=False, server_default=""),
        sa.Column("item_id", sa.BigInteger()),
        sa.Column("number", sa.BigInteger()),
        sa.Column("detail", sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4"), "mysql", "mariadb"),
                  nullable=False),
        sqlite_autoincrement=True,
    )  # fmt: skip
    _index("audit", "queue", "queue_name", "id")
    _index("audit", "item", "queue_name", "item_id", "id")
    _index("audit", "time", "time")
    _index("ending", "queue", "queue_name", "id")


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")


def _name(length: int = 128) -> Any:
    ascii_bin = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return sa.String(length).with_variant(ascii_bin, "mysql", "mariadb")


def _key() -> Any:
    binary = mysql.VARCHAR(191, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(191).with_variant(binary, "mysql", "mariadb")


def _create(name: str, *columns: Any, **options: Any) -> None:
    attributes = context.config.attributes
    full, schema = f"{attributes['prefix']}{name}", attributes["schema"]
    if not sa.inspect(op.get_bind()).has_table(full, schema=schema):
        op.create_table(full, *columns, schema=schema, **_OPTIONS, **options)


def _index(table: str, name: str, *columns: str) -> None:
    attributes = context.config.attributes
    full, schema = f"{attributes['prefix']}{table}", attributes["schema"]
    known = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(full, schema=schema)}
    if f"{full}_{name}" not in known:
        op.create_index(f"{full}_{name}", full, list(columns), schema=schema)
