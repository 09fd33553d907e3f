"""Where statements go while a transaction, ours or the caller's, is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from .. import clock
from ..errors import NotSupported
from .dialects import Dialect


class Transaction:
    """Where statements go while a transaction (or a single statement that is its own) is open."""

    __slots__ = ("_cursor", "_rendered", "age", "can_tell", "dialect", "makes_ready", "unsure")

    def __init__(self, cursor: Any, dialect: Dialect, unsure: bool = False, age: int = 0) -> None:
        self._cursor = cursor
        self._rendered = dialect.rendered
        self.dialect = dialect
        #: True when the same work was sent before and its commit was never answered: it may have taken place.
        self.unsure = unsure
        #: Milliseconds since this work was sent first.
        self.age = age
        #: True when something was made ready for which others of this process may wait: they are told after the commit.
        self.makes_ready = False
        #: Whether workers that listen can be told: a transaction that commits in two phases may not.
        self.can_tell = True

    def rows(self, statement: str, lists: Mapping[str, str] | None = None, /, **parameters: Any) -> Sequence[Any]:
        """All rows of a query. ``lists`` fills in ``$word``: trusted text, such as numbers, that varies too much
        to keep a rendered statement for each."""
        sql = self._rendered(statement, clock.shift_ms)
        self._cursor.execute(sql if lists is None else filled(sql, lists), parameters)
        return self._cursor.fetchall()  # type: ignore[no-any-return]

    def row(self, statement: str, lists: Mapping[str, str] | None = None, /, **parameters: Any) -> Any:
        """The first row of a query, or None."""
        found = self.rows(statement, lists, **parameters)
        return found[0] if found else None

    def change(self, statement: str, lists: Mapping[str, str] | None = None, /, **parameters: Any) -> int:
        """Execute a writing statement; return how many rows it matched."""
        sql = self._rendered(statement, clock.shift_ms)
        self._cursor.execute(sql if lists is None else filled(sql, lists), parameters)
        return self._cursor.rowcount  # type: ignore[no-any-return]

    def insert(self, statement: str, **parameters: Any) -> int:
        """Execute an INSERT of one row; return its new id."""
        self._cursor.execute(self._rendered(statement, clock.shift_ms), parameters)
        return self._cursor.lastrowid  # type: ignore[no-any-return]

    def fill(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, each with a value for every column, by the quickest way that the driver has."""
        names = ", ".join(columns)
        if self.dialect.copies and hasattr(self._cursor, "copy"):
            with self._cursor.copy(self._render(f"COPY {table} ({names}) FROM STDIN")) as stream:
                for row in rows:
                    stream.write_row(row)
            return
        insertion = f"INSERT INTO {table} ({names}) VALUES"
        # Nothing but marks among the values: only so does PyMySQL send many rows in one statement.
        marks = f"({', '.join([self.dialect.mark] * len(columns))})"
        if not (at_once := self.dialect.rows_at_once):
            self._cursor.executemany(self._render(f"{insertion} {marks}"), rows)
            return
        for start in range(0, len(rows), at_once):
            part = rows[start : start + at_once]
            statement = self._render(f"{insertion} {', '.join([marks] * len(part))}")
            self._cursor.execute(statement, tuple(chain.from_iterable(part)))

    def many(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute a writing statement once for each row."""
        self._cursor.executemany(self._render(statement), rows)

    def _render(self, statement: str) -> str:
        return self._rendered(statement, clock.shift_ms)


def filled(sql: str, lists: Mapping[str, str]) -> str:
    """A rendered statement with what varies too much to keep one for each."""
    for word, listed in lists.items():
        sql = sql.replace(f"${word}", listed)
    return sql


class SessionCursor:
    """The caller's own SQLAlchemy connection, looking like a driver's cursor."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._result: Any = None

    def execute(self, sql: str, parameters: dict[str, Any] | tuple[Any, ...]) -> None:
        self._result = self._connection.exec_driver_sql(sql, parameters)

    def executemany(self, sql: str, rows: Sequence[Any]) -> None:
        self._result = self._connection.exec_driver_sql(sql, list(rows))

    def fetchall(self) -> Sequence[Any]:
        return self._result.fetchall()  # type: ignore[no-any-return]

    @property
    def rowcount(self) -> int:
        return self._result.rowcount  # type: ignore[no-any-return]

    @property
    def lastrowid(self) -> int:
        return self._result.lastrowid  # type: ignore[no-any-return]


class TaskSession(Session):
    """The session of ``ctx.transaction()``: the end of the block commits, together with the item's completion."""

    def commit(self) -> None:
        """Refused: a part that is committed early would be repeated if the task fails afterwards."""
        raise NotSupported("the end of ctx.transaction() commits, together with the completion: leave commit() out")

    def rollback(self) -> None:
        """Refused: without its writes the item would count as done all the same."""
        raise NotSupported("raise an exception to roll ctx.transaction() back, or use session.begin_nested()")

    def close(self) -> None:
        """Refused, like :meth:`rollback`."""
        self.rollback()
