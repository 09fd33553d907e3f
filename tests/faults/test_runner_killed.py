"""kill -9 of a runner: in mid-task, and just before and after each of its commits."""

from __future__ import annotations

import pytest

from tests.faults.points import Point
from tests.faults.stage import AFTER_THE_LEASE, Stage
from tests.faults.tasks import hold, record
from tests.servers import ALL_DATABASES

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True),
    pytest.mark.parametrize("type", ["Sql", "SqlParallel"]),
]


def test_given_a_runner_killed_in_mid_task_when_another_runs_then_it_waits_for_the_lease_and_nothing_is_lost(
    stage: Stage, type: str
) -> None:
    # given: 1 and 2 are finished, 3 is in hand, the others are leased ahead
    stage.create(type)
    stage.fill(record, record, hold, record, record, record)
    victim = stage.start()
    stage.history.wait_for("start", number=3)
    ahead = stage.queue.get_statistic("leased") - 1
    victim.kill()
    assert stage.queue.claim_item() is None or ahead < 3, "an item was offered although its dead holder's lease stands"
    (in_hand,) = [item for item in stage.queue.items() if item.data.args[1] == 3]
    # when
    stage.gate.let_through()
    result = stage.run_rest()
    # then
    assert ahead == 3, f"this test is about neighbours that were leased ahead, of which there were {ahead}"
    assert result and result.completed == 4
    first, second = stage.history.lines("start", number=3)
    assert (first["interruptions"], second["interruptions"]) == (0, 1)
    assert second["fence"] > first["fence"]
    assert in_hand.release_time is not None
    assert second["time"] >= in_hand.release_time.timestamp() - 0.002, "started while the lease of the dead stood"
    assert stage.history.times("start") == {1: 1, 2: 1, 3: 2, 4: 1, 5: 1, 6: 1}
    assert stage.history.times("finished", outcome="ok") == dict.fromkeys(range(1, 7), 1)
    if type == "Sql":
        assert stage.history.numbers("end") == [1, 2, 3, 4, 5, 6]


# The first item is claimed alone, to be measured; the second claim takes all the others.
POINTS = [Point(work, when, nth) for work, nth in (("claim", 2), ("acknowledge", 3)) for when in ("before", "after")]


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_given_a_runner_killed_at_a_commit_when_another_runs_then_only_the_item_in_hand_may_run_twice(
    stage: Stage, type: str, point: Point
) -> None:
    # given
    stage.create(type)
    stage.fill(*[record] * 7)
    stage.start(point=point).wait_until_killed()
    # when
    result = stage.run_rest(AFTER_THE_LEASE)
    # then
    starts, finished = dict.fromkeys(range(1, 8), 1), dict.fromkeys(range(1, 8), 1)
    if str(point) == "before-acknowledge-3":
        starts[3] = 2
    if str(point) == "after-acknowledge-3":
        del finished[3]  # by the dead, who could not write it down any more
    assert result and stage.queue.number_of_items() == 0
    assert stage.history.times("start") == starts
    assert stage.history.times("finished", outcome="ok") == finished
    if type == "Sql":
        assert stage.history.numbers("start") == sorted(stage.history.numbers("start"))


@pytest.mark.parametrize("when", ["before", "after"])
def test_given_a_runner_killed_while_it_gives_items_back_when_another_runs_then_each_is_executed_once(
    stage: Stage, type: str, when: str
) -> None:
    # given: five items are leased ahead when the run is stopped after the second
    stage.create(type)
    stage.fill(*[record] * 7)
    stage.start(point=Point("relinquish", when, 1), stop_after=2).wait_until_killed()
    # when
    result = stage.run_rest(AFTER_THE_LEASE)
    # then
    assert result and result.completed == 5
    assert stage.history.times("start") == dict.fromkeys(range(1, 8), 1)
    (third,) = stage.history.lines("start", number=3)
    held, given_back = (1, 2), (0, 1)
    assert (third["interruptions"], third["run_count"]) == (held if when == "before" else given_back)
