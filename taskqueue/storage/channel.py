"""A checked-out connection of the driver, in autocommit mode, with one cursor that is used again and again."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, Pool

from .deadlines import IDLE_SINCE
from .dialects import Dialect, MySQL, Session


class Channel:
    """One connection while we use it."""

    def __init__(self, pooled: Any, fairy: Any, pool: Pool, dialect: Dialect, engine: Engine) -> None:
        self._pooled = pooled
        self._fairy = fairy
        self._pool = pool
        self._engine = engine
        raw = fairy.driver_connection
        try:
            self.cursor = raw.cursor()
        except Exception:  # it was closed meanwhile, and must not go back as it is
            pooled.invalidate()
            raise
        #: By what the server knows it; None: by nothing.
        self.session: Session | None = None
        with suppress(Exception):  # another driver may not tell
            self.session = dialect.session_of(raw)
        self.is_closed = False
        #: When it was opened, and used last (monotonic seconds).
        self.opened = self.used = time.monotonic()
        self.in_transaction = False
        #: True when the state of the connection is unknown and it must not go back to the pool.
        self.is_broken = False

    @property
    def is_orphaned(self) -> bool:
        """Whether its engine has been closed, and would use another pool by now."""
        return self._engine.pool is not self._pool

    def execute(self, sql: str) -> None:
        """Execute a statement without parameters."""
        self.cursor.execute(sql)

    def ask(self, sql: str, *values: Any) -> list[Any]:
        """All rows of a query, with values in the driver's style."""
        self.cursor.execute(sql, *([values] if values else []))
        return list(self.cursor.fetchall())

    def rollback(self) -> None:
        """End an open transaction; a connection that cannot even do that is broken."""
        try:
            self.cursor.execute("ROLLBACK")
        except Exception:
            self.is_broken = True

    def close(self) -> None:
        """Give the connection back to its pool."""
        self.is_closed = True
        with suppress(Exception):
            self.cursor.close()
        with suppress(Exception):
            self._fairy.info[IDLE_SINCE] = self.used
        self._pooled.close()

    def discard(self, *, with_older: bool = False) -> None:
        """Throw the connection away: it is lost, or in a state that nobody knows.

        Arguments:
            with_older: True: those in the pool that were made before are no better; each may hang as long as this one.
        """
        self.is_closed = True
        if with_older:
            with suppress(Exception):
                self._pool._invalidate(self._fairy, _checkin=False)
        with suppress(Exception):
            self._pooled.invalidate()
        with suppress(Exception):
            self._pooled.close()


def open_channel(engine: Engine, dialect: Dialect, *, own: bool) -> Channel:
    """Check a connection out: of our own pool as it is; of the application's with autocommit for the while."""
    if own:
        pool = engine.pool  # before the checkout, during which the engine may be closed
        fairy = pool.connect()
        return Channel(fairy, fairy, pool, dialect, engine)
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    channel = Channel(connection, connection.connection, engine.pool, dialect, engine)
    if isinstance(dialect, MySQL):
        channel.execute(dialect.session_setup)
    return channel
