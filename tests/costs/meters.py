"""Count what came to a database, as the database itself counts it."""

from __future__ import annotations

import re
import sqlite3
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pymysql
import pytest
from sqlalchemy import make_url

from taskqueue.storage.dialects import SQLite
from tests.servers import MariaDBServer, PostgreSQLServer


class Counted(NamedTuple):
    """Statements, and how many times something was made durable."""

    statements: int
    commits: int

    def __sub__(self, earlier: Counted) -> Counted:
        return Counted(self.statements - earlier.statements, self.commits - earlier.commits)


class Meter(ABC):
    """What a database has counted. Reading it counts for nothing."""

    @abstractmethod
    def read(self) -> Counted:
        """So much until now."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the database."""


class SQLiteMeter(Meter):
    """Statements as SQLite begins them; commits by the counter that it keeps in the index of its journal."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._file = Path(str(make_url(url).database))
        self._statements = 0
        # Whoever closes the last connection removes the journal, and the counter with it.
        self._kept = sqlite3.connect(self._file)
        self._kept.execute("PRAGMA journal_mode = WAL")
        self._kept.execute("SELECT * FROM sqlite_master").fetchall()
        prepare = SQLite.prepare

        def traced(dialect: SQLite, connection: Any) -> None:
            prepare(dialect, connection)
            connection.set_trace_callback(self._note)

        monkeypatch.setattr(SQLite, "prepare", traced)

    def _note(self, _sql: str) -> None:
        self._statements += 1

    def read(self) -> Counted:
        with Path(f"{self._file}-shm").open("rb") as index:
            index.seek(8)  # iChange, in https://sqlite.org/walformat.html
            return Counted(self._statements, int.from_bytes(index.read(4), sys.byteorder))

    def close(self) -> None:
        self._kept.close()


class MariaDBMeter(Meter):
    """What clients have asked, by the server's status; transactions that changed something, by InnoDB's counter. How
    often the log was written would also count what InnoDB writes by itself, for what it purges and once a second."""

    _COMMITS = "trx_commits_insert_update"

    def __init__(self, server: MariaDBServer) -> None:
        self._connection = pymysql.connect(host="127.0.0.1", port=server.port, user="root", autocommit=True)
        with self._connection.cursor() as cursor:
            cursor.execute(f"SET GLOBAL innodb_monitor_enable = '{self._COMMITS}'")
            cursor.execute("SET GLOBAL innodb_stats_auto_recalc = OFF")  # of all tables of this server, each a commit
        self._own = 0

    def read(self) -> Counted:
        self._own += 1
        with self._connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Questions'")
            ((_name, questions),) = cursor.fetchall()
            self._own += 1
            cursor.execute("SELECT count FROM information_schema.innodb_metrics WHERE name = %s", (self._COMMITS,))
            ((commits,),) = cursor.fetchall()
        return Counted(int(questions) - self._own + 1, int(commits))

    def close(self) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute("SET GLOBAL innodb_stats_auto_recalc = ON")
        self._connection.close()


class PostgreSQLMeter(Meter):
    """Statements in the server's log; commits by the numbers that it gives to transactions that write."""

    _LOGGED = re.compile(rb"LOG:  (?:statement|execute [^:]*): ")

    def __init__(self, server: PostgreSQLServer, database: str) -> None:
        server.execute(f"ALTER DATABASE {database} SET log_statement = 'all'")
        self._log = server.log
        self._begin = self._log.stat().st_size
        # Connected to another database, so that nothing of its own is logged.
        self._connection = psycopg.connect(
            host="127.0.0.1", port=server.port, user="postgres", dbname="postgres", autocommit=True
        )

    def read(self) -> Counted:
        with self._log.open("rb") as log:
            log.seek(self._begin)
            statements = len(self._LOGGED.findall(log.read()))
        found = self._connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
        assert found is not None
        return Counted(statements, found[0])

    def close(self) -> None:
        self._connection.close()
