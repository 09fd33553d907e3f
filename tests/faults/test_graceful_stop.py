"""``taskqueue work`` is stopped by SIGTERM and replaced, again and again: nothing is lost, and nothing is repeated."""

from __future__ import annotations

from collections import Counter

import pytest

from taskqueue import Task
from tests.faults.stage import Stage
from tests.faults.swarm import Swarm
from tests.faults.tasks import hold, record
from tests.servers import ALL_DATABASES

pytestmark = [
    pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True),
    pytest.mark.parametrize("options", [(), ("--grouped",)], ids=["each", "grouped"]),
]
QUEUES = {"ordered": "Sql", "parallel": "SqlParallel"}
#: So many tasks are added to each queue before each stop; those at these places take so long (seconds), whatever they
#: are told.
ITEMS, SLOW = 40, {20: 0.4}
#: Who begins the task at that place of what was added to that queue is stopped: in a slow task, and among quick ones.
STOPS = [("ordered", 20), ("parallel", 20), ("parallel", 30)]


class Work:
    """The queues, and the numbers of the tasks in each."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.queues = [stage.service.create(type, name, agent="server", error="dead") for name, type in QUEUES.items()]
        self.numbers: dict[str, list[int]] = {name: [] for name in QUEUES}

    def add(self) -> None:
        """Add some to each queue."""
        for queue in self.queues:
            first = 1 + sum(map(len, self.numbers.values()))
            self.numbers[queue.name] += range(first, first + ITEMS)
            queue.create_items(
                Task(record, (str(self._stage.folder), first + place, SLOW.get(place, 0))) for place in range(ITEMS)
            )

    def who_begins(self, name: str, place: int) -> int:
        """The process that has begun the task at that place of the latest ones, as soon as it has."""
        pid: int = self._stage.history.wait_for("start", number=self.numbers[name][place - ITEMS])["pid"]
        return pid

    def assert_all_gone(self) -> None:
        """Nothing is left, and nothing has ended otherwise than well."""
        for queue in self.queues:
            assert queue.statistics() == dict.fromkeys(queue.statistics(), 0)


def test_given_workers_when_they_are_stopped_and_replaced_then_each_item_is_begun_once_and_finished_once(
    stage: Stage, options: tuple[str, ...]
) -> None:
    # given
    work = Work(stage)
    swarm = Swarm(stage, 2, "--threads", "2", *options)
    swarm.start()
    swarm.start()
    # when
    for name, place in STOPS:
        work.add()
        worker = swarm.owner(work.who_begins(name, place))
        swarm.start()
        swarm.stop(worker)
    # and all of them at once
    work.add()
    work.who_begins("ordered", 20)
    swarm.stop(*swarm.workers)
    assert [queue.get_statistic("leased") for queue in work.queues] == [0, 0]
    swarm.wait_until_done(swarm.start("--drain"))
    # then
    wanted = Counter(number for numbers in work.numbers.values() for number in numbers)
    starts = stage.history.lines("start")
    assert Counter(line["number"] for line in starts) == wanted
    assert stage.history.times("end") == stage.history.times("finished", outcome="ok") == wanted
    assert stage.history.times("finished") == wanted
    assert {(line["run_count"], line["interruptions"]) for line in starts} == {(1, 0)}
    assert any(line["fence"] > 1 for line in starts), "nothing that was leased ahead was ever given back"
    ordered = set(work.numbers["ordered"])
    assert [line["number"] for line in starts if line["number"] in ordered] == work.numbers["ordered"]
    work.assert_all_gone()


def test_given_tasks_that_outlast_the_grace_when_their_worker_is_stopped_then_they_are_begun_again_as_if_never_before(
    stage: Stage, options: tuple[str, ...]
) -> None:
    # given: one task of each queue is in hand
    work = Work(stage)
    held = {2: work.queues[0], 12: work.queues[1]}
    ids: dict[int, int] = {}
    for number in (*range(1, 5), *range(11, 15)):
        queue = work.queues[number > 10]
        ids[number] = queue.enqueue(hold if number in held else record, str(stage.folder), number).id
    swarm = Swarm(stage, 1, "--threads", "2", *options)
    worker = swarm.start("--grace", "0")
    for number in held:
        stage.history.wait_for("start", number=number)
    # when
    swarm.stop(worker)
    heir = swarm.start("--drain")
    for number in held:
        stage.history.wait_for("start", number=number, count=2)
    stage.gate.let_through(len(held))
    swarm.wait_until_done(heir)
    # then
    starts = stage.history.lines("start")
    assert Counter(line["number"] for line in starts) == Counter([*ids, *held])
    assert stage.history.times("end") == stage.history.times("finished", outcome="ok") == Counter([*ids])
    assert stage.history.times("finished") == Counter([*ids])
    assert {(line["run_count"], line["interruptions"]) for line in starts} == {(1, 0)}
    for number, queue in held.items():
        assert [line["fence"] for line in starts if line["number"] == number] == [1, 3]
        assert queue.history_of(ids[number]) == []
    work.assert_all_gone()
