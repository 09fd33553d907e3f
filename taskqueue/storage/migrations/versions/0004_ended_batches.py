"""When batches have ended, so that old ones can be removed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create what a first use of this release, or an upgrade that was interrupted, has not created already."""
    _add("batch", sa.Column("end_time", sa.BigInteger(), nullable=False, server_default="0"))
    _index("batch", "end", "queue_name", "end_time")
    # Nobody knows when those ended that have; they are as old as they can be.
    name, schema = _full("batch")
    batch = sa.table(name, *map(sa.column, ("pending", "create_time", "end_time")), schema=schema)
    ended = (batch.c.pending == 0) & (batch.c.end_time == 0)
    op.execute(batch.update().where(ended).values(end_time=batch.c.create_time))


def _full(table: str) -> tuple[str, str | None]:
    attributes = context.config.attributes
    return f"{attributes['prefix']}{table}", attributes["schema"]


def _add(table: str, *columns: sa.Column[Any]) -> None:
    name, schema = _full(table)
    known = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(name, schema=schema)}
    for column in columns:
        if column.name not in known:
            op.add_column(name, column, schema=schema)


def _index(table: str, suffix: str, *columns: str) -> None:
    name, schema = _full(table)
    known = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(name, schema=schema)}
    if f"{name}_{suffix}" not in known:
        op.create_index(f"{name}_{suffix}", name, list(columns), schema=schema)
