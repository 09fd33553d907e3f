"""A process is killed with -9 before and after each of its commits, until it comes through.

Whatever it did: who does the same once more completes it, and what is left is what one undisturbed go leaves.
"""

from __future__ import annotations

import os
from itertools import count
from typing import Any

import pytest
from sqlalchemy import MetaData, text

from taskqueue.storage.database import Database
from taskqueue.storage.migrations import upgrade
from tests.faults.deeds import DEEDS, look
from tests.faults.points import Point
from tests.faults.stage import Stage
from tests.migrations.first_release import differences, make_first_release, structure
from tests.servers import ALL_DATABASES

pytestmark = [pytest.mark.chaos, pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)]
#: Of a run, and of an upgrade, which commit often, every so many-th commit is tried; ``KILL_STRIDE=1`` tries all.
STRIDE, UPGRADE_STRIDE = (int(os.environ.get("KILL_STRIDE", usual)) for usual in ("7", "13"))


@pytest.mark.parametrize("name", DEEDS)
def test_given_a_process_killed_at_any_commit_when_the_same_is_done_once_more_then_it_is_complete(
    stage: Stage, name: str
) -> None:
    # given
    deed = DEEDS[name]
    deed.prepare(stage.service, "undisturbed")
    before = look(stage.service, "undisturbed", deed)
    deed.do(stage.service, "undisturbed")
    complete = look(stage.service, "undisturbed", deed)
    kills = 0
    for when in ("before", "after"):
        for nth in count(1, STRIDE if deed.is_run else 1):
            queue = f"{when}-{nth}"
            deed.prepare(stage.service, queue)
            assert look(stage.service, queue, deed) == before
            # when
            child = stage.start("do", queue=queue, arguments=(name,), point=Point("write", when, nth))
            if not child.wait_whether_killed():
                break
            kills += 1
            deed.repeat(stage.service, queue)
            # then
            assert look(stage.service, queue, deed) == complete, f"killed {when} commit {nth}"
        assert look(stage.service, queue, deed) == complete, "and it came through"
    print(f"{kills} kills")
    assert kills >= 2


def test_given_an_upgrade_killed_at_any_statement_when_it_is_given_again_then_it_is_complete_and_all_is_kept(
    stage: Stage,
) -> None:
    # given
    database = stage.service.database
    make_first_release(database)
    kept = _content(database)
    upgrade(database)
    with database.engine.connect() as connection:
        complete = structure(connection)
    # when
    kills = 0
    for nth in count(1, UPGRADE_STRIDE):
        _drop_all(database)
        make_first_release(database)
        child = stage.start("command", arguments=("db", "upgrade"), point=Point("upgrade", "after", nth))
        if not child.wait_whether_killed():
            break
        kills += 1
        upgrade(database)
        # then
        with database.engine.connect() as connection:
            assert structure(connection) == complete, f"killed after statement {nth}"
        assert differences(database) == []
        assert _content(database) == kept
        assert "up to date" in upgrade(database)
    print(f"{kills} kills")
    assert kills >= 2


def _content(database: Database) -> dict[str, Any]:
    """What the first release has written: the columns that it knew."""
    columns = {
        "queue": "name, type, status, options", "item": "id, queue_name, uid, weight, state, run_count, fence, data",
        "dead": "id, queue_name, uid, failures, data, error", "ending": "item_id, outcome, attempt, error, data",
    }  # fmt: skip
    with database.engine.connect() as connection:
        return {
            table: [tuple(row) for row in connection.execute(text(f"SELECT {names} FROM taskqueue_{table} ORDER BY 1"))]
            for table, names in columns.items()
        }


def _drop_all(database: Database) -> None:
    with database.engine.begin() as connection:
        there = MetaData()
        there.reflect(connection)
        there.drop_all(connection)
