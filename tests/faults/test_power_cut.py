"""A power cut, in which the disk forgets all that was not synced, costs nothing that was acknowledged.

POWER_CUTS=N makes so many cuts under each database; without it SQLite alone has some.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.child import recording
from tests.faults.disk import Disk, mounted
from tests.faults.power import Household, cut_of_server, cut_of_sqlite, damage
from tests.faults.stage import Stage
from tests.servers import SERVER_DATABASES, SERVERS

pytestmark = pytest.mark.chaos
CUTS = int(os.environ.get("POWER_CUTS", "0"))


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A disk at a folder that every account may walk through, as those of servers must."""
    with tempfile.TemporaryDirectory(prefix="taskqueue-disk-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        with mounted(Path(name)) as disk:
            yield disk


def test_given_sqlite_when_the_power_is_cut_then_nothing_acknowledged_is_lost(disk: Disk, tmp_path: Path) -> None:
    # given
    path = disk.folder / "queue.db"
    stage = Stage(f"sqlite:///{path}", tmp_path)
    try:
        with recording(stage.history):
            household = Household(stage)
            # when
            for cut in range(CUTS or 8):
                household.suffer(*cut_of_sqlite(disk, cut if cut % 2 else None))
                assert damage(path) == "ok"
            # then
            assert household.account() == []
    finally:
        stage.close()
    print(f"{household.kills} cuts: 0 of {household.acknowledged} tasks lost")


@pytest.mark.skipif(not CUTS, reason="takes long: POWER_CUTS=N cuts the power of servers, too")
@pytest.mark.parametrize("kind", SERVER_DATABASES)
def test_given_a_server_when_its_power_is_cut_then_nothing_acknowledged_is_lost(
    disk: Disk, tmp_path: Path, kind: str
) -> None:
    if reason := SERVERS[kind].missing():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    # given
    with SERVERS[kind](parent=disk.folder) as server:
        server.create_database("power")
        disk.settle()
        stage = Stage(server.url("power"), tmp_path)
        try:
            with recording(stage.history):
                household = Household(stage)
                # when
                for cut in range(CUTS):
                    household.suffer(*cut_of_server(disk, server, cut if cut % 2 else None))
                # then
                assert household.account() == []
        finally:
            stage.close()
    print(f"{household.kills} cuts: 0 of {household.acknowledged} tasks lost")
