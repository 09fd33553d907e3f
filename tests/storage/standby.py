"""A second PostgreSQL server that follows a first one, until it is told to take its place."""

from __future__ import annotations

from pathlib import Path

from tests.servers import PostgreSQLServer, _postgresql_programs


class Standby(PostgreSQLServer):
    """A copy of ``primary``, which cannot be written to before it is promoted."""

    def __init__(self, primary: PostgreSQLServer) -> None:
        super().__init__()
        self._primary = primary

    def _install(self, data: Path) -> list[str]:
        return [
            f"{_postgresql_programs()}/pg_basebackup",
            f"--pgdata={data}",
            "--host=127.0.0.1",
            f"--port={self._primary.port}",
            "--username=postgres",
            "--write-recovery-conf",
            "--checkpoint=fast",
        ]

    def catch_up(self) -> None:
        """Wait until it has all that was committed on the primary."""
        self._primary.execute("SELECT pg_switch_wal()")
        (place,) = self._primary.execute("SELECT pg_current_wal_lsn()")[0]
        while not self.execute(f"SELECT pg_last_wal_replay_lsn() >= '{place}'")[0][0]:
            pass

    def promote(self) -> None:
        """Let it be written to; returns when it can be."""
        assert self.execute("SELECT pg_promote(true, 60)") == [(True,)]
