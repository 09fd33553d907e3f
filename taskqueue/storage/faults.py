"""What an error of a database driver means, and the sentence it becomes.

The classes follow the retry table of transactional databases: a transaction that the server gave up is run
again; a lost connection is opened again, and whether a commit took place is read back, never guessed; a
statement that can never succeed is not repeated.
"""

from __future__ import annotations

import enum

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..errors import (
    DatabaseBusy,
    DatabaseError,
    DatabaseFull,
    DatabaseReadOnly,
    DatabaseUnavailable,
    SchemaError,
    TaskQueueError,
)
from .hosts import NotWritable


class Fault(enum.Enum):
    """What to do about an error."""

    #: The server gave this transaction up for another one: run it again.
    CONFLICT = enum.auto()
    #: The connection is gone, with it an open transaction: connect and run it again.
    LOST = enum.auto()
    #: No connection could be made.
    UNREACHABLE = enum.auto()
    READ_ONLY = enum.auto()
    FULL = enum.auto()
    #: A table or column of ours is not there.
    SCHEMA = enum.auto()
    OTHER = enum.auto()


_MYSQL = {
    **dict.fromkeys((1020, 1205, 1213, 1040, 1203), Fault.CONFLICT),
    **dict.fromkeys((0, 1047, 1053, 1079, 1180, 1927, 2006, 2013, 2014, 2055, 4031), Fault.LOST),
    **dict.fromkeys((1044, 1045, 1049, 1129, 1130, 2002, 2003, 2005), Fault.UNREACHABLE),
    **dict.fromkeys((1142, 1290, 1792, 1836), Fault.READ_ONLY),
    **dict.fromkeys((1021, 1114), Fault.FULL),
    **dict.fromkeys((1054, 1146), Fault.SCHEMA),
}
_POSTGRESQL = {
    **dict.fromkeys(("40001", "40P01", "55P03", "53300"), Fault.CONFLICT),
    **dict.fromkeys(("57P01", "57P02", "57P04", "57P05", "25P03", "25P04"), Fault.LOST),
    **dict.fromkeys(("57P03", "3D000", "28P01", "28000"), Fault.UNREACHABLE),
    **dict.fromkeys(("25006", "42501"), Fault.READ_ONLY),
    **dict.fromkeys(("53100", "53200"), Fault.FULL),
    **dict.fromkeys(("42P01", "42703", "3F000"), Fault.SCHEMA),
}
_SQLITE = (
    ("locked", Fault.CONFLICT),
    ("readonly", Fault.READ_ONLY),
    ("disk is full", Fault.FULL),
    ("disk I/O error", Fault.FULL),
    ("unable to open", Fault.UNREACHABLE),
    ("not a database", Fault.UNREACHABLE),
    ("no such table", Fault.SCHEMA),
    ("no such column", Fault.SCHEMA),
    ("no such index", Fault.SCHEMA),
    ("has no column", Fault.SCHEMA),
)


#: What MariaDB and MySQL say when a column that must have a value gets none.
_NO_VALUE = 1048
#: What a server says that has become a copy of another one, or is to be stopped; an account without the right to write
#: meets the same everywhere.
_DEMOTED = (1290, 1792, 1836, "25006")


def original(error: BaseException) -> BaseException:
    """The driver's own error inside one of SQLAlchemy's."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def classify(error: BaseException, *, connecting: bool = False) -> Fault:
    """What ``error`` (of a driver, or wrapped by SQLAlchemy) means; ``connecting``: no connection stood yet."""
    if isinstance(error, PoolTimeout):
        return Fault.CONFLICT
    if isinstance(error, NotWritable):
        return Fault.UNREACHABLE
    found = _classify_driver(original(error))
    return Fault.UNREACHABLE if connecting and found in (Fault.LOST, Fault.OTHER) else found


def _classify_driver(error: BaseException) -> Fault:
    if _is_of(error, _SQLITE_DRIVERS):
        text = str(error)
        return next((fault for part, fault in _SQLITE if part in text), Fault.OTHER)
    if error.args and isinstance(error.args[0], int):
        return _MYSQL.get(error.args[0], Fault.OTHER)
    sqlstate = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if sqlstate:
        return Fault.LOST if sqlstate.startswith("08") else _POSTGRESQL.get(sqlstate, Fault.OTHER)
    # A driver that lost its server in mid-conversation has neither a state nor a number to tell.
    names = {base.__name__ for base in type(error).__mro__}
    return Fault.LOST if names & {"OperationalError", "InterfaceError"} else Fault.OTHER


def is_demoted(error: BaseException) -> bool:
    """Whether the host takes no writes (any more), although the account may write: another one may be its heir."""
    driver = original(error)
    number = driver.args[0] if driver.args and isinstance(driver.args[0], int) else None
    return (number or getattr(driver, "sqlstate", None) or getattr(driver, "pgcode", None)) in _DEMOTED


def is_without_value(error: BaseException) -> bool:
    """Whether MariaDB or MySQL has refused a row because a column that must have a value got none."""
    return original(error).args[:1] == (_NO_VALUE,)


def is_driver_error(error: BaseException) -> bool:
    """Whether ``error`` comes from a DB-API driver, of whatever class that driver uses, or from SQLAlchemy."""
    return isinstance(error, (SQLAlchemyError, NotWritable)) or _is_of(error, _DRIVERS)


def _is_of(error: BaseException, drivers: set[str]) -> bool:
    """By name: whoever works on one database need not load the drivers of the others."""
    return any(base.__name__ == "Error" and base.__module__.split(".")[0] in drivers for base in type(error).__mro__)


_SQLITE_DRIVERS = {"sqlite3"}
_DRIVERS = {*_SQLITE_DRIVERS, "pymysql", "MySQLdb", "psycopg", "psycopg2"}


def translate(error: BaseException, url: URL) -> TaskQueueError:
    """The error of our tree that says in one sentence what ``error`` means and what to do."""
    where = masked(url)
    reason = " ".join(str(original(error)).split())
    fault = classify(error)
    if isinstance(error, PoolTimeout):
        return DatabaseBusy(f"no connection to {where} became free: raise the pool size or use fewer threads")
    if fault is Fault.CONFLICT:
        return DatabaseBusy(f"the database {where} stayed locked by others ({reason}): try again, or look for a "
                            "transaction that was left open")  # fmt: skip
    if fault in (Fault.UNREACHABLE, Fault.LOST):
        check = "that it runs and that the address and the account are right"
        if url.get_backend_name() == "sqlite":
            check = "the path of the file, its folder and their permissions"
        return DatabaseUnavailable(f"cannot reach the database {where}: {reason}; check {check}")
    if fault is Fault.READ_ONLY:
        return DatabaseReadOnly(f"the database {where} cannot be written ({reason}): check the permissions of the "
                                "file, its folder or the account")  # fmt: skip
    if fault is Fault.FULL:
        return DatabaseFull(f"the disk of the database {where} is full or failing ({reason}): nothing was stored; "
                            "make room and try again")  # fmt: skip
    if fault is Fault.SCHEMA:
        return SchemaError(f"the tables in {where} do not fit this release ({reason}): run 'taskqueue db upgrade'")
    return DatabaseError(f"the database {where} refused: {reason}")


def masked(url: URL) -> str:
    """The address of a database, fit for a message: no password, no query."""
    return url.set(query={}).render_as_string(hide_password=True)
