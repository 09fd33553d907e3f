"""The queues of a soak, and the producers that keep them full until they are told to end, or killed."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy.exc import DBAPIError

from taskqueue import BatchQueue, QueueService, Task, TaskQueueError
from tests.faults import tasks
from tests.faults.history import History


class Kind(NamedTuple):
    """One of the queues."""

    type: str
    callback: Callable[..., Any]
    #: So many are sent at a time; in sequential queues in one transaction, with weights that are mixed within it.
    batch: int
    #: Whether a task just ends, without an effect in its own transaction.
    is_plain: bool = False


QUEUES = {
    "plain": Kind("SqlParallel", tasks.record, 200, is_plain=True),
    "exact": Kind("SqlParallel", tasks.effect_in_order, 40),
    "first": Kind("Sql", tasks.effect_in_order, 5),
    "second": Kind("Sql", tasks.effect_in_order, 5),
}
SEQUENTIAL = tuple(name for name, kind in QUEUES.items() if kind.type == "Sql")
PARALLEL = tuple(name for name, kind in QUEUES.items() if kind.type != "Sql")
#: One task of so many takes so long (seconds) that who sleeps in the middle of it finds its heir still at work.
LONG_EVERY, FIRST_LONG, LONG = 997, 20, (1.0, 2.0)
#: Weights grow from batch to batch, by so much.
_WEIGHTS = 8


def is_long(number: int) -> bool:
    """Whether the task of this number takes long."""
    return number % LONG_EVERY == FIRST_LONG


def supply(
    service: QueueService, history: History, names: list[str], first: int, most: int, pause: float, end: Path
) -> None:
    """Send a batch to each of these queues, again and again, with numbers from ``first`` on.

    Not while one of them has ``most`` items or more, and with so many seconds in between; goes on until there is a file
    ``end``. What was sent when the database went away is not sent again: it may be there.
    """
    queues = [service.load(name) for name in names]
    numbers = count(first)
    while not end.exists():
        if any(queue.number_of_items() >= most for queue in queues):
            threading.Event().wait(0.02)
            continue
        for queue in queues:
            kind = QUEUES[queue.name]
            batch = [next(numbers) for _ in range(kind.batch)]
            history.write("sent", number=batch[0], count=len(batch), queue=queue.name, plain=kind.is_plain)
            try:
                _send(service, queue, kind, batch, history.path.parent)
            except (TaskQueueError, DBAPIError) as error:
                history.write("not_acknowledged", number=batch[0], error=type(error).__name__)
            else:
                history.write("acknowledged", number=batch[0], count=len(batch))
        threading.Event().wait(pause)


def _send(service: QueueService, queue: BatchQueue, kind: Kind, numbers: list[int], folder: Path) -> None:
    made = list(_tasks(kind, numbers, folder))
    if kind.type != "Sql":
        queue.create_items(made)
        return
    # In the transaction of the application: nobody sees some of them without the others.
    with service.engine.begin() as connection:
        for task in made:
            weight = numbers[0] // kind.batch * _WEIGHTS + random.randrange(_WEIGHTS)
            queue.create_item(task, weight=weight, session=connection)


def _tasks(kind: Kind, numbers: list[int], folder: Path) -> Iterator[Task]:
    for number in numbers:
        seconds = random.uniform(*LONG) if is_long(number) else 0
        yield Task(kind.callback, [str(folder), number, seconds])
