"""What a claim costs by what stands in the queue: a backlog, or a head of leased or delayed items before it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median

from taskqueue import BatchQueue, QueueService, Task
from taskqueue.queues.settlement import DONE
from taskqueue.queues.sql_base import SqlBase

from . import work
from .load import Load
from .measure import Say
from .ours import SQL_TYPES, bulk, number_of
from .servers import Home

_BATCH = 10
_LEASE_MS = 30_000
_FOR_EVER = 10 * 86_400
#: So many claims in a row, then the next queue has its turn and the claimed items are replaced.
_TURN = 25


@dataclass(frozen=True)
class Shape:
    """What stands in a queue."""

    ready: int
    #: Items before the ready ones that nobody can claim, and why.
    hidden: int = 0
    state: str = ""

    def __str__(self) -> str:
        before = f" behind {self.hidden:,} {self.state}" if self.hidden else ""
        return f"{self.ready:,}{before}"


@dataclass
class ClaimFigures:
    """Milliseconds (medians of each round) of ``lease(10)`` and of finishing those ten."""

    database: str
    type: str
    shape: str
    lease: list[float] = field(default_factory=list)
    settle: list[float] = field(default_factory=list)
    foreign: list[float | None] = field(default_factory=list)

    @property
    def both(self) -> list[float]:
        """Claiming and finishing together."""
        return [lease + settle for lease, settle in zip(self.lease, self.settle, strict=True)]


def shapes(type_: str, backlogs: Sequence[int], hidden: int) -> list[Shape]:
    """A hidden head blocks a sequential queue by design, so that only a parallel one has to pass it."""
    plain = [Shape(ready) for ready in backlogs]
    if type_ == "Sql":
        return plain
    return [*plain, Shape(backlogs[0], hidden, "leased"), Shape(backlogs[0], hidden, "delayed")]


def measure(
    home: Home, backlogs: Sequence[int], hidden: int, *, turns: int, rounds: int, say: Say
) -> list[ClaimFigures]:
    """All shapes of both SQL types on one database, in turn; each has tables of its own."""
    with ExitStack() as stack:
        fields = []
        for type_ in SQL_TYPES:
            for shape in shapes(type_, backlogs, hidden):
                say(f"{home.name} claim: filling {type_} with {shape}")
                fields.append(stack.enter_context(_open(home, type_, shape)))
        for one in fields:
            one.turn(record=False)
        for number in range(rounds):
            load = Load()
            for turn in range(turns):
                first = (number + turn) % len(fields)
                for one in [*fields[first:], *fields[:first]]:
                    one.turn(record=True)
            foreign = load.foreign()
            for one in fields:
                one.close_round(foreign)
            say(f"{home.name} claim, round {number + 1} of {rounds}")
        for one in fields:
            one.check()
        return [one.figures for one in fields]


@contextmanager
def _open(home: Home, type_: str, shape: Shape) -> Iterator[_Field]:
    service = QueueService(home.fresh())
    try:
        yield _Field(home.name, service.create(type_, "bench"), shape)
    finally:
        service.close()


class _Field:
    """One queue, and what was claimed from it."""

    def __init__(self, database: str, queue: BatchQueue, shape: Shape) -> None:
        self.figures = ClaimFigures(database, queue.spec.type, str(shape))
        self._queue, self._shape = queue, shape
        self._lease: list[float] = []
        self._settle: list[float] = []
        self._claimed = 0
        self._added = shape.ready
        if shape.hidden:
            self._hide(shape)
        bulk(queue, shape.ready)

    def _hide(self, shape: Shape) -> None:
        self._queue.create_items((Task(work.no_op, (work.argument(0),)) for _ in range(shape.hidden)), weight=-1)
        while items := self._queue.lease(500, _FOR_EVER * 1000):
            if shape.state == "delayed":
                self._queue.release_items(items, delay=_FOR_EVER)
        if self.figures.database == "postgresql":
            # As autovacuum does within a minute: until then a claim steps over 200,000 dead entries of its index.
            assert isinstance(self._queue, SqlBase)
            self._queue.database.statement(lambda tx: tx.change("VACUUM {item}"))

    def turn(self, *, record: bool) -> None:
        """Claim and finish some items, then put as many in at the end."""
        for _ in range(_TURN):
            began = time.perf_counter()
            items = self._queue.lease(_BATCH, _LEASE_MS)
            leased = time.perf_counter()
            lost = self._queue.settle(items, DONE)
            settled = time.perf_counter()
            if record:
                self._lease.append((leased - began) * 1000)
                self._settle.append((settled - leased) * 1000)
            numbers = [number_of(item.data) for item in items]
            if lost or numbers != list(range(self._claimed, self._claimed + _BATCH)):
                raise work.Wrong(f"{self.figures}: claimed {numbers}, lost {lost}")
            self._claimed += _BATCH
        bulk(self._queue, _TURN * _BATCH, self._added)
        self._added += _TURN * _BATCH

    def close_round(self, foreign: float | None) -> None:
        """Keep the medians."""
        self.figures.lease.append(median(self._lease))
        self.figures.settle.append(median(self._settle))
        self.figures.foreign.append(foreign)
        self._lease.clear()
        self._settle.clear()

    def check(self) -> None:
        """What was put in and not claimed still stands there."""
        stands = self._queue.number_of_items()
        if stands != self._shape.hidden + self._added - self._claimed:
            raise work.Wrong(f"{self.figures}: {stands} items stand there")
