"""Where is measured: private servers on temporary folders, with the default settings of their products."""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import MariaDBServer, PostgreSQLServer, Server

DATABASES = ("sqlite", "mariadb", "postgresql")
_numbers = itertools.count(1)


class _MariaDB(MariaDBServer):
    """The tests make it small; a million items are no small thing."""

    def _command(self, data: Path) -> list[str]:
        small = ("--innodb-", "--key-buffer-", "--aria-")
        return [option for option in super()._command(data) if not option.startswith(small)]


class _PostgreSQL(PostgreSQLServer):
    """The tests make it small."""

    def _command(self, data: Path) -> list[str]:
        return [option for option in super()._command(data) if not option.startswith("--shared_buffers")]


_SERVERS: dict[str, type[Server]] = {"mariadb": _MariaDB, "postgresql": _PostgreSQL}


@dataclass
class Home:
    """A running database, in which any number of empty ones can be had."""

    name: str
    version: str
    _folder: Path
    _server: Server | None = None
    _made: list[str] = field(default_factory=list)

    def fresh(self) -> str:
        """The URL of an empty database."""
        name = f"bench_{next(_numbers)}"
        if self._server is None:
            return f"sqlite:///{self._folder / name}.db"
        self._server.create_database(name)
        self._made.append(name)
        return self._server.url(name)

    def clear(self) -> None:
        """Drop what :meth:`fresh` has made."""
        if self._server is not None:
            while self._made:
                self._server.drop_database(self._made.pop())
        for file in self._folder.glob("bench_*"):
            file.unlink()


@contextmanager
def running(name: str) -> Iterator[Home]:
    """A private server (or folder) of that kind, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="taskqueue-bench-") as folder:
        if name == "sqlite":
            yield Home(name, f"SQLite {sqlite3.sqlite_version}", Path(folder))
            return
        with _SERVERS[name]() as server:
            yield Home(name, _version(server), Path(folder), server)


def _version(server: Server) -> str:
    text = str(server.execute("SELECT version()")[0][0])
    if server.name == "postgresql":
        return " ".join(text.split()[:2])
    return f"MariaDB {text.split('-')[0]}"
