"""What connects to one database: the engines, their deadlines, and the choice among several hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from ..errors import ConfigurationError
from .dialects import DIALECTS, STATEMENT_TIMEOUT, is_loopback
from .faults import masked
from .hosts import CONNECT_TIMEOUT, Address, Hosts, hosts_of
from .hosts import STATEMENT_TIMEOUT as CLUSTER_TIMEOUT

_DEADLINES = ("read_timeout", "write_timeout")


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
        """After so many seconds a statement of ours is given up; None: where the driver has no such limit."""
        if self.given is not None or self.url.get_driver_name() != "pymysql":
            return None
        named = self.url.query.get("read_timeout")
        if self.addresses:
            return float(named) if isinstance(named, str) else CLUSTER_TIMEOUT
        return STATEMENT_TIMEOUT

    @contextmanager
    def connected_to(self, address: Address) -> Iterator[Connection]:
        """A connection to one of the hosts, whatever it is good for."""
        options = self._with_deadlines(self.dialect.engine_options(self._farthest()))
        options["connect_args"] = options["connect_args"] | {"connect_timeout": CONNECT_TIMEOUT}
        url = self.url.set(host=address.host, port=address.port)
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True, **options)
        with engine.connect() as connection:
            yield connection

    def make(self) -> tuple[Engine, Engine]:
        """An engine for sessions, and one in autocommit for our own statements."""
        if self.given is not None:
            return self.given, self.given
        try:
            options = self.dialect.engine_options(self._farthest())
            common = {"hide_parameters": True, "pool_size": 10, "max_overflow": 40}
            timed = self._with_deadlines(options)
            # Of several hosts one may hang, for which a session would else wait for ever.
            sessions = create_engine(self.url, pool_pre_ping=True, **common, **(timed if self.addresses else options))
            hot = create_engine(self.url, isolation_level="AUTOCOMMIT", pool_reset_on_return=None, **common, **timed)
        except (ImportError, NoSuchModuleError) as error:
            raise ConfigurationError(
                f"the driver for {masked(self.url)} is not installed ({error}): "
                "for PostgreSQL install taskqueue-runner[postgres]"
            ) from error
        if self.addresses:
            self._hosts = Hosts(self.addresses, self.dialect.check_writable)
        for engine in (sessions, hot):
            if self._hosts is not None:
                self._hosts.follow(engine)
            event.listen(engine, "connect", lambda connection, _record: self.dialect.prepare(connection))
        if self.dialect.single_writer:
            event.listen(sessions, "begin", lambda connection: connection.exec_driver_sql(self.dialect.begin))
        return sessions, hot

    def _farthest(self) -> URL:
        """The URL of a host on another machine, if there is one."""
        away = [address for address in self.addresses if not is_loopback(address.host)]
        return self.url.set(host=away[0].host) if away else self.url

    def _with_deadlines(self, options: dict[str, Any]) -> dict[str, Any]:
        if self.url.get_driver_name() != "pymysql":
            return options
        seconds = CLUSTER_TIMEOUT if self.addresses else STATEMENT_TIMEOUT
        deadlines = {key: seconds for key in _DEADLINES if not (self.addresses and key in self.url.query)}
        return {"connect_args": options["connect_args"] | deadlines}


def _parse(target: str | URL) -> URL:
    try:
        url = make_url(target)
    except ArgumentError as error:
        raise ConfigurationError(
            "the database address is no URL: write it as sqlite:///file.db, mysql+pymysql://user:password@host/name "
            "or postgresql+psycopg://user:password@host/name"
        ) from error
    return _with_driver(_on_disk(url))


def _on_disk(url: URL) -> URL:
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigurationError("a SQLite database in memory cannot hold a durable queue: use a file, or type Memory")
    return url


def _with_driver(url: URL) -> URL:
    """``mysql://`` and ``postgresql://`` with the drivers that we depend on."""
    drivers = {"mysql": "mysql+pymysql", "mariadb": "mysql+pymysql", "postgresql": "postgresql+psycopg"}
    return url.set(drivername=drivers.get(url.drivername, url.drivername))
