"""Worker after worker is killed with -9, each at another named point: every promise holds in the end."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any

import pytest

from taskqueue import Task, Worker, travel
from tests.faults.checks import violations
from tests.faults.child import LEASE
from tests.faults.points import Point
from tests.faults.stage import AFTER_THE_LEASE, Stage
from tests.faults.tasks import die, effect, effect_once_repaired, effect_slowly, effect_unless_first, record
from tests.servers import ALL_DATABASES

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True),
    pytest.mark.parametrize("type", ["Sql", "SqlParallel"]),
]

#: What a worker commits, and the tasks that lead it there; the second claim takes several.
WORK: dict[tuple[str, int], list[Any]] = {
    ("claim", 1): [effect],
    ("claim", 2): [effect] * 4,
    ("promote", 1): [effect],
    ("extend", 1): [effect_slowly],
    ("effect", 2): [effect] * 3,
    ("acknowledge", 1): [record, effect],
    ("retry", 1): [effect_unless_first, effect],
    ("relinquish", 1): [effect] * 6,
    ("bury", 1): [effect_once_repaired, effect],
    ("complete", 1): [effect],
}
POINTS = [(Point(work, when, nth), more) for (work, nth), more in WORK.items() for when in ("before", "after")]
#: At each point, and in a task, on each database and for each type.
KILLS = len(POINTS) + 1


class Row:
    """Victims one after the other, each so much later that the leases of the one before have ended."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.kills = 0
        self.plain: set[int] = set()
        self._numbers = 0

    def add(self, *callbacks: Any) -> None:
        """Add tasks, with the next numbers."""
        self.stage.queue.set_status("active")  # it may have been completed
        for callback in callbacks:
            self._numbers += 1
            number = self._numbers
            if callback is record:  # leaves no effect that could be checked
                self.plain.add(number)
            self.stage.history.write("sent", number=number)
            self.stage.queue.enqueue(callback, str(self.stage.folder), number)
            self.stage.history.write("acknowledged", number=number)

    def kill(self, point: Point | None) -> None:
        """Let one be killed at a point, or by a task."""
        gives_back = point is not None and point.work == "relinquish"
        part: dict[str, Any] = {"role": "run", "stop_after": 2} if gives_back else {"role": "work"}
        if point is not None:
            part["point"] = Point(point.work, point.when, point.nth)
        self.stage.start(shift=self.kills * AFTER_THE_LEASE, **part).wait_until_killed()
        self.kills += 1

    def finish(self) -> None:
        """Let a worker that lives do what is left, and what has been buried once that is mended."""
        with travel(self.kills * AFTER_THE_LEASE):
            Worker(self.stage.service, ["stage"]).drain()
            (self.stage.folder / "repaired").touch()
            self.stage.queue.set_status("active")
            self.stage.queue.revive_items()
            Worker(self.stage.service, ["stage"]).drain()


def test_given_workers_killed_at_each_point_one_after_the_other_then_every_promise_holds(
    stage: Stage, type: str
) -> None:
    # given
    stage.create(type, agent="server", error="dead", retry_limit=1, retry_interval=0, complete_when_empty=True)
    stage.create_effects()
    row = Row(stage)
    # when
    for point, callbacks in POINTS:
        row.add(*callbacks)
        row.kill(point)
    row.add(die, effect)
    row.kill(None)
    healed = time.monotonic()
    row.finish()
    took = time.monotonic() - healed
    # then
    history = stage.history
    failures = len(history.lines("stumbled"))
    promised = [line for line in history.lines() if line.get("number") not in row.plain]
    assert violations(promised, stage.effects(), row.kills + failures) == []
    assert set(history.numbers("end")) >= row.plain
    assert len([number for number in history.numbers("end") if number in row.plain]) <= len(row.plain) + 1
    assert stage.queue.statistics() == dict.fromkeys(stage.queue.statistics(), 0)
    assert took < LEASE + 5, f"all was done only {took:.1f} s after the last kill"
    assert row.kills == KILLS
    if type == "Sql":
        firsts = list(dict.fromkeys(history.numbers("start")))
        assert firsts == sorted(firsts), "the order was not kept"


@pytest.mark.parametrize("when", ["before", "after"])
def test_given_a_worker_killed_at_a_tick_when_another_looks_then_there_is_one_item_for_the_due_time(
    stage: Stage, type: str, when: str
) -> None:
    # given: a schedule whose time comes once a year
    stage.create(type, agent="server", error="dead")
    stage.service.schedule("yearly", "0 0 1 1 *", Task(record, (str(stage.folder), 1)), queue="stage")
    now = datetime.now(timezone.utc)
    due = (datetime(now.year + 1, 1, 1, tzinfo=timezone.utc) - now).total_seconds() + 10
    # when
    stage.start("work", shift=due, point=Point("tick", when, 1)).wait_until_killed()
    heir = stage.start("work", shift=due + AFTER_THE_LEASE)
    stage.history.wait_for("finished", number=1, outcome="ok")
    heir.end()
    # then
    assert stage.history.times("start") == {1: 1}
    assert stage.queue.number_of_items() == 0
    (schedule,) = stage.service.schedules()
    assert schedule.next_time is not None and schedule.next_time.year == now.year + 2
