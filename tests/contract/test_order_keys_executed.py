"""Runners and workers keep the order of a key: ahead, after failures, in batches, to the end."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from taskqueue import BatchQueue, Later, Outcome, QueueService, Runner, TaskContext, Worker, run_items, run_loop, travel
from taskqueue.execution.ahead import LeaseAhead
from taskqueue.execution.attempt import Execution
from taskqueue.execution.holding import Holding
from taskqueue.queues import settlement
from tests.contract import tasks
from tests.contract.backends import Backend, only_sql_parallel
from tests.contract.conftest import MakeQueue, MakeService
from tests.contract.test_order_keys import claim, waiting
from tests.contract.test_races import at_once

pytestmark = only_sql_parallel
OtherOf = Callable[[BatchQueue], BatchQueue]


def fill(queue: BatchQueue, *values: str) -> None:
    """Quick tasks; the first letter is the order key, a dot is none."""
    for value in values:
        queue.create_item(note(value), order_key=key_of(value))


def key_of(value: str) -> str | None:
    return None if value[0] == "." else value[0]


def note(value: str) -> Any:
    return tasks.step(lambda ctx: tasks.effects.append(value))


def fail_once(value: str) -> Any:
    """Fail the first time."""

    def work(ctx: TaskContext) -> bool:
        tasks.effects.append(value)
        return ctx.attempt > 1

    return tasks.step(work)


def test_what_is_leased_ahead_is_executed_in_order(queue: BatchQueue, effects: list[Any]) -> None:
    fill(queue, *(f"{key}{number:02}" for number in range(30) for key in "ab"))

    assert Runner(queue).run_all()
    assert effects == [f"{key}{number:02}" for number in range(30) for key in "ab"]


@pytest.mark.parametrize("retry_interval", [None, 60.0], ids=["at once", "after a pause"])
def test_what_was_leased_ahead_behind_a_failure_is_given_back(
    make_queue: MakeQueue, effects: list[Any], retry_interval: float | None
) -> None:
    queue = make_queue(retry_limit=1, retry_interval=retry_interval)
    fill(queue, ".1", ".2")
    queue.create_item(fail_once("a1"), order_key="a")
    fill(queue, "a2", ".3", "b1", "a3", "b2")

    result = Runner(queue).run_all(wait=0)

    if retry_interval is None:
        assert effects == [".1", ".2", "a1", "a1", "a2", ".3", "b1", "a3", "b2"]
        return
    assert effects == [".1", ".2", "a1", ".3", "b1", "b2"]
    assert result.number_of_items == 3
    assert [item.run_count for item in queue.items()] == [1, 0, 0]
    with travel(61):
        assert Runner(queue).run_all(wait=0)
    assert effects[6:] == ["a1", "a2", "a3"]


def test_a_task_that_asks_to_be_called_later_holds_its_followers(queue: BatchQueue, effects: list[Any]) -> None:
    def later(ctx: TaskContext) -> None:
        effects.append("a1")
        raise Later(60)

    fill(queue, ".1", ".2")
    queue.create_item(tasks.step(later), order_key="a")
    fill(queue, "a2", ".3")

    Runner(queue).run_all(wait=0)

    assert effects == [".1", ".2", "a1", ".3"]


def test_whoever_lost_an_item_gives_back_what_it_has_of_the_key(
    queue: BatchQueue, other: BatchQueue, effects: list[Any]
) -> None:
    def lose(ctx: TaskContext) -> None:
        stolen.append(other.steal_item())

    stolen: list[Any] = []
    fill(queue, ".1", ".2")
    queue.create_item(tasks.step(lose), order_key="a")
    fill(queue, "a2", ".3")

    Runner(queue).run_all(wait=0)

    assert effects == [".1", ".2", ".3"]
    other.delete_item(stolen[0])
    assert Runner(queue).run_all(wait=0)
    assert effects == [".1", ".2", ".3", "a2"]


def test_whoever_notices_that_an_item_was_taken_gives_back_what_it_has_of_the_key(
    queue: BatchQueue, other: BatchQueue
) -> None:
    for value in (".1", "a1", "a2", ".2"):
        queue.create_item(value, order_key=key_of(value))
    with Holding(queue) as holding:
        ahead = LeaseAhead(holding, expected=0.001)
        first = ahead.next()
        assert first is not None
        queue.delete_item(first)
        stolen = other.steal_item()
        assert stolen is not None
        assert stolen.data == "a1"
        holding._beat()

        found = ahead.next()

        assert found is not None
        assert found.data == ".2"
        assert queue.statistics()["leased"] == 2


def test_one_call_of_a_batch_handler_gets_one_of_a_key(
    make_service: MakeService, backend: Backend, effects: list[Any]
) -> None:
    service = make_service()
    service.handler("thumb", batch=True)(lambda contexts, data: effects.append(list(data)))
    queue = service.create(backend.type, "thumbs", payload="thumb", batch_limit=4)
    for value in ("a1", "b1", ".1", "a2", "a3", "b2", ".2"):
        queue.create_item(value, order_key=key_of(value))

    assert Runner(queue).run_all()
    assert effects == [["a1", "b1", ".1"], ["a2"], ["a3", "b2", ".2"]]


def test_items_claimed_by_hand_wait_for_one_that_comes_back(make_queue: MakeQueue, effects: list[Any]) -> None:
    queue = make_queue(batch_limit=10, retry_limit=1)
    queue.create_item(fail_once("a1"), order_key="a")
    fill(queue, "b1", "a2", "b2", ".1")

    attempts = run_items(queue, queue.claim_items(10))

    assert effects == ["a1", "b1", "b2", ".1"]
    assert [attempt.outcome for attempt in attempts] == [
        Outcome.RETRY, Outcome.OK, Outcome.RELINQUISH, Outcome.OK, Outcome.OK
    ]  # fmt: skip
    run_loop(queue)
    assert effects[4:] == ["a1", "a2"]


def test_runners_side_by_side_execute_one_of_a_key_at_a_time(
    make_queue: MakeQueue, other_of: OtherOf, effects: list[Any]
) -> None:
    queue = make_queue(retry_limit=5, error="delete")
    lock, inside, overlaps = threading.Lock(), Counter[str](), []

    def work(ctx: TaskContext, key: str, number: int) -> None:
        with lock:
            inside[key] += 1
            overlaps.extend([key] * (inside[key] > 1))
        with lock:
            inside[key] -= 1
            if ctx.attempt == 1 and number % 3 == 0:
                raise ValueError("no")
            effects.append((key, number))

    for number in range(12):
        for key in "abcd":
            step = tasks.step(lambda ctx, key=key, number=number: work(ctx, key, number))  # type: ignore[misc]
            queue.create_item(step, order_key=key)
    queues = [queue, *(other_of(queue) for _ in range(3))]

    results = at_once(4, lambda number: Runner(queues[number]).run_all())

    assert all(results)
    assert overlaps == []
    done = defaultdict(list)
    for key, number in effects:
        done[key].append(number)
    assert done == {key: list(range(12)) for key in "abcd"}


@pytest.mark.parametrize("grouped", [False, True])
def test_a_worker_drains_a_queue_of_keys(
    service: QueueService, make_queue: MakeQueue, effects: list[Any], grouped: bool
) -> None:
    queue = make_queue(retry_limit=1, retry_interval=0.05, error="delete")
    for number in range(4):
        queue.create_item(fail_once(f"a{number}"), order_key="a")
    fill(queue, *(f"{key}{number}" for number in range(10) for key in "bc."))

    report = Worker(service, [queue.name], threads=3, grouped=grouped).drain()

    assert report.ended_by == "drained"
    assert queue.number_of_items() == 0
    assert [value for value in effects if value[0] == "a"] == [f"a{number}" for number in range(4) for _ in range(2)]
    for key in "bc":
        assert [value for value in effects if value[0] == key] == [f"{key}{number}" for number in range(10)]


def test_a_group_does_not_keep_back_what_others_wait_for(queue: BatchQueue, other: BatchQueue) -> None:
    fill(queue, "a1", "a2", ".1", ".2")
    with Holding(queue) as holding:
        execution = Execution(holding, grouped=True)
        execution.run(holding.lease(1)[0])
        held = claim(other)
        assert held.order_key == "a"
        other.relinquish_items([held])
        execution.run(holding.lease(1)[0])
        execution.run(holding.lease(1)[0])
        assert queue.number_of_items() == 2  # those without a key may wait
        execution.flush()
    assert queue.number_of_items() == 1


def test_a_queue_is_not_drained_while_something_waits_for_its_turn(queue: BatchQueue, other: BatchQueue) -> None:
    fill(queue, "a1", "a2")
    held = claim(queue)
    assert other.claim_item() is None

    assert not other.is_drained()
    queue.settle([held], settlement.retry(30_000, "no"))
    assert other.claim_item() is None
    assert not other.is_drained()
    assert other.wait() is not None


def test_what_waits_for_an_item_that_a_user_delayed_is_delayed_by_the_user_too(queue: BatchQueue) -> None:
    queue.create_item("a1", order_key="a", delay=3600)
    fill(queue, "a2")
    assert not queue.is_drained()
    assert queue.claim_item() is None

    assert len(waiting(queue)) == 1
    assert queue.is_drained()
