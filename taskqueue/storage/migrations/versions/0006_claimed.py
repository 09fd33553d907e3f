"""What was claimed lately, by which a producer finds out what became of an enqueue whose answer was lost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql, sqlite

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create what a first use of this release, or an upgrade that was interrupted, has not created already."""
    attributes = context.config.attributes
    name, schema = f"{attributes['prefix']}claimed", attributes["schema"]
    there = sa.inspect(op.get_bind())
    if not there.has_table(name, schema=schema):
        op.create_table(
            name,
            sa.Column("id", sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite"), primary_key=True,
                      autoincrement=True),
            sa.Column("claim_time", sa.BigInteger(), nullable=False),
            sa.Column("items", sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4"), "mysql", "mariadb"),
                      nullable=False),
            schema=schema, mysql_engine="InnoDB", mysql_charset="utf8mb4", mariadb_engine="InnoDB",
        )  # fmt: skip
    known = sa.inspect(op.get_bind()).get_indexes(name, schema=schema)
    if f"{name}_time" not in {index["name"] for index in known}:
        op.create_index(f"{name}_time", name, ["claim_time"], schema=schema)
