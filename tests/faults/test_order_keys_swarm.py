"""Workers share queues of order keys, tasks fail at random, a worker is killed with -9: each key keeps its order."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import pytest

from taskqueue import Task
from tests.faults.history import Line, wait_until
from tests.faults.stage import Stage
from tests.faults.tasks import stagger
from tests.servers import ALL_DATABASES

pytestmark = [pytest.mark.chaos, pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)]
KEYS, ITEMS = 20, 30


def test_given_workers_on_order_keys_when_one_is_killed_then_each_key_is_executed_in_order(stage: Stage) -> None:
    # given
    queue = stage.create("SqlParallel", agent="server", error="dead", retry_limit=50, retry_interval=0.02)
    numbers = [key * 1000 + item for item in range(ITEMS) for key in range(KEYS)]
    for number in numbers:
        queue.create_item(Task(stagger, [str(stage.folder), number]), order_key=f"key {number // 1000}")
    # With longer leases than elsewhere: a busy machine must not make a zombie of a worker, which may overlap.
    workers = [stage.start("work", threads=2, settings={"lease_slice": 4.0}) for _ in range(3)]
    # when
    left_then = random.randrange(KEYS * ITEMS // 2, KEYS * (ITEMS - 1))
    wait_until(lambda: queue.number_of_items() <= left_then, "they work", stage.history.tail)
    killed = workers[0].process.pid
    workers[0].kill()
    for left in range(KEYS * ITEMS, -1, -100):
        wait_until(lambda: queue.number_of_items() <= left, f"{left} are left", stage.history.tail)  # noqa: B023
    for worker in workers[1:]:
        worker.end()
    # then
    done: dict[int, list[int]] = defaultdict(list)
    for number in stage.history.numbers("end"):
        if number not in done[number // 1000]:
            done[number // 1000].append(number)
    assert dict(done) == {key: [key * 1000 + item for item in range(ITEMS)] for key in range(KEYS)}
    assert overlaps(stage.history.lines(), killed) == []
    assert queue.statistics() == dict.fromkeys(queue.statistics(), 0)


def overlaps(lines: list[Line], killed: Any) -> list[tuple[Line, Line]]:
    """Pairs of attempts of one key that went on at the same time; those of a killed process ended with it."""
    going_on: dict[int, Line] = {}
    found = []
    for line in lines:
        if line["kind"] not in ("start", "end", "stumbled"):
            continue
        key = line["number"] // 1000
        other = going_on.pop(key, None)
        if line["kind"] == "start":
            going_on[key] = line
            if other is not None and other["pid"] != killed:
                found.append((other, line))
    return found
