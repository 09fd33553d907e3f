"""A runner that stops itself at a named point, and goes on when its lease is over and its heir is at work."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from taskqueue import LeaseLost, QueueItem
from taskqueue.queues import settlement
from taskqueue.queues.sql_base import SqlBase
from taskqueue.storage import presence
from tests.faults.history import DEADLINE
from tests.faults.points import Point
from tests.faults.stage import AFTER_THE_LEASE, Stage
from tests.faults.tasks import always_fail, hold_and_say, record, stumble
from tests.servers import ALL_DATABASES

pytestmark = pytest.mark.chaos
#: Besides those in the task, see test_zombie.py. "acknowledge" is between the end of the task and its completion.
POINTS = [(work, when) for work in ("claim", "acknowledge", "retry", "bury") for when in ("before", "after")]
TASKS: dict[str, Any] = {"claim": record, "acknowledge": record, "retry": stumble, "bury": always_fail}
on_all_databases = pytest.mark.parametrize(
    ("database_url", "type"),
    [("sqlite", "Sql"), *((name, "SqlParallel") for name in ALL_DATABASES[1:])],
    indirect=["database_url"],
)
#: Seconds within which an heir comes to its end, if the zombie does not keep the rows locked.
_SOON = 1.5


@on_all_databases
@pytest.mark.parametrize(("work", "when"), POINTS)
def test_given_a_zombie_that_stopped_at_a_point_when_it_goes_on_after_its_lease_then_each_item_ends_once(
    stage: Stage, type: str, work: str, when: str
) -> None:
    # given
    stage.create(type, error="dead", retry_limit=1 if work == "retry" else 0)
    stage.fill(TASKS[work], record)
    zombie = stage.start(point=Point(work, when, 1, signal.SIGSTOP), wait=None)
    zombie.wait_until_frozen()
    # What has claimed and not begun knows by its own clock that the lease is over: there that has to be so.
    is_waited_for = (work, when) == ("claim", "after")
    heir = threading.Thread(target=stage.run_rest, args=[0 if is_waited_for else AFTER_THE_LEASE], daemon=True)
    heir.start()
    # Inside a transaction the zombie keeps what it has locked: then the heir comes after it.
    heir.join(DEADLINE if is_waited_for else _SOON)
    # when
    zombie.thaw()
    heir.join(DEADLINE)
    zombie.wait_until_done()
    # then
    outcomes = stage.history.times("finished", outcome="ok")
    dead = stage.queue.dead_items()
    assert outcomes == ({2: 1} if work == "bury" else {1: 1, 2: 1}), stage.history.tail()
    assert len(dead) == (work == "bury")
    assert stage.queue.number_of_items() == 0
    fences = [line["fence"] for line in stage.history.lines("start", number=1)]
    assert fences == sorted(set(fences)), "a stale holder has begun"


STALE: dict[str, Callable[[SqlBase, QueueItem], Any]] = {
    "renew": lambda queue, item: queue.extend_lease(item),
    "complete": lambda queue, item: queue.delete_item(item),
    "release": lambda queue, item: queue.release_item(item),
    "relinquish": lambda queue, item: _refused(queue.relinquish_items([item])),
    "retry": lambda queue, item: _refused(queue.settle([item], settlement.retry(0, "too late"))),
    "interrupt": lambda queue, item: _refused(queue.settle([item], settlement.interrupt("too late"))),
    "abort": lambda queue, item: _refused(queue.settle([item], settlement.abort("too late"))),
    "delete": lambda queue, item: _refused(queue.settle([item], settlement.delete("too late"))),
    "bury": lambda queue, item: _refused(queue.settle([item], settlement.bury("too late"))),
    "skip": lambda queue, item: _refused(queue.settle([item], settlement.skip("too late"))),
}


def _refused(lost: list[QueueItem]) -> None:
    if lost:
        raise LeaseLost


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
@pytest.mark.parametrize("type", ["Sql", "SqlParallel"])
def test_given_an_item_that_was_taken_over_when_its_first_holder_writes_then_all_is_refused(
    stage: Stage, type: str
) -> None:
    # given
    queue = stage.create(type)
    assert isinstance(queue, SqlBase)
    stage.fill(record)
    first = queue.claim_item()
    heir = queue.steal_item()
    assert first is not None and heir is not None and heir.fence > first.fence
    queue.database.statement(lambda tx: presence.report(tx, report_of(heir, "of the heir")))
    before = everything(stage)
    # when, then
    for write in STALE.values():
        with pytest.raises(LeaseLost):
            write(queue, first)
    with pytest.raises(LeaseLost), queue.completing(first) as session:
        session.execute(text("SELECT 1"))
    queue.database.statement(lambda tx: presence.report(tx, report_of(first, "of the first")))
    queue.database.statement(lambda tx: presence.ended(tx, [(first.id, first.fence)]))
    assert everything(stage) == before
    queue.delete_item(heir)


@on_all_databases
def test_given_a_zombie_that_logs_when_it_goes_on_then_the_log_of_the_run_has_the_lines_of_its_heir_alone(
    stage: Stage, type: str
) -> None:
    # given
    stage.create(type)
    stage.fill(hold_and_say)
    zombie = stage.start()
    stage.history.wait_for("start", number=1)
    zombie.freeze()
    heir = stage.start(shift=AFTER_THE_LEASE)
    stage.history.wait_for("start", number=1, count=2)
    # when
    zombie.thaw()
    stage.gate.let_through(2)
    for child in (zombie, heir):
        child.wait_until_done()
    # then
    newest = max(line["fence"] for line in stage.history.lines("start"))
    assert len(stage.history.lines("end")) == 2, "the zombie has said nothing"
    with stage.service.engine.connect() as connection:
        lines = connection.execute(text("SELECT kind, message FROM taskqueue_run_log ORDER BY id")).all()
    assert [message for kind, message in lines if kind == "log"] == [f"goes on under {newest}"]
    assert "late" in [kind for kind, _message in lines], "that it came too late is said"


def report_of(item: QueueItem, message: str) -> dict[str, Any]:
    """How far its holder says that it is."""
    return {"item": item.id, "queue": item.queue_name, "fence": item.fence, "age": 0, "done": None, "total": None,
            "message": message, "silence": None}  # fmt: skip


def everything(stage: Stage) -> list[Any]:
    """All that is stored about items."""
    with stage.service.engine.connect() as connection:
        return [
            connection.execute(text(f"SELECT * FROM taskqueue_{table}")).all()
            for table in ("item", "dead", "ending", "activity", "result")
        ]
