"""Our side: what an application would write, on a service of its own."""

from __future__ import annotations

from functools import partial

from taskqueue import BatchQueue, QueueService, Runner, Task

from . import work
from .measure import Contestant

SQL_TYPES = ("Sql", "SqlParallel")


def contestants(service: QueueService, type_: str) -> dict[str, Contestant]:
    """One type of queue in each benchmark."""
    queue = service.create(type_, f"bench-{type_}")
    stands, ran = partial(_stands, queue), partial(_ran, queue)
    return {
        "enqueue": Contestant(type_, partial(_enqueue, queue), stands),
        "bulk": Contestant(type_, partial(bulk, queue), stands),
        "run_all": Contestant(type_, partial(_run_all, queue), ran, partial(_fill, queue)),
    }


def bulk(queue: BatchQueue, count: int, first: int = 0) -> None:
    """Put ``count`` tasks in, from a generator."""
    queue.create_items(Task(work.no_op, (work.argument(number),)) for number in range(first, first + count))


def number_of(task: Task) -> int:
    """Which one a task is."""
    return int(task.args[0]["n"]) - int(work.argument(0)["n"])


def _enqueue(queue: BatchQueue, count: int) -> None:
    for number in range(count):
        queue.enqueue(work.no_op, work.argument(number))


def _run_all(queue: BatchQueue, count: int) -> None:
    result = Runner(queue).run_all()
    if not result or result.completed != count:
        raise work.Wrong(f"{queue.name}: the run says {result}")


def _fill(queue: BatchQueue, count: int) -> None:
    bulk(queue, count)
    work.expect(count)


def _stands(queue: BatchQueue, count: int) -> None:
    work.verify_stands(queue.name, (number_of(item.data) for item in queue.items()), count)
    if queue.reset() != count:
        raise work.Wrong(f"{queue.name}: reset() found another number of items than {count}")


def _ran(queue: BatchQueue, count: int) -> None:
    work.verify_ran(queue.name)
    _stands(queue, 0)
