"""The course of a soak: queues full of tasks, workers that are killed and put to sleep, and what is left in the end."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from itertools import count

from sqlalchemy import text

from taskqueue import Task
from tests.faults import tasks
from tests.faults.child import LEASE
from tests.faults.in_hand import InHand
from tests.faults.stage import Child, Stage

WORKERS = 4
#: Seconds between two kills, and for how long a worker stands still: beyond its lease; in the middle of a long task
#: until somebody else has begun that, too, but at most so long.
PAUSE, SLEEP, LONGEST_SLEEP = 1.0, LEASE + 0.6, LEASE + 4.0
#: So often (seconds) it is looked what has happened.
TICK = 0.02
#: So many items are added when fewer are left.
MORE = 1000
#: In each queue one task of so many, the first one soon, takes so long (seconds) that who sleeps in the middle of it
#: finds its heir still at work.
LONG_EVERY, FIRST_LONG, LONG = 700, 50, (1.0, 2.0)
#: Queue -> (type, task, share of all items).
QUEUES = {
    "plain": ("SqlParallel", tasks.record, 0.4),
    "exact": ("SqlParallel", tasks.effect_in_order, 0.3),
    "first": ("Sql", tasks.effect_in_order, 0.15),
    "second": ("Sql", tasks.effect_in_order, 0.15),
}


@dataclass(frozen=True)
class Sleeper:
    """A worker that stands still, and since when."""

    worker: Child
    since: float


class Soak:
    """One soak on the database of a stage."""

    def __init__(self, stage: Stage, dice: random.Random) -> None:
        self._stage = stage
        self._dice = dice
        self._numbers = count(1)
        #: The numbers of the tasks in each queue, in its order; and of those that take long.
        self.numbers: dict[str, list[int]] = {}
        self.long: set[int] = set()
        self._in_hand = InHand(stage.history, self.long)
        #: How often a worker was killed, was put to sleep, and woke up in a task that somebody else had begun, too.
        self.kills = self.sleeps = self.heirs = 0

    def create(self) -> None:
        """Create the queues, and the table for the effects of their tasks."""
        with self._stage.service.engine.begin() as connection:
            connection.execute(text(tasks.ORDERED_EFFECTS))
        for name, (type, _callback, _share) in QUEUES.items():
            self._stage.service.create(type, name, agent="server", error="dead")
            self.numbers[name] = []

    def fill(self, items: int) -> None:
        """Add so many items in all."""
        for name, (_type, callback, share) in QUEUES.items():
            numbers = [next(self._numbers) for _ in range(round(items * share))]
            self.numbers[name] += numbers
            self.long.update(self.numbers[name][FIRST_LONG::LONG_EVERY])
            self._stage.service.load(name).create_items(Task(callback, self._arguments(number)) for number in numbers)

    def _arguments(self, number: int) -> tuple[str, int, float]:
        return str(self._stage.folder), number, self._dice.uniform(*LONG) if number in self.long else 0

    def disturb(self, seconds: float) -> list[Child]:
        """Let workers work, and kill one and put another one to sleep every second; those that are left."""
        workers = [self._stage.start("work") for _ in range(WORKERS)]
        self._stage.history.wait_for("serving", count=WORKERS)
        asleep: Sleeper | None = None
        end = time.monotonic() + seconds
        kill = self._next_kill()
        while time.monotonic() < end:
            time.sleep(TICK)
            self._in_hand.look()
            if time.monotonic() >= kill:
                self._kill_one(workers, spared=asleep)
                asleep = asleep or self._put_to_sleep(workers)
                kill = self._next_kill()
                if self.left() < MORE:
                    self.fill(MORE)  # on a fast machine
            if asleep is not None and self._has_slept_long_enough(asleep):
                self._wake(asleep)
                asleep = None
        if asleep is not None:
            self._wake(asleep)
        return workers

    def _next_kill(self) -> float:
        return time.monotonic() + PAUSE * self._dice.uniform(0.5, 1.5)

    def _kill_one(self, workers: list[Child], spared: Sleeper | None) -> None:
        victim = self._dice.choice([worker for worker in workers if spared is None or worker is not spared.worker])
        victim.kill()
        self.kills += 1
        self._in_hand.look()  # at its last line
        self._in_hand.forget(victim.pid)
        workers[workers.index(victim)] = self._stage.start("work")

    def _put_to_sleep(self, workers: list[Child]) -> Sleeper:
        """One that has a long task in hand, if any has."""
        busy = [worker for worker in workers if self._in_hand.of(worker.pid)]
        worker = self._dice.choice(busy or workers)
        worker.freeze()
        self.sleeps += 1
        return Sleeper(worker, time.monotonic())

    def _has_slept_long_enough(self, asleep: Sleeper) -> bool:
        slept, pid = time.monotonic() - asleep.since, asleep.worker.pid
        waits_for_an_heir = self._in_hand.of(pid) is not None and not self._in_hand.is_shared(pid)
        return slept >= (LONGEST_SLEEP if waits_for_an_heir else SLEEP)

    def _wake(self, asleep: Sleeper) -> None:
        self.heirs += self._in_hand.is_shared(asleep.worker.pid)
        asleep.worker.thaw()

    def left(self) -> int:
        """How many items are not done."""
        return sum(self._stage.service.load(name).number_of_items() for name in QUEUES)

    def effects(self) -> list[tuple[int, int]]:
        """(number, fence) of what tasks have inserted, in the order in which they did."""
        with self._stage.service.engine.connect() as connection:
            rows = connection.execute(text("SELECT number, fence FROM ordered_effects ORDER BY place"))
            return [(row.number, row.fence) for row in rows]
