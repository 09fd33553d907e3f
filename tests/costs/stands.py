"""Queues that differ in nothing but what stands in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from taskqueue import QueueService, Task
from taskqueue.queues.sql_base import SqlBase
from tests.costs.examined import Examined
from tests.costs.tasks import nothing

FEW, MANY, HIDDEN = 200, 20_000, 5_000
#: The most that a step for ten items may let a database go through, and by how much two of the same kind may differ.
MOST = {"sqlite": 2_000, "mysql": 120, "postgresql": 60}
SLACK = {"sqlite": 100, "mysql": 5, "postgresql": 5}
_FOR_EVER = 10 * 86_400


class Stand(NamedTuple):
    """A queue's type, its ready items, and what stands before them that nobody can claim."""

    type_name: str
    ready: int
    hidden: str = ""

    def __str__(self) -> str:
        return f"{self.type_name}-{self.ready}{'-behind-' * bool(self.hidden)}{self.hidden}"


#: In a sequential queue whatever is leased or delayed at the head blocks all others.
BIG_ONES = [
    Stand("Sql", MANY), Stand("SqlParallel", MANY), Stand("SqlParallel", FEW, "leased"),
    Stand("SqlParallel", FEW, "delayed"),
]  # fmt: skip


@dataclass
class Stands:
    """Those queues, in one database."""

    service: QueueService
    examined: Examined
    queues: dict[Stand, SqlBase]

    def small(self, stand: Stand) -> SqlBase:
        """The queue of the same type in which not much stands."""
        return self.queues[Stand(stand.type_name, FEW)]

    def most(self, few: int) -> int:
        """So much may be examined for a look, however much stands there, if it is ``few`` where there is little."""
        dialect = self.service.database.dialect.name
        return max(few, MOST[dialect]) + SLACK[dialect]


def fill(service: QueueService) -> Stands:
    """Make them."""
    small = [Stand(type_name, FEW) for type_name in ("Sql", "SqlParallel")]
    return Stands(service, Examined(service), {stand: _queue(service, stand) for stand in [*small, *BIG_ONES]})


def _queue(service: QueueService, stand: Stand) -> SqlBase:
    queue = service.create(stand.type_name, str(stand).lower())
    assert isinstance(queue, SqlBase)
    if stand.hidden:
        queue.create_items((Task(nothing) for _ in range(HIDDEN)), weight=-1)
        while items := queue.lease(500, _FOR_EVER * 1000):
            if stand.hidden == "delayed":
                queue.release_items(items, delay=_FOR_EVER)
    queue.create_items(Task(nothing) for _ in range(stand.ready))
    return queue
