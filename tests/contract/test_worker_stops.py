"""How a worker ends: stopped, drained, or at a limit; and what it leaves behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from taskqueue import BatchQueue, QueueService, SpecError, TaskContext, Worker
from tests.contract.backends import once_per_database, only_servers, only_sql
from tests.contract.conftest import MakeQueue, MakeService
from tests.contract.tasks import fail, note, step, until
from tests.contract.workers import TIMEOUT, at_work, in_thread, wait_for, wait_for_threads
from tests.servers import Server


class Gate:
    """Holds a task back, and tells when it has begun."""

    def __init__(self, effects: list[Any]) -> None:
        self.begun, self.open = threading.Event(), threading.Event()
        self._effects = effects
        self._context: TaskContext | None = None

    @property
    def should_stop(self) -> bool:
        """Whether the task that is held sees that it should stop."""
        return self._context is not None and self._context.should_stop

    def task(self, ctx: TaskContext) -> None:
        self._context = ctx
        self.begun.set()
        self.open.wait(TIMEOUT)
        self._effects.append("held")


@pytest.fixture
def gate(effects: list[Any]) -> Iterator[Gate]:
    """A gate that is open in the end, whatever happens."""
    gate = Gate(effects)
    yield gate
    gate.open.set()
    wait_for_threads()


def fill(queue: BatchQueue, gate: Gate) -> None:
    """Some quick items, so that many are leased ahead; then one that is held; then more."""
    queue.create_items(step(lambda ctx: note(ctx, "before")) for _ in range(5))
    queue.create_item(step(gate.task))
    queue.create_items(step(lambda ctx: note(ctx, "after")) for _ in range(5))


def assert_as_if_never_claimed(queue: BatchQueue, number: int) -> None:
    counts = {"total": number, "ready": number, "blocked": 0, "leased": 0, "delayed": 0, "dead": 0}
    assert queue.statistics() == counts
    assert {(item.run_count, item.failures, item.interruptions) for item in queue.items()} == {(0, 0, 0)}


def test_stop_lets_the_item_in_hand_be_finished_and_gives_back_what_was_leased_ahead(
    service: QueueService, queue: BatchQueue, gate: Gate, effects: list[Any]
) -> None:
    # given
    fill(queue, gate)
    worker = Worker(service, [queue.name])
    with in_thread(worker.run) as report:
        assert gate.begun.wait(TIMEOUT)
        assert queue.get_statistic("leased") > 1
        # when
        worker.stop()
        wait_for(lambda: gate.should_stop, "the worker has noticed")
        gate.open.set()
        ended = report.result(TIMEOUT)
    # then
    assert (ended.executed, ended.ended_by) == (6, "stopped")
    assert effects == ["before"] * 5 + ["held"]
    assert_as_if_never_claimed(queue, 5)


@pytest.mark.parametrize("how", ["grace", "now"])
def test_what_is_not_finished_in_time_is_given_back_and_its_late_result_dropped(
    service: QueueService, queue: BatchQueue, gate: Gate, effects: list[Any], how: str
) -> None:
    # given
    fill(queue, gate)
    worker = Worker(service, [queue.name], grace=0.1 if how == "grace" else 600)
    with in_thread(worker.run) as report:
        assert gate.begun.wait(TIMEOUT)
        # when
        worker.stop(now=how == "now")
        ended = report.result(TIMEOUT)
    # then: the item in hand, and what was leased ahead
    assert ended.ended_by == "stopped"
    assert_as_if_never_claimed(queue, 6)
    # and when its task comes to its end after all
    gate.open.set()
    wait_for_threads()
    # then
    assert effects == ["before"] * 5 + ["held"]
    assert_as_if_never_claimed(queue, 6)


def test_an_item_that_was_given_back_belongs_to_its_next_holder(
    service: QueueService, queue: BatchQueue, gate: Gate
) -> None:
    # given
    queue.create_item(step(gate.task))
    worker = Worker(service, [queue.name], grace=0)
    with in_thread(worker.run) as report:
        assert gate.begun.wait(TIMEOUT)
        worker.stop()
        report.result(TIMEOUT)
    heir = queue.claim_item()
    assert heir is not None
    # when
    gate.open.set()
    wait_for_threads()
    # then
    assert heir.fence > 2 and queue.fetch_item(heir.id) == heir
    queue.delete_item(heir)


def test_a_task_sees_that_it_should_stop(service: QueueService, queue: BatchQueue, effects: list[Any]) -> None:
    # given
    begun = threading.Event()

    def listens(ctx: TaskContext) -> None:
        begun.set()
        while not ctx.should_stop:
            time.sleep(0.005)
        note(ctx, "listened")

    queue.create_item(step(listens))
    # when
    with at_work(service, queue.name):
        assert begun.wait(TIMEOUT)
    # then
    assert (effects, queue.number_of_items()) == (["listened"], 0)


def test_a_worker_that_was_stopped_before_it_began_does_nothing(
    service: QueueService, queue: BatchQueue, effects: list[Any]
) -> None:
    # given
    queue.enqueue(note, "x")
    worker = Worker(service, [queue.name])
    # when
    worker.stop()
    report = worker.run()
    # then
    assert (report.ended_by, report.executed, effects) == ("stopped", 0, [])
    assert_as_if_never_claimed(queue, 1)
    # and when it is used again
    assert Worker(service, [queue.name]).drain().executed == 1


def test_drain_waits_for_what_others_hold(
    service: QueueService, queue: BatchQueue, make_service: MakeService, other: BatchQueue, effects: list[Any]
) -> None:
    # given
    queue.enqueue(note, "theirs")
    theirs = other.claim_item(lease_time=1)
    assert theirs is not None
    # when
    report = Worker(service, [queue.name]).drain()
    # then
    assert (effects, report.ended_by, queue.number_of_items()) == (["theirs"], "drained", 0)


def test_drain_waits_for_retries(service: QueueService, make_queue: MakeQueue, effects: list[Any]) -> None:
    # given
    queue = make_queue("jobs", retry_limit=2, retry_interval=0.2, error="dead")
    queue.enqueue(fail)
    # when
    report = Worker(service, ["jobs"]).drain()
    # then
    assert (effects, report.executed) == (["attempt 1", "attempt 2", "attempt 3"], 3)
    assert queue.get_statistic("dead") == 1


def test_drain_does_not_wait_for_what_a_user_has_delayed(
    service: QueueService, queue: BatchQueue, effects: list[Any]
) -> None:
    # given
    queue.enqueue(note, "x")
    queue.enqueue(note, "later", delay=600)
    # when
    began = time.monotonic()
    Worker(service, [queue.name]).drain()
    # then
    assert (effects, queue.get_statistic("delayed")) == (["x"], 1)
    assert time.monotonic() - began < 5


def test_drain_does_not_wait_behind_a_head_that_a_user_has_delayed(
    service: QueueService, queue: BatchQueue, effects: list[Any]
) -> None:
    # given
    queue.enqueue(note, "x")
    queue.enqueue(note, "later", delay=600, weight=-1)
    # when
    Worker(service, [queue.name]).drain()
    # then
    assert effects == ([] if queue.is_sequential else ["x"])


def test_drain_of_nothing_ends_at_once(service: QueueService, queue: BatchQueue) -> None:
    assert Worker(service, [queue.name]).drain().ended_by == "drained"


def test_drain_ends_when_a_failure_aborts_the_queue(
    service: QueueService, make_queue: MakeQueue, effects: list[Any]
) -> None:
    # given
    queue = make_queue("jobs", error="abort")
    queue.enqueue(fail)
    queue.enqueue(note, "never")
    # when
    Worker(service, ["jobs"], prefetch=1).drain()
    # then
    assert (queue.status, effects, queue.get_statistic("leased")) == ("aborted", ["attempt 1"], 0)


@only_servers
def test_drain_does_not_take_a_database_that_is_away_for_an_empty_queue(
    queue: BatchQueue, make_service: MakeService, request: pytest.FixtureRequest, effects: list[Any]
) -> None:
    # given
    queue.enqueue(note, "x")
    kind = request.node.callspec.params["backend"].database
    server: Server = request.getfixturevalue(f"{kind}_server")
    worker = Worker(make_service(), [queue.name])
    service = worker._service
    service.database._patience = 0.2
    server.kill()
    # when
    try:
        with in_thread(worker.drain) as report:
            time.sleep(1.5)  # there is no sign of what must not happen
            assert not report.done(), report.result()
            server.start()
            # then
            assert report.result(TIMEOUT).executed == 1
    finally:
        server.start()
    assert effects == ["x"]


@pytest.mark.parametrize("threads", [1, 4])
def test_max_items(service: QueueService, queue: BatchQueue, effects: list[Any], threads: int) -> None:
    # given
    queue.create_items(step(lambda ctx: note(ctx, 1)) for _ in range(20))
    # when
    report = Worker(service, [queue.name], max_items=13, threads=threads).run()
    # then
    assert (report.executed, report.ended_by, effects) == (13, "spent", [1] * 13)
    assert_as_if_never_claimed(queue, 7)


def test_max_seconds(service: QueueService, queue: BatchQueue, effects: list[Any]) -> None:
    # given
    queue.create_items(step(lambda ctx: time.sleep(0.02)) for _ in range(100))
    # when
    began = time.monotonic()
    report = Worker(service, [queue.name], max_seconds=0.3).run()
    # then
    assert (report.ended_by, 0.3 <= time.monotonic() - began < 1.8) == ("spent", True)
    assert 1 <= report.executed <= 15
    assert_as_if_never_claimed(queue, 100 - report.executed)


def test_run_once(service: QueueService, queue: BatchQueue, effects: list[Any]) -> None:
    # given
    queue.enqueue(note, "first")
    queue.enqueue(note, "second")
    worker = Worker(service, [queue.name])
    # when
    assert worker.run_once()
    # then
    assert effects == ["first"]
    assert_as_if_never_claimed(queue, 1)
    assert (worker.run_once(), worker.run_once()) == (True, False)


@only_sql
def test_run_once_does_not_wait_for_what_others_hold(service: QueueService, queue: BatchQueue) -> None:
    # given
    queue.enqueue(note, "x")
    held = queue.claim_item()
    # when
    began = time.monotonic()
    assert not Worker(service, [queue.name]).run_once()
    # then
    assert held is not None and time.monotonic() - began < 5


@once_per_database
def test_two_workers_of_one_service(service: QueueService, make_queue: MakeQueue, effects: list[Any]) -> None:
    # given: the first to end must not take the other one's connections or bell away
    queue = make_queue("jobs")
    with at_work(service, "jobs"):
        Worker(service, ["jobs"]).drain()
        # when
        queue.enqueue(note, "x")
        # then
        wait_for(lambda: effects == ["x"], "the other one goes on")


@pytest.mark.parametrize(
    "wrong",
    [{"threads": 0}, {"threads": 1.5}, {"threads": None}, {"processes": 0}, {"prefetch": -1}, {"max_items": 0},
     {"grace": -1}, {"grace": float("nan")}, {"max_seconds": "x"}, {"max_memory": 0}, {"threads": True},
     {"queues": "jobs"}, {"queues": ["no such\nname"]}, {"queues": [1]}],
)  # fmt: skip
@once_per_database
def test_unusable_arguments_are_refused(service: QueueService, wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        Worker(service, **wrong)


def test_a_task_that_ends_because_it_was_told_to_stop_has_not_failed(service: QueueService, queue: BatchQueue) -> None:
    # given
    began = threading.Event()

    def work_on(ctx: TaskContext) -> None:
        began.set()
        assert until(lambda: ctx.should_stop, TIMEOUT)
        raise RuntimeError("half done")

    item = queue.create_item(step(work_on))
    # when
    with at_work(service, queue.name):
        assert began.wait(TIMEOUT)
    # then
    left = queue.fetch_item(item.id)
    assert left is not None and (left.failures, left.run_count, left.release_time) == (0, 0, None)
    assert (queue.status, queue.dead_items()) == ("active", [])
