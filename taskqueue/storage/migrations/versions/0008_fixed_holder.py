"""The holder of an item in a column of fixed length on MariaDB: a claim does not make the row longer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The table is copied, unless a first use of this release has made it so already."""
    attributes = context.config.attributes
    name, schema = f"{attributes['prefix']}item", attributes["schema"]
    if op.get_bind().dialect.name not in ("mysql", "mariadb"):
        return
    there = {column["name"]: column["type"] for column in sa.inspect(op.get_bind()).get_columns(name, schema=schema)}
    if not isinstance(there["holder"], sa.CHAR):
        op.alter_column(
            name,
            "holder",
            type_=mysql.CHAR(32, charset="ascii", collation="ascii_bin"),
            existing_type=there["holder"],
            existing_nullable=False,
            existing_server_default="",
            schema=schema,
        )
