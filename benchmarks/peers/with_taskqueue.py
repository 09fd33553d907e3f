"""Ours: ``run_all`` on a sequential queue, and ``taskqueue work`` on a parallel one."""

from __future__ import annotations

import os
from typing import Any

from taskqueue import QueueService, Runner, Task, TaskContext

from .contestant import url
from .witness import argument, mark


def run(ctx: TaskContext, given: dict[str, Any]) -> None:
    """The task."""
    mark(given)


def produce(count: int, bulk: bool) -> None:
    """Put tasks in."""
    service = QueueService(url())
    queue = service.create(os.environ.get("BENCH_TYPE", "SqlParallel"), "bench", reset=False)
    tasks = (Task(run, (argument(number),)) for number in range(count))
    if bulk:
        queue.create_items(tasks)
    else:
        for task in tasks:
            queue.create_item(task)
    service.close()


if __name__ == "__main__":
    service = QueueService(url(), allow=["benchmarks"])
    Runner(service.load("bench")).run_all()
    service.close()
