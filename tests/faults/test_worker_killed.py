"""Workers that are killed with -9 at the points that matter, and a database server that is killed under them."""

from __future__ import annotations

from typing import cast

import pytest

from taskqueue import Worker, travel
from tests.faults.points import Point
from tests.faults.stage import AFTER_THE_LEASE, Stage
from tests.faults.tasks import effect, hold, record
from tests.servers import ALL_DATABASES, SERVER_DATABASES, Server

pytestmark = [pytest.mark.chaos, pytest.mark.parametrize("type", ["Sql", "SqlParallel"])]
POINTS = [Point(work, when, 2) for work in ("claim", "acknowledge") for when in ("before", "after")]


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
@pytest.mark.parametrize("point", POINTS, ids=str)
def test_given_a_worker_killed_at_a_point_when_another_drains_then_all_is_done(
    stage: Stage, type: str, point: Point
) -> None:
    # given
    stage.create(type, agent="server", error="dead")
    stage.fill(*[record] * 8)
    stage.start("work", point=Point(point.work, point.when, point.nth)).wait_until_killed()
    # when
    with travel(AFTER_THE_LEASE):
        Worker(stage.service, ["stage"]).drain()
    # then
    ends = stage.history.times("end")
    assert sorted(ends) == list(range(1, 9))
    again = point.work == "acknowledge" and point.when == "before"
    assert sum(ends.values()) == (9 if again else 8), stage.history.tail()
    assert stage.queue.statistics() == dict.fromkeys(stage.queue.statistics(), 0)


@pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)
@pytest.mark.parametrize("threads_wait", [True, False], ids=["busy", "idle"])
def test_given_a_worker_when_its_server_is_killed_and_started_again_then_it_goes_on(
    stage: Stage, type: str, threads_wait: bool, request: pytest.FixtureRequest
) -> None:
    # given
    name = request.node.callspec.params["database_url"]
    server = cast(Server, request.getfixturevalue(f"{name}_server"))
    queue = stage.create(type, agent="server", error="dead")
    stage.create_effects()
    stage.fill(record, hold if threads_wait else record)
    worker = stage.start("work")
    stage.history.wait_for("start" if threads_wait else "finished", number=2)
    # when
    server.kill()
    stage.gate.let_through(2)  # the task ends; should the lease end meanwhile, once more
    server.start()
    # then: what was in hand, and what comes later, by the same process
    for number in range(3, 6):
        queue.enqueue(effect, str(stage.folder), number)
        stage.history.wait_for("finished", number=number, outcome="ok", pid=worker.process.pid)
    assert [number for number, _fence in stage.effects()] == [3, 4, 5]
    stage.history.wait_for("finished", number=2, outcome="ok")
    worker.end()
    assert queue.number_of_items() == 0
