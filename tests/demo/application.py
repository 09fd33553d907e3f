"""The demonstration as its users start it: a process, and what it leaves in the database."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, create_engine, func, inspect, select
from sqlalchemy.pool import NullPool

from demo_ext.tables import demo_bad_row, demo_file, demo_row

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 60.0


@dataclass(frozen=True)
class Application:
    """One database and the folder in which the processes work."""

    url: str
    folder: Path

    def start(self, *arguments: str | Path, module: str = "demo_ext", **more: str) -> subprocess.Popen[str]:
        """Start a process of the application; ``more`` goes into its environment."""
        ours = {"PYTHONPATH": str(_ROOT), "TASKQUEUE_DATABASE_URL": self.url, "PYTHONWARNINGS": "error"}
        given = {**os.environ, **ours, **more}
        command = [sys.executable, "-m", module, *map(str, arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=given, stdout=pipe, stderr=pipe, text=True)

    def run(self, *arguments: str | Path, module: str = "demo_ext") -> subprocess.CompletedProcess[str]:
        """Run a process of the application to its end."""
        with self.start(*arguments, module=module) as process:
            try:
                out, err = process.communicate(timeout=_PATIENCE)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def rows(self) -> list[Any]:
        """All rows with the name of their file, in its order."""
        columns = [column for column in demo_row.columns if column.name not in ("id", "file_id")]
        query = select(demo_file.c.path, *columns).join_from(demo_row, demo_file)
        return [(Path(row.path).name, *row[1:]) for row in self._all(query.order_by(demo_file.c.path, demo_row.c.line))]

    def bad_rows(self) -> list[tuple[str, int, str]]:
        """All bad rows: file, line, reason."""
        query = select(demo_bad_row.c.path, demo_bad_row.c.line, demo_bad_row.c.reason)
        return sorted((Path(path).name, line, reason) for path, line, reason in self._all(query))

    def number_of_rows(self) -> int:
        """How many rows there are."""
        with self._connected() as connection:
            return self._count(connection)

    def wait_for_rows(self, number: int, process: subprocess.Popen[str]) -> None:
        """Return as soon as so many rows are committed while the process runs."""
        deadline = time.monotonic() + _PATIENCE
        with self._connected() as connection:
            while self._count(connection) < number:
                assert process.poll() is None, f"it ended before it could be killed: {process.communicate()}"
                assert time.monotonic() < deadline, f"there were no {number} rows in time"
                time.sleep(0.005)

    def _count(self, connection: Connection) -> int:
        found = 0
        if inspect(connection).has_table(demo_row.name):
            found = connection.scalar(select(func.count()).select_from(demo_row)) or 0
        connection.rollback()  # the next look must see what is new
        return found

    def _all(self, query: Select[Any]) -> list[Any]:
        with self._connected() as connection:
            return list(connection.execute(query))

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        engine = create_engine(self.url, poolclass=NullPool)
        with engine.connect() as connection:
            yield connection
