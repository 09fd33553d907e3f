"""The course of a soak: queues full of tasks, workers that are killed and put to sleep, and what is left in the end."""

from __future__ import annotations

import random
import time
from itertools import count

from sqlalchemy import text

from taskqueue import Task
from tests.faults import tasks
from tests.faults.child import LEASE
from tests.faults.stage import Child, Stage

WORKERS = 4
#: Seconds between two kills, and for how long a worker stands still: beyond its lease.
PAUSE, SLEEP = 1.0, LEASE + 0.6
#: So many items are added when fewer are left.
MORE = 1000
#: Queue -> (type, task, share of all items).
QUEUES = {
    "plain": ("SqlParallel", tasks.record, 0.4),
    "exact": ("SqlParallel", tasks.effect_in_order, 0.3),
    "first": ("Sql", tasks.effect_in_order, 0.15),
    "second": ("Sql", tasks.effect_in_order, 0.15),
}


class Soak:
    """One soak on the database of a stage."""

    def __init__(self, stage: Stage, dice: random.Random) -> None:
        self._stage = stage
        self._dice = dice
        self._numbers = count(1)
        #: The numbers of the tasks in each queue, in its order.
        self.numbers: dict[str, list[int]] = {}
        self.kills = self.sleeps = 0

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
            tasks_of_queue = (Task(callback, (str(self._stage.folder), number)) for number in numbers)
            self._stage.service.load(name).create_items(tasks_of_queue)

    def disturb(self, seconds: float) -> list[Child]:
        """Let workers work, and kill one and put another one to sleep every second; those that are left."""
        workers = [self._stage.start("work") for _ in range(WORKERS)]
        self._stage.history.wait_for("serving", count=WORKERS)
        asleep: tuple[Child, float] | None = None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.left() < MORE:
                self.fill(MORE)  # on a fast machine
            time.sleep(PAUSE * self._dice.uniform(0.5, 1.5))
            if asleep is not None and time.monotonic() >= asleep[1]:
                asleep[0].thaw()
                asleep = None
            self._kill_one(workers, spared=asleep[0] if asleep else None)
            asleep = asleep or self._put_to_sleep(workers)
        if asleep is not None:
            asleep[0].thaw()
        return workers

    def _kill_one(self, workers: list[Child], spared: Child | None) -> None:
        victim = self._dice.choice([worker for worker in workers if worker is not spared])
        victim.kill()
        self.kills += 1
        workers[workers.index(victim)] = self._stage.start("work")

    def _put_to_sleep(self, workers: list[Child]) -> tuple[Child, float]:
        sleeper = self._dice.choice(workers)
        sleeper.freeze()
        self.sleeps += 1
        return sleeper, time.monotonic() + SLEEP

    def left(self) -> int:
        """How many items are not done."""
        return sum(self._stage.service.load(name).number_of_items() for name in QUEUES)

    def effects(self) -> list[tuple[int, int]]:
        """(number, fence) of what tasks have inserted, in the order in which they did."""
        with self._stage.service.engine.connect() as connection:
            rows = connection.execute(text("SELECT number, fence FROM ordered_effects ORDER BY place"))
            return [(row.number, row.fence) for row in rows]
