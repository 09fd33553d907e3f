"""Deadlines on the client: a line that takes what is sent and never answers must not hold anybody up for ever.

The server cannot help there, and neither can TCP: its keepalives, and ``tcp_user_timeout``, ask the kernel at the other
end, which answers. PyMySQL knows a limit for each read and write; for psycopg there is one here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

#: Drivers for which there are limits.
LIMITED = ("pymysql", "psycopg")
#: Others that know one for connecting at least.
_OTHERS = ("psycopg2", "mysqldb")
#: A connection that has lain in a pool for so long (seconds) is tried before it is used.
IDLE = 30.0
#: Under which it remembers since when, if that was not the moment at which it came back.
IDLE_SINCE = "taskqueue.idle_since"

Connect = Callable[..., Any]


def limited(driver: str, connect: Connect, connecting: int, silence: int) -> Connect:
    """``connect`` of a driver, in its place one that gives up.

    Arguments:
        connecting: seconds for each step of connecting.
        silence: seconds without a sign of life after which a statement is given up, and with it the connection.
    """
    if driver == "pymysql":
        return _limited_pymysql(connect, connecting, silence)
    if driver == "psycopg":
        return _limited_psycopg(connecting, silence)
    return _limited_at_first(connect, connecting) if driver in _OTHERS else connect


@contextmanager
def within(connection: Any, seconds: float) -> Iterator[None]:
    """Give a connection at most so many seconds for each answer inside the block."""
    name = next((name for name in ("silence", "_read_timeout") if hasattr(connection, name)), None)
    if name is None:
        yield
        return
    before = getattr(connection, name)
    setattr(connection, name, min(seconds, before))
    try:
        yield
    finally:
        setattr(connection, name, before)


def ping_within(engine: Engine, seconds: float) -> None:
    """Let the pings of an engine, with which it tries connections of its pool, take so many seconds at most."""
    ping = engine.dialect.do_ping

    def impatient(connection: Any) -> bool:
        with within(connection, seconds):
            return ping(connection)

    engine.dialect.do_ping = impatient  # type: ignore[assignment]


def ping_idle(engine: Engine) -> None:
    """Try a connection that has lain in the pool for long: what stands between may have forgotten it."""

    def note(_connection: Any, record: Any) -> None:
        record.info.setdefault(IDLE_SINCE, time.monotonic())

    def look(connection: Any, record: Any, _proxy: Any) -> None:
        since = record.info.pop(IDLE_SINCE, None)
        if since is None or time.monotonic() - since < IDLE:
            return
        try:
            engine.dialect.do_ping(connection)
        except Exception as error:
            raise InvalidatePoolError from error

    event.listen(engine, "checkin", note)
    event.listen(engine, "checkout", look)


def _limited_pymysql(connect: Connect, connecting: int, silence: int) -> Connect:
    def connect_in_time(*args: Any, **options: Any) -> Any:
        # The server's greeting is read under the limit for answers.
        limits = {"connect_timeout": connecting, "read_timeout": min(connecting, silence)}
        connection = connect(*args, **{"write_timeout": silence, **options, **limits})
        connection._read_timeout = silence
        return connection

    return connect_in_time


def _limited_at_first(connect: Connect, connecting: int) -> Connect:
    def connect_in_time(*args: Any, **options: Any) -> Any:
        return connect(*args, **{"connect_timeout": connecting, **options})

    return connect_in_time


def _limited_psycopg(connecting: int, silence: int) -> Connect:
    def connect_in_time(*args: Any, **options: Any) -> Any:
        connection = _impatient_connection().connect(*args, **{**options, "connect_timeout": connecting})
        connection.silence = silence
        return connection

    return connect_in_time


@cache
def _impatient_connection() -> Any:
    from psycopg import Connection, OperationalError  # not installed where there is no PostgreSQL

    class ImpatientConnection(Connection[Any]):
        """Gives up, and is closed, when nothing has come or gone for too long."""

        #: Seconds; a new connection has its own limit.
        silence = float("inf")

        def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
            """All of the driver's waiting for the server comes by here."""
            return super().wait(self._watched(gen), *args, **options)

        def _watched(self, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            ready, since = None, time.monotonic()
            while True:
                try:
                    wanted = steps.send(ready)
                except StopIteration as end:
                    return end.value
                ready = yield wanted  # several times a second also when nothing has happened
                if ready:
                    since = time.monotonic()
                elif time.monotonic() - since > self.silence:
                    self.pgconn.finish()
                    raise OperationalError(f"no answer for {self.silence:g} s")

    return ImpatientConnection
