"""Workers whose clocks are wrong: by a minute, by a day, and by something else while they work.

All that is stored is measured by the database's clock. On SQLite that is the clock of the host, which all its processes
share: there it is the one clock that jumps.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from taskqueue import Task
from taskqueue.worker import roster
from tests.faketime import Clock
from tests.faults.checks import overlaps, violations
from tests.faults.child import LEASE
from tests.faults.clocked import DAY, HOUR, MINUTE, TASKS, WRONG, Start, crowd
from tests.faults.history import Line, wait_until
from tests.faults.stage import Stage
from tests.faults.tasks import effect, record, stumble
from tests.servers import SERVER_DATABASES

pytestmark = pytest.mark.chaos
on_servers = pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)


@on_servers
@pytest.mark.parametrize("type", ["Sql", "SqlParallel"])
def test_given_workers_with_wrong_clocks_when_they_share_a_queue_then_no_two_have_the_same_task(
    stage: Stage, type: str, start: Start
) -> None:
    # given
    stage.create(type, agent="server", error="dead")
    # when
    for worker in crowd(stage, start, seconds=0.05):
        worker.wait_until_done()
    # then
    assert overlaps(stage.history.lines()) == []
    assert stage.history.times("end") == Counter(range(1, TASKS + 1))
    assert stage.queue.number_of_items() == 0
    if type == "SqlParallel":
        assert len({line["pid"] for line in stage.history.lines("start")}) > 1


@on_servers
def test_given_workers_with_wrong_clocks_when_something_waits_for_its_time_then_it_comes_by_the_databases_clock(
    stage: Stage, start: Start
) -> None:
    # given
    stage.create("SqlParallel", agent="server", error="dead", retry_interval=1.0, retry_limit=1)
    workers = [start(ahead, "work") for ahead in WRONG]
    stage.history.wait_for("serving", count=len(WRONG))
    began = time.monotonic()
    # when
    stage.queue.enqueue(record, str(stage.folder), 1, delay=1.0)
    stage.queue.enqueue(stumble, str(stage.folder), 2)
    for number, ahead in ((3, DAY), (4, -DAY)):
        start(ahead, "postpone", first=number)
    stage.service.schedule("often", "* * * * * *", Task(record, (str(stage.folder), 5)), queue="stage")
    # then: neither at once, as by a clock that is a day ahead, nor tomorrow
    stage.history.wait_for("start", number=1)
    assert time.monotonic() - began >= 0.99
    stage.history.wait_for("start", number=2, count=2)
    first, second = map(claimed, stage.history.lines("start", number=2))
    assert second - first >= 0.99
    for number in (3, 4):
        postponed = stage.history.wait_for("postponed", number=number)
        assert postponed["due"] - postponed["submitted"] == pytest.approx(1, abs=0.1)
        assert claimed(stage.history.wait_for("start", number=number)) >= postponed["due"] - 0.001
    stage.history.wait_for("start", number=5, count=2)
    moments = [claimed(line) for line in stage.history.lines("start", number=5)]
    assert len(moments) <= max(moments) - min(moments) + 2, "more than one for each second"
    # and: the heartbeats are shown by that clock as well
    wait_until(lambda: len(roster.workers(stage.service)) == len(WRONG), "all workers are shown")
    shown = roster.workers(stage.service)
    assert {info.state for info in shown} == {"serving"}
    assert all(0 <= info.beat_age < 10 for info in shown)
    assert {info.pid for info in shown} == {worker.pid for worker in workers}


def claimed(line: Line) -> float:
    """When the task that says so was claimed, by the database's clock."""
    return float(line["until"]) - LEASE


@on_servers
def test_given_workers_at_work_when_their_clocks_jump_then_nothing_is_noticed(
    stage: Stage, start: Start, tmp_path: Path
) -> None:
    # given
    stage.create("SqlParallel", agent="server", error="dead")
    clocks = [Clock(tmp_path / f"jumping-{number}") for number in range(2)]
    for number in range(1, 9):
        stage.queue.enqueue(record, str(stage.folder), number, LEASE * 0.6)
    workers = [start(clock, "empty") for clock in clocks]
    # when: each of them in the middle of a task, longer together than a lease
    for jump in (DAY, -DAY, -HOUR, MINUTE):
        started = len(stage.history.lines("start"))
        wait_until(lambda seen=started: len(stage.history.lines("start")) > seen, "the next task")  # type: ignore[misc]
        clocks[0].set(jump)
        clocks[1].set(-jump)
    for worker in workers:
        worker.wait_until_done()
    # then
    assert overlaps(stage.history.lines()) == []
    assert stage.history.times("end") == Counter(range(1, 9))


@pytest.mark.parametrize("jump", [MINUTE, -MINUTE, DAY, -DAY], ids=str)
def test_given_sqlite_when_the_clock_of_its_host_jumps_then_nothing_is_lost_nor_done_twice(
    stage: Stage, start: Start, tmp_path: Path, jump: int
) -> None:
    # given
    stage.create("SqlParallel", agent="server", error="dead")
    stage.create_effects()
    clock = Clock(tmp_path / "of-the-host", is_at_once=True)
    for number in range(1, 17):
        stage.queue.enqueue(effect, str(stage.folder), number, 0.1)
    workers = [start(clock, "empty") for _ in range(2)]
    stage.history.wait_for("start", count=3)
    # when
    clock.set(jump)
    for worker in workers:
        worker.wait_until_done()
    # then: a lease that the jump has ended lets a task run again, and its first holder cannot complete it
    sent = [{"kind": kind, "number": number} for number in range(1, 17) for kind in ("sent", "acknowledged")]
    assert (
        violations([*sent, *stage.history.lines()], stage.effects(), kills=len(overlaps(stage.history.lines()))) == []
    )
    if jump < 0:
        assert overlaps(stage.history.lines()) == []
    assert sorted(number for number, _fence in stage.effects()) == list(range(1, 17))
