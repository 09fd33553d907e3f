"""What other threads and processes do in these tests: all begin at once, from a barrier."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from threading import Barrier
from typing import Any

from taskqueue import QueueService

THREADS, PROCESSES = 8, 4
TIMEOUT = 60
Job = Callable[[str, int], Any]
_barriers: list[Any] = []


def in_threads(job: Job, url: str) -> list[Any]:
    """Run ``job(url, number)`` in eight threads at once; their answers."""
    keep_barrier(Barrier(THREADS))
    with ThreadPoolExecutor(THREADS) as pool:
        return [future.result(TIMEOUT) for future in [pool.submit(job, url, number) for number in range(THREADS)]]


def in_processes(job: Job, url: str) -> list[Any]:
    """Run ``job(url, number)`` in four new processes at once; their answers."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        barrier = manager.Barrier(PROCESSES)
        with ProcessPoolExecutor(PROCESSES, context, keep_barrier, (barrier,)) as pool:
            futures = [pool.submit(job, url, number) for number in range(PROCESSES)]
            return [future.result(TIMEOUT) for future in futures]


def keep_barrier(barrier: Any) -> None:
    """Called once in each process."""
    _barriers[:] = [barrier]


def use_first(url: str, number: int) -> int:
    """Be among the first to use a database: create what is missing, and add a queue and an item."""
    service = QueueService(url)
    _barriers[0].wait(TIMEOUT)
    service.create("SqlParallel", "shared").create_item(number)
    service.close()
    return number


def write_often(url: str, number: int) -> int:
    """Add, claim and finish items while all others do the same; how many were finished."""
    service = QueueService(url)
    queue = service.create("SqlParallel", "shared")
    _barriers[0].wait(TIMEOUT)
    finished = 0
    for _ in range(15):
        queue.create_item(number)
        item = queue.claim_item()
        if item is not None:
            queue.delete_item(item)
            finished += 1
    service.close()
    return finished
