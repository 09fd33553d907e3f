"""At its first use a database that does not keep what is promised is named in the log, once, with what to change."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import create_engine, event

from taskqueue import QueueService, Worker
from taskqueue.storage.checkup import examine
from taskqueue.storage.durability import file_system_of
from tests.faults.disk import mounted
from tests.servers import ALL_DATABASES, MariaDBServer, PostgreSQLServer, Server


class LoggingServer(MariaDBServer):
    """Keeps a binary log, which it does not sync, as is the default."""

    def _command(self, data: Path) -> list[str]:
        return [*super()._command(data), "--log-bin"]


class TornServer(MariaDBServer):
    """Flushes more often than it has to, and cannot mend pages that are torn."""

    def _command(self, data: Path) -> list[str]:
        return [*super()._command(data), "--innodb-flush-log-at-trx-commit=3", "--skip-innodb-doublewrite"]


class FragileServer(PostgreSQLServer):
    """Its data may be damaged by a power cut."""

    def _command(self, data: Path) -> list[str]:
        return [*super()._command(data), "--fsync=off", "--full-page-writes=off"]


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What was logged as a warning."""
    with caplog.at_level(logging.WARNING, "taskqueue"):
        yield caplog


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
def test_given_a_database_in_order_when_a_worker_starts_then_it_warns_of_nothing(
    database_url: str, warnings: pytest.LogCaptureFixture
) -> None:
    with closing(QueueService(database_url)) as service:
        Worker(service).drain()

    assert warnings.messages == []


def test_given_commits_that_are_not_flushed_when_workers_start_then_it_is_said_once(
    postgresql_server: PostgreSQLServer, warnings: pytest.LogCaptureFixture
) -> None:
    postgresql_server.create_database("careless")
    postgresql_server.execute("ALTER DATABASE careless SET synchronous_commit = off")

    with closing(QueueService(postgresql_server.url("careless"))) as service:
        Worker(service).drain()
        Worker(service).drain()

    (message,) = warnings.messages
    assert message.endswith(
        "synchronous_commit: off: the last commits are lost in a power cut; set it to on: "
        "ALTER DATABASE ... RESET synchronous_commit"
    )
    postgresql_server.drop_database("careless")


def test_given_an_engine_of_the_application_that_does_not_sync_then_it_is_said(
    tmp_path: Path, warnings: pytest.LogCaptureFixture
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/test.db")
    event.listen(engine, "connect", lambda raw, _record: raw.execute("PRAGMA synchronous = NORMAL").close())

    QueueService(engine).queues()

    (message,) = warnings.messages
    assert "synchronous: NORMAL: the last commits are lost in a power cut; set it to FULL: PRAGMA" in message
    engine.dispose()


def test_given_a_sqlite_file_on_a_network_then_it_is_said(tmp_path: Path, warnings: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "far away"
    folder.mkdir()
    with mounted(folder, "fuse.sshfs"), closing(QueueService(f"sqlite:///{folder}/test.db")) as service:
        service.queues()

    (message,) = warnings.messages
    assert "file system: fuse.sshfs: SQLite loses and damages data over a network; move the file" in message


@pytest.mark.usefixtures("mariadb_server")  # which says when there is none
def test_given_a_binary_log_that_is_not_synced_then_it_is_said(warnings: pytest.LogCaptureFixture) -> None:
    first_use(LoggingServer())

    (message,) = warnings.messages
    assert "sync_binlog is 0: the last commits may be lost; set it to 1: SET GLOBAL sync_binlog = 1, and" in message


@pytest.mark.usefixtures("postgresql_server")
def test_given_a_server_that_syncs_nothing_then_it_is_said_and_what_torn_pages_do_by_the_doctor_only(
    warnings: pytest.LogCaptureFixture,
) -> None:
    found = first_use(FragileServer())

    (message,) = warnings.messages
    assert message.endswith(
        "fsync: off: the database may be damaged by a power cut, and be lost; set it to on: "
        "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()"
    )
    assert "a page that a power cut has torn damages the database" in found["full_page_writes"]
    assert list(found) == ["fsync", "full_page_writes"]


@pytest.mark.usefixtures("mariadb_server")
def test_given_a_server_that_flushes_twice_and_mends_no_torn_pages_then_only_the_doctor_says_the_second(
    warnings: pytest.LogCaptureFixture,
) -> None:
    found = first_use(TornServer())

    assert warnings.messages == []
    assert list(found) == ["torn pages are mended"]
    assert "innodb_doublewrite is OFF: a page that a power cut has torn" in found["torn pages are mended"]


@pytest.mark.parametrize(("folder", "is_good"), [("/dev/shm", False), ("/var/tmp", True)])
def test_given_a_sqlite_file_in_memory_then_the_doctor_says_that_it_gets_lost(
    folder: str, is_good: bool, warnings: pytest.LogCaptureFixture
) -> None:
    if (file_system_of(Path(folder)) == "tmpfs") is is_good:
        pytest.skip(f"{folder} is something else here")
    with TemporaryDirectory(dir=folder) as own, closing(QueueService(f"sqlite:///{own}/test.db")) as service:
        service.queues()
        found = bad(service)

    assert warnings.messages == []
    assert list(found) == ([] if is_good else ["the file survives a power cut"])


def first_use(server: Server) -> dict[str, str]:
    """Use a new database of a server that is not running yet; what the doctor says against it."""
    with server:
        server.create_database("used")
        with closing(QueueService(server.url("used"))) as service:
            service.queues()
            return bad(service)


def bad(service: QueueService) -> dict[str, str]:
    """What the doctor finds fault with."""
    return {one.what: one.text for one in examine(service.database, 30) if not one.is_good}
