"""Runs with their log, who holds items, and what the items in hand report."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql, sqlite

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
_LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")
_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mariadb_engine": "InnoDB"}


def upgrade() -> None:
    """Create what a first use of this release has not created already."""
    attributes = context.config.attributes
    inspector, schema, ending = sa.inspect(op.get_bind()), attributes["schema"], f"{attributes['prefix']}ending"
    known = {column["name"] for column in inspector.get_columns(ending, schema=schema)}
    for name, kind in (("uid", _name(32)), ("weight", sa.Integer())):
        if name not in known:  # an upgrade may have been interrupted between the two
            op.add_column(ending, sa.Column(name, kind), schema=schema)
    if inspector.has_table(f"{attributes['prefix']}run", schema=schema):
        return
    _create_run()
    _create(
        "run_log",
        sa.Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        _column("run_id", _name(32)),
        _column("time", sa.BigInteger()),
        _column("level", _name(8)),
        _column("kind", _name(16)),
        sa.Column("item_id", sa.BigInteger()),
        _column("message", _LONG_TEXT),
        sqlite_autoincrement=True,
    )
    _index("run_log", "run", "run_id", "id")
    _index("run_log", "level", "run_id", "level", "id")
    _create(
        "run_request",
        _column("run_id", _name(32), primary_key=True),
        _column("request_id", _name(64), primary_key=True),
        _column("time", sa.BigInteger()),
    )
    _create(
        "holder",
        _column("token", _name(32), primary_key=True),
        _column("label", _key()),
        _column("start_time", sa.BigInteger()),
        _column("beat_time", sa.BigInteger()),
        _column("beat_period", sa.BigInteger()),
    )
    _create(
        "activity",
        _column("item_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        _column("queue_name", _name()),
        _column("fence", sa.BigInteger()),
        _column("start_time", sa.BigInteger()),
        sa.Column("done", sa.Double()),
        sa.Column("total", sa.Double()),
        _column("message", _LONG_TEXT),
        _zero("report_time"),
    )
    _index("activity", "queue", "queue_name")


def _create_run() -> None:
    _create(
        "run",
        _column("id", _name(32), primary_key=True),
        _column("queue_name", _name()),
        _column("owner", _key()),
        _column("definition", _LONG_TEXT),
        _column("status", _name(16)),
        _column("version", sa.Integer(), server_default="0"),
        *(_zero(name) for name in ("initial", "total", "done", "skipped", "failed", "pace")),
        sa.Column("problem", _LONG_TEXT),
        _column("driver", _name(64), server_default=""),
        _column("driver_label", _key(), server_default=""),
        _zero("driver_until"),
        _column("is_dirty", sa.SmallInteger(), server_default="0"),
        _zero("made_up"),
        _zero("end_fence"),
        _column("end_holder", _name(32), server_default=""),
        _column("is_ended", sa.SmallInteger(), server_default="0"),
        _zero("emptied_to"),
        _column("create_time", sa.BigInteger()),
        *(_zero(name) for name in ("start_time", "end_time")),
    )
    _index("run", "queue", "queue_name", "create_time")
    _index("run", "open", "queue_name", "end_time", "create_time")
    _index("run", "time", "create_time")
    _index("run", "end", "end_time")


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


def _create(name: str, *columns: Any, **options: Any) -> None:
    attributes = context.config.attributes
    op.create_table(f"{attributes['prefix']}{name}", *columns, schema=attributes["schema"], **_OPTIONS, **options)


def _index(table: str, name: str, *columns: str) -> None:
    attributes = context.config.attributes
    full = f"{attributes['prefix']}{table}"
    op.create_index(f"{full}_{name}", full, list(columns), schema=attributes["schema"])
