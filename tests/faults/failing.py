"""Calls to the database that fail, one at a time: before they are done, or after."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import psycopg
import pymysql
import pytest
from sqlalchemy import event

from taskqueue import QueueService

#: By database: an error by a name, how it is made, and whether it may also come after the call was done.
ERRORS: dict[str, dict[str, tuple[Callable[[], Exception], bool]]] = {
    "sqlite": {
        "locked": (lambda: sqlite3.OperationalError("database is locked"), False),
        "full": (lambda: sqlite3.OperationalError("database or disk is full"), False),
        "io": (lambda: sqlite3.OperationalError("disk I/O error"), False),
    },
    "mariadb": {
        "deadlock": (lambda: pymysql.err.OperationalError(1213, "Deadlock found"), False),
        "lock-timeout": (lambda: pymysql.err.OperationalError(1205, "Lock wait timeout exceeded"), False),
        "lost": (lambda: pymysql.err.OperationalError(2013, "Lost connection during query"), True),
        "gone": (lambda: pymysql.err.OperationalError(2006, "Server has gone away"), True),
        "full": (lambda: pymysql.err.OperationalError(1114, "The table is full"), False),
        "no-cluster": (lambda: pymysql.err.OperationalError(1047, "WSREP has not yet prepared node"), False),
    },
    "postgresql": {
        "serialization": (lambda: psycopg.errors.SerializationFailure("could not serialize access"), False),
        "deadlock": (lambda: psycopg.errors.DeadlockDetected("deadlock detected"), False),
        "lost": (lambda: psycopg.OperationalError("consuming input failed"), True),
        "shutdown": (lambda: psycopg.errors.AdminShutdown("terminating connection"), True),
        "full": (lambda: psycopg.errors.DiskFull("could not extend file"), False),
    },
}


class Calls:
    """Counts the calls to the database and lets one of them fail."""

    def __init__(self) -> None:
        self.number = 0
        self.failing: int | None = None
        self.error: Exception = AssertionError("not armed")
        self.was_done = False

    def arm(self, failing: int | None, error: Exception, was_done: bool) -> None:
        """From here on calls are counted; the one with that number fails."""
        self.number, self.failing, self.error, self.was_done = 0, failing, error, was_done

    def disarm(self) -> None:
        self.failing = None

    def __call__(self, sql: str, commits: bool, send: Callable[[], Any]) -> Any:
        self.number += 1
        if self.number != self.failing:
            return send()
        if self.was_done:
            send()
        raise self.error


def listen(service: QueueService, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the calls of sessions, too: their statements (which fail before they are done), and their commits."""

    def before(*_: Any) -> None:
        if not (calls.was_done and calls.number + 1 == calls.failing):
            calls("", False, lambda: None)
        else:
            calls.number += 1  # fails after it was done

    def after(*_: Any) -> None:
        if calls.was_done and calls.number == calls.failing:
            calls.failing = None
            raise calls.error

    engine = service.engine
    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    commit = engine.dialect.do_commit
    monkeypatch.setattr(
        engine.dialect, "do_commit", lambda connection: calls("COMMIT", True, lambda: commit(connection))
    )
