"""On which database, under which server and in which mode a browser test runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server
from tests.web.toolkit.server import Hosting

#: Short, so that a dead holder is noticed in a test's time; the slice is long, so that nothing heals by itself first.
TIMES = {
    "TASKQUEUE_BUDGET": 0.5,
    "TASKQUEUE_HEARTBEAT": 0.5,
    "TASKQUEUE_STALE_AFTER": 2,
    "TASKQUEUE_LEASE_SLICE": 30,
    "TASKQUEUE_POLL": 0.3,
    "TASKQUEUE_SHUTDOWN_GRACE": 2,
}


@dataclass(frozen=True)
class Setup:
    """One combination."""

    name: str
    database: str = "sqlite"
    hosting: Hosting = field(default_factory=Hosting)
    mode: str = "auto"

    def __str__(self) -> str:
        return self.name

    @property
    def config(self) -> dict[str, Any]:
        """What goes into the application's configuration, besides the database's URL."""
        return {**TIMES, "TASKQUEUE_MODE": self.mode}

    def make_database(self, request: pytest.FixtureRequest, name: str, folder: Path) -> str:
        """The URL of a new database."""
        if self.database == "sqlite":
            folder.mkdir(parents=True, exist_ok=True)
            return f"sqlite:///{folder / 'web.db'}"
        server: Server = request.getfixturevalue(f"{self.database}_server")
        server.start()
        server.drop_database(name)  # of the servers before these, where a worker comes back to this folder
        server.create_database(name)
        return server.url(name)


SQLITE = Setup("sqlite")
MARIADB = Setup("mariadb", database="mariadb")
INLINE = Setup("inline", database="mariadb", mode="inline")
GUNICORN = Setup("gunicorn", database="mariadb", hosting=Hosting("gunicorn", count=3))
# Does not kill a worker for standing still.
PATIENT_GUNICORN = Setup("patient-gunicorn", hosting=Hosting("gunicorn", count=3, timeout=60))


def _on(*setups: Setup) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("setup", setups, ids=str, indirect=True)


#: Each in the mode that is the default.
on_databases = _on(SQLITE, MARIADB)
#: Each mode on one of the databases.
in_both_modes = _on(SQLITE, INLINE)
under_both_servers = _on(SQLITE, GUNICORN)
#: The same, and in several processes.
widely = _on(SQLITE, INLINE, GUNICORN)
#: For what is both important and quick.
everywhere = _on(SQLITE, MARIADB, INLINE, GUNICORN)
