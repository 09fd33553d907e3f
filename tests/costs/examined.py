"""How much a database goes through for what it is asked: index entries and rows; on SQLite steps of its machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskqueue import QueueService

#: How exactly SQLite's steps are counted.
_STEPS = 10


class Examined:
    """Counts on the connection that a thread holds, so that what others ask meanwhile counts for nothing."""

    def __init__(self, service: QueueService) -> None:
        self._database = service.database
        self._count: Callable[[Any], int] = getattr(self, f"_{service.database.dialect.name}")
        self._steps = 0

    def by(self, work: Callable[[], object]) -> int:
        """What ``work``, which must not hold a connection itself, lets the database go through."""
        with self._database.hold():
            asking = -self._read() + self._read()
            before = self._read()
            work()
            return self._read() - before - asking

    def _read(self) -> int:
        return self._database.statement(lambda tx: self._count(tx._cursor), write=False)

    def _sqlite(self, cursor: Any) -> int:
        cursor.connection.set_progress_handler(self._step, _STEPS)
        return self._steps

    def _step(self) -> int:
        self._steps += _STEPS
        return 0

    def _mysql(self, cursor: Any) -> int:
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(value) for _name, value in cursor.fetchall())

    def _postgresql(self, cursor: Any) -> int:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes) "
            "+ (SELECT sum(seq_tup_read) FROM pg_stat_user_tables)"
        )
        return int(cursor.fetchone()[0])
