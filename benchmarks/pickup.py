"""How soon an idle worker picks an item up, and what its waiting costs: ``python -m benchmarks.pickup``.

A worker with default settings waits; items come one at a time, with pauses in between that no interval of its own
divides. *Same process*: the worker is a thread of the process that enqueues. *Other process*: it is not, and both
read the same monotonic clock. *Pickup* is from the return of ``enqueue()``, when the item is committed and there for
anybody, to the first line of the task; *in all* is from the call of ``enqueue()``, whose durable commit is part of it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, NamedTuple

from taskqueue import QueueService, TaskContext, Worker
from taskqueue.queues.batch import BatchQueue

from .servers import DATABASES, running

_forked = multiprocessing.get_context("fork")
#: Goals (milliseconds), as the project has set them itself.
_GOALS = {"postgresql": (2.5, 2.5), "mariadb": (2.5, 15.0), "sqlite": (2.5, 15.0)}
_tell: Callable[[float], Any] = print


def note(ctx: TaskContext) -> None:
    """The task: says when it got here."""
    _tell(time.monotonic())


class Turn(NamedTuple):
    """Milliseconds from the return of ``enqueue()`` to the task, and from its call."""

    pickup: float
    in_all: float


@dataclass(frozen=True)
class Figures:
    """What was measured of one database; ``idle`` is the share of a core that the waiting worker uses."""

    same: list[Turn]
    other: list[Turn]
    idle: float


def main(given: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pickup", description=__doc__)
    parser.add_argument("--databases", default=",".join(DATABASES), metavar="NAME,…")
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--idle-seconds", type=float, default=10.0)
    options = parser.parse_args(given)
    print("| database | same process: pickup, ms | p90 | in all | other process: pickup, ms | p90 | in all | goals "
          "| idle worker, % of a core |")  # fmt: skip
    print("| --- | --: | --: | --: | --: | --: | --: | --: | --: |")
    for database in options.databases.split(","):
        with running(database) as home:
            found = _measure(home.fresh(), options.items, options.idle_seconds)
        goals = " / ".join(f"{goal:g}" for goal in _GOALS[database])
        cells = [cell for turns in (found.same, found.other) for cell in _cells(turns)]
        print(f"| {database} | {' | '.join(cells)} | {goals} | {found.idle * 100:.1f} |", flush=True)
    return 0


def _cells(turns: list[Turn]) -> list[str]:
    pickups = sorted(turn.pickup for turn in turns)
    figures = median(pickups), pickups[int(0.9 * len(pickups))], median(turn.in_all for turn in turns)
    return [f"{figure:.1f}" for figure in figures]


def _measure(url: str, items: int, seconds: float) -> Figures:
    service = QueueService(url)
    queue = service.create("SqlParallel", "pickup", agent="server", error="dead", reset=True)
    try:
        with _in_process(service) as ask:
            same = _turns(queue, items, ask)
        with _beside(url) as (ask, process):
            other = _turns(queue, items, ask)
            idle = _cpu_share(process.pid or 0, seconds)
    finally:
        service.close()
    return Figures(same, other, idle)


def _turns(queue: BatchQueue, items: int, ask: Callable[[], float]) -> list[Turn]:
    found = []
    for _number in range(items):
        time.sleep(random.uniform(0.05, 0.1))
        called = time.monotonic()
        queue.enqueue(note)
        returned = time.monotonic()
        begun = ask()
        # A listener may be told before the answer to the commit has arrived here.
        found.append(Turn(1000 * max(begun - returned, 0.0), 1000 * (begun - called)))
    return found


@contextmanager
def _in_process(service: QueueService) -> Iterator[Callable[[], float]]:
    global _tell
    reading, writing = _forked.Pipe(duplex=False)
    _tell = writing.send
    worker = Worker(service)
    thread = threading.Thread(target=worker.run)
    thread.start()
    time.sleep(1.5)
    yield _receiver(reading)
    worker.stop()
    thread.join()


@contextmanager
def _beside(url: str) -> Iterator[tuple[Callable[[], float], Any]]:
    reading, writing = _forked.Pipe(duplex=False)
    process = _forked.Process(target=_serve, args=(url, writing))
    process.start()
    time.sleep(1.5)
    yield _receiver(reading), process
    process.terminate()
    process.join()


def _serve(url: str, writing: Connection) -> None:
    global _tell
    _tell = writing.send
    service = QueueService(url, allow=[__name__, "__main__"])
    Worker(service).run()


def _receiver(reading: Connection) -> Callable[[], float]:
    def receive() -> float:
        if not reading.poll(30):
            raise SystemExit("no worker has picked the item up")
        return float(reading.recv())

    return receive


def _cpu_share(pid: int, seconds: float) -> float:
    time.sleep(1.0)
    before = _cpu(pid)
    time.sleep(seconds)
    return (_cpu(pid) - before) / seconds


def _cpu(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    raise SystemExit(main())
