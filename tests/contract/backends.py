"""The seven backends, and marks that narrow a test to some of them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.servers import ALL_DATABASES, SERVER_DATABASES


@dataclass(frozen=True)
class Backend:
    """A type of queue on a database; ``Memory`` has none and must never open the one that its service names."""

    type: str
    database: str = ""
    url: str = ""

    def __str__(self) -> str:
        return "-".join(filter(None, (self.type, self.database)))

    @property
    def is_sequential(self) -> bool:
        return self.type != "SqlParallel"

    @property
    def is_sql(self) -> bool:
        return self.type != "Memory"


MEMORY = Backend("Memory")
BACKENDS = [MEMORY, *(Backend(kind, database) for database in ALL_DATABASES for kind in ("Sql", "SqlParallel"))]


def _only(backends: list[Backend]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("backend", backends, indirect=True, ids=str)


only_memory = _only([MEMORY])
only_sql = _only([backend for backend in BACKENDS if backend.is_sql])
only_sequential = _only([backend for backend in BACKENDS if backend.is_sequential])
only_parallel = _only([backend for backend in BACKENDS if not backend.is_sequential])
only_sql_parallel = _only([backend for backend in BACKENDS if backend.type == "SqlParallel"])
only_servers = _only([backend for backend in BACKENDS if backend.database in SERVER_DATABASES])
#: Where one test per database is enough, because the types of queue share the code.
once_per_database = _only([backend for backend in BACKENDS if backend.type == "Sql"])
