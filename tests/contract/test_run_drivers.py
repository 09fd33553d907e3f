"""Two drivers of one run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from taskqueue import BatchQueue, Runner, RunResult
from taskqueue.storage import runs
from taskqueue.storage.transaction import Transaction
from tests.contract import tasks
from tests.contract.backends import only_sql, only_sql_parallel
from tests.contract.conftest import MakeQueue
from tests.contract.records import counted, counters, run_of, runs_of


def in_two_threads(first: Callable[[], RunResult], second: Callable[[], RunResult]) -> list[RunResult]:
    results: dict[int, RunResult] = {}

    def keep(number: int, work: Callable[[], RunResult]) -> None:
        results[number] = work()

    threads = [threading.Thread(target=keep, args=(number, work)) for number, work in enumerate((first, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [results[0], results[1]]


@only_sql_parallel
def test_two_drivers_of_one_queue_count_each_item_once(make_queue: MakeQueue, other_of: Any) -> None:
    queue = make_queue(error="delete")
    both = threading.Barrier(2, timeout=30)
    for _ in range(2):
        queue.create_item(tasks.step(lambda ctx: both.wait() >= 0))
    for number in range(120):
        queue.enqueue(tasks.fail if number % 4 == 0 else tasks.note)
    other = other_of(queue)

    def join_in() -> RunResult:
        assert tasks.until(lambda: queue.get_statistic("leased") == 1)
        return Runner(other).run_all()

    results = in_two_threads(Runner(queue).run_all, join_in)

    assert [bool(result) for result in results] == [True, True], results
    assert sum(result.completed for result in results) == 92
    assert counters(run_of(queue)) == counted(122, done=92, failed=30)


@only_sql_parallel
def test_a_driver_that_waits_for_the_last_item_of_another_ends_well(queue: BatchQueue, other: BatchQueue) -> None:
    second_waits = threading.Event()
    queue.create_item(tasks.step(lambda ctx: second_waits.wait(30)))
    runner = Runner(other)

    def wait_beside_it() -> RunResult:
        assert tasks.until(lambda: queue.get_statistic("leased") == 1)
        return runner.run_all(progress=lambda seen: second_waits.set() if seen.waiting else None)

    results = in_two_threads(Runner(queue).run_all, wait_beside_it)

    assert [(bool(result), result.exception) for result in results] == [(True, None), (True, None)]
    assert counters(run_of(queue)) == counted(1, done=1)


@only_sql
def test_two_commands_that_begin_at_the_same_moment_are_one_run(
    queue: BatchQueue, other: BatchQueue, effects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    both, of_queue = threading.Barrier(2, timeout=1), runs.of_queue

    def look_together(tx: Transaction, name: str, **options: Any) -> Any:
        found = of_queue(tx, name, **options)
        with suppress(threading.BrokenBarrierError):  # then the other one may not even look before we are through
            both.wait()
        return found

    take_slot, drivers = runs.take_slot, set[str]()

    def take(tx: Transaction, run_id: str, driver: str, *rest: Any, **options: Any) -> Any:
        drivers.add(driver)
        return take_slot(tx, run_id, driver, *rest, **options)

    monkeypatch.setattr(runs, "of_queue", look_together)
    monkeypatch.setattr(runs, "take_slot", take)
    # The run must not be at its end before the other one has joined it: else that begins a run of its own.
    queue.create_item(tasks.step(lambda ctx: (tasks.effects.append("x"), tasks.until(lambda: len(drivers) == 2))))

    in_two_threads(Runner(queue, on_end=tasks.finish).run_all, Runner(other, on_end=tasks.finish).run_all)

    assert effects.count("x") == 1
    assert effects.count("the end of jobs") == 1
    assert len(runs_of(queue)) == 1
