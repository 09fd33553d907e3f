"""What other processes do in these tests: all begin at once, from a barrier."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from threading import Barrier
from typing import Any

from taskqueue import QueueService

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
