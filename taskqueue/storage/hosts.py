"""Several hosts of one database: connections go to the first that can be written to, and on to the next when it fails.

All connections of a process go to the same host, so that a cluster which accepts writes everywhere has one writer as
long as all processes see it: writers on several nodes get in each other's way, and are slower than one. For the same
reason they go back to the preferred host soon after that has come back.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError

from ..errors import ConfigurationError
from ..forks import inherit
from ..spec import shown

#: A host of a cluster that is away is told apart from one that is slow after so many seconds: a cluster itself needs
#: about six to notice that one of its nodes is gone.
STATEMENT_TIMEOUT = 20
CONNECT_TIMEOUT = 3
#: So long (seconds) after a host has failed it is not tried before the others.
_AVOIDED = 30.0
#: Under which a pooled connection remembers where it goes.
_KEY = "taskqueue.host"
#: There as long as it has not been used.
_IS_NEW = "taskqueue.is_new"
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9_.-]+))(?::(?P<port>\d{1,5}))?", re.ASCII)


@dataclass(frozen=True)
class Address:
    """A host and its port; None: the usual one."""

    host: str
    port: int | None = None

    def __str__(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{name}:{self.port}" if self.port is not None else name


class NotWritable(Exception):
    """A host answers, but does not take writes: it is not (yet) part of its cluster, or a copy of another."""


def hosts_of(url: URL, given: Iterable[str] | None) -> tuple[URL, list[Address]]:
    """The URL with the first host alone, and all hosts: those given, else those that the URL names as
    ``?host=one:3306&host=two:3306``; none when there is only the one of the URL.

    Raises :class:`ConfigurationError`.
    """
    named = url.query.get("host", ()) if url.get_backend_name() != "sqlite" else ()
    texts = [named] if isinstance(named, str) else list(named)
    if given is not None:
        texts = [given] if isinstance(given, str) else list(given)
    texts = [part.strip() for text in texts for part in str(text).split(",") if part.strip()]
    if given is not None and url.get_backend_name() == "sqlite":
        raise ConfigurationError("SQLite is a file of one machine: hosts= is for MariaDB, MySQL and PostgreSQL")
    if not texts or (len(texts) == 1 and texts[0].startswith("/")):  # a folder with a socket
        return url, []
    addresses = [_address(text, url.port) for text in texts]
    if len(set(addresses)) < len(addresses):
        raise ConfigurationError("hosts= names a host twice: name each once, the preferred one first")
    first = addresses[0]
    rest = {key: value for key, value in url.query.items() if key != "host"}
    return url.set(host=first.host, port=first.port, query=rest), addresses


def _address(text: str, port: int | None) -> Address:
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found["port"] or 1) < 65_536:
        raise ConfigurationError(f"{shown(text)} is no host: write 'name', 'name:port' or '[address]:port'")
    return Address(found["six"] or found["name"], int(found["port"]) if found["port"] else port)


class Hosts:
    """Chooses the host for the connections of one process.

    Arguments:
        addresses: in the order of preference.
        check: ``check(connection)`` raises :class:`NotWritable`, or an error of the driver, when a host is of no use.
    """

    def __init__(self, addresses: Iterable[Address], check: Callable[[Any], None]) -> None:
        self._addresses = list(addresses)
        self._check = check
        self._lock = threading.Lock()
        self._failed: dict[Address, float] = {}
        #: Where the connections go.
        self.current = self._addresses[0]
        #: When (monotonic seconds) one that is preferred is tried again, while they go elsewhere.
        self._look_again = 0.0
        inherit(self)

    def forget_parent(self) -> None:
        """In a forked child: nobody holds the lock."""
        self._lock = threading.Lock()

    def follow(self, engine: Engine, connect: Callable[..., Any]) -> None:
        """Let the connections of an engine go where all go; those to a host that has failed are given up."""

        def connect_to_one(_dialect: Any, record: Any, args: Any, parameters: dict[str, Any]) -> Any:
            return self._connect(connect, record, args, parameters)

        event.listen(engine, "do_connect", connect_to_one)
        event.listen(engine, "checkout", self._check_out)

    def _connect(self, connect: Callable[..., Any], record: Any, args: Any, parameters: dict[str, Any]) -> Any:
        problems: list[str] = []
        for address in self._in_order():
            target = {**parameters, "host": address.host}
            if address.port is not None:
                target["port"] = address.port
            try:
                connection = connect(*args, **target)
            except ConfigurationError:  # of the address, which is wrong for all
                raise
            except Exception as error:
                problems.append(self._note(address, error))
                continue
            try:
                self._check(connection)
            except Exception as error:
                connection.close()
                problems.append(self._note(address, error))
                continue
            self._go_to(address)
            record.info[_KEY], record.info[_IS_NEW] = address, True
            return connection
        raise NotWritable(f"no host can be written to: {'; '.join(problems)}")

    def _go_to(self, address: Address) -> None:
        with self._lock:
            self.current = address
            self._failed.pop(address, None)
            self._look_again = time.monotonic() + _AVOIDED

    def _in_order(self) -> list[Address]:
        """By preference; those that have failed lately come last, the one that did so first before the others."""
        with self._lock:
            moment = time.monotonic()
            self._failed = {one: when for one, when in self._failed.items() if moment - when < _AVOIDED}
            return sorted(self._addresses, key=lambda one: self._failed.get(one, 0.0))

    def _note(self, address: Address, error: Exception) -> str:
        with self._lock:
            self._failed[address] = time.monotonic()
        return f"{address} ({' '.join(str(error).split())})"

    def _check_out(self, connection: Any, record: Any, proxy: Any) -> None:
        if record.info.pop(_IS_NEW, False):
            return  # whatever others have found meanwhile: it works
        if record.info.get(_KEY) != self.current:
            raise DisconnectionError(f"connections go to {self.current} now")
        if self.current != self._addresses[0] and time.monotonic() >= self._look_again:
            raise DisconnectionError(f"is {self._addresses[0]} back?")
