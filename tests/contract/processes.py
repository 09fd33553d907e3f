"""What other processes do in these tests: all begin at once, from a barrier."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from threading import Barrier
from typing import Any

from taskqueue import QueueService, travel
from taskqueue.outcome import Outcome
from taskqueue.periodic import tick
from taskqueue.queues.sql_base import SqlBase
from taskqueue.queues.sql_parallel import SqlParallelQueue

PROCESSES = 4
_TIMEOUT = 60
_barriers: list[Barrier] = []


def keep_barrier(barrier: Barrier) -> None:
    """Called once in each process."""
    _barriers.append(barrier)


def in_each(pool: ProcessPoolExecutor, job: Any, *args: Any) -> list[Any]:
    """Run ``job`` in all processes at the same time; their answers."""
    futures = [pool.submit(job, *args) for _ in range(PROCESSES)]
    return [future.result(_TIMEOUT) for future in futures]


def drain_by_hand(url: str, name: str) -> list[int]:
    """Claim and delete until nothing is left; the ids that were won."""
    service = QueueService(url)
    queue = service.load(name)
    _barriers[0].wait(_TIMEOUT)
    won = []
    while queue.number_of_items():
        item = queue.claim_item()
        if item is not None:
            queue.delete_item(item)
            won.append(item.id)
    service.close()
    return won


def create(url: str, kind: str, name: str) -> str:
    """Register a queue, each process with options of its own, and add an item; the type that won."""
    service = QueueService(url)
    _barriers[0].wait(_TIMEOUT)
    queue = service.create(kind, name)
    queue.create_item("x")
    service.close()
    return queue.spec.type


def tick_and_die(url: str, seconds: float, *, inserted: bool) -> None:
    """Be killed while what is due is put on its queue: just before the item is, or after it and before the commit."""
    insert = SqlBase.insert_within

    def insert_and_die(*args: Any) -> Any:
        if inserted:
            insert(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    SqlBase.insert_within = insert_and_die  # type: ignore[method-assign]
    with travel(seconds):
        tick(QueueService(url))


def claim_and_die(url: str, name: str) -> None:
    """Be killed between the claim of an item with an order key and the look whether it is its turn."""

    def die(*args: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    SqlParallelQueue._in_turn = die  # type: ignore[method-assign]
    QueueService(url).load(name).claim_item()


def add_to_trends(url: str, names: list[str], rounds: int) -> None:
    """Count an attempt on each queue and store that, again and again: all at once, and each time in a new minute."""
    service = QueueService(url)
    service.database.ensure_schema()
    for number in range(rounds):
        _barriers[0].wait(_TIMEOUT)
        with travel(60 * number):
            for name in names if os.getpid() % 2 else reversed(names):
                service.database.trends.count(name, Outcome.OK, 0.003)
            service.database.trends.flush()
    service.close()
