"""What is done about each error of a driver: the retry table."""

from __future__ import annotations

import sqlite3

import psycopg
import pymysql
import pytest
from psycopg import errors as postgresql
from sqlalchemy.exc import DBAPIError, OperationalError

from taskqueue.storage.database import _PASSING
from taskqueue.storage.faults import Fault, classify, is_demoted, is_driver_error


def mysql(number: int) -> Exception:
    return pymysql.err.OperationalError(number, "as the server says it")


def sqlstate(code: str) -> Exception:
    """The error that the driver makes of a state."""
    error = psycopg.OperationalError("as the server says it")
    error.sqlstate = code
    return error


AGAIN = [mysql(1213), mysql(1205), mysql(1020), sqlstate("40001"), sqlstate("40P01"), sqlstate("55P03"),
         sqlite3.OperationalError("database is locked")]  # fmt: skip
LOST = [*map(mysql, (2006, 2013, 1047, 1053, 1180, 1927, 4031)),
        *map(sqlstate, ("57P01", "57P02", "08000", "08003", "08006", "08P01"))]  # fmt: skip
UNREACHABLE = [mysql(2003), sqlstate("57P03")]
NEVER = [*map(mysql, (1406, 1264, 1062, 1452, 1153)), *map(sqlstate, ("22001", "22003", "22P05", "23505", "23503")),
         sqlite3.IntegrityError("UNIQUE constraint failed"), postgresql.NumericValueOutOfRange("big")]  # fmt: skip
READ_ONLY = [*map(mysql, (1290, 1836, 1792)), sqlstate("25006")]
NO_RIGHT = [mysql(1142), sqlstate("42501"), sqlite3.OperationalError("attempt to write a readonly database")]
TABLE = {
    "a conflict": (AGAIN, Fault.CONFLICT),
    "a lost connection": (LOST, Fault.LOST),
    "nobody there": (UNREACHABLE, Fault.UNREACHABLE),
    "a copy": (READ_ONLY, Fault.READ_ONLY),
    "no right to write": (NO_RIGHT, Fault.READ_ONLY),
    "hopeless": (NEVER, Fault.OTHER),
}


def named(error: Exception) -> str:
    return str(getattr(error, "sqlstate", None) or error.args[0])


@pytest.mark.parametrize(
    ("error", "fault"),
    [pytest.param(error, fault, id=f"{what}: {named(error)}") for what, (errors, fault) in TABLE.items()
     for error in errors],
)  # fmt: skip
def test_what_an_error_means(error: Exception, fault: Fault) -> None:
    assert is_driver_error(error)
    assert classify(error) is fault
    assert classify(OperationalError("SELECT 1", {}, error)) is fault
    assert (fault in _PASSING) == (error in [*AGAIN, *LOST, *UNREACHABLE])


@pytest.mark.parametrize("error", [pytest.param(error, id=named(error)) for error in [*READ_ONLY, *NO_RIGHT, *AGAIN]])
def test_another_host_may_help_where_this_one_is_a_copy(error: Exception) -> None:
    assert is_demoted(error) == (error in READ_ONLY)
    assert is_demoted(DBAPIError("SELECT 1", {}, error)) == (error in READ_ONLY)
