"""Sees each statement of the package on its way to the database, and how much the database read for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from taskqueue.storage.database import Database
from taskqueue.storage.dialects import Dialect
from taskqueue.storage.transaction import Transaction


@dataclass
class Seen:
    """A statement as the driver got it."""

    sql: str
    parameters: dict[str, Any]
    #: Index entries and rows that the server touched; counted on MariaDB only.
    reads: int = 0


class Watched:
    """A driver's cursor that keeps a record of its statements."""

    def __init__(self, cursor: Any, dialect: Dialect) -> None:
        self._cursor = cursor
        self.seen: list[Seen] = []
        self._counts_reads = dialect.name == "mysql"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, sql: str, parameters: Mapping[str, Any]) -> None:
        before, own = self._reads(), self._reads()  # to show the counters is to read, too
        self._cursor.execute(sql, parameters)
        self.seen.append(Seen(sql, dict(parameters), self._reads() - own - (own - before)))

    def _reads(self) -> int:
        if not self._counts_reads:
            return 0
        with self._cursor.connection.cursor() as aside:
            aside.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
            return sum(int(value) for _name, value in aside.fetchall())


class _Undo(Exception):
    pass


def watch(
    database: Database, work: Callable[[Transaction], Any], judge: Callable[[Any, Seen], list[str]]
) -> tuple[list[Seen], list[str]]:
    """Do ``work`` in a transaction, judge each of its statements on the same cursor, and undo it all."""
    seen: list[Seen] = []
    complaints: list[str] = []

    def watched(tx: Transaction) -> None:
        cursor = tx._cursor
        cursor.execute("SAVEPOINT work")
        watching = Watched(cursor, database.dialect)
        work(Transaction(watching, database.dialect))
        cursor.execute("ROLLBACK TO work")  # judges execute some statements anew
        seen.extend(watching.seen)
        for one in seen:
            complaints.extend(f"{what}\n    {one.sql}" for what in judge(cursor, one))
        raise _Undo

    with suppress(_Undo):
        database.transaction(watched)
    return seen, complaints
