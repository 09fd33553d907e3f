"""Named points of the conversation with the database at which a process kills itself with -9, or stops."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.orm import Session

from taskqueue.storage import channel, database
from tests.storage.tapped import forget_lent

#: What a transaction (or a statement that is one by itself) of that name contains, as a pattern.
_SIGNS = {
    "claim": re.compile(r"run_count = run_count \+ 1"),
    # Leases that ended by themselves, of items that are ready again.
    "promote": re.compile(r"holder = '', interruptions = interruptions \+ 1"),
    "extend": re.compile(r"SET release_time = "),
    "acknowledge": re.compile(r"DELETE FROM taskqueue_item"),
    "relinquish": re.compile(r"run_count = CASE WHEN run_count > 0"),
    "retry": re.compile(r"failures = failures \+ 1, interruptions = 0"),
    "bury": re.compile(r"INSERT INTO taskqueue_dead"),
    "complete": re.compile(r"SET status = 'completed', is_begun = 0"),
    "tick": re.compile(r"UPDATE taskqueue_periodic SET next_time"),
    # Whatever changes anything.
    "write": re.compile(r"(?<!FOR )\b(INSERT|UPDATE|DELETE|REPLACE|CREATE|ALTER|DROP)\b"),
}


@dataclass
class Point:
    """Just before the n-th commit of that kind is sent, or just after it took place and before anybody knows.

    ``work`` is one of the signs, "effect" for the commit of a task's own transaction, or "upgrade" for each statement
    that changes the tables, some of which are durable by themselves, and for each commit after them.
    """

    work: str
    when: str
    nth: int
    #: With what it stops itself; with SIGSTOP it may be let go on.
    signal: signal.Signals = signal.SIGKILL

    def __str__(self) -> str:
        return f"{self.when}-{self.work}-{self.nth}"

    def install(self) -> None:
        """From now on this process dies at this point."""
        if self.work == "effect":
            hook = "before_commit" if self.when == "before" else "after_commit"
            event.listen(Session, hook, lambda _session: self.reached(self.when))
        elif self.work == "upgrade":
            _watch_engines(self)
        else:
            _watch_cursors(self)

    def is_in(self, statements: str) -> bool:
        """Whether these statements are what the point is about."""
        return _SIGNS["write" if self.work == "upgrade" else self.work].search(statements) is not None

    def reached(self, when: str) -> None:
        """Die or stop, if the moment has come."""
        if when != self.when:
            return
        self.nth -= 1
        if self.nth == 0:
            os.kill(os.getpid(), self.signal)


def _watch_cursors(point: Point) -> None:
    opened = channel.open_channel

    def watched(*args: Any, **options: Any) -> Any:
        found = opened(*args, **options)
        found.cursor = _WatchedCursor(found.cursor, point)
        return found

    vars(database)["open_channel"] = watched  # where it is called from
    forget_lent()


def _watch_engines(point: Point) -> None:
    def reached(when: str) -> Any:
        def executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if point.is_in(statement):
                point.reached(when)

        return executed

    def do_commit(dialect: DefaultDialect, connection: Any) -> None:
        point.reached("before")
        committed(dialect, connection)
        point.reached("after")

    event.listen(Engine, "before_cursor_execute", reached("before"))
    event.listen(Engine, "after_cursor_execute", reached("after"))
    dialects: Any = DefaultDialect
    committed = dialects.do_commit
    dialects.do_commit = do_commit  # no event comes after a commit


class _WatchedCursor:
    """A driver's cursor that notices commits: ``COMMIT``, and every statement outside a transaction."""

    def __init__(self, cursor: Any, point: Point) -> None:
        self._cursor = cursor
        self._point = point
        self._open: list[str] | None = None
        self._is_unread = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, sql: str, *parameters: Any) -> Any:
        if sql.startswith(("BEGIN", "START")):
            self._open = []
        if self._open is not None and sql not in ("COMMIT", "ROLLBACK"):
            self._open.append(sql)
            return self._cursor.execute(sql, *parameters)
        committed = "\n".join(self._open) if self._open is not None else sql
        # SQLite commits a statement that returns rows when all of them were read.
        self._is_unread = self._open is None and "RETURNING" in sql
        self._open = None
        concerns = sql != "ROLLBACK" and self._point.is_in(committed)
        if concerns:
            self._point.reached("before")
        result = self._cursor.execute(sql, *parameters)
        self._is_unread = self._is_unread and concerns
        if concerns and not self._is_unread:
            self._point.reached("after")
        return result

    def fetchall(self) -> Any:
        rows = self._cursor.fetchall()
        if self._is_unread:
            self._is_unread = False
            self._point.reached("after")
        return rows
