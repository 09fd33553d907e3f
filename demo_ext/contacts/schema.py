"""The tables: one for each module, what is related to documents, and the numbers that were given."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    insert,
    select,
)
from sqlalchemy.exc import DBAPIError

from .fields import Field
from .modules import MODULES, Module

metadata = MetaData()
# The tables are kept in a character set that holds every name, whatever the default of the database is.
_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

_ATTEMPTS = 20

#: The numbers that were given. Whoever makes a record changes the row of its module, so that they take turns: the
#: numbers have no gaps, and two upserts cannot both find nothing.
crm_module = Table(
    "crm_module",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String(40), nullable=False, unique=True),
    Column("given", Integer, nullable=False),
    **_MYSQL,
)


def _name(module: str) -> str:
    return f"crm_{module.lower()}"


def _column(field: Field) -> Column[Any]:
    target = [ForeignKey(f"{_name(field.refers_to)}.id")] if field.refers_to else []
    is_searched = field.kind in ("reference", "email") or field.name in ("accountname", "lastname")
    return Column(field.name, field.column_type, *target, nullable=not field.mandatory, index=is_searched)


def _table(module: Module) -> Table:
    number = Column("id", Integer, primary_key=True, autoincrement=False)
    return Table(_name(module.name), metadata, number, *map(_column, module.fields), **_MYSQL)


#: The table of each module, by its name.
TABLES = {module.name: _table(module) for module in MODULES}

#: Which documents belong to which records.
crm_relation = Table(
    "crm_relation",
    metadata,
    Column("document", ForeignKey(TABLES["Documents"].c.id), nullable=False),
    Column("module", ForeignKey(crm_module.c.number), nullable=False),
    Column("record", Integer, nullable=False),
    PrimaryKeyConstraint("document", "module", "record"),
    **_MYSQL,
)


def make_tables(engine: Engine) -> None:
    """Make the tables that are missing."""
    for _ in range(_ATTEMPTS):
        try:
            return _make(engine)
        except DBAPIError:  # others make them at the same moment: what is left?
            continue
    return _make(engine)


def _make(engine: Engine) -> None:
    metadata.create_all(engine)
    with engine.begin() as connection:
        present = set(connection.scalars(select(crm_module.c.number)))
        missing = [module for module in MODULES if module.number not in present]
        for module in missing:
            connection.execute(insert(crm_module).values(number=module.number, name=module.name, given=0))
