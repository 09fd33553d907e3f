"""Workers in threads of the test, and what tests wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from taskqueue import BatchQueue, QueueService, Worker, WorkerReport
from taskqueue.worker import roster
from tests.contract.tasks import until

TIMEOUT = 20.0


@contextmanager
def at_work(service: QueueService, *names: str, **options: Any) -> Iterator[Worker]:
    """A worker that serves the queues (none: all with ``agent="server"``) as long as the context is open."""
    worker = Worker(service, names or None, **options)
    with in_thread(worker.run) as report:
        try:
            yield worker
        finally:
            worker.stop()
            report.result(TIMEOUT)


@contextmanager
def in_thread(function: Callable[[], WorkerReport]) -> Iterator[Future[WorkerReport]]:
    """Calls ``function`` in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(function)


def wait_for(condition: Callable[[], Any], what: str) -> None:
    """Wait for what a worker brings about."""
    assert until(lambda: bool(condition()), TIMEOUT), f"did not happen within {TIMEOUT:g} s: {what}"


def wait_for_threads() -> None:
    """Wait until the threads of workers that have ended, too, are through with their tasks."""
    for thread in threading.enumerate():
        if thread.name.startswith(("taskqueue-worker", "taskqueue-heartbeat", "taskqueue-lookout")):
            thread.join(TIMEOUT)


def fences(queue: BatchQueue) -> list[int]:
    """The fences of what stands in a queue, in its order."""
    return [item.fence for item in queue.items()]


def is_served(service: QueueService, name: str) -> bool:
    """Whether a worker says that it serves that queue."""
    return any(name in info.queues for info in roster.workers(service))
