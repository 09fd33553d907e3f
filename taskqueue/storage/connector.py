"""What connects to one database: the engines, their deadlines, and the choice among several hosts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from ..errors import ConfigurationError
from ..spec import shown
from .deadlines import LIMITED, limited, ping_idle, ping_within
from .dialects import CONNECT_TIMEOUT, DIALECTS, STATEMENT_TIMEOUT, is_loopback
from .driver_options import known_only
from .faults import masked
from .hosts import CONNECT_TIMEOUT as HOST_TIMEOUT
from .hosts import STATEMENT_TIMEOUT as CLUSTER_TIMEOUT
from .hosts import Address, Hosts, hosts_of

#: Seconds after which a statement in a session of others is given up, on a database of one host.
SESSION_TIMEOUT = 3600
#: Under which a connection remembers the process that has opened it.
_PROCESS = "taskqueue.process"


class Connector:
    """Makes the engines of one database.

    Arguments:
        target: an SQLAlchemy URL (text or object), or the application's Engine, which is used as it is.
        hosts: all hosts of the database, as "name:port", the preferred one first; None: those that the URL names.
        names: of our tables.
    """

    def __init__(self, target: str | URL | Engine, hosts: Sequence[str] | None, names: Mapping[str, str]) -> None:
        self.addresses: list[Address] = []
        self._hosts: Hosts | None = None
        if isinstance(target, Engine):
            self.url = _on_disk(target.url)
            if hosts is not None:
                raise ConfigurationError("hosts= goes with a URL: an Engine connects by itself")
        else:
            self.url, self.addresses = hosts_of(_parse(target), hosts)
        dialect = DIALECTS.get(self.url.get_backend_name())
        if dialect is None:
            raise ConfigurationError(
                f"{masked(self.url)} is of no supported kind: use SQLite, MariaDB/MySQL or PostgreSQL"
            )
        #: The application's Engine, when that is what we work with.
        self.given = target if isinstance(target, Engine) else None
        self.dialect = dialect(names)

    @property
    def host(self) -> Address | None:
        """Of several hosts the one to which connections go."""
        return self._hosts.current if self._hosts is not None else None

    @property
    def statement_timeout(self) -> float | None:
        """After so many seconds without an answer a statement of ours is given up; None: never."""
        if self.given is not None or self.url.get_driver_name() not in LIMITED:
            return None
        return self._named("read_timeout") or (CLUSTER_TIMEOUT if self.addresses else STATEMENT_TIMEOUT)

    @property
    def _session_timeout(self) -> int:
        """The same for statements of others, which may take their time; but of several hosts one may hang."""
        return self._named("read_timeout") or (CLUSTER_TIMEOUT if self.addresses else SESSION_TIMEOUT)

    @property
    def _connect_timeout(self) -> int:
        return self._named("connect_timeout") or (HOST_TIMEOUT if self.addresses else CONNECT_TIMEOUT)

    def _named(self, name: str) -> int | None:
        """A time limit that the URL names."""
        text = self.url.query.get(name)
        if text is None:
            return None
        if not isinstance(text, str) or not text.isdecimal() or not 0 < int(text) < 1_000_000:
            raise ConfigurationError(f"{name} in the database address is no number of seconds: {shown(text)}")
        return int(text)

    @contextmanager
    def connected_to(self, address: Address) -> Iterator[Connection]:
        """A connection to one of the hosts, whatever it is good for."""
        url = self._plain_url.set(host=address.host, port=address.port)
        engine = create_engine(
            url, poolclass=NullPool, hide_parameters=True, **self.dialect.engine_options(self._farthest())
        )
        self._limit(engine, int(self.statement_timeout or STATEMENT_TIMEOUT), None)
        with engine.connect() as connection:
            yield connection

    def make(self) -> tuple[Engine, Engine]:
        """An engine for sessions, and one in autocommit for our own statements."""
        if self.given is not None:
            return self.given, self.given
        try:
            options = self.dialect.engine_options(self._farthest())
            options |= {"hide_parameters": True, "pool_size": 10, "max_overflow": 40}
            sessions = create_engine(self._plain_url, pool_pre_ping=True, **options)
            hot = create_engine(self._plain_url, isolation_level="AUTOCOMMIT", pool_reset_on_return=None, **options)
        except (ImportError, NoSuchModuleError) as error:
            raise ConfigurationError(
                f"the driver for {masked(self.url)} is not installed ({error}): "
                "for PostgreSQL install taskqueue-runner[postgres]"
            ) from error
        except ValueError:  # its text quotes the value
            names = ", ".join(map(shown, self._plain_url.query))
            raise ConfigurationError(f"an option in the database address has no value of its kind: {names}") from None
        if self.addresses:
            self._hosts = Hosts(self.addresses, self.dialect.check_writable)
        self._limit(sessions, self._session_timeout, self._hosts)
        self._limit(hot, int(self.statement_timeout or STATEMENT_TIMEOUT), self._hosts)
        if not self.dialect.single_writer:
            ping_idle(hot)
        for engine in (sessions, hot):
            event.listen(engine, "connect", lambda connection, _record: self.dialect.prepare(connection))
            _close_orphans(engine)
        if self.dialect.single_writer:
            event.listen(sessions, "begin", lambda connection: connection.exec_driver_sql(self.dialect.begin))
        return sessions, hot

    def _limit(self, engine: Engine, silence: int, hosts: Hosts | None) -> None:
        """Let an engine connect with deadlines: to the one of ``hosts`` that is chosen, or where its URL says."""
        connect = limited(self.url.get_driver_name(), engine.dialect.connect, self._connect_timeout, silence)
        connect = known_only(connect, self._plain_url.query)
        ping_within(engine, self._connect_timeout)
        if hosts is not None:
            hosts.follow(engine, connect)
        else:
            event.listen(engine, "do_connect", lambda _dialect, _record, args, options: connect(*args, **options))

    @property
    def _plain_url(self) -> URL:
        """The URL without the limits that are ours to keep; other drivers get what it says."""
        if self.url.get_driver_name() not in LIMITED:
            return self.url
        return self.url.difference_update_query(("read_timeout", "connect_timeout"))

    def _farthest(self) -> URL:
        """The URL of a host on another machine, if there is one."""
        away = [address for address in self.addresses if not is_loopback(address.host)]
        return self.url.set(host=away[0].host) if away else self.url


def _parse(target: str | URL) -> URL:
    try:
        url = make_url(target)
    except (ArgumentError, ValueError):  # a password with "/" in it may pass for a port
        raise ConfigurationError(
            "the database address is no URL: write it as sqlite:///file.db, mysql+pymysql://user:password@host/name "
            "or postgresql+psycopg://user:password@host/name, with %2F for a / in the password, and the like"
        ) from None  # its text may quote the password
    return _with_driver(_on_disk(url))


def _on_disk(url: URL) -> URL:
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigurationError("a SQLite database in memory cannot hold a durable queue: use a file, or type Memory")
    return url


def _with_driver(url: URL) -> URL:
    """``mysql://`` and ``postgresql://`` with the drivers that we depend on."""
    drivers = {"mysql": "mysql+pymysql", "mariadb": "mysql+pymysql", "postgresql": "postgresql+psycopg"}
    return url.set(drivername=drivers.get(url.drivername, url.drivername))


def _close_orphans(engine: Engine) -> None:
    """Let connections that come back after their engine was closed be closed, too: their pool is nobody's any more.

    Those of a parent process are not ours to close.
    """

    def note(_connection: Any, record: Any) -> None:
        record.info[_PROCESS] = os.getpid()

    def close_orphan(_connection: Any, record: Any) -> None:
        if record._ConnectionRecord__pool is not engine.pool and record.info.get(_PROCESS) == os.getpid():
            record.invalidate()

    event.listen(engine, "connect", note)
    event.listen(engine, "checkin", close_orphan)
