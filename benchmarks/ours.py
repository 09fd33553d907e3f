"""Our side: what an application would write, on a service of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from taskqueue import BatchQueue, QueueService, Runner, Task
from taskqueue.queues.base import NewItem
from taskqueue.queues.sql_base import SqlBase

from . import work
from .floors import Floor
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


def bare_inserts(queue: BatchQueue, floor: Floor) -> list[Contestant]:
    """The very statement by which an item comes in, in a loop on the driver: with a text that is there already, and
    with the least that comes before it, a task that is packed. No product around that statement can be quicker."""
    assert isinstance(queue, SqlBase)
    seen, codec = _Seen(), queue.settings.codec
    for _ in range(2):  # where the first answer tells the time, the second statement is the usual one
        queue.rows.insert(seen, NewItem("", 0, ""), is_alone=True)  # type: ignore[arg-type]
    statement = queue.database.dialect.render(seen.statement)
    before, _here, after = codec.pack(Task(work.no_op, ("here",)), queue.name, "").partition('"here"')

    def text(number: int) -> str:
        return f"{before}{work.argument_text(number)}{after}"

    def packed(number: int) -> str:
        return codec.pack(Task(work.no_op, (work.argument(number),)), queue.name, "")

    def run(data: Callable[[int], str], count: int) -> None:
        for number in range(count):
            values = {**seen.values, "uid": os.urandom(16).hex(), "data": data(number)}
            if "moment" in values:
                values["moment"] = time.time_ns() // 1_000_000
            floor.cursor.execute(statement, values)
            if seen.brings_rows:
                floor.cursor.fetchall()

    stands = partial(_stands, queue)
    return [
        Contestant("our INSERT, bare", partial(run, text), stands),
        Contestant("our INSERT, packed", partial(run, packed), stands),
    ]


class _Seen:
    """In the place of a transaction: takes down what it is asked to execute."""

    can_tell = True

    def row(self, statement: str, **values: Any) -> tuple[int, int, int] | tuple[str]:
        self.statement, self.values, self.brings_rows = statement, values, True
        moment = time.time_ns() // 1_000_000
        return (f"1 {moment} 0",) if "CONCAT_WS" in statement else (1, moment, 0)

    def insert(self, statement: str, **values: Any) -> int:
        self.statement, self.values, self.brings_rows = statement, values, False
        return 1


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
