"""What protects the promises, switched off on purpose: if that were not noticed here, the other tests would prove
nothing."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from tests.faults.child import recording
from tests.faults.disk import Disk
from tests.faults.power import Household, cut_of_sqlite
from tests.faults.stage import Stage
from tests.servers import Server

pytestmark = pytest.mark.chaos
ON_OFF = pytest.mark.parametrize("is_on", [True, False], ids=["on", "off"])
#: (as it should be, as it should not), said to the server. The pauses between the writes of its own accord are made
#: long, or some moments to be killed at would cost nothing.
FLUSHING = {
    "mariadb": (
        ["SET GLOBAL innodb_flush_log_at_trx_commit = 1", "SET GLOBAL innodb_flush_log_at_timeout = 1"],
        ["SET GLOBAL innodb_flush_log_at_trx_commit = 0", "SET GLOBAL innodb_flush_log_at_timeout = 60"],
    ),
    "postgresql": (
        [
            "ALTER SYSTEM RESET synchronous_commit",
            "ALTER SYSTEM RESET wal_writer_delay",
            "SELECT pg_reload_conf()",
        ],
        [
            "ALTER SYSTEM SET synchronous_commit = off",
            "ALTER SYSTEM SET wal_writer_delay = '10s'",
            "SELECT pg_reload_conf()",
        ],
    ),
}


@ON_OFF
def test_synchronous_of_sqlite_protects_from_power_cuts(disk: Disk, tmp_path: Path, is_on: bool) -> None:
    stage = Stage(f"sqlite:///{disk.folder / 'queue.db'}", tmp_path)
    try:
        with recording(stage.history):
            household = Household(stage, is_careless=not is_on)
            household.suffer(*cut_of_sqlite(disk, None))
            found = household.account()
    finally:
        stage.close()

    assert any("lost" in one for one in found) is not is_on, found


@ON_OFF
@pytest.mark.parametrize("database_url", FLUSHING, indirect=True)
def test_flushing_at_commit_protects_from_the_kill_of_a_server(
    stage: Stage, is_on: bool, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["database_url"]
    server = cast(Server, request.getfixturevalue(f"{kind}_server"))
    household = Household(stage)
    try:
        for statement in FLUSHING[kind][0 if is_on else 1]:
            server.execute(statement)
        household.suffer(server.kill, server.start)
        found = household.account()
    finally:
        server.start()
        for statement in FLUSHING[kind][0]:
            server.execute(statement)

    assert any("lost" in one for one in found) is not is_on, found
